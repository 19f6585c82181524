//! Models of a partition: appends, rolls, retention and deletion against cursors and readers.
//!
//! Partitions are real and so are their batches; chunks are so small that each holds one batch, or
//! two where a model says so. loom watches each byte of them.

use super::config::TopicConfig;
use super::cursor::Cursor;
use super::fetcher::Limits;
use super::partition::Partition;
use super::shared::{Settings, Shared};
use super::{Reader, Topic};
use crate::clock::ManualClock;
use crate::error::ReadError;
use crate::ids::{Offset, Timestamp};
use crate::record::Record;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::explore::explore;
use crate::sync::planted::{Bug, caught};
use crate::sync::{Arc, Condvar, Mutex};
use loom::thread;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// A batch with a record of one byte takes 69 bytes, and may take 98 as far as its sender knows:
/// so much holds one, and a second one needs another chunk.
const ONE_BATCH: usize = 100;
const TWO_BATCHES: usize = 170;

const EVERYTHING: Limits = Limits { bytes: usize::MAX, records: usize::MAX };
/// Less than a batch: one is read at a time.
const ONE_BYTE: Limits = Limits { bytes: 1, records: usize::MAX };

fn config() -> TopicConfig {
    TopicConfig::new().clock(ManualClock::new())
}

/// A partition without a topic, whose look-up would only add schedules.
fn partition(config: TopicConfig, chunk_bytes: usize) -> Partition {
    let config = config.segment_bytes(chunk_bytes);
    let chunk_bytes = config.chunk_bytes();
    let settings = Settings::new("t".into(), config, chunk_bytes);
    Partition { shared: Arc::new(Shared::new(settings, 0)) }
}

/// Appends the numbers, each a batch, each at the offset that it names.
fn append(partition: &Partition, numbers: std::ops::Range<u8>) {
    for number in numbers {
        let offset = partition.append(&[Record::new(&[number])]).unwrap();
        assert_eq!(offset, Offset::from(number));
    }
}

/// Reads once and checks that what comes is what is expected next; returns how much came.
fn read_on(cursor: &mut Cursor) -> Result<usize, ReadError> {
    let expected = cursor.offset();
    let Some(slice) = cursor.fetch(EVERYTHING, true)? else { return Ok(0) };
    for (offset, record) in (expected..).zip(slice.iter()) {
        assert_eq!(record.offset(), offset, "nothing skipped, nothing repeated");
        assert_eq!(record.value().map(|value| Offset::from(value[0])), Some(offset), "intact");
    }
    assert_eq!(slice.iter().count(), slice.len());
    assert_eq!(cursor.offset(), expected + slice.len() as Offset);
    Ok(slice.len())
}

/// A cursor steps from chunk to chunk behind the appender.
fn hand_over() {
    const RECORDS: u8 = 3;
    let partition = partition(config(), ONE_BATCH);
    let appender = {
        let partition = partition.clone();
        thread::spawn(move || append(&partition, 0..RECORDS))
    };
    let mut cursor = Cursor::new(Arc::clone(&partition.shared), 0);
    for _ in 0..2 {
        read_on(&mut cursor).unwrap();
    }
    appender.join().unwrap();
    while read_on(&mut cursor).unwrap() > 0 {}
    assert_eq!(cursor.offset(), Offset::from(RECORDS));
}

#[test]
fn loom_a_cursor_steps_over_rolls() {
    assert!(caught(Bug::SealBeforeChain, || explore(2, hand_over)));
    explore(4, hand_over);
}

/// Two append while a reader is armed; whoever's append has returned, a poll that follows it finds
/// the record, though the other one is still waking the reader.
fn acknowledged_is_seen() {
    let partition = partition(config(), TWO_BATCHES);
    let mut reader = Reader::new([(partition.clone(), 0)]);
    let mut context = Context::from_waker(Waker::noop());
    assert!(reader.poll_next(&mut context).is_pending(), "it is armed now");
    let other = {
        let partition = partition.clone();
        thread::spawn(move || partition.append(&[Record::new("x")]).unwrap())
    };
    let offset = partition.append(&[Record::new("y")]).unwrap();
    let records = reader.poll(Duration::ZERO).unwrap();
    assert!(records.iter().any(|record| record.offset() == offset), "{offset} is acknowledged");
    other.join().unwrap();
}

