//! How much memory does a retained record take, and a partition that does nothing?
//!
//! Each figure is what the resident set of a process of its own grows by: this program starts itself.

use super::{Case, Group};
use crate::contest::{Contender, Metric, Reading, Size};
use crate::ours;
use crate::payload::{BYTES, Payloads};
use std::collections::VecDeque;
use std::process::Command;

pub(crate) const CASE: Case = Case {
    group: Group::Memory,
    name: "memory",
    question: "Resident bytes for each retained record of 100 bytes, and for each partition of a \
        topic of 100,000 that nothing was sent to.",
    contenders,
};

/// How this program calls itself: `--memory-of NAME COUNT`.
pub(crate) const CHILD_FLAG: &str = "--memory-of";

const RECORDS: u64 = 4_000_000;
const PARTITIONS: u64 = 100_000;
const BATCH: u64 = 64;

const PER_RECORD: Metric = Metric::less("bytes/record");
const PER_PARTITION: Metric = Metric::less("bytes/idle partition");

fn contenders(size: &Size) -> Vec<Contender> {
    let (records, partitions) = (size.records(RECORDS), size.count(PARTITIONS));
    vec![
        Contender::new("anabranch send_batch(64)", measured(PER_RECORD, "batch64", records)),
        Contender::new("anabranch send", measured(PER_RECORD, "single", records)),
        Contender::new("VecDeque<Vec<u8>>", measured(PER_RECORD, "deque", records)),
        Contender::new("anabranch", measured(PER_PARTITION, "idle", partitions)),
    ]
}

fn measured(metric: Metric, what: &'static str, count: u64) -> impl FnMut() -> Vec<Reading> {
    move || {
        let program = std::env::current_exe().expect("the program is on disk");
        let output = Command::new(program)
            .args([CHILD_FLAG, what, &count.to_string()])
            .output()
            .expect("the program can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("the child prints a number");
        let bytes: f64 = text.trim().parse().expect("the child prints a number");
        vec![Reading::new(metric, bytes / count as f64)]
    }
}

/// Makes `count` of what is asked for and prints by how many bytes the process grew.
pub(crate) fn child(what: &str, count: u64) {
    let payloads = Payloads::new();
    let before = resident_bytes();
    let kept: Box<dyn std::any::Any> = match what {
        "deque" => {
            let values: VecDeque<Vec<u8>> = (0..count).map(|i| payloads.get(i).to_vec()).collect();
            assert!(values.iter().all(|value| value.len() == BYTES));
            Box::new(values)
        }
        "idle" => {
            let partitions = u32::try_from(count).expect("a topic has fewer than 2^32 partitions");
            Box::new(ours::topic(partitions, ours::RETAINED_BYTES))
        }
        _ => {
            let topic = ours::topic(1, u64::MAX);
            let producer = ours::producer(&topic);
            for base in (0..count).step_by(BATCH as usize) {
                let mut values = (base..base + BATCH).map(|i| payloads.get(i));
                match what {
                    "batch64" => ours::send_batch(&producer, values),
                    _ => values.by_ref().for_each(|value| ours::send(&producer, value)),
                }
            }
            Box::new((topic, producer))
        }
    };
    println!("{}", resident_bytes().saturating_sub(before));
    drop(kept);
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("this is Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("the second number is the resident pages") * rustix::param::page_size() as u64
}
