//! User code that panics, blocks, or comes back in: no lock is held meanwhile, and nothing stays
//! half done.

use crate::support::{
    GUARD, Gate, Released, UserClock, UserWaker, all, append_numbers, guarded, panic_message, tiny,
    topic, values,
};
use anabranch::{Clock, Producer, Reader, Record, Timestamp, Topic};
use std::sync::OnceLock;
use std::time::Duration;

/// Everything that asks the clock. Each adds two records, to two partitions or one, or none.
type Deed = fn(&Topic, &Producer);

const DEEDS: [(&str, Deed); 7] = [
    ("append", |topic, _| {
        topic.partition(0).unwrap().append(&[Record::new("x"); 2]).unwrap();
    }),
    ("send", |_, producer| {
        producer.send(Record::new("x").to_partition(0)).unwrap();
    }),
    ("send_batch to one", |_, producer| {
        producer.send_batch([Record::new("x").to_partition(1); 2]).unwrap();
    }),
    ("send_batch to two", |_, producer| {
        producer.send_batch([0, 1].map(|id| Record::new("x").to_partition(id))).unwrap();
    }),
    ("enqueue", |_, producer| {
        producer.enqueue(Record::new("x").to_partition(0)).unwrap();
    }),
    ("enqueue and wait", |_, producer| {
        producer.enqueue(Record::new("x").to_partition(0)).unwrap().wait().unwrap();
    }),
    ("apply_retention", |topic, _| topic.apply_retention()),
];

