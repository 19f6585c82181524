//! The fixed part of a batch: read, written, patched, and peeked into.
//!
//! See the drawing in the [module above](super). Reading checks that the bytes are there and the
//! numbers can be what they say; whether they are true of the records is
//! [`validate`](super::validate())'s question.

use crate::error::BatchError;
use crate::ids::{Offset, Timestamp};
use crate::record::TimestampType;

/// How many bytes precede the records of a batch.
pub(crate) const HEADER_BYTES: usize = 61;

/// The bytes that the length field does not count: the base offset and itself.
pub(super) const PREFIX_BYTES: usize = 12;

/// Where the CRC field is, and where the bytes it covers start.
pub(super) const CRC_AT: usize = 17;
pub(super) const CRC_END: usize = 21;

pub(super) const LENGTH_AT: usize = 8;
pub(super) const EPOCH_AT: usize = 12;
pub(super) const MAGIC_AT: usize = 16;
pub(super) const ATTRIBUTES_AT: usize = 21;
pub(super) const LAST_OFFSET_DELTA_AT: usize = 23;
pub(super) const BASE_TIMESTAMP_AT: usize = 27;
pub(super) const MAX_TIMESTAMP_AT: usize = 35;
pub(super) const COUNT_AT: usize = 57;

/// The version of the format, in Kafka's numbering of message formats.
pub(super) const MAGIC: u8 = 2;

/// The bits that say how the records of a batch are to be read.
///
/// ```text
///  15 …………………… 7 │ 6               │ 5       │ 4             │ 3               │ 2 1 0
///  none, 0       │ delete horizon  │ control │ transactional │ log append time │ codec
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes(pub u16);

impl Attributes {
    const LOG_APPEND_TIME: u16 = 1 << 3;
    const TRANSACTIONAL: u16 = 1 << 4;
    const CONTROL: u16 = 1 << 5;
    const DELETE_HORIZON: u16 = 1 << 6;
    const KNOWN: u16 = 0x7f;

    /// Attributes that say nothing but what the timestamps mean.
    #[inline]
    pub(crate) const fn new(timestamp_type: TimestampType) -> Self {
        match timestamp_type {
            TimestampType::CreateTime => Attributes(0),
            TimestampType::LogAppendTime => Attributes(Self::LOG_APPEND_TIME),
        }
    }

    /// What the timestamps mean.
    #[inline]
    pub(crate) const fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// The compression codec by Kafka's number; 0 is none.
    #[inline]
    pub(crate) const fn codec(self) -> u8 {
        (self.0 & 0x7).to_le_bytes()[0]
    }

    /// Whether the batch is part of a transaction.
    pub(crate) const fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the batch holds a marker of the log's own rather than a user's records.
    pub(crate) const fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp says when the batch's tombstones may go. Timestamps are relative
    /// to it all the same.
    pub(crate) const fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// These, and that the base timestamp is a delete horizon.
    pub(super) const fn with_delete_horizon(self) -> Self {
        Attributes(self.0 | Self::DELETE_HORIZON)
    }

    /// Bits that no version of the format we know gives a meaning to.
    pub(super) const fn unknown(self) -> u16 {
        self.0 & !Self::KNOWN
    }
}

/// The fixed part of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    /// The offset of the first record, or of the first there was before compaction.
    pub base_offset: Offset,
    /// The whole length, this header included (the length field plus 12).
    pub batch_bytes: usize,
    /// The epoch of the leader that appended it; 0 for a log with one leader, -1 before there is one.
    pub leader_epoch: i32,
    /// The stored checksum; 0 until the batch is sealed.
    pub crc: u32,
    /// How the records are to be read.
    pub attributes: Attributes,
    /// The offset of the last record (or of the last before compaction), less the base offset.
    pub last_offset_delta: u32,
    /// What the records' timestamps are relative to; after compaction it may be the time when the
    /// tombstones among them may go.
    pub base_timestamp: Timestamp,
    /// The latest timestamp in the batch; under `LogAppendTime`, the timestamp of all of it.
    pub max_timestamp: Timestamp,
    /// The idempotent producer that sent it, or -1.
    pub producer_id: i64,
    /// That producer's epoch, or -1.
    pub producer_epoch: i16,
    /// That producer's number for the first record, or -1.
    pub base_sequence: i32,
    /// How many records there are.
    pub count: u32,
}

