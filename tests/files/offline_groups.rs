//! Groups beside partitions that are offline, and groups whose committed offsets are.

use super::offline_damages::{DAMAGED, DAMAGES, Damage, Ending, damage_of, damaged, filled};
use super::support::{Dir, append, numbers, values_from};
use anabranch::{
    Broker, CommitError, ConsumerGroup, GroupError, OffsetReset, PollError, ReadError, ResetTo,
    TopicError, TopicPartition,
};
use std::time::{Duration, Instant};

const OFFSETS: &str = "__consumer_offsets-0";

fn of(id: u32) -> TopicPartition {
    TopicPartition::new("orders", id)
}

fn group(broker: &Broker, reset: OffsetReset) -> ConsumerGroup {
    let topic = broker.topic("orders").unwrap();
    broker.consumer_group("billing").topic(&topic).offset_reset(reset).build().unwrap()
}

/// A directory in which `billing` has committed offset 10 of each partition.
fn committed(ending: Ending) -> Dir {
    let dir = filled(Ending::Closed);
    let broker = dir.open();
    let billing = group(&broker, OffsetReset::Earliest);
    let mut worker = billing.join("worker").unwrap();
    worker.poll(Duration::ZERO).unwrap();
    worker.commit_offsets(&[0, 1, 2].map(|id| (of(id), 10))).unwrap();
    drop((worker, billing));
    if ending == Ending::Killed {
        return dir.killed();
    }
    broker.close().unwrap();
    dir
}

