//! The segments of a log as readers know them, and reading batches back from their files.
//!
//! ```text
//!   offset ─► Segments::locate ─► Source (file, index) ─► read ─► validated ─► Chunk, sealed
//!               by base offset      position at or before            │ as from the tail: nothing above
//!                                   the batch                        ▼ knows the difference
//! ```
//!
//! Invariants:
//! 1. `sealed` and then `active` are in order of base offsets and cover `log_start..` without a hole.
//! 2. A file is removed when its segment was taken out of the list and the last reader lets go of it.
//! 3. What is read back was covered by its CRC, checked record by record, and stands where the index and
//!    the batch before it say; a compacted segment, whose offsets have gaps, by the CRC of its file.

use super::backlog::Piece;
use super::cold::{Place, ReadBack, Stretch, Wanted};
use super::disk::{Disk, DiskFile, OpenMode};
use super::disk_io::read_full_at;
use super::facts::{FileKind, SegmentFacts, file_path};
use super::index::SegmentIndex;
use super::mark::Crc;
use super::onward::{READ_BYTES_MAX, ReadPools};
use super::store::{Rolled, Rolls};
use super::{Load, batch};
use crate::error::{Corruption, CorruptionReason, DiskError};
use crate::ids::{Offset, Timestamp};
use crate::sync::OnceLock;
use crate::sync::atomic::{AtomicBool, Ordering};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why bytes could not be read back. Nothing was returned of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReadFault {
    Disk(DiskError),
    Corrupt(Corruption),
}

impl From<DiskError> for ReadFault {
    fn from(error: DiskError) -> Self {
        ReadFault::Disk(error)
    }
}

#[derive(Debug)]
pub(crate) struct Segments {
    sealed: Vec<Arc<Segment>>,
    active: Active,
}

/// The segment that is written to, as far as it is written.
#[derive(Debug)]
struct Active {
    base_offset: Offset,
    bytes: u64,
    file: Option<Arc<dyn DiskFile>>,
    index: SegmentIndex,
    end_offset: Offset,
}

impl Active {
    /// Notes the batches of a piece that was written behind the others.
    #[inline]
    fn note(&mut self, piece: &Piece) {
        for batch in batch::whole_batches(piece.bytes.as_ref()) {
            let (last, latest) = (batch::last_offset(batch), batch::max_timestamp(batch));
            self.index.note(last, self.bytes, batch.len(), latest);
            self.bytes += batch.len() as u64;
        }
        self.end_offset = piece.end_offset;
    }
}

/// A sealed segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) facts: SegmentFacts,
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// Opened by the first who reads it.
    file: OnceLock<Arc<dyn DiskFile>>,
    index: OnceLock<SegmentIndex>,
    /// Whether the file's CRC was compared in this process. Relaxed: a second comparison does no harm.
    is_verified: AtomicBool,
    /// Whether the files go when this goes. Relaxed: the last `Arc` to be dropped orders it.
    is_doomed: AtomicBool,
}

