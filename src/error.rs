//! One error enum per operation, and one umbrella for `?`.
//!
//! A message names the thing and the numbers. Each variant says what state the caller is in now;
//! where nothing else is said, the call had no effect.

use crate::ids::{Offset, PartitionId, TopicName, TopicPartition};

/// Why a topic was not created or changed.
///
/// ```
/// use anabranch::{Topic, TopicConfig, TopicError};
///
/// let refused = Topic::in_memory("a/b", TopicConfig::new()).unwrap_err();
/// assert!(matches!(refused, TopicError::InvalidName { .. }));
/// assert_eq!(refused.to_string(), "topic name \"a/b\" contains '/', only [a-zA-Z0-9._-] are allowed");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The name is not one that Kafka would accept. Choose another.
    #[error("topic name {name:?} {reason}")]
    InvalidName {
        /// The name that was refused.
        name: TopicName,
        /// What is wrong with it.
        reason: String,
    },
    /// The partition count is zero or beyond what a topic may have.
    #[error("topic {topic} cannot have {requested} partitions, the range is 1 to {max}")]
    PartitionCount {
        /// The topic that was to be created or grown.
        topic: TopicName,
        /// The count asked for.
        requested: u32,
        /// The most a topic may have.
        max: u32,
    },
    /// Partitions are only ever added: the topic has more than was asked for.
    #[error("topic {topic} has {current} partitions and cannot shrink to {requested}")]
    Shrink {
        /// The topic that was to be changed.
        topic: TopicName,
        /// The partitions it has, and keeps.
        current: u32,
        /// The count asked for.
        requested: u32,
    },
    /// A setting is outside its range.
    #[error("{setting} of topic {topic} is {value}, {reason}")]
    InvalidSetting {
        /// The topic that was to be created.
        topic: TopicName,
        /// The setting's name, as its setter is called.
        setting: &'static str,
        /// The value asked for.
        value: String,
        /// What values it takes.
        reason: &'static str,
    },
}

/// Why a batch was not appended, or a partition's start not moved. Nothing was changed.
///
/// ```
/// use anabranch::{AppendError, Record, Topic, TopicConfig};
///
/// let topic = Topic::in_memory("orders", TopicConfig::new().max_batch_bytes(100))?;
/// let partition = topic.partition(0).expect("a topic has at least one partition");
/// let refused = partition.append(&[Record::new(&[0; 100])]).unwrap_err();
/// assert!(matches!(refused, AppendError::TooLarge { max: 100, .. }));
/// assert_eq!(partition.log_end_offset(), 0);
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The encoded batch is larger than the topic allows. Split it and try again.
    #[error("batch of {bytes} bytes exceeds max_batch_bytes of {partition}, which is {max}")]
    TooLarge {
        /// Where it was to go.
        partition: TopicPartition,
        /// What the batch takes in Kafka's format; at least this much where it was not finished.
        bytes: usize,
        /// The topic's limit.
        max: usize,
    },
    /// A batch holds at least one record.
    #[error("batch for {partition} has no records")]
    Empty {
        /// Where it was to go.
        partition: TopicPartition,
    },
    /// A record names a partition other than the one it was appended to.
    #[error("record names partition {named} but was appended to {partition}")]
    WrongPartition {
        /// Where it was to go.
        partition: TopicPartition,
        /// The partition the record names.
        named: PartitionId,
    },
    /// Kafka's format has no timestamps before the epoch.
    #[error("timestamp {millis} of a record for {partition} is negative")]
    NegativeTimestamp {
        /// Where it was to go.
        partition: TopicPartition,
        /// The record's timestamp in milliseconds.
        millis: i64,
    },
    /// `delete_records` was asked to delete records that do not exist yet.
    #[error(
        "offset {requested} is beyond the high watermark of {partition}, which is {high_watermark}"
    )]
    BeyondEnd {
        /// Whose start was to be moved.
        partition: TopicPartition,
        /// The start asked for.
        requested: Offset,
        /// The end of what can be deleted.
        high_watermark: Offset,
    },
}

