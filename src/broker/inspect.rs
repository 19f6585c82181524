//! Looking at a broker's directory without opening it: for tools, also beside a process that has it open.
//!
//! ```
//! use anabranch::inspect::Directory;
//! use anabranch::{Broker, Producer, Record, TopicConfig};
//!
//! # let dir = std::env::temp_dir().join(format!("anabranch-doc-inspect-{}", std::process::id()));
//! let broker = Broker::open(&dir)?;
//! let orders = broker.create_topic("orders", TopicConfig::new().partitions(2))?;
//! Producer::new(&orders).send(Record::new("2 espresso").to_partition(1))?;
//!
//! let directory = Directory::read(&dir)?; // while `broker` has it open
//! for partition in directory.topics.iter().flat_map(|topic| &topic.partitions) {
//!     println!("{} ends at {}", partition.partition, partition.log_end_offset);
//!     assert!(partition.verify()?.is_good());
//! }
//! # drop(orders);
//! # broker.close()?;
//! # std::fs::remove_dir_all(&dir).expect("it is ours");
//! # Ok::<(), anabranch::Error>(())
//! ```
//!
//! No byte is changed and no lock is taken. What is read is true of some moment while it was read: a
//! process that has the directory open goes on meanwhile, and what it holds in memory alone is not seen.

use super::manifest::{MANIFEST_FILE, Manifest, settings};
use crate::error::{Corruption, DiskError, OpenError};
use crate::group::OffsetAndMetadata;
use crate::group::journal::{Loaded, OFFSETS_TOPIC};
use crate::ids::{GroupId, Offset, Timestamp, TopicName, TopicPartition};
use crate::log::contents::{Contents, SegmentFile};
use crate::log::disk::{Disk, FileDisk};
use crate::log::report::TornTail;
use crate::log::salvage::SalvagedPartition;
use crate::log::verify;
use crate::topic::TopicConfig;
use crate::topic::session;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a broker's directory holds.
///
/// ```
/// # fn show(directory: &anabranch::inspect::Directory) {
/// for topic in &directory.topics {
///     println!("{}: {} partitions", topic.name, topic.partitions.len());
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Directory {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it was closed in good order, and has not been appended to since.
    pub is_clean: bool,
    /// The topics by name, the log of committed offsets among them.
    pub topics: Vec<TopicFiles>,
    /// The groups that have committed something, by name.
    pub groups: Vec<GroupOffsets>,
    /// How many bytes of the log of committed offsets were skipped, because they are no commits that can
    /// be read: if there are any, what groups have committed since may be missing. A commit that is being
    /// written may be among them.
    pub skipped_commit_bytes: u64,
}

impl Directory {
    /// Reads the list of topics, and of each partition names, lengths, small files and what lies above the
    /// mark; and the log of committed offsets.
    ///
    /// # Errors
    ///
    /// [`OpenError::Manifest`] if there is no list of topics or it is damaged, [`OpenError::Version`] if it is of
    /// a version that is not known, [`OpenError::Disk`] if the system refuses. What is wrong with a
    /// partition is no error; see [`PartitionFiles::damage`].
    pub fn read(dir: impl AsRef<Path>) -> Result<Directory, OpenError> {
        Directory::read_on(Arc::new(FileDisk), dir.as_ref())
    }

    pub(crate) fn read_on(disk: Arc<dyn Disk>, path: &Path) -> Result<Directory, OpenError> {
        let missing = || OpenError::Manifest {
            path: path.join(MANIFEST_FILE),
            what: "is missing".to_owned(),
        };
        let manifest = Manifest::load(&*disk, path)?.ok_or_else(missing)?;
        let is_clean = session::has_note(&*disk, path)?;
        let mut topics = Vec::new();
        for (name, config) in &manifest.topics {
            topics.push(TopicFiles::read(&disk, path, name, config)?);
        }
        let mut directory = Directory {
            path: path.to_owned(),
            is_clean,
            topics,
            groups: Vec::new(),
            skipped_commit_bytes: 0,
        };
        directory.read_groups();
        Ok(directory)
    }

    /// A partition of it.
    pub fn partition(&self, of: &TopicPartition) -> Option<&PartitionFiles> {
        let topic = self.topics.iter().find(|topic| topic.name == of.topic)?;
        topic.partitions.iter().find(|files| files.partition == *of)
    }

