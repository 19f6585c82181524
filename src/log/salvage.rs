//! Reads what can be read of a directory that cannot be opened, and says what it left out.
//!
//! ```text
//!   .log  │ batch │ batch │▒▒ damage ▒▒│ batch │ batch │ 0 0 0 0 │
//!            given   given    skipped     given   given   the end
//! ```
//!
//! Where a batch should stand and none does, every byte behind it is tried as the start of the next
//! one, until one is whole and has the checksum that it says.
//!
//! 1. Nothing is written, locked or repaired.
//! 2. What is given is a whole batch with the right checksum. Its base offset is not covered by that:
//!    each batch comes with the offset that was to be expected there.
//! 3. What is not given is in the report, but for zeros at the end of a file.

use super::batch::{self, Checks};
use super::disk::{Disk, DiskEntry, EntryKind, FileDisk, OpenMode};
use super::facts::{FileKind, parse_file_name};
use super::window::Window;
use crate::error::{BatchError, DiskError, OpenError};
use crate::ids::{Offset, PartitionId, TopicPartition};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Lists what can be read of a damaged directory on the system's disk; see [`Salvage`].
///
/// # Errors
///
/// [`OpenError::Disk`] if a directory cannot be listed.
///
/// # Examples
///
/// ```
/// # let dir = std::env::temp_dir();
/// # let dir = dir.join(format!("anabranch-doc-salvage-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir).expect("room");
/// let report = anabranch::salvage(&dir)?.read(|batch| println!("{}", batch.base_offset));
/// println!("{} records, {} ranges skipped", report.records, report.skipped.len());
/// # std::fs::remove_dir_all(&dir).expect("it is ours");
/// # Ok::<(), anabranch::OpenError>(())
/// ```
pub fn salvage(dir: impl AsRef<Path>) -> Result<Salvage, OpenError> {
    Salvage::of(Arc::new(FileDisk), dir)
}

/// What can be read of a partition's directory, or of all those in a broker's, without opening it.
///
/// For data behind an [`OpenError::Corrupt`]. All segment files are read, with what lies below the
/// log's start, and with those that retention or compaction were about to remove: an offset
/// may come twice.
///
/// ```
/// use anabranch::{Disk, Salvage, SalvagedBatch, format};
/// use std::path::Path;
/// use std::sync::Arc;
///
/// # fn show(disk: Arc<dyn Disk>) -> Result<(), anabranch::OpenError> {
/// let salvage = Salvage::of(disk, Path::new("data"))?;
/// let report = salvage.read(|found: &SalvagedBatch<'_>| {
///     let batch = format::decode(found.bytes).expect("it was checked");
///     for record in batch.records() {
///         println!("{} {}: {:?}", found.partition, record.offset, record.value);
///     }
/// });
/// for gap in &report.skipped {
///     println!("{} bytes {} to {}: {}", gap.file.display(), gap.start, gap.end, gap.reason);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Salvage {
    disk: Arc<dyn Disk>,
    partitions: Vec<PartitionFiles>,
    ignored: Vec<PathBuf>,
}

#[derive(Debug)]
struct PartitionFiles {
    partition: TopicPartition,
    /// By their base offsets.
    logs: Vec<(Offset, PathBuf)>,
}

/// A batch that was found.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SalvagedBatch<'a> {
    /// The partition, by the name of its directory.
    pub partition: &'a TopicPartition,
    /// The file it stands in.
    pub file: &'a Path,
    /// Where in the file.
    pub position: u64,
    /// The offset of its first record, as the batch has it. No checksum covers that.
    pub base_offset: Offset,
    /// The offset that follows what was found before, or that the file is named for. If the batch has
    /// another one, records are missing before it, or one of the two is wrong.
    pub expected_offset: Offset,
    /// The batch, for [`format::decode`](crate::format::decode).
    pub bytes: &'a [u8],
}

