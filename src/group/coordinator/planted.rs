//! Bugs that tests switch on to see that the checker of the invariants would find them.
//!
//! `planted!(Name)` stands where the bug would be. Outside tests it is `false`, and the compiler
//! removes what hangs on it.

/// `true` in a test that planted this bug on its own thread.
macro_rules! planted {
    ($bug:ident) => {{
        #[cfg(test)]
        let is_planted = $crate::group::coordinator::planted::is_planted(
            $crate::group::coordinator::planted::Bug::$bug,
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
        /// A member that has let go is still waited for.
        RevocationNeverEnds,
        /// A member loses partitions without being told.
        RevocationSkipped,
        /// A partition is given away while another member holds it.
        InUseIgnored,
        /// An installed target lacks its last partition.
        TargetIncomplete,
        /// An assignment is installed unchecked.
        AssignmentUnchecked,
        /// A member's departure leaves the group's epoch as it was.
        DepartureUnnoticed,
        /// A departed member's partitions stay taken.
        PartitionsLeaked,
        /// The group's epoch falls when topics change.
        EpochFalls,
        /// A stale target is installed.
        StaleTargetInstalled,
        /// A commit is accepted whoever holds the partition.
        CommitUnfenced,
        /// A commit is accepted from an epoch before the partition was assigned.
        CommitEpochIgnored,
        /// A departed member is still answered.
        DepartedAnswered,
        /// A member of an eager group keeps what is in its target.
        EagerKeeps,
        /// A member of an eager group gets partitions before all have given up theirs.
        BarrierIgnored,
        /// A freed partition is not announced.
        VersionStuck,
        /// A deadline passes unnoticed.
        DeadlineIgnored,
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