    fn read_groups(&mut self) {
        let Some(journal) = self.partition(&TopicPartition::new(OFFSETS_TOPIC, 0)) else { return };
        let mut records = journal.records_from(0);
        let mut loaded = Loaded::default();
        for record in &mut records {
            loaded.replay(record.key.as_deref(), record.value.as_deref());
        }
        self.skipped_commit_bytes = records.report().skipped_bytes;
        let groups = loaded.groups.into_iter().map(|(group, committed)| {
            let mut offsets: Vec<CommittedOffset> =
                committed.into_iter().map(|(of, row)| self.committed(of, row.into())).collect();
            offsets.sort_unstable_by(|a, b| a.partition.cmp(&b.partition));
            GroupOffsets { group, offsets }
        });
        let mut groups: Vec<GroupOffsets> = groups.collect();
        groups.sort_unstable_by(|a, b| a.group.cmp(&b.group));
        self.groups = groups;
    }

    fn committed(
        &self,
        partition: TopicPartition,
        committed: OffsetAndMetadata,
    ) -> CommittedOffset {
        let end = self.partition(&partition).map(|files| files.log_end_offset);
        let lag = end.map(|end| end.saturating_sub(committed.offset));
        CommittedOffset { partition, committed, lag }
    }
}

/// A topic as a directory has it.
///
/// ```
/// # fn show(topic: &anabranch::inspect::TopicFiles) {
/// for (setting, value) in &topic.settings {
///     println!("{setting} = {value}");
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TopicFiles {
    /// Its name.
    pub name: TopicName,
    /// Whether it is the broker's own, which holds what groups have committed.
    pub is_internal: bool,
    /// Its settings, by the names of [`TopicConfig`]'s setters; those without limit are not listed.
    pub settings: Vec<(&'static str, String)>,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionFiles>,
}

impl TopicFiles {
    fn read(
        disk: &Arc<dyn Disk>,
        root: &Path,
        name: &TopicName,
        config: &TopicConfig,
    ) -> Result<TopicFiles, OpenError> {
        let mut partitions = Vec::new();
        for id in 0..config.partitions {
            let partition = TopicPartition::new(name, id);
            let dir = root.join(format!("{name}-{id}"));
            partitions.push(PartitionFiles::read(Arc::clone(disk), partition, &dir)?);
        }
        let is_internal = *name == OFFSETS_TOPIC;
        Ok(TopicFiles { name: name.clone(), is_internal, settings: settings(config), partitions })
    }
}

/// A partition as a directory has it.
///
/// ```
/// # fn show(partition: &anabranch::inspect::PartitionFiles) {
/// let (start, end) = (partition.log_start_offset, partition.log_end_offset);
/// println!("{}: offsets {start} to {end}", partition.partition);
/// for record in partition.records_from(start).take(10) {
///     println!("{}: {:?}", record.offset, record.value);
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartitionFiles {
    /// Which one.
    pub partition: TopicPartition,
    /// Its directory.
    pub path: PathBuf,
    /// The first offset that was not dropped.
    pub log_start_offset: Offset,
    /// Where the log ends, as far as it is written and whole.
    pub log_end_offset: Offset,
    /// The offset below which all is known to be on disk; `None` if the mark that says so is damaged.
    pub synced_offset: Option<Offset>,
    /// The leader epochs and the offsets they start at, oldest first. Each but the first tells of a crash.
    pub leader_epochs: Vec<(i32, Offset)>,
    /// The segments, oldest first; the last is the one that is appended to.
    pub segments: Vec<Segment>,
    /// What is wrong, as far as small files, names and lengths tell. [`verify`](Self::verify) reads the
    /// rest.
    pub damage: Vec<Corruption>,
    disk: Arc<dyn Disk>,
    contents: Contents,
}

impl PartitionFiles {
    fn read(
        disk: Arc<dyn Disk>,
        partition: TopicPartition,
        path: &Path,
    ) -> Result<PartitionFiles, DiskError> {
        let contents = Contents::read(&*disk, path)?;
        let mut segments = Vec::new();
        for file in &contents.segments {
            segments.push(Segment::read(&*disk, &contents, file)?);
        }
        // Above the mark a segment may be torn, and what is behind the tear is not of the log.
        let is_behind = |pair: &[Segment]| pair[0].end_offset != pair[1].base_offset;
        let known_end = contents.known_end();
        let whole = segments
            .windows(2)
            .position(|pair| is_behind(pair) && pair[1].base_offset >= known_end);
        let last = whole.map_or(segments.last(), |index| segments.get(index));
        let log_end_offset = last.map_or(known_end, |last| last.end_offset.max(known_end));
        let epochs = contents.epochs.iter().flat_map(|epochs| epochs.entries());
        Ok(PartitionFiles {
            partition,
            path: path.to_owned(),
            log_start_offset: contents.log_start,
            log_end_offset,
            synced_offset: contents.mark.map(|mark| mark.end_offset),
            leader_epochs: epochs.map(|start| (start.epoch, start.start_offset)).collect(),
            segments,
            damage: contents.damage.clone(),
            disk,
            contents,
        })
    }

    /// How many bytes its segments hold.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The records from `offset` on that can be read, as [`salvage`](crate::salvage()) reads them.
    pub fn records_from(&self, offset: Offset) -> SalvagedPartition {
        let (disk, contents) = (Arc::clone(&self.disk), self.contents.clone());
        SalvagedPartition::from(disk, self.partition.clone(), contents, offset)
    }

    /// Reads all of it, and compares it with every checksum there is: that of each batch, that of each sealed
    /// segment and its indexes, and that of everything below the mark.
    ///
    /// # Errors
    ///
    /// [`OpenError::Disk`] if the system does not give a file's bytes.
    pub fn verify(&self) -> Result<Verification, OpenError> {
        let verify::Verified { batches, records, bytes, damage, torn } =
            verify::verify(&*self.disk, &self.contents)?;
        Ok(Verification { batches, records, bytes, damage, torn })
    }
}

/// A segment as a directory has it.
///
/// ```
/// # fn show(segment: &anabranch::inspect::Segment) {
/// println!("{}: {} bytes", segment.file.display(), segment.bytes);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segment {
    /// Its file.
    pub file: PathBuf,
    /// The offset that names it.
    pub base_offset: Offset,
    /// The offset behind its last record, or behind the last there was before compaction.
    pub end_offset: Offset,
    /// How many bytes of batches it holds.
    pub bytes: u64,
    /// How long the file is: more, where room is made ahead; 0 if it is missing.
    pub file_bytes: u64,
    /// Whether it is sealed, and what follows is noted of it.
    pub is_sealed: bool,
    /// Whether compaction has been over it.
    pub is_compacted: bool,
    /// CRC-32 of the file, of a sealed one.
    pub crc: Option<u32>,
    /// The latest timestamp in it, of a sealed one.
    pub max_timestamp: Option<Timestamp>,
}

