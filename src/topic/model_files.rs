//! A partition in a directory of a disk in memory, for models.

use super::config::TopicConfig;
use super::files::Files;
use super::partition::Partition;
use super::session::Session;
use super::shared::{Settings, Shared};
use crate::clock::ManualClock;
use crate::ids::TopicPartition;
use crate::log::disk::Disk;
#[cfg(loom)]
use crate::log::facts::{FileKind, file_path};
use crate::log::memory_disk::MemoryDisk;
use crate::log::recovery;
use crate::sync;
use std::path::Path;
use std::sync::Arc;

const ROOT: &str = "data";
const DIR: &str = "data/t-0";

/// A batch with a record of one byte takes 69 bytes, and may take 98 as far as its sender knows:
/// so much holds one, and a second one needs another chunk.
#[cfg(loom)]
pub(crate) const BATCH_BYTES: usize = 69;
#[cfg(loom)]
pub(crate) const ONE_BATCH: usize = 100;
pub(crate) const TWO_BATCHES: usize = 170;

/// A disk with the directory of an empty partition.
pub(crate) fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    recovery::create(&disk, Path::new(DIR)).unwrap();
    disk
}

/// Opens the partition for the first time. The chunks of its memory have `chunk_bytes`.
pub(crate) fn open(disk: &MemoryDisk, config: TopicConfig, chunk_bytes: usize) -> Partition {
    open_as(disk, config, chunk_bytes, true)
}

/// Opens the partition after a crash.
#[cfg(loom)]
pub(crate) fn reopen(disk: &MemoryDisk, config: TopicConfig, chunk_bytes: usize) -> Partition {
    open_as(disk, config, chunk_bytes, false)
}

fn open_as(disk: &MemoryDisk, config: TopicConfig, chunk_bytes: usize, is_new: bool) -> Partition {
    let config = config.clock(ManualClock::new());
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let session = Arc::new(Session::open(Arc::clone(&disk), Path::new(ROOT)).unwrap());
    let of = TopicPartition::new("t", 0);
    let opened = Files::open(&disk, Path::new(DIR), &of, &config, &session, is_new).unwrap();
    let settings = Settings::new("t".into(), config, chunk_bytes);
    Partition { shared: sync::Arc::new(Shared::with_files(settings, 0, opened)) }
}

/// How many bytes of the first segment are in its file.
#[cfg(loom)]
pub(crate) fn bytes_on(disk: &MemoryDisk) -> usize {
    disk.get(file_path(Path::new(DIR), 0, FileKind::Log)).map_or(0, |bytes| bytes.len())
}
