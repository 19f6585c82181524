//! The files that a log is written to: segment after segment, by one writer, at known places.
//!
//! ```text
//!   Load ─► Store::write ─► 00000000000000000000.log │ 00000000000000004711.log ▸   active
//!                                   sealed, not synced yet ──┐         │
//!   Unsynced ◄── take_unsynced ──────────────────────────────┴─────────┘
//!      └─► sync: rewrite what recovery found, data, names ─► Keeper notes it
//! ```
//!
//! Invariants:
//! 1. Writes are positional, and land where the load says; nothing is written twice but after a crash.
//! 2. After a refused write the files are as they were before it, but for zeros: cut to the last good byte, new
//!    ones removed. Where that is refused too, the log is poisoned.
//! 3. A segment that was rolled stays among the unsynced ones until a sync covers it.

use super::Load;
use super::backlog::Piece;
use super::disk::{Disk, DiskFile, OpenMode};
use super::disk_io::{read_full_at, write_all_at};
use super::facts::{FileKind, SegmentFacts, file_path};
use super::mark::Crc;
use super::tally::Tally;
use crate::error::DiskError;
use crate::ids::{Offset, Timestamp};
use crate::sync::planted::{Bug, planted};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How far ahead a file is filled with zeros where syncs are waited for: a sync of bytes within the
/// file's length takes two thirds of one that moves its end.
const PREALLOCATED_BYTES: u64 = 1 << 20;

/// How many of them are written at once. The system keeps what is written at once in one piece, all of which it
/// goes through for each small write and sync in it later: a mebibyte makes a sync dearer by 6 µs.
const ZEROS_BYTES: usize = 16 << 10;

#[derive(Debug)]
pub(crate) struct Store {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    active: Active,
    rolled: Vec<Rolled>,
    has_new_names: bool,
    /// Whether the active file was cut since the last sync.
    is_trimmed: bool,
    /// Bytes that a sync must write once more, because they were found behind the durable mark.
    rewrite: Option<Rewrite>,
    /// Why nobody knows what the files hold, if they could not be put back. A sync that goes on beside may
    /// say yes for what a failed one has lost.
    unsure: Option<DiskError>,
    preallocates: bool,
    segment_bytes_max: u64,
}

/// The segment that is written to.
#[derive(Clone, Debug)]
struct Active {
    base_offset: Offset,
    file: Option<Arc<dyn DiskFile>>,
    bytes: u64,
    /// The file's length, zeros included.
    allocated: u64,
    end_offset: Offset,
    max_timestamp: Timestamp,
    crc: Tally,
}

/// A segment that was sealed, and its file.
#[derive(Clone, Debug)]
pub(crate) struct Rolled {
    pub(crate) facts: SegmentFacts,
    pub(crate) file: Arc<dyn DiskFile>,
}

#[derive(Clone, Debug)]
struct Rewrite {
    file: Arc<dyn DiskFile>,
    start: u64,
    end: u64,
}

/// What a write that began new files has changed, for those who read.
#[derive(Debug)]
pub(crate) struct Rolls {
    /// The segments that the load has sealed.
    pub(crate) rolled: Vec<Rolled>,
    /// The active segment, and its file.
    pub(crate) active: (Offset, Arc<dyn DiskFile>),
}

/// Why a load was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WriteRefused {
    /// The files are as they were.
    Undone(DiskError),
    /// The files could not be put back.
    Poisoned(DiskError),
}

/// Everything that was written and is not known to be on disk.
#[derive(Debug)]
pub(crate) struct Unsynced {
    pub(crate) rolled: Vec<Rolled>,
    pub(crate) reached: Reached,
    active: Option<Arc<dyn DiskFile>>,
    has_new_names: bool,
    rewrite: Option<Rewrite>,
}

/// How far the active segment was written.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    pub(crate) segment: Offset,
    pub(crate) position: u64,
    pub(crate) end_offset: Offset,
    pub(crate) crc: u32,
}

/// The active segment as recovery found it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) base_offset: Offset,
    pub(crate) file: Option<Arc<dyn DiskFile>>,
    pub(crate) bytes: u64,
    pub(crate) end_offset: Offset,
    pub(crate) max_timestamp: Timestamp,
    pub(crate) crc: Crc,
    /// What lies from here on must be written once more before a sync says anything about it.
    pub(crate) rewrite_from: u64,
}

