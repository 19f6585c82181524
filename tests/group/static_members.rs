//! Static members: they come back to their partitions, and a second holder fences the first.

use crate::support::{Log, TICK, fill, now, of, read, settle, t, timed, topic};
use anabranch::{CommitError, Consumer, ConsumerGroup, GroupError, ManualClock, PollError, Topic};
use std::time::Duration;

const SESSION: Duration = Duration::from_secs(30);

/// A static member and an ordinary one, each with two of four partitions.
fn two(topic: &Topic) -> (ConsumerGroup, ManualClock, Consumer, Consumer) {
    let (group, clock) = timed(topic, |builder| builder.session_timeout(SESSION));
    let mut a = group.member("a").instance_id("i").join().unwrap();
    let mut b = group.join("b").unwrap();
    settle(&mut [&mut a, &mut b]);
    assert_eq!((a.assignment().len(), b.assignment().len()), (2, 2));
    (group, clock, a, b)
}

#[test]
fn one_that_comes_back_in_time_gets_the_same_partitions_without_a_new_generation() {
    let topic = topic("t", 4);
    let (group, clock, mut a, mut b) = two(&topic);
    let (mine, generation) = (a.assignment().to_vec(), group.describe().generation);
    fill(&topic, mine[0].partition, 3);
    assert_eq!(read(&mut a).len(), 3);
    a.commit().unwrap();
    fill(&topic, mine[0].partition, 2);
    drop(a);
    assert!(group.describe().members[0].is_away);

    clock.advance(SESSION - TICK);
    now(&mut b);
    assert_eq!(b.assignment().len(), 2, "its partitions are kept");
    let log = Log::default();
    let mut again = group.member("a2").instance_id("i").listener(log.clone()).join().unwrap();
    assert_eq!(read(&mut again), [(mine[0].partition, 3), (mine[0].partition, 4)]);
    assert_eq!(again.assignment(), mine);
    assert_eq!((group.describe().generation, log.take().len()), (generation, 1));
    now(&mut b);
    assert_eq!(b.assignment().len(), 2);
}

#[test]
fn one_that_leaves_in_an_orderly_way_keeps_its_seat_too() {
    let topic = topic("t", 4);
    let (group, _, a, _b) = two(&topic);
    let mine = a.assignment().to_vec();
    a.leave().unwrap();
    let mut again = group.member("a").instance_id("i").join().unwrap();
    now(&mut again);
    assert_eq!(again.assignment(), mine);
}

#[test]
fn one_whose_thread_panicked_keeps_its_seat_too() {
    let topic = topic("t", 4);
    let (group, _, a, _b) = two(&topic);
    let mine = a.assignment().to_vec();
    let panicked = std::thread::spawn(move || {
        let _held = a;
        panic!("while processing");
    });
    assert!(panicked.join().is_err());
    let mut again = group.member("a").instance_id("i").join().unwrap();
    now(&mut again);
    assert_eq!(again.assignment(), mine);
}

#[test]
fn one_that_does_not_come_back_in_time_loses_them_to_others() {
    let topic = topic("t", 4);
    let (group, clock, a, mut b) = two(&topic);
    drop(a);
    clock.advance(SESSION);
    now(&mut b);
    assert_eq!(b.assignment(), of("t", 0..4));
    let mut again = group.member("a").instance_id("i").join().unwrap();
    now(&mut again);
    assert!(again.assignment().is_empty(), "it is a newcomer like any other");
    settle(&mut [&mut b, &mut again]);
    assert_eq!(again.assignment().len(), 2);
}

#[test]
fn one_that_comes_back_with_other_topics_is_noticed() {
    let (x, y) = (topic("x", 2), topic("y", 2));
    let builder = ConsumerGroup::builder("g").topic(&x).topic(&y).clock(ManualClock::new());
    let group = builder.build().unwrap();
    drop(group.member("a").instance_id("i").topics(["x"]).join().unwrap());
    let generation = group.describe().generation;
    let mut a = group.member("a").instance_id("i").topics(["y"]).join().unwrap();
    assert_eq!(group.describe().generation, generation + 1);
    now(&mut a);
    assert_eq!(a.assignment(), of("y", 0..2));
}

