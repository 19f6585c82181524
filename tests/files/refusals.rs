//! The disk refuses, fails or panics: who is told, what is seen, and how it goes on.

use super::support::{Dir, append, config, first, numbers, values_from};
use anabranch::{
    AppendError, Durability, FlushError, Producer, ReadError, Reader, Record, SendError,
};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

const LEVELS: [Durability; 2] = [Durability::Written, Durability::Synced];

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

fn full() -> io::Result<()> {
    Err(io::ErrorKind::StorageFull.into())
}

/// Fails as long as it is on.
fn switch() -> (Arc<AtomicBool>, impl Fn(&str, &Path) -> io::Result<()>) {
    let is_full = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_full);
    let hook = move |what: &str, path: &Path| {
        let is_met = what == "write" && is_log(path) && asked.load(Ordering::Relaxed);
        if is_met { full() } else { Ok(()) }
    };
    (is_full, hook)
}

/// Holds up the first call of this kind to a segment's file until it is told how that ends.
struct Held {
    is_there: Receiver<()>,
    release: SyncSender<io::Result<()>>,
}

impl Held {
    fn new(held: &'static str) -> (Held, impl Fn(&str, &Path) -> io::Result<()>) {
        let (arrive, is_there) = sync_channel(1);
        let (release, released) = sync_channel::<io::Result<()>>(1);
        let once = Mutex::new(Some((arrive, released)));
        let hook = move |what: &str, path: &Path| {
            if what != held || !is_log(path) {
                return Ok(());
            }
            let Some((arrive, released)) = once.lock().unwrap().take() else { return Ok(()) };
            arrive.send(()).unwrap();
            released.recv().unwrap()
        };
        (Held { is_there, release }, hook)
    }

    /// Waits until the call is made, has others come to wait for it, and lets it go on.
    fn meanwhile<T: Send + 'static>(
        self,
        outcome: io::Result<()>,
        others: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.is_there.recv().unwrap();
        let others = spawn(others);
        sleep(Duration::from_millis(50));
        self.release.send(outcome).unwrap();
        others
    }
}

/// A reader stands where the record would have come, before the refusal or after it, and reads the one
/// that came in its place.
#[test]
fn a_refused_record_is_never_seen() {
    for durability in LEVELS {
        for before in [0, 3] {
            let (is_full, hook) = switch();
            let dir = Dir::new();
            let broker = dir.open_gated(hook);
            let topic = broker.create_topic("t", config(durability)).unwrap();
            let partition = first(&topic);
            append(&partition, 0..before);
            let mut reader = Reader::new([(partition.clone(), before)]);
            assert!(reader.poll(Duration::ZERO).unwrap().is_empty());
            is_full.store(true, Ordering::Relaxed);
            for _ in 0..3 {
                let refused = partition.append(&[Record::new("refused")]).unwrap_err();
                assert!(matches!(refused, AppendError::Disk { .. }), "{refused}");
                assert!(reader.poll(Duration::ZERO).unwrap().is_empty());
                assert_eq!(partition.log_end_offset(), before);
            }
            is_full.store(false, Ordering::Relaxed);
            for value in before..before + 3 {
                append(&partition, value..value + 1);
                let records = reader.poll(Duration::ZERO).unwrap();
                let read: Vec<_> = records.iter().map(|record| record.value().unwrap()).collect();
                assert_eq!(read, [value.to_string().as_bytes()], "{durability:?} {before}");
            }
            assert_eq!(values_from(&partition, 0), numbers(0..before + 3));
            broker.close().unwrap();
            let partition = first(&dir.open().topic("t").unwrap());
            assert_eq!(values_from(&partition, 0), numbers(0..before + 3));
        }
    }
}

/// One partition is full, the sync of the other fails: it is not said that nothing was sent, since nobody knows.
#[test]
fn what_nobody_knows_is_not_said_to_be_refused() {
    let send_batch = |producer: &Producer| {
        producer.send_batch([0, 1].map(|id| Record::new("a").to_partition(id))).map(drop)
    };
    let enqueue = |producer: &Producer| {
        for id in [0, 1] {
            producer.enqueue(Record::new("a").to_partition(id)).unwrap();
        }
        producer.flush()
    };
    for send in [&send_batch as &dyn Fn(&Producer) -> Result<(), SendError>, &enqueue] {
        let is_ill = Arc::new(AtomicBool::new(false));
        let sees_illness = Arc::clone(&is_ill);
        let dir = Dir::new();
        let broker = dir.open_gated(move |what, path| {
            let is_in = |dir: &str| path.parent().is_some_and(|parent| parent.ends_with(dir));
            match what {
                _ if !is_log(path) || !sees_illness.load(Ordering::Relaxed) => Ok(()),
                "write" if is_in("t-0") => full(),
                "sync" if is_in("t-1") => Err(io::Error::other("EIO")),
                _ => Ok(()),
            }
        });
        let topic = broker.create_topic("t", config(Durability::Synced).partitions(2)).unwrap();
        let producer = Producer::new(&topic);
        send(&producer).unwrap();
        is_ill.store(true, Ordering::Relaxed);
        let told = send(&producer).unwrap_err();
        assert!(matches!(told, SendError::Append(AppendError::Poisoned { .. })), "{told:?}");
        let killed = dir.killed();
        let topic = killed.open().topic("t").unwrap();
        let ends = topic.partitions().map(|partition| partition.high_watermark());
        assert_eq!(Vec::from_iter(ends), [1, 2]);
    }
}

