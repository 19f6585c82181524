//! A broker's directory: where its topics' partitions lie, and the list of them.
//!
//! ```text
//!  data/LOCK   held for as long as the broker is open
//!       manifest   the topics and their settings
//!       clean      there while the directory is closed in good order
//!       orders-0/  orders-1/ …   one for each partition, as in Kafka
//! ```
//!
//! Invariants:
//! 1. Directories come before the list names them, and the list forgets them before they go, durably.
//! 2. What the list does not name is left alone.
//! 3. Nothing is changed once the lock was given back.
//! 4. A partition's directory is one, and not a link to another: what lies elsewhere is not touched.
//! 5. Damage inside a partition's directory takes that partition offline; what is wrong beside them, and what
//!    says nothing about their bytes, refuses the opening.

use super::manifest::{MANIFEST_FILE, Manifest};
use crate::error::{DiskError, OpenError, TopicError};
use crate::ids::{PartitionId, TopicName, TopicPartition};
use crate::log::disk::{Disk, DiskLock, EntryKind};
use crate::log::facts::parse_file_name;
use crate::log::mark::MARK_FILE;
use crate::log::recovery;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::planted::{Bug, planted};
use crate::topic::session::Session;
use crate::topic::{Files, Home, Opened, TopicConfig};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LOCK_FILE: &str = "LOCK";

/// Opening takes memory in proportion to the files that are there. Partitions that are listed and have hardly
/// a file take some all the same, so there may be only so many of them: a few MiB.
const HOLLOW_MAX: usize = 1_000;

/// With fewer bytes a partition takes more memory than its files are worth.
const HOLLOW_BYTES: u64 = 1 << 10;

#[derive(Debug)]
pub(super) struct Directory {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    session: Arc<Session>,
    /// Guards the list, in memory and on disk.
    manifest: Mutex<Manifest>,
    /// Until the broker is closed. Given back under `manifest`.
    lock: Mutex<Option<Box<dyn DiskLock>>>,
    /// How many partitions are offline that have hardly a file. Relaxed: counted by who opens.
    hollow: AtomicUsize,
}

