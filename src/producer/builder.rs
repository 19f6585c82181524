//! A producer's settings.

use super::Producer;
use super::accumulator::{Accumulator, Limits};
use super::partitioner::{DefaultPartitioner, Partitioner};
use super::route::Router;
use crate::error::SendError;
use crate::topic::Topic;
use std::time::Duration;

/// The settings of a producer; made by [`Producer::builder`].
///
/// ```
/// use anabranch::partitioner::RoundRobinPartitioner;
/// use anabranch::{Producer, Record, Topic, TopicConfig};
///
/// let topic = Topic::in_memory("orders", TopicConfig::new().partitions(2))?;
/// let producer = Producer::builder(&topic).partitioner(RoundRobinPartitioner::new()).build()?;
/// assert_eq!(producer.send(Record::new("a"))?.partition, 0);
/// assert_eq!(producer.send(Record::new("b"))?.partition, 1);
/// # Ok::<(), anabranch::Error>(())
/// ```
#[must_use]
pub struct ProducerBuilder {
    topic: Topic,
    partitioner: Option<Box<dyn Partitioner>>,
    limits: Limits,
}

impl std::fmt::Debug for ProducerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProducerBuilder")
            .field("topic", &self.topic.name())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl ProducerBuilder {
    pub(super) fn new(topic: &Topic) -> ProducerBuilder {
        ProducerBuilder { topic: topic.clone(), partitioner: None, limits: Limits::default() }
    }

    /// Who chooses the partition of a record that names none. Default: [`DefaultPartitioner`] with
    /// this producer's `batch_bytes`.
    ///
    /// It runs on the sending thread with no lock held. If it panics or chooses a partition that does
    /// not exist, that one call fails.
    pub fn partitioner(mut self, partitioner: impl Partitioner + 'static) -> Self {
        self.partitioner = Some(Box::new(partitioner));
        self
    }

    /// How long a record that was enqueued may wait for others to share its batch. Default: zero.
    ///
    /// Without it records share batches as long as nobody looks for them. Raising it fills batches
    /// also while readers are at the end of the log, which saves up to 60 bytes a record, and costs up
    /// to this much latency; see [`Producer::enqueue`] on who watches the time.
    pub fn linger(mut self, span: Duration) -> Self {
        self.limits.linger = span;
        self
    }

    /// The bytes at which a batch that gathers is full. Default: 16 KiB, as in Kafka; at least 1. A
    /// larger record has a batch of its own.
    ///
    /// It is also how many bytes keyless records send to one partition before they move on.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.limits.batch_bytes = bytes;
        self
    }

    /// The most bytes that records may take while they wait to be appended. Default: 32 MiB, as in
    /// Kafka.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.limits.buffer_bytes = bytes;
        self
    }

    /// How long `enqueue` waits, in real time, for room in the buffer before it fails with
    /// [`SendError::BufferFull`]. Default: 60 seconds, as in Kafka;
    /// zero fails at once.
    pub fn max_block(mut self, timeout: Duration) -> Self {
        self.limits.max_block = timeout;
        self
    }

    /// Makes the producer.
    ///
    /// # Errors
    ///
    /// [`SendError::InvalidSetting`] if `batch_bytes` is 0.
    pub fn build(self) -> Result<Producer, SendError> {
        let limits = self.limits;
        if limits.batch_bytes == 0 {
            return Err(SendError::InvalidSetting {
                topic: self.topic.topic_name().clone(),
                setting: "batch_bytes",
                value: "0".to_owned(),
                reason: "the least is 1",
            });
        }
        Ok(self.make(limits))
    }

    /// Makes the producer with the defaults, which are in range.
    pub(super) fn with_defaults(self) -> Producer {
        let limits = self.limits;
        self.make(limits)
    }

    fn make(self, mut limits: Limits) -> Producer {
        limits.batch_bytes = limits.batch_bytes.min(self.topic.config().max_batch_bytes);
        let router = match self.partitioner {
            Some(custom) => Router::Custom(custom),
            None => Router::Default(Box::new(DefaultPartitioner::new(limits.batch_bytes))),
        };
        let offline = self.topic.offline().to_vec();
        Producer::assemble(self.topic, router, Accumulator::new(limits, offline))
    }
}
