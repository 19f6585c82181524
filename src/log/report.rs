//! What opening a directory found and did: the words in which recovery tells it.

use crate::error::{Corruption, OpenError};
use crate::ids::{Offset, TopicPartition};
use std::time::Duration;

/// What opening a directory found and did.
///
/// ```
/// use anabranch::RecoveryReport;
///
/// # fn show(report: &RecoveryReport) {
/// for partition in &report.partitions {
///     if let Some(torn) = partition.torn {
///         println!("{}: {} bytes were cut off", partition.partition, torn.bytes);
///     }
/// }
/// # }
/// # show(&RecoveryReport::default());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The partitions, in no particular order.
    pub partitions: Vec<PartitionReport>,
    /// Whether the directory was closed in order, so that nothing had to be looked for.
    pub was_clean: bool,
    /// How many records of the log of committed offsets are none that this crate can read. They were
    /// passed over; offsets that they replaced stand.
    pub unknown_commits: u64,
    /// How long it took, by the broker's clock.
    pub time: Duration,
}

impl RecoveryReport {
    /// The partitions that are offline: their files are damaged where they were known to be on disk. Not a
    /// byte of them is changed; each call that needs them says what is wrong, all others work.
    ///
    /// ```
    /// use anabranch::Broker;
    ///
    /// # let dir = std::env::temp_dir().join(format!("anabranch-doc-offline-{}", std::process::id()));
    /// let broker = Broker::open(&dir)?;
    /// for report in broker.recovery().offline() {
    ///     if let Some(damage) = &report.damage {
    ///         eprintln!("{} is offline: {damage}", report.partition);
    ///     }
    /// }
    /// # broker.close()?;
    /// # std::fs::remove_dir_all(&dir).expect("it is ours");
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn offline(&self) -> impl Iterator<Item = &PartitionReport> {
        self.partitions.iter().filter(|report| report.damage.is_some())
    }

    /// For who wants all or nothing: refuses a directory with a partition that is offline.
    ///
    /// The other partitions are open by then, and torn ends of theirs were cut off.
    ///
    /// # Errors
    ///
    /// [`OpenError::Corrupt`] with the first partition that is offline.
    ///
    /// ```
    /// use anabranch::{Broker, OpenError};
    /// use std::path::Path;
    ///
    /// fn open_whole(dir: &Path) -> Result<Broker, OpenError> {
    ///     let broker = Broker::open(dir)?;
    ///     broker.recovery().require_online()?;
    ///     Ok(broker)
    /// }
    ///
    /// # let dir = std::env::temp_dir().join(format!("anabranch-doc-online-{}", std::process::id()));
    /// # drop(open_whole(&dir)?);
    /// # std::fs::remove_dir_all(&dir).expect("it is ours");
    /// # Ok::<(), OpenError>(())
    /// ```
    pub fn require_online(&self) -> Result<(), OpenError> {
        let damaged = |report: &PartitionReport| {
            let (partition, corruption) = (report.partition.clone(), report.damage.clone()?);
            Some(OpenError::Corrupt { partition, corruption: Box::new(corruption) })
        };
        self.offline().find_map(damaged).map_or(Ok(()), Err)
    }
}

/// What opening one partition found and did.
///
/// ```
/// use anabranch::PartitionReport;
///
/// # fn show(report: &PartitionReport) {
/// let PartitionReport { partition, verified_bytes, sealed, .. } = report;
/// println!("{partition}: {sealed} segments, {verified_bytes} bytes were read and verified");
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionReport {
    /// The partition.
    pub partition: TopicPartition,
    /// How many bytes were read and verified: those that were not known to be on disk, and more
    /// where what is known was lost.
    pub verified_bytes: u64,
    /// What was cut off its end, if anything was.
    pub torn: Option<TornTail>,
    /// How many sealed segments it has. They were not read.
    pub sealed: usize,
    /// How many files were removed that retention, compaction or an unfinished replacement left.
    pub leftovers_removed: usize,
    /// How many files there are that no partition has. They were left alone.
    pub unknown_files: usize,
    /// Whether one of the little files was damaged, and what it said had to be found out from the log.
    pub was_rebuilt: bool,
    /// Why the partition is offline, if it is: where its files are not what was known to be on disk. They
    /// are left as they are, and the other numbers here are zero. (Unless it is the log of committed
    /// offsets, and that showed only when it was read whole: then its end was recovered before.)
    pub damage: Option<Corruption>,
}

impl PartitionReport {
    pub(crate) fn new(partition: TopicPartition) -> PartitionReport {
        PartitionReport {
            partition,
            verified_bytes: 0,
            torn: None,
            sealed: 0,
            leftovers_removed: 0,
            unknown_files: 0,
            was_rebuilt: false,
            damage: None,
        }
    }
}

/// Bytes at a log's end that were never known to be on disk and are no whole batch, which were cut
/// off: what a crash leaves of a write.
///
/// Up to a MiB of them is kept beside the log, in a file named for the offset with the ending `.cut`.
///
/// ```
/// # fn show(torn: &anabranch::TornTail) {
/// println!("{} bytes were cut off at offset {}", torn.bytes, torn.offset);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TornTail {
    /// How many bytes, zeros at the end not counted.
    pub bytes: u64,
    /// Where the log ends now.
    pub offset: Offset,
}
