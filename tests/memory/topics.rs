//! Topics: names, how many partitions, growth while in use, statistics.

use crate::support::{all, append_numbers, partition, tiny, topic};
use anabranch::{
    Durability, PartitionStats, Producer, Reader, Record, Topic, TopicConfig, TopicError,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn a_name_that_kafka_accepts_is_accepted() {
    let longest = "x".repeat(249);
    for name in ["a", "A-z_0.9", "...", "__consumer_offsets", longest.as_str()] {
        assert_eq!(Topic::in_memory(name, tiny()).unwrap().name(), name);
    }
}

#[test]
fn a_name_that_kafka_refuses_is_refused_with_the_reason() {
    let too_long = "x".repeat(250);
    for (name, reason) in [
        ("", "is empty"),
        (".", "directory"),
        ("..", "directory"),
        ("a b", "' '"),
        ("a/b", "'/'"),
        ("caf\u{e9}", "'\u{e9}'"),
        ("a\0", "'\\0'"),
        (too_long.as_str(), "250 bytes"),
    ] {
        let refused = Topic::in_memory(name, tiny()).unwrap_err();
        assert!(matches!(refused, TopicError::InvalidName { .. }), "{name}");
        assert!(refused.to_string().contains(reason), "{refused}");
    }
}

#[test]
fn a_topic_has_one_to_a_hundred_thousand_partitions() {
    for count in [0, 100_001, u32::MAX] {
        let refused = Topic::in_memory("orders", tiny().partitions(count)).unwrap_err();
        let expected =
            TopicError::PartitionCount { topic: "orders".into(), requested: count, max: 100_000 };
        assert_eq!(refused, expected);
    }
    assert_eq!(topic(tiny().partitions(1)).partition_count(), 1);

    let largest = topic(tiny().partitions(100_000));
    assert_eq!((largest.partition_count(), largest.partitions().count()), (100_000, 100_000));
    assert!(largest.partition(100_000).is_none());
    let last = largest.partition(99_999).unwrap();
    append_numbers(&last, 0..10);
    assert_eq!((last.id(), all(&last).len(), largest.stats().total.records), (99_999, 10, 10));
    assert!(matches!(largest.add_partitions(100_001), Err(TopicError::PartitionCount { .. })));
}

#[test]
fn a_setting_out_of_range_is_refused() {
    type Setting = fn(TopicConfig) -> TopicConfig;
    let refused: [(Setting, &str); 5] = [
        (|config| config.max_batch_bytes(0), "max_batch_bytes"),
        (|config| config.max_batch_bytes((1 << 30) + 1), "max_batch_bytes"),
        (|config| config.segment_bytes(0), "segment_bytes"),
        (|config| config.durability(Durability::Written), "durability"),
        (|config| config.durability(Durability::Synced), "durability"),
    ];
    for (change, name) in refused {
        let refused = Topic::in_memory("orders", change(tiny())).unwrap_err();
        let TopicError::InvalidSetting { setting, .. } = refused else { panic!("{refused}") };
        assert_eq!(setting, name);
    }
    let accepted: [Setting; 4] = [
        |config| config.max_batch_bytes(1),
        |config| config.max_batch_bytes(1 << 30),
        |config| config.segment_bytes(1),
        |config| config.segment_bytes(usize::MAX),
    ];
    for change in accepted {
        topic(change(tiny()));
    }
}

#[test]
fn partitions_are_added_and_never_taken_away() {
    let topic = topic(tiny().partitions(3));
    append_numbers(&topic.partition(2).unwrap(), 0..5);
    assert!(topic.partition(3).is_none());

    assert_eq!(topic.add_partitions(5), Ok(()));
    assert_eq!(topic.add_partitions(5), Ok(()), "as many as there are is nothing to do");
    let refused = TopicError::Shrink { topic: "orders".into(), current: 5, requested: 4 };
    assert_eq!(topic.add_partitions(4).unwrap_err(), refused);
    assert_eq!(refused.to_string(), "topic orders has 5 partitions and cannot shrink to 4");
    assert!(matches!(topic.add_partitions(0), Err(TopicError::PartitionCount { .. })));

    assert_eq!(topic.partition_count(), 5);
    assert!(topic.partitions().map(|partition| partition.id()).eq(0..5));
    assert_eq!(all(&topic.partition(2).unwrap()).len(), 5, "what was there stays");
    assert_eq!(topic.partition(4).unwrap().log_end_offset(), 0);
}

#[test]
fn partitions_are_added_while_threads_send() {
    const SENDERS: u64 = 3;
    let topic = topic(tiny());
    let grown = AtomicBool::new(false);
    let sent: Vec<(u32, u64, u64)> = std::thread::scope(|scope| {
        let send = |sender: u64| {
            let (topic, grown) = (&topic, &grown);
            scope.spawn(move || {
                let producer = Producer::builder(topic)
                    .partitioner(anabranch::partitioner::RoundRobinPartitioner::new())
                    .build()
                    .unwrap();
                let mut acknowledged = Vec::new();
                let mut rounds_left = 50;
                while rounds_left > 0 {
                    if grown.load(Ordering::Acquire) {
                        rounds_left -= 1;
                    }
                    let value = sender << 32 | acknowledged.len() as u64;
                    let value_bytes = value.to_be_bytes();
                    let sent = producer.send(Record::new(&value_bytes)).unwrap();
                    acknowledged.push((sent.partition, sent.offset, value));
                    // Whoever knows the partition by number may use it at once.
                    let last = topic.partition_count() - 1;
                    producer.send_batch([Record::new("x").to_partition(last)]).unwrap();
                }
                acknowledged
            })
        };
        let senders: Vec<_> = (0..SENDERS).map(send).collect();
        for total in 2..=40 {
            topic.add_partitions(total).unwrap();
            std::thread::yield_now();
        }
        grown.store(true, Ordering::Release);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    assert_eq!(topic.partition_count(), 40);
    let mut found = BTreeMap::new();
    for partition in topic.partitions() {
        for record in all(&partition).iter().filter(|record| record.value() != Some(b"x")) {
            let value = u64::from_be_bytes(record.value().unwrap().try_into().unwrap());
            assert_eq!(found.insert(value, (partition.id(), record.offset())), None);
        }
    }
    assert_eq!(found.len(), sent.len());
    assert!(sent.iter().all(|(partition, offset, value)| found[value] == (*partition, *offset)));
    assert!(sent.iter().any(|(partition, ..)| *partition > 30), "new partitions are used");
}

#[test]
fn threads_that_grow_a_topic_at_once_agree() {
    let topic = topic(tiny());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let topic = &topic;
            scope.spawn(move || {
                for total in (2 + thread..200).step_by(4) {
                    let outcome = topic.add_partitions(total);
                    assert!(matches!(outcome, Ok(()) | Err(TopicError::Shrink { .. })));
                    assert!(topic.partition_count() >= total);
                }
            });
        }
    });
    assert_eq!(topic.partition_count(), 199);
    assert!(topic.partitions().map(|partition| partition.id()).eq(0..199));
}

