//! Committed offsets that survive: a log of our own, with the append, recovery and compaction of
//! users' logs.
//!
//! The internal topic [`OFFSETS_TOPIC`] has one partition. Each commit is one batch in it, one record for each
//! partition committed (see [`record`], which is Kafka's format), so it survives whole or not at all.
//! The latest record of a key wins, and compaction keeps just that one.
//!
//! ```text
//!  open ─► load: replay from the start ──► Offsets of "billing", of "audit", …      one for each group
//!                                              │  ▲
//!  commit ─► group's lock ─► Offsets: enqueue ─┘  └─ settled: now others see it
//! ```
//!
//! Between enqueueing and settling a commit is *in flight*: `offsets.rs` says what that means for
//! those who look.
//!
//! Invariants:
//! 1. A group is open once: two handles that were built apart would each give a partition an owner.
//! 2. All who know a group's offsets know them from the one [`Offsets`] that the journal has of it, so
//!    a group that is built again goes on where the one before it stopped.
//! 3. Whatever bytes the log holds, loading takes memory in proportion to them, and never panics.
//!
//! Locks, taken in this order: the journal's, then `Offsets`, then a partition's.

mod log;
mod record;
#[cfg(test)]
#[cfg(not(any(loom, shuttle)))]
mod tests;

pub(super) use log::{OffsetsLog, Ticket};

use super::OffsetAndMetadata;
use super::offsets::{Backing, Change, Committed, Offsets};
use crate::error::{AppendError, CommitError, Corruption, GroupError, ReadError};
use crate::ids::{GroupId, Map, Timestamp, TopicName, TopicPartition};
use crate::record::Record;
use crate::sync::Mutex;
use crate::topic::{Partition, Reader};
use record::{CommitKey, RecordError, STRING_BYTES_MAX};
use std::sync::Arc;
use std::time::Duration;

/// The internal topic that commits go to; the name is Kafka's.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The committed offsets of all groups, and the log behind them.
#[derive(Debug)]
pub(crate) struct OffsetsJournal {
    log: Arc<dyn OffsetsLog>,
    /// Guards which groups are known, and which are open: whoever holds a share of a group's offsets
    /// besides this map has it open.
    groups: Mutex<Map<GroupId, Arc<Offsets>>>,
    skipped: u64,
    /// Set if the log is damaged: no group is known, and none is opened.
    offline: Option<(TopicPartition, Box<Corruption>)>,
}

/// What a log of commits comes to.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// What is committed; no group is empty.
    pub(crate) groups: Map<GroupId, Map<TopicPartition, Committed>>,
    /// Records that are no commits, or none that this version can read.
    pub(crate) skipped: u64,
}

/// Replays a log of commits from its start to its high watermark.
///
/// # Errors
///
/// [`ReadError`] if the log cannot be read.
pub(crate) fn load(partition: &Partition) -> Result<Loaded, ReadError> {
    partition.shared.check_readable()?;
    let of = TopicPartition::new(partition.topic(), partition.id());
    let (start, end) = (partition.log_start_offset(), partition.high_watermark());
    let mut reader = Reader::new([(partition.clone(), start)]);
    let mut loaded = Loaded::default();
    let mut position = start;
    while position < end {
        for record in &reader.poll(Duration::ZERO)? {
            loaded.replay(record.key(), record.value());
        }
        let next = reader.position(&of).unwrap_or(end);
        if next == position {
            break; // Compaction left nothing from here on.
        }
        position = next;
    }
    Ok(loaded)
}

impl Loaded {
    /// Takes the next record of the log.
    pub(crate) fn replay(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) {
        if self.try_replay(key, value).is_err() {
            self.skipped += 1;
        }
    }

    fn try_replay(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), RecordError> {
        let CommitKey { group, of } = record::decode_key(key.ok_or(RecordError::NoCommit)?)?;
        if let Some(value) = value {
            let committed = record::decode_value(value)?;
            self.groups.entry(group).or_default().insert(of, committed);
        } else if let Some(offsets) = self.groups.get_mut(&group) {
            offsets.remove(&of);
            if offsets.is_empty() {
                self.groups.remove(&group);
            }
        }
        Ok(())
    }
}

impl OffsetsJournal {
    /// Loads what a log holds, and goes on in it. No one else may append to it. One that is damaged goes
    /// offline: a group that went on without what it had committed would read everything again, or skip it.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the disk does not let the log be read.
    pub(crate) fn open(partition: Partition) -> Result<Arc<OffsetsJournal>, ReadError> {
        let (loaded, offline) = match load(&partition) {
            Ok(loaded) => (loaded, None),
            Err(ReadError::Corrupt { partition: of, corruption }) => {
                partition.shared.take_offline((*corruption).clone());
                (Loaded::default(), Some((of, corruption)))
            }
            Err(ReadError::Offline { partition: of, corruption }) => {
                (Loaded::default(), Some((of, corruption)))
            }
            Err(other) => return Err(other),
        };
        let journal = Self::over(Arc::new(partition), loaded);
        Ok(Arc::new(OffsetsJournal { offline, ..journal }))
    }

