//! Records that linger in wait for their batch, and who appends it.
//!
//! Each partition has a queue: batches that are closed, and one that is open. There is no sender
//! thread. Whoever finds a batch ready and nobody at work becomes the partition's appender, takes
//! batch after batch, and appends them with no lock of the queue held; whoever comes meanwhile adds
//! to the open batch and leaves.
//!
//! ```text
//!            push            full, due, flushed, or somebody needs its room
//!  record ────────► open ──────────────────────────────────────────────────► closed ─► appended
//! ```
//!
//! Invariants:
//! 1. Batches of a partition are appended in the order they were opened, by one thread at a time.
//! 2. `queued` counts the records that were pushed and not yet appended. While it is zero nothing
//!    can be overtaken.
//! 3. Reserved bytes never exceed `buffer_bytes`; a batch gives its bytes back once it is appended.
//! 4. No lock is held while the clock is asked.

use super::partitioner::Queues;
use crate::clock::Deadline;
use crate::error::{AppendError, SendError};
use crate::ids::{Offset, PartitionId, Timestamp};
use crate::log::batch::{BatchBuilder, EncodedBatch, HEADER_BYTES, record_bytes_max};
use crate::record::{Record, TimestampType};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::planted::{Bug, planted};
use crate::sync::{Arc, CachePadded, Condvar, Mutex, MutexGuard, OnceLock, Shelf};
use crate::topic::{Shared, Topic};
use std::collections::VecDeque;
use std::time::Duration;

/// What the builder's setters set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) linger: Duration,
    pub(super) batch_bytes: usize,
    pub(super) buffer_bytes: usize,
    pub(super) max_block: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            linger: Duration::ZERO,
            batch_bytes: 16 << 10,
            buffer_bytes: 32 << 20,
            max_block: Duration::from_secs(60),
        }
    }
}

#[derive(Debug)]
pub(super) struct Accumulator {
    limits: Limits,
    /// The topic's partitions that are offline, sorted.
    offline: Vec<PartitionId>,
    /// Whether a partitioner may learn from the queues: some may be longer, or partitions be offline.
    tells: bool,
    queues: Shelf<CachePadded<Queue>>,
    /// Held while queues are added.
    growing: Mutex<()>,
    /// Records in all queues. Relaxed: a thread sees its own pushes, and those that happened before
    /// its call, which is all that invariant 2 is about.
    queued: AtomicUsize,
    /// Bytes reserved for the records in all queues.
    reserved: Mutex<usize>,
    /// Rung when reserved bytes were given back.
    freed: Condvar,
    /// How many calls wait for bytes: while there are any, nothing lingers. Relaxed: a record that
    /// such a call did not find in a queue was pushed after it looked, under the queue's lock, and
    /// so after it was counted.
    short_of_room: AtomicUsize,
    /// No open batch is due before this, in nanoseconds of the topic's clock, so that an `enqueue` need
    /// not look at every queue. Relaxed: whoever opens a batch lowers it before it returns.
    earliest_due: AtomicU64,
}

/// The queue of one partition.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    /// Rung after every batch, and when the appender leaves.
    appended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: Option<Open>,
    closed: VecDeque<Closed>,
    is_appending: bool,
    was_used: bool,
    /// The buffer of the last batch that was appended, for the next one that is opened.
    buffer: Vec<u8>,
    /// The first refusal that no flush has told of yet.
    refusal: Option<AppendError>,
}

#[derive(Debug)]
struct Open {
    builder: BatchBuilder,
    reserved: usize,
    due: Duration,
    fate: Arc<Fate>,
}

#[derive(Debug)]
struct Closed {
    batch: EncodedBatch,
    reserved: usize,
    fate: Arc<Fate>,
}

/// What becomes of a batch, once it is appended or refused.
#[derive(Debug, Default)]
pub(super) struct Fate(OnceLock<Result<Appended, AppendError>>);

/// A record's offset, and its append time if that stamps it.
pub(super) type Stamped = (Offset, Option<Timestamp>);

/// The base offset of a batch, and the time it was appended where that stamps its records.
#[derive(Clone, Copy, Debug)]
struct Appended {
    base: Offset,
    time: Option<Timestamp>,
}

/// A record's place in a queued batch.
#[derive(Clone, Debug)]
pub(super) struct Place {
    fate: Arc<Fate>,
    index: u32,
    pub(super) partition: PartitionId,
}

