//! What groups commit: seen when it is safe, and safe when it is acknowledged.

use super::support::{Log, open};
use anabranch::testing::{CallKind, Fault, SimDisk};
use anabranch::{ConsumerGroup, Durability, TopicPartition};
use std::time::Duration;

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