/// The same for one partition, whose write is refused first, and whose sync fails then.
#[test]
fn a_flush_tells_of_what_nobody_knows() {
    let illness = Arc::new(Mutex::new(""));
    let sees_illness = Arc::clone(&illness);
    let dir = Dir::new();
    let broker = dir.open_gated(move |what, path| {
        let is_met = is_log(path) && *sees_illness.lock().unwrap() == what;
        if is_met { full() } else { Ok(()) }
    });
    for linger in [Duration::ZERO, Duration::from_secs(60)] {
        *illness.lock().unwrap() = "";
        let topic =
            broker.create_topic(format!("t-{linger:?}"), config(Durability::Synced)).unwrap();
        append(&first(&topic), 0..1);
        let producer = Producer::builder(&topic).linger(linger).build().unwrap();
        for ill in ["write", "sync"] {
            *illness.lock().unwrap() = ill;
            if let Ok(delivery) = producer.enqueue(Record::new("a")) {
                drop(delivery.wait().unwrap_err());
            }
        }
        let told = producer.flush().unwrap_err();
        assert!(matches!(told, SendError::Append(AppendError::Poisoned { .. })), "{told:?}");
    }
}

/// A write is refused and undone, and somebody else takes the room that the file had ahead.
#[test]
fn a_partition_needs_no_room_ahead_to_go_on() {
    let cuts = Arc::new(Mutex::new(None));
    let sees_cuts = Arc::clone(&cuts);
    let dir = Dir::new();
    let broker = dir.open_gated(move |what, path| {
        let mut cuts = sees_cuts.lock().unwrap();
        let Some(cuts) = cuts.as_mut().filter(|_| is_log(path)) else { return Ok(()) };
        match what {
            "write" => full(),
            "set_len" => {
                *cuts += 1;
                if *cuts == 1 { Ok(()) } else { full() }
            }
            _ => Ok(()),
        }
    });
    let topic = broker.create_topic("t", config(Durability::Synced)).unwrap();
    let partition = first(&topic);
    append(&partition, 0..3);
    *cuts.lock().unwrap() = Some(0);
    let refused = partition.append(&[Record::new("refused")]).unwrap_err();
    assert!(matches!(refused, AppendError::Disk { .. }), "{refused}");
    assert_eq!(
        cuts.lock().unwrap().take(),
        Some(2),
        "one to cut, one to go back to what was ahead"
    );
    append(&partition, 3..6);
    assert_eq!(values_from(&partition, 0), numbers(0..6));
    let killed = dir.killed();
    let reopened = killed.open();
    assert_eq!(values_from(&first(&reopened.topic("t").unwrap()), 0), numbers(0..6));
    broker.close().unwrap();
}

/// A reader met the refusal of what somebody else had enqueued: the sender's flush tells, once.
#[test]
fn flush_tells_of_a_refusal_that_somebody_else_met() {
    let (is_full, hook) = switch();
    let dir = Dir::new();
    let broker = dir.open_gated(hook);
    let topic = broker.create_topic("t", config(Durability::Written)).unwrap();
    let producer = Producer::new(&topic);
    append(&first(&topic), 0..1);
    is_full.store(true, Ordering::Relaxed);
    let delivery = producer.enqueue(Record::new("refused")).unwrap();
    let mut reader = Reader::new([(first(&topic), 1)]);
    assert!(reader.poll(Duration::ZERO).unwrap().is_empty());
    assert!(delivery.wait().is_err());
    is_full.store(false, Ordering::Relaxed);
    let told = producer.flush();
    assert!(matches!(told, Err(SendError::Append(AppendError::Disk { .. }))), "{told:?}");
    assert_eq!(producer.flush(), Ok(()));
    append(&first(&topic), 1..2);
    assert_eq!(values_from(&first(&topic), 0), numbers(0..2));
}

#[test]
fn refusals_take_no_memory() {
    let (is_full, hook) = switch();
    let dir = Dir::new();
    let broker = dir.open_gated(hook);
    let topic = broker.create_topic("t", config(Durability::Written)).unwrap();
    let partition = first(&topic);
    append(&partition, 0..1);
    is_full.store(true, Ordering::Relaxed);
    for _ in 0..100 {
        partition.append(&[Record::new("refused")]).unwrap_err();
    }
    let occupied = topic.stats().total.memory_bytes;
    assert!(occupied < 16 << 20, "{occupied} bytes are occupied");
    is_full.store(false, Ordering::Relaxed);
    append(&partition, 1..5);
    assert_eq!(values_from(&partition, 0), numbers(0..5));
}

