//! Groups of real consumers on threads, under thousands of random schedules.
//!
//! The listeners of all members write who owns what into one ledger, which a checker may look at in
//! every schedule: a partition that comes must have been let go of, and a record that was consumed
//! and committed must not come again. Time stands still and waits have no timeout: a member that
//! sleeps through news is a deadlock, which shuttle reports.

use super::journal::{OFFSETS_TOPIC, OffsetsJournal};
use super::{Consumer, ConsumerGroup, RebalanceListener, ResetTo};
use crate::clock::ManualClock;
use crate::error::CommitError;
use crate::ids::{Offset, PartitionId, TopicPartition};
use crate::record::Record;
use crate::sync::explore::explore_some;
use crate::sync::planted::{Bug, caught};
use crate::topic::model_files::{disk, open};
use crate::topic::{Durability, Records, Topic, TopicConfig};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Schedules from each of the two schedulers: a rebalance takes many more steps than an append.
const SCHEDULES: usize = 5_000;

fn topic(partitions: PartitionId) -> Topic {
    let config = TopicConfig::new().clock(ManualClock::new()).segment_bytes(220);
    Topic::in_memory("t", config.partitions(partitions)).unwrap()
}

fn group(topic: &Topic) -> ConsumerGroup {
    let builder = ConsumerGroup::builder("g").topic(topic).clock(ManualClock::new());
    builder.max_poll_records(2).build().unwrap()
}

fn send(topic: &Topic, partition: PartitionId, count: u8) {
    let partition = topic.partition(partition).unwrap();
    for number in 0..count {
        partition.append(&[Record::new(&[number])]).unwrap();
    }
}

/// Who owns what, and what was delivered. A lock of std's: no schedule switches threads at it.
#[derive(Default)]
struct Ledger {
    owners: BTreeMap<TopicPartition, u8>,
    delivered: BTreeSet<(PartitionId, Offset)>,
}

type Shared = Arc<Mutex<Ledger>>;

/// A listener that commits before it lets go, and writes all of it down.
struct Clerk {
    member: u8,
    ledger: Shared,
}

impl RebalanceListener for Clerk {
    fn assigned(&mut self, _: &mut Consumer, partitions: &[TopicPartition]) {
        let mut ledger = self.ledger.lock().unwrap();
        for of in partitions {
            let before = ledger.owners.insert(of.clone(), self.member);
            assert!(before.is_none(), "{of} came to {} while {before:?} has it", self.member);
        }
    }

    fn revoked(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) {
        consumer.commit().unwrap();
        let mut ledger = self.ledger.lock().unwrap();
        for of in partitions {
            let owner = ledger.owners.remove(of);
            assert_eq!(owner, Some(self.member), "{of} goes from whom it came to");
        }
    }

    fn lost(&mut self, _: &mut Consumer, partitions: &[TopicPartition]) {
        panic!("nobody is given up here, but {} lost {partitions:?}", self.member);
    }
}

fn join(group: &ConsumerGroup, ledger: &Shared, member: u8, instance: Option<&str>) -> Consumer {
    let clerk = Clerk { member, ledger: Arc::clone(ledger) };
    let builder = group.member(format!("m{member}")).listener(clerk);
    match instance {
        Some(instance) => builder.instance_id(instance).join().unwrap(),
        None => builder.join().unwrap(),
    }
}

/// Each record comes once, and to its partition's owner.
fn deliver(ledger: &Shared, member: u8, records: &Records) {
    let mut ledger = ledger.lock().unwrap();
    for record in records {
        let of = TopicPartition::new("t", record.partition());
        assert_eq!(ledger.owners.get(&of), Some(&member), "{of} is read by its owner");
        let is_new = ledger.delivered.insert((record.partition(), record.offset()));
        assert!(is_new, "{of} offset {} came twice", record.offset());
    }
}

/// One member's life: it polls, commits now and then, and goes by one of two ways.
fn live(group: &ConsumerGroup, ledger: &Shared, member: u8, instance: Option<&str>) {
    let mut consumer = join(group, ledger, member, instance);
    for _ in 0..3 {
        let records = consumer.poll(Duration::ZERO).unwrap();
        deliver(ledger, member, &records);
        if thread_rng().gen_bool(0.3) {
            consumer.commit().unwrap();
        }
    }
    if thread_rng().gen_bool(0.5) {
        consumer.leave().unwrap();
    }
}

