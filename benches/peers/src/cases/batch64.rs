//! How many records a second go from one thread to another in batches of 64?

use super::{Case, Group};
use crate::contest::{Contender, Reading, Size, race};
use crate::ours::{self, Subscriber};
use crate::pace::{Behind, Pace};
use crate::payload::{Inline, Payloads, Seen};
use bytes::{Bytes, BytesMut};
use disruptor::{BusySpin, EventPoller, Polling, Producer, SingleProducerBarrier};

pub(crate) const CASE: Case = Case {
    group: Group::Memory,
    name: "batch64",
    question: "One thread to one thread, batches of 64. The channel and the rings keep nothing; \
        the disruptors spin; kafko and merkql write files (and get fewer records).",
    contenders,
};

const RECORDS: u64 = 20_000_000;
const BATCH: u64 = 64;
/// What a channel or a ring holds.
pub(super) const CAPACITY: usize = 65_536;

fn contenders(size: &Size) -> Vec<Contender> {
    let records = size.records(RECORDS);
    // Those who write files get as many as they do in a second or so.
    let (kafko, merkql) = (size.records(RECORDS / 2_000), size.records(RECORDS / 20_000));
    vec![
        Contender::new("anabranch send_batch", {
            let topic = ours::topic(1, ours::RETAINED_BYTES);
            move || anabranch(records, &topic)
        }),
        Contender::new("crossbeam-channel, inline", move || {
            super::single::crossbeam_inline(records)
        }),
        Contender::new("disruptor, fixed slots", move || disruptor_inline(records)),
        Contender::new("disruptor, Bytes per record", move || disruptor_bytes(records)),
        Contender::new("disruptor, Bytes cut from a batch", move || disruptor_slices(records)),
        Contender::new("kafko send_batch", move || kafko_batches(kafko)),
        Contender::new("merkql send_batch", move || merkql_batches(merkql)),
    ]
}

fn anabranch(records: u64, topic: &anabranch::Topic) -> Vec<Reading> {
    let payloads = Payloads::new();
    let producer = ours::producer(topic);
    let mut subscriber = Subscriber::at_end(topic.partitions());
    let pace = Pace::new(1, ours::WINDOW);
    let took = race(vec![
        Box::new(|| {
            let mut throttle = pace.throttle(Behind::Slowest);
            for base in (0..records).step_by(BATCH as usize) {
                ours::send_batch(&producer, (base..base + BATCH).map(|i| payloads.get(i)));
                throttle.hold(base + BATCH);
            }
        }),
        Box::new(|| {
            let seen = subscriber.read(records, |count| pace.seen(0, count));
            assert_eq!(seen, payloads.expected(records));
        }),
    ]);
    Reading::rate(records, took)
}

fn disruptor_inline(records: u64) -> Vec<Reading> {
    let payloads = Payloads::new();
    let builder = disruptor::build_single_producer(CAPACITY, || -> Inline { [0; 100] }, BusySpin);
    let (mut poller, builder) = builder.new_event_poller();
    let mut producer = builder.build();
    let took = race(vec![
        Box::new(move || {
            for base in (0..records).step_by(BATCH as usize) {
                producer.batch_publish(BATCH as usize, |slots| {
                    for (slot, i) in slots.zip(base..) {
                        slot.copy_from_slice(payloads.get(i));
                    }
                });
            }
        }),
        Box::new(|| {
            let seen = drain(&mut poller, records, |slot: &Inline, seen| seen.touch(slot));
            assert_eq!(seen, payloads.expected(records));
        }),
    ]);
    Reading::rate(records, took)
}

fn disruptor_bytes(records: u64) -> Vec<Reading> {
    let payloads = Payloads::new();
    disruptor_of_bytes(records, move |base, slots| {
        for (slot, i) in slots.zip(base..) {
            *slot = Bytes::copy_from_slice(payloads.get(i));
        }
    })
}

fn disruptor_slices(records: u64) -> Vec<Reading> {
    let payloads = Payloads::new();
    disruptor_of_bytes(records, move |base, slots| {
        let mut batch = BytesMut::with_capacity(BATCH as usize * crate::payload::BYTES);
        (base..base + BATCH).for_each(|i| batch.extend_from_slice(payloads.get(i)));
        let mut batch = batch.freeze();
        for slot in slots {
            *slot = batch.split_to(crate::payload::BYTES);
        }
    })
}

