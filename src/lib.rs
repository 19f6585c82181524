//! anabranch: Kafka's model (topics, partitions, producers, consumer groups) inside one process.

mod clock;
mod error;
mod ids;
mod producer;
mod record;
mod sync;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{AppendError, Error, FlushError, ReadError, SendError, TopicError};
pub use ids::{GroupId, MemberId, Offset, PartitionId, Timestamp, TopicName, TopicPartition};
pub use producer::partitioner;
pub use record::{Header, OwnedHeader, OwnedRecord, Record, RecordMetadata};
