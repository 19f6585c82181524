//! What listeners are told, in what order, and what they may do meanwhile.

use crate::support::{Doing, Log, fill, group, group_of, now, read, settle, t, timed, topic};
use anabranch::{CommitError, PollError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

#[test]
fn revoked_comes_before_assigned_and_what_is_kept_appears_nowhere() {
    let group = group(&topic("t", 4));
    let log = Log::default();
    let mut a = group.member("a").listener(log.clone()).join().unwrap();
    now(&mut a);
    assert_eq!(log.take(), ["a assigned t/0 t/1 t/2 t/3"]);
    now(&mut a);
    assert_eq!(log.take(), Vec::<String>::new(), "no news, no calls");
    let mut b = group.member("b").listener(log.clone()).join().unwrap();
    settle(&mut [&mut b, &mut a]);
    assert_eq!(log.take(), ["b assigned", "a revoked t/2 t/3", "a assigned", "b assigned t/2 t/3"]);
    b.leave().unwrap();
    now(&mut a);
    assert_eq!(log.take(), ["b revoked t/2 t/3", "a assigned t/2 t/3"]);
}

#[test]
fn a_listener_may_commit_what_is_taken_away() {
    let topic = topic("t", 2);
    fill(&topic, 0, 3);
    fill(&topic, 1, 5);
    let group = group(&topic);
    let listener = Doing(|what: &str, consumer: &mut anabranch::Consumer, partitions: &[_]| {
        if what == "revoked" {
            let offsets: Vec<_> = partitions
                .iter()
                .map(|of: &anabranch::TopicPartition| (of.clone(), consumer.position(of).unwrap()))
                .collect();
            consumer.commit_offsets(&offsets).unwrap();
        }
    });
    let mut a = group.member("a").listener(listener).join().unwrap();
    assert_eq!(read(&mut a).len(), 8);
    let mut b = group.join("b").unwrap();
    settle(&mut [&mut b, &mut a]);
    assert_eq!(group.committed(&t(1)).unwrap().offset, 5);
    assert_eq!(group.committed(&t(0)), None, "what stayed was not committed");
    assert_eq!(b.position(&t(1)), Some(5));
}

#[test]
fn commit_in_revoked_covers_everything_that_was_returned() {
    let topic = topic("t", 2);
    fill(&topic, 0, 3);
    fill(&topic, 1, 5);
    let group = group(&topic);
    let listener = Doing(|what: &str, consumer: &mut anabranch::Consumer, _: &[_]| {
        if what == "revoked" {
            consumer.commit().unwrap();
        }
    });
    let mut a = group.member("a").listener(listener).join().unwrap();
    assert_eq!(read(&mut a).len(), 8);
    let mut b = group.join("b").unwrap();
    settle(&mut [&mut b, &mut a]);
    assert_eq!(group.total_lag(), 0);
}

#[test]
fn a_listener_may_seek_in_what_it_was_given_and_the_same_poll_reads_there() {
    let topic = topic("t", 1);
    fill(&topic, 0, 5);
    let group = group(&topic);
    let listener = Doing(|what: &str, consumer: &mut anabranch::Consumer, _: &[_]| {
        if what == "assigned" {
            assert_eq!(consumer.position(&t(0)), Some(0), "it is positioned already");
            assert_eq!(consumer.assignment(), [t(0)]);
            consumer.seek(&t(0), 3).unwrap();
        }
    });
    let mut a = group.member("a").listener(listener).join().unwrap();
    assert_eq!(read(&mut a), [(0, 3), (0, 4)]);
}

#[test]
fn poll_in_a_listener_is_refused_and_harmless() {
    let topic = topic("t", 1);
    fill(&topic, 0, 2);
    let group = group(&topic);
    let log = Log::default();
    let heard = log.clone();
    let listener = Doing(move |what: &str, consumer: &mut anabranch::Consumer, _: &[_]| {
        let refused = consumer.poll(Duration::from_secs(60)).unwrap_err();
        assert_eq!(refused, PollError::Reentrant);
        heard.push(what);
    });
    let mut a = group.member("a").listener(listener).join().unwrap();
    assert_eq!(read(&mut a), [(0, 0), (0, 1)]);
    a.leave().unwrap();
    assert_eq!(log.take(), ["assigned", "revoked"]);
}

#[test]
fn a_panic_in_a_listener_reaches_the_caller_after_the_rebalance_is_done() {
    let topic = topic("t", 2);
    let group = group(&topic);
    let log = Log::default();
    let heard = log.clone();
    let listener = Doing(move |what: &str, _: &mut anabranch::Consumer, partitions: &[_]| {
        heard.push(format!("{what} {}", partitions.len()));
        assert!(what != "revoked", "cannot let go");
    });
    let mut a = group.member("a").listener(listener).join().unwrap();
    now(&mut a);
    let mut b = group.join("b").unwrap();
    now(&mut b);
    log.take();

    let panic = catch_unwind(AssertUnwindSafe(|| now(&mut a))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"cannot let go"));
    assert_eq!(log.take(), ["revoked 1", "assigned 0"], "it was carried through");
    assert_eq!(a.assignment(), [t(0)]);
    now(&mut b);
    assert_eq!(b.assignment(), [t(1)], "the partition moved");

    fill(&topic, 0, 1);
    assert_eq!(read(&mut a), [(0, 0)], "the consumer goes on");
    a.commit().unwrap();
    drop(b);
    now(&mut a);
    assert_eq!(log.take(), ["assigned 1"], "its listener is still there");
    assert!(catch_unwind(AssertUnwindSafe(|| a.leave())).is_err());
    assert_eq!(group.describe().members, [], "it left all the same");
}

