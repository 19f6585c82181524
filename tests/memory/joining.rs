//! `enqueue` without linger: records join an open batch, and are there for whoever looks.

use crate::support::{GUARD, all, guarded, millis, topic, values};
use anabranch::{
    ManualClock, Offset, Partition, Producer, ReadError, Reader, Record, TimestampType, Topic,
    TopicConfig,
};
use std::time::Duration;

fn enqueue(producer: &Producer, values: &[&str]) {
    for value in values {
        assert!(producer.enqueue(Record::new(value)).unwrap().is_done());
    }
}

/// A topic whose one chunk is never full, with the records a, b and c enqueued.
fn three() -> (Topic, Producer, Partition) {
    let clock = ManualClock::at(millis(1_000));
    let topic = topic(TopicConfig::new().clock(clock));
    let producer = Producer::new(&topic);
    enqueue(&producer, &["a", "b", "c"]);
    let log = topic.partition(0).unwrap();
    (topic, producer, log)
}

/// How many batches were appended, and with how many records.
fn appends(topic: &Topic) -> (u64, u64) {
    let total = topic.stats().total;
    (total.appends, total.appended_records)
}

#[test]
fn enqueued_records_share_a_batch_until_somebody_looks() {
    let (topic, producer, log) = three();
    assert_eq!(appends(&topic), (1, 3));
    enqueue(&producer, &["d", "e"]);
    assert_eq!(values(&all(&log)), ["a", "b", "c", "d", "e"]);
    assert_eq!(appends(&topic), (2, 5), "the look has closed the first one");
}

#[test]
fn whoever_looks_finds_what_was_enqueued() {
    type Look = fn(&Partition) -> Offset;
    let looks: [(&str, Look); 7] = [
        ("high_watermark", Partition::high_watermark),
        ("log_end_offset", Partition::log_end_offset),
        ("read", |log| log.read(0, usize::MAX).unwrap().len() as Offset),
        ("read the last", |log| log.read(2, usize::MAX).unwrap().len() as Offset + 2),
        ("stats", |log| log.stats().records),
        ("offset_for_timestamp", |log| log.offset_for_timestamp(millis(1_000)).unwrap() + 3),
        ("delete_records", |log| log.delete_records(3).unwrap()),
    ];
    for (name, look) in looks {
        let (_topic, _producer, log) = three();
        assert_eq!(look(&log), 3, "{name}");
    }
    let (_topic, _producer, log) = three();
    assert!(log.read(3, 1).unwrap().is_empty(), "that is the end");
    let beyond = log.read(4, 1).unwrap_err();
    assert!(matches!(beyond, ReadError::OutOfRange { high_watermark: 3, .. }), "{beyond}");
}

#[test]
fn a_reader_at_the_end_reads_on_in_the_open_batch() {
    let (_topic, producer, log) = three();
    let mut reader = Reader::new([(log.clone(), 0)]);
    assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 3);
    for round in 3..100 {
        enqueue(&producer, &["x", "y"]);
        let records = reader.poll(Duration::ZERO).unwrap();
        let offsets: Vec<Offset> = records.iter().map(|record| record.offset()).collect();
        assert_eq!(offsets, [2 * round - 3, 2 * round - 2]);
    }
    assert!(reader.poll(Duration::ZERO).unwrap().is_empty());
}

#[test]
fn a_reader_that_sleeps_is_woken_by_an_enqueued_record() {
    guarded(|| {
        let (_topic, producer, log) = three();
        let (answers, answered) = std::sync::mpsc::channel();
        let mut reader = Reader::new([(log, 3)]);
        let sleeper = std::thread::spawn(move || {
            for _ in 0..50 {
                let records = reader.poll(GUARD).unwrap();
                answers.send(values(&records)).unwrap();
            }
        });
        for _ in 0..50 {
            (0..500).for_each(|_| std::thread::yield_now());
            enqueue(&producer, &["x"]);
            assert_eq!(answered.recv().unwrap(), ["x"]);
        }
        sleeper.join().unwrap();
    });
}

#[test]
fn whatever_is_appended_comes_behind_the_open_batch() {
    let (topic, producer, log) = three();
    assert_eq!(producer.send(Record::new("d")).unwrap().offset, 3);
    enqueue(&producer, &["e"]);
    assert_eq!(log.append(&[Record::new("f")]).unwrap(), 5);
    enqueue(&producer, &["g"]);
    assert_eq!(producer.send_batch(["h", "i"].map(Record::new)).unwrap()[1].offset, 8);
    enqueue(&producer, &["j"]);
    let lingering = Producer::builder(&topic).linger(GUARD).build().unwrap();
    let queued = lingering.enqueue(Record::new("k")).unwrap();
    assert_eq!(queued.wait().unwrap().offset, 10);
    assert_eq!(values(&all(&log)).concat(), "abcdefghijk");
    assert_eq!(appends(&topic), (8, 11));
}

