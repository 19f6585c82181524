//! When a record is seen, and by whom it is written.

use super::support::{Dir, LEVELS, append, config, first, numbers, values_from};
use anabranch::{Durability, Producer, Reader, Record};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn many_threads_append_and_everything_is_there_in_order() {
    for durability in LEVELS {
        let dir = Dir::new();
        let broker = dir.open();
        let topic = broker.create_topic("t", config(durability).segment_bytes(20_000)).unwrap();
        let partition = first(&topic);
        let (threads, each) = (8_u64, 200_u64);
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let partition = partition.clone();
                scope.spawn(move || {
                    let mut last = None;
                    for count in 0..each {
                        let value = format!("{thread} {count}");
                        let offset = partition.append(&[Record::new(&value)]).unwrap();
                        assert!(Some(offset) > last);
                        assert!(partition.high_watermark() > offset, "it is visible");
                        last = Some(offset);
                    }
                });
            }
        });
        let values = values_from(&partition, 0);
        assert_eq!(values.len() as u64, threads * each);
        for thread in 0..threads {
            let own = values.iter().filter_map(|v| v.strip_prefix(&format!("{thread} ")));
            let own: Vec<u64> = own.map(|count| count.parse().unwrap()).collect();
            assert_eq!(own, (0..each).collect::<Vec<_>>(), "{durability:?}");
        }
        broker.close().unwrap();
        let broker = dir.open();
        assert_eq!(values_from(&first(&broker.topic("t").unwrap()), 0), values);
    }
}

#[test]
fn enqueued_records_share_batches_and_are_written_when_somebody_wants_them() {
    let dir = Dir::new();
    let broker = dir.open();
    let topic = broker.create_topic("t", config(Durability::Written)).unwrap();
    let partition = first(&topic);
    let producer = Producer::new(&topic);
    let deliveries: Vec<_> = (0..10)
        .map(|value: u64| producer.enqueue(Record::new(&value.to_string())).unwrap())
        .collect();
    assert_eq!(partition.high_watermark(), 0, "nobody has asked for them");
    assert_eq!(partition.log_end_offset(), 10);
    assert!(!deliveries[9].is_done());
    assert_eq!(deliveries[9].wait().unwrap().offset, 9);
    assert!(deliveries.iter().all(|delivery| delivery.is_done()));
    assert_eq!(partition.high_watermark(), 10);
    assert_eq!(topic.stats().total.appends, 1, "one batch");

    producer.enqueue(Record::new("10")).unwrap();
    assert_eq!(partition.high_watermark(), 10);
    let mut reader = Reader::new([(partition.clone(), 10)]);
    assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 1, "a reader wants it");
    producer.enqueue(Record::new("11")).unwrap();
    producer.flush().unwrap();
    assert_eq!(partition.high_watermark(), 12);
    producer.enqueue(Record::new("12")).unwrap();
    drop(producer);
    assert_eq!(values_from(&partition, 0), numbers(0..13));
}

/// What nobody waits for is written a mebibyte at a time, up to where the file has a multiple of that.
#[test]
fn enqueued_records_are_written_in_few_aligned_pieces() {
    const MEBIBYTE: u64 = 1 << 20;
    let dir = Dir::new();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&starts);
    let broker = dir.open_gated(move |call, path| {
        if call == "write" && path.extension().is_some_and(|extension| extension == "log") {
            noted.lock().unwrap().push(std::fs::metadata(path)?.len());
        }
        Ok(())
    });
    let topic = broker.create_topic("t", config(Durability::Written)).unwrap();
    let producer = Producer::new(&topic);
    for _ in 0..100_000 {
        producer.enqueue(Record::new(&[7; 100])).unwrap();
    }
    producer.flush().unwrap();
    let bytes = topic.stats().total.bytes;
    let starts = std::mem::take(&mut *starts.lock().unwrap());
    assert!((starts.len() as u64) < bytes / MEBIBYTE + 8, "{bytes} bytes: {starts:?}");
    // The chunks grow at first.
    let grown = starts.iter().skip_while(|start| **start < 3 * MEBIBYTE);
    for start in grown.clone() {
        let before = MEBIBYTE - start % MEBIBYTE;
        assert!(before < 256, "no more than a record before a multiple: {starts:?}");
    }
    assert!(grown.count() >= 6, "{starts:?}");
    assert_eq!(values_from(&first(&topic), 0).len(), 100_000);
}

