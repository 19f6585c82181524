//! Reading batches back from a file, into a chunk like those they were appended to.
//!
//! ```text
//!   file   │ batch │ batch │ batch that holds the offset │ batch │ batch │ …
//!          ▲ place, from the index                                       ▲ until, or the end
//!                  └──────────── read at once, checked, published ──────┘
//! ```
//!
//! The index leads to a batch at or before the one that is wanted; where each batch has an entry, to the one
//! before. That one is stepped over. Who reads on needs no index, but in a compacted segment: where one read ended
//! the next begins.
//!
//! Invariants:
//! 1. A chunk is published when each of its batches had the right CRC, was well-formed and stood where it
//!    belongs. The CRC does not cover the base offset: it follows from the index, or the batch before.
//! 2. The bytes set aside are those of the batch that is wanted or of one stretch.

use super::batch;
use super::chunk::{CHUNK_BYTES_MAX, Chunk, ChunkWriter};
use super::disk::DiskFile;
use super::disk_io::read_full_at;
use super::onward::{ReadPools, Start};
use super::segments::ReadFault;
use crate::error::{BatchError, Corruption, CorruptionReason, DiskError};
use crate::ids::{Offset, Timestamp};
use crate::sync::Arc;
use crate::sync::planted::{Bug, planted};
use batch::{BatchHeader, Checks, HEADER_BYTES};
use std::path::Path;

/// A batch's place, from which to step on to the one that is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: u64,
    /// The last offset of the batch there; `None` for the first of a segment, which starts with the
    /// segment's own.
    pub(crate) last_offset: Option<Offset>,
}

/// What was read, and where the next read begins.
#[derive(Debug)]
pub(crate) struct ReadBack {
    pub(crate) chunk: Arc<Chunk>,
    pub(crate) next: Start,
}

/// What to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The offset to be found.
    pub(crate) offset: Offset,
    /// Batches from here on are not read: they are in memory, or not to be seen.
    pub(crate) until: Offset,
    /// How much to read at once.
    pub(crate) bytes: usize,
    /// Where the last read has ended.
    pub(crate) start: Option<Start>,
}

/// The readable part of one file.
pub(crate) struct Stretch<'a> {
    pub(crate) file: &'a dyn DiskFile,
    pub(crate) path: &'a Path,
    pub(crate) base_offset: Offset,
    pub(crate) bytes: u64,
    pub(crate) is_compacted: bool,
}

/// What the next batch must be.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// It starts with this offset; in a compacted segment, with this or a later one.
    Base(Offset),
    /// It ends with this offset.
    Last(Offset),
}

/// A batch that was checked.
#[derive(Clone, Copy, Debug)]
struct Checked {
    bytes: usize,
    end_offset: Offset,
    max_timestamp: Timestamp,
}

