//! How is anabranch called when its topics are files? Every call into it, in one place.
//!
//! A run opens a folder that nobody used before, and closes it after the clock has stopped. Brokers
//! keep house by themselves, as they do for a user, where a case does not say otherwise.

use crate::cases::files::batch::BATCH;
use crate::cases::files::company::{Company, KEYS, READ_BYTES, SEGMENT_BYTES};
use crate::contest::{Reading, Side, race};
use crate::ours::{self, Subscriber};
use crate::payload::Payloads;
use anabranch::{
    Broker, Cleanup, Disk, DiskEntry, DiskFile, DiskLock, Durability, FileDisk, Housekeeping,
    OpenMode, Record, Topic, TopicConfig,
};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TOPIC: &str = "bench";

fn written() -> TopicConfig {
    TopicConfig::new().durability(Durability::Written)
}

fn create(dir: &Path, config: TopicConfig) -> (Broker, Topic) {
    let broker = Broker::open(dir).expect("the folder opens");
    let topic = broker.create_topic(TOPIC, config).expect("the topic is new");
    (broker, topic)
}

fn close(broker: Broker, topic: Topic, records: u64) {
    let ends = topic.partitions().map(|partition| partition.high_watermark());
    assert_eq!(ends.sum::<u64>(), records);
    drop(topic);
    broker.close().expect("the folder closes");
}

fn send_all(topic: &Topic, records: u64, batch: u64) {
    let payloads = Payloads::new();
    let producer = ours::producer(topic);
    for base in (0..records).step_by(batch as usize) {
        ours::send_batch(&producer, (base..base + batch).map(|i| payloads.get(i)));
    }
}

pub(crate) fn send_batches(dir: &Path, records: u64, batch: u64) -> Duration {
    let (broker, topic) = create(dir, written());
    let began = Instant::now();
    send_all(&topic, records, batch);
    let took = began.elapsed();
    close(broker, topic, records);
    took
}

/// Enqueues records with the producer's own batch size, and flushes.
pub(crate) fn enqueue(dir: &Path, records: u64) -> Duration {
    let payloads = Payloads::new();
    let (broker, topic) = create(dir, written());
    let producer = ours::producer(&topic);
    let began = Instant::now();
    for i in 0..records {
        ours::enqueue(&producer, payloads.get(i));
    }
    ours::flush(&producer);
    let took = began.elapsed();
    close(broker, topic, records);
    took
}

/// Sends records one by one from so many threads to one partition; how many syncs that took, too.
pub(crate) fn send_each(
    dir: &Path,
    threads: u64,
    each: u64,
    durability: Durability,
) -> (Duration, u64) {
    let payloads = Payloads::new();
    let syncs = Arc::new(AtomicU64::new(0));
    let disk = Counting { disk: FileDisk, syncs: syncs.clone() };
    let broker = Broker::builder().disk(disk).open(dir).expect("the folder opens");
    let config = TopicConfig::new().durability(durability);
    let topic = broker.create_topic(TOPIC, config).expect("the topic is new");
    let producer = ours::producer(&topic);
    crate::files::folder::settle();
    let before = syncs.load(Ordering::Relaxed);
    let sides = (0..threads).map(|thread| {
        let producer = &producer;
        Box::new(move || {
            for i in thread * each..(thread + 1) * each {
                ours::send(producer, payloads.get(i));
            }
        }) as Side<'_>
    });
    let took = race(sides.collect());
    let syncs = syncs.load(Ordering::Relaxed) - before;
    drop(producer);
    close(broker, topic, threads * each);
    (took, syncs)
}

/// A log that was closed.
pub(crate) fn fill(dir: &Path, records: u64, batch: u64) {
    let (broker, topic) = create(dir, written());
    send_all(&topic, records, batch);
    close(broker, topic, records);
}

/// The segment files of the topic's first partition, in order.
pub(crate) fn logs(dir: &Path) -> Vec<File> {
    let dir = dir.join(format!("{TOPIC}-0"));
    let names = std::fs::read_dir(dir).expect("the topic is there");
    let paths = names.map(|name| name.expect("names can be read").path());
    let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    let mut paths = Vec::from_iter(paths.filter(is_log));
    paths.sort();
    let open = |path: &PathBuf| File::open(path).expect("the file can be read");
    paths.iter().map(open).collect()
}

