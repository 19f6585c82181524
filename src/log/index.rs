//! Where in a segment to start looking for an offset or a time: Kafka's two sparse indexes.
//!
//! ```text
//!  .log        │▒▒ batch ▒▒│▒ batch ▒│▒▒▒▒ batch ▒▒▒▒│▒ batch ▒│ …
//!                                     └─ more than 4 KiB behind the last entry: an entry
//!  .index      last offset of that batch, less the base  4 │ its position            4
//!  .timeindex  latest timestamp up to that batch         8 │ last offset, less the base, of the batch
//!                                                          │ that brought it         4
//! ```
//!
//! A batch gets an entry when more than [`INTERVAL_BYTES`] of batches lie between the last entry and it.
//! The time index has an entry only where the timestamp is later than that of the entry before; when
//! a segment is closed or sealed, it gets one more for the latest timestamp of all, as Kafka does it.
//!
//! 1. Offsets, positions and timestamps rise from entry to entry.
//! 2. Every batch below a time entry's offset, and that batch itself, has no later timestamp.
//! 3. Index files are caches. Kafka's layout has no checksum for them: who reads them compares theirs
//!    with one that was kept elsewhere, or builds them anew.
//! 4. An empty file is a good index of a segment that has no entry yet.

use super::cold::Place;
use super::disk::{Disk, OpenMode};
use super::disk_io::write_all_at;
use super::facts::{FileKind, SegmentFacts, file_path};
use super::mark::Crc;
use super::whole::{Whole, read_whole};
use crate::error::DiskError;
use crate::ids::{Offset, Timestamp};
use crate::sync::planted::{Bug, planted};
use std::path::Path;

/// Kafka's default of `index.interval.bytes`.
pub(crate) const INTERVAL_BYTES: u64 = 4096;

const OFFSET_ENTRY_BYTES: usize = 8;
const TIME_ENTRY_BYTES: usize = 12;

