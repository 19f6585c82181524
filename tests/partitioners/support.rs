//! The vectors, sources of chance, and a producer's queues reduced to what a partitioner notices.

use super::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// `tests/data/kafka/partitioner_vectors.json.gz`.
#[derive(Deserialize)]
pub(crate) struct Vectors {
    pub(crate) kafka_published: Vec<KeyVector>,
    pub(crate) murmur2: Vec<KeyVector>,
    pub(crate) bulk: Vec<Bulk>,
    pub(crate) sticky_traces: Vec<StickyTrace>,
    pub(crate) adaptive_tables: Vec<AdaptiveTable>,
    pub(crate) roundrobin_partitioner: Vec<RoundRobinCourse>,
}

#[derive(Deserialize)]
pub(crate) struct KeyVector {
    pub(crate) key_hex: String,
    pub(crate) len: usize,
    pub(crate) murmur2: i32,
    pub(crate) positive: u32,
    pub(crate) partition: BTreeMap<u32, PartitionId>,
}

#[derive(Deserialize)]
pub(crate) struct Bulk {
    pub(crate) prefix: String,
    pub(crate) count: u32,
    pub(crate) partitions: u32,
    pub(crate) sum_of_signed_hashes: i64,
    pub(crate) xor_of_hashes: i32,
    pub(crate) per_partition_counts: Vec<u64>,
}

#[derive(Deserialize)]
pub(crate) struct StickyTrace {
    pub(crate) partitions: u32,
    pub(crate) unavailable: Vec<PartitionId>,
    pub(crate) sticky_batch_size: usize,
    pub(crate) steps: Vec<StickyStep>,
}

#[derive(Deserialize)]
pub(crate) struct StickyStep {
    pub(crate) partition: PartitionId,
    pub(crate) append_bytes: usize,
    pub(crate) enable_switch: bool,
    pub(crate) switched: bool,
}

#[derive(Deserialize)]
pub(crate) struct AdaptiveTable {
    pub(crate) queue_sizes: Vec<usize>,
    pub(crate) partition_ids: Vec<PartitionId>,
    pub(crate) length: usize,
    pub(crate) adaptive: bool,
    pub(crate) range_end: Option<u32>,
    #[serde(default)]
    pub(crate) frequency_by_partition_id: Vec<u32>,
}

#[derive(Deserialize)]
pub(crate) struct RoundRobinCourse {
    pub(crate) partitions: u32,
    pub(crate) unavailable: Vec<PartitionId>,
    pub(crate) first_20_partitions: Vec<PartitionId>,
}

impl Vectors {
    pub(crate) fn read() -> Vectors {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/kafka/partitioner_vectors.json.gz");
        let file = std::fs::File::open(path).expect("the vectors are part of the repository");
        serde_json::from_reader(flate2::read::GzDecoder::new(file)).expect("the vectors are JSON")
    }
}

impl KeyVector {
    pub(crate) fn key(&self) -> Vec<u8> {
        let byte = |i| u8::from_str_radix(&self.key_hex[i..i + 2], 16).expect("hex digits");
        (0..self.key_hex.len()).step_by(2).map(byte).collect()
    }
}

pub(crate) fn keyless() -> Record<'static> {
    Record::new("x")
}

/// Kafka's `toPositive`.
pub(crate) fn positive(hash: i32) -> u32 {
    hash.cast_unsigned() & 0x7fff_ffff
}

/// The numbers 0, 1, 2, … in place of chance; how many were drawn tells how often was chosen.
pub(crate) struct Draws(Arc<AtomicU32>);

impl Draws {
    pub(crate) fn new() -> Draws {
        Draws(Arc::new(AtomicU32::new(0)))
    }

    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn source(&self) -> impl Fn() -> u32 + Send + Sync + 'static {
        let next = self.0.clone();
        move || next.fetch_add(1, Ordering::Relaxed)
    }
}

