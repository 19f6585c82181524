//! One life of a consumer: what it does, and what its listener is told, written down.

use super::files::Cut;
use super::history::{Commit, Key, Offset, Poll, Tick, Value, What, Who};
use super::world::{Draws, Planned, Traps, World};
use anabranch::{
    AppendError, CommitError, Consumer, PollError, RebalanceListener, Records, TopicPartition,
};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a consumer and its listener know of each other.
#[derive(Debug)]
struct Notes {
    world: Arc<World>,
    who: Who,
    id: String,
    /// Keys whose position has changed since the last commit.
    moved: Mutex<BTreeSet<Key>>,
    /// Those of them of which that is likely and not known: they came with a position that may not be what
    /// is committed, which others can change before it is compared.
    doubtful: Mutex<BTreeSet<Key>>,
    /// Whether the program went back since the last commit.
    goes_back: AtomicBool,
    /// Whether the process was killed: what its remains do is nobody's concern.
    is_dead: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) consumer: Consumer,
    notes: Arc<Notes>,
    paused: BTreeSet<Key>,
}

/// How a member is to join.
#[derive(Clone, Debug, Default)]
pub(crate) struct Joining {
    pub(crate) topics: Option<Vec<u8>>,
    pub(crate) instance: Option<String>,
}

impl Notes {
    fn moved(&self) -> Vec<Key> {
        self.moved.lock().expect("no panic while it is held").iter().copied().collect()
    }

    /// Their positions have changed, for sure.
    fn move_on(&self, keys: impl Iterator<Item = Key>) {
        let (mut moved, mut doubtful) =
            (self.moved.lock().expect("as above"), self.doubtful.lock().expect("as above"));
        for key in keys {
            moved.insert(key);
            doubtful.remove(&key);
        }
    }

    /// Its position has probably changed.
    fn suspect(&self, key: Key) {
        if self.moved.lock().expect("as above").insert(key) {
            self.doubtful.lock().expect("as above").insert(key);
        }
    }

    /// Whether a commit of this key, by position, may have been one of nothing, which nobody refuses.
    fn is_doubtful(&self, key: Key, held: Option<&[Key]>) -> bool {
        let is_held = held.is_some_and(|held| held.contains(&key));
        // An auto-commit may have left nothing to commit.
        let is_unsure = self.world.variant.auto_commits
            || self.doubtful.lock().expect("as above").contains(&key);
        !is_held && is_unsure
    }

    /// Commits what has moved, by position or by offsets, and notes what came of it.
    fn commit(&self, consumer: &mut Consumer, explicitly: bool) {
        let (world, moved) = (&self.world, self.moved());
        let goes_back = self.goes_back.load(Ordering::SeqCst);
        let held = world.held(&self.id);
        let mut offsets = Vec::new();
        if explicitly {
            for key in &moved {
                if let Some(position) = consumer.position(&World::name(*key)) {
                    let partition = world.partition(*key);
                    let (start, end) = (partition.log_start_offset(), partition.high_watermark());
                    if position <= end {
                        offsets.push((*key, position.max(start)));
                    }
                }
            }
        }
        // What was sought beyond the end is not committed: it goes to where the next poll takes it.
        let is_beyond = |key: &&Key| {
            let position = consumer.position(&World::name(**key));
            position > Some(world.partition(**key).high_watermark())
        };
        let beyond: BTreeSet<Key> = moved.iter().filter(is_beyond).copied().collect();
        let place = |key: &Key| Some((*key, consumer.position(&World::name(*key))?));
        let places: Vec<_> = moved.iter().filter_map(place).collect();
        let invoked = world.recorder.tick();
        let outcome = if explicitly {
            let offsets: Vec<(TopicPartition, Offset)> =
                offsets.iter().map(|(key, offset)| (World::name(*key), *offset)).collect();
            consumer.commit_offsets(&offsets)
        } else {
            consumer.commit()
        };
        let is_ok = outcome.is_ok();
        let is_unknown = matches!(outcome, Err(CommitError::NotDurable { .. }));
        if is_unknown {
            // It may be of the records that came in place of lost ones, and be the same number.
            let mut cut = world.cut.lock().expect("as above");
            let of_moved = cut.iter_mut().filter(|(key, _)| moved.contains(key));
            of_moved.for_each(|(_, cut)| *cut = Cut::Somewhere);
        }
        if let Err(CommitError::NotDurable { reason: AppendError::Poisoned { .. }, .. }) = outcome {
            world.is_poisoned.store(true, Ordering::SeqCst);
        }
        if is_ok && !explicitly {
            let assigned: BTreeSet<Key> = consumer.assignment().iter().map(World::key).collect();
            let is_committed = |key: &&Key| {
                let is_one = assigned.contains(*key) && !beyond.contains(*key);
                is_one && !self.is_doubtful(**key, held.as_deref())
            };
            let committed = places.iter().filter(|(key, _)| is_committed(&key));
            for (key, position) in committed {
                let Some(now) = world.committed(*key) else { continue };
                // What is committed by now may be another's, if this member was given up meanwhile. It has
                // committed its position; or, if retention had overtaken that, where the log started then.
                let start = world.partition(*key).log_start_offset();
                let is_own = (*position..=start).contains(&now) || !world.variant.at_once;
                offsets.push((*key, if is_own { now } else { start.max(*position) }));
            }
        }
        if is_ok {
            let mut cut = world.cut.lock().expect("as above");
            cut.retain(|key, _| !offsets.iter().any(|(of, _)| of == key));
            self.goes_back.store(!beyond.is_empty(), Ordering::SeqCst);
            if !explicitly || world.variant.auto_commits {
                // What was committed explicitly is committed once more: the consumer does not count that.
                self.doubtful.lock().expect("as above").retain(|key| beyond.contains(key));
                *self.moved.lock().expect("as above") = beyond;
            }
        }
        let end = |(key, _): &(Key, Offset)| (*key, world.partition(*key).log_end_offset());
        let ends = offsets.iter().map(end).collect();
        let commit = Commit { is_ok, is_unknown, offsets, ends, held, goes_back };
        world.recorder.note(self.who, invoked, What::Committed(commit));
    }
}