/// Kafka's "there is none", which is before all others.
const NO_TIMESTAMP: Timestamp = Timestamp::from_millis(-1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OffsetEntry {
    last_offset: Offset,
    position: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TimeEntry {
    timestamp: Timestamp,
    last_offset: Offset,
}

/// Both indexes of one segment, in memory. Grows with the segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    bytes_since_entry: u64,
    /// The latest timestamp, and the last offset of the batch that brought it.
    latest: Option<TimeEntry>,
}

impl SegmentIndex {
    /// The index of an empty segment.
    pub(crate) fn new() -> SegmentIndex {
        SegmentIndex::default()
    }

    /// Notes a batch that was appended to the segment.
    pub(crate) fn note(
        &mut self,
        batch_last_offset: Offset,
        batch_position: u64,
        batch_bytes: usize,
        batch_max_timestamp: Timestamp,
    ) {
        let last_offset = batch_last_offset;
        if batch_max_timestamp > self.max_timestamp() {
            self.latest = Some(TimeEntry { timestamp: batch_max_timestamp, last_offset });
        }
        if self.bytes_since_entry > INTERVAL_BYTES {
            self.offsets.push(OffsetEntry { last_offset, position: batch_position });
            self.times.extend(self.unlisted_latest());
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += batch_bytes as u64;
    }

    /// A position at or before the batch that holds `offset`, if the segment has one.
    #[cfg(test)]
    pub(crate) fn position_of(&self, offset: Offset) -> u64 {
        let behind = self.offsets.partition_point(|entry| entry.last_offset <= offset);
        self.offsets[..behind].last().map_or(0, |entry| entry.position)
    }

    /// Where to start looking for `offset`: a batch at or before the one that holds it.
    pub(crate) fn place_of(&self, offset: Offset) -> Place {
        let behind = self.offsets.partition_point(|entry| entry.last_offset <= offset);
        self.offsets[..behind].last().map_or(Place::default(), |entry| Place {
            position: entry.position,
            last_offset: Some(entry.last_offset),
        })
    }

    /// An offset with only earlier timestamps before it, if one is known.
    pub(crate) fn offset_before(&self, timestamp: Timestamp) -> Option<Offset> {
        let behind = self.times.partition_point(|entry| entry.timestamp < timestamp);
        Some(self.times[..behind].last()?.last_offset)
    }

    /// A position at or before the first batch with a record of this time or later, if there is one.
    #[cfg(test)]
    pub(crate) fn position_of_timestamp(&self, timestamp: Timestamp) -> u64 {
        let behind = self.times.partition_point(|entry| entry.timestamp <= timestamp);
        self.times[..behind].last().map_or(0, |entry| self.position_of(entry.last_offset))
    }

    /// The latest timestamp noted; Kafka's "none", -1, if no batch has one.
    pub(crate) fn max_timestamp(&self) -> Timestamp {
        self.latest.map_or(NO_TIMESTAMP, |latest| latest.timestamp)
    }

    /// What the `.index` file of a segment that starts at `base` holds.
    pub(crate) fn encode_offsets(&self, base: Offset) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.offsets.len() * OFFSET_ENTRY_BYTES);
        for entry in &self.offsets {
            // Behind what 31 bits can say there is no entry, and a look-up scans from the last one.
            let Some(relative) = relative_offset(entry.last_offset, base) else { break };
            let Ok(position) = i32::try_from(entry.position) else { break };
            bytes.extend(relative.to_be_bytes());
            bytes.extend(position.to_be_bytes());
        }
        bytes
    }

    /// What the `.timeindex` file of a segment that starts at `base` holds when it is closed.
    pub(crate) fn encode_times(&self, base: Offset) -> Vec<u8> {
        let mut bytes = Vec::with_capacity((self.times.len() + 1) * TIME_ENTRY_BYTES);
        for entry in self.times.iter().copied().chain(self.unlisted_latest()) {
            let Some(relative) = relative_offset(entry.last_offset, base) else { break };
            bytes.extend(entry.timestamp.as_millis().to_be_bytes());
            bytes.extend(relative.to_be_bytes());
        }
        bytes
    }

    /// The index of a segment of `segment_bytes` that starts at `base`, from the bytes of its files;
    /// `None` if anything is odd about them.
    pub(crate) fn decode(
        base: Offset,
        offset_bytes: &[u8],
        time_bytes: &[u8],
        segment_bytes: u64,
    ) -> Option<SegmentIndex> {
        let (offset_rows, odd_offsets) = offset_bytes.as_chunks::<OFFSET_ENTRY_BYTES>();
        let (time_rows, odd_times) = time_bytes.as_chunks::<TIME_ENTRY_BYTES>();
        if !odd_offsets.is_empty() || !odd_times.is_empty() {
            return None;
        }
        let offsets: Vec<OffsetEntry> =
            offset_rows.iter().map(|row| offset_entry(base, row)).collect::<Option<_>>()?;
        let times: Vec<TimeEntry> =
            time_rows.iter().map(|row| time_entry(base, row)).collect::<Option<_>>()?;
        let is_in_order = offsets.is_sorted_by(|one, next| {
            one.last_offset < next.last_offset && one.position < next.position
        }) && times.is_sorted_by(|one, next| {
            one.timestamp < next.timestamp && one.last_offset < next.last_offset
        });
        // The first batch never has an entry.
        let is_inside = offsets.first().is_none_or(|first| first.position > 0)
            && offsets.last().is_none_or(|last| last.position < segment_bytes)
            && (segment_bytes > 0 || times.is_empty());
        if !is_in_order || !is_inside {
            return None;
        }
        let last_position = offsets.last().map_or(0, |entry| entry.position);
        let latest = times.last().copied();
        Some(SegmentIndex {
            offsets,
            times,
            bytes_since_entry: segment_bytes - last_position,
            latest,
        })
    }

    /// The latest timestamp, if the time index has no entry for it yet.
    fn unlisted_latest(&self) -> Option<TimeEntry> {
        let is_listed = |latest: &TimeEntry| {
            self.times.last().is_some_and(|listed| latest.timestamp <= listed.timestamp)
        };
        self.latest.filter(|latest| !is_listed(latest))
    }
}

