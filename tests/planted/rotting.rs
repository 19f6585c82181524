//! Bytes that changed on the disk: a read returns the right record or an error, never another record.

use super::support::{LOG, Log, config, open, open_damaged, values};
use anabranch::testing::SimDisk;
use anabranch::{AppendError, Durability, ReadError, Reader, Record};
use std::path::PathBuf;
use std::time::Duration;

/// Kafka cuts the log there, and what was acknowledged is gone without a word.
pub(crate) fn damage_below_the_mark_is_told() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Synced);
    log.send(0..3);
    let disk = disk.kill();
    disk.flip_bit(LOG, 70, 0).unwrap();
    let broker = open_damaged(&disk).unwrap();
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    if broker.recovery().require_online().is_err() {
        partition.read(0, 1).expect_err("it is offline");
        return;
    }
    assert_eq!(partition.log_end_offset(), 3, "cut without a word");
    values(&partition).expect_err("the first batch is damaged");
}

/// Three segments, of which the second is missing.
fn with_a_gap() -> SimDisk {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Written);
    log.send(0..20);
    log.broker.close().unwrap();
    drop(log);
    let logs = disk.files().into_iter().map(|(path, _)| path);
    let is_log =
        |path: &PathBuf| path.starts_with("data/t-0") && path.to_string_lossy().ends_with(".log");
    let mut logs = logs.filter(is_log);
    disk.remove(logs.nth(1).unwrap()).unwrap();
    disk
}

/// Nobody takes a partition whose files are damaged for one that holds nothing.
pub(crate) fn a_damaged_partition_says_so() {
    let broker = open_damaged(&with_a_gap()).unwrap();
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    for offset in [0, 7, 20] {
        let read = partition.read(offset, 1);
        assert!(matches!(read, Err(ReadError::Offline { .. })), "{read:?}");
    }
    let mut reader = Reader::new([(partition.clone(), 0)]);
    let polled = reader.poll(Duration::ZERO);
    assert!(matches!(polled, Err(ReadError::Offline { .. })), "{polled:?}");
    let appended = partition.append(&[Record::new("x")]);
    assert!(matches!(appended, Err(AppendError::Offline { .. })), "{appended:?}");
}

/// What only a close look finds is found again by the next opening: it looks as closely.
pub(crate) fn a_directory_with_damage_is_looked_at_again() {
    let disk = with_a_gap();
    let broker = open_damaged(&disk).unwrap();
    let other = broker.create_topic("other", config(Durability::Written)).unwrap();
    other.partition(0).unwrap().append(&[Record::new("x")]).unwrap();
    broker.close().unwrap();
    drop(broker);
    let broker = open_damaged(&disk).unwrap();
    assert!(!broker.recovery().was_clean, "it counts as good");
    assert_eq!(broker.recovery().offline().count(), 1);
}

pub(crate) fn a_flipped_bit_is_not_returned() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Written);
    log.send(0..1);
    log.broker.close().unwrap();
    // The value's only byte; behind it stands how many headers there are.
    let bytes = disk.read(LOG).unwrap().len() as u64;
    disk.flip_bit(LOG, bytes - 2, 0).unwrap();
    let log = Log::open(&disk, Durability::Written);
    let read = log.values();
    assert!(matches!(read, Err(ReadError::Corrupt { .. })), "{read:?}");
}

/// An index of good form whose first entry leads where the last one should.
pub(crate) fn a_wrong_index_leads_nowhere_wrong() {
    let disk = SimDisk::new();
    let broker = open(&disk);
    let config = config(Durability::Written).segment_bytes(32 << 10);
    let partition = broker.create_topic("t", config).unwrap().partition(0).unwrap();
    for _ in 0..40 {
        partition.append(&[Record::new(&[7; 1_000])]).unwrap();
    }
    broker.close().unwrap();
    let path = LOG.replace(".log", ".index");
    let index = disk.read(&path).unwrap();
    assert!(index.len() > 3 * 8, "some entries");
    let wrong = [&index[..4], &index[index.len() - 4..]].concat();
    disk.write(&path, wrong).unwrap();
    let broker = open(&disk);
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    for offset in 0..40 {
        let records = partition.read(offset, 1).unwrap();
        assert_eq!(records.iter().next().map(|record| record.offset()), Some(offset));
    }
}
