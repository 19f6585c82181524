//! One segment that was read: what it comes to, as a sealed one or as the active one.

use super::Active;
use crate::ids::Offset;
use crate::log::batch::BatchHeader;
use crate::log::facts::SegmentFacts;
use crate::log::index::SegmentIndex;
use crate::log::mark::Crc;

/// A segment that was read to its end.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) base_offset: Offset,
    pub(super) file_bytes: u64,
    pub(super) end: End,
    pub(super) rewrite_from: u64,
    pub(super) has_gaps: bool,
}

/// How far a segment was read, and what was gathered on the way.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) position: u64,
    pub(super) offset: Offset,
    pub(super) crc: Crc,
    pub(super) index: SegmentIndex,
}

impl End {
    pub(super) fn start_of(base_offset: Offset) -> End {
        End { position: 0, offset: base_offset, crc: Crc::new(), index: SegmentIndex::new() }
    }

    /// Takes a batch as read, but for its checksum.
    pub(super) fn note(&mut self, header: &BatchHeader) {
        let last_offset = header.last_offset();
        self.index.note(last_offset, self.position, header.batch_bytes, header.max_timestamp);
        self.position += header.batch_bytes as u64;
        self.offset = last_offset + 1;
    }
}

impl Scanned {
    /// What is listed of it, given the checksum of its stored index.
    pub(super) fn facts(&self, index_crc: u32) -> SegmentFacts {
        SegmentFacts {
            base_offset: self.base_offset,
            end_offset: self.end.offset,
            bytes: self.end.position,
            crc: self.end.crc.value(),
            index_crc,
            max_timestamp: self.end.index.max_timestamp(),
            is_compacted: self.has_gaps,
        }
    }

    /// The segment as the one that is appended to; its file is not open yet.
    pub(super) fn into_active(self) -> Active {
        Active {
            base_offset: self.base_offset,
            bytes: self.end.position,
            end_offset: self.end.offset,
            crc: self.end.crc,
            max_timestamp: self.end.index.max_timestamp(),
            index: self.end.index,
            file: None,
            rewrite_from: self.rewrite_from,
        }
    }
}
