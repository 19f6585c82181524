//! The list of a partition's sealed segments, and where its log starts: the small file `segments`.
//!
//! ```text
//!  anabranch segments 1
//!  log_start 42
//!  segment 0 100 17000 89abcdef 76543210 1700000000000 0     base offset, end offset, bytes, CRC-32 of the
//!  segment 100 250 25500 01234567 0 1700000000900 1   file and of its indexes, latest timestamp, 1 if compacted
//!  crc32 5d41402a
//! ```
//!
//! 1. Segments follow each other without gap or overlap; the log starts in the first one or behind it.
//! 2. What the list says is committed: a file that it does not name, below the log's start or inside a
//!    segment's range, is a remain of what was there before.

use super::disk::Disk;
use super::facts::{OFFSET_MAX, SegmentFacts};
use super::small_file::{self, SmallFileError};
use crate::error::DiskError;
use crate::ids::{Offset, Timestamp};
use std::fmt::Write;
use std::path::Path;

/// The name of the file.
pub(crate) const SEGMENTS_FILE: &str = "segments";

/// The latest version of the file that is known here.
pub(crate) const SEGMENTS_VERSION: u32 = 1;

const KIND: &str = "segments";

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentList {
    pub(crate) log_start: Offset,
    /// By rising offsets.
    pub(crate) sealed: Vec<SegmentFacts>,
}

/// Replaces the list, durably.
///
/// # Errors
///
/// [`DiskError`] if the disk refuses; the old list stands, or, if the last sync was refused, either
/// of the two.
pub(crate) fn store(
    disk: &dyn Disk,
    dir: &Path,
    log_start: Offset,
    sealed: &[SegmentFacts],
) -> Result<(), DiskError> {
    let mut lines = format!("log_start {log_start}\n");
    for segment in sealed {
        let SegmentFacts { base_offset, end_offset, bytes, crc, index_crc, .. } = segment;
        let (millis, is_compacted) =
            (segment.max_timestamp.as_millis(), u8::from(segment.is_compacted));
        writeln!(
            lines,
            "segment {base_offset} {end_offset} {bytes} {crc:08x} {index_crc:08x} {millis} {is_compacted}"
        )
        .expect("a string takes what it is given");
    }
    small_file::write(disk, &dir.join(SEGMENTS_FILE), KIND, SEGMENTS_VERSION, &lines)
}

/// Reads the list; `None` if there is no file, as before the first segment is sealed.
///
/// # Errors
///
/// [`SmallFileError`] if the disk refuses, or if the file is damaged or of another version.
pub(crate) fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<SegmentList>, SmallFileError> {
    let lines = small_file::read(disk, &dir.join(SEGMENTS_FILE), KIND, SEGMENTS_VERSION)?;
    lines.map(|lines| decode(&lines)).transpose()
}

fn decode(lines: &str) -> Result<SegmentList, SmallFileError> {
    let damaged = SmallFileError::Damaged;
    let mut lines = lines.lines();
    let log_start = lines
        .next()
        .and_then(|line| line.strip_prefix("log_start ")?.parse().ok())
        .filter(|start| *start <= OFFSET_MAX)
        .ok_or(damaged("does not say where the log starts"))?;
    let sealed: Option<Vec<SegmentFacts>> = lines.map(segment).collect();
    let sealed = sealed.ok_or(damaged("has a line that is no segment"))?;
    if !sealed.windows(2).all(|pair| pair[0].end_offset == pair[1].base_offset) {
        return Err(damaged("has segments that do not follow each other"));
    }
    if sealed.first().is_some_and(|first| log_start < first.base_offset) {
        return Err(damaged("has its first segment behind the log's start"));
    }
    Ok(SegmentList { log_start, sealed })
}

fn segment(line: &str) -> Option<SegmentFacts> {
    let words: Vec<&str> = line.strip_prefix("segment ")?.split(' ').collect();
    let [base, end, bytes, crc, index_crc, millis, is_compacted] = words.as_slice() else {
        return None;
    };
    let facts = SegmentFacts {
        base_offset: base.parse().ok()?,
        end_offset: end.parse().ok()?,
        bytes: bytes.parse().ok()?,
        crc: u32::from_str_radix(crc, 16).ok()?,
        index_crc: u32::from_str_radix(index_crc, 16).ok()?,
        max_timestamp: Timestamp::from_millis(millis.parse().ok()?),
        is_compacted: match *is_compacted {
            "0" => false,
            "1" => true,
            _ => return None,
        },
    };
    let is_possible = facts.base_offset < facts.end_offset && facts.end_offset <= OFFSET_MAX;
    is_possible.then_some(facts)
}

#[cfg(test)]
mod tests {
    use super::super::memory_disk::MemoryDisk;
    use super::*;
    use proptest::prelude::*;

    fn dir() -> &'static Path {
        Path::new("orders-0")
    }

    fn facts(base_offset: Offset, end_offset: Offset) -> SegmentFacts {
        SegmentFacts {
            base_offset,
            end_offset,
            bytes: 170,
            crc: 0xab,
            index_crc: 0,
            max_timestamp: Timestamp::from_millis(-1),
            is_compacted: base_offset > 0,
        }
    }

    fn stored(log_start: Offset, sealed: &[SegmentFacts]) -> Result<SegmentList, SmallFileError> {
        let disk = MemoryDisk::new();
        store(&disk, dir(), log_start, sealed).expect("room");
        load(&disk, dir()).map(|list| list.expect("it was written"))
    }

    #[test]
    fn a_list_comes_back() {
        assert_eq!(load(&MemoryDisk::new(), dir()), Ok(None));
        for sealed in [vec![], vec![facts(0, 1)], vec![facts(0, 7), facts(7, OFFSET_MAX)]] {
            for log_start in [0, 5, OFFSET_MAX] {
                let list = SegmentList { log_start, sealed: sealed.clone() };
                assert_eq!(stored(log_start, &sealed), Ok(list));
            }
        }
    }

    #[test]
    fn a_list_that_cannot_be_is_damaged() {
        let lists = [
            (OFFSET_MAX + 1, vec![]),
            (0, vec![facts(1, 2)]),
            (0, vec![facts(0, 0)]),
            (0, vec![facts(0, OFFSET_MAX + 1)]),
            (0, vec![facts(0, 5), facts(6, 7)]),
            (0, vec![facts(0, 5), facts(4, 7)]),
        ];
        for (log_start, sealed) in lists {
            let found = stored(log_start, &sealed);
            assert!(matches!(found, Err(SmallFileError::Damaged(_))), "{sealed:?}");
        }
        for lines in ["", "log_start\n", "log_start 0\nsegment 0 1 2 3 4 5\n", "log_start 0\n\n"] {
            assert!(decode(lines).is_err(), "{lines:?}");
        }
        assert!(decode("log_start 0\nsegment 0 1 2 3 4 5 2\n").is_err());
        assert!(decode("log_start 0\nsegment 0 1 2 3 4 5 1 0\n").is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_lines_do_not_panic(lines in "(log_start|segment)( [0-9]{0,20}){0,8}\n.*") {
            let _ = decode(&lines);
        }
    }
}
