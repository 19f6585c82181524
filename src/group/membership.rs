//! The one lock around the coordinator, and what is done with it open and closed.
//!
//! A member that has nothing to learn does not come here: it compares one number with the one it saw
//! last, and one time with the next deadline. Whoever changes something that others must learn raises
//! the number and, after the lock is open again, rings their mailboxes.
//!
//! ```text
//!   lock ─► take over polls ─► event ─► number, deadline ─► unlock ─► ring mailboxes
//!     │                          └─ "a target is needed"? ─► unlock ─► Assignor ─► lock ─► install
//! ```
//!
//! Locks, taken in this order: this one, then `Offsets`, then a partition's. The clock, the assignor
//! and mailboxes are called with none held, and nobody waits for a disk with this one held: a commit
//! begins under it, and is settled when it is open (see `offsets.rs`).

use super::assignor::{Assignment, TopicLayout};
use super::coordinator::{
    AssignmentRequest, CommitFault, Config, Coordinator, Departure, GroupSnapshot, JoinRefused,
    Leave, MemberKey, MemberUpdate, Poll, PollRefused, Profile, Sessions,
};
use super::offsets::{Change, Offsets, Pending, Prepared};
use super::settings::Settings;
use crate::error::{AppendError, AssignmentError, CommitError, GroupError, panic_message};
use crate::ids::{GroupId, Map, MemberId, PartitionId, TopicName, TopicPartition};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::planted::{Bug, planted};
use crate::sync::{Mailbox, Mutex, MutexGuard};
use crate::topic::{ALARM, Growth, Partition, Topic};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Membership {
    pub(super) id: GroupId,
    pub(super) settings: Settings,
    pub(super) offsets: Arc<Offsets>,
    /// Guards who is in the group and what they hold.
    state: Mutex<State>,
    /// The coordinator's version, for members to compare. Relaxed, as is `deadline`: what it stands for
    /// is read under the lock.
    version: AtomicU64,
    /// The coordinator's next deadline, in nanoseconds of the group's clock.
    deadline: AtomicU64,
}

#[derive(Debug)]
struct State {
    coordinator: Coordinator,
    present: Map<MemberKey, Arc<Presence>>,
    topics: Vec<Topic>,
    /// How many partitions each topic had when the group's first member came, after it was empty.
    partitions_at_start: Map<TopicName, PartitionId>,
}

/// What a member lets others know about itself without the lock.
#[derive(Debug)]
pub(super) struct Presence {
    mailbox: crate::sync::Arc<Mailbox>,
    /// Whether it reads all of the group's topics, also those that are added.
    wants_all: bool,
    /// When it last polled, in nanoseconds of the group's clock, or `POLLING`. Relaxed: a time that is
    /// a little old makes nobody wait longer than the poll interval.
    polled: AtomicU64,
}

/// The member is in a poll right now.
const POLLING: u64 = u64::MAX;

impl Presence {
    pub(super) fn new(
        mailbox: crate::sync::Arc<Mailbox>,
        wants_all: bool,
        now: Duration,
    ) -> Arc<Presence> {
        Arc::new(Presence { mailbox, wants_all, polled: AtomicU64::new(nanos(now)) })
    }

    #[inline]
    pub(super) fn polled(&self, at: Duration) {
        self.polled.store(nanos(at), Ordering::Relaxed);
    }

    pub(super) fn polling(&self) {
        self.polled.store(POLLING, Ordering::Relaxed);
    }

    /// When it last polled. One that waits polls all the time, until it is rung: a task may never
    /// answer, so its time runs from when that is seen.
    fn last_poll(&self, now: Duration) -> Duration {
        if self.mailbox.has_mail() {
            let (polling, rung) = (POLLING, nanos(now));
            // Refused where it was not waiting, or has just answered.
            let _ =
                self.polled.compare_exchange(polling, rung, Ordering::Relaxed, Ordering::Relaxed);
        }
        match self.polled.load(Ordering::Relaxed) {
            POLLING => now,
            polled => Duration::from_nanos(polled),
        }
    }
}

/// What a member learns by coming by.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) update: MemberUpdate,
    /// The version as of this answer.
    pub(super) version: u64,
    /// Why the assignor was refused, if this member asked it.
    pub(super) refused: Option<AssignmentError>,
}

