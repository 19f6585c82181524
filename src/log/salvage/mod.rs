//! Reading what can be read of files that are damaged.
//!
//! ```text
//!   salvage(dir) ─► one SalvagedPartition each ─► its segments, in order ─► Scan
//!                                                                            │ batch │ batch │▒▒▒▒▒▒▒│ batch │
//!        OwnedRecord ◄── records of the batches that validate ───────────────┘       skipped, and told
//! ```
//!
//! | File | Its one job |
//! |---|---|
//! | `partition.rs` | From batches to records, over all segments of a partition. |
//! | `scan.rs` | The next batch of one file that can be believed. |
//! | `source.rs` | The bytes of a file, where the medium gives them. |
//! | `report.rs` | What is told of it. |
//!
//! Invariants:
//! 1. Nothing is written and no lock is taken.
//! 2. A record is returned if its batch has the checksum it was written with, every length in it is right,
//!    and nothing contradicts its offsets. The checksum does not cover those: they are compared with the
//!    batches around, the segment's name and its end.
//! 3. Memory is bounded by [`PIECE_BYTES`], the largest batch and [`RANGES_MAX`], whatever the files hold.

mod partition;
mod report;
mod scan;
mod source;
#[cfg(test)]
mod tests;

pub use partition::SalvagedPartition;
pub use report::{SalvageReport, SkipReason, SkippedBytes};

use super::contents::Contents;
use super::disk::{Disk, EntryKind, FileDisk};
use super::facts::parse_file_name;
use super::mark::MARK_FILE;
use crate::error::{DiskError, OpenError};
use crate::ids::TopicPartition;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much of a file is read at once.
const PIECE_BYTES: usize = 1 << 20;

/// The most ranges that a report lists, be they of bytes or of offsets. More are counted.
const RANGES_MAX: usize = 10_000;

/// Reads what can be read in a broker's directory, or in that of one partition, whatever is damaged.
///
/// A [`Broker`](crate::Broker) returns no record that it cannot vouch for, and nothing of a partition
/// whose files it found damaged where they were known to be on disk. This is for what comes then: it changes no byte,
/// takes no lock, and gives for each partition the records of every batch whose checksum holds, in
/// offset order and without holding them all in memory; then it tells what was skipped. What retention
/// or `delete_records` took is not brought back.
///
/// Directories are told by their names, `<topic>-<partition>`. The small files beside the segments are
/// used if they are good and not needed if they are not, so that this reads Kafka's own partitions, too,
/// as far as they are not compressed.
///
/// # Errors
///
/// [`OpenError::Disk`] if a directory cannot be listed, [`OpenError::Foreign`] if it is a partition's by what
/// it holds and not by its name. Files that cannot be read are no error: they are in the
/// [report](SalvagedPartition::report).
///
/// # Examples
///
/// What was salvaged goes into a new topic of a new directory, in the order of its offsets:
///
/// ```
/// use anabranch::{Broker, Header, Record, TopicConfig};
///
/// # let dir = std::env::temp_dir().join(format!("anabranch-doc-salvage-{}", std::process::id()));
/// # let (damaged, fresh) = (dir.join("damaged"), dir.join("fresh"));
/// # let broker = Broker::open(&damaged)?;
/// # let orders = broker.create_topic("orders", TopicConfig::new())?;
/// # let partition = orders.partition(0).expect("a topic has at least one partition");
/// # for n in 0..3 {
/// #     partition.append(&[Record::new(&format!("order {n}"))])?;
/// # }
/// # drop((partition, orders));
/// # broker.close()?;
/// # let log = damaged.join("orders-0/00000000000000000000.log");
/// # let mut bytes = std::fs::read(&log).expect("it was written");
/// # let middle = bytes.len() / 2;
/// # bytes[middle] ^= 1;
/// # std::fs::write(&log, bytes).expect("it is ours");
/// let broker = Broker::open(&fresh)?;
/// for mut partition in anabranch::salvage(&damaged)? {
///     let of = partition.topic_partition().clone();
///     if of.topic.starts_with("__") {
///         continue; // committed offsets, which say nothing about the new topic's
///     }
///     let topic = broker.topic_or_create(&of.topic, TopicConfig::new().partitions(1))?;
///     topic.add_partitions(topic.partition_count().max(of.partition + 1))?;
///     let to = topic.partition(of.partition).expect("it was just made");
///     for record in &mut partition {
///         let headers: Vec<Header> = record
///             .headers
///             .iter()
///             .map(|header| Header { name: &header.name, value: header.value.as_deref() })
///             .collect();
///         to.append(&[Record {
///             key: record.key.as_deref(),
///             value: record.value.as_deref(),
///             headers: &headers,
///             timestamp: Some(record.timestamp),
///             partition: None,
///         }])?;
///     }
///     let report = partition.report();
///     println!("{of}: {} records", report.records);
///     for skipped in &report.skipped {
///         println!("  {skipped}");
///     }
///     assert_eq!((report.records, report.missing_offsets), (2, 1));
/// }
/// # broker.close()?;
/// # std::fs::remove_dir_all(&dir).expect("it is ours");
/// # Ok::<(), anabranch::Error>(())
/// ```
pub fn salvage(dir: impl AsRef<Path>) -> Result<Salvage, OpenError> {
    Salvage::of(Arc::new(FileDisk), dir)
}

