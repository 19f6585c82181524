//! Mixes of everything at once, on the real code, under thousands of random schedules.
//!
//! A record's value names its sender and its number there, so that whoever reads the log can tell
//! what was lost, doubled or overtaken. Chunks hold two small batches, so that every mix rolls.
//! Waits have no timeout here: who sleeps through what it waits for is a deadlock, which shuttle
//! reports with the schedule that leads there.

use super::{Delivery, Producer};
use crate::clock::ManualClock;
use crate::error::ReadError;
use crate::ids::{Offset, PartitionId};
use crate::log::batch::{HEADER_BYTES, record_bytes_max};
use crate::record::{Record, RecordMetadata};
use crate::sync::Mutex;
use crate::sync::explore::explore;
use crate::sync::planted::{Bug, caught};
use crate::topic::{Reader, Records, Topic, TopicConfig};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const CHUNK_BYTES: usize = 220;

/// Who sent a record, and the how-manieth of its sender it is.
type Name = [u8; 2];

/// A place in the topic.
type Place = (PartitionId, Offset);

fn topic(partitions: u32, configure: impl FnOnce(TopicConfig) -> TopicConfig) -> Topic {
    let config = TopicConfig::new().clock(ManualClock::new()).segment_bytes(CHUNK_BYTES);
    Topic::in_memory("t", configure(config.partitions(partitions))).unwrap()
}

/// What a sender was told: each record's name and place, in the order of its calls.
#[derive(Default)]
struct Sent(Vec<(Name, Place)>);

impl Sent {
    fn note(&mut self, name: Name, metadata: &RecordMetadata) {
        self.0.push((name, (metadata.partition, metadata.offset)));
    }
}

/// Sends `count` records to partitions and in ways that the schedule's dice choose.
fn send_mix(producer: &Producer, topic: &Topic, sender: u8, count: u8) -> Sent {
    let mut sent = Sent::default();
    let mut queued: Vec<(usize, Name, Delivery)> = Vec::new();
    let mut number = 0;
    while number < count {
        let partition = thread_rng().gen_range(0..topic.partition_count());
        let name = [sender, number];
        match thread_rng().gen_range(0..5) {
            0 => {
                let metadata = producer.send(Record::new(&name).to_partition(partition)).unwrap();
                sent.note(name, &metadata);
            }
            1 if number + 2 <= count => {
                let names = [name, [sender, number + 1]];
                let other = thread_rng().gen_range(0..topic.partition_count());
                let records = [
                    Record::new(&names[0]).to_partition(partition),
                    Record::new(&names[1]).to_partition(other),
                ];
                for (name, metadata) in names.iter().zip(producer.send_batch(records).unwrap()) {
                    sent.note(*name, &metadata);
                }
                number += 1;
            }
            2 => {
                producer.flush().unwrap();
                let is_done = queued.iter().all(|(_, _, delivery)| delivery.is_done());
                assert!(is_done, "flush left something behind");
                continue;
            }
            _ => {
                let record = Record::new(&name).to_partition(partition);
                queued.push((sent.0.len(), name, producer.enqueue(record).unwrap()));
                // Its place in the order is that of the call.
                sent.0.push((name, (partition, Offset::MAX)));
            }
        }
        number += 1;
    }
    for (index, name, delivery) in queued {
        let metadata = delivery.wait().unwrap();
        assert!(delivery.is_done());
        sent.0[index] = (name, (metadata.partition, metadata.offset));
    }
    sent
}

/// What was read: which name stands at which place.
#[derive(Default)]
struct Log(BTreeMap<Place, Name>);

impl Log {
    /// Notes what a read returned, and checks that it goes on where the one before it ended, or at
    /// `start`, to where a reader was sent by an error.
    fn note(&mut self, records: &Records, next: &mut BTreeMap<PartitionId, Offset>) {
        for record in records {
            let expected = next.entry(record.partition()).or_insert(0);
            assert_eq!(record.offset(), *expected, "a reader sees a prefix, without gaps");
            *expected += 1;
            let name = record.value().and_then(|value| value.try_into().ok()).expect("intact");
            let place = (record.partition(), record.offset());
            let before = self.0.insert(place, name);
            assert!(
                before.is_none_or(|before| before == name),
                "{place:?} is {before:?}, {name:?}"
            );
        }
    }