#[test]
fn loom_what_is_acknowledged_is_seen_by_the_next_poll() {
    assert!(caught(Bug::PutAfterUnlock, || explore(2, acknowledged_is_seen)));
    explore(3, acknowledged_is_seen);
}

/// A reader sleeps until there is a record; nobody but the appender can wake it.
fn sleeping_reader() {
    let partition = partition(config(), TWO_BATCHES);
    let appender = {
        let partition = partition.clone();
        thread::spawn(move || append(&partition, 0..2))
    };
    let mut reader = Reader::new([(partition, 0)]);
    let mut read = 0;
    while read < 2 {
        let records = reader.poll(Duration::MAX).unwrap();
        assert!(!records.is_empty(), "without a deadline a poll ends with records");
        read += records.len();
    }
    appender.join().unwrap();
    assert_eq!(read, 2);
}

#[test]
fn loom_a_reader_does_not_sleep_through_an_append() {
    assert!(caught(Bug::ArmWithoutCheck, || explore(2, sleeping_reader)));
    assert!(caught(Bug::SilentDelivery, || explore(2, sleeping_reader)));
    explore(3, sleeping_reader);
}

/// Puts a number into the open batch, and says where it will be found.
fn enqueue(partition: &Partition, number: u8) {
    let record = Record::new(std::slice::from_ref(&number));
    let (offset, ticket) =
        Shared::enqueue(&partition.shared, &record, Timestamp::default(), TWO_BATCHES).unwrap();
    assert!(offset == Offset::from(number) && ticket.is_none());
}

/// What was enqueued is there for whoever looks afterwards, while somebody goes on at its batch.
fn open_batch() {
    let partition = partition(config(), TWO_BATCHES);
    let enqueued = Arc::new(AtomicU64::new(0));
    let mut cursor = Cursor::new(Arc::clone(&partition.shared), 0);
    let sender = {
        let (partition, enqueued) = (partition.clone(), Arc::clone(&enqueued));
        thread::spawn(move || {
            for number in 0..2 {
                enqueue(&partition, number);
                enqueued.store(Offset::from(number) + 1, Ordering::Release);
            }
        })
    };
    for _ in 0..2 {
        let expected = enqueued.load(Ordering::Acquire);
        read_on(&mut cursor).unwrap();
        assert!(cursor.offset() >= expected, "{expected} records were there before");
    }
    sender.join().unwrap();
    read_on(&mut cursor).unwrap();
    assert_eq!((cursor.offset(), partition.high_watermark()), (2, 2));
}

#[test]
fn loom_what_is_enqueued_is_seen_by_who_looks() {
    assert!(caught(Bug::HideOpen, || explore(2, open_batch)));
    explore(3, open_batch);
}

/// As the sleeper above, for records that are enqueued.
fn sleeper_behind_an_open_batch() {
    let partition = partition(config(), TWO_BATCHES);
    let sender = {
        let partition = partition.clone();
        thread::spawn(move || (0..2).for_each(|number| enqueue(&partition, number)))
    };
    let mut reader = Reader::new([(partition, 0)]);
    let mut read = 0;
    while read < 2 {
        read += reader.poll(Duration::MAX).unwrap().len();
    }
    sender.join().unwrap();
    assert_eq!(read, 2);
}

#[test]
fn loom_a_reader_does_not_sleep_behind_an_open_batch() {
    assert!(caught(Bug::SilentDelivery, || explore(2, sleeper_behind_an_open_batch)));
    explore(3, sleeper_behind_an_open_batch);
}

