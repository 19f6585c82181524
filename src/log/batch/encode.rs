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

/// How the records of a batch are stamped. The default is the epoch, for records that all have a
/// timestamp of their own.
///
/// ```
/// use anabranch::format::{self, Stamps};
/// use anabranch::{Record, Timestamp};
///
/// let [noon, one] = [43_200_000, 46_800_000].map(Timestamp::from_millis);
/// let record = Record::new("2 espresso").with_timestamp(noon);
/// for (stamps, expected) in [(Stamps::create_time(one), noon), (Stamps::log_append_time(one), one)] {
///     let bytes = format::encode(&[record], 0, stamps)?;
///     assert_eq!(format::decode(&bytes)?.max_timestamp(), expected);
/// }
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// The timestamp of records without one, or under `LogAppendTime` of all of them.
    pub now: Timestamp,
    /// Whether a record's own timestamp counts.
    pub timestamp_type: TimestampType,
}

impl Stamps {
    /// Records keep their own timestamp; those without one get `now`.
    pub const fn create_time(now: Timestamp) -> Self {
        Stamps { now, timestamp_type: TimestampType::CreateTime }
    }

    /// All records get `now`.
    pub const fn log_append_time(now: Timestamp) -> Self {
        Stamps { now, timestamp_type: TimestampType::LogAppendTime }
    }

