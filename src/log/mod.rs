//! One partition's bytes: appended by one, read by many, dropped from the front.
//!
//! The log knows no threads, no clock and no topic. It comes in two halves that its owner, the
//! partition, keeps under two locks: [`Appender`] (who adds, one at a time) and [`Tail`] (where
//! readers look offsets up). Between the two stand the chunks, which publish through one atomic word
//! and need no lock at all.
//!
//! ```text
//!   Appender ── reserve ──► new chunk? ──► Tail::push      (rare: once per chunk)
//!      └────── append ───► chunk ─ publish ─► readers       (every batch)
//! ```
//!
//! Invariants, for all of `log/`:
//! 1. Offsets rise by one per record and are never reused.
//! 2. A batch never straddles chunks, and is visible whole or not at all.
//! 3. A reader sees a prefix: a chunk is in the tail before its first record is published, and
//!    before its predecessor is sealed.
//! 4. A refused batch changes nothing.

mod backlog;
pub(crate) mod batch;
mod behind;
pub(crate) mod chunk;
pub(crate) mod cold;
pub(crate) mod compaction;
pub(crate) mod contents;
pub(crate) mod disk;
pub(crate) mod disk_io;
pub(crate) mod epochs;
pub(crate) mod facts;
pub(crate) mod index;
pub(crate) mod keeper;
#[cfg(all(test, loom))]
mod loom_models;
pub(crate) mod mark;
#[cfg(test)]
pub(crate) mod memory_disk;
pub(crate) mod nowhere;
pub(crate) mod onward;
pub(crate) mod pool;
pub(crate) mod recovery;
pub(crate) mod report;
pub(crate) mod retention;
pub(crate) mod salvage;
pub(crate) mod segments;
pub(crate) mod segments_file;
pub(crate) mod small_file;
mod sparse;
pub(crate) mod store;
pub(crate) mod tail;
mod tally;
pub(crate) mod verify;
mod view;
pub(crate) mod whole;
pub(crate) mod window;

pub(crate) use backlog::{GivenUp, Home, Layout, Load};
pub(crate) use chunk::{Chunk, ChunkSlice};
pub(crate) use pool::Pool;
pub use report::{PartitionReport, RecoveryReport, TornTail};
pub(crate) use tail::{Retention, Tail};

use crate::ids::Offset;
use crate::record::{Record, TimestampType};
use crate::sync::Arc;
use crate::sync::planted::{Bug, planted};
use backlog::Backlog;
use batch::{Encoded, EncodedBatch, OpenBatch, Stamps};
use chunk::ChunkWriter;

/// The size of a partition's first chunk: what a partition with a single record costs.
pub(crate) const FIRST_CHUNK_BYTES: usize = 64 << 10;

/// The size that chunks double up to: two huge pages, so that rolls are rare, retention is smooth,
/// and an index look-up stays in the cache.
pub(crate) const CHUNK_BYTES: usize = 4 << 20;

/// As [`CHUNK_BYTES`], for a log whose older records are in its files: what is kept in memory is little,
/// and to touch more of it for the first time costs more than it saves. Such chunks end where their file has
/// a multiple of [`backlog::ALIGNED_BYTES`], so one that starts a little before that takes a little more.
pub(crate) const CHUNK_BYTES_WITH_FILES: usize = backlog::ALIGNED_BYTES as usize + (64 << 10);

/// The appending half of a log.
#[derive(Debug)]
pub(crate) struct Appender {
    writer: Option<ChunkWriter>,
    next_offset: Offset,
    next_chunk_bytes: usize,
    pool: Arc<Pool>,
    appends: u64,
    bytes: u64,
    first_offset: Offset,
    /// A batch at the end of the chunk that takes more records.
    open: Option<OpenBatch>,
    /// What the files do not have yet; `None` for a log in memory.
    backlog: Option<Box<Backlog>>,
}

/// What has been appended over the life of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) batches: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

impl Appender {
    /// An empty log that starts at offset 0. Allocates nothing.
    pub(crate) fn new(pool: Arc<Pool>) -> Appender {
        let next_chunk_bytes = FIRST_CHUNK_BYTES.min(pool.chunk_bytes());
        Appender {
            writer: None,
            next_offset: 0,
            next_chunk_bytes,
            pool,
            appends: 0,
            bytes: 0,
            first_offset: 0,
            open: None,
            backlog: None,
        }
    }