#[test]
fn a_group_consumes_the_others_and_is_told_of_this_one() {
    for (ending, reset) in [
        (Ending::Closed, OffsetReset::Earliest),
        (Ending::Killed, OffsetReset::Latest),
        (Ending::Closed, OffsetReset::None),
    ] {
        let dir = committed(ending);
        (DAMAGES[0].1)(&dir);
        let broker = dir.open_damaged();
        let damage = damage_of(&broker, "");
        let offline = ReadError::Offline { partition: of(1), corruption: Box::new(damage.clone()) };
        let billing = group(&broker, reset);
        assert_eq!(billing.lag(), [(of(0), 30), (of(1), 0), (of(2), 30)]);
        let mut worker = billing.join("worker").unwrap();
        let (start, mut seen, mut told) = (Instant::now(), [0; 3], 0);
        while seen.iter().sum::<usize>() < 60 {
            match worker.poll(Duration::from_secs(60)) {
                Ok(records) => {
                    for record in &records {
                        seen[record.partition() as usize] += 1;
                    }
                }
                Err(PollError::Read(error)) => {
                    assert_eq!(error, offline);
                    told += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(seen, [30, 0, 30]);
        assert!(told > 0, "it is told");
        assert_eq!(worker.position(&of(1)), Some(10), "where it was");
        // With nothing else to read a poll does not wait before it tells.
        assert_eq!(worker.poll(Duration::from_secs(60)).unwrap_err(), PollError::Read(offline));
        assert!(start.elapsed() < Duration::from_secs(30));

        worker.seek_to_end(&[]).unwrap();
        assert_eq!(worker.commit(), Ok(()));
        let offsets = [0, 1, 2].map(|id| billing.committed(&of(id)).unwrap().offset);
        assert_eq!(offsets, [40, 10, 40], "what is committed for it stays");
        let refused = worker.commit_offsets(&[(of(0), 12), (of(1), 0)]).unwrap_err();
        let corruption = Box::new(damage);
        assert_eq!(refused, CommitError::Offline { partition: of(1), corruption });
        assert_eq!(billing.committed(&of(0)).unwrap().offset, 40);

        // Paused, it says no more.
        worker.pause(&[of(1)]);
        assert!(worker.poll(Duration::ZERO).unwrap().is_empty());
        append(&broker.topic("orders").unwrap().partition(0).unwrap(), 40..43);
        assert_eq!(worker.poll(Duration::from_secs(1)).unwrap().len(), 3);
        worker.leave().unwrap();
        broker.close().unwrap();
    }
}

/// A group that knows nothing of the partition learns why, whatever its policy; nothing is committed for it.
#[test]
fn a_new_group_is_told_whatever_its_policy() {
    for reset in [
        OffsetReset::Earliest,
        OffsetReset::Latest,
        OffsetReset::None,
        OffsetReset::ByDuration(Duration::from_secs(5)),
    ] {
        let dir = filled(Ending::Closed);
        (DAMAGES[3].1)(&dir);
        let broker = dir.open_damaged();
        let billing = group(&broker, reset);
        let mut worker = billing.join("worker").unwrap();
        let mut told = 0;
        for _ in 0..12 {
            match worker.poll(Duration::ZERO) {
                Err(PollError::Read(ReadError::Offline { partition, .. })) => {
                    assert_eq!(partition, of(1));
                    told += 1;
                }
                Err(PollError::NoOffset { partition, .. }) => assert_ne!(partition, of(1)),
                Err(error) => panic!("{error}"),
                Ok(_) => {}
            }
        }
        assert!(told > 3, "{reset:?}: {told}");
        worker.commit().unwrap();
        assert_eq!(billing.committed(&of(1)), None, "{reset:?}");
    }
}

#[test]
fn a_reset_names_what_is_offline() {
    let dir = committed(Ending::Closed);
    (DAMAGES[0].1)(&dir);
    let broker = dir.open_damaged();
    let billing = group(&broker, OffsetReset::Earliest);
    let offsets = |id| ResetTo::Offsets(vec![(of(0), 3), (of(id), 0)]);
    for to in [ResetTo::Beginning, ResetTo::End, offsets(1)] {
        let refused = billing.reset_offsets(to).unwrap_err();
        assert!(
            matches!(&refused, GroupError::Offline { partition, .. } if *partition == of(1)),
            "{refused}"
        );
    }
    let stands =
        |billing: &ConsumerGroup| [0, 1, 2].map(|id| billing.committed(&of(id)).unwrap().offset);
    assert_eq!(stands(&billing), [10, 10, 10]);
    billing.reset_offsets(offsets(2)).unwrap();
    assert_eq!(stands(&billing), [3, 10, 0]);
}

/// What can be wrong with the log of committed offsets: at opening, or when it is replayed.
const OFFSETS_DAMAGES: [Damage; 3] = [
    ("no segment", |dir| {
        let name = &dir.names(OFFSETS, ".log")[0];
        std::fs::remove_file(dir.path().join(OFFSETS).join(name)).unwrap();
    }),
    ("no mark", |dir| std::fs::remove_file(dir.path().join(OFFSETS).join("mark")).unwrap()),
    ("a rotten bit", |dir| {
        let path = dir.path().join(OFFSETS).join(&dir.names(OFFSETS, ".log")[0]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[80] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }),
];

#[test]
fn without_committed_offsets_topics_work_and_groups_are_refused() {
    let endings = [Ending::Closed, Ending::Killed];
    for (ending, (what, damage)) in
        endings.into_iter().flat_map(|ending| OFFSETS_DAMAGES.map(|damage| (ending, damage)))
    {
        let dir = committed(Ending::Closed);
        damage(&dir);
        if ending == Ending::Killed {
            std::fs::remove_file(dir.path().join("clean")).unwrap();
        }
        let before = dir.files_of(OFFSETS);
        let mut first_found = None;
        for round in 0..3_u64 {
            let broker = dir.open_damaged();
            let found = damage_of(&broker, what);
            assert_eq!(*first_found.get_or_insert(found.clone()), found, "{what}");
            let topic = broker.topic("orders").unwrap();
            let refused = broker.consumer_group("billing").topic(&topic).build().unwrap_err();
            let (group, corruption) = ("billing".into(), Box::new(found.clone()));
            let partition = TopicPartition::new("__consumer_offsets", 0);
            assert_eq!(refused, GroupError::Offline { group, partition, corruption }, "{what}");
            assert!(refused.to_string().contains(found.file.to_str().unwrap()), "{refused}");
            assert!(broker.consumer_group("fresh").topic(&topic).build().is_err(), "{what}");
            assert!(matches!(broker.delete_group("billing"), Err(GroupError::Offline { .. })));
            assert_eq!(broker.groups(), []);
            // A group of its own memory does without.
            let own = ConsumerGroup::builder("own").topic(&topic).build().unwrap();
            assert!(!own.join("worker").unwrap().poll(Duration::ZERO).unwrap().is_empty());
            let partition = damaged(&broker);
            let end = 40 + 2 * round;
            assert_eq!(values_from(&partition, 0), numbers(0..end), "{what}");
            append(&partition, end..end + 2);
            broker.tick();
            broker.close().unwrap();
            assert!(dir.files_of(OFFSETS) == before, "{what}: a byte was changed");
        }
        let broker = dir.open_damaged();
        let told = broker.delete_topic("orders").unwrap_err();
        assert!(matches!(told, TopicError::Offline { .. }), "{told}");
        assert!(broker.topic("orders").is_err() && !dir.path().join(DAMAGED).exists(), "{what}");
    }
}

#[test]
fn commits_are_there_again_once_their_log_is_put_right() {
    let dir = committed(Ending::Closed);
    let before = dir.files_of(OFFSETS);
    (OFFSETS_DAMAGES[2].1)(&dir);
    let broker = dir.open_damaged();
    damage_of(&broker, "");
    broker.close().unwrap();
    for (path, bytes) in before {
        std::fs::write(path, bytes).unwrap();
    }
    let broker = dir.open();
    assert_eq!(group(&broker, OffsetReset::None).committed(&of(1)).unwrap().offset, 10);
}
