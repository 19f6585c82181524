//! Crashes and faults, on a disk that is simulated: what was promised is there, whatever happens when.
//!
//! ```text
//!   history ─► stopped at each call ─┬─ killed                      ─┐
//!                                    └─ power cut: each un-synced    ├─► open ─► as promised? ─► go on,
//!                                       change absent, torn, whole  ─┘   (stopped again)         and again
//! ```
//!
//! | File | Its one job |
//! |---|---|
//! | `model.rs` | What may be there, and what must: the statements. |
//! | `world.rs` `lies.rs` | A broker on a simulated disk, what is done to it; a disk that lies. |
//! | `images.rs` | What each image must come to. |
//! | `histories.rs` | Every short history, stopped at every call. |
//! | `random.rs` | Long histories of several topics, by chance. |
//! | `faults.rs` `promises.rs` | Every call fails, in every way; a full disk, a failed sync. |
//! | `machine.rs` | A partition against a map, step by step. |
//! | `objections.rs` | Each statement objects to what violates it. |
//!
//! A state is what is on a disk: images that are alike count once, and are opened once unless not the same
//! must be on them. Each test prints how many it has opened and checked; where its name says otherwise the
//! count is of what failed, or of steps.
//!
//! Settings, with what they are in every `cargo test`, in the step of `.ci/run` that runs this optimized, and
//! in the full tier.
//!
//! | Variable | Meaning | Test | CI | Full |
//! |---|---|---|---|---|
//! | `ANABRANCH_SEED` | where the long histories' choices start; printed | fresh | 2026 | fresh |
//! | `ANABRANCH_CRASH_OPERATIONS` | all histories of so many calls | 2 | 4 | 4 |
//! | `ANABRANCH_CRASH_ONE_IN` | of those one longer, one in so many; 0 for none | 16 | 0 | 20 |
//! | `ANABRANCH_CRASH_CUTS` | images of a power cut at a call, at most | 6 | 32 | 512 |
//! | `ANABRANCH_CRASH_FULL_ONE_IN` | images that are appended to, closed, opened again | 10 | 10 | 1 |
//! | `ANABRANCH_CRASH_RECOVERY_ONE_IN` | images that crash again while they are opened | 40 | 40 | 10 |
//! | `ANABRANCH_CRASH_RECOVERIES` | how often in a row | 1 | 1 | 2 |
//! | `ANABRANCH_CRASH_LIVES` `…_STEPS` | long histories, and their length | 60, 60 | 11,000, 100 | 1,000,000, 100 |
//! | `ANABRANCH_CRASH_FAULTS_ONE_IN` | calls that fail | 6 | 1 | 1 |
//! | `ANABRANCH_CRASH_CASES` `…_LENGTH` | runs of the machine, and their length at most | 40, 40 | 600, 200 | 100,000, 200 |
//!
//! CI's takes five minutes of one core; the full tier takes days of one:
//!
//! ```text
//! ANABRANCH_CRASH_OPERATIONS=4 ANABRANCH_CRASH_ONE_IN=20 ANABRANCH_CRASH_CUTS=512 \
//! ANABRANCH_CRASH_FULL_ONE_IN=1 ANABRANCH_CRASH_RECOVERY_ONE_IN=10 ANABRANCH_CRASH_RECOVERIES=2 \
//! ANABRANCH_CRASH_LIVES=1000000 ANABRANCH_CRASH_STEPS=100 ANABRANCH_CRASH_FAULTS_ONE_IN=1 \
//! ANABRANCH_CRASH_CASES=100000 ANABRANCH_CRASH_LENGTH=200 \
//! cargo test --release --features testing --test crash -- --nocapture
//! ```
//!
//! `MALLOC_TOP_PAD_=16777216` keeps glibc from giving memory back and asking for it again with each image: a
//! third of the time of what fails.

#[path = "crash/faults.rs"]
mod faults;
#[path = "crash/histories.rs"]
mod histories;
#[path = "crash/images.rs"]
mod images;
#[path = "crash/lies.rs"]
mod lies;
#[path = "crash/machine.rs"]
mod machine;
#[path = "crash/model.rs"]
mod model;
#[path = "crash/objections.rs"]
mod objections;
#[path = "crash/promises.rs"]
mod promises;
#[path = "crash/random.rs"]
mod random;
#[path = "crash/world.rs"]
mod world;

/// A number from the environment.
fn knob(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Says what was done, and how much of it, for who counts.
fn show_count(what: &str, count: u64) {
    println!("{what}: {count} checked");
}

/// SplitMix64's finish: spreads a number over all bits.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Where all choices start: printed by each run, and given to it again to repeat one.
fn seed() -> u64 {
    let given = std::env::var("ANABRANCH_SEED").ok().and_then(|value| value.parse().ok());
    given.unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(1, |since| since.as_secs() << 20 | u64::from(since.subsec_micros()))
    })
}

/// SplitMix64: the same numbers for a seed, everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).expect("it is below a usize")
    }
}
