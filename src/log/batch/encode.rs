//! Records to a batch, in one pass and in place.
//!
//! Almost every record is short: no number in it takes more than three bytes. Those numbers are put
//! together in a register and stored eight bytes at a time, so that a record costs a few stores
//! and the copy of its key and value:
//!
//! ```text
//!  one store: length ≤3 │ attributes 1 │ Δtimestamp ≤2 │ Δoffset ≤2     then: key length ≤3, key,
//!                                                                       value length ≤3, value, headers
//! ```
//!
//! 1. A record's offset delta is its index: offsets in a fresh batch rise by one.
//! 2. The base timestamp is that of the first record; later ones may be earlier, and their deltas
//!    negative, as Kafka's producer does it.

use super::header::{Attributes, BatchHeader, HEADER_BYTES};
use super::varint::{self, Packed};
use crate::ids::{Offset, Timestamp};
use crate::record::{Header, Record, TimestampType};

/// The most a record's numbers take: length, attributes, two deltas, three counts.
const RECORD_OVERHEAD_MAX: usize = 1 + varint::BYTES_MAX_64 + 5 * varint::BYTES_MAX_32;

/// The most a header's two lengths take.
const HEADER_OVERHEAD_MAX: usize = 2 * varint::BYTES_MAX_32;

/// An upper bound of what a record takes in a batch: its bytes, and the most its numbers can take.
#[inline]
pub(crate) fn record_bytes_max(record: &Record<'_>) -> usize {
    let payload =
        record.key.map_or(0, <[u8]>::len).saturating_add(record.value.map_or(0, <[u8]>::len));
    let bytes = payload.saturating_add(RECORD_OVERHEAD_MAX);
    record.headers.iter().fold(bytes, |bytes, header| {
        let payload = header.name.len().saturating_add(header.value.map_or(0, <[u8]>::len));
        bytes.saturating_add(payload).saturating_add(HEADER_OVERHEAD_MAX)
    })
}

/// How the records of a batch are stamped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamps {
    /// The timestamp of records without one, or under `LogAppendTime` of all of them.
    pub now: Timestamp,
    /// Whether a record's own timestamp counts.
    pub timestamp_type: TimestampType,
}

impl Stamps {
    #[inline]
    fn of(self, record: &Record<'_>) -> Timestamp {
        match self.timestamp_type {
            TimestampType::CreateTime => record.timestamp.unwrap_or(self.now),
            TimestampType::LogAppendTime => self.now,
        }
    }
}

/// What a batch became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// Its whole length.
    pub bytes: usize,
    /// How many records it has.
    pub count: u32,
    /// The timestamp of its first record.
    pub base_timestamp: Timestamp,
    /// The latest timestamp in it.
    pub max_timestamp: Timestamp,
}

impl Encoded {
    #[inline]
    fn header(&self, base_offset: Offset, timestamp_type: TimestampType) -> BatchHeader {
        BatchHeader {
            base_offset,
            batch_bytes: self.bytes,
            leader_epoch: 0,
            crc: 0,
            attributes: Attributes::new(timestamp_type),
            last_offset_delta: self.count.wrapping_sub(1),
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            count: self.count,
        }
    }
}

/// Encodes one whole batch to the start of `to` and returns what it became.
///
/// `to` has room for [`HEADER_BYTES`] and [`record_bytes_max`] of each record, which is what the
/// fast path wants; a batch that just fits is encoded all the same. The caller has checked that
/// the batch is at most `i32::MAX` bytes long and that no timestamp is negative.
///
/// # Panics
///
/// If there are not exactly `count` records, there is none, or `to` is too small.
#[inline]
pub(crate) fn encode_batch<'r, 'a: 'r>(
    to: &mut [u8],
    base_offset: Offset,
    stamps: Stamps,
    records: impl IntoIterator<Item = &'r Record<'a>>,
    count: u32,
) -> Encoded {
    let mut records = records.into_iter();
    let first = records.next().expect("a batch holds at least one record");
    let base_timestamp = stamps.of(first);
    let mut max_timestamp = base_timestamp;
    let mut at = HEADER_BYTES + put_record(&mut to[HEADER_BYTES..], first, 0, 0);
    let mut index = 1;
    for record in records {
        let timestamp = stamps.of(record);
        max_timestamp = max_timestamp.max(timestamp);
        let delta = timestamp_delta(timestamp, base_timestamp);
        at += put_record(&mut to[at..], record, index, delta);
        index += 1;
    }
    assert!(index == count, "the caller has counted the records");
    let encoded = Encoded { bytes: at, count, base_timestamp, max_timestamp };
    put_header(to, &encoded, base_offset, stamps.timestamp_type);
    encoded
}

