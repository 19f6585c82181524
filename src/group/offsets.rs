//! Committed offsets: how far a group has come in each partition, and what lag that leaves.
//!
//! The committed value is the offset of the next record to be read. It is kept by topic and partition
//! number, so that the lag of a million partitions is a walk over rows and not a million look-ups.
//!
//! A group in memory stores a commit at once. One that has a journal does it in two steps, because
//! what is committed is what survives, and finding that out takes a disk's time:
//!
//! ```text
//!  group's lock:  may it commit? ─► begin: enqueue in the log, note as in flight ─┐
//!  no lock:       settle: wait for the disk ─► safe: into the rows, others see it ◄┘
//!                                          └─► not safe: forgotten, no trace of it in the rows
//! ```
//!
//! What may meet a commit in flight, and why it does no harm:
//!
//! - *The partition's next owner*, when the one who commits was fenced or given up meanwhile. It must
//!   not start from the older value in the rows: it would read again what is committed a moment
//!   later, and then commit less. So it waits until nothing is in flight for what it takes on
//!   ([`Offsets::wait_for`]). The coordinator refuses commits of the former owner before it
//!   gives the partition away, both under the group's lock, so nothing new gets in flight meanwhile.
//! - *A reset* of a group whose last member was given up while it commits. Both are in the log, in the
//!   order in which they began; who settles first does not matter, see invariant 3.
//! - *Readers* of committed offsets and lags. They see what is settled, and never wait.
//! - *A panic* of the disk. What was in flight is given up, and who waits goes on.
//!
//! Invariants, with a journal:
//! 1. The rows hold what is durable, and nothing else.
//! 2. The order of the log is the order in which commits began: both are fixed under one lock.
//! 3. A row never goes back to an earlier commit: one that is settled late leaves alone what a later one
//!    has set.
//! 4. Rows take memory in proportion to what the group's topics have, whatever a log says: what was
//!    restored for other topics or partitions stays aside.
//!
//! If a sync of the log failed, whether the commit survives is not known. The rows do not have it, and
//! the log takes no more: what is committed then shows when it is opened again.

use super::journal::{CommitRecords, OffsetsLog, Ticket};
use crate::error::AppendError;
use crate::ids::{GroupId, Map, Offset, PartitionId, TopicName, TopicPartition};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::planted::{Bug, planted};
use crate::sync::{Condvar, Mutex};
use crate::topic::{Durability, Partition, Topic};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// The most bytes that the metadata of a commit may have, as in Kafka.
pub(super) const METADATA_BYTES_MAX: usize = 4096;

/// A committed offset, and what the member wanted to remember with it.
///
/// ```
/// use anabranch::OffsetAndMetadata;
///
/// let committed = OffsetAndMetadata::new(17).with_metadata("batch 4");
/// assert_eq!((committed.offset, committed.metadata.as_str()), (17, "batch 4"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The offset of the next record to be read.
    pub offset: Offset,
    /// Anything; at most 4,096 bytes. Default: empty.
    pub metadata: String,
}

impl OffsetAndMetadata {
    /// An offset without metadata.
    pub fn new(offset: Offset) -> Self {
        OffsetAndMetadata { offset, metadata: String::new() }
    }

    /// Sets the metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = metadata.into();
        self
    }
}

/// The leader epoch of a commit that carries none.
pub(crate) const NO_EPOCH: i32 = -1;

/// A committed offset as it is kept: with the log's leader epoch of that time, which tells whether
/// the records below it are still those that were consumed (KIP-320).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: Offset,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

impl Committed {
    /// What is to be committed for a partition, as its log stands now.
    pub(super) fn new(partition: &Partition, what: OffsetAndMetadata) -> Self {
        let OffsetAndMetadata { offset, metadata } = what;
        Committed { offset, leader_epoch: leader_epoch(partition), metadata }
    }

    /// Where the partition's log lost records that were consumed and committed, if it did: new ones
    /// may stand at their offsets since.
    pub(super) fn truncated_at(&self, partition: &Partition) -> Option<Offset> {
        self.is_beyond(end_of_epoch(partition, self.leader_epoch)?)
    }

    fn is_beyond(&self, end: Offset) -> Option<Offset> {
        (self.offset > end).then_some(end)
    }
}

/// The leader epoch that the partition's next record gets. A log in memory has none to tell apart: it
/// is gone as a whole or not at all.
fn leader_epoch(partition: &Partition) -> i32 {
    partition.shared.leader_epoch().unwrap_or(NO_EPOCH)
}

/// Where the records of an epoch, and of those before it, end: at the start of the next one. `None` if
/// there is no next one, or none is known.
fn end_of_epoch(partition: &Partition, epoch: i32) -> Option<Offset> {
    partition.shared.end_of_epoch(epoch)
}

