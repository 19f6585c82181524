//! Reading by offset and by time gives what a linear scan gives, whatever the sizes.

use crate::support::{all, append_numbers, millis, partition, tiny};
use anabranch::format::{self, Stamps};
use anabranch::{ManualClock, Offset, Partition, Reader, Record, TopicConfig};
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;

/// A batch: for each record the length of its value and its timestamp.
type Batch = Vec<(usize, i64)>;

/// A record as the scan knows it.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    offset: Offset,
    timestamp: i64,
    length: usize,
    /// Which batch it is in, and what that takes.
    batch: (usize, usize),
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    // Few distinct times in any order; now and then a record longer than most chunks.
    let length = prop_oneof![6 => 0..60_usize, 1 => 300..6_000_usize];
    vec(vec((length, 0..40_i64), 1..6), 1..60)
}

fn append_all(log: &Partition, batches: &[Batch]) -> Vec<Known> {
    let text = vec![b'x'; 6_000];
    let mut known = Vec::new();
    for (number, batch) in batches.iter().enumerate() {
        let of = |&(length, timestamp): &(usize, i64)| {
            Record::new(&text[..length]).with_timestamp(millis(timestamp))
        };
        let records: Vec<Record<'_>> = batch.iter().map(of).collect();
        let bytes = format::encode(&records, 0, Stamps::default()).unwrap().len();
        let base = log.append(&records).unwrap();
        for (offset, &(length, timestamp)) in (base..).zip(batch) {
            known.push(Known { offset, timestamp, length, batch: (number, bytes) });
        }
    }
    known
}

/// What a read must return: whole batches from the one that holds `from` on, as long as they fit.
fn scan(known: &[Known], from: Offset, max_bytes: usize) -> Vec<&Known> {
    let mut taken = Vec::new();
    let (mut bytes, mut last) = (0, None);
    for record in known.iter().filter(|record| record.offset >= from) {
        if last != Some(record.batch.0) {
            bytes += record.batch.1;
            if last.is_some() && bytes > max_bytes {
                break;
            }
            last = Some(record.batch.0);
        }
        taken.push(record);
    }
    taken
}

fn assert_reads_as_scanned(log: &Partition, known: &[Known], max_bytes: usize) {
    for from in log.log_start_offset()..=log.high_watermark() {
        let read = log.read(from, max_bytes).unwrap();
        let expected = scan(known, from, max_bytes);
        assert_eq!(read.len(), expected.len(), "from {from}, {max_bytes} bytes");
        for (read, expected) in read.iter().zip(expected) {
            assert_eq!(read.offset(), expected.offset);
            assert_eq!(read.timestamp(), millis(expected.timestamp));
            assert_eq!(read.value().unwrap().len(), expected.length);
        }
    }
}

