//! What the tests share: an assignor, a way to write partitions, and a group with consumers that
//! do what they are told.

use super::super::*;
use crate::group::assignor::{Assignor, Member, RebalanceProtocol};
use crate::group::coordinator::seat::Timer;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

/// For each topic, partition p goes to the subscriber p mod n, by name: the assignor of the traces.
pub(super) struct ModAssignor;

impl Assignor for ModAssignor {
    fn name(&self) -> &str {
        "mod"
    }

    fn assign(&self, members: &[Member], topics: &[TopicLayout]) -> Assignment {
        let mut given: BTreeMap<MemberId, Vec<TopicPartition>> = BTreeMap::new();
        for topic in topics {
            let mut subscribers: Vec<&Member> =
                members.iter().filter(|member| member.subscription.contains(&topic.name)).collect();
            subscribers.sort_by(|a, b| a.id.cmp(&b.id));
            for partition in topic.partitions.iter().filter(|_| !subscribers.is_empty()) {
                let owner = subscribers[at(partition.id) % subscribers.len()];
                let partition = TopicPartition::new(&topic.name, partition.id);
                given.entry(owner.id.clone()).or_default().push(partition);
            }
        }
        Assignment(given)
    }
}

/// `of("t", [0, 2])` is t/0 and t/2.
pub(super) fn of(topic: &str, partitions: impl IntoIterator<Item = u32>) -> Vec<TopicPartition> {
    partitions.into_iter().map(|partition| TopicPartition::new(topic, partition)).collect()
}

pub(super) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A file of `tests/data/kafka`, parsed.
pub(super) fn kafka_data(name: &str) -> serde_json::Value {
    let path = format!("{}/tests/data/kafka/{name}", env!("CARGO_MANIFEST_DIR"));
    let file = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    if name.ends_with(".gz") {
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    } else {
        serde_json::from_reader(std::io::BufReader::new(file)).unwrap()
    }
}

/// A member that asks for all of `topics`.
pub(super) fn profile(id: &str, topics: &[&str]) -> Profile {
    Profile {
        id: id.into(),
        instance_id: None,
        rack: None,
        weight: 1,
        topics: topics.iter().map(|&topic| topic.into()).collect(),
        rebalance_timeout: secs(60),
    }
}

/// The same, with an instance id.
pub(super) fn static_profile(id: &str, instance_id: &str, topics: &[&str]) -> Profile {
    Profile { instance_id: Some(instance_id.to_owned()), ..profile(id, topics) }
}

/// A consumer as the coordinator sees one: it polls, lets go, and is told.
#[derive(Clone, Debug)]
pub(super) struct Consumer {
    pub(super) profile: Profile,
    /// `None` once it learned that it is no member any more.
    pub(super) key: Option<MemberKey>,
    pub(super) epoch: Epoch,
    /// What it holds, also while it has yet to let go of some.
    pub(super) held: Vec<TopicPartition>,
    /// At which epoch it was given each of them.
    pub(super) since: BTreeMap<TopicPartition, Epoch>,
    /// What it was told to let go of and still holds.
    pub(super) letting_go: Vec<TopicPartition>,
    /// Whether its next poll says what it holds.
    pub(super) is_to_report: bool,
    pub(super) seen: u64,
    pub(super) polled_at: Duration,
    /// What it was told at last, for assertions.
    pub(super) told: Vec<Told>,
    /// Set when another took its instance id: it does not come back.
    pub(super) is_fenced: bool,
}

/// What a listener would have been called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Added(Epoch, Vec<TopicPartition>),
    Revoke(Epoch, Vec<TopicPartition>),
    Lost(Departure, Vec<TopicPartition>),
}

/// A group with its consumers and an assignor.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) coordinator: Coordinator,
    pub(super) now: Duration,
    pub(super) topics: Vec<TopicLayout>,
    pub(super) consumers: Vec<Consumer>,
}

impl Group {
    pub(super) fn new(config: Config, topics: &[(&str, u32)]) -> Self {
        let topics: Vec<TopicLayout> =
            topics.iter().map(|&(name, count)| TopicLayout::new(name, count)).collect();
        let coordinator = Coordinator::new(config, &topics);
        Group { coordinator, now: Duration::ZERO, topics, consumers: Vec::new() }
    }

    /// A cooperative group with the default settings.
    pub(super) fn cooperative(topics: &[(&str, u32)]) -> Self {
        Group::new(Config::default(), topics)
    }

    pub(super) fn eager(topics: &[(&str, u32)]) -> Self {
        let protocol = RebalanceProtocol::Eager;
        Group::new(Config { protocol, ..Config::default() }, topics)
    }

    /// A new consumer; its place among the consumers.
    pub(super) fn join(&mut self, profile: Profile) -> usize {
        self.try_join(profile).expect("the test lets in whom the group lets in")
    }

    pub(super) fn try_join(&mut self, profile: Profile) -> Result<usize, JoinRefused> {
        let key = self.coordinator.join(profile.clone(), self.now)?;
        self.consumers.push(Consumer {
            profile,
            key: Some(key),
            epoch: 0,
            held: Vec::new(),
            since: BTreeMap::new(),
            letting_go: Vec::new(),
            is_to_report: true,
            seen: 0,
            polled_at: self.now,
            told: Vec::new(),
            is_fenced: false,
        });
        Ok(self.consumers.len() - 1)
    }

    /// One call of the consumer's `poll`: it asks, is told, lets go of what it must, and asks again.
    pub(super) fn poll(&mut self, place: usize) {
        self.assign();
        self.ask(place);
        while !self.consumers[place].letting_go.is_empty() {
            self.let_go(place);
            self.ask(place);
        }
    }

