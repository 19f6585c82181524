//! Keyless records stick to one partition for about a batch's worth of bytes.
//!
//! Spreading every keyless record by itself would make many small batches. So they stay together
//! until a batch's worth of bytes has gone to one partition; then chance chooses anew (KIP-794).
//! Bytes are counted, not batches: where partitions are slow their batches wait and fill up, where
//! they are quick batches leave small, and one choice per batch (as in the older KIP-480) would
//! give the slow ones more.
//!
//! The choice and the bytes that went to it are one word, so a choice and its count never come
//! apart:
//!
//! ```text
//!   63                  32 31                   0
//!  │ partition             │ bytes sent to it    │
//! ```
//!
//! Records that are queued share one word, because together they fill one batch. Records that are
//! appended at once share no batch, so threads need not share a choice: each thread has a lane,
//! sticks to a partition of its own, and meets the others neither in this word nor, mostly, at
//! the lock of one partition.
//!
//! 1. A partition is chosen when there is none, or none that the topic has; then it stays. One that is offline
//!    is not chosen unless all are.
//! 2. After an append the bytes are added, if the partition is still the one chosen. (Kafka has a
//!    record start over that lost its partition while it waited for the queue's lock. A
//!    partitioner is never called under a lock here: such a record stays, and is not counted.)
//! 3. It is left after `batch_bytes` if its queue has no open batch, else after twice that: what
//!    lingers half full is filled up first, but not for ever.
//! 4. A change put off by an open batch is made up for at the next record that finds it closed.
//! 5. Counting is exact in the shared word. In a lane it is a load and a store: exact unless two
//!    threads share the lane, where bytes may go uncounted and a choice then lasts longer.

use super::load;
use super::random::Random;
use super::view::TopicView;
use crate::ids::PartitionId;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::cell::Cell;
use std::sync::LazyLock;

/// Kafka's `batch.size`.
pub(super) const BATCH_BYTES_DEFAULT: usize = 16 * 1024;

/// How many threads stick to partitions of their own: as many as are likely to send to one topic
/// at once, at a cache line or two each. A power of two, because lanes are found by masking.
const LANE_COUNT: usize = 16;

/// The sticky choice for one topic.
#[derive(Debug)]
pub(super) struct Sticky {
    batch_bytes: u32,
    is_adaptive: bool,
    random: Random,
    shared: CachePadded<AtomicU64>,
    lanes: [CachePadded<AtomicU64>; LANE_COUNT],
}

impl Sticky {
    /// # Panics
    ///
    /// If `batch_bytes` is 0.
    pub(super) fn new(batch_bytes: usize) -> Self {
        let none = || CachePadded::new(AtomicU64::new(Choice::NONE.0));
        Sticky {
            batch_bytes: checked(batch_bytes),
            is_adaptive: false,
            random: Random::default(),
            shared: none(),
            lanes: std::array::from_fn(|_| none()),
        }
    }

    /// Prefers partitions with short queues, where there are queues.
    pub(super) fn adaptive(mut self) -> Self {
        self.is_adaptive = true;
        self
    }

    /// # Panics
    ///
    /// If `batch_bytes` is 0.
    pub(super) fn with_batch_bytes(mut self, batch_bytes: usize) -> Self {
        self.batch_bytes = checked(batch_bytes);
        self
    }

    pub(super) fn with_random(mut self, random: Random) -> Self {
        self.random = random;
        self
    }

    /// The partition for the next record; makes up for a change that was put off.
    #[inline]
    pub(super) fn current(&self, topic: &TopicView<'_>) -> PartitionId {
        let word = self.word(topic);
        let choice = Choice::load(word);
        if choice.bytes() < self.batch_bytes && choice.partition() < topic.partition_count() {
            choice.partition()
        } else {
            self.review(word, choice, topic)
        }
    }

    /// Counts what was appended, and changes the partition when it has had its share.
    #[inline]
    pub(super) fn appended(&self, partition: PartitionId, bytes: usize, topic: &TopicView<'_>) {
        if topic.has_queues() {
            return self.count_shared(partition, bytes, topic);
        }
        let word = self.word(topic);
        let choice = Choice::load(word);
        let grown = choice.grown(bytes);
        if choice.partition() != partition {
            return;
        }
        // Relaxed, here and below: the word is all there is, nothing is published through it.
        word.store(grown.0, Ordering::Relaxed);
        if grown.bytes() >= self.batch_bytes {
            self.review(word, grown, topic);
        }
    }

