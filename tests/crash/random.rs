//! Long histories by chance, of several topics, crashed in the middle of calls and of recoveries.

use super::model::{Ending, Model, Setup};
use super::world::{Begun, OPS, Op, World};
use super::{Random, knob, seed, show_count};
use anabranch::Durability;
use anabranch::testing::SimDisk;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

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
    lived: Lived,
}

/// What came of some lives.
#[derive(Debug, Default)]
struct Lived {
    /// Disks that were left by a crash, opened to the end, and checked.
    states: HashSet<u64>,
    /// Openings that were to crash themselves.
    stopped: u64,
}

impl Lived {
    fn add(&mut self, other: Lived) {
        self.states.extend(other.states);
        self.stopped += other.stopped;
    }
}

impl Life {
    fn live(seed: u64, steps: usize) -> Result<Lived, String> {
        let mut random = Random(seed);
        let first = random.below(SETUPS.len());
        let setups = [0, 1, 2].map(|next| SETUPS[(first + next) % SETUPS.len()]);
        let mut life = Life { random, world: World::new(&setups), lived: Lived::default() };
        for step in 0..steps {
            life.step().map_err(|what| format!("seed {seed}, step {step}: {what}"))?;
        }
        life.world.abandon();
        Ok(life.lived)
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
            self.lived.stopped += 1;
            if let Ok(world) = World::open(image.clone(), self.world.clock.clone(), &models) {
                world.abandon();
            }
            (image, after) = self.image(&image, after);
        }
        self.lived.states.insert(image.fingerprint());
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
    // Each life is decided by its seed, whichever thread lives it.
    let next = AtomicU64::new(0);
    let work = || -> Result<Lived, String> {
        let mut lived = Lived::default();
        loop {
            let life = next.fetch_add(1, Ordering::Relaxed);
            if life >= lives as u64 {
                return Ok(lived);
            }
            lived.add(Life::live(first.wrapping_add(life), steps)?);
        }
    };
    let mut all = Lived::default();
    std::thread::scope(|scope| {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            match thread.join().expect("what a life meets is told") {
                Ok(lived) => all.add(lived),
                Err(what) => panic!("{what}"),
            }
        }
    });
    let Lived { states, stopped } = all;
    let told = format!(
        "states of long histories: {lives} of {steps} steps, {stopped} more openings crashed"
    );
    show_count(&told, states.len() as u64);
}

/// A model is of no use that forgets what it is told.
#[test]
fn a_life_is_decided_by_its_seed() {
    let contents = |seed| {
        let mut life =
            Life { random: Random(seed), world: World::new(&SETUPS[..2]), lived: Lived::default() };
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
