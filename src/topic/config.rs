//! A topic's settings, and the rule for its name.

use crate::clock::{Clock, SystemClock};
use crate::error::TopicError;
use crate::ids::TopicName;
use crate::log::{CHUNK_BYTES, FIRST_CHUNK_BYTES};
use crate::record::TimestampType;
use std::sync::Arc;
use std::time::Duration;

/// The most partitions a topic may have.
pub(crate) const PARTITIONS_MAX: u32 = 100_000;

/// The most that `max_batch_bytes` may be: Kafka's format counts a batch's bytes in an `i32`.
const BATCH_BYTES_MAX: usize = 1 << 30;

/// What a record must have survived before it is acknowledged and consumers see it.
///
/// ```
/// use anabranch::{Durability, Topic, TopicConfig};
///
/// // A topic in memory can promise no more than that.
/// let config = TopicConfig::new().durability(Durability::Synced);
/// assert!(Topic::in_memory("orders", config).is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing: the record is in this process's memory.
    #[default]
    Memory,
    /// The end of this process: the record is with the operating system.
    Written,
    /// The end of the operating system: the record is on the disk.
    Synced,
}

/// What becomes of old records.
///
/// ```
/// use anabranch::{Cleanup, Topic, TopicConfig};
///
/// // Compaction works on files.
/// assert!(Topic::in_memory("orders", TopicConfig::new().cleanup(Cleanup::Compact)).is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cleanup {
    /// They are dropped by `retention_bytes` and `retention_time`.
    #[default]
    Delete,
    /// Of each key the last record is kept, whatever its age; every record needs a key. A record without
    /// a value deletes its key.
    Compact,
    /// Both.
    Both,
}

impl Cleanup {
    pub(crate) fn compacts(self) -> bool {
        self != Cleanup::Delete
    }

    pub(crate) fn deletes(self) -> bool {
        self != Cleanup::Compact
    }
}

/// The settings of a topic; checked when the topic is created.
///
/// ```
/// use anabranch::{Topic, TopicConfig};
/// use std::time::Duration;
///
/// let config = TopicConfig::new()
///     .partitions(6)
///     .retention_bytes(256 << 20)
///     .retention_time(Duration::from_secs(3600));
/// assert_eq!(Topic::in_memory("orders", config)?.partition_count(), 6);
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TopicConfig {
    pub(crate) partitions: u32,
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) retention_time: Option<Duration>,
    pub(crate) segment_bytes: usize,
    pub(crate) max_batch_bytes: usize,
    pub(crate) durability: Option<Durability>,
    pub(crate) cleanup: Cleanup,
    pub(crate) cache_bytes: u64,
    pub(crate) flush_interval: Option<Duration>,
    pub(crate) min_compaction_lag: Duration,
    pub(crate) delete_retention: Duration,
    pub(crate) min_cleanable_ratio: f64,
    pub(crate) timestamp_type: TimestampType,
    /// `None` is the broker's clock, or the system's.
    pub(crate) clock: Option<Arc<dyn Clock>>,
}

impl Default for TopicConfig {
    fn default() -> Self {
        TopicConfig {
            partitions: 1,
            retention_bytes: None,
            retention_time: None,
            segment_bytes: 1 << 30,
            max_batch_bytes: 1 << 20,
            durability: None,
            cleanup: Cleanup::Delete,
            cache_bytes: 4 << 20,
            flush_interval: Some(Duration::from_secs(5)),
            min_compaction_lag: Duration::ZERO,
            delete_retention: Duration::from_secs(24 * 60 * 60),
            min_cleanable_ratio: 0.5,
            timestamp_type: TimestampType::CreateTime,
            clock: None,
        }
    }
}

impl TopicConfig {
    /// The defaults named at each setter.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many partitions the topic starts with: 1 to 100,000. Default: 1.
    ///
    /// More partitions let more members of a group share the work and more senders append at once.
    /// Each costs under 1 KiB while it is empty and 64 KiB from its first record on.
    pub fn partitions(mut self, count: u32) -> Self {
        self.partitions = count;
        self
    }

    /// How many bytes of records each partition keeps at least; what is older may be dropped.
    /// Default: without limit.
    ///
    /// Whole chunks are dropped, so up to one chunk more is kept: an eighth of this, between 64 KiB
    /// and 4 MiB. Raising it costs that much memory. In a directory, whole segments are dropped from the
    /// disk, by the broker's housekeeping.
    pub fn retention_bytes(mut self, bytes: u64) -> Self {
        self.retention_bytes = Some(bytes);
        self
    }

