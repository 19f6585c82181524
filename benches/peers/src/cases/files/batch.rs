//! How many records a second become files when batches of 100 are acknowledged as written?

use crate::cases::{Case, Group};
use crate::contest::{Contender, MILLIONS, Reading, Size};
use crate::files::kafko::{self, Under};
use crate::files::raw::{self, Batches};
use crate::files::{commitlog, folder};

pub(crate) const CASE: Case = Case {
    group: Group::Files,
    name: "written-batch",
    question: "One thread, batches of 100; each call returns when its batch is with the operating \
        system (kafko gets fewer records, and runs as its documentation has it, or on one thread). \
        Raw is `write` and CRC-32C of the same batches.",
    contenders,
};

const RECORDS: u64 = 2_000_000;
pub(crate) const BATCH: u64 = 100;

fn contenders(size: &Size) -> Vec<Contender> {
    let (records, few) = (size.thousands(RECORDS), size.thousands(RECORDS / 10));
    let batches = Batches::of(BATCH);
    vec![
        Contender::new("anabranch send_batch", move || {
            let dir = folder::fresh();
            Reading::rate(records, crate::ours_files::send_batches(dir.path(), records, BATCH))
        }),
        Contender::new("raw write and CRC-32C", move || {
            let dir = folder::fresh();
            Reading::rate(records, raw::write_batches(dir.path(), &batches, records))
        })
        .wanted(MILLIONS, 0.75),
        Contender::new("commitlog append", move || {
            let dir = folder::fresh();
            Reading::rate(records, commitlog::append_batches(dir.path(), records, BATCH))
        })
        .wanted(MILLIONS, 1.0),
        kafko("kafko send_batch", few, Under::TokioMain).wanted(MILLIONS, 3.0),
        kafko("kafko send_batch, one thread", few, Under::OneThread),
    ]
}

fn kafko(name: &'static str, records: u64, under: Under) -> Contender {
    Contender::new(name, move || {
        let dir = folder::fresh();
        Reading::rate(records, kafko::send_batches(dir.path(), records, BATCH, under))
    })
}
