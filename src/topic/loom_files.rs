//! Models of a partition with files: what is shown against what is written, refused writes, the poison,
//! chunks that go from memory.
//!
//! Partitions, batches and files are real, the disk keeps bytes in memory and refuses what it is told to.

use super::config::{Durability, TopicConfig};
use super::cursor::Cursor;
use super::fetcher::Limits;
use super::model_files::{BATCH_BYTES, ONE_BATCH, TWO_BATCHES, bytes_on, disk, open, reopen};
use super::partition::Partition;
use super::reader::Reader;
use crate::error::{AppendError, FlushError, ReadError};
use crate::ids::Offset;
use crate::log::memory_disk::MemoryDisk;
use crate::record::Record;
use crate::sync::Arc;
use crate::sync::explore::explore;
use crate::sync::planted::{Bug, caught};
use loom::thread;
use std::time::Duration;

const EVERYTHING: Limits = Limits { bytes: usize::MAX, records: usize::MAX };

fn written() -> TopicConfig {
    TopicConfig::new().durability(Durability::Written)
}

fn append(partition: &Partition, value: u8) -> Result<Offset, AppendError> {
    partition.append(&[Record::new(&[value])])
}

/// Reads once, and checks that what comes follows what came, and is in the file.
fn read_written(cursor: &mut Cursor, disk: &MemoryDisk, values: &mut Vec<u8>) {
    let Some(slice) = cursor.fetch(EVERYTHING, true).unwrap() else { return };
    let in_file = bytes_on(disk) / BATCH_BYTES;
    for record in slice.iter() {
        assert_eq!(record.offset(), values.len() as Offset, "nothing skipped, nothing repeated");
        values.push(record.value().expect("each has a value")[0]);
    }
    assert!(values.len() <= in_file, "{} were shown, {in_file} are written", values.len());
}

/// A cursor looks on while a batch is appended to a log that has one.
fn shown_is_written() {
    let disk = disk();
    let partition = open(&disk, written(), TWO_BATCHES);
    append(&partition, 0).unwrap();
    let reader = {
        let (partition, disk) = (partition.clone(), disk.clone());
        thread::spawn(move || {
            let mut cursor = Cursor::new(Arc::clone(&partition.shared), 0);
            let mut values = Vec::new();
            for _ in 0..2 {
                read_written(&mut cursor, &disk, &mut values);
            }
        })
    };
    append(&partition, 1).unwrap();
    reader.join().unwrap();
}

/// Two append, each for itself or one for both.
fn acknowledged_is_written() {
    let disk = disk();
    let partition = open(&disk, written(), TWO_BATCHES);
    let append = |partition: &Partition, disk: &MemoryDisk, value| {
        let offset = append(partition, value).unwrap();
        assert!(partition.high_watermark() > offset, "what is acknowledged is shown");
        assert!(bytes_on(disk) / BATCH_BYTES > offset as usize, "and written");
        offset
    };
    let other = {
        let (partition, disk) = (partition.clone(), disk.clone());
        thread::spawn(move || append(&partition, &disk, 1))
    };
    let offset = append(&partition, &disk, 2);
    assert_eq!(other.join().unwrap() + offset, 1, "each has an offset of its own");
    let (mut cursor, mut values) = (Cursor::new(Arc::clone(&partition.shared), 0), Vec::new());
    while values.len() < 2 {
        read_written(&mut cursor, &disk, &mut values);
    }
    values.sort_unstable();
    assert_eq!(values, [1, 2]);
}

#[test]
fn loom_what_is_shown_is_written() {
    assert!(caught(Bug::ShowUnwritten, || explore(2, shown_is_written)));
    explore(2, shown_is_written);
}

#[test]
fn loom_what_is_acknowledged_is_written() {
    assert!(caught(Bug::ForgetLeader, || explore(1, acknowledged_is_written)));
    assert!(caught(Bug::StayBusy, || explore(1, acknowledged_is_written)));
    explore(2, acknowledged_is_written);
}