    /// How long records are kept at least. Default: without limit (Kafka's is 7 days).
    ///
    /// A chunk is dropped when all its records are stamped longer ago than this, which appends to the
    /// partition and [`Topic::apply_retention`](crate::Topic::apply_retention) take note of. What
    /// counts is the records' timestamps: records that carry old ones are dropped early. In a directory
    /// it is segments, and the broker's housekeeping.
    pub fn retention_time(mut self, span: Duration) -> Self {
        self.retention_time = Some(span);
        self
    }

    /// The most bytes that retention drops at a time, unless a single batch is larger: at least 1.
    /// Default: 1 GiB, as in Kafka.
    ///
    /// In memory a partition never uses pieces larger than 4 MiB, so only smaller values have an
    /// effect: retention is more exact, and appends make new pieces more often. In a directory it is the
    /// size of a segment's file, up to 2 GiB, which is what Kafka's index can tell.
    pub fn segment_bytes(mut self, bytes: usize) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// The most bytes that one batch may take in Kafka's format: 1 to 1 GiB. Default: 1 MiB.
    ///
    /// A larger one is refused with [`AppendError::TooLarge`](crate::AppendError::TooLarge). Raising
    /// it lets a single append hold up the partition's other senders for longer.
    pub fn max_batch_bytes(mut self, bytes: usize) -> Self {
        self.max_batch_bytes = bytes;
        self
    }

    /// What a record must have survived before it is acknowledged and read. Default:
    /// [`Durability::Written`] in a directory, [`Durability::Memory`] in memory, which can have no other.
    ///
    /// `Written` costs a write for all who wait at the same time, about a microsecond; `Synced` a sync,
    /// a tenth of a millisecond and up.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// What becomes of old records. Default: [`Cleanup::Delete`], the only one in memory.
    ///
    /// Compaction reads and writes anew what it cleans, in the broker's housekeeping.
    pub fn cleanup(mut self, cleanup: Cleanup) -> Self {
        self.cleanup = cleanup;
        self
    }

    /// How much memory the latest records of each partition take in a topic in a directory, beyond two
    /// chunks of up to 1,088 KiB. Default: 4 MiB.
    ///
    /// Older ones are read from their file, and checked each time: who reads on and on holds up to 1 MiB of them, or
    /// a batch if that is larger. Raising it spares that.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// How long what is written may wait to be synced, in a topic that does not sync anyway. `None`:
    /// until the system does so, or [`Partition::flush`](crate::Partition::flush). Default: 5 seconds.
    ///
    /// A shorter one loses less in a power cut, and has less to look at when the directory is opened
    /// after a crash. The broker's housekeeping does it.
    pub fn flush_interval(mut self, span: Option<Duration>) -> Self {
        self.flush_interval = span;
        self
    }

    /// How long a record stays out of compaction at least. Default: zero, as in Kafka.
    pub fn min_compaction_lag(mut self, span: Duration) -> Self {
        self.min_compaction_lag = span;
        self
    }

    /// How long a deletion can be read after compaction first met it. Default: 24 hours, as in Kafka.
    ///
    /// A reader that takes longer from the start to the end may miss it.
    pub fn delete_retention(mut self, span: Duration) -> Self {
        self.delete_retention = span;
        self
    }

    /// Which share of a log's bytes must be new since the last compaction for another to be worth it: 0
    /// to 1. Default: 0.5, as in Kafka. A smaller one keeps the files smaller, and writes more.
    pub fn min_cleanable_ratio(mut self, ratio: f64) -> Self {
        self.min_cleanable_ratio = ratio;
        self
    }

    /// Whose time records carry. Default: [`TimestampType::CreateTime`].
    pub fn timestamp_type(mut self, timestamp_type: TimestampType) -> Self {
        self.timestamp_type = timestamp_type;
        self
    }

    /// Where the topic gets its time from. Default: the broker's clock, or [`SystemClock`].
    ///
    /// It is asked once per append, before any lock is taken.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// The topic's clock, if nobody else has one.
    pub(crate) fn clock_or_systems(&self) -> Arc<dyn Clock> {
        self.clock.clone().unwrap_or_else(|| Arc::new(SystemClock))
    }

