//! What all processes share: two topics with eight live keys, a group, a clock that is moved by
//! hand, the traps that make user code panic, and the recorder.

use super::history::{Description, Key, Offset, Recorder, Value, What, Who};
use anabranch::assignor::{Assignment, Assignor, CooperativeStickyAssignor, Member, TopicLayout};
use anabranch::partitioner::{Partitioner, TopicView};
use anabranch::{
    ConsumerGroup, GroupState, ManualClock, PartitionId, Producer, Record, Timestamp, Topic,
    TopicConfig, TopicPartition,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const PROCESSES: u32 = 8;
const TOPICS: [&str; 2] = ["orders", "refunds"];
const LIVE_KEYS_EACH: u32 = 4;
/// A key is written this often, then another one takes its place.
const WRITES_MAX: u64 = 1_024;
pub(crate) const POLL_RECORDS_MAX: usize = 64;
const SEGMENT_BYTES: usize = 4 << 10;
pub(crate) const RETENTION_BYTES: u64 = 32 << 10;
/// What a partition may use beyond its retention: chunks that are in use, and one large batch.
const MEMORY_CONSTANT: u64 = 32 << 10;
/// The process that is none of the eight: it watches.
pub(crate) const OBSERVER: Who = 99;

/// Chance with a seed: splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Draws {
        Draws(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(of.len()).ok().filter(|count| *count > 0)?;
        of.get(usize::try_from(self.below(count)).ok()?)
    }
}

/// Faults in user code that wait to happen, once each.
#[derive(Debug, Default)]
pub(crate) struct Traps {
    pub(crate) assignor_panics: AtomicBool,
    pub(crate) assignor_errs: AtomicBool,
    pub(crate) listener_panics: AtomicBool,
}

impl Traps {
    pub(crate) fn is_sprung(trap: &AtomicBool) -> bool {
        trap.swap(false, Ordering::SeqCst)
    }
}

/// The payload of every panic that is planned.
#[derive(Debug)]
pub(crate) struct Planned;

struct TrappedAssignor(Arc<Traps>);

impl Assignor for TrappedAssignor {
    fn name(&self) -> &str {
        "trapped"
    }

    fn assign(&self, members: &[Member], topics: &[TopicLayout]) -> Assignment {
        if Traps::is_sprung(&self.0.assignor_panics) {
            std::panic::panic_any(Planned);
        }
        let mut assignment = CooperativeStickyAssignor.assign(members, topics);
        if Traps::is_sprung(&self.0.assignor_errs) {
            assignment.0.values_mut().for_each(Vec::clear); // everything is left out
        }
        assignment
    }
}

/// The key is the partition's number; any other key is a trap.
struct NamedPartition;

impl Partitioner for NamedPartition {
    fn partition(&self, record: &Record<'_>, _: &TopicView<'_>) -> PartitionId {
        match record.key.map(<[u8; 4]>::try_from) {
            Some(Ok(number)) => PartitionId::from_le_bytes(number),
            _ => std::panic::panic_any(Planned),
        }
    }
}

/// What the seed decides about a run as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    pub(crate) has_retention: bool,
    pub(crate) auto_commits: bool,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) variant: Variant,
    pub(crate) recorder: Recorder,
    pub(crate) clock: ManualClock,
    pub(crate) topics: [Topic; 2],
    pub(crate) group: ConsumerGroup,
    pub(crate) traps: Arc<Traps>,
    /// The keys that are written, and how often each key was. Held while topics grow, so that a
    /// partition that is counted under it is one that the group was told of.
    keys: Mutex<Keys>,
    values: AtomicU64,
    lives: AtomicU32,
}

#[derive(Debug, Default)]
struct Keys {
    live: Vec<Key>,
    writes: BTreeMap<Key, u64>,
}

impl World {
    pub(crate) fn new(variant: Variant) -> Arc<World> {
        let clock = ManualClock::at(Timestamp::from_millis(1_700_000_000_000));
        let config = TopicConfig::new().partitions(LIVE_KEYS_EACH).segment_bytes(SEGMENT_BYTES);
        let mut config = config.clock(clock.clone());
        if variant.has_retention {
            config = config.retention_bytes(RETENTION_BYTES);
            config = config.retention_time(Duration::from_secs(12 * 3600));
        }
        let make = |name| Topic::in_memory(name, config.clone()).expect("valid settings");
        let topics = TOPICS.map(make);
        let traps = Arc::new(Traps::default());
        let mut builder = ConsumerGroup::builder("billing")
            .assignor(TrappedAssignor(Arc::clone(&traps)))
            .max_poll_records(POLL_RECORDS_MAX)
            .clock(clock.clone());
        for topic in &topics {
            builder = builder.topic(topic);
        }
        if variant.auto_commits {
            builder = builder.auto_commit(Some(Duration::from_secs(5)));
        }
        let group = builder.build().expect("valid settings");
        let live = (0..2).flat_map(|topic| (0..LIVE_KEYS_EACH).map(move |id| (topic, id)));
        Arc::new(World {
            variant,
            recorder: Recorder::default(),
            clock,
            topics,
            group,
            traps,
            keys: Mutex::new(Keys { live: live.collect(), writes: BTreeMap::new() }),
            values: AtomicU64::new(0),
            lives: AtomicU32::new(100),
        })
    }

