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
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file system, as far as a log needs one.
///
/// Called from any thread, and, unlike all other code of yours, with locks of a broker held.
/// [`FileDisk`] is the real one; a disk of your own may count, delay, encrypt or pretend.
///
/// ```
/// use anabranch::{Disk, DiskEntry, DiskFile, DiskLock, FileDisk, OpenMode};
/// use std::{io, path::Path, sync::Arc};
///
/// /// Says when names become durable.
/// #[derive(Debug)]
/// struct Chatty(FileDisk);
///
/// impl Disk for Chatty {
///     fn sync_dir(&self, dir: &Path) -> io::Result<()> {
///         println!("sync of {}", dir.display());
///         self.0.sync_dir(dir)
///     }
///     // The others pass the call on.
/// #   fn create_dir(&self, path: &Path) -> io::Result<()> { self.0.create_dir(path) }
/// #   fn entries(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> { self.0.entries(dir) }
/// #   fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> { self.0.open(path, mode) }
/// #   fn rename(&self, from: &Path, to: &Path) -> io::Result<()> { self.0.rename(from, to) }
/// #   fn remove_file(&self, path: &Path) -> io::Result<()> { self.0.remove_file(path) }
/// #   fn remove_dir(&self, path: &Path) -> io::Result<()> { self.0.remove_dir(path) }
/// #   fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> { self.0.lock(path) }
/// }
///
/// assert_eq!(Chatty(FileDisk).entries(Path::new("no such place")).unwrap_err().kind(),
///     io::ErrorKind::NotFound);
/// ```
pub trait Disk: Send + Sync + fmt::Debug {
    /// Creates a directory and those above it; fine if it is there.
    ///
    /// # Errors
    ///
    /// Whatever the system refuses, as for all methods; a file that is in the way.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Lists what a directory holds, in no particular order. Links are not followed.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`], [`io::ErrorKind::NotADirectory`].
    fn entries(&self, dir: &Path) -> io::Result<Vec<DiskEntry>>;

    /// Opens a file. A symbolic link is refused.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] and [`io::ErrorKind::AlreadyExists`] as [`OpenMode`] says;
    /// [`io::ErrorKind::InvalidInput`] for what is no ordinary file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, replacing what has it.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`]; nothing has changed then, as after each error.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`].
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`], [`io::ErrorKind::DirectoryNotEmpty`].
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable: what was created, renamed and removed in it.
    ///
    /// # Errors
    ///
    /// If it is not known whether the names are durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks a file, creating it if need be, until what is returned is dropped or the process ends.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if somebody has it, be it in this process or in another.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// A file that is read and written by position.
///
/// ```
/// use anabranch::DiskFile;
/// use std::io;
///
/// fn first_bytes(file: &dyn DiskFile) -> io::Result<[u8; 4]> {
///     let mut bytes = [0; 4];
///     let mut filled = 0;
///     while filled < bytes.len() {
///         match file.read_at(&mut bytes[filled..], filled as u64)? {
///             0 => return Err(io::ErrorKind::UnexpectedEof.into()),
///             read => filled += read,
///         }
///     }
///     Ok(bytes)
/// }
/// ```
#[expect(
    clippy::len_without_is_empty,
    reason = "a file's length is asked of the system and may fail"
)]
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads up to `buffer.len()` bytes at `position`; 0 at or behind the end.
    ///
    /// # Errors
    ///
    /// If the device fails.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// Writes some of `bytes` at `position`, and returns how many.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::StorageFull`], or that the device fails. Nothing was written.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize>;

    /// Makes the file's bytes and its length durable.
    ///
    /// # Errors
    ///
    /// The bytes written since the last sync may be lost, though they can be read and a second sync
    /// says OK. Only writing them again and syncing that tells.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::StorageFull`], or that the device fails. The length is as it was.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// The file's length.
    ///
    /// # Errors
    ///
    /// If the device fails.
    fn len(&self) -> io::Result<u64>;
}

/// A lock on a file, held for as long as this lives.
///
/// ```
/// use anabranch::{Disk, FileDisk};
///
/// # let path = std::env::temp_dir().join(format!("anabranch-doc-lock-{}", std::process::id()));
/// let lock = FileDisk.lock(&path)?;
/// assert_eq!(FileDisk.lock(&path).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
/// drop(lock);
/// FileDisk.lock(&path)?;
/// # FileDisk.remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait DiskLock: Send + Sync + fmt::Debug {}

