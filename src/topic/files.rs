//! The files of a partition, and who works on them when.
//!
//! ```text
//!               carry: one at a time, chosen under the stripe        sync: one at a time
//!   Load ─► Store (write) ─► Segments (what readers find) ─► [Keeper: sync, mark, list]
//! ```
//!
//! Locks, in this order: `compacting`, `keeper`, then the stripe, or `store` and `segments`. None is taken
//! under the stripe. All are held during I/O, but `segments`, which readers take for a look-up.
//!
//! Invariants:
//! 1. Only who carries writes to the segment files, and only one does at a time.
//! 2. A sync that fails poisons the partition, for good: that is noted before anybody else can sync.
//! 3. The start offset is on disk before readers are told.
//! 4. Once `is_over` is set nothing is changed: the directory may be somebody else's. Who changes anything
//!    but segment files that are written to holds `keeper` and has looked.

use crate::error::{AppendError, Corruption, DiskError, FlushError, OpenError, ReadError};
use crate::ids::{Offset, Timestamp, TopicPartition};
use crate::log::cold::Wanted;
use crate::log::disk::Disk;
use crate::log::facts::SegmentFacts;
use crate::log::index::SegmentIndex;
use crate::log::keeper::Keeper;
use crate::log::onward::Onward;
use crate::log::recovery::{self, Recovered};
use crate::log::report::PartitionReport;
use crate::log::segments::{ReadFault, Segment, Segments};
use crate::log::store::{Found, Store, WriteRefused};
use crate::log::{Chunk, Home, Layout, Load, Retention, retention};
use crate::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use crate::sync::planted::{Bug, planted};
use crate::sync::{self, Mutex, MutexGuard, OnceLock, RwLock};
use crate::topic::config::{Durability, TopicConfig};
use crate::topic::session::Session;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest file whose positions Kafka's index can tell.
const SEGMENT_BYTES_MAX: u64 = i32::MAX as u64;

/// Behind so many bytes the index of the active segment is stored: what an opening after a crash builds
/// anew at most, beyond what it reads anyway.
const INDEX_STORED_AFTER: u64 = 64 << 20;

#[derive(Debug)]
pub(crate) struct Files {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    partition: TopicPartition,
    pub(super) durability: Durability,
    session: Arc<Session>,
    pub(super) keeper: Mutex<Keeper>,
    store: Mutex<Store>,
    pub(super) segments: RwLock<Segments>,
    /// Held by who compacts.
    pub(super) compacting: Mutex<()>,
    /// The first offset that can be read. Relaxed: who must not miss a move is told otherwise.
    log_start: AtomicU64,
    /// The offset below which all is on disk. Relaxed: stored under `keeper`.
    synced: AtomicU64,
    /// The epoch of what is appended. Stored before `is_begun`.
    epoch: AtomicI32,
    /// Whether this session may append: the note is gone, and the epoch raised if it must be.
    is_begun: AtomicBool,
    /// Whether the epoch must rise before the first append. Under `keeper`.
    must_raise: AtomicBool,
    ended: OnceLock<Ended>,
    /// The write or sync after which nobody knows what the files hold. That may come after the end.
    poisoned: OnceLock<DiskError>,
    /// Whether everything that was ever taken is shown, and nothing will come. Release: who sees it sees
    /// what is shown.
    is_drained: AtomicBool,
    /// Whether nothing may be changed any more. Under `keeper`.
    is_over: AtomicBool,
}

/// Why a partition takes nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Poisoned(DiskError),
    /// Its files were found damaged; see `offline.rs`.
    Offline(Box<Corruption>),
    Closed,
}

/// A partition as it was found, for the half of it that is in memory.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) files: Files,
    pub(crate) end_offset: Offset,
    pub(crate) home: Home,
    pub(crate) layout: Layout,
    pub(crate) report: PartitionReport,
}

/// What became of carrying a load to the files.
#[derive(Debug)]
pub(crate) enum Carried {
    /// It is there, and synced if that is what the topic waits for.
    Done,
    /// The files are as they were.
    Refused(DiskError),
    /// Nobody knows what the files hold.
    Poisoned(DiskError),
}

