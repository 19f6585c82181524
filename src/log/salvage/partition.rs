//! From batches to records, over all segments of a partition.

use super::report::{SalvageReport, SkipReason};
use super::scan::{Found, Rules, Scan};
use super::source::Source;
use crate::error::{CorruptionReason, DiskError};
use crate::ids::{Offset, TopicPartition};
use crate::log::batch::RecordWalk;
use crate::log::contents::{Contents, SegmentFile, file_crc};
use crate::log::disk::{Disk, OpenMode};
use crate::record::{OwnedHeader, OwnedRecord};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// How many records of a batch are made at a time.
const RECORDS_AHEAD: usize = 256;

/// The records of a partition that can be read, in offset order; made by [`salvage`](super::salvage()).
///
/// Files are read as the records are asked for. While that goes on, [`report`](Self::report) tells of
/// what was read so far.
///
/// ```
/// # fn show(mut partition: anabranch::SalvagedPartition) {
/// for record in &mut partition {
///     println!("{}: {:?}", record.offset, record.value);
/// }
/// println!("{} offsets are missing", partition.report().missing_offsets);
/// # }
/// ```
#[derive(Debug)]
pub struct SalvagedPartition {
    disk: Arc<dyn Disk>,
    contents: Contents,
    segments: std::vec::IntoIter<SegmentFile>,
    scan: Option<OpenSegment>,
    /// Where the last batch that was believed ends.
    reached: Offset,
    /// Whether something was skipped since.
    has_hole: bool,
    batch: Option<Found>,
    /// The offset in it from which on records are still to be made.
    next_offset: Offset,
    ready: VecDeque<OwnedRecord>,
    report: SalvageReport,
}

/// A segment that is being read.
#[derive(Debug)]
struct OpenSegment {
    scan: Scan,
    segment: SegmentFile,
}

