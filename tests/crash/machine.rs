//! A partition against a map, step by step: steps are generated, and shrunk when they fail.

use super::model::{Ending, Setup};
use super::world::{Op, World};
use super::{knob, show_count};
use anabranch::testing::{Fault, Times};
use anabranch::{Delivery, Durability, FlushError, Producer, Record, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    Do(Op),
    Append {
        count: usize,
        bytes: usize,
    },
    Enqueue {
        bytes: usize,
    },
    Wait,
    /// Reads from somewhere between start and end.
    Read {
        place: u8,
    },
    /// Looks for the first record of a time so many seconds ago.
    Find {
        back: u64,
    },
    Advance {
        seconds: u64,
    },
    Cut {
        seed: u64,
    },
    /// A call to the disk is going to fail, once.
    Fail {
        call: u64,
        fault: Fault,
    },
}

const FAULTS: [Fault; 3] = [Fault::Io, Fault::NoSpace, Fault::Short { bytes: 90 }];

fn step() -> impl Strategy<Value = Step> {
    let op = prop::sample::select(super::world::OPS.to_vec());
    prop_oneof![
        4 => op.prop_map(Step::Do),
        4 => (1..5_usize, 0..900_usize).prop_map(|(count, bytes)| Step::Append { count, bytes }),
        3 => (0..400_usize).prop_map(|bytes| Step::Enqueue { bytes }),
        2 => Just(Step::Wait),
        2 => any::<u8>().prop_map(|place| Step::Read { place }),
        1 => (0..40_u64).prop_map(|back| Step::Find { back }),
        1 => (1..9_u64).prop_map(|seconds| Step::Advance { seconds }),
        1 => any::<u64>().prop_map(|seed| Step::Cut { seed }),
        1 => (1..12_u64, prop::sample::select(FAULTS.to_vec()))
            .prop_map(|(call, fault)| Step::Fail { call, fault }),
    ]
}

impl Step {
    /// Whether a session ends, in good order or not, and the next one begins.
    fn reopens(&self) -> bool {
        matches!(self, Step::Cut { .. } | Step::Do(Op::Close | Op::Kill))
    }
}

struct Machine {
    world: World,
    producer: Option<Producer>,
    pending: Vec<(u64, Delivery)>,
    /// How many faults of this disk have been dealt with.
    faults: u64,
}

impl Machine {
    fn run(setup: Setup, steps: &[Step]) -> Result<(), String> {
        let world = World::new(&[setup]);
        let mut machine = Machine { world, producer: None, pending: Vec::new(), faults: 0 };
        for (number, step) in steps.iter().enumerate() {
            let outcome = machine.step(step).or_else(|what| machine.excuse(what));
            let outcome = outcome.and_then(|()| machine.reconcile());
            outcome.map_err(|what| format!("step {number}, {step:?}: {what}"))?;
        }
        machine.session_ends();
        machine.world.disk.heal();
        machine.reconcile()?;
        machine.world.check()?;
        machine.world.abandon();
        Ok(())
    }

    fn session_ends(&mut self) {
        self.pending.clear();
        self.producer = None;
    }

    /// A step failed: which is well if a call to the disk did.
    fn excuse(&mut self, what: String) -> Result<(), String> {
        let of_commits =
            ["__consumer_offsets/0 takes no more", "{ partition: __consumer_offsets/0"];
        if of_commits.iter().any(|told| what.contains(told)) {
            // A sync of it failed before, when nobody was told.
            self.session_ends();
            self.faults = 0;
            let (image, models) = (self.world.disk.kill(), self.world.models());
            return self.world.reopen(Some(image), models, Ending::Kill);
        }
        // A look-up by time says nothing where a file cannot be read.
        let is_told = ["Refused(", "Unknown(", "Disk {", "Poisoned {", "B10: None"];
        let is_excused = self.world.disk.faults() > self.faults
            && is_told.iter().any(|told| what.contains(told));
        if is_excused { Ok(()) } else { Err(what) }
    }

