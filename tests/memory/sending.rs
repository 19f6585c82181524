//! Sending at once: one record, a batch by groups, and who chooses the partition.

use crate::support::{all, offsets, tiny, topic, values};
use anabranch::partitioner::{Partitioner, TopicView, murmur2};
use anabranch::{
    AppendError, PartitionId, Producer, Record, RecordMetadata, SendError, Topic, TopicPartition,
};

/// Chooses what the key says: a number, or the word `panic`.
struct ByKey;

impl Partitioner for ByKey {
    fn partition(&self, record: &Record<'_>, _: &TopicView<'_>) -> PartitionId {
        let key = std::str::from_utf8(record.key.expect("this test gives keys")).unwrap();
        assert_ne!(key, "panic", "the partitioner is broken");
        key.parse().unwrap()
    }
}

fn by_key(topic: &Topic) -> Producer {
    Producer::builder(topic).partitioner(ByKey).build().unwrap()
}

fn places(sent: &[RecordMetadata]) -> Vec<(PartitionId, u64)> {
    sent.iter().map(|sent| (sent.partition, sent.offset)).collect()
}

#[test]
fn a_send_returns_where_the_record_can_be_read() {
    let topic = topic(tiny().partitions(4));
    let producer = Producer::new(&topic);
    for number in 0..40 {
        let text = number.to_string();
        let sent = producer.send(Record::new(&text).with_key(&text)).unwrap();
        assert_eq!(sent.topic, *"orders");
        let read = topic.partition(sent.partition).unwrap().read(sent.offset, 1).unwrap();
        assert_eq!((values(&read), offsets(&read)), (vec![text], vec![sent.offset]));
    }
    assert_eq!(topic.stats().total.appends, 40);
}

#[test]
fn the_partition_that_a_record_names_wins_and_must_exist() {
    let topic = topic(tiny().partitions(3));
    for producer in [Producer::new(&topic), by_key(&topic)] {
        // The key alone would go elsewhere, or make the partitioner panic.
        let record = Record::new("a").with_key("panic");
        for id in 0..3 {
            assert_eq!(producer.send(record.to_partition(id)).unwrap().partition, id);
            assert_eq!(producer.send_batch([record.to_partition(id)]).unwrap()[0].partition, id);
            assert_eq!(
                producer.enqueue(record.to_partition(id)).unwrap().wait().unwrap().partition,
                id
            );
        }
        let before = topic.stats();
        for id in [3, u32::MAX] {
            let record = record.to_partition(id);
            let expected =
                SendError::UnknownPartition { topic: "orders".into(), requested: id, count: 3 };
            assert_eq!(producer.send(record).unwrap_err(), expected);
            let batch = [Record::new("b").to_partition(0), record];
            assert_eq!(producer.send_batch(batch).unwrap_err(), expected);
            assert_eq!(producer.enqueue(record).unwrap_err(), expected);
        }
        assert_eq!(topic.stats(), before);
    }
}

#[test]
fn a_partition_that_is_added_can_be_named() {
    let topic = topic(tiny());
    let producer = Producer::new(&topic);
    let record = Record::new("a").to_partition(1);
    producer.send(record).unwrap_err();
    topic.add_partitions(2).unwrap();
    assert_eq!(producer.send(record).unwrap().offset, 0);
}

#[test]
fn a_partitioner_that_chooses_what_does_not_exist_fails_that_send_alone() {
    let topic = topic(tiny().partitions(3));
    let producer = by_key(&topic);
    for key in ["3", "4294967295"] {
        let chosen = key.parse().unwrap();
        let expected =
            SendError::PartitionerOutOfRange { topic: "orders".into(), chosen, count: 3 };
        let record = Record::new("a").with_key(key);
        assert_eq!(producer.send(record).unwrap_err(), expected);
        assert_eq!(producer.enqueue(record).unwrap_err(), expected);
        let batch = [Record::new("b").with_key("0"), record, Record::new("c").with_key("1")];
        assert_eq!(producer.send_batch(batch).unwrap_err(), expected);
    }
    assert_eq!(topic.stats().total.records, 0);
    assert_eq!(producer.send(Record::new("a").with_key("2")).unwrap().partition, 2);
}

#[test]
fn a_partitioner_that_panics_fails_that_send_alone() {
    let topic = topic(tiny().partitions(3));
    let producer = by_key(&topic);
    let record = Record::new("a").with_key("panic");
    let refusals = [
        producer.send(record).unwrap_err(),
        producer.enqueue(record).unwrap_err(),
        producer.send_batch([Record::new("b").with_key("0"), record]).unwrap_err(),
    ];
    for refused in refusals {
        let SendError::PartitionerPanicked { message, .. } = refused else { panic!("{refused}") };
        assert!(message.contains("the partitioner is broken"), "{message}");
    }
    assert_eq!(topic.stats().total.records, 0);
    assert_eq!(producer.send(Record::new("a").with_key("1")).unwrap().offset, 0);
    assert_eq!(producer.send_batch([Record::new("b").with_key("1")]).unwrap()[0].offset, 1);
}

