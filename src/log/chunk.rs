//! The append buffer: one writer copies batches in, any number of readers borrow them.
//!
//! A chunk is a fixed piece of memory that is only ever appended to. The writer copies a whole batch
//! behind the published length and then publishes the new length with one `Release` store; a reader
//! takes one `Acquire` load and may borrow every byte below it for as long as it holds the chunk.
//! Nothing below the published length ever changes, so no lock is needed and nothing is copied out.
//!
//! ```text
//!            0                                    published.bytes        capacity
//!            ├────────┬────────┬──────────────────┼──────────────┬──────────┤
//!  memory    │ batch  │ batch  │ batch            │ being copied │ unused   │
//!            └────────┴────────┴──────────────────┴──────────────┴──────────┘
//!             readers borrow: immutable            writer only
//!
//!  published  │ sealed: 1 bit │ records: 31 bits │ open: 1 bit │ bytes: 31 bits │   one atomic word
//! ```
//!
//! This is the only file with `unsafe`. Invariants that its blocks rest on:
//! 1. `memory` is `capacity` bytes, initialised from the start, allocated once, freed once, and moved
//!    between owners as a whole.
//! 2. A chunk has at most one [`ChunkWriter`], which is not `Clone`; it alone writes, and only at or
//!    above the written length, which is never below the published one.
//! 3. Every byte below the published length was written before that length was published.
//! 4. A [`ChunkSlice`] keeps the chunk, and lies below a length that its maker read with `Acquire`, or,
//!    if the writer made it, below the written length. Written bytes are never written again: a writer
//!    that gives some up is left without room.
//! 5. Memory returns to the pool when the last owner of the chunk is gone, not before.

#![allow(unsafe_code, reason = "the one file that may; every block says why it is sound")]

use super::batch::{Encoded, HEADER_BYTES};
use super::pool::Pool;
use super::sparse::SparseIndex;
use crate::ids::{Offset, Timestamp};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::planted::{Bug, planted};
use crate::sync::{Arc, CachePadded};
use std::alloc::Layout;
use std::ptr::NonNull;

/// From this size on memory is aligned to, and advised to consist of, huge pages: one page fault
/// and one TLB entry for 2 MiB instead of 512. Fresh memory is the largest cost of an append.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// The most a chunk can hold, which is the most a batch of ours can take: its length is published in 31
/// bits.
pub(crate) const CHUNK_BYTES_MAX: usize = i32::MAX as usize;

/// A piece of memory. Fresh, it is zero, which the kernel sees to when a page is first touched.
#[derive(Debug)]
pub(crate) struct Memory {
    start: NonNull<u8>,
    capacity: usize,
    origin: Origin,
    /// One cell a byte, through which loom watches who touches it when.
    #[cfg(loom)]
    watch: Vec<loom::cell::UnsafeCell<()>>,
}

/// Where memory came from, and goes back to.
#[derive(Clone, Copy, Debug)]
enum Origin {
    /// The program's allocator.
    Allocator(Layout),
    /// The system, as so many bytes of whole huge pages: an allocator would clear by hand what it
    /// has to align, and may keep what it gets back.
    #[cfg(all(target_os = "linux", not(loom)))]
    System { bytes: usize },
}

// SAFETY: `Memory` owns its allocation (invariant 1); the pointer is to nothing thread-bound.
unsafe impl Send for Memory {}
// SAFETY: a shared `Memory` gives out only lengths and, inside this file, raw pointers, whose use
// invariants 2 to 4 order.
unsafe impl Sync for Memory {}

impl Memory {
    /// Allocates `capacity` bytes.
    pub(crate) fn allocate(capacity: usize) -> Memory {
        assert!((1..=CHUNK_BYTES_MAX).contains(&capacity), "a chunk of {capacity} bytes");
        let mapped = if capacity >= HUGE_PAGE_BYTES { Self::map(capacity) } else { None };
        let (start, origin) = mapped.unwrap_or_else(|| Self::ask_allocator(capacity));
        Memory {
            start,
            capacity,
            origin,
            #[cfg(loom)]
            watch: (0..capacity).map(|_| loom::cell::UnsafeCell::new(())).collect(),
        }
    }

    fn ask_allocator(capacity: usize) -> (NonNull<u8>, Origin) {
        let layout = Layout::from_size_align(capacity, 16).expect("2 GiB can be laid out");
        // SAFETY: `layout` has a size, asserted by the caller.
        let start = unsafe { std::alloc::alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| std::alloc::handle_alloc_error(layout));
        (start, Origin::Allocator(layout))
    }