impl Segment {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, facts: SegmentFacts) -> Segment {
        let path = file_path(dir, facts.base_offset, FileKind::Log);
        let (file, index) = (OnceLock::new(), OnceLock::new());
        let (is_verified, is_doomed) = (AtomicBool::new(false), AtomicBool::new(false));
        Segment { facts, path, disk, file, index, is_verified, is_doomed }
    }

    /// Has the files removed once nobody reads them any more.
    pub(crate) fn doom(&self) {
        self.is_doomed.store(true, Ordering::Relaxed);
    }

    fn file(&self) -> Result<&Arc<dyn DiskFile>, ReadFault> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let opened = self
            .disk
            .open(&self.path, OpenMode::Read)
            .map_err(DiskError::at("open", &self.path))?;
        Ok(self.file.get_or_init(|| opened))
    }

    /// Opens the file, if nobody has: its name may go to another one.
    pub(crate) fn hold_file(&self) -> Result<(), DiskError> {
        match self.file() {
            Ok(_) => Ok(()),
            Err(ReadFault::Disk(error)) => Err(error),
            Err(ReadFault::Corrupt(_)) => Ok(()),
        }
    }

    /// The index: from its files, or from the batches where those are not as they were.
    fn index(&self) -> Result<&SegmentIndex, ReadFault> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let dir = self.path.parent().expect("a segment lies in its partition's directory");
        let index = match super::index::load(&*self.disk, dir, &self.facts) {
            Some(index) => index,
            None => self.scan()?,
        };
        Ok(self.index.get_or_init(|| index))
    }

    /// Builds the index from the headers of all batches. Their checksums do not cover base offsets: those
    /// must follow each other, or the index would lead to a batch that takes itself for another one.
    fn scan(&self) -> Result<SegmentIndex, ReadFault> {
        let (file, mut index) = (self.file()?, SegmentIndex::new());
        let (mut position, mut fixed) = (0, [0; batch::HEADER_BYTES]);
        let mut expected = self.facts.base_offset;
        while position < self.facts.bytes {
            let count = read_full_at(&**file, &mut fixed, position)
                .map_err(DiskError::at("read", &self.path))?;
            let header = batch::BatchHeader::read_of(&fixed[..count], usize::MAX)
                .map_err(|error| self.corrupt(position, CorruptionReason::Batch(error)))?;
            let found = header.base_offset;
            if found < expected || found > expected && !self.facts.is_compacted {
                return Err(self.corrupt(position, CorruptionReason::Offset { found }));
            }
            let (last, latest) = (header.last_offset(), header.max_timestamp);
            index.note(last, position, header.batch_bytes, latest);
            position += header.batch_bytes as u64;
            expected = last + 1;
        }
        Ok(index)
    }

    fn corrupt(&self, position: u64, reason: CorruptionReason) -> ReadFault {
        let offset = self.facts.base_offset;
        ReadFault::Corrupt(Corruption { file: self.path.clone(), position, offset, reason })
    }

    /// Compares the whole file with the CRC it was sealed with.
    pub(crate) fn verify(&self) -> Result<(), ReadFault> {
        let (file, mut crc, mut position) = (self.file()?, Crc::new(), 0);
        let mut buffer = vec![0; READ_BYTES_MAX];
        loop {
            let count = read_full_at(&**file, &mut buffer, position)
                .map_err(DiskError::at("read", &self.path))?;
            if count == 0 {
                break;
            }
            crc.update(&buffer[..count]);
            position += count as u64;
        }
        if position != self.facts.bytes {
            let (stored, found) = (self.facts.bytes, position);
            return Err(self.corrupt(position, CorruptionReason::FileBytes { stored, found }));
        }
        if crc.value() != self.facts.crc {
            let (stored, found) = (self.facts.crc, crc.value());
            return Err(self.corrupt(0, CorruptionReason::FileCrc { stored, found }));
        }
        self.is_verified.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if self.is_doomed.load(Ordering::Relaxed) {
            let dir = self.path.parent().expect("a segment lies in its partition's directory");
            for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex] {
                // What cannot be removed now is found at the next open to be no part of the log.
                let _ = self.disk.remove_file(&file_path(dir, self.facts.base_offset, kind));
            }
        }
    }
}

/// Where an offset is to be read from.
#[derive(Debug)]
pub(crate) enum Source {
    Sealed(Arc<Segment>),
    Active { file: Arc<dyn DiskFile>, base_offset: Offset, bytes: u64, place: Place },
}

impl Segments {
    pub(crate) fn new(
        sealed: Vec<Arc<Segment>>,
        found: &super::store::Found,
        index: SegmentIndex,
    ) -> Segments {
        let active = Active {
            base_offset: found.base_offset,
            bytes: found.bytes,
            file: found.file.clone(),
            index,
            end_offset: found.end_offset,
        };
        Segments { sealed, active }
    }

