//! How much a poll returns, and in what order partitions are served.

use crate::support::{fill, fill_batch, group_of, now, read, t, topic};
use anabranch::Record;
use std::collections::BTreeMap;

#[test]
fn a_poll_returns_at_most_so_many_records_also_amid_a_batch() {
    let topic = topic("t", 1);
    fill_batch(&topic, 0, 7);
    fill(&topic, 0, 2);
    fill_batch(&topic, 0, 4);
    for max in 1..=14 {
        let group = group_of(&topic).max_poll_records(max).build().unwrap();
        let mut a = group.join("a").unwrap();
        let mut offsets = Vec::new();
        loop {
            let part = read(&mut a);
            if part.is_empty() {
                break;
            }
            assert!(part.len() <= max, "{} of {max}", part.len());
            offsets.extend(part.into_iter().map(|(_, offset)| offset));
            assert_eq!(a.position(&t(0)), offsets.last().map(|last| last + 1));
        }
        assert_eq!(offsets, (0..13).collect::<Vec<_>>(), "max_poll_records {max}");
    }
}

#[test]
fn a_commit_amid_a_batch_is_where_the_next_member_goes_on() {
    let topic = topic("t", 1);
    fill_batch(&topic, 0, 5);
    let group = group_of(&topic).max_poll_records(2).build().unwrap();
    let mut a = group.join("a").unwrap();
    assert_eq!(read(&mut a), [(0, 0), (0, 1)]);
    a.commit().unwrap();
    drop(a);
    let mut b = group.join("b").unwrap();
    assert_eq!((read(&mut b), read(&mut b)), (vec![(0, 2), (0, 3)], vec![(0, 4)]));
}

#[test]
fn a_poll_returns_at_most_so_many_bytes_but_at_least_one_batch() {
    let topic = topic("t", 1);
    let value = [0; 100];
    for _ in 0..6 {
        topic.partition(0).unwrap().append(&[Record::new(&value)]).unwrap();
    }
    let one = usize::try_from(topic.stats().total.bytes).unwrap() / 6;
    for (max, count) in [(1, 1), (one, 1), (2 * one - 1, 1), (2 * one, 2), (3 * one, 3)] {
        let group = group_of(&topic).max_poll_bytes(max).build().unwrap();
        assert_eq!(read(&mut group.join("a").unwrap()).len(), count, "{max} bytes");
    }
}

#[test]
fn bytes_are_counted_over_all_partitions() {
    let topic = topic("t", 4);
    let value = [0; 100];
    for id in 0..4 {
        topic.partition(id).unwrap().append(&[Record::new(&value)]).unwrap();
    }
    let one = usize::try_from(topic.stats().total.bytes).unwrap() / 4;
    let group = group_of(&topic).max_poll_bytes(2 * one).build().unwrap();
    let mut a = group.join("a").unwrap();
    let (first, second) = (read(&mut a), read(&mut a));
    assert_eq!((first.len(), second.len()), (2, 2));
    assert_eq!(first.into_iter().chain(second).collect::<std::collections::BTreeSet<_>>().len(), 4);
}

#[test]
fn a_partition_with_records_waits_for_no_more_polls_than_there_are_others() {
    // The bound that `poll` documents, with partitions that never run dry.
    let topic = topic("t", 5);
    (0..5).for_each(|id| fill_batch(&topic, id, 60));
    for max in [1, 2, 3, 7] {
        let group = group_of(&topic).max_poll_records(max).build().unwrap();
        let mut a = group.join("a").unwrap();
        let mut served: BTreeMap<u32, usize> = (0..5).map(|id| (id, 0)).collect();
        for poll in 1..=30 {
            for record in &now(&mut a) {
                served.insert(record.partition(), poll);
            }
            for (id, last) in &served {
                assert!(poll - last <= 4, "t/{id} waits since poll {last} at {poll}, max {max}");
            }
        }
    }
}

#[test]
fn a_partition_that_wakes_up_gets_its_turn_beside_busy_ones() {
    let topic = topic("t", 3);
    (0..2).for_each(|id| fill_batch(&topic, id, 500));
    let group = group_of(&topic).max_poll_records(1).build().unwrap();
    let mut a = group.join("a").unwrap();
    for _ in 0..100 {
        now(&mut a); // long enough for the silent one to be looked at no more
    }
    fill(&topic, 2, 1);
    let next: Vec<u32> = (0..3).flat_map(|_| read(&mut a)).map(|(id, _)| id).collect();
    assert!(next.contains(&2), "{next:?}");
}

#[test]
fn records_of_a_partition_come_in_offset_order_whatever_the_limits() {
    let topic = topic("t", 3);
    for round in 0..10 {
        (0..3).for_each(|id| fill_batch(&topic, id, 1 + (round + id as usize) % 4));
    }
    let group = group_of(&topic).max_poll_records(5).max_poll_bytes(200).build().unwrap();
    let mut a = group.join("a").unwrap();
    let mut next = BTreeMap::new();
    loop {
        let records = now(&mut a);
        if records.is_empty() {
            break;
        }
        for record in &records {
            let expected = next.entry(record.partition()).or_insert(0);
            assert_eq!(record.offset(), *expected);
            *expected += 1;
        }
    }
    for (id, end) in next {
        assert_eq!(end, topic.partition(id).unwrap().high_watermark());
    }
}