    /// As `appended`, exact whatever other threads do.
    #[inline(never)]
    fn count_shared(&self, partition: PartitionId, bytes: usize, topic: &TopicView<'_>) {
        let mut choice = Choice::load(&self.shared);
        while choice.partition() == partition {
            let grown = choice.grown(bytes);
            match choice.replace(&self.shared, grown) {
                Ok(()) => {
                    if grown.bytes() >= self.batch_bytes {
                        self.review(&self.shared, grown, topic);
                    }
                    return;
                }
                Err(other) => choice = other,
            }
        }
    }

    /// Chooses anew where that is due. Another thread that has done so since `seen` is heeded.
    #[cold]
    #[inline(never)]
    fn review(&self, word: &AtomicU64, seen: Choice, topic: &TopicView<'_>) -> PartitionId {
        let mut seen = seen;
        let mut next = None;
        while self.is_due(seen, topic) {
            let next = *next.get_or_insert_with(|| self.choose(topic));
            match seen.replace(word, Choice::of(next)) {
                Ok(()) => return next,
                Err(other) => seen = other,
            }
        }
        seen.partition()
    }

    /// Whether the partition has had its share, or is not one of the topic's.
    fn is_due(&self, choice: Choice, topic: &TopicView<'_>) -> bool {
        let (partition, bytes) = (choice.partition(), choice.bytes());
        partition >= topic.partition_count()
            || bytes >= 2 * self.batch_bytes
            || (bytes >= self.batch_bytes && !topic.has_open_batch(partition))
    }

    /// One draw of chance: by queue length where that says something, else all alike.
    fn choose(&self, topic: &TopicView<'_>) -> PartitionId {
        let random = self.random.next();
        let count = topic.partition_count();
        let by_load = if self.is_adaptive && topic.has_queues() {
            let online = (0..count).filter(|partition| !topic.is_offline(*partition));
            let queues = online.map(|partition| (partition, topic.queue(partition)));
            load::choose(queues, count as usize, random)
        } else {
            None
        };
        by_load.unwrap_or_else(|| topic.any(random))
    }

    #[inline]
    fn word(&self, topic: &TopicView<'_>) -> &AtomicU64 {
        if topic.has_queues() { &self.shared } else { &self.lanes[lane() % LANE_COUNT] }
    }
}

/// A partition and the bytes that went to it since it was chosen.
#[derive(Clone, Copy)]
struct Choice(u64);

impl Choice {
    /// No partition: a number that is beyond those of any topic.
    const NONE: Choice = Choice::of(PartitionId::MAX);

    const fn of(partition: PartitionId) -> Self {
        Choice((partition as u64) << 32)
    }

    #[inline]
    fn load(word: &AtomicU64) -> Self {
        Choice(word.load(Ordering::Relaxed))
    }

    /// Puts `next` in this one's place, or says what is there instead.
    fn replace(self, word: &AtomicU64, next: Choice) -> Result<(), Choice> {
        word.compare_exchange(self.0, next.0, Ordering::Relaxed, Ordering::Relaxed)
            .map(drop)
            .map_err(Choice)
    }

    #[inline]
    fn partition(self) -> PartitionId {
        (self.0 >> 32) as u32
    }

    #[inline]
    fn bytes(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }

    /// Stops at the greatest count there is, which is beyond any limit.
    #[inline]
    fn grown(self, bytes: usize) -> Self {
        let room = u32::MAX - self.bytes();
        Choice(self.0 + (bytes as u64).min(u64::from(room)))
    }
}

/// Refuses 0; and stops where twice the limit would not fit in the word's lower half.
fn checked(batch_bytes: usize) -> u32 {
    assert!(batch_bytes > 0, "batch_bytes is 0, it must be at least 1");
    u32::try_from(batch_bytes).unwrap_or(u32::MAX).min(u32::MAX / 2)
}

/// The calling thread's lane. Threads are dealt out in turn; those beyond the last share.
#[inline]
fn lane() -> usize {
    const NOT_DEALT: usize = usize::MAX;
    static NEXT: LazyLock<AtomicUsize> = LazyLock::new(AtomicUsize::default);
    thread_local! {
        // A constant to begin with, because a lazy initial value costs a test at every access.
        static LANE: Cell<usize> = const { Cell::new(NOT_DEALT) };
    }

    #[cold]
    fn deal() -> usize {
        LANE.set(NEXT.fetch_add(1, Ordering::Relaxed) % LANE_COUNT);
        LANE.get()
    }

    match LANE.get() {
        NOT_DEALT => deal(),
        lane => lane,
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
