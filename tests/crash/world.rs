//! A broker on a simulated disk, its topics with a model each, and what can be done to them.

use super::lies::LyingDisk;
pub(crate) use super::lies::{LIE, Lie};
use super::model::{Ending, Model, Seen, Setup};
use anabranch::testing::SimDisk;
use anabranch::{
    AppendError, Broker, CommitError, Consumer, ConsumerGroup, Durability, FlushError,
    Housekeeping, ManualClock, OffsetAndMetadata, OpenError, Partition, ReadError, Record,
    Timestamp, TopicError, TopicPartition,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a history consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// A batch of two records, within a sector or two.
    Small,
    /// A batch of several sectors.
    Large,
    /// A batch that no segment has room for beside another.
    Roll,
    Flush,
    Commit,
    /// The first half of the records is deleted.
    Delete,
    /// Housekeeping: retention by size and compaction.
    Tick,
    /// Housekeeping when syncs are due.
    Checkpoint,
    /// Closes the broker and opens it again.
    Close,
    /// Kills the process and opens the directory again.
    Kill,
}

pub(crate) const OPS: [Op; 10] = [
    Op::Small,
    Op::Large,
    Op::Roll,
    Op::Flush,
    Op::Commit,
    Op::Delete,
    Op::Tick,
    Op::Checkpoint,
    Op::Close,
    Op::Kill,
];

/// How a call came back that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It has had no effect.
    Refused(String),
    /// Nobody knows: a sync failed.
    Unknown(String),
}

/// A topic with its model.
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) model: Model,
    pub(crate) partition: Partition,
    consumer: Option<(Consumer, ConsumerGroup)>,
    /// Whether a sync of it has failed in this session.
    pub(crate) is_poisoned: bool,
}

pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(crate) clock: ManualClock,
    pub(crate) broker: Broker,
    pub(crate) lanes: Vec<Lane>,
    /// Whether the disk of the next session is to record.
    pub(crate) records: bool,
}

pub(crate) const ROOT: &str = "data";

pub(crate) fn clock() -> ManualClock {
    ManualClock::at(Timestamp::from_millis(1_700_000_000_000))
}

/// No crash leaves damage: a partition that is offline is a violation.
pub(crate) fn whole(broker: Broker) -> Result<Broker, OpenError> {
    broker.recovery().require_online()?;
    Ok(broker)
}

impl World {
    /// Opens a directory; the topics may be there or not.
    pub(crate) fn open(
        disk: SimDisk,
        clock: ManualClock,
        models: &[Model],
    ) -> Result<World, String> {
        let broker = Broker::builder()
            .disk(LyingDisk { disk: disk.clone(), lie: LIE.get() })
            .housekeeping(Housekeeping::Manual)
            .clock(clock.clone())
            .open(ROOT)
            .and_then(whole)
            .map_err(|error: OpenError| format!("open: {error} ({error:?})"))?;
        let mut lanes = Vec::new();
        for (number, model) in models.iter().enumerate() {
            let name = format!("t{number}");
            let topic = broker.topic_or_create(name.as_str(), model.setup.config());
            let topic = topic.map_err(|error: TopicError| format!("create: {error:?}"))?;
            let partition = topic.partition(0).expect("it has one");
            let mut model = model.clone();
            if model.setup.drops {
                model.delete(model.tail);
            }
            lanes.push(Lane { name, model, partition, consumer: None, is_poisoned: false });
        }
        broker.tick(); // The interval of syncs begins.
        Ok(World { disk, clock, broker, lanes, records: false })
    }

    pub(crate) fn new(setups: &[Setup]) -> World {
        let models: Vec<Model> = setups.iter().map(|setup| Model::new(*setup)).collect();
        World::open(SimDisk::new(), clock(), &models).expect("a new disk takes everything")
    }

    pub(crate) fn models(&self) -> Vec<Model> {
        self.lanes.iter().map(|lane| lane.model.clone()).collect()
    }

