//! The members of a group and their epochs: KIP-848's coordinator, to the letter.
//!
//! Whatever changes who could own what raises the group's epoch. An assignment is made for an
//! epoch and becomes the target of every member; then each member walks to its target by steps of
//! its own ([`reconcile`]), whenever it comes by. What goes beyond KIP-848, and
//! what differs in one process, is one floor up, in the coordinator.
//!
//! ```text
//!   join, leave, expiry,           assignment              every member
//!   subscription, topics           installed               at its target
//!  Empty ────────► Assigning ────────────────► Reconciling ────────────► Stable
//!    ▲   epoch + 1   ▲        assignment epoch     │                       │
//!    │               └───────── epoch + 1 ─────────┴───────────────────────┤
//!    └──────────────────────── last member leaves ─────────────────────────┘
//! ```
//!
//! Kept here:
//! 1. Epochs only rise, and the assignment's never exceeds the group's.
//! 2. What a member holds and the table of holders say the same.
//! 3. `version` changes whenever a member other than the caller may have something to learn.
//! 4. In an eager group nobody is given anything while another still holds partitions of before.

use super::deadlines::expiry;
use super::partitions::{Hold, Partitions, TopicIndex, at, number};
use super::planted::planted;
use super::reconcile::{self, Epoch, Goal, Held, Index, MemberState, contains};
use super::seat::{Deadlines, Profile, Seat};
use super::{Config, Sessions};
use crate::group::assignor::{RebalanceProtocol, TopicLayout};
use crate::ids::{Map, MemberId, TopicName, TopicPartition};
use std::time::Duration;

/// Why somebody was not let in. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JoinRefused {
    /// A member of that name is in the group.
    NameInUse {
        /// The name.
        member: MemberId,
    },
    /// A member of that instance id is in the group and has not gone away.
    InstanceInUse {
        /// The instance id.
        instance_id: String,
        /// Its holder.
        holder: MemberId,
    },
    /// The group has as many members as it may have.
    Full {
        /// That many.
        count_max: usize,
    },
}

/// The members and what they hold.
#[derive(Debug)]
pub(super) struct Roster {
    pub(super) config: Config,
    pub(super) partitions: Partitions,
    pub(super) seats: Vec<Option<Seat>>,
    vacant: Vec<u32>,
    by_id: Map<MemberId, u32>,
    by_instance: Map<String, u32>,
    serials: u64,
    pub(super) epoch: Epoch,
    pub(super) assignment_epoch: Epoch,
    /// Members of an eager group that hold partitions from before the installed assignment.
    pub(super) holdouts: usize,
    /// Nothing is due before; see `deadlines.rs`.
    pub(super) due: Duration,
    pub(super) version: u64,
}

impl Roster {
    pub(super) fn new(config: Config, topics: &[TopicLayout]) -> Self {
        let mut partitions = Partitions::default();
        partitions.update(topics);
        Roster {
            config,
            partitions,
            seats: Vec::new(),
            vacant: Vec::new(),
            by_id: Map::default(),
            by_instance: Map::default(),
            serials: 0,
            epoch: 0,
            assignment_epoch: 0,
            holdouts: 0,
            due: Duration::MAX,
            version: 0,
        }
    }

    /// How many members there are, those away for now included.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether a newcomer would be one too many (K-4).
    pub(super) fn is_full(&self) -> bool {
        self.config.member_count_max.is_some_and(|max| self.len() >= max)
    }

    /// The seat of a member by name.
    pub(super) fn seat_of(&self, id: &str) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    /// The seat of a static member.
    pub(super) fn seat_of_instance(&self, instance_id: &str) -> Option<u32> {
        self.by_instance.get(instance_id).copied()
    }

    pub(super) fn seat(&self, place: u32) -> &Seat {
        self.seats[at(place)].as_ref().expect("a seat is addressed while somebody has it")
    }

    pub(super) fn seat_mut(&mut self, place: u32) -> &mut Seat {
        self.seats[at(place)].as_mut().expect("a seat is addressed while somebody has it")
    }

    /// The seats in use, with their places.
    pub(super) fn occupied(&self) -> impl Iterator<Item = (u32, &Seat)> {
        let seats = self.seats.iter().enumerate();
        seats.filter_map(|(place, seat)| Some((number(place), seat.as_ref()?)))
    }

    /// Lets a member in, at epoch 0 and with nothing; or gives a static one that went away for now
    /// its seat back, with all that it held (K-5, K-7, K-9, K-13).
    pub(super) fn join(&mut self, profile: Profile, now: Duration) -> Result<u32, JoinRefused> {
        let returning = profile.instance_id.as_deref().and_then(|id| self.seat_of_instance(id));
        if let Some(place) = returning
            && !self.seat(place).is_away
        {
            let instance_id = profile.instance_id.unwrap_or_default();
            let holder = self.seat(place).profile.id.clone();
            return Err(JoinRefused::InstanceInUse { instance_id, holder });
        }
        if self.seat_of(&profile.id).is_some_and(|place| Some(place) != returning) {
            return Err(JoinRefused::NameInUse { member: profile.id });
        }
        let place = match returning {
            Some(place) => self.take_back(place, profile),
            None if self.is_full() => {
                let count_max = self.config.member_count_max.unwrap_or_default();
                return Err(JoinRefused::Full { count_max });
            }
            None => self.sit_down(profile),
        };
        self.renew(place, now);
        Ok(place)
    }