/// The listener: commits before it lets go, writes everything down, and panics when told to.
struct Scribe(Arc<Notes>);

impl Scribe {
    fn note(&self, invoked: Tick, what: What) {
        let Notes { world, who, .. } = &*self.0;
        world.recorder.note(*who, invoked, what);
        if Traps::is_sprung(&world.traps.listener_panics) {
            std::panic::panic_any(Planned);
        }
    }
}

fn keys(partitions: &[TopicPartition]) -> Vec<Key> {
    partitions.iter().map(World::key).collect()
}

impl RebalanceListener for Scribe {
    fn assigned(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) {
        let Notes { world, id, .. } = &*self.0;
        let invoked = world.recorder.tick();
        let mut starts = Vec::from_iter(partitions.iter().map(|of| {
            let key = World::key(of);
            if world.start(key) != world.committed(key) {
                self.0.suspect(key);
            }
            (key, consumer.position(of), world.start(key))
        }));
        // Should the member have been given up meanwhile, others may have committed since.
        let held = world.held(id).unwrap_or_default();
        for (key, _, committed) in &mut starts {
            *committed = committed.filter(|_| held.contains(key));
        }
        self.note(invoked, What::Assigned(starts));
    }

    fn revoked(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) {
        if self.0.is_dead.load(Ordering::SeqCst) {
            return;
        }
        let invoked = self.0.world.recorder.tick();
        // One that was given up and does not know of it yet is asked to let go when it leaves. One
        // that is still there held the partitions until now at least.
        if self.0.world.held(&self.0.id).is_none() {
            return self.note(invoked, What::Lost(keys(partitions)));
        }
        self.0.commit(consumer, false);
        self.0.moved.lock().expect("as above").retain(|key| !keys(partitions).contains(key));
        self.note(invoked, What::Revoked(keys(partitions)));
    }

    fn lost(&mut self, _: &mut Consumer, partitions: &[TopicPartition]) {
        if self.0.is_dead.load(Ordering::SeqCst) {
            return;
        }
        self.0.moved.lock().expect("as above").clear();
        self.note(self.0.world.recorder.tick(), What::Lost(keys(partitions)));
    }
}

impl Life {
    /// Joins under a name that nobody had before; `None` if it is refused.
    pub(crate) fn join(world: &Arc<World>, joining: &Joining) -> Option<Life> {
        let who = world.fresh_life();
        let id = format!("life-{who}");
        let notes = Arc::new(Notes {
            world: Arc::clone(world),
            who,
            id: id.clone(),
            moved: Mutex::default(),
            doubtful: Mutex::default(),
            goes_back: AtomicBool::new(false),
            is_dead: AtomicBool::new(false),
        });
        let mut builder = world.group().member(id).listener(Scribe(Arc::clone(&notes)));
        if let Some(topics) = &joining.topics {
            builder = builder.topics(topics.iter().map(|topic| World::topic_name(*topic)));
        }
        if let Some(instance) = &joining.instance {
            builder = builder.instance_id(instance.as_str());
        }
        let consumer = builder.join().ok()?;
        Some(Life { consumer, notes, paused: BTreeSet::new() })
    }

    fn readable(&self) -> Vec<Key> {
        let assigned = self.consumer.assignment().iter().map(World::key);
        assigned.filter(|key| !self.paused.contains(key)).collect()
    }

    fn positions(&self) -> BTreeMap<Key, Offset> {
        let assigned = self.consumer.assignment();
        assigned
            .iter()
            .filter_map(|of| Some((World::key(of), self.consumer.position(of)?)))
            .collect()
    }

    /// A poll that fails tells of what it has passed over with the next one; what is committed meanwhile is
    /// beyond that, unless the poll has committed it itself.
    fn note_moved_since(&self, before: &BTreeMap<Key, Offset>) {
        let has_moved =
            |(key, now): &(Key, Offset)| before.get(key).is_some_and(|then| then != now);
        let moved = self.positions().into_iter().filter(has_moved);
        moved.for_each(|(key, _)| self.notes.suspect(key));
    }

