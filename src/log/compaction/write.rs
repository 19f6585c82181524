//! What is left of some segments to the files that are to take their place.
//!
//! ```text
//!  batches ──► 00…040.log.swap   full: ──► 00…090.log.swap   not clean: ──► 00…120.log.swap
//! ```
//!
//! 1. The files cover one range of offsets without a gap, from the base that was given to the end.
//! 2. A file is called clean from its start to its end, or not at all.
//! 3. Files count only once they are synced, and their names with them.

use super::CompactionError;
use crate::error::DiskError;
use crate::ids::{Offset, Timestamp};
use crate::log::batch::BatchHeader;
use crate::log::disk::{Disk, DiskFile, OpenMode};
use crate::log::disk_io::write_all_at;
use crate::log::facts::{FileKind, SegmentFacts, file_path};
use crate::log::mark::Crc;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is written at once.
const PIECE_BYTES: usize = if cfg!(test) { 256 } else { 1 << 20 };

/// The latest timestamp of a file without records: Kafka's "none", older than any.
const NO_TIMESTAMP: Timestamp = Timestamp::from_millis(-1);

/// The files that one group of segments becomes.
#[derive(Debug)]
pub(super) struct Swap<'d> {
    disk: &'d dyn Disk,
    dir: &'d Path,
    bytes_max: u64,
    /// The last one is being written.
    files: Vec<SwapFile>,
    piece: Vec<u8>,
}

#[derive(Debug)]
struct SwapFile {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// `end_offset` and `crc` once the file is complete.
    facts: SegmentFacts,
    crc: Crc,
    /// How much of it is in the file; the rest gathers.
    written: u64,
}

impl<'d> Swap<'d> {
    /// Creates the first file. A file gets no longer than `bytes_max`, unless a single batch is.
    pub(super) fn create(
        disk: &'d dyn Disk,
        dir: &'d Path,
        base_offset: Offset,
        bytes_max: u64,
    ) -> Result<Swap<'d>, CompactionError> {
        let mut swap = Swap { disk, dir, bytes_max, files: Vec::new(), piece: Vec::new() };
        swap.begin(base_offset, true)?;
        Ok(swap)
    }

    /// Adds a batch.
    pub(super) fn append(
        &mut self,
        header: &BatchHeader,
        batch: &[u8],
    ) -> Result<(), CompactionError> {
        let SegmentFacts { bytes, is_compacted: is_clean, .. } = self.last().facts;
        if bytes > 0 && bytes + batch.len() as u64 > self.bytes_max {
            self.finish(header.base_offset)?;
            self.begin(header.base_offset, is_clean)?;
        }
        let last = self.last();
        last.crc.update(batch);
        last.facts.bytes += batch.len() as u64;
        last.facts.max_timestamp = last.facts.max_timestamp.max(header.max_timestamp);
        if self.piece.len() + batch.len() > PIECE_BYTES {
            self.flush()?;
        }
        if batch.len() > PIECE_BYTES {
            return self.last().write(batch);
        }
        self.piece.extend_from_slice(batch);
        Ok(())
    }

    /// Goes on, unless it has already done so, in a file that is not called clean.
    pub(super) fn begin_rest(&mut self, base_offset: Offset) -> Result<(), CompactionError> {
        if self.last().facts.is_compacted {
            self.finish(base_offset)?;
            self.begin(base_offset, false)?;
        }
        Ok(())
    }

    /// Completes the last file, which reaches to `end_offset`.
    pub(super) fn finish(&mut self, end_offset: Offset) -> Result<(), CompactionError> {
        self.flush()?;
        let last = self.last();
        last.facts.end_offset = end_offset;
        last.facts.crc = last.crc.value();
        Ok(())
    }

    /// What the files are.
    pub(super) fn facts(&self) -> Vec<SegmentFacts> {
        self.files.iter().map(|file| file.facts.clone()).collect()
    }

    /// Whether there is one file with the bytes of the one that it is to replace.
    pub(super) fn is_same_as(&self, replaced: &[SegmentFacts]) -> bool {
        let of = |facts: &SegmentFacts| (facts.base_offset, facts.bytes, facts.crc);
        matches!((&self.files[..], replaced), ([new], [old]) if of(&new.facts) == of(old))
    }

    /// Makes the files durable.
    pub(super) fn sync(&self) -> Result<(), CompactionError> {
        for SwapFile { path, file, .. } in &self.files {
            file.sync_data().map_err(DiskError::at("sync", path))?;
        }
        Ok(self.disk.sync_dir(self.dir).map_err(DiskError::at("sync", self.dir))?)
    }

    /// Removes the files. One that cannot be removed is named by nothing, and goes when the directory is
    /// opened next.
    pub(super) fn discard(&mut self) {
        for SwapFile { path, .. } in self.files.drain(..) {
            let _ = self.disk.remove_file(&path);
        }
    }

    fn begin(&mut self, base_offset: Offset, is_clean: bool) -> Result<(), CompactionError> {
        let path = file_path(self.dir, base_offset, FileKind::Swap);
        let file = self.disk.open(&path, OpenMode::Replace);
        let file = file.map_err(DiskError::at("create", &path))?;
        let facts = SegmentFacts {
            base_offset,
            end_offset: base_offset,
            bytes: 0,
            crc: 0,
            index_crc: 0,
            max_timestamp: NO_TIMESTAMP,
            is_compacted: is_clean,
        };
        self.files.push(SwapFile { path, file, facts, crc: Crc::new(), written: 0 });
        Ok(())
    }

    fn last(&mut self) -> &mut SwapFile {
        self.files.last_mut().expect("a file was created with this, and is there until all are")
    }

    /// Writes what has gathered: all of it belongs to the last file.
    fn flush(&mut self) -> Result<(), CompactionError> {
        let mut piece = std::mem::take(&mut self.piece);
        self.last().write(&piece)?;
        piece.clear();
        self.piece = piece;
        Ok(())
    }
}

impl SwapFile {
    fn write(&mut self, bytes: &[u8]) -> Result<(), CompactionError> {
        write_all_at(&*self.file, bytes, self.written)
            .map_err(DiskError::at("write", &self.path))?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}
