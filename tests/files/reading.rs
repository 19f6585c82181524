//! Reading what is not in memory any more.

use super::support::{Dir, LEVELS, config, first};
use anabranch::{Durability, Reader, Record, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn value(offset: u64) -> String {
    format!("{offset:0>200}")
}

/// A partition of 20,000 records of which memory holds the last few: chunks of 64 KiB go at once.
fn fill(partition: &anabranch::Partition, records: u64) {
    for batch in 0..records / 50 {
        let values: Vec<String> = (batch * 50..batch * 50 + 50).map(value).collect();
        let stamp = |offset: u64| Timestamp::from_millis(1_000 + 10 * offset as i64);
        let records: Vec<Record<'_>> = values
            .iter()
            .zip(batch * 50..)
            .map(|(value, offset)| Record::new(value.as_str()).with_timestamp(stamp(offset)))
            .collect();
        assert_eq!(partition.append(&records).unwrap(), batch * 50);
    }
}

#[test]
fn a_reader_passes_from_the_files_to_memory() {
    for durability in LEVELS {
        let dir = Dir::new();
        let broker = dir.open();
        let config = config(durability).cache_bytes(0).segment_bytes(1 << 20);
        let topic = broker.create_topic("t", config).unwrap();
        let partition = first(&topic);
        fill(&partition, 100_000);
        let stats = topic.stats().total;
        assert!(stats.memory_bytes < stats.bytes, "{stats:?}");
        let mut reader = Reader::new([(partition.clone(), 0)]);
        let mut next = 0;
        while next < 100_000 {
            let records = reader.poll(Duration::ZERO).unwrap();
            assert!(!records.is_empty(), "nothing at {next}");
            for record in &records {
                assert_eq!(record.offset(), next);
                assert_eq!(record.value(), Some(value(next).as_bytes()));
                next += 1;
            }
        }
    }
}

#[test]
fn every_offset_and_every_time_is_found() {
    let dir = Dir::new();
    let broker = dir.open();
    let config = config(Durability::Written).cache_bytes(0).segment_bytes(300_000);
    let topic = broker.create_topic("t", config.clone()).unwrap();
    fill(&first(&topic), 20_000);
    for reopened in [false, true] {
        let broker = if reopened {
            broker.close().unwrap();
            dir.open()
        } else {
            broker.clone()
        };
        let partition = first(&broker.topic("t").unwrap());
        for offset in (0..20_000).step_by(37) {
            let records = partition.read(offset, 1).unwrap();
            let found = records.iter().next().unwrap();
            assert_eq!((found.offset(), found.value()), (offset, Some(value(offset).as_bytes())));
            let at = Timestamp::from_millis(1_000 + 10 * offset as i64);
            assert_eq!(partition.offset_for_timestamp(at), Some(offset));
            let before = Timestamp::from_millis(at.as_millis() - 9);
            assert_eq!(partition.offset_for_timestamp(before), Some(offset));
        }
        assert_eq!(partition.offset_for_timestamp(Timestamp::from_millis(300_000)), None);
        assert!(partition.read(20_000, 1).unwrap().is_empty());
        assert!(partition.read(20_001, 1).is_err());
    }
}

/// A look at one record reads two headers and what it is in: nothing more, to find out that it does not fit.
#[test]
fn a_look_at_one_record_takes_three_reads() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let dir = Dir::new();
    let broker = dir.open();
    let topic = broker.create_topic("t", config(Durability::Written)).unwrap();
    // What is read at once holds one of them, and a part of the next.
    let value = vec![7; 9_000];
    for offset in 0..100 {
        assert_eq!(first(&topic).append(&[Record::new(&value)]).unwrap(), offset);
    }
    broker.close().unwrap();
    let broker = dir.open_gated(move |what, path| {
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        counted.fetch_add(usize::from(what == "read" && is_log), Ordering::Relaxed);
        Ok(())
    });
    let partition = first(&broker.topic("t").unwrap());
    for offset in 0..100 {
        reads.store(0, Ordering::Relaxed);
        assert_eq!(partition.read(offset, 1).unwrap().len(), 1);
        let reads = reads.load(Ordering::Relaxed);
        assert!(reads <= 3, "{reads} reads for offset {offset}");
    }
}

#[test]
fn a_batch_larger_than_any_buffer_is_read_back() {
    let dir = Dir::new();
    let broker = dir.open();
    let config = config(Durability::Written).cache_bytes(0).max_batch_bytes(8 << 20);
    let topic = broker.create_topic("t", config).unwrap();
    let partition = first(&topic);
    let large = vec![7; 5 << 20];
    for _ in 0..3 {
        partition.append(&[Record::new(&large)]).unwrap();
        partition.append(&[Record::new("small")]).unwrap();
    }
    broker.close().unwrap();
    let broker = dir.open();
    let partition = first(&broker.topic("t").unwrap());
    for offset in 0..6 {
        let records = partition.read(offset, 1).unwrap();
        let length = records.iter().next().unwrap().value().unwrap().len();
        assert_eq!(length, if offset % 2 == 0 { 5 << 20 } else { 5 });
    }
}
