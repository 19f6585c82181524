//! How far a reader stays behind a writer that it keeps up with.
//!
//! A reader on the writer's heels takes a record or two at a time, and each time the cache lines of
//! the newest batch go back and forth between their cores, which costs the writer more than the record
//! itself. So as long as polls find a little, and more comes while the reader pauses, it pauses a
//! moment before each, eight microseconds at most. Where nothing comes meanwhile, or a poll found nothing,
//! somebody is waiting for that one record, and the next poll does not pause.

use super::cursor::Cursor;
use crate::ids::Offset;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Distance {
    pauses: u32,
    /// Whether the last pause began and ended before an open batch, which does not tell how much came.
    is_unsure: bool,
}

/// About a tenth of a microsecond, in which a fast writer appends three records.
const PAUSES_MIN: u32 = 3;

/// About eight microseconds: a few hundred records of a fast writer.
const PAUSES_MAX: u32 = 256;

/// How many records a poll is to find, to be worth the trip.
const WORTHWHILE: Offset = 256;

impl Distance {
    /// Whether the next poll is to pause.
    #[inline]
    pub(super) fn is_kept(self) -> bool {
        self.pauses > 0
    }

    /// Pauses, and stops doing so if nothing comes meanwhile.
    #[inline]
    pub(super) fn keep(&mut self, from: &Cursor) {
        let (before, was_open) = from.available();
        if before >= WORTHWHILE {
            return;
        }
        for _ in 0..self.pauses {
            std::hint::spin_loop();
        }
        let (available, is_open) = from.available();
        self.is_unsure = available == before && was_open;
        if available == before && !is_open {
            self.pauses = 0;
        }
    }

    #[inline]
    pub(super) fn adapt(&mut self, found: usize) {
        let is_unsure = std::mem::take(&mut self.is_unsure);
        self.pauses = match found as Offset {
            0 => 0,
            1 if is_unsure => 0,
            found if found < WORTHWHILE => (2 * self.pauses).clamp(PAUSES_MIN, PAUSES_MAX),
            _ => self.pauses / 2,
        };
    }
}
