//! Partitioners that place every record by itself: by key, by chance, or in turn.
//!
//! They keep nothing between records but a counter, and are never told what was appended. Where
//! the producer collects batches they open one per partition; the partitioners in `sticking.rs`
//! fill one at a time.

use super::random::Random;
use super::{Partitioner, TopicView, murmur2};
use crate::ids::PartitionId;
use crate::record::Record;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Keys as [`DefaultPartitioner`](super::DefaultPartitioner) places them; each record without a
/// key at random.
///
/// librdkafka's `murmur2_random`, and what Kafka's Java client did before keyless records stuck
/// together. An empty key is a key.
///
/// # Examples
///
/// ```
/// use anabranch::Record;
/// use anabranch::partitioner::{Murmur2Partitioner, Partitioner, TopicView};
///
/// let partitioner = Murmur2Partitioner::new();
/// let topic = TopicView::new("orders", 12);
/// assert_eq!(partitioner.partition(&Record::new("x").with_key("foobar"), &topic), 6);
/// assert!(partitioner.partition(&Record::new("x"), &topic) < 12);
/// ```
#[derive(Debug, Default)]
pub struct Murmur2Partitioner {
    random: Random,
}

impl Murmur2Partitioner {
    /// Makes one that takes chance from the crate's own source.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes chance from `random`, one number per keyless record, of which 31 bits count.
    #[must_use]
    pub fn with_random(mut self, random: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        self.random = Random::given(random);
        self
    }
}

impl Partitioner for Murmur2Partitioner {
    fn partition(&self, record: &Record<'_>, topic: &TopicView<'_>) -> PartitionId {
        match record.key {
            Some(key) => murmur2::partition_of(key, topic.partition_count()),
            None => topic.any(self.random.next()),
        }
    }
}

/// librdkafka's default: a key by its CRC-32, each record without a key at random.
///
/// For keys that programs on librdkafka (the C, C++, Python, Go and .NET clients of Confluent
/// among them) place with `partitioner=consistent_random`. The CRC-32 is the one of zlib and
/// Ethernet, not the CRC-32C of the batch format. An empty key counts as none here, other than in
/// every other partitioner.
///
/// # Examples
///
/// ```
/// use anabranch::Record;
/// use anabranch::partitioner::{ConsistentRandomPartitioner, Partitioner, TopicView};
///
/// let partitioner = ConsistentRandomPartitioner::new();
/// let record = Record::new("x").with_key("hejsan");
/// assert_eq!(partitioner.partition(&record, &TopicView::new("orders", 17)), 0xd077_037e % 17);
/// ```
#[derive(Debug, Default)]
pub struct ConsistentRandomPartitioner {
    random: Random,
}

impl ConsistentRandomPartitioner {
    /// Makes one that takes chance from the crate's own source.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes chance from `random`, one number per keyless record, of which 31 bits count.
    #[must_use]
    pub fn with_random(mut self, random: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        self.random = Random::given(random);
        self
    }
}

impl Partitioner for ConsistentRandomPartitioner {
    fn partition(&self, record: &Record<'_>, topic: &TopicView<'_>) -> PartitionId {
        match record.key {
            // This CRC-32 is another client's choice, not the log's check sum.
            Some(key) if !key.is_empty() => crc32fast::hash(key) % topic.partition_count(),
            _ => topic.any(self.random.next()),
        }
    }
}

/// Each record to the next partition, whatever its key.
///
/// Kafka's `RoundRobinPartitioner`. It starts at partition 0 and counts records; one serves one
/// topic, so that what is sent to another topic does not make it skip. Partitions that are offline have
/// no turn.
///
/// # Examples
///
/// ```
/// use anabranch::Record;
/// use anabranch::partitioner::{Partitioner, RoundRobinPartitioner, TopicView};
///
/// let partitioner = RoundRobinPartitioner::new();
/// let topic = TopicView::new("orders", 3);
/// let record = Record::new("x").with_key("always the same");
/// assert_eq!([0; 5].map(|_| partitioner.partition(&record, &topic)), [0, 1, 2, 0, 1]);
/// ```
#[derive(Debug, Default)]
pub struct RoundRobinPartitioner {
    // Its own cache line, because every record of every thread moves it. Relaxed, because only
    // the number counts. 64 bits never come round; 32 would, and skip where they did.
    sent: CachePadded<AtomicU64>,
}

impl RoundRobinPartitioner {
    /// Makes one that begins at partition 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Partitioner for RoundRobinPartitioner {
    fn partition(&self, _: &Record<'_>, topic: &TopicView<'_>) -> PartitionId {
        let next = || {
            let sent = self.sent.fetch_add(1, Ordering::Relaxed);
            let turn = sent % u64::from(topic.partition_count());
            PartitionId::try_from(turn).expect("less than a partition count, which is a u32")
        };
        let mut turn = next();
        // Where all are offline, one of them says so.
        for _ in 1..topic.partition_count() {
            if !topic.is_offline(turn) {
                break;
            }
            turn = next();
        }
        turn
    }
}
