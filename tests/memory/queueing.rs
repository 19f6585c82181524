//! `enqueue`: when a batch is appended, in which order, and what a full buffer says.

use crate::support::{
    GUARD, Gate, Random, Released, UserWaker, all, guarded, millis, tiny, topic, values,
};
use anabranch::{
    Delivery, ManualClock, Producer, ProducerBuilder, Reader, Record, SendError, TimestampType,
    Topic,
};
use std::time::Duration;

const LINGER: Duration = Duration::from_millis(100);

/// A topic under a manual clock, and the settings of a producer that lingers.
fn lingering() -> (Topic, ManualClock, ProducerBuilder) {
    let clock = ManualClock::at(millis(1_000));
    let topic = topic(tiny().partitions(2).clock(clock.clone()));
    let builder = Producer::builder(&topic).linger(LINGER);
    (topic, clock, builder)
}

fn enqueue(producer: &Producer, values: &[&str]) -> Vec<Delivery> {
    let queue = |value| producer.enqueue(Record::new(value).to_partition(0)).unwrap();
    values.iter().map(queue).collect()
}

fn appends(topic: &Topic) -> (u64, u64) {
    let total = topic.stats().total;
    (total.appends, total.records)
}

#[test]
fn without_linger_a_record_for_an_idle_partition_is_appended_at_once() {
    let topic = topic(tiny());
    let producer = Producer::new(&topic);
    for offset in 0..10 {
        let delivery = producer.enqueue(Record::new("x")).unwrap();
        assert!(delivery.is_done());
        assert_eq!(topic.stats().total.records, offset + 1);
        assert_eq!(delivery.wait().unwrap().offset, offset);
    }
    assert_eq!(producer.tick(), None, "nothing is queued");
}

#[test]
fn with_linger_records_gather_until_they_are_due() {
    let (topic, clock, builder) = lingering();
    let producer = builder.build().unwrap();
    assert_eq!(producer.tick(), None);
    let first = enqueue(&producer, &["a", "b"]);
    clock.advance(LINGER - Duration::from_millis(1));
    let second = enqueue(&producer, &["c"]); // joins the batch, and does not put it off
    assert_eq!(producer.tick(), Some(Duration::from_millis(1)));
    assert_eq!(appends(&topic), (0, 0));
    assert!(first.iter().chain(&second).all(|delivery| !delivery.is_done()));

    clock.advance(Duration::from_millis(1));
    assert_eq!(appends(&topic), (0, 0), "nobody came by yet");
    assert_eq!(producer.tick(), None);
    assert_eq!(appends(&topic), (1, 3));
    assert!(first.iter().chain(&second).all(Delivery::is_done));
    assert_eq!(second[0].wait().unwrap().offset, 2);
}

#[test]
fn the_next_enqueue_appends_what_is_due_elsewhere_too() {
    let (topic, clock, builder) = lingering();
    let producer = builder.build().unwrap();
    enqueue(&producer, &["a"]);
    clock.advance(LINGER);
    producer.enqueue(Record::new("b").to_partition(1)).unwrap();
    assert_eq!(topic.partition(0).unwrap().high_watermark(), 1);
    assert_eq!(topic.partition(1).unwrap().high_watermark(), 0);
    assert_eq!(producer.tick(), Some(LINGER));
}

#[test]
fn a_wall_clock_that_jumps_neither_hastens_nor_delays_a_batch() {
    let (topic, clock, builder) = lingering();
    let producer = builder.build().unwrap();
    enqueue(&producer, &["a"]);
    for time in [0, 1_000_000_000] {
        clock.set(millis(time));
        assert_eq!(producer.tick(), Some(LINGER));
    }
    assert_eq!(appends(&topic), (0, 0));
    clock.advance(LINGER);
    clock.set(millis(0));
    assert_eq!(producer.tick(), None);
    assert_eq!(appends(&topic), (1, 1));
}

#[test]
fn a_full_batch_is_appended_before_it_is_due() {
    let (topic, _, builder) = lingering();
    let value = "x".repeat(50);
    // Room for three records of this size and not for four.
    let producer = builder.batch_bytes(300).build().unwrap();
    let deliveries = enqueue(&producer, &[value.as_str(); 3]);
    assert_eq!(appends(&topic), (0, 0));
    assert_eq!(enqueue(&producer, &[value.as_str()]).len(), 1);
    assert_eq!(appends(&topic), (1, 3), "the fourth has opened the next batch");
    assert!(deliveries.iter().all(Delivery::is_done));

    let large = "y".repeat(1_000);
    enqueue(&producer, &[large.as_str()]);
    assert_eq!(appends(&topic), (3, 5), "a larger record has a batch of its own");
    drop(producer);
    assert_eq!(appends(&topic), (3, 5));
}

