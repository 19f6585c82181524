//! What a log with files has in memory and not in its files yet, or not shown to readers yet.
//!
//! ```text
//!   chain of chunks   │▒▒▒▒▒▒▒▒▒▒▒▒│▒▒▒▒▒▒▒▒▒▒▒▒│▒▒▒▒▒▒▒▒▒▒▒▒│▒▒▒▒▒          │
//!                          ▲ shown       ▲ written              ▲ appended
//!                     └─────── full ───────────┴──────────────┘└─── active ───┘
//! ```
//!
//! Each chunk lies whole in one segment, at a place that is known when the chunk is made; so what is
//! carried to the files is runs of bytes with a place each, and nothing is ever moved.
//!
//! Invariants:
//! 1. `shown <= written <= appended`, unless records are shown at once, when only the last two matter.
//! 2. The writer of a full chunk is kept until all of the chunk is written and shown.
//! 3. A point never stands at the end of a full chunk: it is the start of the next one then.
//! 4. A chunk that lost all it held is let go of once it has a successor, so that a base offset names one
//!    chunk.

use super::chunk::{Chunk, ChunkSlice, ChunkWriter, Published};
use crate::ids::{Offset, Timestamp};
use crate::sync::Arc;
use crate::sync::planted::{Bug, planted};
use std::collections::VecDeque;

/// How many offsets a segment may span and take one more batch. Its index counts them in an `i32`, and a
/// batch, of a gibibyte at most, has fewer than 2^28 records.
const SEGMENT_OFFSETS_MAX: Offset = (i32::MAX - (1 << 28)) as Offset;

/// Chunks end at multiples of this in their files, as far as batches let them: the system keeps what is written
/// at once in as few pieces as its place allows.
pub(super) const ALIGNED_BYTES: u32 = 1 << 20;

/// A place in the files: the segment by its base offset, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) segment: Offset,
    pub(crate) position: u64,
}

/// A place in the chain of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// The base offset of the chunk.
    chunk: Offset,
    bytes: u32,
    records: u32,
}

impl Point {
    /// The place before anything was appended.
    pub(crate) fn start(offset: Offset) -> Point {
        Point { chunk: offset, bytes: 0, records: 0 }
    }

    /// The offset behind the last record below the point.
    pub(crate) fn offset(self) -> Offset {
        self.chunk + Offset::from(self.records)
    }

    fn of(writer: &ChunkWriter) -> Point {
        let Published { bytes, records, .. } = writer.written();
        Point { chunk: writer.chunk().base_offset(), bytes, records }
    }

    fn published(self) -> Published {
        Published { bytes: self.bytes, records: self.records, ..Published::default() }
    }
}

/// Whole batches to be carried to a file.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: ChunkSlice,
    pub(crate) home: Home,
    /// The offset behind the last record.
    pub(crate) end_offset: Offset,
    /// The latest timestamp of its chunk so far, all of which lies in the same segment. (What a chunk has given up
    /// counts too; but no other piece comes of it then.)
    pub(crate) latest: Timestamp,
}

/// What is to be written, in order, and what has been appended once it is.
#[derive(Debug)]
pub(crate) struct Load {
    first: Piece,
    /// Most loads have one piece, and take no allocation.
    others: Vec<Piece>,
    pub(crate) end: Point,
    pub(crate) bytes: u64,
    totals: (u64, u64),
}

impl Load {
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        std::iter::once(&self.first).chain(&self.others)
    }

    pub(crate) fn first(&self) -> &Piece {
        &self.first
    }

    pub(crate) fn has_one_piece(&self) -> bool {
        self.others.is_empty()
    }
}

#[derive(Debug)]
struct Full {
    writer: ChunkWriter,
    home: Home,
}

impl Full {
    fn base_offset(&self) -> Offset {
        self.writer.chunk().base_offset()
    }

    /// Whether all that it held was given up: the chunk that follows has its base offset.
    fn is_empty(&self) -> bool {
        let is_kept = planted(Bug::KeepEmptyChunk) || planted(Bug::ShowGivenUp);
        self.writer.written().bytes == 0 && !is_kept
    }
}

#[derive(Debug)]
pub(crate) struct Backlog {
    full: VecDeque<Full>,
    /// Where the active chunk goes.
    home: Home,
    /// Where in the file the active chunk is to end.
    chunk_end: u64,
    written: Point,
    shown: Point,
    /// Bytes that were appended and not written.
    pub(super) unwritten_bytes: u64,
    segment_bytes_max: u64,
    shows_at_once: bool,
    /// What was counted up to `written`, to fall back to.
    totals_written: (u64, u64),
    pub(super) epoch: i32,
}

