//! The bytes of one file, where the medium gives them.

use super::PIECE_BYTES;
use crate::error::DiskError;
use crate::log::disk::DiskFile;
use crate::log::disk_io::read_full_at;
use std::path::PathBuf;
use std::sync::Arc;

/// What a medium loses at once: a place that cannot be read is skipped up to the next multiple.
const BLOCK_BYTES: u64 = 4 << 10;

/// A window on a file that moves forward, in small steps where large ones are refused.
#[derive(Debug)]
pub(super) struct Source {
    file: Arc<dyn DiskFile>,
    pub(super) path: PathBuf,
    /// Where the file ends, as far as it is to be read.
    pub(super) end: u64,
    bytes: Vec<u8>,
    /// Where in the file `bytes` starts.
    at: u64,
}

impl Source {
    pub(super) fn new(file: Arc<dyn DiskFile>, path: PathBuf, end: u64) -> Source {
        Source { file, path, end, bytes: Vec::new(), at: 0 }
    }

    /// How many bytes there are from `position` on.
    pub(super) fn left(&self, position: u64) -> usize {
        usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX)
    }

    /// The place from which on a medium may give bytes again that refuses those at `position`.
    pub(super) fn behind_block(&self, position: u64) -> u64 {
        ((position / BLOCK_BYTES + 1) * BLOCK_BYTES).min(self.end)
    }

    /// The `count` bytes at `position`, or as many as there are.
    pub(super) fn bytes(&mut self, position: u64, count: usize) -> Result<&[u8], DiskError> {
        let left = self.left(position);
        let count = count.min(left);
        let start = position.checked_sub(self.at).and_then(|start| usize::try_from(start).ok());
        let is_here =
            |start: &usize| start.checked_add(count).is_some_and(|end| end <= self.bytes.len());
        if let Some(start) = start.filter(is_here) {
            return Ok(&self.bytes[start..start + count]);
        }
        let in_block = usize::try_from(self.behind_block(position) - position).unwrap_or(count);
        let large = count.max(PIECE_BYTES).min(left);
        if self.fill(position, large).is_err() {
            // Some of it can be read all the same.
            self.fill(position, count.max(in_block).min(left))?;
        }
        Ok(&self.bytes[..count.min(self.bytes.len())])
    }

    /// Behind the last byte that is not zero, from `position` on. What cannot be read is not zero.
    pub(super) fn content_end(&mut self, position: u64) -> u64 {
        let (mut at, mut content_end) = (position, position);
        while at < self.end {
            let next = match self.bytes(at, PIECE_BYTES) {
                Ok([]) => break,
                Ok(piece) => {
                    if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
                        content_end = at + last as u64 + 1;
                    }
                    at + piece.len() as u64
                }
                Err(_) => {
                    content_end = self.behind_block(at);
                    content_end
                }
            };
            at = next;
        }
        content_end
    }

    fn fill(&mut self, position: u64, count: usize) -> Result<(), DiskError> {
        self.bytes.clear();
        self.bytes.shrink_to(PIECE_BYTES);
        self.bytes.resize(count, 0);
        self.at = position;
        match read_full_at(&*self.file, &mut self.bytes, position) {
            Ok(read) => {
                self.bytes.truncate(read);
                Ok(())
            }
            Err(error) => {
                self.bytes.clear();
                Err(DiskError::new("read", &self.path, &error))
            }
        }
    }
}
