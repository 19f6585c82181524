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
//! Invariants:
//! 1. A flight lands once, and everybody who waits, or comes later, learns its outcome.
//! 2. Of those who wait at most one is asked to lead at a time.

use super::atomic::{AtomicUsize, Ordering};
use super::planted::{Bug, planted};
use super::{Condvar, Mutex};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Flight<T> {
    state: Mutex<State<T>>,
    bell: Condvar,
    /// How many wait, or are about to. Raised by who holds the lock that flights are boarded under;
    /// whoever asks somebody to lead looks under that lock. Relaxed for that reason.
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct State<T> {
    outcome: Option<T>,
    wants_leader: bool,
}

/// What a wait ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn<T> {
    Landed(T),
    Lead,
}

impl<T> Default for Flight<T> {
    fn default() -> Self {
        let state = State { outcome: None, wants_leader: false };
        Flight { state: Mutex::new(state), bell: Condvar::default(), waiting: AtomicUsize::new(0) }
    }
}

impl<T: Clone> Flight<T> {
    /// Says that the caller is going to wait; under the lock that flights are boarded under.
    pub(crate) fn expect(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether anybody waits who can lead.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// What became of it, if it has landed.
    pub(crate) fn outcome(&self) -> Option<T> {
        self.state.lock().outcome.clone()
    }

    /// Waits for the outcome, or to be asked to lead. The caller has said that it would.
    pub(crate) fn wait(&self) -> Turn<T> {
        let mut state = self.state.lock();
        let turn = loop {
            if let Some(outcome) = &state.outcome {
                break Turn::Landed(outcome.clone());
            }
            if std::mem::take(&mut state.wants_leader) {
                break Turn::Lead;
            }
            state = self.bell.wait(state, Duration::MAX);
        };
        drop(state);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        turn
    }

    /// Asks one of those who wait to lead.
    pub(crate) fn ask_leader(&self) {
        self.state.lock().wants_leader = true;
        if !planted(Bug::ForgetLeader) {
            self.bell.notify_one();
        }
    }

    /// Tells everybody what became of it.
    pub(crate) fn land(&self, outcome: T) {
        let mut state = self.state.lock();
        assert!(state.outcome.is_none(), "a flight lands once");
        state.outcome = Some(outcome);
        drop(state);
        self.bell.notify_all();
    }
}
