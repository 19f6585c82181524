//! Both directions against each other, against bytes computed by hand, and against damage.

use super::crc::crc;
use super::header::Attributes;
use super::header::{ATTRIBUTES_AT, COUNT_AT, LAST_OFFSET_DELTA_AT, LENGTH_AT, MAX_TIMESTAMP_AT};
use super::*;
use crate::error::BatchError;
use crate::ids::{Offset, Timestamp};
use crate::record::{Header, Record, TimestampType};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn encode(base_offset: Offset, records: &[Record<'_>]) -> Vec<u8> {
    encode_stamped(base_offset, Stamps::create_time(NOW), records)
}

/// Encodes into exactly the bytes needed and into plenty, which take different paths.
fn encode_stamped(base_offset: Offset, stamps: Stamps, records: &[Record<'_>]) -> Vec<u8> {
    let bytes_max = HEADER_BYTES + records.iter().map(record_bytes_max).sum::<usize>();
    let mut bytes = vec![0xee; bytes_max];
    let encoded = encode_batch(&mut bytes, base_offset, stamps, records);
    assert_eq!(encoded.count as usize, records.len());
    bytes.truncate(encoded.bytes);
    let mut tight = vec![0xee; encoded.bytes];
    assert_eq!(encode_batch(&mut tight, base_offset, stamps, records), encoded);
    assert!(tight == bytes, "a tight fit gives the same bytes");
    assert_eq!(batch_bytes(&bytes), bytes.len());
    assert_eq!(encoded.max_timestamp, max_timestamp(&bytes));
    bytes
}

fn sealed(base_offset: Offset, records: &[Record<'_>]) -> Vec<u8> {
    let mut bytes = encode(base_offset, records);
    seal(&mut bytes);
    bytes
}

/// Null, empty and filled in every place, short and long numbers, times in any order.
fn sample(run: impl FnOnce(&[Record<'_>])) {
    let headers = [
        Header { name: "trace", value: Some(b"7f7f7f7f7f") },
        Header { name: "", value: None },
        Header { name: "trace", value: Some(b"") },
        Header { name: "größe", value: Some(b"groot") },
    ];
    let at = |millis| NOW.saturating_add(std::time::Duration::from_millis(millis));
    run(&[
        Record::new("2 espresso").with_key("customer-42").with_timestamp(at(7)),
        Record::default(),
        Record::new("").with_key("").with_timestamp(at(0)),
        Record::tombstone("k").with_headers(&headers),
        Record::new(&[7; 100]).with_headers(&headers[1..2]).with_timestamp(at(70)),
        Record::new(&[7; 300]).with_key(&[8; 70]).with_timestamp(Timestamp::from_millis(0)),
        Record::new("later").with_timestamp(at(10_000_000_000)),
    ]);
}

#[test]
fn a_batch_has_the_bytes_computed_by_hand() {
    let headers = [Header { name: "h", value: Some(b"v") }, Header { name: "n", value: None }];
    let records = [
        Record::new("value").with_key("key").with_headers(&headers),
        Record::default().with_timestamp(NOW.saturating_add(std::time::Duration::from_millis(64))),
    ];
    #[rustfmt::skip]
    let expected = [
        0, 0, 0, 0, 0, 0, 0, 42,                        // base offset
        0, 0, 0, 79,                                    // length: 49 + 22 + 8
        0, 0, 0, 0,                                     // leader epoch
        2,                                              // magic
        0, 0, 0, 0,                                     // CRC: not sealed
        0, 0,                                           // attributes
        0, 0, 0, 1,                                     // last offset delta
        0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00,       // base timestamp
        0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x40,       // max timestamp
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // producer id
        0xff, 0xff,                                     // producer epoch
        0xff, 0xff, 0xff, 0xff,                         // base sequence
        0, 0, 0, 2,                                     // count
        42, 0, 0, 0,                                    // 21 bytes, attributes, deltas
        6, b'k', b'e', b'y',
        10, b'v', b'a', b'l', b'u', b'e',
        4, 2, b'h', 2, b'v', 2, b'n', 1,                // two headers, the second one null
        14, 0, 0x80, 0x01, 2, 1, 1, 0,                  // 7 bytes; 64 ms later; all null
    ];
    assert_eq!(encode(42, &records), expected);
}

/// The example in `docs/log-format.md`, byte for byte; the CRC is not shown there.
#[test]
fn the_documented_example_is_true() {
    let page = include_str!("../../../docs/log-format.md");
    let example = page.split("### An example").nth(1).and_then(|rest| rest.split("```").nth(1));
    let shown: Vec<u8> = example
        .expect("the page has the example")
        .lines()
        .filter_map(|line| line.get(..69.min(line.len())))
        .flat_map(str::split_whitespace)
        .filter_map(|byte| match byte {
            "--" => Some(0),
            byte => u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() == 2),
        })
        .collect();
    let headers = [Header { name: "h", value: Some(b"v") }];
    let record = Record::new("value").with_key("key").with_headers(&headers);
    assert_eq!(shown, encode(42, &[record]));
}

#[test]
fn what_was_encoded_is_what_is_walked() {
    sample(|records| {
        for stamps in [Stamps::create_time(NOW), Stamps::log_append_time(NOW)] {
            let bytes = encode_stamped(42, stamps, records);
            let mut offset = 42;
            for (record, sent) in RecordWalk::new(&bytes).zip(records) {
                assert_eq!(record.offset, offset);
                assert_eq!(record.timestamp, stamps.of(sent));
                assert_eq!((record.key, record.value), (sent.key, sent.value));
                assert_eq!(record.headers.iter().len(), sent.headers.len());
                assert_eq!(record.headers.iter().collect::<Vec<_>>(), sent.headers);
                offset += 1;
            }
            assert_eq!(offset, 42 + records.len() as Offset);
            assert_eq!(RecordWalk::new(&bytes).len(), records.len());
            assert_eq!((base_offset(&bytes), last_offset(&bytes)), (42, offset - 1));
        }
    });
}

#[test]
fn lengths_around_each_width_of_a_number_come_back() {
    for around in [0_usize, 16, 64, 8_160, 8_192, 1 << 20] {
        for len in around.saturating_sub(40)..around + 40 {
            let payload = vec![7; len];
            for record in [
                Record::new(&payload),
                Record::tombstone(&payload),
                Record::new("v").with_key(&payload),
                Record::new(&payload).with_key("k"),
            ] {
                let bytes = encode(0, &[record]);
                assert!(bytes.len() <= HEADER_BYTES + record_bytes_max(&record));
                let walked = RecordWalk::new(&bytes).next().unwrap();
                assert!((walked.key, walked.value) == (record.key, record.value), "{len}");
                assert!(validate(&bytes, UNSEALED).is_ok(), "{len}");
            }
        }
    }
}

/// The sizes that the page gives.
#[test]
fn a_plain_record_takes_what_is_documented() {
    let records = [Record::new(&[7; 100]); 65];
    assert_eq!(encode(0, &records[..1]).len(), 170);
    assert_eq!(encode(0, &records[..64]).len(), HEADER_BYTES + 64 * 109);
    assert_eq!(encode(0, &records).len(), HEADER_BYTES + 64 * 109 + 110);
}

#[test]
fn the_walk_skips_to_an_offset() {
    let records = [Record::new("v"); 100];
    let bytes = encode(1_000, &records);
    for (to, expected) in [(0, 1_000), (1_000, 1_000), (1_063, 1_063), (1_099, 1_099)] {
        let mut walk = RecordWalk::new(&bytes);
        walk.skip_to(to);
        assert_eq!(walk.next().map(|record| record.offset), Some(expected));
    }
    let mut walk = RecordWalk::new(&bytes);
    walk.skip_to(1_100);
    assert!(walk.next().is_none());
}

#[test]
fn a_batch_built_over_time_is_the_one_encoded_at_once() {
    let mut buffer = vec![0xee; 3];
    for base_offset in [0, 42] {
        sample(|records| {
            let mut builder = BatchBuilder::with_buffer(std::mem::take(&mut buffer));
            assert_eq!((builder.bytes(), builder.count()), (HEADER_BYTES, 0));
            for record in records {
                builder.push(record, record.timestamp.unwrap_or(NOW));
            }
            assert_eq!(builder.count() as usize, records.len());
            let bytes = builder.bytes();
            let batch = builder.finish();
            assert_eq!((batch.encoded.bytes, batch.bytes().len()), (bytes, bytes));
            let mut bytes = batch.bytes().to_vec();
            set_base_offset(&mut bytes, base_offset);
            assert_eq!(bytes, encode(base_offset, records));
            buffer = batch.into_buffer();
        });
    }
}

#[test]
fn append_time_is_stamped_on_a_finished_batch() {
    sample(|records| {
        let mut bytes = encode(0, records);
        set_log_append_time(&mut bytes, Timestamp::from_millis(7));
        seal(&mut bytes);
        let header = validate(&bytes, Checks::APPENDED).unwrap();
        assert_eq!(header.attributes.timestamp_type(), TimestampType::LogAppendTime);
        assert!(RecordWalk::new(&bytes).all(|record| record.timestamp.as_millis() == 7));
    });
}

#[test]
fn the_header_says_what_a_plain_batch_is() {
    let bytes = sealed(42, &[Record::new("a"), Record::new("b")]);
    let header = validate(&bytes, Checks::APPENDED).unwrap();
    let expected = BatchHeader {
        base_offset: 42,
        batch_bytes: bytes.len(),
        leader_epoch: 0,
        crc: crc(&bytes),
        attributes: Attributes::default(),
        last_offset_delta: 1,
        base_timestamp: NOW,
        max_timestamp: NOW,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        count: 2,
    };
    assert_eq!(header, expected);
    assert_eq!(header.last_offset(), 43);
    assert_eq!(header.to_bytes(), bytes[..HEADER_BYTES]);
}

#[test]
fn the_crc_is_castagnoli_and_spares_base_offset_and_epoch() {
    // The check value of CRC-32C, where the CRC's bytes start.
    let mut bytes = vec![0; 21];
    bytes.extend_from_slice(b"123456789");
    assert_eq!(crc(&bytes), 0xe306_9283);
    bytes[..16].fill(7);
    assert_eq!(crc(&bytes), 0xe306_9283);
}

const UNSEALED: Checks = Checks { crc: false, contiguous: true };

/// A batch of `k`/`v`, each record 8 bytes, and what `validate` says of it once `spoil` is done.
fn spoiled(spoil: impl FnOnce(&mut Vec<u8>)) -> BatchError {
    let mut bytes = encode(5, &[Record::new("v").with_key("k"); 3]);
    assert_eq!(bytes.len(), HEADER_BYTES + 3 * 9);
    assert!(validate(&bytes, UNSEALED).is_ok());
    spoil(&mut bytes);
    validate(&bytes, UNSEALED).expect_err("the batch was spoiled")
}

/// Where the parts of the second record are in what [`spoiled`] makes.
const SECOND: usize = HEADER_BYTES + 9;
const SECOND_ATTRIBUTES: usize = SECOND + 1;
const SECOND_TIMESTAMP: usize = SECOND + 2;
const SECOND_OFFSET: usize = SECOND + 3;
const SECOND_KEY: usize = SECOND + 4;
const SECOND_HEADERS: usize = SECOND + 8;

#[test]
fn each_untrue_statement_is_refused_with_its_own_error() {
    use BatchError::*;
    let whole = HEADER_BYTES + 3 * 9;
    assert_eq!(
        spoiled(|b| b.truncate(60)),
        Truncated { field: "batch header", at: 0, needed: 61, available: 60 }
    );
    assert_eq!(
        spoiled(|b| b.truncate(whole - 1)),
        Truncated { field: "batch", at: 0, needed: whole, available: whole - 1 }
    );
    assert_eq!(spoiled(|b| b.push(0)), TrailingBytes { at: whole, count: 1 });
    assert_eq!(spoiled(|b| b[16] = 1), Magic { found: 1 });
    assert_eq!(
        spoiled(|b| b[LENGTH_AT..][..4].copy_from_slice(&48_i32.to_be_bytes())),
        OutOfRange { field: "batch length", at: 8, value: 48 }
    );
    assert_eq!(
        spoiled(|b| b[LENGTH_AT..][..4].copy_from_slice(&(-1_i32).to_be_bytes())),
        OutOfRange { field: "batch length", at: 8, value: -1 }
    );
    assert_eq!(
        spoiled(|b| b[0] = 0x80),
        OutOfRange { field: "base offset", at: 0, value: i64::MIN + 5 }
    );
    assert_eq!(
        spoiled(|b| b[..8].copy_from_slice(&(i64::MAX - 1).to_be_bytes())),
        OutOfRange { field: "base offset", at: 0, value: i64::MAX - 1 }
    );
    for codec in 1..=7 {
        assert_eq!(spoiled(|b| b[ATTRIBUTES_AT + 1] |= codec), Compression { codec });
    }
    assert_eq!(spoiled(|b| b[ATTRIBUTES_AT] = 1), UnknownAttributes { at: 21, bits: 0x100 });
    assert_eq!(spoiled(|b| b[ATTRIBUTES_AT + 1] = 0x80), UnknownAttributes { at: 21, bits: 0x80 });
    assert_eq!(
        spoiled(|b| b[LAST_OFFSET_DELTA_AT] = 0xff),
        OutOfRange { field: "last offset delta", at: 23, value: 2 - (1 << 24) }
    );
    assert_eq!(
        spoiled(|b| b[LAST_OFFSET_DELTA_AT + 3] = 3),
        LastOffsetDelta { at: 23, stored: 3, found: 2 }
    );
    assert_eq!(
        spoiled(|b| b[MAX_TIMESTAMP_AT + 7] ^= 1),
        MaxTimestamp { at: 35, stored: NOW.as_millis() ^ 1, found: NOW.as_millis() }
    );
    assert_eq!(
        spoiled(|b| b[MAX_TIMESTAMP_AT..][..8].copy_from_slice(&(-2_i64).to_be_bytes())),
        OutOfRange { field: "max timestamp", at: 35, value: -2 }
    );
    assert_eq!(
        spoiled(|b| b[COUNT_AT] = 0x80),
        OutOfRange { field: "record count", at: 57, value: i64::from(i32::MIN) + 3 }
    );
    assert_eq!(
        spoiled(|b| (b[COUNT_AT + 3], b[LAST_OFFSET_DELTA_AT + 3]) = (2, 1)),
        TrailingBytes { at: whole - 9, count: 9 }
    );
    assert_eq!(
        spoiled(|b| (b[COUNT_AT + 3], b[LAST_OFFSET_DELTA_AT + 3]) = (4, 3)),
        Truncated { field: "record length", at: whole, needed: 1, available: 0 }
    );
    assert_eq!(
        spoiled(|b| (b[COUNT_AT + 3], b[LAST_OFFSET_DELTA_AT + 3]) = (0, 0)),
        OutOfRange { field: "record count", at: 57, value: 0 }
    );
}

#[test]
fn each_malformed_record_is_refused_with_its_own_error() {
    use BatchError::*;
    assert_eq!(
        spoiled(|b| b[SECOND] = 1),
        OutOfRange { field: "record length", at: SECOND, value: -1 }
    );
    assert_eq!(
        spoiled(|b| b[SECOND] = 100),
        Truncated { field: "record", at: SECOND + 1, needed: 50, available: 17 }
    );
    assert_eq!(
        spoiled(|b| b[SECOND] = 0),
        Truncated { field: "record attributes", at: SECOND + 1, needed: 1, available: 0 }
    );
    assert_eq!(
        spoiled(|b| b[SECOND] -= 2),
        Truncated { field: "header count", at: SECOND_HEADERS, needed: 1, available: 0 }
    );
    assert_eq!(spoiled(|b| b[SECOND] += 2), TrailingBytes { at: SECOND_HEADERS + 1, count: 1 });
    assert_eq!(
        spoiled(|b| b[SECOND..][..5].fill(0xff)),
        Varint { field: "record length", at: SECOND, bytes_max: 5 }
    );
    assert_eq!(
        spoiled(|b| b[SECOND_ATTRIBUTES] = 1),
        UnknownAttributes { at: SECOND_ATTRIBUTES, bits: 1 }
    );
    assert_eq!(
        spoiled(|b| b[SECOND_TIMESTAMP] = 2),
        MaxTimestamp { at: 35, stored: NOW.as_millis(), found: NOW.as_millis() + 1 }
    );
    assert_eq!(
        spoiled(|b| {
            b[super::header::BASE_TIMESTAMP_AT..][..8].fill(0);
            b[SECOND_TIMESTAMP] = 3;
        }),
        OutOfRange { field: "timestamp delta", at: SECOND_TIMESTAMP, value: -2 }
    );
    assert_eq!(
        spoiled(|b| b[SECOND_OFFSET] = 4),
        OffsetDelta { at: SECOND_OFFSET, found: 2, expected: 1 }
    );
    assert_eq!(
        spoiled(|b| b[SECOND_OFFSET] = 0),
        OffsetDelta { at: SECOND_OFFSET, found: 0, expected: 1 }
    );
    assert_eq!(
        spoiled(|b| b[SECOND_KEY] = 3),
        OutOfRange { field: "key", at: SECOND_KEY, value: -2 }
    );
    assert_eq!(
        spoiled(|b| b[SECOND_KEY] = 100),
        Truncated { field: "key", at: SECOND_KEY + 1, needed: 50, available: 4 }
    );
    assert_eq!(
        spoiled(|b| b[SECOND_HEADERS] = 1),
        OutOfRange { field: "header count", at: SECOND_HEADERS, value: -1 }
    );
    assert_eq!(
        spoiled(|b| b[SECOND_HEADERS] = 2),
        Truncated { field: "header name", at: SECOND_HEADERS + 1, needed: 1, available: 0 }
    );
}

#[test]
fn a_malformed_header_is_refused_with_its_own_error() {
    let headers = [Header { name: "né", value: Some(b"v") }];
    let mut bytes = encode(5, &[Record::default().with_headers(&headers)]);
    let name = bytes.len() - 6;
    assert_eq!(bytes[name..], [6, b'n', 0xc3, 0xa9, 2, b'v']);
    bytes[name + 3] = b'e';
    assert_eq!(validate(&bytes, UNSEALED), Err(BatchError::HeaderName { at: name + 2 }));
    bytes[name + 3] = 0xa9;
    bytes[name + 4] = 3;
    let field = "header value";
    let out_of_range = BatchError::OutOfRange { field, at: name + 4, value: -2 };
    assert_eq!(validate(&bytes, UNSEALED), Err(out_of_range));
    bytes[name + 4] = 1;
    assert_eq!(
        validate(&bytes, UNSEALED),
        Err(BatchError::TrailingBytes { at: name + 5, count: 1 })
    );
}

#[test]
fn gaps_and_empty_batches_are_for_those_who_expect_compaction() {
    let compacted = Checks { crc: false, contiguous: false };
    // What is left of five records after the first and the fourth: offsets 6, 7, and 9 is gone.
    let mut bytes = encode(5, &[Record::new("v").with_key("k"); 2]);
    bytes[LAST_OFFSET_DELTA_AT + 3] = 4;
    bytes[HEADER_BYTES + 3] = 2;
    bytes[HEADER_BYTES + 9 + 3] = 4;
    assert!(validate(&bytes, UNSEALED).is_err());
    let header = validate(&bytes, compacted).unwrap();
    assert_eq!((header.count, header.last_offset()), (2, 9));
    let offsets: Vec<_> = RecordWalk::new(&bytes).map(|record| record.offset).collect();
    assert_eq!(offsets, [6, 7]);

    let mut backwards = bytes.clone();
    backwards[HEADER_BYTES + 9 + 3] = 2;
    let at = HEADER_BYTES + 9 + 3;
    let expected = BatchError::OffsetDelta { at, found: 1, expected: 2 };
    assert_eq!(validate(&backwards, compacted), Err(expected));

    let mut beyond = bytes.clone();
    beyond[LAST_OFFSET_DELTA_AT + 3] = 1;
    let expected = BatchError::LastOffsetDelta { at: LAST_OFFSET_DELTA_AT, stored: 1, found: 2 };
    assert_eq!(validate(&beyond, compacted), Err(expected));

    bytes.truncate(HEADER_BYTES);
    bytes[COUNT_AT + 3] = 0;
    bytes[LENGTH_AT + 3] = 49;
    assert!(validate(&bytes, UNSEALED).is_err());
    assert_eq!(validate(&bytes, compacted).map(|header| header.count), Ok(0));
    assert!(RecordWalk::new(&bytes).next().is_none());
}

/// Cuts a sealed batch at every length.
#[test]
fn a_batch_cut_anywhere_is_refused() {
    sample(|records| {
        let bytes = sealed(42, records);
        for len in 0..bytes.len() {
            for crc in [true, false] {
                let checks = Checks { crc, contiguous: false };
                let refused = validate(&bytes[..len], checks);
                assert!(matches!(refused, Err(BatchError::Truncated { .. })), "{len}: {refused:?}");
            }
        }
    });
}

/// Flips every bit of a sealed batch. What the CRC does not cover (17 bytes, of which base offset
/// and leader epoch may be anything) is listed; everything else must be refused. Without the CRC,
/// what is still accepted must be walked without a panic.
#[test]
fn a_batch_with_a_bit_flipped_is_refused() {
    sample(|records| {
        let bytes = sealed(42, records);
        let mut accepted_unchecked = 0;
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let is_covered = !(0..8).contains(&(bit / 8)) && !(12..16).contains(&(bit / 8));
            let checked = validate(&flipped, Checks::APPENDED);
            if is_covered {
                assert!(checked.is_err(), "bit {bit} went unnoticed");
            }
            for contiguous in [true, false] {
                if validate(&flipped, Checks { crc: false, contiguous }).is_ok() {
                    accepted_unchecked += 1;
                    walk_all(&flipped);
                }
            }
        }
        assert!(accepted_unchecked > 0, "payload bits are the CRC's to notice");
    });
}

/// Two bytes of a batch become anything, without the CRC's protection: no panic, and what is
/// accepted can be walked.
#[test]
fn what_validation_accepts_can_be_walked() {
    let mut accepted = 0;
    sample(|records| {
        let bytes = encode(42, records);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..200_000 {
            let mut spoiled = bytes.clone();
            for _ in 0..2 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let at = (state >> 8) as usize % spoiled.len();
                spoiled[at] = state.to_le_bytes()[0];
            }
            if validate(&spoiled, Checks { crc: false, contiguous: false }).is_ok() {
                accepted += 1;
                walk_all(&spoiled);
            }
        }
    });
    assert!(accepted > 1_000, "most payload bytes may be anything");
}

fn walk_all(bytes: &[u8]) {
    for record in RecordWalk::new(bytes) {
        assert!((base_offset(bytes)..=last_offset(bytes)).contains(&record.offset));
        std::hint::black_box(record.headers.iter().count());
    }
}

#[test]
#[should_panic(expected = "invariant: a batch was encoded or validated before it is walked")]
fn walking_a_broken_batch_panics_with_the_invariant() {
    let mut bytes = encode(0, &[Record::new("v")]);
    bytes[HEADER_BYTES] = 100;
    RecordWalk::new(&bytes).next();
}

#[test]
#[should_panic(expected = "a batch holds at least one record")]
fn an_empty_batch_is_not_encoded() {
    encode(0, &[]);
}

#[test]
fn the_bound_of_a_record_holds_at_the_extremes() {
    let headers = [Header { name: "", value: None }; 3];
    let far = Timestamp::from_millis(i64::MAX);
    let records = [Record::new("").with_headers(&headers).with_timestamp(far); 2];
    let zero = Record::default().with_timestamp(Timestamp::from_millis(0));
    let bytes = encode(0, &[records[0], zero, records[1]]);
    assert!(bytes.len() <= HEADER_BYTES + 3 * record_bytes_max(&records[0]));
    let back: Vec<_> = RecordWalk::new(&bytes).map(|record| record.timestamp).collect();
    assert_eq!(back, [far, Timestamp::from_millis(0), far]);
    assert!(validate(&bytes, UNSEALED).is_ok());
}
