//! A hundred members and a thousand partitions: they come, work and go, and nothing is read twice.

use crate::support::{Doing, group_of, now, of, topic};
use anabranch::{Consumer, ConsumerGroup, GroupState, Record, Topic, TopicPartition};
use std::collections::HashMap;

const PARTITIONS: u32 = 1000;

/// Commits when partitions are taken from it, and when it goes.
fn join(group: &ConsumerGroup, name: usize) -> Consumer {
    let listener = Doing(|what: &str, consumer: &mut Consumer, _: &[TopicPartition]| {
        if what == "revoked" {
            consumer.commit().unwrap();
        }
    });
    group.member(format!("m{name:03}")).listener(listener).join().unwrap()
}

fn send(topic: &Topic) {
    for partition in topic.partitions() {
        partition.append(&[Record::new("x")]).unwrap();
    }
}

/// Polls all until the group is stable; counts what each place was read.
fn converge(group: &ConsumerGroup, members: &mut [Consumer], seen: &mut HashMap<(u32, u64), u32>) {
    for round in 0.. {
        assert!(round < 10, "it does not settle");
        let mut count = 0;
        for member in members.iter_mut() {
            for record in &now(member) {
                *seen.entry((record.partition(), record.offset())).or_default() += 1;
                count += 1;
            }
        }
        if count == 0 && group.describe().state == GroupState::Stable {
            break;
        }
    }
    let mut held: Vec<TopicPartition> =
        members.iter().flat_map(|member| member.assignment().to_vec()).collect();
    held.sort_unstable();
    assert!(held == of("t", 0..PARTITIONS), "{} partitions are held", held.len());
    let counts = members.iter().map(|member| member.assignment().len());
    assert!(counts.clone().max().unwrap() - counts.min().unwrap() <= 1);
    assert!(members.iter().all(|member| member.generation() == group.describe().generation));
}

#[test]
fn a_hundred_members_share_a_thousand_partitions_and_read_every_record_once() {
    let topic = topic("t", PARTITIONS);
    let group = group_of(&topic).max_poll_records(usize::MAX).build().unwrap();
    let mut seen = HashMap::new();
    let mut members: Vec<Consumer> = (0..100).map(|name| join(&group, name)).collect();
    let mut sent = 0;
    // Two come and two go at a time, with records on their way.
    for round in 0..10 {
        send(&topic);
        sent += 1;
        converge(&group, &mut members, &mut seen);
        send(&topic);
        sent += 1;
        drop(members.remove((7 * round) % members.len()));
        members.push(join(&group, 100 + 2 * round));
        members.push(join(&group, 101 + 2 * round));
        converge(&group, &mut members, &mut seen);
        drop(members.swap_remove((31 * round) % members.len()));
    }
    converge(&group, &mut members, &mut seen);
    assert_eq!(seen.len(), sent * PARTITIONS as usize);
    assert!(seen.values().all(|count| *count == 1));
    drop(members);
    assert_eq!((group.total_lag(), group.describe().state), (0, GroupState::Empty));
}