    /// A log that goes on at `offset`, and in its files at `home`.
    pub(crate) fn with_files(
        pool: Arc<Pool>,
        offset: Offset,
        home: Home,
        layout: Layout,
    ) -> Appender {
        Appender {
            next_offset: offset,
            first_offset: offset,
            backlog: Some(Box::new(Backlog::new(offset, home, layout))),
            ..Appender::new(pool)
        }
    }

    /// The offset that the next record gets.
    pub(crate) fn end_offset(&self) -> Offset {
        self.next_offset
    }

    pub(crate) fn appended(&self) -> Appended {
        let records = self.next_offset - self.first_offset;
        let batches = self.appends + u64::from(self.open.is_some());
        Appended { batches, records, bytes: self.bytes }
    }

    /// Whether a batch of `bytes` fits without another chunk.
    #[inline]
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let Some(writer) = &self.writer else { return false };
        let fits = bytes <= writer.room();
        match &self.backlog {
            None => fits,
            Some(backlog) => fits && bytes <= backlog.room(writer, self.next_offset),
        }
    }

    /// Makes a chunk that has room for a batch of `bytes`. The caller puts it into the tail, then
    /// calls [`switch`](Self::switch).
    pub(crate) fn next_chunk(&mut self, bytes: usize) -> ChunkWriter {
        self.close_open();
        let chunk_bytes = self.next_chunk_bytes.max(bytes);
        self.next_chunk_bytes = (self.next_chunk_bytes * 2).min(self.pool.chunk_bytes());
        ChunkWriter::new(self.next_offset, chunk_bytes, &self.pool)
    }

    /// Goes on in `next`, which is in the tail and is to take a batch of `bytes`, and seals the chunk
    /// before it.
    pub(crate) fn switch(&mut self, next: ChunkWriter, bytes: usize) {
        match &mut self.backlog {
            None => {
                if let Some(full) = self.writer.replace(next) {
                    full.seal();
                }
            }
            Some(backlog) => {
                let home = backlog.place_next(self.writer.as_ref(), self.next_offset, bytes);
                backlog.switch(self.writer.take(), home, &next);
                self.writer = Some(next);
            }
        }
    }

    /// Appends one batch, and makes it visible unless the files come first; returns the offset of its
    /// first record. The caller has made room for it.
    #[inline(always)]
    pub(crate) fn append<'r, 'a: 'r>(
        &mut self,
        records: impl Iterator<Item = &'r Record<'a>>,
        stamps: Stamps,
    ) -> Offset {
        self.append_with(|spare, base_offset| {
            batch::encode_batch(spare, base_offset, stamps, records)
        })
    }

    /// Appends a batch that was encoded before; gives it its base offset and, if that is what
    /// stamps the log's records, its time.
    pub(crate) fn append_encoded(&mut self, batch: &EncodedBatch, stamps: Stamps) -> Offset {
        self.append_with(|spare, base_offset| {
            let bytes = batch.bytes();
            spare[..bytes.len()].copy_from_slice(bytes);
            batch::set_base_offset(spare, base_offset);
            if stamps.timestamp_type == TimestampType::CreateTime {
                return batch.encoded;
            }
            batch::set_log_append_time(spare, stamps.now);
            Encoded { max_timestamp: stamps.now, ..batch.encoded }
        })
    }

    /// Inlined with what it calls, so that what is known of the batch stays in registers: written to memory
    /// and read back at once it takes a third of the time of a record by itself.
    #[inline(always)]
    fn append_with(&mut self, encode: impl FnOnce(&mut [u8], Offset) -> Encoded) -> Offset {
        debug_assert!(self.open.is_none(), "closed before room was made behind it");
        let base_offset = self.next_offset;
        let writer = self.writer.as_mut().expect(HAS_ROOM);
        let encoded = writer.append_hidden(|spare| {
            let encoded = encode(spare, base_offset);
            if let Some(backlog) = &self.backlog {
                batch::set_leader_epoch(spare, backlog.epoch);
                batch::seal(&mut spare[..encoded.bytes]);
            }
            encoded
        });
        match &mut self.backlog {
            None => writer.publish(writer.written()),
            Some(backlog) => {
                backlog.unwritten_bytes += encoded.bytes as u64;
                if backlog.shows_at_once() || planted(Bug::ShowUnwritten) {
                    writer.publish(writer.written());
                }
            }
        }
        self.next_offset += Offset::from(encoded.count);
        self.account(&encoded);
        base_offset
    }

    #[inline]
    fn account(&mut self, encoded: &Encoded) {
        self.appends += 1;
        self.bytes += encoded.bytes as u64;
    }
}

const HAS_ROOM: &str = "the caller has made room";
