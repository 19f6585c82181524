//! Who sleeps in a poll, as a thread or as a task, is woken by records and by news of the group.

use crate::support::{Bell, LONG, fill, group, now, of, settle, t, topic};
use anabranch::{Consumer, PollError};
use std::task::{Context, Poll};
use std::time::Duration;

#[test]
fn a_sleeping_thread_is_woken_by_records() {
    let topic = topic("t", 3);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    for round in 0..20 {
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| a.poll(LONG).unwrap().len());
            fill(&topic, round % 3, 1);
            assert_eq!(sleeper.join().unwrap(), 1);
        });
    }
}

/// Polls until there are records; says how many.
fn sleep(consumer: &mut Consumer) -> usize {
    consumer.poll(LONG).unwrap().len()
}

#[test]
fn a_sleeping_thread_lets_go_when_somebody_joins() {
    let topic = topic("t", 2);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    now(&mut a);
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| sleep(&mut a));
        let mut b = group.join("b").unwrap();
        while b.assignment().is_empty() {
            assert!(b.poll(Duration::from_millis(1)).unwrap().is_empty());
        }
        fill(&topic, 1, 1);
        assert_eq!(sleep(&mut b), 1);
        fill(&topic, 0, 1);
        assert_eq!(sleeper.join().unwrap(), 1);
    });
}

#[test]
fn a_sleeping_thread_gets_what_somebody_left_behind() {
    let topic = topic("t", 2);
    let group = group(&topic);
    let (mut a, mut b) = (group.join("a").unwrap(), group.join("b").unwrap());
    settle(&mut [&mut a, &mut b]);
    assert_eq!(b.assignment(), [t(1)]);
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| sleep(&mut a));
        drop(b);
        fill(&topic, 1, 1);
        assert_eq!(sleeper.join().unwrap(), 1);
    });
    assert_eq!(a.assignment(), of("t", 0..2));
}

#[test]
fn a_sleeping_thread_learns_that_it_was_fenced() {
    let topic = topic("t", 1);
    let group = group(&topic);
    let mut a = group.member("a").instance_id("i").join().unwrap();
    now(&mut a);
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| a.poll(LONG).unwrap_err());
        let _thief = group.member("b").instance_id("i").join().unwrap();
        assert!(matches!(sleeper.join().unwrap(), PollError::Fenced { .. }));
    });
}

#[test]
fn a_task_is_woken_by_records() {
    let topic = topic("t", 2);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    let (bell, waker) = Bell::new();
    let mut context = Context::from_waker(&waker);
    assert!(a.poll_next(&mut context).is_pending());
    assert!(a.poll_next(&mut context).is_pending(), "asking again keeps one waker");
    assert_eq!(bell.rings(), 0);
    fill(&topic, 1, 1);
    fill(&topic, 1, 1);
    assert_eq!(bell.rings(), 1, "once");
    match a.poll_next(&mut context) {
        Poll::Ready(Ok(records)) => assert_eq!(records.len(), 2),
        other => panic!("{other:?}"),
    }
    assert!(a.poll_next(&mut context).is_pending());
    fill(&topic, 0, 1);
    assert_eq!(bell.rings(), 2);
}

#[test]
fn a_task_is_woken_by_news_of_the_group() {
    let topic = topic("t", 2);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    let (bell, waker) = Bell::new();
    let mut context = Context::from_waker(&waker);
    assert!(a.poll_next(&mut context).is_pending());
    let mut b = group.join("b").unwrap();
    assert_eq!(bell.rings(), 1);
    now(&mut b);
    assert!(a.poll_next(&mut context).is_pending());
    assert_eq!(a.assignment(), [t(0)], "it let go");
    now(&mut b);
    assert_eq!(b.assignment(), [t(1)]);
    let before = bell.rings();
    assert!(a.poll_next(&mut context).is_pending());
    drop(b);
    assert!(bell.rings() > before);
    assert!(a.poll_next(&mut context).is_pending());
    assert_eq!(a.assignment(), of("t", 0..2));
}

