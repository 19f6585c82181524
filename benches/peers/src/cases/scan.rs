//! How close does reading a retained log come to reading plain memory?

use super::{Case, Group};
use crate::contest::{Contender, Metric, Reading, Size};
use crate::ours::{self, Subscriber};
use crate::payload::{BYTES, Payloads};
use std::rc::Rc;
use std::time::Instant;

pub(crate) const CASE: Case = Case {
    group: Group::Memory,
    name: "scan",
    question: "One thread reads everything that is retained, 10 million records: touching both \
        ends of each value, and adding up all its words.",
    contenders,
};

const RECORDS: u64 = 10_000_000;
const BATCH: u64 = 64;
const ENDS: Metric = Metric::less("both ends: ns/record");
const WORDS: Metric = Metric::less("every word: ns/record");

/// What is done to each value; the results are added up.
type Touch = fn(&[u8]) -> u64;
/// How many values were read, and their sum.
type Sum = (u64, u64);

fn contenders(size: &Size) -> Vec<Contender> {
    let records = size.records(RECORDS);
    // Filled once, before the first round: reading is what is asked.
    let payloads = Payloads::new();
    let topic = ours::topic(1, u64::MAX);
    let producer = ours::producer(&topic);
    for base in (0..records).step_by(BATCH as usize) {
        ours::send_batch(&producer, (base..base + BATCH).map(|i| payloads.get(i)));
    }
    let plain: Rc<[u8]> = (0..records).flat_map(|i| payloads.get(i)).copied().collect();
    let log = move |touch: Touch| {
        let mut subscriber = Subscriber::new(topic.partitions());
        let (mut sum, mut count) = (0_u64, 0);
        while count < records {
            count += subscriber.poll(|value| sum = sum.wrapping_add(touch(value)));
        }
        (count, sum)
    };
    let memory = move |touch: Touch| {
        let (mut sum, mut count) = (0_u64, 0);
        for value in plain.chunks_exact(BYTES) {
            sum = sum.wrapping_add(touch(value));
            count += 1;
        }
        (count, sum)
    };
    let (sum_ends, sum_words) = (memory(ends).1, memory(words).1);
    let scan = move |read: &dyn Fn(Touch) -> Sum| {
        let timed = |metric, touch: Touch, expected| {
            let began = Instant::now();
            let seen = read(touch);
            let took = began.elapsed();
            assert_eq!(seen, (records, expected));
            Reading::new(metric, took.as_nanos() as f64 / records as f64)
        };
        vec![timed(ENDS, ends, sum_ends), timed(WORDS, words, sum_words)]
    };
    vec![
        Contender::new("anabranch poll", move || scan(&log)),
        Contender::new("a Vec of the same values", move || scan(&memory)),
    ]
}

fn ends(value: &[u8]) -> u64 {
    let (first, _) = value.split_first_chunk().expect("payloads are longer than a word");
    u64::from_le_bytes(*first).wrapping_add(u64::from(value[value.len() - 1]))
}

fn words(value: &[u8]) -> u64 {
    let (words, rest) = value.as_chunks();
    let rest = rest.iter().fold(0_u64, |sum, byte| sum.wrapping_add(u64::from(*byte)));
    words.iter().fold(rest, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}
