//! A disk for tests beside the code: files in memory, nothing forgotten, failures on request.

use super::disk::{Disk, DiskEntry, DiskFile, DiskLock, EntryKind, OpenMode};
use crate::sync::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Clones are handles to the same disk; [`snapshot`](Self::snapshot) is another one.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, Arc<Mutex<Vec<u8>>>>,
    dirs: BTreeSet<PathBuf>,
    others: BTreeSet<PathBuf>,
    transfer_max: Option<usize>,
    /// How many more calls that change something succeed.
    changes_left: Option<usize>,
    changes: usize,
    refuses: Option<Refuses>,
}

/// Decides whether a write to a segment, or else a sync of one, is refused.
struct Refuses(Box<dyn FnMut(bool) -> bool + Send>);

impl fmt::Debug for Refuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refuses")
    }
}

impl State {
    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        match &mut self.changes_left {
            Some(0) => Err(io::Error::other("planted")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl MemoryDisk {
    pub(crate) fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// An independent copy of all there is.
    pub(crate) fn snapshot(&self) -> MemoryDisk {
        let state = self.0.lock();
        let copy = |(path, bytes): (&PathBuf, &Arc<Mutex<Vec<u8>>>)| {
            (path.clone(), Arc::new(Mutex::new(bytes.lock().clone())))
        };
        MemoryDisk(Arc::new(Mutex::new(State {
            files: state.files.iter().map(copy).collect(),
            dirs: state.dirs.clone(),
            others: state.others.clone(),
            ..State::default()
        })))
    }

    /// All files with their bytes.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.0.lock();
        state.files.iter().map(|(path, bytes)| (path.clone(), bytes.lock().clone())).collect()
    }

    pub(crate) fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let path = path.as_ref().to_owned();
        self.0.lock().files.insert(path, Arc::new(Mutex::new(bytes.to_vec())));
    }

    pub(crate) fn get(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.0.lock();
        state.files.get(path.as_ref()).map(|bytes| bytes.lock().clone())
    }

    pub(crate) fn remove(&self, path: impl AsRef<Path>) {
        self.0.lock().files.remove(path.as_ref());
    }

    /// Puts a link, a device or the like there.
    pub(crate) fn put_other(&self, path: impl AsRef<Path>) {
        self.0.lock().others.insert(path.as_ref().to_owned());
    }

    /// Lets each read and write move at most so many bytes.
    pub(crate) fn transfer_at_most(&self, bytes: usize) {
        self.0.lock().transfer_max = Some(bytes);
    }

    /// Lets all changes after the next `count` fail.
    pub(crate) fn fail_after(&self, count: usize) {
        self.0.lock().changes_left = Some(count);
    }

    /// Asks before each write to a segment, and, with `false`, before each sync of one, whether it is to
    /// fail.
    #[cfg(any(loom, shuttle))]
    pub(crate) fn refuse_if(&self, refuses: impl FnMut(bool) -> bool + Send + 'static) {
        self.0.lock().refuses = Some(Refuses(Box::new(refuses)));
    }

    /// How many changes, syncs included, were asked for.
    pub(crate) fn changes(&self) -> usize {
        self.0.lock().changes
    }
}

impl Disk for MemoryDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        state.dirs.insert(path.to_owned());
        Ok(())
    }

    fn entries(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        let state = self.0.lock();
        let name = |path: &Path| {
            let is_here = path.parent() == Some(dir);
            is_here.then(|| path.file_name().expect("it has a parent").to_string_lossy().into())
        };
        let mut entries = Vec::new();
        for (path, bytes) in &state.files {
            let bytes = bytes.lock().len() as u64;
            entries.extend(name(path).map(|name| DiskEntry { name, kind: EntryKind::File, bytes }));
        }
        let dirs = state.dirs.iter().map(|path| (path, EntryKind::Dir));
        for (path, kind) in dirs.chain(state.others.iter().map(|path| (path, EntryKind::Other))) {
            entries.extend(name(path).map(|name| DiskEntry { name, kind, bytes: 0 }));
        }
        if entries.is_empty() && !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(entries)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        if state.others.contains(path) {
            return Err(io::Error::other("a link"));
        }
        let is_there = state.files.contains_key(path);
        match mode {
            OpenMode::Read | OpenMode::Write if !is_there => {
                return Err(io::ErrorKind::NotFound.into());
            }
            OpenMode::Create if is_there => return Err(io::ErrorKind::AlreadyExists.into()),
            OpenMode::Read | OpenMode::Write => {}
            OpenMode::Create | OpenMode::Replace => {
                state.change()?;
                state.files.insert(path.to_owned(), Arc::default());
            }
        }
        let bytes = Arc::clone(&state.files[path]);
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        Ok(Arc::new(MemoryFile { bytes, state: Arc::clone(&self.0), mode, is_log }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        let bytes = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        state.files.remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.lock().dirs.remove(path);
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.0.lock().change()
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn DiskLock>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

struct MemoryFile {
    bytes: Arc<Mutex<Vec<u8>>>,
    state: Arc<Mutex<State>>,
    mode: OpenMode,
    is_log: bool,
}

impl fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryFile of {} bytes", self.bytes.lock().len())
    }
}

impl MemoryFile {
    fn change(&self) -> io::Result<usize> {
        assert_ne!(self.mode, OpenMode::Read, "the file was opened to read");
        let mut state = self.state.lock();
        state.change()?;
        Ok(state.transfer_max.unwrap_or(usize::MAX))
    }

    fn ask(&self, is_write: bool) -> io::Result<()> {
        let mut state = self.state.lock();
        let is_refused = self.is_log && state.refuses.as_mut().is_some_and(|r| (r.0)(is_write));
        if is_refused { Err(io::Error::other("refused")) } else { Ok(()) }
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let transfer_max = self.state.lock().transfer_max.unwrap_or(usize::MAX);
        let bytes = self.bytes.lock();
        let start = usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
        let count = buffer.len().min(bytes.len() - start).min(transfer_max);
        buffer[..count].copy_from_slice(&bytes[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, from: &[u8], position: u64) -> io::Result<usize> {
        self.ask(true)?;
        let count = from.len().min(self.change()?);
        let start = usize::try_from(position).expect("test files are small");
        let mut bytes = self.bytes.lock();
        if bytes.len() < start + count {
            bytes.resize(start + count, 0);
        }
        bytes[start..start + count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.ask(false)?;
        self.change().map(drop)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.change()?;
        self.bytes.lock().resize(usize::try_from(bytes).expect("test files are small"), 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }
}