#[inline]
fn put_header(to: &mut [u8], encoded: &Encoded, base_offset: Offset, of: TimestampType) {
    let header = to.first_chunk_mut().expect("records were written behind the header");
    *header = encoded.header(base_offset, of).to_bytes();
}

#[inline]
fn timestamp_delta(timestamp: Timestamp, base: Timestamp) -> i64 {
    timestamp.as_millis().wrapping_sub(base.as_millis())
}

/// The raw form of -1, the length of what is null.
const NULL: u64 = varint::zigzag(-1);

/// What the fast path of [`put_record`] scribbles at most behind key and value.
const SLACK: usize = 32;

/// Encodes a record to the start of `to` and returns what it takes.
#[inline]
fn put_record(to: &mut [u8], record: &Record<'_>, index: u32, timestamp_delta: i64) -> usize {
    let timestamp_delta = varint::zigzag(timestamp_delta);
    let offset_delta = u64::from(index) << 1;
    let payload = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
    let is_short = (timestamp_delta | offset_delta) < varint::TWO_BYTES_END
        && payload < SHORT_PAYLOAD_END
        && record.headers.is_empty()
        && to.len() >= payload + SLACK;
    if is_short {
        put_short(to, record, offset_delta, timestamp_delta)
    } else {
        put_long(to, record, offset_delta, timestamp_delta)
    }
}

/// Below this, a record without headers has no number of more than two bytes.
const SHORT_PAYLOAD_END: usize = (varint::TWO_BYTES_END / 2) as usize - 16;

#[inline(always)]
fn put_short(to: &mut [u8], record: &Record<'_>, offset_delta: u64, timestamp_delta: u64) -> usize {
    let timestamp_delta = Packed::new(timestamp_delta);
    let offset_delta = Packed::new(offset_delta);
    let value = record.value.unwrap_or_default();
    let value_len = Packed::new(record.value.map_or(NULL, |value| varint::zigzag_len(value.len())));
    let deltas = timestamp_delta.bits | offset_delta.bits << (8 * timestamp_delta.len);
    let deltas_len = timestamp_delta.len + offset_delta.len;
    let fixed = 1 + deltas_len + value_len.len + 1;
    let mut at;
    let length;
    if let Some(key) = record.key {
        let key_len = Packed::new(varint::zigzag_len(key.len()));
        let body = fixed + key_len.len + key.len() + value.len();
        length = Packed::new(varint::zigzag_len(body));
        let prefix = length.bits | deltas << (8 * (length.len + 1));
        at = length.len + 1 + deltas_len;
        store(to, 0, prefix);
        store(to, at, key_len.bits);
        at += key_len.len;
        copy(to, at, key);
        at += key.len();
        store(to, at, value_len.bits);
    } else {
        let body = fixed + 1 + value.len();
        length = Packed::new(varint::zigzag_len(body));
        let prefix = length.bits | deltas << (8 * (length.len + 1));
        at = length.len + 1 + deltas_len;
        store(to, 0, prefix);
        store(to, at, NULL | value_len.bits << 8);
        at += 1;
    }
    at += value_len.len;
    to[at..][..value.len()].copy_from_slice(value);
    at += value.len();
    to[at] = 0;
    at + 1
}

#[inline(always)]
fn store(to: &mut [u8], at: usize, word: u64) {
    to[at..][..8].copy_from_slice(&word.to_le_bytes());
}

#[inline(always)]
fn copy(to: &mut [u8], at: usize, bytes: &[u8]) {
    to[at..][..bytes.len()].copy_from_slice(bytes);
}