impl Segment {
    fn read(
        disk: &dyn Disk,
        contents: &Contents,
        file: &SegmentFile,
    ) -> Result<Segment, DiskError> {
        let (end_offset, bytes) = match &file.facts {
            Some(facts) => (facts.end_offset, facts.bytes),
            None => verify::extent(disk, contents, file)?,
        };
        let facts = file.facts.as_ref();
        Ok(Segment {
            file: file.path.clone(),
            base_offset: file.base_offset,
            end_offset,
            bytes,
            file_bytes: file.file_bytes.unwrap_or(0),
            is_sealed: facts.is_some(),
            is_compacted: facts.is_some_and(|facts| facts.is_compacted),
            crc: facts.map(|facts| facts.crc),
            max_timestamp: facts.map(|facts| facts.max_timestamp),
        })
    }
}

/// What a group has committed.
///
/// ```
/// # fn show(group: &anabranch::inspect::GroupOffsets) {
/// let lag: u64 = group.offsets.iter().filter_map(|offset| offset.lag).sum();
/// println!("{} is {lag} records behind", group.group);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupOffsets {
    /// Its name.
    pub group: GroupId,
    /// Its committed offsets, by partition.
    pub offsets: Vec<CommittedOffset>,
}

/// What a group has committed for one partition.
///
/// ```
/// # fn show(offset: &anabranch::inspect::CommittedOffset) {
/// println!("{}: {}", offset.partition, offset.committed.offset);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommittedOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset, and what was to be remembered with it.
    pub committed: OffsetAndMetadata,
    /// How many offsets it is behind the end of the log; `None` if the directory has no such partition.
    pub lag: Option<u64>,
}

/// What verifying a partition found.
///
/// ```
/// # fn show(verification: &anabranch::inspect::Verification) {
/// for corruption in &verification.damage {
///     println!("{corruption}");
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// How many batches were whole.
    pub batches: u64,
    /// How many records they hold.
    pub records: u64,
    /// How many bytes they take.
    pub bytes: u64,
    /// Where bytes are not those that were known to be on disk: the first place of each file.
    pub damage: Vec<Corruption>,
    /// What is behind the last whole batch and was never known to be on disk: what a crash tore, which
    /// opening the directory cuts off, or what is being written just now. It is no damage.
    pub torn: Option<TornTail>,
}

impl Verification {
    /// Whether there is no damage.
    pub fn is_good(&self) -> bool {
        self.damage.is_empty()
    }
}
