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
use super::sink::Sink;
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

/// Encodes one whole batch and returns what it became.
///
/// The caller has checked that the sink has room for [`HEADER_BYTES`] and [`record_bytes_max`] of
/// each record, that this is at most `i32::MAX`, and that no timestamp is negative.
///
/// # Panics
///
/// If there are not exactly `count` records, there is none, or the sink is too small.
#[inline]
pub(crate) fn encode_batch<'r, 'a: 'r, S: Sink>(
    sink: &mut S,
    base_offset: Offset,
    stamps: Stamps,
    records: impl IntoIterator<Item = &'r Record<'a>>,
    count: u32,
) -> Encoded {
    let mut records = records.into_iter();
    let first = records.next().expect("a batch holds at least one record");
    if count == 1 {
        assert!(records.next().is_none(), "the caller has counted the records");
        return encode_one(sink, base_offset, stamps, first);
    }
    let start = sink.written();
    sink.put(&[0; HEADER_BYTES]);
    let base_timestamp = stamps.of(first);
    put_record(sink, first, 0, 0);
    let mut max_timestamp = base_timestamp;
    let mut index = 1;
    for record in records {
        let timestamp = stamps.of(record);
        max_timestamp = max_timestamp.max(timestamp);
        put_record(sink, record, index, timestamp_delta(timestamp, base_timestamp));
        index += 1;
    }
    assert!(index == count, "the caller has counted the records");
    let bytes = sink.written() - start;
    let encoded = Encoded { bytes, count, base_timestamp, max_timestamp };
    sink.patch(start, &encoded.header(base_offset, stamps.timestamp_type).to_bytes());
    encoded
}

/// Encodes a batch of one record: as [`encode_batch`], but the header is written once, in order.
///
/// # Panics
///
/// If the sink is too small.
#[inline]
pub(crate) fn encode_one<S: Sink>(
    sink: &mut S,
    base_offset: Offset,
    stamps: Stamps,
    record: &Record<'_>,
) -> Encoded {
    let timestamp = stamps.of(record);
    let shape = Shape::of(record, 0, 0);
    let bytes = HEADER_BYTES + shape.bytes();
    let encoded = Encoded { bytes, count: 1, base_timestamp: timestamp, max_timestamp: timestamp };
    let header = encoded.header(base_offset, stamps.timestamp_type).to_bytes();
    sink.put_prefix(&header, HEADER_BYTES);
    shape.put(sink, record);
    encoded
}

#[inline]
fn timestamp_delta(timestamp: Timestamp, base: Timestamp) -> i64 {
    timestamp.as_millis().wrapping_sub(base.as_millis())
}

#[inline]
fn put_record<S: Sink>(sink: &mut S, record: &Record<'_>, offset_delta: u32, timestamp_delta: i64) {
    Shape::of(record, offset_delta, timestamp_delta).put(sink, record);
}

/// The numbers of a record, raw, and the length of its body.
#[derive(Clone, Copy)]
struct Shape {
    /// What follows the length field.
    body: usize,
    timestamp_delta: u64,
    offset_delta: u64,
    key_len: u64,
    value_len: u64,
}

impl Shape {
    #[inline]
    fn of(record: &Record<'_>, offset_delta: u32, timestamp_delta: i64) -> Shape {
        let timestamp_delta = varint::zigzag(timestamp_delta);
        let offset_delta = u64::from(offset_delta) << 1;
        let key_len = record.key.map_or(NULL, |key| varint::zigzag_len(key.len()));
        let value_len = record.value.map_or(NULL, |value| varint::zigzag_len(value.len()));
        let payload = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        let body = 1
            + varint::len(timestamp_delta)
            + varint::len(offset_delta)
            + varint::len(key_len)
            + varint::len(value_len)
            + payload
            + if record.headers.is_empty() { 1 } else { headers_bytes(record.headers) };
        Shape { body, timestamp_delta, offset_delta, key_len, value_len }
    }

    #[inline]
    fn bytes(&self) -> usize {
        varint::len(varint::zigzag_len(self.body)) + self.body
    }

