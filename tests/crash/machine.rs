//! A partition against a map, step by step: steps are generated, and shrunk when they fail.

use super::knob;
use super::model::{Ending, Setup};
use super::world::{Op, World};
use anabranch::{Delivery, Durability, Producer, Record, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
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
}

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
    ]
}

struct Machine {
    world: World,
    producer: Option<Producer>,
    pending: Vec<(u64, Delivery)>,
}

impl Machine {
    fn run(setup: Setup, steps: &[Step]) -> Result<(), String> {
        let mut machine =
            Machine { world: World::new(&[setup]), producer: None, pending: Vec::new() };
        for (number, step) in steps.iter().enumerate() {
            machine.step(step).map_err(|what| format!("step {number}, {step:?}: {what}"))?;
        }
        machine.session_ends();
        machine.world.check()?;
        machine.world.abandon();
        Ok(())
    }

    fn session_ends(&mut self) {
        self.pending.clear();
        self.producer = None;
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Do(op) => {
                if matches!(op, Op::Close | Op::Kill) {
                    self.session_ends();
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
                let (image, models) = (self.world.disk.power_cut_seeded(seed), self.world.models());
                self.world.reopen(Some(image), models, Ending::Cut)
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
    let outcome = TestRunner::new(config)
        .run(&strategy, |(setup, steps)| Machine::run(setup, &steps).map_err(TestCaseError::fail));
    if let Err(what) = outcome {
        panic!("{what}");
    }
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
}
