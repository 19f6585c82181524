//! Sending: one record, a batch, or records that are collected into batches.
//!
//! ```text
//!   send        ─► route ───────────────────────────────────────► partition: a batch of one
//!   send_batch  ─► route each, group by partition ──────────────► partition: a batch per group
//!   enqueue     ─► route ─► no linger? ─────────────────────────► partition: joins its open batch
//!                              └─ else queue (accumulator) ─────► partition: a batch when due
//! ```
//!
//! | File | Its one job |
//! |---|---|
//! | `partitioner/` | Which partition gets a record. |
//! | `route.rs` | Asks the partitioner, answers for it, groups a batch by partition. |
//! | `accumulator.rs` | Records that linger, and who appends their batch. |
//! | `delivery.rs` | What became of a queued record. |
//!
//! Invariants:
//! 1. Per producer and partition, records are appended in the order in which the calls that sent
//!    them returned: a call that appends at once first appends what is queued.
//! 2. User code (partitioner, clock, the iterator of a batch) runs with no lock held.
//! 3. A refused batch appends nothing, to any partition.

mod accumulator;
mod builder;
mod delivery;
pub mod partitioner;
mod route;
#[cfg(all(test, shuttle))]
mod shuttle_models;

pub use builder::ProducerBuilder;
pub use delivery::Delivery;
use delivery::Queued;

use crate::error::{AppendError, SendError};
use crate::ids::{Offset, PartitionId, Timestamp};
use crate::record::{Record, RecordMetadata, TimestampType};
use crate::sync::Arc;
use crate::topic::{Shared, Topic};
use accumulator::Accumulator;
use route::{Groups, Router, Routes};
use std::time::Duration;

/// Sends records to one topic: a handle for any number of threads.
///
/// A clone is another handle to the same producer. When the last one is dropped, what is queued is
/// appended.
///
/// ```
/// use anabranch::{Producer, Record, Topic, TopicConfig};
///
/// let topic = Topic::in_memory("orders", TopicConfig::new().partitions(6))?;
/// let producer = Producer::new(&topic);
/// let sent = producer.send(Record::new("2 espresso").with_key("customer-42"))?;
/// let again = producer.send(Record::new("1 water").with_key("customer-42"))?;
/// assert_eq!((again.partition, again.offset), (sent.partition, sent.offset + 1));
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Producer {
    inner: Arc<Inner>,
    _flush: Arc<FlushOnDrop>,
}

#[derive(Debug)]
struct Inner {
    topic: Topic,
    router: Router,
    accumulator: Accumulator,
}

/// Shared by the handles to one producer, but not by its deliveries.
#[derive(Debug)]
struct FlushOnDrop(Arc<Inner>);

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        // Whoever wants to know what became of it has a delivery, or flushes before.
        let _ = self.0.accumulator.flush(&self.0.topic);
        let _ = settle(&self.0.topic);
    }
}

/// Has everything written that was appended to the topic.
fn settle(topic: &Topic) -> Result<(), AppendError> {
    let mut first = Ok(());
    for id in 0..topic.partition_count() {
        let Some(partition) = topic.shared(id) else { continue };
        if !partition.has_files() {
            break;
        }
        let settled = partition.settle_all();
        first = graver(graver(first, settled), partition.take_untold());
    }
    first
}

impl Producer {
    /// A producer with the defaults named at [`ProducerBuilder`].
    pub fn new(topic: &Topic) -> Producer {
        Producer::builder(topic).with_defaults()
    }

    /// A producer with other settings than the defaults.
    pub fn builder(topic: &Topic) -> ProducerBuilder {
        ProducerBuilder::new(topic)
    }

    fn assemble(topic: Topic, router: Router, accumulator: Accumulator) -> Producer {
        let inner = Arc::new(Inner { topic, router, accumulator });
        Producer { _flush: Arc::new(FlushOnDrop(Arc::clone(&inner))), inner }
    }

    /// Appends one record; returns when the topic's durability is reached.
    ///
    /// # Errors
    ///
    /// [`SendError`] if no partition was found or the partition refused the record. Nothing was
    /// appended; unless a sync failed ([`AppendError::Poisoned`]), when that
    /// is not known.
    #[inline]
    pub fn send(&self, record: Record<'_>) -> Result<RecordMetadata, SendError> {
        let Inner { topic, router, accumulator } = &*self.inner;
        let now = topic.now();
        let id = router.route(&record, topic, accumulator)?;
        let partition = partition_of(topic, id)?;
        let bytes_max = partition.check_one(&record, now)?;
        accumulator.append_queued(topic, id, now);
        let offset = partition.append_one(&record, bytes_max, now)?;
        router.appended(&record, id, topic, accumulator);
        Ok(metadata(topic, id, offset, stamp(topic, &record, now)))
    }

