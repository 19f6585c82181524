//! The choice by queue length against Kafka's own tables, number by number.

use super::*;
use proptest::prelude::*;
use serde::Deserialize;

/// What this file reads of `tests/data/kafka/partitioner_vectors.json.gz`.
#[derive(Deserialize)]
struct Vectors {
    adaptive_tables: Vec<Table>,
}

/// A table Kafka built: of the partitions listed, the first `length` were in the running.
#[derive(Deserialize)]
struct Table {
    queue_sizes: Vec<usize>,
    partition_ids: Vec<PartitionId>,
    length: usize,
    adaptive: bool,
    range_end: Option<u32>,
    #[serde(default)]
    choice_for_random: Vec<PartitionId>,
    #[serde(default)]
    frequency_by_partition_id: Vec<u32>,
}

impl Table {
    fn choose(&self, random: u32) -> Option<PartitionId> {
        let lengths = self.queue_sizes.iter().map(|length| Some(*length));
        let queues = self.partition_ids.iter().copied().zip(lengths).take(self.length);
        choose(queues, self.queue_sizes.len(), random)
    }
}

fn tables() -> Vec<Table> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/kafka/partitioner_vectors.json.gz");
    let file = std::fs::File::open(path).unwrap();
    let vectors: Vectors = serde_json::from_reader(flate2::read::GzDecoder::new(file)).unwrap();
    vectors.adaptive_tables
}

/// Every table, for every number over two full cycles; also those where partitions are out of the
/// running or come in another order, which a topic of one process never shows.
#[test]
fn kafkas_tables_are_reproduced() {
    let (mut adaptive, mut uniform, mut partial, mut choices) = (0, 0, 0, 0);
    for table in tables() {
        if !table.adaptive {
            assert_eq!(table.choose(0), None, "{:?}", table.queue_sizes);
            uniform += 1;
            continue;
        }
        let range = table.range_end.unwrap();
        let mut frequency = vec![0; table.queue_sizes.len()];
        for random in 0..2 * range {
            let chosen = table.choose(random).unwrap();
            frequency[chosen as usize] += 1;
            if let Some(expected) = table.choice_for_random.get((random % range) as usize) {
                assert_eq!(chosen, *expected, "{:?} for {random}", table.queue_sizes);
                choices += 1;
            }
        }
        let twice: Vec<u32> = table.frequency_by_partition_id.iter().map(|f| 2 * f).collect();
        assert_eq!(frequency, twice, "{:?}", table.queue_sizes);
        adaptive += 1;
        partial += usize::from(table.length < table.queue_sizes.len());
    }
    assert_eq!((adaptive, uniform, partial), (51, 9, 10));
    assert_eq!(choices, 2 * 2_469);
}

#[test]
fn a_queue_that_does_not_exist_yet_leaves_all_alike() {
    let queues = [(0, Some(5)), (1, None), (2, Some(0))];
    assert_eq!(choose(queues.into_iter(), 3, 0), None);
    let queues = [(0, Some(5)), (1, Some(0)), (2, Some(0))];
    assert_eq!(choose(queues.into_iter(), 3, 0), Some(0));
}

/// The lengths read to weigh and those read to pick differ, as they may with live queues.
#[test]
fn queues_that_change_while_they_are_read_still_give_a_partition() {
    for random in 0..100 {
        for later in [[0, 0, 0], [9, 9, 9], [usize::MAX; 3]] {
            let reads = std::cell::Cell::new(0);
            let queues = (0..3).map(|partition: u32| {
                let read = reads.replace(reads.get() + 1);
                let length = if read < 3 { [1, 0, 2][read] } else { later[read - 3] };
                (partition, Some(length))
            });
            assert!(choose(queues, 3, random).unwrap() < 3);
        }
    }
}

#[test]
fn the_longest_queue_that_can_be_expressed_does_not_overflow() {
    let queues = [(0, Some(usize::MAX)), (1, Some(0)), (2, Some(usize::MAX))];
    assert_eq!(choose(queues.into_iter(), 3, 0), Some(0));
    assert_eq!(choose(queues.into_iter(), 3, 1), Some(1));
    assert_eq!(choose(queues.into_iter(), 3, 0x7fff_ffff), Some(1));
}

proptest! {
    /// Against the table as Kafka describes it: running sums, and the first that exceeds.
    #[test]
    fn running_sums_say_the_same(
        lengths in prop::collection::vec(0_usize..50, 2..20),
        random in 0_u32..0x8000_0000,
    ) {
        let queues = (0..).zip(lengths.iter().map(|length| Some(*length)));
        let chosen = choose(queues, lengths.len(), random);
        let max = *lengths.iter().max().unwrap();
        if lengths.iter().all(|q| *q == max) {
            prop_assert_eq!(chosen, None);
        } else {
            let sums: Vec<usize> = lengths
                .iter()
                .scan(0, |sum, q| { *sum += max + 1 - q; Some(*sum) })
                .collect();
            let r = random as usize % sums[sums.len() - 1];
            let first = (0..).zip(&sums).find(|(_, sum)| **sum > r);
            prop_assert_eq!(chosen, first.map(|(partition, _)| partition));
        }
    }
}
