//! Partitioners whose keyless records stick together: Kafka's, and kin with another key hash.
//!
//! They differ in how they place a key, and in whether the length of the producer's queues plays
//! a part. The sticking itself is `sticky.rs`.

use super::random::Random;
use super::sticky::{BATCH_BYTES_DEFAULT, Sticky};
use super::{Partitioner, TopicView, murmur2};
use crate::ids::PartitionId;
use crate::record::Record;
use std::fmt;

/// Kafka's default: a key by murmur2, records without a key together, one batch's worth per
/// partition.
///
/// A key goes to `(murmur2(key) & 0x7fff_ffff) % partition_count`; an empty key is a key. Records
/// without a key stay with one partition until `batch_bytes` have gone there, then chance chooses
/// the next (KIP-794). Where the producer collects batches, a partition with a shorter queue is
/// more likely to be chosen, and a batch that is still open is filled up first. Where records are
/// sent one by one, each thread sticks to a partition of its own.
///
/// # Examples
///
/// ```
/// use anabranch::Record;
/// use anabranch::partitioner::{DefaultPartitioner, Partitioner, TopicView};
///
/// let partitioner = DefaultPartitioner::default();
/// let topic = TopicView::new("orders", 12);
/// assert_eq!(partitioner.partition(&Record::new("x").with_key("foobar"), &topic), 6);
///
/// let keyless = Record::new("x");
/// let first = partitioner.partition(&keyless, &topic);
/// partitioner.appended(&keyless, first, 100, &topic);
/// assert_eq!(partitioner.partition(&keyless, &topic), first);
/// ```
#[derive(Debug)]
pub struct DefaultPartitioner {
    sticking: Sticking,
}

impl DefaultPartitioner {
    /// Makes one whose keyless records stay with a partition for `batch_bytes`.
    ///
    /// [`default`](Self::default) is 16 KiB, Kafka's `batch.size`. More makes fewer, larger
    /// batches and spreads load more slowly. Beyond 2 GiB it is taken as 2 GiB.
    ///
    /// # Panics
    ///
    /// If `batch_bytes` is 0.
    #[must_use]
    pub fn new(batch_bytes: usize) -> Self {
        let sticky = Sticky::new(batch_bytes).adaptive();
        DefaultPartitioner { sticking: Sticking::new(Place::Murmur2, sticky) }
    }

    /// Takes chance from `random`, one number per choice, of which 31 bits count.
    ///
    /// Default: the crate's own source, seeded differently in each thread. A counter or a fixed
    /// seed makes choices repeatable.
    #[must_use]
    pub fn with_random(mut self, random: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        self.sticking = self.sticking.with_random(random);
        self
    }

    /// Sets whether keys play no part, as Kafka's `partitioner.ignore.keys`. Default: false.
    ///
    /// With true, records of one key are spread and no longer in order.
    #[must_use]
    pub fn ignore_keys(mut self, ignore: bool) -> Self {
        self.sticking.place = if ignore { Place::Nowhere } else { Place::Murmur2 };
        self
    }
}

impl Default for DefaultPartitioner {
    fn default() -> Self {
        Self::new(BATCH_BYTES_DEFAULT)
    }
}

/// As [`DefaultPartitioner`], but chance alone chooses where keyless records go next.
///
/// Kafka's partitioner with `partitioner.adaptive.partitioning.enable=false`: queue lengths play
/// no part, so in the long run every partition gets the same number of bytes.
///
/// # Examples
///
/// ```
/// use anabranch::Record;
/// use anabranch::partitioner::{Partitioner, StickyPartitioner, TopicView};
///
/// let partitioner = StickyPartitioner::new(1_000).with_random(|| 2);
/// let swamped = TopicView::new("orders", 3).with_backlog(&[0, 0, 999]);
/// assert_eq!(partitioner.partition(&Record::new("x"), &swamped), 2);
/// ```
#[derive(Debug)]
pub struct StickyPartitioner {
    sticking: Sticking,
}

impl StickyPartitioner {
    /// Makes one whose keyless records stay with a partition for `batch_bytes`;
    /// [`default`](Self::default) is 16 KiB, Kafka's `batch.size`.
    ///
    /// # Panics
    ///
    /// If `batch_bytes` is 0.
    #[must_use]
    pub fn new(batch_bytes: usize) -> Self {
        StickyPartitioner { sticking: Sticking::new(Place::Murmur2, Sticky::new(batch_bytes)) }
    }

    /// Takes chance from `random`, one number per choice, of which 31 bits count.
    #[must_use]
    pub fn with_random(mut self, random: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        self.sticking = self.sticking.with_random(random);
        self
    }
}

