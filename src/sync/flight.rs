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
//! who sleep do so on one word, so that one call of the system wakes them, and the word says whether anybody does:
//! without sleepers there is no call.
//!
//! Invariants:
//! 1. A flight lands once, and everybody who waits, or comes later, learns its outcome.
//! 2. Of those who wait at most one takes each request to lead.
//! 3. Nobody sleeps who has not said so in the word before.

use super::atomic::{AtomicUsize, Ordering};
use super::planted::{Bug, planted};
use super::{Backoff, OnceLock, Word};

/// Nobody has done anything yet.
const BOARDING: u32 = 0;
/// A bit: somebody who waits is to lead.
const LEADERLESS: u32 = 1;
/// A bit: the outcome is known.
const LANDED: u32 = 2;
/// A bit: somebody sleeps, or is about to. It stays.
const ASLEEP: u32 = 4;

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
            let word = self.word.load();
            if word & LANDED != 0 {
                let outcome = self.outcome.get().expect("it is set before the word says so");
                break Turn::Landed(outcome.clone());
            } else if word & LEADERLESS != 0 {
                if self.word.exchange(word, word & !LEADERLESS) {
                    break Turn::Lead;
                }
            } else if spins > 0 {
                std::hint::spin_loop();
                spins -= 1;
            } else if !backoff.is_completed() {
                backoff.snooze();
            } else if word & ASLEEP != 0 || self.word.exchange(word, word | ASLEEP) {
                self.word.wait(word | ASLEEP);
            }
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        turn
    }

    /// Asks one of those who wait to lead.
    pub(crate) fn ask_leader(&self) {
        let has_sleepers = self.word.set(LEADERLESS) & ASLEEP != 0;
        if has_sleepers && !planted(Bug::ForgetLeader) {
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
        let has_sleepers = self.word.set(LANDED) & ASLEEP != 0;
        if has_sleepers && !planted(Bug::ForgetSleepers) {
            self.word.wake_all();
        }
    }
}
