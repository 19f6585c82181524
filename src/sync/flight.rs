//! A flight: appends that wait for the same write or sync, and learn together what became of it.
//!
//! One of those who wait does the work for all of them. While it is at it, others board the next flight.
//! When it has landed its own, it asks one of the next to lead.
//!
//! ```text
//!   board ─► wait ──┬─► landed, with the outcome
//!                   └─► lead: you do the work for this flight
//! ```
//!
//! Who waits looks a few times first: a write takes less time than going to sleep and being woken. All
//! who sleep do so on one word, so that one call of the system wakes them.
//!
//! Invariants:
//! 1. A flight lands once, and everybody who waits, or comes later, learns its outcome.
//! 2. Of those who wait at most one takes each request to lead.

use super::atomic::{AtomicUsize, Ordering};
use super::planted::{Bug, planted};
use super::{Backoff, OnceLock, Word};

/// Nobody has done anything yet.
const BOARDING: u32 = 0;
/// Somebody who waits is to lead.
const LEADERLESS: u32 = 1;
/// The outcome is known.
const LANDED: u32 = 2;

#[derive(Debug)]
pub(crate) struct Flight<T> {
    word: Word,
    outcome: OnceLock<T>,
    /// How many wait, or are about to. Raised by who holds the lock that flights are boarded under;
    /// whoever asks somebody to lead looks under that lock. Relaxed for that reason.
    waiting: AtomicUsize,
}

/// What a wait ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn<T> {
    Landed(T),
    Lead,
}

impl<T> Default for Flight<T> {
    fn default() -> Self {
        Flight { word: Word::new(BOARDING), outcome: OnceLock::new(), waiting: AtomicUsize::new(0) }
    }
}

impl<T: Clone> Flight<T> {
    /// Says that the caller is going to wait; under the lock that flights are boarded under.
    pub(crate) fn expect(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether anybody waits who can lead.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting() > 0
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// What became of it, if it has landed.
    pub(crate) fn outcome(&self) -> Option<T> {
        self.outcome.get().cloned()
    }

    /// Waits for the outcome, or to be asked to lead. The caller has said that it would. Looks `spins` times
    /// without giving way to other threads, then a few times more, then sleeps.
    pub(crate) fn wait(&self, spins: u32) -> Turn<T> {
        let mut spins = spins;
        let backoff = Backoff::new();
        let turn = loop {
            match self.word.load() {
                LANDED => {
                    let outcome = self.outcome.get().expect("it is set before the word says so");
                    break Turn::Landed(outcome.clone());
                }
                LEADERLESS if self.word.exchange(LEADERLESS, BOARDING) => break Turn::Lead,
                LEADERLESS => {}
                _ if spins > 0 => {
                    std::hint::spin_loop();
                    spins -= 1;
                }
                _ if !backoff.is_completed() => backoff.snooze(),
                other => self.word.wait(other),
            }
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        turn
    }

    /// Asks one of those who wait to lead.
    pub(crate) fn ask_leader(&self) {
        self.word.store(LEADERLESS);
        if !planted(Bug::ForgetLeader) {
            self.word.wake_one();
        }
    }

    /// Tells everybody what became of it.
    ///
    /// # Panics
    ///
    /// If it has landed before.
    pub(crate) fn land(&self, outcome: T) {
        assert!(self.outcome.set(outcome).is_ok(), "a flight lands once");
        self.word.store(LANDED);
        if self.has_waiting() {
            self.word.wake_all();
        }
    }
}
