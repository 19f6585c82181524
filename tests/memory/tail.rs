//! What retention and deletion take from the front of a log, and what readers are told.

use crate::support::{all, append_numbers, millis, offsets, partition, tiny, topic, values};
use anabranch::{
    AppendError, ManualClock, Offset, Partition, ReadError, Reader, Record, TopicConfig,
    TopicPartition,
};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

fn out_of_range(requested: Offset, log_start: Offset, high_watermark: Offset) -> ReadError {
    let partition = TopicPartition::new("orders", 0);
    ReadError::OutOfRange { partition, requested, log_start, high_watermark }
}

/// Appends one number per minute.
fn append_per_minute(to: &Partition, clock: &ManualClock, count: u64) {
    for _ in 0..count {
        append_numbers(to, to.log_end_offset()..to.log_end_offset() + 1);
        clock.advance(Duration::from_secs(60));
    }
}

fn reader(of: &Partition, from: Offset) -> Reader {
    Reader::new([(of.clone(), from)]).max_bytes(1)
}

fn poll(reader: &mut Reader) -> Result<Vec<String>, ReadError> {
    reader.poll(Duration::ZERO).map(|records| values(&records))
}

#[test]
fn without_retention_everything_stays() {
    let log = partition(tiny());
    append_numbers(&log, 0..1_000);
    assert_eq!((log.log_start_offset(), log.high_watermark()), (0, 1_000));
    assert!(offsets(&all(&log)).into_iter().eq(0..1_000));
}

#[test]
fn retention_by_bytes_keeps_at_least_those_bytes_and_at_most_two_chunks_more() {
    let [least, chunk] = [1_000, 250];
    let log = partition(tiny().retention_bytes(least));
    let mut starts = Vec::new();
    for number in 0..300 {
        append_numbers(&log, number..number + 1);
        let stats = log.stats();
        assert!(stats.bytes >= least.min(stats.appended_bytes), "{stats:?}");
        assert!(stats.bytes <= least + 2 * chunk, "{stats:?}");
        assert_eq!(stats.records, log.high_watermark() - log.log_start_offset());
        starts.push(log.log_start_offset());
    }
    // Whole chunks: the start stands still for a chunk's records, then goes on by all of them.
    starts.dedup();
    assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == 3), "{starts:?}");
    assert!(offsets(&all(&log)).into_iter().eq(log.log_start_offset()..300));
}

#[test]
fn retention_of_zero_bytes_keeps_the_chunk_that_is_being_filled() {
    let log = partition(tiny().retention_bytes(0));
    for number in 0..50 {
        append_numbers(&log, number..number + 1);
        assert_eq!(values(&log.read(number, 1).unwrap()), [number.to_string()]);
    }
    assert!(log.log_start_offset() >= 47);
}

#[test]
fn retention_by_time_drops_a_chunk_once_its_latest_record_is_older() {
    let clock = ManualClock::new();
    let topic = topic(tiny().retention_time(HOUR).clock(clock.clone()));
    let log = topic.partition(0).unwrap();
    append_per_minute(&log, &clock, 9); // stamped 0 to 8 minutes: three chunks of three
    let first_chunk_due = millis(2 * 60_000 + 3_600_000);

    clock.set(first_chunk_due);
    topic.apply_retention();
    assert_eq!(log.log_start_offset(), 0, "as old as the limit is not older");

    clock.advance(Duration::from_millis(1));
    topic.apply_retention();
    assert_eq!(log.log_start_offset(), 3);
    assert!(offsets(&all(&log)).into_iter().eq(3..9));
}

#[test]
fn an_append_applies_retention_by_time_as_well() {
    let clock = ManualClock::new();
    let log = partition(tiny().retention_time(HOUR).clock(clock.clone()));
    append_per_minute(&log, &clock, 9);
    clock.advance(HOUR);
    append_numbers(&log, 9..10);
    assert_eq!(log.log_start_offset(), 9, "all three chunks were too old");
    assert_eq!(values(&all(&log)), ["9"]);
}