    /// Takes over what a load has changed, and which files it began.
    #[inline]
    pub(crate) fn note(
        &mut self,
        load: &Load,
        rolls: Option<Box<Rolls>>,
        disk: &Arc<dyn Disk>,
        dir: &Path,
    ) {
        match rolls {
            None => load.pieces().for_each(|piece| self.active.note(piece)),
            Some(rolls) => self.note_rolls(load, *rolls, disk, dir),
        }
    }

    #[cold]
    fn note_rolls(&mut self, load: &Load, rolls: Rolls, disk: &Arc<dyn Disk>, dir: &Path) {
        let (newest, newest_file) = rolls.active;
        let mut rolled = rolls.rolled.into_iter();
        for piece in load.pieces() {
            let segment = piece.home.segment;
            if segment != self.active.base_offset || self.active.file.is_none() {
                if self.active.file.is_some() {
                    let full = rolled.next().expect("a roll per change of segment");
                    self.seal(full, disk, dir);
                }
                // Of several new segments all but the last were rolled, with the file that the roll names.
                let mut later = rolled.as_slice().iter();
                let later = later.find(|rolled| rolled.facts.base_offset == segment);
                let is_newest = segment == newest;
                let file = later.map(|rolled| &rolled.file).or(is_newest.then_some(&newest_file));
                self.active = Active {
                    base_offset: segment,
                    bytes: 0,
                    file: file.map(Arc::clone),
                    index: SegmentIndex::new(),
                    end_offset: segment,
                };
            }
            self.active.note(piece);
        }
    }

    fn seal(&mut self, full: Rolled, disk: &Arc<dyn Disk>, dir: &Path) {
        let segment = Segment::new(Arc::clone(disk), dir, full.facts);
        let index = std::mem::take(&mut self.active.index);
        let is_new = segment.file.set(full.file).is_ok() && segment.index.set(index).is_ok();
        assert!(is_new, "nobody else knows this segment yet");
        self.sealed.push(Arc::new(segment));
    }

    pub(crate) fn sealed(&self) -> &[Arc<Segment>] {
        &self.sealed
    }

    /// The sealed segments that these facts are about.
    pub(crate) fn of(&self, facts: &[SegmentFacts]) -> Vec<Arc<Segment>> {
        let is_one = |segment: &&Arc<Segment>| {
            facts.iter().any(|facts| facts.base_offset == segment.facts.base_offset)
        };
        self.sealed.iter().filter(is_one).cloned().collect()
    }

    /// Puts segments in the place of others, which are neighbours.
    pub(crate) fn replace(&mut self, old: &[SegmentFacts], new: Vec<Arc<Segment>>) {
        let is_old = |segment: &Arc<Segment>| {
            old.iter().any(|facts| facts.base_offset == segment.facts.base_offset)
        };
        if let Some(first) = self.sealed.iter().position(is_old) {
            let count = self.sealed.iter().filter(|segment| is_old(segment)).count();
            drop(self.sealed.splice(first..first + count, new));
        }
    }

