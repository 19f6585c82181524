//! What a partition's directory holds, read and not touched: for tools, and for what is damaged.
//!
//! ```text
//!   segments (the list) ─┐
//!   mark                 ├─► Contents: log start, known end, and the segments in order, each with
//!   names and lengths   ─┘             its file, what was noted of it, and where it ends
//! ```
//!
//! Unlike [`recovery`](super::recovery) it never refuses: what is damaged is a [`Corruption`] in a list, and
//! the rest is taken as it is. Somebody may be at work in the directory: small files are replaced whole,
//! and logs only grow, so what is read is true of some moment.
//!
//! 1. Nothing is written, no lock is taken, and files are opened to be read.
//! 2. A file inside the range of listed segments that is not listed is a remain, and left out.

use super::disk::{Disk, EntryKind, OpenMode};
use super::epochs::{EPOCHS_FILE, Epochs};
use super::facts::{FileKind, SegmentFacts, file_path, parse_file_name};
use super::mark::{Crc, MARK_FILE, Mark, MarkError, MarkFile};
use super::segments_file::{self, SEGMENTS_FILE, SegmentList};
use super::small_file::SmallFileError;
use super::window::Window;
use crate::error::{Corruption, CorruptionReason, DiskError};
use crate::ids::Offset;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The last offset that can be, and so the end of what has no other.
const OFFSET_MAX: Offset = i64::MAX as Offset;

/// How often a directory is read again whose files went while it was read.
const ATTEMPTS: usize = 5;

/// What there is of a partition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Contents {
    pub(crate) dir: PathBuf,
    /// `None` if there is none that can be read.
    pub(crate) mark: Option<Mark>,
    pub(crate) epochs: Option<Epochs>,
    pub(crate) log_start: Offset,
    /// Whether the list or the mark says where the log starts.
    pub(crate) is_start_known: bool,
    /// By rising base offsets.
    pub(crate) segments: Vec<SegmentFile>,
    /// What is wrong with the small files, and which segments are missing or have the wrong length.
    pub(crate) damage: Vec<Corruption>,
}

/// One segment, be its file there or not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SegmentFile {
    pub(crate) base_offset: Offset,
    pub(crate) path: PathBuf,
    /// The file's length; `None` if there is no file.
    pub(crate) file_bytes: Option<u64>,
    /// What was noted when it was sealed, if the list names it.
    pub(crate) facts: Option<SegmentFacts>,
    /// Whether offsets may have gaps.
    pub(crate) may_have_gaps: bool,
    /// Where the segment ends, if that is known without reading it.
    pub(crate) end_offset: Option<Offset>,
}

