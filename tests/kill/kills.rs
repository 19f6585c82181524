//! Kills.

use super::child::{Dir, spawn};
use super::ledger::Ledger;
use anabranch::{Broker, Housekeeping};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

/// SplitMix64.
fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Lets a child work for a while, kills it, and notes all that it said.
fn work_and_kill(dir: &Dir, seed: u64, ledger: &mut Ledger) -> usize {
    let mut child = spawn(&dir.0, "work");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Now and then before it has said anything: while it opens.
    let wanted = if seed.is_multiple_of(5) { 0 } else { mixed(seed) % 400 };
    let pause = Duration::from_micros(mixed(seed ^ 0xffff) % 3_000);
    if wanted == 0 {
        std::thread::sleep(10 * pause);
        child.kill().unwrap();
    }
    let mut said = 0;
    for line in lines {
        let Ok(line) = line else { break };
        let Some(line) = line.strip_prefix('@') else { continue };
        ledger.note(line);
        said += 1;
        if said == wanted {
            std::thread::sleep(pause);
            child.kill().unwrap(); // SIGKILL; what it said before is still in the pipe
        }
    }
    let status = child.wait().unwrap();
    assert!(status.code().is_none(), "the child was not killed: {status}");
    usize::try_from(said).unwrap()
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let kills: u64 = std::env::var("ANABRANCH_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let first: u64 = std::env::var("ANABRANCH_SEED").map_or(1, |seed| seed.parse().unwrap());
    let (mut ledger, mut checked) = (Ledger::default(), BTreeMap::new());
    let (start, mut said, mut torn) = (Instant::now(), 0, 0);
    let mut dir = Dir::new("work");
    for seed in first..first + kills {
        if (seed - first) % 500 == 499 {
            // A new directory, before the old one takes too long to look at.
            drop(dir);
            dir = Dir::new("work");
            (ledger, checked) = (Ledger::default(), BTreeMap::new());
        }
        said += work_and_kill(&dir, seed, &mut ledger);
        if seed % 3 == 1 && seed + 1 < first + kills {
            continue; // The next child finds the directory as this one left it.
        }
        let opened = Broker::builder().housekeeping(Housekeeping::Manual).open(&dir.0);
        let broker = opened.unwrap_or_else(|error| panic!("kill {seed}: {error}"));
        let whole = broker.recovery().require_online();
        whole.unwrap_or_else(|error| panic!("kill {seed}: {error}"));
        torn += broker.recovery().partitions.iter().filter(|one| one.torn.is_some()).count();
        let checked = ledger.check(&broker, &mut checked);
        checked.unwrap_or_else(|what| panic!("kill {seed}: {what}"));
        drop(broker); // In good order.
    }
    println!(
        "{kills} kills from seed {first} in {:.1?}: {said} acknowledged, {torn} torn",
        start.elapsed()
    );
    assert!(said > 0);
}

#[test]
fn planted_mistakes_are_seen() {
    let dir = Dir::new("planted");
    let mut ledger = Ledger::default();
    while ledger.committed.len() < 2 || ledger.keys.len() < 7 || ledger.appended.len() < 4 {
        work_and_kill(&dir, 7, &mut ledger);
    }
    let broker = Broker::open(&dir.0).unwrap();
    assert_eq!(ledger.check(&broker, &mut BTreeMap::new()), Ok(()));
    let trips = |what: &str, plant: &dyn Fn(&mut Ledger)| {
        let mut planted = ledger.clone();
        plant(&mut planted);
        assert!(planted.check(&broker, &mut BTreeMap::new()).is_err(), "not seen: {what}");
    };
    trips("a record that was acknowledged and is not there", &|ledger| {
        *ledger.appended.get_mut(&("synced".to_owned(), 1)).unwrap() += 1_000_000;
    });
    trips("the latest of a key", &|ledger| *ledger.keys.get_mut("3").unwrap() += 1_000_000);
    trips("a commit", &|ledger| *ledger.committed.get_mut("written").unwrap() += 1_000_000);
    trips("a commit beyond the end", &|ledger| {
        ledger.committed.insert("synced".to_owned(), u64::MAX);
    });
    // A value that is not the one that belongs there.
    broker
        .topic("written")
        .unwrap()
        .partition(0)
        .unwrap()
        .append(&[anabranch::Record::new("other")])
        .unwrap();
    assert!(ledger.check(&broker, &mut BTreeMap::new()).is_err());
}