impl Backlog {
    /// A log whose next record has `offset` and goes to `home`.
    pub(crate) fn new(offset: Offset, home: Home, layout: Layout) -> Backlog {
        Backlog {
            full: VecDeque::new(),
            home,
            chunk_end: u64::MAX,
            written: Point::start(offset),
            shown: Point::start(offset),
            unwritten_bytes: 0,
            segment_bytes_max: layout.segment_bytes_max,
            shows_at_once: layout.shows_at_once,
            totals_written: (0, 0),
            epoch: 0,
        }
    }

    pub(super) fn shows_at_once(&self) -> bool {
        self.shows_at_once
    }

    /// The offset behind the last record that is written.
    pub(super) fn written(&self) -> Point {
        self.written
    }

    /// How many bytes the active chunk has left in its file for a batch of records up to `next`.
    #[inline]
    pub(super) fn room(&self, active: &ChunkWriter, next: Offset) -> usize {
        let bytes = active.written().bytes;
        let in_segment = self.segment_room(Some(active), next);
        if bytes == 0 {
            return in_segment; // A chunk takes one batch, wherever that ends.
        }
        let left = self.chunk_end.saturating_sub(self.home.position + u64::from(bytes));
        in_segment.min(usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// How many bytes the segment has left for a batch of records up to `next`, after what the active
    /// chunk holds. A segment takes one batch however large it is.
    #[inline]
    pub(super) fn segment_room(&self, active: Option<&ChunkWriter>, next: Offset) -> usize {
        let used = self.home.position + active.map_or(0, |w| u64::from(w.written().bytes));
        if used == 0 {
            return usize::MAX;
        }
        if next - self.home.segment >= SEGMENT_OFFSETS_MAX {
            return 0;
        }
        usize::try_from(self.segment_bytes_max.saturating_sub(used)).unwrap_or(usize::MAX)
    }

    /// Where the chunk goes that follows the active one, if its first batch takes `bytes`.
    pub(super) fn place_next(
        &self,
        active: Option<&ChunkWriter>,
        next: Offset,
        bytes: usize,
    ) -> Home {
        if bytes <= self.segment_room(active, next) {
            let used = active.map_or(0, |writer| u64::from(writer.written().bytes));
            Home { segment: self.home.segment, position: self.home.position + used }
        } else {
            Home { segment: next, position: 0 }
        }
    }

    /// Takes over: `next` is the active chunk now, `full` the one before it.
    pub(super) fn switch(&mut self, mut full: Option<ChunkWriter>, home: Home, next: &ChunkWriter) {
        if let Some(mut writer) = full.take() {
            if self.shows_at_once {
                writer.show_sealed();
            }
            self.full.push_back(Full { writer, home: self.home });
        }
        self.home = home;
        self.chunk_end = end_of_chunk(home.position, next.room() as u64);
        self.advance(next);
    }

    /// Keeps the third invariant, and lets go of chunks that are done with.
    #[inline]
    fn advance(&mut self, active: &ChunkWriter) {
        if self.shows_at_once {
            self.shown = self.written;
        }
        if !self.full.is_empty() {
            self.pass_on(active);
        }
    }

    #[cold]
    fn pass_on(&mut self, active: &ChunkWriter) {
        for place in 0..self.full.len() {
            let next = self.full.get(place + 1).map_or(active, |full| &full.writer);
            let next = Point::start(next.chunk().base_offset());
            let Full { writer, .. } = &mut self.full[place];
            let end = Point::of(writer);
            if self.shown == end && !self.shows_at_once {
                // All of it is shown, and it has a successor: readers go on there.
                writer.show_sealed();
                self.shown = next;
            }
            if self.written == end {
                self.written = next;
            }
        }
        if self.shows_at_once {
            self.shown = self.written;
        }
        let done = self.written.chunk.min(self.shown.chunk);
        let is_done = |full: &Full| full.base_offset() < done || full.is_empty();
        while self.full.front().is_some_and(is_done) {
            self.full.pop_front();
        }
    }

    /// Everything that is not written yet; `None` if there is nothing.
    #[inline]
    pub(super) fn load(&self, active: Option<&ChunkWriter>, totals: (u64, u64)) -> Option<Load> {
        let active = active?;
        if !self.full.is_empty() {
            return self.load_chunks(active, totals);
        }
        let first = self.piece(active, self.home)?;
        let (bytes, end) = (self.unwritten_bytes, Point::of(active));
        Some(Load { first, others: Vec::new(), end, bytes, totals })
    }

    #[cold]
    fn load_chunks(&self, active: &ChunkWriter, totals: (u64, u64)) -> Option<Load> {
        let (bytes, end) = (self.unwritten_bytes, Point::of(active));
        let all = self.full.iter().map(|full| (&full.writer, full.home));
        let all = all.chain([(active, self.home)]);
        let mut pieces = all.filter_map(|(writer, home)| self.piece(writer, home));
        let first = pieces.next()?;
        Some(Load { first, others: pieces.collect(), end, bytes, totals })
    }

    /// What is not written yet of a chunk that goes to `home`.
    #[inline]
    fn piece(&self, writer: &ChunkWriter, home: Home) -> Option<Piece> {
        let base = writer.chunk().base_offset();
        let start = match base.cmp(&self.written.chunk) {
            std::cmp::Ordering::Less => return None,
            std::cmp::Ordering::Equal => self.written.bytes,
            std::cmp::Ordering::Greater => 0,
        };
        let Published { bytes: end, records, .. } = writer.written();
        (start < end).then(|| Piece {
            bytes: writer.slice(start, end),
            home: Home { position: home.position + u64::from(start), ..home },
            end_offset: base + Offset::from(records),
            latest: Timestamp::from_millis(writer.chunk().index().max_timestamp()),
        })
    }

    /// Notes that a load is in the files.
    pub(super) fn wrote(&mut self, load: &Load, active: &ChunkWriter) {
        self.written = load.end;
        self.unwritten_bytes -= load.bytes;
        self.totals_written = load.totals;
        self.advance(active);
    }

    /// Shows readers everything below `to`, which is written.
    pub(super) fn show(&mut self, to: Point, active: &ChunkWriter) {
        if self.shows_at_once {
            return;
        }
        for full in &mut self.full {
            let base = full.base_offset();
            if base >= self.shown.chunk && base < to.chunk {
                full.writer.show_sealed();
            } else if base == to.chunk {
                full.writer.publish(to.published());
            }
        }
        if active.chunk().base_offset() == to.chunk {
            active.publish(to.published());
        }
        self.shown = to;
        self.advance(active);
    }

    /// Gives up everything that is not written, and returns where the log goes on: the offset, and the
    /// chunks that are no more. The active chunk is full from now on.
    pub(super) fn give_up(&mut self, active: ChunkWriter) -> GivenUp {
        let point = self.written;
        self.full.push_back(Full { writer: active, home: self.home });
        let behind = |full: &Full| full.base_offset() > point.chunk;
        let dropped = self.full.iter().filter(|full| behind(full)).count();
        self.full.truncate(self.full.len() - dropped);
        let last = self.full.back_mut().expect("the chunk of the written point is kept");
        last.writer.cut(point.published());
        self.home = Home {
            position: last.home.position + u64::from(point.bytes),
            segment: last.home.segment,
        };
        self.unwritten_bytes = 0;
        GivenUp { next_offset: point.offset(), chunks: dropped, totals: self.totals_written }
    }

    /// Whether a chunk may go from memory: it is written and shown.
    pub(super) fn is_settled(&self, chunk: &Arc<Chunk>) -> bool {
        chunk.base_offset() < self.written.chunk.min(self.shown.chunk)
    }
}

/// Where in its file a chunk is to end that starts at `position`: at the last multiple that it reaches, unless
/// that would leave more than half of it unused.
fn end_of_chunk(position: u64, capacity: u64) -> u64 {
    let reached = position + capacity;
    let aligned = reached - reached % u64::from(ALIGNED_BYTES);
    if aligned >= position + capacity / 2 { aligned } else { reached }
}

/// What a log looks like after it gave up what could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GivenUp {
    pub(crate) next_offset: Offset,
    /// How many chunks go from the end of the chain.
    pub(crate) chunks: usize,
    /// How many batches and bytes were ever appended, now.
    pub(super) totals: (u64, u64),
}

/// How a log's files are cut, and when its records are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) segment_bytes_max: u64,
    /// Whether readers see records before they are written.
    pub(crate) shows_at_once: bool,
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Where the next batch may be as large as batches get, all its offsets can be told.
    #[test]
    fn a_segment_spans_no_more_offsets_than_its_index_can_tell() {
        let layout = Layout { segment_bytes_max: u64::MAX, shows_at_once: false };
        let backlog = Backlog::new(7, Home { segment: 7, position: 1 }, layout);
        let limit = 7 + Offset::from(i32::MAX.unsigned_abs()) - (1 << 28);
        assert!(backlog.segment_room(None, limit - 1) > 0);
        assert_eq!(backlog.segment_room(None, limit), 0);
    }

    #[test]
    fn a_chunk_ends_at_a_multiple_unless_it_would_be_cut_short() {
        let unit = u64::from(ALIGNED_BYTES);
        let capacity = unit + (64 << 10);
        for before in [0, 1, 64 << 10] {
            assert_eq!(end_of_chunk(3 * unit - before, capacity), 4 * unit);
        }
        let start = 3 * unit - (64 << 10) - 1;
        assert_eq!(end_of_chunk(start, capacity), start + capacity);
        assert_eq!(end_of_chunk(0, 64 << 10), 64 << 10);
    }

    proptest! {
        #[test]
        fn a_chunk_uses_half_of_its_memory_at_least(position in 0..1_u64 << 40, capacity in 1..1_u64 << 31) {
            let used = end_of_chunk(position, capacity) - position;
            prop_assert!(used <= capacity && used >= capacity / 2);
        }
    }
}
