//! What is read of a broker's directory that is damaged.

use super::support::{Dir, append, first, number};
use anabranch::{Record, TopicConfig, salvage};

fn filled(dir: &Dir) {
    let broker = dir.open();
    let config = TopicConfig::new().partitions(2).segment_bytes(1_000);
    let topic = broker.create_topic("orders", config).unwrap();
    append(&first(&topic), 0..30);
    broker.close().unwrap();
}

#[test]
fn what_a_broker_refuses_is_salvaged_into_another_one() {
    let dir = Dir::new();
    filled(&dir);
    let log = dir.path().join("orders-0").join(&dir.names("orders-0", ".log")[0]);
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&log, &bytes[..bytes.len() - 1]).unwrap();
    let before = dir.contents();
    // Also beside a broker that has the rest of it open.
    let holder = dir.open_damaged();
    assert_eq!(holder.recovery().offline().count(), 1);

    let fresh = Dir::new();
    let broker = fresh.open();
    let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
    let to = topic.partition(0).unwrap();
    let of =
        salvage(dir.path()).unwrap().find(|of| of.topic_partition().to_string().contains("orders"));
    let mut partition = of.expect("it is there");
    let mut values = Vec::new();
    for record in &mut partition {
        values.push(number(&record));
        to.append(&[Record::new(record.value.as_deref().unwrap())]).unwrap();
    }
    let report = partition.report();
    let lost: Vec<u64> = (0..30).filter(|number| !values.contains(number)).collect();
    assert_eq!(lost, report.missing.iter().cloned().flatten().collect::<Vec<_>>());
    assert_eq!((report.records, report.skipped.len()), (28, 3), "{report:?}");
    assert_eq!(to.log_end_offset(), 28);
    holder.close().unwrap();
    assert_eq!(dir.contents(), before);
}

#[test]
fn a_partition_can_be_named_by_itself_and_beside_a_holder() {
    let dir = Dir::new();
    filled(&dir);
    let _holder = dir.open();
    let mut found = salvage(dir.path().join("orders-0")).unwrap();
    assert_eq!((&mut found).map(|partition| partition.count()).sum::<usize>(), 30);
    assert_eq!(salvage(dir.path()).unwrap().len(), 3);
}