/// Members come, go and return while records are sent and the topic grows; whoever comes last gets
/// what is left.
fn members_come_and_go() {
    const RECORDS: u8 = 3;
    let topic = topic(2);
    let group = group(&topic);
    let ledger = Shared::default();
    let mut threads = Vec::from_iter((0..3).map(|member| {
        let (group, ledger) = (group.clone(), Arc::clone(&ledger));
        thread::spawn(move || {
            let instance = (member == 0).then_some("i");
            live(&group, &ledger, member, instance);
            if member == 0 {
                live(&group, &ledger, member + 10, instance);
            }
        })
    }));
    let sending = topic.clone();
    threads.push(thread::spawn(move || {
        send(&sending, 0, RECORDS);
        sending.add_partitions(3).unwrap();
        send(&sending, 1, RECORDS);
        send(&sending, 2, RECORDS);
    }));
    for thread in threads {
        thread.join().unwrap();
    }
    group.remove_instance("i");
    let mut last = join(&group, &ledger, 20, None);
    for _ in 0..9 {
        deliver(&ledger, 20, &last.poll(Duration::ZERO).unwrap());
    }
    assert_eq!(last.assignment().len(), 3, "the last member has everything");
    last.leave().unwrap();
    assert_eq!(group.total_lag(), 0, "all is committed");
    let ledger = ledger.lock().unwrap();
    assert_eq!(ledger.delivered.len(), 3 * usize::from(RECORDS), "all is delivered");
    assert!(ledger.owners.is_empty(), "all is let go of");
}

#[test]
fn shuttle_partitions_have_one_owner_and_records_come_once() {
    for bug in [Bug::LetGoBeforeRevoked, Bug::PositionFromStart] {
        assert!(caught(bug, || explore_some(SCHEDULES, members_come_and_go)), "{bug:?}");
    }
    explore_some(SCHEDULES, members_come_and_go);
}

/// A member sleeps until it has a record of each partition, while another one comes, takes a
/// partition with it perhaps, and goes without committing.
fn a_sleeper_and_a_guest() {
    let topic = topic(2);
    let group = group(&topic);
    let mut sleeper = group.join("sleeper").unwrap();
    let guest = {
        let group = group.clone();
        thread::spawn(move || {
            let mut guest = group.join("guest").unwrap();
            for _ in 0..3 {
                guest.poll(Duration::ZERO).unwrap();
            }
        })
    };
    let sender = {
        let topic = topic.clone();
        thread::spawn(move || {
            send(&topic, 0, 1);
            send(&topic, 1, 1);
        })
    };
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        for record in &sleeper.poll(Duration::MAX).unwrap() {
            seen.insert(record.partition());
        }
    }
    guest.join().unwrap();
    sender.join().unwrap();
}

#[test]
fn shuttle_nobody_sleeps_through_an_alarm() {
    let bugs = [Bug::SkipAlarm, Bug::ForgetAlarm, Bug::SilentDelivery, Bug::ArmWithoutCheck];
    for bug in bugs {
        assert!(caught(bug, || explore_some(SCHEDULES, a_sleeper_and_a_guest)), "{bug:?}");
    }
    explore_some(SCHEDULES, a_sleeper_and_a_guest);
}

/// Two members hand a partition over, both asleep until they get what they wait for: the elder one
/// must wake up to let go, the younger one when that was done.
fn a_hand_over_between_sleepers() {
    let topic = topic(2);
    let group = group(&topic);
    send(&topic, 0, 1);
    send(&topic, 1, 1);
    let mut elder = group.join("elder").unwrap();
    let younger = group.clone();
    let younger = thread::spawn(move || {
        let mut younger = younger.join("younger").unwrap();
        while younger.poll(Duration::MAX).unwrap().is_empty() {}
        younger
    });
    let elder = thread::spawn(move || {
        loop {
            let records = elder.poll(Duration::MAX).unwrap();
            if records.iter().any(|record| record.value() == Some(&[9])) {
                return elder; // sent after the hand-over
            }
        }
    });
    let younger = younger.join().unwrap();
    for partition in topic.partitions() {
        partition.append(&[Record::new(&[9])]).unwrap();
    }
    let elder = elder.join().unwrap();
    assert_ne!(elder.assignment(), younger.assignment());
}

#[test]
fn shuttle_a_hand_over_wakes_both_sides() {
    assert!(caught(Bug::SkipAlarm, || explore_some(SCHEDULES, a_hand_over_between_sleepers)));
    explore_some(SCHEDULES, a_hand_over_between_sleepers);
}

