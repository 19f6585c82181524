//! `okaywal`: `begin_entry`, `write_chunk`, `commit`; a commit returns when it is synced, and one sync
//! carries all that wait.
//!
//! As it comes it recycles files of 1 MiB, so that it writes into blocks that the file system has
//! already, and keeps nothing once its manager says so, as `LogVoid` does at once: less than a log
//! does. With room for the whole run it keeps everything, as a log does.

use crate::contest::{Side, race};
use crate::payload::Payloads;
use okaywal::{Configuration, LogVoid};
use std::path::Path;
use std::time::Duration;

/// More than an entry of one record takes.
const ENTRY_BYTES: u64 = 128;

/// What becomes of entries once they are committed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    Nothing,
    Everything,
}

pub(crate) fn commit(dir: &Path, threads: u64, each: u64, keeps: Keeps) -> Duration {
    let payloads = Payloads::new();
    let mut config = Configuration::default_for(dir);
    if keeps == Keeps::Everything {
        let bytes = threads * each * ENTRY_BYTES + (1 << 20);
        let bytes = u32::try_from(bytes).expect("a run is shorter than 4 GiB");
        config = config.preallocate_bytes(bytes).checkpoint_after_bytes(bytes.into());
    }
    let log = config.open(LogVoid).expect("okaywal opens");
    super::folder::settle();
    let sides = (0..threads).map(|thread| {
        let log = &log;
        Box::new(move || {
            for i in thread * each..(thread + 1) * each {
                let mut entry = log.begin_entry().expect("okaywal takes an entry");
                entry.write_chunk(payloads.get(i)).expect("okaywal takes a chunk");
                entry.commit().expect("okaywal commits");
            }
        }) as Side<'_>
    });
    let took = race(sides.collect());
    log.shutdown().expect("okaywal shuts down");
    took
}
