//! A directory of three partitions, the ways in which one of them is damaged, and what that one must say then.

use super::support::{Dir, append, config, numbers, values_from};
use anabranch::{
    AppendError, Broker, Corruption, Durability, FlushError, OpenError, Partition, PartitionStats,
    ReadError, Record, Timestamp, TopicPartition,
};
use std::path::{Path, PathBuf};

pub(crate) const DAMAGED: &str = "orders-1";

/// How a session ended before the damage was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Closed,
    Killed,
}

/// A directory whose partitions have the same forty records, in segments of a few.
pub(crate) fn filled(ending: Ending) -> Dir {
    let dir = Dir::new();
    let broker = dir.open();
    let config = config(Durability::Written).partitions(3).segment_bytes(800);
    let topic = broker.create_topic("orders", config).unwrap();
    for partition in topic.partitions() {
        append(&partition, 0..40);
        partition.flush().unwrap();
    }
    if ending == Ending::Killed {
        return dir.killed();
    }
    broker.close().unwrap();
    dir
}

pub(crate) fn damaged(broker: &Broker) -> Partition {
    broker.topic("orders").unwrap().partition(1).unwrap()
}

/// A segment's file, by its place among them.
pub(crate) fn log(dir: &Dir, place: usize) -> PathBuf {
    dir.path().join(DAMAGED).join(&dir.names(DAMAGED, ".log")[place])
}

pub(crate) fn last(dir: &Dir) -> PathBuf {
    log(dir, dir.names(DAMAGED, ".log").len() - 1)
}

fn cut(path: &Path, bytes: usize) {
    let found = std::fs::read(path).unwrap();
    std::fs::write(path, &found[..found.len() - bytes]).unwrap();
}

pub(crate) fn flip(path: &Path, at: usize) {
    let mut found = std::fs::read(path).unwrap();
    found[at] ^= 1;
    std::fs::write(path, found).unwrap();
}

/// Renames a segment to another base offset, or copies it there.
fn to_base(path: &Path, base_offset: u64, keeps: bool) {
    let to = path.with_file_name(format!("{base_offset:020}.log"));
    std::fs::copy(path, to).unwrap();
    if !keeps {
        std::fs::remove_file(path).unwrap();
    }
}

pub(crate) fn base_of(path: &Path) -> u64 {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

/// Without the list of sealed segments all are read, one after the other.
fn forget_the_list(dir: &Dir) {
    std::fs::remove_file(dir.path().join(DAMAGED).join("segments")).unwrap();
}

pub(crate) type Damage = (&'static str, fn(&Dir));

/// What can be wrong with a partition's files after either ending.
pub(crate) const DAMAGES: [Damage; 8] = [
    ("a gap between sealed segments", |dir| std::fs::remove_file(log(dir, 1)).unwrap()),
    ("a gap before the last segment", |dir| {
        let last = last(dir);
        to_base(&last, base_of(&last) + 3, false);
    }),
    ("an overlap", |dir| {
        forget_the_list(dir);
        let second = log(dir, 1);
        to_base(&second, base_of(&second) - 2, true);
    }),
    ("a sealed segment that was cut", |dir| cut(&log(dir, 1), 1)),
    ("a sealed segment that grew", |dir| {
        let bytes = [std::fs::read(log(dir, 0)).unwrap(), vec![7; 9]].concat();
        std::fs::write(log(dir, 0), bytes).unwrap();
    }),
    ("the last segment cut below the mark", |dir| cut(&last(dir), 1)),
    ("no mark", |dir| std::fs::remove_file(dir.path().join(DAMAGED).join("mark")).unwrap()),
    ("no directory", |dir| std::fs::remove_dir_all(dir.path().join(DAMAGED)).unwrap()),
];

#[track_caller]
pub(crate) fn damage_of(broker: &Broker, what: &str) -> Corruption {
    let offline: Vec<_> = broker.recovery().offline().collect();
    assert_eq!(offline.len(), 1, "{what}: {offline:?}");
    let of = &offline[0].partition;
    let damage = offline[0].damage.clone().unwrap();
    let refused = broker.recovery().require_online().unwrap_err();
    let corruption = Box::new(damage.clone());
    assert_eq!(refused, OpenError::Corrupt { partition: of.clone(), corruption }, "{what}");
    assert!(damage.file.parent().unwrap().ends_with(format!("{}-{}", of.topic, of.partition)));
    damage
}

/// Every call that needs the partition is answered with the damage.
pub(crate) fn answers_with(damage: &Corruption, partition: &Partition, what: &str) {
    let of = || TopicPartition::new(partition.topic(), partition.id());
    let corruption = || Box::new(damage.clone());
    let appended = AppendError::Offline { partition: of(), corruption: corruption() };
    let read = ReadError::Offline { partition: of(), corruption: corruption() };
    assert_eq!(partition.damage(), Some(damage), "{what}");
    assert_eq!(partition.append(&[Record::new("x")]), Err(appended.clone()), "{what}");
    for before in [0, 5, u64::MAX] {
        assert_eq!(partition.delete_records(before), Err(appended.clone()), "{what}");
        assert_eq!(partition.read(before, 1).unwrap_err(), read, "{what}");
    }
    let flushed = FlushError::Offline { partition: of(), corruption: corruption() };
    assert_eq!(partition.flush(), Err(flushed), "{what}");
    let text = appended.to_string();
    assert!(text.starts_with("orders/1 is offline: ") && text.contains("byte"), "{text}");
    assert!(text.contains(damage.file.to_str().unwrap()), "{text}");
    // What is not known is nothing, and nothing is found.
    assert_eq!((partition.log_start_offset(), partition.high_watermark()), (0, 0), "{what}");
    assert_eq!((partition.log_end_offset(), partition.stats().records), (0, 0), "{what}");
    assert_eq!(partition.stats(), PartitionStats::default(), "{what}");
    assert_eq!(partition.offset_for_timestamp(Timestamp::from_millis(0)), None);
}

/// The other partitions have what they had, and take more; how many records each of them has, comes back.
pub(crate) fn others_work(broker: &Broker, count: u64, what: &str) -> u64 {
    for id in [0, 2] {
        let partition = broker.topic("orders").unwrap().partition(id).unwrap();
        assert_eq!(values_from(&partition, 0), numbers(0..count), "{what}");
        append(&partition, count..count + 7);
        partition.flush().unwrap();
        assert_eq!(values_from(&partition, 0), numbers(0..count + 7), "{what}");
    }
    count + 7
}
