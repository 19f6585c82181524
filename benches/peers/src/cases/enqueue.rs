//! How many records a second go from one thread to another when the producer may batch them?

use super::single::{anabranch, crossbeam_inline};
use super::{Case, Group};
use crate::contest::{Contender, Size};
use crate::ours;

pub(crate) const CASE: Case = Case {
    group: Group::Memory,
    name: "enqueue",
    question: "One thread to one thread, records enqueued one by one without lingering.",
    contenders,
};

const RECORDS: u64 = 10_000_000;

fn contenders(size: &Size) -> Vec<Contender> {
    let records = size.records(RECORDS);
    vec![
        Contender::new("anabranch enqueue", {
            let topic = ours::topic(1, ours::RETAINED_BYTES);
            move || anabranch(records, &topic, ours::producer_without_linger, ours::enqueue)
        }),
        Contender::new("crossbeam-channel, inline", move || crossbeam_inline(records)),
    ]
}