/// Opens what [`fill`] has left and reads it all.
pub(crate) fn replay(dir: &Path, records: u64) -> Duration {
    let began = Instant::now();
    let broker = Broker::open(dir).expect("the folder opens");
    let topic = broker.topic(TOPIC).expect("the topic is there");
    let seen = Subscriber::new([ours::partition(&topic, 0)]).read(records, |_| {});
    let took = began.elapsed();
    assert_eq!(seen, Payloads::new().expected(records));
    close(broker, topic, records);
    took
}

/// How long it takes until a folder can be used, whatever state it is in; and how many records are in
/// it.
pub(crate) fn open(dir: &Path) -> (Duration, u64) {
    let began = Instant::now();
    let broker = Broker::open(dir).expect("the folder opens");
    let topic = broker.topic(TOPIC).expect("the topic is there");
    let took = began.elapsed();
    let ends = topic.partitions().map(|partition| partition.high_watermark());
    let records = ends.sum();
    close(broker, topic, records);
    (took, records)
}

/// Appends records above a mark that covers everything before them, and returns with the broker
/// neither closed nor dropped: the process is to end. Nobody keeps house, so that the mark stays.
pub(crate) fn leave_behind(dir: &Path, records: u64) {
    let broker =
        Broker::builder().housekeeping(Housekeeping::Manual).open(dir).expect("the folder opens");
    let topic = broker.topic(TOPIC).expect("the topic is there");
    ours::partition(&topic, 0).flush().expect("the log is synced");
    send_all(&topic, records, BATCH);
    std::mem::forget((broker, topic));
}

/// So many partitions that were closed, each with about as many bytes; how many records there are.
pub(crate) fn fill_partitions(dir: &Path, partitions: u32, bytes_each: u64) -> u64 {
    /// Almost 1 MiB at a time, which is what a batch may take.
    const LARGE: u64 = 8_000;
    let payloads = Payloads::new();
    let (broker, topic) = create(dir, written().partitions(partitions));
    let producer = ours::producer(&topic);
    let mut records = 0;
    for id in 0..partitions {
        let record = |i| Record::new(payloads.get(i)).to_partition(id);
        let count = (bytes_each / 108).max(1);
        for base in (0..count).step_by(LARGE as usize) {
            let batch = (base..count.min(base + LARGE)).map(record);
            producer.send_batch(batch).expect("a batch is sent");
        }
        records += count;
    }
    drop(producer);
    close(broker, topic, records);
    records
}

/// Hands over a way to send and those who work on the same log.
pub(crate) fn in_company(
    dir: &Path,
    run: impl FnOnce(&mut dyn FnMut(u64), Company<'_>) -> Vec<Reading>,
) -> Vec<Reading> {
    let payloads = Payloads::new();
    let broker =
        Broker::builder().housekeeping(Housekeeping::Manual).open(dir).expect("the folder opens");
    // What is cached is what is not written yet and the last of the log, so that readers are cold.
    let config = written()
        .segment_bytes(SEGMENT_BYTES as usize)
        .cleanup(Cleanup::Compact)
        .cache_bytes(1 << 20);
    let topic = broker.create_topic(TOPIC, config).expect("the topic is new");
    let partition = ours::partition(&topic, 0);
    let producer = ours::producer(&topic);
    let mut next = 0;
    let company = Company {
        flush: Box::new(|| {
            partition.flush().expect("the log is synced");
        }),
        compact: Box::new(|| {
            broker.tick();
        }),
        read: Box::new(|| {
            let records = partition.read(next, READ_BYTES).expect("nothing is deleted");
            // From the start again before it gets warm.
            let last = (&records).into_iter().last().map(|record| record.offset() + 1);
            next = last.filter(|next| next + 50_000 < partition.high_watermark()).unwrap_or(0);
        }),
    };
    let mut send = |i: u64| {
        let key = (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % KEYS).to_le_bytes();
        ours::send_keyed(&producer, &key, payloads.get(i));
    };
    let readings = run(&mut send, company);
    drop((producer, partition, topic));
    broker.close().expect("the folder closes");
    readings
}

/// The disk that a broker has by itself, with syncs of files counted.
#[derive(Debug)]
struct Counting {
    disk: FileDisk,
    syncs: Arc<AtomicU64>,
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn DiskFile>,
    syncs: Arc<AtomicU64>,
}

impl Disk for Counting {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn entries(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        self.disk.entries(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path, mode)?;
        Ok(Arc::new(CountingFile { file, syncs: self.syncs.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.disk.lock(path)
    }
}

impl DiskFile for CountingFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.file.write_at(bytes, position)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
