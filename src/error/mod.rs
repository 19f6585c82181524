//! One error enum per operation, and one umbrella for `?`.
//!
//! A message names the thing and the numbers. Each variant says what state the caller is in now;
//! where nothing else is said, the call had no effect.

mod disk;
mod format;
mod group;

pub use disk::{Corruption, CorruptionReason, DiskError, OpenError};
pub use format::{BatchError, EncodeError};
pub use group::{AssignmentError, CommitError, GroupError, PollError};

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
    /// The directory has a topic of that name already.
    #[error("topic {topic} exists")]
    Exists {
        /// The name.
        topic: TopicName,
    },
    /// The directory has a topic whose name differs only in case, which some file systems cannot tell
    /// apart.
    #[error("topic name {topic} differs only in case from topic {existing}")]
    SameButCase {
        /// The name that was refused.
        topic: TopicName,
        /// The topic there is.
        existing: TopicName,
    },
    /// There is no topic of that name.
    #[error("there is no topic {topic}")]
    Unknown {
        /// The name asked for.
        topic: TopicName,
    },
    /// The disk refused something. The topics are as they were.
    #[error("topic {topic} was not changed")]
    Disk {
        /// The topic that was to be created, grown or deleted.
        topic: TopicName,
        /// What the disk said.
        #[source]
        source: Box<DiskError>,
    },
    /// A file of the topic cannot be read as it is.
    #[error("topic {topic} was not opened")]
    Open {
        /// The topic.
        topic: TopicName,
        /// What is wrong.
        #[source]
        source: Box<OpenError>,
    },
    /// The topic is deleted, but what groups have committed for it is not forgotten, because the log of
    /// committed offsets is offline. Once that is repaired, groups would read a new topic of this name
    /// from where they were in this one: reset their offsets.
    #[error(
        "topic {topic} is deleted, what is committed for it is not: {partition} is offline: {corruption}"
    )]
    Offline {
        /// The topic that was deleted.
        topic: TopicName,
        /// The log of committed offsets.
        partition: TopicPartition,
        /// Where it is damaged, and what is wrong.
        corruption: Box<Corruption>,
    },
    /// The broker was closed.
    #[error("the broker of topic {topic} is closed")]
    Closed {
        /// The topic that was to be created, grown or deleted.
        topic: TopicName,
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
    /// A compacted topic keeps the last record of each key, so its records have one.
    #[error("record for {partition} has no key, which a compacted topic needs")]
    NoKey {
        /// Where it was to go.
        partition: TopicPartition,
    },
    /// The disk refused the write, and the partition is as it was before. It works again once what was
    /// in the way, such as a full disk, is gone.
    #[error("{partition} was not written")]
    Disk {
        /// Where it was to go.
        partition: TopicPartition,
        /// What the disk said.
        #[source]
        source: Box<DiskError>,
    },
    /// A sync failed, now or before: nobody knows what is on the disk, also not of this batch. The
    /// partition takes nothing more until its directory is opened again; what was visible stays readable.
    #[error("{partition} takes no more records since a sync of it failed")]
    Poisoned {
        /// Where it was to go.
        partition: TopicPartition,
        /// What the disk said.
        #[source]
        source: Box<DiskError>,
    },
    /// The partition is offline: its files were found damaged when the directory was opened. It takes
    /// nothing until they are put right and the directory is opened again; others are not concerned.
    #[error("{partition} is offline: {corruption}")]
    Offline {
        /// Where it was to go.
        partition: TopicPartition,
        /// Where it is damaged, and what is wrong.
        corruption: Box<Corruption>,
    },
    /// The broker of the topic was closed.
    #[error("the broker of {partition} is closed")]
    Closed {
        /// Where it was to go.
        partition: TopicPartition,
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
    /// A batch went to several partitions, and the disk refused some of them. The others have theirs.
    #[error("{} of {} records for topic {topic} were not sent", sent.iter().filter(|one| one.is_none()).count(), sent.len())]
    PartlySent {
        /// The topic.
        topic: TopicName,
        /// Where each record went, in their order; `None` for those that were not sent, or of which that is
        /// not known, as `source` says.
        sent: Vec<Option<(PartitionId, Offset)>>,
        /// The first refusal, or the first [`Poisoned`](AppendError::Poisoned) one if there is such.
        #[source]
        source: AppendError,
    },
    /// The partition refused the batch.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl SendError {
    /// Some groups of a batch were refused; if all were, nothing was sent.
    pub(crate) fn partly(
        topic: &TopicName,
        sent: Vec<Option<(PartitionId, Offset)>>,
        source: AppendError,
    ) -> SendError {
        if sent.iter().all(Option::is_none) {
            return SendError::Append(source);
        }
        SendError::PartlySent { topic: topic.clone(), sent, source }
    }
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
    /// The partition's files are damaged where the offset is to be read. Other offsets can be read:
    /// seek past it, or restore the file.
    #[error("{partition} is damaged: {corruption}")]
    Corrupt {
        /// Where it was read.
        partition: TopicPartition,
        /// Where, and what is wrong.
        corruption: Box<Corruption>,
    },
    /// The partition is offline: its files were found damaged when the directory was opened. No offset of
    /// it can be read until they are put right and the directory is opened again; others are not concerned.
    /// A consumer that is to hear no more of it pauses it.
    #[error("{partition} is offline: {corruption}")]
    Offline {
        /// Where it was read.
        partition: TopicPartition,
        /// Where it is damaged, and what is wrong.
        corruption: Box<Corruption>,
    },
    /// The disk refused to be read. Try again.
    #[error("{partition} was not read")]
    Disk {
        /// Where it was read.
        partition: TopicPartition,
        /// What the disk said.
        #[source]
        source: Box<DiskError>,
    },
    /// Everything was read, and nothing more will come: a sync of the partition failed. Open its
    /// directory again.
    #[error("{partition} takes no more records since a sync of it failed")]
    Poisoned {
        /// Where it was read.
        partition: TopicPartition,
    },
    /// Everything was read, and nothing more will come: the broker was closed.
    #[error("the broker of {partition} is closed")]
    Closed {
        /// Where it was read.
        partition: TopicPartition,
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
pub enum FlushError {
    /// The disk refused a write. What was appended and not written is gone, its senders were told; the
    /// partition works again once what was in the way is gone.
    #[error("{partition} was not written")]
    Disk {
        /// What was to be flushed.
        partition: TopicPartition,
        /// What the disk said.
        #[source]
        source: Box<DiskError>,
    },
    /// The sync failed, now or before: nobody knows what is on the disk. Open the directory again.
    #[error("{partition} was not synced, and takes no more records")]
    Poisoned {
        /// What was to be flushed.
        partition: TopicPartition,
        /// What the disk said.
        #[source]
        source: Box<DiskError>,
    },
    /// The partition is offline: its files were found damaged when the directory was opened, and are left
    /// as they are.
    #[error("{partition} is offline: {corruption}")]
    Offline {
        /// What was to be flushed.
        partition: TopicPartition,
        /// Where it is damaged, and what is wrong.
        corruption: Box<Corruption>,
    },
    /// The broker of the topic was closed, which flushed it.
    #[error("the broker of {partition} is closed")]
    Closed {
        /// What was to be flushed.
        partition: TopicPartition,
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
    /// See [`GroupError`].
    #[error(transparent)]
    Group(#[from] GroupError),
    /// See [`PollError`].
    #[error(transparent)]
    Poll(#[from] PollError),
    /// See [`CommitError`].
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// See [`AssignmentError`].
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// See [`OpenError`].
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// The message of a panic of the user's code, where it has one.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "(no message)".to_owned())
}
