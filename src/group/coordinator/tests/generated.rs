//! Generated histories: members come, go, stall, change their minds; topics grow; assignors are late
//! or wrong; time passes. Every invariant is checked after every event, and from time to time
//! everything but polling stops and the group must come to rest at its target.

use super::super::planted::Bug;
use super::super::*;
use super::checker::{Checker, partitions};
use super::support::{Group, ModAssignor, profile, secs};
use crate::group::assignor::{Assignor, Member, RebalanceProtocol};

/// SplitMix64: small, and the same everywhere.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }
}

const TOPICS: [&str; 3] = ["t1", "t2", "t3"];

struct History {
    rng: Rng,
    group: Group,
    checker: Checker,
    /// A request that an assignor is still working on.
    late: Option<AssignmentRequest>,
    names: usize,
    events: usize,
}

impl History {
    fn new(protocol: RebalanceProtocol, seed: u64) -> Self {
        let mut rng = Rng(seed);
        let sessions = [Sessions::WhileAway, Sessions::Always][rng.below(2)];
        let config = Config {
            protocol,
            session_timeout: secs(20),
            sessions,
            max_poll_interval: secs(40),
            member_count_max: Some(8),
        };
        let group = Group::new(config, &[("t1", 6), ("t2", 4), ("t3", 3)]);
        History { rng, group, checker: Checker::default(), late: None, names: 0, events: 0 }
    }

    fn run(&mut self, events: usize) {
        for _ in 0..events {
            self.event();
            self.check();
            if self.rng.below(60) == 0 {
                self.come_to_rest();
            }
        }
        self.come_to_rest();
    }

    fn check(&mut self) {
        self.events += 1;
        self.checker.check(&self.group);
    }

    fn event(&mut self) {
        let count = self.group.consumers.len();
        let place = if count == 0 { 0 } else { self.rng.below(count) };
        match self.rng.below(100) {
            _ if count == 0 => self.join(),
            0..7 => self.join(),
            7..10 => {
                let how = [Leave::ForNow, Leave::ForGood][self.rng.below(2)];
                self.group.leave(place, how);
            }
            10..14 => self.subscribe(place),
            14..17 => self.change_topics(),
            17..21 => self.pass_time(),
            21..24 => self.advance_late(),
            24..27 => self.assign_wrongly(),
            27..30 => self.take_over_instance(),
            30..50 => self.stall(place),
            _ => self.poll(place),
        }
    }

