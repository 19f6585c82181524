//! How long does one record take to another thread and back, and to a thread that sleeps?

use super::{Case, Group};
use crate::contest::{Contender, Metric, Reading, Size, race};
use crate::ours::{self, Subscriber};
use crate::payload::{Inline, Payloads};
use crate::stats::percentile;
use std::time::{Duration, Instant};

pub(crate) const CASE: Case = Case {
    group: Group::Memory,
    name: "roundtrip",
    question: "One record to another thread and back, again and again; and one record to a \
        thread that has heard nothing for 200 µs.",
    contenders,
};

const TRIPS: u64 = 100_000;
const WAKES: u64 = 5_000;
const SILENCE: Duration = Duration::from_micros(200);

const TRIP: [Metric; 2] =
    [Metric::less("there and back: ns, p50"), Metric::less("there and back: ns, p99")];
const WAKE: [Metric; 2] = [Metric::less("wake-up: ns, p50"), Metric::less("wake-up: ns, p99")];

fn contenders(size: &Size) -> Vec<Contender> {
    let (trips, wakes) = (size.count(TRIPS), size.count(WAKES));
    vec![
        Contender::new("anabranch send", move || {
            both(trips, wakes, || {
                let topic = ours::topic(1, ours::RETAINED_BYTES);
                let producer = ours::producer(&topic);
                let mut subscriber = Subscriber::new(topic.partitions());
                let receive = move || {
                    let mut received = [0; 100];
                    while subscriber.poll(|value| received.copy_from_slice(value)) == 0 {}
                    received
                };
                (Box::new(move |value| ours::send(&producer, value)), Box::new(receive))
            })
        }),
        Contender::new("crossbeam-channel, inline", move || {
            both(trips, wakes, || {
                let (sender, receiver) = crossbeam_channel::bounded::<Inline>(1_024);
                let send =
                    move |value: &Inline| sender.send(*value).expect("the receiver is there");
                (Box::new(send), Box::new(move || receiver.recv().expect("the sender is there")))
            })
        }),
    ]
}

type Send = Box<dyn FnMut(&Inline) + std::marker::Send>;
type Receive = Box<dyn FnMut() -> Inline + std::marker::Send>;

fn both(trips: u64, wakes: u64, line: fn() -> (Send, Receive)) -> Vec<Reading> {
    let mut readings = quantiles(TRIP, there_and_back(trips, line(), line()));
    readings.extend(quantiles(WAKE, wake_ups(wakes, line(), line())));
    readings
}

fn quantiles(metrics: [Metric; 2], mut nanos: Vec<f64>) -> Vec<Reading> {
    let [half, most] = [percentile(&mut nanos, 0.5), percentile(&mut nanos, 0.99)];
    vec![Reading::new(metrics[0], half), Reading::new(metrics[1], most)]
}

fn there_and_back(trips: u64, there: (Send, Receive), back: (Send, Receive)) -> Vec<f64> {
    let payloads = Payloads::new();
    let ((mut send_there, mut receive_there), (mut send_back, mut receive_back)) = (there, back);
    let mut nanos = Vec::with_capacity(trips as usize);
    race(vec![
        Box::new(|| {
            for i in 0..trips {
                let sent = payloads.get(i);
                let began = Instant::now();
                send_there(sent);
                let received = receive_back();
                nanos.push(began.elapsed().as_nanos() as f64);
                assert_eq!(&received, sent);
            }
        }),
        Box::new(move || {
            for _ in 0..trips {
                send_back(&receive_there());
            }
        }),
    ]);
    nanos
}

/// The way there alone, to a receiver that sleeps: the time of sending travels in the record. The
/// sender stays awake in between, so that it is the receiver's waking that is measured.
fn wake_ups(wakes: u64, there: (Send, Receive), back: (Send, Receive)) -> Vec<f64> {
    let ((mut send_there, mut receive_there), (mut send_back, mut receive_back)) = (there, back);
    let epoch = Instant::now();
    let mut nanos = Vec::with_capacity(wakes as usize);
    race(vec![
        Box::new(move || {
            let mut value: Inline = *Payloads::new().get(0);
            for _ in 0..wakes {
                let silent_since = Instant::now();
                while silent_since.elapsed() < SILENCE {
                    std::hint::spin_loop();
                }
                value[..16].copy_from_slice(&epoch.elapsed().as_nanos().to_le_bytes());
                send_there(&value);
                receive_back();
            }
        }),
        Box::new(|| {
            for _ in 0..wakes {
                let value = receive_there();
                let now = epoch.elapsed().as_nanos();
                let (sent, _) = value.split_first_chunk().expect("the time is in the record");
                nanos.push(now.saturating_sub(u128::from_le_bytes(*sent)) as f64);
                send_back(&value);
            }
        }),
    ]);
    nanos
}
