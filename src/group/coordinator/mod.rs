//! The coordinator of a consumer group: a state machine of (event, now).
//!
//! It takes no locks, reads no clock and starts no thread; whoever owns it puts one lock around it
//! and passes the time in. Its ground is KIP-848, where every member moves to the group's target by
//! itself: see [`roster`] for the group, [`reconcile`] for one member's step. This file adds what
//! holds inside one process.
//!
//! - A member is spoken to by the [`MemberKey`] that `join` gave it. A key dies with the membership
//!   and never comes back, so nobody speaks for a member of the same name that came later.
//! - A second live member of an instance id takes the place of the first, which is *fenced*: it
//!   learns that when it next polls or commits.
//! - Time to let go of partitions runs from when the target is installed: a member that does not
//!   poll is not told, and must not be waited for longer than one that was.
//! - An assignor is user code. The coordinator hands out a question and takes the answer later.
//!
//! One member's way through a rebalance; each arrow to the right is a call of `poll`:
//!
//! ```text
//!  consumer                                     coordinator
//!    poll(epoch 4, -) ───────────────────────►  target of epoch 5 lacks orders/3
//!      ◄── revoke [orders/3], epoch 4             (orders/3 is nobody else's yet)
//!    commits, calls revoked([orders/3])
//!    poll(epoch 4, owned [orders/1]) ────────►  orders/3 is free, version + 1
//!      ◄── added [orders/7], epoch 5
//!    calls assigned([orders/7])
//! ```
//!
//! Around it, whoever owns the lock makes targets without holding it:
//!
//! ```text
//!  lock ── poll, needs_assignment ── unlock ── Assignor::assign ── lock ── install, poll ── unlock
//!                 └─ Some(request of epoch 5)    (or it panics)      └─ stale, if the epoch is 6
//! ```
//!
//! Kept here:
//! 1. Nothing is accepted from a key whose membership has ended.
//! 2. A commit is accepted for a partition only from the member that holds it, and from no epoch
//!    before it was given the partition.
//! 3. Whoever's time has passed is given up before anything else happens.

mod commit;
mod deadlines;
mod describe;
mod face;
mod partitions;
mod planted;
mod reconcile;
mod roster;
mod seat;
mod target;
mod validate;

#[cfg(test)]
mod tests;

pub(crate) use commit::{CommitFault, CommitRefused};
pub(crate) use describe::{GroupSnapshot, GroupState};
pub(crate) use face::{
    Change, Config, Departure, Leave, MemberKey, MemberUpdate, Poll, PollRefused, Sessions,
};
pub(crate) use reconcile::Epoch;
pub(crate) use roster::JoinRefused;
pub(crate) use seat::Profile;
pub(crate) use target::{AssignmentRequest, Installed};

use crate::error::AssignmentError;
use crate::group::assignor::{Assignment, TopicLayout};
use crate::ids::{Map, MemberId, TopicName, TopicPartition};
use partitions::at;
use planted::planted;
use reconcile::{Held, Index};
use roster::Roster;
use std::time::Duration;

/// The state machine.
#[derive(Debug)]
pub(crate) struct Coordinator {
    roster: Roster,
    /// Why memberships ended of which the holder does not know yet, by serial number.
    departed: Map<u64, Departure>,
    /// The epoch for which an assignor is at work.
    asked: Option<Epoch>,
    /// The epoch for which the assignor's answer was refused, and why.
    refused: Option<(Epoch, AssignmentError)>,
}

impl Coordinator {
    /// A group without members.
    pub(crate) fn new(config: Config, topics: &[TopicLayout]) -> Self {
        let roster = Roster::new(config, topics);
        Coordinator { roster, departed: Map::default(), asked: None, refused: None }
    }

    /// Changes whenever a member may have something to learn. A member that saw the same number
    /// under the lock, after its last `poll`, and has nothing to acknowledge need not poll.
    pub(crate) fn version(&self) -> u64 {
        self.roster.version
    }

    /// The group's epoch: its generation.
    #[cfg(test)]
    pub(crate) fn epoch(&self) -> Epoch {
        self.roster.epoch
    }

    /// Whether it has no members, not even such that are away for now.
    pub(crate) fn is_empty(&self) -> bool {
        self.roster.len() == 0
    }

