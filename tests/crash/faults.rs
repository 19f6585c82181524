//! Every call to the disk fails once, or from then on, in every way; then it is well again.

use super::images::{GLANCE, SHALLOW, check_image};
use super::model::{Ending, Setup};
use super::world::{Failed, Op, World};
use super::{knob, show_count};
use Op::{Checkpoint, Close, Commit, Delete, Flush, Kill, Large, Roll, Small, Tick};
use anabranch::testing::{Fate, Fault, SimDisk, Times};
use anabranch::{AppendError, Durability, Record};

const SYNCED: Setup = Setup::of(Durability::Synced);
const WRITTEN: Setup = Setup::of(Durability::Written);
const MEMORY: Setup = Setup::of(Durability::Memory);

/// What goes on while calls fail, each after a session in which all went well.
const SCENARIOS: [(&str, Setup, &[Op]); 22] = [
    ("small synced appends", SYNCED, &[Small, Small, Small]),
    ("small written appends", WRITTEN, &[Small, Small, Small]),
    ("small appends in memory", MEMORY, &[Small, Flush, Small, Flush]),
    ("synced rolls", SYNCED, &[Roll, Small, Roll, Large]),
    ("written rolls", WRITTEN, &[Roll, Small, Roll, Large]),
    ("rolls and flushes", WRITTEN, &[Roll, Flush, Roll, Roll, Flush]),
    ("a roll that is given up, and a smaller batch", WRITTEN, &[Large, Roll, Small, Small]),
    ("the same, synced", SYNCED, &[Large, Roll, Small, Small]),
    ("written commits", WRITTEN, &[Small, Commit, Commit]),
    ("synced commits", SYNCED, &[Small, Commit, Commit]),
    ("deletions of synced records", SYNCED, &[Roll, Delete, Roll, Delete, Small]),
    ("deletions of written records", WRITTEN, &[Roll, Roll, Delete, Roll, Delete, Small]),
    ("checkpoints", WRITTEN, &[Roll, Checkpoint, Small, Checkpoint]),
    ("retention by size", Setup::dropping(Durability::Written), &[Roll, Roll, Roll, Tick, Small]),
    ("the same, synced", Setup::dropping(Durability::Synced), &[Roll, Roll, Roll, Tick, Small]),
    (
        "compaction of synced records",
        Setup::compacted(Durability::Synced),
        &[Roll, Roll, Roll, Roll, Tick, Small, Roll, Tick],
    ),
    (
        "compaction of written records",
        Setup::compacted(Durability::Written),
        &[Roll, Roll, Roll, Roll, Checkpoint, Small, Roll, Checkpoint],
    ),
    ("closing synced", SYNCED, &[Small, Roll, Close, Small]),
    ("closing written", WRITTEN, &[Small, Roll, Close, Small]),
    ("opening after a kill, synced", SYNCED, &[Roll, Small, Kill, Small, Roll]),
    ("opening after a kill, written", WRITTEN, &[Roll, Roll, Small, Kill, Small, Roll]),
    ("a bit of everything", WRITTEN, &[Large, Commit, Roll, Delete, Checkpoint, Close, Small]),
];

/// In each scenario one call in so many fails, unless more is asked for.
const FAULTS_ONE_IN: usize = 6;

const FAULTS: [Fault; 3] = [Fault::Io, Fault::NoSpace, Fault::Short { bytes: 100 }];

/// The state before the fault: some segments, something committed.
fn prepared(setup: Setup) -> World {
    let mut world = World::new(&[setup]);
    for op in [Small, Large, Commit, Roll, Flush, Small] {
        assert_eq!(world.apply(0, op), Ok(None));
    }
    world.join(0);
    world
}

/// Runs a scenario while the `n`th call fails, as far as it goes. Returns whether the fault was met.
fn run(world: &mut World, scenario: &[Op], order: impl Fn(&SimDisk)) -> Result<bool, String> {
    order(&world.disk);
    for op in scenario {
        if world.lanes[0].is_poisoned && !matches!(op, Close | Kill) {
            poisoned_says_so(world)?;
        }
        let begun = world.begin(0, *op);
        let outcome = match op {
            Close | Kill => ends(world, *op, &order)?,
            _ => world.finish(0, begun)?,
        };
        check_refusal(&outcome, world)?;
        visible(world).map_err(|what| format!("after {op:?}, {outcome:?}: {what}"))?;
    }
    Ok(world.disk.faults() > 0)
}

/// A session ends, and opening the next one may fail, which is tried again on a disk that is well.
fn ends(world: &mut World, op: Op, order: &impl Fn(&SimDisk)) -> Result<Option<Failed>, String> {
    let (after, image) = match op {
        Kill => {
            let image = world.disk.kill();
            order(&image);
            (Ending::Kill, image)
        }
        _ => match world.broker.close() {
            Ok(()) => {
                world.lanes.iter_mut().for_each(|lane| lane.model.closed());
                (Ending::Close, world.disk.clone())
            }
            Err(_) => (Ending::Kill, world.disk.clone()),
        },
    };
    let models = world.models();
    let next = match World::open(image.clone(), world.clock.clone(), &models) {
        Ok(next) => next,
        Err(_) => {
            image.heal();
            World::open(image, world.clock.clone(), &models)
                .map_err(|what| format!("a healed disk: {what}"))?
        }
    };
    let last = std::mem::replace(world, next);
    if op == Kill {
        last.abandon();
    }
    world.disk.heal();
    world.check_opened(after)?;
    world.join(0);
    Ok(None)
}

