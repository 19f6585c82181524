//! What is called of a topic with a partition that is offline: sending, reading, growing, deleting.

use super::offline_damages::{DAMAGED, DAMAGES, Ending, answers_with, damage_of, damaged, filled};
use super::support::{append, config, first, numbers, values_from};
use anabranch::{
    AppendError, Durability, Producer, ReadError, Reader, Record, SendError, TopicPartition,
};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

#[test]
fn all_ways_to_send_are_refused() {
    let dir = filled(Ending::Closed);
    (DAMAGES[0].1)(&dir);
    let broker = dir.open_damaged();
    let topic = broker.topic("orders").unwrap();
    let refused = SendError::Append(AppendError::Offline {
        partition: TopicPartition::new("orders", 1),
        corruption: Box::new(damage_of(&broker, "")),
    });
    let producer = Producer::new(&topic);
    let lingering = Producer::builder(&topic).linger(Duration::from_secs(60)).build().unwrap();
    let to = |id| Record::new("x").to_partition(id);
    assert_eq!(producer.send(to(1)), Err(refused.clone()));
    assert_eq!(producer.send_batch([to(1), to(1)]), Err(refused.clone()));
    assert_eq!(producer.enqueue(to(1)).unwrap_err(), refused);
    assert_eq!(lingering.enqueue(to(1)).unwrap_err(), refused);
    // Nothing of a batch is sent that goes there in part.
    assert_eq!(producer.send_batch([to(0), to(1), to(2)]), Err(refused));
    assert_eq!((topic.stats().total.appends, producer.flush()), (0, Ok(())));
    for id in [0, 2] {
        assert_eq!(producer.send(to(id)).unwrap().offset, 40);
        assert_eq!(lingering.enqueue(to(id)).unwrap().wait().unwrap().offset, 41);
    }
    assert_eq!(producer.send_batch([to(0), to(2)]).unwrap().len(), 2);
    assert_eq!((producer.flush(), lingering.flush()), (Ok(()), Ok(())));
    assert_eq!(
        (topic.partition(0).unwrap().log_end_offset(), topic.stats().total.appends),
        (43, 6)
    );
}

/// Records without a key have no place of their own: they pass over what is offline, as in Kafka.
#[test]
fn records_without_a_key_go_elsewhere() {
    use anabranch::partitioner::{
        ConsistentRandomPartitioner, Murmur2Partitioner, RoundRobinPartitioner, StickyPartitioner,
    };
    let dir = filled(Ending::Closed);
    (DAMAGES[0].1)(&dir);
    let broker = dir.open_damaged();
    let topic = broker.topic("orders").unwrap();
    let partitioners: [fn(anabranch::ProducerBuilder) -> anabranch::ProducerBuilder; 5] = [
        |builder| builder,
        |builder| builder.partitioner(StickyPartitioner::new(100)),
        |builder| builder.partitioner(Murmur2Partitioner::new()),
        |builder| builder.partitioner(ConsistentRandomPartitioner::new()),
        |builder| builder.partitioner(RoundRobinPartitioner::new()),
    ];
    for (number, partitioner) in partitioners.iter().enumerate() {
        for linger in [Duration::ZERO, Duration::from_secs(60)] {
            let builder = Producer::builder(&topic).linger(linger).batch_bytes(100);
            let producer = partitioner(builder).build().unwrap();
            let mut seen = [0; 3];
            for _ in 0..60 {
                let sent = producer.send(Record::new("no key")).unwrap();
                seen[sent.partition as usize] += 1;
                let sent = producer.enqueue(Record::new("no key")).unwrap().wait().unwrap();
                seen[sent.partition as usize] += 1;
                let sent = producer.send_batch([Record::new("a"), Record::new("b")]).unwrap();
                seen[sent[0].partition as usize] += 1;
            }
            assert!(seen[0] > 0 && seen[1] == 0 && seen[2] > 0, "{number}, {linger:?}: {seen:?}");
        }
    }
}

/// A reader is told at once, however long it would wait, and others are served in between.
#[test]
fn a_blocked_reader_is_told() {
    let dir = filled(Ending::Killed);
    (DAMAGES[1].1)(&dir);
    let broker = dir.open_damaged();
    let topic = broker.topic("orders").unwrap();
    let start = Instant::now();
    let mut reader = Reader::new([(damaged(&broker), 17)]);
    for _ in 0..40 {
        let told = reader.poll(Duration::from_secs(60));
        assert!(matches!(told, Err(ReadError::Offline { .. })), "{told:?}");
    }
    let waker = Waker::from(Arc::new(Asleep));
    let told = reader.poll_next(&mut Context::from_waker(&waker));
    assert!(matches!(told, Poll::Ready(Err(ReadError::Offline { .. }))), "{told:?}");
    let of = TopicPartition::new("orders", 1);
    assert_eq!(reader.position(&of), Some(17), "where it was");

    let mut reader = Reader::new(topic.partitions().map(|partition| (partition, 0))).max_bytes(1);
    let (mut read, mut told) = (0, 0);
    while read < 80 {
        match reader.poll(Duration::from_secs(60)) {
            Ok(records) => read += records.len(),
            Err(ReadError::Offline { partition, .. }) if partition == of => told += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(told <= read + 2, "others starve");
    }
    assert!(told > 10, "it is told again and again");
    assert!(start.elapsed() < Duration::from_secs(30), "somebody slept");
}

struct Asleep;

impl Wake for Asleep {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_topic_with_damage_is_deleted_whole() {
    for (what, damage) in DAMAGES {
        let dir = filled(Ending::Closed);
        damage(&dir);
        let broker = dir.open_damaged();
        let (partition, found) = (damaged(&broker), damage_of(&broker, what));
        broker.delete_topic("orders").unwrap();
        for id in 0..3 {
            assert!(!dir.path().join(format!("orders-{id}")).exists(), "{what}");
        }
        answers_with(&found, &partition, what);
        let topic = broker.create_topic("orders", config(Durability::Written)).unwrap();
        append(&first(&topic), 0..3);
        broker.close().unwrap();
        assert!(dir.open().recovery().was_clean, "{what}");
    }
}

#[test]
fn a_topic_with_damage_grows() {
    for ending in [Ending::Closed, Ending::Killed] {
        let dir = filled(ending);
        (DAMAGES[5].1)(&dir);
        let before = dir.files_of(DAMAGED);
        let broker = dir.open_damaged();
        let topic = broker.topic("orders").unwrap();
        topic.add_partitions(5).unwrap();
        append(&topic.partition(4).unwrap(), 0..5);
        assert_eq!(Producer::new(&topic).send(Record::new("x").to_partition(3)).unwrap().offset, 0);
        broker.close().unwrap();
        let broker = dir.open_damaged();
        let topic = broker.topic("orders").unwrap();
        assert_eq!((topic.partition_count(), topic.partitions().count()), (5, 5));
        assert_eq!(values_from(&topic.partition(4).unwrap(), 0), numbers(0..5));
        answers_with(&damage_of(&broker, ""), &damaged(&broker), "grown");
        assert!(dir.files_of(DAMAGED) == before);
    }
}
