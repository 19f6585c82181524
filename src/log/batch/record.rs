//! One record to bytes: where encoding spends its time.
//!
//! Almost every record is short: no number in it takes more than two bytes. Those numbers are put
//! together in registers and stored eight bytes at a time, so that a record costs a few stores
//! and the copies of its key and value. What a store writes beyond its number is overwritten by
//! what follows:
//!
//! ```text
//!   first store                          second store     copy  third store     copy
//!   length ≤2 │ a 1 │ Δt ≤2 │ Δo ≤2 │    key length ≤2 │  key │ value length ≤2 │ value │ headers
//!
//!   without a key, two stores do         01 │ value length ≤2 │                   value │ headers
//! ```
//!
//! 1. The length is computed before the first byte is written; nothing is moved or patched.
//! 2. The fast path writes at most [`SLACK`] bytes behind key, value and headers; where there is
//!    less room, the exact path writes the same bytes.

use super::varint::{self, NULL, Packed};
use crate::record::{Header, Record};

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

/// What the fast path of [`put_record`] wants behind key, value and headers: room for the other
/// numbers, and for the last of them to be stored as a whole word.
const SLACK: usize = 32;

/// Below this, key, value and headers leave no number of the record longer than two bytes.
const SHORT_PAYLOAD_END: usize = (varint::TWO_BYTES_END / 2) as usize - 16;

/// Encodes a record to the start of `to` and returns what it takes.
#[inline(always)]
pub(super) fn put_record(
    to: &mut [u8],
    record: &Record<'_>,
    index: u32,
    timestamp_delta: i64,
) -> usize {
    let deltas =
        Deltas { timestamp: varint::zigzag(timestamp_delta), offset: u64::from(index) << 1 };
    let headers_bytes = if record.headers.is_empty() { 1 } else { headers_bytes(record.headers) };
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
fn headers_bytes(headers: &[Header<'_>]) -> usize {
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