#[test]
fn no_batch_that_gathers_exceeds_what_the_topic_allows() {
    let clock = ManualClock::new();
    let topic = topic(tiny().max_batch_bytes(200).clock(clock));
    let producer =
        Producer::builder(&topic).linger(LINGER).batch_bytes(usize::MAX).build().unwrap();
    for number in 0..100 {
        producer.enqueue(Record::new(&"x".repeat(number % 120))).unwrap();
    }
    producer.flush().unwrap();
    let log = topic.partition(0).unwrap();
    assert_eq!(log.high_watermark(), 100);
    assert!(log.stats().appends > 20);
    // Each batch by itself: read one at a time, by the bytes that were counted.
    let mut offset = 0;
    while offset < 100 {
        let before = log.stats().read_bytes;
        offset += log.read(offset, 1).unwrap().len() as u64;
        assert!(log.stats().read_bytes - before <= 200);
    }
}

#[test]
fn a_flush_appends_everything_that_is_queued() {
    let (topic, _, builder) = lingering();
    let producer = builder.build().unwrap();
    let mut deliveries = enqueue(&producer, &["a", "b"]);
    deliveries.push(producer.enqueue(Record::new("c").to_partition(1)).unwrap());
    producer.flush().unwrap();
    assert!(deliveries.iter().all(Delivery::is_done));
    assert_eq!(appends(&topic), (2, 3));
    producer.flush().unwrap();
    assert_eq!(appends(&topic), (2, 3), "there was nothing left");
}

#[test]
fn waiting_for_a_record_appends_its_batch_and_leaves_the_others() {
    let (topic, _, builder) = lingering();
    let producer = builder.build().unwrap();
    let first = enqueue(&producer, &["a", "b"]);
    let other = producer.enqueue(Record::new("c").to_partition(1)).unwrap();
    let sent = first[1].wait().unwrap();
    assert_eq!((sent.partition, sent.offset, sent.timestamp), (0, 1, millis(1_000)));
    assert_eq!(appends(&topic), (1, 2));
    assert!(first[0].is_done() && !other.is_done());
    assert_eq!(first[0].wait().unwrap().offset, 0);
    assert_eq!(first[1].wait().unwrap(), sent, "it can be asked again");
}

#[test]
fn the_last_handle_to_go_appends_what_is_queued_and_a_clone_does_not() {
    let (topic, _, builder) = lingering();
    let producer = builder.build().unwrap();
    let clone = producer.clone();
    let deliveries = enqueue(&producer, &["a", "b"]);
    drop(producer);
    assert_eq!(appends(&topic), (0, 0));
    drop(clone);
    assert_eq!(appends(&topic), (1, 2), "though deliveries are still held");
    assert_eq!(deliveries[1].wait().unwrap().offset, 1);
}

#[test]
fn a_delivery_need_not_be_kept() {
    let (topic, _, builder) = lingering();
    let producer = builder.build().unwrap();
    drop(enqueue(&producer, &["a", "b"]));
    assert_eq!(appends(&topic), (0, 0));
    producer.flush().unwrap();
    assert_eq!(appends(&topic), (1, 2));
}

#[test]
fn what_is_sent_at_once_comes_behind_what_is_queued() {
    let (topic, _, builder) = lingering();
    let producer = builder.build().unwrap();
    enqueue(&producer, &["a"]);
    assert_eq!(producer.send(Record::new("b").to_partition(0)).unwrap().offset, 1);
    enqueue(&producer, &["c"]);
    let batch = ["d", "e"].map(|value| Record::new(value).to_partition(0));
    assert_eq!(producer.send_batch(batch).unwrap()[0].offset, 3);
    enqueue(&producer, &["f"]);
    let both = [Record::new("g").to_partition(0), Record::new("-").to_partition(1)];
    assert_eq!(producer.send_batch(both).unwrap()[0].offset, 6);
    let log = topic.partition(0).unwrap();
    assert_eq!(values(&all(&log)), ["a", "b", "c", "d", "e", "f", "g"]);
}

#[test]
fn threads_that_mix_all_ways_of_sending_keep_their_order() {
    const SEED: u64 = 7;
    for (linger, timestamp_type) in
        [(Duration::ZERO, TimestampType::CreateTime), (LINGER, TimestampType::LogAppendTime)]
    {
        let clock = ManualClock::new();
        let config = tiny().partitions(3).clock(clock.clone()).timestamp_type(timestamp_type);
        let topic = topic(config);
        let producer = Producer::builder(&topic).linger(linger).batch_bytes(200).build().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (producer, clock) = (&producer, &clock);
                scope.spawn(move || {
                    let mut random = Random::new(SEED + thread);
                    for number in 0..800_u64 {
                        let value = (thread << 32 | number).to_be_bytes();
                        let id = u32::try_from(random.below(3)).unwrap();
                        let record = Record::new(&value).to_partition(id);
                        match random.below(8) {
                            0 => drop(producer.send(record).unwrap()),
                            1 => drop(producer.send_batch([record]).unwrap()),
                            2 => drop(producer.enqueue(record).unwrap().wait().unwrap()),
                            3 => {
                                clock.advance(LINGER / 3);
                                drop(producer.enqueue(record).unwrap());
                            }
                            _ => drop(producer.enqueue(record).unwrap()),
                        }
                    }
                });
            }
        });
        drop(producer);
        assert_eq!(topic.stats().total.records, 4 * 800);
        for log in topic.partitions() {
            let mut last = [None; 4];
            for record in &all(&log) {
                let value = u64::from_be_bytes(record.value().unwrap().try_into().unwrap());
                let of_thread = &mut last[usize::try_from(value >> 32).unwrap()];
                assert!(*of_thread < Some(value), "seed {SEED}: overtaken in {}", log.id());
                *of_thread = Some(value);
            }
        }
    }
}

