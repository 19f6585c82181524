//! Groups with a journal, over a log in memory that can be told to be slow, to fail, or to panic.

use super::*;
use crate::clock::ManualClock;
use crate::error::{AppendError, PollError};
use crate::group::offsets::NO_EPOCH;
use crate::group::{Consumer, ConsumerGroup, OffsetReset, ResetTo};
use crate::ids::{Offset, PartitionId};
use crate::topic::{Topic, TopicConfig};
use std::sync::mpsc::{Receiver, Sender, channel};

/// What settling a batch comes to.
enum Fate {
    Refuse,
    Panic,
    /// Says that it is waiting, then waits for the word: whether the batch is safe.
    Wait(Sender<()>, Receiver<bool>),
}

/// A log in memory whose next batches have the fates given; the others are safe at once.
#[derive(Clone, Debug)]
struct MoodyLog {
    partition: Partition,
    fates: Arc<Mutex<Vec<Fate>>>,
}

impl std::fmt::Debug for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fate")
    }
}

/// Stands in for what a disk says.
fn refusal() -> AppendError {
    AppendError::Empty { partition: TopicPartition::new(OFFSETS_TOPIC, 0) }
}

impl OffsetsLog for MoodyLog {
    fn enqueue(&self, records: &[Record<'_>]) -> Result<Ticket, AppendError> {
        self.partition.enqueue(records)
    }

    fn settle(&self, ticket: Ticket, synced: bool) -> Result<(), AppendError> {
        let fate = self.fates.lock().pop();
        let is_safe = match fate {
            None => true,
            Some(Fate::Refuse) => false,
            Some(Fate::Panic) => panic!("the disk panics"),
            Some(Fate::Wait(waiting, word)) => {
                waiting.send(()).unwrap();
                word.recv().unwrap()
            }
        };
        if is_safe { self.partition.settle(ticket, synced) } else { Err(refusal()) }
    }

    fn now(&self) -> Timestamp {
        self.partition.now()
    }
}

struct World {
    topic: Topic,
    log: MoodyLog,
    journal: Arc<OffsetsJournal>,
}

impl World {
    /// A topic of two partitions with five records each, and an empty journal.
    fn new() -> World {
        let topic = in_memory("t", 2);
        (0..2).for_each(|partition| fill(&topic, partition, 5));
        World::over(topic, in_memory(OFFSETS_TOPIC, 1).partition(0).unwrap())
    }

    fn over(topic: Topic, partition: Partition) -> World {
        let loaded = load(&partition).unwrap();
        let log = MoodyLog { partition, fates: Arc::default() };
        let journal = Arc::new(OffsetsJournal::over(Arc::new(log.clone()), loaded));
        World { topic, log, journal }
    }

    /// As after a restart: all that is left are the records.
    fn reopened(&self) -> World {
        World::over(self.topic.clone(), self.log.partition.clone())
    }

    fn next(&self, fate: Fate) {
        self.log.fates.lock().push(fate);
    }

    fn group(&self) -> ConsumerGroup {
        self.group_with(OffsetReset::Earliest)
    }

    fn group_with(&self, reset: OffsetReset) -> ConsumerGroup {
        let builder = ConsumerGroup::builder("g").topic(&self.topic).clock(ManualClock::new());
        builder.offset_reset(reset).with_journal(&self.journal).build().unwrap()
    }