    fn over(log: Arc<dyn OffsetsLog>, loaded: Loaded) -> OffsetsJournal {
        let offsets = |(group, restored): (GroupId, _)| {
            let backing = Backing { group: group.clone(), log: Arc::clone(&log) };
            (group, Arc::new(Offsets::restored(backing, restored)))
        };
        let groups = loaded.groups.into_iter().map(offsets).collect();
        let (groups, skipped) = (Mutex::new(groups), loaded.skipped);
        OffsetsJournal { log, groups, skipped, offline: None }
    }

    /// Where the log is damaged, if it is.
    pub(crate) fn offline(&self) -> Option<&(TopicPartition, Box<Corruption>)> {
        self.offline.as_ref()
    }

    fn check_online(&self, group: &GroupId) -> Result<(), GroupError> {
        match self.offline.clone() {
            None => Ok(()),
            Some((partition, corruption)) => {
                Err(GroupError::Offline { group: group.clone(), partition, corruption })
            }
        }
    }

    /// How many records the log held that are no commits, or none that this version can read.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The groups that have something committed, with all of it, sorted.
    pub(crate) fn groups(&self) -> Vec<(GroupId, Vec<(TopicPartition, OffsetAndMetadata)>)> {
        let groups = self.groups.lock();
        let mut rows: Vec<_> = groups.iter().map(|(id, of)| (id.clone(), of.all())).collect();
        drop(groups);
        rows.retain(|(_, offsets)| !offsets.is_empty());
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        rows
    }

    /// The offsets of a group that is being built; the group is open as long as they are held.
    ///
    /// # Errors
    ///
    /// [`GroupError::InUse`] if it is open, [`GroupError::InvalidSetting`] if the name is longer than
    /// Kafka's format can say, [`GroupError::Offline`] if the log is damaged.
    pub(super) fn open_group(&self, id: &GroupId) -> Result<Arc<Offsets>, GroupError> {
        self.check_online(id)?;
        if id.len() > STRING_BYTES_MAX {
            return Err(GroupError::InvalidSetting {
                group: id.clone(),
                setting: "the name",
                value: format!("{} bytes long", id.len()),
                reason: "the format of committed offsets takes 32,767",
            });
        }
        let mut groups = self.groups.lock();
        let fresh = || {
            let backing = Backing { group: id.clone(), log: Arc::clone(&self.log) };
            Arc::new(Offsets::restored(backing, Map::default()))
        };
        let offsets = groups.entry(id.clone()).or_insert_with(fresh);
        if Arc::strong_count(offsets) > 1 {
            return Err(GroupError::InUse { group: id.clone() });
        }
        Ok(Arc::clone(offsets))
    }

    /// Forgets what a group has committed, in the log as well; says whether there was anything.
    ///
    /// # Errors
    ///
    /// [`GroupError::InUse`] while a handle of the group or a member lives, [`GroupError::Commit`] if
    /// that could not be made durable, [`GroupError::Offline`] if the log is damaged.
    pub(crate) fn forget(&self, id: &GroupId) -> Result<bool, GroupError> {
        self.check_online(id)?;
        let groups = self.groups.lock();
        let Some(known) = groups.get(id) else { return Ok(false) };
        if Arc::strong_count(known) > 1 {
            return Err(GroupError::InUse { group: id.clone() });
        }
        // Nobody can open the group while this share of it is held.
        let offsets = Arc::clone(known);
        drop(groups);
        let gone: Vec<Change> = offsets.all().into_iter().map(|(of, _)| (of, None)).collect();
        let had_any = !gone.is_empty();
        let settled = offsets.begin(offsets.prepare(gone)).and_then(|pending| pending.settle());
        let not_durable = |reason| CommitError::NotDurable { group: id.clone(), reason };
        settled.map_err(not_durable)?;
        self.groups.lock().remove(id);
        Ok(had_any)
    }

    /// Forgets what all groups have committed for a topic, in the log as well: the topic is gone, and
    /// another of its name has other records.
    ///
    /// # Errors
    ///
    /// [`AppendError`] if that could not be made durable for one of them, or nobody knows them.
    pub(crate) fn forget_topic(&self, topic: &TopicName) -> Result<(), AppendError> {
        if let Some((partition, corruption)) = self.offline.clone() {
            return Err(AppendError::Offline { partition, corruption });
        }
        let all: Vec<Arc<Offsets>> = self.groups.lock().values().cloned().collect();
        for offsets in all {
            let of_topic = offsets.all().into_iter().filter(|(of, _)| of.topic == *topic);
            let gone: Vec<Change> = of_topic.map(|(of, _)| (of, None)).collect();
            if !gone.is_empty() {
                offsets.begin(offsets.prepare(gone))?.settle()?;
            }
        }
        Ok(())
    }
}

/// The records of one commit, encoded.
#[derive(Debug)]
pub(super) struct CommitRecords(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl CommitRecords {
    pub(super) fn encode(group: &GroupId, changes: &[Change], at: Timestamp) -> Self {
        let encode = |(of, committed): &Change| {
            let value = committed.as_ref().map(|committed| record::encode_value(committed, at));
            (record::encode_key(group, of), value)
        };
        CommitRecords(changes.iter().map(encode).collect())
    }

    /// As records to be appended, all in one batch.
    pub(super) fn records(&self) -> Vec<Record<'_>> {
        self.0.iter().map(record_of).collect()
    }
}

fn record_of((key, value): &(Vec<u8>, Option<Vec<u8>>)) -> Record<'_> {
    Record { key: Some(key), value: value.as_deref(), ..Record::default() }
}
