//! Random histories against the model, and the same with each mistake planted, which it must find.
//!
//! Segments of a few records, a key map that is full most of the time, passes that are given up in
//! the middle, retention from the front, batches of transactions in between.

use super::super::planted::{Bug, plant};
use super::support::{Log, settings};
use super::*;
use crate::log::compaction::CompactionPlan;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    Append {
        records: Vec<(Option<usize>, bool)>,
        is_transactional: bool,
    },
    Seal,
    Wait(i64),
    DropFront,
    /// How much memory, how large a segment, and after how many replacements the pass is given up.
    Compact {
        key_map_bytes: usize,
        segment_bytes: u64,
        stop: usize,
    },
}

const KEYS: [&str; 6] = ["", "a", "b", "c", "d", "a key of more bytes than a number takes"];

fn step() -> impl Strategy<Value = Step> {
    let record = (
        prop_oneof![9 => (0..KEYS.len()).prop_map(Some), 1 => Just(None)],
        prop::bool::weighted(0.7),
    );
    prop_oneof![
        8 => (vec(record, 1..6), prop::bool::weighted(0.05))
            .prop_map(|(records, is_transactional)| Step::Append { records, is_transactional }),
        4 => Just(Step::Seal),
        2 => (1_i64..80).prop_map(Step::Wait),
        1 => Just(Step::DropFront),
        4 => (prop_oneof![0_usize..800, Just(1 << 20)], 100_u64..1_500, prop_oneof![0_usize..3, Just(99)])
            .prop_map(|(key_map_bytes, segment_bytes, stop)| {
                Step::Compact { key_map_bytes, segment_bytes, stop }
            }),
    ]
}

fn run(steps: &[Step], delete_retention: Duration) -> Result<(), TestCaseError> {
    let mut log = Log::new();
    for step in steps {
        match step {
            Step::Append { records, is_transactional } => {
                let named =
                    |&(key, has_value): &(Option<usize>, _)| (key.map(|key| KEYS[key]), has_value);
                log.append(&records.iter().map(named).collect::<Vec<_>>(), *is_transactional);
            }
            Step::Seal => log.seal(),
            Step::Wait(millis) => log.now += millis,
            Step::DropFront => log.drop_front(),
            Step::Compact { key_map_bytes, segment_bytes, stop } => {
                let (key_map_bytes, segment_bytes) = (*key_map_bytes, *segment_bytes);
                let settings = CompactionSettings {
                    key_map_bytes,
                    segment_bytes,
                    delete_retention,
                    ..settings()
                };
                pass(&mut log, settings, *stop)?;
            }
        }
        log.check().map_err(TestCaseError::fail)?;
    }
    Ok(())
}

/// One pass, checked after each replacement; a complete one must have made way, and another one
/// behind it must change nothing.
fn pass(log: &mut Log, settings: CompactionSettings, stop: usize) -> Result<(), TestCaseError> {
    let Some(plan) = log.plan(&settings) else { return Ok(()) };
    let disk = log.disk.clone();
    let covered = log.covered();
    let dirty_start = plan.segments[plan.first_dirty].base_offset;
    let mut pass = log.start(&disk, plan, settings).expect("the disk works");
    let clean_end = pass.clean_end();
    prop_assert!(clean_end > dirty_start, "a pass makes way");
    for replacement in pass.by_ref().take(stop) {
        let replacement = replacement.expect("the disk works");
        log.put_in_place(&replacement, &settings, &covered);
        log.check().map_err(TestCaseError::fail)?;
    }
    if pass.next().is_none() {
        prop_assert_eq!(log.clean().last().map(|segment| segment.end_offset), Some(clean_end));
        changes_nothing_again(log, settings)?;
    }
    Ok(())
}

fn changes_nothing_again(log: &Log, settings: CompactionSettings) -> Result<(), TestCaseError> {
    if settings.delete_retention.is_zero() {
        return Ok(());
    }
    let disk = log.disk.snapshot();
    let segments: Vec<_> = log.clean().cloned().collect();
    let plan = CompactionPlan { first_dirty: segments.len(), segments, dirty_bytes: 0 };
    let settings = CompactionSettings { segment_bytes: u64::MAX, ..settings };
    let mut bytes = Vec::new();
    for replacement in log.start(&disk, plan, settings).expect("the disk works") {
        let replacement = replacement.expect("the disk works");
        for segment in &replacement.segments {
            let kind = if replacement.has_files { FileKind::Swap } else { FileKind::Log };
            bytes.extend(
                disk.get(support::path(segment.base_offset, kind)).expect("it was written"),
            );
        }
    }
    prop_assert!(bytes == log.clean_bytes(), "a second pass changed something");
    Ok(())
}

fn history() -> impl Strategy<Value = (Vec<Step>, Duration)> {
    let delete_retention = prop_oneof![Just(0), 1_u64..100].prop_map(Duration::from_millis);
    (vec(step(), 1..60), delete_retention)
}

proptest! {
    #![proptest_config(Config { cases: 1_500, failure_persistence: None, ..Config::default() })]

    #[test]
    fn what_is_left_is_what_must_be(history in history()) {
        run(&history.0, history.1)?;
    }
}

#[test]
fn each_planted_mistake_is_found() {
    for bug in [
        Bug::KeepOldest,
        Bug::DropNewest,
        Bug::DropUnseen,
        Bug::DropEarly,
        Bug::DropBehindTransaction,
        Bug::IgnoreFull,
    ] {
        let config = Config {
            cases: 2_000,
            max_shrink_iters: 0,
            failure_persistence: None,
            ..Config::default()
        };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        plant(Some(bug));
        let found = TestRunner::new_with_rng(config, rng)
            .run(&history(), |(steps, delete_retention)| run(&steps, delete_retention));
        plant(None);
        match found {
            Err(TestError::Fail(reason, _)) => println!("{bug:?}: {reason}"),
            found => panic!("{bug:?}: {found:?}"),
        }
    }
}
