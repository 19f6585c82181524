//! A batch to records: views into its bytes, no copy, nothing allocated.
//!
//! The walk is for bytes that this process encoded or [validated](super::validate()). It still looks where
//! it steps: a length that leads out of the batch is a broken promise of ours and panics with the
//! invariant's name; it never yields bytes from outside.
//!
//! Headers are few and seldom asked for, so a record carries them unparsed.

use super::header::{self, HEADER_BYTES};
use super::short::{Start, payload};
use super::varint::{self, unpack};
use crate::ids::{Offset, Timestamp};
use crate::record::{Header, TimestampType};

/// One record of a batch, as a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordRef<'a> {
    /// Its place in the partition.
    pub offset: Offset,
    /// When it happened, or when it was appended.
    pub timestamp: Timestamp,
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
    /// The headers, unparsed.
    pub headers: RawHeaders<'a>,
}

/// The records of one batch, in offset order.
#[derive(Clone, Debug)]
pub(crate) struct RecordWalk<'a> {
    records: &'a [u8],
    at: usize,
    left: u32,
    base_offset: Offset,
    base_timestamp: Timestamp,
    /// The timestamp of every record, under `LogAppendTime`.
    append_time: Option<Timestamp>,
}

impl<'a> RecordWalk<'a> {
    /// Starts at the first record of the batch that `bytes` starts with.
    ///
    /// # Panics
    ///
    /// If `bytes` does not start with a whole batch, which our own encoding always does.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let fixed: &[u8; HEADER_BYTES] =
            bytes.first_chunk().expect("a batch was encoded or validated before it is walked");
        RecordWalk {
            records: &bytes[HEADER_BYTES..header::batch_bytes(fixed)],
            at: 0,
            left: header::count(fixed),
            base_offset: header::base_offset(fixed),
            base_timestamp: header::base_timestamp(fixed),
            append_time: match header::attributes(fixed).timestamp_type() {
                TimestampType::CreateTime => None,
                TimestampType::LogAppendTime => Some(header::max_timestamp(fixed)),
            },
        }
    }

    /// Skips the records below `offset`; their keys and values are not looked at.
    pub(crate) fn skip_to(&mut self, offset: Offset) {
        while self.left > 0 {
            let (found, end) = self.peek().unwrap_or_else(|| broken(self.at));
            if found >= offset {
                return;
            }
            self.at = end;
            self.left -= 1;
        }
    }

    /// The next record, and all of its bytes, from its length on.
    pub(super) fn next_with_bytes(&mut self) -> Option<(RecordRef<'a>, &'a [u8])> {
        let start = self.at;
        let record = self.next()?;
        Some((record, &self.records[start..self.at]))
    }

    /// The offset of the next record, and where it ends.
    #[inline]
    fn peek(&self) -> Option<(Offset, usize)> {
        let mut at = self.at;
        let body = usize::try_from(varint::read_32(self.records, &mut at).ok()? >> 1).ok()?;
        let end = at.checked_add(body).filter(|end| *end <= self.records.len())?;
        at += 1;
        varint::read_64(self.records, &mut at).ok()?;
        let offset_delta = varint::read_32(self.records, &mut at).ok()? >> 1;
        Some((self.base_offset.wrapping_add(offset_delta), end))
    }

    #[inline(always)]
    fn step(&mut self) -> Option<RecordRef<'a>> {
        #[cfg(any(test, fuzzing))]
        let exact = self.clone().step_long();
        let found = match self.step_short() {
            None => self.step_long(),
            found => found,
        };
        #[cfg(any(test, fuzzing))]
        assert_eq!(found, exact, "a record is the same however it is read");
        found
    }

    /// A record with a value and no number of more than two bytes, as almost all are; `None` if it is
    /// another one.
    #[inline(always)]
    fn step_short(&mut self) -> Option<RecordRef<'a>> {
        let record = self.records.get(self.at..)?;
        let start = Start::of(record)?;
        let length = unpack(start.word(0))?;
        // Behind them, the attributes, which say nothing.
        let deltas = start.word(0) >> (8 * length.len + 8);
        let timestamp_delta = unpack(deltas)?;
        let offset_delta = unpack(deltas >> (8 * timestamp_delta.len))?;
        let key_at = length.len + 1 + timestamp_delta.len + offset_delta.len;
        let payload = payload(record, start, key_at)?;
        if payload.value & 1 == 1 {
            return None;
        }
        let end = length.len + (length.raw >> 1) as usize;
        let value_end = payload.value_start + (payload.value >> 1) as usize;
        let value = record.get(payload.value_start..value_end)?;
        let headers = record.get(value_end..end)?;
        self.at += end;
        let (offset, timestamp) =
            self.place(offset_delta.raw >> 1, varint::unzigzag(timestamp_delta.raw));
        Some(RecordRef {
            offset,
            timestamp,
            key: payload.key,
            value: Some(value),
            headers: RawHeaders { bytes: headers },
        })
    }

    #[inline(always)]
    fn place(&self, offset_delta: u64, timestamp_delta: i64) -> (Offset, Timestamp) {
        let timestamp = match self.append_time {
            Some(timestamp) => timestamp,
            None => Timestamp::from_millis(
                self.base_timestamp.as_millis().wrapping_add(timestamp_delta),
            ),
        };
        (self.base_offset.wrapping_add(offset_delta), timestamp)
    }

    #[cold]
    #[inline(never)]
    fn step_long(&mut self) -> Option<RecordRef<'a>> {
        let mut at = self.at;
        let body = usize::try_from(varint::read_32(self.records, &mut at).ok()? >> 1).ok()?;
        let end = at.checked_add(body)?;
        let bytes = self.records.get(..end)?;
        at += 1; // The attributes, which say nothing.
        let timestamp_delta = varint::unzigzag(varint::read_64(bytes, &mut at).ok()?);
        let offset_delta = varint::read_32(bytes, &mut at).ok()? >> 1;
        let key = read_bytes(bytes, &mut at)?;
        let value = read_bytes(bytes, &mut at)?;
        let headers = RawHeaders { bytes: bytes.get(at..)? };
        self.at = end;
        let (offset, timestamp) = self.place(offset_delta, timestamp_delta);
        Some(RecordRef { offset, timestamp, key, value, headers })
    }
}