    /// Appends records, grouped by partition: each group is one batch, whole or not at all. Returns
    /// when the topic's durability is reached, with what became of each record, in their order.
    ///
    /// Under the default partitioner, records without a key and without a partition go to one
    /// partition together.
    ///
    /// # Errors
    ///
    /// [`SendError`] if no partition was found for one of the records or a partition refuses its
    /// group. Nothing was appended, to any partition; unless a disk refused some of several groups, which
    /// is [`SendError::PartlySent`], or a sync failed, which is [`AppendError::Poisoned`].
    pub fn send_batch<'a>(
        &self,
        records: impl IntoIterator<Item = Record<'a>>,
    ) -> Result<Vec<RecordMetadata>, SendError> {
        let records: Vec<Record<'a>> = records.into_iter().collect();
        let Inner { topic, router, accumulator } = &*self.inner;
        match router.route_all(&records, topic, accumulator)? {
            Routes::None => Ok(Vec::new()),
            Routes::One(id) => self.send_group(&records, id),
            Routes::Many(groups) => self.send_groups(&records, &groups),
        }
    }

    fn send_group(
        &self,
        records: &[Record<'_>],
        id: PartitionId,
    ) -> Result<Vec<RecordMetadata>, SendError> {
        let Inner { topic, accumulator, .. } = &*self.inner;
        let now = topic.now();
        let partition = partition_of(topic, id)?;
        let checked = partition.check(records.iter(), now)?;
        accumulator.append_queued(topic, id, now);
        let base = partition.append(checked)?;
        let describe = |(offset, record)| metadata(topic, id, offset, stamp(topic, record, now));
        Ok((base..).zip(records).map(describe).collect())
    }

    /// Checks every group before it appends the first.
    fn send_groups(
        &self,
        records: &[Record<'_>],
        groups: &Groups,
    ) -> Result<Vec<RecordMetadata>, SendError> {
        let Inner { topic, accumulator, .. } = &*self.inner;
        let now = topic.now();
        let mut checked = Vec::with_capacity(groups.len());
        for (id, members) in groups.iter() {
            let partition = partition_of(topic, id)?;
            accumulator.check_online(partition)?;
            let group = members.iter().map(|&index| &records[index as usize]);
            checked.push((partition, partition.check(group, now)?));
        }
        let mut offsets: Vec<Option<Offset>> = vec![None; records.len()];
        let mut refused = Ok(());
        for ((partition, batch), (id, members)) in checked.into_iter().zip(groups.iter()) {
            accumulator.append_queued(topic, id, now);
            match partition.append(batch) {
                Ok(base) => {
                    for (offset, &index) in (base..).zip(members) {
                        offsets[index as usize] = Some(offset);
                    }
                }
                // The other groups are none the worse for it.
                Err(error) => refused = graver(refused, Err(error)),
            }
        }
        let rows = records.iter().zip(groups.routes()).zip(offsets);
        if let Err(source) = refused {
            let sent = rows.map(|((_, &id), offset)| Some((id, offset?))).collect();
            return Err(SendError::partly(topic.topic_name(), sent, source));
        }
        let describe =
            |((record, &id), offset)| Some(metadata(topic, id, offset?, stamp(topic, record, now)));
        Ok(rows.filter_map(describe).collect())
    }

    /// Hands a record over to be appended with others, and returns without waiting for that.
    ///
    /// Without linger (the default) the record joins the batch at the end of its partition, which is closed
    /// at `batch_bytes`, and has its offset at once. In memory it is there for whoever looks: a reader at the
    /// end closes the batch. In a directory the batch is written, with those before it, once there is a
    /// mebibyte of them, when somebody waits for one or flushes, when a reader has nothing else to read, or by
    /// the broker's housekeeping; readers see it then. (Where the log stamps its records,
    /// [`LogAppendTime`](TimestampType::LogAppendTime), and in a directory under
    /// [`Durability::Memory`](crate::Durability::Memory), each is a batch and appended as by
    /// [`send`](Self::send).)
    ///
    /// With linger records gather outside the log until their batch is full or due.
    ///
    /// No thread of the producer's own watches the time: a batch that is due is appended by the next
    /// `enqueue`, or by [`tick`](Self::tick), [`flush`](Self::flush), [`Delivery::wait`], or the drop
    /// of the last handle.
    ///
    /// # Errors
    ///
    /// [`SendError::BufferFull`] if `buffer_bytes` were in use for all of `max_block`; else as
    /// [`send`](Self::send). The record was not queued.
    ///
    /// ```
    /// use anabranch::{Producer, Record, Topic, TopicConfig};
    /// use std::time::Duration;
    ///
    /// let topic = Topic::in_memory("orders", TopicConfig::new())?;
    /// let producer = Producer::builder(&topic).linger(Duration::from_secs(60)).build()?;
    /// let first = producer.enqueue(Record::new("2 espresso"))?;
    /// let second = producer.enqueue(Record::new("1 water"))?;
    /// assert_eq!(topic.stats().total.appends, 0);
    ///
    /// assert_eq!(second.wait()?.offset, 1); // does not wait for the minute to pass: it appends
    /// assert_eq!(first.wait()?.offset, 0);
    /// assert_eq!(topic.stats().total.appends, 1);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    #[inline]
    pub fn enqueue(&self, record: Record<'_>) -> Result<Delivery, SendError> {
        let Inner { topic, router, accumulator } = &*self.inner;
        let now = topic.now();
        let id = router.route(&record, topic, accumulator)?;
        let partition = partition_of(topic, id)?;
        if accumulator.lingers() {
            let (queued, timestamp) = self.queue(partition, &record, id, now)?;
            let metadata = metadata(topic, queued.place.partition, 0, timestamp);
            return Ok(Delivery::queued(metadata, queued));
        }
        let joined = Shared::enqueue(partition, &record, now, accumulator.batch_bytes());
        let (offset, ticket) = joined?;
        router.appended(&record, id, topic, accumulator);
        let timestamp = stamp(topic, &record, now);
        Ok(Delivery::appended(metadata(topic, id, offset, timestamp), ticket))
    }

    #[cold]
    fn queue(
        &self,
        partition: &Arc<Shared>,
        record: &Record<'_>,
        id: PartitionId,
        now: Timestamp,
    ) -> Result<(Box<Queued>, Timestamp), SendError> {
        let Inner { topic, router, accumulator } = &*self.inner;
        partition.check_one(record, now)?;
        let mut id = id;
        if accumulator.closes_batch(record, id) {
            // The partitioner may move on, so that the batch it filled is the last one there.
            id = router.batch_closed(record, id, topic, accumulator)?;
        }
        accumulator.check_online(partition_of(topic, id)?)?;
        let reserved = accumulator.reserve(record, topic)?;
        // Waiting for room may have taken a while. If the clock panics, nothing was queued yet.
        let times = accumulator.times(topic);
        let timestamp = stamp(topic, record, now);
        let place = accumulator.push(record, reserved, id, timestamp, times);
        router.appended(record, id, topic, accumulator);
        accumulator.append_due(topic, id, times);
        Ok((Box::new(Queued { producer: Arc::clone(&self.inner), place }), timestamp))
    }

    /// Appends all that is queued; returns when that has reached the topic's durability.
    ///
    /// # Errors
    ///
    /// None for a topic in memory. Else [`SendError::Append`] with the first refusal of records that were
    /// enqueued since the last flush, by any producer; what was refused is gone, and its deliveries say so. If a
    /// sync has failed it is [`AppendError::Poisoned`], and nobody knows what is there.
    pub fn flush(&self) -> Result<(), SendError> {
        let Inner { topic, accumulator, .. } = &*self.inner;
        let queued = accumulator.flush(topic);
        let settled = settle(topic);
        Ok(graver(queued, settled)?)
    }

    /// Appends the batches whose linger has passed, by the topic's clock; returns how long it is
    /// until the next one is due, `None` if nothing is queued.
    pub fn tick(&self) -> Option<Duration> {
        let Inner { topic, accumulator, .. } = &*self.inner;
        accumulator.tick(topic, accumulator.times(topic))
    }
}

/// Of two refusals the one to tell: the first, unless it says that nothing was written while of the other nobody
/// knows.
fn graver(
    first: Result<(), AppendError>,
    next: Result<(), AppendError>,
) -> Result<(), AppendError> {
    let is_open = |told: &_| matches!(told, Err(AppendError::Poisoned { .. }));
    if first.is_ok() || is_open(&next) && !is_open(&first) { next } else { first }
}

#[inline]
fn partition_of(topic: &Topic, id: PartitionId) -> Result<&Arc<Shared>, SendError> {
    topic.shared(id).ok_or_else(|| unknown_partition(topic, id))
}

#[cold]
fn unknown_partition(topic: &Topic, requested: PartitionId) -> SendError {
    let count = topic.partition_count();
    SendError::UnknownPartition { topic: topic.topic_name().clone(), requested, count }
}

/// The timestamp that a record gets.
#[inline]
fn stamp(topic: &Topic, record: &Record<'_>, now: Timestamp) -> Timestamp {
    match topic.config().timestamp_type {
        TimestampType::CreateTime => record.timestamp.unwrap_or(now),
        TimestampType::LogAppendTime => now,
    }
}

#[inline]
fn metadata(
    topic: &Topic,
    id: PartitionId,
    offset: Offset,
    timestamp: Timestamp,
) -> RecordMetadata {
    RecordMetadata { topic: topic.topic_name().clone(), partition: id, offset, timestamp }
}
