//! Random histories of a group, held against a model of who may have read and committed what.
//!
//! Members poll, commit, join, leave, hang, are dropped and come back under their instance ids; time
//! passes, records and partitions are added. After every step no partition has two owners among those
//! that are in the group and have been told; nothing is committed beyond what was returned; a record
//! is returned again only if what was returned was not committed before its partition moved. In the
//! end the group comes to rest, complete, and every record was returned.

use crate::support::{LONG, group_of, of, topic};
use anabranch::assignor::StickyAssignor;
use anabranch::{
    Consumer, ConsumerGroup, GroupState, ManualClock, Offset, PartitionId, RebalanceListener,
    Record, Topic, TopicPartition,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SESSION: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_secs(30);
const NAMES: usize = 5;
/// Members of these numbers and below are static ones.
const STATIC_MAX: usize = 1;

#[derive(Clone, Debug)]
enum Step {
    Join(usize),
    Poll(usize),
    Commit(usize),
    Leave(usize),
    Send(PartitionId, usize),
    Advance(u64),
    Grow,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..NAMES).prop_map(Step::Join),
        10 => (0..NAMES).prop_map(Step::Poll),
        3 => (0..NAMES).prop_map(Step::Commit),
        2 => (0..NAMES).prop_map(Step::Leave),
        5 => (0..8u32, 1..4usize).prop_map(|(id, count)| Step::Send(id, count)),
        2 => (1..15u64).prop_map(Step::Advance),
        1 => Just(Step::Grow),
    ]
}

/// Who was told that it has a partition, and was not told since that it has not.
type Owners = Arc<Mutex<BTreeMap<TopicPartition, BTreeSet<usize>>>>;

/// Keeps the table, and commits what is taken away if the history is one of careful members.
struct Keeper {
    me: usize,
    owners: Owners,
    is_careful: bool,
}

impl RebalanceListener for Keeper {
    fn assigned(&mut self, _: &mut Consumer, partitions: &[TopicPartition]) {
        let mut owners = self.owners.lock().unwrap();
        for of in partitions {
            assert!(owners.entry(of.clone()).or_default().insert(self.me), "{of} came twice");
        }
    }

    fn revoked(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) {
        if self.is_careful {
            // Refused only where the member was given up without knowing it.
            let _ = consumer.commit();
        }
        self.lost(consumer, partitions);
    }

    fn lost(&mut self, _: &mut Consumer, partitions: &[TopicPartition]) {
        let mut owners = self.owners.lock().unwrap();
        for of in partitions {
            assert!(owners.entry(of.clone()).or_default().remove(&self.me), "{of} went twice");
        }
    }
}

struct World {
    topic: Topic,
    group: ConsumerGroup,
    clock: ManualClock,
    is_careful: bool,
    members: Vec<Option<Consumer>>,
    owners: Owners,
    /// The end of what was ever returned of each partition.
    returned: BTreeMap<TopicPartition, Offset>,
    /// For each member and partition it holds: what its next record must be.
    next: BTreeMap<(usize, TopicPartition), Offset>,
}

impl World {
    fn new(is_careful: bool, is_eager: bool) -> World {
        let (topic, clock) = (topic("t", 3), ManualClock::new());
        let mut builder = group_of(&topic)
            .clock(clock.clone())
            .session_timeout(SESSION)
            .max_poll_interval(POLL_INTERVAL)
            .max_poll_records(2);
        if is_eager {
            builder = builder.assignor(StickyAssignor);
        }
        World {
            group: builder.build().unwrap(),
            topic,
            clock,
            is_careful,
            members: (0..NAMES).map(|_| None).collect(),
            owners: Owners::default(),
            returned: BTreeMap::new(),
            next: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Join(who) if self.members[who].is_none() => self.join(who),
            Step::Join(_) => {}
            Step::Poll(who) => {
                self.poll(who);
            }
            Step::Commit(who) => {
                if let Some(member) = &mut self.members[who] {
                    let _ = member.commit(); // refused if it was given up meanwhile
                }
            }
            Step::Leave(who) => self.leave(who),
            Step::Send(id, count) => {
                let id = id % self.topic.partition_count();
                let records: Vec<_> = (0..count).map(|_| Record::new("x")).collect();
                self.topic.partition(id).unwrap().append(&records).unwrap();
            }
            Step::Advance(seconds) => self.clock.advance(Duration::from_secs(seconds)),
            Step::Grow => {
                let count = self.topic.partition_count();
                self.topic.add_partitions((count + 1).min(8)).unwrap();
            }
        }
        self.check();
    }

