//! Committed offsets: how far a group has come in each partition, and what lag that leaves.
//!
//! The committed value is the offset of the next record to be read. It is kept by topic and partition
//! number, so that the lag of a million partitions is a walk over rows and not a million look-ups.

use crate::ids::{Map, Offset, TopicName, TopicPartition};
use crate::sync::Mutex;
use crate::topic::Topic;

/// The most bytes that the metadata of a commit may have, as in Kafka.
pub(super) const METADATA_BYTES_MAX: usize = 4096;

/// A committed offset, and what the member wanted to remember with it.
///
/// ```
/// use anabranch::OffsetAndMetadata;
///
/// let committed = OffsetAndMetadata::new(17).with_metadata("batch 4");
/// assert_eq!((committed.offset, committed.metadata.as_str()), (17, "batch 4"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The offset of the next record to be read.
    pub offset: Offset,
    /// Anything; at most 4,096 bytes. Default: empty.
    pub metadata: String,
}

impl OffsetAndMetadata {
    /// An offset without metadata.
    pub fn new(offset: Offset) -> Self {
        OffsetAndMetadata { offset, metadata: String::new() }
    }

    /// Sets the metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = metadata.into();
        self
    }
}

/// Taken after the group's lock by those who hold both.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    by_topic: Mutex<Map<TopicName, Vec<Option<OffsetAndMetadata>>>>,
}

impl Offsets {
    pub(super) fn get(&self, of: &TopicPartition) -> Option<OffsetAndMetadata> {
        let by_topic = self.by_topic.lock();
        by_topic.get(&of.topic)?.get(of.partition as usize)?.clone()
    }

    /// Stores all of them, or replaces what was there.
    pub(super) fn store(
        &self,
        commits: impl IntoIterator<Item = (TopicPartition, OffsetAndMetadata)>,
    ) {
        let mut by_topic = self.by_topic.lock();
        for (of, committed) in commits {
            let rows = by_topic.entry(of.topic).or_default();
            let row = of.partition as usize;
            if rows.len() <= row {
                rows.resize(row + 1, None);
            }
            rows[row] = Some(committed);
        }
    }

    /// The records of each partition of a topic that are not consumed yet; without a commit all
    /// that are retained.
    pub(super) fn lags(&self, topic: &Topic) -> Vec<u64> {
        let name = topic.topic_name();
        let rows = self.by_topic.lock().get(name).cloned().unwrap_or_default();
        let lag = |partition: crate::topic::Partition| {
            let start = partition.log_start_offset();
            let committed = rows.get(partition.id() as usize).and_then(Option::as_ref);
            let from = committed.map_or(start, |committed| committed.offset.max(start));
            partition.high_watermark().saturating_sub(from)
        };
        topic.partitions().map(lag).collect()
    }
}
