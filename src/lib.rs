//! anabranch: Kafka's model (topics, partitions, producers, consumer groups) inside one process.

mod clock;
mod error;
mod group;
mod ids;
mod record;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{
    AppendError, AssignmentError, Error, FlushError, ReadError, SendError, TopicError,
};
pub use ids::{GroupId, MemberId, Offset, PartitionId, Timestamp, TopicName, TopicPartition};
pub use record::{Header, OwnedHeader, OwnedRecord, Record, RecordMetadata};
