//! Seeking, pausing, and what becomes of both in a rebalance.

use crate::support::{fill, group, group_of, now, read, settle, t, topic, topic_at};
use anabranch::{ManualClock, OffsetReset, ReadError, Record, ResetTo, Timestamp, TopicPartition};
use std::time::Duration;

#[test]
fn seek_goes_to_an_offset_to_the_beginning_and_to_the_end() {
    let topic = topic("t", 2);
    (0..2).for_each(|partition| fill(&topic, partition, 3));
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    assert_eq!(read(&mut a).len(), 6);
    a.seek(&t(0), 1).unwrap();
    assert_eq!(a.position(&t(0)), Some(1));
    assert_eq!(read(&mut a), [(0, 1), (0, 2)]);
    a.seek_to_beginning(&[t(1)]).unwrap();
    assert_eq!(read(&mut a), [(1, 0), (1, 1), (1, 2)]);
    a.seek_to_beginning(&[]).unwrap();
    assert_eq!(a.position(&t(0)).zip(a.position(&t(1))), Some((0, 0)), "all of them");
    a.seek_to_end(&[]).unwrap();
    assert_eq!(read(&mut a), []);
}

#[test]
fn seek_goes_to_the_first_record_of_a_time() {
    let clock = ManualClock::new();
    let topic = topic_at("t", 1, &clock);
    for second in 0..4 {
        clock.set(Timestamp::from_millis(second * 1000));
        fill(&topic, 0, 1);
    }
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    now(&mut a);
    for (millis, position) in [(0, 0), (1, 1), (1000, 1), (2999, 3), (3000, 3), (3001, 4)] {
        a.seek_to_timestamp(&[t(0)], Timestamp::from_millis(millis)).unwrap();
        assert_eq!(a.position(&t(0)), Some(position), "{millis}");
    }
}

#[test]
fn what_is_not_assigned_cannot_be_sought_and_nothing_is_changed() {
    let topic = topic("t", 2);
    (0..2).for_each(|partition| fill(&topic, partition, 3));
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    assert_eq!(a.seek(&t(0), 0), Err(ReadError::NotAssigned { partition: t(0) }));
    now(&mut a);
    let refused = Err(ReadError::NotAssigned { partition: t(7) });
    assert_eq!(a.seek(&t(7), 0), refused);
    assert_eq!(a.seek_to_beginning(&[t(0), t(7)]), refused);
    assert_eq!(a.seek_to_end(&[t(0), t(7)]), refused);
    assert_eq!(a.seek_to_timestamp(&[t(0), t(7)], Timestamp::default()), refused);
    assert_eq!(a.position(&t(0)), Some(3));
    assert_eq!(read(&mut a), []);
}

#[test]
fn a_position_that_was_sought_is_committed_with_the_next_commit() {
    let topic = topic("t", 1);
    fill(&topic, 0, 5);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    now(&mut a);
    a.commit().unwrap();
    a.seek(&t(0), 2).unwrap();
    a.commit().unwrap();
    assert_eq!(group.committed(&t(0)).unwrap().offset, 2);
}

#[test]
fn a_paused_partition_is_not_read_and_resumes_where_it_was() {
    let topic = topic("t", 2);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    now(&mut a);
    a.pause(&[t(0), TopicPartition::new("u", 0)]); // what is not assigned is passed over
    (0..2).for_each(|partition| fill(&topic, partition, 2));
    assert_eq!(read(&mut a), [(1, 0), (1, 1)]);
    assert_eq!(a.position(&t(0)), Some(0));
    a.pause(&[t(0)]);
    a.resume(&[t(0), t(1)]);
    assert_eq!(read(&mut a), [(0, 0), (0, 1)]);
}

#[test]
fn a_paused_partition_stays_paused_when_it_is_sought() {
    let topic = topic("t", 1);
    fill(&topic, 0, 3);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    now(&mut a);
    a.pause(&[t(0)]);
    a.seek_to_beginning(&[]).unwrap();
    assert_eq!((read(&mut a), a.position(&t(0))), (vec![], Some(0)));
    a.resume(&[t(0)]);
    assert_eq!(read(&mut a).len(), 3);
}

