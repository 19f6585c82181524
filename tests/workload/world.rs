//! What all processes share: two topics with eight live keys, a group, a clock that is moved by
//! hand, the traps that make user code panic, and the recorder.

use super::files::{Cut, Durabilities, Files};
use super::history::{Description, Key, Offset, Recorder, Value, What, Who};
use anabranch::assignor::{Assignment, Assignor, CooperativeStickyAssignor, Member, TopicLayout};
use anabranch::partitioner::{Partitioner, TopicView};
use anabranch::testing::SimDisk;
use anabranch::{
    ConsumerGroup, GroupState, ManualClock, PartitionId, Producer, Record, Timestamp, Topic,
    TopicConfig, TopicPartition,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
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
    /// Whether processes have a thread each.
    pub(crate) at_once: bool,
    /// Whether the topics have files, on a simulated disk.
    pub(crate) files: Option<Durabilities>,
}

/// What one broker, or one life of a process, has: gone in a crash.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) topics: [Topic; 2],
    pub(crate) group: ConsumerGroup,
    pub(crate) files: Option<Files>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) variant: Variant,
    pub(crate) recorder: Recorder,
    pub(crate) clock: ManualClock,
    /// What a crash takes away and an opening brings back; `None` between the two.
    pub(crate) stage: RwLock<Option<Stage>>,
    pub(crate) traps: Arc<Traps>,
    /// The keys that are written, and how often each key was. Held while topics grow, so that a
    /// partition that is counted under it is one that the group was told of.
    keys: Mutex<Keys>,
    /// Keys that were not committed since their logs have lost records.
    pub(crate) cut: Mutex<BTreeMap<Key, Cut>>,
    /// Whether some partition takes nothing more until it is opened again.
    pub(crate) is_poisoned: AtomicBool,
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
        let traps = Arc::new(Traps::default());
        let live = (0..2).flat_map(|topic| (0..LIVE_KEYS_EACH).map(move |id| (topic, id)));
        let world = World {
            variant,
            recorder: Recorder::default(),
            clock,
            stage: RwLock::new(None),
            cut: Mutex::default(),
            is_poisoned: AtomicBool::new(false),
            traps,
            keys: Mutex::new(Keys { live: live.collect(), writes: BTreeMap::new() }),
            values: AtomicU64::new(0),
            lives: AtomicU32::new(100),
        };
        world.raise(SimDisk::new());
        Arc::new(world)
    }

    /// Sets the stage: topics in memory, or a broker over what is on a disk.
    pub(crate) fn raise(&self, disk: SimDisk) {
        let variant = self.variant;
        let files = variant.files.map(|durabilities| Files::open(durabilities, disk, &self.clock));
        let topics = [0, 1].map(|topic| {
            let mut config = TopicConfig::new().partitions(LIVE_KEYS_EACH);
            config = config.segment_bytes(SEGMENT_BYTES).clock(self.clock.clone());
            if variant.has_retention {
                config = config.retention_bytes(RETENTION_BYTES);
                config = config.retention_time(Duration::from_secs(12 * 3600));
            }
            match &files {
                None => Topic::in_memory(TOPICS[topic], config).expect("valid settings"),
                Some(files) => files.topic(TOPICS[topic], files.durabilities.topics[topic], config),
            }
        });
        let mut builder = match &files {
            None => ConsumerGroup::builder("billing").clock(self.clock.clone()),
            Some(files) => files.group("billing"),
        };
        builder = builder.assignor(TrappedAssignor(Arc::clone(&self.traps)));
        builder = builder.max_poll_records(POLL_RECORDS_MAX);
        for topic in &topics {
            builder = builder.topic(topic);
        }
        if variant.auto_commits {
            builder = builder.auto_commit(Some(Duration::from_secs(5)));
        }
        let group = builder.build().expect("valid settings");
        *self.stage.write().expect("as above") = Some(Stage { topics, group, files });
    }

    fn on_stage<T>(&self, look: impl FnOnce(&Stage) -> T) -> T {
        look(self.stage.read().expect("as above").as_ref().expect("the stage is set"))
    }

    pub(crate) fn topics(&self) -> [Topic; 2] {
        self.on_stage(|stage| stage.topics.clone())
    }

    pub(crate) fn group(&self) -> ConsumerGroup {
        self.on_stage(|stage| stage.group.clone())
    }

    pub(crate) fn files(&self) -> Option<Files> {
        self.on_stage(|stage| stage.files.clone())
    }

    pub(crate) fn producers(&self, lingers: bool) -> [Producer; 2] {
        let linger = if lingers { Duration::from_millis(50) } else { Duration::ZERO };
        [0, 1].map(|topic: usize| {
            let builder = Producer::builder(&self.topics()[topic]).linger(linger);
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
        if *writes >= WRITES_MAX
            && keys.live.contains(&key)
            && let Some(fresh) = self.grow(key.0)
        {
            keys.live.retain(|live| *live != key);
            keys.live.push((key.0, fresh));
        }
    }

    /// Adds a partition that is not written until it takes a retired one's place, if ever.
    pub(crate) fn add_partition(&self, topic: u8) {
        let _keys = self.keys.lock().expect("as above");
        self.grow(topic);
    }

    fn grow(&self, topic: u8) -> Option<u32> {
        let topic = &self.topics()[usize::from(topic)];
        let count = topic.partition_count();
        match topic.add_partitions(count + 1) {
            Ok(()) => Some(count),
            Err(_) if self.variant.files.is_some() => None,
            Err(error) => panic!("far from the limit: {error}"),
        }
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
        self.topics()[usize::from(key.0)].partition(key.1).expect("keys are partitions")
    }

    /// Where a consumer starts that a partition comes to: at what is committed, or, if its records
    /// were lost, at the end of what was left; `None` if that is not known.
    pub(crate) fn start(&self, key: Key) -> Option<Offset> {
        let committed = self.committed(key)?;
        match self.cut.lock().expect("as above").get(&key).copied() {
            Some(Cut::At { stale, end }) if stale == committed => Some(end),
            Some(Cut::Somewhere) => None,
            _ => Some(committed),
        }
    }

    pub(crate) fn committed(&self, key: Key) -> Option<Offset> {
        self.group().committed(&World::name(key)).map(|committed| committed.offset)
    }

    /// What the group says that a member holds; `None` if it is not a member.
    pub(crate) fn held(&self, id: &str) -> Option<Vec<Key>> {
        let members = self.group().describe().members;
        let member = members.into_iter().find(|member| &*member.id == id && !member.is_away)?;
        Some(member.assignment.iter().chain(&member.revoking).map(World::key).collect())
    }

    /// Notes who has what, and how much memory is in use.
    pub(crate) fn observe(&self) -> bool {
        let counts = {
            let _keys = self.keys.lock().expect("as above");
            self.topics().map(|topic| topic.partition_count())
        };
        let invoked = self.recorder.tick();
        let described = self.group().describe();
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
        if self.variant.has_retention && self.variant.files.is_none() {
            for topic in &self.topics() {
                let partitions = u64::from(topic.partition_count());
                let bytes = topic.stats().total.memory_bytes;
                let limit = (partitions + 1) * (RETENTION_BYTES + MEMORY_CONSTANT);
                self.recorder.note_now(OBSERVER, What::Memory { bytes, limit });
            }
        }
        is_stable
    }
}