    #[cfg(not(all(target_os = "linux", not(loom))))]
    fn map(_capacity: usize) -> Option<(NonNull<u8>, Origin)> {
        None
    }

    /// Takes whole huge pages from the system; `None` if it has none to give.
    #[cfg(all(target_os = "linux", not(loom)))]
    fn map(capacity: usize) -> Option<(NonNull<u8>, Origin)> {
        use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
        let bytes = capacity.next_multiple_of(HUGE_PAGE_BYTES);
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // One more than needed, to cut a piece out of it that starts at a huge page's boundary.
        let wide = bytes + HUGE_PAGE_BYTES;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory in use.
        let mapped =
            unsafe { mmap_anonymous(std::ptr::null_mut(), wide, access, MapFlags::PRIVATE) };
        let mapped = NonNull::new(mapped.ok()?.cast::<u8>())?;
        let skipped = mapped.align_offset(HUGE_PAGE_BYTES);
        // SAFETY: `skipped` is less than a huge page, so all offsets lie within the new mapping; what
        // is unmapped is nobody's yet. The advice changes how memory is backed, not what it holds:
        // a kernel that knows no huge pages refuses it, and ordinary ones do as well.
        unsafe {
            let start = mapped.add(skipped);
            // What cannot be given back (the system counts mappings) costs addresses, not memory.
            if skipped > 0 {
                let _ = munmap(mapped.as_ptr().cast(), skipped);
            }
            let behind = start.add(bytes);
            let _ = munmap(behind.as_ptr().cast(), HUGE_PAGE_BYTES - skipped);
            let _ = madvise(start.as_ptr().cast(), bytes, Advice::LinuxHugepage);
            Some((start, Origin::System { bytes }))
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    #[cfg(loom)]
    fn touch(&self, start: usize, end: usize, is_write: bool) {
        for cell in &self.watch[start..end] {
            if is_write { cell.with_mut(|_| ()) } else { cell.with(|_| ()) }
        }
    }

    #[cfg(not(loom))]
    #[inline(always)]
    fn touch(&self, _start: usize, _end: usize, _is_write: bool) {}
}

impl Drop for Memory {
    fn drop(&mut self) {
        match self.origin {
            // SAFETY: allocated with this layout and not freed before (invariant 1).
            Origin::Allocator(layout) => unsafe {
                std::alloc::dealloc(self.start.as_ptr(), layout);
            },
            #[cfg(all(target_os = "linux", not(loom)))]
            Origin::System { bytes } => {
                // SAFETY: mapped in this size and not unmapped before (invariant 1). Where the system
                // has no room to note the gap, the pages stay mapped and nobody uses them.
                let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), bytes) };
            }
        }
    }
}

/// How much of a chunk readers may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// The length of the readable bytes: whole batches.
    pub(crate) bytes: u32,
    /// How many records they hold.
    pub(crate) records: u32,
    /// Whether this is final: the next record is in the next chunk.
    pub(crate) is_sealed: bool,
    /// Whether a batch is open behind it, whose records are shown to who asks for them.
    pub(crate) is_open: bool,
}

const SEALED: u64 = 1 << 63;
const OPEN: u64 = 1 << 31;

impl Published {
    fn pack(self) -> u64 {
        debug_assert!(self.records < 1 << 31 && self.bytes < 1 << 31, "{self:?}");
        let sealed = if self.is_sealed { SEALED } else { 0 };
        let open = if self.is_open { OPEN } else { 0 };
        sealed | open | u64::from(self.records) << 32 | u64::from(self.bytes)
    }

    #[expect(clippy::cast_possible_truncation, reason = "takes the word apart into its fields")]
    fn unpack(word: u64) -> Self {
        Published {
            bytes: word as u32 & !(OPEN as u32),
            records: ((word & !SEALED) >> 32) as u32,
            is_sealed: word & SEALED != 0,
            is_open: word & OPEN != 0,
        }
    }
}

/// A stretch of the log in memory; see the file's introduction.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// On a line of its own: the writer stores to it with every append, waiting readers load it.
    published: CachePadded<AtomicU64>,
    /// `None` only while being dropped.
    memory: Option<Memory>,
    base_offset: Offset,
    index: SparseIndex,
    pool: Arc<Pool>,
}