    fn join(&mut self, who: usize) {
        let (owners, is_careful) = (Arc::clone(&self.owners), self.is_careful);
        let mut builder = self.group.member(format!("m{who}"));
        if who <= STATIC_MAX {
            builder = builder.instance_id(format!("i{who}"));
        }
        let listener = Keeper { me: who, owners, is_careful };
        self.members[who] = Some(builder.listener(listener).join().unwrap());
    }

    fn leave(&mut self, who: usize) {
        let Some(member) = self.members[who].take() else { return };
        drop(member);
        self.next.retain(|(of, _), _| *of != who);
    }

    fn poll(&mut self, who: usize) -> usize {
        let Some(member) = &mut self.members[who] else { return 0 };
        let records = member.poll(Duration::ZERO).unwrap();
        assert_eq!(records.lost(), []);
        let held: BTreeSet<&TopicPartition> = member.assignment().iter().collect();
        self.next.retain(|(of, partition), _| *of != who || held.contains(partition));
        for record in &records {
            let of = TopicPartition::new("t", record.partition());
            assert!(
                held.contains(&of),
                "m{who} was given a record of {of}, which it does not have"
            );
            let offset = record.offset();
            let end = self.returned.entry(of.clone()).or_default();
            if let Some(expected) = self.next.get(&(who, of.clone())) {
                assert!(offset == *expected || offset <= *end, "m{who} skipped records of {of}");
            }
            assert!(offset <= *end, "records {end} to {offset} of {of} were skipped");
            *end = (*end).max(offset + 1);
            self.next.insert((who, of), offset + 1);
        }
        records.len()
    }

    fn check(&self) {
        let described = self.group.describe();
        let mut owners = BTreeMap::new();
        for member in &described.members {
            for of in &member.assignment {
                assert_eq!(owners.insert(of, &member.id), None, "{of} has two owners");
            }
        }
        if described.state == GroupState::Stable {
            assert_eq!(owners.len(), self.topic.partition_count() as usize, "some have no owner");
        }
        for id in 0..self.topic.partition_count() {
            let of = TopicPartition::new("t", id);
            let committed = self.group.committed(&of).map_or(0, |committed| committed.offset);
            let end = self.returned.get(&of).copied().unwrap_or(0);
            assert!(committed <= end, "{of}: committed {committed}, returned up to {end}");
        }
    }

    /// Everybody who is there polls until there is nothing left to read.
    fn finish(&mut self) {
        if self.members.iter().all(Option::is_none) {
            self.join(NAMES - 1);
        }
        self.clock.advance(SESSION.min(POLL_INTERVAL) - Duration::from_secs(1));
        for _ in 0..4 {
            for who in 0..NAMES {
                self.poll(who);
            }
        }
        self.clock.advance(Duration::from_secs(2)); // whoever is away now stays away
        for _ in 0..10_000 {
            let count: usize = (0..NAMES).map(|who| self.poll(who)).sum();
            self.check();
            if count == 0 && self.group.describe().state == GroupState::Stable {
                return self.check_rest();
            }
        }
        panic!("the group does not come to rest");
    }