    /// Lets a member in. It holds nothing until it polls.
    ///
    /// A static member that went away within the session timeout gets its seat back, without a
    /// rebalance; if the seat's holder is still there, that one is fenced.
    pub(crate) fn join(
        &mut self,
        profile: Profile,
        now: Duration,
    ) -> Result<MemberKey, JoinRefused> {
        self.tick(now);
        let instance = profile.instance_id.as_deref();
        let seat = instance.and_then(|instance_id| self.roster.seat_of_instance(instance_id));
        // Checked before the holder is sent away, so that a refused join changes nothing.
        if let Some(member) = self.roster.seat_of(&profile.id)
            && Some(member) != seat
        {
            return Err(JoinRefused::NameInUse { member: profile.id });
        }
        if let Some(seat) = seat {
            self.fence(seat, &profile.id, now);
        }
        let is_renamed = seat.is_some_and(|seat| self.roster.seat(seat).profile.id != profile.id);
        let seat = self.roster.join(profile, now)?;
        if is_renamed && self.asked == Some(self.roster.epoch) {
            // The assignor is at work with the old name, so its answer must count as stale.
            self.roster.raise_epoch();
        }
        Ok(MemberKey { seat, serial: self.roster.seat(seat).serial })
    }

    /// Ends the membership of a seat's holder. One that was given up without knowing it yet is
    /// fenced as well: told of its deadline instead, it would join again and fence the newcomer.
    fn fence(&mut self, seat: u32, by: &MemberId, now: Duration) {
        let held = self.roster.seat(seat);
        if !held.is_away || self.departed.contains_key(&held.serial) {
            self.departed.insert(held.serial, Departure::Fenced { by: by.clone() });
        }
        if !held.is_away {
            self.roster.send_away(seat, now);
        }
    }

    /// A member comes by: it is renewed, says what it let go of, and learns what is new.
    pub(crate) fn poll(
        &mut self,
        poll: Poll<'_>,
        now: Duration,
    ) -> Result<MemberUpdate, PollRefused> {
        self.tick(now);
        let seat = self.seat(poll.member).map_err(|departure| {
            self.departed.remove(&poll.member.serial);
            PollRefused::Departed(departure)
        })?;
        let owned = poll.owned.map(|owned| self.roster.partitions.indices(owned));
        if !self.roster.accepts(seat, poll.epoch, owned.as_deref()) {
            let (requested, current) = (poll.epoch, self.roster.seat(seat).held.epoch);
            return Err(PollRefused::WrongEpoch { requested, current });
        }
        self.roster.renew(seat, now);
        let moved = self.advance(seat, owned.as_deref(), now);
        let held = &self.roster.seat(seat).held;
        let change = (owned.is_some() || moved.is_some()).then(|| {
            let mut had = owned.or(moved.map(|before| before.assigned)).unwrap_or_default();
            had.sort_unstable();
            let is_new = |p: &Index| !reconcile::contains(&had, *p);
            let added: Vec<Index> = held.assigned.iter().copied().filter(is_new).collect();
            Change {
                assignment: self.roster.names(&held.assigned),
                added: self.roster.names(&added),
                revoke: self.roster.names(&held.pending),
            }
        });
        Ok(MemberUpdate { epoch: held.epoch, state: held.state, change })
    }

    /// Reconciles a member; what it held before, if that changed.
    fn advance(&mut self, seat: u32, owned: Option<&[Index]>, now: Duration) -> Option<Held> {
        let before = self.roster.reconcile(seat, owned, now)?;
        // What it let go of in this step may be what it waits for: nobody else would wake it.
        if !before.pending.is_empty() && self.roster.reconcile(seat, None, now).is_some() {
            self.roster.seat_mut(seat).held.previous_epoch = before.epoch;
        }
        let held = &self.roster.seat(seat).held;
        let is_same = before.epoch == held.epoch
            && before.assigned == held.assigned
            && before.pending == held.pending;
        (!is_same).then_some(before)
    }

    /// Renews a member's session without polling: it is busy, but there. What Kafka's clients do, and
    /// members of a group with [`Sessions::Always`] would have to.
    pub(crate) fn heartbeat(&mut self, member: MemberKey, now: Duration) -> Result<(), Departure> {
        self.tick(now);
        let seat = self.seat(member)?;
        self.roster.renew_session(seat, now);
        Ok(())
    }

    /// Takes over that a member polled at `at`, when it did not ask the coordinator because nothing
    /// was new. To be called for all members before any other call at a time past `next_deadline`:
    /// each of them gives up whoever seems to have stopped polling.
    ///
    /// Only the member knows of all its polls, so it must see for itself that no two were
    /// further apart than the poll interval; after one that was, it must come by.
    pub(crate) fn polled_at(&mut self, member: MemberKey, at: Duration) {
        if let Ok(seat) = self.seat(member) {
            self.roster.renew(seat, at);
        }
    }

    /// Changes what a member wants.
    pub(crate) fn subscribe(
        &mut self,
        member: MemberKey,
        topics: Vec<TopicName>,
        now: Duration,
    ) -> Result<(), Departure> {
        self.tick(now);
        let seat = self.seat(member)?;
        self.roster.subscribe(seat, topics);
        Ok(())
    }

