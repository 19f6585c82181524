//! How many records a second become files when each is acknowledged as written by itself?

use crate::cases::{Case, Group};
use crate::contest::{Contender, MILLIONS, Reading, Size};
use crate::files::kafko::{self, Under};
use crate::files::raw::{self, Batches};
use crate::files::{commitlog, folder};

pub(crate) const CASES: [Case; 2] = [
    Case {
        group: Group::Files,
        name: "written-single",
        question: "One thread, each record sent by itself; the call returns when it is with the \
            operating system (kafko gets fewer records, and runs as its documentation has it, or \
            on one thread). Raw is one `write` of the same bytes; the system makes it dearer for a \
            program with a second thread, as one with a broker is.",
        contenders: alone,
    },
    Case {
        group: Group::Files,
        name: "written-single4",
        question: "Four threads on one partition, each record sent by itself.",
        contenders: four,
    },
];

const RECORDS: u64 = 1_000_000;
const THREADS: u64 = 4;

fn alone(size: &Size) -> Vec<Contender> {
    let (records, few) = (size.thousands(RECORDS), size.thousands(RECORDS / 10));
    vec![
        ours("anabranch send", records, 1),
        raw(records).wanted(MILLIONS, 0.8),
        raw_in_company(records),
        Contender::new("commitlog append_msg", move || {
            let dir = folder::fresh();
            Reading::rate(records, commitlog::append_each(dir.path(), records))
        }),
        kafko("kafko send", few, 1, Under::TokioMain).wanted(MILLIONS, 5.0),
        kafko("kafko send, one thread", few, 1, Under::OneThread),
    ]
}

fn four(size: &Size) -> Vec<Contender> {
    let (records, few) = (size.thousands(RECORDS), size.thousands(RECORDS / 10));
    vec![
        ours("anabranch send, 4 threads", records, THREADS),
        ours("anabranch send, 1 thread", records, 1).wanted(MILLIONS, 1.5),
        raw(records),
        kafko("kafko send, 4 tasks", few, THREADS, Under::TokioMain),
    ]
}

fn ours(name: &'static str, records: u64, threads: u64) -> Contender {
    Contender::new(name, move || {
        let dir = folder::fresh();
        let each = records / threads;
        let durability = anabranch::Durability::Written;
        let (took, _) = crate::ours_files::send_each(dir.path(), threads, each, durability);
        Reading::rate(records, took)
    })
}

fn raw(records: u64) -> Contender {
    let batches = Batches::of(1);
    Contender::new("raw write of each, 1 thread", move || {
        let dir = folder::fresh();
        Reading::rate(records, raw::write_each(dir.path(), &batches, records))
    })
}

fn raw_in_company(records: u64) -> Contender {
    let batches = Batches::of(1);
    Contender::new("raw write of each, another thread asleep", move || {
        let dir = folder::fresh();
        let (wake, sleeper) = std::sync::mpsc::channel::<()>();
        let sleeper = std::thread::spawn(move || sleeper.recv());
        let took = raw::write_each(dir.path(), &batches, records);
        drop(wake);
        assert!(sleeper.join().expect("it only sleeps").is_err(), "nothing was sent");
        Reading::rate(records, took)
    })
}

fn kafko(name: &'static str, records: u64, senders: u64, under: Under) -> Contender {
    Contender::new(name, move || {
        let dir = folder::fresh();
        Reading::rate(records, kafko::send_each(dir.path(), records, senders, under))
    })
}
