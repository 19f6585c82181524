//! How long does it take to open a log whose process was killed?

use super::batch::BATCH;
use super::replay::READ_BYTES;
use crate::cases::{Case, Group};
use crate::contest::{Contender, Metric, Reading, Size};
use crate::files::folder;
use crate::files::raw::{self, Batches};
use std::fs::File;
use std::hint::black_box;
use std::time::Instant;
use tempfile::TempDir;

pub(crate) const CASE: Case = Case {
    group: Group::Files,
    name: "reopen",
    question: "Opening a log of 1 GiB that was not closed, 64 MiB of it above the mark; the files are \
        in the page cache. Raw reads those 64 MiB. commitlog verifies nothing, and kafko reads \
        everything, twice.",
    contenders,
};

/// How this program calls itself: `--leave-behind DIR RECORDS`.
pub(crate) const CHILD_FLAG: &str = "--leave-behind";

/// Makes 1 GiB of our batches.
const RECORDS: u64 = 10_000_000;
const ABOVE_BYTES: u64 = 64 << 20;

const OPEN: Metric = Metric::less("ms");

fn contenders(size: &Size) -> Vec<Contender> {
    let records = size.thousands(RECORDS);
    let batch_bytes = Batches::of(BATCH).bytes_each as u64;
    let above = size.thousands(ABOVE_BYTES / batch_bytes * BATCH);
    vec![
        Contender::new("anabranch open", {
            let mut filled: Option<TempDir> = None;
            let mut expected = records - above;
            move || {
                let dir = filled.get_or_insert_with(|| {
                    let dir = folder::fresh();
                    crate::ours_files::fill(dir.path(), records - above, BATCH);
                    dir
                });
                // Each round is killed anew, so that the log grows by as much each time.
                leave_behind(dir.path(), above);
                expected += above;
                folder::settle();
                let (took, found) = crate::ours_files::open(dir.path());
                assert_eq!(found, expected);
                millis(took)
            }
        }),
        read("raw pread and CRC-32C", records, above, true).wanted(OPEN, 1.0 / 1.5),
        read("raw pread", records, above, false),
    ]
}

fn millis(took: std::time::Duration) -> Vec<Reading> {
    vec![Reading::new(OPEN, took.as_secs_f64() * 1e3)]
}

fn read(name: &'static str, records: u64, above: u64, is_verified: bool) -> Contender {
    let mut filled: Option<(TempDir, File)> = None;
    Contender::new(name, move || {
        let batches = Batches::of(BATCH);
        let (_, file) = filled.get_or_insert_with(|| {
            let dir = folder::fresh();
            let file = raw::fill(dir.path(), &batches, records);
            folder::settle();
            (dir, file)
        });
        let start = (records - above) / BATCH * batches.bytes_each as u64;
        let began = Instant::now();
        let count = raw::read(file, start, READ_BYTES, |piece| {
            black_box(if is_verified { raw::crc(piece) } else { u32::from(piece[0]) });
        });
        let took = began.elapsed();
        assert_eq!(count, above / BATCH * batches.bytes_each as u64);
        millis(took)
    })
}

/// Has a process of its own append records and end without closing anything.
fn leave_behind(dir: &std::path::Path, records: u64) {
    let program = std::env::current_exe().expect("the program is on disk");
    let output = std::process::Command::new(program)
        .arg(CHILD_FLAG)
        .arg(dir)
        .arg(records.to_string())
        .output()
        .expect("the program can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