/// A static member is replaced while it commits: what its successor commits stays.
fn a_late_commit() {
    let topic = topic(1);
    let group = group(&topic);
    send(&topic, 0, 3);
    let of = TopicPartition::new("t", 0);
    let mut first = group.member("first").instance_id("i").join().unwrap();
    assert_eq!(first.poll(Duration::ZERO).unwrap().len(), 2);
    let successor = {
        let (group, of) = (group.clone(), of.clone());
        thread::spawn(move || {
            let mut second = group.member("second").instance_id("i").join().unwrap();
            while second.position(&of) != Some(3) {
                second.poll(Duration::ZERO).unwrap();
            }
            second.commit().unwrap();
            second
        })
    };
    match first.commit() {
        Ok(()) => {}
        Err(CommitError::Fenced { by, .. }) => assert_eq!(by, "second"),
        Err(other) => panic!("{other}"),
    }
    let second = successor.join().unwrap();
    assert!(first.commit_offsets(&[(of.clone(), 1)]).is_err(), "it is fenced by now");
    assert_eq!(group.committed(&of).map(|committed| committed.offset), Some(3));
    drop(second);
}

#[test]
fn shuttle_commits_of_who_was_replaced_are_refused() {
    assert!(caught(Bug::CommitUnchecked, || explore_some(SCHEDULES, a_late_commit)));
    explore_some(SCHEDULES, a_late_commit);
}

/// A static member is replaced while it commits to a journal: the successor starts where that commit
/// leaves off, and what is committed never goes back.
fn a_commit_in_flight_meets_a_new_owner() {
    let topic = topic(1);
    send(&topic, 0, 3);
    let config = TopicConfig::new().clock(ManualClock::new());
    let log = Topic::in_memory(OFFSETS_TOPIC, config).unwrap().partition(0).unwrap();
    let journal = OffsetsJournal::open(log.clone()).unwrap();
    let builder = ConsumerGroup::builder("g").topic(&topic).clock(ManualClock::new());
    let group = builder.max_poll_records(2).with_journal(&journal).build().unwrap();
    let of = TopicPartition::new("t", 0);
    let committed = |group: &ConsumerGroup| group.committed(&of).map_or(0, |what| what.offset);
    let mut first = group.member("first").instance_id("i").join().unwrap();
    assert_eq!(first.poll(Duration::ZERO).unwrap().len(), 2);
    let successor = {
        let group = group.clone();
        thread::spawn(move || {
            let mut second = group.member("second").instance_id("i").join().unwrap();
            let records = second.poll(Duration::ZERO).unwrap();
            let start = records.iter().next().map(|record| record.offset());
            second.commit().unwrap();
            (second, start)
        })
    };
    let watcher = {
        let group = group.clone();
        let of = of.clone();
        thread::spawn(move || {
            let mut before = 0;
            for _ in 0..3 {
                let now = group.committed(&of).map_or(0, |what| what.offset);
                assert!(before <= now, "committed went back from {before} to {now}");
                before = now;
            }
        })
    };
    let is_committed = first.commit().is_ok();
    let seen = committed(&group);
    assert!(!is_committed || seen >= 2, "a commit that returned is seen");
    let (second, start) = successor.join().unwrap();
    watcher.join().unwrap();
    assert_eq!(start, Some(if is_committed { 2 } else { 0 }), "where the first one left off");
    let after = if is_committed { 3 } else { 2 };
    assert_eq!(committed(&group), after);
    drop((first, second, group));
    let again = OffsetsJournal::open(log).unwrap().groups();
    assert_eq!(again[0].1[0].1.offset, after, "the journal says the same");
}