impl Place {
    /// What became of the record, once its batch is appended or refused.
    pub(super) fn appended(&self) -> Option<Result<Stamped, AppendError>> {
        let index = if planted(Bug::ForgetIndex) { 0 } else { self.index };
        let stamped = |appended: &Appended| (appended.base + Offset::from(index), appended.time);
        Some(self.fate.0.get()?.as_ref().map(stamped).map_err(AppendError::clone))
    }
}

/// What the topic's clock said: asked before anything is queued.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    now: Timestamp,
    elapsed: Duration,
}

/// Bytes of the buffer that were set aside; they go back unless a batch keeps them.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    accumulator: &'a Accumulator,
    bytes: usize,
}

impl Reserved<'_> {
    /// The bytes, for a batch that gives them back.
    fn keep(mut self) -> usize {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.accumulator.give_back(self.bytes);
        }
    }
}

impl State {
    fn take_refusal(&mut self) -> Result<(), AppendError> {
        self.refusal.take().map_or(Ok(()), Err)
    }

    fn close_open(&mut self) {
        if let Some(open) = self.open.take() {
            let Open { builder, reserved, fate, .. } = open;
            self.closed.push_back(Closed { batch: builder.finish(), reserved, fate });
        }
    }
}

impl Accumulator {
    /// For a topic of which these partitions are offline, sorted.
    pub(super) fn new(limits: Limits, offline: Vec<PartitionId>) -> Accumulator {
        Accumulator {
            limits,
            tells: !limits.linger.is_zero() || !offline.is_empty(),
            offline,
            queues: Shelf::new(),
            growing: Mutex::new(()),
            queued: AtomicUsize::new(0),
            reserved: Mutex::new(0),
            freed: Condvar::default(),
            short_of_room: AtomicUsize::new(0),
            earliest_due: AtomicU64::new(u64::MAX),
        }
    }

    /// Whether records wait on purpose.
    #[inline]
    pub(super) fn lingers(&self) -> bool {
        !self.limits.linger.is_zero()
    }

    /// Refuses what would wait for a partition that is offline.
    #[inline]
    pub(super) fn check_online(&self, partition: &Shared) -> Result<(), AppendError> {
        if self.offline.is_empty() { Ok(()) } else { partition.check_online() }
    }

    /// Whether a partitioner may learn from the queues.
    #[inline]
    pub(super) fn tells(&self) -> bool {
        self.tells
    }

    /// The bytes at which a batch that gathers is full.
    pub(super) fn batch_bytes(&self) -> usize {
        self.limits.batch_bytes
    }

    /// What the topic's clock says.
    pub(super) fn times(&self, topic: &Topic) -> Times {
        Times { now: topic.now(), elapsed: topic.elapsed() }
    }

