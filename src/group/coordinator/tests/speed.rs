//! What a rebalance costs the coordinator: its own time, without the assignor's.

use super::super::*;
use super::support::{ModAssignor, profile};
use crate::group::assignor::Assignor;
use std::time::Instant;

struct Crowd {
    coordinator: Coordinator,
    members: Vec<Seated>,
    /// Time spent in the coordinator, and times it was entered.
    spent: Duration,
    calls: usize,
}

struct Seated {
    key: MemberKey,
    epoch: Epoch,
    owned: Vec<TopicPartition>,
    is_to_report: bool,
    seen: u64,
}

impl Crowd {
    fn new(members: usize, partitions: u32) -> Self {
        let topics = [TopicLayout::new("orders", partitions)];
        let coordinator = Coordinator::new(Config::default(), &topics);
        let mut crowd = Crowd { coordinator, members: Vec::new(), spent: Duration::ZERO, calls: 0 };
        (0..members).for_each(|i| crowd.join(&format!("worker-{i:04}")));
        crowd.settle();
        crowd
    }

    fn timed<T>(&mut self, call: impl FnOnce(&mut Coordinator) -> T) -> T {
        let start = Instant::now();
        let result = call(&mut self.coordinator);
        self.spent += start.elapsed();
        self.calls += 1;
        result
    }

    fn join(&mut self, id: &str) {
        let profile = profile(id, &["orders"]);
        let key = self.timed(|c| c.join(profile, Duration::ZERO)).unwrap();
        let (owned, is_to_report) = (Vec::new(), true);
        self.members.push(Seated { key, epoch: 0, owned, is_to_report, seen: 0 });
    }

    /// Everybody polls until nothing is new, as consumers do: only when the version moved.
    fn settle(&mut self) {
        loop {
            if let Some(request) = self.timed(Coordinator::needs_assignment) {
                let assignment = ModAssignor.assign(&request.members, &request.topics);
                self.timed(|c| c.install(request.epoch, Ok(assignment), Duration::ZERO)).unwrap();
            }
            let version = self.coordinator.version();
            if self.members.iter().all(|m| m.seen == version && !m.is_to_report) {
                return;
            }
            for i in 0..self.members.len() {
                self.poll(i);
            }
        }
    }

    fn poll(&mut self, i: usize) {
        let mut member = self.members.swap_remove(i);
        while member.is_to_report || member.seen != self.coordinator.version() {
            let owned = member.is_to_report.then_some(member.owned.as_slice());
            let poll = Poll { member: member.key, epoch: member.epoch, owned };
            let update = self.timed(|c| c.poll(poll, Duration::ZERO)).unwrap();
            member.epoch = update.epoch;
            member.is_to_report = update.change.as_ref().is_some_and(|c| !c.revoke.is_empty());
            if let Some(change) = update.change {
                member.owned = change.assignment;
            }
            member.seen = self.coordinator.version();
        }
        self.members.push(member);
        let last = self.members.len() - 1;
        self.members.swap(i, last);
    }

    fn spent(&mut self, act: impl FnOnce(&mut Self)) -> Duration {
        self.spent = Duration::ZERO;
        act(self);
        self.spent
    }
}

/// 1,000 partitions over 100 members; one joins, one leaves. In a debug build only the end state is
/// checked. `ModAssignor` moves nearly every partition, so this is the dear case.
#[test]
fn a_rebalance_of_a_thousand_partitions_takes_less_than_a_millisecond() {
    let mut crowd = Crowd::new(100, 1_000);
    let (mut joins, mut leaves) = (Duration::MAX, Duration::MAX);
    for round in 0..20 {
        joins = joins.min(crowd.spent(|crowd| {
            crowd.join(&format!("late-{round}"));
            crowd.settle();
        }));
        leaves = leaves.min(crowd.spent(|crowd| {
            let member = crowd.members.pop().expect("there are a hundred").key;
            crowd.timed(|c| c.leave(member, Leave::ForGood, Duration::ZERO));
            crowd.settle();
        }));
    }
    println!("join {joins:?}, leave {leaves:?}, calls {}", crowd.calls);
    let snapshot = crowd.coordinator.describe();
    assert_eq!((snapshot.state, snapshot.members.len()), (GroupState::Stable, 100));
    assert_eq!(snapshot.members.iter().map(|m| m.assigned.len()).sum::<usize>(), 1_000);
    if cfg!(not(debug_assertions)) {
        assert!(joins.max(leaves) < Duration::from_millis(1), "join {joins:?}, leave {leaves:?}");
    }
}

#[test]
fn a_poll_with_nothing_new_costs_the_same_in_any_group() {
    for (members, partitions) in [(1, 1), (100, 10_000)] {
        let mut crowd = Crowd::new(members, partitions);
        let Seated { key, epoch, .. } = crowd.members[0];
        let start = Instant::now();
        for nanos in 0..100_000 {
            let poll = Poll { member: key, epoch, owned: None };
            let update = crowd.coordinator.poll(poll, Duration::from_nanos(nanos)).unwrap();
            assert_eq!(update.change, None);
        }
        println!("{members} × {partitions}: {:?} a poll", start.elapsed() / 100_000);
    }
}