/// A cursor steps from chunk to chunk behind an append that is carried and shown.
fn hand_over_behind_files() {
    let disk = disk();
    let partition = open(&disk, written(), ONE_BATCH);
    append(&partition, 0).unwrap();
    let appender = {
        let partition = partition.clone();
        thread::spawn(move || append(&partition, 1).unwrap())
    };
    let (mut cursor, mut values) = (Cursor::new(Arc::clone(&partition.shared), 0), Vec::new());
    for _ in 0..2 {
        read_written(&mut cursor, &disk, &mut values);
    }
    appender.join().unwrap();
    while values.len() < 2 {
        read_written(&mut cursor, &disk, &mut values);
    }
    assert_eq!(values, [0, 1]);
}

#[test]
fn loom_a_cursor_steps_over_rolls_behind_files() {
    assert!(caught(Bug::SealBeforeChain, || explore(2, hand_over_behind_files)));
    explore(3, hand_over_behind_files);
}

/// The second of three appends is refused: one who reads all the while sees the first and the third,
/// wherever it stood, though the chunk that it stood in may be no more.
fn refused_append(chunk_bytes: usize, before: u8) {
    let disk = disk();
    let partition = open(&disk, written(), chunk_bytes);
    for value in 0..before {
        append(&partition, value).unwrap();
    }
    let mut writes = 0;
    disk.refuse_if(move |is_write| {
        writes += usize::from(is_write);
        is_write && writes == 1
    });
    let appender = {
        let partition = partition.clone();
        thread::spawn(move || {
            let refused = append(&partition, u8::MAX).unwrap_err();
            assert!(matches!(refused, AppendError::Disk { .. }), "{refused}");
            assert_eq!(append(&partition, before).unwrap(), Offset::from(before));
        })
    };
    let (mut cursor, mut values) = (Cursor::new(Arc::clone(&partition.shared), 0), Vec::new());
    for _ in 0..3 {
        read_written(&mut cursor, &disk, &mut values);
    }
    appender.join().unwrap();
    for _ in 0..4 {
        read_written(&mut cursor, &disk, &mut values);
    }
    assert_eq!(values, Vec::from_iter(0..=before), "a reader is stuck, or sees what was refused");
}

#[test]
fn loom_a_refused_append_is_never_seen() {
    assert!(caught(Bug::ShowGivenUp, || explore(2, || refused_append(ONE_BATCH, 0))));
    assert!(caught(Bug::LeaveCutOpen, || explore(2, || refused_append(TWO_BATCHES, 1))));
    explore(3, || refused_append(ONE_BATCH, 0));
    explore(3, || refused_append(TWO_BATCHES, 1));
}

/// A reader sleeps at the end of a chunk whose rest is refused, and is woken by what comes instead.
fn sleeper_at_a_cut() {
    let disk = disk();
    let partition = open(&disk, written(), TWO_BATCHES);
    append(&partition, 0).unwrap();
    let mut writes = 0;
    disk.refuse_if(move |is_write| {
        writes += usize::from(is_write);
        is_write && writes == 1
    });
    let appender = {
        let partition = partition.clone();
        thread::spawn(move || {
            append(&partition, u8::MAX).unwrap_err();
            append(&partition, 1).unwrap();
        })
    };
    let mut reader = Reader::new([(partition, 1)]);
    let records = reader.poll(Duration::MAX).unwrap();
    let values: Vec<_> = records.iter().map(|record| record.value().unwrap()[0]).collect();
    assert_eq!(values, [1]);
    appender.join().unwrap();
}

#[test]
fn loom_a_sleeper_at_a_cut_is_woken() {
    assert!(caught(Bug::SilentShow, || explore(1, sleeper_at_a_cut)));
    explore(2, sleeper_at_a_cut);
}

/// A sync fails while a reader sleeps: it is woken, and told.
fn poison_wakes() {
    let disk = disk();
    let partition = open(&disk, written(), TWO_BATCHES);
    append(&partition, 0).unwrap();
    disk.refuse_if(|is_write| !is_write);
    let mut reader = Reader::new([(partition.clone(), 1)]);
    let flusher = thread::spawn(move || {
        let failed = partition.flush();
        assert!(matches!(failed, Err(FlushError::Poisoned { .. })), "{failed:?}");
    });
    let woken = reader.poll(Duration::MAX);
    assert!(matches!(woken, Err(ReadError::Poisoned { .. })), "{woken:?}");
    flusher.join().unwrap();
}

#[test]
fn loom_poison_wakes_who_sleeps() {
    assert!(caught(Bug::SilentPoison, || explore(2, poison_wakes)));
    explore(3, poison_wakes);
}