impl Chunk {
    /// The offset of the first record.
    pub(crate) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// What readers may see now. Everything that the writer did before it published this is
    /// visible to the caller afterwards.
    #[inline]
    pub(crate) fn published(&self) -> Published {
        // Acquire pairs with the Release in `ChunkWriter::publish`.
        Published::unpack(self.published.load(Ordering::Acquire))
    }

    /// The offset behind the last record that readers may see.
    pub(crate) fn end_offset(&self) -> Offset {
        self.base_offset + Offset::from(self.published().records)
    }

    /// Where in the chunk which offsets and times are.
    pub(crate) fn index(&self) -> &SparseIndex {
        &self.index
    }

    /// The bytes of memory that the chunk occupies.
    pub(crate) fn capacity(&self) -> usize {
        self.memory().capacity()
    }

    /// Borrows the bytes below `published`.
    #[inline]
    pub(crate) fn bytes(&self, published: Published) -> &[u8] {
        let seen = self.published().bytes;
        assert!(published.bytes <= seen, "{published:?} is not of this chunk: {seen} bytes");
        self.borrow(0, published.bytes)
    }

    /// Takes hold of the bytes `start..end`. A function and not a method, because a model's `Arc`
    /// cannot be a receiver.
    #[inline]
    pub(crate) fn slice(chunk: &Arc<Chunk>, start: u32, end: u32) -> ChunkSlice {
        let seen = chunk.published().bytes;
        assert!(start <= end && end <= seen, "{start}..{end} of {seen} published bytes");
        ChunkSlice { chunk: Arc::clone(chunk), start, end }
    }

    /// Private: the caller has checked `start <= end` and `end` against a published length.
    #[inline]
    fn borrow(&self, start: u32, end: u32) -> &[u8] {
        let (start, end) = (start as usize, end as usize);
        let memory = self.memory();
        memory.touch(start, end, false);
        // SAFETY: the range is initialised (3) and never written again (2) while the chunk lives,
        // which the returned borrow of it ensures.
        unsafe { std::slice::from_raw_parts(memory.start.as_ptr().add(start), end - start) }
    }

    #[inline]
    fn memory(&self) -> &Memory {
        self.memory.as_ref().expect("memory leaves a chunk only when it is dropped")
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.pool.give_back(memory);
        }
    }
}

/// A range of published bytes, and a share in the chunk that holds them.
#[derive(Clone, Debug)]
pub(crate) struct ChunkSlice {
    chunk: Arc<Chunk>,
    start: u32,
    end: u32,
}

impl AsRef<[u8]> for ChunkSlice {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        // Published when the slice was made (4), and published bytes stay so.
        self.chunk.borrow(self.start, self.end)
    }
}

impl ChunkSlice {
    /// Takes the bytes of `next` in, if they are those behind this one's.
    #[inline]
    pub(crate) fn join(&mut self, next: &ChunkSlice) -> bool {
        let is_next = Arc::ptr_eq(&self.chunk, &next.chunk) && self.end == next.start;
        if is_next {
            self.end = next.end;
        }
        is_next
    }

    /// The number of bytes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
}

/// The right to append to a chunk.
#[derive(Debug)]
pub(crate) struct ChunkWriter {
    chunk: Arc<Chunk>,
    /// What was written, packed as it will be published: single fields that are stored, and loaded as one
    /// word at once, make the processor wait for the stores.
    word: u64,
    /// How much of the chunk may be written: all of it, unless it was cut.
    capacity: usize,
}

impl ChunkWriter {
    /// Starts a chunk at `base_offset` in memory from the pool, which has room for at least
    /// `bytes`.
    pub(crate) fn new(base_offset: Offset, bytes: usize, pool: &Arc<Pool>) -> ChunkWriter {
        let memory = pool.take(bytes);
        let chunk = Chunk {
            published: CachePadded::new(AtomicU64::new(Published::default().pack())),
            base_offset,
            index: SparseIndex::new(memory.capacity()),
            memory: Some(memory),
            pool: Arc::clone(pool),
        };
        let capacity = chunk.capacity();
        ChunkWriter { chunk: Arc::new(chunk), word: Published::default().pack(), capacity }
    }

    /// The chunk that is written to.
    pub(crate) fn chunk(&self) -> &Arc<Chunk> {
        &self.chunk
    }

