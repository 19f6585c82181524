//! A sealed segment's file to batches, one by one, verified on the way.
//!
//! ```text
//!  file     │ batch │ batch  │ batch │ batch    │ batch │ batch …
//!  buffer            ◄── read, not handed out ──►
//!                    ▲ the current batch starts here
//! ```
//!
//! 1. Each batch is validated before it is handed out, and starts where the one before it ends; where
//!    compaction has been, not before that.
//! 2. The end is reached only if length, checksum and offsets of the whole file are those that were sealed.
//! 3. The buffer holds a piece, or one batch if that is longer; no length is believed that leads out of
//!    the file.

use super::CompactionError;
use crate::error::{BatchError, Corruption, CorruptionReason, DiskError};
use crate::ids::Offset;
use crate::log::batch::{BatchHeader, Checks, HEADER_BYTES, validate};
use crate::log::disk::{Disk, DiskFile, OpenMode};
use crate::log::disk_io::read_full_at;
use crate::log::facts::{FileKind, SegmentFacts, file_path};
use crate::log::mark::Crc;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is read at once: so much that the call costs little beside the copy.
const PIECE_BYTES: usize = if cfg!(test) { 256 } else { 1 << 20 };

/// A segment that is being read.
#[derive(Debug)]
pub(super) struct SegmentReader<'f> {
    facts: &'f SegmentFacts,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    buffer: Vec<u8>,
    /// Where in the buffer the current batch starts, and where it ends.
    start: usize,
    end: usize,
    /// How many bytes of the file have been read.
    read: u64,
    crc: Crc,
    next_offset: Offset,
}

impl<'f> SegmentReader<'f> {
    /// Opens the segment's file, which must have the length that it was sealed with.
    pub(super) fn open(
        disk: &dyn Disk,
        dir: &Path,
        facts: &'f SegmentFacts,
    ) -> Result<SegmentReader<'f>, CompactionError> {
        let path = file_path(dir, facts.base_offset, FileKind::Log);
        let missing = |path: PathBuf| {
            let (offset, reason) = (facts.base_offset, CorruptionReason::Missing);
            CompactionError::Corrupt(Corruption { file: path, position: 0, offset, reason })
        };
        let file = match disk.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(path)),
            Err(error) => return Err(DiskError::new("open", &path, &error).into()),
        };
        let found = file.len().map_err(DiskError::at("length", &path))?;
        let (buffer, crc, next_offset) = (Vec::new(), Crc::new(), facts.base_offset);
        let reader = SegmentReader {
            facts,
            path,
            file,
            buffer,
            start: 0,
            end: 0,
            read: 0,
            crc,
            next_offset,
        };
        if found != facts.bytes {
            return Err(reader.corrupt(CorruptionReason::FileBytes { stored: facts.bytes, found }));
        }
        Ok(reader)
    }

    /// Steps to the next batch; `None` behind the last one, when all of the file has been verified.
    pub(super) fn advance(&mut self) -> Result<Option<BatchHeader>, CompactionError> {
        self.start = self.end;
        let left = self.facts.bytes - self.position();
        if left == 0 {
            return self.check_end().map(|()| None);
        }
        let bytes = self.batch_bytes(left)?;
        self.fill(bytes)?;
        let bytes = &self.buffer[self.start..][..bytes];
        let checks = Checks { contiguous: !self.facts.is_compacted, ..Checks::COMPACTED };
        let header = validate(bytes, checks).map_err(|error| self.corrupt(error.into()))?;
        let found = header.base_offset;
        let is_next =
            found == self.next_offset || self.facts.is_compacted && found > self.next_offset;
        if !is_next || header.last_offset() >= self.facts.end_offset {
            return Err(self.corrupt(CorruptionReason::Offset { found }));
        }
        self.next_offset = header.last_offset() + 1;
        self.end = self.start + header.batch_bytes;
        Ok(Some(header))
    }

    /// The bytes of the current batch.
    pub(super) fn batch(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Where in the file the current batch starts.
    fn position(&self) -> u64 {
        self.read - (self.buffer.len() - self.start) as u64
    }

    /// How long the batch is that starts here, or says that it is; no longer than what is `left`.
    fn batch_bytes(&mut self, left: u64) -> Result<usize, CompactionError> {
        let header_bytes = usize::try_from(left).unwrap_or(usize::MAX).min(HEADER_BYTES);
        self.fill(header_bytes)?;
        match BatchHeader::read(&self.buffer[self.start..][..header_bytes]) {
            Ok(header) => Ok(header.batch_bytes),
            Err(BatchError::Truncated { needed, .. }) if needed as u64 <= left => Ok(needed),
            Err(BatchError::Truncated { field, at, needed, .. }) => {
                let available = usize::try_from(left).unwrap_or(usize::MAX);
                Err(self.corrupt(BatchError::Truncated { field, at, needed, available }.into()))
            }
            Err(error) => Err(self.corrupt(error.into())),
        }
    }

    /// Sees that `needed` bytes of the file, which are there, stand in the buffer from the current
    /// batch's start on.
    fn fill(&mut self, needed: usize) -> Result<(), CompactionError> {
        if self.buffer.len() - self.start >= needed {
            return Ok(());
        }
        self.buffer.drain(..self.start);
        (self.start, self.end) = (0, 0);
        let held = self.buffer.len();
        let unread = usize::try_from(self.facts.bytes - self.read).unwrap_or(usize::MAX);
        self.buffer.resize(needed.max(PIECE_BYTES).min(held.saturating_add(unread)), 0);
        let piece = &mut self.buffer[held..];
        let count = read_full_at(&*self.file, piece, self.read)
            .map_err(DiskError::at("read", &self.path))?;
        if count < piece.len() {
            let (stored, found) = (self.facts.bytes, self.read + count as u64);
            self.buffer.truncate(held);
            return Err(self.corrupt(CorruptionReason::FileBytes { stored, found }));
        }
        self.crc.update(piece);
        self.read += count as u64;
        Ok(())
    }

    fn check_end(&self) -> Result<(), CompactionError> {
        let (stored, found) = (self.facts.crc, self.crc.value());
        if stored != found {
            return Err(self.corrupt(CorruptionReason::FileCrc { stored, found }));
        }
        if !self.facts.is_compacted && self.next_offset != self.facts.end_offset {
            let what = "the segment was sealed with another end offset than its records have";
            return Err(self.corrupt(CorruptionReason::SmallFile { what }));
        }
        Ok(())
    }

    fn corrupt(&self, reason: CorruptionReason) -> CompactionError {
        let (file, position) = (self.path.clone(), self.position());
        CompactionError::Corrupt(Corruption { file, position, offset: self.next_offset, reason })
    }
}

impl From<BatchError> for CorruptionReason {
    fn from(error: BatchError) -> Self {
        CorruptionReason::Batch(error)
    }
}