    /// Sets bytes aside for a record, waiting for up to `max_block`.
    pub(super) fn reserve(
        &self,
        record: &Record<'_>,
        topic: &Topic,
    ) -> Result<Reserved<'_>, SendError> {
        let needed = record_bytes_max(record) + HEADER_BYTES;
        let max = self.limits.buffer_bytes;
        let full = |used| {
            let topic = topic.topic_name().clone();
            SendError::BufferFull { topic, needed, used, max }
        };
        let mut reserved = self.reserved.lock();
        if needed > max {
            return Err(full(*reserved));
        }
        if *reserved + needed > max {
            // What waits only to be due is appended now, and what comes meanwhile does not linger,
            // so that only appends that are under way are waited for.
            drop(reserved);
            let _short = ShortOfRoom::count(&self.short_of_room);
            self.append_idle(topic);
            let deadline = Deadline::after(self.limits.max_block);
            reserved = self.reserved.lock();
            while *reserved + needed > max {
                let remaining = deadline.remaining();
                if remaining.is_zero() {
                    return Err(full(*reserved));
                }
                reserved = self.freed.wait(reserved, remaining);
            }
        }
        *reserved += needed;
        Ok(Reserved { accumulator: self, bytes: needed })
    }

    /// Closes the partition's open batch if the record does not fit into it; says whether it did.
    pub(super) fn closes_batch(&self, record: &Record<'_>, id: PartitionId) -> bool {
        let mut state = self.queue(id).state.lock();
        let closes = state.open.as_ref().is_some_and(|open| !self.fits(open, record));
        if closes {
            state.close_open();
        }
        closes
    }

    fn fits(&self, open: &Open, record: &Record<'_>) -> bool {
        open.builder.bytes() + record_bytes_max(record) <= self.limits.batch_bytes
    }

    /// Adds a record to the partition's open batch, opening one if it must.
    pub(super) fn push(
        &self,
        record: &Record<'_>,
        reserved: Reserved<'_>,
        id: PartitionId,
        timestamp: Timestamp,
        times: Times,
    ) -> Place {
        let due = times.elapsed.saturating_add(self.limits.linger);
        let mut state = self.queue(id).state.lock();
        state.was_used = true;
        if state.open.as_ref().is_some_and(|open| !self.fits(open, record)) {
            state.close_open();
        }
        let State { open, buffer, .. } = &mut *state;
        if open.is_none() {
            self.earliest_due.fetch_min(nanos(due), Ordering::Relaxed);
        }
        let open = open.get_or_insert_with(|| Open {
            builder: BatchBuilder::with_buffer(std::mem::take(buffer)),
            reserved: 0,
            due,
            fate: Arc::default(),
        });
        let index = open.builder.count();
        open.builder.push(record, timestamp);
        open.reserved += reserved.keep();
        let place = Place { fate: Arc::clone(&open.fate), index, partition: id };
        if open.builder.bytes() >= self.limits.batch_bytes {
            state.close_open();
        }
        self.queued.fetch_add(1, Ordering::Relaxed);
        place
    }

    /// Appends what is full in a partition, unless somebody is at it; also what has become due elsewhere,
    /// or everything if somebody waits for the room that it takes.
    pub(super) fn append_due(&self, topic: &Topic, id: PartitionId, times: Times) {
        let is_wanted = self.short_of_room.load(Ordering::Relaxed) > 0;
        if is_wanted && !planted(Bug::LingerOn) {
            self.append_idle(topic);
        } else if nanos(times.elapsed) >= self.earliest_due.load(Ordering::Relaxed) {
            self.tick(topic, times);
        } else {
            let queue = self.queue(id);
            drop(self.append_closed(queue, queue.state.lock(), topic, id, times.now));
        }
    }

    /// Appends what is due; returns how long it is until the next batch is.
    pub(super) fn tick(&self, topic: &Topic, times: Times) -> Option<Duration> {
        let Times { now, elapsed } = times;
        // What is pushed from now on lowers it again.
        self.earliest_due.store(u64::MAX, Ordering::Relaxed);
        let mut next = None;
        for (id, queue) in self.used() {
            let mut state = queue.state.lock();
            if state.open.as_ref().is_some_and(|open| open.due <= elapsed) {
                state.close_open();
            }
            let state = self.append_closed(queue, state, topic, id, now);
            if let Some(open) = &state.open {
                let left = open.due.saturating_sub(elapsed);
                next = Some(next.map_or(left, |next: Duration| next.min(left)));
                self.earliest_due.fetch_min(nanos(open.due), Ordering::Relaxed);
            }
        }
        next
    }

    /// Appends all that is queued, and waits for what others are appending; returns the gravest refusal
    /// that it has met.
    pub(super) fn flush(&self, topic: &Topic) -> Result<(), AppendError> {
        let mut first = Ok(());
        if self.queued.load(Ordering::Relaxed) > 0 {
            let now = topic.now();
            for (id, queue) in self.used() {
                self.drain(queue, topic, id, now);
                first = super::graver(first, queue.state.lock().take_refusal());
            }
        }
        first
    }

    /// Appends what is queued for one partition, so that nothing is overtaken.
    #[inline]
    pub(super) fn append_queued(&self, topic: &Topic, id: PartitionId, now: Timestamp) {
        if self.queued.load(Ordering::Relaxed) > 0
            && !planted(Bug::ForgetQueued)
            && let Some(queue) = self.queues.get(id)
        {
            self.drain(queue, topic, id, now);
        }
    }

    /// Sees to it that the batch of `place` is appended; returns what [`Place::appended`] does.
    ///
    /// # Panics
    ///
    /// If the thread that appended the batch panicked.
    pub(super) fn complete(&self, place: &Place, topic: &Topic) -> Result<Stamped, AppendError> {
        if let Some(appended) = place.appended() {
            return appended;
        }
        let (id, now) = (place.partition, topic.now());
        let queue = self.queue(id);
        let mut state = queue.state.lock();
        if state.open.as_ref().is_some_and(|open| Arc::ptr_eq(&open.fate, &place.fate)) {
            state.close_open();
        }
        loop {
            state = self.append_closed(queue, state, topic, id, now);
            if let Some(appended) = place.appended() {
                return appended;
            }
            assert!(state.is_appending, "the thread that was appending this record panicked");
            state = queue.appended.wait(state, Duration::MAX);
        }
    }

    /// Appends everything of one partition, and waits for who is at it already.
    fn drain(&self, queue: &Queue, topic: &Topic, id: PartitionId, now: Timestamp) {
        let mut state = queue.state.lock();
        state.close_open();
        loop {
            state = self.append_closed(queue, state, topic, id, now);
            if !state.is_appending || planted(Bug::ImpatientFlush) {
                return;
            }
            state = queue.appended.wait(state, Duration::MAX);
        }
    }

    /// Appends everything of the partitions that nobody is at.
    fn append_idle(&self, topic: &Topic) {
        let now = topic.now();
        for (id, queue) in self.used() {
            let mut state = queue.state.lock();
            state.close_open();
            drop(self.append_closed(queue, state, topic, id, now));
        }
    }

    /// Becomes the partition's appender, if it has none, until no batch is closed.
    fn append_closed<'q>(
        &self,
        queue: &'q Queue,
        mut state: MutexGuard<'q, State>,
        topic: &Topic,
        id: PartitionId,
        now: Timestamp,
    ) -> MutexGuard<'q, State> {
        if state.is_appending {
            return state;
        }
        loop {
            let Some(next) = state.closed.pop_front() else { return state };
            state.is_appending = true;
            drop(state);
            let leave = Leave(queue);
            let partition = topic.shared(id).expect("a record was routed to this partition");
            let base = partition.append_encoded(&next.batch, now);
            if planted(Bug::AppendTwice) {
                drop(partition.append_encoded(&next.batch, now));
            }
            let is_stamped = topic.config().timestamp_type == TimestampType::LogAppendTime;
            let appended = base.map(|base| Appended { base, time: is_stamped.then_some(now) });
            let refusal = appended.as_ref().err().cloned();
            next.fate.0.set(appended).expect("a batch is appended once");
            self.queued.fetch_sub(next.batch.encoded.count as usize, Ordering::Relaxed);
            self.give_back(next.reserved);
            drop(leave);
            state = queue.state.lock();
            state.refusal = state.refusal.take().or(refusal);
            let buffer = next.batch.into_buffer();
            if buffer.capacity() <= 2 * self.limits.batch_bytes {
                state.buffer = buffer;
            }
            if state.is_appending {
                return state; // somebody else took over between the two
            }
        }
    }

    fn give_back(&self, bytes: usize) {
        *self.reserved.lock() -= bytes;
        if !planted(Bug::SilentRoom) {
            self.freed.notify_all();
        }
    }

    fn used(&self) -> impl Iterator<Item = (PartitionId, &Queue)> {
        (0..self.queues.len()).filter_map(|id| Some((id, &**self.queues.get(id)?)))
    }

    fn queue(&self, id: PartitionId) -> &Queue {
        if id >= self.queues.len() {
            let growing = self.growing.lock();
            while self.queues.len() <= id {
                self.queues.push(CachePadded::new(Queue::default()));
            }
            drop(growing);
        }
        self.queues.get(id).expect("the row has grown beyond this partition")
    }
}

/// A call that waits for room in the buffer, counted for as long as this lives.
struct ShortOfRoom<'a>(&'a AtomicUsize);

impl<'a> ShortOfRoom<'a> {
    fn count(calls: &'a AtomicUsize) -> Self {
        calls.fetch_add(1, Ordering::Relaxed);
        ShortOfRoom(calls)
    }
}

impl Drop for ShortOfRoom<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A time of the clock as a number; one that is too far away is the last there is.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Lets the next appender in, also should this one panic.
struct Leave<'q>(&'q Queue);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.state.lock().is_appending = false;
        self.0.appended.notify_all();
    }
}

impl Queues for Accumulator {
    fn backlog(&self, partition: PartitionId) -> Option<usize> {
        let state = self.queues.get(partition)?.state.lock();
        state.was_used.then(|| state.closed.len() + usize::from(state.open.is_some()))
    }

    fn has_open_batch(&self, partition: PartitionId) -> bool {
        self.queues.get(partition).is_some_and(|queue| queue.state.lock().open.is_some())
    }

    fn gather(&self) -> bool {
        self.lingers()
    }

    fn offline(&self) -> &[PartitionId] {
        &self.offline
    }
}
