//! Where consuming starts without a committed offset, and where it goes on after retention.

use crate::support::{SECOND, fill, group_of, now, read, t, topic, topic_at};
use anabranch::{ConsumerGroup, ManualClock, OffsetReset, PollError, ReadError, Timestamp};
use std::time::Duration;

#[test]
fn earliest_starts_at_the_first_record_that_is_retained() {
    let topic = topic("t", 1);
    fill(&topic, 0, 5);
    topic.partition(0).unwrap().delete_records(3).unwrap();
    let group = group_of(&topic).build().unwrap();
    let mut a = group.join("a").unwrap();
    let records = now(&mut a);
    assert_eq!(records.len(), 2);
    assert_eq!(records.lost(), [], "what was gone before is nobody's loss");
}

#[test]
fn latest_starts_at_the_end_and_remembers_it() {
    let topic = topic("t", 1);
    fill(&topic, 0, 5);
    let group = group_of(&topic).offset_reset(OffsetReset::Latest).build().unwrap();
    let mut a = group.join("a").unwrap();
    assert_eq!((read(&mut a), a.position(&t(0))), (vec![], Some(5)));
    a.commit().unwrap();
    drop(a);
    fill(&topic, 0, 1);
    assert_eq!(read(&mut group.join("b").unwrap()), [(0, 5)]);
}

#[test]
fn none_says_so_while_others_are_read_and_waits_for_a_seek() {
    let topic = topic("t", 3);
    let group = group_of(&topic).offset_reset(OffsetReset::None).build().unwrap();
    let mut first = group.join("first").unwrap();
    let refused = first.poll(Duration::from_secs(60)).unwrap_err();
    assert_eq!(refused, PollError::NoOffset { group: "g".into(), partition: t(0) });
    first.seek_to_end(&[t(0)]).unwrap();
    first.commit().unwrap();
    drop(first);

    let mut a = group.join("a").unwrap();
    fill(&topic, 0, 2);
    assert_eq!(read(&mut a), [(0, 0), (0, 1)], "the one that has an offset is read");
    assert_eq!((a.position(&t(1)), a.lag(&t(1))), (None, None));
    let mut named = Vec::new();
    for _ in 0..2 {
        match a.poll(Duration::ZERO).unwrap_err() {
            PollError::NoOffset { partition, .. } => named.push(partition),
            other => panic!("{other}"),
        }
    }
    assert_eq!(named, [t(1), t(2)], "each is named in turn");
    a.commit().unwrap();
    assert_eq!(group.committed(&t(1)), None);
    a.seek_to_beginning(&[t(1), t(2)]).unwrap();
    assert_eq!(read(&mut a), []);
}

#[test]
fn one_without_a_position_that_is_revoked_is_not_complained_about_any_more() {
    let topic = topic("t", 2);
    let group = group_of(&topic).offset_reset(OffsetReset::None).build().unwrap();
    let mut a = group.join("a").unwrap();
    assert!(a.poll(Duration::ZERO).is_err());
    a.seek(&t(0), 0).unwrap();
    let mut b = group.join("b").unwrap();
    now(&mut b);
    now(&mut a);
    assert_eq!(a.assignment(), [t(0)]);
    assert!(
        matches!(b.poll(Duration::ZERO), Err(PollError::NoOffset { partition, .. }) if partition == t(1))
    );
}

#[test]
fn by_duration_starts_at_the_first_record_that_is_young_enough() {
    let clock = ManualClock::new();
    let topic = topic_at("t", 1, &clock);
    for second in 0..5 {
        clock.set(Timestamp::from_millis(second * 1000));
        fill(&topic, 0, 1);
    }
    let start = |span: Duration| {
        let group = ConsumerGroup::builder("g")
            .topic(&topic)
            .clock(clock.clone())
            .offset_reset(OffsetReset::ByDuration(span))
            .build()
            .unwrap();
        let mut a = group.join("a").unwrap();
        let position = now(&mut a).iter().next().map(|record| record.offset());
        position.or(a.position(&t(0))).unwrap()
    };
    assert_eq!(start(SECOND * 2), 2, "exactly two seconds old is young enough");
    assert_eq!(start(SECOND * 2 - Duration::from_millis(1)), 3);
    assert_eq!(start(Duration::MAX), 0);
    assert_eq!(start(Duration::ZERO), 4);
    clock.advance(SECOND);
    assert_eq!(start(SECOND / 2), 5, "the end, if there is none");
}