    fn topics(&mut self) -> Vec<&'static str> {
        let first = self.rng.below(TOPICS.len());
        let mut topics = vec![TOPICS[first]];
        topics.extend(TOPICS.iter().filter(|_| self.rng.below(2) == 0));
        topics
    }

    fn join(&mut self) {
        self.names += 1;
        let topics = self.topics();
        let mut new = profile(&format!("m{}", self.names), &topics);
        new.rebalance_timeout = secs(5 + u64::try_from(self.rng.below(30)).unwrap());
        if self.rng.below(3) == 0 {
            new.instance_id = Some(format!("i{}", self.rng.below(4)));
        }
        // The group may be full, the instance's holder fenced: both are right.
        let _ = self.group.try_join(new);
    }

    /// A second holder of an instance id that is in use.
    fn take_over_instance(&mut self) {
        let statics = self.group.consumers.iter().filter(|c| c.profile.instance_id.is_some());
        let profiles: Vec<Profile> = statics.map(|c| c.profile.clone()).collect();
        if !profiles.is_empty() {
            self.names += 1;
            let mut new = profiles[self.rng.below(profiles.len())].clone();
            new.id = format!("m{}", self.names).into();
            let _ = self.group.try_join(new);
        }
    }

    fn subscribe(&mut self, place: usize) {
        let topics: Vec<TopicName> = self.topics().into_iter().map(Into::into).collect();
        let now = self.group.now;
        let consumer = &mut self.group.consumers[place];
        let Some(key) = consumer.key else { return };
        if self.group.coordinator.subscribe(key, topics.clone(), now).is_ok() {
            consumer.profile.topics = topics;
        }
    }

    /// A topic gets a partition, goes, or comes back.
    fn change_topics(&mut self) {
        let name = TOPICS[self.rng.below(TOPICS.len())];
        let place = self.group.topics.iter().position(|topic| &*topic.name == name);
        match place {
            None => self.group.topics.push(TopicLayout::new(name, 2)),
            Some(place) if self.rng.below(4) == 0 => drop(self.group.topics.remove(place)),
            Some(place) => {
                let count = u32::try_from(self.group.topics[place].partitions.len()).unwrap();
                self.group.topics[place] = TopicLayout::new(name, (count + 1).min(9));
            }
        }
        self.group.coordinator.topics_changed(&self.group.topics);
    }

    fn pass_time(&mut self) {
        let longest = [2_000, 10_000, 50_000][self.rng.below(3)];
        self.group.advance(Duration::from_millis(u64::try_from(self.rng.below(longest)).unwrap()));
        self.group.coordinator.tick(self.group.now);
    }

    /// An assignor takes its time: its answer comes some events later, if at all.
    fn advance_late(&mut self) {
        match self.late.take() {
            Some(request) => self.answer(&request),
            None => self.late = self.group.coordinator.needs_assignment(),
        }
    }

    /// Half of the time each partition goes to any of its subscribers, so that targets jump about.
    fn right_answer(&mut self, request: &AssignmentRequest) -> Assignment {
        if self.rng.below(2) == 0 {
            return ModAssignor.assign(&request.members, &request.topics);
        }
        let mut given = Assignment::default();
        for partition in partitions(&request.topics) {
            let wants = |m: &&Member| m.subscription.contains(&partition.topic);
            let subscribers: Vec<&Member> = request.members.iter().filter(wants).collect();
            if !subscribers.is_empty() {
                let owner = subscribers[self.rng.below(subscribers.len())];
                given.0.entry(owner.id.clone()).or_default().push(partition);
            }
        }
        given
    }

    fn answer(&mut self, request: &AssignmentRequest) {
        let assignment = self.right_answer(request);
        let now = self.group.now;
        let is_current = request.epoch == self.group.coordinator.epoch();
        let installed = self.group.coordinator.install(request.epoch, Ok(assignment), now);
        assert!(is_current || installed == Ok(Installed::Stale), "stale: {installed:?}");
        if is_current && now < self.group.coordinator.next_deadline().unwrap_or(Duration::MAX) {
            assert!(installed.is_ok(), "{installed:?}");
        }
    }

    /// An assignor gives something away twice, or to nobody, or panics.
    fn assign_wrongly(&mut self) {
        let Some(request) = self.group.coordinator.needs_assignment() else { return };
        let mut wrong = ModAssignor.assign(&request.members, &request.topics);
        let Some((_, list)) = wrong.0.iter_mut().find(|(_, list)| !list.is_empty()) else { return };
        match self.rng.below(2) {
            0 => drop(list.pop()),
            _ => list.push(list[0].clone()),
        }
        let now = self.group.now;
        let refused = self.group.coordinator.install(request.epoch, Ok(wrong), now);
        assert!(refused.is_err() || super::super::planted::is_planted(Bug::AssignmentUnchecked));
        // Somebody changes something, so that the assignor is asked again.
        self.join();
    }

    /// A consumer asks, and does not let go yet of what it must.
    fn stall(&mut self, place: usize) {
        self.assign();
        if self.group.consumers[place].key.is_some() {
            self.group.ask(place);
        }
    }

    fn poll(&mut self, place: usize) {
        self.assign();
        let consumer = &self.group.consumers[place];
        if consumer.key.is_none() {
            if consumer.is_fenced || self.group.rejoin(place).is_err() {
                self.group.consumers.remove(place);
                return;
            }
            self.assign();
        }
        self.group.let_go(place);
        self.group.ask(place);
        if self.rng.below(2) == 0 {
            self.group.let_go(place);
            self.group.ask(place);
        }
    }

    fn assign(&mut self) {
        if self.late.is_none()
            && let Some(request) = self.group.coordinator.needs_assignment()
        {
            self.answer(&request);
        }
    }

    /// with polls from all and no further events everybody reaches the target.
    fn come_to_rest(&mut self) {
        if let Some(request) = self.late.take() {
            self.answer(&request);
        }
        // Whoever is away comes back or is given up; nobody else is.
        for _ in 0..5 {
            self.group.advance(secs(5));
            self.group.coordinator.tick(self.group.now);
            for place in (0..self.group.consumers.len()).rev() {
                self.poll(place);
                self.check();
            }
        }
        if self.group.coordinator.describe().refused.is_some() {
            self.join();
        }
        for _ in 0..self.group.consumers.len() * 2 + 4 {
            let is_done = |place: usize| self.group.consumers[place].letting_go.is_empty();
            let is_at_rest = |place: usize| is_done(place) && !self.group.has_news(place);
            if (0..self.group.consumers.len()).all(is_at_rest) {
                break;
            }
            for place in (0..self.group.consumers.len()).rev() {
                self.poll(place);
                self.check();
            }
        }
        let snapshot = self.group.coordinator.describe();
        let is_at_rest = matches!(snapshot.state, GroupState::Stable | GroupState::Empty);
        assert!(is_at_rest || snapshot.refused.is_some(), "convergence: {snapshot:#?}");
    }
}

/// Runs histories and returns how many events were checked.
pub(super) fn histories(
    protocol: RebalanceProtocol,
    seeds: impl Iterator<Item = u64>,
    events: usize,
) -> usize {
    let mut checked = 0;
    for seed in seeds {
        println!("{protocol:?} history of seed {seed}");
        let mut history = History::new(protocol, seed);
        history.run(events);
        checked += history.events;
    }
    checked
}

/// Other or more histories: `ANABRANCH_SEED=7 ANABRANCH_SEEDS=1000 cargo test generated`.
fn seeds() -> std::ops::Range<u64> {
    let set = |name| std::env::var(name).ok().and_then(|value: String| value.parse().ok());
    let first = set("ANABRANCH_SEED").unwrap_or(1);
    first..first + set("ANABRANCH_SEEDS").unwrap_or(30)
}

fn checked(protocol: RebalanceProtocol) {
    let events = histories(protocol, seeds(), 300);
    println!("{events} events checked");
    assert!(u64::try_from(events).unwrap() > 300 * (seeds().end - seeds().start));
}

#[test]
fn every_invariant_holds_in_generated_cooperative_histories() {
    checked(RebalanceProtocol::Cooperative);
}

#[test]
fn every_invariant_holds_in_generated_eager_histories() {
    checked(RebalanceProtocol::Eager);
}