    /// Reads all partitions from their starts to their ends.
    fn read(topic: &Topic) -> Log {
        let mut log = Log::default();
        for partition in topic.partitions() {
            let start = partition.log_start_offset();
            let records = partition.read(start, usize::MAX).unwrap();
            assert_eq!(start + records.len() as Offset, partition.log_end_offset());
            log.note(&records, &mut BTreeMap::from([(partition.id(), start)]));
        }
        log
    }

    /// Whether no record stands at two places.
    fn check_no_duplicates(&self) {
        let mut names: Vec<Name> = self.0.values().copied().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a record stands twice: {:?}", self.0);
    }

    /// Whether the log holds what senders were told, in the order of their calls.
    fn check_sent(&self, sent: &Sent) {
        let mut latest: BTreeMap<PartitionId, Offset> = BTreeMap::new();
        for (name, (partition, offset)) in &sent.0 {
            assert_eq!(self.0.get(&(*partition, *offset)), Some(name), "{:?}", self.0);
            let before = latest.insert(*partition, *offset);
            assert!(before < Some(*offset), "{name:?} at {offset} overtook {before:?}");
        }
    }
}

/// What a task's executor does: sleeps until the waker was called.
#[derive(Default)]
struct Parker {
    is_woken: Mutex<bool>,
    bell: crate::sync::Condvar,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        *self.is_woken.lock() = true;
        self.bell.notify_one();
    }
}

/// Polls as a thread or as a task, until there are records or an error.
fn poll(reader: &mut Reader, is_task: bool) -> Result<Records, ReadError> {
    if !is_task {
        return reader.poll(Duration::MAX);
    }
    let parker = Arc::new(Parker::default());
    let waker = Waker::from(Arc::clone(&parker));
    loop {
        match reader.poll_next(&mut Context::from_waker(&waker)) {
            Poll::Ready(records) => return records,
            Poll::Pending => {
                let mut is_woken = parker.is_woken.lock();
                while !std::mem::take(&mut *is_woken) {
                    is_woken = parker.bell.wait(is_woken, Duration::MAX);
                }
            }
        }
    }
}

/// Reads `partitions` of a topic until it has seen `count` records.
fn spawn_reader(topic: &Topic, count: usize, is_task: bool) -> JoinHandle<Log> {
    let topic = topic.clone();
    thread::spawn(move || {
        let partitions = topic.partitions().map(|partition| (partition, 0));
        let mut reader = Reader::new(partitions).max_bytes(150);
        let (mut log, mut next) = (Log::default(), BTreeMap::new());
        while log.0.len() < count {
            let records = poll(&mut reader, is_task).unwrap();
            assert!(!records.is_empty(), "a poll without a deadline ends with records");
            log.note(&records, &mut next);
        }
        log
    })
}

/// Two producers, of which the one with two threads lingers, send in all ways, two readers see everything.
fn everything_arrives() {
    const RECORDS: u8 = 3;
    const SENDERS: u8 = 3;
    let topic = topic(2, |config| config);
    let all = usize::from(RECORDS * SENDERS);
    let readers = [false, true].map(|is_task| spawn_reader(&topic, all, is_task));
    let lingering = Producer::builder(&topic).linger(Duration::from_secs(1)).build().unwrap();
    let producers = [lingering.clone(), lingering, Producer::new(&topic)];
    let senders: Vec<_> = (0..SENDERS)
        .zip(producers)
        .map(|(sender, producer)| {
            let topic = topic.clone();
            thread::spawn(move || send_mix(&producer, &topic, sender, RECORDS))
        })
        .collect();
    let sent: Vec<Sent> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
    let log = Log::read(&topic);
    log.check_no_duplicates();
    assert_eq!(log.0.len(), all, "nothing lost, nothing invented");
    sent.iter().for_each(|sent| log.check_sent(sent));
    for reader in readers {
        assert_eq!(reader.join().unwrap().0, log.0, "readers agree");
    }
}