    /// Bytes in all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.sealed.iter().map(|segment| segment.facts.bytes).sum::<u64>() + self.active.bytes
    }

    /// The latest timestamp in the active segment.
    pub(crate) fn active_latest(&self) -> Timestamp {
        self.active.index.max_timestamp()
    }

    /// The offset behind the last record that is written.
    pub(crate) fn active_end_offset(&self) -> Offset {
        self.active.end_offset
    }

    pub(crate) fn active_bytes(&self) -> u64 {
        self.active.bytes
    }

    /// The index of the active segment as it is now; `None` while there is no file.
    pub(crate) fn active_index(&self) -> Option<SegmentIndex> {
        self.active.file.is_some().then(|| self.active.index.clone())
    }

    /// The base offset of the active segment, and how many bytes of it the index covers.
    pub(crate) fn active_end(&self) -> (Offset, u64) {
        (self.active.base_offset, self.active.bytes)
    }

    /// The index of a sealed segment, if it is in memory.
    pub(crate) fn index_of(&self, base_offset: Offset) -> Option<SegmentIndex> {
        let of = |segment: &&Arc<Segment>| segment.facts.base_offset == base_offset;
        self.sealed.iter().rev().find(of)?.index.get().cloned()
    }

    /// Moves the start, and takes segments out of the list that end at or before it.
    pub(crate) fn drop_before(&mut self, log_start: Offset) -> Vec<Arc<Segment>> {
        let is_gone = |segment: &Arc<Segment>| segment.facts.end_offset <= log_start;
        let gone = self.sealed.partition_point(is_gone);
        self.sealed.drain(..gone).collect()
    }

    /// Where `offset`, which is retained and written, is to be read from.
    pub(crate) fn locate(&self, offset: Offset) -> Option<Source> {
        if offset >= self.active.base_offset {
            return Some(Source::Active {
                file: self.active.file.clone()?,
                base_offset: self.active.base_offset,
                bytes: self.active.bytes,
                place: self.active.index.place_of(offset),
            });
        }
        let behind = self.sealed.partition_point(|segment| segment.facts.base_offset <= offset);
        Some(Source::Sealed(Arc::clone(self.sealed.get(behind.checked_sub(1)?)?)))
    }

    /// The offset behind the last record of the sealed segment that `offset` lies in, which compaction
    /// may have emptied; `None` if it lies in the active one.
    pub(crate) fn sealed_end(&self, offset: Offset) -> Option<Offset> {
        let behind = self.sealed.partition_point(|segment| segment.facts.base_offset <= offset);
        let segment = self.sealed.get(behind.checked_sub(1)?)?;
        (offset < segment.facts.end_offset).then_some(segment.facts.end_offset)
    }

    /// Where to start looking for the first record stamped `at` or later: a segment and its index tell.
    pub(crate) fn since(&self, at: Timestamp) -> Since {
        let is_late = |segment: &&Arc<Segment>| segment.facts.max_timestamp >= at;
        match self.sealed.iter().find(is_late) {
            Some(segment) => Since::Sealed(Arc::clone(segment)),
            None => Since::Offset(
                self.active.index.offset_before(at).unwrap_or(self.active.base_offset),
            ),
        }
    }
}

/// Where a look-up by time starts.
#[derive(Debug)]
pub(crate) enum Since {
    Sealed(Arc<Segment>),
    Offset(Offset),
}

impl Since {
    /// The offset to look from.
    pub(crate) fn offset(&self, at: Timestamp) -> Result<Offset, ReadFault> {
        match self {
            Since::Offset(offset) => Ok(*offset),
            Since::Sealed(segment) => {
                let before = segment.index()?.offset_before(at);
                Ok(before.unwrap_or(segment.facts.base_offset))
            }
        }
    }
}

impl Source {
    /// Reads batches from the one that holds the offset on; `None` if there is none before the end of
    /// the segment, or before `until`.
    pub(crate) fn read(
        &self,
        wanted: Wanted,
        dir: &Path,
        pools: &ReadPools,
    ) -> Result<Option<ReadBack>, ReadFault> {
        match self {
            Source::Active { file, base_offset, bytes, place } => {
                let path = &file_path(dir, *base_offset, FileKind::Log);
                let (base_offset, bytes) = (*base_offset, *bytes);
                let stretch =
                    Stretch { file: &**file, path, base_offset, bytes, is_compacted: false };
                stretch.read(wanted, || Ok(*place), pools)
            }
            Source::Sealed(segment) => {
                let SegmentFacts { base_offset, bytes, is_compacted, .. } = segment.facts;
                if is_compacted && !segment.is_verified.load(Ordering::Relaxed) {
                    segment.verify()?;
                }
                let (file, path) = (&**segment.file()?, segment.path.as_path());
                let stretch = Stretch { file, path, base_offset, bytes, is_compacted };
                stretch.read(wanted, || Ok(segment.index()?.place_of(wanted.offset)), pools)
            }
        }
    }
}
