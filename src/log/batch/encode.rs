//! Records to a batch: what is true of all of them, and the header in front.
//!
//! One pass, in place: the records are written behind the room for the header, which is filled in
//! when length, count and times are known. How a single record is written is `record.rs`' concern.
//!
//! 1. A record's offset delta is its index: offsets in a fresh batch rise by one.
//! 2. The base timestamp is that of the first record; later ones may be earlier, and their deltas
//!    negative, as Kafka's producer does it.

use super::header::{Attributes, BatchHeader, HEADER_BYTES};
use super::record::put_record;
use crate::ids::{Offset, Timestamp};
use crate::record::{Record, TimestampType};

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
    /// The header of a plain batch: one leader, no producer id, no transaction.
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
/// The caller has checked that the batch is at most `i32::MAX` bytes long and that no timestamp is
/// negative. `to` has room for [`HEADER_BYTES`] and
/// [`record_bytes_max`](super::record_bytes_max) of each record, which is what the fast path
/// wants, and may find any of it scribbled on; a batch that just fits is encoded all the same.
///
/// # Panics
///
/// If there is no record, or `to` is too small.
#[inline(always)]
pub(crate) fn encode_batch<'r, 'a: 'r>(
    to: &mut [u8],
    base_offset: Offset,
    stamps: Stamps,
    records: impl IntoIterator<Item = &'r Record<'a>>,
) -> Encoded {
    let mut at = HEADER_BYTES;
    let mut count = 0;
    let mut base_timestamp = Timestamp::default();
    let mut max_timestamp = Timestamp::default();
    for record in records {
        let timestamp = stamps.of(record);
        if count == 0 {
            base_timestamp = timestamp;
            max_timestamp = timestamp;
        }
        max_timestamp = max_timestamp.max(timestamp);
        let delta = timestamp_delta(timestamp, base_timestamp);
        at += put_record(&mut to[at..], record, count, delta);
        count += 1;
    }
    assert!(count > 0, "a batch holds at least one record");
    let encoded = Encoded { bytes: at, count, base_timestamp, max_timestamp };
    put_header(to, &encoded, base_offset, stamps.timestamp_type);
    encoded
}

/// Writes the header of a batch whose records are in place.
#[inline]
pub(super) fn put_header(to: &mut [u8], encoded: &Encoded, base_offset: Offset, of: TimestampType) {
    let header = to.first_chunk_mut().expect("records were written behind the header");
    *header = encoded.header(base_offset, of).to_bytes();
}

/// What a record keeps of its timestamp.
#[inline]
pub(super) fn timestamp_delta(timestamp: Timestamp, base: Timestamp) -> i64 {
    timestamp.as_millis().wrapping_sub(base.as_millis())
}