#[test]
fn lost_is_told_once_and_commits_in_it_are_refused() {
    let topic = topic("t", 1);
    fill(&topic, 0, 2);
    let interval = Duration::from_secs(10);
    let (group, clock) = timed(&topic, |builder| builder.max_poll_interval(interval));
    let log = Log::default();
    let heard = log.clone();
    let listener =
        Doing(move |what: &str, consumer: &mut anabranch::Consumer, partitions: &[_]| {
            heard.push(format!("{what} {}", partitions.len()));
            if what == "lost" {
                let refused = consumer.commit_offsets(&[(t(0), 1)]).unwrap_err();
                assert!(matches!(refused, CommitError::NotMember { .. }), "{refused}");
            }
        });
    let mut a = group.member("a").listener(listener).join().unwrap();
    assert_eq!(now(&mut a).len(), 2);
    clock.advance(interval * 2);
    assert_eq!(now(&mut a).len(), 2, "it joined again and reads what was not committed");
    assert_eq!(log.take(), ["assigned 1", "lost 1", "assigned 1"]);
    assert_eq!(group.committed(&t(0)), None);
}

#[test]
fn a_member_without_partitions_loses_none() {
    let interval = Duration::from_secs(10);
    let (group, clock) = timed(&topic("t", 1), |builder| builder.max_poll_interval(interval));
    let log = Log::default();
    let mut a = group.join("a").unwrap();
    now(&mut a);
    let mut b = group.member("b").listener(log.clone()).join().unwrap();
    now(&mut b);
    clock.advance(interval * 2);
    now(&mut b);
    assert!(!log.take().iter().any(|line| line.contains("lost")));
}

#[test]
fn partitions_that_come_in_portions_are_announced_in_portions() {
    let group = group_of(&topic("t", 6)).build().unwrap();
    let (mut a, mut b) = (group.join("a").unwrap(), group.join("b").unwrap());
    settle(&mut [&mut a, &mut b]);
    let log = Log::default();
    let mut c = group.member("c").listener(log.clone()).join().unwrap();
    for _ in 0..2 {
        now(&mut c);
        now(&mut a);
        now(&mut c);
        now(&mut b);
        now(&mut c);
    }
    let told = log.take();
    let given: Vec<_> = told.iter().filter(|line| line.contains("t/")).collect();
    assert_eq!(given.len(), 2, "{told:?}");
    assert_eq!(c.assignment().len(), 2);
}

#[test]
fn what_is_lost_has_its_positions_until_the_listener_returns() {
    let topic = topic("t", 1);
    fill(&topic, 0, 2);
    let interval = Duration::from_secs(10);
    let (group, clock) = timed(&topic, |builder| builder.max_poll_interval(interval));
    let log = Log::default();
    let heard = log.clone();
    let listener = Doing(move |what: &str, consumer: &mut anabranch::Consumer, _: &[_]| {
        if what == "lost" {
            assert_eq!((consumer.assignment(), consumer.position(&t(0))), (&[t(0)][..], Some(2)));
            let refused = consumer.commit().unwrap_err();
            assert!(matches!(refused, CommitError::NotMember { .. }), "{refused}");
            consumer.seek(&t(0), 1).unwrap(); // goes with the rest
        }
        heard.push(what);
    });
    let mut a = group.member("a").listener(listener).join().unwrap();
    assert_eq!(now(&mut a).len(), 2);
    clock.advance(interval * 2);
    assert_eq!(read(&mut a), [(0, 0), (0, 1)]);
    assert_eq!(log.take(), ["assigned", "lost", "assigned"]);
}

#[test]
fn one_that_was_fenced_is_told_so_when_it_commits_in_lost() {
    let topic = topic("t", 1);
    let group = group(&topic);
    let log = Log::default();
    let heard = log.clone();
    let listener = Doing(move |what: &str, consumer: &mut anabranch::Consumer, _: &[_]| {
        if what == "lost" {
            heard.push(consumer.commit_offsets(&[(t(0), 0)]).unwrap_err().to_string());
        }
    });
    let mut a = group.member("a").instance_id("i").listener(listener).join().unwrap();
    now(&mut a);
    let _thief = group.member("b").instance_id("i").join().unwrap();
    assert!(a.poll(Duration::ZERO).is_err());
    assert_eq!(log.take(), ["member a of group g was fenced by b, which has its instance id"]);
}

#[test]
fn leaving_loses_what_is_not_the_members_any_more() {
    let interval = Duration::from_secs(10);
    let (group, clock) = timed(&topic("t", 1), |builder| builder.max_poll_interval(interval));
    let log = Log::default();
    let mut late = group.member("late").listener(log.clone()).join().unwrap();
    now(&mut late);
    clock.advance(interval);
    drop(late);
    let member = |name| group.member(name).instance_id("i").listener(log.clone());
    let mut old = member("old").join().unwrap();
    now(&mut old);
    let mut new = member("new").join().unwrap();
    now(&mut new);
    old.leave().unwrap();
    new.leave().unwrap();
    let told = log.take();
    assert_eq!(told[..2], ["late assigned t/0", "late lost t/0"]);
    assert_eq!(
        told[2..],
        ["old assigned t/0", "new assigned t/0", "old lost t/0", "new revoked t/0"]
    );
}