    /// A member goes. One that is not there any more has nothing to learn now.
    pub(crate) fn leave(&mut self, member: MemberKey, how: Leave, now: Duration) {
        self.tick(now);
        if let Ok(seat) = self.seat(member) {
            let is_static = self.roster.seat(seat).profile.instance_id.is_some();
            match how {
                Leave::ForNow if is_static => self.roster.send_away(seat, now),
                Leave::ForNow | Leave::ForGood => self.roster.remove(seat),
            }
        }
        self.departed.remove(&member.serial);
    }

    /// Removes a static member that went away for now, without waiting for its session to end.
    /// Whether there was one.
    pub(crate) fn remove_instance(&mut self, instance_id: &str, now: Duration) -> bool {
        self.tick(now);
        let seat = self.roster.seat_of_instance(instance_id);
        let away = seat.filter(|&seat| self.roster.seat(seat).is_away);
        if let Some(seat) = away {
            self.roster.remove(seat);
        }
        away.is_some()
    }

    /// The partitions of a commit that must be refused; none if all are accepted (KIP-1251).
    /// Renews the member's session.
    pub(crate) fn check_commit(
        &mut self,
        member: MemberKey,
        epoch: Epoch,
        partitions: &[TopicPartition],
        now: Duration,
    ) -> Result<Vec<CommitRefused>, Departure> {
        self.tick(now);
        let seat = self.seat(member)?;
        self.roster.renew_session(seat, now);
        Ok(self.roster.refused_commits(seat, epoch, partitions))
    }

    /// Topics or partitions came or went: `topics` is all there is now.
    pub(crate) fn topics_changed(&mut self, topics: &[TopicLayout]) {
        self.roster.topics_changed(topics);
    }

    /// Gives up whoever's time has passed.
    pub(crate) fn tick(&mut self, now: Duration) {
        for expired in self.roster.expire(now) {
            if !expired.was_away {
                let departure = Departure::Expired { timer: expired.timer };
                self.departed.insert(expired.serial, departure);
            }
        }
    }

    /// A time before which `tick` does nothing. It may be early, and is never late.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.roster.next_deadline()
    }

    /// The question for the assignor, if its answer is needed and nobody is asking it already.
    ///
    /// Whoever takes it owes an `install`, also if the assignor panics.
    pub(crate) fn needs_assignment(&mut self) -> Option<AssignmentRequest> {
        let epoch = self.roster.epoch;
        let is_refused = self.refused.as_ref().is_some_and(|(refused, _)| *refused == epoch);
        if !self.roster.needs_target() || self.asked == Some(epoch) || is_refused {
            return None;
        }
        self.asked = Some(epoch);
        Some(self.roster.request())
    }

    /// Takes the assignor's answer to the request for `epoch`.
    ///
    /// # Errors
    ///
    /// What is wrong with it. The group keeps its previous assignment, and asks again when its
    /// epoch has moved on.
    pub(crate) fn install(
        &mut self,
        epoch: Epoch,
        answer: Result<Assignment, AssignmentError>,
        now: Duration,
    ) -> Result<Installed, AssignmentError> {
        self.tick(now);
        if self.asked == Some(epoch) {
            self.asked = None;
        }
        let answer = match answer {
            Err(_) if epoch != self.roster.epoch => return Ok(Installed::Stale),
            answer => answer.and_then(|assignment| self.roster.install(epoch, &assignment)),
        };
        match &answer {
            Ok(Installed::Done) => {
                self.refused = None;
                self.roster.limit_revocations(now);
            }
            Ok(Installed::Stale) => {}
            Err(error) => self.refused = Some((epoch, error.clone())),
        }
        answer
    }

    /// The group at this moment.
    pub(crate) fn describe(&self) -> GroupSnapshot {
        let refused = self.refused.as_ref().filter(|(epoch, _)| *epoch == self.roster.epoch);
        self.roster.describe(refused.map(|(_, error)| error.clone()))
    }

    /// The seat that a key opens, or why it does not any more.
    fn seat(&self, member: MemberKey) -> Result<u32, Departure> {
        let seat = self.roster.seats.get(at(member.seat)).and_then(Option::as_ref);
        let is_held = |seat: &&seat::Seat| seat.serial == member.serial && !seat.is_away;
        match seat.filter(|seat| is_held(seat) || planted!(DepartedAnswered)) {
            Some(_) => Ok(member.seat),
            None => Err(self.departed.get(&member.serial).cloned().unwrap_or(Departure::Left)),
        }
    }
}