/// A member of a group at offset 2 of 10, of which 5 were then deleted.
fn overtaken(reset: OffsetReset) -> (anabranch::Topic, ConsumerGroup, anabranch::Consumer) {
    let topic = topic("t", 2);
    fill(&topic, 0, 2);
    let group = group_of(&topic).offset_reset(reset).build().unwrap();
    group.reset_offsets(anabranch::ResetTo::Beginning).unwrap();
    let mut a = group.join("a").unwrap();
    assert_eq!(read(&mut a).len(), 2);
    fill(&topic, 0, 8);
    topic.partition(0).unwrap().delete_records(5).unwrap();
    (topic, group, a)
}

#[test]
fn what_retention_overtook_is_counted() {
    let (_, _, mut a) = overtaken(OffsetReset::Earliest);
    let records = now(&mut a);
    assert_eq!(crate::support::places(&records), [(0, 5), (0, 6), (0, 7), (0, 8), (0, 9)]);
    assert_eq!(records.lost(), [(t(0), 3)]);
    assert_eq!(now(&mut a).lost(), [], "once");
}

#[test]
fn a_committed_offset_that_retention_overtook_counts_as_well() {
    let (topic, group, mut a) = overtaken(OffsetReset::Earliest);
    a.commit_offsets(&[(t(0), 6)]).unwrap();
    drop(a);
    topic.partition(0).unwrap().delete_records(8).unwrap();
    let records = now(&mut group.join("b").unwrap());
    assert_eq!((records.len(), records.lost()), (2, &[(t(0), 2)][..]));
}

#[test]
fn under_latest_it_goes_on_at_the_end_and_says_what_was_gone() {
    let (topic, _, mut a) = overtaken(OffsetReset::Latest);
    let records = now(&mut a);
    assert_eq!((records.len(), records.lost()), (0, &[(t(0), 3)][..]));
    assert_eq!(a.position(&t(0)), Some(10));
    fill(&topic, 0, 1);
    assert_eq!(read(&mut a), [(0, 10)]);
}

#[test]
fn under_none_it_is_an_error_and_the_position_stays() {
    let (topic, _, mut a) = overtaken(OffsetReset::None);
    for _ in 0..2 {
        let refused = a.poll(Duration::from_secs(60)).unwrap_err();
        let (partition, requested, log_start, high_watermark) = (t(0), 2, 5, 10);
        let expected = ReadError::OutOfRange { partition, requested, log_start, high_watermark };
        assert_eq!(refused, PollError::Read(expected));
        assert_eq!(a.position(&t(0)), Some(2));
    }
    fill(&topic, 1, 1);
    let mut others = 0;
    for _ in 0..4 {
        others += a.poll(Duration::ZERO).map_or(0, |records| records.len());
    }
    assert_eq!(others, 1, "the other partition is read");
    a.seek_to_beginning(&[t(0)]).unwrap();
    assert_eq!(read(&mut a).len(), 5);
}

#[test]
fn a_position_beyond_the_end_is_reset_and_nothing_is_called_lost() {
    let topic = topic("t", 1);
    fill(&topic, 0, 3);
    let group = group_of(&topic).build().unwrap();
    let mut a = group.join("a").unwrap();
    now(&mut a);
    a.seek(&t(0), 100).unwrap();
    let records = now(&mut a);
    assert_eq!((records.len(), records.lost()), (3, &[][..]), "Earliest: from the beginning");
}

#[test]
fn one_partitions_reset_leaves_the_others_alone() {
    let (topic, _, mut a) = overtaken(OffsetReset::Earliest);
    fill(&topic, 1, 2);
    let mut all = read(&mut a);
    all.extend(read(&mut a));
    all.sort_unstable();
    let expected = [(0, 5), (0, 6), (0, 7), (0, 8), (0, 9), (1, 0), (1, 1)];
    assert_eq!(all, expected);
}

#[test]
fn a_poll_that_waits_tells_of_records_that_were_gone_as_well() {
    let (_, _, mut a) = overtaken(OffsetReset::Latest);
    let records = a.poll(Duration::from_secs(60)).unwrap();
    assert_eq!((records.len(), records.lost()), (0, &[(t(0), 3)][..]));
}

#[test]
fn where_a_reset_went_is_committed_with_the_next_commit() {
    let (topic, group, mut a) = overtaken(OffsetReset::Latest);
    a.commit().unwrap();
    assert_eq!(group.committed(&t(0)).unwrap().offset, 5);
    now(&mut a);
    a.commit().unwrap();
    assert_eq!(group.committed(&t(0)).unwrap().offset, 10);
    drop(a);
    fill(&topic, 0, 1);
    assert_eq!(read(&mut group.join("b").unwrap()), [(0, 10)]);
}
