//! What compaction leaves of a batch: fewer records, each where and when it was.
//!
//! ```text
//!  before │ header: base offset 40, last Δo 4, base time t0      │ Δ0 │ Δ1 │ Δ2 │ Δ3 │ Δ4 │
//!  after  │ header: base offset 40, last Δo 4, base time t1 or h │      Δ1      │ Δ3 │
//! ```
//!
//! The base timestamp is that of the first record that is left or, where there is a tombstone among
//! them, the time `h` from which on it may go: Kafka keeps that delete horizon there, with a bit in
//! the attributes that says so. Either way timestamps are relative to it, so nobody who reads the
//! records needs to know.
//!
//! 1. Base offset, last offset delta, leader epoch and the producer's numbers stay: the offsets that
//!    the batch took, and what its producer sent, are told from it afterwards as before.
//! 2. A record keeps offset, timestamp, key, value and headers.
//! 3. The max timestamp is that of the records that are left; under `LogAppendTime` it stays.

use super::crc::seal;
use super::header::{BatchHeader, HEADER_BYTES};
use super::varint;
use super::walk::{RecordRef, RecordWalk};
use crate::ids::Timestamp;
use crate::record::TimestampType;

/// The most bytes that a batch is written with.
const BATCH_BYTES_MAX: usize = i32::MAX as usize;