/// Two flush, and the first sync fails: neither is told that all is well.
fn one_sync_fails() {
    let disk = disk();
    let partition = open(&disk, written(), TWO_BATCHES);
    append(&partition, 0).unwrap();
    let mut syncs = 0;
    disk.refuse_if(move |is_write| {
        syncs += usize::from(!is_write);
        !is_write && syncs == 1
    });
    let other = {
        let partition = partition.clone();
        thread::spawn(move || partition.flush())
    };
    for failed in [partition.flush(), other.join().unwrap()] {
        assert!(matches!(failed, Err(FlushError::Poisoned { .. })), "{failed:?}");
    }
}

#[test]
fn loom_a_failed_sync_is_final() {
    assert!(caught(Bug::SyncAgain, || explore(2, one_sync_fails)));
    explore(4, one_sync_fails);
}

/// Memory keeps as little as it may while a cursor reads what is going from it.
fn eviction() {
    let disk = disk();
    let partition = open(&disk, written().cache_bytes(0), ONE_BATCH);
    append(&partition, 0).unwrap();
    let appender = {
        let partition = partition.clone();
        thread::spawn(move || {
            let mut tickets = Vec::new();
            // The second chunk is not written when the third comes.
            for value in [1, 2] {
                let ticket = partition.append_unsettled(&[Record::new(&[value])]).unwrap();
                tickets.extend(ticket);
            }
            tickets.iter().for_each(|ticket| partition.shared.settle_ticket(ticket).unwrap());
        })
    };
    let (mut cursor, mut values) = (Cursor::new(Arc::clone(&partition.shared), 0), Vec::new());
    for _ in 0..2 {
        read_written(&mut cursor, &disk, &mut values);
    }
    appender.join().unwrap();
    while values.len() < 3 {
        let before = values.len();
        read_written(&mut cursor, &disk, &mut values);
        assert!(values.len() > before, "nothing is found at {before}");
    }
    assert_eq!(values, [0, 1, 2]);
    assert!(partition.stats().memory_bytes < 3 * ONE_BATCH as u64, "the first has gone");
}

#[test]
fn loom_what_goes_from_memory_is_read_from_the_files() {
    assert!(caught(Bug::EvictUnwritten, || explore(2, eviction)));
    explore(2, eviction);
}

/// Retention takes the segment that a cursor is about to read: it reads that, or is told.
fn overtaken() {
    let disk = disk();
    let config = written().cache_bytes(0).segment_bytes(ONE_BATCH);
    let partition = open(&disk, config, ONE_BATCH);
    for value in 0..3 {
        append(&partition, value).unwrap();
    }
    let retention = {
        let shared = Arc::clone(&partition.shared);
        thread::spawn(move || {
            let files = shared.files.as_ref().expect("it has a directory");
            assert_eq!(files.move_start(2), Ok(2));
        })
    };
    let mut cursor = Cursor::new(Arc::clone(&partition.shared), 0);
    match cursor.fetch(EVERYTHING, true) {
        Ok(slice) => {
            let first = slice.and_then(|slice| slice.iter().next().map(|record| record.offset()));
            assert_eq!(first, Some(0), "records were skipped in silence");
        }
        Err(ReadError::OutOfRange { requested: 0, log_start: 2, .. }) => {}
        Err(other) => panic!("{other}"),
    }
    retention.join().unwrap();
}

#[test]
fn loom_retention_of_files_tells_who_it_overtakes() {
    assert!(caught(Bug::PassOvertaken, || explore(2, overtaken)));
    explore(2, overtaken);
}

/// A group asks where the records of an epoch end, while the first append after a crash begins the next.
fn first_append() {
    let disk = disk();
    append(&open(&disk, written(), TWO_BATCHES), 0).unwrap();
    let partition = reopen(&disk, written(), TWO_BATCHES);
    let appender = {
        let partition = partition.clone();
        thread::spawn(move || append(&partition, 1).unwrap())
    };
    assert_eq!(partition.shared.end_of_epoch(0), Some(1), "a record of the next epoch counts");
    assert_eq!(appender.join().unwrap(), 1);
    assert_eq!(partition.shared.end_of_epoch(0), Some(1));
}

#[test]
fn loom_an_epoch_ends_where_the_next_begins() {
    assert!(caught(Bug::EndAfterEpochs, || explore(2, first_append)));
    explore(2, first_append);
}
