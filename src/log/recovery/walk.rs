//! Batches of a segment file, one behind the other, in bounded memory.

use super::PIECE_BYTES;
use crate::error::{BatchError, DiskError};
use crate::log::batch::{BatchHeader, Checks, HEADER_BYTES, validate};
use crate::log::disk::DiskFile;
use crate::log::whole::read_full_at;
use std::path::Path;

/// How much is read at once where only headers are looked at: some of small batches, and not too much
/// in vain of large ones.
const HEADER_PIECE_BYTES: usize = 4 << 10;

/// A window on a file that moves forward.
#[derive(Debug)]
pub(in crate::log) struct Window<'a> {
    file: &'a dyn DiskFile,
    path: &'a Path,
    /// Where the file ends, as far as this window is concerned.
    end: u64,
    bytes: Vec<u8>,
    /// Where in the file `bytes` starts.
    at: u64,
}

/// Whether there is a batch at a position, and what is wrong with it if not.
pub(in crate::log) type AtPosition<T> = Result<T, BatchError>;

impl<'a> Window<'a> {
    pub(in crate::log) fn new(file: &'a dyn DiskFile, path: &'a Path, end: u64) -> Window<'a> {
        Window { file, path, end, bytes: Vec::new(), at: 0 }
    }

    pub(in crate::log) fn end(&self) -> u64 {
        self.end
    }

    /// The `count` bytes at `position`, or as many as there are; reads at least `piece` at once.
    fn bytes_at(&mut self, position: u64, count: usize, piece: usize) -> Result<&[u8], DiskError> {
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        let count = count.min(left);
        let start = position.checked_sub(self.at).and_then(|start| usize::try_from(start).ok());
        let is_here =
            |start: &usize| start.checked_add(count).is_some_and(|end| end <= self.bytes.len());
        if let Some(start) = start.filter(is_here) {
            return Ok(&self.bytes[start..start + count]);
        }
        self.bytes.resize(count.max(piece).min(left), 0);
        self.at = position;
        let read = read_full_at(self.file, &mut self.bytes, position)
            .map_err(DiskError::at("read", self.path))?;
        self.bytes.truncate(read);
        Ok(&self.bytes[..count.min(read)])
    }

    /// The batch at `position`, verified, with its bytes.
    pub(in crate::log) fn batch_at(
        &mut self,
        position: u64,
        checks: Checks,
    ) -> Result<AtPosition<(BatchHeader, &[u8])>, DiskError> {
        let header = match self.header_in_piece(position, PIECE_BYTES)? {
            Ok(header) => header,
            Err(error) => return Ok(Err(error)),
        };
        let bytes = self.bytes_at(position, header.batch_bytes, PIECE_BYTES)?;
        Ok(validate(bytes, checks).map(|header| (header, bytes)))
    }

    /// The header at `position`; the records are not looked at.
    pub(in crate::log) fn header_at(
        &mut self,
        position: u64,
    ) -> Result<AtPosition<BatchHeader>, DiskError> {
        self.header_in_piece(position, HEADER_PIECE_BYTES)
    }

    /// Up to a piece of the bytes at `position`; none at the end.
    pub(in crate::log) fn piece_at(&mut self, position: u64) -> Result<&[u8], DiskError> {
        self.bytes_at(position, PIECE_BYTES, PIECE_BYTES)
    }

    /// Behind the last byte that is not zero, from `position` on; `position` if all are.
    pub(in crate::log) fn content_end(&mut self, position: u64) -> Result<u64, DiskError> {
        let (mut at, mut content_end) = (position, position);
        loop {
            let piece = self.piece_at(at)?;
            if piece.is_empty() {
                return Ok(content_end);
            }
            if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
                content_end = at + last as u64 + 1;
            }
            at += piece.len() as u64;
        }
    }

    fn header_in_piece(
        &mut self,
        position: u64,
        piece: usize,
    ) -> Result<AtPosition<BatchHeader>, DiskError> {
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        let header = self.bytes_at(position, HEADER_BYTES, piece)?;
        // A file that got shorter since its length was asked for is one that is cut off.
        let available = if header.len() < HEADER_BYTES { header.len() } else { left };
        Ok(BatchHeader::read_of(header, available))
    }
}