    fn batches(&self) -> u64 {
        self.log.partition.stats().appends
    }
}

fn in_memory(name: &str, partitions: PartitionId) -> Topic {
    let config = TopicConfig::new().partitions(partitions).clock(ManualClock::new());
    Topic::in_memory(name, config).unwrap()
}

fn fill(topic: &Topic, partition: PartitionId, count: usize) {
    for _ in 0..count {
        topic.partition(partition).unwrap().append(&[Record::new("x")]).unwrap();
    }
}

fn t(partition: PartitionId) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn read(consumer: &mut Consumer) -> usize {
    consumer.poll(Duration::ZERO).unwrap().len()
}

fn committed(group: &ConsumerGroup) -> [Option<Offset>; 2] {
    [0, 1].map(|id| group.committed(&t(id)).map(|committed| committed.offset))
}

fn not_durable() -> CommitError {
    CommitError::NotDurable { group: "g".into(), reason: refusal() }
}

#[test]
fn a_commit_is_one_batch_and_comes_back() {
    let world = World::new();
    let group = world.group();
    let mut a = group.join("a").unwrap();
    assert_eq!(read(&mut a), 10);
    a.commit().unwrap();
    assert_eq!((world.batches(), world.log.partition.high_watermark()), (1, 2));
    a.commit().unwrap();
    a.commit_offsets(&[]).unwrap();
    assert_eq!(world.batches(), 1, "nothing new, nothing written");
    let what = OffsetAndMetadata::new(3).with_metadata("batch 4");
    a.commit_with_metadata(vec![(t(1), what.clone())]).unwrap();

    let after = world.reopened();
    let offsets = vec![(t(0), OffsetAndMetadata::new(5)), (t(1), what)];
    assert_eq!(after.journal.groups(), [("g".into(), offsets)]);
    assert_eq!(after.journal.skipped(), 0);
    let group = after.group();
    assert_eq!((committed(&group), group.total_lag()), ([Some(5), Some(3)], 2));
    let mut b = group.join("b").unwrap();
    assert_eq!(read(&mut b), 2, "it goes on where the other one stopped");
}

#[test]
fn a_group_that_is_built_again_goes_on_and_is_open_once() {
    let world = World::new();
    let group = world.group();
    let mut a = group.join("a").unwrap();
    read(&mut a);
    a.commit().unwrap();
    drop(group);
    let again =
        || ConsumerGroup::builder("g").topic(&world.topic).with_journal(&world.journal).build();
    let refused = GroupError::InUse { group: "g".into() };
    assert_eq!(again().unwrap_err(), refused, "a member lives");
    assert_eq!(world.journal.forget(&"g".into()), Err(refused));
    drop(a);
    assert_eq!(committed(&again().unwrap()), [Some(5), Some(5)]);
    let other = ConsumerGroup::builder("h").topic(&world.topic).with_journal(&world.journal);
    assert_eq!(committed(&other.build().unwrap()), [None, None]);
}

#[test]
fn a_name_that_the_format_cannot_say_is_refused() {
    let world = World::new();
    let build = |bytes| {
        let builder = ConsumerGroup::builder("g".repeat(bytes)).topic(&world.topic);
        builder.with_journal(&world.journal).build()
    };
    assert!(matches!(build(32_768), Err(GroupError::InvalidSetting { .. })));
    build(32_767).unwrap().reset_offsets(ResetTo::End).unwrap();
}

#[test]
fn a_commit_that_failed_leaves_no_trace_and_is_made_up_for() {
    let world = World::new();
    let group = world.group();
    let mut a = group.join("a").unwrap();
    read(&mut a);
    a.commit_offsets(&[(t(0), 2)]).unwrap();
    world.next(Fate::Refuse);
    assert_eq!(a.commit(), Err(not_durable()));
    assert_eq!(committed(&group), [Some(2), None]);
    assert_eq!(world.journal.groups()[0].1.len(), 1);
    a.commit().unwrap();
    assert_eq!(committed(&group), [Some(5), Some(5)]);
}

#[test]
fn a_commit_that_cannot_be_enqueued_leaves_no_trace() {
    let topic = in_memory("t", 2);
    let config = TopicConfig::new().max_batch_bytes(120);
    let partition = Topic::in_memory(OFFSETS_TOPIC, config).unwrap().partition(0).unwrap();
    let world = World::over(topic, partition);
    let group = world.group();
    let refused = group.reset_offsets(ResetTo::Beginning).unwrap_err();
    let is_too_large = |error: &CommitError| {
        matches!(error, CommitError::NotDurable { reason: AppendError::TooLarge { .. }, .. })
    };
    assert!(matches!(&refused, GroupError::Commit(error) if is_too_large(error)), "{refused}");
    assert_eq!((committed(&group), world.batches()), ([None, None], 0));
    group.reset_offsets(ResetTo::Offsets(vec![(t(1), 0)])).unwrap();
    assert_eq!(committed(&group), [None, Some(0)]);
}

#[test]
fn a_reset_is_written_and_an_empty_one_is_not() {
    let world = World::new();
    let group = world.group();
    group.reset_offsets(ResetTo::Offsets(vec![])).unwrap();
    assert_eq!(world.batches(), 0);
    group.reset_offsets(ResetTo::End).unwrap();
    world.next(Fate::Refuse);
    let refused = group.reset_offsets(ResetTo::Beginning);
    assert_eq!(refused, Err(GroupError::Commit(not_durable())));
    assert_eq!(committed(&group), [Some(5), Some(5)]);
}

#[test]
fn leaving_says_that_auto_commit_failed_and_leaves() {
    let world = World::new();
    let builder = ConsumerGroup::builder("g").topic(&world.topic).clock(ManualClock::new());
    let builder = builder.auto_commit(Some(Duration::from_secs(5)));
    let group = builder.with_journal(&world.journal).build().unwrap();
    let mut a = group.join("a").unwrap();
    read(&mut a);
    world.next(Fate::Refuse);
    assert_eq!(a.leave(), Err(GroupError::Commit(not_durable())));
    assert_eq!((committed(&group), group.describe().members.len()), ([None, None], 0));
}

/// A static member whose commit hangs in the disk is replaced. The new one starts from what comes of
/// that commit; nobody sees it before.
fn replaced_while_committing(
    is_safe: bool,
) -> (usize, [Option<Offset>; 2], Result<(), CommitError>) {
    let world = World::new();
    let group = world.group();
    let mut old = group.member("old").instance_id("i").join().unwrap();
    read(&mut old);
    let ((waiting, is_waiting), (word, hears)) = (channel(), channel());
    world.next(Fate::Wait(waiting, hears));
    let outcome = std::thread::scope(|scope| {
        let committing = scope.spawn(|| old.commit());
        is_waiting.recv().unwrap();
        assert_eq!(committed(&group), [None, None], "not before it is safe");
        assert_eq!(group.total_lag(), 10);
        let new = scope.spawn(|| {
            let mut new = group.member("new").instance_id("i").join().unwrap();
            let records = read(&mut new);
            drop(new);
            records
        });
        word.send(is_safe).unwrap();
        let outcome = committing.join().unwrap();
        (new.join().unwrap(), outcome)
    });
    (outcome.0, committed(&group), outcome.1)
}

#[test]
fn a_new_owner_starts_from_what_comes_of_a_commit_in_flight() {
    assert_eq!(replaced_while_committing(true), (0, [Some(5), Some(5)], Ok(())));
    assert_eq!(replaced_while_committing(false), (10, [None, None], Err(not_durable())));
}

#[test]
fn a_disk_that_panics_lets_go_of_those_who_wait() {
    let world = World::new();
    let group = world.group();
    let mut a = group.join("a").unwrap();
    read(&mut a);
    world.next(Fate::Panic);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| a.commit()));
    assert!(caught.is_err());
    drop(a);
    assert_eq!(read(&mut group.join("b").unwrap()), 10);
}

