//! A batch that is open: records are added to it in place, and its header is written last.
//!
//! ```text
//!   ├──────── header: 61 bytes, later ────────┼ record │ record │ record ┤ spare …
//!   0                                                                    bytes
//! ```

use super::encode::{Encoded, put_header, timestamp_delta};
use super::header::HEADER_BYTES;
use super::record::put_record;
use crate::ids::{Offset, Timestamp};
use crate::record::{Record, TimestampType};

/// How far an open batch has come. The bytes are the caller's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenBatch {
    bytes: usize,
    bytes_max: usize,
    count: u32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl OpenBatch {
    /// A batch without records, which may come to take `bytes_max`.
    pub(crate) fn new(bytes_max: usize) -> Self {
        OpenBatch {
            bytes: HEADER_BYTES,
            bytes_max,
            count: 0,
            base_timestamp: Timestamp::default(),
            max_timestamp: Timestamp::default(),
        }
    }

    /// What it may come to take.
    #[inline]
    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// What it takes so far, header included.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many records it has so far.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Adds a record with this timestamp; its own is not looked at. `to` is where the batch starts, the
    /// same bytes every time, with room for [`record_bytes_max`](super::record_bytes_max) more.
    #[inline]
    pub(crate) fn push(&mut self, to: &mut [u8], record: &Record<'_>, timestamp: Timestamp) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        let delta = timestamp_delta(timestamp, self.base_timestamp);
        self.bytes += put_record(&mut to[self.bytes..], record, self.count, delta);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.count += 1;
    }

    /// Writes the header: the batch is complete.
    ///
    /// # Panics
    ///
    /// If it has no records.
    pub(crate) fn finish(self, to: &mut [u8], base_offset: Offset, of: TimestampType) -> Encoded {
        assert!(self.count > 0, "a batch holds at least one record");
        let encoded = Encoded {
            bytes: self.bytes,
            count: self.count,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
        };
        put_header(to, &encoded, base_offset, of);
        encoded
    }
}