/// What [`Salvage::read`] found and did not find.
///
/// ```
/// # fn show(report: &anabranch::SalvageReport) {
/// println!("{} records, {} ranges skipped", report.records, report.skipped.len());
/// # }
/// # show(&anabranch::SalvageReport::default());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageReport {
    /// How many batches were given.
    pub batches: u64,
    /// How many records are in them.
    pub records: u64,
    /// Bytes that are part of no batch.
    pub skipped: Vec<SkippedRange>,
    /// Files that the system did not let be read, or not to their end.
    pub unreadable: Vec<DiskError>,
    /// What stands in the directory and was not looked at: links, devices, and the like.
    pub ignored: Vec<PathBuf>,
}

/// A range of bytes in which [`Salvage::read`] found no batch.
///
/// ```
/// # fn show(range: &anabranch::SkippedRange) {
/// println!("{}: {} bytes", range.file.display(), range.end - range.start);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedRange {
    /// The file.
    pub file: PathBuf,
    /// Where the range starts.
    pub start: u64,
    /// Where the next batch starts, or the file's content ends.
    pub end: u64,
    /// What is wrong at its start.
    pub reason: BatchError,
}

impl Salvage {
    /// Lists the segment files of a partition's directory, or of all those in a broker's.
    ///
    /// # Errors
    ///
    /// [`OpenError::Disk`] if a directory cannot be listed.
    pub fn of(disk: Arc<dyn Disk>, dir: impl AsRef<Path>) -> Result<Salvage, OpenError> {
        let dir = dir.as_ref();
        let mut salvage = Salvage { disk, partitions: Vec::new(), ignored: Vec::new() };
        let mut entries = salvage.list(dir)?;
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        salvage.add_partition(dir, &entries);
        for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Dir) {
            let below = dir.join(&entry.name);
            let entries = salvage.list(&below)?;
            salvage.add_partition(&below, &entries);
        }
        Ok(salvage)
    }

    /// The partitions that have files.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.iter().map(|files| &files.partition)
    }

    /// Gives every batch that is whole to `each`, partition by partition, in the order of the files.
    /// A partition may be read while a broker has it open; its end is then wherever it is.
    pub fn read(&self, mut each: impl FnMut(&SalvagedBatch<'_>)) -> SalvageReport {
        let mut report = SalvageReport { ignored: self.ignored.clone(), ..Default::default() };
        for PartitionFiles { partition, logs } in &self.partitions {
            for (base_offset, path) in logs {
                let file = SegmentFile { partition, path, base_offset: *base_offset };
                if let Err(error) = file.read(&*self.disk, &mut report, &mut each) {
                    report.unreadable.push(error);
                }
            }
        }
        report
    }

    fn list(&self, dir: &Path) -> Result<Vec<DiskEntry>, DiskError> {
        self.disk.entries(dir).map_err(DiskError::at("list", dir))
    }

    fn add_partition(&mut self, dir: &Path, entries: &[DiskEntry]) {
        let links = entries.iter().filter(|entry| entry.kind == EntryKind::Other);
        self.ignored.extend(links.map(|entry| dir.join(&entry.name)));
        let log = |entry: &DiskEntry| {
            let (base_offset, kind) = parse_file_name(&entry.name)?;
            let is_log = kind == FileKind::Log && entry.kind == EntryKind::File;
            is_log.then(|| (base_offset, dir.join(&entry.name)))
        };
        let mut logs: Vec<(Offset, PathBuf)> = entries.iter().filter_map(log).collect();
        logs.sort();
        if !logs.is_empty() {
            self.partitions.push(PartitionFiles { partition: partition_of(dir), logs });
        }
    }
}

/// The partition that a directory is named for; partition 0 of its whole name if it is named otherwise.
fn partition_of(dir: &Path) -> TopicPartition {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let parts = name.rsplit_once('-');
    let named =
        parts.and_then(|(topic, number)| Some((topic, number.parse::<PartitionId>().ok()?)));
    let (topic, partition) = named.unwrap_or((&name, 0));
    TopicPartition::new(topic, partition)
}

