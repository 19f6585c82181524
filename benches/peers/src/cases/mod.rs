//! Which questions are asked?

mod batch64;
mod enqueue;
mod fanout;
mod keyed4;
pub(crate) mod memory;
mod random;
mod roundtrip;
mod scan;
mod single;
mod subscribers;

use crate::contest::{Contender, Size};

/// A question and who answers it.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) question: &'static str,
    pub(crate) contenders: fn(&Size) -> Vec<Contender>,
}

pub(crate) const ALL: &[Case] = &[
    batch64::CASE,
    single::CASE,
    enqueue::CASE,
    fanout::CASE,
    subscribers::CASE,
    keyed4::CASES[0],
    keyed4::CASES[1],
    scan::CASE,
    roundtrip::CASE,
    memory::CASE,
    random::CASE,
];