    /// The timestamp that `record` gets.
    #[inline]
    pub(crate) fn of(self, record: &Record<'_>) -> Timestamp {
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

/// What the fast path of [`put_record`] wants behind key, value and headers: room for the other
/// numbers, and for the last of them to be stored as a whole word.
const SLACK: usize = 32;

/// Below this, key, value and headers leave no number of the record longer than two bytes.
const SHORT_PAYLOAD_END: usize = (varint::TWO_BYTES_END / 2) as usize - 16;

/// Encodes a record to the start of `to` and returns what it takes.
#[inline]
fn put_record(to: &mut [u8], record: &Record<'_>, index: u32, timestamp_delta: i64) -> usize {
    let deltas =
        Deltas { timestamp: varint::zigzag(timestamp_delta), offset: u64::from(index) << 1 };
    let headers_bytes = headers_bytes(record.headers);
    let key_bytes = record.key.map_or(0, <[u8]>::len);
    let value_bytes = record.value.map_or(0, <[u8]>::len);
    let payload = key_bytes + value_bytes + headers_bytes;
    let is_short = (deltas.timestamp | deltas.offset) < varint::TWO_BYTES_END
        && payload < SHORT_PAYLOAD_END
        && to.len() >= payload + SLACK;
    if is_short {
        put_short(to, record, deltas, payload)
    } else {
        put_long(to, record, deltas, payload)
    }
}

/// A record's distance from its batch's base, raw.
#[derive(Clone, Copy)]
struct Deltas {
    timestamp: u64,
    offset: u64,
}

#[inline(always)]
fn put_short(to: &mut [u8], record: &Record<'_>, deltas: Deltas, payload: usize) -> usize {
    let timestamp = Packed::new(deltas.timestamp);
    let offset = Packed::new(deltas.offset);
    let value = record.value.unwrap_or_default();
    let value_len = Packed::new(len_or_null(record.value));
    let deltas_bits = timestamp.bits | offset.bits << (8 * timestamp.len);
    let deltas_len = timestamp.len + offset.len;
    let mut at;
    if let Some(key) = record.key {
        let key_len = Packed::new(varint::zigzag_len(key.len()));
        let body = 1 + deltas_len + key_len.len + value_len.len + payload;
        at = put_prefix(to, body, deltas_bits) + deltas_len;
        store(to, at, key_len.bits);
        at += key_len.len;
        copy_small(&mut to[at..][..key.len()], key);
        at += key.len();
        store(to, at, value_len.bits);
    } else {
        // The null's one byte and the value's length in one store.
        let body = 1 + deltas_len + 1 + value_len.len + payload;
        at = put_prefix(to, body, deltas_bits) + deltas_len;
        store(to, at, NULL | value_len.bits << 8);
        at += 1;
    }
    at += value_len.len;
    to[at..][..value.len()].copy_from_slice(value);
    at += value.len();
    if record.headers.is_empty() {
        to[at] = 0;
        at + 1
    } else {
        at + put_headers(&mut to[at..], record.headers)
    }
}

/// Stores length, attributes and deltas of a short record; returns where the deltas start.
#[inline(always)]
fn put_prefix(to: &mut [u8], body: usize, deltas: u64) -> usize {
    let length = Packed::new(varint::zigzag_len(body));
    let deltas_at = length.len + 1;
    store(to, 0, length.bits | deltas << (8 * deltas_at));
    deltas_at
}

#[inline(always)]
fn store(to: &mut [u8], at: usize, word: u64) {
    to[at..][..8].copy_from_slice(&word.to_le_bytes());
}

/// Copies a few bytes without the call that a length known at run time is otherwise.
#[inline(always)]
fn copy_small(to: &mut [u8], from: &[u8]) {
    debug_assert_eq!(to.len(), from.len());
    if let (Some(head), Some(tail), 8..=16) =
        (from.first_chunk::<8>(), from.last_chunk::<8>(), from.len())
    {
        let len = from.len();
        to[..8].copy_from_slice(head);
        to[len - 8..len].copy_from_slice(tail);
    } else {
        to.copy_from_slice(from);
    }
}

/// Any record, to the byte: writes nothing behind its end.
#[inline(never)]
fn put_long(to: &mut [u8], record: &Record<'_>, deltas: Deltas, payload: usize) -> usize {
    let body = 1
        + varint::len(deltas.timestamp)
        + varint::len(deltas.offset)
        + varint::len(len_or_null(record.key))
        + varint::len(len_or_null(record.value))
        + payload;
    let mut at = put_varint(to, varint::zigzag_len(body));
    to[at] = 0;
    at += 1;
    at += put_varint(&mut to[at..], deltas.timestamp);
    at += put_varint(&mut to[at..], deltas.offset);
    at += put_nullable(&mut to[at..], record.key);
    at += put_nullable(&mut to[at..], record.value);
    at + put_headers(&mut to[at..], record.headers)
}

/// What the headers of a record take, their count included.
#[inline(always)]
fn headers_bytes(headers: &[Header<'_>]) -> usize {
    if headers.is_empty() {
        return 1;
    }
    let count = varint::len(varint::zigzag_len(headers.len()));
    headers.iter().fold(count, |bytes, header| {
        let name_len = varint::len(varint::zigzag_len(header.name.len()));
        let value_len = varint::len(len_or_null(header.value));
        bytes + name_len + header.name.len() + value_len + header.value.map_or(0, <[u8]>::len)
    })
}

#[inline(never)]
fn put_headers(to: &mut [u8], headers: &[Header<'_>]) -> usize {
    let mut at = put_varint(to, varint::zigzag_len(headers.len()));
    for header in headers {
        at += put_nullable(&mut to[at..], Some(header.name.as_bytes()));
        at += put_nullable(&mut to[at..], header.value);
    }
    at
}

/// The raw length of bytes that may be null.
#[inline]
fn len_or_null(bytes: Option<&[u8]>) -> u64 {
    bytes.map_or(NULL, |bytes| varint::zigzag_len(bytes.len()))
}

#[inline]
fn put_nullable(to: &mut [u8], bytes: Option<&[u8]>) -> usize {
    let at = put_varint(to, len_or_null(bytes));
    let bytes = bytes.unwrap_or_default();
    copy_small(&mut to[at..][..bytes.len()], bytes);
    at + bytes.len()
}

#[inline]
fn put_varint(to: &mut [u8], raw: u64) -> usize {
    if raw < 0x80 {
        to[0] = raw.to_le_bytes()[0];
        return 1;
    }
    let (bytes, len) = varint::encode(raw);
    to[..len].copy_from_slice(&bytes[..len]);
    len
}

/// A batch under construction: records come one by one, over time.
///
/// The batch is `CreateTime` with base offset 0; where it is appended,
/// [`set_base_offset`](super::set_base_offset) and
/// [`set_log_append_time`](super::set_log_append_time) make it the log's.
#[derive(Debug, Default)]
pub(crate) struct BatchBuilder {
    /// Zeros, or leftovers, behind `end`.
    buffer: Vec<u8>,
    end: usize,
    count: u32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl BatchBuilder {
    /// A builder that fills `buffer` from its start; what it holds is lost, its allocation is used.
    pub(crate) fn with_buffer(buffer: Vec<u8>) -> Self {
        BatchBuilder { buffer, end: HEADER_BYTES, ..BatchBuilder::default() }
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
        if self.buffer.len() < needed {
            self.grow(needed);
        }
        self.end += put_record(&mut self.buffer[self.end..], record, self.count, delta);
        self.count += 1;
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        self.buffer.resize(needed.max(2 * self.buffer.len()), 0);
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
        put_header(&mut self.buffer, &encoded, 0, TimestampType::CreateTime);
        EncodedBatch { buffer: self.buffer, encoded }
    }
}

/// What a [`BatchBuilder`] built.
#[derive(Debug)]
pub(crate) struct EncodedBatch {
    buffer: Vec<u8>,
    /// What it became.
    pub encoded: Encoded,
}

impl EncodedBatch {
    /// The batch, with base offset 0 until that is set.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.encoded.bytes]
    }

    /// The batch, to set its base offset and append time.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.encoded.bytes]
    }

    /// Gives the buffer back, for the next [`BatchBuilder::with_buffer`].
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}