impl From<Committed> for OffsetAndMetadata {
    fn from(committed: Committed) -> Self {
        OffsetAndMetadata { offset: committed.offset, metadata: committed.metadata }
    }
}

/// What a commit does to a partition; `None` forgets what was committed.
pub(super) type Change = (TopicPartition, Option<Committed>);

/// The log behind a group's offsets.
#[derive(Debug)]
pub(super) struct Backing {
    pub(super) group: GroupId,
    pub(super) log: Arc<dyn OffsetsLog>,
}

/// Its lock is taken after the group's by those who hold both.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    /// Guards what is committed and what is in flight.
    state: Mutex<State>,
    /// Rung when something in flight is settled.
    settled: Condvar,
    backing: Option<Backing>,
    /// Whether commits are to be on disk. Relaxed: set before the group is built.
    syncs: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    by_topic: Map<TopicName, Vec<Option<Committed>>>,
    /// What was restored for topics and partitions that the group does not have, or not yet.
    aside: Map<TopicPartition, Committed>,
    /// In the order in which they began.
    in_flight: VecDeque<InFlight>,
    begun: u64,
}

#[derive(Debug)]
struct InFlight {
    number: u64,
    changes: Vec<Change>,
}

/// A commit that was not begun yet, encoded if there is a log that it goes to.
#[derive(Debug)]
pub(super) struct Prepared {
    changes: Vec<Change>,
    records: Option<CommitRecords>,
}

/// A commit that was begun. Dropped without being settled, it counts as failed.
#[derive(Debug)]
#[must_use = "nobody sees what is committed before it is settled"]
pub(super) struct Pending<'a> {
    offsets: &'a Offsets,
    /// Its number, and its place in the log; `None` if it is settled.
    in_flight: Option<(u64, Option<Ticket>)>,
}

impl Offsets {
    /// Offsets that go to a log, with what it holds already.
    pub(super) fn restored(backing: Backing, aside: Map<TopicPartition, Committed>) -> Self {
        let state = Mutex::new(State { aside, ..State::default() });
        let (settled, syncs) = (Condvar::default(), AtomicBool::new(false));
        Offsets { state, settled, backing: Some(backing), syncs }
    }

    /// Says how durable a commit is to be before it counts.
    pub(super) fn set_durability(&self, durability: Durability) {
        self.syncs.store(durability == Durability::Synced, Ordering::Relaxed);
    }

    /// Makes rows of what was restored for a topic that the group has from now on.
    pub(super) fn adopt(&self, topic: &Topic) {
        let mut state = self.state.lock();
        if state.aside.is_empty() {
            return;
        }
        let (name, count) = (topic.topic_name(), topic.partition_count());
        let is_its = |of: &TopicPartition| of.topic == *name && of.partition < count;
        let (its, aside): (Map<_, _>, _) =
            std::mem::take(&mut state.aside).into_iter().partition(|(of, _)| is_its(of));
        state.aside = aside;
        state.apply(its.into_iter().map(|(of, committed)| (of, Some(committed))).collect());
    }

    pub(super) fn get(&self, of: &TopicPartition) -> Option<Committed> {
        self.state.lock().get(of).cloned()
    }

    /// All that is committed, sorted.
    pub(super) fn all(&self) -> Vec<(TopicPartition, OffsetAndMetadata)> {
        let state = self.state.lock();
        let mut all: Vec<(TopicPartition, OffsetAndMetadata)> = Vec::new();
        for (topic, rows) in &state.by_topic {
            let rows = (0..).zip(rows).filter_map(|(id, row)| Some((id, row.clone()?)));
            all.extend(rows.map(|(id, row)| (TopicPartition::new(topic, id), row.into())));
        }
        all.extend(state.aside.iter().map(|(of, row)| (of.clone(), row.clone().into())));
        drop(state);
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Waits until nothing is in flight for these partitions, which are sorted: from then on what is
    /// committed for them changes only by their new owner.
    pub(super) fn wait_for(&self, partitions: &[TopicPartition]) {
        if self.backing.is_none() || planted(Bug::StartUnsettled) {
            return;
        }
        let mut state = self.state.lock();
        while state.in_flight.iter().any(|commit| commit.meets(partitions)) {
            state = self.settled.wait(state, Duration::MAX);
        }
    }

    /// Makes a commit ready; the part that needs no lock.
    pub(super) fn prepare(&self, changes: Vec<Change>) -> Prepared {
        let encode =
            |Backing { group, log }: &Backing| CommitRecords::encode(group, &changes, log.now());
        Prepared { records: self.backing.as_ref().map(encode), changes }
    }

    /// Takes the first step: from here on the commit has its place in the order of commits.
    pub(super) fn begin(&self, commit: Prepared) -> Result<Pending<'_>, AppendError> {
        let Prepared { changes, records } = commit;
        let mut state = self.state.lock();
        let (Some(Backing { log, .. }), Some(records)) = (&self.backing, records) else {
            state.apply(changes);
            return Ok(Pending { offsets: self, in_flight: None });
        };
        if changes.is_empty() {
            return Ok(Pending { offsets: self, in_flight: None });
        }
        let ticket = log.enqueue(&records.records())?;
        if planted(Bug::ShowInFlight) {
            state.apply(changes.clone());
        }
        let number = state.begun;
        state.begun += 1;
        state.in_flight.push_back(InFlight { number, changes });
        Ok(Pending { offsets: self, in_flight: Some((number, Some(ticket))) })
    }