#[test]
fn shuttle_everything_sent_arrives_once_and_in_order() {
    for bug in [
        Bug::ForgetQueued,
        Bug::ImpatientFlush,
        Bug::ForgetIndex,
        Bug::AppendTwice,
        Bug::TornPublish,
        Bug::ArmWithoutCheck,
        Bug::SilentDelivery,
        Bug::ForgetWaker,
    ] {
        assert!(caught(bug, || explore(everything_arrives)), "{bug:?}");
    }
    explore(everything_arrives);
}

/// Three threads hand records to one producer and leave; nobody flushes, nobody waits for them.
/// Without linger all is there by then, for whoever looks.
fn contention() {
    const RECORDS: u8 = 3;
    const SENDERS: u8 = 3;
    let topic = topic(1, |config| config);
    let all = usize::from(RECORDS * SENDERS);
    let reader = spawn_reader(&topic, all, false);
    let producer = Producer::new(&topic);
    let senders = Vec::from_iter((0..SENDERS).map(|sender| {
        let producer = producer.clone();
        thread::spawn(move || {
            let enqueue = |number| {
                let name = [sender, number];
                (name, producer.enqueue(Record::new(&name)).unwrap())
            };
            Vec::from_iter((0..RECORDS).map(enqueue))
        })
    }));
    let deliveries = Vec::from_iter(senders.into_iter().map(|sender| sender.join().unwrap()));
    let log = Log::read(&topic);
    assert_eq!(log.0.len(), all, "nothing lost, nothing left behind");
    log.check_no_duplicates();
    for deliveries in deliveries {
        let mut sent = Sent::default();
        for (name, delivery) in deliveries {
            assert!(delivery.is_done(), "{name:?} is appended, and not done");
            sent.note(name, &delivery.wait().unwrap());
        }
        log.check_sent(&sent);
    }
    assert_eq!(reader.join().unwrap().0, log.0);
    assert!(producer.tick().is_none(), "nothing is queued");
}

#[test]
fn shuttle_enqueued_records_are_there_without_a_flush() {
    assert!(caught(Bug::HideOpen, || explore(contention)), "hidden");
    explore(contention);
}

/// Records linger in a buffer that holds two: whoever needs room gets it, though nobody watches the
/// time. The last handle appends what is left.
fn full_buffer() {
    const RECORDS: u8 = 3;
    const SENDERS: u8 = 3;
    let topic = topic(2, |config| config);
    let room = 2 * (record_bytes_max(&Record::new(&[0; 2])) + HEADER_BYTES);
    let producer = Producer::builder(&topic)
        .linger(Duration::from_secs(1))
        .buffer_bytes(room)
        .max_block(Duration::MAX)
        .build()
        .unwrap();
    let senders = Vec::from_iter((0..SENDERS).map(|sender| {
        let producer = producer.clone();
        thread::spawn(move || {
            Vec::from_iter((0..RECORDS).map(|number| {
                let (name, id) = ([sender, number], thread_rng().gen_range(0..2));
                let record = Record::new(&name).to_partition(id);
                (name, producer.enqueue(record).unwrap())
            }))
        })
    }));
    drop(producer);
    let deliveries = Vec::from_iter(senders.into_iter().map(|sender| sender.join().unwrap()));
    let log = Log::read(&topic);
    assert_eq!(log.0.len(), usize::from(RECORDS * SENDERS), "the last handle left something");
    log.check_no_duplicates();
    for deliveries in deliveries {
        let mut sent = Sent::default();
        for (name, delivery) in deliveries {
            assert!(delivery.is_done(), "{name:?} is appended, and not done");
            sent.note(name, &delivery.wait().unwrap());
        }
        log.check_sent(&sent);
    }
}

#[test]
fn shuttle_a_full_buffer_is_emptied_by_who_needs_room() {
    for bug in [Bug::LingerOn, Bug::SilentRoom, Bug::ForgetIndex, Bug::AppendTwice] {
        assert!(caught(bug, || explore(full_buffer)), "{bug:?}");
    }
    explore(full_buffer);
}

