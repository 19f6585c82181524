//! What may be in a log, and what must be: pure bookkeeping, and the statements that are checked of it.
//!
//! ```text
//!          start        synced       written       end          tail
//!   gone   ├─────────────┼─────────────┼────────────┼────────────┤
//!          │ after a power cut         │ shown      │ sent, and nobody was told
//!          │ it is there │ after a kill it is there
//! ```
//!
//! A call is told to the model twice: before it is made (what may happen from now on) and, if it came
//! back, when it did (what must hold from now on). So the model in between is that of a crash inside.

use anabranch::{Cleanup, Durability, Offset, TopicConfig};
use std::collections::BTreeMap;
use std::time::Duration;

/// The settings of a topic under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Setup {
    pub(crate) durability: Durability,
    pub(crate) cleanup: Cleanup,
    /// Whether housekeeping drops segments by size.
    pub(crate) drops: bool,
}

/// Segments of some sectors: rolls happen every few appends.
pub(crate) const SEGMENT_BYTES: usize = 1_500;

impl Setup {
    pub(crate) const fn of(durability: Durability) -> Setup {
        Setup { durability, cleanup: Cleanup::Delete, drops: false }
    }

    pub(crate) const fn compacted(durability: Durability) -> Setup {
        Setup { durability, cleanup: Cleanup::Compact, drops: false }
    }

    pub(crate) const fn dropping(durability: Durability) -> Setup {
        Setup { durability, cleanup: Cleanup::Delete, drops: true }
    }

    pub(crate) fn config(self) -> TopicConfig {
        let config = TopicConfig::new()
            .durability(self.durability)
            .cleanup(self.cleanup)
            .segment_bytes(SEGMENT_BYTES)
            .min_cleanable_ratio(0.0)
            .delete_retention(Duration::ZERO)
            .cache_bytes(0);
        if self.drops { config.retention_bytes(2_000) } else { config }
    }

    /// Whose commits survive what: the group's durability goes with the topic's.
    pub(crate) fn group_durability(self) -> Durability {
        if self.durability == Durability::Synced { Durability::Synced } else { Durability::Written }
    }

    fn compacts(self) -> bool {
        self.cleanup == Cleanup::Compact
    }
}

/// A record by its unique number; its key and its length follow from that and from what sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sent {
    pub(crate) number: u64,
    pub(crate) bytes: usize,
}

impl Sent {
    pub(crate) fn key(self) -> String {
        format!("k{}", self.number % 3)
    }

    pub(crate) fn value(self) -> Vec<u8> {
        let mut value = format!("{}.", self.number).into_bytes();
        value.resize(self.bytes.max(value.len()), b'a' + (self.number % 26) as u8);
        value
    }
}

/// What is seen of a partition and of its group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    pub(crate) records: Vec<(Offset, String, Vec<u8>)>,
    /// The remark beside the committed offset, which is unique.
    pub(crate) commit: Option<String>,
    /// The leader epoch of each offset that is in a file.
    pub(crate) epochs: BTreeMap<Offset, i32>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    /// In good order.
    Close,
    /// The process died.
    Kill,
    /// The power was cut.
    Cut,
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct Model {
    pub(crate) setup: Setup,
    /// All that may be in the log.
    sent: BTreeMap<Offset, Sent>,
    pub(crate) start: Offset,
    start_max: Offset,
    pub(crate) end: Offset,
    pub(crate) tail: Offset,
    written: Offset,
    synced: Offset,
    /// The remarks of all commits that may be there, in order; how many of them must be.
    commits: Vec<String>,
    commits_written: usize,
    commits_synced: usize,
    /// What was seen at each offset last, and under which epoch.
    shown: BTreeMap<Offset, (u64, i32)>,
    numbers: u64,
}

impl Model {
    pub(crate) fn new(setup: Setup) -> Model {
        Model {
            setup,
            sent: BTreeMap::new(),
            start: 0,
            start_max: 0,
            end: 0,
            tail: 0,
            written: 0,
            synced: 0,
            commits: Vec::new(),
            commits_written: 0,
            commits_synced: 0,
            shown: BTreeMap::new(),
            numbers: 0,
        }
    }

    /// Records are about to be sent as one batch.
    pub(crate) fn send(&mut self, count: usize, bytes: usize) -> Vec<Sent> {
        let batch: Vec<Sent> =
            (self.numbers..).take(count).map(|number| Sent { number, bytes }).collect();
        self.numbers += count as u64;
        self.sent.extend((self.tail..).zip(batch.iter().copied()));
        self.tail += count as u64;
        batch
    }

    /// Everything that was sent is acknowledged.
    pub(crate) fn acknowledge(&mut self) {
        self.show(self.tail);
    }

    /// Readers see everything below `end`.
    pub(crate) fn show(&mut self, end: Offset) {
        self.end = end;
        if self.setup.durability != Durability::Memory {
            self.written = end;
        }
        if self.setup.durability == Durability::Synced {
            self.synced = end;
        }
    }

    /// What is not acknowledged was refused, and is not in the log.
    pub(crate) fn refuse(&mut self) {
        self.tail = self.end;
        self.sent.split_off(&self.end);
    }

    /// A flush said so.
    pub(crate) fn flushed(&mut self, to: Offset) {
        self.written = self.written.max(to);
        self.synced = self.synced.max(to);
    }