    /// A poll that is new to nobody does not reach the coordinator. Whether this one is new.
    pub(super) fn has_news(&self, place: usize) -> bool {
        let consumer = &self.consumers[place];
        if consumer.key.is_none() {
            return false;
        }
        consumer.is_to_report
            || consumer.seen != self.coordinator.version()
            || self.coordinator.next_deadline().is_some_and(|deadline| deadline <= self.now)
    }

    /// Runs the assignor if one is needed.
    pub(super) fn assign(&mut self) {
        if let Some(request) = self.coordinator.needs_assignment() {
            let assignment = ModAssignor.assign(&request.members, &request.topics);
            let installed = self.coordinator.install(request.epoch, Ok(assignment), self.now);
            assert!(installed.is_ok(), "{installed:?}");
        }
    }

    /// Asks the coordinator once and takes over what it says, without letting go of anything.
    pub(super) fn ask(&mut self, place: usize) {
        if !self.has_news(place) {
            let Consumer { key, .. } = self.consumers[place];
            self.consumers[place].polled_at = self.now;
            return key.into_iter().for_each(|key| self.coordinator.polled_at(key, self.now));
        }
        let consumer = &mut self.consumers[place];
        let Some(member) = consumer.key else { return };
        let owned = consumer.is_to_report.then(|| consumer.held.clone());
        let poll = Poll { member, epoch: consumer.epoch, owned: owned.as_deref() };
        match self.coordinator.poll(poll, self.now) {
            Ok(update) => {
                consumer.polled_at = self.now;
                consumer.is_to_report = false;
                consumer.take_over(update);
            }
            Err(PollRefused::Departed(departure)) => {
                if departure == (Departure::Expired { timer: Timer::Poll }) {
                    let silent = self.now - consumer.polled_at;
                    let max = self.coordinator.roster.config.max_poll_interval;
                    assert!(silent >= max, "deadlines: polled {silent:?} ago and given up");
                }
                consumer.is_fenced = matches!(departure, Departure::Fenced { .. });
                consumer.key = None;
                consumer.letting_go.clear();
                let lost = std::mem::take(&mut consumer.held);
                consumer.told.push(Told::Lost(departure, lost));
            }
            Err(refused) => panic!("{}: {refused:?}", consumer.profile.id),
        }
        consumer.seen = self.coordinator.version();
    }

    /// The consumer drops what it was told to, and will say so.
    pub(super) fn let_go(&mut self, place: usize) {
        let consumer = &mut self.consumers[place];
        let letting_go = std::mem::take(&mut consumer.letting_go);
        consumer.held.retain(|p| !letting_go.contains(p));
        consumer.since.retain(|p, _| !letting_go.contains(p));
        consumer.is_to_report = true;
    }

    /// A consumer that was lost joins again.
    pub(super) fn rejoin(&mut self, place: usize) -> Result<(), JoinRefused> {
        let profile = self.consumers[place].profile.clone();
        let key = self.coordinator.join(profile, self.now)?;
        let consumer = &mut self.consumers[place];
        (consumer.key, consumer.epoch, consumer.is_to_report) = (Some(key), 0, true);
        consumer.polled_at = self.now;
        Ok(())
    }

    pub(super) fn leave(&mut self, place: usize, how: Leave) {
        let consumer = self.consumers.remove(place);
        if let Some(key) = consumer.key {
            self.coordinator.leave(key, how, self.now);
        }
    }

    /// Everybody polls until nothing is new to anybody. How many rounds it took.
    pub(super) fn settle(&mut self) -> usize {
        for round in 0..100 {
            self.assign();
            if !(0..self.consumers.len()).any(|place| self.has_news(place)) {
                return round;
            }
            (0..self.consumers.len()).for_each(|place| self.poll(place));
        }
        panic!("the group does not settle: {:#?}", self.coordinator.describe());
    }

    pub(super) fn held(&self, place: usize) -> Vec<TopicPartition> {
        let mut held = self.consumers[place].held.clone();
        held.sort();
        held
    }

    /// What a consumer was told since the last time.
    pub(super) fn told(&mut self, place: usize) -> Vec<Told> {
        std::mem::take(&mut self.consumers[place].told)
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now += by;
    }

    pub(super) fn state(&self) -> GroupState {
        self.coordinator.describe().state
    }

    /// A commit of all of `partitions` from the consumer's own epoch.
    pub(super) fn commit(
        &mut self,
        place: usize,
        partitions: &[TopicPartition],
    ) -> Result<Vec<CommitRefused>, Departure> {
        let Consumer { key, epoch, .. } = self.consumers[place];
        let key = key.ok_or(Departure::Left)?;
        self.coordinator.check_commit(key, epoch, partitions, self.now)
    }
}

impl Consumer {
    fn take_over(&mut self, update: MemberUpdate) {
        self.epoch = update.epoch;
        let Some(change) = update.change else { return };
        let kept = |p: &&TopicPartition| !change.added.contains(p);
        assert!(change.assignment.iter().filter(kept).all(|p| self.held.contains(p)));
        let is_told =
            |p: &TopicPartition| change.assignment.contains(p) || change.revoke.contains(p);
        assert!(self.held.iter().all(is_told), "one owner: partitions were taken without a word");
        assert!(
            change.revoke.iter().all(|p| self.held.contains(p)),
            "convergence: told again to let go of what it has not"
        );
        self.letting_go = change.revoke.clone();
        self.held.extend(change.added.iter().cloned());
        self.since.retain(|p, _| self.held.contains(p));
        self.since.extend(change.added.iter().map(|p| (p.clone(), update.epoch)));
        if !change.revoke.is_empty() {
            self.told.push(Told::Revoke(update.epoch, change.revoke));
        }
        if !change.added.is_empty() {
            self.told.push(Told::Added(update.epoch, change.added));
        }
    }
}
