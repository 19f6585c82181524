//! Committed offsets: by hand, by themselves, and never by somebody who may not.

use crate::support::{Log, SECOND, TICK, fill, group, now, read, settle, t, timed, topic};
use anabranch::{CommitError, OffsetAndMetadata, TopicPartition};
use std::time::Duration;

#[test]
fn commit_stores_the_offset_behind_what_poll_returned() {
    let topic = topic("t", 2);
    fill(&topic, 0, 3);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    assert_eq!(read(&mut a).len(), 3);
    assert_eq!(group.committed(&t(0)), None);
    a.commit().unwrap();
    assert_eq!(group.committed(&t(0)), Some(OffsetAndMetadata::new(3)));
    assert_eq!(group.committed(&t(2)), None, "there is no such partition");
    a.commit().unwrap(); // nothing new: nothing to do
    fill(&topic, 0, 2);
    a.commit().unwrap();
    assert_eq!(group.committed(&t(0)).unwrap().offset, 3, "what was not returned is not committed");
}

#[test]
fn offsets_are_committed_by_hand_within_the_log() {
    let topic = topic("t", 2);
    fill(&topic, 0, 3);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    now(&mut a);
    for offset in [3, 0, 2] {
        a.commit_offsets(&[(t(0), offset)]).unwrap();
        assert_eq!(group.committed(&t(0)).unwrap().offset, offset, "also backwards");
    }
    a.commit_offsets(&[]).unwrap();
    let refused = a.commit_offsets(&[(t(1), 0), (t(0), 4)]).unwrap_err();
    let (partition, requested, log_start, log_end) = (t(0), 4, 0, 3);
    assert_eq!(refused, CommitError::OutOfRange { partition, requested, log_start, log_end });
    assert_eq!(group.committed(&t(1)), None, "all or nothing");
    topic.partition(0).unwrap().delete_records(2).unwrap();
    let refused = a.commit_offsets(&[(t(0), 1)]).unwrap_err();
    assert!(matches!(refused, CommitError::OutOfRange { log_start: 2, .. }));
    a.commit_offsets(&[(t(0), 2)]).unwrap();
}

#[test]
fn metadata_is_kept_up_to_its_limit() {
    let topic = topic("t", 2);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    now(&mut a);
    let with = |bytes: usize| OffsetAndMetadata::new(0).with_metadata("m".repeat(bytes));
    a.commit_with_metadata(vec![(t(0), with(4096))]).unwrap();
    assert_eq!(group.committed(&t(0)), Some(with(4096)));
    let refused = a.commit_with_metadata(vec![(t(1), with(1)), (t(0), with(4097))]).unwrap_err();
    let (partition, bytes, max) = (t(0), 4097, 4096);
    assert_eq!(refused, CommitError::MetadataTooLarge { partition, bytes, max });
    assert_eq!((group.committed(&t(0)), group.committed(&t(1))), (Some(with(4096)), None));
}

#[test]
fn what_is_not_assigned_is_not_committed() {
    let topic = topic("t", 2);
    (0..2).for_each(|partition| fill(&topic, partition, 2));
    let group = group(&topic);
    let (mut a, mut b) = (group.join("a").unwrap(), group.join("b").unwrap());
    settle(&mut [&mut a, &mut b]);
    let (mine, other) = (a.assignment()[0].clone(), b.assignment()[0].clone());
    let refused = a.commit_offsets(&[(mine.clone(), 1), (other.clone(), 1)]).unwrap_err();
    let (g, member, partition) = ("g".into(), "a".into(), other.clone());
    assert_eq!(refused, CommitError::NotAssigned { group: g, member, partition });
    for of in [t(2), TopicPartition::new("u", 0)] {
        let refused = a.commit_offsets(&[(of, 0)]).unwrap_err();
        assert!(matches!(refused, CommitError::NotAssigned { .. }), "{refused}");
    }
    assert_eq!((group.committed(&mine), group.committed(&other)), (None, None));
}

#[test]
fn what_was_let_go_of_is_not_committed_any_more() {
    let topic = topic("t", 2);
    (0..2).for_each(|partition| fill(&topic, partition, 2));
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    now(&mut a);
    let mut b = group.join("b").unwrap();
    now(&mut b);
    a.commit_offsets(&[(t(1), 1)]).unwrap(); // it is to move, but has not
    now(&mut a);
    let refused = a.commit_offsets(&[(t(1), 2)]).unwrap_err();
    assert!(matches!(refused, CommitError::NotAssigned { .. }));
    a.commit().unwrap(); // knows what is left
    assert_eq!(read(&mut b), [(1, 1)]);
    assert_eq!(group.committed(&t(1)).unwrap().offset, 1);
}

#[test]
fn auto_commit_stores_what_earlier_polls_returned_once_in_an_interval() {
    let topic = topic("t", 1);
    let (group, clock) = timed(&topic, |builder| builder.auto_commit(Some(SECOND * 5)));
    let mut a = group.join("a").unwrap();
    fill(&topic, 0, 2);
    assert_eq!(read(&mut a).len(), 2);
    clock.advance(SECOND * 5 - TICK);
    now(&mut a);
    assert_eq!(group.committed(&t(0)), None);
    clock.advance(TICK);
    fill(&topic, 0, 1);
    assert_eq!(read(&mut a).len(), 1);
    assert_eq!(group.committed(&t(0)).unwrap().offset, 2, "the third came with this very poll");
    clock.advance(SECOND * 5);
    now(&mut a);
    assert_eq!(group.committed(&t(0)).unwrap().offset, 3);
}