/// Two commit to a log with files whose disk refuses at times, each for a partition of its own: what is
/// committed is what was acknowledged last, for who looks now and for who opens the log again.
fn commits_meet_a_disk_that_refuses() {
    let topic = topic(2);
    send(&topic, 0, 3);
    send(&topic, 1, 3);
    let disk = disk();
    let is_full = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&is_full);
    disk.refuse_if(move |is_write| {
        is_write && asked.load(Ordering::Relaxed) && thread_rng().gen_range(0..3) == 0
    });
    let config = || TopicConfig::new().durability(Durability::Written).segment_bytes(500);
    let journal = OffsetsJournal::open(open(&disk, config(), 500)).unwrap();
    let durability =
        if thread_rng().gen_range(0..2) == 0 { Durability::Written } else { Durability::Synced };
    let builder = ConsumerGroup::builder("g").topic(&topic).clock(ManualClock::new());
    let group = builder.durability(durability).with_journal(&journal).build().unwrap();
    let mut members = ["first", "second"].map(|name| group.join(name).unwrap());
    for _ in 0..3 {
        members.iter_mut().for_each(|member| drop(member.poll(Duration::ZERO).unwrap()));
    }
    let committers = members.map(|mut member| {
        thread::spawn(move || {
            let of = member.assignment().first().cloned().expect("each has one of two");
            let mut acknowledged = None;
            for offset in 1..=3 {
                match member.commit_offsets(&[(of.clone(), offset)]) {
                    Ok(()) => acknowledged = Some(offset),
                    Err(CommitError::NotDurable { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            (member, of, acknowledged)
        })
    });
    let told = committers.map(|committer| {
        let (member, of, acknowledged) = committer.join().unwrap();
        assert_eq!(group.committed(&of).map(|what| what.offset), acknowledged, "{of}");
        drop(member);
        (of, acknowledged)
    });
    is_full.store(false, Ordering::Relaxed);
    drop(group);
    let again = OffsetsJournal::open(open(&disk, config(), 500)).unwrap().groups();
    let again: BTreeMap<_, _> = again.into_iter().flat_map(|(_, offsets)| offsets).collect();
    for (of, acknowledged) in told {
        let found = again.get(&of).map(|what| what.offset);
        assert_eq!(found, acknowledged, "{of}: what the log says is what was told");
    }
}

#[test]
fn shuttle_what_was_committed_is_in_the_files() {
    let model = commits_meet_a_disk_that_refuses;
    for bug in [Bug::ForgetBoarded, Bug::StayBusy, Bug::TicketAhead] {
        assert!(caught(bug, || explore_some(SCHEDULES, model)), "{bug:?}");
    }
    explore_some(SCHEDULES, model);
}

#[test]
fn shuttle_a_new_owner_waits_for_a_commit_in_flight() {
    let model = a_commit_in_flight_meets_a_new_owner;
    assert!(caught(Bug::StartUnsettled, || explore_some(SCHEDULES, model)));
    explore_some(SCHEDULES, model);
}

/// A topic grows while a group is built for it: no partition is overlooked.
fn growth_meets_a_new_group() {
    let topic = topic(1);
    let growing = topic.clone();
    let grower = thread::spawn(move || growing.add_partitions(2).unwrap());
    let group = group(&topic);
    let mut member = group.join("member").unwrap();
    member.poll(Duration::ZERO).unwrap();
    grower.join().unwrap();
    member.poll(Duration::ZERO).unwrap();
    assert_eq!(member.assignment().len(), 2, "a partition was overlooked");
}

#[test]
fn shuttle_a_new_group_sees_its_topics_grow() {
    assert!(caught(Bug::CountBeforeWatch, || explore_some(SCHEDULES, growth_meets_a_new_group)));
    explore_some(SCHEDULES, growth_meets_a_new_group);
}

/// Records are deleted under a consumer: each one is delivered, or counted as lost.
fn deletion_overtakes_a_consumer() {
    const RECORDS: u8 = 6;
    let topic = topic(1);
    let group = group(&topic);
    send(&topic, 0, RECORDS);
    group.reset_offsets(ResetTo::Beginning).unwrap();
    let deleting = topic.clone();
    let deleter = thread::spawn(move || {
        for before in [2, 4, 5] {
            deleting.partition(0).unwrap().delete_records(before).unwrap();
        }
    });
    let mut consumer = group.join("member").unwrap();
    let mut next = 0;
    while next < Offset::from(RECORDS) {
        let records = consumer.poll(Duration::ZERO).unwrap();
        // What is lost is lost before what is returned with it.
        let lost: u64 = records.lost().iter().map(|(_, lost)| lost).sum();
        let first = records.iter().next().map(|record| record.offset());
        next += lost;
        assert!(first.is_none_or(|first| first == next), "{first:?} comes, {next} is next");
        next += records.len() as u64;
    }
    deleter.join().unwrap();
}

#[test]
fn shuttle_every_record_is_delivered_or_counted_as_lost() {
    assert!(caught(Bug::LossUncounted, || explore_some(SCHEDULES, deletion_overtakes_a_consumer)));
    explore_some(SCHEDULES, deletion_overtakes_a_consumer);
}

/// A consumer seeks beyond the end and commits while records come: what is committed exists.
fn a_commit_meets_a_growing_log() {
    let topic = topic(1);
    let group = group(&topic);
    let sending = topic.clone();
    let sender = thread::spawn(move || send(&sending, 0, 3));
    let of = TopicPartition::new("t", 0);
    let mut consumer = group.join("member").unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    consumer.seek(&of, 2).unwrap();
    for _ in 0..2 {
        consumer.commit().unwrap();
        let committed = group.committed(&of).map_or(0, |committed| committed.offset);
        let end = topic.partition(0).unwrap().high_watermark();
        assert!(committed <= end, "{committed} is committed, and the end is {end}");
    }
    sender.join().unwrap();
    consumer.commit().unwrap();
    assert_eq!(group.committed(&of).map(|committed| committed.offset), Some(2));
}

#[test]
fn shuttle_what_is_committed_exists() {
    assert!(caught(Bug::CommitBeyondEnd, || explore_some(SCHEDULES, a_commit_meets_a_growing_log)));
    explore_some(SCHEDULES, a_commit_meets_a_growing_log);
}