impl Default for StickyPartitioner {
    fn default() -> Self {
        Self::new(BATCH_BYTES_DEFAULT)
    }
}

/// A key by a hash function of yours; records without a key as in [`StickyPartitioner`].
///
/// A key goes to `hash(key) % partition_count`, an empty key too. The function must give the same
/// result in every build and on every machine that writes to the topic, or a key's records end up
/// in several partitions: the standard library's hashers promise no such thing.
///
/// # Examples
///
/// 32-bit FNV-1a, another hash in wide use:
///
/// ```
/// use anabranch::Record;
/// use anabranch::partitioner::{HashPartitioner, Partitioner, TopicView};
///
/// fn fnv1a(key: &[u8]) -> u32 {
///     key.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
/// }
///
/// let partitioner = HashPartitioner::new("fnv1a", fnv1a);
/// let record = Record::new("x").with_key("foobar");
/// assert_eq!(partitioner.partition(&record, &TopicView::new("orders", 17)), 0xbf9c_f968 % 17);
/// assert_eq!(partitioner.name(), "fnv1a");
/// ```
pub struct HashPartitioner {
    name: &'static str,
    sticking: Sticking,
}

impl HashPartitioner {
    /// Makes one that places keys by `hash`. The name is for people: it shows in `Debug`.
    #[must_use]
    pub fn new(name: &'static str, hash: fn(&[u8]) -> u32) -> Self {
        let sticky = Sticky::new(BATCH_BYTES_DEFAULT);
        HashPartitioner { name, sticking: Sticking::new(Place::Hash(hash), sticky) }
    }

    /// Sets how many bytes of keyless records stay with a partition. Default: 16 KiB, Kafka's
    /// `batch.size`.
    ///
    /// # Panics
    ///
    /// If `batch_bytes` is 0.
    #[must_use]
    pub fn with_batch_bytes(mut self, batch_bytes: usize) -> Self {
        self.sticking.sticky = self.sticking.sticky.with_batch_bytes(batch_bytes);
        self
    }

    /// Takes chance from `random`, one number per choice, of which 31 bits count.
    #[must_use]
    pub fn with_random(mut self, random: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        self.sticking = self.sticking.with_random(random);
        self
    }

    /// What the hash function is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Debug for HashPartitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashPartitioner").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What the three share: a place for a key, or the sticky choice.
#[derive(Debug)]
struct Sticking {
    place: Place,
    sticky: Sticky,
}

/// How a key is placed.
#[derive(Clone, Copy, Debug)]
enum Place {
    Murmur2,
    Hash(fn(&[u8]) -> u32),
    /// Keys play no part.
    Nowhere,
}

impl Sticking {
    fn new(place: Place, sticky: Sticky) -> Self {
        Sticking { place, sticky }
    }

    fn with_random(mut self, random: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        self.sticky = self.sticky.with_random(Random::given(random));
        self
    }

    #[inline]
    fn is_placed(&self, record: &Record<'_>) -> bool {
        record.key.is_some() && !matches!(self.place, Place::Nowhere)
    }

    #[inline]
    fn partition(&self, record: &Record<'_>, topic: &TopicView<'_>) -> PartitionId {
        match record.key {
            Some(key) => self.place(key, topic),
            None => self.sticky.current(topic),
        }
    }

    // Not inlined: the registers it saves would be saved for every keyless record too.
    #[inline(never)]
    fn place(&self, key: &[u8], topic: &TopicView<'_>) -> PartitionId {
        match self.place {
            Place::Murmur2 => murmur2::partition_of(key, topic.partition_count()),
            Place::Hash(hash) => hash(key) % topic.partition_count(),
            Place::Nowhere => self.sticky.current(topic),
        }
    }
}

macro_rules! sticking {
    ($($partitioner:ty),*) => {$(
        impl Partitioner for $partitioner {
            #[inline]
            fn partition(&self, record: &Record<'_>, topic: &TopicView<'_>) -> PartitionId {
                self.sticking.partition(record, topic)
            }

            #[inline]
            fn appended(
                &self,
                record: &Record<'_>,
                partition: PartitionId,
                bytes: usize,
                topic: &TopicView<'_>,
            ) {
                if !self.sticking.is_placed(record) {
                    self.sticking.sticky.appended(partition, bytes, topic);
                }
            }

            #[inline]
            fn batch_closed(
                &self,
                record: &Record<'_>,
                partition: PartitionId,
                topic: &TopicView<'_>,
            ) -> PartitionId {
                if self.sticking.is_placed(record) {
                    return partition;
                }
                self.sticking.sticky.current(topic)
            }
        }
    )*};
}

sticking!(DefaultPartitioner, StickyPartitioner, HashPartitioner);
