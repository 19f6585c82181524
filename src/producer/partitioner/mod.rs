//! Which partition gets a record: the [`Partitioner`] trait and the built-in answers.
//!
//! Records of one key belong together, in order: so a key's partition is computed from its bytes,
//! and two producers that agree on the function agree on the place. Records without a key belong
//! nowhere: they go where they cost least. A record that names its partition is not asked about.
//!
//! | Partitioner | Key | No key | The same as |
//! |---|---|---|---|
//! | [`DefaultPartitioner`] | murmur2 | sticks for a batch, shorter queues preferred | Kafka's default (KIP-794) |
//! | [`StickyPartitioner`] | murmur2 | sticks for a batch, all alike | Kafka's, `partitioner.adaptive.partitioning.enable=false` |
//! | [`HashPartitioner`] | a function of yours | sticks for a batch, all alike | |
//! | [`Murmur2Partitioner`] | murmur2 | random | librdkafka's `murmur2_random` |
//! | [`ConsistentRandomPartitioner`] | CRC-32; empty: random | random | librdkafka's `consistent_random`, its default |
//! | [`RoundRobinPartitioner`] | in turn | in turn | Kafka's `RoundRobinPartitioner` |
//!
//! A key's partition depends on the number of partitions: adding partitions moves keys, as it
//! does in Kafka.
//!
//! ```text
//!  record ─► partition ─► append ─► appended
//!                │  ▲
//!                ▼  │ does not fit the batch that is open there
//!             batch_closed
//! ```
//!
//! 1. A built-in partitioner returns less than the view's partition count, however it changes.
//! 2. A built-in partitioner takes no lock and allocates nothing once it is built.
//! 3. A key's partition depends on the key and the partition count alone.

mod load;
mod murmur2;
mod random;
mod scattering;
mod sticking;
mod sticky;
mod view;

pub use murmur2::murmur2;
pub use scattering::{ConsistentRandomPartitioner, Murmur2Partitioner, RoundRobinPartitioner};
pub use sticking::{DefaultPartitioner, HashPartitioner, StickyPartitioner};
pub(crate) use view::Queues;
pub use view::TopicView;

use crate::ids::PartitionId;
use crate::record::Record;

/// Chooses the partition of a record.
///
/// One partitioner serves one producer, from any number of threads at once, and no lock is held
/// while it runs. [`partition`](Partitioner::partition) is all that must be written; the other
/// two methods are for partitioners that keep count of what was sent, and for those that wrap
/// one: a sticky partitioner that is not told what was appended sticks for ever.
///
/// # Examples
///
/// Express orders have partition 0 to themselves:
///
/// ```
/// use anabranch::partitioner::{Murmur2Partitioner, Partitioner, TopicView};
/// use anabranch::{PartitionId, Record};
///
/// struct ExpressLane(Murmur2Partitioner);
///
/// impl Partitioner for ExpressLane {
///     fn partition(&self, record: &Record<'_>, topic: &TopicView<'_>) -> PartitionId {
///         if topic.partition_count() == 1 || record.headers.iter().any(|h| h.name == "express") {
///             return 0;
///         }
///         let others = TopicView::new(topic.name(), topic.partition_count() - 1);
///         1 + self.0.partition(record, &others)
///     }
/// }
///
/// let lane = ExpressLane(Murmur2Partitioner::new());
/// let topic = TopicView::new("orders", 6);
/// assert_ne!(lane.partition(&Record::new("2 espresso").with_key("customer-42"), &topic), 0);
/// ```
pub trait Partitioner: Send + Sync {
    /// Chooses the partition of a record that names none. Must return less than
    /// `topic.partition_count()`; the producer refuses the record otherwise.
    ///
    /// Asked once per record.
    fn partition(&self, record: &Record<'_>, topic: &TopicView<'_>) -> PartitionId;

    /// Told that a record went to `partition`, as this partitioner had chosen, where it takes
    /// `bytes`: the record in the batch format, and the batch's header if it opened one. Does
    /// nothing by default.
    ///
    /// Not told about records that named their partition.
    fn appended(
        &self,
        record: &Record<'_>,
        partition: PartitionId,
        bytes: usize,
        topic: &TopicView<'_>,
    ) {
        let _ = (record, partition, bytes, topic);
    }

    /// Asked where a record is to go that did not fit into the open batch of `partition` and so
    /// has closed it. Stays with `partition` by default.
    ///
    /// Asked at most once per record, and only where the producer collects batches. Must return
    /// less than `topic.partition_count()`.
    fn batch_closed(
        &self,
        record: &Record<'_>,
        partition: PartitionId,
        topic: &TopicView<'_>,
    ) -> PartitionId {
        let _ = (record, topic);
        partition
    }
}

/// A boxed partitioner is one: for a choice made at run time.
///
/// ```
/// use anabranch::partitioner::{DefaultPartitioner, Partitioner, RoundRobinPartitioner, TopicView};
/// use anabranch::Record;
///
/// fn by_name(name: &str) -> Box<dyn Partitioner> {
///     match name {
///         "round_robin" => Box::new(RoundRobinPartitioner::new()),
///         _ => Box::new(DefaultPartitioner::default()),
///     }
/// }
///
/// let partitioner = by_name("round_robin");
/// let topic = TopicView::new("orders", 3);
/// assert_eq!([0; 4].map(|_| partitioner.partition(&Record::new("x"), &topic)), [0, 1, 2, 0]);
/// ```
impl<P: Partitioner + ?Sized> Partitioner for Box<P> {
    fn partition(&self, record: &Record<'_>, topic: &TopicView<'_>) -> PartitionId {
        (**self).partition(record, topic)
    }

    fn appended(
        &self,
        record: &Record<'_>,
        partition: PartitionId,
        bytes: usize,
        topic: &TopicView<'_>,
    ) {
        (**self).appended(record, partition, bytes, topic);
    }

    fn batch_closed(
        &self,
        record: &Record<'_>,
        partition: PartitionId,
        topic: &TopicView<'_>,
    ) -> PartitionId {
        (**self).batch_closed(record, partition, topic)
    }
}
