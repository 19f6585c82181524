//! A topic: a name, its settings, and partitions that are found without a lock.
//!
//! Everything that threads share on the way of a record is on this floor, and every lock of the data
//! path is taken here.
//!
//! | File | Its one job |
//! |---|---|
//! | `config.rs` | Settings, the rule for names. |
//! | `partition.rs` | A partition, as users hold it. |
//! | `shared.rs` | One log, its stripe lock, who waits for it. |
//! | `ending.rs` | Flushing, housekeeping, the end. |
//! | `enqueue.rs` | Records that join an open batch, and who closes it. |
//! | `settle.rs` | From an append to the files: who writes, who waits. |
//! | `files.rs` `session.rs` | The files of a partition; the note of a good end. |
//! | `offline.rs` | A partition whose files are damaged. |
//! | `cursor.rs` | A place in a partition from which to read on. |
//! | `fetcher.rs` | Several cursors, and sleeping until one has records. |
//! | `distance.rs` | How far a reader stays behind a writer. |
//! | `reader.rs` | That, for users without a group. |
//! | `records.rs` | What reading returns. |

mod clean;
mod config;
mod cursor;
mod distance;
mod ending;
mod enqueue;
mod fetcher;
mod files;
#[cfg(all(test, loom))]
mod loom_files;
#[cfg(all(test, loom))]
mod loom_models;
#[cfg(all(test, any(loom, shuttle)))]
pub(crate) mod model_files;
mod offline;
mod partition;
mod reader;
mod records;
pub(crate) mod session;
mod settle;
mod shared;
#[cfg(all(test, shuttle))]
mod shuttle_models;
mod stats;

pub use config::{Cleanup, Durability, TopicConfig};
pub(crate) use fetcher::{ALARM, Fetcher, Limits};
pub use partition::Partition;
pub use reader::Reader;
pub use records::{
    ConsumerRecord, Headers, PartitionRecords, PartitionRecordsIter, Records, RecordsIter,
};

pub(crate) use files::{Files, Opened};
pub(crate) use settle::Ticket;
pub(crate) use shared::Shared;
pub use stats::{PartitionStats, TopicStats};

use crate::error::{FlushError, OpenError, TopicError};
use crate::ids::{PartitionId, Timestamp, TopicName, TopicPartition};
use crate::log::CHUNK_BYTES_WITH_FILES;
use crate::log::report::PartitionReport;
use crate::sync::{Arc, Mutex, OnceLock, Shelf};
use shared::Settings;
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
    /// Where the topic's partitions have their directories; `None` in memory.
    home: Option<std::sync::Arc<dyn Home>>,
    partitions: Shelf<Arc<Shared>>,
    /// Held while partitions are added. Guards who wants to know.
    growing: Mutex<Growing>,
    /// Looked for when somebody first asks.
    offline: OnceLock<Vec<PartitionId>>,
}

#[derive(Debug, Default)]
struct Growing {
    watchers: Vec<Weak<dyn Growth>>,
    /// Whether the topic's directory takes no more partitions.
    is_over: bool,
}

/// The directory that a topic's partitions are in.
pub(crate) trait Home: Send + Sync + std::fmt::Debug {
    /// Opens a partition's directory, which this session may have made. Where the files of one that it has
    /// not made are damaged, that is no error: the partition is offline.
    fn open(
        &self,
        of: &TopicPartition,
        config: &TopicConfig,
        is_new: bool,
    ) -> Result<Opened, OpenError>;

    /// Makes directories for more partitions, and notes durably that the topic has them.
    fn grow(&self, topic: &TopicName, current: u32, total: u32) -> Result<(), TopicError>;
}