/// The partitions of a directory, to be read one after the other. Made by [`salvage`].
///
/// ```
/// # let dir = std::env::temp_dir().join(format!("anabranch-doc-salvage-all-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir).expect("it is ours");
/// let records: usize = anabranch::salvage(&dir)?.map(|partition| partition.count()).sum();
/// assert_eq!(records, 0, "an empty directory");
/// # std::fs::remove_dir_all(&dir).expect("it is ours");
/// # Ok::<(), anabranch::OpenError>(())
/// ```
#[derive(Debug)]
pub struct Salvage {
    partitions: std::vec::IntoIter<SalvagedPartition>,
}

impl Salvage {
    /// The same as [`salvage`], on another disk than the system's.
    ///
    /// # Errors
    ///
    /// As [`salvage`].
    pub fn of(disk: Arc<dyn Disk>, dir: impl AsRef<Path>) -> Result<Salvage, OpenError> {
        let dir = dir.as_ref();
        let entries = disk.entries(dir).map_err(DiskError::at("list", dir))?;
        let is_log = |name: &str| name == MARK_FILE || parse_file_name(name).is_some();
        let is_partition =
            entries.iter().any(|entry| entry.kind == EntryKind::File && is_log(&entry.name));
        let mut found: Vec<(TopicPartition, PathBuf)> = Vec::new();
        if is_partition {
            let what = "a partition's directory that is not named <topic>-<partition>";
            let foreign = || OpenError::Foreign { path: dir.to_owned(), what };
            found.push((named(dir).ok_or_else(foreign)?, dir.to_owned()));
        } else {
            for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Dir) {
                found.extend(parse_dir_name(&entry.name).map(|of| (of, dir.join(&entry.name))));
            }
        }
        found.sort_unstable();
        let open = |(of, dir): (TopicPartition, PathBuf)| {
            let contents = Contents::read(&*disk, &dir)?;
            Ok(SalvagedPartition::new(Arc::clone(&disk), of, contents))
        };
        let partitions = found.into_iter().map(open).collect::<Result<Vec<_>, OpenError>>()?;
        Ok(Salvage { partitions: partitions.into_iter() })
    }
}

impl Iterator for Salvage {
    type Item = SalvagedPartition;

    fn next(&mut self) -> Option<SalvagedPartition> {
        self.partitions.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.partitions.size_hint()
    }
}

impl ExactSizeIterator for Salvage {}

/// The partition that a directory is named for, wherever it is seen from.
fn named(dir: &Path) -> Option<TopicPartition> {
    let absolute = std::path::absolute(dir).ok()?;
    parse_dir_name(absolute.file_name()?.to_str()?)
}

/// `orders-3` is partition 3 of `orders`.
pub(crate) fn parse_dir_name(name: &str) -> Option<TopicPartition> {
    let (topic, digits) = name.rsplit_once('-')?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = !topic.is_empty() && topic.chars().all(is_allowed);
    let partition = digits.parse().ok().filter(|_| is_number && is_name)?;
    Some(TopicPartition::new(topic, partition))
}
