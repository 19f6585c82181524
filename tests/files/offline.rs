//! Partitions whose files are damaged when the directory is opened: each is told and left as it is, and all
//! else works.
//!
//! A directory has three partitions with several segments each. Partition 1 is damaged in every way that an
//! opening can find, after a good end and after a kill.

use super::offline_damages::{
    DAMAGED, DAMAGES, Ending, answers_with, base_of, damage_of, damaged, filled, flip, last, log,
    others_work,
};
use super::support::{Dir, append, config, first, numbers, values_from};
use anabranch::inspect::Directory;
use anabranch::{
    Broker, CorruptionReason, Durability, OpenError, ReadError, Record, TopicPartition, salvage,
};

#[test]
fn damage_concerns_its_partition_alone_and_is_found_each_time() {
    for ending in [Ending::Closed, Ending::Killed] {
        for (what, damage) in DAMAGES {
            let dir = filled(ending);
            damage(&dir);
            let what = format!("{ending:?}, {what}");
            let before = dir.files_of(DAMAGED);
            let (mut count, mut first_found) = (40, None);
            // What is found once is found again, also after an orderly close.
            for round in 0..3 {
                let broker = dir.open_damaged();
                let found = damage_of(&broker, &what);
                assert_eq!(*first_found.get_or_insert(found.clone()), found, "{what}");
                answers_with(&found, &damaged(&broker), &what);
                if round != 1 {
                    count = others_work(&broker, count, &what);
                }
                broker.tick();
                broker.topic("orders").unwrap().apply_retention();
                answers_with(&found, &damaged(&broker), &what);
                assert_eq!(broker.close(), Ok(()), "{what}");
                assert!(dir.files_of(DAMAGED) == before, "{what}: a byte was changed");
            }
        }
    }
}

/// A flipped bit of a header below the mark, which an opening steps over after a kill. Kafka would cut the
/// log there.
#[test]
fn damage_below_the_mark_is_never_cut() {
    let dir = Dir::new();
    let broker = dir.open();
    let topic = broker.create_topic("orders", config(Durability::Synced).partitions(2)).unwrap();
    for partition in topic.partitions() {
        append(&partition, 0..20);
    }
    let dir = dir.killed();
    flip(&last(&dir), 7);
    let before = dir.files_of(DAMAGED);
    let broker = dir.open_damaged();
    let damage = damage_of(&broker, "a header");
    assert_eq!((damage.file.as_path(), damage.position, damage.offset), (&*last(&dir), 0, 0));
    assert_eq!(damage.reason, CorruptionReason::Offset { found: 1 });
    assert_eq!(values_from(&first(&broker.topic("orders").unwrap()), 0), numbers(0..20));
    broker.close().unwrap();
    assert!(dir.files_of(DAMAGED) == before);
    assert_eq!(damage_of(&dir.open_damaged(), "again"), damage);
    assert_eq!(salvage(dir.path().join(DAMAGED)).unwrap().flatten().count(), 19);
}

/// What is wrong in a sealed segment's bytes and not in its length is told by who reads it, as before.
#[test]
fn a_rotten_bit_in_a_sealed_segment_is_told_when_it_is_read() {
    let dir = filled(Ending::Closed);
    flip(&log(&dir, 1), 66);
    let broker = dir.open_damaged();
    assert_eq!(broker.recovery().require_online(), Ok(()));
    let partition = damaged(&broker);
    let offset = base_of(&log(&dir, 1));
    assert!(matches!(partition.read(offset, 1), Err(ReadError::Corrupt { .. })));
    assert_eq!(partition.append(&[Record::new("x")]), Ok(40));
}

#[test]
fn a_directory_with_damage_is_not_closed_as_a_good_one() {
    let dir = filled(Ending::Killed);
    (DAMAGES[0].1)(&dir);
    let broker = dir.open_damaged();
    others_work(&broker, 40, "");
    broker.close().unwrap();
    assert!(!dir.path().join("clean").exists());
    assert!(!Directory::read(dir.path()).unwrap().is_clean);
    let broker = dir.open_damaged();
    assert!(!broker.recovery().was_clean);
    // Without the partition nothing is damaged.
    broker.delete_topic("orders").unwrap();
    broker.close().unwrap();
    assert!(dir.open().recovery().was_clean);
}

#[test]
fn what_was_put_right_is_there_again() {
    let dir = filled(Ending::Closed);
    let path = log(&dir, 1);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let broker = dir.open_damaged();
    damage_of(&broker, "");
    let count = others_work(&broker, 40, "");
    broker.close().unwrap();
    std::fs::write(&path, bytes).unwrap();
    let broker = dir.open();
    assert_eq!(values_from(&damaged(&broker), 0), numbers(0..40));
    append(&damaged(&broker), 40..count);
    others_work(&broker, count, "");
}

#[test]
fn tools_look_at_it_while_the_broker_is_open() {
    let dir = filled(Ending::Closed);
    (DAMAGES[3].1)(&dir);
    let broker = dir.open_damaged();
    let found = damage_of(&broker, "");
    let directory = Directory::read(dir.path()).unwrap();
    let files = directory.partition(&TopicPartition::new("orders", 1)).unwrap();
    assert_eq!(files.damage.first(), Some(&found));
    assert!(!files.verify().unwrap().is_good());
    let saved = salvage(dir.path().join(DAMAGED)).unwrap().flatten().count();
    assert!((30..40).contains(&saved), "{saved}");
}

/// A refusal of the system says nothing about what is on the disk, nor does a file of a newer version, nor
/// something that somebody put there: what is behind it is not taken for damaged.
#[test]
fn what_is_no_damage_refuses_the_opening() {
    let dir = filled(Ending::Killed);
    let builder = Broker::builder().disk(super::gate::Gate::new(|what, path| {
        let is_it = what == "sync_dir" && path.ends_with(DAMAGED);
        if is_it { Err(std::io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }));
    let refused = builder.open(dir.path()).unwrap_err();
    assert!(
        matches!(&refused, OpenError::Disk(error) if error.path.ends_with(DAMAGED)),
        "{refused}"
    );
    std::fs::create_dir(dir.path().join(DAMAGED).join("sub")).unwrap();
    assert!(matches!(Broker::open(dir.path()), Err(OpenError::Foreign { .. })));
    std::fs::remove_dir(dir.path().join(DAMAGED).join("sub")).unwrap();
    let epochs = dir.path().join(DAMAGED).join("leader-epoch-checkpoint");
    std::fs::write(&epochs, "7\n0\n").unwrap();
    assert!(matches!(Broker::open(dir.path()), Err(OpenError::Version { found: 7, .. })));
    std::fs::remove_file(&epochs).unwrap();
    let broker = dir.open();
    assert_eq!(values_from(&damaged(&broker), 0), numbers(0..40), "nothing was lost");
}
