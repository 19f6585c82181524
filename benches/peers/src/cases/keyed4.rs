//! How many keyed records a second go from four threads through four partitions to four threads?
//!
//! Every sender has all keys, so each partition is written by all four. The channels get the same
//! murmur2 hash; their batch is grouped by partition before it is sent.

use super::batch64::CAPACITY;
use super::{Case, Group};
use crate::contest::{Contender, Reading, Side, Size, race};
use crate::ours::{self, Subscriber};
use crate::pace::{Behind, Pace};
use crate::payload::{Inline, Payloads, Seen};
use std::sync::Mutex;

pub(crate) const CASES: [Case; 2] = [
    Case {
        group: Group::Memory,
        name: "keyed4",
        question: "Four threads, keyed, four partitions, four threads; batches of 64.",
        contenders: batches,
    },
    Case {
        group: Group::Memory,
        name: "keyed4single",
        question: "Four threads, keyed, four partitions, four threads; each record by itself.",
        contenders: singles,
    },
];

const RECORDS: u64 = 8_000_000;
const SENDERS: u64 = 4;
const PARTITIONS: u32 = 4;
const BATCH: u64 = 64;
const KEYS: u64 = 1_024;

type Keyed = ([u8; 8], Inline);
type Sender = crossbeam_channel::Sender<Keyed>;

/// The key of a record: one of 1,024, in no order.
fn key(index: u64) -> [u8; 8] {
    (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) % KEYS).to_le_bytes()
}

fn batches(size: &Size) -> Vec<Contender> {
    let records = size.records(RECORDS);
    let topic = ours::topic(PARTITIONS, ours::RETAINED_BYTES);
    vec![
        Contender::new("anabranch send_batch", move || {
            anabranch(records, &topic, |producer, indexes| {
                let payloads = Payloads::new();
                let keys: [[u8; 8]; BATCH as usize] =
                    std::array::from_fn(|i| key(indexes.start + i as u64));
                let values = indexes.map(|i| payloads.get(i));
                ours::send_batch_keyed(producer, keys.iter().map(|key| &key[..]).zip(values));
            })
        }),
        Contender::new("crossbeam-channel per partition", move || {
            let groups = || vec![Vec::with_capacity(BATCH as usize); PARTITIONS as usize];
            crossbeam(records, groups, |groups: &mut Vec<Vec<Keyed>>, senders, indexes| {
                let payloads = Payloads::new();
                for i in indexes {
                    let key = key(i);
                    let group = ours::partition_of(&key, PARTITIONS) as usize;
                    groups[group].push((key, *payloads.get(i)));
                }
                for (group, sender) in groups.iter_mut().zip(senders) {
                    for item in group.drain(..) {
                        sender.send(item).expect("the receiver is there");
                    }
                }
            })
        }),
    ]
}

fn singles(size: &Size) -> Vec<Contender> {
    let records = size.records(RECORDS / 2);
    let topic = ours::topic(PARTITIONS, ours::RETAINED_BYTES);
    vec![
        Contender::new("anabranch send", move || {
            anabranch(records, &topic, |producer, indexes| {
                let payloads = Payloads::new();
                indexes.for_each(|i| ours::send_keyed(producer, &key(i), payloads.get(i)));
            })
        }),
        Contender::new("crossbeam-channel per partition", move || {
            crossbeam(
                records,
                || (),
                |(), senders, indexes| {
                    let payloads = Payloads::new();
                    for i in indexes {
                        let key = key(i);
                        let sender = &senders[ours::partition_of(&key, PARTITIONS) as usize];
                        sender.send((key, *payloads.get(i))).expect("the receiver is there");
                    }
                },
            )
        }),
    ]
}

/// The records of one sender, batch by batch.
fn batches_of(sender: u64, records: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    let count = records / SENDERS;
    let start = sender * count;
    (start..start + count).step_by(BATCH as usize).map(|base| base..base + BATCH)
}

fn records_of(partition: u32, records: u64) -> u64 {
    (0..records).filter(|i| ours::partition_of(&key(*i), PARTITIONS) == partition).count() as u64
}

fn anabranch(
    records: u64,
    topic: &anabranch::Topic,
    send: fn(&anabranch::Producer, std::ops::Range<u64>),
) -> Vec<Reading> {
    let producer = &ours::producer(topic);
    let pace = &Pace::new(PARTITIONS as usize, ours::WINDOW);
    let all = &Mutex::new(Seen::default());
    let mut sides: Vec<Side<'_>> = Vec::new();
    for sender in 0..SENDERS {
        sides.push(Box::new(move || {
            let mut throttle = pace.throttle(Behind::Together);
            let mut sent = 0;
            for batch in batches_of(sender, records) {
                send(producer, batch);
                sent += BATCH;
                // As if the others were as far: the last of them is then never held back for good.
                throttle.hold(sent * SENDERS);
            }
        }));
    }
    for id in 0..PARTITIONS {
        let mut subscriber = Subscriber::at_end([ours::partition(topic, id)]);
        let count = records_of(id, records);
        sides.push(Box::new(move || {
            let seen = subscriber.read(count, |count| pace.seen(id as usize, count));
            all.lock().expect("no reader panics").add(seen);
        }));
    }
    let took = race(sides);
    assert_eq!(*all.lock().expect("no reader panics"), Payloads::new().expected(records));
    Reading::rate(records, took)
}

fn crossbeam<S>(
    records: u64,
    scratch: fn() -> S,
    send: fn(&mut S, &[Sender], std::ops::Range<u64>),
) -> Vec<Reading> {
    let (senders, receivers): (Vec<Sender>, Vec<_>) =
        (0..PARTITIONS).map(|_| crossbeam_channel::bounded(CAPACITY)).unzip();
    let all = &Mutex::new(Seen::default());
    let mut sides: Vec<Side<'_>> = Vec::new();
    for sender in 0..SENDERS {
        let senders = senders.clone();
        sides.push(Box::new(move || {
            let mut scratch = scratch();
            batches_of(sender, records).for_each(|batch| send(&mut scratch, &senders, batch));
        }));
    }
    drop(senders);
    for receiver in receivers {
        sides.push(Box::new(move || {
            let mut seen = Seen::default();
            receiver.iter().for_each(|(_, value)| seen.touch(&value));
            all.lock().expect("no reader panics").add(seen);
        }));
    }
    let took = race(sides);
    assert_eq!(*all.lock().expect("no reader panics"), Payloads::new().expected(records));
    Reading::rate(records, took)
}
