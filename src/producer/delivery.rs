//! What became of a record that was enqueued.

use super::accumulator::Place;
use super::{Inner, metadata};
use crate::error::SendError;
use crate::ids::{Offset, Timestamp};
use crate::record::RecordMetadata;
use crate::sync::Arc;
use crate::topic::Ticket;

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
    Queued { producer: Arc<Inner>, timestamp: Timestamp, place: Place },
    Carried { ticket: Ticket, offset: Offset, timestamp: Timestamp },
}

impl Delivery {
    #[inline]
    pub(super) fn done(metadata: RecordMetadata) -> Delivery {
        Delivery(State::Done(metadata))
    }

    #[inline]
    pub(super) fn carried(ticket: Ticket, offset: Offset, timestamp: Timestamp) -> Delivery {
        Delivery(State::Carried { ticket, offset, timestamp })
    }

    pub(super) fn queued(producer: &Arc<Inner>, timestamp: Timestamp, place: Place) -> Delivery {
        Delivery(State::Queued { producer: Arc::clone(producer), timestamp, place })
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
            State::Queued { producer, timestamp, place } => {
                let Inner { topic, accumulator, .. } = &**producer;
                let (offset, time) = accumulator.complete(place, topic)?;
                Ok(metadata(topic, place.partition, offset, time.unwrap_or(*timestamp)))
            }
            State::Carried { ticket, offset, timestamp } => {
                let partition = ticket.partition();
                partition.settle_ticket(ticket)?;
                let topic = partition.settings.name.clone();
                let (partition, offset, timestamp) = (partition.id(), *offset, *timestamp);
                Ok(RecordMetadata { topic, partition, offset, timestamp })
            }
        }
    }
}