impl Directory {
    /// Takes hold of a directory, making it if it is new.
    pub(super) fn open(disk: Arc<dyn Disk>, root: &Path) -> Result<Directory, OpenError> {
        disk.create_dir(root).map_err(DiskError::at("create", root))?;
        let lock_path = root.join(LOCK_FILE);
        let lock = match disk.lock(&lock_path) {
            Ok(lock) => Some(lock),
            Err(_) if planted(Bug::SkipLock) => None,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(OpenError::Locked { path: root.to_owned() });
            }
            Err(error) => return Err(DiskError::new("lock", &lock_path, &error).into()),
        };
        let session = Arc::new(Session::open(Arc::clone(&disk), root)?);
        let manifest = match Manifest::load(&*disk, root)? {
            Some(manifest) => {
                if !session.was_clean() {
                    // What the last session changed may be what is seen and not what is on disk: the
                    // list of topics, or that the note is gone.
                    disk.sync_dir(root).map_err(DiskError::at("sync", root))?;
                }
                manifest
            }
            None => Self::begin(&*disk, root)?,
        };
        let listed = manifest.topics.iter().map(|(topic, config)| (topic, config.partitions));
        let deleting = manifest.deleting.iter().map(|(topic, partitions)| (topic, *partitions));
        if let Some(path) = foreign(&*disk, root, listed.chain(deleting))? {
            return Err(OpenError::Foreign { path, what: FOREIGN });
        }
        let directory = Directory {
            disk,
            root: root.to_owned(),
            session,
            manifest: Mutex::new(manifest),
            lock: Mutex::new(lock),
            hollow: AtomicUsize::new(0),
        };
        directory.finish_deleting()?;
        Ok(directory)
    }

    /// A directory without a list is new; unless there are partitions in it, whose list is lost.
    fn begin(disk: &dyn Disk, root: &Path) -> Result<Manifest, OpenError> {
        let entries = disk.entries(root).map_err(DiskError::at("list", root))?;
        for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Dir) {
            let inside = disk.entries(&root.join(&entry.name));
            if inside.is_ok_and(|files| files.iter().any(|file| file.name == MARK_FILE)) {
                let (path, name) = (root.join(MANIFEST_FILE), &entry.name);
                return Err(OpenError::Manifest {
                    path,
                    what: format!("is missing, and there is a partition in {name}"),
                });
            }
        }
        // The directory's own name must last as well, and those above it that were made with it. Those
        // further up may not be ours to open.
        let above = root.ancestors().skip(1).filter(|_| !planted(Bug::SkipRootSync));
        for (level, above) in above.enumerate() {
            let synced = disk.sync_dir(above).map_err(DiskError::at("sync", above));
            if level == 0 {
                synced?;
            }
        }
        let manifest = Manifest::default();
        manifest.store(disk, root)?;
        Ok(manifest)
    }

    pub(super) fn was_clean(&self) -> bool {
        self.session.was_clean()
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The topics that are listed, with their settings.
    pub(super) fn topics(&self) -> Vec<(TopicName, TopicConfig)> {
        let manifest = self.manifest.lock();
        manifest.topics.iter().map(|(name, config)| (name.clone(), config.clone())).collect()
    }

    fn path_of(&self, topic: &TopicName, partition: PartitionId) -> PathBuf {
        self.root.join(format!("{topic}-{partition}"))
    }

    /// Makes the directories of a topic's partitions, and lists the topic.
    pub(super) fn create(&self, topic: &TopicName, config: &TopicConfig) -> Result<(), TopicError> {
        self.change(topic, |manifest| {
            manifest.topics.insert(topic.clone(), config.clone());
            if planted(Bug::ListBeforeDirs) {
                manifest.store(&*self.disk, &self.root)?;
            }
            self.make_dirs(topic, 0, config.partitions)
        })
    }

    /// Changes the list, in memory once it is on disk.
    fn change(
        &self,
        topic: &TopicName,
        change: impl FnOnce(&mut Manifest) -> Result<(), DiskError>,
    ) -> Result<(), TopicError> {
        let mut manifest = self.manifest.lock();
        if self.lock.lock().is_none() {
            return Err(TopicError::Closed { topic: topic.clone() });
        }
        let mut changed = manifest.clone();
        self.session
            .begin()
            .and_then(|()| change(&mut changed))
            .and_then(|()| changed.store(&*self.disk, &self.root))
            .map_err(|error| TopicError::Disk { topic: topic.clone(), source: Box::new(error) })?;
        *manifest = changed;
        Ok(())
    }

    /// Whether a damaged partition is one too many of those that have hardly a file.
    fn is_too_hollow(&self, dir: &Path) -> bool {
        let entries = self.disk.entries(dir).unwrap_or_default();
        let bytes = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.bytes));
        bytes < HOLLOW_BYTES && self.hollow.fetch_add(1, Ordering::Relaxed) >= HOLLOW_MAX
    }

    fn make_dirs(
        &self,
        topic: &TopicName,
        current: PartitionId,
        total: PartitionId,
    ) -> Result<(), DiskError> {
        self.refuse_foreign(topic, total)?;
        for id in current..total {
            let dir = self.path_of(topic, id);
            // What a creation left that a crash ended may be there, empty; records may not.
            let left = self.disk.entries(&dir).unwrap_or_default();
            if left.iter().any(|entry| parse_file_name(&entry.name).is_some()) {
                let error = io::Error::from(io::ErrorKind::AlreadyExists);
                return Err(DiskError::new("create", &dir, &error));
            }
            recovery::create(&*self.disk, &dir)?;
        }
        self.disk.sync_dir(&self.root).map_err(DiskError::at("sync", &self.root))
    }

    /// As when the directory was opened: something may have been put there since.
    fn refuse_foreign(&self, topic: &TopicName, partitions: u32) -> Result<(), DiskError> {
        match foreign(&*self.disk, &self.root, std::iter::once((topic, partitions)))? {
            None => Ok(()),
            Some(path) => {
                let error = io::Error::new(io::ErrorKind::NotADirectory, FOREIGN);
                Err(DiskError::new("open", &path, &error))
            }
        }
    }

    /// Lists a topic as being deleted. Its files go with [`finish_deleting`](Self::finish_deleting).
    pub(super) fn delete(&self, topic: &TopicName) -> Result<(), TopicError> {
        self.change(topic, |manifest| {
            if let Some(config) = manifest.topics.remove(topic) {
                manifest.deleting.insert(topic.clone(), config.partitions);
            }
            Ok(())
        })
    }

    /// Removes the directories of topics that are being deleted.
    pub(super) fn finish_deleting(&self) -> Result<(), DiskError> {
        let mut manifest = self.manifest.lock();
        if manifest.deleting.is_empty() || self.lock.lock().is_none() {
            return Ok(());
        }
        self.session.begin()?;
        for (topic, partitions) in &manifest.deleting {
            self.refuse_foreign(topic, *partitions)?;
            for id in 0..*partitions {
                self.remove_dir(&self.path_of(topic, id))?;
            }
        }
        self.disk.sync_dir(&self.root).map_err(DiskError::at("sync", &self.root))?;
        let mut rest = manifest.clone();
        rest.deleting.clear();
        rest.store(&*self.disk, &self.root)?;
        *manifest = rest;
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let entries = match self.disk.entries(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(DiskError::new("list", dir, &error)),
        };
        for entry in entries {
            let path = dir.join(entry.name);
            match self.disk.remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(DiskError::new("remove", &path, &error));
                }
                _ => {}
            }
        }
        self.disk.remove_dir(dir).map_err(DiskError::at("remove", dir))
    }

    /// Everything is on disk: says so, and lets go of the directory.
    pub(super) fn close(&self, is_good: bool) -> Result<(), DiskError> {
        let _unchanged = self.manifest.lock();
        let noted = if is_good { self.session.end() } else { Ok(()) };
        *self.lock.lock() = None;
        noted
    }
}

