//! What a topic and its partitions hold, in numbers.

/// What a partition holds and what was done to it.
///
/// ```
/// use anabranch::{Record, Topic, TopicConfig};
///
/// let topic = Topic::in_memory("orders", TopicConfig::new())?;
/// topic.partition(0).expect("the default is one").append(&[Record::new("a"), Record::new("b")])?;
/// let stats = topic.stats();
/// assert_eq!((stats.total.records, stats.total.appends), (2, 1));
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionStats {
    /// Records that can be read now.
    pub records: u64,
    /// Bytes of batches that are retained now.
    pub bytes: u64,
    /// Bytes of memory set aside for them.
    pub memory_bytes: u64,
    /// Batches appended since the topic was created.
    pub appends: u64,
    /// Records appended since the topic was created.
    pub appended_records: u64,
    /// Bytes of batches appended since the topic was created.
    pub appended_bytes: u64,
    /// Reads that returned records.
    pub reads: u64,
    /// Bytes of batches that reads returned, counted once for each reader.
    pub read_bytes: u64,
}

impl std::ops::Add for PartitionStats {
    type Output = PartitionStats;

    fn add(self, other: PartitionStats) -> PartitionStats {
        PartitionStats {
            records: self.records + other.records,
            bytes: self.bytes + other.bytes,
            memory_bytes: self.memory_bytes + other.memory_bytes,
            appends: self.appends + other.appends,
            appended_records: self.appended_records + other.appended_records,
            appended_bytes: self.appended_bytes + other.appended_bytes,
            reads: self.reads + other.reads,
            read_bytes: self.read_bytes + other.read_bytes,
        }
    }
}

/// What a topic holds and what was done to it.
///
/// ```
/// use anabranch::{Topic, TopicConfig};
///
/// let topic = Topic::in_memory("orders", TopicConfig::new().partitions(3))?;
/// let stats = topic.stats();
/// assert_eq!((stats.partitions.len(), stats.total.records), (3, 0));
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStats {
    /// Each partition by itself, by number.
    pub partitions: Vec<PartitionStats>,
    /// The sum over all partitions.
    pub total: PartitionStats,
}
