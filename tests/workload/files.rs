//! Topics with files: the broker, what happens to its disk, and what is there when it is opened again.

use super::history::{Key, LookUp, Offset, Reopened, Value, What};
use super::life;
use super::process::Process;
use super::world::{Draws, OBSERVER, World};
use anabranch::testing::{Fault, SimDisk, Times};
use anabranch::{
    AppendError, Broker, Cleanup, ConsumerGroupBuilder, Durability, Housekeeping, ManualClock,
    Partition, ReadError, Record, Topic, TopicConfig,
};
use std::sync::atomic::Ordering;

/// How many operations lie between two faults, on average: some thirty seconds of virtual time.
const FAULT_EVERY: u64 = 250;
const TICK_EVERY: u64 = 40;
/// So many keys the compacted topic has.
const BALANCES: u64 = 16;

/// What each topic waits for, and what commits do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Durabilities {
    pub(crate) topics: [Durability; 2],
    pub(crate) balances: Durability,
    pub(crate) commits: Durability,
}

impl Durabilities {
    pub(crate) fn mixed(run: u64) -> Durabilities {
        let [written, synced] = [Durability::Written, Durability::Synced];
        Durabilities {
            topics: [written, synced],
            balances: if run.is_multiple_of(2) { written } else { synced },
            commits: if run % 3 == 2 { written } else { synced },
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) broker: Broker,
    pub(crate) disk: SimDisk,
    pub(crate) durabilities: Durabilities,
    balances: Topic,
}

impl Files {
    pub(crate) fn open(durabilities: Durabilities, disk: SimDisk, clock: &ManualClock) -> Files {
        let builder = Broker::builder().housekeeping(Housekeeping::Manual).clock(clock.clone());
        let broker = builder.disk(disk.clone()).open("data").unwrap_or_else(|error| {
            panic!("a crash left what does not open: {error}");
        });
        broker.recovery().require_online().expect("a crash leaves no damage");
        let config = TopicConfig::new().cleanup(Cleanup::Compact).min_cleanable_ratio(0.1);
        let config = config.segment_bytes(1 << 10).durability(durabilities.balances);
        let balances = broker.topic_or_create("balances", config).expect("the disk is well");
        Files { broker, disk, durabilities, balances }
    }

    pub(crate) fn topic(&self, name: &str, durability: Durability, config: TopicConfig) -> Topic {
        let config = config.durability(durability);
        self.broker.topic_or_create(name, config).expect("the disk is well")
    }

    pub(crate) fn group(&self, name: &str) -> ConsumerGroupBuilder {
        self.broker.consumer_group(name).durability(self.durabilities.commits)
    }

    fn balances(&self) -> Partition {
        self.balances.partition(0).expect("there is one")
    }

    /// No more faults.
    fn heal(&self) {
        self.disk.heal();
        self.disk.set_capacity(u64::MAX);
    }

    /// The leader epoch of each batch of a partition, with its base offset.
    fn epochs(disk: &SimDisk, topic: &str, partition: u32) -> Vec<(Offset, u32)> {
        let dir = format!("data/{topic}-{partition}");
        let mut found = Vec::new();
        for (path, _) in disk.files() {
            let is_log = path.extension().is_some_and(|ending| ending == "log");
            if !is_log || path.parent().is_none_or(|parent| parent != std::path::Path::new(&dir)) {
                continue;
            }
            let bytes = disk.read(&path).expect("it was listed");
            let mut rest = &bytes[..];
            while let Some(header) = rest.first_chunk::<61>().filter(|header| header[16] == 2) {
                let number =
                    |at: usize| u32::from_be_bytes(*header[at..].first_chunk().expect("a header"));
                let base = u64::from_be_bytes(*header.first_chunk().expect("a header"));
                found.push((base, number(12)));
                rest = rest.get(12 + number(8) as usize..).unwrap_or_default();
            }
        }
        found.sort_unstable();
        found
    }
}

/// How a broker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Kill,
    /// What is lost is chance, from this seed on.
    PowerCut(u64),
    /// All handles go, nobody calls `close`.
    Drop,
    Close,
}

impl End {
    /// Whether what was acknowledged must be there afterwards.
    fn is_covered_by(self, durability: Durability) -> bool {
        match self {
            End::PowerCut(_) => durability == Durability::Synced,
            _ => durability >= Durability::Written,
        }
    }
}

/// What a group has committed of a key whose log has lost records below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    At {
        stale: Offset,
        end: Offset,
    },
    /// Where is not known.
    Somewhere,
}

/// The faults of the disk, and of the machine, that befall one run.
#[derive(Debug)]
pub(crate) struct Weather {
    draws: Draws,
    /// For how many operations the disk is still ill.
    ill: u64,
}

