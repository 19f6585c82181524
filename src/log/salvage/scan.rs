//! The next batch of one file that can be believed.
//!
//! ```text
//!   │ batch │ batch │▒▒▒▒ damaged ▒▒▒▒│ batch │ batch │ 0 0 0 …
//!                   ▲ it fails        ▲ a header that looks like one, followed by another that goes on
//!                                       where it ends, and a checksum that holds
//! ```
//!
//! A batch's checksum does not cover its base offset. So a whole batch is judged by its neighbours: without
//! compaction each starts where the one before it ends; with it, not before.
//!
//! 1. One damaged batch costs no other: its bytes are stepped over if the next one goes on where its own
//!    numbers say, and searched through if not.
//! 2. Bytes that only look like a batch, such as a batch that a value holds, do not go on in another one.

use super::source::Source;
use super::{SalvageReport, SkipReason};
use crate::error::{BatchError, CorruptionReason, DiskError};
use crate::ids::Offset;
use crate::log::batch::{BatchHeader, Checks, HEADER_BYTES, validate};
use bytes::Bytes;

/// What every record takes at least: its length, six fields of one byte each.
const RECORD_BYTES_MIN: u64 = 7;

/// Where the version of a batch stands, and which one is read.
const MAGIC_AT: usize = 16;
const MAGIC: u8 = 2;

/// One file, from its start to its end.
#[derive(Debug)]
pub(super) struct Scan {
    source: Source,
    position: u64,
    /// The offset that the batch at `position` must have: that of the segment, or where the batch before it
    /// ends. `None` where that is not known.
    follows: Option<Offset>,
    /// No batch may start before this, which is where the last one that was believed ends.
    lower: Offset,
    /// No batch may end behind this.
    upper: Offset,
    rules: Rules,
    /// Bytes that are being skipped: from where, and why.
    skipping: Option<(u64, SkipReason)>,
    /// Where the file's zeros at the end begin, once asked for.
    content_end: Option<u64>,
}

/// What is known of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Whether offsets may have gaps.
    pub(super) may_have_gaps: bool,
    /// A place between two batches, and the offset there: the end as it was sealed, or the mark.
    pub(super) known: Option<(u64, Offset)>,
    /// Whether all bytes of the file are those that were sealed.
    pub(super) is_intact: bool,
}

/// A batch that can be believed.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) header: BatchHeader,
    pub(super) bytes: Bytes,
    /// Whether its offsets are confirmed by what is around it.
    pub(super) is_confirmed: bool,
}

/// What the neighbours say to a batch's offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Confirmed,
    Possible,
    Wrong,
}

/// The offset behind the last of a batch.
fn end_of(header: &BatchHeader) -> Offset {
    header.last_offset() + 1
}

impl Scan {
    pub(super) fn new(source: Source, base_offset: Offset, upper: Offset, rules: Rules) -> Scan {
        Scan {
            source,
            position: 0,
            follows: Some(base_offset),
            lower: base_offset,
            upper,
            rules,
            skipping: None,
            content_end: None,
        }
    }

    /// The next batch; `None` at the end. What is skipped is noted in `report`.
    pub(super) fn next(&mut self, report: &mut SalvageReport) -> Option<Found> {
        while self.position < self.source.end {
            match self.batch_at(self.position) {
                Ok(Ok((header, bytes))) => {
                    let verdict = self.judge(&header);
                    if verdict != Verdict::Wrong {
                        self.end_skip(report);
                        self.step_over(&header, Some(header.base_offset));
                        self.lower = end_of(&header);
                        let is_confirmed = verdict == Verdict::Confirmed;
                        return Some(Found { header, bytes, is_confirmed });
                    }
                    let found = header.base_offset;
                    self.start_skip(SkipReason::Corrupt(CorruptionReason::Offset { found }));
                    // Whatever it says, the one behind it goes on where this one stands.
                    let offset = self.follows.filter(|_| !self.rules.may_have_gaps);
                    self.step_over(&header, offset);
                }
                Ok(Err(error)) => {
                    if self.is_zero_from_here() {
                        break;
                    }
                    self.start_skip(SkipReason::Corrupt(CorruptionReason::Batch(error)));
                    self.step_over_damage();
                }
                Err(error) => {
                    self.start_skip(SkipReason::Disk(error));
                    let behind = self.source.behind_block(self.position);
                    let found = self.search(behind);
                    self.go_to(found, None);
                }
            }
        }
        self.end_skip(report);
        self.position = self.source.end;
        None
    }

    fn start_skip(&mut self, reason: SkipReason) {
        self.skipping.get_or_insert((self.position, reason));
    }

    fn end_skip(&mut self, report: &mut SalvageReport) {
        if let Some((start, reason)) = self.skipping.take() {
            let end = self.position.min(self.source.end);
            report.skip(&self.source.path, start..end, reason);
        }
    }

    fn go_to(&mut self, position: u64, follows: Option<Offset>) {
        (self.position, self.follows) = (position, follows);
    }

    /// Goes on behind a whole batch that starts at `offset`.
    fn step_over(&mut self, header: &BatchHeader, offset: Option<Offset>) {
        let span = Offset::from(header.last_offset_delta) + 1;
        let follows = offset.and_then(|offset| offset.checked_add(span));
        self.go_to(self.position + header.batch_bytes as u64, follows);
    }

