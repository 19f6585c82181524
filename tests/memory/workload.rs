//! Many threads at random, each a sender and a reader, and what must be true of their history.
//!
//! Run with another seed: `ANABRANCH_SEED=7 cargo test --test memory workload`.

use crate::checker::{History, Polled, Value};
use crate::support::{GUARD, Random, millis, topic};
use anabranch::{
    Delivery, ManualClock, Offset, PartitionId, Producer, ReadError, Reader, Record, Topic,
    TopicConfig, TopicPartition,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const PROCESSES: usize = 8;
const OPERATIONS: usize = 1_250;
const PARTITIONS: u32 = 4;
const BATCH_BYTES_MAX: usize = 500;

/// What the processes share.
struct Arena {
    topic: Topic,
    producer: Producer,
    clock: ManualClock,
    /// Behind the last acknowledged record of each partition.
    acknowledged: [AtomicU64; PARTITIONS as usize],
    /// Whether anybody may delete records.
    deletes: bool,
}

struct Process<'a> {
    arena: &'a Arena,
    number: usize,
    random: Random,
    counter: u64,
    sends: Vec<Vec<((PartitionId, Offset), Value)>>,
    /// Calls whose outcome is not known yet: which of `sends`, and which value.
    deliveries: Vec<(usize, Delivery, Value)>,
    refused: BTreeSet<Value>,
    polls: Vec<Polled>,
    reader: Reader,
    reads: BTreeSet<PartitionId>,
    moved: BTreeSet<PartitionId>,
}

