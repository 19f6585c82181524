//! Finding things in the published part of a chunk: an offset, a time, where to cut.
//!
//! The sparse index gives a batch at most 4 KiB before the place looked for; from there the batch
//! headers are stepped over. Everything here reads bytes that this process encoded itself.

use super::batch;
use super::chunk::{Chunk, Published};
use super::sparse::Place;
use crate::ids::{Offset, Timestamp};

/// Where a reader enters a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where the batch starts that holds the offset looked for, or the end of what is published.
    pub(crate) position: u32,
}

/// Where a read ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The end of the last batch that is part of the read.
    pub(crate) position: u32,
    /// The offset behind its last record.
    pub(crate) end_offset: Offset,
}

impl Chunk {
    /// Finds the batch that holds `offset`, which is at or behind the chunk's first.
    pub(crate) fn entry(&self, offset: Offset) -> Entry {
        let published = self.published();
        let records = offset - self.base_offset();
        if records >= Offset::from(published.records) {
            return Entry { position: published.bytes };
        }
        let records = u32::try_from(records).expect("below the published count, which is a u32");
        let place = self.index().before_records(records, published.bytes);
        let position =
            self.step_until(place, published, |batch| batch::last_offset(batch) >= offset);
        Entry { position }
    }

    /// Finds where a read that starts at `position` ends if it is to take `max_bytes`, but at least
    /// one batch.
    pub(crate) fn cut(&self, position: u32, published: Published, max_bytes: usize) -> Cut {
        let available = (published.bytes - position) as usize;
        if available <= max_bytes {
            let end_offset = self.base_offset() + Offset::from(published.records);
            return Cut { position: published.bytes, end_offset };
        }
        let limit = position + u32::try_from(max_bytes).expect("less than what is available");
        let place = self.index().before_position(limit, published.bytes);
        let from = place.position.max(position);
        let bytes = self.bytes(published);
        // The first batch goes whatever it takes; further ones as long as they end within the limit.
        let end_of = |at: u32| at + batch_bytes(&bytes[at as usize..]);
        let mut last = from;
        let mut end = end_of(from);
        if end > limit && from > position {
            // The indexed batch itself reaches beyond the limit: end with the one before it.
            let end_offset = batch::base_offset(&bytes[from as usize..]);
            return Cut { position: from, end_offset };
        }
        while end < published.bytes && end_of(end) <= limit {
            last = end;
            end = end_of(end);
        }
        Cut { position: end, end_offset: batch::last_offset(&bytes[last as usize..]) + 1 }
    }

    /// Where a read ends whose last record is the one at `last`.
    pub(crate) fn cut_behind(&self, last: Offset, published: Published) -> Cut {
        let position = self.entry(last).position;
        let bytes = self.bytes(published);
        Cut { position: position + batch_bytes(&bytes[position as usize..]), end_offset: last + 1 }
    }

    /// The first record stamped `at` or later, if there is one.
    pub(crate) fn offset_for_timestamp(&self, at: Timestamp) -> Option<Offset> {
        let published = self.published();
        let bytes = self.bytes(published);
        let mut place = self.index().before_timestamp(at.as_millis(), published.bytes);
        loop {
            let position =
                self.step_until(place, published, |batch| batch::max_timestamp(batch) >= at);
            let batch = bytes.get(position as usize..).filter(|rest| !rest.is_empty())?;
            let found = batch::RecordWalk::new(batch).find(|record| record.timestamp >= at);
            if let Some(record) = found {
                return Some(record.offset);
            }
            place.position = position + batch_bytes(batch);
        }
    }

    /// Steps over batches from `place` until one is as wanted; its position, or the published end.
    fn step_until(
        &self,
        place: Place,
        published: Published,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> u32 {
        let bytes = self.bytes(published);
        let mut position = place.position;
        while position < published.bytes {
            let batch = &bytes[position as usize..];
            if wanted(batch) {
                break;
            }
            position += batch_bytes(batch);
        }
        position
    }
}

fn batch_bytes(batch: &[u8]) -> u32 {
    u32::try_from(batch::batch_bytes(batch)).expect("a batch is shorter than its chunk")
}