#[test]
fn records_that_are_too_old_cannot_be_read_even_in_the_chunk_being_filled() {
    let clock = ManualClock::new();
    let topic = topic(tiny().retention_time(HOUR).clock(clock.clone()));
    let log = topic.partition(0).unwrap();
    append_numbers(&log, 0..2);
    clock.advance(2 * HOUR);
    topic.apply_retention();
    assert_eq!((log.log_start_offset(), log.high_watermark()), (2, 2));
    assert_eq!(log.read(0, 1).unwrap_err(), out_of_range(0, 2, 2));
    assert!(log.read(2, 1).unwrap().is_empty());

    append_numbers(&log, 2..4); // offsets go on, in the same chunk
    assert_eq!((values(&all(&log)), log.log_start_offset()), (vec!["2".into(), "3".into()], 2));
}

#[test]
fn one_young_record_keeps_its_whole_chunk() {
    let clock = ManualClock::at(millis(10_000_000));
    let topic = topic(tiny().retention_time(HOUR).clock(clock.clone()));
    let log = topic.partition(0).unwrap();
    for stamp in [10_000_000, 0, 0, 1, 2, 3, 4] {
        log.append(&[Record::new("x").with_timestamp(millis(stamp))]).unwrap();
    }
    topic.apply_retention();
    assert_eq!(log.log_start_offset(), 0, "retention takes from the front, in order");
    clock.advance(HOUR + Duration::from_millis(1));
    topic.apply_retention();
    assert_eq!(log.log_start_offset(), 7);
}

#[test]
fn a_clock_that_jumps_back_drops_nothing_and_one_that_jumps_ahead_only_what_is_due() {
    let clock = ManualClock::at(millis(100 * 3_600_000));
    let topic = topic(tiny().retention_time(HOUR).clock(clock.clone()));
    let log = topic.partition(0).unwrap();
    append_per_minute(&log, &clock, 9);
    clock.set(millis(0));
    append_per_minute(&log, &clock, 9);
    topic.apply_retention();
    assert_eq!((log.log_start_offset(), log.high_watermark()), (0, 18));
    clock.set(millis(100 * 3_600_000 + 62 * 60_000 + 1));
    topic.apply_retention();
    // The chunk with the first three is due; those behind it, though stamped earlier, wait for it.
    assert_eq!(log.log_start_offset(), 3);
}

#[test]
fn a_reader_inside_a_dropped_chunk_finishes_it_and_is_then_told_the_first_offset_there_is() {
    let log = partition(tiny().retention_bytes(300));
    append_numbers(&log, 0..3);
    let mut inside = reader(&log, 0);
    assert_eq!(poll(&mut inside).unwrap(), ["0"]);
    append_numbers(&log, 3..100);
    let (start, end) = (log.log_start_offset(), log.high_watermark());
    assert!(start > 3);

    assert_eq!(poll(&mut inside).unwrap(), ["1"]);
    assert_eq!(poll(&mut inside).unwrap(), ["2"]);
    for _ in 0..2 {
        assert_eq!(poll(&mut inside).unwrap_err(), out_of_range(3, start, end), "and stays there");
    }
    let of = TopicPartition::new("orders", 0);
    assert_eq!(inside.position(&of), Some(3));
    inside.seek(&of, start).unwrap();
    assert_eq!(poll(&mut inside).unwrap(), [start.to_string()]);
}

#[test]
fn a_read_outside_the_log_is_told_where_the_log_is() {
    let log = partition(tiny().retention_bytes(300));
    assert_eq!(log.read(1, 1).unwrap_err(), out_of_range(1, 0, 0));
    append_numbers(&log, 0..100);
    let (start, end) = (log.log_start_offset(), log.high_watermark());
    for (offset, side) in [(0, "below the start"), (start - 1, "below the start")] {
        let refused = log.read(offset, 1).unwrap_err();
        assert_eq!(refused, out_of_range(offset, start, end));
        let expected = format!("offset {offset} is {side} of orders/0, which is {start}");
        assert_eq!(refused.to_string(), expected);
    }
    for offset in [end + 1, Offset::MAX] {
        assert_eq!(log.read(offset, 1).unwrap_err(), out_of_range(offset, start, end));
    }
    assert_eq!(offsets(&log.read(start, 1).unwrap()), [start]);
    assert_eq!(offsets(&log.read(end - 1, 1).unwrap()), [end - 1]);
    assert!(log.read(end, usize::MAX).unwrap().is_empty());
}