    fn sit_down(&mut self, profile: Profile) -> u32 {
        let (profile, topics) = self.normalise(profile);
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.seats.push(None);
            number(self.seats.len() - 1)
        });
        self.by_id.insert(profile.id.clone(), place);
        if let Some(instance_id) = &profile.instance_id {
            self.by_instance.insert(instance_id.clone(), place);
        }
        self.seats[at(place)] = Some(Seat {
            serial: self.next_serial(),
            profile,
            topics,
            held: Held::nothing(),
            target: None,
            is_away: false,
            deadlines: Deadlines::default(),
        });
        self.raise_epoch();
        place
    }

    fn take_back(&mut self, place: u32, profile: Profile) -> u32 {
        let (profile, topics) = self.normalise(profile);
        let serial = self.next_serial();
        let seat = self.seats[at(place)].as_mut().expect("an instance id names a seat in use");
        let is_changed = seat.topics != topics
            || seat.profile.rack != profile.rack
            || seat.profile.weight != profile.weight;
        let id = profile.id.clone();
        let old = std::mem::replace(&mut seat.profile, profile).id;
        seat.serial = serial;
        seat.topics = topics;
        seat.is_away = false;
        (seat.held.epoch, seat.held.previous_epoch) = (0, 0);
        self.by_id.remove(&old);
        self.by_id.insert(id, place);
        if is_changed {
            self.raise_epoch();
        }
        place
    }

    /// Changes a member's subscription; the same set of topics changes nothing (K-9).
    pub(super) fn subscribe(&mut self, place: u32, topics: Vec<TopicName>) {
        let profile = Profile { topics, ..self.seat(place).profile.clone() };
        let (profile, topics) = self.normalise(profile);
        let seat = self.seat_mut(place);
        if seat.topics != topics {
            (seat.profile, seat.topics) = (profile, topics);
            self.raise_epoch();
        }
    }

    /// Whether a member may speak at `epoch`: its own, or the one before if what it owns shows that
    /// it merely missed the last answer (K-6).
    pub(super) fn accepts(&self, place: u32, epoch: Epoch, owned: Option<&[Index]>) -> bool {
        let held = &self.seat(place).held;
        epoch == held.epoch
            || (epoch == held.previous_epoch
                && epoch < held.epoch
                && owned.is_some_and(|owned| owned.iter().all(|&p| contains(&held.assigned, p))))
    }

    /// Takes a member one step towards its target (K-11, K-16). If it moved, what it held before.
    pub(super) fn reconcile(
        &mut self,
        place: u32,
        owned: Option<&[Index]>,
        now: Duration,
    ) -> Option<Held> {
        let seat = self.seat(place);
        let target = seat.target.as_deref()?;
        let is_eager = self.config.protocol == RebalanceProtocol::Eager;
        let is_at_goal = seat.held.epoch == self.assignment_epoch;
        // One that has just come back has nothing in hand that it could give up.
        let keeps = !is_eager || is_at_goal || seat.held.epoch == 0 || planted!(EagerKeeps);
        let goal = Goal { epoch: self.assignment_epoch, target, keeps };
        let others = self.holdouts - usize::from(self.is_holdout(seat));
        let is_open = others == 0 || planted!(BarrierIgnored);
        let is_free = |p| is_open && self.partitions.hold(p).is_none();
        let next = reconcile::step(&seat.held, goal, owned, is_free)?;
        let timeout = seat.profile.rebalance_timeout;
        let revocation = match next.state {
            MemberState::Unrevoked => expiry(now, timeout),
            MemberState::Stable | MemberState::Unreleased => None,
        };
        self.seat_mut(place).deadlines.revocation = revocation;
        self.watch(revocation);
        Some(self.apply(place, next))
    }

    /// Makes `next` what the member holds; returns what it held.
    fn apply(&mut self, place: u32, next: Held) -> Held {
        let was_holdout = self.is_holdout(self.seat(place));
        let held = std::mem::replace(&mut self.seat_mut(place).held, Held::nothing());
        let mut is_freed = false;
        for &p in held.assigned.iter().chain(&held.pending) {
            let hold = self.partitions.hold(p).filter(|hold| hold.seat == place);
            if contains(&next.assigned, p) {
                continue;
            } else if let Some(hold) = hold.filter(|_| contains(&next.pending, p)) {
                self.partitions.set_hold(p, Some(Hold { is_pending: true, ..hold }));
            } else if hold.is_some() && !planted!(PartitionsLeaked) {
                self.partitions.set_hold(p, None);
                is_freed = true;
            }
        }
        for &p in &next.assigned {
            if self.partitions.hold(p).is_none_or(|hold| hold.seat != place) {
                let hold = Hold { seat: place, since: next.epoch, is_pending: false };
                self.partitions.set_hold(p, Some(hold));
            }
        }
        self.seat_mut(place).held = next;
        let is_holdout = self.is_holdout(self.seat(place));
        self.holdouts = self.holdouts - usize::from(was_holdout) + usize::from(is_holdout);
        // Also where an eager group's last holdout gave in: it gave up partitions.
        if is_freed && !planted!(VersionStuck) {
            self.version += 1;
        }
        held
    }

    /// Removes a member; its partitions are free (K-2, K-15).
    pub(super) fn remove(&mut self, place: u32) {
        self.apply(place, Held { epoch: self.seat(place).held.epoch, ..Held::nothing() });
        let seat = self.seats[at(place)].take().expect("a seat is vacated once");
        self.by_id.remove(&seat.profile.id);
        if let Some(instance_id) = &seat.profile.instance_id {
            self.by_instance.remove(instance_id);
        }
        self.vacant.push(place);
        if !planted!(DepartureUnnoticed) {
            self.raise_epoch();
        }
    }

    /// Lets a static member go for now: it keeps its seat and what it is assigned until its session
    /// ends, and nothing else changes (K-12).
    pub(super) fn send_away(&mut self, place: u32, now: Duration) {
        let held = Held { pending: Vec::new(), ..self.seat(place).held.clone() };
        self.apply(place, held);
        self.holdouts -= usize::from(self.is_holdout(self.seat(place)));
        let session = self.seat(place).deadlines.session;
        let session = session.or_else(|| expiry(now, self.config.session_timeout));
        let seat = self.seat_mut(place);
        seat.is_away = true;
        seat.deadlines = Deadlines { session, ..Deadlines::default() };
        self.watch(session);
        // Everybody else may go on without waiting for it.
        self.version += 1;
    }

    /// Hears that a member polled: its session and its poll interval start again. News of a poll
    /// before the last takes no time away.
    pub(super) fn renew(&mut self, place: u32, now: Duration) {
        self.renew_session(place, now);
        let poll = self.seat(place).deadlines.poll.max(expiry(now, self.config.max_poll_interval));
        self.seat_mut(place).deadlines.poll = poll;
        self.watch(poll);
    }

    /// Hears of a member that did not poll: its session starts again.
    pub(super) fn renew_session(&mut self, place: u32, now: Duration) {
        let session = self.seat(place).deadlines.session;
        let session = match self.config.sessions {
            Sessions::Always => session.max(expiry(now, self.config.session_timeout)),
            Sessions::WhileAway => None,
        };
        self.seat_mut(place).deadlines.session = session;
        self.watch(session);
    }

    /// Takes over what topics there are; returns whether that concerns any member (K-9).
    pub(super) fn topics_changed(&mut self, layouts: &[TopicLayout]) -> bool {
        let changed = self.partitions.update(layouts);
        let concerns = |seat: &Seat| changed.iter().any(|t| seat.topics.binary_search(t).is_ok());
        let is_concerned = self.occupied().any(|(_, seat)| concerns(seat));
        if is_concerned {
            self.raise_epoch();
        }
        if is_concerned && planted!(EpochFalls) {
            self.epoch -= 2;
        }
        is_concerned
    }

    /// Makes `epoch` the one that targets are for, after all targets were replaced.
    pub(super) fn advance_assignment(&mut self, epoch: Epoch) {
        self.assignment_epoch = epoch;
        self.holdouts = self.occupied().filter(|(_, seat)| self.is_holdout(seat)).count();
        self.version += 1;
    }

    /// Whether a member of an eager group keeps the others waiting.
    pub(super) fn is_holdout(&self, seat: &Seat) -> bool {
        self.config.protocol == RebalanceProtocol::Eager
            && !seat.is_away
            && seat.held.epoch != 0
            && seat.held.epoch != self.assignment_epoch
            && !seat.held.is_empty()
    }

    pub(super) fn raise_epoch(&mut self) {
        self.epoch = self.epoch.checked_add(1).expect("a group sees fewer than 2^32 generations");
        self.version += 1;
    }

    fn next_serial(&mut self) -> u64 {
        self.serials += 1;
        self.serials
    }

    /// Sorts the topics of a profile and finds their places.
    fn normalise(&mut self, mut profile: Profile) -> (Profile, Vec<TopicIndex>) {
        profile.topics.sort_unstable();
        profile.topics.dedup();
        let mut topics: Vec<TopicIndex> =
            profile.topics.iter().map(|name| self.partitions.topic_or_new(name)).collect();
        topics.sort_unstable();
        (profile, topics)
    }

    /// The names of partitions, sorted.
    pub(super) fn names(&self, of: &[Index]) -> Vec<TopicPartition> {
        self.partitions.sorted_names(of)
    }
}