impl<'a> Process<'a> {
    fn new(arena: &'a Arena, number: usize, seed: u64) -> Process<'a> {
        let mut process = Process {
            arena,
            number,
            random: Random::new(seed.wrapping_add(number as u64 * 0x1_0000)),
            counter: 0,
            sends: Vec::new(),
            deliveries: Vec::new(),
            refused: BTreeSet::new(),
            polls: Vec::new(),
            reader: Reader::new([]),
            reads: BTreeSet::new(),
            moved: BTreeSet::new(),
        };
        process.reassign();
        process
    }

    fn run(mut self) -> Self {
        for _ in 0..OPERATIONS {
            match self.random.below(64) {
                0 => self.reassign(),
                1..=28 => self.send(),
                29..=50 => self.poll(),
                51..=54 => self.catch_up(),
                55..=58 => self.await_some(),
                59 => self.arena.producer.flush().unwrap(),
                60 => {
                    self.arena.producer.tick();
                }
                61 => self.arena.clock.advance(Duration::from_millis(3)),
                // Up to a day in either direction.
                62 => self.arena.clock.set(millis(self.below(172_800_000).cast_signed())),
                _ => self.delete(),
            }
        }
        self.deliveries.reverse();
        self.await_some();
        self.catch_up();
        self
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random.below(end)
    }

    fn partition(&mut self) -> PartitionId {
        u32::try_from(self.below(PARTITIONS.into())).unwrap()
    }

    fn value(&mut self) -> Value {
        self.counter += 1;
        (self.number as u64) << 32 | self.counter
    }

    /// One to six values by one of the ways there are; now and then one that is too large.
    fn send(&mut self) {
        let is_refused = self.below(16) == 0;
        let kind = self.below(4);
        let count = if kind == 1 { 1 + self.below(6) } else { 1 };
        let records: Vec<(Value, PartitionId)> =
            (0..count).map(|_| (self.value(), self.partition())).collect();
        let padding = if is_refused { BATCH_BYTES_MAX } else { 0 };
        let bytes: Vec<Vec<u8>> = records
            .iter()
            .map(|(value, _)| [&value.to_be_bytes()[..], &vec![0; padding]].concat())
            .collect();
        let batch = || {
            let both = bytes.iter().zip(&records);
            both.map(|(bytes, (_, id))| Record::new(bytes).to_partition(*id))
        };
        let producer = &self.arena.producer;
        let sent = match kind {
            0 => producer.send(batch().next().unwrap()).map(|sent| vec![sent]),
            1 => producer.send_batch(batch()),
            _ => producer.enqueue(batch().next().unwrap()).map(|delivery| {
                self.deliveries.push((self.sends.len(), delivery, records[0].0));
                Vec::new()
            }),
        };
        match sent {
            Ok(sent) => {
                let spots = sent.iter().map(|sent| (sent.partition, sent.offset));
                let call: Vec<_> = spots.zip(records.iter().map(|(value, _)| *value)).collect();
                for ((id, offset), _) in &call {
                    self.acknowledge(*id, *offset);
                }
                assert!(!is_refused, "a batch above the limit was accepted");
                self.sends.push(call);
            }
            Err(error) => {
                assert!(is_refused, "{error}");
                self.refused.extend(records.iter().map(|(value, _)| *value));
            }
        }
    }

    fn acknowledge(&self, id: PartitionId, offset: Offset) {
        self.arena.acknowledged[id as usize].fetch_max(offset + 1, Ordering::SeqCst);
    }

    fn await_some(&mut self) {
        for (call, delivery, value) in std::mem::take(&mut self.deliveries) {
            let sent = delivery.wait().unwrap();
            self.acknowledge(sent.partition, sent.offset);
            self.sends[call].push(((sent.partition, sent.offset), value));
        }
    }

    /// Another reader: of some of the partitions, from anywhere.
    fn reassign(&mut self) {
        let chosen: BTreeSet<_> = (0..PARTITIONS).filter(|_| self.below(3) > 0).collect();
        let mut from = Vec::new();
        for id in &chosen {
            let log = self.arena.topic.partition(*id).unwrap();
            let (start, end) = (log.log_start_offset(), log.high_watermark());
            from.push((log, start + self.below(end - start + 1)));
        }
        let max_bytes = [1, 200, 1 << 20][usize::try_from(self.below(3)).unwrap()];
        self.reader = Reader::new(from).max_bytes(max_bytes);
        self.moved.extend(0..PARTITIONS);
        self.reads = chosen;
    }

    fn poll(&mut self) {
        let timeout = [Duration::ZERO, Duration::from_micros(100)];
        let timeout = timeout[usize::try_from(self.below(2)).unwrap()];
        self.poll_for(timeout, BTreeMap::new());
    }

    /// Polls once; says whether anything happened.
    fn poll_for(&mut self, timeout: Duration, promised: BTreeMap<PartitionId, Offset>) -> bool {
        let polled = self.reader.poll(timeout);
        let moved = std::mem::take(&mut self.moved);
        match polled {
            Ok(records) => {
                let spot = |record: anabranch::ConsumerRecord<'_>| {
                    let value = Value::from_be_bytes(record.value().unwrap().try_into().unwrap());
                    ((record.partition(), record.offset()), value)
                };
                let records: Vec<_> = records.iter().map(spot).collect();
                let is_progress = !records.is_empty();
                let reached = if promised.is_empty() { BTreeMap::new() } else { self.positions() };
                self.polls.push(Polled { records, moved, promised, reached });
                is_progress
            }
            Err(ReadError::OutOfRange { partition, requested, log_start, high_watermark }) => {
                // B11, and never without a reason.
                assert!(self.arena.deletes && requested < log_start, "{requested} of {partition}");
                assert!(log_start <= high_watermark);
                self.reader.seek(&partition, log_start).unwrap();
                self.moved.extend(moved);
                self.moved.insert(partition.partition);
                true
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn positions(&self) -> BTreeMap<PartitionId, Offset> {
        let position = |id: &PartitionId| {
            let of = TopicPartition::new(self.arena.topic.name(), *id);
            (*id, self.reader.position(&of).unwrap())
        };
        self.reads.iter().map(position).collect()
    }

    /// A17 and B16: what is acknowledged by now is reached, and no poll sleeps through it.
    fn catch_up(&mut self) {
        let acknowledged =
            |id: &PartitionId| (*id, self.arena.acknowledged[*id as usize].load(Ordering::SeqCst));
        let promised: BTreeMap<_, _> = self.reads.iter().map(acknowledged).collect();
        loop {
            let is_behind = |(id, reached): (&PartitionId, &Offset)| *reached < promised[id];
            if !self.positions().iter().any(is_behind) {
                break;
            }
            if !self.poll_for(GUARD, BTreeMap::new()) {
                break; // slept through: the next poll says so
            }
        }
        self.poll_for(Duration::ZERO, promised);
    }

    fn delete(&mut self) {
        if self.arena.deletes {
            let id = self.partition();
            let log = self.arena.topic.partition(id).unwrap();
            let (start, end) = (log.log_start_offset(), log.high_watermark());
            let before = start + self.below(end - start + 1) / 2;
            assert!(log.delete_records(before).unwrap() >= before);
        }
    }
}

fn run(name: &str, deletes: bool, linger: Duration, config: TopicConfig) {
    let seed = std::env::var("ANABRANCH_SEED").map_or(42, |seed| seed.parse().unwrap());
    println!("{name}: ANABRANCH_SEED={seed}");
    let clock = ManualClock::at(millis(86_400_000));
    let config = config.partitions(PARTITIONS).max_batch_bytes(BATCH_BYTES_MAX);
    let topic = topic(config.clock(clock.clone()));
    let producer = Producer::builder(&topic).linger(linger).batch_bytes(300).build().unwrap();
    let arena = Arena { topic, producer, clock, acknowledged: Default::default(), deletes };
    let mut history = History::default();
    std::thread::scope(|scope| {
        let start = |number| {
            let arena = &arena;
            scope.spawn(move || Process::new(arena, number, seed).run())
        };
        let processes: Vec<_> = (0..PROCESSES).map(start).collect();
        for process in processes {
            let process = process.join().unwrap();
            history.sends.insert(process.number, process.sends);
            history.polls.insert(process.number, process.polls);
            history.refused.extend(process.refused);
        }
    });
    for log in arena.topic.partitions() {
        let start = log.log_start_offset();
        let records = log.read(start, usize::MAX).unwrap();
        let of = |record: anabranch::ConsumerRecord<'_>| {
            let value = Value::from_be_bytes(record.value().unwrap().try_into().unwrap());
            (record.offset(), value)
        };
        let known: Vec<_> = records.iter().map(of).collect();
        // B10: any offset leads to where the scan found it.
        for (offset, value) in &known {
            assert_eq!(
                log.read(*offset, 1).unwrap().iter().next().map(of),
                Some((*offset, *value))
            );
        }
        history.finals.insert(log.id(), (start, known));
    }
    if let Err((statement, what)) = history.check() {
        panic!("{name}, seed {seed}: {statement} is violated: {what}");
    }
    let polled: usize = history.polls.values().flatten().map(|poll| poll.records.len()).sum();
    assert!(polled > OPERATIONS, "the workload read next to nothing: {polled}");
}

#[test]
fn a_log_that_keeps_everything_holds_all_statements() {
    let config = TopicConfig::new().segment_bytes(400);
    run("keeps", false, Duration::ZERO, config.clone());
    run("keeps and lingers", false, Duration::from_millis(10), config);
}

#[test]
fn a_log_that_drops_and_deletes_holds_all_statements_for_what_is_left() {
    let config = TopicConfig::new().segment_bytes(400).retention_bytes(4_000);
    run("drops", true, Duration::ZERO, config.clone());
    run("drops and lingers", true, Duration::from_millis(10), config);
}