    /// What each lane shows.
    pub(crate) fn seen(&self) -> Result<Vec<Seen>, String> {
        self.lanes.iter().map(|lane| lane.seen(&self.broker, &self.disk)).collect()
    }

    /// Compares what is seen with what must be after a session that ended like this, and goes on.
    pub(crate) fn check_opened(&mut self, after: Ending) -> Result<(), String> {
        let all = self.seen()?;
        for (lane, seen) in self.lanes.iter_mut().zip(&all) {
            let named = |what| format!("{}: {what}", lane.name);
            lane.model.check(seen, after).map_err(named)?;
            lane.model.adopt(seen, after);
            lane.model.check_epochs(seen).map_err(named)?;
        }
        Ok(())
    }

    /// Compares what is seen with what must be now.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        let all = self.seen()?;
        for (lane, seen) in self.lanes.iter_mut().zip(&all) {
            let named = |what| format!("{}: {what}", lane.name);
            // A reader has what is pending written.
            if seen.end != lane.model.end && !lane.is_poisoned {
                lane.model.show(seen.end);
            }
            lane.model.check(seen, Ending::Kill).map_err(named)?;
            if seen.end != lane.model.end {
                return Err(named(format!("ends at {}, not {}", seen.end, lane.model.end)));
            }
            lane.model.check_epochs(seen).map_err(named)?;
        }
        Ok(())
    }

    /// The machine stops: nothing more that the session does reaches the disk.
    pub(crate) fn abandon(self) {
        self.disk.crash_at(0);
    }

    /// Tells the model what may happen from here on. The rest of the call is what this returns.
    pub(crate) fn begin(&mut self, lane: usize, op: Op) -> Begun {
        let clock = self.clock.clone();
        if op == Op::Commit {
            self.join(lane);
        }
        let Lane { model, .. } = &mut self.lanes[lane];
        let batch = |model: &mut Model, count, bytes| Begun::Append(model.send(count, bytes));
        match op {
            Op::Small => batch(model, 2, 60),
            Op::Large => batch(model, 1, 700),
            Op::Roll => batch(model, 1, 1_300),
            Op::Flush => Begun::Flush,
            Op::Commit => {
                let offset = model.start.midpoint(model.end);
                Begun::Commit(offset, model.commit())
            }
            Op::Delete => {
                let before = model.start.midpoint(model.end + 1).min(model.end);
                model.delete(before);
                Begun::Delete(before)
            }
            Op::Tick | Op::Checkpoint => {
                if op == Op::Checkpoint {
                    clock.advance(Duration::from_secs(6));
                }
                for Lane { model, .. } in self.lanes.iter_mut().filter(|l| l.model.setup.drops) {
                    model.delete(model.tail);
                }
                Begun::Tick
            }
            Op::Close => Begun::Close,
            Op::Kill => Begun::Kill,
        }
    }

    /// Makes the call, and tells the model what came of it. An error is a violation.
    pub(crate) fn finish(&mut self, lane: usize, begun: Begun) -> Result<Option<Failed>, String> {
        match begun {
            Begun::Tick => {
                self.broker.tick();
                for Lane { model, partition, .. } in &mut self.lanes {
                    model.started(partition.log_start_offset());
                    // It has written what was pending.
                    model.show(partition.high_watermark().max(model.end));
                }
                Ok(None)
            }
            Begun::Close => self.close(),
            Begun::Kill => {
                let (image, models) = (self.disk.kill(), self.models());
                self.reopen(Some(image), models, Ending::Kill)?;
                Ok(None)
            }
            begun => self.lanes[lane].finish(begun),
        }
    }

    fn close(&mut self) -> Result<Option<Failed>, String> {
        let failed = match self.broker.close() {
            Ok(()) => {
                self.lanes.iter_mut().for_each(|lane| lane.model.closed());
                None
            }
            Err(error) => Some(Failed::Unknown(format!("{error:?}"))),
        };
        let after = if failed.is_some() { Ending::Kill } else { Ending::Close };
        let models = self.models();
        self.reopen(None, models, after)?;
        Ok(failed)
    }

    /// Goes on with the image of a disk, or with this one after it was closed.
    pub(crate) fn reopen(
        &mut self,
        image: Option<SimDisk>,
        models: Vec<Model>,
        after: Ending,
    ) -> Result<(), String> {
        let is_other = image.is_some();
        let disk = image.unwrap_or_else(|| self.disk.clone());
        if self.records && is_other {
            disk.record();
        }
        let records = self.records;
        let next = World::open(disk, self.clock.clone(), &models)?;
        let last = std::mem::replace(self, next);
        self.records = records;
        if is_other {
            last.abandon();
        }
        self.check_opened(after)
    }

    /// Makes a whole call.
    pub(crate) fn apply(&mut self, lane: usize, op: Op) -> Result<Option<Failed>, String> {
        let begun = self.begin(lane, op);
        self.finish(lane, begun)
    }
}

