//! Kafka's documented semantics that this crate claims, one test a claim.
//!
//! Each test names where Kafka says so: a chapter of its documentation, a KIP (Kafka Improvement
//! Proposal), or the Javadoc of its clients.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use anabranch::format::{self, Stamps};
use anabranch::partitioner::murmur2;
use anabranch::{
    AppendError, Header, ManualClock, Offset, Partition, Producer, ReadError, Reader, Record,
    SendError, Timestamp, TimestampType, Topic, TopicConfig, TopicError,
};
use std::collections::BTreeSet;
use std::time::Duration;

fn topic(config: TopicConfig) -> Topic {
    Topic::in_memory("orders", config.segment_bytes(250)).unwrap()
}

fn log(config: TopicConfig) -> Partition {
    topic(config).partition(0).unwrap()
}

fn append(to: &Partition, count: u64) {
    for number in 0..count {
        to.append(&[Record::new(&number.to_string())]).unwrap();
    }
}

fn offsets(of: &Partition, from: Offset) -> Vec<Offset> {
    of.read(from, usize::MAX).unwrap().iter().map(|record| record.offset()).collect()
}

fn millis(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Documentation, "Topics and Logs": each record in a partition is assigned a sequential id, the offset,
/// that uniquely identifies it within the partition.
#[test]
fn offsets_start_at_zero_and_rise_by_one() {
    let topic = topic(TopicConfig::new().partitions(2));
    for id in 0..2 {
        let log = topic.partition(id).unwrap();
        assert_eq!(log.append(&[Record::new("a"); 3]), Ok(0));
        assert_eq!(log.append(&[Record::new("b")]), Ok(3));
        assert_eq!(offsets(&log, 0), [0, 1, 2, 3], "in each partition by itself");
    }
}

/// Documentation, "Guarantees": messages sent by a producer to a partition are appended in the order they
/// are sent, and a consumer sees records in the order they are stored in the log.
#[test]
fn records_of_a_partition_are_read_in_the_order_they_were_sent() {
    let topic = topic(TopicConfig::new().partitions(3));
    let producer = Producer::new(&topic);
    for number in 0..100 {
        producer.enqueue(Record::new(&number.to_string()).with_key("customer-42")).unwrap();
    }
    producer.flush().unwrap();
    let mut reader = Reader::new(topic.partitions().map(|log| (log, 0)));
    let mut seen = Vec::new();
    while seen.len() < 100 {
        let records = reader.poll(Duration::from_secs(10)).unwrap();
        seen.extend(records.iter().map(|record| record.value().unwrap().to_vec()));
    }
    assert!(seen.into_iter().eq((0..100).map(|number| number.to_string().into_bytes())));
}

/// `org.apache.kafka.common.utils.Utils.murmur2` and the values of Kafka's `UtilsTest.testMurmur2`.
#[test]
fn keys_are_hashed_with_kafkas_murmur2() {
    let long = b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8";
    let cases: [(&[u8], i32); 6] = [
        (b"21", -973_932_308),
        (b"foobar", -790_332_482),
        (b"a-little-bit-long-string", -985_981_536),
        (b"a-little-bit-longer-string", -1_486_304_829),
        (long, -58_897_971),
        (b"abc", 479_470_107),
    ];
    for (key, expected) in cases {
        assert_eq!(murmur2(key), expected, "{}", String::from_utf8_lossy(key));
    }
}

/// KIP-480 and KIP-794, "if a key is present": partition = `toPositive(murmur2(key)) % partitions`.
#[test]
fn a_key_goes_to_the_partition_that_kafka_would_choose() {
    for partitions in [1, 2, 3, 6, 50] {
        let topic = topic(TopicConfig::new().partitions(partitions));
        let producer = Producer::new(&topic);
        for number in 0..200 {
            let key = format!("customer-{number}");
            let expected = (murmur2(key.as_bytes()) & 0x7fff_ffff).cast_unsigned() % partitions;
            for _ in 0..2 {
                let sent = producer.send(Record::new("x").with_key(&key)).unwrap();
                assert_eq!(sent.partition, expected, "{key} of {partitions}");
            }
        }
    }
}

/// KIP-794: records without a key stick to a partition until a batch is full, then move on.
#[test]
fn records_without_a_key_fill_a_batch_before_they_move_on() {
    let topic = topic(TopicConfig::new().partitions(4));
    let producer = Producer::builder(&topic).batch_bytes(1_000).build().unwrap();
    let value = [0; 100];
    let send = |_| producer.send(Record::new(&value)).unwrap().partition;
    let partitions: Vec<u32> = (0..200).map(send).collect();
    let moves = partitions.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(moves <= 200 * 200 / 1_000, "{moves} moves in 200 records: {partitions:?}");
    assert_eq!(partitions.iter().collect::<BTreeSet<_>>().len(), 4, "all are used");
}

/// Javadoc of `ProducerRecord`: "If a valid partition number is specified that partition will be used when
/// sending the record"; of `KafkaProducer.send`: an invalid one fails.
#[test]
fn a_partition_that_is_named_is_used_whatever_the_key() {
    let topic = topic(TopicConfig::new().partitions(3));
    let producer = Producer::new(&topic);
    for id in 0..3 {
        let record = Record::new("x").with_key("customer-42").to_partition(id);
        assert_eq!(producer.send(record).unwrap().partition, id);
    }
    let refused = producer.send(Record::new("x").to_partition(3)).unwrap_err();
    assert!(matches!(refused, SendError::UnknownPartition { .. }));
}

/// Documentation, "Message Format", record: key and value have a length, which is -1 for null.
#[test]
fn null_and_empty_are_different() {
    let log = log(TopicConfig::new());
    let null = Record::default();
    let empty = Record { key: Some(b""), value: Some(b""), ..null };
    let tombstone = Record::tombstone("customer-42");
    log.append(&[null, empty, tombstone]).unwrap();
    let read = log.read(0, usize::MAX).unwrap();
    let pairs: Vec<_> = read.iter().map(|record| (record.key(), record.value())).collect();
    let key: &[u8] = b"customer-42";
    assert_eq!(pairs, [(None, None), (Some(&b""[..]), Some(&b""[..])), (Some(key), None)]);
}

/// KIP-82: headers are ordered, names may repeat, a value may be null.
#[test]
fn headers_keep_their_order_and_may_repeat() {
    let log = log(TopicConfig::new());
    let headers = [("b", Some(&b"1"[..])), ("a", None), ("b", Some(b""))];
    let headers = headers.map(|(name, value)| Header { name, value });
    log.append(&[Record::new("x").with_headers(&headers)]).unwrap();
    let read = log.read(0, 1).unwrap();
    assert!(read.iter().next().unwrap().headers().eq(headers));
}

/// Documentation, "Replication" and Javadoc of `KafkaConsumer.endOffsets`: consumers read up to the high
/// watermark, the offset of the last readable record plus one.
#[test]
fn the_high_watermark_is_behind_the_last_record_that_can_be_read() {
    let log = log(TopicConfig::new());
    assert_eq!(log.high_watermark(), 0);
    for count in 1..20 {
        append(&log, 1);
        assert_eq!((log.high_watermark(), log.log_end_offset()), (count, count));
        assert_eq!(offsets(&log, count - 1), [count - 1]);
        assert_eq!(offsets(&log, count), []);
    }
}

/// `fetch.max.bytes`, `max.partition.fetch.bytes` and KIP-74: not an absolute maximum, the first batch is
/// returned whatever its size so that the consumer can make progress.
#[test]
fn a_fetch_returns_at_least_one_batch_even_if_it_exceeds_the_limit() {
    let log = log(TopicConfig::new());
    log.append(&[Record::new(&[0; 3_000]); 2]).unwrap();
    append(&log, 1);
    assert_eq!(log.read(0, 1).unwrap().len(), 2);
    assert_eq!(log.read(2, 0).unwrap().len(), 1);
}

/// Protocol errors, `OFFSET_OUT_OF_RANGE`: the requested offset is not within the range of offsets
/// maintained by the server; at the end a fetch is empty.
#[test]
fn a_fetch_outside_the_log_is_out_of_range_and_at_its_end_empty() {
    let log = log(TopicConfig::new());
    append(&log, 5);
    log.delete_records(2).unwrap();
    assert!(log.read(5, 1).unwrap().is_empty());
    for requested in [0, 1, 6, Offset::MAX] {
        let refused = log.read(requested, 1).unwrap_err();
        assert!(
            matches!(refused, ReadError::OutOfRange { log_start: 2, high_watermark: 5, .. }),
            "{refused}"
        );
    }
}

/// Topic settings, `retention.bytes`: the maximum a partition can grow to before old segments are
/// discarded; in Kafka's log cleaner a segment goes only while at least that much stays.
#[test]
fn retention_by_size_keeps_at_least_what_was_asked_for() {
    let log = log(TopicConfig::new().retention_bytes(2_000));
    for _ in 0..200 {
        append(&log, 1);
        let stats = log.stats();
        assert!(stats.bytes >= stats.appended_bytes.min(2_000));
    }
    assert!(log.log_start_offset() > 0);
}

/// Topic settings, `retention.ms`, and KIP-32: a segment is kept until its latest timestamp is older.
#[test]
fn retention_by_time_goes_by_the_latest_timestamp_of_a_segment() {
    let clock = ManualClock::at(millis(1_000_000));
    let config = TopicConfig::new().retention_time(Duration::from_secs(60)).clock(clock.clone());
    let topic = topic(config);
    let log = topic.partition(0).unwrap();
    for stamp in [1_000_000, 0, 0, 0, 0, 0, 0] {
        log.append(&[Record::new("x").with_timestamp(millis(stamp))]).unwrap();
    }
    topic.apply_retention();
    assert_eq!(log.log_start_offset(), 0, "the first segment holds a record that is young");
    clock.advance(Duration::from_millis(60_001));
    topic.apply_retention();
    assert_eq!(log.log_start_offset(), log.high_watermark());
}

/// KIP-107 and Javadoc of `Admin.deleteRecords`: deletes records below the offset, which becomes the low
/// watermark; beyond the high watermark it is `OFFSET_OUT_OF_RANGE`.
#[test]
fn deleting_records_moves_the_log_start() {
    let log = log(TopicConfig::new());
    append(&log, 10);
    assert_eq!(log.delete_records(4), Ok(4));
    assert_eq!((log.log_start_offset(), log.high_watermark()), (4, 10));
    assert_eq!(offsets(&log, 4), [4, 5, 6, 7, 8, 9]);
    assert_eq!(log.delete_records(3), Ok(4), "it never goes back");
    assert!(matches!(log.delete_records(11), Err(AppendError::BeyondEnd { .. })));
    assert_eq!(log.delete_records(10), Ok(10));
    append(&log, 1);
    assert_eq!(offsets(&log, 10), [10], "offsets are not used again");
}

/// KIP-32, `message.timestamp.type=CreateTime`: the producer's timestamp, or its clock without one.
#[test]
fn create_time_is_what_the_producer_says() {
    let topic = topic(TopicConfig::new().clock(ManualClock::at(millis(777))));
    let producer = Producer::new(&topic);
    let sent = [Record::new("a").with_timestamp(millis(5)), Record::new("b")];
    let sent = producer.send_batch(sent).unwrap();
    assert_eq!([sent[0].timestamp, sent[1].timestamp], [5, 777].map(millis));
    let read = topic.partition(0).unwrap().read(0, 1).unwrap();
    assert!(read.iter().map(|record| record.timestamp()).eq([5, 777].map(millis)));
}

/// KIP-32, `message.timestamp.type=LogAppendTime`: the broker's clock, whatever the producer says.
#[test]
fn log_append_time_overrides_what_the_producer_says() {
    let config = TopicConfig::new().timestamp_type(TimestampType::LogAppendTime);
    let topic = topic(config.clock(ManualClock::at(millis(777))));
    let sent = Producer::new(&topic).send(Record::new("a").with_timestamp(millis(5))).unwrap();
    assert_eq!(sent.timestamp, millis(777));
    let read = topic.partition(0).unwrap().read(0, 1).unwrap();
    assert_eq!(read.iter().next().unwrap().timestamp(), millis(777));
}

/// KIP-33 and Javadoc of `KafkaConsumer.offsetsForTimes`: the earliest offset whose timestamp is greater than
/// or equal to the given one; null if there is none.
#[test]
fn a_time_is_looked_up_as_the_first_record_at_or_after_it() {
    let log = log(TopicConfig::new());
    for stamp in [10, 30, 20, 30, 40] {
        log.append(&[Record::new("x").with_timestamp(millis(stamp))]).unwrap();
    }
    let found = [0, 10, 11, 20, 30, 31, 40, 41].map(|time| log.offset_for_timestamp(millis(time)));
    assert_eq!(found, [Some(0), Some(0), Some(1), Some(1), Some(1), Some(4), Some(4), None]);
}

/// Documentation, "Modifying topics": partitions can be added; data is not moved, and keys map by
/// `hash(key) % partitions` to others from then on. They cannot be taken away.
#[test]
fn adding_partitions_moves_keys_but_no_records() {
    let topic = topic(TopicConfig::new().partitions(2));
    let producer = Producer::new(&topic);
    let keys: Vec<String> = (0..50).map(|number| format!("customer-{number}")).collect();
    let send = |key: &String| producer.send(Record::new(key).with_key(key)).unwrap().partition;
    let before: Vec<u32> = keys.iter().map(send).collect();
    let held: Vec<Offset> = topic.partitions().map(|log| log.high_watermark()).collect();

    topic.add_partitions(5).unwrap();
    let now: Vec<Offset> = topic.partitions().map(|log| log.high_watermark()).collect();
    assert_eq!(now, [held, vec![0; 3]].concat());
    let after: Vec<u32> = keys.iter().map(send).collect();
    assert_ne!(before, after);
    assert!(after.iter().any(|partition| *partition >= 2));
    assert!(matches!(topic.add_partitions(4), Err(TopicError::Shrink { current: 5, .. })));
}

/// `org.apache.kafka.common.internals.Topic.validate`: 1 to 249 of `[a-zA-Z0-9._-]`, not `.` or `..`.
#[test]
fn topic_names_follow_kafkas_rule() {
    for name in ["a", "A.b_c-9", "__consumer_offsets", &"x".repeat(249)] {
        assert!(Topic::in_memory(name, TopicConfig::new()).is_ok(), "{name}");
    }
    for name in ["", ".", "..", "a/b", "a b", "\u{e4}", &"x".repeat(250)] {
        let refused = Topic::in_memory(name, TopicConfig::new());
        assert!(matches!(refused, Err(TopicError::InvalidName { .. })), "{name}");
    }
}

/// Topic settings, `max.message.bytes`: the largest record batch size allowed; `RecordTooLargeException`.
#[test]
fn the_size_limit_is_that_of_a_whole_batch() {
    let records = [Record::new("2 espresso"), Record::new("1 water")];
    let bytes = format::encode(&records, 0, Stamps::default()).unwrap().len();
    assert_eq!(log(TopicConfig::new().max_batch_bytes(bytes)).append(&records), Ok(0));
    let refused = log(TopicConfig::new().max_batch_bytes(bytes - 1)).append(&records).unwrap_err();
    assert!(matches!(refused, AppendError::TooLarge { .. }));
}

/// Producer settings, `linger.ms` and `batch.size`: records gather until the batch is full or the linger has
/// passed; Javadoc of `KafkaProducer.flush` and `close`: both send what is left.
#[test]
fn records_gather_until_the_batch_is_full_due_flushed_or_the_producer_closed() {
    let clock = ManualClock::new();
    let topic = topic(TopicConfig::new().clock(clock.clone()));
    let linger = Duration::from_millis(5);
    let builder = Producer::builder(&topic).linger(linger).batch_bytes(200);
    let producer = builder.build().unwrap();
    let appends = || topic.stats().total.appends;

    producer.enqueue(Record::new("due")).unwrap();
    assert_eq!(appends(), 0);
    clock.advance(linger);
    producer.tick();
    assert_eq!(appends(), 1);

    producer.enqueue(Record::new(&[0; 200])).unwrap();
    assert_eq!(appends(), 2, "full");

    producer.enqueue(Record::new("flushed")).unwrap();
    producer.flush().unwrap();
    assert_eq!(appends(), 3);

    producer.enqueue(Record::new("closed")).unwrap();
    drop(producer);
    assert_eq!(appends(), 4);
}

/// Producer settings, `buffer.memory` and `max.block.ms`: a record for which there is no memory blocks, then
/// fails; one larger than all of it fails at once.
#[test]
fn a_record_that_the_buffer_cannot_hold_is_refused() {
    let topic = topic(TopicConfig::new().clock(ManualClock::new()));
    let linger = Duration::from_secs(1);
    let producer = Producer::builder(&topic).linger(linger).buffer_bytes(200).build().unwrap();
    let refused = producer.enqueue(Record::new(&[0; 200])).unwrap_err();
    assert!(matches!(refused, SendError::BufferFull { max: 200, .. }));
    producer.enqueue(Record::new("fits")).unwrap().wait().unwrap();
}

/// Documentation, "Record Batch": what a partition holds can be written down as Kafka's own format.
#[test]
fn records_are_kept_as_kafkas_batches() {
    let log = log(TopicConfig::new());
    let records = [Record::new("a").with_key("k"), Record::new("b")];
    log.append(&records).unwrap();
    let bytes = format::encode(&records, 0, Stamps::default()).unwrap();
    // A batch takes as many bytes in the log as in the format: 61 for its header, and the records.
    let decoded = format::decode(&bytes).unwrap();
    assert_eq!((decoded.len(), decoded.last_offset()), (2, 1));
    assert_eq!(log.stats().bytes, bytes.len() as u64);
}
