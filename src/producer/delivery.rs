//! What became of a record that was enqueued.

use super::accumulator::Place;
use super::{Inner, metadata};
use crate::error::SendError;
use crate::ids::{PartitionId, Timestamp};
use crate::record::RecordMetadata;
use crate::sync::Arc;
use crate::topic::{Shared, Ticket};

/// The promise that an enqueued record is appended; made by
/// [`Producer::enqueue`](crate::Producer::enqueue).
///
/// It need not be kept: the record is appended all the same.
///
/// ```
/// use anabranch::{Producer, Record, Topic, TopicConfig};
///
/// let topic = Topic::in_memory("orders", TopicConfig::new())?;
/// let delivery = Producer::new(&topic).enqueue(Record::new("2 espresso"))?;
/// assert_eq!(delivery.wait()?.offset, 0);
/// assert!(delivery.is_done());
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Debug)]
pub struct Delivery(State);

#[derive(Debug)]
enum State {
    Done(RecordMetadata),
    Queued { producer: Arc<Inner>, partition: PartitionId, timestamp: Timestamp, place: Place },
    Carried { partition: Arc<Shared>, ticket: Ticket, metadata: RecordMetadata },
}

impl Delivery {
    #[inline]
    pub(super) fn done(metadata: RecordMetadata) -> Delivery {
        Delivery(State::Done(metadata))
    }

    pub(super) fn carried(
        partition: Arc<Shared>,
        ticket: Ticket,
        metadata: RecordMetadata,
    ) -> Delivery {
        Delivery(State::Carried { partition, ticket, metadata })
    }

    pub(super) fn queued(
        producer: &Arc<Inner>,
        partition: PartitionId,
        timestamp: Timestamp,
        place: Place,
    ) -> Delivery {
        let producer = Arc::clone(producer);
        Delivery(State::Queued { producer, partition, timestamp, place })
    }

    /// Whether it is known what became of the record: it has reached the topic's durability, or was
    /// refused.
    pub fn is_done(&self) -> bool {
        match &self.0 {
            State::Done(_) => true,
            State::Queued { place, .. } => place.appended().is_some(),
            State::Carried { ticket, .. } => ticket.outcome().is_some(),
        }
    }

    /// Returns what the record became, once it has reached the topic's durability.
    ///
    /// It does not wait for the linger to pass: the record's batch is closed, and appended by this
    /// thread unless another is at it.
    ///
    /// # Errors
    ///
    /// None for a topic in memory: what it could refuse was refused by `enqueue`. Else
    /// [`SendError::Append`] if the disk refused the record, which is then gone.
    pub fn wait(&self) -> Result<RecordMetadata, SendError> {
        match &self.0 {
            State::Done(metadata) => Ok(metadata.clone()),
            State::Queued { producer, partition, timestamp, place } => {
                let Inner { topic, accumulator, .. } = &**producer;
                let (offset, time) = accumulator.complete(place, topic, *partition)?;
                Ok(metadata(topic, *partition, offset, time.unwrap_or(*timestamp)))
            }
            State::Carried { partition, ticket, metadata } => {
                partition.settle_ticket(ticket)?;
                Ok(metadata.clone())
            }
        }
    }
}
