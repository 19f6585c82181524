//! The time between opening a directory and closing it: the note that says it was closed in good order.
//!
//! ```text
//!   opened ── first append of all ──► the note is gone, durably ── close ──► the note is there again
//! ```
//!
//! While the note is there, the files are as they were left, and the next opening need not look at them.
//! Opening alone does not touch it: who only reads changes no byte.

use crate::error::DiskError;
use crate::log::disk::{Disk, OpenMode};
use crate::log::onward::ReadPools;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::planted::{Bug, planted};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of the note.
const CLEAN_FILE: &str = "clean";

#[derive(Debug)]
pub(crate) struct Session {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    /// Whether the note was found when the directory was opened.
    was_clean: bool,
    /// Whether the note may still be there. Guards taking it away.
    has_note: Mutex<bool>,
    /// Whether `has_note` is known to be false. Relaxed: it only spares the lock.
    is_begun: AtomicBool,
    /// Memory for what is read back, of any partition.
    pub(super) read_pools: ReadPools,
}

/// Whether a directory says that it was closed in good order.
pub(crate) fn has_note(disk: &dyn Disk, root: &Path) -> Result<bool, DiskError> {
    let path = root.join(CLEAN_FILE);
    match disk.open(&path, OpenMode::Read) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(DiskError::new("open", &path, &error)),
    }
}

impl Session {
    /// Looks whether the directory was closed in good order. Changes nothing.
    pub(crate) fn open(disk: Arc<dyn Disk>, root: &Path) -> Result<Session, DiskError> {
        let was_clean = has_note(&*disk, root)?;
        let root = root.to_owned();
        let is_begun = AtomicBool::new(!was_clean);
        let (has_note, read_pools) = (Mutex::new(was_clean), ReadPools::new());
        Ok(Session { disk, root, was_clean, has_note, is_begun, read_pools })
    }

    pub(crate) fn was_clean(&self) -> bool {
        self.was_clean
    }

    /// Before the first change of any file: takes the note away, durably.
    #[inline]
    pub(crate) fn begin(&self) -> Result<(), DiskError> {
        if self.is_begun.load(Ordering::Relaxed) { Ok(()) } else { self.take_note() }
    }

    #[cold]
    fn take_note(&self) -> Result<(), DiskError> {
        let mut has_note = self.has_note.lock();
        if *has_note && !planted(Bug::KeepCleanNote) {
            let path = self.root.join(CLEAN_FILE);
            match self.disk.remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(DiskError::new("remove", &path, &error));
                }
                _ => {}
            }
            self.disk.sync_dir(&self.root).map_err(DiskError::at("sync", &self.root))?;
            *has_note = false;
        }
        self.is_begun.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Everything is on disk as it is: leaves the note, durably. Nothing may be changed from here on.
    pub(crate) fn end(&self) -> Result<(), DiskError> {
        let mut has_note = self.has_note.lock();
        if *has_note {
            return Ok(());
        }
        let path = self.root.join(CLEAN_FILE);
        let file =
            self.disk.open(&path, OpenMode::Replace).map_err(DiskError::at("create", &path))?;
        file.sync_data().map_err(DiskError::at("sync", &path))?;
        self.disk.sync_dir(&self.root).map_err(DiskError::at("sync", &self.root))?;
        *has_note = true;
        Ok(())
    }
}