    /// How many bytes are left.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.capacity - self.written().bytes as usize
    }

    /// What was written, published or not.
    #[inline]
    pub(crate) fn written(&self) -> Published {
        Published::unpack(self.word)
    }

    /// Lends the unused end to `encode`, which writes one batch to its start, and publishes that.
    ///
    /// If `encode` panics, nothing was appended.
    #[inline]
    pub(crate) fn append(&mut self, encode: impl FnOnce(&mut [u8]) -> Encoded) -> Encoded {
        let encoded = self.append_hidden(encode);
        self.publish(self.written());
        encoded
    }

    /// As [`append`](Self::append), but nobody sees the batch until [`publish`](Self::publish).
    #[inline(always)]
    pub(crate) fn append_hidden(&mut self, encode: impl FnOnce(&mut [u8]) -> Encoded) -> Encoded {
        let start = self.written().bytes;
        let encoded = encode(self.spare());
        assert!((HEADER_BYTES..=self.room()).contains(&encoded.bytes), "a batch within its chunk");
        let end = start + u32::try_from(encoded.bytes).expect("a chunk is shorter than 2 GiB");
        self.note(start, end, encoded.count, encoded.max_timestamp);
        encoded
    }

    /// Counts the bytes `start..end`, which the caller has filled with one batch, as written.
    #[inline(always)]
    pub(crate) fn note(&mut self, start: u32, end: u32, offsets: u32, max_timestamp: Timestamp) {
        let records = self.written().records;
        self.chunk.index.note(start, end, records, max_timestamp.as_millis());
        if planted(Bug::TornPublish) {
            self.publish(Published { bytes: end, ..self.written() });
        }
        let written = Published { bytes: end, records: records + offsets, ..Published::default() };
        self.word = written.pack();
    }

    /// Says that records wait behind what is published, in a batch that is open.
    pub(crate) fn announce(&mut self) {
        self.word = Published { is_open: !planted(Bug::HideOpen), ..self.written() }.pack();
        self.publish(self.written());
    }

    /// Gives up what was written behind `to` and never published, and with it the rest of the chunk:
    /// who carries those bytes to a file may still hold them, so they are not written again.
    pub(crate) fn cut(&mut self, to: Published) {
        let published = self.chunk.published();
        let is_behind = published.bytes <= to.bytes && published.records <= to.records;
        assert!(is_behind && to.bytes <= self.written().bytes, "{to:?} was written, not published");
        self.word = to.pack();
        self.capacity = to.bytes as usize;
    }

    /// Takes hold of bytes that were written, published or not, to carry them to a file.
    pub(crate) fn slice(&self, start: u32, end: u32) -> ChunkSlice {
        let written = self.written();
        assert!(start <= end && end <= written.bytes, "{start}..{end} of {written:?}");
        ChunkSlice { chunk: Arc::clone(&self.chunk), start, end }
    }

    /// The unused end: what is written there is nobody's until it is noted.
    #[inline]
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        let room = self.room();
        let memory = self.chunk.memory();
        let start = self.written().bytes as usize;
        memory.touch(start, start + room, true);
        // SAFETY: the range lies in the chunk's memory, which is initialised (1), and above the
        // written length, which is at or above the published one: nobody but this writer looks there
        // (2, 4). The borrow of the one writer keeps it from lending the same bytes twice.
        unsafe { std::slice::from_raw_parts_mut(memory.start.as_ptr().add(start), room) }
    }

    /// Says that no batch will follow, and shows all there is.
    pub(crate) fn seal(mut self) {
        self.show_sealed();
        if planted(Bug::EarlyRecycle) {
            // The mistake: what the memory's next owner does, while readers may hold the chunk.
            self.word = Published::default().pack();
            self.spare()[0] = 0;
        }
    }

    /// As [`seal`](Self::seal), for who keeps the writer.
    pub(crate) fn show_sealed(&mut self) {
        if self.capacity < self.chunk.capacity() && planted(Bug::LeaveCutOpen) {
            return;
        }
        self.word = Published { is_sealed: true, ..self.written() }.pack();
        self.publish(self.written());
    }

    /// Shows readers what was written, up to `to`; never less than they saw before.
    #[inline]
    pub(crate) fn publish(&self, to: Published) {
        // Release: all that was copied and indexed comes before the length that covers it.
        let order =
            if planted(Bug::RelaxedPublish) { Ordering::Relaxed } else { Ordering::Release };
        self.chunk.published.store(to.pack(), order);
    }
}
