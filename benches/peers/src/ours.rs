//! How is anabranch called? Every call into it, in one place.

use crate::payload::{Inline, Seen};
use anabranch::{Offset, Partition, Producer, Reader, Record, Topic, TopicConfig};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a log keeps at least: more than any reader here falls behind.
pub(crate) const RETAINED_BYTES: u64 = 256 << 20;

/// How far a sender may run ahead: a record takes 180 bytes at most, so this is a third of what is
/// retained.
pub(crate) const WINDOW: u64 = 500_000;

/// Long enough that a reader sleeps, short enough that a stuck run is noticed.
const PATIENCE: Duration = Duration::from_secs(5);

/// A topic nobody used before. Cases that ask for a rate keep theirs over all rounds: after the first,
/// which is not counted, it has reached its retention and writes where it wrote before.
pub(crate) fn topic(partitions: u32, retained_bytes: u64) -> Topic {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("bench-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let config = TopicConfig::new().partitions(partitions).retention_bytes(retained_bytes);
    Topic::in_memory(name, config).expect("the settings are in range")
}

pub(crate) fn partition(topic: &Topic, id: u32) -> Partition {
    topic.partition(id).expect("the topic has as many partitions as were asked for")
}

pub(crate) fn producer(topic: &Topic) -> Producer {
    Producer::new(topic)
}

/// A producer that batches only what waits anyway.
pub(crate) fn producer_without_linger(topic: &Topic) -> Producer {
    Producer::builder(topic).linger(Duration::ZERO).build().expect("the settings are in range")
}

/// The partition that a key goes to.
pub(crate) fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (anabranch::partitioner::murmur2(key) as u32 & 0x7fff_ffff) % partitions
}

pub(crate) fn send(producer: &Producer, value: &Inline) {
    producer.send(Record::new(value)).expect("a record is sent");
}

pub(crate) fn send_keyed(producer: &Producer, key: &[u8], value: &Inline) {
    producer.send(Record::new(value).with_key(key)).expect("a record is sent");
}

pub(crate) fn send_batch<'a>(producer: &Producer, values: impl Iterator<Item = &'a Inline>) {
    producer.send_batch(values.map(Record::new)).expect("a batch is sent");
}

pub(crate) fn send_batch_keyed<'a>(
    producer: &Producer,
    records: impl Iterator<Item = (&'a [u8], &'a Inline)>,
) {
    let records = records.map(|(key, value)| Record::new(value).with_key(key));
    producer.send_batch(records).expect("a batch is sent");
}

pub(crate) fn enqueue(producer: &Producer, value: &Inline) {
    producer.enqueue(Record::new(value)).expect("a record is taken");
}

pub(crate) fn flush(producer: &Producer) {
    producer.flush().expect("everything is sent");
}

/// Somebody who reads partitions.
pub(crate) struct Subscriber(Reader);

impl Subscriber {
    /// From their start.
    pub(crate) fn new(partitions: impl IntoIterator<Item = Partition>) -> Self {
        Subscriber(Reader::new(partitions.into_iter().map(|partition| (partition, 0))))
    }

    /// From their end: what comes from now on.
    pub(crate) fn at_end(partitions: impl IntoIterator<Item = Partition>) -> Self {
        let at_end = |partition: Partition| {
            let end = partition.high_watermark();
            (partition, end)
        };
        Subscriber(Reader::new(partitions.into_iter().map(at_end)))
    }

    /// Waits for records and hands each value over; returns how many there were.
    pub(crate) fn poll(&mut self, mut each: impl FnMut(&[u8])) -> u64 {
        let records = self.0.poll(PATIENCE).expect("the reader is within what is retained");
        let mut count = 0;
        for record in &records {
            each(record.value().expect("every record has a value"));
            count += 1;
        }
        count
    }

    /// Reads until it has seen `count` records, and says after each poll how many it has.
    pub(crate) fn read(&mut self, count: u64, mut progress: impl FnMut(u64)) -> Seen {
        let mut seen = Seen::default();
        while seen.count < count {
            let more = self.poll(|value| seen.touch(value));
            assert!(more > 0, "nothing came for {PATIENCE:?} after {} records", seen.count);
            progress(seen.count);
        }
        seen
    }
}

/// The value at an offset, as its length and first byte.
pub(crate) fn read_at(partition: &Partition, offset: Offset) -> (usize, u8) {
    let records = partition.read(offset, 1).expect("the offset is retained");
    let first = (&records).into_iter().next().expect("there is a record at the offset");
    assert_eq!(first.offset(), offset);
    let value = first.value().expect("every record has a value");
    (value.len(), value[0])
}