#[test]
fn a_second_live_holder_fences_the_first() {
    let topic = topic("t", 4);
    let (group, _clock) = timed(&topic, |builder| builder);
    let log = Log::default();
    let mut a = group.member("a").instance_id("i").listener(log.clone()).join().unwrap();
    now(&mut a);
    let mut thief = group.member("a2").instance_id("i").join().unwrap();
    now(&mut thief);
    assert_eq!(thief.assignment(), of("t", 0..4), "at once: it is the same seat");

    let refused = a.commit_offsets(&[(t(0), 0)]).unwrap_err();
    let (g, member, by) = ("g".into(), "a".into(), "a2".into());
    assert_eq!(refused, CommitError::Fenced { group: g, member, by });
    for _ in 0..3 {
        let refused = a.poll(Duration::from_secs(60)).unwrap_err();
        assert!(matches!(refused, PollError::Fenced { ref by, .. } if *by == "a2"), "{refused}");
        let refused = a.commit().unwrap_err();
        assert!(matches!(refused, CommitError::Fenced { .. }), "{refused}");
    }
    assert_eq!(log.take(), ["a assigned t/0 t/1 t/2 t/3", "a lost t/0 t/1 t/2 t/3"]);
    drop(a);
    assert_eq!(log.take(), Vec::<String>::new());
    now(&mut thief);
    assert_eq!(thief.assignment(), of("t", 0..4), "the first one's end harms nobody");
    assert_eq!(group.describe().members.len(), 1);
}

#[test]
fn the_same_name_may_take_its_own_seat() {
    let topic = topic("t", 1);
    let (group, _clock) = timed(&topic, |builder| builder);
    let mut old = group.member("a").instance_id("i").join().unwrap();
    now(&mut old);
    let mut new = group.member("a").instance_id("i").join().unwrap();
    now(&mut new);
    assert!(matches!(old.poll(Duration::ZERO), Err(PollError::Fenced { .. })));
    assert_eq!(new.assignment(), [t(0)]);
}

#[test]
fn a_name_that_an_ordinary_member_has_is_refused_to_a_static_one() {
    let topic = topic("t", 1);
    let (group, _clock) = timed(&topic, |builder| builder);
    let _a = group.join("a").unwrap();
    let refused = group.member("a").instance_id("i").join().unwrap_err();
    assert!(matches!(refused, GroupError::MemberExists { .. }));
}

#[test]
fn one_that_comes_back_counts_once_against_the_limit() {
    let topic = topic("t", 1);
    let (group, _clock) = timed(&topic, |builder| builder.max_members(1));
    drop(group.member("a").instance_id("i").join().unwrap());
    let refused = group.join("b").unwrap_err();
    assert!(matches!(refused, GroupError::Full { max: 1, .. }), "its seat is kept: {refused}");
    assert!(group.member("a").instance_id("i").join().is_ok());
}

#[test]
fn one_that_is_away_can_be_removed_by_hand() {
    let topic = topic("t", 4);
    let (group, _, a, mut b) = two(&topic);
    assert!(!group.remove_instance("i"), "it is there");
    assert_eq!(group.describe().members.len(), 2);
    drop(a);
    assert!(!group.remove_instance("j"), "there is no such instance");
    assert!(group.remove_instance("i"));
    assert!(!group.remove_instance("i"), "it is gone already");
    now(&mut b);
    assert_eq!(b.assignment(), of("t", 0..4));
}

#[test]
fn what_it_was_to_let_go_of_is_free_when_it_goes_away() {
    let topic = topic("t", 4);
    let (group, _clock) = timed(&topic, |builder| builder);
    let mut a = group.member("a").instance_id("i").join().unwrap();
    now(&mut a);
    let mut b = group.join("b").unwrap();
    now(&mut b);
    drop(a); // it was not told yet, so all is kept for it
    now(&mut b);
    assert!(b.assignment().is_empty());
    let mut a = group.member("a").instance_id("i").join().unwrap();
    settle(&mut [&mut a, &mut b]);
    assert_eq!((a.assignment().len(), b.assignment().len()), (2, 2));
}

#[test]
fn one_that_stops_polling_is_away_and_comes_back_to_its_partitions() {
    let topic = topic("t", 4);
    let (group, clock) = timed(&topic, |builder| {
        builder.max_poll_interval(Duration::from_secs(10)).session_timeout(SESSION)
    });
    let log = Log::default();
    let mut a = group.member("a").instance_id("i").listener(log.clone()).join().unwrap();
    let mut b = group.join("b").unwrap();
    settle(&mut [&mut a, &mut b]);
    let (mine, generation) = (a.assignment().to_vec(), group.describe().generation);
    log.take();
    clock.advance(Duration::from_secs(9));
    now(&mut b);
    clock.advance(Duration::from_secs(2));
    now(&mut b);
    assert!(group.describe().members[0].is_away);
    now(&mut a);
    assert_eq!((a.assignment(), group.describe().generation), (&mine[..], generation));
    assert_eq!(log.take(), ["a lost t/0 t/2", "a assigned t/0 t/2"]);
}
