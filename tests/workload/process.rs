//! A process: a producer and a consumer (of the group, or by itself), and a stream of operations
//! that its seed decides.

use super::history::{Found, Key, Tick, Value, What, Who};
use super::life::{Joining, Life, noted};
use super::world::{Draws, PROCESSES, World};
use anabranch::{
    AppendError, Clock, Delivery, Producer, ReadError, Reader, Record, SendError, Timestamp,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Operations between two faults of one process, on average.
const FAULT_EVERY: u64 = 150;
const DAY_MILLIS: i64 = 24 * 3_600 * 1_000;

#[derive(Debug)]
pub(crate) struct Process {
    index: u32,
    world: Arc<World>,
    draws: Draws,
    /// `None` while there is no broker.
    producers: Option<[Producer; 2]>,
    queued: Vec<(Tick, Key, Value, Delivery)>,
    life: Option<Life>,
    /// Consumers that were fenced, and guests that came for a while.
    others: Vec<Life>,
    reader: Option<Manual>,
    /// Steps for which the consumer does not come to poll.
    busy: u64,
}

/// A reader without a group: it has a name of its own for each assignment.
#[derive(Debug)]
struct Manual {
    who: Who,
    reader: Reader,
    keys: Vec<Key>,
}

impl Process {
    pub(crate) fn new(world: &Arc<World>, index: u32, seed: u64) -> Process {
        let draws = Draws::new(seed ^ (u64::from(index) << 56) ^ 0x5eed);
        Process {
            index,
            world: Arc::clone(world),
            draws,
            producers: Some(world.producers(index % 2 == 1)),
            queued: Vec::new(),
            life: None,
            others: Vec::new(),
            reader: None,
            busy: 0,
        }
    }

    /// The last two of the eight read by themselves.
    fn is_manual(&self) -> bool {
        self.index + 2 >= PROCESSES
    }

    /// One operation of the stream. `may_block` is for processes that have a thread each.
    pub(crate) fn step(&mut self, may_block: bool) {
        if self.draws.one_in(FAULT_EVERY) {
            self.fault();
        }
        if self.draws.one_in(64) {
            self.resubscribe();
        }
        self.busy = self.busy.saturating_sub(1);
        match self.draws.below(100) {
            0..45 => self.send(),
            45..80 => self.poll(may_block && self.draws.clone().one_in(16)),
            _ => {
                for _ in 0..=self.draws.below(4) {
                    self.micro_operation();
                }
            }
        }
        if self.draws.one_in(50) {
            self.world.observe();
            let seconds = if self.world.variant.files.is_some() { 11 } else { 3 };
            self.world.clock.advance(Duration::from_secs(self.draws.below(seconds)));
        }
    }

    fn micro_operation(&mut self) {
        let draw = self.draws.below(6);
        let Some(life) = self.life.as_mut().filter(|_| draw > 1) else {
            return if draw == 0 { self.send() } else { self.poll(false) };
        };
        match draw {
            2 => life.commit(false),
            3 => life.commit(true),
            4 => life.seek(&mut self.draws),
            _ => life.pause_or_resume(&mut self.draws),
        }
    }

    fn key(&mut self) -> Key {
        let live = self.world.live_keys();
        *self.draws.pick(&live).expect("there are eight")
    }

    fn send(&mut self) {
        match self.draws.below(10) {
            0..4 => self.send_one(),
            4..7 => {
                let count = 1 + self.draws.below(5);
                self.send_batch(count, 0);
            }
            _ => self.enqueue(),
        }
        if self.draws.one_in(3) && !self.queued.is_empty() {
            let first = self.queued.remove(0);
            self.settle(first);
        }
    }

    fn payload(&mut self, extra: u64) -> (Value, Vec<u8>) {
        let value = self.world.fresh_value();
        let mut bytes = value.to_le_bytes().to_vec();
        let padding = extra + self.draws.below(40);
        bytes.resize(bytes.len() + usize::try_from(padding).expect("small"), 0xa5);
        (value, bytes)
    }

    fn send_one(&mut self) {
        let key = self.key();
        let (value, bytes) = self.payload(0);
        let number = key.1.to_le_bytes();
        let record = Record::new(&bytes);
        // Half of them say where to, half leave it to the partitioner.
        let record =
            if value % 2 == 0 { record.to_partition(key.1) } else { record.with_key(&number) };
        let invoked = self.world.recorder.tick();
        let sent = self.producer(key.0).send(record);
        let what = match sent {
            Ok(sent) => Some(What::Sent(vec![((key.0, sent.partition), sent.offset, value)])),
            Err(error) => self.refused(&error, key.0, vec![value]),
        };
        what.into_iter().for_each(|what| self.finish_send(invoked, what));
    }

    fn send_batch(&mut self, count: u64, padding: u64) {
        let topic = self.key().0;
        let mut keys = self.world.live_keys();
        keys.retain(|key| key.0 == topic);
        let payloads = Vec::from_iter((0..count).map(|_| self.payload(padding)));
        let placed = payloads.iter().map(|(_, bytes)| {
            let key = self.draws.pick(&keys).expect("each topic has live keys");
            Record::new(bytes).to_partition(key.1)
        });
        let records = Vec::from_iter(placed);
        let invoked = self.world.recorder.tick();
        let sent = self.producer(topic).send_batch(records);
        let values = payloads.iter().map(|(value, _)| *value);
        let what = match sent {
            Ok(sent) => Some(What::Sent(
                sent.iter()
                    .zip(values)
                    .map(|(at, v)| ((topic, at.partition), at.offset, v))
                    .collect(),
            )),
            Err(error) => self.refused(&error, topic, values.collect()),
        };
        what.into_iter().for_each(|what| self.finish_send(invoked, what));
    }

    fn enqueue(&mut self) {
        let key = self.key();
        let (value, bytes) = self.payload(0);
        let invoked = self.world.recorder.tick();
        let record = Record::new(&bytes).to_partition(key.1);
        match self.producer(key.0).enqueue(record) {
            Ok(delivery) => self.queued.push((invoked, key, value, delivery)),
            Err(error) => {
                let what = self.refused(&error, key.0, vec![value]);
                what.into_iter().for_each(|what| self.finish_send(invoked, what));
            }
        }
    }

    fn settle(&mut self, (invoked, key, value, delivery): (Tick, Key, Value, Delivery)) {
        let what = match delivery.wait() {
            Ok(sent) => Some(What::Sent(vec![((key.0, sent.partition), sent.offset, value)])),
            Err(error) => {
                assert!(self.world.variant.files.is_some(), "nothing refuses it: {error}");
                self.refused(&error, key.0, vec![value])
            }
        };
        what.into_iter().for_each(|what| self.finish_send(invoked, what));
    }

    fn finish_send(&mut self, invoked: Tick, what: What) {
        let written: Vec<Found> = match &what {
            What::Sent(found) => found.clone(),
            _ => Vec::new(),
        };
        self.world.recorder.note(self.index, invoked, what);
        for (key, _, _) in written {
            self.world.wrote(key);
        }
    }

    fn poll(&mut self, blocking: bool) {
        if self.busy > 0 {
            return;
        }
        if self.is_manual() {
            return self.poll_manual();
        }
        if self.life.is_none() {
            self.join();
        }
        let timeout = Duration::from_millis(if blocking { 2 } else { 0 });
        let Some(life) = &mut self.life else { return };
        if !life.poll(timeout) {
            self.life = None; // fenced
        } else if self.draws.one_in(2) {
            life.commit(self.draws.one_in(2));
        }
    }

    fn poll_manual(&mut self) {
        let Some(manual) = &mut self.reader else { return self.assign_manually() };
        let invoked = self.world.recorder.tick();
        match manual.reader.poll(Duration::ZERO) {
            Ok(records) => {
                let mut poll = noted(&records);
                let position =
                    |key: &Key| Some((*key, manual.reader.position(&World::name(*key))?));
                poll.watched = manual.keys.iter().filter_map(position).collect();
                self.world.recorder.note(manual.who, invoked, What::Polled(poll));
            }
            Err(ReadError::OutOfRange { partition, log_start, .. }) => {
                manual.reader.seek(&partition, log_start).expect("it is read");
                let sought = What::Sought(World::key(&partition), Some(log_start));
                self.world.recorder.note_now(manual.who, sought);
            }
            Err(ReadError::Disk { .. } | ReadError::Poisoned { .. })
                if self.world.variant.files.is_some() => {}
            Err(other) => panic!("{other}"),
        }
    }

    fn assign_manually(&mut self) {
        let mut keys = self.world.live_keys();
        keys.retain(|_| self.draws.one_in(2));
        let partitions = keys.iter().map(|key| self.world.partition(*key));
        let partitions = Vec::from_iter(partitions.map(|partition| {
            let start = partition.log_start_offset();
            (partition, start)
        }));
        let who = self.world.fresh_life();
        let starts = keys.iter().zip(&partitions).map(|(key, (_, start))| (*key, Some(*start)));
        for (key, start) in starts {
            self.world.recorder.note_now(who, What::Sought(key, start));
        }
        self.reader = Some(Manual { who, reader: Reader::new(partitions), keys });
    }

    fn joining(&mut self) -> Joining {
        let topics = match self.draws.below(4) {
            0 => Some(vec![0]),
            1 => Some(vec![1]),
            _ => None,
        };
        let instance = (self.index < 2).then(|| format!("host-{}", self.index));
        Joining { topics, instance }
    }

    fn join(&mut self) {
        let joining = self.joining();
        self.life = Life::join(&self.world, &joining);
    }

    fn resubscribe(&mut self) {
        if self.is_manual() {
            self.reader = None;
        } else if let Some(life) = self.life.take() {
            life.leave();
            self.join();
        }
    }

    fn fault(&mut self) {
        let world = Arc::clone(&self.world);
        match self.draws.below(13) {
            0 | 1 => {
                if let Some(life) = self.life.take() {
                    life.crash();
                }
            }
            2 => self.busy = 100,
            3 => self.send_batch(20, 300), // more than a segment: it rolls
            4 => {
                let partition = world.partition(self.key());
                let below = self.draws.below(partition.high_watermark() + 1);
                if world.variant.has_retention {
                    let deleted = partition.delete_records(below);
                    assert!(deleted.is_ok() || world.variant.files.is_some(), "{deleted:?}");
                }
                world.topics().iter().for_each(anabranch::Topic::apply_retention);
            }
            5 => {
                let jump = if self.draws.one_in(2) { DAY_MILLIS } else { -DAY_MILLIS };
                let now = world.clock.now().as_millis();
                world.clock.set(Timestamp::from_millis(now + jump));
            }
            6 => self.others.extend(Life::join(&world, &Joining::default())),
            7 => world.add_partition(u8::from(self.draws.one_in(2))),
            8 => {
                let (value, bytes) = self.payload(0);
                let invoked = world.recorder.tick();
                let sent = self.producer(0).send(Record::new(&bytes).with_key("a trap"));
                assert!(sent.is_err(), "the partitioner panicked");
                self.finish_send(invoked, What::SendFailed(vec![value]));
            }
            9 => world.traps.assignor_panics.store(true, Ordering::SeqCst),
            10 => world.traps.assignor_errs.store(true, Ordering::SeqCst),
            11 => world.traps.listener_panics.store(true, Ordering::SeqCst),
            _ if self.index < 2 => self.fence_itself(),
            _ => world.clock.advance(Duration::from_secs(360)), // everybody is late
        }
        self.look_after_others();
    }

    /// A second consumer takes the instance id of the first, which lives on and tries to commit.
    fn fence_itself(&mut self) {
        let joining = self.joining();
        if let Some(successor) = Life::join(&self.world, &joining) {
            self.others.extend(self.life.replace(successor));
        }
        self.poll(false);
    }

    fn look_after_others(&mut self) {
        let others = std::mem::take(&mut self.others);
        for mut other in others {
            other.commit(false);
            let lives_on = other.poll(Duration::ZERO) && !self.draws.one_in(3);
            other.commit(false);
            if lives_on {
                self.others.push(other);
            } else {
                other.leave();
            }
        }
    }

    /// The broker is about to end: by a crash, which nobody hears of, or in good order.
    pub(crate) fn end(&mut self, is_crash: bool) {
        let lives = self.life.take().into_iter().chain(std::mem::take(&mut self.others));
        lives.for_each(if is_crash { Life::die } else { Life::leave });
        // What becomes of these is not known.
        self.queued.clear();
        self.reader = None;
        self.producers = None;
    }

    /// A broker is there again.
    pub(crate) fn begin(&mut self) {
        self.producers = Some(self.world.producers(self.index % 2 == 1));
    }

    fn producer(&self, topic: u8) -> &Producer {
        let [orders, refunds] = self.producers.as_ref().expect("the broker is there");
        if topic == 0 { orders } else { refunds }
    }

    /// What a refused send comes to; `None` if that is not known.
    fn refused(&self, error: &SendError, topic: u8, values: Vec<Value>) -> Option<What> {
        match error {
            SendError::Append(AppendError::Poisoned { .. }) => {
                self.world.is_poisoned.store(true, Ordering::SeqCst);
                None
            }
            SendError::PartlySent { sent, .. } => {
                let found = sent.iter().zip(values);
                let found = found.filter_map(|(at, value)| {
                    at.map(|(partition, offset)| ((topic, partition), offset, value))
                });
                Some(What::Sent(found.collect()))
            }
            _ => Some(What::SendFailed(values)),
        }
    }

    /// No more faults: what is queued is appended, guests go, and a consumer is there.
    pub(crate) fn settle_down(&mut self) {
        for queued in std::mem::take(&mut self.queued) {
            self.settle(queued);
        }
        for other in std::mem::take(&mut self.others) {
            other.leave();
        }
        self.busy = 0;
        if self.index == 0 {
            // Somebody reads each topic, whatever the others have chosen.
            self.life.take().into_iter().for_each(Life::leave);
            let joining = Joining { topics: None, ..self.joining() };
            self.life = Life::join(&self.world, &joining);
        }
        if let Some(life) = &mut self.life {
            life.resume_all();
        }
    }

    /// The last polls, after which nothing is to be left.
    pub(crate) fn poll_quietly(&mut self) {
        self.poll(false);
        if let Some(life) = &mut self.life {
            life.commit(false);
        }
    }

    pub(crate) fn into_life(mut self) -> Option<Life> {
        self.life.take()
    }
}