impl Store {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        found: Found,
        preallocates: bool,
        segment_bytes_max: u64,
    ) -> Store {
        let is_unknown = found.rewrite_from < found.bytes && !planted(Bug::SkipRewrite);
        let rewrite = found.file.clone().filter(|_| is_unknown);
        let rewrite =
            rewrite.map(|file| Rewrite { file, start: found.rewrite_from, end: found.bytes });
        let active = Active {
            base_offset: found.base_offset,
            file: found.file,
            bytes: found.bytes,
            allocated: found.bytes,
            end_offset: found.end_offset,
            max_timestamp: found.max_timestamp,
            crc: Tally::from(found.crc),
        };
        let dir = dir.to_owned();
        let rolled = Vec::new();
        let (has_new_names, is_trimmed) = (false, false);
        Store {
            disk,
            dir,
            active,
            rolled,
            has_new_names,
            is_trimmed,
            rewrite,
            unsure: None,
            preallocates,
            segment_bytes_max,
        }
    }

    /// Whether anything was written that no sync has covered.
    pub(crate) fn is_dirty(&self, synced: Offset) -> bool {
        let is_changed = self.has_new_names || self.is_trimmed || self.rewrite.is_some();
        is_changed || self.active.end_offset > synced
    }

    /// Writes a load. Says which files it began, as most do not.
    #[inline(always)]
    pub(crate) fn write(&mut self, load: &Load) -> Result<Option<Box<Rolls>>, WriteRefused> {
        if self.rolls_for(load) {
            return self.write_pieces(load);
        }
        // A piece that stays in its file changes nothing here before it is written, but for the room ahead,
        // which stays.
        match self.write_piece(load.first()) {
            Ok(()) => Ok(None),
            Err(error) => Err(self.refuse(self.active.clone(), None, error)),
        }
    }

    /// As [`write`](Self::write), into several files, or with several writes.
    #[inline(never)]
    fn write_pieces(&mut self, load: &Load) -> Result<Option<Box<Rolls>>, WriteRefused> {
        let mut rolls = None;
        let before = self.active.clone();
        let (rolled, has_new_names) = (self.rolled.len(), self.has_new_names);
        let outcome = load.pieces().try_for_each(|piece| {
            if self.rolls_before(piece) {
                self.roll(piece.home.segment, &mut rolls)?;
            }
            self.write_piece(piece)
        });
        let Err(error) = outcome else { return Ok(rolls) };
        self.has_new_names = has_new_names;
        self.rolled.truncate(rolled);
        Err(self.refuse(before, rolls.as_deref(), error))
    }

    #[cold]
    fn refuse(&mut self, before: Active, rolls: Option<&Rolls>, error: DiskError) -> WriteRefused {
        // Until it is known to be undone; a disk may panic.
        self.unsure = Some(error.clone());
        self.active = before;
        if self.undo(rolls).is_err() {
            return WriteRefused::Poisoned(error);
        }
        self.unsure = None;
        WriteRefused::Undone(error)
    }

    /// Why nobody knows what the files hold, if so.
    pub(crate) fn unsure(&self) -> Option<&DiskError> {
        self.unsure.as_ref()
    }

    /// Whether a load takes more than one write to one file.
    fn rolls_for(&self, load: &Load) -> bool {
        !load.has_one_piece() || self.rolls_before(load.first())
    }

    fn rolls_before(&self, piece: &Piece) -> bool {
        self.active.file.is_none() || piece.home.segment != self.active.base_offset
    }

    /// Writes a piece behind what its file has.
    #[inline(always)]
    fn write_piece(&mut self, piece: &Piece) -> Result<(), DiskError> {
        let bytes = piece.bytes.as_ref();
        let end = self.active.bytes + bytes.len() as u64;
        assert!(
            piece.home.position == self.active.bytes,
            "a load goes on where the last one ended"
        );
        if self.preallocates && end > self.active.allocated {
            self.preallocate(end)?;
        }
        let file = self.active.file.as_ref().expect("rolled to it");
        write_all_at(&**file, bytes, piece.home.position)
            .map_err(|error| self.refused("write", &error))?;
        self.active.crc.add(&piece.bytes);
        self.active.bytes = end;
        self.active.allocated = self.active.allocated.max(end);
        self.active.end_offset = piece.end_offset;
        self.active.max_timestamp = self.active.max_timestamp.max(piece.latest);
        Ok(())
    }

    #[cold]
    fn refused(&self, operation: &'static str, error: &std::io::Error) -> DiskError {
        DiskError::new(operation, &self.path(self.active.base_offset), error)
    }

    fn path(&self, segment: Offset) -> PathBuf {
        file_path(&self.dir, segment, FileKind::Log)
    }

    /// Goes on in a new file.
    #[cold]
    fn roll(
        &mut self,
        base_offset: Offset,
        rolls: &mut Option<Box<Rolls>>,
    ) -> Result<(), DiskError> {
        let path = self.path(base_offset);
        let file =
            self.disk.open(&path, OpenMode::Create).map_err(DiskError::at("create", &path))?;
        let active = (base_offset, Arc::clone(&file));
        let rolls = match rolls {
            Some(rolls) => {
                rolls.active = active;
                rolls
            }
            None => rolls.insert(Box::new(Rolls { rolled: Vec::new(), active })),
        };
        self.has_new_names = true;
        let next = Active {
            base_offset,
            file: Some(file),
            bytes: 0,
            allocated: 0,
            end_offset: base_offset,
            max_timestamp: Timestamp::default(),
            crc: Tally::default(),
        };
        let mut full = std::mem::replace(&mut self.active, next);
        let Some(file) = full.file.take() else { return Ok(()) };
        let facts = SegmentFacts {
            base_offset: full.base_offset,
            end_offset: full.end_offset,
            bytes: full.bytes,
            crc: full.crc.value(),
            index_crc: 0,
            max_timestamp: full.max_timestamp,
            is_compacted: false,
        };
        // Noted before it is cut: if that fails, what this load has made has to go, this one too.
        let rolled = Rolled { facts, file: Arc::clone(&file) };
        rolls.rolled.push(rolled.clone());
        self.rolled.push(rolled);
        if full.allocated > full.bytes {
            let path = self.path(full.base_offset);
            file.set_len(full.bytes).map_err(DiskError::at("cut", &path))?;
        }
        Ok(())
    }

    fn preallocate(&mut self, end: u64) -> Result<(), DiskError> {
        let wanted = (end + PREALLOCATED_BYTES).min(self.segment_bytes_max).max(end);
        let file = self.active.file.as_ref().expect("rolled to it");
        // Without room for zeros there may still be room for records.
        if fill(&**file, end, wanted).is_ok() {
            self.active.allocated = wanted;
        } else {
            let length = self.active.allocated;
            file.set_len(length).map_err(|error| self.refused("cut", &error))?;
            self.preallocates = false;
        }
        Ok(())
    }

    /// Puts the files back after a refused write, durably: who sent what was refused must not find it
    /// after a power cut, nor recovery a segment that another takes the place of.
    fn undo(&mut self, rolls: Option<&Rolls>) -> Result<(), DiskError> {
        if planted(Bug::KeepHalfWritten) {
            return Ok(());
        }
        let mut has_removed = false;
        let made = rolls.into_iter().flat_map(|rolls| {
            let rolled = rolls.rolled.iter().map(|rolled| rolled.facts.base_offset);
            rolled.chain([rolls.active.0])
        });
        let active = &mut self.active;
        let is_kept = |base_offset: &_| *base_offset == active.base_offset && active.file.is_some();
        for base_offset in made.filter(|base_offset| !is_kept(base_offset)) {
            let path = file_path(&self.dir, base_offset, FileKind::Log);
            self.disk.remove_file(&path).map_err(DiskError::at("remove", &path))?;
            has_removed = true;
        }
        if has_removed {
            self.disk.sync_dir(&self.dir).map_err(DiskError::at("sync", &self.dir))?;
        }
        if let Some(file) = &active.file {
            let path = file_path(&self.dir, active.base_offset, FileKind::Log);
            file.set_len(active.bytes).map_err(DiskError::at("cut", &path))?;
            let has_room = active.allocated > active.bytes;
            if has_room && file.set_len(active.allocated).is_err() {
                active.allocated = active.bytes; // Others may have taken the room.
            }
            file.sync_data().map_err(DiskError::at("sync", &path))?;
        }
        Ok(())
    }

    /// Takes out what the next sync has to cover.
    pub(crate) fn take_unsynced(&mut self) -> Unsynced {
        self.is_trimmed = false;
        Unsynced {
            rolled: std::mem::take(&mut self.rolled),
            reached: self.reached(),
            active: self.active.file.clone(),
            has_new_names: std::mem::take(&mut self.has_new_names),
            rewrite: self.rewrite.take(),
        }
    }

    /// Lets go of segments below the start, whose files are gone: no sync has to cover them, and what holds
    /// them open holds their room on the disk.
    pub(crate) fn forget_before(&mut self, log_start: Offset) {
        self.rolled.retain(|rolled| rolled.facts.end_offset > log_start);
    }

    /// How far the active segment was written.
    pub(crate) fn reached(&mut self) -> Reached {
        Reached {
            segment: self.active.base_offset,
            position: self.active.bytes,
            end_offset: self.active.end_offset,
            crc: self.active.crc.value(),
        }
    }

    /// Has the next sync make the file end behind its last batch, if there is nothing else to sync, too:
    /// cuts off the zeros, or keeps the new length that recovery has given it.
    pub(crate) fn trim(&mut self, has_new_length: bool) -> Result<(), DiskError> {
        let Some(file) = &self.active.file else { return Ok(()) };
        let has_zeros = self.active.allocated > self.active.bytes;
        if has_zeros {
            let path = self.path(self.active.base_offset);
            file.set_len(self.active.bytes).map_err(DiskError::at("cut", &path))?;
            self.active.allocated = self.active.bytes;
        }
        if has_zeros || has_new_length {
            self.is_trimmed = !planted(Bug::SkipTrimSync);
        }
        Ok(())
    }
}

