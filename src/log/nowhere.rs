//! A disk that has nothing and takes nothing, and the log on it: what stands in for files that are not to be
//! touched, because they are damaged.
//!
//! Nothing that is done to such a log can reach the directory that it stands for.

use super::disk::{Disk, DiskEntry, DiskFile, DiskLock, OpenMode};
use super::epochs::Epochs;
use super::mark::{Mark, MarkFile};
use super::recovery::{Active, Recovered};
use super::report::PartitionReport;
use crate::ids::TopicPartition;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The disk, and each file of it.
#[derive(Debug)]
pub(crate) struct Nowhere;

/// An empty log in the place of one that is not opened.
pub(crate) fn recovered(dir: &Path, partition: &TopicPartition) -> Recovered {
    Recovered {
        sealed: Vec::new(),
        log_start: 0,
        active: Active::without_file(0),
        mark: Mark::default(),
        mark_file: MarkFile::nowhere(Arc::new(Nowhere), dir),
        epochs: Epochs::default(),
        was_clean: true,
        report: PartitionReport::new(partition.clone()),
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "the partition is offline"))
}

impl Disk for Nowhere {
    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn entries(&self, _dir: &Path) -> io::Result<Vec<DiskEntry>> {
        refused()
    }

    fn open(&self, _path: &Path, _mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        refused()
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_dir(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        refused()
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn DiskLock>> {
        refused()
    }
}

impl DiskFile for Nowhere {
    fn read_at(&self, _buffer: &mut [u8], _position: u64) -> io::Result<usize> {
        refused()
    }

    fn write_at(&self, _bytes: &[u8], _position: u64) -> io::Result<usize> {
        refused()
    }

    fn sync_data(&self) -> io::Result<()> {
        refused()
    }

    fn set_len(&self, _bytes: u64) -> io::Result<()> {
        refused()
    }

    fn len(&self) -> io::Result<u64> {
        refused()
    }
}
