//! Waiting for records: blocked polls, wakers, whose turn it is, and how much a poll returns.

use crate::support::{GUARD, UserWaker, append_numbers, guarded, partition, tiny, topic, values};
use anabranch::{Partition, Producer, ReadError, Reader, Record, Records, Topic, TopicPartition};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

fn everything(topic: &Topic) -> Reader {
    Reader::new(topic.partitions().map(|partition| (partition, 0)))
}

fn partitions_of(records: &Records) -> Vec<u32> {
    records.by_partition().map(|(of, _)| of.partition).collect()
}

/// Polls without waiting.
fn now(reader: &mut Reader) -> Records {
    reader.poll(Duration::ZERO).unwrap()
}

/// Polls until nothing comes: a poll goes no further than to the end of a chunk.
fn drain(reader: &mut Reader) -> Vec<String> {
    let mut read = Vec::new();
    loop {
        let records = now(reader);
        if records.is_empty() {
            return read;
        }
        read.extend(values(&records));
    }
}

/// Polls in vain until every partition is armed: the state of a reader that has been idle.
fn settle(reader: &mut Reader) {
    for _ in 0..100 {
        assert!(now(reader).is_empty());
    }
}

#[test]
fn a_blocked_poll_returns_when_another_thread_appends() {
    guarded(|| {
        // Each side waits for the other's answer: one wake-up lost and this hangs.
        let sides = [partition(tiny()), partition(tiny())];
        std::thread::scope(|scope| {
            for (own, other) in [(0, 1), (1, 0)] {
                let (own, other): (&Partition, &Partition) = (&sides[own], &sides[other]);
                let begins = std::ptr::eq(own, &sides[0]);
                scope.spawn(move || {
                    let mut reader = Reader::new([(own.clone(), 0)]);
                    for number in 0..2_000_u64 {
                        if begins {
                            append_numbers(other, number..number + 1);
                        }
                        let records = reader.poll(Duration::MAX).unwrap();
                        assert_eq!(values(&records), [number.to_string()]);
                        if !begins {
                            append_numbers(other, number..number + 1);
                        }
                    }
                });
            }
        });
    });
}

