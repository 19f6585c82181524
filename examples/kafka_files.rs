//! Writes a topic into files that Kafka's tools and brokers read as their own, and lists its records.
//!
//! `cargo run --example kafka_files -- DIR` leaves the files in that directory and prints each record
//! as Kafka's console consumer would, so that the two can be compared; `tests/kafka` does so.

use anabranch::{
    Broker, ConsumerRecord, Header, Producer, Reader, Record, RecordMetadata, Timestamp,
    TopicConfig,
};
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs, process};

const HEADERS: [&[Header<'_>]; 4] = [
    &[],
    &[Header { name: "trace", value: Some(b"7f") }],
    &[Header { name: "retry", value: None }, Header { name: "note", value: Some(b"") }],
    &[
        Header { name: "retry", value: Some(b"1") },
        Header { name: "retry", value: Some(b"2") },
        Header { name: "café", value: Some("Zürich".as_bytes()) },
    ],
];

/// What is sent as the order of this number: with and without key, value and headers, long and short.
struct Order {
    key: Option<String>,
    value: Option<String>,
    headers: &'static [Header<'static>],
    timestamp: Timestamp,
}

impl Order {
    fn new(number: u32) -> Order {
        let key = match number % 6 {
            0 => None,
            1 => Some(String::new()),
            _ => Some(format!("customer-{}", number % 31)),
        };
        let value = match number % 7 {
            0 => None,
            1 => Some(String::new()),
            much => {
                Some(format!("order {number}:{}", " crème brûlée".repeat((much * much) as usize)))
            }
        };
        // One every second, and some are a minute late.
        let start = if number.is_multiple_of(5) { 1_700_000_000_000 } else { 1_700_000_060_000 };
        let timestamp =
            Timestamp::from_millis(start).saturating_add(Duration::from_secs(number.into()));
        Order { key, value, headers: HEADERS[number as usize % HEADERS.len()], timestamp }
    }

    fn record(&self) -> Record<'_> {
        let (key, value) = (self.key.as_ref(), self.value.as_ref());
        Record {
            key: key.map(String::as_bytes),
            value: value.map(String::as_bytes),
            headers: self.headers,
            timestamp: Some(self.timestamp),
            partition: None,
        }
    }
}

fn line_sent(record: &Record<'_>, at: &RecordMetadata) -> String {
    let place =
        format!("{}\tPartition:{}\tOffset:{}", at.timestamp.as_millis(), at.partition, at.offset);
    line(&place, record.headers.iter().copied(), record.key, record.value)
}

fn line_read(record: &ConsumerRecord<'_>) -> String {
    let (millis, partition) = (record.timestamp().as_millis(), record.partition());
    let place = format!("{millis}\tPartition:{partition}\tOffset:{}", record.offset());
    line(&place, record.headers(), record.key(), record.value())
}

fn line<'a>(
    place: &str,
    headers: impl Iterator<Item = Header<'a>>,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> String {
    let text = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        None => "<null>".to_owned(),
    };
    let headers: Vec<_> = headers.map(|h| format!("{}:{}", h.name, text(h.value))).collect();
    let headers = if headers.is_empty() { "NO_HEADERS".to_owned() } else { headers.join(",") };
    format!("CreateTime:{place}\t{headers}\t{}\t{}", text(key), text(value))
}

fn main() -> Result<(), Box<dyn Error>> {
    let named = env::args_os().nth(1).map(PathBuf::from);
    let scratch = env::temp_dir().join(format!("anabranch-kafka-files-{}", process::id()));
    let dir = named.as_ref().unwrap_or(&scratch);

    // Kafka's layout: orders-0/00000000000000000000.log, .index, .timeindex and so on.
    let broker = Broker::open(dir)?;
    let config = TopicConfig::new().partitions(2).segment_bytes(16 * 1024);
    let producer = Producer::new(&broker.create_topic("orders", config)?);
    let orders: Vec<_> = (0..600).map(Order::new).collect();
    let mut sent = Vec::new();
    for some in orders.chunks(7) {
        let records = some.iter().map(Order::record);
        let places = producer.send_batch(records.clone())?;
        sent.extend(records.zip(&places).map(|(record, at)| line_sent(&record, at)));
    }
    drop(producer);
    broker.close()?;

    // What was closed is opened again, and is what was sent.
    let broker = Broker::open(dir)?;
    let topic = broker.topic("orders")?;
    let mut reader = Reader::new(topic.partitions().map(|partition| (partition, 0)));
    let mut read = Vec::new();
    while read.len() < sent.len() {
        let records = reader.poll(Duration::ZERO)?;
        assert!(!records.is_empty(), "{} of {} records were read", read.len(), sent.len());
        read.extend(records.iter().map(|record| line_read(&record)));
    }
    drop((reader, topic));
    broker.close()?;

    sent.sort();
    read.sort();
    assert_eq!(read, sent);
    if named.is_some() {
        println!("{}", sent.join("\n"));
    } else {
        println!("{} records were written and read again", read.len());
        fs::remove_dir_all(dir)?;
    }
    Ok(())
}
