//! The seam to the file system: all that a log asks of a disk, and the real one.
//!
//! ```text
//!  broker, log ──► Disk, DiskFile ──► FileDisk   std::fs, positional reads and writes
//!                                └──► SimDisk    feature `testing`: forgets, fails, fills up
//! ```
//!
//! 1. This is the only file that names `std::fs`.
//! 2. A write may be short; who writes carries on. Nothing is promised of bytes, lengths or names until
//!    the file, for names the directory, is synced.
//! 3. Nothing follows a symbolic link below the broker's directory.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file system, as far as a log needs one.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Creates a directory and those above it; fine if it is there.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Lists what a directory holds, in no particular order. Links are not followed.
    fn entries(&self, dir: &Path) -> io::Result<Vec<DiskEntry>>;

    /// Opens a file. A symbolic link is refused.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, replacing what has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable: what was created, renamed and removed in it.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks a file, creating it if need be, until what is returned is dropped or the process ends.
    /// [`io::ErrorKind::WouldBlock`] if somebody has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// A file that is read and written by position.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads up to `buffer.len()` bytes at `position`; 0 at or behind the end.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// Writes some of `bytes` at `position`, and returns how many.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize>;

    /// Makes the file's bytes and its length durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// The file's length.
    fn len(&self) -> io::Result<u64>;
}

/// A lock on a file, held for as long as this lives.
pub trait DiskLock: Send + Sync + fmt::Debug {}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, to read.
    Read,
    /// An existing file, to read and write.
    Write,
    /// A new file, to read and write; refused if there is one.
    Create,
    /// A file to read and write that is empty, whatever was there.
    Replace,
}

/// What stands under a name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskEntry {
    /// The name, without the directory.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// A file's length; 0 for what is none.
    pub bytes: u64,
}

/// What a [`DiskEntry`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// An ordinary file.
    File,
    /// A directory.
    Dir,
    /// A link, a device, a socket: nothing that a log puts there.
    Other,
}