/// A call that is about to be made.
#[derive(Clone, Debug)]
pub(crate) enum Begun {
    Append(Vec<super::model::Sent>),
    Flush,
    Commit(u64, String),
    Delete(u64),
    Tick,
    Close,
    Kill,
}

impl Lane {
    pub(crate) fn of(&self) -> TopicPartition {
        TopicPartition::new(self.name.as_str(), 0)
    }

    fn finish(&mut self, begun: Begun) -> Result<Option<Failed>, String> {
        match begun {
            Begun::Append(batch) => {
                let offset = self.model.tail - batch.len() as u64;
                let owned: Vec<_> = batch.iter().map(|sent| (sent.key(), sent.value())).collect();
                let records: Vec<_> =
                    owned.iter().map(|(k, v)| Record::new(v).with_key(k)).collect();
                let outcome = self.partition.append(&records);
                self.appended(outcome, offset)
            }
            Begun::Flush => match self.partition.flush() {
                Ok(to) => {
                    if to < self.model.tail {
                        return Err(format!("a flush reached {to} of {}", self.model.tail));
                    }
                    self.model.acknowledge();
                    self.model.flushed(to);
                    Ok(None)
                }
                Err(FlushError::Disk { source, .. }) => {
                    self.refuse();
                    Ok(Some(Failed::Refused(source.to_string())))
                }
                Err(FlushError::Poisoned { source, .. }) => self.poisoned(source.to_string()),
                Err(error) => Err(format!("{error:?}")),
            },
            Begun::Delete(before) => match self.partition.delete_records(before) {
                Ok(start) if start == before.max(self.model.start) => {
                    self.model.started(start);
                    Ok(None)
                }
                Ok(start) => Err(format!("deletion up to {before} starts at {start}")),
                Err(AppendError::Disk { source, .. }) if source.operation == "sync" => {
                    Ok(Some(Failed::Unknown(source.to_string())))
                }
                Err(AppendError::Disk { source, .. }) => {
                    self.model.refuse_delete();
                    Ok(Some(Failed::Refused(source.to_string())))
                }
                Err(AppendError::Poisoned { source, .. }) => self.poisoned(source.to_string()),
                Err(error) => Err(format!("{error:?}")),
            },
            Begun::Commit(offset, remark) => match self.commit(offset, remark) {
                Ok(()) => {
                    self.model.committed();
                    Ok(None)
                }
                Err(CommitError::NotDurable {
                    reason: AppendError::Disk { source, .. }, ..
                }) => {
                    self.model.refuse_commit();
                    Ok(Some(Failed::Refused(source.to_string())))
                }
                Err(CommitError::NotDurable { reason, .. }) => {
                    Ok(Some(Failed::Unknown(reason.to_string())))
                }
                Err(error) => Err(format!("{error:?}")),
            },
            Begun::Tick | Begun::Close | Begun::Kill => unreachable!("they are the world's"),
        }
    }

