//! From a partition's directory to a log that can be appended to.
//!
//! ```text
//!   Survey ───────► Plan ────────────► Scan ────────────► repair
//!   what is there   what each file is  read what is not    cut, remove, seal:
//!                                      known to be on disk the only part that writes
//! ```
//!
//! What is below the mark was on disk when the mark was written. What is above it may be torn. So:
//!
//! ```text
//!   sealed segments        segments behind them, up to the mark     above the mark
//!   ├──────────────────────┼──────────────────────▲─────────────────┼─────────┼─ zeros ─┤
//!   their lengths must     anything wrong is      │ mark            the first  torn,    preallocated:
//!   be right; not read     damage                                   bad byte   cut off  the end
//! ```
//!
//! 1. Nothing is written before all that is there has been found good; an error changes nothing.
//! 2. Only bytes above the mark are ever cut. Without a mark, nothing is.
//! 3. A directory that was closed in order is neither scanned nor changed.
//! 4. No input panics; no more is allocated than the files are long, and a few pieces of a MiB.
//! 5. Whatever is done can be done again: a crash during recovery needs recovery, nothing else.
//! 6. A small file that is damaged means that more is read, never that something is deleted.

mod below;
mod plan;
mod reading;
mod repair;
mod scan;
mod segment;
mod survey;
#[cfg(test)]
mod tests;

use super::disk::{Disk, DiskFile, OpenMode};
use super::epochs::Epochs;
use super::facts::{FileKind, SegmentFacts, file_path};
use super::index::SegmentIndex;
use super::mark::{Crc, Mark, MarkFile};
use super::report::PartitionReport;
use crate::error::{Corruption, CorruptionReason, DiskError, OpenError};
use crate::ids::{Offset, Timestamp, TopicPartition};
use plan::Plan;
use scan::Scan;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use survey::Survey;

/// A partition as it was found, and, if need be, repaired.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// By rising offsets.
    pub(crate) sealed: Vec<SegmentFacts>,
    pub(crate) log_start: Offset,
    pub(crate) active: Active,
    /// The mark as it stands in the file.
    pub(crate) mark: Mark,
    pub(crate) mark_file: MarkFile,
    pub(crate) epochs: Epochs,
    /// Whether nothing had to be looked for or changed. If not, the next append begins a new epoch.
    pub(crate) was_clean: bool,
    pub(crate) report: PartitionReport,
}

/// The segment that is appended to.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) base_offset: Offset,
    /// How many bytes of batches it holds; the file may go on with zeros.
    pub(crate) bytes: u64,
    pub(crate) end_offset: Offset,
    /// Over all its bytes.
    pub(crate) crc: Crc,
    pub(crate) index: SegmentIndex,
    pub(crate) max_timestamp: Timestamp,
    /// The file, open to write; `None` if there is none before the first append.
    pub(crate) file: Option<Arc<dyn DiskFile>>,
    /// From here on the bytes may be in the system's cache alone: they must be written again before the
    /// next sync, because a sync that failed before is not told a second time.
    pub(crate) rewrite_from: u64,
}

impl Active {
    /// A segment that has no file yet.
    pub(crate) fn without_file(base_offset: Offset) -> Active {
        let index = SegmentIndex::new();
        Active {
            base_offset,
            bytes: 0,
            end_offset: base_offset,
            crc: Crc::new(),
            max_timestamp: index.max_timestamp(),
            index,
            file: None,
            rewrite_from: 0,
        }
    }
}

/// Lays out a new, empty partition, durably but for its own name; the caller syncs the directory above.
///
/// # Errors
///
/// [`DiskError`] if the disk refuses.
pub(crate) fn create(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    disk.create_dir(dir).map_err(DiskError::at("create", dir))?;
    MarkFile::create(disk, dir, &Mark::default())?;
    disk.sync_dir(dir).map_err(DiskError::at("sync", dir))
}

/// Opens a partition's directory: verifies what is not known to be on disk, cuts off what is torn,
/// finishes or undoes what a crash interrupted.
///
/// `is_clean` says that the directory was closed in order; where its files say otherwise, it is
/// treated as one that was not.
///
/// # Errors
///
/// [`OpenError`] if the disk refuses, a file is of an unknown version, something stands there that
/// is no file, or what is known to be on disk is not. Nothing was changed, except where the disk
/// refused a repair.
pub(crate) fn recover(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    partition: &TopicPartition,
    is_clean: bool,
) -> Result<Recovered, OpenError> {
    let place = Place { disk: &**disk, dir, partition };
    let survey = Survey::of(&place)?;
    let plan = Plan::of(&place, &survey)?;
    let clean = if is_clean { Scan::of_clean(&place, &survey, &plan)? } else { None };
    let scan = match clean {
        Some(scan) => scan,
        None => Scan::of(&place, &survey, &plan)?,
    };
    repair::finish(&place, survey, plan, scan)
}

/// Which partition, where.
struct Place<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    partition: &'a TopicPartition,
}

impl Place<'_> {
    fn path(&self, base_offset: Offset, kind: FileKind) -> PathBuf {
        file_path(self.dir, base_offset, kind)
    }

    fn open(
        &self,
        base_offset: Offset,
        kind: FileKind,
        mode: OpenMode,
    ) -> Result<Arc<dyn DiskFile>, DiskError> {
        let path = self.path(base_offset, kind);
        self.disk.open(&path, mode).map_err(DiskError::at("open", &path))
    }

    fn corrupt(
        &self,
        file: PathBuf,
        position: u64,
        offset: Offset,
        reason: CorruptionReason,
    ) -> OpenError {
        let corruption = Corruption { file, position, offset, reason };
        OpenError::Corrupt { partition: self.partition.clone(), corruption: Box::new(corruption) }
    }

    /// A `.log` file is damaged.
    fn corrupt_log(
        &self,
        base_offset: Offset,
        position: u64,
        offset: Offset,
        reason: CorruptionReason,
    ) -> OpenError {
        self.corrupt(self.path(base_offset, FileKind::Log), position, offset, reason)
    }

    fn corrupt_small(&self, name: &str, what: &'static str) -> OpenError {
        self.corrupt(self.dir.join(name), 0, 0, CorruptionReason::SmallFile { what })
    }
}