    /// The size of the pieces that memory is taken and given back in.
    pub(crate) fn chunk_bytes(&self) -> usize {
        let eighth = self.retention_bytes.map_or(u64::MAX, |bytes| bytes / 8);
        let eighth = usize::try_from(eighth).unwrap_or(usize::MAX);
        let wanted = eighth.clamp(FIRST_CHUNK_BYTES, CHUNK_BYTES);
        // The power of two below, so that doubling from the first chunk ends exactly there.
        let wanted = 1 << wanted.ilog2();
        self.segment_bytes.min(wanted)
    }

    pub(crate) fn check(&self, topic: &TopicName) -> Result<(), TopicError> {
        check_name(topic)?;
        check_partition_count(topic, self.partitions)?;
        let invalid = |setting, value: String, reason| {
            Err(TopicError::InvalidSetting { topic: topic.clone(), setting, value, reason })
        };
        if !(1..=BATCH_BYTES_MAX).contains(&self.max_batch_bytes) {
            let value = self.max_batch_bytes.to_string();
            return invalid("max_batch_bytes", value, "the range is 1 to 1 GiB");
        }
        if self.segment_bytes == 0 {
            return invalid("segment_bytes", "0".into(), "the least is 1");
        }
        if !(0.0..=1.0).contains(&self.min_cleanable_ratio) {
            let value = self.min_cleanable_ratio.to_string();
            return invalid("min_cleanable_ratio", value, "the range is 0 to 1");
        }
        Ok(())
    }

    /// Checks what is not for a topic in memory.
    pub(crate) fn check_in_memory(&self, topic: &TopicName) -> Result<(), TopicError> {
        let invalid = |setting, value: String, reason| {
            Err(TopicError::InvalidSetting { topic: topic.clone(), setting, value, reason })
        };
        if let Some(durability) = self.durability.filter(|asked| *asked != Durability::Memory) {
            let value = format!("{durability:?}");
            return invalid("durability", value, "a topic in memory has only Memory");
        }
        if self.cleanup.compacts() {
            let value = format!("{:?}", self.cleanup);
            return invalid("cleanup", value, "a topic in memory has only Delete");
        }
        Ok(())
    }

    /// What a topic in a directory promises.
    pub(crate) fn durability_on_disk(&self) -> Durability {
        self.durability.unwrap_or(Durability::Written)
    }
}

pub(crate) fn check_partition_count(topic: &TopicName, requested: u32) -> Result<(), TopicError> {
    if (1..=PARTITIONS_MAX).contains(&requested) {
        return Ok(());
    }
    Err(TopicError::PartitionCount { topic: topic.clone(), requested, max: PARTITIONS_MAX })
}

/// The longest name Kafka allows: with `-`, a partition number and a suffix it is a directory's name.
const NAME_BYTES_MAX: usize = 249;

fn check_name(name: &TopicName) -> Result<(), TopicError> {
    let foreign = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    let reason = if name.is_empty() {
        "is empty".to_owned()
    } else if *name == "." || *name == ".." {
        "is not allowed, it means a directory".to_owned()
    } else if let Some(c) = name.chars().find(foreign) {
        format!("contains {c:?}, only [a-zA-Z0-9._-] are allowed")
    } else if name.len() > NAME_BYTES_MAX {
        format!("has {} bytes, {NAME_BYTES_MAX} are allowed", name.len())
    } else {
        return Ok(());
    };
    Err(TopicError::InvalidName { name: name.clone(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rule() {
        let longest = "x".repeat(249);
        for good in ["a", "A-z_0.9", "...", "__offsets", longest.as_str()] {
            assert_eq!(check_name(&good.into()), Ok(()), "{good}");
        }
        let too_long = "x".repeat(250);
        for bad in ["", ".", "..", "a b", "a/b", "ä", "a\0", too_long.as_str()] {
            let refused = check_name(&bad.into()).unwrap_err();
            assert!(matches!(refused, TopicError::InvalidName { .. }), "{bad}: {refused}");
        }
    }

    #[test]
    fn chunks_follow_what_is_retained() {
        assert_eq!(TopicConfig::new().chunk_bytes(), 4 << 20);
        assert_eq!(TopicConfig::new().retention_bytes(256 << 20).chunk_bytes(), 4 << 20);
        assert_eq!(TopicConfig::new().retention_bytes(1 << 20).chunk_bytes(), 128 << 10);
        assert_eq!(TopicConfig::new().retention_bytes(0).chunk_bytes(), 64 << 10);
        assert_eq!(TopicConfig::new().segment_bytes(500).chunk_bytes(), 500);
    }
}