#[test]
fn commits_count_in_the_order_in_which_they_began() {
    let world = World::new();
    let offsets = world.journal.open_group(&"g".into()).unwrap();
    let begin = |changes: &[(PartitionId, Offset)]| {
        let committed =
            |offset| Committed { offset, leader_epoch: NO_EPOCH, metadata: String::new() };
        let changes = changes.iter().map(|(id, offset)| (t(*id), Some(committed(*offset))));
        offsets.begin(offsets.prepare(changes.collect())).unwrap()
    };
    let row = |id| offsets.get(&t(id)).map(|committed| committed.offset);
    let (first, second, third) = (begin(&[(0, 1), (1, 1)]), begin(&[(0, 2)]), begin(&[(1, 3)]));
    second.settle().unwrap();
    assert_eq!((row(0), row(1)), (Some(2), None), "the first one is not through");
    first.settle().unwrap();
    assert_eq!((row(0), row(1)), (Some(2), Some(1)), "it does not set back what came later");
    drop(third);
    offsets.wait_for(&[t(0), t(1)]);
    assert_eq!(row(1), Some(1), "given up");
}

#[test]
fn what_is_no_commit_is_skipped_and_counted() {
    let topic = in_memory("t", 2);
    let partition = in_memory(OFFSETS_TOPIC, 1).partition(0).unwrap();
    let key = record::encode_key(&"g".into(), &t(0));
    let of_nobody = record::encode_key(&"h".into(), &t(0));
    let members = b"\x00\x02\x00\x01g";
    let append = |record| partition.append(&[record]).unwrap();
    append(Record::new("no key"));
    append(Record::new("a group's members").with_key(members));
    append(Record::tombstone(members));
    let row = Committed { offset: 4, leader_epoch: NO_EPOCH, metadata: String::new() };
    let value = record::encode_value(&row, Timestamp::default());
    append(Record::new(&value).with_key(&key));
    append(Record::new("\x00\x09of the future").with_key(&key));
    append(Record::tombstone(&of_nobody));
    let world = World::over(topic, partition.clone());
    assert_eq!(world.journal.skipped(), 4);
    assert_eq!(committed(&world.group()), [Some(4), None], "the latest that can be read");
    append(Record::tombstone(&key));
    assert!(world.reopened().journal.groups().is_empty());
}

