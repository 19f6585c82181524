//! What is known about a partition's files: the words that segment, mark, recovery, retention and
//! compaction share.

use crate::ids::{Offset, Timestamp};
use std::path::{Path, PathBuf};

/// The last offset that files are believed to reach. Kafka's offsets end at 2^63; with as many again
/// before that, whatever is appended has one.
pub(crate) const OFFSET_MAX: Offset = 1 << 62;

/// A sealed segment: a file that no record is appended to any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFacts {
    /// The offset that names the file.
    pub(crate) base_offset: Offset,
    /// The offset behind its last record (or behind the last there was before compaction).
    pub(crate) end_offset: Offset,
    /// The file's length.
    pub(crate) bytes: u64,
    /// CRC-32 of the whole file.
    pub(crate) crc: u32,
    /// CRC-32 of its two index files, one behind the other; 0 if they were not written.
    pub(crate) index_crc: u32,
    /// The latest timestamp of its records.
    pub(crate) max_timestamp: Timestamp,
    /// Whether compaction has been over it, so that offsets may have gaps.
    pub(crate) is_compacted: bool,
}

/// The files that belong to a segment, by their names in Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Log,
    Index,
    TimeIndex,
    /// A segment that compaction has written, which takes the place of those it replaces once the
    /// manifest names it.
    Swap,
}

impl FileKind {
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            FileKind::Log => "log",
            FileKind::Index => "index",
            FileKind::TimeIndex => "timeindex",
            FileKind::Swap => "log.swap",
        }
    }
}

/// `00000000000000000042.log`, as Kafka names it.
pub(crate) fn file_name(base_offset: Offset, kind: FileKind) -> String {
    format!("{base_offset:020}.{}", kind.suffix())
}

pub(crate) fn file_path(dir: &Path, base_offset: Offset, kind: FileKind) -> PathBuf {
    dir.join(file_name(base_offset, kind))
}

/// The reverse of [`file_name`]; `None` for other files.
pub(crate) fn parse_file_name(name: &str) -> Option<(Offset, FileKind)> {
    let (digits, suffix) = name.split_once('.')?;
    let all = [FileKind::Log, FileKind::Index, FileKind::TimeIndex, FileKind::Swap];
    let kind = all.into_iter().find(|kind| kind.suffix() == suffix)?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let base_offset = digits.parse().ok().filter(|_| is_number)?;
    Some((base_offset, kind))
}