/// How a file is opened.
///
/// ```
/// use anabranch::{Disk, FileDisk, OpenMode};
///
/// # let path = std::env::temp_dir().join(format!("anabranch-doc-mode-{}", std::process::id()));
/// FileDisk.open(&path, OpenMode::Create)?;
/// assert!(FileDisk.open(&path, OpenMode::Create).is_err());
/// FileDisk.open(&path, OpenMode::Write)?.set_len(10)?;
/// assert_eq!(FileDisk.open(&path, OpenMode::Read)?.len()?, 10);
/// assert_eq!(FileDisk.open(&path, OpenMode::Replace)?.len()?, 0);
/// # FileDisk.remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
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
///
/// ```
/// use anabranch::{Disk, EntryKind, FileDisk};
///
/// let program = std::env::current_exe()?;
/// let folder = program.parent().expect("a program lies in a folder");
/// let entries = FileDisk.entries(folder)?;
/// let files = entries.iter().filter(|entry| entry.kind == EntryKind::File);
/// assert!(files.map(|entry| entry.bytes).sum::<u64>() > 0);
/// # Ok::<(), std::io::Error>(())
/// ```
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
///
/// ```
/// use anabranch::{DiskEntry, EntryKind};
///
/// let entry = DiskEntry { name: "orders-0".to_owned(), kind: EntryKind::Dir, bytes: 0 };
/// assert_ne!(entry.kind, EntryKind::File);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// An ordinary file.
    File,
    /// A directory.
    Dir,
    /// A link, a device, a socket: nothing that a log puts there.
    Other,
}

/// The file system of this machine, through `std::fs`.
///
/// A link, a device or anything else that is no ordinary file is refused by [`open`](Disk::open) and
/// [`lock`](Disk::lock). Directories above a file may be links: where a broker's directory lies is its
/// owner's choice.
///
/// ```
/// use anabranch::{Disk, FileDisk, OpenMode};
///
/// # let dir = std::env::temp_dir().join(format!("anabranch-doc-disk-{}", std::process::id()));
/// FileDisk.create_dir(&dir)?;
/// let file = FileDisk.open(&dir.join("greeting"), OpenMode::Replace)?;
/// assert_eq!(file.write_at(b"bonjour", 0)?, 7);
/// file.sync_data()?; // The bytes are durable …
/// FileDisk.sync_dir(&dir)?; // … and now the file's name is.
///
/// let entries = FileDisk.entries(&dir)?;
/// assert_eq!((entries[0].name.as_str(), entries[0].bytes), ("greeting", 7));
/// # drop(file);
/// # FileDisk.remove_file(&dir.join("greeting"))?;
/// # FileDisk.remove_dir(&dir)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct FileDisk;

impl Disk for FileDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn entries(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            match describe(&entry?) {
                Ok(entry) => entries.push(entry),
                // Removed since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read);
        match mode {
            OpenMode::Read | OpenMode::Write => &mut options,
            OpenMode::Create => options.create_new(true),
            // Emptied below, when it is certain that it is an ordinary file.
            OpenMode::Replace => options.create(true).truncate(false),
        };
        let file = open_ordinary(path, &options)?;
        if mode == OpenMode::Replace {
            file.set_len(0)?;
        }
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    #[cfg(unix)]
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // What stands above a name without a directory.
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        fs::File::open(dir)?.sync_all()
    }

    /// Other systems keep names in order by themselves, or give no way to ask for it.
    #[cfg(not(unix))]
    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut options = fs::OpenOptions::new();
        let file = open_ordinary(path, options.read(true).write(true).create(true))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock(file))),
            Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Opens what stands at `path` if it is an ordinary file, or nothing yet.
///
/// Looks before opening, because opening a pipe waits and opening a device may do anything; and again
/// behind it, because a link may have been put there in between.
fn open_ordinary(path: &Path, options: &fs::OpenOptions) -> io::Result<fs::File> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return Err(not_ordinary()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = options.open(path)?;
    if !is_same_file(&file.metadata()?, &fs::symlink_metadata(path)?) {
        return Err(not_ordinary());
    }
    Ok(file)
}

fn not_ordinary() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "is not an ordinary file")
}

#[cfg(unix)]
fn is_same_file(opened: &fs::Metadata, named: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    opened.is_file() && (opened.dev(), opened.ino()) == (named.dev(), named.ino())
}

/// Without numbers to compare, a link that is there now is all that can be seen.
#[cfg(not(unix))]
fn is_same_file(opened: &fs::Metadata, named: &fs::Metadata) -> bool {
    opened.is_file() && named.is_file()
}

fn describe(entry: &fs::DirEntry) -> io::Result<DiskEntry> {
    // Of the entry itself, not of what a link leads to.
    let metadata = entry.metadata()?;
    let is_readable = entry.file_name().to_str().is_some();
    let kind = match metadata.file_type() {
        // Nothing of ours, and there is no way to ask for it by this name.
        _ if !is_readable => EntryKind::Other,
        found if found.is_file() => EntryKind::File,
        found if found.is_dir() => EntryKind::Dir,
        _ => EntryKind::Other,
    };
    let name = entry.file_name().to_string_lossy().into_owned();
    let bytes = if kind == EntryKind::File { metadata.len() } else { 0 };
    Ok(DiskEntry { name, kind, bytes })
}

#[derive(Debug)]
struct RealFile(fs::File);

impl DiskFile for RealFile {
    #[cfg(unix)]
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, buffer, position)
    }

    #[cfg(windows)]
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.0, buffer, position)
    }

    #[cfg(unix)]
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(&self.0, bytes, position)
    }

    #[cfg(windows)]
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(&self.0, bytes, position)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// Holds the file open: the system takes the lock back when it is closed, however that comes about.
#[derive(Debug)]
struct RealLock(#[expect(dead_code, reason = "it is held, not used")] fs::File);

impl DiskLock for RealLock {}

#[cfg(test)]
mod tests;