impl BatchHeader {
    /// The offset of the last record.
    pub(crate) fn last_offset(&self) -> Offset {
        self.base_offset + Offset::from(self.last_offset_delta)
    }

    /// When the tombstones of the batch may go, if compaction has been over them.
    pub(crate) fn delete_horizon(&self) -> Option<Timestamp> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }

    /// The header as it is written.
    ///
    /// # Panics
    ///
    /// If the batch is longer than `i32::MAX`.
    #[inline]
    pub(crate) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let length = i32::try_from(self.batch_bytes - PREFIX_BYTES)
            .expect("a batch is at most i32::MAX bytes long, the caller has checked");
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.leader_epoch.to_be_bytes());
        bytes[16] = MAGIC;
        bytes[17..21].copy_from_slice(&self.crc.to_be_bytes());
        bytes[21..23].copy_from_slice(&self.attributes.0.to_be_bytes());
        bytes[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[27..35].copy_from_slice(&self.base_timestamp.as_millis().to_be_bytes());
        bytes[35..43].copy_from_slice(&self.max_timestamp.as_millis().to_be_bytes());
        bytes[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        bytes[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        bytes[57..61].copy_from_slice(&self.count.to_be_bytes());
        bytes
    }

    /// Reads the header at the start of `bytes`, which may go on behind the batch.
    ///
    /// # Errors
    ///
    /// If the header or the batch it announces is not whole, is not of this version, or a number
    /// cannot be what it says it is.
    pub(crate) fn read(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        BatchHeader::read_of(bytes, bytes.len())
    }

    /// Reads the header at the start of `bytes`, of which there are `available` where they come from.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), with `available` in place of the length.
    pub(crate) fn read_of(bytes: &[u8], available: usize) -> Result<BatchHeader, BatchError> {
        let Some(fixed) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(BatchError::Truncated {
                field: "batch header",
                at: 0,
                needed: HEADER_BYTES,
                available,
            });
        };
        if fixed[MAGIC_AT] != MAGIC {
            return Err(BatchError::Magic { found: fixed[MAGIC_AT] });
        }
        let length = i32::from_be_bytes(field(fixed, LENGTH_AT));
        let batch_bytes = match usize::try_from(length) {
            Ok(length) if length >= HEADER_BYTES - PREFIX_BYTES => length + PREFIX_BYTES,
            _ => return Err(out_of_range("batch length", LENGTH_AT, length.into())),
        };
        if batch_bytes > available {
            return Err(BatchError::Truncated {
                field: "batch",
                at: 0,
                needed: batch_bytes,
                available,
            });
        }
        let base_offset = i64::from_be_bytes(field(fixed, 0));
        let last_offset_delta = i32::from_be_bytes(field(fixed, LAST_OFFSET_DELTA_AT));
        let count = i32::from_be_bytes(field(fixed, COUNT_AT));
        Ok(BatchHeader {
            base_offset: Offset::try_from(base_offset)
                .ok()
                .filter(|_| base_offset.checked_add(last_offset_delta.into()).is_some())
                .ok_or(out_of_range("base offset", 0, base_offset))?,
            batch_bytes,
            leader_epoch: i32::from_be_bytes(field(fixed, 12)),
            crc: u32::from_be_bytes(field(fixed, CRC_AT)),
            attributes: Attributes(u16::from_be_bytes(field(fixed, ATTRIBUTES_AT))),
            last_offset_delta: u32::try_from(last_offset_delta).map_err(|_| {
                out_of_range("last offset delta", LAST_OFFSET_DELTA_AT, last_offset_delta.into())
            })?,
            base_timestamp: timestamp_at(fixed, BASE_TIMESTAMP_AT),
            max_timestamp: timestamp_at(fixed, MAX_TIMESTAMP_AT),
            producer_id: i64::from_be_bytes(field(fixed, 43)),
            producer_epoch: i16::from_be_bytes(field(fixed, 51)),
            base_sequence: i32::from_be_bytes(field(fixed, 53)),
            count: u32::try_from(count)
                .map_err(|_| out_of_range("record count", COUNT_AT, count.into()))?,
        })
    }
}

