//! How many records a second go from one thread to another, each sent by itself?

use super::batch64::CAPACITY;
use super::{Case, Group};
use crate::contest::{Contender, Reading, Size, race};
use crate::ours::{self, Subscriber};
use crate::pace::{Behind, Pace};
use crate::payload::{Inline, Payloads, Seen};

pub(crate) const CASE: Case = Case {
    group: Group::Memory,
    name: "single",
    question: "One thread to one thread, each record sent by itself and acknowledged.",
    contenders,
};

const RECORDS: u64 = 10_000_000;

fn contenders(size: &Size) -> Vec<Contender> {
    let records = size.records(RECORDS);
    vec![
        Contender::new("anabranch send", {
            let topic = ours::topic(1, ours::RETAINED_BYTES);
            move || anabranch(records, &topic, ours::producer, ours::send)
        }),
        Contender::new("crossbeam-channel, inline", move || crossbeam_inline(records)),
        Contender::new("crossbeam-channel, Vec<u8>", move || crossbeam_vec(records)),
    ]
}

/// One way of sending single records.
pub(super) fn anabranch(
    records: u64,
    topic: &anabranch::Topic,
    producer: fn(&anabranch::Topic) -> anabranch::Producer,
    send: fn(&anabranch::Producer, &Inline),
) -> Vec<Reading> {
    let payloads = Payloads::new();
    let producer = producer(topic);
    let mut subscriber = Subscriber::at_end(topic.partitions());
    let pace = Pace::new(1, ours::WINDOW);
    let took = race(vec![
        Box::new(|| {
            let mut throttle = pace.throttle(Behind::Slowest);
            for i in 0..records {
                send(&producer, payloads.get(i));
                throttle.hold(i + 1);
            }
            ours::flush(&producer);
        }),
        Box::new(|| {
            let seen = subscriber.read(records, |count| pace.seen(0, count));
            assert_eq!(seen, payloads.expected(records));
        }),
    ]);
    Reading::rate(records, took)
}

pub(super) fn crossbeam_inline(records: u64) -> Vec<Reading> {
    crossbeam(records, |payload: &Inline| *payload)
}

fn crossbeam_vec(records: u64) -> Vec<Reading> {
    crossbeam(records, |payload: &Inline| payload.to_vec())
}

fn crossbeam<T: AsRef<[u8]> + Send>(records: u64, copy: fn(&Inline) -> T) -> Vec<Reading> {
    let payloads = Payloads::new();
    let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
    let took = race(vec![
        Box::new(move || {
            for i in 0..records {
                sender.send(copy(payloads.get(i))).expect("the receiver is there");
            }
        }),
        Box::new(move || {
            let mut seen = Seen::default();
            receiver.iter().for_each(|value| seen.touch(value.as_ref()));
            assert_eq!(seen, payloads.expected(records));
        }),
    ]);
    Reading::rate(records, took)
}