const FOREIGN: &str = "no directory, where one belongs";

/// What stands where the directory of one of these topics' partitions belongs, and is none.
fn foreign<'a>(
    disk: &dyn Disk,
    root: &Path,
    topics: impl Iterator<Item = (&'a TopicName, u32)>,
) -> Result<Option<PathBuf>, DiskError> {
    let entries = disk.entries(root).map_err(DiskError::at("list", root))?;
    let others = entries.into_iter().filter(|entry| entry.kind != EntryKind::Dir);
    let others: HashSet<String> = others.map(|entry| entry.name).collect();
    let partitions =
        topics.flat_map(|(topic, count)| (0..count).map(move |id| format!("{topic}-{id}")));
    Ok(partitions.into_iter().find(|name| others.contains(name)).map(|name| root.join(name)))
}

impl Home for Directory {
    fn open(
        &self,
        of: &TopicPartition,
        config: &TopicConfig,
        is_new: bool,
    ) -> Result<Opened, OpenError> {
        let dir = self.path_of(&of.topic, of.partition);
        match Files::open(&self.disk, &dir, of, config, &self.session, is_new) {
            // All other errors may be put right from outside, with nothing lost.
            Err(OpenError::Corrupt { corruption, .. }) if !is_new && !self.is_too_hollow(&dir) => {
                Ok(Files::offline(&dir, of, config, &self.session, *corruption))
            }
            opened => opened,
        }
    }

    fn grow(&self, topic: &TopicName, current: u32, total: u32) -> Result<(), TopicError> {
        self.change(topic, |manifest| {
            self.make_dirs(topic, current, total)?;
            if let Some(config) = manifest.topics.get_mut(topic) {
                config.partitions = total;
            }
            Ok(())
        })
    }
}
