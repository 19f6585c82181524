//! A directory that is looked at and not opened: what is shown is what is there, and nothing is touched.

use super::support::{Dir, append, first, number};
use anabranch::inspect::Directory;
use anabranch::{CorruptionReason, Durability, OpenError, TopicConfig, TopicPartition};
use std::time::Duration;

/// Two partitions in several segments each, the second one empty, and a group that has read some.
fn filled(dir: &Dir) -> anabranch::Broker {
    let broker = dir.open();
    let config = TopicConfig::new().partitions(2).segment_bytes(500).durability(Durability::Synced);
    let topic = broker.create_topic("orders", config).unwrap();
    append(&first(&topic), 0..20);
    let group = broker.consumer_group("billing").topic(&topic).build().unwrap();
    let mut consumer = group.join("worker").unwrap();
    assert!(!consumer.poll(Duration::ZERO).unwrap().is_empty());
    consumer.commit_offsets(&[(TopicPartition::new("orders", 0), 7)]).unwrap();
    broker
}

fn orders(directory: &Directory) -> &anabranch::inspect::PartitionFiles {
    directory.partition(&TopicPartition::new("orders", 0)).expect("it is listed")
}

#[track_caller]
fn check(directory: &Directory) {
    let names: Vec<&str> = directory.topics.iter().map(|topic| &*topic.name).collect();
    assert_eq!(names, ["__consumer_offsets", "orders"]);
    let topic = &directory.topics[1];
    assert!(!topic.is_internal && directory.topics[0].is_internal);
    assert!(topic.settings.contains(&("durability", "synced".to_owned())));
    let partition = orders(directory);
    assert_eq!((partition.log_start_offset, partition.log_end_offset), (0, 20));
    assert_eq!(partition.synced_offset, Some(20));
    assert!(partition.damage.is_empty(), "{:?}", partition.damage);
    assert!(partition.segments.len() > 2);
    let (active, sealed) = partition.segments.split_last().expect("some");
    assert!(!active.is_sealed && sealed.iter().all(|segment| segment.is_sealed));
    assert!(partition.segments.windows(2).all(|pair| pair[0].end_offset == pair[1].base_offset));
    assert_eq!((active.end_offset, topic.partitions[1].log_end_offset), (20, 0));
    let values: Vec<u64> = partition.records_from(5).map(|record| number(&record)).collect();
    assert_eq!(values, (5..20).collect::<Vec<u64>>());
    let [group] = directory.groups.as_slice() else { panic!("{:?}", directory.groups) };
    assert_eq!(&*group.group, "billing");
    assert_eq!((group.offsets[0].committed.offset, group.offsets[0].lag), (7, Some(13)));
    assert_eq!(directory.skipped_commit_bytes, 0);
    for topic in &directory.topics {
        for partition in &topic.partitions {
            let verified = partition.verify().expect("readable");
            assert!(verified.is_good() && verified.torn.is_none(), "{verified:?}");
        }
    }
    assert_eq!(orders(directory).verify().map(|verified| verified.records), Ok(20));
}

#[test]
fn a_directory_is_shown_as_it_is_while_it_is_open_and_when_it_was_closed() {
    let dir = Dir::new();
    let broker = filled(&dir);
    let before = dir.contents();
    let directory = Directory::read(dir.path()).unwrap();
    assert!(!directory.is_clean);
    check(&directory);
    assert_eq!(dir.contents(), before);
    broker.close().unwrap();
    let before = dir.contents();
    let directory = Directory::read(dir.path()).unwrap();
    assert!(directory.is_clean);
    check(&directory);
    assert_eq!(dir.contents(), before);
}

#[test]
fn what_is_written_and_not_synced_is_seen() {
    let dir = Dir::new();
    let broker = dir.open();
    let config = TopicConfig::new().segment_bytes(500).flush_interval(None);
    let topic = broker.create_topic("orders", config).unwrap();
    append(&first(&topic), 0..20);
    let directory = Directory::read(dir.path()).unwrap();
    let partition = orders(&directory);
    assert_eq!((partition.synced_offset, partition.log_end_offset), (Some(0), 20));
    assert!(partition.damage.is_empty(), "{:?}", partition.damage);
    let verified = partition.verify().unwrap();
    assert_eq!((verified.records, verified.is_good(), verified.torn), (20, true, None));
}

/// Every byte of every segment, index and mark: a changed one is named, and nothing else is.
#[test]
fn verification_names_what_is_damaged() {
    let dir = Dir::new();
    filled(&dir).close().unwrap();
    let mut checked = 0;
    for (path, whole) in dir.contents() {
        let name = path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
        let is_covered = name.starts_with("orders-0") && !name.ends_with("index");
        if !is_covered || name.ends_with("mark") {
            continue;
        }
        for at in (0..whole.len()).step_by(3) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            std::fs::write(&path, &damaged).unwrap();
            let directory = Directory::read(dir.path()).unwrap();
            let found = orders(&directory).verify().unwrap();
            let file = found.damage.first().map(|damage| damage.file.clone());
            assert_eq!(file.as_deref(), Some(&*path), "{name} at {at}: {found:?}");
            checked += 1;
        }
        std::fs::write(&path, &whole).unwrap();
    }
    assert!(checked > 500, "{checked}");
}

#[test]
fn a_torn_tail_is_told_and_is_no_damage() {
    let dir = Dir::new();
    filled(&dir).close().unwrap();
    std::fs::remove_file(dir.path().join("clean")).unwrap();
    let last = dir.names("orders-0", ".log").pop().unwrap();
    let path = dir.path().join("orders-0").join(last);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend(b"half a batch");
    std::fs::write(&path, bytes).unwrap();
    let directory = Directory::read(dir.path()).unwrap();
    let found = orders(&directory).verify().unwrap();
    assert!(found.is_good());
    assert_eq!(found.torn.map(|torn| (torn.bytes, torn.offset)), Some((12, 20)));
}

#[test]
fn what_is_missing_is_named_and_the_rest_is_shown() {
    let dir = Dir::new();
    filled(&dir).close().unwrap();
    std::fs::remove_file(
        dir.path().join("orders-0").join(dir.names("orders-0", ".log")[1].clone()),
    )
    .unwrap();
    std::fs::remove_dir_all(dir.path().join("orders-1")).unwrap();
    let directory = Directory::read(dir.path()).unwrap();
    let damage = &orders(&directory).damage;
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert_eq!(damage[0].reason, CorruptionReason::Missing);
    let mark = &directory.topics[1].partitions[1].damage[0];
    assert!(mark.file.ends_with("orders-1/mark"), "{mark}");
    assert_eq!(directory.groups.len(), 1);

    let empty = Dir::new();
    assert!(matches!(Directory::read(empty.path()), Err(OpenError::Manifest { .. })));
    let absent = empty.path().join("nothing");
    assert!(matches!(Directory::read(absent), Err(OpenError::Manifest { .. })));
}