#[test]
fn a_pause_lasts_through_a_rebalance_in_which_the_partition_stays() {
    let topic = topic("t", 2);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    now(&mut a);
    a.pause(&[t(0), t(1)]);
    let mut b = group.join("b").unwrap();
    settle(&mut [&mut b, &mut a]);
    assert_eq!(a.assignment(), [t(0)]);
    (0..2).for_each(|partition| fill(&topic, partition, 1));
    assert_eq!((read(&mut a), read(&mut b)), (vec![], vec![(1, 0)]));
    b.commit().unwrap();
    // What went away and came back is not paused any more.
    drop(b);
    fill(&topic, 1, 1);
    assert_eq!(read(&mut a), [(1, 1)]);
    a.resume(&[t(0)]);
    assert_eq!(read(&mut a), [(0, 0)]);
}

#[test]
fn a_pause_before_the_first_position_counts() {
    let topic = topic("t", 1);
    fill(&topic, 0, 2);
    let group = group_of(&topic).offset_reset(OffsetReset::None).build().unwrap();
    let mut a = group.join("a").unwrap();
    assert!(a.poll(Duration::ZERO).is_err());
    a.pause(&[t(0)]);
    a.seek(&t(0), 0).unwrap();
    assert_eq!(read(&mut a), []);
    a.resume(&[t(0)]);
    assert_eq!(read(&mut a).len(), 2);
}

#[test]
fn offsets_of_an_empty_group_are_set_in_every_way() {
    let clock = ManualClock::new();
    let topic = topic_at("t", 2, &clock);
    for second in 0..4 {
        clock.set(Timestamp::from_millis(second * 1000));
        fill(&topic, 0, 1);
    }
    topic.partition(0).unwrap().delete_records(1).unwrap();
    let group = group(&topic);
    let committed = |id| group.committed(&t(id)).map(|committed| committed.offset);
    let both = || (committed(0), committed(1));
    group.reset_offsets(ResetTo::Offsets(vec![(t(0), 2)])).unwrap();
    assert_eq!(both(), (Some(2), None), "others keep theirs");
    group.reset_offsets(ResetTo::Beginning).unwrap();
    assert_eq!(both(), (Some(1), Some(0)));
    group.reset_offsets(ResetTo::End).unwrap();
    assert_eq!(both(), (Some(4), Some(0)));
    group.reset_offsets(ResetTo::Timestamp(Timestamp::from_millis(2000))).unwrap();
    assert_eq!(both(), (Some(2), Some(0)));
    group.reset_offsets(ResetTo::Timestamp(Timestamp::from_millis(9000))).unwrap();
    assert_eq!(both(), (Some(4), Some(0)));
    group.reset_offsets(ResetTo::Offsets(vec![(t(0), 3)])).unwrap();
    assert_eq!(read(&mut group.join("a").unwrap()), [(0, 3)]);
}

#[test]
fn offsets_that_do_not_exist_are_refused_and_nothing_is_set() {
    let topic = topic("t", 2);
    fill(&topic, 0, 3);
    topic.partition(0).unwrap().delete_records(1).unwrap();
    let group = group(&topic);
    for offset in [0, 4] {
        let offsets = vec![(t(1), 0), (t(0), offset)];
        let refused = group.reset_offsets(ResetTo::Offsets(offsets)).unwrap_err();
        let (partition, requested, log_start, log_end) = (t(0), offset, 1, 3);
        let expected =
            anabranch::GroupError::OffsetOutOfRange { partition, requested, log_start, log_end };
        assert_eq!(refused, expected);
    }
    let refused = group.reset_offsets(ResetTo::Offsets(vec![(t(0), 1), (t(9), 0)])).unwrap_err();
    let expected = anabranch::GroupError::UnknownPartition { group: "g".into(), partition: t(9) };
    assert_eq!(refused, expected);
    assert_eq!((group.committed(&t(0)), group.committed(&t(1))), (None, None));
}

#[test]
fn offsets_are_not_set_while_somebody_is_there_or_may_come_back() {
    let topic = topic("t", 1);
    topic.partition(0).unwrap().append(&[Record::new("x")]).unwrap();
    let group = group(&topic);
    let a = group.member("a").instance_id("i").join().unwrap();
    for _ in 0..2 {
        let refused = group.reset_offsets(ResetTo::End).unwrap_err();
        assert!(matches!(refused, anabranch::GroupError::NotEmpty { members: 1, .. }));
    }
    drop(a);
    assert!(group.reset_offsets(ResetTo::End).is_err(), "it is away, not gone");
    assert_eq!(group.committed(&t(0)), None);
    assert!(group.remove_instance("i"));
    group.reset_offsets(ResetTo::End).unwrap();
}