impl Contents {
    /// Reads names, lengths and small files.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if the directory cannot be listed.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Contents, DiskError> {
        let mut contents = Contents::read_once(disk, dir)?;
        for _ in 1..ATTEMPTS {
            if contents.damage.is_empty() {
                break;
            }
            // Retention or compaction may have been at work between the list and the names.
            let again = Contents::read_once(disk, dir)?;
            if again == contents {
                break;
            }
            contents = again;
        }
        Ok(contents)
    }

    fn read_once(disk: &dyn Disk, dir: &Path) -> Result<Contents, DiskError> {
        let mut contents = Contents {
            dir: dir.to_owned(),
            mark: None,
            epochs: None,
            log_start: 0,
            is_start_known: false,
            segments: Vec::new(),
            damage: Vec::new(),
        };
        let list = contents.read_small_files(disk);
        let is_list_lost = match (&list, &contents.mark) {
            (Some(_), _) => false,
            // No list is right before the first seal.
            (None, Some(mark)) => mark.segment > 0 || mark.log_start > 0,
            (None, None) => true,
        } || contents.is_damaged(SEGMENTS_FILE);
        if is_list_lost && !contents.is_damaged(SEGMENTS_FILE) && contents.mark.is_some() {
            contents.note(SEGMENTS_FILE, CorruptionReason::Missing);
        }
        contents.is_start_known = list.is_some() || contents.mark.is_some();
        let list = list.unwrap_or_default();
        let mark_start = contents.mark.map_or(0, |mark| mark.log_start);
        contents.log_start = list.log_start.max(mark_start);
        contents.sort_files(disk, list, is_list_lost)?;
        contents.check_lengths();
        Ok(contents)
    }

    /// The offset up to which the log is known to reach.
    pub(crate) fn known_end(&self) -> Offset {
        let sealed =
            self.segments.iter().filter_map(|segment| Some(segment.facts.as_ref()?.end_offset));
        sealed.max().max(self.mark.map(|mark| mark.end_offset)).unwrap_or(self.log_start)
    }

    fn note(&mut self, name: &str, reason: CorruptionReason) {
        let file = self.dir.join(name);
        self.damage.push(Corruption { file, position: 0, offset: 0, reason });
    }

    fn is_damaged(&self, name: &str) -> bool {
        self.damage.iter().any(|found| found.file == self.dir.join(name))
    }

    /// Reads mark and epochs, and returns the list of segments.
    fn read_small_files(&mut self, disk: &dyn Disk) -> Option<SegmentList> {
        let damaged = |what| CorruptionReason::SmallFile { what };
        match MarkFile::read(disk, &self.dir) {
            Ok(Some(mark)) => self.mark = Some(mark),
            Ok(None) => self.note(MARK_FILE, damaged("has no slot that is whole")),
            Err(MarkError::Missing) => self.note(MARK_FILE, CorruptionReason::Missing),
            Err(MarkError::Version { .. }) => self.note(MARK_FILE, damaged(OTHER_VERSION)),
            Err(MarkError::Disk(_)) => self.note(MARK_FILE, damaged(UNREADABLE)),
        }
        match Epochs::load(disk, &self.dir) {
            Ok(epochs) => self.epochs = Some(epochs),
            Err(SmallFileError::Damaged(what)) => self.note(EPOCHS_FILE, damaged(what)),
            Err(SmallFileError::Version { .. }) => self.note(EPOCHS_FILE, damaged(OTHER_VERSION)),
            Err(SmallFileError::Disk(_)) => self.note(EPOCHS_FILE, damaged(UNREADABLE)),
        }
        match segments_file::load(disk, &self.dir) {
            Ok(list) => return list,
            Err(SmallFileError::Damaged(what)) => self.note(SEGMENTS_FILE, damaged(what)),
            Err(SmallFileError::Version { .. }) => self.note(SEGMENTS_FILE, damaged(OTHER_VERSION)),
            Err(SmallFileError::Disk(_)) => self.note(SEGMENTS_FILE, damaged(UNREADABLE)),
        }
        None
    }

    fn sort_files(
        &mut self,
        disk: &dyn Disk,
        list: SegmentList,
        is_list_lost: bool,
    ) -> Result<(), DiskError> {
        let entries = match disk.entries(&self.dir) {
            Ok(entries) => entries,
            // That there is no mark tells it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(DiskError::new("list", &self.dir, &error)),
        };
        let (mut logs, mut swaps) = (BTreeMap::new(), BTreeMap::new());
        for entry in entries.into_iter().filter(|entry| entry.kind == EntryKind::File) {
            match parse_file_name(&entry.name).filter(|(offset, _)| *offset <= OFFSET_MAX) {
                Some((offset, FileKind::Log)) => drop(logs.insert(offset, entry.bytes)),
                Some((offset, FileKind::Swap)) => drop(swaps.insert(offset, entry.bytes)),
                _ => {}
            }
        }
        let sealed_end = list.sealed.last().map_or(0, |last| last.end_offset);
        for facts in list.sealed {
            let base_offset = facts.base_offset;
            let mut file_bytes = logs.get(&base_offset).copied();
            let mut path = file_path(&self.dir, base_offset, FileKind::Log);
            let swap = swaps.get(&base_offset).copied().filter(|bytes| *bytes == facts.bytes);
            // A replacement that is committed and has not taken its place yet.
            let swap_path = file_path(&self.dir, base_offset, FileKind::Swap);
            if swap.is_some() && file_crc(disk, &swap_path, facts.bytes) == Ok(Some(facts.crc)) {
                (file_bytes, path) = (swap, swap_path);
            }
            let (may_have_gaps, end_offset) = (facts.is_compacted, Some(facts.end_offset));
            let facts = Some(facts);
            self.segments.push(SegmentFile {
                base_offset,
                path,
                file_bytes,
                facts,
                may_have_gaps,
                end_offset,
            });
        }
        let mut unlisted: BTreeMap<Offset, Option<u64>> = logs
            .range(sealed_end..)
            .map(|(&base_offset, &bytes)| (base_offset, Some(bytes)))
            .collect();
        if let Some(mark) = self.mark.filter(|mark| mark.position > 0 && mark.segment >= sealed_end)
        {
            unlisted.entry(mark.segment).or_insert(None);
        }
        let ends: Vec<Offset> = unlisted.keys().skip(1).copied().collect();
        for (index, (base_offset, file_bytes)) in unlisted.into_iter().enumerate() {
            self.segments.push(SegmentFile {
                base_offset,
                path: file_path(&self.dir, base_offset, FileKind::Log),
                file_bytes,
                facts: None,
                may_have_gaps: is_list_lost,
                end_offset: ends.get(index).copied(),
            });
        }
        Ok(())
    }

    /// What can be told from names and lengths alone.
    fn check_lengths(&mut self) {
        let mark = self.mark;
        for segment in &self.segments {
            let known_bytes = match (&segment.facts, mark) {
                (Some(facts), _) => facts.bytes,
                (None, Some(mark)) if mark.segment == segment.base_offset => mark.position,
                _ => continue,
            };
            let reason = match segment.file_bytes {
                None => CorruptionReason::Missing,
                Some(found)
                    if found < known_bytes || segment.facts.is_some() && found > known_bytes =>
                {
                    CorruptionReason::FileBytes { stored: known_bytes, found }
                }
                Some(_) => continue,
            };
            let (file, offset) = (segment.path.clone(), segment.base_offset);
            self.damage.push(Corruption { file, position: 0, offset, reason });
        }
    }
}

const OTHER_VERSION: &str = "is of a version that is not known here";
const UNREADABLE: &str = "cannot be read";

/// CRC-32 of a file's first `bytes`; `None` if it has fewer, or is gone.
pub(crate) fn file_crc(disk: &dyn Disk, path: &Path, bytes: u64) -> Result<Option<u32>, DiskError> {
    let file = match disk.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DiskError::new("open", path, &error)),
    };
    let mut window = Window::new(&*file, path, bytes);
    let (mut crc, mut at) = (Crc::new(), 0);
    loop {
        let piece = window.piece_at(at)?;
        if piece.is_empty() {
            return Ok((at == bytes).then(|| crc.value()));
        }
        crc.update(piece);
        at += piece.len() as u64;
    }
}