impl Files {
    /// Opens what is in a partition's directory. `is_new` says that this session has made it.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        partition: &TopicPartition,
        config: &TopicConfig,
        session: &Arc<Session>,
        is_new: bool,
    ) -> Result<Opened, OpenError> {
        let found = recovery::recover(disk, dir, partition, session.was_clean())?;
        // An empty log may be what is left of one that was read.
        let must_raise = !found.was_clean && !is_new && !planted(Bug::KeepEpoch);
        let mut opened = Files::assemble(disk, dir, partition, config, session, found);
        let Opened { files, end_offset, .. } = &mut opened;
        files.must_raise = AtomicBool::new(must_raise);
        if files.durability == Durability::Synced && files.synced() < *end_offset {
            // What readers are to see must be on disk, and known to be.
            files.sync()?;
        }
        Ok(opened)
    }

    /// Puts together what was found.
    pub(super) fn assemble(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        partition: &TopicPartition,
        config: &TopicConfig,
        session: &Arc<Session>,
        found: Recovered,
    ) -> Opened {
        let Recovered { sealed, log_start, active, mark, mark_file, epochs, report, .. } = found;
        let durability = config.durability_on_disk();
        let segment_bytes_max = (config.segment_bytes as u64).min(SEGMENT_BYTES_MAX);
        let preallocates = durability == Durability::Synced;
        let (end_offset, index) = (active.end_offset, active.index);
        let home = Home { segment: active.base_offset, position: active.bytes };
        let found = Found {
            base_offset: active.base_offset,
            file: active.file,
            bytes: active.bytes,
            end_offset,
            max_timestamp: active.max_timestamp,
            crc: active.crc,
            rewrite_from: active.rewrite_from,
        };
        let segment =
            |facts: &_| Arc::new(Segment::new(Arc::clone(disk), dir, Clone::clone(facts)));
        let segments = Segments::new(sealed.iter().map(segment).collect(), &found, index);
        let epoch = epochs.latest();
        let synced = mark.end_offset;
        let store = Store::new(Arc::clone(disk), dir, found, preallocates, segment_bytes_max);
        let keeper =
            Keeper::new(Arc::clone(disk), dir, (mark_file, mark), epochs, sealed, log_start);
        let files = Files {
            disk: Arc::clone(disk),
            dir: dir.to_owned(),
            partition: partition.clone(),
            durability,
            session: Arc::clone(session),
            keeper: Mutex::new(keeper),
            store: Mutex::new(store),
            segments: RwLock::new(segments),
            compacting: Mutex::new(()),
            log_start: AtomicU64::new(log_start),
            synced: AtomicU64::new(synced),
            epoch: AtomicI32::new(epoch),
            is_begun: AtomicBool::new(false),
            must_raise: AtomicBool::new(false),
            ended: OnceLock::new(),
            poisoned: OnceLock::new(),
            is_drained: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        };
        let layout = Layout { segment_bytes_max, shows_at_once: durability == Durability::Memory };
        Opened { files, end_offset, home, layout, report }
    }

    /// Before an append: whether this session may, and under which epoch.
    #[inline]
    pub(crate) fn begin(&self, end_offset: impl FnOnce() -> Offset) -> Result<(), AppendError> {
        if self.is_begun.load(Ordering::Acquire) { Ok(()) } else { self.begin_slowly(end_offset) }
    }

    #[cold]
    fn begin_slowly(&self, end_offset: impl FnOnce() -> Offset) -> Result<(), AppendError> {
        let mut keeper = self.keep()?;
        self.session.begin().map_err(|source| self.refused(source))?;
        if self.must_raise.load(Ordering::Relaxed) {
            let raised = keeper.raise_epoch(end_offset()).map_err(|source| self.refused(source))?;
            self.epoch.store(raised, Ordering::Relaxed);
            self.must_raise.store(false, Ordering::Relaxed);
        }
        // Release: who sees it sees the epoch.
        self.is_begun.store(true, Ordering::Release);
        Ok(())
    }

    /// Takes the lock under which the files are changed, as long as they may be.
    fn keep(&self) -> Result<MutexGuard<'_, Keeper>, AppendError> {
        let keeper = self.keeper.lock();
        if self.is_over.load(Ordering::Relaxed) {
            let offline = self.ended().filter(|ended| matches!(ended, Ended::Offline(_)));
            return Err(self.append_ended(offline.unwrap_or(&Ended::Closed)));
        }
        Ok(keeper)
    }

    /// As [`keep`](Self::keep), for a change that no append begins: the files are not as they were closed
    /// any more. `None` if that may not be.
    pub(super) fn keep_to_change(&self) -> Result<Option<MutexGuard<'_, Keeper>>, DiskError> {
        let Ok(keeper) = self.keep() else { return Ok(None) };
        self.session.begin()?;
        Ok(Some(keeper))
    }

    /// The epoch of what will be appended next: one more than that of what was, after a crash.
    pub(crate) fn coming_epoch(&self) -> i32 {
        let keeper = self.keeper.lock();
        keeper.epochs().latest() + i32::from(self.must_raise.load(Ordering::Relaxed))
    }

    /// Where the first epoch behind `epoch` starts, if there is one.
    pub(crate) fn end_of_epoch(&self, epoch: i32) -> Option<Offset> {
        let keeper = self.keeper.lock();
        let entries = keeper.epochs().entries().iter();
        Some(entries.into_iter().find(|start| start.epoch > epoch)?.start_offset)
    }

    /// The epoch that batches carry.
    #[inline]
    pub(crate) fn epoch(&self) -> i32 {
        self.epoch.load(Ordering::Relaxed)
    }

    pub(crate) fn refused(&self, source: DiskError) -> AppendError {
        AppendError::Disk { partition: self.partition.clone(), source: Box::new(source) }
    }

    /// Why nothing more is taken, if so.
    pub(crate) fn ended(&self) -> Option<&Ended> {
        self.ended.get()
    }

    /// Ends it, unless it has ended before.
    pub(crate) fn end(&self, ended: Ended) {
        let _ = self.ended.set(ended);
    }

    /// Notes that nobody knows what the files hold.
    pub(crate) fn poison(&self, error: DiskError) {
        if planted(Bug::ForgetPoison) {
            return;
        }
        let _ = self.poisoned.set(error.clone());
        self.end(Ended::Poisoned(error));
    }

    /// Why nobody knows what the files hold, if so.
    pub(crate) fn poisoned(&self) -> Option<&DiskError> {
        self.poisoned.get()
    }

    /// What becomes of a partition whose disk panics.
    pub(crate) fn panicked(&self) -> DiskError {
        DiskError::new("use", &self.dir, &io::Error::other("the disk panicked"))
    }

    /// What an append is answered after the end.
    pub(crate) fn append_ended(&self, ended: &Ended) -> AppendError {
        let partition = self.partition.clone();
        match ended {
            Ended::Poisoned(error) => {
                AppendError::Poisoned { partition, source: Box::new(error.clone()) }
            }
            Ended::Offline(corruption) => {
                AppendError::Offline { partition, corruption: corruption.clone() }
            }
            Ended::Closed => AppendError::Closed { partition },
        }
    }

    /// What a reader is answered that has read everything, after the end.
    pub(crate) fn read_ended(&self) -> Option<ReadError> {
        let partition = || self.partition.clone();
        if let Some(Ended::Offline(corruption)) = self.ended() {
            let (partition, corruption) = (partition(), corruption.clone());
            return Some(ReadError::Offline { partition, corruption });
        }
        if self.poisoned().is_some() {
            return Some(ReadError::Poisoned { partition: partition() });
        }
        let is_drained = self.is_drained.load(Ordering::Acquire);
        is_drained.then(|| ReadError::Closed { partition: partition() })
    }

    /// Notes that everything that was taken is shown.
    pub(crate) fn drain(&self) {
        self.is_drained.store(true, Ordering::Release);
    }

    /// Whether readers that have read everything get nothing more.
    pub(crate) fn is_drained(&self) -> bool {
        self.is_drained.load(Ordering::Acquire) || self.poisoned().is_some()
    }

    pub(crate) fn flush_ended(&self, ended: &Ended) -> FlushError {
        let partition = self.partition.clone();
        match ended {
            Ended::Poisoned(error) => {
                FlushError::Poisoned { partition, source: Box::new(error.clone()) }
            }
            Ended::Offline(corruption) => {
                FlushError::Offline { partition, corruption: corruption.clone() }
            }
            Ended::Closed => FlushError::Closed { partition },
        }
    }

    pub(crate) fn log_start(&self) -> Offset {
        self.log_start.load(Ordering::Relaxed)
    }

    /// The offset below which all is on disk.
    pub(crate) fn synced(&self) -> Offset {
        self.synced.load(Ordering::Relaxed)
    }

    /// Carries a load to the files; one caller at a time.
    #[inline(always)]
    pub(crate) fn carry(&self, load: Option<&Load>) -> Carried {
        if planted(Bug::AckBeforeWrite) {
            return Carried::Done;
        }
        if let Some(load) = load {
            let written = self.store.lock().write(load);
            match written {
                Ok(rolls) => self.segments.write().note(load, rolls, &self.disk, &self.dir),
                Err(WriteRefused::Undone(error)) => return Carried::Refused(error),
                Err(WriteRefused::Poisoned(error)) => return Carried::Poisoned(error),
            }
        }
        if self.durability == Durability::Synced
            && !planted(Bug::AckBeforeSync)
            && let Err(error) = self.sync()
        {
            return Carried::Poisoned(error);
        }
        Carried::Done
    }

    /// Brings all that is written to the disk. An error poisons the partition.
    pub(crate) fn sync(&self) -> Result<(), DiskError> {
        match self.keep() {
            Ok(mut keeper) => self.sync_under(&mut keeper),
            // Whoever ended it has brought everything to the disk, or it is of no use.
            Err(_) => self.poisoned().map_or(Ok(()), |error| Err(error.clone())),
        }
    }

    fn sync_under(&self, keeper: &mut Keeper) -> Result<(), DiskError> {
        if let Some(error) = self.poisoned()
            && !planted(Bug::SyncAgain)
        {
            return Err(error.clone()); // What a second sync says means nothing.
        }
        if !self.store.lock().is_dirty(keeper.synced()) {
            return Ok(());
        }
        // Before what is synced is fixed, so that the index covers no more than that.
        let index = self.index_to_store(keeper);
        let unsynced = self.store.lock().take_unsynced();
        if planted(Bug::MarkBeforeSync) {
            drop(keeper.note(Vec::new(), &unsynced.reached, |_| None));
        }
        let panicking = PoisonOnPanic(self);
        let mut synced = unsynced.sync(&*self.disk, &self.dir);
        if synced.is_err() && planted(Bug::RetrySync) {
            synced = unsynced.sync(&*self.disk, &self.dir);
        }
        std::mem::forget(panicking);
        // Who writes may have found meanwhile that nobody knows what the files hold.
        let unsure = self.store.lock().unsure().cloned();
        if let Some(error) = synced.err().or(unsure) {
            self.poison(error.clone());
            return Err(error);
        }
        let reached = unsynced.reached;
        self.synced.store(reached.end_offset, Ordering::Relaxed);
        let index_of = |base| self.segments.read().index_of(base);
        // What could not be noted costs the next recovery time, and is noted with the next sync.
        let noted = keeper.note(unsynced.rolled, &reached, index_of);
        if let (Ok(()), Some((segment, bytes, index))) = (noted, index)
            && segment == keeper.segment()
        {
            let _ = keeper.store_index(&index, bytes);
        }
        Ok(())
    }

    /// The index of the active segment, if much of it is not covered by the one that is stored; with the
    /// segment, and how much of that it covers.
    fn index_to_store(&self, keeper: &Keeper) -> Option<(Offset, u64, SegmentIndex)> {
        let segments = self.segments.read();
        let (segment, bytes) = segments.active_end();
        if bytes.saturating_sub(keeper.indexed_bytes(segment)) < INDEX_STORED_AFTER {
            return None;
        }
        Some((segment, bytes, segments.active_index()?))
    }

    /// In good order: everything on disk, the mark and the indexes with it. Opened in good order and
    /// not appended to, the files stay as they are, as they do unless everything `is_written`.
    pub(crate) fn close(&self, is_written: bool) -> Result<(), DiskError> {
        let mut keeper = self.finish();
        if let Some(error) = self.poisoned() {
            return Err(error.clone());
        }
        if !is_written {
            return Ok(());
        }
        if self.session.was_clean() && !self.is_begun.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.store.lock().trim(!self.session.was_clean())?;
        self.sync_under(&mut keeper)?;
        let reached = self.store.lock().reached();
        if self.must_raise.load(Ordering::Relaxed) {
            keeper.raise_epoch(reached.end_offset)?;
            self.must_raise.store(false, Ordering::Relaxed);
        }
        let index = self.segments.read().active_index();
        keeper.close(&reached, index.as_ref())
    }

    /// Has nothing changed any more, and waits for who is changing something.
    pub(crate) fn finish(&self) -> MutexGuard<'_, Keeper> {
        let _compacted = self.compacting.lock();
        let keeper = self.keeper.lock();
        self.is_over.store(true, Ordering::Relaxed);
        keeper
    }

    /// Drops what retention does not keep. What is too old goes from the segment that is written to as
    /// well, if that is all of it, and nothing of it waits to be shown: its file goes when it is full.
    pub(crate) fn apply_retention(
        &self,
        limits: Retention,
        high_watermark: Offset,
    ) -> Result<(), AppendError> {
        let segments = self.segments.read();
        let sealed: Vec<SegmentFacts> =
            segments.sealed().iter().map(|segment| segment.facts.clone()).collect();
        let (active_bytes, latest) = (segments.active_bytes(), segments.active_latest());
        let is_shown = segments.active_end_offset() == high_watermark;
        drop(segments);
        let plan = retention::plan(&sealed, active_bytes, limits, self.log_start());
        let is_too_old = limits.horizon.is_some_and(|horizon| latest < horizon);
        let is_all = plan.segments == sealed.len() && is_too_old && is_shown;
        let log_start = if is_all { high_watermark } else { plan.log_start };
        if log_start > self.log_start() || plan.segments > 0 {
            self.move_start(log_start)?;
        }
        Ok(())
    }

    /// Reads the batch that holds `offset`, and some behind it, back from the files. `until` is the first
    /// offset that is in memory. `None` if compaction has left nothing between the two.
    pub(crate) fn read_back(
        &self,
        offset: Offset,
        until: Offset,
        onward: &mut Onward,
    ) -> Result<Option<sync::Arc<Chunk>>, ReadError> {
        let (bytes, start) = (onward.read_bytes(), onward.start);
        let mut offset = offset;
        while offset < until {
            let (source, end) = {
                let segments = self.segments.read();
                (segments.locate(offset), segments.sealed_end(offset))
            };
            let wanted = Wanted { offset, until, bytes, start };
            let Some(source) = source else { return Ok(None) };
            let found = source.read(wanted, &self.dir, &self.session.read_pools);
            if let Some(found) = found.map_err(|fault| self.read_fault(fault))? {
                onward.start = Some(found.next);
                return Ok(Some(found.chunk));
            }
            // Compaction took the end of this segment.
            let Some(end) = end else { return Ok(None) };
            offset = end;
        }
        Ok(None)
    }

    fn read_fault(&self, fault: ReadFault) -> ReadError {
        let partition = self.partition.clone();
        match fault {
            ReadFault::Disk(error) => ReadError::Disk { partition, source: Box::new(error) },
            ReadFault::Corrupt(corruption) => {
                ReadError::Corrupt { partition, corruption: Box::new(corruption) }
            }
        }
    }

    /// An offset before which every record is stamped earlier than `at`.
    pub(crate) fn offset_before(&self, at: Timestamp) -> Result<Offset, ReadError> {
        let since = self.segments.read().since(at);
        since.offset(at).map_err(|fault| self.read_fault(fault))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.segments.read().bytes()
    }

    /// Moves the start, durably; records below it are gone. Returns the start.
    pub(crate) fn move_start(&self, log_start: Offset) -> Result<Offset, AppendError> {
        let kept = self.keep_to_change().map_err(|source| self.refused(source))?;
        let Some(mut keeper) = kept else { return Err(self.append_ended(&Ended::Closed)) };
        if log_start <= self.log_start() {
            return Ok(self.log_start());
        }
        if planted(Bug::RemoveBeforeList) {
            let gone = self.segments.write().drop_before(log_start);
            gone.iter().for_each(|segment| segment.doom());
        }
        keeper.move_start(log_start).map_err(|source| self.refused(source))?;
        self.log_start.store(log_start, Ordering::Relaxed);
        self.store.lock().forget_before(log_start);
        let gone = self.segments.write().drop_before(log_start);
        gone.iter().for_each(|segment| segment.doom());
        Ok(log_start)
    }
}

/// Poisons the partition if the disk panics during a sync: what the next one says would mean nothing. Forgotten
/// when it has not.
struct PoisonOnPanic<'f>(&'f Files);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        self.0.poison(self.0.panicked());
    }
}
