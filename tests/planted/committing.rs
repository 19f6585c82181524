//! What groups commit: seen when it is safe, and safe when it is acknowledged.

use super::support::{Log, killed, open};
use anabranch::testing::{CallKind, Fate, Fault, SimDisk};
use anabranch::{ConsumerGroup, Durability, TopicPartition};
use std::time::Duration;

/// Commits all there is, for good.
fn consume(log: &Log) {
    let mut consumer = group(log).join("one").unwrap();
    while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
    consumer.commit().unwrap();
}

/// A group goes on, and new records come: it reads all of them, though it has read others at their
/// offsets.
fn goes_on_behind(log: &Log, kept: u64) {
    let mut consumer = group(log).join("one").unwrap();
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    log.send(10..20);
    let mut offsets = Vec::new();
    while let records = consumer.poll(Duration::ZERO).unwrap()
        && !records.is_empty()
    {
        offsets.extend(records.iter().map(|record| record.offset()));
    }
    assert_eq!(offsets, Vec::from_iter(kept..kept + 10));
}

fn group(log: &Log) -> ConsumerGroup {
    let builder = log.broker.consumer_group("g").topic(&log.topic);
    builder.durability(Durability::Synced).build().unwrap()
}

pub(crate) fn a_refused_commit_is_not_seen() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Synced);
    log.send(0..3);
    let group = group(&log);
    let mut consumer = group.join("one").unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 3);
    disk.fail_if(Fault::NoSpace, |call| {
        let is_offsets = call.path.to_string_lossy().contains("__consumer_offsets");
        is_offsets && call.kind == CallKind::Write
    });
    consumer.commit().expect_err("no space");
    assert_eq!(group.committed(&TopicPartition::new("t", 0)), None);
    disk.heal();
    consumer.commit().unwrap();
    assert_eq!(group.committed(&TopicPartition::new("t", 0)).map(|it| it.offset), Some(3));
}

pub(crate) fn a_power_cut_keeps_what_was_committed() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Synced);
    log.send(0..3);
    let mut consumer = group(&log).join("one").unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 3);
    consumer.commit().unwrap();
    for image in disk.crash_images(100) {
        let committed = open(&image).groups().into_iter().find(|(group, _)| &**group == "g");
        let (_, offsets) = committed.expect("it was acknowledged");
        assert_eq!(offsets[0].1.offset, 3);
    }
}

/// What a kill left, and nobody has synced, is read and committed; a power cut takes it.
pub(crate) fn a_group_reads_what_took_the_place_of_what_it_read() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Written);
    log.send(0..1);
    log.partition.flush().unwrap();
    log.send(1..3);
    let disk = disk.kill();
    let disk = killed(&disk, consume).power_cut(|_| Fate::Absent);
    goes_on_behind(&Log::open(&disk, Durability::Written), 1);
}

/// The same, but something is appended in between, in an epoch that goes with what was read.
pub(crate) fn a_group_goes_on_where_a_log_was_cut_twice() {
    let disk = SimDisk::new();
    let log = Log::open(&disk, Durability::Written);
    log.send(0..1);
    log.partition.flush().unwrap();
    let disk = killed(&disk, |log| log.send(1..3));
    let disk = killed(&disk, |log| {
        consume(log);
        log.send(3..4);
    });
    goes_on_behind(&Log::open(&disk.power_cut(|_| Fate::Absent), Durability::Written), 1);
}
