//! How far may a sender run ahead of those who must not lose anything?
//!
//! A log with a retention limit and a broadcast ring both overwrite what a slow reader has not seen.
//! Readers report how far they are, each in a cell of its own; the sender looks only when what it
//! last knew no longer suffices, so that in step both cost next to nothing.

use std::sync::atomic::{AtomicU64, Ordering};

#[repr(align(128))]
#[derive(Default)]
struct Cell(AtomicU64);

/// What the readers have seen.
pub(crate) struct Pace {
    readers: Vec<Cell>,
    window: u64,
}

/// Which of the readers' counts hold a sender back.
#[derive(Clone, Copy)]
pub(crate) enum Behind {
    /// Everybody reads everything: the slowest.
    Slowest,
    /// Everybody reads a part: all together.
    Together,
}

impl Pace {
    /// Lets a sender be at most `window` records ahead.
    pub(crate) fn new(readers: usize, window: u64) -> Self {
        Pace { readers: (0..readers).map(|_| Cell::default()).collect(), window }
    }

    /// A reader has seen so many. The value guards no other memory.
    pub(crate) fn seen(&self, reader: usize, count: u64) {
        self.readers[reader].0.store(count, Ordering::Relaxed);
    }

    pub(crate) fn total(&self, behind: Behind) -> u64 {
        let counts = self.readers.iter().map(|cell| cell.0.load(Ordering::Relaxed));
        match behind {
            Behind::Slowest => counts.min().unwrap_or(0),
            Behind::Together => counts.sum(),
        }
    }

    /// A sender's side of it.
    pub(crate) fn throttle(&self, behind: Behind) -> Throttle<'_> {
        Throttle { pace: self, behind, known: 0 }
    }
}

pub(crate) struct Throttle<'a> {
    pace: &'a Pace,
    behind: Behind,
    known: u64,
}

impl Throttle<'_> {
    /// Waits until `sent` is within the window.
    pub(crate) fn hold(&mut self, sent: u64) {
        while sent > self.known + self.pace.window {
            self.known = self.pace.total(self.behind);
            if sent > self.known + self.pace.window {
                std::thread::yield_now();
            }
        }
    }
}
