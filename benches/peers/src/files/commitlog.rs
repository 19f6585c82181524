//! `commitlog`: what it appends is in the page cache when `append` returns, so it needs no `flush` to
//! outlive the process; `flush` syncs its memory-mapped index and never the messages. It computes a
//! CRC-32C for each message and verifies it on each read.

use crate::payload::{Payloads, Seen};
use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};
use std::path::Path;
use std::time::{Duration, Instant};

/// How much is read at a time.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// 8 KiB, unless something else is said.
    Default,
    /// From 16 KiB to 1 MiB nothing is clearly faster.
    Large,
}

impl Limit {
    fn get(self) -> ReadLimit {
        match self {
            Limit::Default => ReadLimit::default(),
            Limit::Large => ReadLimit::max_bytes(64 << 10),
        }
    }
}

fn open(dir: &Path) -> CommitLog {
    CommitLog::new(LogOptions::new(dir)).expect("commitlog opens")
}

pub(crate) fn append_batches(dir: &Path, records: u64, batch: u64) -> Duration {
    let payloads = Payloads::new();
    let mut log = open(dir);
    let began = Instant::now();
    let mut buffer = MessageBuf::default();
    for base in (0..records).step_by(batch as usize) {
        buffer.clear();
        for i in base..base + batch {
            buffer.push(payloads.get(i)).expect("the payload fits");
        }
        log.append(&mut buffer).expect("commitlog appends");
    }
    let took = began.elapsed();
    assert_eq!(log.next_offset(), records);
    took
}

pub(crate) fn append_each(dir: &Path, records: u64) -> Duration {
    let payloads = Payloads::new();
    let mut log = open(dir);
    let began = Instant::now();
    for i in 0..records {
        log.append_msg(payloads.get(i)).expect("commitlog appends");
    }
    let took = began.elapsed();
    assert_eq!(log.next_offset(), records);
    took
}

/// Opens what [`append_batches`] has left and reads it all.
pub(crate) fn replay(dir: &Path, records: u64, limit: Limit) -> Duration {
    let began = Instant::now();
    let log = open(dir);
    let mut seen = Seen::default();
    while seen.count < records {
        let messages = log.read(seen.count, limit.get()).expect("commitlog reads");
        assert!(!messages.is_empty(), "commitlog ended after {} messages", seen.count);
        messages.iter().for_each(|message| seen.touch(message.payload()));
    }
    let took = began.elapsed();
    assert_eq!(seen, Payloads::new().expected(records));
    took
}
