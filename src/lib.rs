//! Kafka's model inside one process: topics cut into partitions, producers, consumer groups, offsets,
//! rebalancing; in memory, or in a directory of files as Kafka writes them. There is no broker to run, no
//! C, and no runtime.
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
//! The same in a directory that survives the process: one [`Broker`], and everything after it is unchanged.
//!
//! ```
//! use anabranch::{Broker, Durability, Producer, Record, TopicConfig};
//! use std::time::Duration;
//!
//! # let dir = std::env::temp_dir().join(format!("anabranch-doc-tour-{}", std::process::id()));
//! let broker = Broker::open(&dir)?; // creates or recovers, and has the directory for itself
//! let config = TopicConfig::new().partitions(6).durability(Durability::Synced);
//! let orders = broker.topic_or_create("orders", config)?;
//! Producer::new(&orders).send(Record::new("2 espresso").with_key("customer-42"))?;
//! broker.close()?; // or be killed: what `send` has acknowledged is there
//!
//! let broker = Broker::open(&dir)?;
//! let orders = broker.topic("orders")?;
//! let billing = broker.consumer_group("billing").topic(&orders).build()?;
//! let mut consumer = billing.join("worker-1")?;
//! assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 1);
//! consumer.commit()?; // kept in the directory: the next run goes on from here
//! # drop((consumer, billing, orders));
//! # broker.close()?;
//! # std::fs::remove_dir_all(&dir).expect("it is ours");
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
//! - A [`Broker`] has a directory of topics, and keeps what groups commit. A topic's [`Durability`] says
//!   what a record must have survived before it is acknowledged and read: nothing, the end of the
//!   process, or that of the operating system.
//! - [`inspect`] looks at a directory without opening it; [`salvage`](salvage()) reads what can be read of one
//!   that is damaged.
//!
//! # Threads, tasks and time
//!
//! Blocking calls are the default. No thread is started, but for the one in which a broker looks after its
//! directory, unless you do that yourself: [`Housekeeping`]. [`Reader::poll_next`] and
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

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

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