/// Writes to `to`, in place of what it holds, what is left of a batch when all records have gone
/// but those that `keep` names. `batch` is one that was validated.
///
/// Returns the new header; `None` if nothing is left, or if the format has no way to say it: a delta
/// to the delete horizon takes more room than one to a neighbour, so a batch near the format's limits
/// may have to stay as it is.
pub(crate) fn retain(
    to: &mut Vec<u8>,
    batch: &[u8],
    delete_horizon: Option<Timestamp>,
    mut keep: impl FnMut(&RecordRef<'_>) -> bool,
) -> Option<BatchHeader> {
    let mut header = BatchHeader::read(batch).expect("the batch was validated");
    to.clear();
    to.resize(HEADER_BYTES, 0);
    let mut base_timestamp = delete_horizon;
    let mut max_timestamp = None;
    let mut count = 0;
    let mut walk = RecordWalk::new(batch);
    while let Some((record, bytes)) = walk.next_with_bytes() {
        if !keep(&record) {
            continue;
        }
        let base = *base_timestamp.get_or_insert(record.timestamp);
        put_moved(to, bytes, record.timestamp.as_millis().checked_sub(base.as_millis())?);
        if to.len() > BATCH_BYTES_MAX {
            return None;
        }
        max_timestamp = max_timestamp.max(Some(record.timestamp));
        count += 1;
    }
    header.count = count;
    header.batch_bytes = to.len();
    header.base_timestamp = base_timestamp.filter(|_| count > 0)?;
    if header.attributes.timestamp_type() == TimestampType::CreateTime {
        header.max_timestamp = max_timestamp?;
    }
    if delete_horizon.is_some() {
        header.attributes = header.attributes.with_delete_horizon();
    }
    to[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
    seal(to);
    BatchHeader::read(to).ok()
}

/// Appends a record that is given with its length in front, with another distance to its batch's
/// base timestamp.
fn put_moved(to: &mut Vec<u8>, record: &[u8], timestamp_delta: i64) {
    const WALKED: &str = "the record was walked";
    let mut at = 0;
    varint::read_32(record, &mut at).expect(WALKED);
    let attributes = record[at];
    at += 1;
    varint::read_64(record, &mut at).expect(WALKED);
    let rest = &record[at..];
    let (delta, delta_len) = varint::encode(varint::zigzag(timestamp_delta));
    let (body, body_len) = varint::encode(varint::zigzag_len(1 + delta_len + rest.len()));
    to.extend_from_slice(&body[..body_len]);
    to.push(attributes);
    to.extend_from_slice(&delta[..delta_len]);
    to.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::super::{Checks, Stamps, encode_batch, record_bytes_max, validate};
    use super::*;
    use crate::record::{Header, Record};

    const NOON: i64 = 1_700_000_000_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(NOON + millis)
    }

    /// Five records from offset 40 on, stamped 0, 10, 20, 30, 5 ms after noon; the fourth is a tombstone.
    fn batch(stamps: Stamps) -> Vec<u8> {
        let headers = [Header { name: "trace", value: Some(b"7f") }];
        let records = [
            Record::new("a").with_key("0").with_timestamp(at(0)),
            Record::new("b").with_key("1").with_timestamp(at(10)).with_headers(&headers),
            Record::new("c").with_key("2").with_timestamp(at(20)),
            Record::tombstone("3").with_timestamp(at(30)),
            Record::new(&[7; 300]).with_key("4").with_timestamp(at(5)),
        ];
        let mut bytes = vec![0; HEADER_BYTES + records.iter().map(record_bytes_max).sum::<usize>()];
        let encoded = encode_batch(&mut bytes, 40, stamps, &records);
        bytes.truncate(encoded.bytes);
        seal(&mut bytes);
        bytes
    }

    fn create_time() -> Vec<u8> {
        batch(Stamps::create_time(at(0)))
    }

    /// Keeps these offsets, and checks that those records are what they were.
    fn kept(bytes: &[u8], horizon: Option<Timestamp>, offsets: &[u64]) -> (BatchHeader, Vec<u8>) {
        let mut left = vec![0xee; 9];
        let header = retain(&mut left, bytes, horizon, |r| offsets.contains(&r.offset)).unwrap();
        assert_eq!(validate(&left, Checks::COMPACTED), Ok(header));
        let before = RecordWalk::new(bytes).filter(|record| offsets.contains(&record.offset));
        let describe = |r: RecordRef<'_>| {
            let headers = format!("{:?}", r.headers.iter().collect::<Vec<_>>());
            (r.offset, r.timestamp, r.key.map(Vec::from), r.value.map(Vec::from), headers)
        };
        let after: Vec<_> = RecordWalk::new(&left).map(describe).collect();
        assert_eq!(after, before.map(describe).collect::<Vec<_>>());
        (header, left)
    }

    #[test]
    fn what_is_kept_stays_where_and_when_it_was() {
        let bytes = create_time();
        let (header, _) = kept(&bytes, None, &[41, 44]);
        assert_eq!((header.base_offset, header.last_offset(), header.count), (40, 44, 2));
        assert_eq!((header.base_timestamp, header.max_timestamp), (at(10), at(10)));
        assert_eq!(header.delete_horizon(), None);
        let (header, _) = kept(&bytes, None, &[44]);
        assert_eq!((header.base_timestamp, header.max_timestamp), (at(5), at(5)));
    }

    #[test]
    fn a_batch_that_keeps_all_is_the_same_bytes() {
        let bytes = create_time();
        assert_eq!(kept(&bytes, None, &[40, 41, 42, 43, 44]).1, bytes);
    }

    /// The horizon may lie before or behind the records, at either end of time; timestamps are the
    /// same, and it goes on from rewrite to rewrite.
    #[test]
    fn a_delete_horizon_leaves_timestamps_alone() {
        let bytes = create_time();
        for horizon in [0, NOON + 1_000, i64::MAX].map(Timestamp::from_millis) {
            let (header, left) = kept(&bytes, Some(horizon), &[42, 43, 44]);
            assert_eq!(header.delete_horizon(), Some(horizon));
            assert_eq!(header.max_timestamp, at(30));
            let (header, _) = kept(&left, header.delete_horizon(), &[43]);
            assert_eq!(header.delete_horizon(), Some(horizon));
        }
    }

    /// Another implementation of Kafka's format reads the same offsets and times from it.
    #[test]
    fn what_is_left_is_read_elsewhere_as_well() {
        use kafka_protocol::records::RecordBatchDecoder;
        for horizon in [None, Some(at(1_000)), Some(Timestamp::from_millis(0))] {
            let (_, left) = kept(&create_time(), horizon, &[41, 43, 44]);
            let read = RecordBatchDecoder::decode(&mut bytes::Bytes::from(left)).expect("valid");
            let read: Vec<_> =
                read.records.iter().map(|r| (r.offset, r.timestamp - NOON)).collect();
            assert_eq!(read, [(41, 10), (43, 30), (44, 5)]);
        }
    }

    #[test]
    fn append_time_stays() {
        let bytes = batch(Stamps::log_append_time(at(99)));
        for horizon in [None, Some(at(1_000))] {
            let (header, left) = kept(&bytes, horizon, &[41, 43]);
            assert_eq!(header.max_timestamp, at(99));
            assert!(RecordWalk::new(&left).all(|record| record.timestamp == at(99)));
        }
    }

    #[test]
    fn nothing_left_is_no_batch() {
        assert_eq!(retain(&mut Vec::new(), &create_time(), None, |_| false), None);
    }

    /// -1 and the last millisecond are both within the format, the distance between them is not.
    #[test]
    fn a_distance_that_the_format_cannot_say_is_refused() {
        let record =
            [Record::new("a").with_key("0").with_timestamp(Timestamp::from_millis(i64::MAX))];
        let mut bytes = vec![0; 200];
        let encoded = encode_batch(&mut bytes, 0, Stamps::default(), &record);
        bytes.truncate(encoded.bytes);
        let horizon = Some(Timestamp::from_millis(-1));
        assert_eq!(retain(&mut Vec::new(), &bytes, horizon, |_| true), None);
        let horizon = Some(Timestamp::from_millis(0));
        assert!(retain(&mut Vec::new(), &bytes, horizon, |_| true).is_some());
    }
}
