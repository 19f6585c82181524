//! The broker: topics come back with their settings, the directory has one holder, closing is closing.

use super::support::{Dir, LEVELS, append, config, first, numbers, values_from};
use anabranch::{
    AppendError, Broker, Cleanup, Durability, OpenError, Producer, ReadError, Reader, Record,
    SendError, TopicConfig, TopicError, TopicPartition,
};
use std::time::Duration;

#[test]
fn records_are_there_after_a_restart() {
    for durability in LEVELS {
        let dir = Dir::new();
        let broker = dir.open();
        let topic = broker.create_topic("orders", config(durability).partitions(2)).unwrap();
        append(&first(&topic), 0..100);
        broker.close().unwrap();

        let broker = dir.open();
        assert!(broker.recovery().was_clean, "{durability:?}");
        let topic = broker.topic("orders").unwrap();
        assert_eq!(topic.partition_count(), 2);
        assert_eq!(values_from(&first(&topic), 0), numbers(0..100), "{durability:?}");
        append(&first(&topic), 100..150);
        assert_eq!(values_from(&first(&topic), 90), numbers(90..150));
        drop(broker);
        let broker = dir.open();
        let again = first(&broker.topic("orders").unwrap());
        assert_eq!(values_from(&again, 0), numbers(0..150));
    }
}

#[test]
fn opening_and_closing_changes_no_byte() {
    let dir = Dir::new();
    let broker = dir.open();
    let topic = broker.create_topic("orders", config(Durability::Synced).segment_bytes(1000));
    append(&first(&topic.unwrap()), 0..100);
    broker.close().unwrap();
    let before = dir.contents();
    let broker = dir.open();
    let topic = broker.topic("orders").unwrap();
    assert_eq!(values_from(&first(&topic), 0), numbers(0..100));
    broker.tick();
    broker.close().unwrap();
    let after = dir.contents();
    let names = |all: &[(std::path::PathBuf, Vec<u8>)]| {
        all.iter().map(|(path, bytes)| (path.clone(), bytes.len())).collect::<Vec<_>>()
    };
    assert_eq!(names(&before), names(&after));
    assert!(before == after, "some byte was changed");
}

