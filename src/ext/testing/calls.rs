//! What a log does with the simulated disk: each call is counted, may fail, and then changes the tree.
//!
//! 1. A call that fails has changed nothing, except that a failed sync of data loses what it was to
//!    make durable.

use super::SimDisk;
use super::content::check_end;
use super::faults::{CallKind, no_space};
use super::state::{Shared, State};
use super::tree::{Node, NodeId, Place, Tree};
use crate::{Disk, DiskEntry, DiskFile, DiskLock, EntryKind, OpenMode};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl SimDisk {
    /// Makes a call that changes the tree, or fails on purpose.
    fn change<T>(
        &self,
        kind: CallKind,
        path: &Path,
        change: impl FnOnce(&mut Tree) -> io::Result<T>,
    ) -> io::Result<T> {
        let state = &mut *self.shared.state.lock();
        state.begin(kind, path)?;
        let result = change(Arc::make_mut(&mut state.tree))?;
        state.keep();
        Ok(result)
    }

    fn handle(&self, state: &mut State, id: NodeId, path: &Path, is_writable: bool) -> SimFile {
        *state.handles.entry(id).or_insert(0) += 1;
        SimFile { shared: Arc::clone(&self.shared), id, path: path.to_owned(), is_writable }
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let state = &mut *self.shared.state.lock();
        state.begin(CallKind::CreateDir, path)?;
        // It is called at each opening; one that finds everything changes nothing.
        if state.tree.find_dir(path).is_err() {
            let result = Arc::make_mut(&mut state.tree).create_dirs(path);
            state.keep();
            return result;
        }
        Ok(())
    }

    fn entries(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        let state = &mut *self.shared.state.lock();
        state.begin(CallKind::Entries, dir)?;
        let id = state.tree.find_dir(dir)?;
        let names = state.tree.dir(id)?.now.iter();
        Ok(names.map(|(name, id)| describe(&state.tree, name, *id)).collect())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let state = &mut *self.shared.state.lock();
        state.begin(CallKind::Open, path)?;
        let found = state.tree.find(path);
        if let Ok(id) = found {
            state.tree.file(id)?;
        }
        let id = match (found, mode) {
            (Err(error), OpenMode::Read | OpenMode::Write) => return Err(error),
            (Ok(_), OpenMode::Create) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Err(_), OpenMode::Create | OpenMode::Replace) => {
                let place = state.tree.place(path)?;
                Arc::make_mut(&mut state.tree).create_file(place)
            }
            (Ok(id), OpenMode::Replace) => {
                Arc::make_mut(&mut state.tree).file_mut(id)?.set_len(0);
                id
            }
            (Ok(id), OpenMode::Read | OpenMode::Write) => id,
        };
        state.keep();
        Ok(Arc::new(self.handle(state, id, path, mode != OpenMode::Read)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(CallKind::Rename, to, |tree| {
            let id = tree.find(from)?;
            let (from, to) = (tree.place(from)?, tree.place(to)?);
            // Nobody who uses this trait renames directories; it would be a call for nothing.
            tree.file(id)?;
            match tree.at(&to) {
                Some(same) if same == id => return Ok(()),
                Some(other) if tree.dir(other).is_ok() => {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                _ => {}
            }
            tree.rename(from, to);
            Ok(())
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change(CallKind::RemoveFile, path, |tree| {
            let (place, id) = named(tree, path)?;
            if tree.dir(id).is_ok() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            tree.remove(place);
            Ok(())
        })
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.change(CallKind::RemoveDir, path, |tree| {
            let (place, id) = named(tree, path)?;
            if !tree.dir(id)?.now.is_empty() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            tree.remove(place);
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let state = &mut *self.shared.state.lock();
        state.begin(CallKind::SyncDir, dir)?;
        let id = state.tree.find_dir(dir)?;
        if !state.tree.pending.is_empty() {
            let tree = Arc::make_mut(&mut state.tree);
            tree.sync_dir(id);
            let handles = &state.handles;
            tree.collect(|id| handles.contains_key(&id));
        }
        state.end_sync();
        state.keep();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let state = &mut *self.shared.state.lock();
        state.begin(CallKind::Lock, path)?;
        let place = state.tree.place(path)?;
        let id = match state.tree.at(&place) {
            Some(id) => state.tree.file(id).map(|_| id)?,
            None => Arc::make_mut(&mut state.tree).create_file(place),
        };
        state.keep();
        if !state.locks.insert(id) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let file = self.handle(state, id, path, false);
        Ok(Box::new(SimLock { file }))
    }
}

fn named(tree: &Tree, path: &Path) -> io::Result<(Place, NodeId)> {
    let place = tree.place(path)?;
    let id = tree.at(&place).ok_or(io::ErrorKind::NotFound)?;
    Ok((place, id))
}

fn describe(tree: &Tree, name: &str, id: NodeId) -> DiskEntry {
    let (kind, bytes) = match tree.nodes.get(&id) {
        Some(Node::File(file)) => (EntryKind::File, file.now.len()),
        Some(Node::Dir(_)) => (EntryKind::Dir, 0),
        Some(Node::Other) | None => (EntryKind::Other, 0),
    };
    DiskEntry { name: name.to_owned(), kind, bytes }
}

/// An open file. It stays what it is when its name is given to another one or removed.
struct SimFile {
    shared: Arc<Shared>,
    id: NodeId,
    path: PathBuf,
    is_writable: bool,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimFile").field(&self.path).finish()
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let handles = &mut self.shared.state.lock().handles;
        if let Some(count) = handles.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                handles.remove(&self.id);
            }
        }
    }
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.is_writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let state = &mut *self.shared.state.lock();
        // None at all would say that the file ends here.
        let limit = state.begin(CallKind::Read, &self.path)?.max(1).min(buffer.len());
        Ok(state.tree.file(self.id)?.now.read(&mut buffer[..limit], position))
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let state = &mut *self.shared.state.lock();
        let limit = state.begin(CallKind::Write, &self.path)?.min(bytes.len());
        self.check_writable()?;
        check_end(position, bytes.len() as u64)?;
        let last = state.tree.file(self.id)?.now.len().saturating_add(state.free());
        let room = usize::try_from(last.saturating_sub(position)).unwrap_or(usize::MAX);
        if room == 0 && limit > 0 {
            return Err(no_space());
        }
        let bytes = &bytes[..limit.min(room)];
        Arc::make_mut(&mut state.tree).file_mut(self.id)?.write(bytes, position);
        state.keep();
        Ok(bytes.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        let state = &mut *self.shared.state.lock();
        let faults = state.faults();
        let begun = state.begin(CallKind::SyncData, &self.path);
        let is_fault = state.faults() > faults;
        if (begun.is_ok() || is_fault) && !state.tree.file(self.id)?.unsynced.is_empty() {
            let file = Arc::make_mut(&mut state.tree).file_mut(self.id)?;
            if is_fault {
                file.lose()
            } else {
                file.sync()
            }
            state.keep();
        }
        begun?;
        state.end_sync();
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let state = &mut *self.shared.state.lock();
        state.begin(CallKind::SetLen, &self.path)?;
        self.check_writable()?;
        check_end(0, bytes)?;
        if bytes.saturating_sub(state.tree.file(self.id)?.now.len()) > state.free() {
            return Err(no_space());
        }
        Arc::make_mut(&mut state.tree).file_mut(self.id)?.set_len(bytes);
        state.keep();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let state = &mut *self.shared.state.lock();
        state.begin(CallKind::Len, &self.path)?;
        Ok(state.tree.file(self.id)?.now.len())
    }
}

struct SimLock {
    file: SimFile,
}

impl fmt::Debug for SimLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimLock").field(&self.file.path).finish()
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.file.shared.state.lock().locks.remove(&self.file.id);
    }
}

impl DiskLock for SimLock {}
