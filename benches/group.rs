//! What does being a group cost: a rebalance, ten thousand partitions in which nothing happens, and
//! a wake-up?
//!
//! `cargo bench --bench group`, with `-- --quick` for a tenth of the rounds.
//!
//! - *Rebalance*: 100 members share 1,000 partitions; one joins, then one leaves. Shown is the time
//!   spent in all members' calls until everybody has what it is to have, less the time inside
//!   the assignor, which is shown beside it. Wanted: under 1 ms.
//! - *Idle partitions*: a consumer of 10,000 silent partitions and a busy one, and a consumer of the
//!   busy one alone, take turns. Shown is the time of a poll that returns a record and of one that
//!   finds nothing. Wanted: a ratio of at most 1.2.
//! - *Wake-up*: from before the append until the consumer, blocked in `poll`, has the record.

use anabranch::assignor::{Assignment, Assignor, CooperativeStickyAssignor, Member, TopicLayout};
use anabranch::{Consumer, ConsumerGroup, GroupState, Record, Topic, TopicConfig};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let scale = if is_quick { 1 } else { 10 };
    rebalance(10 * scale);
    idle_partitions(2 * scale);
    wake_up(200 * scale);
}

/// The sticky assignor with a stopwatch.
#[derive(Clone, Default)]
struct Timed(Arc<AtomicU64>);

impl Timed {
    fn take(&self) -> Duration {
        Duration::from_nanos(self.0.swap(0, Ordering::Relaxed))
    }
}

impl Assignor for Timed {
    fn name(&self) -> &str {
        "timed"
    }

    fn assign(&self, members: &[Member], topics: &[TopicLayout]) -> Assignment {
        let started = Instant::now();
        let assignment = CooperativeStickyAssignor.assign(members, topics);
        let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanos, Ordering::Relaxed);
        assignment
    }
}

fn topic(partitions: u32) -> Topic {
    Topic::in_memory("t", TopicConfig::new().partitions(partitions)).expect("the name is good")
}

fn group(topic: &Topic) -> ConsumerGroup {
    ConsumerGroup::builder("g").topic(topic).build().expect("it has a topic")
}

fn poll(consumer: &mut Consumer) -> usize {
    consumer.poll(Duration::ZERO).expect("nothing stands in the way").len()
}

/// The time in all members' polls until the group is at rest.
fn settle(group: &ConsumerGroup, members: &mut [Consumer]) -> Duration {
    let mut spent = Duration::ZERO;
    while group.describe().state != GroupState::Stable {
        let started = Instant::now();
        for member in members.iter_mut() {
            black_box(poll(member));
        }
        spent += started.elapsed();
    }
    spent
}

fn rebalance(rounds: usize) {
    let (topic, timed) = (topic(1000), Timed::default());
    let builder = ConsumerGroup::builder("g").topic(&topic).assignor(timed.clone());
    let group = builder.build().expect("it has a topic");
    let join = |name: usize| group.join(format!("m{name}")).expect("there is room");
    let mut members: Vec<Consumer> = (0..100).map(join).collect();
    settle(&group, &mut members);
    // So often that silent partitions are not looked at any more: what is left is the group's part.
    for _ in 0..40 {
        for member in &mut members {
            black_box(poll(member));
        }
    }
    let (mut joins, mut leaves) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        timed.take();
        let started = Instant::now();
        members.push(join(1000 + round));
        let spent = started.elapsed() + settle(&group, &mut members);
        joins.push((spent, timed.take()));
        let leaving = members.remove((round * 37) % members.len());
        let started = Instant::now();
        drop(leaving);
        let spent = started.elapsed() + settle(&group, &mut members);
        leaves.push((spent, timed.take()));
    }
    println!("rebalance of 1,000 partitions over 100 members, {rounds} rounds: median (best, p90)");
    for (name, mut spans) in [("one joins", joins), ("one leaves", leaves)] {
        let mut own: Vec<f64> = spans.iter().map(|(all, assign)| micros(*all - *assign)).collect();
        own.sort_unstable_by(f64::total_cmp);
        spans.sort_unstable_by_key(|(_, assign)| *assign);
        let at = |part: usize| own[(own.len() - 1) * part / 100];
        let assign = micros(spans[spans.len() / 2].1);
        println!(
            "  {name:<11} group {:>7.1} µs ({:.1}, {:.1})   assignor {assign:>7.1} µs",
            at(50),
            at(0),
            at(90)
        );
    }
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