impl Membership {
    pub(super) fn new(
        id: GroupId,
        topics: Vec<Topic>,
        settings: Settings,
        offsets: Arc<Offsets>,
    ) -> Arc<Membership> {
        let config = Config {
            protocol: settings.assignor.protocol(),
            session_timeout: settings.session_timeout,
            sessions: Sessions::WhileAway,
            max_poll_interval: settings.max_poll_interval,
            member_count_max: settings.members_max,
        };
        let coordinator = Coordinator::new(config, &layouts(&topics));
        let membership = Arc::new(Membership {
            id,
            settings,
            offsets,
            version: AtomicU64::new(coordinator.version()),
            deadline: AtomicU64::new(u64::MAX),
            state: Mutex::new(State {
                coordinator,
                present: Map::default(),
                topics,
                partitions_at_start: Map::default(),
            }),
        });
        for topic in membership.topics() {
            membership.offsets.adopt(&topic);
            membership.watch(&topic);
        }
        membership.catch_up();
        membership
    }

    /// Has this group told when a topic grows; [`catch_up`](Self::catch_up) is to follow.
    fn watch(self: &Arc<Self>, topic: &Topic) {
        let growth: Arc<dyn Growth> = Arc::clone(self) as _;
        topic.watch_growth(Arc::downgrade(&growth));
    }

    /// Takes over what topics grew by before they were watched.
    fn catch_up(&self) {
        if !planted(Bug::CountBeforeWatch) {
            self.grown();
        }
    }

    /// The version and deadline as of the last change.
    #[inline]
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// When somebody is to come by, by the group's clock; `MAX` is never.
    #[inline]
    pub(super) fn deadline(&self) -> Duration {
        match self.deadline.load(Ordering::Relaxed) {
            u64::MAX => Duration::MAX,
            nanos => Duration::from_nanos(nanos),
        }
    }

    #[inline]
    pub(super) fn elapsed(&self) -> Duration {
        self.settings.clock.elapsed()
    }

