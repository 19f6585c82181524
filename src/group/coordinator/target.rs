//! From an epoch to a target: what an assignor is asked, and what becomes of its answer.
//!
//! Assignors are user code and run without a lock. So a target is made in two steps: a request is
//! handed out, with everything an assignor may look at, and its answer comes back later. If the
//! group's epoch has moved on meanwhile the answer is stale: another request is due.
//!
//! Kept here:
//! 1. Only the answer for the group's current epoch is installed, and only if it is valid.
//! 2. What is installed is the target of every member of that epoch.

use super::planted::planted;
use super::reconcile::{Epoch, Index, contains};
use super::roster::Roster;
use super::seat::Seat;
use super::validate::{Candidate, validate};
use crate::error::AssignmentError;
use crate::group::assignor::{Assignment, Member, RebalanceProtocol, TopicLayout};

/// What an assignor is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AssignmentRequest {
    /// The epoch that the assignment will be for.
    pub(crate) epoch: Epoch,
    /// The members, by name.
    pub(crate) members: Vec<Member>,
    /// The group's topics, by name.
    pub(crate) topics: Vec<TopicLayout>,
}

/// What became of an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Installed {
    /// It is the members' target now.
    Done,
    /// The group's epoch has moved on since the request, or has its assignment. Nothing was changed.
    Stale,
}

impl Roster {
    /// Whether members changed since the last target, and there is somebody to have one (K-10).
    pub(super) fn needs_target(&self) -> bool {
        self.epoch > self.assignment_epoch && self.len() > 0
    }

    /// The question for the assignor.
    pub(super) fn request(&self) -> AssignmentRequest {
        let mut members: Vec<Member> = self.occupied().map(|(_, seat)| self.member(seat)).collect();
        members.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        AssignmentRequest { epoch: self.epoch, members, topics: self.partitions.layouts() }
    }

    fn member(&self, seat: &Seat) -> Member {
        let owned = self.partitions.sorted_names(&self.claim(seat));
        let profile = &seat.profile;
        Member {
            id: profile.id.clone(),
            instance_id: profile.instance_id.clone(),
            rack: profile.rack.clone(),
            weight: profile.weight,
            subscription: profile.topics.clone(),
            // Claims do not overlap, so they are all of one generation: none loses against another.
            generation: (!owned.is_empty()).then_some(self.assignment_epoch),
            owned,
        }
    }

    /// What counts as a member's own: what it is assigned, and what it is to get that nobody else
    /// is assigned. So a move that is under way counts as made, and one not begun can be spared.
    fn claim(&self, seat: &Seat) -> Vec<Index> {
        let is_coming = |&&p: &&Index| self.partitions.hold(p).is_none_or(|hold| hold.is_pending);
        let is_settled = seat.held.assigned.as_slice() == seat.target();
        let mut claim = seat.held.assigned.clone();
        if !is_settled {
            claim.extend(seat.target().iter().filter(is_coming));
        }
        claim
    }

    /// Makes an assignment the members' target.
    ///
    /// # Errors
    ///
    /// What is wrong with it; the targets stay as they were.
    pub(super) fn install(
        &mut self,
        epoch: Epoch,
        assignment: &Assignment,
    ) -> Result<Installed, AssignmentError> {
        let is_awaited = epoch == self.epoch && self.needs_target();
        if !is_awaited && !planted!(StaleTargetInstalled) {
            return Ok(Installed::Stale);
        }
        let (places, candidates): (Vec<u32>, Vec<Candidate<'_>>) = self
            .occupied()
            .map(|(place, seat)| (place, Candidate { id: &seat.profile.id, topics: &seat.topics }))
            .unzip();
        let mut targets = validate(assignment, &candidates, &self.partitions)?;
        if planted!(TargetIncomplete) {
            targets.iter_mut().find_map(Vec::pop);
        }
        for (place, target) in places.into_iter().zip(targets) {
            self.seat_mut(place).target = Some(target);
        }
        self.advance_assignment(epoch);
        Ok(Installed::Done)
    }

    /// Whether the target takes from a member something that it holds.
    pub(super) fn must_let_go(&self, seat: &Seat) -> bool {
        let is_behind = seat.held.epoch != self.assignment_epoch;
        match self.config.protocol {
            RebalanceProtocol::Eager => is_behind && !seat.held.assigned.is_empty(),
            RebalanceProtocol::Cooperative => {
                is_behind && seat.held.assigned.iter().any(|&p| !contains(seat.target(), p))
            }
        }
    }
}
