//! What is told of salvaging a partition.

use super::RANGES_MAX;
use crate::error::{CorruptionReason, DiskError};
use crate::ids::{Offset, TopicPartition};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What was read of a partition, and what was not.
///
/// ```
/// # fn show(report: &anabranch::SalvageReport) {
/// println!("{}: {} records in {} batches", report.partition, report.records, report.batches);
/// for skipped in &report.skipped {
///     println!("  {skipped}");
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageReport {
    /// The partition.
    pub partition: TopicPartition,
    /// How many batches were believed.
    pub batches: u64,
    /// How many records were returned.
    pub records: u64,
    /// How many of them have offsets that nothing contradicts and nothing confirms: a checksum does not
    /// cover them, and in a compacted segment that is damaged the batches around do not say what they must
    /// be. Key, value, headers and timestamp are what was written.
    pub unconfirmed: u64,
    /// How many bytes of the segment files were read, or tried to be.
    pub bytes: u64,
    /// What was skipped, by file and place; of very many, the first 10,000.
    pub skipped: Vec<SkippedBytes>,
    /// How many bytes were skipped in all.
    pub skipped_bytes: u64,
    /// The offsets that are missing, between the first and the last that the partition is known to have had;
    /// of very many ranges, the first 10,000. In a compacted segment some of them may have been gone
    /// before.
    pub missing: Vec<Range<Offset>>,
    /// How many offsets are missing in all.
    pub missing_offsets: u64,
}

impl SalvageReport {
    pub(super) fn new(partition: TopicPartition) -> SalvageReport {
        SalvageReport {
            partition,
            batches: 0,
            records: 0,
            unconfirmed: 0,
            bytes: 0,
            skipped: Vec::new(),
            skipped_bytes: 0,
            missing: Vec::new(),
            missing_offsets: 0,
        }
    }

    /// Whether everything was read: no byte was skipped, no offset is missing.
    pub fn is_complete(&self) -> bool {
        self.skipped.is_empty() && self.missing_offsets == 0
    }

    pub(super) fn skip(&mut self, path: &Path, bytes: Range<u64>, reason: SkipReason) {
        self.skipped_bytes += bytes.end - bytes.start;
        if self.skipped.len() < RANGES_MAX {
            let Range { start, end } = bytes;
            self.skipped.push(SkippedBytes { file: path.to_owned(), start, end, reason });
        }
    }

    pub(super) fn miss(&mut self, offsets: Range<Offset>) {
        if offsets.is_empty() {
            return;
        }
        self.missing_offsets += offsets.end - offsets.start;
        let has_room = self.missing.len() < RANGES_MAX;
        match self.missing.last_mut() {
            Some(last) if last.end == offsets.start => last.end = offsets.end,
            _ if has_room => self.missing.push(offsets),
            _ => {}
        }
    }
}

/// Bytes of a file that are no batch that can be believed.
///
/// ```
/// # fn show(skipped: &anabranch::SkippedBytes) {
/// println!("{} bytes: {}", skipped.end - skipped.start, skipped.reason);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedBytes {
    /// The file.
    pub file: PathBuf,
    /// Where in the file they start.
    pub start: u64,
    /// Where they end; where the file ended, if some of it is missing.
    pub end: u64,
    /// What is wrong at their start.
    pub reason: SkipReason,
}

impl fmt::Display for SkippedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SkippedBytes { file, start, end, reason } = self;
        write!(f, "{} bytes {start} to {end}: {reason}", file.display())
    }
}

/// Why bytes were skipped.
///
/// ```
/// use anabranch::{CorruptionReason, SkipReason};
///
/// let reason = SkipReason::Corrupt(CorruptionReason::Missing);
/// assert_eq!(reason.to_string(), "the file is missing");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// They are not what was written.
    Corrupt(CorruptionReason),
    /// The system does not give them.
    Disk(DiskError),
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SkipReason::Corrupt(reason) => reason.fmt(f),
            SkipReason::Disk(error) => error.fmt(f),
        }
    }
}
