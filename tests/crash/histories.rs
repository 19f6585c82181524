//! Every short history, stopped at every call to the disk, with every image that this may leave.
//!
//! The histories are a tree: each is its prefix and one more call, and only that last call is stopped at,
//! since the prefix is a history of its own.

use super::images::{Depth, GLANCE, SHALLOW, States};
use super::model::{Ending, Model, Setup};
use super::world::{OPS, Op, World, clock};
use super::{knob, show_count};
use anabranch::Durability;
use anabranch::testing::SimDisk;

/// How much of all there is to look at.
#[derive(Clone, Copy, Debug)]
struct Tier {
    /// Histories up to this long: all of them.
    operations: usize,
    /// Of those that are one longer, one in so many; none if it is 0.
    one_in: u64,
    /// How many images a power cut at one call may leave.
    cuts: usize,
    recovery: Depth,
    /// One in so many images is gone on with, and opened again and again.
    full_one_in: u64,
    /// One in so many images is crashed again while it is opened.
    recovery_one_in: u64,
}

fn tier() -> Tier {
    let cuts = knob("ANABRANCH_CRASH_CUTS", 6);
    Tier {
        operations: knob("ANABRANCH_CRASH_OPERATIONS", 2),
        one_in: knob("ANABRANCH_CRASH_ONE_IN", 16) as u64,
        cuts,
        recovery: Depth {
            recoveries: knob("ANABRANCH_CRASH_RECOVERIES", 1),
            cuts: 2,
            is_glance: false,
        },
        full_one_in: knob("ANABRANCH_CRASH_FULL_ONE_IN", 10) as u64,
        recovery_one_in: knob("ANABRANCH_CRASH_RECOVERY_ONE_IN", 40) as u64,
    }
}

struct Search {
    setup: Setup,
    tier: Tier,
    states: States,
    histories: u64,
    /// Calls at which the power was cut, and those of them at which it was cut in every way.
    moments: u64,
    exhausted: u64,
}

impl Search {
    fn run(setup: Setup) {
        let mut search = Search {
            setup,
            tier: tier(),
            states: States::default(),
            histories: 0,
            moments: 0,
            exhausted: 0,
        };
        search.creation();
        search.below(&mut Vec::new());
        let Search { states, histories, moments, exhausted, .. } = search;
        let told = format!(
            "states of short histories: {setup:?}, {histories} histories, {moments} moments, {exhausted} \
             of them in every way, {} comparisons",
            states.checks(),
        );
        show_count(&told, states.count());
    }

    /// The directory and the topic are being made.
    fn creation(&mut self) {
        let disk = SimDisk::new();
        disk.record();
        let model = [Model::new(self.setup)];
        let world = World::open(disk.clone(), clock(), &model).expect("a new disk");
        self.images(&disk, &model, &model, &[]);
        world.abandon();
    }

    fn below(&mut self, history: &mut Vec<Op>) {
        for op in OPS {
            history.push(op);
            let number = history.iter().fold(7, |sum, op| sum * 31 + *op as u64);
            let is_wanted = history.len() <= self.tier.operations
                || self.tier.one_in > 0 && super::mix(number).is_multiple_of(self.tier.one_in);
            if is_wanted {
                self.crash_in_last(history);
            }
            if history.len() <= self.tier.operations {
                self.below(history);
            }
            history.pop();
        }
    }

    fn crash_in_last(&mut self, history: &[Op]) {
        self.histories += 1;
        let fail = |what: String| -> ! { panic!("{:?}, {history:?}: {what}", self.setup) };
        let mut world = World::new(&[self.setup]);
        let (last, prefix) = history.split_last().expect("there is one");
        for op in prefix {
            match world.apply(0, *op) {
                Ok(None) => {}
                other => fail(format!("{op:?}: {other:?}")),
            }
        }
        world.check().unwrap_or_else(|what| fail(what));
        let begun = world.begin(0, *last);
        let during = world.models();
        world.records = true;
        world.disk.record();
        match world.finish(0, begun) {
            Ok(None) => {}
            other => fail(format!("{last:?}: {other:?}")),
        }
        let (disk, after) = (world.disk.clone(), world.models());
        self.images(&disk, &during, &after, history);
        world.abandon();
    }

    /// All images of what was recorded, the last of which is that of the call's end.
    fn images(&mut self, disk: &SimDisk, during: &[Model], after: &[Model], history: &[Op]) {
        let recorded: Vec<_> = disk.recorded().collect();
        for (index, (call, image)) in recorded.iter().enumerate() {
            let is_last = index + 1 == recorded.len();
            let models = if is_last { after } else { during };
            let mut check = |image: SimDisk, ending, number: usize| {
                let chance = super::mix(self.states.checks() ^ number as u64);
                let depth = if chance.is_multiple_of(self.tier.recovery_one_in) {
                    self.tier.recovery
                } else if chance.is_multiple_of(self.tier.full_one_in) {
                    SHALLOW
                } else {
                    GLANCE
                };
                let kept = image.kill();
                if let Err(what) = self.states.check(&image, models, ending, depth) {
                    panic!(
                        "{:?}, {history:?}, call {call} ({index} of {}), {ending:?} image {number}: \
                         {what}\n{models:?}\n{:?}",
                        self.setup,
                        recorded.len(),
                        kept.files(),
                    );
                }
            };
            check(image.kill(), Ending::Kill, 0);
            let cuts = image.crash_images(self.tier.cuts);
            self.moments += 1;
            self.exhausted += u64::from(cuts.is_exhaustive());
            for (number, cut) in cuts.enumerate() {
                check(cut, Ending::Cut, number);
            }
        }
    }
}

#[test]
fn short_histories_of_a_synced_topic() {
    Search::run(Setup::of(Durability::Synced));
}

#[test]
fn short_histories_of_a_written_topic() {
    Search::run(Setup::of(Durability::Written));
}

#[test]
fn short_histories_of_a_topic_in_memory_first() {
    Search::run(Setup::of(Durability::Memory));
}

#[test]
fn short_histories_of_a_compacted_synced_topic() {
    Search::run(Setup::compacted(Durability::Synced));
}

#[test]
fn short_histories_of_a_compacted_written_topic() {
    Search::run(Setup::compacted(Durability::Written));
}

#[test]
fn short_histories_of_a_written_topic_that_drops_segments() {
    Search::run(Setup::dropping(Durability::Written));
}

#[test]
fn short_histories_of_a_synced_topic_that_drops_segments() {
    Search::run(Setup::dropping(Durability::Synced));
}
