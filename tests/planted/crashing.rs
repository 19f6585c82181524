//! Crashes between any two calls to the disk: what is there opens, and is what it was before or after.

use super::support::{LOG, Log, config, found, open, values};
use anabranch::testing::{Fate, Fault, SimDisk, Times, Unsynced};
use anabranch::{Broker, Cleanup, Durability, Partition, Record};
use std::collections::BTreeMap;
use std::ops::Range;

/// Power cuts to be looked at behind each call.
const IMAGES: usize = 40;

fn every_crash(disk: &SimDisk, check: impl Fn(&SimDisk)) {
    some_crashes(disk, IMAGES, check);
}

fn some_crashes(disk: &SimDisk, images: usize, check: impl Fn(&SimDisk)) {
    for (_, moment) in disk.recorded() {
        check(&moment.kill());
        moment.crash_images(images).for_each(|image| check(&image));
    }
}

pub(crate) fn a_log_opens_after_a_crash_anywhere() {
    let disk = SimDisk::new();
    disk.record();
    let log = Log::open(&disk, Durability::Written);
    log.send(0..7);
    log.partition.flush().unwrap();
    log.send(7..8);
    log.partition.flush().unwrap();
    every_crash(&disk, |image| {
        let broker = open(image);
        let Ok(topic) = broker.topic("t") else { return };
        let values = values(&topic.partition(0).unwrap()).unwrap();
        assert_eq!(values, Vec::from_iter(0..values.len() as u64));
    });
}

pub(crate) fn records_are_deleted_whole() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Written);
    log.send(0..20);
    log.partition.flush().unwrap();
    disk.record();
    assert_eq!(log.partition.delete_records(12).unwrap(), 12);
    every_crash(&disk, |image| {
        let values = found(image);
        assert!(values == Vec::from_iter(0..20) || values == Vec::from_iter(12..20), "{values:?}");
    });
}

/// The mark's segment among them; an older one is still there when the power goes.
pub(crate) fn segments_go_in_any_order() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Written);
    log.send(0..12);
    log.partition.flush().unwrap();
    log.send(12..30);
    let base = log.partition.delete_records(27).unwrap();
    assert_eq!(base, 27);
    let image = disk.power_cut(|change| match change {
        Unsynced::Remove { path } if path.ends_with(&LOG[5..]) => Fate::Absent,
        _ => Fate::Whole,
    });
    assert!(image.read(LOG).is_ok(), "the first segment is left over");
    assert_eq!(found(&image), [27, 28, 29]);
    assert!(image.read(LOG).is_err());
}

/// Every call of a compaction fails, one after the other; then there is more to compact.
pub(crate) fn a_refused_compaction_is_finished_later() {
    for n in 1.. {
        let disk = SimDisk::new();
        let broker = open(&disk);
        let partition = compacted(&broker);
        send_keys(&partition, 0..12);
        disk.fail_call(n, Fault::Io, Times::Once);
        broker.tick();
        let was_refused = disk.faults() > 0;
        disk.heal();
        if partition.flush().is_ok() {
            send_keys(&partition, 12..24);
            disk.record();
            broker.tick();
            some_crashes(&disk, 6, |image| assert_last_of_each_key(image, 21));
        }
        if !was_refused {
            break;
        }
    }
}

fn compacted(broker: &Broker) -> Partition {
    let config = config(Durability::Written).cleanup(Cleanup::Compact).min_cleanable_ratio(0.0);
    broker.create_topic("t", config).unwrap().partition(0).unwrap()
}

/// Values of three keys in turn.
fn send_keys(partition: &Partition, values: Range<u64>) {
    for value in values {
        let (key, value) = ((value % 3).to_string(), value.to_string());
        partition.append(&[Record::new(&value).with_key(&key)]).unwrap();
    }
    partition.flush().unwrap();
}

fn assert_last_of_each_key(image: &SimDisk, first: u64) {
    let last: BTreeMap<u64, u64> =
        found(image).into_iter().map(|value| (value % 3, value)).collect();
    assert_eq!(last, (0..3).map(|key| (key, first + key)).collect());
}

pub(crate) fn compaction_keeps_the_last_of_each_key() {
    let disk = SimDisk::new();
    let broker = open(&disk);
    send_keys(&compacted(&broker), 0..30);
    disk.record();
    let before = disk.files();
    broker.tick();
    assert_ne!(disk.files(), before, "there was something to be cleaned");
    every_crash(&disk, |image| assert_last_of_each_key(image, 27));
}