    /// The start may move.
    pub(crate) fn delete(&mut self, before: Offset) {
        self.start_max = self.start_max.max(before);
    }

    /// The start was not moved beyond where it is.
    pub(crate) fn refuse_delete(&mut self) {
        self.start_max = self.start;
    }

    /// Readers were told that the log starts here.
    pub(crate) fn started(&mut self, start: Offset) {
        self.start = start;
        self.start_max = self.start_max.max(start);
    }

    /// A commit is about to be made; returns what to remark.
    pub(crate) fn commit(&mut self) -> String {
        let remark = format!("commit {}", self.numbers);
        self.numbers += 1;
        self.commits.push(remark.clone());
        remark
    }

    pub(crate) fn committed(&mut self) {
        self.commits_written = self.commits.len();
        if self.setup.group_durability() == Durability::Synced {
            self.commits_synced = self.commits.len();
        }
    }

    pub(crate) fn refuse_commit(&mut self) {
        self.commits.pop();
    }

    /// The directory was closed in good order.
    pub(crate) fn closed(&mut self) {
        self.written = self.tail;
        self.synced = self.tail;
        self.commits_written = self.commits.len();
        self.commits_synced = self.commits.len();
    }

    /// What a session finds that follows one which ended like this.
    pub(crate) fn check(&self, seen: &Seen, after: Ending) -> Result<(), String> {
        let (floor, commits) = match after {
            Ending::Close | Ending::Kill => (self.written, self.commits_written),
            Ending::Cut => (self.synced, self.commits_synced),
        };
        let Seen { start, end, ref records, ref commit, .. } = *seen;
        if start < self.start {
            return Err(format!("deleted records are back: start {start}, was {}", self.start));
        }
        if start > self.start_max {
            return Err(format!("start {start} is beyond what was deleted, {}", self.start_max));
        }
        if end < floor {
            return Err(format!("B3: the log ends at {end}, {floor} was promised"));
        }
        if end < start || end > self.tail.max(self.start_max) {
            return Err(format!("the log ends at {end}, {} were sent", self.tail));
        }
        for (offset, key, value) in records {
            let sent = self.sent.get(offset).map(|sent| (sent.key(), sent.value()));
            if sent.as_ref() != Some(&(key.clone(), value.clone())) {
                let found = String::from_utf8_lossy(&value[..value.len().min(12)]);
                let wanted = self.sent.get(offset);
                return Err(format!("B4: {key} {found} at offset {offset}, not {wanted:?}"));
            }
        }
        if !records.is_sorted_by(|a, b| a.0 < b.0) {
            return Err("offsets do not rise".into());
        }
        if self.setup.compacts() {
            self.check_newest(seen)?;
        } else if records.iter().map(|record| record.0).ne(start..end) {
            let offsets: Vec<Offset> = records.iter().map(|record| record.0).collect();
            return Err(format!("B3: of {start}..{end} there are {offsets:?}"));
        }
        let place = commit.as_ref().map(|commit| self.commits.iter().position(|of| of == commit));
        match place {
            None if commits == 0 => Ok(()),
            Some(Some(place)) if place + 1 >= commits => Ok(()),
            _ => Err(format!("B6: {commit:?} is committed, of {:?} {commits}", self.commits)),
        }
    }

    /// Of each key the newest record is there.
    fn check_newest(&self, seen: &Seen) -> Result<(), String> {
        let mut newest = BTreeMap::new();
        for (offset, sent) in self.sent.range(seen.start..seen.end.max(seen.start)) {
            newest.insert(sent.key(), *offset);
        }
        for (key, offset) in newest {
            if !seen.records.iter().any(|record| record.0 == offset) {
                return Err(format!("B12: the newest record of {key}, at {offset}, is gone"));
            }
        }
        Ok(())
    }

    /// An offset whose record was lost has another one only under a later epoch.
    pub(crate) fn check_epochs(&mut self, seen: &Seen) -> Result<(), String> {
        for (offset, sent) in self.sent.range(..seen.end) {
            let Some(&epoch) = seen.epochs.get(offset) else { continue };
            if let Some((number, before)) = self.shown.insert(*offset, (sent.number, epoch))
                && number != sent.number
                && epoch <= before
            {
                return Err(format!(
                    "B5: offset {offset} was {number} of epoch {before}, is {} of {epoch}",
                    sent.number
                ));
            }
        }
        Ok(())
    }

    /// The next session has found this, and goes on from there.
    pub(crate) fn adopt(&mut self, seen: &Seen, after: Ending) {
        self.sent.split_off(&seen.end);
        (self.start, self.start_max) = (seen.start, seen.start);
        (self.end, self.tail) = (seen.end, seen.end);
        // It came out of the files, so it is in them.
        self.written = seen.end;
        self.synced = match self.setup.durability {
            Durability::Synced => seen.end,
            _ if after == Ending::Close => seen.end,
            _ => self.synced.min(seen.end),
        };
        let is_seen = |remark: &String| Some(remark) == seen.commit.as_ref();
        let found = self.commits.iter().position(is_seen).map_or(0, |place| place + 1);
        self.commits.truncate(found);
        self.commits_written = found;
        self.commits_synced = self.commits_synced.min(found);
    }
}
