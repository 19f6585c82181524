//! A topic: a name, its settings, and partitions that are found without a lock.
//!
//! Everything that threads share on the way of a record is on this floor, and every lock of the data
//! path is taken here.
//!
//! | File | Its one job |
//! |---|---|
//! | `config.rs` | Settings, the rule for names. |
//! | `partition.rs` | One log, its stripe lock, who waits for it. |
//! | `cursor.rs` | A place in a partition from which to read on. |
//! | `fetcher.rs` | Several cursors, and sleeping until one has records. |
//! | `distance.rs` | How far a reader stays behind a writer. |
//! | `reader.rs` | That, for users without a group. |
//! | `records.rs` | What reading returns. |

mod config;
mod cursor;
mod distance;
mod fetcher;
#[cfg(all(test, loom))]
mod loom_models;
mod partition;
mod reader;
mod records;

pub use config::{Durability, TopicConfig};
pub(crate) use fetcher::{ALARM, Fetcher, Limits};
pub(crate) use partition::Shared;
pub use partition::{Partition, PartitionStats};
pub use reader::Reader;
pub use records::{
    ConsumerRecord, Headers, PartitionRecords, PartitionRecordsIter, Records, RecordsIter,
};

use crate::error::TopicError;
use crate::ids::{PartitionId, Timestamp, TopicName};
use crate::log::Pool;
use crate::sync::{Arc, Mutex, Shelf};
use partition::Settings;
use std::sync::Weak;

/// A named log, cut into partitions: a handle that is cheap to clone.
///
/// The topic lives as long as any handle, producer, reader or partition of it. Records that were
/// read outlive it.
///
/// ```
/// use anabranch::{Topic, TopicConfig};
///
/// let orders = Topic::in_memory("orders", TopicConfig::new().partitions(6))?;
/// orders.add_partitions(8)?;
/// assert_eq!((orders.name(), orders.partition_count()), ("orders", 8));
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Topic {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The name, as text: partitioners are shown it for every record.
    text: Box<str>,
    settings: Arc<Settings>,
    partitions: Shelf<Arc<Shared>>,
    /// Held while partitions are added. Guards who wants to know.
    growing: Mutex<Vec<Weak<dyn Growth>>>,
}

/// Somebody who wants to know when a topic gets more partitions.
pub(crate) trait Growth: Send + Sync + std::fmt::Debug {
    /// Called after partitions were added, with no lock held.
    fn grown(&self);
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

impl Topic {
    /// Creates a topic that lives in this process's memory.
    ///
    /// # Errors
    ///
    /// [`TopicError`] if the name or a setting is not allowed.
    pub fn in_memory(name: impl Into<TopicName>, config: TopicConfig) -> Result<Topic, TopicError> {
        let name = name.into();
        config.check(&name)?;
        let pool = Pool::new(config.chunk_bytes());
        let (text, count) = (name.as_str().into(), config.partitions);
        let settings = Arc::new(Settings { name, config, pool });
        let inner =
            Inner { text, settings, partitions: Shelf::new(), growing: Mutex::new(Vec::new()) };
        inner.grow(count);
        Ok(Topic { inner: Arc::new(inner) })
    }

    /// The topic's name.
    pub fn name(&self) -> &str {
        &self.inner.text
    }

    /// How many partitions there are now: `0..partition_count()`.
    #[inline]
    pub fn partition_count(&self) -> u32 {
        self.inner.partitions.len()
    }

    /// A handle to one partition; `None` if the topic does not have it.
    pub fn partition(&self, id: PartitionId) -> Option<Partition> {
        Some(Partition { shared: Arc::clone(self.shared(id)?) })
    }

    /// Handles to all partitions that there are now, by number.
    pub fn partitions(&self) -> impl Iterator<Item = Partition> {
        (0..self.partition_count()).filter_map(|id| self.partition(id))
    }

    /// Grows the topic to `total` partitions, while it is in use. Keys map to other partitions from
    /// then on, as in Kafka.
    ///
    /// # Errors
    ///
    /// [`TopicError::Shrink`] if it has more, [`TopicError::PartitionCount`] beyond the limit.
    pub fn add_partitions(&self, total: u32) -> Result<(), TopicError> {
        let topic = &self.inner.settings.name;
        config::check_partition_count(topic, total)?;
        let mut watchers = self.inner.growing.lock();
        let current = self.partition_count();
        if total < current {
            return Err(TopicError::Shrink { topic: topic.clone(), current, requested: total });
        }
        self.inner.grow(total);
        watchers.retain(|watcher| watcher.strong_count() > 0);
        let to_tell: Vec<_> = watchers.iter().filter_map(Weak::upgrade).collect();
        drop(watchers);
        for watcher in to_tell {
            watcher.grown();
        }
        Ok(())
    }

    /// Has `watcher` told when partitions are added, as long as it lives.
    pub(crate) fn watch_growth(&self, watcher: Weak<dyn Growth>) {
        self.inner.growing.lock().push(watcher);
    }

    /// What the topic holds and what was done to it.
    pub fn stats(&self) -> TopicStats {
        let partitions: Vec<_> = self.partitions().map(|partition| partition.stats()).collect();
        let total = partitions.iter().copied().fold(PartitionStats::default(), |a, b| a + b);
        TopicStats { partitions, total }
    }

    /// Drops what retention does not keep. Appends do so by themselves; this is for topics that
    /// nobody appends to.
    pub fn apply_retention(&self) {
        let now = self.now();
        for id in 0..self.partition_count() {
            if let Some(partition) = self.shared(id) {
                partition.apply_retention(now);
            }
        }
    }

    #[inline]
    pub(crate) fn shared(&self, id: PartitionId) -> Option<&Arc<Shared>> {
        self.inner.partitions.get(id)
    }

    pub(crate) fn topic_name(&self) -> &TopicName {
        &self.inner.settings.name
    }

    #[inline]
    pub(crate) fn now(&self) -> Timestamp {
        self.inner.settings.now()
    }

    pub(crate) fn config(&self) -> &TopicConfig {
        &self.inner.settings.config
    }
}

impl Inner {
    /// The caller is the only one who grows.
    fn grow(&self, total: u32) {
        for id in self.partitions.len()..total {
            self.partitions.push(Arc::new(Shared::new(Arc::clone(&self.settings), id)));
        }
    }
}