    fn check_rest(&mut self) {
        for member in self.members.iter_mut().flatten() {
            member.commit().unwrap();
        }
        for id in 0..self.topic.partition_count() {
            let of = TopicPartition::new("t", id);
            let end = self.topic.partition(id).unwrap().high_watermark();
            let returned = self.returned.get(&of).copied().unwrap_or(0);
            assert_eq!(returned, end, "{of} was not read to its end");
        }
        assert_eq!(self.group.total_lag(), 0);
        let owners = self.owners.lock().unwrap();
        let held: Vec<_> = owners.iter().filter(|(_, who)| !who.is_empty()).collect();
        assert!(held.iter().all(|(_, who)| who.len() == 1), "listeners disagree: {held:?}");
        let held: Vec<_> = held.into_iter().map(|(of, _)| of.clone()).collect();
        assert_eq!(held, of("t", 0..self.topic.partition_count()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_rules_and_comes_to_rest(
        steps in prop::collection::vec(step(), 1..80),
        is_careful in any::<bool>(),
        is_eager in any::<bool>(),
    ) {
        let mut world = World::new(is_careful, is_eager);
        for step in &steps {
            world.step(step);
        }
        world.finish();
    }

    /// Members that poll in time and commit when partitions are taken: nothing is read twice.
    #[test]
    fn with_commits_at_every_hand_over_each_record_is_read_once(
        steps in prop::collection::vec(step(), 1..80),
        is_eager in any::<bool>(),
    ) {
        let mut world = World::new(true, is_eager);
        let mut read: BTreeMap<(PartitionId, Offset), usize> = BTreeMap::new();
        for step in &steps {
            match *step {
                // Nobody hangs, so nobody is given up; static members that go are gone in the end.
                Step::Advance(_) => continue,
                Step::Poll(who) => count_once(&mut world, who, &mut read),
                _ => world.step(step),
            }
        }
        if world.members.iter().all(Option::is_none) {
            world.join(NAMES - 1);
        }
        world.group.remove_instance("i0");
        world.group.remove_instance("i1");
        for _ in 0..200 {
            (0..NAMES).for_each(|who| count_once(&mut world, who, &mut read));
        }
        world.finish();
        let total: Offset = world.topic.partitions().map(|p| p.high_watermark()).sum();
        prop_assert_eq!(read.len() as u64, total);
    }
}

fn count_once(world: &mut World, who: usize, read: &mut BTreeMap<(PartitionId, Offset), usize>) {
    let Some(member) = &mut world.members[who] else { return };
    let records = member.poll(Duration::ZERO).unwrap();
    for record in &records {
        let place = (record.partition(), record.offset());
        let count = read.entry(place).or_default();
        *count += 1;
        assert_eq!(*count, 1, "{place:?} was read again, by m{who}");
        let end = world.returned.entry(TopicPartition::new("t", place.0)).or_default();
        *end = (*end).max(place.1 + 1);
    }
    world.check();
}

#[test]
fn threads_that_come_and_go_read_everything_and_keep_order() {
    // Real threads, no seed: what is checked holds under every interleaving.
    const PER_PARTITION: u64 = 200;
    let topic = topic("t", 6);
    let group = group_of(&topic).max_poll_records(7).build().unwrap();
    let seen: Mutex<BTreeMap<(PartitionId, Offset), usize>> = Mutex::default();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (group, seen, topic) = (&group, &seen, &topic);
            scope.spawn(move || {
                for stay in 0.. {
                    if group.total_lag() == 0
                        && topic.partitions().all(|p| p.high_watermark() == PER_PARTITION)
                    {
                        break;
                    }
                    let listener = crate::support::Doing(
                        |what: &str, consumer: &mut Consumer, _: &[TopicPartition]| {
                            if what == "revoked" {
                                consumer.commit().unwrap();
                            }
                        },
                    );
                    let name = format!("w{worker}");
                    let mut consumer = group.member(name).listener(listener).join().unwrap();
                    for _ in 0..=stay % 7 {
                        for record in &consumer.poll(LONG.min(Duration::from_millis(1))).unwrap() {
                            let place = (record.partition(), record.offset());
                            *seen.lock().unwrap().entry(place).or_default() += 1;
                        }
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..PER_PARTITION {
                for partition in topic.partitions() {
                    partition.append(&[Record::new("x")]).unwrap();
                }
                std::thread::yield_now();
            }
        });
    });
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len() as u64, 6 * PER_PARTITION);
    assert!(seen.values().all(|count| *count == 1), "commits at every hand-over: nothing twice");
}