    /// After a fault: what was pending may have been refused, or the partition be poisoned.
    fn reconcile(&mut self) -> Result<(), String> {
        if self.world.disk.faults() == self.faults {
            return Ok(());
        }
        self.faults = self.world.disk.faults();
        self.world.disk.heal();
        let lane = &mut self.world.lanes[0];
        // A flush settles all that is pending, and says whether the partition is poisoned.
        let flushed = lane.partition.flush();
        if matches!(flushed, Err(FlushError::Poisoned { .. })) {
            self.session_ends();
            let (image, models) = (self.world.disk.kill(), self.world.models());
            self.faults = 0;
            return self.world.reopen(Some(image), models, Ending::Kill);
        }
        flushed.map_err(|error| format!("a healed disk: {error:?}"))?;
        let (end, log_end) = (lane.partition.high_watermark(), lane.partition.log_end_offset());
        if end != log_end || end > lane.model.tail {
            return Err(format!("B14: {end} of {log_end} is shown, {} sent", lane.model.tail));
        }
        for (offset, delivery) in self.pending.drain(..) {
            if delivery.wait().is_ok() && offset >= end {
                return Err(format!("{offset} was delivered, and the log ends at {end}"));
            }
        }
        lane.model.show(end);
        lane.model.refuse();
        self.world.check()
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Do(op) => {
                if matches!(op, Op::Close | Op::Kill) {
                    self.session_ends();
                    self.reconcile()?;
                    self.world.disk.heal();
                }
                if op == Op::Kill {
                    self.faults = 0;
                }
                match self.world.apply(0, op)? {
                    None => Ok(()),
                    Some(failed) => Err(format!("{failed:?}")),
                }
            }
            Step::Append { count, bytes } => self.append(count, bytes),
            Step::Enqueue { bytes } => self.enqueue(bytes),
            Step::Wait => self.wait(),
            Step::Read { place } => self.read(place),
            Step::Find { back } => self.find(back),
            Step::Advance { seconds } => {
                self.world.clock.advance(Duration::from_secs(seconds));
                Ok(())
            }
            Step::Cut { seed } => {
                self.session_ends();
                self.faults = 0;
                let (image, models) = (self.world.disk.power_cut_seeded(seed), self.world.models());
                self.world.reopen(Some(image), models, Ending::Cut)
            }
            Step::Fail { call, fault } => {
                self.world.disk.fail_call(call, fault, Times::Once);
                Ok(())
            }
        }
    }

    fn append(&mut self, count: usize, bytes: usize) -> Result<(), String> {
        let lane = &mut self.world.lanes[0];
        let batch = lane.model.send(count, bytes);
        let owned: Vec<_> = batch.iter().map(|sent| (sent.key(), sent.value())).collect();
        let records: Vec<_> = owned.iter().map(|(k, v)| Record::new(v).with_key(k)).collect();
        let offset = lane.model.tail - count as u64;
        match lane.appended(lane.partition.append(&records), offset)? {
            None => Ok(()),
            Some(failed) => Err(format!("{failed:?}")),
        }
    }

    fn enqueue(&mut self, bytes: usize) -> Result<(), String> {
        let topic = self.world.broker.topic("t0").map_err(|error| error.to_string())?;
        let producer = self.producer.get_or_insert_with(|| Producer::new(&topic));
        let model = &mut self.world.lanes[0].model;
        let sent = model.send(1, bytes)[0];
        let (key, value) = (sent.key(), sent.value());
        let record = Record::new(&value).with_key(&key);
        let delivery = producer.enqueue(record).map_err(|error| format!("{error:?}"))?;
        if model.setup.durability == Durability::Memory {
            model.acknowledge();
        }
        self.pending.push((model.tail - 1, delivery));
        Ok(())
    }

    fn wait(&mut self) -> Result<(), String> {
        for (offset, delivery) in self.pending.drain(..) {
            let told = delivery.wait().map_err(|error| format!("{error:?}"))?;
            if told.offset != offset {
                return Err(format!("delivered at {}, not {offset}", told.offset));
            }
            let model = &mut self.world.lanes[0].model;
            model.show(model.end.max(offset + 1));
        }
        Ok(())
    }

    /// A read anywhere returns what a read of everything does.
    fn read(&mut self, place: u8) -> Result<(), String> {
        let partition = self.world.lanes[0].partition.clone();
        let all = self.world.seen()?.remove(0);
        let from = all.start + (all.end - all.start) * u64::from(place) / 256;
        let read = partition.read(from, 600).map_err(|error| format!("{error:?}"))?;
        let wanted = all.records.iter().filter(|record| record.0 >= from);
        let offsets: Vec<u64> = read.iter().map(|record| record.offset()).collect();
        let wanted: Vec<u64> = wanted.map(|record| record.0).take(offsets.len()).collect();
        if offsets != wanted || offsets.is_empty() && all.records.iter().any(|r| r.0 >= from) {
            return Err(format!("from {from}: {offsets:?}, not {wanted:?}"));
        }
        if all.start > 0 && partition.read(all.start - 1, 1).is_ok() {
            return Err("B11: what lies below the start can be read".into());
        }
        Ok(())
    }

    /// B10: a look-up by time finds what a scan does.
    fn find(&self, back: u64) -> Result<(), String> {
        let partition = &self.world.lanes[0].partition;
        let now = anabranch::Clock::now(&self.world.clock);
        let at = Timestamp::from_millis(now.as_millis() - 1_000 * back as i64);
        let mut next = partition.log_start_offset();
        let scanned = loop {
            let read = partition.read(next, 2_000).map_err(|error| format!("{error:?}"))?;
            if read.is_empty() {
                break None;
            }
            if let Some(record) = read.iter().find(|record| record.timestamp() >= at) {
                break Some(record.offset());
            }
            next = read.iter().last().map_or(next, |record| record.offset() + 1);
        };
        let found = partition.offset_for_timestamp(at);
        if found == scanned { Ok(()) } else { Err(format!("B10: {found:?}, a scan: {scanned:?}")) }
    }
}