#[test]
fn statistics_count_what_was_appended_retained_and_read() {
    let log = partition(tiny());
    assert_eq!(log.stats(), PartitionStats::default());
    log.append(&[Record::new("a"), Record::new("b")]).unwrap();
    log.append(&[Record::new("c")]).unwrap();
    let stats = log.stats();
    assert_eq!((stats.records, stats.appends, stats.appended_records), (3, 2, 3));
    assert_eq!(stats.bytes, stats.appended_bytes);
    assert!(stats.memory_bytes >= stats.bytes);
    assert_eq!((stats.reads, stats.read_bytes), (0, 0));

    log.append(&[]).unwrap_err();
    assert_eq!(log.stats(), stats, "what was refused is not counted");

    assert!(log.read(3, 1).unwrap().is_empty());
    assert_eq!(log.stats().reads, 0, "nor is a read of nothing");
    assert_eq!(all(&log).len(), 3);
    assert_eq!((log.stats().reads, log.stats().read_bytes), (1, stats.bytes));
    let mut reader = Reader::new([(log.clone(), 0)]);
    assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 3);
    assert_eq!(log.stats().read_bytes, 2 * stats.bytes);
}

#[test]
fn a_topics_statistics_are_those_of_its_partitions_and_their_sum() {
    let topic = topic(tiny().partitions(3).retention_bytes(500));
    for (id, count) in [(0, 50), (2, 3)] {
        append_numbers(&topic.partition(id).unwrap(), 0..count);
    }
    all(&topic.partition(2).unwrap());
    let stats = topic.stats();
    let each: Vec<_> = topic.partitions().map(|partition| partition.stats()).collect();
    assert_eq!(stats.partitions, each);
    assert_eq!(stats.total, each.iter().fold(PartitionStats::default(), |sum, of| sum + *of));
    assert_eq!((stats.total.appended_records, stats.total.reads), (53, 1));
    assert_eq!(stats.partitions[1], PartitionStats::default());
    assert!(stats.partitions[0].records < 50 && stats.partitions[0].appended_records == 50);
}