/// The index of a sealed segment, if its files are those that were stored: `index_crc` is theirs.
pub(crate) fn load(disk: &dyn Disk, dir: &Path, facts: &SegmentFacts) -> Option<SegmentIndex> {
    // An index is no longer than its segment: a batch takes more than its entries.
    let read = |kind| match read_whole(disk, &file_path(dir, facts.base_offset, kind), facts.bytes)
    {
        Ok(Whole::Bytes(bytes)) => Some(bytes),
        _ => None,
    };
    let (offsets, times) = (read(FileKind::Index)?, read(FileKind::TimeIndex)?);
    if index_crc(&offsets, &times) != facts.index_crc && !planted(Bug::TrustIndex) {
        return None;
    }
    SegmentIndex::decode(facts.base_offset, &offsets, &times, facts.bytes)
}

/// Stores both indexes of a segment and returns their checksum. Not synced: they are caches.
pub(crate) fn store(
    disk: &dyn Disk,
    dir: &Path,
    base_offset: Offset,
    index: &SegmentIndex,
) -> Result<u32, DiskError> {
    let (offsets, times) = (index.encode_offsets(base_offset), index.encode_times(base_offset));
    for (kind, bytes) in [(FileKind::Index, &offsets), (FileKind::TimeIndex, &times)] {
        let path = file_path(dir, base_offset, kind);
        let file = disk.open(&path, OpenMode::Replace).map_err(DiskError::at("create", &path))?;
        write_all_at(&*file, bytes, 0).map_err(DiskError::at("write", &path))?;
    }
    Ok(index_crc(&offsets, &times))
}

/// The checksum of a segment's two index files, which a mark keeps; 0 if both are empty.
pub(crate) fn index_crc(offset_bytes: &[u8], time_bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(offset_bytes);
    crc.update(time_bytes);
    crc.value()
}

fn relative_offset(offset: Offset, base: Offset) -> Option<i32> {
    i32::try_from(offset.checked_sub(base)?).ok()
}

fn offset_entry(base: Offset, row: &[u8; OFFSET_ENTRY_BYTES]) -> Option<OffsetEntry> {
    let (relative, position) = row.split_at(4);
    let position = i32::from_be_bytes(*position.first_chunk()?);
    Some(OffsetEntry {
        last_offset: absolute_offset(base, relative)?,
        position: u64::try_from(position).ok()?,
    })
}

fn time_entry(base: Offset, row: &[u8; TIME_ENTRY_BYTES]) -> Option<TimeEntry> {
    let (timestamp, relative) = row.split_at(8);
    let timestamp = Timestamp::from_millis(i64::from_be_bytes(*timestamp.first_chunk()?));
    let last_offset = absolute_offset(base, relative)?;
    (timestamp > NO_TIMESTAMP).then_some(TimeEntry { timestamp, last_offset })
}

