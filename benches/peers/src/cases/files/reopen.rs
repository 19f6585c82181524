//! How long does it take to open a log whose process was killed?

use super::batch::BATCH;
use super::replay::READ_BYTES;
use crate::cases::{Case, Group};
use crate::contest::{Contender, Metric, Reading, Size};
use crate::files::folder::{self, Filled};
use crate::files::raw::{self, Batches};
use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

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
    let above_bytes = above / BATCH * batch_bytes;
    let ballast = raw::ballast(records);
    let ours = Filled::by(move |dir| crate::ours_files::fill(dir, records - above, BATCH));
    vec![
        Contender::new("anabranch open", {
            let (ours, mut expected) = (Rc::clone(&ours), records - above);
            move || {
                ballast.path();
                // Each round is killed anew, so that the log grows by as much each time.
                leave_behind(ours.path(), above);
                expected += above;
                folder::settle();
                let (took, found) = crate::ours_files::open(ours.path());
                assert_eq!(found, expected);
                millis(took)
            }
        }),
        read("raw pread and CRC-32C, 64 KiB at a time", &ours, above_bytes, READ_BYTES[0]),
        read("raw pread and CRC-32C, 1 MiB at a time", &ours, above_bytes, READ_BYTES[1]),
    ]
}

fn millis(took: std::time::Duration) -> Vec<Reading> {
    vec![Reading::new(OPEN, took.as_secs_f64() * 1e3)]
}

/// Reads what was above the mark in the files that were opened last.
fn read(name: &'static str, ours: &Rc<Filled>, bytes: u64, size: usize) -> Contender {
    let ours = Rc::clone(ours);
    let read = move || {
        let logs = crate::ours_files::logs(ours.path());
        let lengths = logs.iter().map(|log| log.metadata().expect("the file is there").len());
        let lengths = Vec::from_iter(lengths);
        let mut before = lengths.iter().sum::<u64>().saturating_sub(bytes);
        let mut count = 0;
        let began = Instant::now();
        for (log, length) in logs.iter().zip(lengths) {
            let start = before.min(length);
            before -= start;
            count += raw::read(log, start, size, |piece| {
                black_box(raw::crc(piece));
            });
        }
        let took = began.elapsed();
        assert_eq!(count, bytes);
        millis(took)
    };
    Contender::new(name, read).wanted(OPEN, 1.0 / 1.5)
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