/// A producer goes in a panic of the program's, and writes what it has: the panic is not the disk's.
#[test]
fn what_was_enqueued_is_written_while_a_panic_unwinds() {
    for durability in LEVELS {
        let dir = Dir::new();
        let broker = dir.open();
        let topic = broker.create_topic("t", config(durability)).unwrap();
        let sending = topic.clone();
        let thread = std::thread::spawn(move || {
            let producer = Producer::new(&sending);
            producer.enqueue(Record::new("0")).unwrap();
            panic!("the program's own");
        });
        assert!(thread.join().is_err());
        let partition = first(&topic);
        assert_eq!(partition.high_watermark(), 1, "{durability:?}");
        assert_eq!(partition.append(&[Record::new("1")]), Ok(1), "{durability:?}");
        assert_eq!(partition.flush(), Ok(2), "{durability:?}");
        assert_eq!(values_from(&partition, 0), numbers(0..2));
    }
}

/// A batch that is open takes room that nothing else has until it is closed.
#[test]
fn appends_find_room_behind_an_open_batch() {
    for segment_bytes in [2_000, 1 << 20] {
        let dir = Dir::new();
        let broker = dir.open();
        let config = config(Durability::Written).segment_bytes(segment_bytes);
        let topic = broker.create_topic("t", config).unwrap();
        let partition = first(&topic);
        let producer = Producer::new(&topic);
        for number in 0..1_000_u64 {
            let text = format!("{number:0>width$}", width = 1 + (number * 37 % 700) as usize);
            if number % 3 == 0 {
                assert_eq!(partition.append(&[Record::new(&text)]).unwrap(), number);
            } else {
                producer.enqueue(Record::new(&text)).unwrap();
            }
        }
        producer.flush().unwrap();
        let read: Vec<u64> =
            values_from(&partition, 0).iter().map(|value| value.parse().unwrap()).collect();
        assert_eq!(read, (0..1_000).collect::<Vec<_>>());
    }
}

#[test]
fn a_sleeping_reader_is_woken_by_an_enqueued_record() {
    for durability in LEVELS {
        let dir = Dir::new();
        let broker = dir.open();
        let topic = broker.create_topic("t", config(durability)).unwrap();
        let producer = Producer::new(&topic);
        let mut reader = Reader::new([(first(&topic), 0)]);
        std::thread::scope(|scope| {
            let reading = scope.spawn(move || {
                let mut count = 0;
                while count < 50 {
                    let got = reader.poll(Duration::from_secs(20)).unwrap().len();
                    assert!(got > 0, "{durability:?}: slept through a record");
                    count += got;
                }
            });
            for value in 0..50_u64 {
                producer.enqueue(Record::new(&value.to_string())).unwrap();
                if value.is_multiple_of(7) {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            reading.join().unwrap();
        });
    }
}

#[test]
fn lingering_batches_reach_the_files() {
    let dir = Dir::new();
    let broker = dir.open();
    let topic = broker.create_topic("t", config(Durability::Written)).unwrap();
    let producer = Producer::builder(&topic).linger(Duration::from_secs(3600)).build().unwrap();
    let first_one = producer.enqueue(Record::new("0")).unwrap();
    let second = producer.enqueue(Record::new("1")).unwrap();
    assert_eq!(first(&topic).log_end_offset(), 0);
    assert_eq!(second.wait().unwrap().offset, 1);
    assert_eq!(first_one.wait().unwrap().offset, 0);
    assert_eq!(values_from(&first(&topic), 0), numbers(0..2));
}

/// One sync of much is enough: else the next opening after a crash would step through all of it.
#[test]
fn a_sync_of_much_stores_the_index() {
    let dir = Dir::new();
    let broker = dir.open();
    let topic = broker.create_topic("t", config(Durability::Written)).unwrap();
    let partition = first(&topic);
    let index = dir.path().join("t-0/00000000000000000000.index");
    let value = vec![7; 1_000_000];
    let append = |count: usize| {
        for _ in 0..count {
            partition.append(&[Record::new(&value)]).unwrap();
        }
        partition.flush().unwrap();
    };
    append(60);
    assert!(!index.exists(), "it is little that would have to be looked at");
    append(20);
    let entries = std::fs::metadata(&index).unwrap().len() / 8;
    assert_eq!(entries, 79, "each batch but the first has one");
    append(20);
    assert_eq!(std::fs::metadata(&index).unwrap().len() / 8, entries);
    drop((partition, topic, broker));
    let broker = dir.open();
    assert_eq!(first(&broker.topic("t").unwrap()).high_watermark(), 100);
}

#[test]
fn flush_says_what_is_on_disk() {
    for durability in LEVELS {
        let dir = Dir::new();
        let broker = dir.open();
        let topic = broker.create_topic("t", config(durability).segment_bytes(300)).unwrap();
        append(&first(&topic), 0..20);
        assert_eq!(first(&topic).flush().unwrap(), 20);
        assert!(dir.names("t-0", ".log").len() > 3);
        assert_eq!(values_from(&first(&topic), 0), numbers(0..20));
    }
}
