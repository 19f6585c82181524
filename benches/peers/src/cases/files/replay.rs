//! How many records a second come back from files when everything is read and verified?

use super::batch::BATCH;
use crate::cases::{Case, Group};
use crate::contest::{Contender, MILLIONS, Reading, Size};
use crate::files::commitlog::{self, Limit};
use crate::files::folder::Filled;
use crate::files::kafko::{self, Under};
use crate::files::raw;
use crate::payload::BYTES;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

pub(crate) const CASE: Case = Case {
    group: Group::Files,
    name: "replay",
    question: "One thread opens a log of 1 GiB that was closed, written in batches of 100, and reads \
        it all with its checksums verified; the files are in the page cache. Raw is `pread` and \
        CRC-32C of the same files. commitlog reads as much at a time as it does by default, or \
        more. kafko has 40,000 records and reads an evenly spread tenth.",
    contenders,
};

/// Makes 1 GiB of our batches.
const RECORDS: u64 = 10_000_000;
const KAFKO_RECORDS: u64 = 40_000;
/// What raw reads at a time: what fits into a core's first caches, and as much as ours reads.
pub(super) const READ_BYTES: [usize; 2] = [64 << 10, 1 << 20];

fn contenders(size: &Size) -> Vec<Contender> {
    let (records, few) = (size.thousands(RECORDS), size.thousands(KAFKO_RECORDS));
    let ballast = raw::ballast(records);
    let ours = Filled::by(move |dir| crate::ours_files::fill(dir, records, BATCH));
    let filled = Rc::clone(&ours);
    vec![
        Contender::new("anabranch poll", move || {
            ballast.path();
            Reading::rate(records, crate::ours_files::replay(filled.path(), records))
        }),
        raw("raw pread and CRC-32C, 64 KiB at a time", records, &ours, READ_BYTES[0]),
        raw("raw pread and CRC-32C, 1 MiB at a time", records, &ours, READ_BYTES[1]),
        commitlog("commitlog read", records, Limit::Default).wanted(MILLIONS, 2.0),
        commitlog("commitlog read, 64 KiB at a time", records, Limit::Large),
        Contender::new("kafko next_record", {
            let filled = Filled::by(move |dir| {
                kafko::send_batches(dir, few, BATCH, Under::OneThread);
            });
            move || {
                let (count, took) = kafko::replay_tenth(filled.path(), few);
                Reading::rate(count, took)
            }
        })
        .wanted(MILLIONS, 100.0),
    ]
}

fn raw(name: &'static str, records: u64, ours: &Rc<Filled>, size: usize) -> Contender {
    let ours = Rc::clone(ours);
    let read = move || {
        let logs = crate::ours_files::logs(ours.path());
        let began = Instant::now();
        let (mut crc, mut bytes) = (0, 0);
        for log in &logs {
            bytes += raw::read(log, 0, size, |piece| crc ^= raw::crc(piece));
        }
        black_box(crc);
        let took = began.elapsed();
        assert!(bytes > records * BYTES as u64, "all of it was read");
        Reading::rate(records, took)
    };
    Contender::new(name, read).wanted(MILLIONS, 0.6)
}

fn commitlog(name: &'static str, records: u64, limit: Limit) -> Contender {
    let filled = Filled::by(move |dir| {
        commitlog::append_batches(dir, records, BATCH);
    });
    Contender::new(name, move || {
        Reading::rate(records, commitlog::replay(filled.path(), records, limit))
    })
}