impl SalvagedPartition {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        partition: TopicPartition,
        contents: Contents,
    ) -> SalvagedPartition {
        let first = contents.segments.first().map_or(0, |segment| segment.base_offset);
        let reached = if contents.is_start_known { contents.log_start } else { first };
        SalvagedPartition {
            disk,
            segments: contents.segments.clone().into_iter(),
            reached,
            contents,
            scan: None,
            has_hole: false,
            batch: None,
            next_offset: 0,
            ready: VecDeque::new(),
            report: SalvageReport::new(partition),
        }
    }

    /// The records from `offset` on; segments before it are not read.
    pub(crate) fn from(
        disk: Arc<dyn Disk>,
        partition: TopicPartition,
        mut contents: Contents,
        offset: Offset,
    ) -> SalvagedPartition {
        let start = contents.log_start.max(offset);
        contents.segments.retain(|segment| segment.end_offset.is_none_or(|end| end > start));
        if contents.log_start < start {
            (contents.log_start, contents.is_start_known) = (start, true);
        }
        SalvagedPartition::new(disk, partition, contents)
    }

    /// The partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.report.partition
    }

    /// What was read so far: of all of it, when there are no more records.
    pub fn report(&self) -> &SalvageReport {
        &self.report
    }

    /// Finds the next batch that is believed; says whether there was one.
    fn next_batch(&mut self) -> bool {
        loop {
            let Some(open) = &mut self.scan else {
                let Some(segment) = self.segments.next() else {
                    self.finish();
                    return false;
                };
                self.open(segment);
                continue;
            };
            let skipped = self.report.skipped_bytes;
            let found = open.scan.next(&mut self.report);
            self.has_hole |= self.report.skipped_bytes > skipped;
            let Some(found) = found else {
                self.close_segment();
                continue;
            };
            let (base, end) = (found.header.base_offset, found.header.last_offset() + 1);
            let may_have_gaps = open.segment.may_have_gaps;
            self.reach(base, may_have_gaps, end);
            self.report.batches += 1;
            // Markers of the log's own are nobody's records.
            if !found.header.attributes.is_control() {
                self.next_offset = base.max(self.contents.log_start);
                self.batch = Some(found);
                return true;
            }
        }
    }

    /// A segment is read to its end.
    fn close_segment(&mut self) {
        let Some(OpenSegment { segment, .. }) = self.scan.take() else { return };
        let (stored, found) = (self.known_bytes(&segment), segment.file_bytes.unwrap_or(0));
        if found < stored {
            let reason = CorruptionReason::FileBytes { stored, found };
            self.report.skip(&segment.path, found..stored, SkipReason::Corrupt(reason));
            self.has_hole = true;
        }
        if let Some(end) = segment.end_offset {
            self.reach(end, segment.may_have_gaps, end);
        }
    }

    /// Goes on at `offset`; what lies between is missing, unless compaction may have taken it. The next
    /// one is then `next`.
    fn reach(&mut self, offset: Offset, may_have_gaps: bool, next: Offset) {
        if self.has_hole || !may_have_gaps {
            self.report.miss(self.reached..offset.max(self.reached));
        }
        self.has_hole = false;
        self.reached = self.reached.max(next);
    }

    fn open(&mut self, segment: SegmentFile) {
        let known_bytes = self.known_bytes(&segment);
        let file_bytes = segment.file_bytes.unwrap_or(0);
        let reason = match self.disk.open(&segment.path, OpenMode::Read) {
            Ok(file) => {
                let rules = Rules {
                    may_have_gaps: segment.may_have_gaps,
                    known: self.known_place(&segment),
                    is_intact: self.is_intact(&segment),
                };
                let upper = segment.end_offset.unwrap_or(Offset::MAX >> 1);
                let source = Source::new(file, segment.path.clone(), file_bytes);
                self.report.bytes += file_bytes;
                let scan = Scan::new(source, segment.base_offset, upper, rules);
                self.scan = Some(OpenSegment { scan, segment });
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                SkipReason::Corrupt(CorruptionReason::Missing)
            }
            Err(error) => SkipReason::Disk(DiskError::new("open", &segment.path, &error)),
        };
        self.report.skip(&segment.path, 0..known_bytes.max(file_bytes), reason);
        self.has_hole = true;
        if let Some(end) = segment.end_offset {
            self.reach(end, segment.may_have_gaps, end);
        }
    }

    /// A place in a segment's file where the offset is known.
    fn known_place(&self, segment: &SegmentFile) -> Option<(u64, Offset)> {
        match (segment.end_offset, self.contents.mark) {
            (Some(end), _) => Some((self.known_bytes(segment).max(segment.file_bytes?), end)),
            (None, Some(mark)) if mark.segment == segment.base_offset => {
                Some((mark.position, mark.end_offset))
            }
            _ => None,
        }
    }

    /// How many bytes a segment is known to have had.
    fn known_bytes(&self, segment: &SegmentFile) -> u64 {
        match (&segment.facts, self.contents.mark) {
            (Some(facts), _) => facts.bytes,
            (None, Some(mark)) if mark.segment == segment.base_offset => mark.position,
            _ => 0,
        }
    }

    /// Whether a compacted segment's bytes are those that were sealed, which says that its offsets are
    /// right. Others need not be read twice.
    fn is_intact(&self, segment: &SegmentFile) -> bool {
        segment.may_have_gaps
            && segment.facts.as_ref().is_some_and(|facts| {
                segment.file_bytes == Some(facts.bytes)
                    && file_crc(&*self.disk, &segment.path, facts.bytes) == Ok(Some(facts.crc))
            })
    }

    /// What is known to have been there and was not found is missing.
    fn finish(&mut self) {
        let known_end = self.contents.known_end();
        let last = self.contents.segments.last();
        let may_have_gaps = last.is_some_and(|last| last.may_have_gaps);
        self.reach(known_end, may_have_gaps, known_end);
    }

    fn make_ready(&mut self) {
        let Some(found) = &self.batch else { return };
        let mut walk = RecordWalk::new(&found.bytes);
        walk.skip_to(self.next_offset);
        for record in walk.take(RECORDS_AHEAD) {
            self.next_offset = record.offset + 1;
            let owned = |bytes: &[u8]| found.bytes.slice_ref(bytes);
            self.ready.push_back(OwnedRecord {
                topic: self.report.partition.topic.clone(),
                partition: self.report.partition.partition,
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.map(owned),
                value: record.value.map(owned),
                headers: record
                    .headers
                    .iter()
                    .map(|header| owned_header(&found.bytes, header))
                    .collect(),
            });
            self.report.unconfirmed += u64::from(!found.is_confirmed);
        }
        if self.ready.is_empty() {
            self.batch = None;
        }
    }
}

fn owned_header(batch: &Bytes, header: crate::record::Header<'_>) -> OwnedHeader {
    let value = header.value.map(|value| batch.slice_ref(value));
    OwnedHeader { name: header.name.to_owned(), value }
}

impl Iterator for SalvagedPartition {
    type Item = OwnedRecord;

    fn next(&mut self) -> Option<OwnedRecord> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                self.report.records += 1;
                return Some(record);
            }
            if self.batch.is_some() {
                self.make_ready();
            } else if !self.next_batch() {
                return None;
            }
        }
    }
}
