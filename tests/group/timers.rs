//! The poll interval: who stops polling is given up, who sleeps in a poll is not.

use crate::support::{Log, SECOND, TICK, fill, now, of, read, settle, t, timed, topic};
use anabranch::{CommitError, GroupError, PollError};
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(10);

#[test]
fn one_that_stops_polling_is_given_up_exactly_when_the_interval_is_over() {
    let topic = topic("t", 2);
    let (group, clock) = timed(&topic, |builder| builder.max_poll_interval(INTERVAL));
    let (mut a, mut b) = (group.join("a").unwrap(), group.join("b").unwrap());
    settle(&mut [&mut a, &mut b]);
    clock.advance(INTERVAL - TICK);
    now(&mut b);
    assert_eq!((b.assignment().len(), group.describe().members.len()), (1, 2));
    clock.advance(TICK);
    now(&mut b);
    assert_eq!((b.assignment().len(), group.describe().members.len()), (2, 1));
}

#[test]
fn what_it_held_is_lost_and_it_joins_again_at_its_next_poll() {
    let topic = topic("t", 2);
    fill(&topic, 0, 2);
    let (group, clock) = timed(&topic, |builder| builder.max_poll_interval(INTERVAL));
    let log = Log::default();
    let mut a = group.member("a").listener(log.clone()).join().unwrap();
    assert_eq!(read(&mut a).len(), 2);
    let mut b = group.join("b").unwrap();
    clock.advance(INTERVAL - TICK);
    now(&mut b);
    clock.advance(TICK);
    assert_eq!(read(&mut b).len(), 2, "nothing was committed");

    let refused = a.commit().unwrap_err();
    assert_eq!(refused, CommitError::NotMember { group: "g".into(), member: "a".into() });
    let refused = a.commit_offsets(&[(t(0), 1)]).unwrap_err();
    assert!(matches!(refused, CommitError::NotMember { .. }));
    assert_eq!(group.committed(&t(0)), None);
    log.take();
    settle(&mut [&mut a, &mut b]);
    assert_eq!(log.take()[0], "a lost t/0 t/1");
    assert_eq!((a.assignment().len(), b.assignment().len()), (1, 1));
    b.commit().unwrap();
}

#[test]
fn one_that_was_late_is_given_up_even_if_nobody_else_noticed() {
    let topic = topic("t", 1);
    let (group, clock) = timed(&topic, |builder| builder.max_poll_interval(INTERVAL));
    let log = Log::default();
    let mut a = group.member("a").listener(log.clone()).join().unwrap();
    now(&mut a);
    let generation = a.generation();
    clock.advance(INTERVAL);
    now(&mut a);
    assert_eq!(a.generation(), generation, "just in time");
    clock.advance(INTERVAL + TICK);
    now(&mut a);
    assert_eq!(log.take(), ["a assigned t/0", "a lost t/0", "a assigned t/0"]);
    assert!(a.generation() > generation);
}

#[test]
fn polls_without_news_count_as_polls() {
    let topic = topic("t", 2);
    let (group, clock) = timed(&topic, |builder| builder.max_poll_interval(INTERVAL));
    let (mut a, mut b) = (group.join("a").unwrap(), group.join("b").unwrap());
    settle(&mut [&mut a, &mut b]);
    for _ in 0..20 {
        clock.advance(INTERVAL / 2);
        now(&mut a);
        clock.advance(INTERVAL / 3);
        now(&mut b);
    }
    assert_eq!((a.assignment().len(), b.assignment().len()), (1, 1));
    assert_eq!(group.describe().generation, a.generation());
}

#[test]
fn a_commit_is_not_a_poll() {
    let topic = topic("t", 1);
    fill(&topic, 0, 2);
    let (group, clock) = timed(&topic, |builder| builder.max_poll_interval(INTERVAL));
    let mut a = group.join("a").unwrap();
    now(&mut a);
    clock.advance(INTERVAL / 2);
    a.commit_offsets(&[(t(0), 1)]).unwrap();
    clock.advance(INTERVAL / 2);
    let refused = a.commit_offsets(&[(t(0), 2)]).unwrap_err();
    assert!(matches!(refused, CommitError::NotMember { .. }));
    assert_eq!(group.committed(&t(0)).unwrap().offset, 1);
}

#[test]
fn tick_gives_up_a_group_whose_members_all_hang() {
    let topic = topic("t", 1);
    let (group, clock) = timed(&topic, |builder| builder.max_poll_interval(INTERVAL));
    let mut a = group.join("a").unwrap();
    now(&mut a);
    clock.advance(INTERVAL);
    group.tick();
    assert_eq!(group.describe().members, []);
    assert!(now(&mut a).is_empty());
    assert_eq!(a.assignment(), [t(0)]);
}

#[test]
fn one_that_cannot_join_again_is_told_why_and_tries_again() {
    let topic = topic("t", 1);
    let (group, clock) =
        timed(&topic, |builder| builder.max_poll_interval(INTERVAL).max_members(1));
    let mut a = group.join("a").unwrap();
    now(&mut a);
    clock.advance(INTERVAL + SECOND);
    let b = group.join("b").unwrap();
    for _ in 0..3 {
        match a.poll(Duration::ZERO).unwrap_err() {
            PollError::Rejoin { reason, .. } => {
                assert_eq!(*reason, GroupError::Full { group: "g".into(), max: 1 });
            }
            other => panic!("{other}"),
        }
        assert!(a.assignment().is_empty());
    }
    drop(b);
    now(&mut a);
    assert_eq!(a.assignment(), of("t", 0..1));
}