/// What a task's executor does: sleeps until the waker was called.
#[derive(Default)]
struct Parker {
    is_woken: Mutex<bool>,
    bell: Condvar,
}

impl Wake for Parker {
    fn wake(self: std::sync::Arc<Self>) {
        *self.is_woken.lock() = true;
        self.bell.notify_one();
    }
}

/// As above, for a task.
fn sleeping_task() {
    let partition = partition(config(), TWO_BATCHES);
    let appender = {
        let partition = partition.clone();
        thread::spawn(move || append(&partition, 0..1))
    };
    let parker = std::sync::Arc::new(Parker::default());
    let waker = Waker::from(std::sync::Arc::clone(&parker));
    let mut reader = Reader::new([(partition, 0)]);
    let records = loop {
        match reader.poll_next(&mut Context::from_waker(&waker)) {
            Poll::Ready(records) => break records.unwrap(),
            Poll::Pending => {
                let mut is_woken = parker.is_woken.lock();
                while !std::mem::take(&mut *is_woken) {
                    is_woken = parker.bell.wait(is_woken, Duration::MAX);
                }
            }
        }
    };
    assert_eq!(records.len(), 1);
    appender.join().unwrap();
}

#[test]
fn loom_a_task_does_not_sleep_through_an_append() {
    assert!(caught(Bug::ArmWithoutCheck, || explore(2, sleeping_task)));
    assert!(caught(Bug::ForgetWaker, || explore(2, sleeping_task)));
    explore(4, sleeping_task);
}

/// Retention keeps the last chunk only, while a cursor reads from the start: it may be told that it
/// was overtaken, and then goes on at the new start, but never misses a record unawares.
fn retention() {
    const RECORDS: u8 = 3;
    let partition = partition(config().retention_bytes(0), ONE_BATCH);
    append(&partition, 0..1);
    let appender = {
        let partition = partition.clone();
        thread::spawn(move || append(&partition, 1..RECORDS))
    };
    let mut cursor = Cursor::new(Arc::clone(&partition.shared), 0);
    let mut held = Vec::new();
    for _ in 0..2 {
        match cursor.fetch(EVERYTHING, true) {
            Ok(slice) => held.extend(slice),
            Err(ReadError::OutOfRange { requested, log_start, .. }) => {
                assert!(requested < log_start, "overtaken: {requested} and {log_start}");
                cursor.seek(log_start);
            }
            Err(other) => panic!("{other}"),
        }
    }
    appender.join().unwrap();
    // What is held keeps its memory, whatever retention and the appends behind it did since.
    for record in held.iter().flat_map(super::records::Slice::iter) {
        assert_eq!(record.value().map(|value| Offset::from(value[0])), Some(record.offset()));
    }
    let last = Offset::from(RECORDS) - 1;
    let from_the_start = Cursor::new(Arc::clone(&partition.shared), 0).fetch(EVERYTHING, true);
    assert!(
        matches!(from_the_start, Err(ReadError::OutOfRange { log_start, .. }) if log_start == last),
        "{from_the_start:?}"
    );
}

#[test]
fn loom_retention_tells_who_it_overtakes() {
    assert!(caught(Bug::ForgetStart, || explore(1, retention)));
    assert!(caught(Bug::EarlyRecycle, || explore(2, retention)));
    explore(4, retention);
}

/// Records are deleted while a cursor stands before them, in the chunk that stays.
fn deletion() {
    let partition = partition(config(), TWO_BATCHES);
    append(&partition, 0..3); // 0 and 1 share a chunk
    let deleter = {
        let partition = partition.clone();
        thread::spawn(move || assert_eq!(partition.delete_records(1).unwrap(), 1))
    };
    let mut cursor = Cursor::new(Arc::clone(&partition.shared), 0);
    let before = cursor.fetch(ONE_BYTE, true).map(|slice| slice.map_or(0, |slice| slice.len()));
    deleter.join().unwrap();
    match before {
        Ok(1) => {} // it was faster
        Ok(other) => panic!("{other} records of one batch"),
        Err(ReadError::OutOfRange { log_start: 1, .. }) => {
            cursor.seek(1);
        }
        Err(other) => panic!("{other}"),
    }
    assert_eq!(read_on(&mut cursor).unwrap(), 1);
    assert_eq!(read_on(&mut cursor).unwrap(), 1);
}

