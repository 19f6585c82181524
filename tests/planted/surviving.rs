//! What was acknowledged, and what a kill or a power cut leaves of it.

use super::support::{
    LOG, Log, all_but_marks_is_lost, config, epochs, found, open, topic, try_send,
};
use anabranch::testing::{CallKind, Fate, Fault, SimDisk, Times, Unsynced};
use anabranch::{Broker, Durability, Housekeeping, Record};

pub(crate) fn a_kill_keeps_what_was_acknowledged() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Written);
    log.send(0..3);
    assert_eq!(found(&disk.kill()), [0, 1, 2]);
}

pub(crate) fn a_short_write_goes_on_where_it_stopped() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Written);
    log.send(0..1);
    let mut is_first = true;
    disk.fail_if(Fault::Short { bytes: 30 }, move |call| {
        call.kind == CallKind::Write
            && call.path.ends_with(&LOG[5..])
            && std::mem::take(&mut is_first)
    });
    log.send(1..3);
    assert_eq!(disk.faults(), 1);
    assert_eq!(found(&disk.kill()), [0, 1, 2]);
}

pub(crate) fn a_power_cut_keeps_what_was_acknowledged() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Synced);
    log.send(0..3);
    for image in disk.crash_images(100) {
        assert_eq!(found(&image), [0, 1, 2]);
    }
}

/// It and those above it, which were new as well.
pub(crate) fn a_new_directory_is_durable() {
    let disk = SimDisk::new();
    let builder = || Broker::builder().housekeeping(Housekeeping::Manual).disk(disk.clone());
    let broker = builder().open("home/app/data").unwrap();
    let topic = topic(&broker, Durability::Synced);
    try_send(&topic.partition(0).unwrap(), 0).unwrap();
    for image in disk.crash_images(100) {
        image.read(format!("home/app/{LOG}")).expect("the directory is there");
    }
}

pub(crate) fn a_power_cut_keeps_what_was_flushed() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Written);
    log.send(0..15); // some segments
    assert_eq!(log.partition.flush().unwrap(), 15);
    for image in disk.crash_images(100) {
        assert_eq!(found(&image), Vec::from_iter(0..15));
    }
}

/// The system takes the bytes of a failed sync for written, shows them, and has lost them.
pub(crate) fn what_is_shown_after_a_failed_sync_is_on_disk() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Synced);
    log.send(0..1);
    disk.fail_syncs(1, Times::Once);
    try_send(&log.partition, 1).expect_err("the sync failed");
    let disk = disk.kill();
    let log = Log::open(&disk, Durability::Synced);
    let shown = log.values().unwrap();
    for image in disk.crash_images(100) {
        assert_eq!(found(&image), shown);
    }
}

pub(crate) fn an_offset_is_given_again_in_a_new_epoch() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Written);
    log.send(0..2);
    log.partition.flush().unwrap();
    log.send(2..3);
    let disk = disk.power_cut(|_| Fate::Absent);
    let log = Log::open(&disk, Durability::Written);
    log.send(3..4);
    assert_eq!(log.values().unwrap(), [0, 1, 3]);
    assert_eq!(epochs(&disk), [(0, 0), (1, 0), (2, 1)]);
}

/// The note is gone before the first append: the power cut leaves files that look as if nothing was
/// lost, and the note would say so.
pub(crate) fn a_closed_directory_that_was_opened_and_cut_off() {
    let disk = SimDisk::new();
    Log::open(&disk, Durability::Written).broker.close().unwrap();
    let log = Log::open(&disk, Durability::Written);
    log.send(0..2);
    log.partition.flush().unwrap();
    log.send(2..3);
    let disk = disk.power_cut(all_but_marks_is_lost);
    let log = Log::open(&disk, Durability::Written);
    assert!(!log.broker.recovery().was_clean);
    log.send(3..4);
    assert_eq!(epochs(&disk), [(0, 0), (1, 0), (2, 1)]);
}

pub(crate) fn a_closed_directory_stays_as_it_was_closed() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Synced);
    log.send(0..2);
    log.broker.close().unwrap();
    for image in disk.crash_images(100) {
        let closed = image.contents();
        assert!(open(&image).recovery().was_clean);
        assert!(image.contents() == closed, "opening it changed it");
    }
}

pub(crate) fn a_torn_tail_is_cut_and_told() {
    let disk = SimDisk::new();
    let roomy = config(Durability::Written).segment_bytes(8 << 10);
    open(&disk).create_topic("t", roomy).unwrap();
    let log = Log::open(&disk, Durability::Written);
    log.send(0..1);
    log.partition.flush().unwrap();
    let whole = disk.read(LOG).unwrap();
    log.partition.append(&[Record::new(&[b'1'; 2_000])]).unwrap();
    let disk = disk.power_cut(|change| match change {
        Unsynced::Write { .. } => Fate::Torn { bytes: 1_000 },
        _ => Fate::Whole,
    });
    assert!(disk.read(LOG).unwrap().len() > whole.len());
    let log = Log::open(&disk, Durability::Written);
    let torn = log.broker.recovery().partitions.iter().find_map(|partition| partition.torn);
    assert!(disk.read(LOG).unwrap() == whole, "bytes of no batch are still there");
    assert_eq!(torn.expect("it is told").offset, 1);
}
