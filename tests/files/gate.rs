//! The real disk, with a word to be had before each call: to refuse it, to hold it up, or to panic.

use anabranch::{Disk, DiskEntry, DiskFile, DiskLock, FileDisk, OpenMode};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is asked before each call that changes something or reads a file: the method's name, and the file or
/// directory.
type Hook = Arc<dyn Fn(&str, &Path) -> io::Result<()> + Send + Sync>;

/// A disk that asks before each call.
#[derive(Clone)]
pub(crate) struct Gate(Hook);

impl Gate {
    pub(crate) fn new(
        hook: impl Fn(&str, &Path) -> io::Result<()> + Send + Sync + 'static,
    ) -> Gate {
        Gate(Arc::new(hook))
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl Disk for Gate {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        (self.0)("create_dir", path)?;
        FileDisk.create_dir(path)
    }

    fn entries(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        FileDisk.entries(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        if matches!(mode, OpenMode::Create | OpenMode::Replace) {
            (self.0)("create", path)?;
        }
        let file = FileDisk.open(path, mode)?;
        Ok(Arc::new(GatedFile { file, path: path.to_owned(), hook: Arc::clone(&self.0) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.0)("rename", to)?;
        FileDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        (self.0)("remove_file", path)?;
        FileDisk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        (self.0)("remove_dir", path)?;
        FileDisk.remove_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        (self.0)("sync_dir", dir)?;
        FileDisk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        FileDisk.lock(path)
    }
}

struct GatedFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    hook: Hook,
}

impl fmt::Debug for GatedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatedFile({})", self.path.display())
    }
}

impl DiskFile for GatedFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        (self.hook)("read", &self.path)?;
        self.file.read_at(buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        (self.hook)("write", &self.path)?;
        self.file.write_at(bytes, position)
    }

    fn sync_data(&self) -> io::Result<()> {
        (self.hook)("sync", &self.path)?;
        self.file.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        (self.hook)("set_len", &self.path)?;
        self.file.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