fn out_of_range(field: &'static str, at: usize, value: i64) -> BatchError {
    BatchError::OutOfRange { field, at, value }
}

/// The `N` bytes of a header at a fixed place.
#[inline]
fn field<const N: usize>(fixed: &[u8], at: usize) -> [u8; N] {
    *fixed[at..].first_chunk().expect("the field lies within the header")
}

#[inline]
fn timestamp_at(fixed: &[u8], at: usize) -> Timestamp {
    Timestamp::from_millis(i64::from_be_bytes(field(fixed, at)))
}

/// The whole length of the batch that `bytes` starts with.
///
/// This and its neighbours are for bytes that this process encoded or validated; on others they
/// return nonsense, and they panic if there is no whole header.
#[inline]
pub(crate) fn batch_bytes(bytes: &[u8]) -> usize {
    u32::from_be_bytes(field(bytes, LENGTH_AT)) as usize + PREFIX_BYTES
}

/// The base offset of the batch that `bytes` starts with.
#[inline]
pub(crate) fn base_offset(bytes: &[u8]) -> Offset {
    Offset::from_be_bytes(field(bytes, 0))
}

/// The offset of the last record of the batch that `bytes` starts with.
#[inline]
pub(crate) fn last_offset(bytes: &[u8]) -> Offset {
    let delta = u32::from_be_bytes(field(bytes, LAST_OFFSET_DELTA_AT));
    base_offset(bytes).wrapping_add(Offset::from(delta))
}

/// The latest timestamp of the batch that `bytes` starts with.
#[inline]
pub(crate) fn max_timestamp(bytes: &[u8]) -> Timestamp {
    timestamp_at(bytes, MAX_TIMESTAMP_AT)
}

/// What the timestamps of the batch that `bytes` starts with are relative to.
#[inline]
pub(super) fn base_timestamp(bytes: &[u8]) -> Timestamp {
    timestamp_at(bytes, BASE_TIMESTAMP_AT)
}

/// How the records of the batch that `bytes` starts with are to be read.
#[inline]
pub(super) fn attributes(bytes: &[u8]) -> Attributes {
    Attributes(u16::from_be_bytes(field(bytes, ATTRIBUTES_AT)))
}

/// How many records the batch that `bytes` starts with has.
#[inline]
pub(crate) fn count(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(field(bytes, COUNT_AT))
}

/// Moves a batch to where the log puts it. The CRC does not cover the base offset.
#[inline]
pub(crate) fn set_base_offset(batch: &mut [u8], offset: Offset) {
    batch[..8].copy_from_slice(&offset.to_be_bytes());
}

/// Says which leader appended a batch. The CRC does not cover the leader epoch.
#[inline]
pub(crate) fn set_leader_epoch(batch: &mut [u8], epoch: i32) {
    batch[EPOCH_AT..][..4].copy_from_slice(&epoch.to_be_bytes());
}

/// Stamps every record of a batch with the time it was appended, as Kafka's broker does: by the
/// attribute and the max timestamp; the records are not touched. Before [`seal`](super::seal).
#[inline]
pub(crate) fn set_log_append_time(batch: &mut [u8], now: Timestamp) {
    let attributes = u16::from_be_bytes(field(batch, ATTRIBUTES_AT)) | Attributes::LOG_APPEND_TIME;
    batch[ATTRIBUTES_AT..][..2].copy_from_slice(&attributes.to_be_bytes());
    batch[MAX_TIMESTAMP_AT..][..8].copy_from_slice(&now.as_millis().to_be_bytes());
}