    #[inline]
    fn put<S: Sink>(self, sink: &mut S, record: &Record<'_>) {
        let length = varint::zigzag_len(self.body);
        // The body is longer than key and value, so their lengths are short too.
        let is_short = length < varint::THREE_BYTES_END
            && (self.timestamp_delta | self.offset_delta) < varint::TWO_BYTES_END;
        if is_short {
            self.put_short(sink, record, Packed::new(length));
        } else {
            self.put_long(sink, record);
        }
        if record.headers.is_empty() {
            sink.put_prefix(&[0], 1);
        } else {
            put_headers(sink, record.headers);
        }
    }

    #[inline]
    fn put_short<S: Sink>(&self, sink: &mut S, record: &Record<'_>, length: Packed) {
        let timestamp_delta = Packed::new(self.timestamp_delta);
        let offset_delta = Packed::new(self.offset_delta);
        let timestamp_at = length.len + 1;
        let offset_at = timestamp_at + timestamp_delta.len;
        let word = length.bits
            | timestamp_delta.bits << (8 * timestamp_at)
            | offset_delta.bits << (8 * offset_at);
        sink.put_prefix(&word.to_le_bytes(), offset_at + offset_delta.len);
        let value_len = Packed::new(self.value_len);
        if let Some(key) = record.key {
            let key_len = Packed::new(self.key_len);
            sink.put_prefix(&key_len.bits.to_le_bytes(), key_len.len);
            sink.put(key);
            sink.put_prefix(&value_len.bits.to_le_bytes(), value_len.len);
        } else {
            let word = NULL | value_len.bits << 8;
            sink.put_prefix(&word.to_le_bytes(), 1 + value_len.len);
        }
        sink.put(record.value.unwrap_or_default());
    }

    #[cold]
    #[inline(never)]
    fn put_long<S: Sink>(&self, sink: &mut S, record: &Record<'_>) {
        put_varint(sink, varint::zigzag_len(self.body));
        sink.put(&[0]);
        put_varint(sink, self.timestamp_delta);
        put_varint(sink, self.offset_delta);
        put_varint(sink, self.key_len);
        sink.put(record.key.unwrap_or_default());
        put_varint(sink, self.value_len);
        sink.put(record.value.unwrap_or_default());
    }
}

/// The raw form of -1, the length of what is null.
const NULL: u64 = varint::zigzag(-1);

#[inline]
fn put_varint<S: Sink>(sink: &mut S, raw: u64) {
    if raw < varint::THREE_BYTES_END {
        let packed = Packed::new(raw);
        sink.put_prefix(&packed.bits.to_le_bytes(), packed.len);
    } else {
        let (bytes, len) = varint::encode(raw);
        sink.put_prefix(&bytes, len);
    }
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

fn put_headers<S: Sink>(sink: &mut S, headers: &[Header<'_>]) {
    put_varint(sink, varint::zigzag_len(headers.len()));
    for header in headers {
        put_varint(sink, varint::zigzag_len(header.name.len()));
        sink.put(header.name.as_bytes());
        put_varint(sink, header.value.map_or(NULL, |value| varint::zigzag_len(value.len())));
        sink.put(header.value.unwrap_or_default());
    }
}

/// A batch under construction: records come one by one, over time.
///
/// The batch is `CreateTime` with base offset 0; where it is appended,
/// [`set_base_offset`](super::set_base_offset) and
/// [`set_log_append_time`](super::set_log_append_time) make it the log's.
#[derive(Debug, Default)]
pub(crate) struct BatchBuilder {
    bytes: Vec<u8>,
    count: u32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl BatchBuilder {
    /// A builder that fills `buffer` from its start; what it holds is lost, its allocation is used.
    pub(crate) fn with_buffer(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        BatchBuilder { bytes: buffer, ..BatchBuilder::default() }
    }

    /// Adds a record with this timestamp; its own is not looked at.
    #[inline]
    pub(crate) fn push(&mut self, record: &Record<'_>, timestamp: Timestamp) {
        if self.count == 0 {
            self.bytes.resize(HEADER_BYTES, 0);
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let delta = timestamp_delta(timestamp, self.base_timestamp);
        put_record(&mut self.bytes, record, self.count, delta);
        self.count += 1;
    }

    /// What the batch takes so far, header included.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len().max(HEADER_BYTES)
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
            bytes: self.bytes.len(),
            count: self.count,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
        };
        self.bytes.patch(0, &encoded.header(0, TimestampType::CreateTime).to_bytes());
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