    /// What came of sending the batch at `offset`, and of all that was pending before it.
    pub(crate) fn appended(
        &mut self,
        outcome: Result<u64, AppendError>,
        offset: u64,
    ) -> Result<Option<Failed>, String> {
        match outcome {
            Ok(_) if self.is_poisoned => Err("acknowledged although a sync failed".into()),
            Ok(at) if at == offset => {
                self.model.acknowledge();
                Ok(None)
            }
            Ok(at) => Err(format!("appended at {at}, not {offset}")),
            Err(AppendError::Disk { source, .. }) => {
                self.refuse();
                Ok(Some(Failed::Refused(source.to_string())))
            }
            Err(AppendError::Poisoned { source, .. }) => self.poisoned(source.to_string()),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    /// What was not written before is not in the log, unless it is shown before it is written.
    fn refuse(&mut self) {
        if self.model.setup.durability != Durability::Memory {
            self.model.show(self.partition.high_watermark().max(self.model.end));
            self.model.refuse();
        }
    }

    fn poisoned(&mut self, what: String) -> Result<Option<Failed>, String> {
        self.is_poisoned = true;
        Ok(Some(Failed::Unknown(what)))
    }

    fn commit(&mut self, offset: u64, remark: String) -> Result<(), CommitError> {
        let of = self.of();
        let (consumer, _) = self.consumer.as_mut().expect("it has joined");
        consumer.commit_with_metadata(vec![(of, OffsetAndMetadata { offset, metadata: remark })])
    }

    fn seen(&self, broker: &Broker, disk: &SimDisk) -> Result<Seen, String> {
        let (start, mut next) =
            (self.partition.log_start_offset(), self.partition.log_start_offset());
        let mut records = Vec::new();
        loop {
            let read = match self.partition.read(next, 4 << 10) {
                Ok(read) => read,
                Err(ReadError::Closed { .. } | ReadError::Poisoned { .. }) => break,
                Err(error) => return Err(format!("{}: read at {next}: {error:?}", self.name)),
            };
            if read.is_empty() {
                break;
            }
            for record in &read {
                let key = String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned();
                records.push((record.offset(), key, record.value().unwrap_or_default().to_vec()));
                next = record.offset() + 1;
            }
        }
        let end = self.partition.high_watermark();
        let group = format!("g-{}", self.name);
        let groups = broker.groups();
        let commit = groups.iter().find(|(id, _)| id.as_str() == group);
        let commit = commit.map(|(_, offsets)| offsets[0].1.metadata.clone());
        Ok(Seen { start, end, records, commit, epochs: epochs(disk, &self.name) })
    }
}

impl World {
    /// Has the lane's consumer join: what it polls is of no interest.
    pub(crate) fn join(&mut self, lane: usize) {
        let lane = &mut self.lanes[lane];
        if lane.consumer.is_some() {
            return;
        }
        let topic = self.broker.topic(&lane.name).expect("it was opened");
        let durability = lane.model.setup.group_durability();
        let group = self.broker.consumer_group(format!("g-{}", lane.name));
        let group = group.topic(&topic).durability(durability).auto_commit(None);
        let group = group.build().expect("it is open once");
        let mut consumer = group.join("m").expect("it is alone");
        let _ = consumer.poll(Duration::ZERO);
        lane.consumer = Some((consumer, group));
    }
}

/// The leader epoch of each offset in a partition's `.log` files.
fn epochs(disk: &SimDisk, topic: &str) -> BTreeMap<u64, i32> {
    let mut epochs = BTreeMap::new();
    let dir = format!("{ROOT}/{topic}-0");
    for (path, _) in disk.files() {
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        if !is_log || path.parent() != Some(std::path::Path::new(&dir)) {
            continue;
        }
        let bytes = disk.read(&path).expect("it is listed");
        let mut at = 0;
        while let Some(header) = bytes.get(at..at + 61) {
            let word = |at: usize| i32::from_be_bytes(header[at..at + 4].try_into().expect("four"));
            let base = u64::from_be_bytes(header[..8].try_into().expect("eight"));
            let (length, epoch, delta) = (word(8), word(12), word(23));
            if length <= 0 || header[16] != 2 {
                break;
            }
            epochs.extend((base..=base + delta as u64).map(|offset| (offset, epoch)));
            at += 12 + length as usize;
        }
    }
    epochs
}
