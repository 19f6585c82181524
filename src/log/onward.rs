//! How a reader reads on in files: how much at once, from where, and into which memory.
//!
//! ```text
//!   16 KiB ─► 32 ─► 64 ─► 128 … ─► 1 MiB    read on, each time twice as much
//!   └── short chunks ──┘ └── long ones ──┘  used again, by any partition of the broker
//! ```

use super::Pool;
use crate::ids::Offset;
use crate::sync::Arc;

/// The most that is read at once: by the byte a MiB takes a tenth less time than a quarter of it. (loom watches
/// each byte.)
pub(crate) const READ_BYTES_MAX: usize = if cfg!(loom) { 256 } else { 1 << 20 };

/// What a look-up out of the blue reads: the index leads to within 4 KiB and a batch.
pub(crate) const READ_BYTES_MIN: usize = if cfg!(loom) { 128 } else { 16 << 10 };

/// The memory that a look-up takes: a few records that somebody keeps are to keep little of it.
const SHORT_BYTES: usize = if cfg!(loom) { 128 } else { 64 << 10 };

/// Memory for what is read, to be used again: for look-ups, and for who reads on and on. One for a broker: what
/// is kept does not grow with its partitions.
#[derive(Debug)]
pub(crate) struct ReadPools {
    short: Arc<Pool>,
    long: Arc<Pool>,
}

impl ReadPools {
    pub(crate) fn new() -> ReadPools {
        ReadPools { short: Pool::new(SHORT_BYTES), long: Pool::new(READ_BYTES_MAX) }
    }

    /// The memory for who reads so much at once.
    pub(super) fn of(&self, bytes: usize) -> &Arc<Pool> {
        if bytes <= SHORT_BYTES { &self.short } else { &self.long }
    }
}

/// Where in the files an offset begins a batch, as far as that is known from reading what is before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) offset: Offset,
    /// The base offset of the segment.
    pub(crate) segment: Offset,
    pub(crate) position: u64,
}

/// How a reader reads files: more at once if it reads on and on, and from where it has come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Onward {
    bytes: usize,
    bytes_max: usize,
    pub(crate) start: Option<Start>,
}

impl Default for Onward {
    fn default() -> Onward {
        Onward { bytes: READ_BYTES_MIN, bytes_max: READ_BYTES_MAX, start: None }
    }
}

impl Onward {
    /// How much to read at once.
    pub(crate) fn read_bytes(&self) -> usize {
        self.bytes.min(self.bytes_max)
    }

    /// Twice as much the next time.
    pub(crate) fn read_more(&mut self) {
        self.bytes = (2 * self.bytes).min(READ_BYTES_MAX);
    }

    /// Reads no more at once than that, if it is more than the least.
    pub(crate) fn limit(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max.clamp(READ_BYTES_MIN, READ_BYTES_MAX);
    }
}
