//! anabranch: Kafka's model (topics, partitions, producers, consumer groups) inside one process.

mod clock;
mod error;
pub mod format;
mod group;
mod ids;
mod log;
mod producer;
mod record;
mod sync;
mod topic;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{
    AppendError, AssignmentError, BatchError, CommitError, EncodeError, Error, FlushError,
    GroupError, PollError, ReadError, SendError, TopicError,
};
pub use group::assignor;
pub use group::{
    Consumer, ConsumerGroup, ConsumerGroupBuilder, GroupDescription, GroupState, MemberBuilder,
    MemberDescription, OffsetAndMetadata, OffsetReset, RebalanceListener, ResetTo,
};
pub use ids::{GroupId, MemberId, Offset, PartitionId, Timestamp, TopicName, TopicPartition};
pub use producer::partitioner;
pub use producer::{Delivery, Producer, ProducerBuilder};
pub use record::{Header, OwnedHeader, OwnedRecord, Record, RecordMetadata, TimestampType};
pub use topic::{
    ConsumerRecord, Durability, Headers, Partition, PartitionRecords, PartitionRecordsIter,
    PartitionStats, Reader, Records, RecordsIter, Topic, TopicConfig, TopicStats,
};
