//! The chain of chunks that readers look offsets up in, and what retention takes from its front.
//!
//! ```text
//!   log_start_offset                                          high watermark
//!        ▼                                                          ▼
//!  ┌───────────┐ ┌───────────┐ ┌───────────┐ ┌───────────┐ ┌──────────────┐
//!  │ sealed    │ │ sealed    │ │ sealed    │ │ sealed    │ │ being filled │
//!  └───────────┘ └───────────┘ └───────────┘ └───────────┘ └──────────────┘
//!   ◄ retention drops whole chunks from here                appends here ►
//! ```
//!
//! Invariants:
//! 1. The chunks are contiguous: each starts where the one before it ends.
//! 2. A chunk is in the chain before the one before it is sealed, so a reader that finds a chunk
//!    sealed finds its successor.
//! 3. `start_offset` never falls, and lies within the chunks.

use super::chunk::Chunk;
use crate::ids::{Offset, Timestamp};
use crate::sync::Arc;
use crate::sync::planted::{Bug, planted};
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(crate) struct Tail {
    chunks: VecDeque<Arc<Chunk>>,
    start_offset: Offset,
    /// Bytes of records in all chunks but the last, which is still growing.
    sealed_bytes: u64,
}

/// What may stay; `None` is without limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Retention {
    /// Chunks go from the front as long as at least this many bytes stay.
    pub(crate) bytes: Option<u64>,
    /// Chunks go when their latest record is older than this.
    pub(crate) horizon: Option<Timestamp>,
}

impl Tail {
    /// The first offset that can be read.
    pub(crate) fn start_offset(&self) -> Offset {
        self.start_offset
    }

    /// A chain without chunks, for a log whose records up to `offset` are in its files.
    pub(crate) fn behind_files(offset: Offset) -> Tail {
        Tail { start_offset: offset, ..Tail::default() }
    }

    /// The offset behind the last record that can be read. Chunks behind it may hold records that are
    /// not shown yet.
    pub(crate) fn end_offset(&self) -> Offset {
        for chunk in self.chunks.iter().rev() {
            let published = chunk.published();
            if published.records > 0 {
                return chunk.base_offset() + Offset::from(published.records);
            }
        }
        self.chunks.front().map_or(self.start_offset, |chunk| chunk.base_offset())
    }

    /// Whether records wait behind the end, in a batch that is open.
    pub(crate) fn is_open(&self) -> bool {
        self.chunks.back().is_some_and(|chunk| chunk.published().is_open)
    }

    /// The first offset that is in memory, or would be.
    pub(crate) fn first_offset(&self) -> Offset {
        self.chunks.front().map_or(self.start_offset, |chunk| chunk.base_offset())
    }

    /// Bytes of records that are retained.
    pub(crate) fn bytes(&self) -> u64 {
        self.sealed_bytes + self.last_bytes()
    }

    /// Bytes of memory that the chunks occupy.
    pub(crate) fn capacity(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.capacity() as u64).sum()
    }

    fn last_bytes(&self) -> u64 {
        self.chunks.back().map_or(0, |chunk| u64::from(chunk.published().bytes))
    }

    /// Adds the chunk that the next record goes to. It takes the place of one whose records were all given
    /// up, and whose readers are sent here.
    pub(crate) fn push(&mut self, chunk: Arc<Chunk>) {
        assert!(chunk.base_offset() >= self.end_offset(), "chunks are contiguous");
        match self.chunks.back_mut() {
            Some(last) if last.base_offset() == chunk.base_offset() => *last = chunk,
            _ => {
                self.sealed_bytes += self.last_bytes();
                self.chunks.push_back(chunk);
            }
        }
    }

    /// The chunk that holds `offset`, or will hold it next; the caller has checked it against start
    /// and end. `None` while nothing was ever appended.
    pub(crate) fn find(&self, offset: Offset) -> Option<&Arc<Chunk>> {
        let behind = self.chunks.partition_point(|chunk| chunk.base_offset() <= offset);
        self.chunks.get(behind.checked_sub(1)?)
    }

    /// The first chunk that holds a record stamped `at` or later, and all behind it.
    pub(crate) fn since(&self, at: Timestamp) -> impl Iterator<Item = &Arc<Chunk>> {
        self.chunks.iter().skip_while(move |chunk| chunk.index().max_timestamp() < at.as_millis())
    }

    /// The latest timestamp of the oldest chunk; `None` while there is no chunk.
    pub(crate) fn oldest_timestamp(&self) -> Option<Timestamp> {
        let front = self.chunks.front()?;
        Some(Timestamp::from_millis(front.index().max_timestamp()))
    }

    /// Drops what retention does not keep.
    ///
    /// The last chunk is never dropped: when its records are too old they are passed over, and the
    /// memory goes after the next roll.
    pub(crate) fn apply(&mut self, retention: Retention) {
        while let Some(front) = self.chunks.front() {
            let rest = self.bytes() - u64::from(front.published().bytes);
            let too_many = retention.bytes.is_some_and(|least| rest >= least);
            let too_old = retention
                .horizon
                .is_some_and(|horizon| front.index().max_timestamp() < horizon.as_millis());
            if self.chunks.len() > 1 && (too_many || too_old) {
                self.drop_front();
                continue;
            }
            if too_old {
                self.start_offset = self.end_offset();
            }
            break;
        }
    }

    /// Makes `before` the start: what lies below it can no longer be read.
    pub(crate) fn delete_before(&mut self, before: Offset) {
        while self.chunks.len() > 1 && self.chunks[0].end_offset() <= before {
            self.drop_front();
        }
        self.start_offset = self.start_offset.max(before);
    }

    /// Takes chunks from the end whose records were given up before anybody saw them.
    pub(crate) fn drop_back(&mut self, chunks: usize) {
        self.chunks.truncate(self.chunks.len() - chunks);
    }

    /// Lets chunks go from the front that are in the files, as long as more than `bytes_max` of memory
    /// are occupied. What can be read stays the same.
    pub(crate) fn evict(&mut self, bytes_max: u64, is_settled: impl Fn(&Arc<Chunk>) -> bool) {
        let mut occupied = self.capacity();
        while let Some(front) = self.chunks.front() {
            if occupied <= bytes_max || self.chunks.len() == 1 || !is_settled(front) {
                break;
            }
            occupied -= front.capacity() as u64;
            self.chunks.pop_front();
        }
        self.start_offset = self.first_offset();
    }

    /// A reader that is inside the chunk keeps it and finishes it.
    fn drop_front(&mut self) {
        if let Some(front) = self.chunks.pop_front() {
            self.sealed_bytes -= u64::from(front.published().bytes);
            if !planted(Bug::ForgetStart) {
                self.start_offset = self.start_offset.max(front.end_offset());
            }
        }
    }
}