fn disruptor_of_bytes(
    records: u64,
    fill: impl Fn(u64, &mut dyn Iterator<Item = &mut Bytes>) + Send,
) -> Vec<Reading> {
    let builder = disruptor::build_single_producer(CAPACITY, Bytes::new, BusySpin);
    let (mut poller, builder) = builder.new_event_poller();
    let mut producer = builder.build();
    let took = race(vec![
        Box::new(move || {
            for base in (0..records).step_by(BATCH as usize) {
                producer.batch_publish(BATCH as usize, |mut slots| fill(base, &mut slots));
            }
        }),
        Box::new(|| {
            let seen = drain(&mut poller, records, |slot: &Bytes, seen| seen.touch(slot));
            assert_eq!(seen, Payloads::new().expected(records));
        }),
    ]);
    Reading::rate(records, took)
}

/// Reads a ring until `records` were seen, spinning while there is nothing.
fn drain<E>(
    poller: &mut EventPoller<E, SingleProducerBarrier>,
    records: u64,
    touch: impl Fn(&E, &mut Seen),
) -> Seen {
    let mut seen = Seen::default();
    while seen.count < records {
        match poller.poll() {
            Ok(mut events) => (&mut events).for_each(|event| touch(event, &mut seen)),
            Err(Polling::NoEvents) => std::hint::spin_loop(),
            Err(Polling::Shutdown) => break,
        }
    }
    seen
}

fn kafko_batches(records: u64) -> Vec<Reading> {
    let payloads = Payloads::new();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let took = runtime.block_on(async {
        let broker = kafko::Kafko::open(folder.path()).await.expect("kafko opens");
        broker.create_topic("bench").await.expect("kafko creates a topic");
        let producer = broker.producer_for("bench").await.expect("kafko has the topic");
        let mut consumer = broker.consumer_for("bench").await.expect("kafko has the topic");
        let began = std::time::Instant::now();
        let reading = tokio::spawn(async move {
            let mut seen = Seen::default();
            while seen.count < records {
                seen.touch(consumer.next_record().await.expect("kafko reads").value());
            }
            seen
        });
        let sending = tokio::spawn(async move {
            for base in (0..records).step_by(BATCH as usize) {
                let values = (base..base + BATCH).map(|i| Bytes::copy_from_slice(payloads.get(i)));
                let batch = values.map(|value| (None, value)).collect();
                producer.send_batch(batch).await.expect("kafko sends");
            }
        });
        sending.await.expect("sending does not panic");
        assert_eq!(reading.await.expect("reading does not panic"), payloads.expected(records));
        let took = began.elapsed();
        broker.shutdown().await.expect("kafko shuts down");
        took
    });
    Reading::rate(records, took)
}

fn merkql_batches(records: u64) -> Vec<Reading> {
    use merkql::broker::{Broker, BrokerConfig};
    use merkql::consumer::{ConsumerConfig, OffsetReset};
    use merkql::record::ProducerRecord;

    let payloads = Payloads::new();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let broker = Broker::open(BrokerConfig::new(folder.path())).expect("merkql opens");
    broker.create_topic("bench", 1).expect("merkql creates a topic");
    let producer = Broker::producer(&broker);
    let config = ConsumerConfig {
        group_id: "bench".into(),
        auto_commit: false,
        offset_reset: OffsetReset::Earliest,
    };
    let mut consumer = Broker::consumer(&broker, config);
    consumer.subscribe(&["bench"]).expect("merkql has the topic");
    let took = race(vec![
        Box::new(|| {
            for base in (0..records).step_by(BATCH as usize) {
                let text = |i| str::from_utf8(payloads.get(i)).expect("payloads are letters");
                let batch: Vec<_> = (base..base + BATCH)
                    .map(|i| ProducerRecord::new("bench", None, text(i)))
                    .collect();
                producer.send_batch(&batch).expect("merkql sends");
            }
        }),
        Box::new(|| {
            let mut seen = Seen::default();
            while seen.count < records {
                let values = consumer.poll(std::time::Duration::ZERO).expect("merkql reads");
                values.iter().for_each(|record| seen.touch(record.value.as_bytes()));
                std::thread::yield_now();
            }
            assert_eq!(seen, payloads.expected(records));
        }),
    ]);
    Reading::rate(records, took)
}