impl<'a> Iterator for RecordWalk<'a> {
    type Item = RecordRef<'a>;

    // Always inline: returned through memory, a record costs twice as much as walking it.
    #[inline(always)]
    fn next(&mut self) -> Option<RecordRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        match self.step() {
            Some(record) => Some(record),
            None => broken(self.at),
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for RecordWalk<'_> {}

#[cold]
#[inline(never)]
fn broken(at: usize) -> ! {
    panic!(
        "invariant: a batch was encoded or validated before it is walked, but its record at byte \
         {} is malformed",
        HEADER_BYTES + at
    )
}

/// Reads a nullable run of bytes; the outer `None` is a length that leads out of `bytes`.
#[inline(always)]
fn read_bytes<'a>(bytes: &'a [u8], at: &mut usize) -> Option<Option<&'a [u8]>> {
    let raw = varint::read_32(bytes, at).ok()?;
    if raw & 1 == 1 {
        return (raw == 1).then_some(None);
    }
    let end = at.checked_add(usize::try_from(raw >> 1).ok()?)?;
    let run = bytes.get(*at..end)?;
    *at = end;
    Some(Some(run))
}

/// The batches that `bytes` consist of, one after the other; they were encoded or validated.
pub(crate) fn whole_batches(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (batch, behind) = rest.split_at(header::batch_bytes(rest));
        rest = behind;
        Some(batch)
    })
}

/// The headers of a record, parsed when asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawHeaders<'a> {
    /// The count, then the headers.
    bytes: &'a [u8],
}

impl<'a> RawHeaders<'a> {
    /// The headers, in the order they were sent.
    ///
    /// # Panics
    ///
    /// While iterating, as [`RecordWalk`] does.
    #[inline]
    pub(crate) fn iter(&self) -> HeaderWalk<'a> {
        let mut at = 0;
        let left = self.count(&mut at);
        HeaderWalk { bytes: self.bytes, at, left }
    }

    #[inline]
    fn count(&self, at: &mut usize) -> usize {
        let raw = varint::read_32(self.bytes, at).expect("the count of a walked record's headers");
        (raw >> 1) as usize
    }
}

/// The headers of one record.
#[derive(Clone, Debug)]
pub(crate) struct HeaderWalk<'a> {
    bytes: &'a [u8],
    at: usize,
    left: usize,
}

impl<'a> HeaderWalk<'a> {
    fn step(&mut self) -> Option<Header<'a>> {
        let name = std::str::from_utf8(read_bytes(self.bytes, &mut self.at)??).ok()?;
        let value = read_bytes(self.bytes, &mut self.at)?;
        Some(Header { name, value })
    }
}

impl<'a> Iterator for HeaderWalk<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        Some(self.step().expect("a batch was encoded or validated before its headers are walked"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for HeaderWalk<'_> {}