struct SegmentFile<'a> {
    partition: &'a TopicPartition,
    path: &'a Path,
    base_offset: Offset,
}

impl SegmentFile<'_> {
    fn read(
        &self,
        disk: &dyn Disk,
        report: &mut SalvageReport,
        each: &mut impl FnMut(&SalvagedBatch<'_>),
    ) -> Result<(), DiskError> {
        let file =
            disk.open(self.path, OpenMode::Read).map_err(DiskError::at("open", self.path))?;
        let file_bytes = file.len().map_err(DiskError::at("length", self.path))?;
        let mut window = Window::new(&*file, self.path, file_bytes);
        let (mut position, mut expected_offset) = (0, self.base_offset);
        while position < file_bytes {
            match window.batch_at(position, Checks::COMPACTED)? {
                Ok((header, bytes)) => {
                    each(&SalvagedBatch {
                        partition: self.partition,
                        file: self.path,
                        position,
                        base_offset: header.base_offset,
                        expected_offset,
                        bytes,
                    });
                    report.batches += 1;
                    report.records += u64::from(header.count);
                    position += header.batch_bytes as u64;
                    expected_offset = header.last_offset() + 1;
                }
                Err(reason) => {
                    let next = next_batch(&mut window, position + 1, file_bytes)?;
                    let end = match next {
                        Some(next) => next,
                        None => window.content_end(position)?,
                    };
                    if end > position {
                        let file = self.path.to_owned();
                        report.skipped.push(SkippedRange { file, start: position, end, reason });
                    }
                    position = next.unwrap_or(file_bytes);
                }
            }
        }
        Ok(())
    }
}