#[test]
fn every_reader_that_sleeps_is_woken() {
    const READERS: u32 = 50;
    guarded(|| {
        let topic = topic(tiny().partitions(READERS));
        let (answers, answered) = std::sync::mpsc::channel();
        let read = |log: Partition| {
            let answers = answers.clone();
            std::thread::spawn(move || {
                let mut reader = Reader::new([(log, 0)]);
                for _ in 0..20 {
                    let records = reader.poll(Duration::MAX).unwrap();
                    answers.send(records.len()).unwrap();
                }
            })
        };
        let readers: Vec<_> = topic.partitions().map(read).collect();
        for round in 0..20 {
            // Far more readers than cores: while this thread gives way, they tire of looking.
            (0..2_000).for_each(|_| std::thread::yield_now());
            for log in topic.partitions() {
                append_numbers(&log, round..round + 1);
            }
            let records: usize = answered.iter().take(READERS as usize).sum();
            assert_eq!(records, READERS as usize);
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn a_poll_waits_for_any_of_its_partitions() {
    guarded(|| {
        let topic = topic(tiny().partitions(50));
        let sending = topic.clone();
        let (asked, answers) = std::sync::mpsc::channel();
        let sender = std::thread::spawn(move || {
            for id in answers {
                append_numbers(&sending.partition(id).unwrap(), 0..1);
            }
        });
        let mut reader = everything(&topic);
        for id in (0..50).rev() {
            asked.send(id).unwrap();
            assert_eq!(partitions_of(&reader.poll(GUARD).unwrap()), [id]);
        }
        drop(asked);
        sender.join().unwrap();
    });
}

#[test]
fn a_poll_that_may_not_wait_returns_at_once_and_one_that_may_waits_that_long() {
    let topic = topic(tiny().partitions(3));
    let mut reader = everything(&topic);
    guarded(move || {
        settle(&mut reader);
        let timeout = Duration::from_millis(30);
        let before = Instant::now();
        assert!(reader.poll(timeout).unwrap().is_empty());
        assert!(before.elapsed() >= timeout);
        assert!(now(&mut reader).is_empty());
    });
}

#[test]
fn a_reader_without_partitions_reads_nothing() {
    let mut reader = Reader::new([]);
    assert!(now(&mut reader).is_empty());
    assert!(reader.poll(Duration::from_millis(1)).unwrap().is_empty());
    let waker = UserWaker::counting();
    assert!(waker.poll(&mut reader).is_pending());
    assert_eq!(reader.position(&TopicPartition::new("orders", 0)), None);
}

#[test]
fn an_idle_partition_is_read_again_after_its_next_append() {
    let topic = topic(tiny().partitions(1_000));
    let mut reader = everything(&topic);
    for round in 0..5 {
        settle(&mut reader);
        for id in [3, 500, 999] {
            append_numbers(&topic.partition(id).unwrap(), round..round + 1);
        }
        let mut served = partitions_of(&now(&mut reader));
        served.sort_unstable();
        assert_eq!(served, [3, 500, 999]);
    }
}

#[test]
fn a_task_is_woken_once_per_edge() {
    let topic = topic(tiny().partitions(3));
    let logs: Vec<Partition> = topic.partitions().collect();
    let mut reader = everything(&topic);
    let waker = UserWaker::counting();
    for round in 0..10 {
        assert!(waker.poll(&mut reader).is_pending());
        assert_eq!(waker.wakes(), round, "nothing new, nobody woken");
        for log in &logs {
            append_numbers(log, 0..5);
        }
        assert_eq!(waker.wakes(), round + 1, "the first append wakes, the others do not");
        let Poll::Ready(Ok(records)) = waker.poll(&mut reader) else { panic!("it was woken") };
        assert_eq!(records.len() + drain(&mut reader).len(), 15);
    }
}

#[test]
fn a_task_with_records_to_read_is_not_made_to_wait() {
    let log = partition(tiny());
    append_numbers(&log, 0..3);
    let waker = UserWaker::counting();
    let mut reader = Reader::new([(log.clone(), 0)]).max_bytes(1);
    for _ in 0..3 {
        assert!(waker.poll(&mut reader).is_ready());
    }
    assert!(waker.poll(&mut reader).is_pending());
    assert_eq!(waker.wakes(), 0);
}

#[test]
fn the_latest_waker_is_the_one_that_is_called() {
    let log = partition(tiny());
    let mut reader = Reader::new([(log.clone(), 0)]);
    let [first, second] = [UserWaker::counting(), UserWaker::counting()];
    assert!(first.poll(&mut reader).is_pending());
    assert!(second.poll(&mut reader).is_pending());
    assert_eq!(Arc::strong_count(&first), 1, "the outdated waker was let go");
    append_numbers(&log, 0..1);
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
    assert_eq!(Arc::strong_count(&second), 1, "as was the one that was called");
}

#[test]
fn a_task_that_is_dropped_while_it_waits_leaves_nothing_behind() {
    let topic = topic(tiny().partitions(3));
    let waker = UserWaker::counting();
    let mut reader = everything(&topic);
    {
        let mut task = std::pin::pin!(std::future::poll_fn(|context| reader.poll_next(context)));
        let of_task = std::task::Waker::from(Arc::clone(&waker));
        let mut context = std::task::Context::from_waker(&of_task);
        assert!(std::future::Future::poll(task.as_mut(), &mut context).is_pending());
    }
    append_numbers(&topic.partition(1).unwrap(), 0..2);
    assert_eq!(now(&mut reader).len(), 2, "what the task did not get is read by the next poll");

    assert!(waker.poll(&mut reader).is_pending());
    let wakes = waker.wakes();
    drop(reader);
    assert_eq!(Arc::strong_count(&waker), 1, "the topic has forgotten the reader's waker");
    append_numbers(&topic.partition(1).unwrap(), 0..2);
    assert_eq!(waker.wakes(), wakes);
}

#[test]
fn a_reader_keeps_waiting_for_a_topic_that_only_it_and_a_producer_hold() {
    let topic = topic(tiny());
    let producer = Producer::new(&topic);
    let mut reader = everything(&topic);
    let waker = UserWaker::counting();
    assert!(waker.poll(&mut reader).is_pending());
    drop(topic);
    assert_eq!(waker.wakes(), 0);
    producer.send(Record::new("a")).unwrap();
    drop(producer);
    assert_eq!((waker.wakes(), values(&now(&mut reader))), (1, vec!["a".to_owned()]));
}

#[test]
fn each_partition_with_records_has_its_turn_within_as_many_polls_as_there_are_such() {
    let topic = topic(tiny().partitions(100));
    let hot = topic.partition(0).unwrap();
    let mut reader = everything(&topic).max_bytes(1);
    settle(&mut reader);
    append_numbers(&hot, 0..1_000);
    let mut unserved: Vec<u32> = (10..20).collect();
    for &id in &unserved {
        append_numbers(&topic.partition(id).unwrap(), 0..1);
    }
    let ready = unserved.len() + 1;
    for _ in 0..ready {
        append_numbers(&hot, 0..10);
        let served = partitions_of(&now(&mut reader));
        assert_eq!(served.len(), 1, "one batch is all that a poll may return");
        unserved.retain(|id| *id != served[0]);
    }
    assert_eq!(unserved, [], "after {ready} polls");
}

#[test]
fn all_partitions_with_endless_records_are_served_alike() {
    let topic = topic(tiny().partitions(7));
    for log in topic.partitions() {
        append_numbers(&log, 0..100);
    }
    let mut reader = everything(&topic).max_bytes(1);
    let mut served = [0; 7];
    for poll in 1..=700 {
        served[partitions_of(&now(&mut reader))[0] as usize] += 1;
        assert!(served.iter().all(|count| (poll / 7..=poll / 7 + 1).contains(count)));
    }
    assert!(now(&mut reader).is_empty());
}

#[test]
fn a_poll_returns_at_most_max_bytes_but_at_least_one_batch() {
    let topic = topic(tiny().partitions(5));
    for log in topic.partitions() {
        append_numbers(&log, 0..20);
    }
    let batch = topic.stats().partitions[0].bytes / 20; // all lengths of the numbers are 1 or 2
    for max_bytes in [0, 1, 70, 80, 140, 150, 500, 2_000] {
        let mut reader = everything(&topic).max_bytes(max_bytes);
        let mut seen = 0;
        loop {
            let before = topic.stats().total.read_bytes;
            let records = now(&mut reader);
            if records.is_empty() {
                break;
            }
            seen += records.len();
            let bytes = usize::try_from(topic.stats().total.read_bytes - before).unwrap();
            assert!(bytes <= max_bytes || records.len() == 1, "{bytes} of {max_bytes}, {batch}");
        }
        assert_eq!(seen, 100, "{max_bytes} bytes");
    }
}

#[test]
fn a_batch_larger_than_the_limit_is_returned_when_its_turn_comes() {
    let log = partition(tiny());
    append_numbers(&log, 0..1);
    log.append(&[Record::new(&[b'x'; 5_000])]).unwrap();
    append_numbers(&log, 2..3);
    let mut reader = Reader::new([(log, 0)]).max_bytes(200);
    let lengths: Vec<usize> = (0..3).map(|_| now(&mut reader).len()).collect();
    assert_eq!(lengths, [1, 1, 1]);
}

#[test]
fn a_position_that_does_not_exist_is_reported_and_the_others_go_on() {
    let topic = topic(tiny().partitions(2));
    let of = TopicPartition::new("orders", 0);
    let mut reader = Reader::new(topic.partitions().zip([5, 0]));
    append_numbers(&topic.partition(1).unwrap(), 0..3);
    let polls = [reader.poll(Duration::ZERO), reader.poll(Duration::ZERO)];
    let errors = polls.iter().filter_map(|poll| poll.as_ref().err());
    let expected = ReadError::OutOfRange {
        partition: of.clone(),
        requested: 5,
        log_start: 0,
        high_watermark: 0,
    };
    assert!(errors.eq([&expected]));
    assert!(polls.iter().flatten().map(values).eq([["0", "1", "2"]]));

    assert_eq!(reader.position(&of), Some(5));
    assert_eq!(reader.poll(GUARD).unwrap_err(), expected, "no wait: there is something to say");
    reader.seek(&of, 0).unwrap();
    append_numbers(&topic.partition(0).unwrap(), 0..1);
    assert_eq!(values(&reader.poll(GUARD).unwrap()), ["0"]);
}

#[test]
fn traffic_elsewhere_does_not_hide_that_a_position_is_lost() {
    // Whatever the order: the lost partition first, in the middle, last.
    for lost in 0..3 {
        let topic = topic(tiny().partitions(3));
        let mut reader = everything(&topic);
        let of = TopicPartition::new("orders", lost);
        reader.seek(&of, 17).unwrap();
        let mut reported = 0;
        for number in 0..10 {
            for log in topic.partitions().filter(|log| log.id() != lost) {
                append_numbers(&log, number..number + 1);
            }
            if reader.poll(Duration::ZERO).is_err() {
                reported += 1;
            }
        }
        assert!(reported >= 3, "partition {lost}: told in {reported} of 10 polls");
        assert!(reported <= 7, "partition {lost}: told in {reported} of 10 polls, nothing read");
    }
}

#[test]
fn a_reader_goes_on_where_it_is_told_to() {
    let log = partition(tiny());
    append_numbers(&log, 0..10);
    let of = TopicPartition::new("orders", 0);
    let mut reader = Reader::new([(log.clone(), 10)]);
    settle(&mut reader); // armed at the end, from where seek takes it back
    for offset in [4, 0, 9] {
        reader.seek(&of, offset).unwrap();
        assert_eq!(reader.position(&of), Some(offset));
        assert_eq!(drain(&mut reader)[0], offset.to_string());
        assert_eq!(reader.position(&of), Some(10));
    }
    reader.seek(&of, 10).unwrap();
    settle(&mut reader);
    let other = TopicPartition::new("orders", 1);
    let refused = reader.seek(&other, 0).unwrap_err();
    assert_eq!(refused.to_string(), "orders/1 is not among the partitions of this reader");
}

#[test]
fn a_partition_given_twice_is_read_once_from_the_last_offset() {
    let log = partition(tiny());
    append_numbers(&log, 0..5);
    let mut reader = Reader::new([(log.clone(), 0), (log, 3)]);
    assert_eq!(values(&now(&mut reader)), ["3", "4"]);
    assert!(now(&mut reader).is_empty());
}