/// Why a record was not sent.
///
/// The error concerns the one call that returns it; the producer goes on working.
///
/// ```
/// use anabranch::{Producer, Record, SendError, Topic, TopicConfig};
///
/// let topic = Topic::in_memory("orders", TopicConfig::new().partitions(2))?;
/// let refused = Producer::new(&topic).send(Record::new("x").to_partition(2)).unwrap_err();
/// assert!(matches!(refused, SendError::UnknownPartition { requested: 2, count: 2, .. }));
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The record names a partition that the topic does not have.
    #[error("topic {topic} has {count} partitions, there is no partition {requested}")]
    UnknownPartition {
        /// The topic.
        topic: TopicName,
        /// The partition the record names.
        requested: PartitionId,
        /// The partitions there are: `0..count`.
        count: u32,
    },
    /// The partitioner chose a partition that the topic does not have.
    #[error("partitioner chose partition {chosen} of topic {topic}, which has {count}")]
    PartitionerOutOfRange {
        /// The topic.
        topic: TopicName,
        /// What the partitioner returned.
        chosen: PartitionId,
        /// The partitions there are: `0..count`.
        count: u32,
    },
    /// The partitioner panicked; the panic ended with this call.
    #[error("partitioner of topic {topic} panicked: {message}")]
    PartitionerPanicked {
        /// The topic.
        topic: TopicName,
        /// The panic's message, where it had one.
        message: String,
    },
    /// The producer's buffer has no room for the record, and had none for as long as
    /// `max_block` allows. Try again once earlier deliveries are done.
    #[error(
        "buffer of the producer for topic {topic} is full: {needed} bytes do not fit in {max}, {used} are in use"
    )]
    BufferFull {
        /// The topic.
        topic: TopicName,
        /// What the record takes.
        needed: usize,
        /// What waits in the buffer.
        used: usize,
        /// The producer's `buffer_bytes`.
        max: usize,
    },
    /// A setting of the producer is outside its range. There is no producer.
    #[error("{setting} of the producer for topic {topic} is {value}, {reason}")]
    InvalidSetting {
        /// The topic.
        topic: TopicName,
        /// The setting's name, as its setter is called.
        setting: &'static str,
        /// The value asked for.
        value: String,
        /// What values it takes.
        reason: &'static str,
    },
    /// The partition refused the batch.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Why nothing could be read. The reader's position is unchanged.
///
/// ```
/// use anabranch::{ReadError, Topic, TopicConfig};
///
/// let topic = Topic::in_memory("orders", TopicConfig::new())?;
/// let partition = topic.partition(0).expect("a topic has at least one partition");
/// let refused = partition.read(17, 1024).unwrap_err();
/// assert!(matches!(refused, ReadError::OutOfRange { requested: 17, log_start: 0, high_watermark: 0, .. }));
/// assert_eq!(refused.to_string(), "offset 17 is beyond the high watermark of orders/0, which is 0");
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The offset is below the first record that is retained, or beyond the end. Seek to one
    /// within `log_start..=high_watermark`.
    #[error("{}", out_of_range(partition, *requested, *log_start, *high_watermark))]
    OutOfRange {
        /// Where it was looked for.
        partition: TopicPartition,
        /// The offset asked for.
        requested: Offset,
        /// The first offset that can be read.
        log_start: Offset,
        /// The end of what can be read: the offset that the next visible record will have.
        high_watermark: Offset,
    },
    /// The reader was told of a partition that it does not read.
    #[error("{partition} is not among the partitions of this reader")]
    NotAssigned {
        /// The partition asked for.
        partition: TopicPartition,
    },
}

fn out_of_range(of: &TopicPartition, requested: Offset, start: Offset, end: Offset) -> String {
    if requested < start {
        format!("offset {requested} is below the start of {of}, which is {start}")
    } else {
        format!("offset {requested} is beyond the high watermark of {of}, which is {end}")
    }
}

/// Why a flush could not promise what it is for.
///
/// A topic in memory has nothing to flush to and never returns it.
///
/// ```
/// use anabranch::{Topic, TopicConfig};
///
/// let topic = Topic::in_memory("orders", TopicConfig::new())?;
/// let partition = topic.partition(0).expect("a topic has at least one partition");
/// assert_eq!(partition.flush(), Ok(0));
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {}

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

/// Any error of this crate, for `?` in code that does not tell them apart.
///
/// ```
/// fn run() -> Result<(), anabranch::Error> {
///     anabranch::Topic::in_memory("orders", anabranch::TopicConfig::new())?;
///     Ok(())
/// }
/// assert!(run().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// See [`TopicError`].
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// See [`AppendError`].
    #[error(transparent)]
    Append(#[from] AppendError),
    /// See [`SendError`].
    #[error(transparent)]
    Send(#[from] SendError),
    /// See [`ReadError`].
    #[error(transparent)]
    Read(#[from] ReadError),
    /// See [`FlushError`].
    #[error(transparent)]
    Flush(#[from] FlushError),
    /// See [`EncodeError`].
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// See [`BatchError`].
    #[error(transparent)]
    Batch(#[from] BatchError),
}
