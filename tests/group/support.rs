//! What the tests of groups have in common: small topics, a log of listener calls, hand-made wakers.

use anabranch::{
    Consumer, ConsumerGroup, ConsumerGroupBuilder, ManualClock, Offset, PartitionId,
    RebalanceListener, Record, Records, Topic, TopicConfig, TopicPartition,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::Duration;

/// A bound for waits that end with an event; never reached where all is well.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) const TICK: Duration = Duration::from_nanos(1);

pub(crate) fn topic(name: &str, partitions: u32) -> Topic {
    topic_at(name, partitions, &ManualClock::new())
}

pub(crate) fn topic_at(name: &str, partitions: u32, clock: &ManualClock) -> Topic {
    let config = TopicConfig::new().partitions(partitions).clock(clock.clone());
    Topic::in_memory(name, config).unwrap()
}

/// The settings of a group that reads `topic`, by a clock that stands still.
pub(crate) fn group_of(topic: &Topic) -> ConsumerGroupBuilder {
    ConsumerGroup::builder("g").topic(topic).clock(ManualClock::new())
}

pub(crate) fn group(topic: &Topic) -> ConsumerGroup {
    group_of(topic).build().unwrap()
}

/// A group, and the clock that it goes by.
pub(crate) fn timed(
    topic: &Topic,
    settings: impl FnOnce(ConsumerGroupBuilder) -> ConsumerGroupBuilder,
) -> (ConsumerGroup, ManualClock) {
    let clock = ManualClock::new();
    let builder = ConsumerGroup::builder("g").topic(topic).clock(clock.clone());
    (settings(builder).build().unwrap(), clock)
}

/// Appends `count` records, each a batch of its own.
pub(crate) fn fill(topic: &Topic, partition: PartitionId, count: usize) {
    let partition = topic.partition(partition).unwrap();
    for _ in 0..count {
        partition.append(&[Record::new("x")]).unwrap();
    }
}

/// Appends `count` records as one batch.
pub(crate) fn fill_batch(topic: &Topic, partition: PartitionId, count: usize) {
    let records: Vec<_> = (0..count).map(|_| Record::new("x")).collect();
    topic.partition(partition).unwrap().append(&records).unwrap();
}

/// `orders/0`, `orders/1` … of one topic.
pub(crate) fn of(
    topic: &str,
    partitions: impl IntoIterator<Item = PartitionId>,
) -> Vec<TopicPartition> {
    partitions.into_iter().map(|id| TopicPartition::new(topic, id)).collect()
}

pub(crate) fn t(partition: PartitionId) -> TopicPartition {
    TopicPartition::new("t", partition)
}

pub(crate) fn now(consumer: &mut Consumer) -> Records {
    consumer.poll(Duration::ZERO).unwrap()
}

/// The partition and offset of each record that a poll returns now.
pub(crate) fn read(consumer: &mut Consumer) -> Vec<(PartitionId, Offset)> {
    places(&now(consumer))
}

pub(crate) fn places(records: &Records) -> Vec<(PartitionId, Offset)> {
    records.iter().map(|record| (record.partition(), record.offset())).collect()
}

/// Polls one after the other until nobody's partitions change; none of them may have records.
pub(crate) fn settle(consumers: &mut [&mut Consumer]) {
    for _ in 0..8 {
        for consumer in consumers.iter_mut() {
            now(consumer);
        }
    }
}

/// What a listener was told, in order, with the member that told it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn push(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn call(&self, consumer: &Consumer, what: &str, partitions: &[TopicPartition]) {
        let list: Vec<String> = partitions.iter().map(TopicPartition::to_string).collect();
        self.push(format!("{} {what} {}", consumer.id(), list.join(" ")).trim_end());
    }
}

impl RebalanceListener for Log {
    fn assigned(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) {
        self.call(consumer, "assigned", partitions);
    }

    fn revoked(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) {
        self.call(consumer, "revoked", partitions);
    }

    fn lost(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) {
        self.call(consumer, "lost", partitions);
    }
}

/// A listener made of one closure: which call, the consumer, the partitions.
pub(crate) struct Doing<F>(pub F);

impl<F: FnMut(&str, &mut Consumer, &[TopicPartition]) + Send> RebalanceListener for Doing<F> {
    fn assigned(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) {
        (self.0)("assigned", consumer, partitions);
    }

    fn revoked(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) {
        (self.0)("revoked", consumer, partitions);
    }

    fn lost(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) {
        (self.0)("lost", consumer, partitions);
    }
}

/// Counts how often a task was woken.
#[derive(Debug, Default)]
pub(crate) struct Bell(AtomicUsize);

impl Bell {
    pub(crate) fn new() -> (Arc<Bell>, Waker) {
        let bell = Arc::new(Bell::default());
        (Arc::clone(&bell), Waker::from(bell))
    }

    pub(crate) fn rings(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