/// An operation that was refused has left no trace that this process can see.
fn check_refusal(outcome: &Option<Failed>, world: &World) -> Result<(), String> {
    if let Some(Failed::Refused(_)) = outcome {
        let lane = &world.lanes[0];
        let (end, wanted) = (lane.partition.log_end_offset(), lane.model.tail);
        if end != wanted {
            return Err(format!("B14: refused, and the log's end is {end}, not {wanted}"));
        }
    }
    Ok(())
}

/// What was seen is seen.
fn visible(world: &mut World) -> Result<(), String> {
    let models = world.models();
    // Reads may fail as well while the disk does; what they return must be right.
    match world.check() {
        Err(what) if what.contains("Disk {") => {
            for (lane, model) in world.lanes.iter_mut().zip(models) {
                lane.model = model;
            }
            Ok(())
        }
        other => other,
    }
}

fn poisoned_says_so(world: &World) -> Result<(), String> {
    let refused = world.lanes[0].partition.append(&[Record::new("x").with_key("k")]);
    match refused {
        Err(AppendError::Poisoned { .. }) => Ok(()),
        other => Err(format!("poisoned, and an append says {other:?}")),
    }
}

/// The disk is well: the log works or says that it does not; then every way for the session to end.
fn recovers(mut world: World) -> Result<u64, String> {
    world.disk.heal();
    if !world.lanes[0].is_poisoned {
        match world.apply(0, Small)? {
            None => {}
            Some(Failed::Unknown(_)) => {} // Poisoned without its having been told yet.
            Some(failed) => return Err(format!("healed, and an append fails: {failed:?}")),
        }
    }
    visible(&mut world).map_err(|what| format!("healed: {what}"))?;
    let models = world.models();
    let mut count = 0;
    let is_full = knob("ANABRANCH_CRASH_FULL_ONE_IN", 10) == 1;
    let (depth, cuts) = if is_full { (SHALLOW, 6) } else { (GLANCE, 2) };
    let mut check = |image: SimDisk, ending, what: &str| -> Result<(), String> {
        count += check_image(&image, &models, ending, depth)
            .map_err(|found| format!("healed, then {what}: {found}"))?;
        Ok(())
    };
    check(world.disk.kill(), Ending::Kill, "killed")?;
    for (number, cut) in world.disk.crash_images(cuts).enumerate() {
        check(cut, Ending::Cut, &format!("power cut {number}"))?;
    }
    ends(&mut world, Close, &|_| ()).map_err(|what| format!("healed, then closed: {what}"))?;
    let models = world.models();
    count += check_image(&world.disk.kill(), &models, Ending::Kill, depth)
        .map_err(|found| format!("healed, closed, opened, then killed: {found}"))?;
    let cut = world.disk.power_cut(|_| Fate::Absent);
    count += check_image(&cut, &models, Ending::Cut, depth)
        .map_err(|found| format!("healed, closed, opened, then power cut: {found}"))?;
    world.abandon();
    Ok(count)
}

/// How many calls a scenario makes of its disks, at most.
fn calls_of(setup: Setup, scenario: &[Op]) -> u64 {
    let mut world = prepared(setup);
    let mut before = world.disk.calls();
    let mut calls = 0;
    for op in scenario {
        let last = world.disk.clone();
        assert_eq!(world.apply(0, *op), Ok(None));
        calls += last.calls() - before;
        before = if *op == Kill { 0 } else { last.calls() };
    }
    world.abandon();
    calls + before
}

fn every_call_fails(range: std::ops::Range<usize>) {
    let (mut met, mut count) = (0, 0);
    let mut wrong = Vec::new();
    let one_in = knob("ANABRANCH_CRASH_FAULTS_ONE_IN", FAULTS_ONE_IN);
    let mut begin = 0;
    for (name, setup, scenario) in &SCENARIOS[range] {
        for fault in FAULTS {
            for times in [Times::Once, Times::Forever] {
                // Other ones for each fault, so that all of them come to be looked at.
                begin += 1;
                let calls = calls_of(*setup, scenario);
                for n in (1..=calls).skip(begin % one_in).step_by(one_in) {
                    let mut world = prepared(*setup);
                    let order = |disk: &SimDisk| disk.fail_call(n, fault, times);
                    let outcome = run(&mut world, scenario, order);
                    let outcome = outcome.and_then(|is_met| Ok((is_met, recovers(world)?)));
                    match outcome {
                        Ok((true, states)) => {
                            met += 1;
                            count += states;
                        }
                        Ok((false, _)) => {}
                        Err(what) => {
                            let told = format!("{name}: call {n}, {fault:?} {times:?}: {what}");
                            println!("{told}");
                            wrong.push(told);
                        }
                    }
                }
            }
        }
    }
    show_count(&format!("calls that failed: {count} images after them"), met);
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_call_fails_of_the_first_scenarios() {
    every_call_fails(0..SCENARIOS.len() / 2);
}

#[test]
fn every_call_fails_of_the_last_scenarios() {
    every_call_fails(SCENARIOS.len() / 2..SCENARIOS.len());
}