/// A producer whose append of one record is held up, in the waker of who reads it.
struct HeldUp {
    topic: Topic,
    producer: Producer,
    gate: Gate,
    _reader: Reader,
    flusher: Option<std::thread::JoinHandle<()>>,
}

impl HeldUp {
    fn new(buffer_bytes: usize, max_block: Duration) -> HeldUp {
        let (topic, _, builder) = lingering();
        let producer = builder.buffer_bytes(buffer_bytes).max_block(max_block).build().unwrap();
        let gate = Gate::default();
        let mut reader = Reader::new([(topic.partition(0).unwrap(), 0)]);
        let passing = gate.clone();
        assert!(UserWaker::doing(move || passing.pass()).poll(&mut reader).is_pending());
        enqueue(&producer, &["held up"]);
        gate.hold_next();
        let flushing = producer.clone();
        let flusher = Some(std::thread::spawn(move || flushing.flush().unwrap()));
        gate.await_held();
        HeldUp { topic, producer, gate, _reader: reader, flusher }
    }

    fn go_on(&mut self) {
        self.gate.release();
        self.flusher.take().unwrap().join().unwrap();
    }
}

#[test]
fn a_full_buffer_refuses_at_once_if_it_may_not_block() {
    let mut held_up = HeldUp::new(250, Duration::ZERO);
    let HeldUp { topic, producer, gate, .. } = &held_up;
    let released = Released(gate);
    enqueue(producer, &["fits"]);
    let record = Record::new("does not fit").to_partition(0);
    let refused = producer.enqueue(record).unwrap_err();
    let SendError::BufferFull { needed, used, max: 250, .. } = refused else { panic!("{refused}") };
    assert!(used <= 250 && used + needed > 250, "{refused}");
    assert_eq!(topic.stats().total.records, 1);
    drop(released);
    held_up.go_on();

    // Room has come: all of the buffer.
    enqueue(&held_up.producer, &["fits now"]);
    held_up.producer.flush().unwrap();
    let log = held_up.topic.partition(0).unwrap();
    assert_eq!(values(&all(&log)), ["held up", "fits", "fits now"]);
}

#[test]
fn a_full_buffer_blocks_until_there_is_room() {
    let mut held_up = HeldUp::new(120, GUARD);
    let producer = held_up.producer.clone();
    let blocked = std::thread::spawn(move || {
        producer.enqueue(Record::new("waited").to_partition(0)).unwrap().wait().unwrap()
    });
    // Other partitions and direct sends do not need the buffer.
    let other = held_up.producer.send(Record::new("-").to_partition(1)).unwrap();
    assert_eq!(other.offset, 0);
    held_up.go_on();
    assert_eq!(guarded(move || blocked.join().unwrap()).offset, 1);
    assert_eq!(values(&all(&held_up.topic.partition(0).unwrap())), ["held up", "waited"]);
}

#[test]
fn a_full_buffer_refuses_once_max_block_has_passed() {
    let mut held_up = HeldUp::new(120, Duration::from_millis(20));
    let refused = held_up.producer.enqueue(Record::new("waited").to_partition(0)).unwrap_err();
    assert!(matches!(refused, SendError::BufferFull { max: 120, .. }), "{refused}");
    held_up.go_on();
    enqueue(&held_up.producer, &["fits now"])[0].wait().unwrap();
}

#[test]
fn records_that_only_linger_make_room_for_others() {
    let (topic, _, builder) = lingering();
    let producer = builder.buffer_bytes(300).max_block(Duration::ZERO).build().unwrap();
    for number in 0..100 {
        producer.enqueue(Record::new("x").to_partition(number % 2)).unwrap();
    }
    assert!(topic.stats().total.records >= 97, "at most what fits the buffer is waiting");
    drop(producer);
    assert_eq!(topic.stats().total.records, 100);
}

#[test]
fn a_record_larger_than_the_buffer_is_refused_and_frees_nothing_it_does_not_hold() {
    let (topic, _, builder) = lingering();
    let producer = builder.buffer_bytes(300).build().unwrap();
    let large = [0; 300];
    let queued = enqueue(&producer, &["x"]);
    let refused = producer.enqueue(Record::new(&large)).unwrap_err();
    assert!(matches!(refused, SendError::BufferFull { max: 300, .. }), "{refused}");
    assert!(!queued[0].is_done() && topic.stats().total.records == 0);
    assert_eq!(producer.send(Record::new(&large).to_partition(0)).unwrap().offset, 1);
    enqueue(&producer, &["y"])[0].wait().unwrap();
}
