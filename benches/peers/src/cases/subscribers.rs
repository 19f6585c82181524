//! What does each subscriber cost the thread that publishes?
//!
//! Batches of 64 are published in bursts of 64 to one subscriber or to 64 of them, who are either
//! asleep before every burst or in the middle of reading. The wall time holds what the scheduler
//! does with 65 threads; the publisher's own processor time does not.

use super::{Case, Group};
use crate::contest::{Contender, Metric, Reading, Side, Size, race};
use crate::ours::{self, Subscriber};
use crate::pace::{Behind, Pace};
use crate::payload::Payloads;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

pub(crate) const CASE: Case = Case {
    group: Group::Memory,
    name: "subscribers",
    question: "Publishing a batch of 64 to 1 and to 64 subscribers of everything, asleep before \
        each burst of 64 batches, or reading.",
    contenders,
};

const BATCH: u64 = 64;
const BURST: u64 = 64;
const BURSTS_ASLEEP: u64 = 50;
const BURSTS_READING: u64 = 200;
/// After this long without records every reader has stopped spinning and sleeps.
const SILENCE: Duration = Duration::from_millis(5);

const ASLEEP: [Metric; 2] =
    [Metric::less("asleep: ns/batch, wall"), Metric::less("asleep: ns/batch, publisher's CPU")];
const READING: [Metric; 2] =
    [Metric::less("reading: ns/batch, wall"), Metric::less("reading: ns/batch, publisher's CPU")];

fn contenders(size: &Size) -> Vec<Contender> {
    let (asleep, reading) = (size.count(BURSTS_ASLEEP), size.count(BURSTS_READING));
    let topic = ours::topic(1, ours::RETAINED_BYTES);
    let both = move |topic: &anabranch::Topic, subscribers| {
        let mut readings = publish(topic, subscribers, asleep, ASLEEP, wait_until_asleep);
        readings.extend(publish(topic, subscribers, reading, READING, keep_within_window));
        readings
    };
    let other = topic.clone();
    vec![
        Contender::new("anabranch, 1 subscriber", move || both(&topic, 1)),
        Contender::new("anabranch, 64 subscribers", move || both(&other, 64)),
    ]
}

fn wait_until_asleep(pace: &Pace, sent: u64) {
    while pace.total(Behind::Slowest) < sent {
        std::thread::yield_now();
    }
    std::thread::sleep(SILENCE);
}

fn keep_within_window(pace: &Pace, sent: u64) {
    pace.throttle(Behind::Slowest).hold(sent);
}

/// Publishes bursts, pausing between them, and counts only the bursts.
fn publish(
    topic: &anabranch::Topic,
    subscribers: usize,
    bursts: u64,
    metrics: [Metric; 2],
    pause: fn(&Pace, u64),
) -> Vec<Reading> {
    let payloads = Payloads::new();
    let producer = ours::producer(topic);
    let pace = &Pace::new(subscribers, ours::WINDOW);
    let records = bursts * BURST * BATCH;
    let (mut wall, mut processor) = (Duration::ZERO, Duration::ZERO);
    let mut sides: Vec<Side<'_>> = vec![Box::new(|| {
        for burst in 0..bursts {
            let base = burst * BURST * BATCH;
            pause(pace, base);
            let (wall_before, processor_before) = (Instant::now(), thread_time());
            for base in (base..base + BURST * BATCH).step_by(BATCH as usize) {
                ours::send_batch(&producer, (base..base + BATCH).map(|i| payloads.get(i)));
            }
            processor += thread_time() - processor_before;
            wall += wall_before.elapsed();
        }
    })];
    for reader in 0..subscribers {
        let mut subscriber = Subscriber::at_end(topic.partitions());
        sides.push(Box::new(move || {
            let seen = subscriber.read(records, |count| pace.seen(reader, count));
            assert_eq!(seen, payloads.expected(records));
        }));
    }
    race(sides);
    let per_batch = |took: Duration| took.as_nanos() as f64 / (bursts * BURST) as f64;
    vec![Reading::new(metrics[0], per_batch(wall)), Reading::new(metrics[1], per_batch(processor))]
}

/// How long this thread has been on a processor.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
