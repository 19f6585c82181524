//! Which questions are asked?

mod batch64;
mod enqueue;
mod fanout;
pub(crate) mod files;
mod keyed4;
mod memory;
mod random;
mod roundtrip;
mod scan;
mod single;
mod subscribers;

use crate::contest::{Contender, Size};

/// A question and who answers it.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) group: Group,
    pub(crate) name: &'static str,
    pub(crate) question: &'static str,
    pub(crate) contenders: fn(&Size) -> Vec<Contender>,
}

/// Where our topics live in a case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Memory,
    Files,
}

impl Group {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Group::Memory => "memory",
            Group::Files => "files",
        }
    }
}

const MEMORY: &[Case] = &[
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

pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    MEMORY.iter().chain(files::CASES)
}

/// Whether this process was started by a case, to do a part of it: then it has been done.
pub(crate) fn child(flag: &str, args: &[String]) -> bool {
    match (flag, args) {
        (memory::CHILD_FLAG, [name, records]) => {
            memory::child(name, records.parse().expect("the parent passes a number"));
            true
        }
        (files::reopen::CHILD_FLAG, [dir, records]) => {
            let records = records.parse().expect("the parent passes a number");
            crate::ours_files::leave_behind(dir.as_ref(), records);
            true
        }
        _ => false,
    }
}