    /// Goes on behind what is no batch: where it says that it ends, if another one goes on there; or
    /// at the next one there is.
    fn step_over_damage(&mut self) {
        if let Ok(Ok(header)) = self.header_at(self.position) {
            let next = self.position + header.batch_bytes as u64;
            let follows = self.header_at(next);
            let goes_on =
                |next: &BatchHeader| self.is_plausible(next) && next.base_offset == end_of(&header);
            if matches!(follows, Ok(Ok(next)) if goes_on(&next)) {
                self.go_to(next, Some(end_of(&header)));
                return;
            }
        }
        let found = self.search(self.position + 1);
        self.go_to(found, None);
    }

    fn judge(&mut self, header: &BatchHeader) -> Verdict {
        let (base, end) = (header.base_offset, end_of(header));
        if base < self.lower || end > self.upper {
            return Verdict::Wrong;
        }
        if self.rules.is_intact || self.follows == Some(base) && !self.rules.may_have_gaps {
            return Verdict::Confirmed;
        }
        let behind = self.position + header.batch_bytes as u64;
        let next = match self.rules.known {
            Some((position, offset)) if position == behind => Some(offset),
            _ => match self.header_at(behind) {
                Ok(Ok(next)) if end_of(&next) <= self.upper => Some(next.base_offset),
                _ => None,
            },
        };
        if self.rules.may_have_gaps {
            // Where it starts exactly where the one before it ends, it is the next one that is wrong.
            return match next {
                _ if self.follows != Some(base) && next.is_some_and(|next| next < end) => {
                    Verdict::Wrong
                }
                Some(next) if self.follows == Some(base) && next == end => Verdict::Confirmed,
                _ => Verdict::Possible,
            };
        }
        match next {
            Some(next) if next == end => Verdict::Confirmed,
            None if self.follows.is_none() => Verdict::Possible,
            _ => Verdict::Wrong,
        }
    }

    /// The first position from `from` on where a batch stands that is whole and goes on in another one.
    fn search(&mut self, from: u64) -> u64 {
        let mut at = from;
        while self.source.left(at) >= HEADER_BYTES {
            let candidate = match self.source.bytes(at, HEADER_BYTES) {
                Ok(bytes) if bytes.get(MAGIC_AT) != Some(&MAGIC) => None,
                Ok(_) => self.header_at(at).ok().and_then(Result::ok),
                Err(_) => {
                    at = self.source.behind_block(at);
                    continue;
                }
            };
            if let Some(header) = candidate
                && self.is_plausible(&header)
                && self.goes_on_behind(at, &header)
                && matches!(self.batch_at(at), Ok(Ok(_)))
            {
                return at;
            }
            at += 1;
        }
        self.source.end
    }

    /// What can be said of a header without its records.
    fn is_plausible(&self, header: &BatchHeader) -> bool {
        let records_bytes = (header.batch_bytes - HEADER_BYTES) as u64;
        header.base_offset >= self.lower
            && end_of(header) <= self.upper
            && u64::from(header.count) * RECORD_BYTES_MIN <= records_bytes
            && header.last_offset_delta >= header.count.saturating_sub(1)
            && header.max_timestamp.as_millis() >= -1
            && header.base_timestamp.as_millis() >= -1
    }

    /// Whether the file ends behind a batch, or goes on with another one that may follow it.
    fn goes_on_behind(&mut self, at: u64, header: &BatchHeader) -> bool {
        let behind = at + header.batch_bytes as u64;
        let may_have_gaps = self.rules.may_have_gaps;
        let may_follow = |offset: Offset| match may_have_gaps {
            true => offset >= end_of(header),
            false => offset == end_of(header),
        };
        if let Some((_, offset)) = self.rules.known.filter(|(position, _)| *position == behind) {
            return may_follow(offset);
        }
        if behind >= self.source.end {
            return true;
        }
        match self.header_at(behind) {
            Ok(Ok(next)) => may_follow(next.base_offset) && self.is_plausible(&next),
            _ => self.is_zero_from(behind),
        }
    }

    fn is_zero_from_here(&mut self) -> bool {
        self.skipping.is_none() && self.is_zero_from(self.position)
    }

    /// Whether nothing but zeros follows, as where a file was made larger than it is.
    fn is_zero_from(&mut self, position: u64) -> bool {
        let starts_with_zero = matches!(self.source.bytes(position, 1), Ok([0]));
        if !starts_with_zero {
            return false;
        }
        let content_end = match self.content_end {
            Some(known) => known,
            None => *self.content_end.insert(self.source.content_end(position)),
        };
        content_end <= position
    }

    fn header_at(&mut self, position: u64) -> Result<Result<BatchHeader, BatchError>, DiskError> {
        let available = self.source.left(position);
        let header = self.source.bytes(position, HEADER_BYTES)?;
        // A file that got shorter since its length was asked for is one that is cut off.
        let available = if header.len() < HEADER_BYTES { header.len() } else { available };
        Ok(BatchHeader::read_of(header, available))
    }

    fn batch_at(
        &mut self,
        position: u64,
    ) -> Result<Result<(BatchHeader, Bytes), BatchError>, DiskError> {
        let header = match self.header_at(position)? {
            Ok(header) => header,
            Err(error) => return Ok(Err(error)),
        };
        let bytes = self.source.bytes(position, header.batch_bytes)?;
        let valid = validate(bytes, Checks::COMPACTED);
        Ok(valid.map(|header| (header, Bytes::copy_from_slice(bytes))))
    }
}
