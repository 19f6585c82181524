//! A place in a partition from which to read on, without a lock.
//!
//! A cursor holds the chunk that it is in and takes one `Acquire` load to learn whether there is
//! more. Only when the chunk is exhausted and sealed does it look the next one up in the tail; and only
//! when a batch is open behind all it has read does it take the partition's lock, to close that.
//!
//! ```text
//!            ┌──────────────── fetch ───────────────┐
//!   Lost ── look up ──► Inside(chunk, position) ── exhausted and sealed ──► Lost
//! ```
//!
//! A cursor inside a chunk that retention drops keeps it and reads it to the end. Records that were
//! deleted by request are not returned, wherever the cursor stands.

use super::fetcher::Limits;
use super::records::Slice;
use super::shared::Shared;
use crate::error::ReadError;
use crate::ids::Offset;
use crate::log::onward::Onward;
use crate::log::{Chunk, ChunkSlice};
use crate::sync::Arc;

#[derive(Debug)]
pub(crate) struct Cursor {
    partition: Arc<Shared>,
    /// The next offset to be read.
    offset: Offset,
    place: Option<Place>,
    onward: Onward,
}

#[derive(Debug)]
struct Place {
    chunk: Arc<Chunk>,
    position: u32,
}

impl Cursor {
    /// A cursor that reads from `offset` on; whether that exists shows at the first fetch.
    pub(crate) fn new(partition: Arc<Shared>, offset: Offset) -> Cursor {
        Cursor { partition, offset, place: None, onward: Onward::default() }
    }

    pub(crate) fn partition(&self) -> &Arc<Shared> {
        &self.partition
    }

    /// The next offset to be read.
    pub(crate) fn offset(&self) -> Offset {
        self.offset
    }

    /// Reads no more of a file at once than what the caller has room for.
    pub(crate) fn limit(&mut self, room: usize) {
        self.onward.limit(room);
    }

    /// Goes to `offset`; whether that exists shows at the next fetch.
    pub(crate) fn seek(&mut self, offset: Offset) {
        self.offset = offset;
        self.place = None;
        self.onward = Onward::default();
    }

    /// Whether a fetch may return something, an error included.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        match &self.place {
            Some(place) => {
                let published = place.chunk.published();
                published.bytes > place.position
                    || published.is_sealed
                    || published.is_open
                    || self.partition.has_ended()
            }
            None => self.partition.has_news(self.offset) || self.partition.has_ended(),
        }
    }

    /// How many records of the current chunk can be fetched as they are, and whether others wait behind
    /// them in a batch that is open.
    #[inline]
    pub(crate) fn available(&self) -> (Offset, bool) {
        self.place.as_ref().map_or((0, false), |place| {
            let published = place.chunk.published();
            let end_offset = place.chunk.base_offset() + Offset::from(published.records);
            (end_offset - self.offset, published.is_open)
        })
    }

    /// Reads on, within the limits and one chunk; `None` at the end, or if not even one batch fits
    /// and none is `forced`.
    ///
    /// On an error the cursor stays where it was.
    #[inline]
    pub(crate) fn fetch(
        &mut self,
        limits: Limits,
        forced: bool,
    ) -> Result<Option<Slice>, ReadError> {
        loop {
            if self.place.is_none() && !self.look_up()? {
                if self.is_at_end()? {
                    return Ok(None);
                }
                continue;
            }
            let Some(place) = &mut self.place else { return Ok(None) };
            let published = place.chunk.published();
            if place.position == published.bytes {
                if published.is_open {
                    self.partition.close_open();
                    continue;
                }
                if !published.is_sealed {
                    if self.is_at_end()? {
                        return Ok(None);
                    }
                    continue;
                }
                // Sealed: what was published is final, and the next record is in the next chunk.
                self.place = None;
                continue;
            }
            if self.offset < self.partition.deleted_before() {
                self.place = None;
                continue;
            }
            let cut = place.chunk.cut(place.position, published, limits.bytes);
            if !forced && (cut.position - place.position) as usize > limits.bytes {
                return Ok(None);
            }
            let (start, mut cut, mut next) = (place.position, cut, cut.position);
            let count_max = Offset::try_from(limits.records).unwrap_or(Offset::MAX);
            if cut.end_offset - self.offset > count_max {
                if count_max == 0 {
                    return Ok(None);
                }
                // The slice ends amid these batches, maybe amid one, which is read on next time.
                let end_offset = self.offset + count_max;
                next = place.chunk.entry(end_offset).position;
                cut = place.chunk.cut_behind(end_offset - 1, published);
            }
            place.position = next;
            let bytes = Chunk::slice(&place.chunk, start, cut.position);
            let slice = self.advance(bytes, cut.end_offset);
            if slice.len() > 0 {
                return Ok(Some(slice));
            }
            // Compaction has left nothing of these offsets.
        }
    }

    /// Whether there is nothing more to read for now. In a log with files, what is appended and not
    /// written is written now; when nothing will come any more, that is said.
    #[inline]
    fn is_at_end(&self) -> Result<bool, ReadError> {
        if !self.partition.has_files() {
            return Ok(true);
        }
        if self.partition.nudge() && self.partition.has_news(self.offset) {
            return Ok(false);
        }
        match self.partition.read_ended() {
            Some(ended) if !self.partition.has_news(self.offset) => Err(ended),
            _ => Ok(!self.partition.has_news(self.offset)),
        }
    }

    #[inline]
    fn advance(&mut self, bytes: ChunkSlice, end_offset: Offset) -> Slice {
        let slice = Slice::new(bytes, &self.partition, self.offset..end_offset);
        self.offset = end_offset;
        self.partition.count_read(&slice);
        slice
    }

    /// Finds the chunk of `offset`; false while the partition has none.
    #[cold]
    fn look_up(&mut self) -> Result<bool, ReadError> {
        let Some(chunk) = self.partition.find(self.offset, &mut self.onward)? else {
            return Ok(false);
        };
        self.onward.read_more();
        // Offsets that compaction has left nothing of are passed over.
        self.offset = self.offset.max(chunk.base_offset());
        let position = chunk.entry(self.offset).position;
        self.place = Some(Place { chunk, position });
        Ok(true)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use crate::error::ReadError;
    use crate::record::Record;
    use crate::topic::{Reader, Topic, TopicConfig};
    use std::time::Duration;

    /// A reader may finish a chunk that retention dropped, but not records of it that were deleted.
    #[test]
    fn deletion_reaches_readers_inside_a_dropped_chunk() {
        let config = TopicConfig::new().segment_bytes(220).retention_bytes(0);
        let topic = Topic::in_memory("orders", config).unwrap();
        let partition = topic.partition(0).unwrap();
        let append = |value| partition.append(&[Record::new(value)]).unwrap();
        append("a");
        append("b");
        let mut reader = Reader::new([(partition.clone(), 0)]).max_bytes(1);
        assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 1);

        append("c");
        append("d");
        assert_eq!(partition.log_start_offset(), 2, "retention dropped the chunk of a and b");
        assert_eq!(partition.delete_records(3), Ok(3));
        let refused = reader.poll(Duration::ZERO);
        assert!(
            matches!(refused, Err(ReadError::OutOfRange { requested: 1, log_start: 3, .. })),
            "{refused:?}"
        );
    }
}