#[test]
fn without_auto_commit_nothing_is_stored_by_itself() {
    let topic = topic("t", 1);
    fill(&topic, 0, 2);
    let (group, clock) = timed(&topic, |builder| builder);
    let mut a = group.join("a").unwrap();
    now(&mut a);
    clock.advance(SECOND * 60);
    now(&mut a);
    a.leave().unwrap();
    assert_eq!(group.committed(&t(0)), None);
}

#[test]
fn auto_commit_comes_before_partitions_are_revoked_and_before_the_listener_hears() {
    let topic = topic("t", 2);
    (0..2).for_each(|partition| fill(&topic, partition, 2));
    let (group, _clock) = timed(&topic, |builder| builder.auto_commit(Some(Duration::MAX)));
    let log = Log::default();
    let (heard, watched) = (log.clone(), group.clone());
    let listener = crate::support::Doing(
        move |what: &str, _: &mut anabranch::Consumer, _: &[TopicPartition]| {
            heard.push(format!("{what} {}", watched.total_lag()));
        },
    );
    let mut a = group.member("a").listener(listener).join().unwrap();
    now(&mut a);
    let mut b = group.join("b").unwrap();
    settle(&mut [&mut b, &mut a]);
    assert_eq!(log.take(), ["assigned 4", "revoked 0", "assigned 0"]);
    assert_eq!(read(&mut b), []);
}

#[test]
fn auto_commit_comes_with_leaving_and_with_being_dropped() {
    let topic = topic("t", 1);
    let (group, _clock) = timed(&topic, |builder| builder.auto_commit(Some(Duration::MAX)));
    fill(&topic, 0, 2);
    let mut a = group.join("a").unwrap();
    now(&mut a);
    a.leave().unwrap();
    assert_eq!(group.committed(&t(0)).unwrap().offset, 2);
    fill(&topic, 0, 1);
    let mut b = group.join("b").unwrap();
    assert_eq!(read(&mut b), [(0, 2)]);
    drop(b);
    assert_eq!(group.committed(&t(0)).unwrap().offset, 3);
}

#[test]
fn leaving_says_when_auto_commit_was_refused() {
    let topic = topic("t", 1);
    fill(&topic, 0, 2);
    let (group, clock) =
        timed(&topic, |builder| builder.auto_commit(Some(Duration::MAX)).max_poll_interval(SECOND));
    let mut a = group.join("a").unwrap();
    now(&mut a);
    clock.advance(SECOND);
    let refused = a.leave().unwrap_err();
    let expected = CommitError::NotMember { group: "g".into(), member: "a".into() };
    assert_eq!(refused, anabranch::GroupError::Commit(expected));
    assert_eq!(group.committed(&t(0)), None);
}

#[test]
fn a_commit_that_was_refused_can_be_made_good() {
    let topic = topic("t", 1);
    fill(&topic, 0, 2);
    let (group, clock) = timed(&topic, |builder| builder.max_poll_interval(SECOND));
    let mut a = group.join("a").unwrap();
    assert_eq!(read(&mut a).len(), 2);
    clock.advance(SECOND);
    assert!(a.commit().is_err());
    assert_eq!(read(&mut a).len(), 2, "joined again, and read again");
    a.commit().unwrap();
    assert_eq!(group.committed(&t(0)).unwrap().offset, 2);
}

#[test]
fn lag_is_what_is_retained_and_not_committed() {
    let topic = topic("t", 2);
    fill(&topic, 0, 5);
    fill(&topic, 1, 2);
    let group = group(&topic);
    assert_eq!((group.lag(), group.total_lag()), (vec![(t(0), 5), (t(1), 2)], 7));
    let mut a = group.join("a").unwrap();
    assert_eq!((a.lag(&t(0)), a.position(&t(0))), (None, None), "not assigned yet");
    now(&mut a);
    assert_eq!((a.lag(&t(0)), a.position(&t(0))), (Some(0), Some(5)));
    assert_eq!(group.total_lag(), 7, "returned is not committed");
    a.commit_offsets(&[(t(0), 3)]).unwrap();
    assert_eq!(group.lag(), [(t(0), 2), (t(1), 2)]);
    topic.partition(0).unwrap().delete_records(4).unwrap();
    assert_eq!(group.lag(), [(t(0), 1), (t(1), 2)], "what is gone is nobody's lag");
    fill(&topic, 1, 1);
    assert_eq!(a.lag(&t(1)), Some(1));
}

#[test]
fn a_position_that_does_not_exist_is_not_committed() {
    let topic = topic("t", 2);
    (0..2).for_each(|partition| fill(&topic, partition, 3));
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    now(&mut a);
    a.seek(&t(0), 4).unwrap();
    a.commit().unwrap();
    let offset = |of| group.committed(&of).map(|committed| committed.offset);
    assert_eq!((offset(t(0)), offset(t(1))), (None, Some(3)), "the other one is");
    a.seek(&t(0), 3).unwrap();
    a.commit().unwrap();
    assert_eq!(group.total_lag(), 0, "nothing was forgotten");
}

#[test]
fn auto_commit_does_not_wait_for_records() {
    // Real time: a thread that sleeps in a poll commits what it returned before, when that is due.
    let topic = topic("t", 1);
    fill(&topic, 0, 2);
    let interval = Some(Duration::from_millis(2));
    let group =
        anabranch::ConsumerGroup::builder("g").topic(&topic).auto_commit(interval).build().unwrap();
    let mut a = group.join("a").unwrap();
    assert_eq!(read(&mut a).len(), 2);
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| a.poll(crate::support::LONG).unwrap().len());
        let started = std::time::Instant::now();
        while group.total_lag() > 0 && started.elapsed() < crate::support::LONG / 2 {
            std::thread::yield_now();
        }
        let lag = group.total_lag();
        fill(&topic, 0, 1);
        assert_eq!((sleeper.join().unwrap(), lag), (1, 0));
    });
}