#[test]
fn a_clock_that_panics_ends_the_call_and_nothing_else() {
    for linger in [Duration::ZERO, GUARD] {
        for (name, deed) in DEEDS {
            // The clock panics when it is asked the first time, the second time …
            for calls in 0.. {
                let clock = UserClock::new();
                let topic = topic(tiny().partitions(2).clock(clock.clone()));
                let producer = Producer::builder(&topic)
                    .linger(linger)
                    .max_block(Duration::ZERO)
                    .build()
                    .unwrap();
                producer.enqueue(Record::new("before").to_partition(0)).unwrap();
                clock.panic_after(calls);
                let deed = || deed(&topic, &producer);
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(deed));
                clock.never_panic();

                producer.flush().unwrap();
                let records: Vec<_> = topic.partitions().map(|log| all(&log).len()).collect();
                if outcome.is_err() && name != "enqueue and wait" {
                    assert_eq!(records, [1, 0], "{name}, call {calls}: nothing was appended");
                }
                let sent = producer.send(Record::new("after").to_partition(0)).unwrap();
                assert_eq!(sent.offset, records[0] as u64, "{name}, call {calls}");
                producer.enqueue(Record::new("after").to_partition(1)).unwrap().wait().unwrap();
                if outcome.is_ok() {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_clock_that_panics_takes_no_room_from_the_buffer() {
    let clock = UserClock::new();
    let topic = topic(tiny().clock(clock.clone()));
    let builder = Producer::builder(&topic).linger(GUARD);
    let producer = builder.buffer_bytes(400).max_block(Duration::ZERO).build().unwrap();
    for calls in (0..4).cycle().take(100) {
        clock.panic_after(calls);
        panic_message(|| {
            producer.enqueue(Record::new("x")).unwrap();
            clock.panic_after(0);
            clock.now();
        });
    }
    clock.never_panic();
    producer.flush().unwrap();
    let value = vec![b'x'; 250]; // which takes most of the buffer
    producer.enqueue(Record::new(&value)).unwrap().wait().unwrap();
}

#[test]
fn a_clock_that_panics_in_flush_tick_or_wait_loses_no_record() {
    let clock = UserClock::new();
    let topic = topic(tiny().clock(clock.clone()));
    let producer = Producer::builder(&topic).linger(GUARD).build().unwrap();
    let delivery = producer.enqueue(Record::new("a")).unwrap();
    let deeds: [&dyn Fn(); 3] = [
        &|| producer.flush().unwrap(),
        &|| {
            producer.tick();
        },
        &|| {
            delivery.wait().unwrap();
        },
    ];
    for deed in deeds {
        for calls in 0..2 {
            clock.panic_after(calls);
            let message = panic_message(|| {
                deed();
                clock.panic_after(0);
                clock.now();
            });
            assert_eq!(message, "the clock is broken");
            clock.never_panic();
        }
    }
    assert_eq!(delivery.wait().unwrap().offset, 0);
    assert_eq!(values(&all(&topic.partition(0).unwrap())), ["a"]);
}

#[test]
fn no_lock_is_held_while_the_clock_is_asked() {
    for linger in [Duration::ZERO, GUARD] {
        for (name, deed) in DEEDS {
            let clock = UserClock::new();
            let topic = topic(tiny().partitions(2).clock(clock.clone()));
            let producer = Producer::builder(&topic).linger(linger).build().unwrap();
            producer.enqueue(Record::new("x").to_partition(0)).unwrap();
            let released = Released(&clock.gate);
            clock.gate.hold_next();
            let held = {
                let (topic, producer) = (topic.clone(), producer.clone());
                std::thread::spawn(move || deed(&topic, &producer))
            };
            clock.gate.await_held();
            // Everything that takes a lock, while that thread is stuck in the clock.
            let (topic, others) = (topic.clone(), producer.clone());
            guarded(move || {
                for log in topic.partitions() {
                    append_numbers(&log, 0..10);
                    log.delete_records(2).unwrap();
                    log.offset_for_timestamp(Timestamp::default());
                    assert!(!Reader::new([(log, 3)]).poll(GUARD).unwrap().is_empty());
                }
                for id in 0..2 {
                    let record = Record::new("x").to_partition(id);
                    others.send(record).unwrap();
                    others.enqueue(record).unwrap().wait().unwrap();
                }
                others.flush().unwrap();
                others.tick();
                topic.apply_retention();
                topic.add_partitions(3).unwrap();
                topic.stats();
            });
            drop(released);
            held.join().unwrap_or_else(|_| panic!("{name}"));
        }
    }
}

#[test]
fn a_clock_may_use_the_topic_it_is_the_clock_of() {
    #[derive(Clone, Debug, Default)]
    struct Nosy(std::sync::Arc<OnceLock<Topic>>, std::sync::Arc<std::sync::atomic::AtomicBool>);
    impl Clock for Nosy {
        fn now(&self) -> Timestamp {
            use std::sync::atomic::Ordering::SeqCst;
            if let Some(topic) = self.0.get()
                && !self.1.swap(true, SeqCst)
            {
                topic.partition(0).unwrap().append(&[Record::new("asked")]).unwrap();
                self.1.store(false, SeqCst);
            }
            Timestamp::default()
        }

        fn elapsed(&self) -> Duration {
            self.now();
            Duration::ZERO
        }
    }
    let clock = Nosy::default();
    let topic = topic(tiny().clock(clock.clone()));
    clock.0.set(topic.clone()).unwrap();
    guarded(move || {
        let producer = Producer::builder(&topic).linger(GUARD).build().unwrap();
        producer.send(Record::new("a")).unwrap();
        let delivery = producer.enqueue(Record::new("b")).unwrap();
        producer.tick();
        topic.apply_retention();
        delivery.wait().unwrap();
        let others = values(&all(&topic.partition(0).unwrap()));
        let others: Vec<_> = others.into_iter().filter(|value| value != "asked").collect();
        assert_eq!(others, ["a", "b"]);
    });
}

#[test]
fn an_iterator_that_panics_sends_nothing() {
    let topic = topic(tiny().partitions(2));
    let producer = Producer::builder(&topic).linger(GUARD).build().unwrap();
    producer.enqueue(Record::new("queued").to_partition(0)).unwrap();
    let records = (0..4).map(|index| {
        assert!(index < 3, "the iterator is broken");
        Record::new("x").to_partition(index % 2)
    });
    let message = panic_message(|| drop(producer.send_batch(records)));
    assert_eq!(message, "the iterator is broken");
    assert_eq!(topic.stats().total.records, 0, "nor was what is queued disturbed");
    assert_eq!(producer.send_batch([Record::new("y").to_partition(0)]).unwrap()[0].offset, 1);
}

#[test]
fn an_iterator_may_send_while_it_is_asked() {
    let topic = topic(tiny());
    let producer = Producer::new(&topic);
    let inner = producer.clone();
    let records = (0..3).map(|_| {
        inner.send(Record::new("inner")).unwrap();
        Record::new("outer")
    });
    let sent = producer.send_batch(records).unwrap();
    assert_eq!(sent.iter().map(|sent| sent.offset).collect::<Vec<_>>(), [3, 4, 5]);
}

/// Readers of one partition whose tasks wait: a broken one among good ones.
fn readers_around_a_broken_one(topic: &Topic) -> [(Reader, std::sync::Arc<UserWaker>); 3] {
    let good = UserWaker::counting;
    let broken = UserWaker::doing(|| panic!("the waker is broken"));
    [good(), broken, good()].map(|waker| {
        let mut reader = Reader::new([(topic.partition(0).unwrap(), 0)]);
        assert!(waker.poll(&mut reader).is_pending());
        (reader, waker)
    })
}

#[test]
fn a_waker_that_panics_takes_neither_the_append_nor_anybody_elses_wake_up_with_it() {
    for linger in [Duration::ZERO, GUARD] {
        for (name, deed) in &DEEDS[..6] {
            let topic = topic(tiny().partitions(2));
            let producer = Producer::builder(&topic).linger(linger).build().unwrap();
            let mut readers = readers_around_a_broken_one(&topic);
            deed(&topic, &producer);
            producer.flush().unwrap();
            let log = topic.partition(0).unwrap();
            append_numbers(&log, 0..1); // in case the deed was for the other partition
            for (reader, waker) in &mut readers {
                assert_eq!(waker.wakes(), 1, "{name}");
                let records = reader.poll(Duration::ZERO).unwrap();
                assert_eq!(records.len() as u64, log.high_watermark(), "{name}");
            }
            assert_eq!(producer.tick(), None, "nothing is left in the queue");
        }
    }
}

#[test]
fn a_delivery_whose_append_met_a_broken_waker_is_done() {
    let topic = topic(tiny());
    let producer = Producer::builder(&topic).linger(GUARD).buffer_bytes(200).build().unwrap();
    let _readers = readers_around_a_broken_one(&topic);
    let delivery = producer.enqueue(Record::new("a")).unwrap();
    producer.flush().unwrap();
    assert_eq!(delivery.wait().unwrap().offset, 0);
    for _ in 0..20 {
        producer.enqueue(Record::new("needs the room back")).unwrap();
    }
}

#[test]
fn no_lock_is_held_while_a_waker_runs() {
    let topic = topic(tiny());
    let log = topic.partition(0).unwrap();
    let mut reader = Reader::new([(log.clone(), 0)]);
    let gate = Gate::default();
    let passing = gate.clone();
    assert!(UserWaker::doing(move || passing.pass()).poll(&mut reader).is_pending());
    let released = Released(&gate);
    gate.hold_next();
    let appending = log.clone();
    let held = std::thread::spawn(move || append_numbers(&appending, 0..1));
    gate.await_held();
    guarded(move || {
        append_numbers(&log, 1..10);
        let waker = UserWaker::counting();
        while waker.poll(&mut reader).is_ready() {}
        append_numbers(&log, 10..11);
        assert_eq!(waker.wakes(), 1);
        drop(reader);
        Producer::new(&topic).send(Record::new("x")).unwrap();
        log.delete_records(5).unwrap();
    });
    drop(released);
    held.join().unwrap();
}

#[test]
fn a_waker_may_send_to_the_partition_that_woke_it() {
    let topic = topic(tiny());
    let producer = Producer::new(&topic);
    let mut reader = Reader::new([(topic.partition(0).unwrap(), 0)]);
    let answering = producer.clone();
    let waker = UserWaker::doing(move || {
        answering.send(Record::new("answer")).unwrap();
        answering.enqueue(Record::new("another")).unwrap();
    });
    assert!(waker.poll(&mut reader).is_pending());
    guarded(move || {
        producer.send(Record::new("question")).unwrap();
        let mut read = values(&reader.poll(GUARD).unwrap());
        read.extend(values(&reader.poll(GUARD).unwrap()));
        assert_eq!(read, ["question", "answer", "another"]);
    });
}
