//! Each behaviour of the simulated disk. Here is what its tests share.

mod calls;
mod cuts;
mod faults;
mod recovery;

use super::*;
use crate::{Disk, DiskFile, DiskLock, EntryKind, FileDisk, OpenMode};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

const ROOT: &str = "";

fn open(disk: &SimDisk, path: &str, mode: OpenMode) -> Arc<dyn DiskFile> {
    disk.open(Path::new(path), mode).unwrap()
}

/// A disk with an empty file whose name is durable.
fn with_log() -> (SimDisk, Arc<dyn DiskFile>) {
    let disk = SimDisk::new();
    let log = open(&disk, "log", OpenMode::Create);
    disk.sync_dir(Path::new(ROOT)).unwrap();
    (disk, log)
}

fn put(file: &dyn DiskFile, bytes: &[u8], position: u64) {
    assert_eq!(file.write_at(bytes, position).unwrap(), bytes.len());
}

fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}

/// The names of all files, in all images.
fn names(disk: &SimDisk) -> BTreeSet<Vec<String>> {
    let images = disk.crash_images(10_000);
    assert!(images.is_exhaustive());
    let name = |(path, _): &(std::path::PathBuf, u64)| path.to_str().unwrap().replace('\\', "/");
    images.map(|image| image.files().iter().map(name).collect()).collect()
}

fn log_images(disk: &SimDisk) -> BTreeSet<Vec<u8>> {
    let images = disk.crash_images(10_000);
    assert!(images.is_exhaustive());
    images.map(|image| image.read("log").unwrap()).collect()
}

fn set<const N: usize>(names: [&[&str]; N]) -> BTreeSet<Vec<String>> {
    names.iter().map(|names| names.iter().map(|name| (*name).to_owned()).collect()).collect()
}
