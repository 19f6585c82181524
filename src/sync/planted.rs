//! Bugs on request: proof that a model can fail.
//!
//! A model that never fails proves nothing. Beside each model stands a test that plants the bug it
//! is there to catch and expects the checker to object. The places where a bug can be planted read
//! `planted(Bug::X)`; outside of the model builds that is the constant `false` and the branch is
//! not there.

/// The mistakes that models are shown to catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A chunk's new length is published without Release.
    RelaxedPublish,
    /// A chunk's memory goes back to the pool while a reader may still hold it.
    EarlyRecycle,
    /// A chunk is sealed before its successor is in the chain.
    SealBeforeChain,
    /// A watcher is armed without looking once more for records.
    ArmWithoutCheck,
    /// A mailbox takes a letter without waking its sleeping owner.
    SilentDelivery,
    /// Delivery pushes before it has the lock that sleepers check under.
    UnlockedDelivery,
}

#[cfg(not(any(loom, shuttle)))]
pub(crate) const fn planted(_bug: Bug) -> bool {
    false
}

#[cfg(any(loom, shuttle))]
mod model {
    use super::Bug;
    use std::cell::Cell;

    // Both checkers run all threads of a model on the one that started it.
    thread_local!(static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) });

    pub(crate) fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Runs `model` with `bug` in place and returns whether the checker objected.
    #[cfg(test)]
    pub(crate) fn caught(bug: Bug, model: impl FnOnce()) -> bool {
        PLANTED.set(Some(bug));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(model));
        PLANTED.set(None);
        outcome.is_err()
    }
}

#[cfg(all(test, any(loom, shuttle)))]
pub(crate) use model::caught;
#[cfg(any(loom, shuttle))]
pub(crate) use model::planted;
