//! Long histories by chance, of several topics, crashed in the middle of calls and of recoveries.

use super::model::{Ending, Model, Setup};
use super::world::{Begun, OPS, Op, World};
use super::{Random, knob, seed, show_count};
use anabranch::Durability;
use anabranch::testing::SimDisk;

const SETUPS: [Setup; 6] = [
    Setup::of(Durability::Synced),
    Setup::of(Durability::Written),
    Setup::of(Durability::Memory),
    Setup::compacted(Durability::Written),
    Setup::compacted(Durability::Synced),
    Setup::dropping(Durability::Written),
];

struct Life {
    random: Random,
    world: World,
    crashes: u64,
    opened: u64,
}

impl Life {
    fn live(seed: u64, steps: usize) -> Result<u64, String> {
        let mut random = Random(seed);
        let first = random.below(SETUPS.len());
        let setups = [0, 1, 2].map(|next| SETUPS[(first + next) % SETUPS.len()]);
        let mut life = Life { random, world: World::new(&setups), crashes: 0, opened: 1 };
        for step in 0..steps {
            life.step().map_err(|what| format!("seed {seed}, step {step}: {what}"))?;
        }
        life.world.abandon();
        Ok(life.opened)
    }

    fn step(&mut self) -> Result<(), String> {
        match self.random.below(10) {
            0 => self.crash(),
            1 => self.world.check(),
            _ => {
                let (lane, op) = self.any_call();
                match self.world.apply(lane, op)? {
                    None => Ok(()),
                    Some(failed) => Err(format!("{op:?}: {failed:?}")),
                }
            }
        }
    }

    fn any_call(&mut self) -> (usize, Op) {
        let lane = self.random.below(self.world.lanes.len());
        (lane, OPS[self.random.below(OPS.len())])
    }

    /// Stops the machine somewhere in a call, then perhaps some times while it is opened.
    fn crash(&mut self) -> Result<(), String> {
        self.crashes += 1;
        let (lane, op) = self.any_call();
        let begun = self.world.begin(lane, op);
        let mut models = self.world.models();
        let disk = self.world.disk.clone();
        disk.crash_at(self.random.below(14) as u64);
        match begun {
            Begun::Kill => {}
            Begun::Close => drop(self.world.broker.close()),
            begun => {
                let finished = self.world.finish(lane, begun);
                if !disk.has_crashed() {
                    finished?;
                    models = self.world.models();
                }
            }
        }
        let (mut image, mut after) = self.image(&disk, Ending::Kill);
        while self.random.below(3) > 0 {
            image.crash_at(self.random.below(40) as u64);
            self.opened += 1;
            if let Ok(world) = World::open(image.clone(), self.world.clock.clone(), &models) {
                world.abandon();
            }
            (image, after) = self.image(&image, after);
        }
        self.opened += 1;
        let told = format!("{op:?} on t{lane}, then {after:?}");
        self.world.reopen(Some(image), models, after).map_err(|what| format!("{told}: {what}"))
    }

    /// What is left of a disk, and what must be on it: a kill behind a power cut makes nothing better.
    fn image(&mut self, disk: &SimDisk, after: Ending) -> (SimDisk, Ending) {
        if self.random.below(2) == 0 {
            return (disk.kill(), after);
        }
        (disk.power_cut_seeded(self.random.next()), Ending::Cut)
    }
}

#[test]
fn long_histories_keep_their_promises_across_crashes() {
    let lives = knob("ANABRANCH_CRASH_LIVES", 60);
    let steps = knob("ANABRANCH_CRASH_STEPS", 60);
    let first = seed();
    println!("ANABRANCH_SEED={first}");
    let mut opened = 0;
    for life in 0..lives as u64 {
        match Life::live(first.wrapping_add(life), steps) {
            Ok(count) => opened += count,
            Err(what) => panic!("{what}"),
        }
    }
    show_count(&format!("{lives} lives of {steps} steps"), opened);
}

/// A model is of no use that forgets what it is told.
#[test]
fn a_life_is_decided_by_its_seed() {
    let contents = |seed| {
        let mut life =
            Life { random: Random(seed), world: World::new(&SETUPS[..2]), crashes: 0, opened: 0 };
        for _ in 0..20 {
            life.step().expect("the history goes well");
        }
        let ends: Vec<u64> = life.world.models().iter().map(|model: &Model| model.end).collect();
        let contents = life.world.disk.contents();
        life.world.abandon();
        (ends, contents)
    };
    assert!(contents(5) == contents(5), "the same seed leaves other bytes");
}