fn assert_finds_as_scanned(log: &Partition, known: &[Known]) {
    let start = log.log_start_offset();
    for time in -1..=41 {
        let mut retained = known.iter().filter(|record| record.offset >= start);
        let expected = retained.find(|record| record.timestamp >= time).map(|record| record.offset);
        assert_eq!(log.offset_for_timestamp(millis(time)), expected, "time {time}, start {start}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn reading_from_any_offset_equals_a_linear_scan(
        batches in batches(),
        chunk_bytes in 1..9_000_usize,
        max_bytes in prop_oneof![0..200_usize, 0..20_000_usize],
    ) {
        let log = partition(TopicConfig::new().segment_bytes(chunk_bytes));
        let known = append_all(&log, &batches);
        assert_reads_as_scanned(&log, &known, max_bytes);
        assert_reads_as_scanned(&log, &known, usize::MAX);
    }

    #[test]
    fn looking_a_time_up_equals_a_linear_scan_whatever_was_dropped(
        batches in batches(),
        chunk_bytes in 1..9_000_usize,
        retention_bytes in prop_oneof![Just(u64::MAX), 0..20_000_u64],
        deleted_percent in 0..=100_u64,
    ) {
        let config = TopicConfig::new().segment_bytes(chunk_bytes).retention_bytes(retention_bytes);
        let log = partition(config);
        let known = append_all(&log, &batches);
        assert_finds_as_scanned(&log, &known);
        log.delete_records(log.high_watermark() * deleted_percent / 100).unwrap();
        assert_finds_as_scanned(&log, &known);
        assert_reads_as_scanned(&log, &known, 500);
    }
}

#[test]
fn a_time_beyond_all_records_is_not_found_and_one_before_them_is_the_start() {
    let log = partition(tiny());
    assert_eq!(log.offset_for_timestamp(millis(i64::MIN)), None, "there is no record");
    append_numbers(&log, 0..10);
    log.delete_records(4).unwrap();
    assert_eq!(log.offset_for_timestamp(millis(i64::MIN)), Some(4));
    let latest = all(&log).iter().map(|record| record.timestamp()).max().unwrap();
    assert!(log.offset_for_timestamp(latest).is_some());
    assert_eq!(log.offset_for_timestamp(millis(latest.as_millis() + 1)), None);
    log.delete_records(10).unwrap();
    assert_eq!(log.offset_for_timestamp(millis(0)), None, "nothing is retained");
}

#[test]
fn times_are_looked_up_among_what_retention_by_time_left() {
    let clock = ManualClock::new();
    let span = Duration::from_millis(100);
    let log = partition(tiny().clock(clock.clone()).retention_time(span));
    for time in 0..500 {
        append_numbers(&log, time..time + 1);
        clock.advance(Duration::from_millis(1));
        let start = log.log_start_offset();
        assert_eq!(log.offset_for_timestamp(millis(0)), Some(start));
        let offset = time.saturating_sub(50);
        let time = i64::try_from(offset).unwrap();
        assert_eq!(log.offset_for_timestamp(millis(time)), Some(offset));
    }
    assert!(log.log_start_offset() >= 390);
}

#[test]
fn a_read_returns_one_batch_however_little_it_may_take() {
    let log = partition(tiny());
    log.append(&[Record::new("a"), Record::new("b")]).unwrap();
    log.append(&[Record::new("c")]).unwrap();
    let bytes = |count| format::encode(&[Record::new("a"); 2][..count], 0, Stamps::default());
    let [one, two] = [1, 2].map(|count| bytes(count).unwrap().len());
    for (max_bytes, records) in
        [(0, 2), (1, 2), (two - 1, 2), (two, 2), (two + one - 1, 2), (two + one, 3), (9_999, 3)]
    {
        assert_eq!(log.read(0, max_bytes).unwrap().len(), records, "{max_bytes} bytes");
    }
    assert_eq!(log.read(1, 0).unwrap().len(), 1, "the rest of the batch");
}

#[test]
fn a_read_takes_as_many_batches_as_fit_to_the_byte() {
    let size = format::encode(&[Record::new("x")], 0, Stamps::default()).unwrap().len();
    // Twenty batches in one chunk, in chunks of four, and in one each.
    for chunk_bytes in [10_000, 5 * size, 1] {
        let log = partition(TopicConfig::new().segment_bytes(chunk_bytes));
        for _ in 0..20 {
            log.append(&[Record::new("x").with_timestamp(millis(0))]).unwrap();
        }
        for count in 1..20 {
            let read = |from, max_bytes| log.read(from, max_bytes).unwrap().len();
            assert_eq!(read(0, count * size), count, "chunks of {chunk_bytes}");
            assert_eq!(read(0, count * size - 1), (count - 1).max(1), "chunks of {chunk_bytes}");
            assert_eq!(read(7, count * size), count.min(13), "chunks of {chunk_bytes}");
        }
        if chunk_bytes > 20 * size {
            // A poll takes what it returns of a chunk in one piece.
            for count in 1..20 {
                let mut reader = Reader::new([(log.clone(), 0)]).max_bytes(count * size);
                assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), count);
            }
        }
    }
}
