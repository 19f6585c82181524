//! Batches of a segment file, wherever they stand, in bounded memory.
//!
//! A window holds a piece of the file, or one batch where that is longer: never more than the file is
//! long, and never more than [`PIECE_BYTES`] beyond what one batch takes.

use super::batch::{BatchHeader, Checks, HEADER_BYTES, validate};
use super::disk::DiskFile;
use super::disk_io::read_full_at;
use crate::error::{BatchError, DiskError};
use std::path::Path;

/// How much of a file is read at once: by the byte a quarter of it, or four times as much, takes longer.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// How much is read at once where only headers are looked at: some of small batches, and not too much
/// in vain of large ones.
const HEADER_PIECE_BYTES: usize = 4 << 10;

/// A window on a file that moves forward.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    file: &'a dyn DiskFile,
    path: &'a Path,
    /// Where the file ends, as far as this window is concerned.
    end: u64,
    bytes: Vec<u8>,
    /// Where in the file `bytes` starts.
    at: u64,
}

/// Whether there is a batch at a position, and what is wrong with it if not.
pub(crate) type AtPosition<T> = Result<T, BatchError>;

impl<'a> Window<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, path: &'a Path, end: u64) -> Window<'a> {
        Window { file, path, end, bytes: Vec::new(), at: 0 }
    }

    pub(crate) fn end(&self) -> u64 {
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
    pub(crate) fn batch_at(
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
    pub(crate) fn header_at(
        &mut self,
        position: u64,
    ) -> Result<AtPosition<BatchHeader>, DiskError> {
        self.header_in_piece(position, HEADER_PIECE_BYTES)
    }

    /// Up to a piece of the bytes at `position`; none at the end.
    pub(crate) fn piece_at(&mut self, position: u64) -> Result<&[u8], DiskError> {
        self.bytes_at(position, PIECE_BYTES, PIECE_BYTES)
    }

    /// Behind the last byte that is not zero, from `position` on; `position` if all are.
    pub(crate) fn content_end(&mut self, position: u64) -> Result<u64, DiskError> {
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

#[cfg(test)]
mod tests {
    use super::super::disk::{Disk, OpenMode};
    use super::super::memory_disk::MemoryDisk;
    use super::*;

    fn with_window(bytes: &[u8], end: u64, test: impl FnOnce(Window<'_>)) {
        let (disk, path) = (MemoryDisk::new(), Path::new("f"));
        disk.put(path, bytes);
        let file = disk.open(path, OpenMode::Read).expect("it is there");
        test(Window::new(&*file, path, end));
    }

    #[test]
    fn zeros_at_the_end_are_no_content() {
        let mut bytes = vec![0; 2 * PIECE_BYTES + 10];
        bytes[PIECE_BYTES + 3] = 1;
        let end = bytes.len() as u64;
        with_window(&bytes, end, |mut window| {
            let content_end = window.content_end(5).expect("readable");
            assert_eq!(content_end, PIECE_BYTES as u64 + 4);
            assert_eq!(window.content_end(content_end).expect("readable"), content_end);
            assert_eq!(window.content_end(end + 9).expect("readable"), end + 9);
        });
    }

    /// The file's length was asked for before, and is not true any more; or never was.
    #[test]
    fn a_file_that_is_shorter_than_it_was_is_cut_off() {
        for end in [61, 100, u64::MAX] {
            with_window(&[0; 30], end, |mut window| {
                assert_eq!(window.piece_at(0).expect("readable").len(), 30);
                let found = window.header_at(0).expect("readable").expect_err("cut off");
                assert!(matches!(found, BatchError::Truncated { available: 30, .. }));
                let found = window.batch_at(u64::MAX, Checks::COMPACTED).expect("readable");
                assert!(found.is_err());
            });
        }
    }
}