fn absolute_offset(base: Offset, relative: &[u8]) -> Option<Offset> {
    let relative = i32::from_be_bytes(*relative.first_chunk()?);
    base.checked_add(u64::try_from(relative).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    struct Batch {
        last_offset: Offset,
        position: u64,
        bytes: usize,
        max_timestamp: i64,
    }

    /// Batches of the given records, bytes and latest timestamps, one behind the other from `base` on.
    fn batches(base: Offset, shapes: &[(u64, usize, i64)]) -> Vec<Batch> {
        let (mut next_offset, mut position) = (base, 0);
        let place = |&(records, bytes, max_timestamp): &(u64, usize, i64)| {
            let batch =
                Batch { last_offset: next_offset + records - 1, position, bytes, max_timestamp };
            next_offset += records;
            position += bytes as u64;
            batch
        };
        shapes.iter().map(place).collect()
    }

    fn note(index: &mut SegmentIndex, batches: &[Batch]) {
        for batch in batches {
            let max_timestamp = Timestamp::from_millis(batch.max_timestamp);
            index.note(batch.last_offset, batch.position, batch.bytes, max_timestamp);
        }
    }

    fn index_of(batches: &[Batch]) -> SegmentIndex {
        let mut index = SegmentIndex::new();
        note(&mut index, batches);
        index
    }

    fn end_of(batches: &[Batch]) -> u64 {
        batches.last().map_or(0, |batch| batch.position + batch.bytes as u64)
    }

    /// What Kafka's `LogSegment.append` writes, computed by hand: an entry where more than 4,096
    /// bytes lie behind the last, timestamps only where they rise, the latest of all at the end.
    #[test]
    fn entries_are_where_kafka_has_them() {
        let batches = batches(
            100,
            &[(2, 4096, 10), (1, 1, 30), (3, 50, 20), (1, 4047, 20), (1, 70, 40), (1, 70, 41)],
        );
        let index = index_of(&batches);
        let (offsets, times) = (index.encode_offsets(100), index.encode_times(100));
        assert_eq!(
            offsets,
            [0, 0, 0, 5, 0, 0, 16, 1, 0, 0, 0, 7, 0, 0, 32, 2],
            "batch 2 at 4097, behind 4097 bytes; batch 4 at 8194, behind 4097 bytes"
        );
        let time = |millis: u8, relative: u8| [0, 0, 0, 0, 0, 0, 0, millis, 0, 0, 0, relative];
        assert_eq!(times, [time(30, 2), time(40, 7), time(41, 8)].concat());
        assert_eq!(index.max_timestamp(), Timestamp::from_millis(41));
    }

    #[test]
    fn a_segment_without_entries_has_empty_files_and_an_empty_index() {
        let index = SegmentIndex::decode(7, &[], &[], 0).expect("empty is fine");
        assert_eq!(index, SegmentIndex::new());
        assert_eq!((index.position_of(9), index.max_timestamp().as_millis()), (0, -1));
        assert_eq!(index_crc(&index.encode_offsets(7), &index.encode_times(7)), 0);
        let index = index_of(&batches(7, &[(1, 100, -1), (1, 9999, -1), (1, 100, -1)]));
        assert_eq!(index.encode_times(7), [0; 0], "no batch has a timestamp");
        assert_eq!(index.encode_offsets(7).len(), 8);
    }

    #[test]
    fn what_is_odd_is_no_index() {
        let index = index_of(&batches(100, &[(5, 5000, 10), (5, 5000, 20), (5, 5000, 30)]));
        let (offsets, times) = (index.encode_offsets(100), index.encode_times(100));
        assert_eq!((offsets.len(), times.len()), (16, 24));
        let decode =
            |offsets: &[u8], times: &[u8], bytes| SegmentIndex::decode(100, offsets, times, bytes);
        assert_eq!(decode(&offsets, &times, 15_000), Some(index));
        assert!(decode(&offsets, &times, 10_001).is_some());
        assert!(decode(&offsets, &times, 10_000).is_none(), "an entry at the end of the file");
        assert!(decode(&[], &times, 0).is_none(), "times of no batch");
        assert!(decode(&offsets[..15], &times, 15_000).is_none(), "cut inside an entry");
        assert!(decode(&offsets, &times[..23], 15_000).is_none(), "cut inside an entry");
        let doubled = [&offsets[..8], &offsets[..8]].concat();
        assert!(decode(&doubled, &times, 15_000).is_none(), "offsets that do not rise");
        let doubled = [&times[..12], &times[..12]].concat();
        assert!(decode(&offsets, &doubled, 15_000).is_none(), "times that do not rise");
        assert!(decode(&[offsets, vec![0; 8]].concat(), &times, 15_000).is_none(), "preallocated");
        assert!(decode(&[0; 8], &[], 15_000).is_none(), "the first batch has no entry");
        assert!(decode(&[0x80, 0, 0, 0, 0, 0, 0, 9], &[], 15_000).is_none(), "negative");
        assert!(decode(&[0, 0, 0, 9, 0x80, 0, 0, 0], &[], 15_000).is_none(), "negative");
        assert!(decode(&[], &[0xff; 12], 15_000).is_none(), "negative");
        assert!(SegmentIndex::decode(u64::MAX, &[0, 0, 0, 9, 0, 0, 0, 9], &[], 99).is_none());
    }

    #[test]
    fn what_31_bits_cannot_say_has_no_entry() {
        let far = 100 + (1 << 31);
        let mut index = index_of(&batches(100, &[(1, 5000, 1), (1, 5000, 2)]));
        index.note(far - 1, 10_000, 5000, Timestamp::from_millis(3));
        index.note(far, 15_000, 5000, Timestamp::from_millis(4));
        index.note(far + 1, 20_000, 5000, Timestamp::from_millis(5));
        assert_eq!(index.encode_offsets(100).len(), 2 * 8);
        assert_eq!(index.encode_times(100).len(), 2 * 12);
        assert_eq!(index.position_of(far + 1), 20_000, "in memory there is one");
        let mut index = SegmentIndex::new();
        index.note(0, 0, 5000, Timestamp::from_millis(3));
        index.note(1, 1 << 31, 5000, Timestamp::from_millis(3));
        assert_eq!(index.encode_offsets(0), [0; 0]);
    }

    fn shapes() -> impl Strategy<Value = Vec<(u64, usize, i64)>> {
        prop::collection::vec((1_u64..9, 61_usize..6000, -1_i64..40), 0..30)
    }

    proptest! {
        /// A look-up starts at or before the first batch a linear scan would find.
        #[test]
        fn a_look_up_starts_at_or_before_what_a_scan_finds(shapes in shapes()) {
            let batches = batches(100, &shapes);
            let index = index_of(&batches);
            let positions: Vec<u64> = batches.iter().map(|batch| batch.position).collect();
            for offset in 90..400 {
                let start = index.position_of(offset);
                let found = batches.iter().find(|batch| batch.last_offset >= offset);
                prop_assert!(start == 0 || positions.contains(&start));
                prop_assert!(found.is_none_or(|batch| start <= batch.position));
                prop_assert!(found.is_none_or(|batch| batch.position - start <= 4096 + 6000));
            }
            for time in -1..41 {
                let start = index.position_of_timestamp(Timestamp::from_millis(time));
                let found = batches.iter().find(|batch| batch.max_timestamp >= time);
                prop_assert!(found.is_none_or(|batch| start <= batch.position));
            }
            let latest = batches.iter().map(|batch| batch.max_timestamp).max().unwrap_or(-1);
            prop_assert_eq!(index.max_timestamp().as_millis(), latest);
        }

        /// What `kafka-dump-log` compares: the batch at an entry's position ends with the entry's
        /// offset; a batch ends with a time entry's offset and has its timestamp as its latest.
        #[test]
        fn kafkas_tool_finds_no_mismatch(shapes in shapes()) {
            let batches = batches(100, &shapes);
            let index = index_of(&batches);
            for row in index.encode_offsets(100).as_chunks().0 {
                let entry = offset_entry(100, row).expect("in range");
                let batch = batches.iter().find(|batch| batch.position == entry.position);
                prop_assert_eq!(batch.expect("a batch is there").last_offset, entry.last_offset);
            }
            for row in index.encode_times(100).as_chunks().0 {
                let entry = time_entry(100, row).expect("in range");
                let start = index.position_of(entry.last_offset);
                let from_start = batches.iter().filter(|batch| batch.position >= start);
                let batch = from_start.clone().find(|batch| batch.last_offset >= entry.last_offset);
                let batch = batch.expect("a batch is there");
                prop_assert_eq!(batch.last_offset, entry.last_offset);
                prop_assert_eq!(batch.max_timestamp, entry.timestamp.as_millis());
            }
        }

        /// Stored at any point, read back and grown, an index is as good as one that was never away;
        /// only the time index has the entries of the closings.
        #[test]
        fn a_stored_index_grows_on(shapes in shapes(), at in 0_usize..30) {
            let batches = batches(100, &shapes);
            let (before, after) = batches.split_at(at.min(batches.len()));
            let stored = index_of(before);
            let files = (stored.encode_offsets(100), stored.encode_times(100));
            let whole = index_of(&batches);

            let mut grown = SegmentIndex::decode(100, &files.0, &files.1, end_of(before))
                .expect("it was stored");
            note(&mut grown, after);
            prop_assert_eq!(&grown.offsets, &whole.offsets);
            prop_assert_eq!(grown.latest, whole.latest);

            prop_assert!(whole.times.iter().all(|entry| grown.times.contains(entry)));
            prop_assert_eq!(grown.bytes_since_entry, whole.bytes_since_entry);
        }

        #[test]
        fn arbitrary_bytes_are_an_ordered_index_or_none(
            offsets in prop::collection::vec(any::<u8>(), 0..40),
            times in prop::collection::vec(any::<u8>(), 0..40),
            base in any::<u64>(),
            bytes in any::<u64>(),
        ) {
            if let Some(index) = SegmentIndex::decode(base, &offsets, &times, bytes) {
                prop_assert_eq!(index.encode_offsets(base), offsets);
                prop_assert_eq!(index.encode_times(base), times);
            }
        }
    }
}
