//! A fast producer, a reader at the end, and one far behind: memory stays what was configured, however
//! much lies between them; each gets every record, and none waits for another.
//!
//! `ANABRANCH_SOAK_SECONDS=3600 cargo test --release --test backlog -- --nocapture` does it for an hour,
//! with retention, so that the one far behind is told what it has missed. A binary of its own, because
//! the memory is the process's.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use anabranch::{
    Broker, Durability, Partition, ReadError, Reader, Record, TopicConfig, TopicPartition,
};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CACHE_BYTES: u64 = 4 << 20;
/// What memory takes besides: the chunk that is filled and the next one, what each reader holds of what
/// was read back, the buffers of writing, and what the system sets aside for threads.
const CONSTANT_BYTES: usize = 24 << 20;
const BATCH: u64 = 100;

fn value(offset: u64) -> [u8; 100] {
    let mut value = [b'.'; 100];
    value[..8].copy_from_slice(&offset.to_be_bytes());
    value
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

/// How long, or how much, and what is kept.
#[derive(Clone, Copy)]
struct Plan {
    bytes: u64,
    time: Duration,
    retention: Option<u64>,
}

fn plan() -> Plan {
    match std::env::var("ANABRANCH_SOAK_SECONDS") {
        Err(_) => Plan { bytes: 80 << 20, time: Duration::MAX, retention: None },
        Ok(seconds) => Plan {
            bytes: u64::MAX,
            time: Duration::from_secs(seconds.parse().unwrap()),
            retention: Some(1 << 30),
        },
    }
}

/// What the three do to each other.
#[derive(Default)]
struct Course {
    is_produced: AtomicBool,
    produced: AtomicU64,
    peak: AtomicUsize,
    lag_max: AtomicU64,
}

fn produce(partition: &Partition, plan: Plan, course: &Course) {
    let start = Instant::now();
    let mut next = 0;
    while next * 110 < plan.bytes && start.elapsed() < plan.time {
        let values: Vec<[u8; 100]> = (next..next + BATCH).map(value).collect();
        let records: Vec<Record<'_>> = values.iter().map(Record::new).collect();
        assert_eq!(partition.append(&records).unwrap(), next);
        next += BATCH;
        course.produced.store(next, Ordering::SeqCst);
    }
    course.is_produced.store(true, Ordering::SeqCst);
    println!("produced {next} records in {:.1?}", start.elapsed());
}

/// Reads to the end, resting after each read while there is a producer; returns what was missed.
fn consume(partition: &Partition, rest: Duration, course: &Course, is_at_end: bool) -> u64 {
    let of = TopicPartition::new(partition.topic(), 0);
    let mut reader = Reader::new([(partition.clone(), 0)]).max_bytes(64 << 10);
    let (mut next, mut missed) = (0, 0);
    loop {
        let is_produced = course.is_produced.load(Ordering::SeqCst);
        if is_produced && next == course.produced.load(Ordering::SeqCst) {
            return missed;
        }
        let records = match reader.poll(Duration::from_millis(20)) {
            Ok(records) => records,
            Err(ReadError::OutOfRange { log_start, .. }) => {
                assert!(log_start > next, "it was there");
                missed += log_start - next;
                next = log_start;
                reader.seek(&of, next).unwrap();
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        for record in &records {
            assert_eq!((record.offset(), record.value()), (next, Some(&value(next)[..])));
            next += 1;
        }
        if is_at_end {
            let lag = course.produced.load(Ordering::SeqCst).saturating_sub(next);
            course.lag_max.fetch_max(lag, Ordering::SeqCst);
        }
        drop(records);
        if !is_produced {
            std::thread::sleep(rest);
        }
    }
}

fn watch(course: &Course, is_over: &AtomicBool) {
    while !is_over.load(Ordering::SeqCst) {
        course.peak.fetch_max(resident(), Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The most that was resident, beyond what was before.
fn run(dir: &Path, durability: Durability, cache_bytes: u64, plan: Plan) -> usize {
    let before = resident();
    let broker = Broker::open(dir).unwrap();
    let mut config = TopicConfig::new().durability(durability).cache_bytes(cache_bytes);
    config = config.segment_bytes(16 << 20).flush_interval(None);
    if let Some(retention) = plan.retention {
        config = config.retention_bytes(retention);
    }
    let topic = broker.create_topic("orders", config).unwrap();
    let partition = topic.partition(0).unwrap();
    let (course, is_over) = (Course::default(), AtomicBool::new(false));
    let (slow, fast) = std::thread::scope(|scope| {
        scope.spawn(|| watch(&course, &is_over));
        let slow = scope.spawn(|| consume(&partition, Duration::from_millis(5), &course, false));
        let fast = scope.spawn(|| consume(&partition, Duration::ZERO, &course, true));
        produce(&partition, plan, &course);
        let ends = (slow.join(), fast.join());
        is_over.store(true, Ordering::SeqCst);
        (ends.0.unwrap(), ends.1.unwrap())
    });
    let peak = course.peak.load(Ordering::SeqCst).saturating_sub(before);
    let stated = topic.stats().total.memory_bytes;
    let lag = course.lag_max.load(Ordering::SeqCst);
    println!(
        "{durability:?}, cache of {} MiB: {} MiB resident at most, {} MiB stated; the slow one missed \
         {slow}, the fast one {fast} and was {lag} behind at most",
        cache_bytes >> 20,
        peak >> 20,
        stated >> 20
    );
    assert!(plan.retention.is_some() || slow + fast == 0, "nothing was to be missed");
    broker.delete_topic("orders").unwrap();
    peak
}

#[test]
fn a_slow_consumer_costs_a_constant() {
    let plan = plan();
    let dir = std::env::temp_dir().join(format!("anabranch-backlog-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let limit = usize::try_from(CACHE_BYTES).unwrap() + CONSTANT_BYTES;
    for durability in [Durability::Written, Durability::Memory, Durability::Synced] {
        let peak = run(&dir, durability, CACHE_BYTES, plan);
        assert!(peak <= limit, "{durability:?}: {peak}");
    }
    // A cache that holds it all is seen; last, because the system may keep the memory.
    let planted = Plan { bytes: 80 << 20, time: Duration::MAX, retention: None };
    let peak = run(&dir, Durability::Written, 1 << 30, planted);
    assert!(peak > 2 * limit, "what is resident is not seen: {peak}");
    std::fs::remove_dir_all(&dir).unwrap();
}
