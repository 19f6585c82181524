//! What became of a record that was enqueued.

use super::Inner;
use super::accumulator::Place;
use crate::error::SendError;
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
pub struct Delivery {
    // Fields, and no variants: those would be put together in memory, piece by piece, and moved on at once in
    // wider pieces, which makes the processor wait.
    /// Where the record is; while it is queued, without its offset.
    metadata: RecordMetadata,
    /// Tells what becomes of it, if that is not known yet.
    ticket: Option<Ticket>,
    queued: Option<Box<Queued>>,
}

/// A record that lingers.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) producer: Arc<Inner>,
    pub(super) place: Place,
}

impl Delivery {
    /// A record that has its offset, and is where its topic promises it to be unless a ticket tells.
    #[inline]
    pub(super) fn appended(metadata: RecordMetadata, ticket: Option<Ticket>) -> Delivery {
        Delivery { metadata, ticket, queued: None }
    }

    /// A record that has none yet.
    #[inline]
    pub(super) fn queued(metadata: RecordMetadata, queued: Box<Queued>) -> Delivery {
        Delivery { metadata, ticket: None, queued: Some(queued) }
    }

    /// Whether it is known what became of the record: it has reached the topic's durability, or was
    /// refused.
    pub fn is_done(&self) -> bool {
        let is_appended = |queued: &Queued| queued.place.appended().is_some();
        let is_settled = |ticket: &Ticket| ticket.outcome().is_some();
        self.queued.as_deref().is_none_or(is_appended)
            && self.ticket.as_ref().is_none_or(is_settled)
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
        let mut metadata = self.metadata.clone();
        if let Some(ticket) = &self.ticket {
            ticket.partition().settle_ticket(ticket)?;
        }
        if let Some(queued) = &self.queued {
            let Inner { topic, accumulator, .. } = &*queued.producer;
            let (offset, time) = accumulator.complete(&queued.place, topic)?;
            metadata.offset = offset;
            metadata.timestamp = time.unwrap_or(metadata.timestamp);
        }
        Ok(metadata)
    }
}