    /// Takes the lock and brings the coordinator up to date with who has polled.
    fn enter(&self, now: Duration) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        let State { coordinator, present, .. } = &mut *state;
        if coordinator.next_deadline().is_some_and(|deadline| deadline <= now) {
            for (key, presence) in present.iter() {
                coordinator.polled_at(*key, presence.last_poll(now));
            }
        }
        state
    }

    /// Gives the lock back, and rings everybody but `who` if there is something to learn.
    fn leave(&self, state: MutexGuard<'_, State>, who: Option<MemberKey>) {
        let deadline = state.coordinator.next_deadline().map_or(u64::MAX, nanos);
        self.deadline.store(deadline, Ordering::Relaxed);
        let version = state.coordinator.version();
        let mut to_ring = Vec::new();
        if version != self.version() {
            self.version.store(version, Ordering::Relaxed);
            if planted(Bug::SkipAlarm) {
                return;
            }
            let others = state.present.iter().filter(|(key, _)| Some(**key) != who);
            to_ring.extend(others.map(|(_, presence)| Arc::clone(presence)));
        }
        drop(state);
        for presence in to_ring {
            presence.mailbox.deliver(ALARM);
        }
    }

    pub(super) fn join(
        &self,
        mut profile: Profile,
        presence: &Arc<Presence>,
    ) -> Result<MemberKey, GroupError> {
        let now = self.elapsed();
        let mut state = self.enter(now);
        if presence.wants_all {
            // One that was added since the caller looked is added by nobody else.
            profile.topics = state.topics.iter().map(|t| t.topic_name().clone()).collect();
        }
        let known =
            |topic: &TopicName| state.topics.iter().any(|known| known.topic_name() == topic);
        if let Some(topic) = profile.topics.iter().find(|topic| !known(topic)).cloned() {
            return Err(GroupError::UnknownTopic { group: self.id.clone(), topic });
        }
        let member = profile.id.clone();
        state.coordinator.tick(now);
        let is_first = state.coordinator.is_empty();
        let joined = state.coordinator.join(profile, now);
        if let Ok(key) = joined {
            if is_first {
                let count = |topic: &Topic| (topic.topic_name().clone(), topic.partition_count());
                state.partitions_at_start = state.topics.iter().map(count).collect();
            }
            state.present.insert(key, Arc::clone(presence));
        }
        self.leave(state, joined.as_ref().ok().copied());
        joined.map_err(|refused| match refused {
            JoinRefused::Full { count_max } => {
                GroupError::Full { group: self.id.clone(), max: count_max }
            }
            JoinRefused::NameInUse { member } => {
                GroupError::MemberExists { group: self.id.clone(), member }
            }
            JoinRefused::InstanceInUse { .. } => {
                GroupError::MemberExists { group: self.id.clone(), member }
            }
        })
    }

    /// A member comes by; asks the assignor first if that is due.
    pub(super) fn come_by(&self, poll: Poll<'_>) -> Result<Answer, PollRefused> {
        let mut refused = None;
        loop {
            let now = self.elapsed();
            let mut state = self.enter(now);
            state.coordinator.tick(now);
            if let Some(request) = state.coordinator.needs_assignment() {
                let topics = state.topics.clone();
                self.leave(state, Some(poll.member));
                refused = self.install(request, &topics, poll.member).err().or(refused);
                continue;
            }
            let update = state.coordinator.poll(poll, now);
            let version = state.coordinator.version();
            self.leave(state, Some(poll.member));
            return Ok(Answer { update: update?, version, refused });
        }
    }

    /// Asks the assignor with no lock held, and hands its answer in.
    fn install(
        &self,
        mut request: AssignmentRequest,
        topics: &[Topic],
        who: MemberKey,
    ) -> Result<(), AssignmentError> {
        self.fill_in_lags(&mut request.topics, topics);
        let assignor = &self.settings.assignor;
        // Unwind safety: an assignor is used through `&self`, what it leaves behind is its own affair.
        let answer: Result<Assignment, _> =
            catch_unwind(AssertUnwindSafe(|| assignor.assign(&request.members, &request.topics)));
        let answer =
            answer.map_err(|panic| AssignmentError::Panicked { message: panic_message(&*panic) });
        let now = self.elapsed();
        let mut state = self.enter(now);
        let installed = state.coordinator.install(request.epoch, answer, now);
        self.leave(state, Some(who));
        installed.map(drop)
    }

    fn fill_in_lags(&self, layouts: &mut [TopicLayout], topics: &[Topic]) {
        for layout in layouts {
            let topic = topics.iter().find(|topic| *topic.topic_name() == layout.name);
            let lags = topic.map(|topic| self.offsets.lags(topic)).unwrap_or_default();
            for (partition, lag) in layout.partitions.iter_mut().zip(lags) {
                partition.lag = lag;
            }
        }
    }

    /// Ends a membership: its holder is going.
    pub(super) fn depart(&self, key: MemberKey, how: Leave) {
        let now = self.elapsed();
        let mut state = self.enter(now);
        state.present.remove(&key);
        state.coordinator.leave(key, how, now);
        self.leave(state, Some(key));
    }

    /// Whether a membership stands; renews its session if it does.
    pub(super) fn is_member(&self, key: MemberKey) -> bool {
        let now = self.elapsed();
        let mut state = self.enter(now);
        let is_member = state.coordinator.heartbeat(key, now).is_ok();
        self.leave(state, Some(key));
        is_member
    }

    /// Forgets a membership that has ended.
    pub(super) fn forget(&self, key: MemberKey) {
        self.state.lock().present.remove(&key);
    }

    /// Commits all or nothing; returns when the commit is as durable as the group's offsets are.
    pub(super) fn commit(
        &self,
        key: MemberKey,
        member: &MemberId,
        generation: u32,
        commits: Vec<Change>,
    ) -> Result<(), CommitError> {
        let partitions: Vec<TopicPartition> = commits.iter().map(|(of, _)| of.clone()).collect();
        let commit = self.offsets.prepare(commits);
        let now = self.elapsed();
        let mut state = self.enter(now);
        let checked = state.coordinator.check_commit(key, generation, &partitions, now);
        let begun = match checked {
            _ if planted(Bug::CommitUnchecked) => self.begin(commit),
            Ok(refused) => match refused.into_iter().next() {
                None => self.begin(commit),
                Some(first) => Err(self.refused(member, first.partition, first.reason)),
            },
            Err(Departure::Fenced { by }) => {
                Err(CommitError::Fenced { group: self.id.clone(), member: member.clone(), by })
            }
            Err(Departure::Expired { .. } | Departure::Left) => {
                Err(CommitError::NotMember { group: self.id.clone(), member: member.clone() })
            }
        };
        self.leave(state, Some(key));
        self.settle(begun?)
    }

    fn begin(&self, commit: Prepared) -> Result<Pending<'_>, CommitError> {
        self.offsets.begin(commit).map_err(|reason| self.not_durable(reason))
    }

    fn settle(&self, commit: Pending<'_>) -> Result<(), CommitError> {
        commit.settle().map_err(|reason| self.not_durable(reason))
    }

    fn not_durable(&self, reason: AppendError) -> CommitError {
        CommitError::NotDurable { group: self.id.clone(), reason }
    }

    fn refused(
        &self,
        member: &MemberId,
        partition: TopicPartition,
        reason: CommitFault,
    ) -> CommitError {
        let (group, member) = (self.id.clone(), member.clone());
        match reason {
            CommitFault::NotHeld => CommitError::NotAssigned { group, member, partition },
            CommitFault::Stale { requested, assigned } => {
                CommitError::WrongGeneration { partition, requested, limit: assigned }
            }
            CommitFault::Ahead { requested, current } => {
                CommitError::WrongGeneration { partition, requested, limit: current }
            }
        }
    }

    /// Sets offsets while nobody is in the group. Who joins before that is settled waits for it when it
    /// takes partitions on.
    pub(super) fn reset(&self, to: Vec<Change>) -> Result<(), GroupError> {
        let commit = self.offsets.prepare(to);
        let now = self.elapsed();
        let mut state = self.enter(now);
        state.coordinator.tick(now);
        let members = state.coordinator.describe().members.len();
        let begun = if members == 0 {
            self.begin(commit).map_err(GroupError::from)
        } else {
            Err(GroupError::NotEmpty { group: self.id.clone(), members })
        };
        self.leave(state, None);
        Ok(self.settle(begun?)?)
    }

    /// Adds a topic to those the group reads.
    pub(super) fn add_topic(self: &Arc<Self>, topic: &Topic) -> Result<(), GroupError> {
        let now = self.elapsed();
        let mut state = self.enter(now);
        if state.topics.iter().any(|known| known.topic_name() == topic.topic_name()) {
            let topic = topic.topic_name().clone();
            return Err(GroupError::TopicExists { group: self.id.clone(), topic });
        }
        let State { coordinator, present, topics, .. } = &mut *state;
        topics.push(topic.clone());
        coordinator.topics_changed(&layouts(topics));
        let names: Vec<TopicName> = topics.iter().map(|topic| topic.topic_name().clone()).collect();
        for (key, _) in present.iter().filter(|(_, presence)| presence.wants_all) {
            // One that was given up meanwhile asks for all topics when it joins again.
            drop(coordinator.subscribe(*key, names.clone(), now));
        }
        self.leave(state, None);
        self.offsets.adopt(topic);
        self.watch(topic);
        self.catch_up();
        Ok(())
    }

    /// Gives up whoever's time has passed.
    pub(super) fn tick(&self) {
        let now = self.elapsed();
        let mut state = self.enter(now);
        state.coordinator.tick(now);
        self.leave(state, None);
    }

    pub(super) fn remove_instance(&self, instance_id: &str) -> bool {
        let now = self.elapsed();
        let mut state = self.enter(now);
        let removed = state.coordinator.remove_instance(instance_id, now);
        self.leave(state, None);
        removed
    }

    pub(super) fn describe(&self) -> GroupSnapshot {
        self.tick();
        self.state.lock().coordinator.describe()
    }

    pub(super) fn topics(&self) -> Vec<Topic> {
        self.state.lock().topics.clone()
    }

    pub(super) fn topic_names(&self) -> Vec<TopicName> {
        self.state.lock().topics.iter().map(|topic| topic.topic_name().clone()).collect()
    }

    /// Whether a partition was added while the group had members.
    pub(super) fn is_new(&self, of: &TopicPartition) -> bool {
        let state = self.state.lock();
        state.partitions_at_start.get(&of.topic).is_none_or(|count| of.partition >= *count)
    }

    pub(super) fn partition(&self, of: &TopicPartition) -> Option<Partition> {
        let state = self.state.lock();
        let topic = state.topics.iter().find(|topic| *topic.topic_name() == of.topic)?;
        topic.partition(of.partition)
    }
}

impl Growth for Membership {
    fn grown(&self) {
        let mut state = self.state.lock();
        let layouts = layouts(&state.topics);
        state.coordinator.topics_changed(&layouts);
        self.leave(state, None);
    }
}

fn layouts(topics: &[Topic]) -> Vec<TopicLayout> {
    let layout = |topic: &Topic| TopicLayout::new(topic.topic_name(), topic.partition_count());
    topics.iter().map(layout).collect()
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(POLLING - 1)
}