impl Stretch<'_> {
    /// Reads from the batch that holds the wanted offset on; `None` if it is not there. The index is asked for
    /// its `place` only where it is not known where that batch begins.
    pub(crate) fn read(
        &self,
        wanted: Wanted,
        place: impl FnOnce() -> Result<Place, ReadFault>,
        pools: &ReadPools,
    ) -> Result<Option<ReadBack>, ReadFault> {
        if let Some(position) = self.known_start(wanted) {
            match self.read_from(position, Expected::Base(wanted.offset), wanted, pools) {
                // The index leads to what is wrong, or to another place.
                Ok(None) | Err(ReadFault::Corrupt(_)) => {}
                found => return found,
            }
        }
        let place = place()?;
        if let Some((position, expected)) = self.step_over(place, wanted)? {
            match self.read_from(position, expected, wanted, pools) {
                // What was stepped over may be what is wrong.
                Ok(None) | Err(ReadFault::Corrupt(_)) => {}
                found => return found,
            }
        }
        let expected = match place.last_offset {
            Some(last) => Expected::Last(last),
            None => Expected::Base(self.base_offset),
        };
        self.read_from(place.position, expected, wanted, pools)
    }

    /// Where the wanted offset begins a batch, if that is known without the index. In a compacted segment, which
    /// may have come since, a later batch could stand there.
    fn known_start(&self, wanted: Wanted) -> Option<u64> {
        let is_it =
            |start: &Start| start.segment == self.base_offset && start.offset == wanted.offset;
        let start = wanted.start.filter(is_it).map(|start| start.position);
        let start = if wanted.offset == self.base_offset { Some(0) } else { start };
        start.filter(|position| !self.is_compacted && *position < self.bytes)
    }

    /// The place behind the batch that the index leads to, if that ends before the wanted offset, as it
    /// does where each batch has an entry. Its header says so, and is not checked: the batch behind it is, and
    /// must be the next one. In a compacted segment it could be a later one, so nothing is stepped over.
    fn step_over(
        &self,
        place: Place,
        wanted: Wanted,
    ) -> Result<Option<(u64, Expected)>, ReadFault> {
        let Some(last) = place.last_offset.filter(|last| *last < wanted.offset) else {
            return Ok(None);
        };
        if self.is_compacted {
            return Ok(None);
        }
        let mut fixed = [0; HEADER_BYTES];
        let count = read_full_at(self.file, &mut fixed, place.position)
            .map_err(DiskError::at("read", self.path))?;
        let header = BatchHeader::read_of(&fixed[..count], usize::MAX).ok();
        let header = header.filter(|header| header.last_offset() == last);
        let behind = header.map(|header| place.position + header.batch_bytes as u64);
        let behind = behind.filter(|behind| *behind < self.bytes);
        Ok(behind.map(|behind| (behind, Expected::Base(last + 1))))
    }

    fn read_from(
        &self,
        mut position: u64,
        mut expected: Expected,
        wanted: Wanted,
        pools: &ReadPools,
    ) -> Result<Option<ReadBack>, ReadFault> {
        loop {
            let Some(chunk) = self.read_at(position, expected, wanted, pools)? else {
                return Ok(None);
            };
            position += u64::from(chunk.published().bytes);
            let offset = chunk.end_offset();
            if offset > wanted.offset {
                let next = Start { offset, segment: self.base_offset, position };
                return Ok(Some(ReadBack { chunk, next }));
            }
            expected = Expected::Base(offset);
        }
    }

    fn read_at(
        &self,
        position: u64,
        expected: Expected,
        wanted: Wanted,
        pools: &ReadPools,
    ) -> Result<Option<Arc<Chunk>>, ReadFault> {
        let Some(first) = self.header_at(position, expected, wanted)? else { return Ok(None) };
        let left = usize::try_from(self.bytes - position).unwrap_or(usize::MAX);
        let left = left.min(CHUNK_BYTES_MAX); // A foreign batch may claim a little more.
        if first.batch_bytes > left {
            let (field, needed) = ("batch", first.batch_bytes);
            let cut = BatchError::Truncated { field, at: 0, needed, available: left };
            return Err(self.corrupt(position, expected, wanted, CorruptionReason::Batch(cut)));
        }
        let room = wanted.bytes.max(first.batch_bytes).min(left);
        let pool = pools.of(wanted.bytes);
        let mut writer = ChunkWriter::new(first.base_offset, room.max(pool.chunk_bytes()), pool);
        let buffer = &mut writer.spare()[..room];
        let count =
            read_full_at(self.file, buffer, position).map_err(DiskError::at("read", self.path))?;
        let checked = self.check(&buffer[..count], position, expected, wanted)?;
        for batch in &checked {
            let start = writer.written();
            let end = start.bytes as usize + batch.bytes;
            let so_far = first.base_offset + Offset::from(start.records);
            let span = u32::try_from(batch.end_offset - so_far);
            let (Ok(end), Ok(span)) = (u32::try_from(end), span) else { break };
            writer.note(start.bytes, end, span, batch.max_timestamp);
        }
        let chunk = Arc::clone(writer.chunk());
        writer.seal();
        Ok((!checked.is_empty()).then_some(chunk))
    }

    /// The header of the batch at `position`; `None` if compaction has left nothing up to the end, or
    /// up to what is not to be read. Elsewhere there is a batch for each offset, or there is damage.
    fn header_at(
        &self,
        position: u64,
        expected: Expected,
        wanted: Wanted,
    ) -> Result<Option<BatchHeader>, ReadFault> {
        if position >= self.bytes {
            let (field, needed) = ("batch", HEADER_BYTES);
            let cut = BatchError::Truncated { field, at: 0, needed, available: 0 };
            let corrupt = || self.corrupt(position, expected, wanted, CorruptionReason::Batch(cut));
            return if self.is_compacted { Ok(None) } else { Err(corrupt()) };
        }
        let mut fixed = [0; HEADER_BYTES];
        let count = read_full_at(self.file, &mut fixed, position)
            .map_err(DiskError::at("read", self.path))?;
        let header = BatchHeader::read_of(&fixed[..count], usize::MAX).map_err(|error| {
            self.corrupt(position, expected, wanted, CorruptionReason::Batch(error))
        })?;
        if !self.is_compacted && !self.is_expected(&header, expected) {
            let reason = CorruptionReason::Offset { found: header.base_offset };
            return Err(self.corrupt(position, expected, wanted, reason));
        }
        Ok((header.base_offset < wanted.until).then_some(header))
    }

    /// Checks whole batches, up to one that is cut off by the end of what was read, or that is damaged: who reads
    /// on is told of that one, and has what is before it.
    fn check(
        &self,
        bytes: &[u8],
        position: u64,
        mut expected: Expected,
        wanted: Wanted,
    ) -> Result<Vec<Checked>, ReadFault> {
        let checks = Checks { crc: !planted(Bug::SkipReadCrc), contiguous: !self.is_compacted };
        let mut checked = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let header = match self.check_one(&bytes[at..], expected, checks) {
                Ok(header) => header,
                Err(_) if at > 0 => break, // The next stretch starts with it.
                Err(reason) => return Err(self.corrupt(position, expected, wanted, reason)),
            };
            if header.base_offset >= wanted.until && at > 0 {
                break;
            }
            let end_offset = header.last_offset() + 1;
            let (bytes, max_timestamp) = (header.batch_bytes, header.max_timestamp);
            checked.push(Checked { bytes, end_offset, max_timestamp });
            expected = Expected::Base(end_offset);
            at += header.batch_bytes;
        }
        Ok(checked)
    }

    /// Checks the batch that `bytes` start with.
    fn check_one(
        &self,
        bytes: &[u8],
        expected: Expected,
        checks: Checks,
    ) -> Result<BatchHeader, CorruptionReason> {
        let header = BatchHeader::read_of(bytes, bytes.len()).map_err(CorruptionReason::Batch)?;
        if !self.is_expected(&header, expected) {
            return Err(CorruptionReason::Offset { found: header.base_offset });
        }
        let batch = &bytes[..header.batch_bytes];
        batch::validate(batch, checks).map(|_| header).map_err(CorruptionReason::Batch)
    }

    fn is_expected(&self, header: &BatchHeader, expected: Expected) -> bool {
        match expected {
            Expected::Base(base) if self.is_compacted => header.base_offset >= base,
            Expected::Base(base) => header.base_offset == base,
            Expected::Last(last) => header.last_offset() == last || planted(Bug::TrustIndex),
        }
    }

    fn corrupt(
        &self,
        position: u64,
        expected: Expected,
        wanted: Wanted,
        reason: CorruptionReason,
    ) -> ReadFault {
        let file = self.path.to_owned();
        let offset = match expected {
            Expected::Base(base) => base,
            // Where the index leads to, the batch tells which offset it starts with; if it can.
            Expected::Last(last) => last.min(wanted.offset),
        };
        ReadFault::Corrupt(Corruption { file, position, offset, reason })
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::super::disk::{Disk, OpenMode};
    use super::super::memory_disk::MemoryDisk;
    use super::super::onward::READ_BYTES_MIN;
    use super::*;
    use crate::log::batch::{Stamps, encode_batch, seal};
    use crate::record::Record;

    const RECORDS: Offset = 10;

    /// Three batches of ten records, and how long each is.
    fn batches() -> (Vec<u8>, usize) {
        let (mut all, mut bytes_each) = (Vec::new(), 0);
        for batch in 0..3 {
            let mut bytes = vec![0; 10_000];
            let stamps = Stamps::create_time(Timestamp::from_millis(1_700_000_000_000));
            let records = vec![Record::new(&[7; 500]); usize::try_from(RECORDS).expect("a few")];
            bytes_each = encode_batch(&mut bytes, batch * RECORDS, stamps, &records).bytes;
            bytes.truncate(bytes_each);
            seal(&mut bytes);
            all.extend(bytes);
        }
        (all, bytes_each)
    }

    /// Reads the last batch, to which the index leads by way of the one before.
    fn read_last(bytes: &[u8], bytes_each: usize) -> Result<Option<ReadBack>, ReadFault> {
        let (disk, path) = (MemoryDisk::new(), Path::new("f"));
        disk.put(path, bytes);
        let file = disk.open(path, OpenMode::Read).expect("it is there");
        let bytes = bytes.len() as u64;
        let stretch = Stretch { file: &*file, path, base_offset: 0, bytes, is_compacted: false };
        let place = Place { position: bytes_each as u64, last_offset: Some(2 * RECORDS - 1) };
        stretch.read(wanted(2 * RECORDS + 3, None), || Ok(place), &ReadPools::new())
    }

    fn wanted(offset: Offset, start: Option<Start>) -> Wanted {
        Wanted { offset, until: 3 * RECORDS, bytes: READ_BYTES_MIN, start }
    }

    #[test]
    fn the_batch_before_the_wanted_one_is_stepped_over() {
        let (mut bytes, bytes_each) = batches();
        for is_damaged in [false, true] {
            if is_damaged {
                bytes[bytes_each + 100] ^= 1; // Who reads that one learns it.
            }
            let found = read_last(&bytes, bytes_each).expect("it is whole").expect("it is there");
            let chunk = found.chunk;
            let found = (chunk.base_offset(), chunk.end_offset());
            assert_eq!(found, (2 * RECORDS, 3 * RECORDS));
        }
    }

    /// Its length, or which offset it ends with: what led astray is what the error names.
    #[test]
    fn a_header_that_leads_astray_is_named() {
        let (whole, bytes_each) = batches();
        for at in [10, 11, 23, 26] {
            let mut bytes = whole.clone();
            bytes[bytes_each + at] ^= 4;
            match read_last(&bytes, bytes_each) {
                Err(ReadFault::Corrupt(corruption)) => {
                    assert_eq!(corruption.position, bytes_each as u64, "{at}: {corruption}");
                }
                other => panic!("byte {at} of its header is changed: {other:?}"),
            }
        }
    }

    /// Where compaction leaves gaps a wrong length may lead to a good batch that is not the next one.
    #[test]
    fn in_a_compacted_segment_nothing_is_stepped_over() {
        let (mut bytes, bytes_each) = batches();
        let wrong = i32::try_from(2 * bytes_each - 12).expect("two short batches");
        bytes[8..12].copy_from_slice(&wrong.to_be_bytes());
        let (disk, path) = (MemoryDisk::new(), Path::new("f"));
        disk.put(path, &bytes);
        let file = disk.open(path, OpenMode::Read).expect("it is there");
        let bytes = bytes.len() as u64;
        let stretch = Stretch { file: &*file, path, base_offset: 0, bytes, is_compacted: true };
        let place = Place { position: 0, last_offset: Some(RECORDS - 1) };
        match stretch.read(wanted(RECORDS + 3, None), || Ok(place), &ReadPools::new()) {
            Err(ReadFault::Corrupt(found)) => assert_eq!(found.position, 0),
            other => panic!("ten records are skipped: {other:?}"),
        }
    }

    /// Reads the second batch, which is known to begin at `position`; says whether the index was asked.
    fn read_second(position: u64, is_compacted: bool) -> (ReadBack, bool) {
        let (whole, bytes_each) = batches();
        let (disk, path) = (MemoryDisk::new(), Path::new("f"));
        disk.put(path, &whole);
        let file = disk.open(path, OpenMode::Read).expect("it is there");
        let bytes = whole.len() as u64;
        let stretch = Stretch { file: &*file, path, base_offset: 0, bytes, is_compacted };
        let start = Start { offset: RECORDS, segment: 0, position };
        let mut is_asked = false;
        let ask = || {
            is_asked = true;
            Ok(Place { position: bytes_each as u64, last_offset: Some(2 * RECORDS - 1) })
        };
        let found = stretch.read(wanted(RECORDS, Some(start)), ask, &ReadPools::new());
        (found.expect("it is whole").expect("it is there"), is_asked)
    }

    /// Where that begins something else, since compaction has put another file there, the index is asked. So
    /// it is where something else might begin there.
    #[test]
    fn who_reads_on_asks_no_index() {
        let bytes_each = batches().1 as u64;
        let known = [(bytes_each, false), (bytes_each, true), (2 * bytes_each, false), (7, false)];
        let asked = known.map(|(position, is_compacted)| {
            let (found, is_asked) = read_second(position, is_compacted);
            assert_eq!((found.chunk.base_offset(), found.chunk.end_offset()), (10, 30));
            let next = Start { offset: 3 * RECORDS, segment: 0, position: 3 * bytes_each };
            assert_eq!(found.next, next);
            is_asked
        });
        assert_eq!(asked, [false, true, true, true]);
    }

    /// A damaged batch costs who reads nothing of what is before it, and is told where it is.
    #[test]
    fn what_is_before_damage_is_read() {
        let (mut bytes, bytes_each) = batches();
        bytes[2 * bytes_each + 100] ^= 1;
        let (disk, path) = (MemoryDisk::new(), Path::new("f"));
        disk.put(path, &bytes);
        let file = disk.open(path, OpenMode::Read).expect("it is there");
        let bytes = bytes.len() as u64;
        let stretch = Stretch { file: &*file, path, base_offset: 0, bytes, is_compacted: false };
        let read = |offset, start| {
            stretch.read(wanted(offset, start), || Ok(Place::default()), &ReadPools::new())
        };
        let found = read(0, None).expect("two are whole").expect("they are there");
        assert_eq!((found.chunk.base_offset(), found.chunk.end_offset()), (0, 2 * RECORDS));
        match read(2 * RECORDS, Some(found.next)) {
            Err(ReadFault::Corrupt(found)) => assert_eq!(found.position, 2 * bytes_each as u64),
            other => panic!("a bit is flipped: {other:?}"),
        }
    }

    /// The wanted batch itself is damaged: the error names that, and not the one before.
    #[test]
    fn damage_behind_what_was_stepped_over_is_named() {
        let (mut bytes, bytes_each) = batches();
        bytes[2 * bytes_each + 100] ^= 1;
        match read_last(&bytes, bytes_each) {
            Err(ReadFault::Corrupt(found)) => assert_eq!(found.position, 2 * bytes_each as u64),
            other => panic!("a bit is flipped: {other:?}"),
        }
    }
}