    /// Takes a commit out of flight, and over into the rows if it is durable.
    fn end(&self, number: u64, is_durable: bool) {
        let mut state = self.state.lock();
        let place = state.in_flight.iter().position(|commit| commit.number == number);
        let commit = place.and_then(|place| Some((place, state.in_flight.remove(place)?)));
        if let Some((place, commit)) = commit.filter(|_| is_durable) {
            if place > 0 {
                let set: Map<&TopicPartition, ()> =
                    commit.changes.iter().map(|(of, _)| (of, ())).collect();
                for earlier in state.in_flight.range_mut(..place) {
                    earlier.changes.retain(|(of, _)| !set.contains_key(of));
                }
            }
            state.apply(commit.changes);
        }
        drop(state);
        self.settled.notify_all();
    }

    /// The records of each partition of a topic that are not consumed yet; without a commit all
    /// that are retained.
    pub(super) fn lags(&self, topic: &Topic) -> Vec<u64> {
        let name = topic.topic_name();
        let state = self.state.lock();
        let rows = state.by_topic.get(name).cloned().unwrap_or_default();
        drop(state);
        let lag = |partition: Partition| {
            let start = partition.log_start_offset();
            let committed = rows.get(partition.id() as usize).and_then(Option::as_ref);
            let offset = |committed: &Committed| {
                committed.truncated_at(&partition).unwrap_or(committed.offset)
            };
            let from = committed.map_or(start, |committed| offset(committed).max(start));
            partition.high_watermark().saturating_sub(from)
        };
        topic.partitions().map(lag).collect()
    }
}

impl Pending<'_> {
    /// Takes the second step: waits until the commit is durable, and lets others see it.
    ///
    /// To be called with no lock held.
    pub(super) fn settle(mut self) -> Result<(), AppendError> {
        let Some((number, ticket)) = &mut self.in_flight else { return Ok(()) };
        let (number, ticket) = (*number, ticket.take());
        let outcome = match (&self.offsets.backing, ticket) {
            (Some(backing), Some(ticket)) => {
                let syncs = self.offsets.syncs.load(Ordering::Relaxed);
                backing.log.settle(ticket, syncs && !planted(Bug::CommitUnsynced))
            }
            _ => Ok(()),
        };
        self.in_flight = None;
        self.offsets.end(number, outcome.is_ok());
        outcome
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some((number, _)) = self.in_flight.take() {
            self.offsets.end(number, false);
        }
    }
}

impl InFlight {
    /// Whether it changes one of these partitions, which are sorted.
    fn meets(&self, partitions: &[TopicPartition]) -> bool {
        self.changes.iter().any(|(of, _)| partitions.binary_search(of).is_ok())
    }
}

impl State {
    fn get(&self, of: &TopicPartition) -> Option<&Committed> {
        let row = self.by_topic.get(&of.topic).and_then(|rows| rows.get(of.partition as usize));
        match row {
            Some(Some(committed)) => Some(committed),
            _ => self.aside.get(of),
        }
    }

    /// Sets rows. A topic is looked up once for changes of its partitions that come one after another.
    fn apply(&mut self, changes: Vec<Change>) {
        if !self.aside.is_empty() {
            changes.iter().for_each(|(of, _)| drop(self.aside.remove(of)));
        }
        let mut changes = changes.into_iter().peekable();
        while let Some((TopicPartition { topic, partition }, committed)) = changes.next() {
            let rows = self.by_topic.entry(topic.clone()).or_default();
            set(rows, partition, committed);
            while let Some((of, committed)) = changes.next_if(|(next, _)| next.topic == topic) {
                set(rows, of.partition, committed);
            }
        }
    }
}

fn set(rows: &mut Vec<Option<Committed>>, partition: PartitionId, committed: Option<Committed>) {
    let row = partition as usize;
    if rows.len() <= row && committed.is_some() {
        rows.resize(row + 1, None);
    }
    if let Some(place) = rows.get_mut(row) {
        *place = committed;
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    /// What is committed is good up to where the log ended when it was last cut.
    #[test]
    fn an_offset_is_beyond_an_end_that_lies_below_it() {
        let committed = Committed { offset: 7, leader_epoch: 3, metadata: String::new() };
        assert_eq!([6, 7, 8].map(|end| committed.is_beyond(end)), [Some(6), None, None]);
    }
}