#[test]
fn records_are_deleted_up_to_the_middle_of_a_batch() {
    let log = partition(tiny());
    for batch in [["0", "1", "2"], ["3", "4", "5"], ["6", "7", "8"]] {
        log.append(&batch.map(Record::new)).unwrap();
    }
    for before in 1..9 {
        assert_eq!(log.delete_records(before), Ok(before));
        assert_eq!(log.log_start_offset(), before);
        assert_eq!(log.read(before - 1, 1).unwrap_err(), out_of_range(before - 1, before, 9));
        assert!(offsets(&all(&log)).into_iter().eq(before..9), "from {before} on");
        assert_eq!(log.stats().records, 9 - before);
    }
}

#[test]
fn deletion_below_the_start_is_nothing_and_beyond_the_end_is_refused() {
    let log = partition(tiny());
    assert_eq!(log.delete_records(0), Ok(0));
    append_numbers(&log, 0..10);
    assert_eq!(log.delete_records(4), Ok(4));
    assert_eq!(log.delete_records(4), Ok(4));
    assert_eq!(log.delete_records(0), Ok(4));
    let partition = TopicPartition::new("orders", 0);
    let refused = AppendError::BeyondEnd { partition, requested: 11, high_watermark: 10 };
    assert_eq!(log.delete_records(11).unwrap_err(), refused);
    assert_eq!(
        refused.to_string(),
        "offset 11 is beyond the high watermark of orders/0, which is 10"
    );
    assert!(offsets(&all(&log)).into_iter().eq(4..10));
}

#[test]
fn a_log_that_was_deleted_to_its_end_goes_on_with_the_next_offset() {
    for records in [1, 2, 3, 4, 7] {
        let log = partition(tiny());
        append_numbers(&log, 0..records);
        assert_eq!(log.delete_records(records), Ok(records));
        assert_eq!(log.log_start_offset(), log.log_end_offset());
        assert!(all(&log).is_empty());
        append_numbers(&log, records..records + 5);
        assert!(offsets(&all(&log)).into_iter().eq(records..records + 5));
    }
}

#[test]
fn deletion_gives_memory_back_chunk_by_chunk() {
    let log = partition(tiny());
    append_numbers(&log, 0..90);
    let before = log.stats();
    log.delete_records(45).unwrap();
    let after = log.stats();
    assert!(after.memory_bytes * 2 <= before.memory_bytes + 2 * 250, "{before:?} {after:?}");
    assert_eq!((after.records, after.appended_records), (45, 90));
}

#[test]
fn a_reader_below_the_deleted_records_is_told_and_never_given_them() {
    for before in 2..=9 {
        let log = partition(tiny());
        append_numbers(&log, 0..9);
        let mut below = reader(&log, 0);
        assert_eq!(poll(&mut below).unwrap(), ["0"]);
        log.delete_records(before).unwrap();
        assert_eq!(poll(&mut below).unwrap_err(), out_of_range(1, before, 9));
    }
}

#[test]
fn a_reader_above_the_deleted_records_does_not_notice() {
    let log = partition(tiny());
    append_numbers(&log, 0..9);
    let mut above = reader(&log, 4);
    assert_eq!(poll(&mut above).unwrap(), ["4"]);
    log.delete_records(5).unwrap();
    assert_eq!(poll(&mut above).unwrap(), ["5"]);
}

#[test]
fn a_reader_in_a_chunk_that_retention_dropped_is_not_given_what_is_deleted_later() {
    let log = partition(tiny().retention_bytes(300));
    append_numbers(&log, 0..3);
    let mut inside = reader(&log, 0);
    assert_eq!(poll(&mut inside).unwrap(), ["0"]);
    append_numbers(&log, 3..100);
    log.delete_records(100).unwrap();
    assert_eq!(poll(&mut inside).unwrap_err(), out_of_range(1, 100, 100));
}

#[test]
fn retention_goes_on_where_deletion_ended() {
    let log = partition(TopicConfig::new().segment_bytes(250).retention_bytes(700));
    for number in 0..200 {
        append_numbers(&log, number..number + 1);
        if number % 7 == 0 {
            log.delete_records(number.saturating_sub(2)).unwrap();
        }
        assert!(log.log_start_offset() <= number);
        assert!(offsets(&all(&log)).into_iter().eq(log.log_start_offset()..number + 1));
    }
}