#[test]
fn a_partition_behaves_as_a_map_does() {
    let cases = u32::try_from(knob("ANABRANCH_CRASH_CASES", 40)).expect("not that many");
    let length = knob("ANABRANCH_CRASH_LENGTH", 40);
    let setups = [
        Setup::of(Durability::Synced),
        Setup::of(Durability::Written),
        Setup::of(Durability::Memory),
        Setup::compacted(Durability::Written),
        Setup::compacted(Durability::Synced),
        Setup::dropping(Durability::Written),
    ];
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let strategy =
        (prop::sample::select(setups.to_vec()), prop::collection::vec(step(), 1..=length));
    let (taken, reopened) = (Cell::new(0), Cell::new(0));
    let outcome = TestRunner::new(config).run(&strategy, |(setup, steps)| {
        taken.set(taken.get() + steps.len() as u64);
        reopened.set(reopened.get() + steps.iter().filter(|step| step.reopens()).count());
        Machine::run(setup, &steps).map_err(TestCaseError::fail)
    });
    if let Err(what) = outcome {
        panic!("{what}");
    }
    let told =
        format!("steps of a partition and a map: {cases} runs, {} reopenings", reopened.get());
    show_count(&told, taken.get());
}

/// Inputs that found something once.
#[test]
fn what_was_found_before_stays_found() {
    let compacted = Setup::compacted(Durability::Written);
    let append = |count, bytes| Step::Append { count, bytes };
    let steps = [
        append(2, 540),
        Step::Enqueue { bytes: 239 },
        append(2, 554),
        append(1, 0),
        Step::Do(Op::Checkpoint),
        Step::Do(Op::Close),
    ];
    assert_eq!(Machine::run(compacted, &steps), Ok(()));

    // A load that makes two segments, where the first of them cannot be cut to its length.
    for call in 1..16 {
        let steps = [
            Step::Fail { call, fault: Fault::Io },
            Step::Enqueue { bytes: 0 },
            append(2, 646),
            Step::Do(Op::Small),
            Step::Do(Op::Kill),
        ];
        assert_eq!(Machine::run(Setup::of(Durability::Synced), &steps), Ok(()), "call {call}");
    }

    // A start whose last sync failed, a good end, and a power cut.
    for (call, seed) in (1..16).flat_map(|call| (0..8).map(move |seed| (call, seed))) {
        let steps = [
            Step::Do(Op::Small),
            Step::Do(Op::Small),
            Step::Fail { call, fault: Fault::Io },
            Step::Do(Op::Delete),
            Step::Do(Op::Close),
            Step::Cut { seed },
        ];
        assert_eq!(Machine::run(Setup::of(Durability::Synced), &steps), Ok(()), "call {call}");
    }
}