/// `batch_bytes` ends a batch, and so does what the topic allows, whichever is less.
#[test]
fn an_open_batch_ends_where_it_is_full() {
    for (batch_bytes, max_batch_bytes) in [(300, 1 << 20), (usize::MAX, 300)] {
        let topic = topic(TopicConfig::new().max_batch_bytes(max_batch_bytes));
        let producer = Producer::builder(&topic).batch_bytes(batch_bytes).build().unwrap();
        for _ in 0..4 {
            producer.enqueue(Record::new(&[0; 50])).unwrap();
        }
        assert_eq!(appends(&topic), (2, 4), "room for three of them and not for four");
        producer.enqueue(Record::new(&[0; 200])).unwrap();
        producer.enqueue(Record::new(&[0; 200])).unwrap();
        assert_eq!(appends(&topic), (4, 6), "a large one has a batch of its own");
    }
}

/// A record that just fits by itself takes more in a batch, for its distance from the first one: it gets
/// its own, and the next one as well.
#[test]
fn a_record_that_just_fits_does_not_join() {
    for limit in 150..250 {
        let clock = ManualClock::at(millis(0));
        let config = TopicConfig::new().max_batch_bytes(limit).segment_bytes(limit);
        let topic = topic(config.retention_bytes(u64::MAX).clock(clock.clone()));
        let producer = Producer::builder(&topic).batch_bytes(usize::MAX).build().unwrap();
        let mut sizes = Vec::new();
        for size in 1..limit {
            let (first, second) = (vec![1; 1], vec![2; size]);
            producer.enqueue(Record::new(&first)).unwrap();
            clock.advance(Duration::from_secs(20));
            if producer.enqueue(Record::new(&second)).is_ok() {
                sizes.extend([1, size]);
            } else {
                sizes.push(1);
            }
        }
        let log = topic.partition(0).unwrap();
        let (mut offset, mut expected) = (0, sizes.into_iter());
        while offset < log.high_watermark() {
            let before = log.stats().read_bytes;
            for record in &log.read(offset, 1).unwrap() {
                assert_eq!(record.value().map(<[u8]>::len), expected.next());
                offset += 1;
            }
            assert!(log.stats().read_bytes - before <= limit as u64, "no batch exceeds {limit}");
        }
        assert_eq!(expected.next(), None);
    }
}

/// What is too old goes, though its batch is open; and an append sees to it by itself.
#[test]
fn retention_finds_what_is_in_an_open_batch() {
    let clock = ManualClock::at(millis(0));
    let config = TopicConfig::new().retention_time(Duration::from_secs(60)).clock(clock.clone());
    let topic = topic(config);
    let producer = Producer::new(&topic);
    let log = topic.partition(0).unwrap();
    enqueue(&producer, &["a"]);
    clock.advance(Duration::from_secs(61));
    topic.apply_retention();
    assert_eq!(log.log_start_offset(), 1);

    enqueue(&producer, &["b"]);
    clock.advance(Duration::from_secs(61));
    enqueue(&producer, &["c", "d"]);
    assert_eq!(values(&all(&log)), ["c", "d"]);
}

/// Chunks of a few records: each takes its open batch with it when it is full.
#[test]
fn an_open_batch_ends_with_its_chunk() {
    let topic = topic(TopicConfig::new().segment_bytes(220).retention_bytes(u64::MAX));
    let producer = Producer::new(&topic);
    let log = topic.partition(0).unwrap();
    let mut reader = Reader::new([(log.clone(), 0)]);
    let mut read = 0;
    for number in 0..500_u64 {
        let value = number.to_string();
        assert_eq!(producer.enqueue(Record::new(&value)).unwrap().wait().unwrap().offset, number);
        if number % 7 == 0 {
            for record in &reader.poll(Duration::ZERO).unwrap() {
                assert_eq!(record.value(), Some(read.to_string().as_bytes()));
                read += 1;
            }
        }
    }
    assert_eq!(log.high_watermark(), 500);
    assert_eq!(all(&log).len(), 500);
    assert!(topic.stats().total.appends < 400, "batches were shared");
}

/// Where the time of the append stamps records, a batch has one; each is appended by itself then.
#[test]
fn records_stamped_by_the_log_keep_their_own_time() {
    let clock = ManualClock::at(millis(1));
    let config = TopicConfig::new().timestamp_type(TimestampType::LogAppendTime);
    let topic = topic(config.clock(clock.clone()));
    let producer = Producer::new(&topic);
    for time in 1..5 {
        clock.set(millis(time));
        let metadata = producer.enqueue(Record::new("x")).unwrap().wait().unwrap();
        assert_eq!(metadata.timestamp, millis(time));
    }
    let records = all(&topic.partition(0).unwrap());
    let times: Vec<i64> = records.iter().map(|record| record.timestamp().as_millis()).collect();
    assert_eq!(times, [1, 2, 3, 4]);
}
