//! Bugs that tests switch on to see that they would be found.
//!
//! `planted!(Name)` stands where the bug would be. Outside tests it is `false`, and the compiler
//! removes what hangs on it.

/// `true` in a test that planted this bug on its own thread.
macro_rules! planted {
    ($bug:ident) => {{
        #[cfg(test)]
        let is_planted = $crate::log::compaction::planted::is_planted(
            $crate::log::compaction::planted::Bug::$bug,
        );
        #[cfg(not(test))]
        let is_planted = false;
        is_planted
    }};
}
pub(super) use planted;

#[cfg(test)]
pub(super) use switch::{Bug, is_planted, plant};

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    /// The bugs there are.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in super::super) enum Bug {
        /// The first offset of a key is taken for the newest.
        KeepOldest,
        /// The newest record of a key goes.
        DropNewest,
        /// A tombstone goes the first time that compaction sees it.
        DropUnseen,
        /// A tombstone goes before its time.
        DropEarly,
        /// A tombstone goes although a record of a transaction is left before it.
        DropBehindTransaction,
        /// What did not fit into the key map is called clean.
        IgnoreFull,
    }

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug on this thread, or removes it.
    pub(in super::super) fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// Whether this thread has that bug.
    pub(in super::super) fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}
