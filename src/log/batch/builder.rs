//! A batch that is built over time, for records that wait for company.
//!
//! The buffer is handed back when the batch is done, so that a producer allocates as often as it
//! has batches in flight, not as often as it sends.

use super::encode::Encoded;
use super::open::OpenBatch;
use super::record::record_bytes_max;
use crate::ids::Timestamp;
use crate::record::{Record, TimestampType};

/// A batch under construction: records come one by one, over time.
///
/// The batch is `CreateTime` with base offset 0; where it is appended,
/// [`set_base_offset`](super::set_base_offset) and
/// [`set_log_append_time`](super::set_log_append_time) make it the log's.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    /// Zeros, or leftovers, behind the open batch.
    buffer: Vec<u8>,
    open: OpenBatch,
}

impl BatchBuilder {
    /// A builder that fills `buffer` from its start; what it holds is lost, its allocation is used.
    pub(crate) fn with_buffer(buffer: Vec<u8>) -> Self {
        BatchBuilder { buffer, open: OpenBatch::new(usize::MAX) }
    }

    /// Adds a record with this timestamp; its own is not looked at.
    #[inline]
    pub(crate) fn push(&mut self, record: &Record<'_>, timestamp: Timestamp) {
        let needed = self.open.bytes() + record_bytes_max(record);
        if self.buffer.len() < needed {
            self.grow(needed);
        }
        self.open.push(&mut self.buffer, record, timestamp);
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        self.buffer.resize(needed.max(2 * self.buffer.len()), 0);
    }

    /// What the batch takes so far, header included.
    pub(crate) fn bytes(&self) -> usize {
        self.open.bytes()
    }

    /// How many records it has so far.
    pub(crate) fn count(&self) -> u32 {
        self.open.count()
    }

    /// Completes the batch.
    ///
    /// # Panics
    ///
    /// If it has no records.
    pub(crate) fn finish(mut self) -> EncodedBatch {
        let encoded = self.open.finish(&mut self.buffer, 0, TimestampType::CreateTime);
        EncodedBatch { buffer: self.buffer, encoded }
    }
}

/// What a [`BatchBuilder`] built.
#[derive(Debug)]
pub(crate) struct EncodedBatch {
    buffer: Vec<u8>,
    /// What it became.
    pub encoded: Encoded,
}

impl EncodedBatch {
    /// The batch, with base offset 0 until that is set.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.encoded.bytes]
    }

    /// Gives the buffer back, for the next [`BatchBuilder::with_buffer`].
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}
