//! What goes from files: by size, by time, by request, by key.

use super::support::{Dir, LEVELS, append, config, first, numbers, values_from};
use anabranch::{Cleanup, Durability, ManualClock, ReadError, Record, Timestamp, TopicConfig};
use std::collections::BTreeMap;
use std::time::Duration;

#[test]
fn size_and_time_take_whole_segments_from_the_front() {
    let dir = Dir::new();
    let clock = ManualClock::at(Timestamp::from_millis(1_000_000));
    let broker = dir.open_at(clock.clone());
    let config = config(Durability::Written).segment_bytes(300).retention_bytes(1_000);
    let topic = broker.create_topic("t", config.retention_time(Duration::from_secs(60))).unwrap();
    let partition = first(&topic);
    append(&partition, 0..50);
    broker.tick();
    let start = partition.log_start_offset();
    assert!(start > 0 && topic.stats().total.bytes >= 1_000, "{start}");
    assert_eq!(values_from(&partition, start), numbers(start..50));
    assert!(matches!(
        partition.read(start - 1, 1),
        Err(ReadError::OutOfRange { log_start, .. }) if log_start == start
    ));
    clock.advance(Duration::from_secs(61));
    append(&partition, 50..52);
    broker.tick();
    let later = partition.log_start_offset();
    assert!(later > start);
    broker.close().unwrap();

    let broker = dir.open_at(clock);
    let partition = first(&broker.topic("t").unwrap());
    assert_eq!(partition.log_start_offset(), later);
    assert_eq!(values_from(&partition, later), numbers(later..52));
    assert!(dir.names("t-0", ".log").len() < 6, "the files are gone");
}

/// Kafka would begin another segment and drop this one.
#[test]
fn what_is_too_old_goes_from_the_last_segment_as_well() {
    for durability in LEVELS {
        let dir = Dir::new();
        let clock = ManualClock::at(Timestamp::from_millis(1_000_000));
        let broker = dir.open_at(clock.clone());
        let config = config(durability).retention_time(Duration::from_secs(60));
        let topic = broker.create_topic("t", config).unwrap();
        let partition = first(&topic);
        append(&partition, 0..10);
        clock.advance(Duration::from_secs(60));
        broker.tick();
        assert_eq!(partition.log_start_offset(), 0, "as old as may be");
        clock.advance(Duration::from_secs(1));
        append(&partition, 10..11);
        broker.tick();
        assert_eq!(partition.log_start_offset(), 0, "the latest record keeps the others");
        clock.advance(Duration::from_secs(61));
        broker.tick();
        assert_eq!((partition.log_start_offset(), partition.high_watermark()), (11, 11));
        assert!(matches!(partition.read(10, 1), Err(ReadError::OutOfRange { log_start: 11, .. })));
        assert!(partition.read(11, 1).unwrap().is_empty());
        append(&partition, 11..13);
        broker.close().unwrap();

        let broker = dir.open_at(clock);
        assert!(broker.recovery().was_clean);
        let partition = first(&broker.topic("t").unwrap());
        assert_eq!(partition.log_start_offset(), 11, "{durability:?}");
        assert_eq!(values_from(&partition, 11), numbers(11..13));
    }
}

#[test]
fn deleted_records_stay_deleted() {
    let dir = Dir::new();
    let broker = dir.open();
    let topic = broker.create_topic("t", config(Durability::Synced).segment_bytes(300)).unwrap();
    let partition = first(&topic);
    append(&partition, 0..20);
    assert_eq!(partition.delete_records(13).unwrap(), 13);
    assert_eq!(partition.delete_records(5).unwrap(), 13);
    assert!(partition.delete_records(21).is_err());
    assert_eq!(values_from(&partition, 13), numbers(13..20));
    drop(broker);
    let broker = dir.open();
    let partition = first(&broker.topic("t").unwrap());
    assert_eq!(partition.log_start_offset(), 13);
    assert!(partition.read(12, 1).is_err());
    assert_eq!(values_from(&partition, 13), numbers(13..20));
}

