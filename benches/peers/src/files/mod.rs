//! Who writes files, and how is each of them called?
//!
//! Each module has the calls into one of them, as its documentation recommends them for what a case
//! asks; what is timed is the same everywhere: from the first record handed over to the last
//! acknowledged. A folder is fresh and opened before the clock starts.

pub(crate) mod commitlog;
pub(crate) mod folder;
pub(crate) mod kafko;
pub(crate) mod okaywal;
pub(crate) mod raft;
pub(crate) mod raw;

use crate::contest::{Metric, Reading};
use std::time::Duration;

/// Acknowledged one by one, each on the disk.
pub(crate) const COMMITS: Metric = Metric::more("commits/s");

/// How many of them one sync carries.
pub(crate) const PER_SYNC: Metric = Metric::more("commits/sync");

/// What a run of single commits has to say; `syncs` where they can be counted.
pub(crate) fn commits(count: u64, took: Duration, syncs: Option<u64>) -> Vec<Reading> {
    let mut readings = vec![Reading::new(COMMITS, count as f64 / took.as_secs_f64())];
    let per_sync = syncs.map(|syncs| count as f64 / syncs.max(1) as f64);
    readings.extend(per_sync.map(|value| Reading::new(PER_SYNC, value)));
    readings
}
