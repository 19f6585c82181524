//! Bytes that changed on the disk: a read returns the right record or an error, never another record.

use super::support::{LOG, Log, config, open, try_open, values};
use anabranch::testing::SimDisk;
use anabranch::{Durability, ReadError, Record};

/// Kafka cuts the log there, and what was acknowledged is gone without a word.
pub(crate) fn damage_below_the_mark_is_told() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Synced);
    log.send(0..3);
    let disk = disk.kill();
    disk.flip_bit(LOG, 70, 0).unwrap();
    let Ok(broker) = try_open(&disk) else { return };
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(partition.log_end_offset(), 3, "cut without a word");
    values(&partition).expect_err("the first batch is damaged");
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