/// The key and value of every record that can be read.
fn pairs(partition: &anabranch::Partition) -> Vec<(u64, String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut reader = anabranch::Reader::new([(partition.clone(), partition.log_start_offset())]);
    let mut all = Vec::new();
    loop {
        let records = reader.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            return all;
        }
        assert_eq!(records.iter().count(), records.len());
        let row = |record: anabranch::ConsumerRecord<'_>| {
            (record.offset(), text(record.key().unwrap()), record.value().map(text))
        };
        all.extend(records.iter().map(row));
    }
}

#[test]
fn compaction_keeps_the_last_record_of_each_key() {
    let dir = Dir::new();
    let clock = ManualClock::at(Timestamp::from_millis(1_000_000));
    let broker = dir.open_at(clock.clone());
    let config = TopicConfig::new()
        .cleanup(Cleanup::Compact)
        .segment_bytes(2_000)
        .cache_bytes(0)
        .delete_retention(Duration::from_secs(60));
    let topic = broker.create_topic("t", config).unwrap();
    let partition = first(&topic);
    let mut latest = BTreeMap::new();
    let mut put = |number: u64| {
        let (key, value) = (format!("key {}", number % 17), format!("value {number}"));
        let record = Record::new(&value).with_key(&key);
        let record = if number.is_multiple_of(29) { Record::tombstone(&key) } else { record };
        let offset = partition.append(&[record]).unwrap();
        latest.insert(key.clone(), (offset, (!number.is_multiple_of(29)).then(|| value.clone())));
    };
    (0..2_000).for_each(&mut put);
    partition.flush().unwrap();
    broker.tick();
    let kept = pairs(&partition);
    assert!(kept.len() < 300, "{} records are left", kept.len());
    let check = |kept: &[(u64, String, Option<String>)]| {
        assert!(kept.is_sorted_by_key(|(offset, ..)| *offset));
        for (key, (offset, value)) in &latest {
            let last = kept.iter().rfind(|(_, of, _)| of == key);
            if value.is_some() {
                assert_eq!(last, Some(&(*offset, key.clone(), value.clone())));
            } else {
                assert!(last.is_none_or(|last| last.2.is_none()));
            }
        }
    };
    check(&kept);
    drop(broker);
    let broker = dir.open_at(clock);
    assert_eq!(pairs(&first(&broker.topic("t").unwrap())).len(), kept.len());
    check(&pairs(&first(&broker.topic("t").unwrap())));
}

#[test]
fn a_segment_that_went_before_its_first_sync_is_not_listed() {
    let dir = Dir::new();
    let broker = dir.open();
    let config = config(Durability::Written).segment_bytes(300);
    let partition = first(&broker.create_topic("t", config).unwrap());
    append(&partition, 0..20);
    assert_eq!(partition.delete_records(15).unwrap(), 15);
    partition.flush().unwrap();
    assert_eq!(values_from(&partition, 15), numbers(15..20));
    drop(partition);
    broker.close().unwrap();
    let partition = first(&dir.open().topic("t").unwrap());
    assert_eq!(partition.log_start_offset(), 15);
    assert_eq!(values_from(&partition, 15), numbers(15..20));
}

/// What no sync has covered is held open until one does; but not what retention took, which would keep its
/// room on the disk.
#[cfg(target_os = "linux")]
#[test]
fn what_retention_took_is_held_open_by_nobody() {
    let dir = Dir::new();
    let broker = dir.open();
    let config = config(Durability::Written).segment_bytes(300).retention_bytes(1_000);
    let topic = broker.create_topic("t", config.flush_interval(None)).unwrap();
    append(&first(&topic), 0..100);
    let held = || {
        let links = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
        let paths = links.filter_map(|link| std::fs::read_link(link.path()).ok());
        paths.filter(|path| path.starts_with(dir.path())).filter(|path| is_log(path)).count()
    };
    assert!(held() > 20, "each full segment waits for a sync");
    broker.tick();
    assert!(held() < 10, "{} are held", held());
    append(&first(&topic), 100..101);
    first(&topic).flush().unwrap();
}

/// Whether a path is that of a log, or of one that was removed.
#[cfg(target_os = "linux")]
fn is_log(path: &std::path::Path) -> bool {
    path.to_string_lossy().contains(".log")
}
