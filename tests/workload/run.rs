//! A run: operations, then the end of all faults, then everything is read and checked.

use super::files::{Durabilities, End, Weather};
use super::history::{Event, History, What};
use super::life::Life;
use super::process::Process;
use super::world::{Draws, OBSERVER, PROCESSES, Planned, Variant, World};
use super::{checks_files, checks_groups, checks_log, checks_polls, life};
use anabranch::Record;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

const OPERATIONS: u64 = 100_000;
/// Operations of one run: enough to retire keys, few enough to look at.
const OPERATIONS_EACH: u64 = 10_000;
/// Operations of all threads between one end of a broker and the next.
const OPERATIONS_BETWEEN_ENDS: u64 = 400;

type Check = fn(&History) -> Vec<String>;

pub(crate) const CHECKS: [(&str, Check); 24] = [
    ("A1 inconsistent offsets", checks_log::inconsistent_offsets),
    ("A2 duplicate", checks_log::duplicates),
    ("A3 failed but read", checks_log::failed_but_read),
    ("A5 lost write", checks_log::lost_writes),
    ("A6 unseen", checks_log::unseen),
    ("A7-A10 poll order", checks_polls::poll_order),
    ("A11 A12 nonmonotonic send", checks_log::nonmonotonic_sends),
    ("A17 real-time lag", checks_polls::real_time_lag),
    ("B6 committed offset", checks_groups::committed_offsets),
    ("B6 start position", checks_groups::start_positions),
    ("B6 delivery", checks_groups::delivery),
    ("B7 fencing", checks_groups::fencing),
    ("B8 owners, described", checks_groups::owners_by_description),
    ("B8 owners, told", checks_groups::owners_by_events),
    ("B15 bounded memory", checks_groups::bounded_memory),
    ("B16 wake-up", checks_polls::wake_ups),
    ("B3 durable acknowledgement", checks_files::durable_acknowledgements),
    ("B4 prefix", checks_files::prefix),
    ("B5 silent reuse", checks_files::silent_reuse),
    ("B6 durable commit", checks_files::durable_commits),
    ("B10 index is scan", checks_files::index_is_scan),
    ("B11 below the start", checks_files::reads_below_the_start),
    ("B12 compaction", checks_files::compaction),
    ("B17 clean opening", checks_files::clean_openings),
];

/// The statements that are about what a crash may take, and has taken.
const FILES: [&str; 7] = ["B3", "B4", "B5", "B10", "B11", "B12", "B17"];

fn asked(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    match text.parse() {
        Ok(value) => Some(value),
        Err(_) => panic!("{variable} is {text:?}, which is not a number"),
    }
}

/// Panics that are planned are not printed.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Planned>() {
                hook(info);
            }
        }));
    });
}

/// Runs as often as was asked for, each time with a seed of its own, and checks each history.
fn run_all(name: &str, has_files: bool, operate: fn(&Arc<World>, u64, u64) -> Vec<Process>) {
    hush();
    let fresh = || RandomState::new().build_hasher().finish();
    let seed = asked("ANABRANCH_SEED").unwrap_or_else(fresh);
    let is_slow = has_files && cfg!(debug_assertions);
    let default = if is_slow { OPERATIONS / 10 } else { OPERATIONS };
    let asked_for = asked("ANABRANCH_OPERATIONS").unwrap_or(default);
    let operations = if has_files { asked_for } else { asked_for / 2 };
    println!("{name}: ANABRANCH_SEED={seed} ANABRANCH_OPERATIONS={asked_for}");
    let (mut seeds, started) = (Draws::new(seed), Instant::now());
    let mut events = 0;
    for run in 0..operations.div_ceil(OPERATIONS_EACH) {
        let count = OPERATIONS_EACH.min(operations - run * OPERATIONS_EACH);
        // What auto-commit has committed is known to the checkers only where one operation ends before
        // the next begins: among threads it is left out.
        let at_once = name.starts_with("at once");
        let auto_commits = run % 3 == 2 && !at_once && !has_files;
        let files = has_files.then(|| Durabilities::mixed(run));
        let variant = Variant { has_retention: run % 2 == 1, auto_commits, at_once, files };
        let world = World::new(variant);
        let processes = operate(&world, seeds.next(), count);
        let history = finish(&world, processes);
        events += history.len();
        let objections = check(&history);
        if !objections.is_empty() {
            write_down(&history);
        }
        assert!(objections.is_empty(), "run {run} of seed {seed}:\n{}", objections.join("\n"));
    }
    println!("{name}: {operations} operations, {events} events, {:?}", started.elapsed());
}