#[inline(never)]
fn put_long(to: &mut [u8], record: &Record<'_>, offset_delta: u64, timestamp_delta: u64) -> usize {
    let key_len = record.key.map_or(NULL, |key| varint::zigzag_len(key.len()));
    let value_len = record.value.map_or(NULL, |value| varint::zigzag_len(value.len()));
    let key = record.key.unwrap_or_default();
    let value = record.value.unwrap_or_default();
    let body = 1
        + varint::len(timestamp_delta)
        + varint::len(offset_delta)
        + varint::len(key_len)
        + key.len()
        + varint::len(value_len)
        + value.len()
        + headers_bytes(record.headers);
    let mut out = Out { to, at: 0 };
    out.varint(varint::zigzag_len(body));
    out.bytes(&[0]);
    out.varint(timestamp_delta);
    out.varint(offset_delta);
    out.varint(key_len);
    out.bytes(key);
    out.varint(value_len);
    out.bytes(value);
    out.varint(varint::zigzag_len(record.headers.len()));
    for header in record.headers {
        out.varint(varint::zigzag_len(header.name.len()));
        out.bytes(header.name.as_bytes());
        out.varint(header.value.map_or(NULL, |value| varint::zigzag_len(value.len())));
        out.bytes(header.value.unwrap_or_default());
    }
    out.at
}

fn headers_bytes(headers: &[Header<'_>]) -> usize {
    let count = varint::len(varint::zigzag_len(headers.len()));
    headers.iter().fold(count, |bytes, header| {
        let value = header.value.map_or(0, <[u8]>::len);
        let value_len = header.value.map_or(NULL, |value| varint::zigzag_len(value.len()));
        let name_len = varint::zigzag_len(header.name.len());
        bytes + varint::len(name_len) + header.name.len() + varint::len(value_len) + value
    })
}

/// Bytes being filled from their start.
struct Out<'a> {
    to: &'a mut [u8],
    at: usize,
}

impl Out<'_> {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.to[self.at..][..bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    #[inline]
    fn varint(&mut self, raw: u64) {
        match self.to[self.at..].first_chunk_mut::<8>() {
            Some(chunk) if raw < varint::TWO_BYTES_END => {
                let packed = Packed::new(raw);
                *chunk = packed.bits.to_le_bytes();
                self.at += packed.len;
            }
            _ => {
                let (bytes, len) = varint::encode(raw);
                self.bytes(&bytes[..len]);
            }
        }
    }
}

/// A batch under construction: records come one by one, over time.
///
/// The batch is `CreateTime` with base offset 0; where it is appended,
/// [`set_base_offset`](super::set_base_offset) and
/// [`set_log_append_time`](super::set_log_append_time) make it the log's.
#[derive(Debug, Default)]
pub(crate) struct BatchBuilder {
    /// Zeros, or leftovers, behind `end`.
    bytes: Vec<u8>,
    end: usize,
    count: u32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl BatchBuilder {
    /// A builder that fills `buffer` from its start; what it holds is lost, its allocation is used.
    pub(crate) fn with_buffer(buffer: Vec<u8>) -> Self {
        BatchBuilder { bytes: buffer, end: HEADER_BYTES, ..BatchBuilder::default() }
    }

    /// Adds a record with this timestamp; its own is not looked at.
    #[inline]
    pub(crate) fn push(&mut self, record: &Record<'_>, timestamp: Timestamp) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let delta = timestamp_delta(timestamp, self.base_timestamp);
        let needed = self.end + record_bytes_max(record);
        if self.bytes.len() < needed {
            self.grow(needed);
        }
        self.end += put_record(&mut self.bytes[self.end..], record, self.count, delta);
        self.count += 1;
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        self.bytes.resize(needed.max(2 * self.bytes.len()), 0);
    }

    /// What the batch takes so far, header included.
    pub(crate) fn bytes(&self) -> usize {
        self.end
    }

    /// How many records it has so far.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Completes the batch.
    ///
    /// # Panics
    ///
    /// If it has no records.
    pub(crate) fn finish(mut self) -> EncodedBatch {
        assert!(self.count > 0, "a batch holds at least one record");
        let encoded = Encoded {
            bytes: self.end,
            count: self.count,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
        };
        put_header(&mut self.bytes, &encoded, 0, TimestampType::CreateTime);
        EncodedBatch { bytes: self.bytes, encoded }
    }
}

/// What a [`BatchBuilder`] built.
#[derive(Debug)]
pub(crate) struct EncodedBatch {
    /// The batch, with base offset 0; hand it back to [`BatchBuilder::with_buffer`] when it is done.
    pub bytes: Vec<u8>,
    /// What it became.
    pub encoded: Encoded,
}
