//! Calls that fail, and what they may leave behind: an error that nobody hears of is a lost record.

use super::support::{LOG, Log, found, open, try_open, try_send};
use anabranch::testing::{CallKind, Fault, SimDisk, Times};
use anabranch::{
    AppendError, Delivery, Durability, FlushError, OpenError, Producer, Reader, Record,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Whatever was acknowledged survives; a sync that says yes after one that said no proves nothing.
pub(crate) fn a_failed_sync_is_not_made_good_by_another() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Synced);
    disk.fail_syncs(2, Times::Once);
    let sent = (0..3).filter(|value| try_send(&log.partition, *value).is_ok());
    let acknowledged = Vec::from_iter(sent);
    assert_eq!(disk.faults(), 1);
    for image in disk.crash_images(100) {
        assert!(found(&image).starts_with(&acknowledged), "lost some of {acknowledged:?}");
    }
    let refused = try_send(&log.partition, 3);
    assert!(matches!(refused, Err(AppendError::Poisoned { .. })), "{refused:?}");
}

pub(crate) fn a_failed_flush_is_the_last() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Written);
    log.send(0..2);
    disk.fail_syncs(1, Times::Once);
    log.partition.flush().expect_err("the sync failed");
    assert_eq!(log.values().unwrap(), [0, 1], "what was written stays readable");
    let again = log.partition.flush();
    if let Ok(end) = again {
        let kept = |image: SimDisk| found(&image).len() as u64 >= end;
        assert!(disk.crash_images(100).all(kept), "flushed up to {end}, and lost");
    }
    assert!(matches!(again, Err(FlushError::Poisoned { .. })), "{again:?}");
}

pub(crate) fn a_refused_write_leaves_nothing() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Written);
    log.send(0..2);
    let before = disk.contents();
    let bytes: usize = before.values().map(Vec::len).sum();
    disk.set_capacity(bytes as u64 + 20);
    let refused = try_send(&log.partition, 2);
    assert!(matches!(refused, Err(AppendError::Disk { .. })), "{refused:?}");
    assert!(disk.contents() == before, "twenty bytes of it are still there");
    disk.set_capacity(u64::MAX);
    log.send(3..10); // It rolls.
    assert_eq!(log.values().unwrap(), [0, 1, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(found(&disk.kill()), log.values().unwrap());
}

/// Not by a reader either that has looked where it would have been.
pub(crate) fn a_refused_record_is_never_read() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Written);
    let mut reader = Reader::new([(log.partition.clone(), 0)]);
    disk.fail_if(Fault::NoSpace, |call| call.kind == CallKind::Write);
    try_send(&log.partition, 1).expect_err("no space");
    assert!(reader.poll(Duration::ZERO).unwrap().is_empty());
    disk.heal();
    log.send(2..3);
    let records = reader.poll(Duration::ZERO).unwrap();
    let values = Vec::from_iter(records.iter().map(|record| record.value().unwrap().to_vec()));
    assert_eq!(values, [b"2"]);
}

/// While a write is under way, another record gets in line; the write is refused.
pub(crate) fn who_comes_during_a_refused_write_is_told() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Written);
    log.send(0..1);
    let producer = Producer::new(&log.topic);
    let late: Arc<Mutex<Option<Delivery>>> = Arc::default();
    let comes = Arc::clone(&late);
    disk.fail_if(Fault::NoSpace, move |call| {
        let is_met = call.kind == CallKind::Write && call.path.ends_with(&LOG[5..]);
        if is_met {
            let mut comes = comes.lock().unwrap();
            comes.get_or_insert_with(|| producer.enqueue(Record::new("2")).unwrap());
        }
        is_met
    });
    try_send(&log.partition, 1).expect_err("no space");
    disk.heal();
    let late = late.lock().unwrap().take().expect("it came");
    assert!(late.is_done(), "nobody would ever tell");
    if let Ok(sent) = late.wait() {
        let values = log.values().unwrap();
        assert_eq!(values.get(usize::try_from(sent.offset).unwrap()), Some(&2), "{values:?}");
    }
    log.send(3..4);
    assert_eq!(log.values().unwrap(), [0, 3]);
}

pub(crate) fn a_second_handle_is_refused() {
    let disk = SimDisk::new();
    let _first = open(&disk);
    let second = try_open(&disk);
    assert!(matches!(second, Err(OpenError::Locked { .. })), "it opened");
}
