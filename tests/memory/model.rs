//! Random steps against a map: the log, a producer that lingers, and a reader never disagree with it.
//!
//! The model keeps every record ever appended. Where retention stops is chunk by chunk, which the
//! model does not know: it takes the start from the log, and checks that retention was allowed to go
//! that far.

use crate::support::{millis, topic};
use anabranch::{
    ConsumerRecord, ManualClock, Offset, Partition, Producer, ReadError, Reader, Record,
    TimestampType, Topic, TopicConfig, TopicPartition,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const LINGER: Duration = Duration::from_millis(50);

#[derive(Clone, Debug)]
enum Step {
    /// The partition, and for each record how much longer it is than its number, and its time.
    Append(usize, Vec<(usize, Option<i64>)>),
    /// For each record its partition and length.
    SendBatch(Vec<(usize, usize)>),
    Enqueue(usize, usize),
    Tick,
    Flush,
    /// How much of what is retained.
    Delete(usize, u64),
    Advance(u64),
    Jump(i64),
    Retain,
    AddPartition,
    /// From where, in percent of what is retained, and how much.
    Read(usize, u64, usize),
    Lookup(usize, i64),
    Poll,
    /// The reader's position, in percent of what is retained.
    Seek(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 0..8_usize;
    let length = || prop_oneof![8 => 0..80_usize, 1 => 500..1_500_usize];
    prop_oneof![
        4 => (id(), vec((length(), option::of(0..600_i64)), 1..5)).prop_map(|(id, of)| Step::Append(id, of)),
        3 => vec((id(), length()), 1..6).prop_map(Step::SendBatch),
        5 => (id(), length()).prop_map(|(id, of)| Step::Enqueue(id, of)),
        1 => Just(Step::Tick),
        1 => Just(Step::Flush),
        1 => (id(), 0..=100_u64).prop_map(|(id, percent)| Step::Delete(id, percent)),
        2 => (0..60_u64).prop_map(Step::Advance),
        1 => (0..600_i64).prop_map(Step::Jump),
        1 => Just(Step::Retain),
        1 => Just(Step::AddPartition),
        3 => (id(), 0..=100_u64, 0..3_000_usize).prop_map(|(id, from, max)| Step::Read(id, from, max)),
        2 => (id(), 0..650_i64).prop_map(|(id, time)| Step::Lookup(id, time)),
        3 => Just(Step::Poll),
        1 => (0..=100_u64).prop_map(Step::Seek),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    chunk_bytes: usize,
    retention_bytes: Option<u64>,
    retention_millis: Option<i64>,
    appends_stamp: bool,
}

fn limits() -> impl Strategy<Value = Limits> {
    let retention = (option::of(0..4_000_u64), option::of(0..300_i64));
    (1..1_200_usize, retention, any::<bool>()).prop_map(
        |(chunk_bytes, retention, appends_stamp)| {
            let (retention_bytes, retention_millis) = retention;
            Limits { chunk_bytes, retention_bytes, retention_millis, appends_stamp }
        },
    )
}

/// A record's number, which its value begins with, and its time.
type Known = (u64, i64);

#[derive(Debug, Default)]
struct Log {
    start: Offset,
    deleted: Offset,
    /// All that was ever appended.
    records: BTreeMap<Offset, Known>,
    /// Records that wait, and when they are due.
    queued: VecDeque<(Known, Duration)>,
}

impl Log {
    fn end(&self) -> Offset {
        self.records.len() as u64
    }

    fn place(&self, percent: u64) -> Offset {
        self.start + (self.end() - self.start) * percent / 100
    }
}

/// The real thing and the model of it.
struct World {
    limits: Limits,
    clock: ManualClock,
    topic: Topic,
    producer: Producer,
    reader: Reader,
    logs: Vec<Log>,
    next_number: u64,
    elapsed: Duration,
    now: i64,
}

impl World {
    fn new(limits: Limits) -> World {
        let clock = ManualClock::new();
        let mut config = TopicConfig::new().segment_bytes(limits.chunk_bytes).clock(clock.clone());
        if let Some(bytes) = limits.retention_bytes {
            config = config.retention_bytes(bytes);
        }
        if let Some(span) = limits.retention_millis {
            config = config.retention_time(Duration::from_millis(span.unsigned_abs()));
        }
        if limits.appends_stamp {
            config = config.timestamp_type(TimestampType::LogAppendTime);
        }
        let topic = topic(config);
        World {
            limits,
            clock,
            producer: Producer::builder(&topic).linger(LINGER).batch_bytes(400).build().unwrap(),
            reader: Reader::new([(topic.partition(0).unwrap(), 0)]).max_bytes(300),
            topic,
            logs: vec![Log::default()],
            next_number: 0,
            elapsed: Duration::ZERO,
            now: 0,
        }
    }

    fn value(&mut self, length: usize) -> (u64, Vec<u8>) {
        let number = self.next_number;
        self.next_number += 1;
        (number, [&number.to_be_bytes()[..], &vec![0; length]].concat())
    }

    fn real(&self, id: usize) -> Partition {
        self.topic.partition(u32::try_from(id).unwrap()).unwrap()
    }

    fn stamp(&self, own: Option<i64>) -> i64 {
        own.filter(|_| !self.limits.appends_stamp).unwrap_or(self.now)
    }

    /// Notes that records were appended behind what the model has.
    fn grew(&mut self, id: usize, new: impl IntoIterator<Item = Known>) {
        for known in new {
            let end = self.logs[id].end();
            self.logs[id].records.insert(end, known);
        }
        assert_eq!(self.real(id).log_end_offset(), self.logs[id].end());
    }

    /// Notes that the first of the queued records were appended.
    fn drained(&mut self, id: usize, count: usize) {
        let (appends_stamp, now) = (self.limits.appends_stamp, self.now);
        let known: Vec<Known> =
            self.logs[id].queued.drain(..count).map(|(known, _)| known).collect();
        let stamped = known.into_iter();
        self.grew(id, stamped.map(|(number, at)| (number, if appends_stamp { now } else { at })));
    }

    /// After a step that looks after the queue: what is due is appended, and nothing out of order.
    fn ticked(&mut self) {
        for id in 0..self.logs.len() {
            let count = self.real(id).log_end_offset() - self.logs[id].end();
            self.drained(id, usize::try_from(count).unwrap());
            let left = self.logs[id].queued.iter();
            assert!(left.clone().all(|(_, due)| *due > self.elapsed), "a batch is overdue");
        }
    }

    fn run(&mut self, step: &Step) {
        let id = |wanted: usize| wanted % self.logs.len();
        match step {
            Step::Append(to, records) => self.append(id(*to), records),
            Step::SendBatch(records) => self.send_batch(records),
            Step::Enqueue(to, length) => self.enqueue(id(*to), *length),
            Step::Tick => {
                self.producer.tick();
                self.ticked();
            }
            Step::Flush => {
                self.producer.flush().unwrap();
                self.ticked();
                assert!(self.logs.iter().all(|log| log.queued.is_empty()));
            }
            Step::Delete(of, percent) => {
                let of = id(*of);
                let before = self.logs[of].place(*percent);
                assert_eq!(self.real(of).delete_records(before), Ok(before));
                self.real(of).delete_records(self.logs[of].end() + 1).unwrap_err();
                let log = &mut self.logs[of];
                (log.start, log.deleted) = (before, log.deleted.max(before));
            }
            Step::Advance(millis) => {
                self.clock.advance(Duration::from_millis(*millis));
                self.elapsed += Duration::from_millis(*millis);
                self.now += i64::try_from(*millis).unwrap();
            }
            Step::Jump(to) => {
                self.clock.set(millis(*to));
                self.now = *to;
            }
            Step::Retain => self.topic.apply_retention(),
            Step::AddPartition => {
                let total = self.logs.len() + 1;
                self.topic.add_partitions(u32::try_from(total).unwrap()).unwrap();
                self.logs.push(Log::default());
            }
            Step::Read(of, percent, max_bytes) => self.read(id(*of), *percent, *max_bytes),
            Step::Lookup(of, time) => {
                let of = id(*of);
                let log = &self.logs[of];
                let mut retained = log.records.range(log.start..);
                let expected = retained.find(|(_, (_, at))| at >= time).map(|(offset, _)| *offset);
                assert_eq!(self.real(of).offset_for_timestamp(millis(*time)), expected);
            }
            Step::Poll => self.poll(),
            Step::Seek(percent) => {
                let to = self.logs[0].place(*percent);
                self.reader.seek(&TopicPartition::new("orders", 0), to).unwrap();
            }
        }
        self.follow_retention();
    }

    fn append(&mut self, to: usize, records: &[(usize, Option<i64>)]) {
        let values: Vec<_> = records.iter().map(|(length, _)| self.value(*length)).collect();
        let batch: Vec<Record<'_>> = values
            .iter()
            .zip(records)
            .map(|((_, value), (_, own))| Record {
                timestamp: own.map(millis),
                ..Record::new(value)
            })
            .collect();
        assert_eq!(self.real(to).append(&batch), Ok(self.logs[to].end()));
        let known = values.iter().zip(records);
        let known: Vec<Known> =
            known.map(|((number, _), (_, own))| (*number, self.stamp(*own))).collect();
        self.grew(to, known);
    }

    fn send_batch(&mut self, records: &[(usize, usize)]) {
        let count = self.logs.len();
        let values: Vec<_> =
            records.iter().map(|(to, length)| (to % count, self.value(*length))).collect();
        let batch = values
            .iter()
            .map(|(to, (_, value))| Record::new(value).to_partition(u32::try_from(*to).unwrap()));
        let sent = self.producer.send_batch(batch).unwrap();
        for id in 0..count {
            let mut own = values.iter().filter(|(to, _)| *to == id).peekable();
            if own.peek().is_some() {
                let queued = self.logs[id].queued.len();
                let known: Vec<Known> = own.map(|(_, (number, _))| (*number, self.now)).collect();
                // What was queued comes first.
                let both = self.logs[id].end() + (queued + known.len()) as u64;
                assert_eq!(self.real(id).log_end_offset(), both);
                let stamp = self.limits.appends_stamp.then_some(self.now);
                let first: Vec<_> =
                    self.logs[id].queued.drain(..).map(|(known, _)| known).collect();
                let first = first.into_iter().map(|(number, at)| (number, stamp.unwrap_or(at)));
                self.grew(id, first.chain(known).collect::<Vec<_>>());
            }
        }
        for (sent, (to, (number, _))) in sent.iter().zip(&values) {
            assert_eq!(sent.partition as usize, *to);
            assert_eq!(self.logs[*to].records[&sent.offset], (*number, self.now));
        }
    }

    fn enqueue(&mut self, to: usize, length: usize) {
        let (number, value) = self.value(length);
        let record = Record::new(&value).to_partition(u32::try_from(to).unwrap());
        self.producer.enqueue(record).unwrap();
        self.logs[to].queued.push_back(((number, self.now), self.elapsed + LINGER));
        self.ticked();
    }

    fn read(&self, of: usize, percent: u64, max_bytes: usize) {
        let (log, real) = (&self.logs[of], self.real(of));
        let from = log.place(percent);
        let records = real.read(from, max_bytes).unwrap();
        assert_eq!(records.is_empty(), from == log.end());
        self.assert_known(of, from, records.iter());
        if max_bytes > 2_900 {
            real.read(log.end() + 1, max_bytes).unwrap_err();
        }
        if log.start > 0 {
            real.read(log.start - 1, max_bytes).unwrap_err();
        }
    }

    fn assert_known<'r>(
        &self,
        of: usize,
        from: Offset,
        read: impl Iterator<Item = ConsumerRecord<'r>>,
    ) {
        for (offset, record) in (from..).zip(read) {
            let (number, at) = self.logs[of].records[&offset];
            assert_eq!((record.offset(), record.timestamp()), (offset, millis(at)));
            assert_eq!(record.value().unwrap()[..8], number.to_be_bytes());
        }
    }

    /// The reader reads partition 0.
    fn poll(&mut self) {
        let of = TopicPartition::new("orders", 0);
        let from = self.reader.position(&of).unwrap();
        let log = &self.logs[0];
        match self.reader.poll(Duration::ZERO) {
            Ok(records) => {
                assert_eq!(records.is_empty(), from == log.end());
                assert!(records.is_empty() || from >= log.deleted, "deleted records were read");
                self.assert_known(0, from, records.iter());
                let end = from + records.len() as u64;
                assert_eq!(self.reader.position(&of), Some(end));
            }
            Err(ReadError::OutOfRange { requested, log_start, high_watermark, .. }) => {
                assert_eq!((requested, log_start, high_watermark), (from, log.start, log.end()));
                assert!(from < log.start);
                self.reader.seek(&of, log_start).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Takes the start from the log, if retention may have gone so far.
    fn follow_retention(&mut self) {
        for id in 0..self.logs.len() {
            let real = self.real(id);
            let (start, stats) = (real.log_start_offset(), real.stats());
            let log = &mut self.logs[id];
            assert!((log.start..=log.end()).contains(&start));
            if start > log.start {
                let horizon = self.limits.retention_millis.map(|span| self.now - span);
                match (self.limits.retention_bytes, horizon) {
                    (None, None) => panic!("nothing may be dropped"),
                    (Some(least), None) => assert!(stats.bytes >= least),
                    (None, Some(horizon)) => {
                        let mut dropped = log.records.range(log.start..start);
                        assert!(dropped.all(|(_, (_, at))| *at < horizon));
                    }
                    (Some(_), Some(_)) => {}
                }
            }
            log.start = start;
            assert_eq!(real.high_watermark(), log.end());
            assert_eq!((stats.records, stats.appended_records), (log.end() - start, log.end()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_the_steps_the_log_agrees_with_a_map(
        limits in limits(),
        steps in vec(step(), 100),
    ) {
        let mut world = World::new(limits);
        for step in &steps {
            world.run(step);
        }
        world.producer.flush().unwrap();
        world.ticked();
        for id in 0..world.logs.len() {
            world.follow_retention();
            world.read(id, 0, usize::MAX);
        }
    }
}