/// A sync that follows one that failed says nothing: who has waited for its turn is told of the first.
#[test]
fn a_failed_sync_is_told_to_who_waits_for_the_next() {
    let (held, hook) = Held::new("sync");
    let dir = Dir::new();
    let broker = dir.open_gated(hook);
    let topic = broker.create_topic("t", config(Durability::Written)).unwrap();
    let partition = first(&topic);
    append(&partition, 0..10);
    let mut reader = Reader::new([(partition.clone(), 10)]);
    let reading = spawn(move || reader.poll(Duration::from_secs(60)));
    let flush = |partition: &anabranch::Partition| {
        let partition = partition.clone();
        move || partition.flush()
    };
    let first_one = spawn(flush(&partition));
    let second = held.meanwhile(Err(io::Error::other("EIO")), flush(&partition));
    for flushed in [first_one.join().unwrap(), second.join().unwrap(), partition.flush()] {
        assert!(matches!(flushed, Err(FlushError::Poisoned { .. })), "{flushed:?}");
    }
    let refused = partition.append(&[Record::new("x")]).unwrap_err();
    assert!(matches!(refused, AppendError::Poisoned { .. }), "{refused}");
    let woken = reading.join().unwrap();
    assert!(matches!(woken, Err(ReadError::Poisoned { .. })), "{woken:?}");
    assert_eq!(values_from(&partition, 0), numbers(0..10), "what was seen is seen");
    assert!(broker.close().is_err());
}

/// While somebody syncs, a write is refused, and the sync that is to make that undone fails: it may have lost
/// what the other one says is on disk.
#[test]
fn a_sync_beside_one_that_failed_is_not_believed() {
    let (arrive, is_there) = sync_channel(1);
    let (release, released) = sync_channel(1);
    let (once, is_ill) = (Mutex::new(Some((arrive, released))), Arc::new(AtomicBool::new(false)));
    let sees_illness = Arc::clone(&is_ill);
    let dir = Dir::new();
    let broker = dir.open_gated(move |what, path| match what {
        "write" if is_log(path) && sees_illness.load(Ordering::SeqCst) => {
            Err(io::Error::other("EIO"))
        }
        "sync" if is_log(path) => {
            let Some((arrive, released)) = once.lock().unwrap().take() else {
                release.send(()).unwrap();
                return Err(io::Error::other("EIO"));
            };
            arrive.send(()).unwrap();
            released.recv().unwrap();
            Ok(())
        }
        _ => Ok(()),
    });
    let topic = broker.create_topic("t", config(Durability::Written)).unwrap();
    let partition = first(&topic);
    append(&partition, 0..10);
    let mark = || std::fs::read(dir.path().join("t-0/mark")).unwrap();
    let before = mark();
    let syncing = partition.clone();
    let syncing = spawn(move || syncing.flush());
    is_there.recv().unwrap();
    is_ill.store(true, Ordering::SeqCst);
    let refused = partition.append(&[Record::new("x")]).unwrap_err();
    assert!(matches!(refused, AppendError::Poisoned { .. }), "{refused}");
    let flushed = syncing.join().unwrap();
    assert!(matches!(flushed, Err(FlushError::Poisoned { .. })), "{flushed:?}");
    assert_eq!(mark(), before, "nothing is promised");
}

/// The sync fails that an append waits for, while the broker closes and waits for the append.
#[test]
fn a_sync_that_fails_during_a_close_is_not_tried_again() {
    let (held, hook) = Held::new("sync");
    let dir = Dir::new();
    let broker = dir.open_gated(hook);
    let topic = broker.create_topic("t", config(Durability::Synced)).unwrap();
    let partition = first(&topic);
    let appending = spawn(move || partition.append(&[Record::new("x")]));
    let closing = held.meanwhile(Err(io::Error::other("EIO")), move || broker.close());
    let refused = appending.join().unwrap().unwrap_err();
    assert!(matches!(refused, AppendError::Poisoned { .. }), "{refused}");
    let closed = closing.join().unwrap();
    assert!(closed.is_err(), "{closed:?}");
    assert!(!dir.path().join("clean").exists());
}

/// A disk of a user's own panics. The panic is the caller's; nobody who waits is forgotten.
#[test]
fn a_panic_of_the_disk_poisons_the_partition() {
    let (held, hook) = Held::new("write");
    let dir = Dir::new();
    let broker = dir.open_gated(move |what, path| {
        hook(what, path).map_err(|error| panic!("the disk gives up: {error}"))
    });
    let topic = broker.create_topic("t", config(Durability::Written)).unwrap();
    let partition = first(&topic);
    let append = |partition: &anabranch::Partition| {
        let partition = partition.clone();
        move || partition.append(&[Record::new("x")])
    };
    let leading = append(&partition);
    let leading = spawn(move || catch_unwind(AssertUnwindSafe(leading)));
    let waiting = held.meanwhile(Err(io::Error::other("panic")), append(&partition));
    assert!(leading.join().unwrap().is_err(), "the panic is the caller's");
    for refused in [waiting.join().unwrap(), append(&partition)()] {
        assert!(matches!(refused, Err(AppendError::Poisoned { .. })), "{refused:?}");
    }
    assert!(broker.close().is_err());
}