#[test]
fn a_directory_has_one_holder() {
    let dir = Dir::new();
    let broker = dir.open();
    let refused = Broker::open(dir.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
    let clone = broker.clone();
    drop(broker);
    assert!(Broker::open(dir.path()).is_err(), "another handle holds it");
    drop(clone);
    Broker::open(dir.path()).unwrap();
}

#[test]
fn topics_are_listed_created_once_and_deleted() {
    let dir = Dir::new();
    let broker = dir.open();
    broker.create_topic("orders", TopicConfig::new()).unwrap();
    let refused = broker.create_topic("orders", TopicConfig::new()).unwrap_err();
    assert_eq!(refused, TopicError::Exists { topic: "orders".into() });
    let refused = broker.create_topic("Orders", TopicConfig::new()).unwrap_err();
    assert!(matches!(refused, TopicError::SameButCase { .. }), "{refused}");
    let refused = broker.create_topic("__consumer_offsets", TopicConfig::new()).unwrap_err();
    assert!(matches!(refused, TopicError::Exists { .. }), "{refused}");
    let names: Vec<_> = broker.topics().iter().map(|topic| topic.name().to_owned()).collect();
    assert_eq!(names, ["orders"]);

    let topic = broker.topic("orders").unwrap();
    append(&first(&topic), 0..3);
    broker.delete_topic("orders").unwrap();
    assert!(matches!(broker.topic("orders"), Err(TopicError::Unknown { .. })));
    assert!(!dir.path().join("orders-0").exists());
    let refused = first(&topic).append(&[Record::new("x")]).unwrap_err();
    assert!(matches!(refused, AppendError::Closed { .. }), "{refused}");

    let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
    assert_eq!(first(&topic).log_end_offset(), 0, "it starts anew");
    broker.close().unwrap();
    let names: Vec<_> = dir.open().topics().iter().map(|topic| topic.name().to_owned()).collect();
    assert_eq!(names, ["orders"]);
}

#[test]
fn settings_survive_a_restart() {
    let dir = Dir::new();
    let broker = dir.open();
    let config = TopicConfig::new().max_batch_bytes(200).cleanup(Cleanup::Compact);
    broker.create_topic("orders", config).unwrap();
    broker.close().unwrap();
    let topic = dir.open().topic("orders").unwrap();
    let refused = first(&topic).append(&[Record::new(&[0; 500]).with_key("k")]).unwrap_err();
    assert!(matches!(refused, AppendError::TooLarge { max: 200, .. } | AppendError::Closed { .. }));
}

#[test]
fn a_compacted_topic_wants_keys() {
    let dir = Dir::new();
    let broker = dir.open();
    let config = TopicConfig::new().cleanup(Cleanup::Compact);
    let topic = broker.create_topic("orders", config).unwrap();
    let refused = first(&topic).append(&[Record::new("no key")]).unwrap_err();
    let partition = TopicPartition::new("orders", 0);
    assert_eq!(refused, AppendError::NoKey { partition });
    let refused = Producer::new(&topic).enqueue(Record::new("no key")).unwrap_err();
    assert!(matches!(refused, SendError::Append(AppendError::NoKey { .. })));
    first(&topic).append(&[Record::new("v").with_key("k")]).unwrap();
}

#[test]
fn a_topic_grows_and_keeps_what_it_grew_to() {
    let dir = Dir::new();
    let broker = dir.open();
    let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
    topic.add_partitions(3).unwrap();
    append(&topic.partition(2).unwrap(), 0..5);
    assert!(matches!(topic.add_partitions(2), Err(TopicError::Shrink { .. })));
    broker.close().unwrap();
    let broker = dir.open();
    let topic = broker.topic("orders").unwrap();
    assert_eq!(topic.partition_count(), 3);
    assert_eq!(values_from(&topic.partition(2).unwrap(), 0), numbers(0..5));
}

#[test]
fn a_closed_broker_takes_nothing_and_says_so() {
    let dir = Dir::new();
    let broker = dir.open();
    let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
    let partition = first(&topic);
    append(&partition, 0..2);
    let mut reader = Reader::new([(partition.clone(), 0)]);
    let waiting = std::thread::spawn(move || {
        let count = reader.poll(Duration::from_secs(60)).unwrap().len();
        (count, reader.poll(Duration::from_secs(60)))
    });
    std::thread::sleep(Duration::from_millis(20));
    broker.close().unwrap();
    broker.close().unwrap();
    let (count, end) = waiting.join().unwrap();
    assert_eq!(count, 2);
    assert!(matches!(end, Err(ReadError::Closed { .. })), "{end:?}");
    assert!(matches!(partition.append(&[Record::new("x")]), Err(AppendError::Closed { .. })));
    assert_eq!(values_from(&partition, 0), numbers(0..2), "what is in memory can be read");
    assert!(matches!(
        broker.create_topic("more", TopicConfig::new()),
        Err(TopicError::Closed { .. })
    ));
}

#[test]
fn a_group_goes_on_where_it_was() {
    let dir = Dir::new();
    let broker = dir.open();
    let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
    append(&first(&topic), 0..10);
    let billing = broker.consumer_group("billing").topic(&topic).build().unwrap();
    let mut consumer = billing.join("worker").unwrap();
    let of = TopicPartition::new("orders", 0);
    consumer.poll(Duration::ZERO).unwrap();
    consumer.commit_offsets(&[(of.clone(), 4)]).unwrap();
    drop((consumer, billing));
    broker.close().unwrap();

    let broker = dir.open();
    let topic = broker.topic("orders").unwrap();
    let groups = broker.groups();
    assert_eq!((groups.len(), groups[0].0.as_str(), groups[0].1[0].1.offset), (1, "billing", 4));
    let billing = broker.consumer_group("billing").topic(&topic).build().unwrap();
    assert_eq!(billing.committed(&of).unwrap().offset, 4);
    let mut consumer = billing.join("worker").unwrap();
    let records = consumer.poll(Duration::from_secs(1)).unwrap();
    assert_eq!(records.iter().next().unwrap().offset(), 4);
}

#[test]
fn a_topic_that_is_made_anew_meets_no_commits_of_the_former() {
    let dir = Dir::new();
    let broker = dir.open();
    let of = TopicPartition::new("orders", 0);
    let group = |broker: &Broker| {
        let topic = broker.topic("orders").unwrap();
        broker.consumer_group("billing").topic(&topic).build().unwrap()
    };
    let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
    append(&first(&topic), 0..10);
    let billing = group(&broker);
    let mut consumer = billing.join("worker").unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    consumer.commit().unwrap();
    drop((consumer, billing));
    broker.delete_topic("orders").unwrap();
    assert_eq!(broker.groups(), []);
    for reopened in [false, true] {
        let broker = if reopened {
            broker.close().unwrap();
            dir.open()
        } else {
            broker.create_topic("orders", TopicConfig::new()).unwrap();
            broker.clone()
        };
        assert_eq!(group(&broker).committed(&of), None);
    }
}

#[test]
fn a_broker_in_memory_has_the_same_surface() {
    let broker = Broker::in_memory();
    let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
    append(&first(&topic), 0..10);
    let billing = broker.consumer_group("billing").topic(&topic).build().unwrap();
    let mut consumer = billing.join("worker").unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 10);
    consumer.commit().unwrap();
    drop((consumer, billing));
    let billing = broker.consumer_group("billing").topic(&topic).build().unwrap();
    assert_eq!(billing.total_lag(), 0, "it goes on where it was");
    assert_eq!(broker.path(), None);
    broker.close().unwrap();
}
