//! A disk between the broker and the simulated one, that does not do what it says it did: a stand-in for
//! a log that forgets to ask.

use anabranch::testing::SimDisk;
use anabranch::{Disk, DiskEntry, DiskFile, DiskLock, OpenMode};
use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    /// Segments are not synced before what is in them is acknowledged.
    SkipsSyncs,
    /// Names are not.
    SkipsNames,
    /// The list of sealed segments is not synced before it takes the old one's place.
    LosesTheList,
    /// Segments are synced after the mark says that they are, if at all.
    MarksAhead,
}

thread_local! {
    /// The lie of the disks that this thread opens.
    pub(crate) static LIE: Cell<Lie> = const { Cell::new(Lie::None) };
}

#[derive(Debug)]
pub(crate) struct LyingDisk {
    pub(crate) disk: SimDisk,
    pub(crate) lie: Lie,
}

#[derive(Debug)]
struct LyingFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    lie: Lie,
}

impl Disk for LyingDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn entries(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        self.disk.entries(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path, mode)?;
        if self.lie == Lie::None {
            return Ok(file);
        }
        Ok(Arc::new(LyingFile { file, path: path.to_owned(), lie: self.lie }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.lie == Lie::SkipsNames { Ok(()) } else { self.disk.sync_dir(dir) }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.disk.lock(path)
    }
}

impl DiskFile for LyingFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let written = self.file.write_at(bytes, position)?;
        if self.lie == Lie::MarksAhead && self.path.ends_with("mark") {
            self.file.sync_data()?;
        }
        Ok(written)
    }

    fn sync_data(&self) -> io::Result<()> {
        let is = |extension: &str| self.path.extension().is_some_and(|found| found == extension);
        let is_skipped = match self.lie {
            Lie::SkipsSyncs | Lie::MarksAhead => is("log"),
            Lie::LosesTheList => self.path.ends_with("segments.tmp"),
            Lie::None | Lie::SkipsNames => false,
        };
        if is_skipped { Ok(()) } else { self.file.sync_data() }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