/// Leaves a history to be looked at, where that was asked for: with threads it does not come again.
fn write_down(history: &History) {
    if let Some(path) = std::env::var_os("ANABRANCH_HISTORY") {
        let lines: Vec<String> = history.iter().map(|event| format!("{event:?}\n")).collect();
        std::fs::write(&path, lines.concat()).expect("the file can be written");
    }
}

/// What the checkers say, a few objections of each.
pub(crate) fn check(history: &History) -> Vec<String> {
    let kept = checks_files::without_what_was_lost(history);
    let objections = CHECKS.iter().flat_map(|(name, check)| {
        let is_of_files = FILES.contains(&name.split(' ').next().unwrap_or_default());
        let is_of_files = is_of_files || *name == "B6 durable commit";
        check(if is_of_files { history } else { &kept })
            .into_iter()
            .take(3)
            .map(move |objection| format!("{name}: {objection}"))
    });
    objections.collect()
}

fn processes(world: &Arc<World>, seed: u64) -> Vec<Process> {
    (0..PROCESSES).map(|index| Process::new(world, index, seed)).collect()
}

/// One thread, on which the seed says whose turn it is.
fn in_turns(world: &Arc<World>, seed: u64, operations: u64) -> Vec<Process> {
    let (mut turns, mut processes) = (Draws::new(seed), processes(world, seed));
    for _ in 0..operations {
        let turn = usize::try_from(turns.below(u64::from(PROCESSES))).expect("small");
        processes[turn].step(false);
    }
    processes
}

/// The same with files, and with all that may happen to them.
fn in_weather(world: &Arc<World>, seed: u64, operations: u64) -> Vec<Process> {
    let (mut turns, mut processes) = (Draws::new(seed), processes(world, seed));
    let mut weather = Weather::new(seed);
    for _ in 0..operations {
        weather.pass(world, &mut processes);
        let turn = usize::try_from(turns.below(u64::from(PROCESSES))).expect("small");
        processes[turn].step(false);
    }
    // Nothing more goes wrong, and everything is opened once more.
    world.restart(End::PowerCut(seed), &mut processes);
    world.restart(End::Close, &mut processes);
    processes
}

/// A thread for each process, all at once.
fn at_once(world: &Arc<World>, seed: u64, operations: u64) -> Vec<Process> {
    let each = operations / u64::from(PROCESSES);
    let run = |mut process: Process| {
        std::thread::spawn(move || {
            for _ in 0..each {
                process.step(true);
            }
            process
        })
    };
    let threads: Vec<_> = processes(world, seed).into_iter().map(run).collect();
    threads.into_iter().map(|thread| thread.join().expect("a process goes on")).collect()
}

/// The same with files. While they run, the disk may fall ill; now and then all stop, and the broker ends
/// in some way with whatever is not written or not synced by then.
fn at_once_in_weather(world: &Arc<World>, seed: u64, operations: u64) -> Vec<Process> {
    let mut processes = processes(world, seed);
    let mut weather = Weather::new(seed);
    for _ in 0..operations / OPERATIONS_BETWEEN_ENDS {
        let each = OPERATIONS_BETWEEN_ENDS / u64::from(PROCESSES);
        std::thread::scope(|scope| {
            let run = |process: &mut Process| (0..each).for_each(|_| process.step(true));
            let threads: Vec<_> =
                processes.iter_mut().map(|process| scope.spawn(move || run(process))).collect();
            while !threads.iter().all(|thread| thread.is_finished()) {
                weather.change(world);
                std::thread::yield_now();
            }
        });
        weather.restart(world, &mut processes);
    }
    world.restart(End::PowerCut(seed), &mut processes);
    world.restart(End::Close, &mut processes);
    processes
}

