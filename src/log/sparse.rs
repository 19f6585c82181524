//! The sparse index of a chunk: where to start looking for an offset or a time.
//!
//! One slot per 4 KiB of the chunk says which batch covers the first byte of that block, which offset
//! it starts with, and the latest timestamp of anything before it. Both rise from slot to slot, so a
//! binary search finds a batch from which at most 4 KiB of batch headers must be stepped over.
//!
//! ```text
//!  bytes   │▒▒ batch 0 ▒▒│▒ 1 ▒│▒▒▒▒▒▒▒▒ batch 2 ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒│▒ 3 ▒│
//!  blocks  ├─────────────────┼─────────────────┼──────────────────┼───
//!  slots     0 → batch 0       1 → batch 2       2 → batch 2        3 → batch 3 …
//! ```
//!
//! The writer fills slots before it publishes the length that covers their block; readers look only
//! at slots whose block starts below the length they read. That length orders the two, so the slots
//! themselves are `Relaxed`.

use crate::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Bytes per slot: the steps after a look-up against 16 bytes of memory per block (0.4 %).
const BLOCK_BYTES: u32 = 4 << 10;

#[derive(Debug)]
pub(crate) struct SparseIndex {
    slots: Box<[Slot]>,
    /// The latest timestamp noted so far; stored by the writer only.
    max_timestamp: AtomicI64,
}

#[derive(Debug)]
struct Slot {
    /// `records before the batch << 32 | position of the batch`.
    batch: AtomicU64,
    /// The latest timestamp before the batch.
    max_timestamp_before: AtomicI64,
}

/// A batch found by the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where in the chunk the batch starts.
    pub(crate) position: u32,
    /// How many records of the chunk lie before it.
    pub(crate) records_before: u32,
}

impl Place {
    fn pack(self) -> u64 {
        u64::from(self.records_before) << 32 | u64::from(self.position)
    }

    #[expect(clippy::cast_possible_truncation, reason = "takes the word apart into its halves")]
    fn unpack(word: u64) -> Place {
        Place { position: word as u32, records_before: (word >> 32) as u32 }
    }
}

impl SparseIndex {
    /// An index for a chunk of `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> SparseIndex {
        let slots = (0..capacity.div_ceil(BLOCK_BYTES as usize)).map(|_| Slot {
            batch: AtomicU64::new(0),
            max_timestamp_before: AtomicI64::new(i64::MIN),
        });
        SparseIndex { slots: slots.collect(), max_timestamp: AtomicI64::new(i64::MIN) }
    }

    /// Notes the batch at `start..end`; called by the writer before it publishes `end`.
    #[inline]
    pub(crate) fn note(&self, start: u32, end: u32, records_before: u32, max_timestamp: i64) {
        let latest_before = self.max_timestamp.load(Ordering::Relaxed);
        let first_block = start.div_ceil(BLOCK_BYTES);
        let end_block = end.div_ceil(BLOCK_BYTES);
        if first_block < end_block {
            let batch = Place { position: start, records_before }.pack();
            for slot in &self.slots[first_block as usize..end_block as usize] {
                slot.batch.store(batch, Ordering::Relaxed);
                slot.max_timestamp_before.store(latest_before, Ordering::Relaxed);
            }
        }
        if max_timestamp > latest_before {
            self.max_timestamp.store(max_timestamp, Ordering::Relaxed);
        }
    }

    /// The latest timestamp of the chunk; `i64::MIN` while it is empty.
    pub(crate) fn max_timestamp(&self) -> i64 {
        self.max_timestamp.load(Ordering::Relaxed)
    }

    /// The last indexed batch that has no more than `records` records before it.
    pub(crate) fn before_records(&self, records: u32, published_bytes: u32) -> Place {
        let slots = self.covered(published_bytes);
        let behind = slots.partition_point(|slot| slot.place().records_before <= records);
        slots[..behind].last().map_or(Place::default(), Slot::place)
    }

    /// The last indexed batch with only earlier timestamps before it.
    pub(crate) fn before_timestamp(&self, timestamp: i64, published_bytes: u32) -> Place {
        let slots = self.covered(published_bytes);
        let behind = slots
            .partition_point(|slot| slot.max_timestamp_before.load(Ordering::Relaxed) < timestamp);
        slots[..behind].last().map_or(Place::default(), Slot::place)
    }

    /// The last indexed batch that starts at or below `position`.
    pub(crate) fn before_position(&self, position: u32, published_bytes: u32) -> Place {
        let slots = self.covered(published_bytes);
        let behind = (position / BLOCK_BYTES) as usize + 1;
        slots[..behind.min(slots.len())].last().map_or(Place::default(), Slot::place)
    }

    fn covered(&self, published_bytes: u32) -> &[Slot] {
        &self.slots[..published_bytes.div_ceil(BLOCK_BYTES) as usize]
    }
}

impl Slot {
    fn place(&self) -> Place {
        Place::unpack(self.batch.load(Ordering::Relaxed))
    }
}
