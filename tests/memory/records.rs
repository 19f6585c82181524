//! What may be appended, and that it comes back as it was.

use crate::support::{GUARD, all, millis, offsets, partition, tiny, topic};
use anabranch::format::{self, Stamps};
use anabranch::{
    AppendError, Header, ManualClock, OwnedRecord, Producer, Record, RecordMetadata, SendError,
    TimestampType, Topic, TopicPartition,
};
use std::time::Duration;

/// What each way of sending says to a record for partition 0.
type Way = fn(&Topic, Record<'_>) -> Result<RecordMetadata, SendError>;

const WAYS: [(&str, Way); 5] = [
    ("append", |topic, record| {
        let offset = topic.partition(0).unwrap().append(&[record])?;
        let timestamp = all(&topic.partition(0).unwrap()).iter().last().unwrap().timestamp();
        Ok(RecordMetadata { topic: topic.name().into(), partition: 0, offset, timestamp })
    }),
    ("send", |topic, record| Producer::new(topic).send(record)),
    ("send_batch", |topic, record| {
        let mut sent = Producer::new(topic).send_batch([record])?;
        assert_eq!(sent.len(), 1);
        Ok(sent.remove(0))
    }),
    ("enqueue", |topic, record| Producer::new(topic).enqueue(record)?.wait()),
    ("enqueue with linger", |topic, record| {
        Producer::builder(topic).linger(GUARD).build().unwrap().enqueue(record)?.wait()
    }),
];

fn batch_bytes(records: &[Record<'_>]) -> usize {
    format::encode(records, 0, Stamps::default()).unwrap().len()
}

#[test]
fn a_batch_of_exactly_max_batch_bytes_is_accepted_and_one_byte_more_is_refused() {
    // Around the lengths at which the numbers in front of the value grow by a byte.
    for length in [1, 20, 40, 50, 51, 52, 62, 63, 64, 65, 100, 8_180, 8_191, 8_192, 20_000] {
        let (fits, exceeds) = (vec![7; length], vec![7; length + 1]);
        let max = batch_bytes(&[Record::new(&fits)]);
        let bytes = batch_bytes(&[Record::new(&exceeds)]);
        for (way, send) in WAYS {
            let topic = topic(tiny().max_batch_bytes(max));
            let of = TopicPartition::new("orders", 0);
            let refused = send(&topic, Record::new(&exceeds)).unwrap_err();
            let expected = AppendError::TooLarge { partition: of, bytes, max };
            assert_eq!(refused, SendError::Append(expected), "{way}, {length}");
            assert_eq!(topic.stats().total, Default::default(), "{way}: nothing was appended");

            assert_eq!(send(&topic, Record::new(&fits)).unwrap().offset, 0, "{way}, {length}");
            assert_eq!(topic.stats().total.bytes, max as u64, "{way}, {length}");
        }
    }
}

#[test]
fn the_limit_counts_the_whole_batch_with_keys_and_headers() {
    let headers = [Header { name: "trace", value: Some(b"7f") }; 3];
    let record = Record::new("2 espresso").with_key("customer-42").with_headers(&headers);
    let max = batch_bytes(&[record; 5]);
    let log = partition(tiny().max_batch_bytes(max));
    assert!(matches!(log.append(&[record; 6]), Err(AppendError::TooLarge { .. })));
    assert_eq!(log.log_end_offset(), 0);
    assert_eq!(log.append(&[record; 5]), Ok(0));
    assert_eq!(log.log_end_offset(), 5);
}

#[test]
fn a_one_byte_limit_refuses_everything() {
    let log = partition(tiny().max_batch_bytes(1));
    let refused = log.append(&[Record::default()]).unwrap_err();
    assert!(matches!(refused, AppendError::TooLarge { max: 1, .. }), "{refused}");
}

#[test]
fn a_batch_has_at_least_one_record() {
    let log = partition(tiny());
    let refused = log.append(&[]).unwrap_err();
    assert_eq!(refused, AppendError::Empty { partition: TopicPartition::new("orders", 0) });
    assert_eq!(refused.to_string(), "batch for orders/0 has no records");
    assert_eq!(log.stats(), Default::default());
    assert_eq!(log.append(&[Record::default()]), Ok(0));
}

#[test]
fn a_record_that_names_another_partition_is_not_appended() {
    let topic = topic(tiny().partitions(2));
    let log = topic.partition(0).unwrap();
    let batch = [Record::new("a").to_partition(0), Record::new("b").to_partition(1)];
    let refused = log.append(&batch).unwrap_err();
    assert!(matches!(refused, AppendError::WrongPartition { named: 1, .. }), "{refused}");
    assert_eq!(topic.stats().total.records, 0);
    assert_eq!(log.append(&batch[..1]), Ok(0));
}

#[test]
fn null_and_empty_keys_values_and_headers_stay_what_they_were() {
    let parts: [Option<&[u8]>; 3] = [None, Some(b""), Some(b"x")];
    let header_sets: [&[Header<'_>]; 3] = [
        &[],
        &[Header { name: "", value: None }],
        &[
            Header { name: "twice", value: Some(b"") },
            Header { name: "twice", value: None },
            Header { name: "\u{e4}", value: Some(b"\0") },
        ],
    ];
    for (way, send) in WAYS {
        let topic = topic(tiny());
        let mut sent = Vec::new();
        for key in parts {
            for value in parts {
                for headers in header_sets {
                    let record = Record { key, value, headers, ..Record::default() };
                    assert_eq!(send(&topic, record).unwrap().offset, sent.len() as u64);
                    sent.push(record);
                }
            }
        }
        let records = all(&topic.partition(0).unwrap());
        assert_eq!(records.len(), sent.len());
        for (read, sent) in records.iter().zip(&sent) {
            assert_eq!((read.key(), read.value()), (sent.key, sent.value), "{way}");
            assert!(read.headers().eq(sent.headers.iter().copied()), "{way}");
            assert_same(&read.to_owned(), sent);
        }
        drop(topic);
        for (read, sent) in records.into_owned().iter().zip(&sent) {
            assert_same(read, sent);
        }
    }
}

fn assert_same(read: &OwnedRecord, sent: &Record<'_>) {
    assert_eq!((read.key.as_deref(), read.value.as_deref()), (sent.key, sent.value));
    let headers = read.headers.iter();
    let headers: Vec<_> = headers.map(|h| (h.name.as_str(), h.value.as_deref())).collect();
    assert!(headers.into_iter().eq(sent.headers.iter().map(|h| (h.name, h.value))));
}

#[test]
fn create_time_is_the_senders_or_the_clocks_and_append_time_always_the_clocks() {
    let [clock_time, own] = [5_000, 70].map(millis);
    for (timestamp_type, expected) in [
        (TimestampType::CreateTime, [clock_time, own]),
        (TimestampType::LogAppendTime, [clock_time, clock_time]),
    ] {
        for (way, send) in WAYS {
            let clock = ManualClock::at(clock_time);
            let topic = topic(tiny().clock(clock.clone()).timestamp_type(timestamp_type));
            let records = [Record::new("a"), Record::new("b").with_timestamp(own)];
            for (record, expected) in records.into_iter().zip(expected) {
                let sent = send(&topic, record).unwrap();
                assert_eq!(sent.timestamp, expected, "{way}, {timestamp_type:?}");
            }
            let read = all(&topic.partition(0).unwrap());
            let stamps: Vec<_> = read.iter().map(|record| record.timestamp()).collect();
            assert_eq!(stamps, expected, "{way}, {timestamp_type:?}");
        }
    }
}

#[test]
fn a_queued_record_is_stamped_when_it_is_sent_or_when_it_is_appended() {
    for (timestamp_type, expected) in
        [(TimestampType::CreateTime, millis(1_000)), (TimestampType::LogAppendTime, millis(4_000))]
    {
        let clock = ManualClock::at(millis(1_000));
        let topic = topic(tiny().clock(clock.clone()).timestamp_type(timestamp_type));
        let producer = Producer::builder(&topic).linger(Duration::from_secs(60)).build().unwrap();
        let delivery = producer.enqueue(Record::new("a")).unwrap();
        clock.advance(Duration::from_secs(3));
        producer.flush().unwrap();
        assert_eq!(delivery.wait().unwrap().timestamp, expected);
        let read = all(&topic.partition(0).unwrap());
        assert_eq!(read.iter().next().unwrap().timestamp(), expected);
    }
}

#[test]
fn a_timestamp_before_the_epoch_is_refused_and_the_epoch_is_not() {
    for (way, send) in WAYS {
        let topic = topic(tiny());
        let refused = send(&topic, Record::new("a").with_timestamp(millis(-1))).unwrap_err();
        let SendError::Append(refused) = refused else { panic!("{way}: {refused}") };
        assert!(matches!(refused, AppendError::NegativeTimestamp { millis: -1, .. }), "{way}");
        assert_eq!(topic.stats().total.records, 0, "{way}");
        for stamp in [0, i64::MAX] {
            let sent = send(&topic, Record::new("a").with_timestamp(millis(stamp))).unwrap();
            assert_eq!(sent.timestamp, millis(stamp), "{way}");
        }
    }
}

#[test]
fn a_clock_that_stands_before_the_epoch_stamps_the_epoch() {
    // Nothing in the log may be what the format cannot say, whatever the machine's clock is set to.
    for timestamp_type in [TimestampType::CreateTime, TimestampType::LogAppendTime] {
        for (way, send) in WAYS {
            let clock = ManualClock::at(millis(-5_000));
            let topic = topic(tiny().clock(clock).timestamp_type(timestamp_type));
            assert_eq!(send(&topic, Record::new("a")).unwrap().timestamp, millis(0), "{way}");
            let read = all(&topic.partition(0).unwrap());
            assert_eq!(read.iter().next().unwrap().timestamp(), millis(0), "{way}");
        }
    }
}

#[test]
fn a_batch_has_one_to_ten_thousand_records_and_more() {
    let log = partition(tiny());
    let mut end = 0;
    for count in [1_u64, 2, 63, 64, 65, 127, 128, 129, 1_000, 9_999, 10_000] {
        let texts: Vec<String> = (0..count).map(|index| index.to_string()).collect();
        let batch: Vec<Record<'_>> = texts.iter().map(Record::new).collect();
        assert_eq!(log.append(&batch), Ok(end));
        let read = log.read(end, 1).unwrap();
        assert_eq!(offsets(&read), (end..end + count).collect::<Vec<_>>(), "one batch, whole");
        assert!(crate::support::values(&read).iter().eq(&texts));
        end += count;
    }
    assert_eq!(log.stats().appends, 11);
}

#[test]
fn a_record_larger_than_a_chunk_gets_a_chunk_of_its_own() {
    let log = partition(tiny());
    let large = vec![b'x'; 10_000];
    let sizes = [3, 10_000, 0, 10_000, 10_000, 7];
    for size in sizes {
        log.append(&[Record::new(&large[..size])]).unwrap();
    }
    let read = all(&log);
    let lengths: Vec<_> = read.iter().map(|record| record.value().unwrap().len()).collect();
    assert_eq!(lengths, sizes);
    for (offset, size) in (0..).zip(sizes) {
        let one = log.read(offset, 1).unwrap();
        assert_eq!(one.iter().next().unwrap().value().unwrap().len(), size);
    }
}

#[test]
fn what_was_read_outlives_topic_partition_and_reader() {
    let log = partition(tiny().retention_bytes(0));
    crate::support::append_numbers(&log, 0..3);
    let records = all(&log);
    let owned: Vec<OwnedRecord> = records.iter().map(|record| record.to_owned()).collect();
    crate::support::append_numbers(&log, 3..100); // retention drops what was read
    assert!(log.log_start_offset() > 3);
    drop(log);
    assert_eq!(crate::support::values(&records), ["0", "1", "2"]);
    drop(records);
    let values: Vec<_> = owned.iter().map(|record| record.value.as_deref().unwrap()).collect();
    assert_eq!(values, [b"0", b"1", b"2"]);
}
