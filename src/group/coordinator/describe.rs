//! A picture of the group, for those who look in from outside.

use super::reconcile::{Epoch, MemberState};
use super::roster::Roster;
use crate::error::AssignmentError;
use crate::ids::{MemberId, TopicName, TopicPartition};

/// How far the group is as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupState {
    /// It has no members.
    Empty,
    /// It needs an assignment.
    Assigning,
    /// Members are on their way to their targets.
    Reconciling,
    /// Every member has what the assignment gives it.
    Stable,
}

/// The group at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupSnapshot {
    pub(crate) state: GroupState,
    /// The group's epoch: its generation.
    pub(crate) epoch: Epoch,
    /// The epoch that the installed assignment was made for.
    pub(crate) assignment_epoch: Epoch,
    /// Why the assignment for the group's epoch was refused, if it was.
    pub(crate) refused: Option<AssignmentError>,
    /// The members, by name.
    pub(crate) members: Vec<MemberSnapshot>,
}

/// A member at one moment. The lists are sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberSnapshot {
    pub(crate) id: MemberId,
    pub(crate) instance_id: Option<String>,
    pub(crate) state: MemberState,
    /// Whether it is a static member that went away for now.
    pub(crate) is_away: bool,
    pub(crate) epoch: Epoch,
    pub(crate) previous_epoch: Epoch,
    pub(crate) subscription: Vec<TopicName>,
    /// What it consumes.
    pub(crate) assigned: Vec<TopicPartition>,
    /// What it was told to let go of.
    pub(crate) pending: Vec<TopicPartition>,
    /// What it will have.
    pub(crate) target: Vec<TopicPartition>,
}

impl Roster {
    /// How far the group is (K-17).
    pub(super) fn state(&self) -> GroupState {
        if self.len() == 0 {
            GroupState::Empty
        } else if self.epoch > self.assignment_epoch {
            GroupState::Assigning
        } else if self.occupied().all(|(_, seat)| seat.is_settled(self.assignment_epoch)) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    pub(super) fn describe(&self, refused: Option<AssignmentError>) -> GroupSnapshot {
        let mut members: Vec<MemberSnapshot> = self
            .occupied()
            .map(|(_, seat)| MemberSnapshot {
                id: seat.profile.id.clone(),
                instance_id: seat.profile.instance_id.clone(),
                state: seat.held.state,
                is_away: seat.is_away,
                epoch: seat.held.epoch,
                previous_epoch: seat.held.previous_epoch,
                subscription: seat.profile.topics.clone(),
                assigned: self.names(&seat.held.assigned),
                pending: self.names(&seat.held.pending),
                target: self.names(seat.target()),
            })
            .collect();
        members.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        GroupSnapshot {
            state: self.state(),
            epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            refused,
            members,
        }
    }
}
