//! Which records of a batch stay, and when its tombstones may go.
//!
//! | A record | stays |
//! |---|---|
//! | that a newer one of its key is known of | no |
//! | without a key | no: a compacted log has no use for it |
//! | with key and value | yes |
//! | with a key only, a tombstone | until the delete horizon in its batch |
//!
//! A batch with a tombstone that stays gets its delete horizon the first time that it comes by.
//!
//! 1. Batches come in the order of their offsets, from the log's first one.
//! 2. A tombstone goes only if no record is left before it that it could be the end of.

use super::key_map::KeyMap;
use super::planted::planted;
use crate::ids::Timestamp;
use crate::log::batch::{self, BatchHeader, RecordRef, RecordWalk};
use std::time::Duration;

/// What became of records that were rewritten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rewritten {
    pub(crate) records_in: u64,
    pub(crate) records_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// Whether compaction has no say in a batch: the log's own ones, and those of a transaction, of which it
/// does not know how it ended.
pub(super) fn is_left_alone(header: &BatchHeader) -> bool {
    header.attributes.is_control() || header.attributes.is_transactional()
}

/// Takes batches one by one and gives back what is left of each.
#[derive(Debug)]
pub(super) struct Rewriter {
    map: KeyMap,
    now: Timestamp,
    /// What a tombstone that is seen for the first time gets.
    horizon: Timestamp,
    /// A batch came by that may hold records which the map knows nothing of.
    has_unsifted: bool,
    buffer: Vec<u8>,
    counts: Rewritten,
}

/// What there is to know of a batch before it is written.
#[derive(Default)]
struct Sifted {
    kept: u32,
    has_tombstone: bool,
}

impl Rewriter {
    /// A rewriter that goes by the newest offsets in `map`.
    pub(super) fn new(map: KeyMap, now: Timestamp, delete_retention: Duration) -> Rewriter {
        let horizon = now.saturating_add(delete_retention);
        let (buffer, counts) = (Vec::new(), Rewritten::default());
        Rewriter { map, now, horizon, has_unsifted: false, buffer, counts }
    }

    /// What became of the batches since this was asked last.
    pub(super) fn take_counts(&mut self) -> Rewritten {
        std::mem::take(&mut self.counts)
    }

    /// What is left of a batch that was validated, and its header then; `None` if nothing is.
    pub(super) fn rewrite<'b>(
        &'b mut self,
        header: BatchHeader,
        bytes: &'b [u8],
    ) -> Option<(BatchHeader, &'b [u8])> {
        self.counts.records_in += u64::from(header.count);
        self.counts.bytes_in += bytes.len() as u64;
        let (header, is_changed) = self.sift(header, bytes)?;
        let left = if is_changed { &self.buffer[..] } else { bytes };
        self.counts.records_out += u64::from(header.count);
        self.counts.bytes_out += left.len() as u64;
        Some((header, left))
    }

    /// Leaves a batch as it is, or puts what is left of it into the buffer.
    fn sift(&mut self, header: BatchHeader, bytes: &[u8]) -> Option<(BatchHeader, bool)> {
        if is_left_alone(&header) {
            self.has_unsifted |= header.attributes.is_transactional();
            return Some((header, false));
        }
        let sieve = Sieve { map: &self.map, drops_tombstones: self.drops_tombstones(&header) };
        let sifted = sieve.sift(bytes);
        if sifted.kept == 0 {
            return None;
        }
        let gets_horizon = sifted.has_tombstone && header.delete_horizon().is_none();
        if sifted.kept == header.count && !gets_horizon {
            return Some((header, false));
        }
        let horizon = if gets_horizon { Some(self.horizon) } else { header.delete_horizon() };
        if let Some(left) =
            batch::retain(&mut self.buffer, bytes, horizon, |record| sieve.keeps(record))
        {
            return Some((left, true));
        }
        self.has_unsifted = true;
        Some((header, false))
    }

    fn drops_tombstones(&self, header: &BatchHeader) -> bool {
        let is_due = match header.delete_horizon() {
            Some(horizon) => horizon <= self.now || planted!(DropEarly),
            None => planted!(DropUnseen),
        };
        is_due && (!self.has_unsifted || planted!(DropBehindTransaction))
    }
}

/// What decides on the records of one batch.
struct Sieve<'m> {
    map: &'m KeyMap,
    drops_tombstones: bool,
}

impl Sieve<'_> {
    fn keeps(&self, record: &RecordRef<'_>) -> bool {
        let Some(key) = record.key else { return false };
        let is_replaced = self.map.newest(key).is_some_and(|newest| {
            newest > record.offset || planted!(DropNewest) && newest == record.offset
        });
        !is_replaced && (record.value.is_some() || !self.drops_tombstones)
    }

    fn sift(&self, bytes: &[u8]) -> Sifted {
        let mut sifted = Sifted::default();
        for record in RecordWalk::new(bytes).filter(|record| self.keeps(record)) {
            sifted.kept += 1;
            sifted.has_tombstone |= record.value.is_none();
        }
        sifted
    }
}