/// Where the next whole batch starts, at `position` or behind it.
fn next_batch(
    window: &mut Window<'_>,
    mut position: u64,
    end: u64,
) -> Result<Option<u64>, DiskError> {
    while position.saturating_add(batch::HEADER_BYTES as u64) <= end {
        // Where even the header cannot be one, the records are not read.
        if window.is_plausible_at(position)?
            && window.batch_at(position, Checks::COMPACTED)?.is_ok()
        {
            return Ok(Some(position));
        }
        position += 1;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::batch::Stamps;
    use super::super::memory_disk::MemoryDisk;
    use super::*;
    use crate::record::Record;
    use proptest::prelude::*;

    fn batch(base_offset: Offset, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; 1000];
        let records = vec![Record::new("value"); count];
        let stamps = Stamps::default();
        let encoded = batch::encode_batch(&mut bytes, base_offset, stamps, records.iter());
        bytes.truncate(encoded.bytes);
        batch::seal(&mut bytes);
        bytes
    }

    fn log(disk: &MemoryDisk, dir: &str, base_offset: Offset, bytes: &[u8]) -> PathBuf {
        let path = super::super::facts::file_path(Path::new(dir), base_offset, FileKind::Log);
        disk.create_dir(Path::new(dir)).expect("room");
        disk.put(&path, bytes);
        path
    }

    /// Where each batch was found: partition, position, base offset, expected offset.
    fn read(disk: &MemoryDisk, dir: &str) -> (Vec<(String, u64, Offset, Offset)>, SalvageReport) {
        let before = disk.changes();
        let salvage = Salvage::of(Arc::new(disk.clone()), dir).expect("it can be listed");
        let mut found = Vec::new();
        let report = salvage.read(|batch| {
            let partition = batch.partition.to_string();
            found.push((partition, batch.position, batch.base_offset, batch.expected_offset));
            assert!(batch::validate(batch.bytes, Checks::APPENDED).is_ok());
        });
        assert_eq!(disk.changes(), before, "nothing is written");
        (found, report)
    }

    #[test]
    fn a_whole_broker_is_read() {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("data")).expect("room");
        log(&disk, "data/orders-0", 7, &[batch(7, 1), batch(8, 2)].concat());
        log(&disk, "data/orders-0", 10, &[batch(10, 3), vec![0; 5000]].concat());
        log(&disk, "data/a-b-12", 0, &batch(0, 1));
        log(&disk, "data/other", 0, b"");
        disk.put("data/manifest", b"whatever");
        disk.put_other("data/link");
        let (found, report) = read(&disk, "data");
        let found: Vec<_> = found.iter().map(|(of, _, base, _)| (of.as_str(), *base)).collect();
        assert_eq!(found, [("a-b/12", 0), ("orders/0", 7), ("orders/0", 8), ("orders/0", 10)]);
        assert_eq!((report.batches, report.records, &report.skipped[..]), (4, 7, &[][..]));
        assert_eq!(report.ignored, [PathBuf::from("data/link")]);
        let (found, _) = read(&disk, "data/orders-0");
        assert_eq!(found.len(), 3, "a partition's directory by itself");
        let salvage = Salvage::of(Arc::new(disk), "data").expect("it can be listed");
        assert_eq!(salvage.partitions().count(), 3);
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        let disk = Arc::new(MemoryDisk::new());
        assert!(matches!(Salvage::of(disk, "data"), Err(OpenError::Disk(_))));
    }

    /// Whichever byte of the middle batch is wrong, the others are found and the range is told.
    #[test]
    fn batches_around_damage_are_found() {
        let batches = [batch(5, 1), batch(6, 2), batch(8, 1)];
        let (start, end) = (batches[0].len(), batches[0].len() + batches[1].len());
        // The base offset and the leader epoch are not covered by the checksum.
        for at in (0..batches[1].len()).filter(|at| !(0..8).contains(at) && !(12..16).contains(at))
        {
            let disk = MemoryDisk::new();
            let mut bytes = batches.concat();
            bytes[start + at] ^= 0x55;
            let path = log(&disk, "orders-3", 5, &bytes);
            let (found, report) = read(&disk, "orders-3");
            let expected = [(0, 5, 5), (end as u64, 8, 6)];
            let found: Vec<_> = found.iter().map(|(_, at, is, was)| (*at, *is, *was)).collect();
            assert_eq!(found, expected, "byte {at}");
            let [range] = &report.skipped[..] else { panic!("{report:?}") };
            assert_eq!((&range.file, range.start, range.end), (&path, start as u64, end as u64));
        }
    }

    #[test]
    fn a_wrong_base_offset_shows_beside_the_expected_one() {
        let disk = MemoryDisk::new();
        let mut second = batch(6, 1);
        second[7] ^= 8;
        log(&disk, "orders-3", 5, &[batch(5, 1), second, batch(7, 1)].concat());
        let (found, report) = read(&disk, "orders-3");
        let offsets: Vec<_> = found.iter().map(|(_, _, is, was)| (*is, *was)).collect();
        assert_eq!(offsets, [(5, 5), (14, 6), (7, 15)]);
        assert!(report.skipped.is_empty());
    }

    #[test]
    fn a_torn_end_is_told_up_to_the_zeros() {
        let disk = MemoryDisk::new();
        let torn = &batch(6, 1)[..70];
        log(&disk, "orders-3", 5, &[&batch(5, 1)[..], torn, &[0; 999]].concat());
        let (found, report) = read(&disk, "orders-3");
        assert_eq!(found.len(), 1);
        let start = batch(5, 1).len() as u64;
        assert_eq!((report.skipped[0].start, report.skipped[0].end), (start, start + 70));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(0_u8..4, 0..300)) {
            let disk = MemoryDisk::new();
            log(&disk, "orders-3", 0, &[&bytes[..], &batch(0, 1)].concat());
            let (found, _) = read(&disk, "orders-3");
            prop_assert!(!found.is_empty(), "what is whole is found");
        }
    }
}