#[test]
fn what_a_log_claims_costs_no_more_than_its_records() {
    let partition = in_memory(OFFSETS_TOPIC, 1).partition(0).unwrap();
    let row = Committed { offset: 4, leader_epoch: NO_EPOCH, metadata: String::new() };
    let value = record::encode_value(&row, Timestamp::default());
    let far = t(i32::MAX.unsigned_abs());
    for of in [&far, &t(1), &TopicPartition::new("u", 0)] {
        let key = record::encode_key(&"g".into(), of);
        partition.append(&[Record::new(&value).with_key(&key)]).unwrap();
    }
    let world = World::over(in_memory("t", 2), partition);
    let group = world.group();
    assert_eq!(group.committed(&far).map(|committed| committed.offset), Some(4));
    assert_eq!(committed(&group), [None, Some(4)]);
    group.add_topic(&in_memory("u", 1)).unwrap();
    assert_eq!(world.journal.groups()[0].1.len(), 3);
    drop(group);
    assert_eq!(world.journal.forget(&"g".into()), Ok(true));
    assert!(world.reopened().journal.groups().is_empty());
}

#[test]
fn a_group_is_forgotten_in_the_log_as_well() {
    let world = World::new();
    let forget = || world.journal.forget(&"g".into());
    assert_eq!(forget(), Ok(false), "it never was");
    world.group().reset_offsets(ResetTo::End).unwrap();
    world.next(Fate::Refuse);
    assert_eq!(forget(), Err(GroupError::Commit(not_durable())));
    assert_eq!(committed(&world.group()), [Some(5), Some(5)]);
    assert_eq!(forget(), Ok(true));
    assert_eq!((world.journal.groups(), committed(&world.group())), (vec![], [None, None]));
    assert_eq!(forget(), Ok(false));
    assert!(world.reopened().journal.groups().is_empty());
}

/// A group that had committed 5 of both partitions, and a topic whose first one holds `kept` now.
fn restored(kept: std::ops::Range<Offset>, reset: OffsetReset) -> (World, ConsumerGroup) {
    let before = World::new();
    before.group().reset_offsets(ResetTo::End).unwrap();
    let topic = in_memory("t", 2);
    fill(&topic, 0, usize::try_from(kept.end).unwrap());
    fill(&topic, 1, 5);
    topic.partition(0).unwrap().delete_records(kept.start).unwrap();
    let world = World::over(topic, before.log.partition.clone());
    let group = world.group_with(reset);
    (world, group)
}

#[test]
fn an_offset_that_retention_overtook_is_reset_and_the_loss_counted() {
    let (_world, group) = restored(7..9, OffsetReset::Earliest);
    let records = group.join("a").unwrap().poll(Duration::ZERO).unwrap();
    assert_eq!((records.len(), records.lost()), (2, &[(t(0), 2)][..]));
}

/// As in Kafka: what does not exist is a matter for the reset policy, and no loss of the group's.
#[test]
fn an_offset_beyond_the_end_is_reset_by_the_groups_policy() {
    for (reset, position) in [(OffsetReset::Earliest, 0), (OffsetReset::Latest, 3)] {
        let (world, group) = restored(0..3, reset);
        assert_eq!((committed(&group), group.total_lag()), ([Some(5), Some(5)], 0));
        let mut a = group.join("a").unwrap();
        let records = a.poll(Duration::ZERO).unwrap();
        assert_eq!((records.len() as u64, records.lost()), (3 - position, &[][..]));
        assert_eq!(a.position(&t(0)), Some(3));
        a.commit().unwrap();
        assert_eq!(committed(&world.reopened().group()), [Some(3), Some(5)]);
    }
    let (_world, group) = restored(0..3, OffsetReset::None);
    let mut a = group.join("a").unwrap();
    let refused = a.poll(Duration::ZERO).unwrap_err();
    let PollError::Read(ReadError::OutOfRange { requested, high_watermark, .. }) = refused else {
        panic!("{refused}");
    };
    assert_eq!((requested, high_watermark), (5, 3));
    a.commit().unwrap();
    assert_eq!(committed(&group), [Some(5), Some(5)], "nothing is decided yet");
    a.seek_to_end(&[t(0)]).unwrap();
    a.commit().unwrap();
    assert_eq!(committed(&group), [Some(3), Some(5)]);
}
