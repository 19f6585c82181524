//! Partitions and topics that are added while members are at work.

use crate::support::{Bell, LONG, fill, group, group_of, now, of, read, settle, t, topic};
use anabranch::{GroupError, OffsetReset};
use std::task::{Context, Poll};

#[test]
fn partitions_that_are_added_are_picked_up_at_the_next_poll() {
    let topic = topic("t", 2);
    let group = group(&topic);
    let (mut a, mut b) = (group.join("a").unwrap(), group.join("b").unwrap());
    settle(&mut [&mut a, &mut b]);
    topic.add_partitions(4).unwrap();
    (0..4).for_each(|partition| fill(&topic, partition, 1));
    assert_eq!(read(&mut a).len() + read(&mut b).len(), 4);
    assert_eq!((a.assignment().len(), b.assignment().len()), (2, 2));
}

#[test]
fn partitions_that_are_added_start_at_their_beginning_under_every_policy() {
    let by_duration = OffsetReset::ByDuration(std::time::Duration::ZERO);
    for reset in [OffsetReset::Latest, by_duration, OffsetReset::Earliest] {
        let topic = topic("t", 1);
        fill(&topic, 0, 3);
        let group = group_of(&topic).offset_reset(reset).build().unwrap();
        let mut a = group.join("a").unwrap();
        now(&mut a);
        topic.add_partitions(2).unwrap();
        fill(&topic, 1, 2);
        let added: Vec<_> = read(&mut a).into_iter().filter(|(id, _)| *id == 1).collect();
        assert_eq!(added, [(1, 0), (1, 1)], "{reset:?}");
    }
}

#[test]
fn under_none_a_partition_that_is_added_waits_for_a_seek_as_well() {
    let topic = topic("t", 1);
    let group = group_of(&topic).offset_reset(OffsetReset::None).build().unwrap();
    group.reset_offsets(anabranch::ResetTo::Beginning).unwrap();
    let mut a = group.join("a").unwrap();
    now(&mut a);
    topic.add_partitions(2).unwrap();
    assert!(a.poll(std::time::Duration::ZERO).is_err());
    a.seek_to_beginning(&[t(1)]).unwrap();
    fill(&topic, 1, 1);
    assert_eq!(read(&mut a), [(1, 0)]);
}

#[test]
fn a_member_that_sleeps_in_a_poll_picks_them_up() {
    let topic = topic("t", 1);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    now(&mut a);
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            let records = a.poll(LONG).unwrap();
            records.iter().map(|record| record.partition()).collect::<Vec<_>>()
        });
        topic.add_partitions(2).unwrap();
        fill(&topic, 1, 1);
        assert_eq!(sleeper.join().unwrap(), [1]);
    });
    assert_eq!(a.assignment(), of("t", 0..2));
}

#[test]
fn a_task_is_woken_by_partitions_that_are_added() {
    let topic = topic("t", 1);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    let (bell, waker) = Bell::new();
    let mut context = Context::from_waker(&waker);
    assert!(a.poll_next(&mut context).is_pending());
    topic.add_partitions(3).unwrap();
    assert_eq!(bell.rings(), 1);
    assert!(a.poll_next(&mut context).is_pending());
    assert_eq!(a.assignment(), of("t", 0..3));
    fill(&topic, 2, 1);
    assert_eq!(bell.rings(), 2);
    assert!(matches!(a.poll_next(&mut context), Poll::Ready(Ok(records)) if records.len() == 1));
}

#[test]
fn a_topic_that_is_added_goes_to_those_who_read_all_topics() {
    let (x, y) = (topic("x", 2), topic("y", 2));
    let group = group(&x);
    let mut all = group.join("all").unwrap();
    let mut some = group.member("some").topics(["x"]).join().unwrap();
    settle(&mut [&mut all, &mut some]);
    fill(&y, 0, 1);
    group.add_topic(&y).unwrap();
    let refused = group.add_topic(&y).unwrap_err();
    assert_eq!(refused, GroupError::TopicExists { group: "g".into(), topic: "y".into() });
    assert_eq!(now(&mut all).len(), 1);
    settle(&mut [&mut all, &mut some]);
    assert_eq!(some.assignment().iter().filter(|of| of.topic == "y").count(), 0);
    assert!(of("y", 0..2).iter().all(|of| all.assignment().contains(of)));
    // It is watched like those from the start, and open to members that name it.
    y.add_partitions(3).unwrap();
    let mut late = group.member("late").topics(["y"]).join().unwrap();
    settle(&mut [&mut all, &mut some, &mut late]);
    let held = all.assignment().len() + some.assignment().len() + late.assignment().len();
    assert_eq!(held, 5);
}

#[test]
fn one_that_was_given_up_meanwhile_joins_again_with_the_topic_that_was_added() {
    let (x, y) = (topic("x", 1), topic("y", 1));
    let interval = std::time::Duration::from_secs(10);
    let (group, clock) = crate::support::timed(&x, |builder| builder.max_poll_interval(interval));
    let mut a = group.join("a").unwrap();
    now(&mut a);
    clock.advance(interval * 2);
    group.add_topic(&y).unwrap();
    now(&mut a);
    assert_eq!(a.assignment().len(), 2);
}

#[test]
fn growth_of_a_topic_that_nobody_reads_changes_nothing() {
    let (x, y) = (topic("x", 1), topic("y", 1));
    let group = group(&x);
    group.add_topic(&y).unwrap();
    let mut a = group.member("a").topics(["x"]).join().unwrap();
    now(&mut a);
    let generation = group.describe().generation;
    y.add_partitions(5).unwrap();
    assert_eq!(group.describe().generation, generation);
}

#[test]
fn under_latest_one_that_joins_after_the_growth_skips_nothing_either() {
    let topic = topic("t", 1);
    let group = group_of(&topic).offset_reset(OffsetReset::Latest).build().unwrap();
    let mut a = group.join("a").unwrap();
    now(&mut a);
    topic.add_partitions(2).unwrap();
    fill(&topic, 1, 2);
    let mut b = group.join("b").unwrap();
    settle(&mut [&mut a]);
    assert_eq!(b.assignment(), []);
    assert_eq!(read(&mut b), [(1, 0), (1, 1)], "they were written while the group was at work");
}

#[test]
fn under_latest_a_group_that_was_empty_meanwhile_starts_at_the_end() {
    let topic = topic("t", 1);
    let group = group_of(&topic).offset_reset(OffsetReset::Latest).build().unwrap();
    let mut a = group.join("a").unwrap();
    now(&mut a);
    drop(a);
    topic.add_partitions(2).unwrap();
    fill(&topic, 1, 2);
    assert_eq!(read(&mut group.join("b").unwrap()), []);
}
