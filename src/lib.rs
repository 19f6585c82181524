//! Kafka's model inside one process: topics cut into partitions, producers, consumer groups, offsets,
//! rebalancing. There is no broker to run, no C, and no runtime.
//!
//! ```
//! use anabranch::{ConsumerGroup, Producer, Record, Topic, TopicConfig};
//! use std::time::Duration;
//!
//! let orders = Topic::in_memory("orders", TopicConfig::new().partitions(6))?;
//!
//! let producer = Producer::new(&orders);
//! let sent = producer.send(Record::new("2 espresso").with_key("customer-42"))?;
//! println!("partition {} offset {}", sent.partition, sent.offset);
//!
//! let billing = ConsumerGroup::builder("billing").topic(&orders).build()?;
//! let mut consumer = billing.join("worker-1")?;
//! for record in &consumer.poll(Duration::from_secs(1))? {
//!     println!("{}@{}: {:?}", record.partition(), record.offset(), record.value());
//! }
//! consumer.commit()?;
//! # Ok::<(), anabranch::Error>(())
//! ```
//!
//! # The picture
//!
//! ```text
//!                        topic "orders"
//!  Producer ─► key ─►  ┌ partition 0 │ 0 1 2 3 4 5 6 ▸   ◄─┐ worker-1 ┐
//!                      ├ partition 1 │ 0 1 2 3 ▸         ◄─┘          ├ group "billing"
//!  Producer ─► key ─►  └ partition 2 │ 0 1 2 3 4 ▸       ◄── worker-2 ┘
//!                                      └─────────────────◄── Reader: no group, any offset
//! ```
//!
//! - A [`Topic`] is a named log, cut into partitions. Within a [`Partition`] records have offsets, 0,
//!   1, 2 …, and stay until retention drops them: reading does not take them out.
//! - A [`Producer`] sends. A [`Partitioner`](partitioner::Partitioner) chooses the partition: records of
//!   one key go to the same one, in order.
//! - A [`ConsumerGroup`] shares the partitions among its members; an [`Assignor`](assignor::Assignor)
//!   says who gets which. Each group reads everything, each [`Consumer`] its part, and the group
//!   remembers how far it has come.
//! - A [`Reader`] reads any partitions from any offsets, without a group.
//! - What is read is a view into the log's own memory: [`Records`], [`ConsumerRecord`]. What is in
//!   memory is what Kafka would write to disk: [`format`](mod@format).
//!
//! # Threads, tasks and time
//!
//! Blocking calls are the default and no thread is ever started. [`Reader::poll_next`] and
//! [`Consumer::poll_next`] are the same polls for a task: they take a `std::task::Context` and need no
//! particular runtime. All time comes from a [`Clock`]; tests use [`ManualClock`]. Only the timeouts of
//! blocking calls pass in real time.
//!
//! # Errors
//!
//! Each operation has an error type of its own; [`Error`] holds any of them, for `?`.

mod broker;
mod clock;
mod error;
#[cfg(any(test, feature = "testing"))]
mod ext;
pub mod format;
mod group;
mod ids;
mod log;
mod producer;
mod record;
mod sync;
mod topic;

pub use broker::inspect;
pub use broker::{Broker, BrokerBuilder, Housekeeping};
pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{
    AppendError, AssignmentError, BatchError, CommitError, Corruption, CorruptionReason, DiskError,
    EncodeError, Error, FlushError, GroupError, OpenError, PollError, ReadError, SendError,
    TopicError,
};
#[cfg(any(test, feature = "testing"))]
pub use ext::testing;
pub use group::assignor;
pub use group::{
    Consumer, ConsumerGroup, ConsumerGroupBuilder, GroupDescription, GroupState, MemberBuilder,
    MemberDescription, OffsetAndMetadata, OffsetReset, RebalanceListener, ResetTo,
};
pub use ids::{GroupId, MemberId, Offset, PartitionId, Timestamp, TopicName, TopicPartition};
pub use log::disk::{Disk, DiskEntry, DiskFile, DiskLock, EntryKind, FileDisk, OpenMode};
pub use log::salvage::{
    Salvage, SalvageReport, SalvagedPartition, SkipReason, SkippedBytes, salvage,
};
pub use log::{PartitionReport, RecoveryReport, TornTail};
pub use producer::partitioner;
pub use producer::{Delivery, Producer, ProducerBuilder};
pub use record::{Header, OwnedHeader, OwnedRecord, Record, RecordMetadata, TimestampType};
pub use topic::{
    Cleanup, ConsumerRecord, Durability, Headers, Partition, PartitionRecords,
    PartitionRecordsIter, PartitionStats, Reader, Records, RecordsIter, Topic, TopicConfig,
    TopicStats,
};