impl Weather {
    pub(crate) fn new(seed: u64) -> Weather {
        Weather { draws: Draws::new(seed ^ 0xd15c), ill: 0 }
    }

    /// Before each operation.
    pub(crate) fn pass(&mut self, world: &World, processes: &mut [Process]) {
        let is_poisoned = world.is_poisoned.load(Ordering::SeqCst);
        if is_poisoned && self.draws.one_in(20) || self.draws.one_in(2 * FAULT_EVERY) {
            return self.restart(world, processes);
        }
        self.change(world);
    }

    /// While the broker runs: housekeeping, one who sends what is compacted, and a disk that falls ill and
    /// gets well again.
    pub(crate) fn change(&mut self, world: &World) {
        let Some(files) = world.files() else { return };
        if self.draws.one_in(TICK_EVERY) {
            files.broker.tick();
        }
        if self.draws.one_in(8) {
            world.send_balance(&files, self.draws.below(BALANCES));
        }
        if self.ill > 0 {
            self.ill -= 1;
            if self.ill == 0 {
                files.heal();
            }
        }
        if self.draws.one_in(2 * FAULT_EVERY) {
            self.fall_ill(&files.disk);
        }
    }

    fn fall_ill(&mut self, disk: &SimDisk) {
        let n = 1 + self.draws.below(30);
        self.ill = 1 + self.draws.below(40);
        match self.draws.below(6) {
            0 => disk.fail_call(n, Fault::Io, Times::Once),
            1 => disk.fail_call(n, Fault::Io, Times::Forever),
            2 => disk.fail_syncs(1 + n / 8, Times::Once),
            3 => disk.fail_call(n, Fault::NoSpace, Times::Forever),
            4 => {
                let bytes: u64 = disk.files().iter().map(|(_, bytes)| bytes).sum();
                disk.set_capacity(bytes + self.draws.below(2_000));
            }
            _ => {
                for n in 0..20 {
                    let bytes = usize::try_from(self.draws.below(80)).expect("small");
                    disk.fail_call(1 + n, Fault::Short { bytes: bytes + 1 }, Times::Once);
                }
            }
        }
    }

    pub(crate) fn restart(&mut self, world: &World, processes: &mut [Process]) {
        self.ill = 0;
        let end = match self.draws.below(6) {
            0 => End::Kill,
            1 => End::Drop,
            2 => End::Close,
            _ => End::PowerCut(self.draws.next()),
        };
        world.restart(end, processes);
    }
}

impl World {
    /// Sends the compacted topic a value of a key.
    fn send_balance(&self, files: &Files, key: u64) {
        let value = self.fresh_value();
        let invoked = self.recorder.tick();
        let (name, bytes) = (key.to_le_bytes(), value.to_le_bytes());
        let what = match files.balances().append(&[Record::new(&bytes).with_key(&name)]) {
            Ok(offset) => What::Kept { key, offset, value },
            Err(AppendError::Disk { .. }) => What::SendFailed(vec![value]),
            Err(_) => return self.is_poisoned.store(true, Ordering::SeqCst),
        };
        self.recorder.note(OBSERVER, invoked, what);
    }

    /// The broker ends, and what is left of its disk is opened.
    pub(crate) fn restart(&self, end: End, processes: &mut [Process]) {
        let files = self.files().expect("there is a disk");
        files.heal();
        let Files { disk, durabilities, .. } = files.clone();
        let before = disk.kill();
        let image = match end {
            End::Kill => disk.kill(),
            End::PowerCut(seed) => disk.power_cut_seeded(seed),
            End::Drop | End::Close => disk.clone(),
        };
        let is_crash = matches!(end, End::Kill | End::PowerCut(_));
        processes.iter_mut().for_each(|process| process.end(is_crash));
        let counts = self.topics().map(|topic| topic.partition_count());
        if end == End::Close {
            // Refused if a sync had failed before: then the next opening verifies.
            drop(files.broker.close());
        }
        drop(files);
        *self.stage.write().expect("nobody panics here") = None;
        let closed = image.contents();
        self.is_poisoned.store(false, Ordering::SeqCst);
        self.raise(image.clone());
        let now = self.topics().map(|topic| topic.partition_count());
        assert!(now[0] >= counts[0] && now[1] >= counts[1], "partitions are gone");
        let snapshots = self.snapshots(end, &before, durabilities);
        // Indexes are not synced: what a power cut leaves of them is no more than a cache.
        let is_cut = matches!(end, End::PowerCut(_));
        if !is_cut && self.files().is_some_and(|files| files.broker.recovery().was_clean) {
            let is_changed = image.contents() != closed;
            self.recorder.note_now(OBSERVER, What::OpenedClean { is_changed });
        }
        snapshots.into_iter().for_each(|what| self.recorder.note_now(OBSERVER, what));
        processes.iter_mut().for_each(Process::begin);
    }