/// Chance that a seed repeats: xorshift64*.
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Seeded {
        Seeded(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn source(self) -> impl Fn() -> u32 + Send + Sync + 'static {
        let state = Mutex::new(self.0);
        move || {
            let mut state = state.lock().expect("no draw panics");
            *state ^= *state >> 12;
            *state ^= *state << 25;
            *state ^= *state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
        }
    }
}

/// A producer's queues: batches by size, and which of them still take records.
pub(crate) struct Accumulator {
    batch_bytes: usize,
    queues: Vec<Vec<Batch>>,
}

pub(crate) struct Batch {
    pub(crate) bytes: usize,
    capacity: usize,
    is_open: bool,
}

impl Accumulator {
    /// What a batch takes before its first record, in Kafka's format.
    const HEADER_BYTES: usize = 61;

    pub(crate) fn new(partition_count: u32, batch_bytes: usize) -> Accumulator {
        let queues = (0..partition_count).map(|_| Vec::new()).collect();
        Accumulator { batch_bytes, queues }
    }

    /// Appends as a producer must: asks, asks again if the batch there had to be closed, tells.
    pub(crate) fn append(
        &mut self,
        partitioner: &dyn Partitioner,
        record: Record<'_>,
        bytes: usize,
    ) -> PartitionId {
        let mut chosen = self.with_view(|topic| partitioner.partition(&record, topic));
        if self.closes(chosen, bytes) {
            chosen = self.with_view(|topic| partitioner.batch_closed(&record, chosen, topic));
            self.closes(chosen, bytes);
        }
        let grown = self.push(chosen, bytes);
        self.with_view(|topic| partitioner.appended(&record, chosen, grown, topic));
        chosen
    }

    /// Appends a record that names its partition.
    pub(crate) fn append_to(&mut self, partition: PartitionId, bytes: usize) {
        self.closes(partition, bytes);
        self.push(partition, bytes);
    }

    pub(crate) fn queue(&self, partition: PartitionId) -> &[Batch] {
        &self.queues[partition as usize]
    }

    /// Sends everything; the sizes of the batches.
    pub(crate) fn drain(&mut self) -> Vec<usize> {
        self.queues.iter_mut().flat_map(|queue| queue.drain(..)).map(|batch| batch.bytes).collect()
    }

    /// Sends what one partition has, and says how many bytes that was.
    pub(crate) fn drain_one(&mut self, partition: PartitionId) -> usize {
        self.queues[partition as usize].drain(..).map(|batch| batch.bytes).sum()
    }

    /// Closes the open batch if the record does not fit into it, and says whether it did.
    fn closes(&mut self, partition: PartitionId, bytes: usize) -> bool {
        match self.queues[partition as usize].last_mut() {
            Some(batch) if batch.is_open && batch.bytes + bytes > batch.capacity => {
                batch.is_open = false;
                true
            }
            _ => false,
        }
    }

    /// Appends to the open batch or opens one; by how much the batches grew. A record beyond the
    /// limit gets a batch of its own, which as in Kafka has a little room to spare.
    fn push(&mut self, partition: PartitionId, bytes: usize) -> usize {
        let queue = &mut self.queues[partition as usize];
        if let Some(batch) = queue.last_mut().filter(|batch| batch.is_open) {
            batch.bytes += bytes;
            return bytes;
        }
        let grown = Self::HEADER_BYTES + bytes;
        let capacity = self.batch_bytes.max(grown + 5);
        queue.push(Batch { bytes: grown, capacity, is_open: true });
        grown
    }

    fn with_view<R>(&self, ask: impl FnOnce(&TopicView<'_>) -> R) -> R {
        let backlog: Vec<usize> = self.queues.iter().map(Vec::len).collect();
        let is_open = |queue: &Vec<Batch>| queue.last().is_some_and(|batch| batch.is_open);
        let open: Vec<PartitionId> = (0..)
            .zip(&self.queues)
            .filter(|(_, queue)| is_open(queue))
            .map(|(partition, _)| partition)
            .collect();
        let count = u32::try_from(self.queues.len()).expect("a few partitions");
        ask(&TopicView::new("t", count).with_backlog(&backlog).with_open_batches(&open))
    }
}