    pub(crate) fn producers(&self, lingers: bool) -> [Producer; 2] {
        let linger = if lingers { Duration::from_millis(50) } else { Duration::ZERO };
        [0, 1].map(|topic: usize| {
            let builder = Producer::builder(&self.topics[topic]).linger(linger);
            builder.partitioner(NamedPartition).build().expect("valid settings")
        })
    }

    pub(crate) fn fresh_value(&self) -> Value {
        self.values.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn fresh_life(&self) -> Who {
        self.lives.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn live_keys(&self) -> Vec<Key> {
        self.keys.lock().expect("no panic while it is held").live.clone()
    }

    /// Counts a write; the last one that a key is to get retires it.
    pub(crate) fn wrote(&self, key: Key) {
        let mut keys = self.keys.lock().expect("as above");
        let writes = keys.writes.entry(key).or_default();
        *writes += 1;
        if *writes == WRITES_MAX {
            let fresh = (key.0, self.grow(key.0));
            keys.live.retain(|live| *live != key);
            keys.live.push(fresh);
        }
    }

    /// Adds a partition that is not written until it takes a retired one's place, if ever.
    pub(crate) fn add_partition(&self, topic: u8) {
        let _keys = self.keys.lock().expect("as above");
        self.grow(topic);
    }

    fn grow(&self, topic: u8) -> u32 {
        let topic = &self.topics[usize::from(topic)];
        let count = topic.partition_count();
        topic.add_partitions(count + 1).expect("far from the limit");
        count
    }

    pub(crate) fn name(key: Key) -> TopicPartition {
        TopicPartition::new(TOPICS[usize::from(key.0)], key.1)
    }

    pub(crate) fn topic_name(topic: u8) -> &'static str {
        TOPICS[usize::from(topic)]
    }

    pub(crate) fn key(of: &TopicPartition) -> Key {
        (u8::from(&*of.topic == TOPICS[1]), of.partition)
    }

    pub(crate) fn partition(&self, key: Key) -> anabranch::Partition {
        self.topics[usize::from(key.0)].partition(key.1).expect("keys are partitions")
    }

    pub(crate) fn committed(&self, key: Key) -> Option<Offset> {
        self.group.committed(&World::name(key)).map(|committed| committed.offset)
    }

    /// What the group says that a member holds; `None` if it is not a member.
    pub(crate) fn held(&self, id: &str) -> Option<Vec<Key>> {
        let members = self.group.describe().members;
        let member = members.into_iter().find(|member| &*member.id == id && !member.is_away)?;
        Some(member.assignment.iter().chain(&member.revoking).map(World::key).collect())
    }

    /// Notes who has what, and how much memory is in use.
    pub(crate) fn observe(&self) -> bool {
        let counts = {
            let _keys = self.keys.lock().expect("as above");
            [self.topics[0].partition_count(), self.topics[1].partition_count()]
        };
        let invoked = self.recorder.tick();
        let described = self.group.describe();
        let mut description = Description {
            is_stable: described.state == GroupState::Stable,
            ..Description::default()
        };
        for topic in 0..2_u8 {
            let name = World::topic_name(topic);
            let is_wanted = |member: &anabranch::MemberDescription| {
                member.subscription.iter().any(|wanted| **wanted == *name)
            };
            if described.members.iter().any(is_wanted) {
                let of_topic = (0..counts[usize::from(topic)]).map(|id| (topic, id));
                description.wanted.extend(of_topic);
            }
        }
        for member in &described.members {
            let keys = member.assignment.iter().chain(&member.revoking).map(World::key);
            description.held.push((member.id.to_string(), keys.collect()));
        }
        let is_stable = description.is_stable;
        self.recorder.note(OBSERVER, invoked, What::Described(description));
        if self.variant.has_retention {
            for topic in &self.topics {
                let partitions = u64::from(topic.partition_count());
                let bytes = topic.stats().total.memory_bytes;
                let limit = (partitions + 1) * (RETENTION_BYTES + MEMORY_CONSTANT);
                self.recorder.note_now(OBSERVER, What::Memory { bytes, limit });
            }
        }
        is_stable
    }
}
