//! How long does it take to find a record by its offset?

use super::{Case, Group};
use crate::contest::{Contender, Metric, Reading, Size};
use crate::ours;
use crate::payload::{BYTES, Payloads};
use std::time::Instant;

pub(crate) const CASE: Case = Case {
    group: Group::Memory,
    name: "random",
    question: "Reading single records by offset, in no order, from a full chunk of 4 MiB that \
        holds a batch for every record.",
    contenders,
};

const READS: u64 = 1_000_000;
/// Single records, some 170 bytes each: several chunks of 4 MiB.
const RECORDS: u64 = 100_000;
/// Offsets that lie in one chunk, the last but one.
const CHUNK: std::ops::Range<u64> = 52_000..72_000;

const PER_READ: Metric = Metric::less("ns/read");

fn contenders(size: &Size) -> Vec<Contender> {
    let reads = size.count(READS);
    let payloads = Payloads::new();
    let topic = ours::topic(1, u64::MAX);
    let producer = ours::producer(&topic);
    (0..RECORDS).for_each(|i| ours::send(&producer, payloads.get(i)));
    let partition = ours::partition(&topic, 0);
    vec![Contender::new("anabranch read", move || {
        let mut state = 1_u64;
        let began = Instant::now();
        for _ in 0..reads {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let offset = CHUNK.start + (state >> 33) % (CHUNK.end - CHUNK.start);
            let found = ours::read_at(&partition, offset);
            assert_eq!(found, (BYTES, payloads.get(offset)[0]));
        }
        vec![Reading::new(PER_READ, began.elapsed().as_nanos() as f64 / reads as f64)]
    })]
}
