//! Running models: how many schedules, how they are chosen, and how to ask for more.
//!
//! Each model names what continuous integration affords. More is asked for from outside:
//!
//! | Variable | Checker | Meaning |
//! |---|---|---|
//! | `ANABRANCH_PREEMPTIONS` | loom | bound on forced thread switches in each schedule |
//! | `ANABRANCH_SCHEDULES` | shuttle | schedules for each model, from each of its two schedulers |
//! | `ANABRANCH_SEED` | shuttle | where randomness starts; printed by every run |
//!
//! The full tier is `ANABRANCH_PREEMPTIONS=5` and `ANABRANCH_SCHEDULES=1500000`, which makes 10^7.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn asked<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    match text.parse() {
        Ok(value) => Some(value),
        Err(_) => panic!("{variable} is {text:?}, which is not a number"),
    }
}

/// Runs `model` under every schedule with up to `preemptions` forced switches, and asserts that
/// there was a choice.
#[cfg(loom)]
#[track_caller]
pub(crate) fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(asked("ANABRANCH_PREEMPTIONS").unwrap_or(preemptions));
    builder.max_branches = 10_000;
    let schedules = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&schedules);
    builder.check(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let schedules = schedules.load(Ordering::Relaxed);
    println!("{schedules} schedules");
    assert!(schedules > 1, "the model leaves the checker no choice");
}

/// Schedules for each model and scheduler in continuous integration.
#[cfg(shuttle)]
const SCHEDULES: usize = 10_000;

/// How many orderings a bug may take to show that the PCT scheduler finds with known odds.
#[cfg(shuttle)]
const PCT_DEPTH: usize = 3;

/// Runs `model` under random schedules, and as many that PCT chooses.
#[cfg(shuttle)]
#[track_caller]
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    explore_some(SCHEDULES, model);
}

/// As [`explore`], for models that take longer: `schedules` is what continuous integration affords.
#[cfg(shuttle)]
#[track_caller]
pub(crate) fn explore_some(schedules: usize, model: impl Fn() + Send + Sync + 'static) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler};
    use std::hash::{BuildHasher, Hasher, RandomState};

    let fresh = || RandomState::new().build_hasher().finish();
    let seed = asked("ANABRANCH_SEED").unwrap_or_else(fresh);
    let schedules = asked("ANABRANCH_SCHEDULES").unwrap_or(schedules);
    println!("ANABRANCH_SEED={seed} ANABRANCH_SCHEDULES={schedules}");
    let mut config = shuttle::Config::new();
    config.stack_size = 256 << 10; // the code under test was written for real stacks
    // Far more than any of our models takes: what does not end by then goes in circles.
    config.max_steps = shuttle::MaxSteps::FailAfter(200_000);
    config.silence_warnings = true; // that weak orderings are taken as strong: loom's business
    let model = Arc::new(model);
    let explored = Arc::new(AtomicUsize::new(0));
    let counted = || {
        let (model, explored) = (Arc::clone(&model), Arc::clone(&explored));
        move || {
            explored.fetch_add(1, Ordering::Relaxed);
            model();
        }
    };
    let random = RandomScheduler::new_from_seed(seed, schedules);
    shuttle::Runner::new(random, config.clone()).run(counted());
    let pct = PctScheduler::new_from_seed(seed, PCT_DEPTH, schedules);
    shuttle::Runner::new(pct, config).run(counted());
    assert_eq!(explored.load(Ordering::Relaxed), 2 * schedules, "schedules were left out");
}
