//! The pool: memory of chunks that nobody reads any more, to be written again.
//!
//! Fresh memory costs several times what reused memory costs (the kernel clears it page by page), so
//! a topic that has reached its retention runs in the same few chunks for ever. Only full-size
//! chunks are kept: the small ones a partition starts with never come back.

use super::chunk::Memory;
use crate::sync::{Arc, Queue};

/// How many unused chunks a topic keeps: enough to hand memory from a retention that drops chunks to
/// the appends that come next, and little beside what a topic retains.
const CHUNKS_KEPT: usize = 4;

#[derive(Debug)]
pub(crate) struct Pool {
    unused: Queue<Memory>,
    chunk_bytes: usize,
}

impl Pool {
    /// An empty pool for chunks of `chunk_bytes`.
    pub(crate) fn new(chunk_bytes: usize) -> Arc<Pool> {
        Arc::new(Pool { unused: Queue::new(CHUNKS_KEPT), chunk_bytes })
    }

    /// The size of the chunks that are kept.
    pub(crate) fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// Memory of `bytes`, used before where there is some.
    pub(crate) fn take(&self, bytes: usize) -> Memory {
        let reused = if bytes == self.chunk_bytes { self.unused.pop() } else { None };
        reused.unwrap_or_else(|| Memory::allocate(bytes))
    }

    /// Keeps memory for the next `take`, or frees it.
    pub(crate) fn give_back(&self, memory: Memory) {
        if memory.capacity() == self.chunk_bytes {
            // A full pool hands it back, and it is freed here.
            drop(self.unused.push(memory));
        }
    }
}