/// The name of the record that ends a partition.
const END: u8 = u8::MAX;

/// Reads two partitions until both have ended, and goes on at the new start when it is overtaken.
/// `deleted` is the offset below which partition 0 was deleted when that was last looked at.
fn read_to_the_end(topic: &Topic, deleted: &AtomicU64) -> Log {
    let partitions = topic.partitions().take(2).map(|partition| (partition, 0));
    let mut reader = Reader::new(partitions).max_bytes(150);
    let (mut log, mut next, mut ended) = (Log::default(), BTreeMap::new(), 0);
    while ended < 2 {
        let floor = deleted.load(Ordering::SeqCst);
        match reader.poll(Duration::MAX) {
            Ok(records) => {
                log.note(&records, &mut next);
                for record in &records {
                    ended += usize::from(record.value().is_some_and(|value| value[0] == END));
                    let is_kept = record.partition() != 0 || record.offset() >= floor;
                    assert!(is_kept, "{} was deleted below {floor}", record.offset());
                }
            }
            Err(ReadError::OutOfRange { partition, requested, log_start, .. }) => {
                assert!(requested < log_start, "{requested} is within {log_start}..");
                reader.seek(&partition, log_start).unwrap();
                next.insert(partition.partition, log_start);
            }
            Err(other) => panic!("{other}"),
        }
    }
    log
}

/// Senders and readers go on while retention keeps next to nothing, records are deleted, and the
/// topic grows.
fn everything_moves() {
    const RECORDS: u8 = 4;
    let topic = topic(2, |config| config.retention_bytes(0));
    let deleted = Arc::new(AtomicU64::new(0));
    let readers = [(); 2].map(|()| {
        let (topic, deleted) = (topic.clone(), Arc::clone(&deleted));
        thread::spawn(move || read_to_the_end(&topic, &deleted))
    });
    let senders = [0, 1].map(|sender| {
        let topic = topic.clone();
        thread::spawn(move || send_mix(&Producer::new(&topic), &topic, sender, RECORDS))
    });
    let deleter = {
        let (topic, deleted) = (topic.clone(), Arc::clone(&deleted));
        thread::spawn(move || {
            let partition = topic.partition(0).unwrap();
            for _ in 0..2 {
                let before = thread_rng().gen_range(0..=partition.high_watermark());
                let start = partition.delete_records(before).unwrap();
                assert!(before <= start, "{start} is the start after all below {before} went");
                deleted.fetch_max(before, Ordering::SeqCst);
            }
            topic.add_partitions(3).unwrap();
            topic.apply_retention();
        })
    };
    deleter.join().unwrap();
    let sent = senders.map(|sender| sender.join().unwrap());
    for partition in topic.partitions() {
        partition.append(&[Record::new(&[END, 0])]).unwrap();
    }
    let retained = Log::read(&topic);
    let appended: u64 = topic.partitions().map(|partition| partition.log_end_offset()).sum();
    assert_eq!(appended, 2 * u64::from(RECORDS) + 3, "each record has an offset of its own");
    let told: BTreeMap<Place, Name> =
        sent.iter().flat_map(|sent| &sent.0).map(|(name, place)| (*place, *name)).collect();
    let read = readers.map(|reader| reader.join().unwrap());
    for (place, name) in read.iter().chain([&retained]).flat_map(|log| &log.0) {
        assert!(name[0] == END || told.get(place) == Some(name), "{name:?} at {place:?}: {told:?}");
    }
    for partition in topic.partitions() {
        let start = partition.log_start_offset();
        let kept = retained.0.range((partition.id(), 0)..(partition.id() + 1, 0)).count() as u64;
        assert_eq!(start + kept, partition.log_end_offset(), "what is retained has no gaps");
    }
}

#[test]
fn shuttle_readers_keep_up_with_retention_deletion_and_growth() {
    let bugs = [Bug::ForgetStart, Bug::ForgetFloor, Bug::TornPublish, Bug::LengthBeforeValue];
    for bug in bugs {
        assert!(caught(bug, || explore(everything_moves)), "{bug:?}");
    }
    explore(everything_moves);
}