/// Writes zeros from `start` to `end`.
fn fill(file: &dyn DiskFile, start: u64, end: u64) -> std::io::Result<()> {
    static ZEROS: [u8; ZEROS_BYTES] = [0; ZEROS_BYTES];
    for position in (start..end).step_by(ZEROS_BYTES) {
        let left = usize::try_from(end - position).unwrap_or(usize::MAX);
        write_all_at(file, &ZEROS[..left.min(ZEROS_BYTES)], position)?;
    }
    Ok(())
}

impl Unsynced {
    /// Brings all of it to the disk. An error means that nobody knows what is there.
    pub(crate) fn sync(&self, disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
        if let Some(rewrite) = &self.rewrite {
            rewrite.run(&file_path(dir, self.reached.segment, FileKind::Log))?;
        }
        for rolled in self.rolled.iter().filter(|_| !planted(Bug::SkipRolledSync)) {
            let path = file_path(dir, rolled.facts.base_offset, FileKind::Log);
            rolled.file.sync_data().map_err(DiskError::at("sync", &path))?;
        }
        if let Some(file) = &self.active {
            let path = file_path(dir, self.reached.segment, FileKind::Log);
            file.sync_data().map_err(DiskError::at("sync", &path))?;
        }
        if self.has_new_names && !planted(Bug::SkipDirSync) {
            disk.sync_dir(dir).map_err(DiskError::at("sync", dir))?;
        }
        Ok(())
    }
}

impl Rewrite {
    /// Writes the bytes once more that a reader found in the system's cache: what the disk has may be
    /// something else, if a sync failed before, and no later sync would say so.
    fn run(&self, path: &Path) -> Result<(), DiskError> {
        let mut buffer = vec![0; 1 << 20];
        let mut position = self.start;
        while position < self.end {
            let wanted = usize::try_from(self.end - position).unwrap_or(usize::MAX);
            let part = &mut buffer[..wanted.min(1 << 20)];
            let count =
                read_full_at(&*self.file, part, position).map_err(DiskError::at("read", path))?;
            if count == 0 {
                break; // Cut meanwhile: what is not there needs no writing.
            }
            write_all_at(&*self.file, &part[..count], position)
                .map_err(DiskError::at("write", path))?;
            position += count as u64;
        }
        Ok(())
    }
}
