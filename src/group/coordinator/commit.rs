//! Whether a member may commit a partition's offset: KIP-1251's rule.
//!
//! A member may commit what it holds, also while it is to let go of it, and from every epoch since
//! it was given the partition. So a commit that a member prepared before a rebalance is good
//! as long as the partition stayed with it, and one for a partition that went away and came back
//! meanwhile is not: another member may have consumed it in between.
//!
//! ```text
//!  member's epochs   4 ──── 5 ──── 6 ──── 7        orders/3 given to it at 6
//!  commit from       4: stale   5: stale   6: accepted   7: accepted   8: ahead
//! ```

use super::planted::planted;
use super::reconcile::Epoch;
use super::roster::Roster;
use crate::ids::TopicPartition;

/// Why a commit of one partition is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommitRefused {
    /// The partition.
    pub(crate) partition: TopicPartition,
    /// What is wrong.
    pub(crate) reason: CommitFault,
}

/// What is wrong with a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitFault {
    /// The partition is not the member's.
    NotHeld,
    /// The commit is from an epoch before the member was given the partition.
    Stale {
        /// The epoch of the commit.
        requested: Epoch,
        /// The epoch at which the member was given the partition.
        assigned: Epoch,
    },
    /// The commit is from an epoch that the member has not reached.
    Ahead {
        /// The epoch of the commit.
        requested: Epoch,
        /// The member's epoch.
        current: Epoch,
    },
}

impl Roster {
    /// Why a member must not commit these partitions from that epoch; none if it may (O-2).
    pub(super) fn refused_commits(
        &self,
        place: u32,
        epoch: Epoch,
        partitions: &[TopicPartition],
    ) -> Vec<CommitRefused> {
        let fault = |partition| Some((partition, self.commit_fault(place, epoch, partition)?));
        let refused = partitions.iter().filter_map(fault);
        refused
            .map(|(partition, reason)| CommitRefused { partition: partition.clone(), reason })
            .collect()
    }

    fn commit_fault(
        &self,
        place: u32,
        requested: Epoch,
        partition: &TopicPartition,
    ) -> Option<CommitFault> {
        let hold = self.partitions.hold(self.partitions.index(partition));
        let Some(hold) = hold.filter(|hold| hold.seat == place || planted!(CommitUnfenced)) else {
            return Some(CommitFault::NotHeld);
        };
        let (assigned, current) = (hold.since, self.seat(place).held.epoch);
        if requested > current {
            Some(CommitFault::Ahead { requested, current })
        } else if requested < assigned && !planted!(CommitEpochIgnored) {
            Some(CommitFault::Stale { requested, assigned })
        } else {
            None
        }
    }
}
