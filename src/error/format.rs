//! What can be wrong with bytes, or with records, that are to be a batch.

use crate::ids::Offset;

/// Why bytes are not a record batch that this crate reads. Nothing was taken from them.
///
/// Positions (`at`) count from the first byte of the batch; `docs/log-format.md` says what is
/// where.
///
/// ```
/// use anabranch::format::{self, Stamps};
/// use anabranch::{BatchError, Record};
///
/// let mut batch = format::encode(&[Record::new("2 espresso")], 42, Stamps::default())?;
/// *batch.last_mut().expect("a batch is not empty") ^= 1;
/// let refused = format::decode(&batch).unwrap_err();
/// assert!(matches!(refused, BatchError::Crc { .. }));
/// # Ok::<(), anabranch::EncodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes end before the field does: the batch is cut off, or a length in it is wrong.
    #[error("{field} at byte {at} takes {needed} bytes, {available} are left")]
    Truncated {
        /// What is cut off.
        field: &'static str,
        /// Where it starts.
        at: usize,
        /// How many bytes it takes; of a number cut in the middle, at least so many.
        needed: usize,
        /// How many there are, in the record or batch that encloses it.
        available: usize,
    },
    /// There are bytes behind what the batch, or a record in it, says that it holds.
    #[error("end expected at byte {at}, {count} more follow")]
    TrailingBytes {
        /// Where the batch or record should have ended.
        at: usize,
        /// How many bytes there are too many.
        count: usize,
    },
    /// The bytes are of another version of Kafka's message format, or not of it at all.
    #[error("magic at byte 16 is {found}, only version 2 is read")]
    Magic {
        /// What byte 16 holds.
        found: u8,
    },
    /// The bytes are not those that the checksum was computed from.
    #[error("CRC-32C at byte 17 is {stored:#010x}, the bytes have {computed:#010x}")]
    Crc {
        /// What the batch says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// The records are compressed, which this crate does not read.
    #[error(
        "records are compressed with codec {codec} ({}), only uncompressed ones are read",
        codec_name(*codec)
    )]
    Compression {
        /// The codec, by Kafka's number: 1 gzip, 2 snappy, 3 lz4, 4 zstd.
        codec: u8,
    },
    /// Bits are set that no known version of the format gives a meaning to.
    #[error("attributes at byte {at} have unknown bits {bits:#06b}")]
    UnknownAttributes {
        /// Where the attributes are: the batch's, or a record's.
        at: usize,
        /// The unknown bits among them.
        bits: u16,
    },
    /// A number has more bits than its field.
    #[error("{field} at byte {at} is a number of more than {bytes_max} bytes, or of too many bits")]
    Varint {
        /// The field.
        field: &'static str,
        /// Where it starts.
        at: usize,
        /// The most bytes its number may take.
        bytes_max: usize,
    },
    /// A number is one that its field cannot be: a negative length, a time before the epoch.
    #[error("{field} at byte {at} is {value}, which is out of range")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// Where it starts.
        at: usize,
        /// What it holds.
        value: i64,
    },
    /// A record's offset does not follow that of the record before it.
    #[error("offset delta at byte {at} is {found}, expected {expected}")]
    OffsetDelta {
        /// Where the delta is.
        at: usize,
        /// What it is.
        found: i64,
        /// What follows the record before it; the least it may be where compaction leaves gaps.
        expected: i64,
    },
    /// The batch says that it ends at another offset than its records do.
    #[error("last offset delta at byte {at} is {stored}, that of the records is {found}")]
    LastOffsetDelta {
        /// Where the header's delta is.
        at: usize,
        /// What the header says.
        stored: u32,
        /// What the records come to.
        found: u32,
    },
    /// The batch says that its latest timestamp is another than that of its records.
    #[error("max timestamp at byte {at} is {stored}, that of the records is {found}")]
    MaxTimestamp {
        /// Where the header's timestamp is.
        at: usize,
        /// What the header says, in milliseconds.
        stored: i64,
        /// The latest of the records', in milliseconds.
        found: i64,
    },
    /// The name of a record's header is not UTF-8.
    #[error("header name is not UTF-8 at byte {at}")]
    HeaderName {
        /// The first byte that is not.
        at: usize,
    },
}

fn codec_name(codec: u8) -> &'static str {
    match codec {
        1 => "gzip",
        2 => "snappy",
        3 => "lz4",
        4 => "zstd",
        _ => "unknown",
    }
}

/// Why records were not encoded. Nothing was written.
///
/// ```
/// use anabranch::EncodeError;
/// use anabranch::format::{self, Stamps};
///
/// assert_eq!(format::encode(&[], 0, Stamps::default()), Err(EncodeError::Empty));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A batch holds at least one record.
    #[error("a batch has at least one record")]
    Empty,
    /// The batch would be longer, or have more records, than the format can say. Split it.
    #[error("batch of {count} records may take {bytes} bytes, the format ends at {max} of either")]
    TooLarge {
        /// How many records there are.
        count: usize,
        /// An upper bound of what they take.
        bytes: usize,
        /// The most the format can say, of records and of bytes.
        max: usize,
    },
    /// Kafka's format has no timestamps before the epoch.
    #[error("timestamp {millis} of record {index} is negative")]
    NegativeTimestamp {
        /// Which of the records, counted from 0.
        index: usize,
        /// Its timestamp in milliseconds.
        millis: i64,
    },
    /// The offsets of the batch would be beyond the last one that the format can say.
    #[error("{count} records from offset {base_offset} on go beyond the last offset, {max}")]
    OffsetOutOfRange {
        /// The base offset asked for.
        base_offset: Offset,
        /// How many records there are.
        count: usize,
        /// The last offset there is.
        max: Offset,
    },
}