/// Somebody who wants to know when a topic gets more partitions.
pub(crate) trait Growth: Send + Sync + std::fmt::Debug {
    /// Called after partitions were added, with no lock held.
    fn grown(&self);
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
        config.check_in_memory(&name)?;
        let chunk_bytes = config.chunk_bytes();
        let count = config.partitions;
        let inner = Inner::new(Settings::new(name, config, chunk_bytes), None);
        inner.grow(count, |settings, id| Shared::new(Arc::clone(settings), id));
        Ok(Topic { inner: Arc::new(inner) })
    }

    /// Opens a topic in a directory; each partition's directory is there. `is_new` says that they have
    /// just been made.
    pub(crate) fn open(
        name: TopicName,
        config: TopicConfig,
        home: std::sync::Arc<dyn Home>,
        is_new: bool,
    ) -> Result<(Topic, Vec<PartitionReport>), OpenError> {
        // What a chunk holds is kept in a file, so its size does not follow what is retained.
        let count = config.partitions;
        let topic = Topic {
            inner: Arc::new(Inner::new(
                Settings::new(name, config, CHUNK_BYTES_WITH_FILES),
                Some(home),
            )),
        };
        let mut reports = Vec::new();
        for id in 0..count {
            reports.push(topic.open_partition(id, is_new)?);
        }
        Ok((topic, reports))
    }

    /// Opens the next partition, whose directory is there.
    fn open_partition(&self, id: PartitionId, is_new: bool) -> Result<PartitionReport, OpenError> {
        let home = self.inner.home.as_ref().expect("only a topic in a directory opens partitions");
        let of = TopicPartition { topic: self.topic_name().clone(), partition: id };
        let settings = &self.inner.settings;
        let opened = home.open(&of, &settings.config, is_new)?;
        let report = opened.report.clone();
        let shared = Shared::with_files(Arc::clone(settings), id, opened);
        self.inner.partitions.push(Arc::new(shared));
        Ok(report)
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
    /// [`TopicError::Shrink`] if it has more, [`TopicError::PartitionCount`] beyond the limit; in a
    /// directory [`TopicError::Disk`] and [`TopicError::Closed`].
    pub fn add_partitions(&self, total: u32) -> Result<(), TopicError> {
        let topic = &self.inner.settings.name;
        config::check_partition_count(topic, total)?;
        let mut growing = self.inner.growing.lock();
        if growing.is_over {
            return Err(TopicError::Closed { topic: topic.clone() });
        }
        let current = self.partition_count();
        if total < current {
            return Err(TopicError::Shrink { topic: topic.clone(), current, requested: total });
        }
        match &self.inner.home {
            None => self.inner.grow(total, |settings, id| Shared::new(Arc::clone(settings), id)),
            Some(home) => {
                home.grow(topic, current, total)?;
                for id in current..total {
                    self.open_partition(id, true).map_err(|source| {
                        let (topic, source) = (topic.clone(), Box::new(source));
                        TopicError::Open { topic, source }
                    })?;
                }
            }
        }
        growing.watchers.retain(|watcher| watcher.strong_count() > 0);
        let to_tell: Vec<_> = growing.watchers.iter().filter_map(Weak::upgrade).collect();
        drop(growing);
        for watcher in to_tell {
            watcher.grown();
        }
        Ok(())
    }

    /// Has `watcher` told when partitions are added, as long as it lives.
    pub(crate) fn watch_growth(&self, watcher: Weak<dyn Growth>) {
        self.inner.growing.lock().watchers.push(watcher);
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

    /// Writes and syncs what is due, drops what retention does not keep, and cleans what compaction is
    /// to clean.
    pub(crate) fn keep_house(&self, syncs: bool) {
        let now = self.now();
        for id in 0..self.partition_count() {
            if let Some(partition) = self.shared(id) {
                partition.keep_house(now, syncs);
            }
        }
    }

    /// Writes and syncs everything, and takes nothing any more. Returns the first error; all partitions
    /// are closed whatever happens.
    pub(crate) fn close(&self) -> Result<(), FlushError> {
        self.grow_no_more();
        let mut first = Ok(());
        for id in 0..self.partition_count() {
            if let Some(partition) = self.shared(id) {
                first = first.and(partition.close());
            }
        }
        first
    }

    /// Takes nothing any more; what was appended need not reach the disk.
    pub(crate) fn abandon(&self) {
        self.grow_no_more();
        for id in 0..self.partition_count() {
            if let Some(partition) = self.shared(id) {
                partition.abandon();
            }
        }
    }

    /// The partitions that are offline, sorted. That is known once the broker is open, for good: those that
    /// are added have just been made.
    pub(crate) fn offline(&self) -> &[PartitionId] {
        if self.inner.home.is_none() {
            return &[];
        }
        if let Some(known) = self.inner.offline.get() {
            return known;
        }
        let is_offline = |id: &PartitionId| {
            let partition = self.shared(*id);
            partition.is_some_and(|partition| partition.damage().is_some())
        };
        let found = (0..self.partition_count()).filter(is_offline).collect();
        self.inner.offline.get_or_init(|| found)
    }

    fn grow_no_more(&self) {
        self.inner.growing.lock().is_over = self.inner.home.is_some();
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

    /// How long the topic's clock has been running.
    pub(crate) fn elapsed(&self) -> std::time::Duration {
        self.inner.settings.clock.elapsed()
    }

    pub(crate) fn config(&self) -> &TopicConfig {
        &self.inner.settings.config
    }
}

impl Inner {
    fn new(settings: Arc<Settings>, home: Option<std::sync::Arc<dyn Home>>) -> Inner {
        Inner {
            text: settings.name.as_str().into(),
            settings,
            home,
            partitions: Shelf::new(),
            growing: Mutex::new(Growing::default()),
            offline: OnceLock::new(),
        }
    }

    /// The caller is the only one who grows.
    fn grow(&self, total: u32, make: impl Fn(&Arc<Settings>, PartitionId) -> Shared) {
        for id in self.partitions.len()..total {
            self.partitions.push(Arc::new(make(&self.settings, id)));
        }
    }
}
