//! What a partition's directory holds. Reads names, lengths and the little files.

use super::Place;
use crate::error::{CorruptionReason, DiskError, OpenError};
use crate::ids::Offset;
use crate::log::disk::{DiskEntry, EntryKind};
use crate::log::epochs::{EPOCHS_FILE, EPOCHS_VERSION, Epochs};
use crate::log::facts::{FileKind, parse_file_name};
use crate::log::mark::{MARK_FILE, MARK_VERSION, Mark, MarkError, MarkFile};
use crate::log::segments_file::{self, SEGMENTS_FILE, SEGMENTS_VERSION, SegmentList};
use crate::log::small_file::{SmallFileError, TEMPORARY_SUFFIX};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// The ending of files that hold what was cut off.
pub(super) const CUT_SUFFIX: &str = ".cut";

#[derive(Debug)]
pub(super) struct Survey {
    /// The lengths of the `.log` files, by their base offsets.
    pub(super) logs: BTreeMap<Offset, u64>,
    /// The lengths of the `.log.swap` files.
    pub(super) swaps: BTreeMap<Offset, u64>,
    pub(super) indexes: BTreeSet<(Offset, IndexKind)>,
    /// Files of ours that were not finished.
    pub(super) temporaries: Vec<String>,
    /// How many files there are that are none of ours.
    pub(super) unknown_files: usize,
    pub(super) mark_file: MarkFile,
    pub(super) mark: Option<Mark>,
    pub(super) list: List,
    /// `None` if the file is damaged.
    pub(super) epochs: Option<Epochs>,
}

/// Which of a segment's two indexes; in order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum IndexKind {
    Offsets,
    Times,
}

impl IndexKind {
    pub(super) fn file_kind(self) -> FileKind {
        match self {
            IndexKind::Offsets => FileKind::Index,
            IndexKind::Times => FileKind::TimeIndex,
        }
    }
}

/// The list of sealed segments, as far as it can be read.
#[derive(Debug)]
pub(super) enum List {
    Absent,
    Damaged(&'static str),
    Known(SegmentList),
}

impl Survey {
    pub(super) fn of(place: &Place<'_>) -> Result<Survey, OpenError> {
        let Place { disk, dir, .. } = *place;
        let entries = match disk.entries(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_mark(place)),
            Err(error) => return Err(DiskError::new("list", dir, &error).into()),
        };
        // Before anything is opened: what is no file is not touched.
        refuse_what_is_no_file(place, &entries)?;
        let (mark_file, mark) = MarkFile::open(disk, dir).map_err(|error| match error {
            MarkError::Missing => no_mark(place),
            MarkError::Disk(error) => error.into(),
            MarkError::Version { found } => version(place, MARK_FILE, found, MARK_VERSION),
        })?;
        let list = match segments_file::load(disk, dir) {
            Ok(list) => list.map_or(List::Absent, List::Known),
            Err(SmallFileError::Damaged(what)) => List::Damaged(what),
            Err(SmallFileError::Disk(error)) => return Err(error.into()),
            Err(SmallFileError::Version { found }) => {
                return Err(version(place, SEGMENTS_FILE, found, SEGMENTS_VERSION));
            }
        };
        let known_epoch = mark.map_or(0, |mark| mark.leader_epoch);
        let epochs = match Epochs::load(disk, dir) {
            Ok(epochs) => Some(epochs).filter(|epochs| epochs.latest() >= known_epoch),
            Err(SmallFileError::Damaged(_)) => None,
            Err(SmallFileError::Disk(error)) => return Err(error.into()),
            Err(SmallFileError::Version { found }) => {
                return Err(version(place, EPOCHS_FILE, found, EPOCHS_VERSION));
            }
        };
        let mut survey = Survey {
            logs: BTreeMap::new(),
            swaps: BTreeMap::new(),
            indexes: BTreeSet::new(),
            temporaries: Vec::new(),
            unknown_files: 0,
            mark_file,
            mark,
            list,
            epochs,
        };
        for entry in entries {
            survey.note(entry);
        }
        Ok(survey)
    }

    fn note(&mut self, entry: DiskEntry) {
        match parse_file_name(&entry.name).filter(|(offset, _)| *offset <= i64::MAX as Offset) {
            Some((offset, FileKind::Log)) => {
                self.logs.insert(offset, entry.bytes);
            }
            Some((offset, FileKind::Swap)) => {
                self.swaps.insert(offset, entry.bytes);
            }
            Some((offset, FileKind::Index)) => {
                self.indexes.insert((offset, IndexKind::Offsets));
            }
            Some((offset, FileKind::TimeIndex)) => {
                self.indexes.insert((offset, IndexKind::Times));
            }
            None if is_little_file(&entry.name) => {}
            None => match entry.name.strip_suffix(TEMPORARY_SUFFIX) {
                Some(name) if is_little_file(name) || parse_file_name(name).is_some() => {
                    self.temporaries.push(entry.name);
                }
                _ => self.unknown_files += 1,
            },
        }
    }
}

fn is_little_file(name: &str) -> bool {
    let is_cut = || {
        let digits = name.strip_suffix(CUT_SUFFIX);
        digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    [MARK_FILE, SEGMENTS_FILE, EPOCHS_FILE].contains(&name) || is_cut()
}

fn refuse_what_is_no_file(place: &Place<'_>, entries: &[DiskEntry]) -> Result<(), OpenError> {
    for entry in entries {
        let what = match entry.kind {
            EntryKind::File => continue,
            EntryKind::Dir => "a directory where a partition has files",
            EntryKind::Other => "neither a file nor a directory",
        };
        return Err(OpenError::Foreign { path: place.dir.join(&entry.name), what });
    }
    Ok(())
}

fn no_mark(place: &Place<'_>) -> OpenError {
    place.corrupt(place.dir.join(MARK_FILE), 0, 0, CorruptionReason::Missing)
}

fn version(place: &Place<'_>, name: &str, found: u32, known: u32) -> OpenError {
    OpenError::Version { path: place.dir.join(name), found, known }
}
