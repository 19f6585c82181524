//! How many records a second can one thread publish to four readers of everything?

use super::batch64::CAPACITY;
use super::{Case, Group};
use crate::contest::{Contender, Reading, Side, Size, race};
use crate::ours::{self, Subscriber};
use crate::pace::{Behind, Pace};
use crate::payload::{Inline, Payloads, Seen};
use tokio::sync::broadcast;

pub(crate) const CASE: Case = Case {
    group: Group::Memory,
    name: "fanout",
    question: "One thread to four readers of everything, batches of 64; records published. \
        Broadcast would drop what a slow reader has not seen, so its sender is held back.",
    contenders,
};

const RECORDS: u64 = 4_000_000;
const READERS: usize = 4;
const BATCH: u64 = 64;

fn contenders(size: &Size) -> Vec<Contender> {
    let records = size.records(RECORDS);
    vec![
        Contender::new("anabranch send_batch", {
            let topic = ours::topic(1, ours::RETAINED_BYTES);
            move || anabranch(records, &topic)
        }),
        Contender::new("tokio broadcast, inline", move || broadcast(records)),
    ]
}

fn anabranch(records: u64, topic: &anabranch::Topic) -> Vec<Reading> {
    let payloads = Payloads::new();
    let producer = ours::producer(topic);
    let pace = &Pace::new(READERS, ours::WINDOW);
    let mut sides: Vec<Side<'_>> = vec![Box::new(|| {
        let mut throttle = pace.throttle(Behind::Slowest);
        for base in (0..records).step_by(BATCH as usize) {
            ours::send_batch(&producer, (base..base + BATCH).map(|i| payloads.get(i)));
            throttle.hold(base + BATCH);
        }
    })];
    for reader in 0..READERS {
        let mut subscriber = Subscriber::at_end(topic.partitions());
        sides.push(Box::new(move || {
            let seen = subscriber.read(records, |count| pace.seen(reader, count));
            assert_eq!(seen, payloads.expected(records));
        }));
    }
    Reading::rate(records, race(sides))
}

fn broadcast(records: u64) -> Vec<Reading> {
    let payloads = Payloads::new();
    let (sender, _) = broadcast::channel::<Inline>(CAPACITY);
    let receivers: Vec<_> = (0..READERS).map(|_| sender.subscribe()).collect();
    // A reader reports once a batch, so it may be a batch further than is known.
    let pace = &Pace::new(READERS, CAPACITY as u64 - 2 * BATCH);
    let mut sides: Vec<Side<'_>> = vec![Box::new(move || {
        let mut throttle = pace.throttle(Behind::Slowest);
        for base in (0..records).step_by(BATCH as usize) {
            for i in base..base + BATCH {
                sender.send(*payloads.get(i)).expect("the receivers are there");
            }
            throttle.hold(base + BATCH);
        }
    })];
    for (reader, mut receiver) in receivers.into_iter().enumerate() {
        sides.push(Box::new(move || {
            let mut seen = Seen::default();
            while seen.count < records {
                seen.touch(&receiver.blocking_recv().expect("nothing is dropped"));
                if seen.count.is_multiple_of(BATCH) {
                    pace.seen(reader, seen.count);
                }
            }
            assert_eq!(seen, payloads.expected(records));
        }));
    }
    Reading::rate(records, race(sides))
}