    /// Polls; false if the member was fenced, which ends its life.
    pub(crate) fn poll(&mut self, timeout: Duration) -> bool {
        let before = self.readable();
        let positions = self.positions();
        let world = Arc::clone(&self.notes.world);
        let invoked = world.recorder.tick();
        let consumer = &mut self.consumer;
        let is_fenced = |error| matches!(error, PollError::Fenced { .. });
        let poll = || consumer.poll(timeout).map_err(is_fenced);
        let polled = catch_unwind(AssertUnwindSafe(poll));
        let records = match polled {
            Ok(Ok(records)) => records,
            Ok(Err(is_fenced)) => {
                self.note_moved_since(&positions);
                return !is_fenced;
            }
            Err(_) => {
                // A listener's panic.
                self.note_moved_since(&positions);
                return true;
            }
        };
        let assigned: BTreeSet<Key> = self.consumer.assignment().iter().map(World::key).collect();
        self.paused.retain(|key| assigned.contains(key));
        let position = |key: &Key| {
            Some((*key, self.consumer.position(&World::name(*key))?))
                .filter(|(key, _)| assigned.contains(key) && !self.paused.contains(key))
        };
        let watched = before.iter().filter_map(position).collect();
        let poll = Poll { watched, ..noted(&records) };
        // Where records are gone, the position has moved as well.
        let lost = poll.lost.iter().map(|(key, _)| *key);
        let keys = poll.records.iter().map(|(key, _, _)| *key).chain(lost);
        self.notes.move_on(keys);
        world.recorder.note(self.notes.who, invoked, What::Polled(poll));
        true
    }

    pub(crate) fn commit(&mut self, explicitly: bool) {
        self.notes.commit(&mut self.consumer, explicitly);
    }

    /// Goes back on one partition, or beyond its end.
    pub(crate) fn seek(&mut self, draws: &mut Draws) {
        let keys = self.readable();
        let Some(key) = draws.pick(&keys).copied() else { return };
        let name = World::name(key);
        let partition = self.notes.world.partition(key);
        let position = self.consumer.position(&name).unwrap_or_default();
        let (target, sought) = if draws.one_in(8) {
            (partition.high_watermark() + 1_000_000, None)
        } else {
            // From beyond the end it goes to the start: to go to the end would pass records over.
            let is_beyond = position > partition.high_watermark();
            let base = if is_beyond { 0 } else { position };
            let back = base.saturating_sub(draws.below(20));
            let start = partition.log_start_offset();
            (back.max(start), Some(back.max(start)))
        };
        // It may be forward if retention has overtaken the position.
        self.notes.goes_back.store(true, Ordering::SeqCst);
        self.consumer.seek(&name, target).expect("it is assigned");
        self.notes.move_on(std::iter::once(key));
        self.notes.world.recorder.note_now(self.notes.who, What::Sought(key, sought));
    }

    pub(crate) fn pause_or_resume(&mut self, draws: &mut Draws) {
        if let Some(key) = self.paused.pop_first() {
            self.consumer.resume(&[World::name(key)]);
        } else if let Some(key) = draws.pick(&self.readable()).copied() {
            self.consumer.pause(&[World::name(key)]);
            self.paused.insert(key);
        }
    }

    pub(crate) fn resume_all(&mut self) {
        while let Some(key) = self.paused.pop_first() {
            self.consumer.resume(&[World::name(key)]);
        }
    }

    pub(crate) fn leave(self) {
        // What a listener's panic or a refused commit may do here is not this program's concern.
        drop(catch_unwind(AssertUnwindSafe(|| drop(self.consumer.leave()))));
    }

    /// Its process is killed: nothing of what follows is noted.
    pub(crate) fn die(self) {
        let Notes { world, who, is_dead, .. } = &*self.notes;
        world.recorder.note_now(*who, What::Crashed);
        is_dead.store(true, Ordering::SeqCst);
        drop(catch_unwind(AssertUnwindSafe(|| drop(self.consumer))));
    }

    /// The owning thread panics.
    pub(crate) fn crash(self) {
        let Notes { world, who, .. } = &*self.notes;
        world.recorder.note_now(*who, What::Crashed);
        let consumer = self.consumer;
        let crashed = catch_unwind(AssertUnwindSafe(move || {
            let _consumer = consumer;
            std::panic::panic_any(Planned);
        }));
        drop(crashed.expect_err("it panicked"));
    }

    pub(crate) fn who(&self) -> Who {
        self.notes.who
    }
}

/// The value that a record carries in its first bytes.
pub(crate) fn value(bytes: Option<&[u8]>) -> Value {
    let first = bytes.and_then(|bytes| bytes.first_chunk::<8>());
    Value::from_le_bytes(*first.expect("every record carries a value"))
}

/// What a poll returned.
pub(crate) fn noted(records: &Records) -> Poll {
    let found = |record: anabranch::ConsumerRecord<'_>| {
        let key = World::key(&TopicPartition::new(record.topic(), record.partition()));
        (key, record.offset(), value(record.value()))
    };
    let lost = records.lost().iter().map(|(of, lost)| (World::key(of), *lost));
    Poll { records: records.iter().map(found).collect(), lost: lost.collect(), watched: Vec::new() }
}
