//! How many records a second become files when nobody waits for them one by one?

use crate::cases::{Case, Group};
use crate::contest::{Contender, MILLIONS, Reading, Size};
use crate::files::raw::{self, Batches};
use crate::files::{commitlog, folder};

pub(crate) const CASE: Case = Case {
    group: Group::Files,
    name: "written-enqueue",
    question: "One thread enqueues records one by one and flushes at the end, so that writes are \
        coalesced. Raw is the same bytes, `write` and CRC-32C of 64 KiB at a time.",
    contenders,
};

const RECORDS: u64 = 2_000_000;
const PIECE_BYTES: usize = 64 << 10;
/// As many records of 100 bytes as a producer's batch of 16 KiB takes.
const RAW_BATCH: u64 = 150;
const COMMITLOG_BATCH: u64 = 1_000;

fn contenders(size: &Size) -> Vec<Contender> {
    let records = size.thousands(RECORDS);
    let batches = Batches::of(RAW_BATCH);
    vec![
        Contender::new("anabranch enqueue, flush", move || {
            let dir = folder::fresh();
            Reading::rate(records, crate::ours_files::enqueue(dir.path(), records))
        }),
        Contender::new("raw write of 64 KiB and CRC-32C", move || {
            let dir = folder::fresh();
            let took = raw::write_pieces(dir.path(), &batches, records, PIECE_BYTES);
            Reading::rate(records, took)
        })
        .wanted(MILLIONS, 0.7),
        Contender::new("commitlog append, 1,000 at a time", move || {
            let dir = folder::fresh();
            let took = commitlog::append_batches(dir.path(), records, COMMITLOG_BATCH);
            Reading::rate(records, took)
        })
        .wanted(MILLIONS, 1.2),
    ]
}