    fn snapshots(&self, end: End, before: &SimDisk, durabilities: Durabilities) -> Vec<What> {
        let mut snapshots = Vec::new();
        let files = self.files().expect("there is a disk");
        for (number, topic) in (0..).zip(self.topics()) {
            let durability = durabilities.topics[usize::from(number)];
            for partition in topic.partitions() {
                let key = (number, partition.id());
                let of_name = (topic.name(), partition.id());
                let stamped = read_whole(&partition);
                let epochs = |disk| Files::epochs(disk, of_name.0, of_name.1);
                let reopened = Reopened {
                    key,
                    is_covered: end.is_covered_by(durability),
                    are_commits_covered: end.is_covered_by(durabilities.commits),
                    start: partition.log_start_offset(),
                    records: stamped.iter().map(|(offset, value, _)| (*offset, *value)).collect(),
                    committed: self.committed(key),
                    epoch_before: epochs(before).iter().map(|(_, epoch)| *epoch).max(),
                    epochs: epochs(&files.disk),
                };
                self.note_cut(&reopened);
                snapshots.push(What::Reopened(reopened));
                snapshots.extend(look_ups(key, &partition, &stamped));
            }
        }
        snapshots.push(self.balances(&files, end.is_covered_by(durabilities.balances)));
        snapshots
    }

    fn balances(&self, files: &Files, is_covered: bool) -> What {
        let partition = files.balances();
        let (mut records, mut next) = (Vec::new(), partition.log_start_offset());
        while let Ok(read) = partition.read(next, 1 << 16)
            && !read.is_empty()
        {
            for record in &read {
                records.push((
                    life::value(record.key()),
                    record.offset(),
                    life::value(record.value()),
                ));
                next = record.offset() + 1;
            }
        }
        What::Compacted { is_covered, end: partition.high_watermark(), records }
    }

    /// Remembers where a group goes on that has committed what is lost.
    fn note_cut(&self, reopened: &Reopened) {
        let Some(committed) = reopened.committed else { return };
        let mut cut = self.cut.lock().expect("nobody panics while it is held");
        let end = reopened.end();
        let former = cut.get(&reopened.key).copied();
        let cut_at = match former {
            Some(Cut::At { stale, end: former }) if stale == committed => Some(former.min(end)),
            _ => (committed > end).then_some(end),
        };
        if !reopened.are_commits_covered || former == Some(Cut::Somewhere) {
            // It may be any earlier commit, with a log that was cut since or not.
            cut.insert(reopened.key, Cut::Somewhere);
        } else if let Some(end) = cut_at {
            cut.insert(reopened.key, Cut::At { stale: committed, end });
        }
    }
}

/// All records, with their times.
pub(crate) fn read_whole(partition: &Partition) -> Vec<(Offset, Value, i64)> {
    let (mut next, mut records) = (partition.log_start_offset(), Vec::new());
    while next < partition.high_watermark() {
        let read = partition.read(next, 1 << 16).unwrap_or_else(|error| panic!("{error}"));
        for record in &read {
            let stamp = record.timestamp().as_millis();
            records.push((record.offset(), life::value(record.value()), stamp));
            next = record.offset() + 1;
        }
        assert!(!read.is_empty(), "nothing at {next} of {partition:?}");
    }
    records
}

/// Some look-ups, each by the index and by looking at everything.
fn look_ups(key: Key, partition: &Partition, records: &[(Offset, Value, i64)]) -> Vec<What> {
    let mut looked = Vec::new();
    let start = partition.log_start_offset();
    for (offset, _, stamp) in records.iter().step_by(records.len() / 8 + 1) {
        let at = anabranch::Timestamp::from_millis(*stamp);
        let by_index = partition.offset_for_timestamp(at);
        let by_scan = records.iter().find(|(_, _, other)| other >= stamp).map(|(at, _, _)| *at);
        looked.push(LookUp { key, by_index, by_scan });
        let found = partition.read(*offset, 1).ok();
        let by_index = found.and_then(|found| found.iter().next().map(|record| record.offset()));
        looked.push(LookUp { key, by_index, by_scan: Some(*offset) });
    }
    let mut looked = Vec::from_iter(looked.into_iter().map(What::LookedUp));
    if start > 0 {
        let below = partition.read(start - 1, 1);
        let is_refused = matches!(below, Err(ReadError::OutOfRange { .. }));
        looked.push(What::ReadBelow { key, is_refused });
    }
    looked
}