/// A cursor is inside a chunk, with a deleted record before it.
fn deletion_under_a_cursor() {
    let partition = partition(config(), 3 * ONE_BATCH);
    append(&partition, 0..3);
    let mut cursor = Cursor::new(Arc::clone(&partition.shared), 0);
    assert_eq!(cursor.fetch(ONE_BYTE, true).unwrap().map(|slice| slice.len()), Some(1));
    let deleter = {
        let partition = partition.clone();
        thread::spawn(move || assert_eq!(partition.delete_records(2).unwrap(), 2))
    };
    let during = cursor.fetch(ONE_BYTE, true).map(|slice| slice.map_or(0, |slice| slice.len()));
    deleter.join().unwrap();
    let behind = match during {
        Ok(1) => Ok(Some(1)), // it was faster; at 2 it is where the log starts
        Ok(other) => panic!("{other} records of one batch"),
        Err(_) => cursor.fetch(ONE_BYTE, true).map(|slice| slice.map(|slice| slice.len())),
    };
    match behind {
        Ok(_) => assert_eq!(read_on(&mut cursor).unwrap(), 1),
        Err(ReadError::OutOfRange { requested: 1, log_start: 2, .. }) => {}
        Err(other) => panic!("{other}"),
    }
}

/// After the deletion has returned, nobody reads what it deleted.
fn deletion_is_final() {
    let partition = partition(config(), 3 * ONE_BATCH);
    append(&partition, 0..2);
    let mut cursor = Cursor::new(Arc::clone(&partition.shared), 0);
    assert_eq!(cursor.fetch(ONE_BYTE, true).unwrap().map(|slice| slice.len()), Some(1));
    let appender = {
        let partition = partition.clone();
        thread::spawn(move || append(&partition, 2..4))
    };
    let deleter = {
        let partition = partition.clone();
        thread::spawn(move || partition.delete_records(2).map(drop).unwrap())
    };
    deleter.join().unwrap();
    let refused = cursor.fetch(ONE_BYTE, true);
    assert!(matches!(refused, Err(ReadError::OutOfRange { log_start: 2, .. })), "{refused:?}");
    appender.join().unwrap();
}

#[test]
fn loom_deleted_records_are_not_read() {
    assert!(caught(Bug::ForgetFloor, || explore(2, deletion_is_final)));
    explore(5, deletion);
    explore(5, deletion_under_a_cursor);
    explore(3, deletion_is_final);
}

/// A topic grows while one thread appends to whatever partitions it finds, and another reads them.
fn growing_topic() {
    let topic = Topic::in_memory("t", config().segment_bytes(ONE_BATCH)).unwrap();
    let grower = {
        let topic = topic.clone();
        thread::spawn(move || topic.add_partitions(2).unwrap())
    };
    let appender = {
        let topic = topic.clone();
        thread::spawn(move || {
            let last = topic.partition_count() - 1;
            let partition = topic.partition(last).expect("the count covers it");
            assert_eq!(partition.append(&[Record::new("a")]).unwrap(), 0);
        })
    };
    let read = |topic: &Topic| -> usize {
        topic.partitions().map(|partition| partition.read(0, 1).unwrap().len()).sum()
    };
    assert!(read(&topic) <= 1);
    grower.join().unwrap();
    appender.join().unwrap();
    assert_eq!((topic.partition_count(), read(&topic)), (2, 1));
}

#[test]
fn loom_a_topic_grows_under_load() {
    assert!(caught(Bug::RelaxedGrowth, || explore(2, growing_topic)));
    assert!(caught(Bug::LengthBeforeValue, || explore(2, growing_topic)));
    explore(4, growing_topic);
}