#[test]
fn a_partitioner_may_use_the_topic_it_chooses_for() {
    struct Nosy(Topic);
    impl Partitioner for Nosy {
        fn partition(&self, _: &Record<'_>, topic: &TopicView<'_>) -> PartitionId {
            // Nothing is locked: it can even append.
            self.0.partition(0).unwrap().append(&[Record::new("asked")]).unwrap();
            self.0.add_partitions(topic.partition_count() + 1).unwrap();
            topic.partition_count() // which exists by now
        }
    }
    let topic = topic(tiny());
    let producer = Producer::builder(&topic).partitioner(Nosy(topic.clone())).build().unwrap();
    assert_eq!(producer.send(Record::new("a")).unwrap().partition, 1);
    assert_eq!(producer.enqueue(Record::new("b")).unwrap().wait().unwrap().partition, 2);
    assert_eq!(values(&all(&topic.partition(0).unwrap())), ["asked", "asked"]);
}

#[test]
fn each_group_of_a_batch_is_one_batch_and_metadata_comes_in_the_order_given() {
    let topic = topic(tiny().partitions(3));
    let producer = by_key(&topic);
    let keys = ["2", "0", "2", "1", "0", "2"];
    let names = ["a", "b", "c", "d", "e", "f"];
    let batch = || keys.into_iter().zip(&names).map(|(key, name)| Record::new(name).with_key(key));

    let sent = producer.send_batch(batch()).unwrap();
    assert_eq!(places(&sent), [(2, 0), (0, 0), (2, 1), (1, 0), (0, 1), (2, 2)]);
    let sent = producer.send_batch(batch()).unwrap();
    assert_eq!(places(&sent), [(2, 3), (0, 2), (2, 4), (1, 1), (0, 3), (2, 5)]);

    let appends: Vec<_> = topic.stats().partitions.iter().map(|of| of.appends).collect();
    assert_eq!(appends, [2, 2, 2]);
    let group = |id| values(&topic.partition(id).unwrap().read(0, 1).unwrap());
    assert_eq!([group(0), group(1), group(2)], [vec!["b", "e"], vec!["d"], vec!["a", "c", "f"]]);
}

#[test]
fn a_batch_for_one_partition_is_one_batch() {
    let topic = topic(tiny().partitions(3));
    let texts: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
    let records = texts.iter().map(|text| Record::new(text).with_key("same"));
    let sent = Producer::new(&topic).send_batch(records).unwrap();
    assert!(places(&sent).into_iter().eq((0..1_000).map(|offset| (sent[0].partition, offset))));
    assert_eq!(topic.stats().total.appends, 1);
}

#[test]
fn keyless_records_of_a_batch_go_to_one_partition_together() {
    let topic = topic(tiny().partitions(8));
    let producer = Producer::new(&topic);
    for _ in 0..20 {
        let sent = producer.send_batch([Record::new("a"); 5]).unwrap();
        assert!(sent.iter().all(|of| of.partition == sent[0].partition));
    }
    assert_eq!(topic.stats().total.appends, 20);
}

#[test]
fn an_empty_batch_sends_nothing() {
    let topic = topic(tiny());
    assert_eq!(Producer::new(&topic).send_batch([]), Ok(Vec::new()));
    assert_eq!(topic.stats().total.appends, 0);
}

#[test]
fn a_batch_of_which_one_group_is_refused_appends_nothing_anywhere() {
    let topic = topic(tiny().partitions(3).max_batch_bytes(200));
    let large = [0; 200];
    let producer = Producer::new(&topic);
    // The refused group is the last, the middle, the first in every order there is.
    for refused in 0..3 {
        let records = (0..3).map(|id| {
            let value: &[u8] = if id == refused { &large } else { b"fits" };
            Record::new(value).to_partition(id)
        });
        let error = producer.send_batch(records).unwrap_err();
        let SendError::Append(AppendError::TooLarge { partition, max: 200, .. }) = error else {
            panic!("{error}")
        };
        assert_eq!(partition, TopicPartition::new("orders", refused));
        assert_eq!(topic.stats().total, Default::default());
    }
    let small = [b'x'; 60];
    let refused = producer.send_batch([Record::new(&small).to_partition(1); 4]).unwrap_err();
    assert!(matches!(refused, SendError::Append(AppendError::TooLarge { .. })), "as a whole");
    assert_eq!(topic.stats().total, Default::default());
    assert_eq!(
        producer.send_batch((0..3).map(|id| Record::new("x").to_partition(id))).unwrap().len(),
        3
    );
}

#[test]
fn a_key_stays_with_its_partition_however_it_is_sent() {
    let topic = topic(tiny().partitions(7));
    let producer = Producer::new(&topic);
    for number in 0..100 {
        let key = format!("customer-{number}");
        let expected = (murmur2(key.as_bytes()) & i32::MAX) % 7;
        let record = Record::new("x").with_key(&key);
        let chosen = [
            producer.send(record).unwrap().partition,
            producer.send_batch([record]).unwrap()[0].partition,
            producer.enqueue(record).unwrap().wait().unwrap().partition,
        ];
        assert_eq!(chosen.map(i64::from), [i64::from(expected); 3], "{key}");
    }
}

#[test]
fn a_batch_is_whole_to_those_who_read_meanwhile() {
    let topic = topic(tiny());
    let log = topic.partition(0).unwrap();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let producer = Producer::new(&topic);
            for _ in 0..500 {
                producer.send_batch([Record::new("x"); 10]).unwrap();
            }
        });
        while !sender.is_finished() {
            assert_eq!(log.high_watermark() % 10, 0);
            assert_eq!(log.read(0, usize::MAX).unwrap().len() % 10, 0);
        }
    });
    assert_eq!(all(&log).len(), 5_000);
}