/// Stops the faults, waits until the group is stable and has consumed everything, and reads all.
fn finish(world: &Arc<World>, mut processes: Vec<Process>) -> History {
    let traps = &world.traps;
    for trap in [&traps.assignor_panics, &traps.assignor_errs, &traps.listener_panics] {
        trap.store(false, std::sync::atomic::Ordering::SeqCst);
    }
    // Static members that went away are not waited for.
    world.clock.advance(Duration::from_secs(46));
    processes.iter_mut().for_each(Process::settle_down);
    // A refused assignment is asked for again when the group changes next.
    processes.iter_mut().for_each(Process::poll_quietly);
    let guest = Life::join(world, &life::Joining::default()).expect("the name is new");
    guest.leave();
    let is_done = |world: &World| world.observe() && world.group().total_lag() == 0;
    for round in 0.. {
        processes.iter_mut().for_each(Process::poll_quietly);
        if is_done(world) {
            break;
        }
        assert!(round < 2_000, "no end of it: {:?}", world.group().describe());
    }
    wake_ups(world, processes);
    read_all(world);
    world.recorder.finish()
}

/// Everybody sleeps in a poll until a record comes to one of their partitions.
fn wake_ups(world: &Arc<World>, processes: Vec<Process>) {
    let lives = processes.into_iter().filter_map(Process::into_life);
    let sleepers = lives.filter(|life| !life.consumer.assignment().is_empty());
    let sleepers: Vec<_> = sleepers
        .map(|mut life| {
            let world = Arc::clone(world);
            let keys: Vec<_> = life.consumer.assignment().iter().map(World::key).collect();
            let thread = std::thread::spawn(move || {
                // Longer than what is allowed: a sleeper that nobody wakes shows.
                life.poll(Duration::from_millis(2 * checks_polls::WAKE_MILLIS_MAX));
                let woken = Instant::now();
                (life, woken)
            });
            (keys[0], thread, world)
        })
        .collect();
    let mut woken = Vec::new();
    for (key, thread, world) in sleepers {
        let value = world.fresh_value();
        let invoked = world.recorder.tick();
        let sent = Instant::now();
        let bytes = value.to_le_bytes();
        let offset = world.partition(key).append(&[Record::new(&bytes)]).expect("it is small");
        world.recorder.note(OBSERVER, invoked, What::Sent(vec![(key, offset, value)]));
        let (life, at) = thread.join().expect("a sleeper goes on");
        let millis = at.saturating_duration_since(sent).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        world.recorder.note_now(life.who(), What::Woken { millis });
        woken.push(life); // who leaves wakes others
    }
}

fn read_all(world: &World) {
    for (number, topic) in (0..).zip(&world.topics()) {
        for partition in topic.partitions() {
            let (key, start) = ((number, partition.id()), partition.log_start_offset());
            let (mut next, mut records) = (start, Vec::new());
            let end = partition.log_end_offset();
            while next < end {
                let read = partition.read(next, 1 << 16).expect("nobody deletes any more");
                for record in &read {
                    records.push((record.offset(), life::value(record.value())));
                    next = record.offset() + 1;
                }
            }
            world.recorder.note_now(OBSERVER, What::Log { key, start, records });
        }
    }
}

#[test]
fn processes_in_turns() {
    run_all("in turns", false, in_turns);
}

#[test]
fn processes_with_files() {
    run_all("with files", true, in_weather);
}

#[test]
fn processes_at_once() {
    run_all("at once", false, at_once);
}

#[test]
fn processes_at_once_with_files() {
    run_all("at once, with files", true, at_once_in_weather);
}

/// One thread and one seed make one history, to the last event.
#[test]
fn a_seed_makes_one_history() {
    hush();
    let history = || {
        let world = World::new(Variant {
            has_retention: true,
            auto_commits: true,
            at_once: false,
            files: None,
        });
        let processes = in_turns(&world, 17, 3_000);
        drop(processes);
        let history = world.recorder.finish();
        history.iter().map(|event: &Event| format!("{event:?}")).collect::<Vec<_>>()
    };
    let (first, second) = (history(), history());
    let differs = first.iter().zip(&second).position(|(a, b)| a != b);
    assert_eq!(differs.map(|at| (&first[at], &second[at])), None);
    assert_eq!(first.len(), second.len());
}