#[test]
fn a_task_that_waits_is_not_given_up_for_not_polling() {
    let topic = topic("t", 1);
    let (group, clock) =
        crate::support::timed(&topic, |builder| builder.max_poll_interval(Duration::from_secs(1)));
    let mut a = group.join("a").unwrap();
    let (_bell, waker) = Bell::new();
    let mut context = Context::from_waker(&waker);
    assert!(a.poll_next(&mut context).is_pending());
    clock.advance(Duration::from_secs(10));
    group.tick();
    assert_eq!(group.describe().members.len(), 1);
    assert!(a.poll_next(&mut context).is_pending());
    assert_eq!(a.generation(), group.describe().generation);
}

#[test]
fn a_poll_that_finds_nothing_ends_with_its_timeout() {
    let topic = topic("t", 1);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    assert!(a.poll(Duration::from_millis(1)).unwrap().is_empty());
    assert_eq!(a.assignment(), [t(0)]);
}

#[test]
fn news_that_come_while_a_poll_begins_are_not_slept_over() {
    // Somebody joins, and the target is made, after the poll has looked for news and before it sleeps.
    let topic = topic("t", 2);
    let group = group(&topic);
    let (newcomer, joined) = std::sync::mpsc::channel();
    let other = group.clone();
    let listener = crate::support::Doing(move |what: &str, _: &mut Consumer, partitions: &[_]| {
        if what == "assigned" && partitions.len() == 2 {
            let mut b = other.join("b").unwrap();
            now(&mut b);
            newcomer.send(b).unwrap();
        }
    });
    let mut a = group.member("a").listener(listener).join().unwrap();
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| sleep(&mut a));
        let mut b = joined.recv().unwrap();
        let started = std::time::Instant::now();
        while b.assignment().is_empty() && started.elapsed() < LONG / 2 {
            now(&mut b);
        }
        let moved = b.assignment().to_vec();
        fill(&topic, 0, 1);
        fill(&topic, 1, 1);
        sleeper.join().unwrap();
        assert_eq!(moved, [t(1)]);
    });
}

#[test]
fn a_task_does_not_wait_over_news_that_come_while_its_poll_begins() {
    let topic = topic("t", 2);
    let group = group(&topic);
    let (newcomer, joined) = std::sync::mpsc::channel();
    let other = group.clone();
    let listener = crate::support::Doing(move |what: &str, _: &mut Consumer, partitions: &[_]| {
        if what == "assigned" && partitions.len() == 2 {
            let mut b = other.join("b").unwrap();
            now(&mut b);
            newcomer.send(b).unwrap();
        }
    });
    let mut a = group.member("a").listener(listener).join().unwrap();
    let (_bell, waker) = Bell::new();
    assert!(a.poll_next(&mut Context::from_waker(&waker)).is_pending());
    let mut b = joined.recv().unwrap();
    now(&mut b);
    assert_eq!((a.assignment(), b.assignment()), (&[t(0)][..], &[t(1)][..]));
}

#[test]
fn a_task_that_was_woken_and_does_not_poll_is_given_up() {
    let topic = topic("t", 1);
    let interval = Duration::from_secs(10);
    let (group, clock) =
        crate::support::timed(&topic, |builder| builder.max_poll_interval(interval));
    let mut a = group.join("a").unwrap();
    let (bell, waker) = Bell::new();
    let mut context = Context::from_waker(&waker);
    assert!(a.poll_next(&mut context).is_pending());
    let wait = || {
        clock.advance(interval);
        group.tick();
        group.describe().members.len()
    };
    assert_eq!((wait(), wait(), wait()), (1, 1, 1), "it waits");
    fill(&topic, 0, 1);
    assert_eq!((bell.rings(), wait()), (1, 1), "its time runs from here at the latest");
    clock.advance(interval / 2);
    assert!(a.poll_next(&mut context).is_ready(), "it answers");
    assert!(a.poll_next(&mut context).is_pending());
    assert_eq!((wait(), a.generation()), (1, group.describe().generation));
    fill(&topic, 0, 1);
    assert_eq!((wait(), wait()), (1, 0), "it does not answer");
    let mut b = group.join("b").unwrap();
    now(&mut b);
    assert_eq!(b.assignment(), [t(0)]);
}