/// One busy partition, alone or among silent ones.
struct Scene {
    topic: Topic,
    consumer: Consumer,
    busy: u32,
    returning: Vec<f64>,
    empty: Vec<f64>,
}

const POLLS: u32 = 2000;

impl Scene {
    fn new(silent: u32) -> Scene {
        let topic = topic(silent + 1);
        let mut consumer = group(&topic).join("m").expect("there is room");
        for _ in 0..40 {
            poll(&mut consumer);
        }
        Scene { topic, consumer, busy: silent, returning: Vec::new(), empty: Vec::new() }
    }

    /// Nanoseconds per poll, of polls that return one record and of polls that find nothing.
    fn run(&mut self) {
        let partition = self.topic.partition(self.busy).expect("it is the last one");
        let record = [Record::new("a hundred bytes or so would not change the picture")];
        let mut spent = Duration::ZERO;
        for _ in 0..POLLS {
            partition.append(&record).expect("it fits");
            let started = Instant::now();
            let count = poll(&mut self.consumer);
            spent += started.elapsed();
            assert_eq!(count, 1);
        }
        self.returning.push(nanos_each(spent));
        let started = Instant::now();
        for _ in 0..POLLS {
            black_box(poll(&mut self.consumer));
        }
        self.empty.push(nanos_each(started.elapsed()));
    }
}

fn nanos_each(spent: Duration) -> f64 {
    spent.as_secs_f64() * 1e9 / f64::from(POLLS)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn idle_partitions(rounds: usize) {
    let mut scenes = [Scene::new(0), Scene::new(10_000)];
    for _ in 0..rounds * 10 {
        scenes.iter_mut().for_each(Scene::run);
    }
    println!(
        "one busy partition, alone and among 10,000 silent ones: median ns a poll (clock included)"
    );
    let [alone, among] = &mut scenes;
    for (name, alone, among) in [
        ("returns a record", &mut alone.returning, &mut among.returning),
        ("finds nothing", &mut alone.empty, &mut among.empty),
    ] {
        let (alone, among) = (median(alone), median(among));
        println!("  {name:<17} {alone:>7.1}  {among:>7.1}   ratio {:.2}", among / alone);
    }
}

fn wake_up(rounds: usize) {
    let topic = topic(4);
    let mut consumer = group(&topic).join("m").expect("there is room");
    let (done, woken) = channel();
    let mut spans = Vec::with_capacity(rounds);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..rounds {
                let records = consumer.poll(Duration::from_secs(60)).expect("nothing in the way");
                let now = Instant::now();
                assert_eq!(records.len(), 1);
                done.send(now).expect("the other end waits");
            }
        });
        for round in 0..rounds {
            // Long enough for the consumer to be fast asleep; not part of what is measured.
            std::thread::sleep(Duration::from_millis(1));
            let id = u32::try_from(round % 4).expect("it is below 4");
            let partition = topic.partition(id).expect("there are four");
            let started = Instant::now();
            partition.append(&[Record::new("x")]).expect("it fits");
            let woken = woken.recv().expect("the consumer sends one for each record");
            spans.push(micros(woken - started));
        }
    });
    spans.sort_unstable_by(f64::total_cmp);
    let at = |part: usize| spans[(spans.len() - 1) * part / 100];
    println!("append to a consumer that sleeps in poll, {rounds} rounds");
    println!("  p50 {:.1} µs, p99 {:.1} µs", at(50), at(99));
}
