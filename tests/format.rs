//! Kafka's record batch v2, cross-checked in both directions against the records module of the
//! `kafka-protocol` crate.
//!
//! What that crate cannot say is left to the unit tests: it keeps headers in a map, so names are
//! made unique here; it makes the earliest timestamp the base, where Kafka's producer takes the
//! first record's; and it neither writes nor heeds the bit for `LogAppendTime`.

use anabranch::format::{self, Stamps};
use anabranch::{BatchError, EncodeError, Header, Offset, Record, Timestamp, TimestampType};
use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Record as KafkaRecord, RecordBatchDecoder,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType as KafkaTimestampType,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// A record that owns what it is made of. Names of headers are unique: see above.
#[derive(Clone, Debug)]
struct Sample {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: Option<i64>,
}

impl Sample {
    fn headers<'a>(&'a self) -> Vec<Header<'a>> {
        let header = |(name, value): &'a (String, Option<Vec<u8>>)| Header {
            name: name.as_str(),
            value: value.as_deref(),
        };
        self.headers.iter().map(header).collect()
    }

    fn timestamp(&self, stamps: Stamps) -> i64 {
        match stamps.timestamp_type {
            TimestampType::CreateTime => self.timestamp.unwrap_or(stamps.now.as_millis()),
            TimestampType::LogAppendTime => stamps.now.as_millis(),
        }
    }
}

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(Vec::new())),
        6 => vec(any::<u8>(), 1..40).prop_map(Some),
        2 => vec(any::<u8>(), 40..300).prop_map(Some),
    ]
}

fn millis() -> impl Strategy<Value = i64> {
    // The crate we check against subtracts without wrapping, so the range stays within half.
    prop_oneof![
        4 => 1_700_000_000_000..1_700_000_100_000_i64,
        1 => 0..=i64::MAX / 2,
        1 => Just(0),
    ]
}

fn sample() -> impl Strategy<Value = Sample> {
    let headers = prop_oneof![
        3 => Just(Vec::new()),
        1 => btree_map(".{0,6}", bytes(), 0..5).prop_map(|headers| headers.into_iter().collect()),
    ];
    (bytes(), bytes(), headers, proptest::option::of(millis()))
        .prop_map(|(key, value, headers, timestamp)| Sample { key, value, headers, timestamp })
}

fn stamps() -> impl Strategy<Value = Stamps> {
    (millis().prop_map(Timestamp::from_millis), any::<bool>()).prop_map(|(now, is_append_time)| {
        if is_append_time { Stamps::log_append_time(now) } else { Stamps::create_time(now) }
    })
}

fn encode(samples: &[Sample], base_offset: Offset, stamps: Stamps) -> Vec<u8> {
    let headers: Vec<_> = samples.iter().map(Sample::headers).collect();
    let records: Vec<_> = samples
        .iter()
        .zip(&headers)
        .map(|(sample, headers)| Record {
            key: sample.key.as_deref(),
            value: sample.value.as_deref(),
            headers,
            timestamp: sample.timestamp.map(Timestamp::from_millis),
            partition: None,
        })
        .collect();
    format::encode(&records, base_offset, stamps).expect("the samples are within the format")
}

/// What we encode, the other crate reads as it was meant; what that crate then writes of it, we read.
fn cross_check(samples: &[Sample], base_offset: Offset, stamps: Stamps) {
    let ours = encode(samples, base_offset, stamps);
    let read = RecordBatchDecoder::decode(&mut Bytes::from(ours.clone())).expect("valid");
    assert_eq!(read.records.len(), samples.len());
    for (index, (record, sent)) in read.records.iter().zip(samples).enumerate() {
        assert_eq!(
            record.offset,
            i64::try_from(base_offset).expect("within the format") + index as i64
        );
        assert_eq!(record.timestamp, sent.timestamp(stamps));
        assert_eq!(record.key.as_deref(), sent.key.as_deref());
        assert_eq!(record.value.as_deref(), sent.value.as_deref());
        let headers: Vec<_> = record.headers.iter().collect();
        assert_eq!(headers.len(), sent.headers.len());
        for ((name, value), sent) in headers.into_iter().zip(&sent.headers) {
            assert_eq!((name.as_str(), value.as_deref()), (sent.0.as_str(), sent.1.as_deref()));
        }
        let is_append_time = record.timestamp_type == KafkaTimestampType::LogAppend;
        assert_eq!(is_append_time, stamps.timestamp_type == TimestampType::LogAppendTime);
        assert_eq!((record.producer_id, record.producer_epoch), (-1, -1));
        assert_eq!((record.partition_leader_epoch, record.transactional), (0, false));
    }

    let theirs = encode_theirs(&read.records);
    let batch = format::decode(&theirs).expect("the other crate writes valid batches");
    assert_eq!((batch.base_offset(), batch.len()), (base_offset, samples.len()));
    assert_eq!((batch.producer_id(), batch.leader_epoch()), (-1, 0));
    check_ours(batch, samples, stamps);
    check_ours(format::decode(&ours).expect("we write valid batches"), samples, stamps);

    // The same bytes, where both take the same timestamp for the base.
    let is_first_earliest =
        samples.iter().all(|sample| sample.timestamp(stamps) >= samples[0].timestamp(stamps));
    if is_first_earliest && stamps.timestamp_type == TimestampType::CreateTime {
        assert!(ours == theirs, "the two crates write the same bytes");
    }
}

fn encode_theirs(records: &[KafkaRecord]) -> BytesMut {
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    // The sequence is no longer -1 in the records behind the first, as the reader counts it up;
    // their encoder counts it down again.
    RecordBatchEncoder::encode(&mut bytes, records, &options).expect("encodes");
    bytes
}

fn check_ours(batch: format::Batch<'_>, samples: &[Sample], stamps: Stamps) {
    let mut max_timestamp = 0;
    for (index, (record, sent)) in batch.records().zip(samples).enumerate() {
        assert_eq!(record.offset, batch.base_offset() + index as Offset);
        assert_eq!(record.timestamp.as_millis(), sent.timestamp(stamps));
        assert_eq!((record.key, record.value), (sent.key.as_deref(), sent.value.as_deref()));
        assert!(record.headers().eq(sent.headers()));
        max_timestamp = max_timestamp.max(sent.timestamp(stamps));
    }
    assert_eq!(batch.records().len(), samples.len());
    assert_eq!(batch.max_timestamp().as_millis(), max_timestamp);
    assert_eq!(batch.last_offset(), batch.base_offset() + samples.len() as Offset - 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_of_a_few_records_cross_both_ways(
        samples in vec(sample(), 1..20),
        base_offset in 0..=i64::MAX as Offset - 20,
        stamps in stamps(),
    ) {
        cross_check(&samples, base_offset, stamps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Few distinct records, many times over: the numbers that grow with the batch are what counts.
    #[test]
    fn batches_of_up_to_10_000_records_cross_both_ways(
        samples in vec(sample(), 1..20),
        count in prop_oneof![1..=10_000_usize, Just(64), Just(65), Just(8_192), Just(8_193), Just(10_000)],
        stamps in stamps(),
    ) {
        let many: Vec<_> = samples.into_iter().cycle().take(count).collect();
        cross_check(&many, 42, stamps);
    }

    /// Any bytes at all are refused, or are a batch that can be walked; here they start like one.
    #[test]
    fn arbitrary_bytes_behind_a_header_never_panic(
        samples in vec(sample(), 1..4),
        tail in vec(any::<u8>(), 0..200),
        from in 0..200_usize,
    ) {
        let mut bytes = encode(&samples, 0, Stamps::default());
        let is_spoiled = from < bytes.len() || !tail.is_empty();
        bytes.truncate(from);
        bytes.extend_from_slice(&tail);
        prop_assert_eq!(format::decode(&bytes).is_err(), is_spoiled);
    }
}

/// Repeated names are legal in Kafka, and `kafka-protocol` keeps one of each: read ours ourselves.
#[test]
fn headers_may_repeat_their_names() {
    let headers = [
        Header { name: "a", value: Some(b"1") },
        Header { name: "a", value: None },
        Header { name: "a", value: Some(b"") },
    ];
    let bytes =
        format::encode(&[Record::default().with_headers(&headers)], 0, Stamps::default()).unwrap();
    let batch = format::decode(&bytes).unwrap();
    assert!(batch.records().next().unwrap().headers().eq(headers));
}

/// A batch as an idempotent, transactional producer of Kafka's writes it: the header tells.
#[test]
fn what_other_producers_say_in_the_header_is_read() {
    let records: Vec<_> = (0..3)
        .map(|index| KafkaRecord {
            transactional: true,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 9,
            producer_id: 4_000,
            producer_epoch: 2,
            timestamp_type: KafkaTimestampType::Creation,
            offset: 100 + index,
            sequence: 70 + i32::try_from(index).unwrap(),
            timestamp: 5,
            key: None,
            value: Some(Bytes::from_static(b"v")),
            headers: [(StrBytes::from_static_str("h"), None)].into(),
        })
        .collect();
    let bytes = encode_theirs(&records);
    let batch = format::decode(&bytes).unwrap();
    assert!(batch.is_transactional() && !batch.is_control() && !batch.is_empty());
    assert_eq!(
        (batch.producer_id(), batch.producer_epoch(), batch.base_sequence()),
        (4_000, 2, 70)
    );
    assert_eq!((batch.leader_epoch(), batch.base_offset(), batch.last_offset()), (9, 100, 102));
    assert_eq!((NO_PRODUCER_ID, NO_PRODUCER_EPOCH), (-1, -1));
}

#[test]
fn what_the_format_cannot_say_is_refused() {
    let record = Record::new("v");
    let max = i64::MAX as Offset;
    assert_eq!(format::encode(&[], 0, Stamps::default()), Err(EncodeError::Empty));
    let negative = record.with_timestamp(Timestamp::from_millis(-1));
    assert_eq!(
        format::encode(&[record, negative], 0, Stamps::default()),
        Err(EncodeError::NegativeTimestamp { index: 1, millis: -1 })
    );
    assert!(format::encode(&[negative], 0, Stamps::log_append_time(Timestamp::default())).is_ok());
    assert!(format::encode(&[record], max, Stamps::default()).is_ok());
    for (base_offset, count) in [(max, 2), (max + 1, 1), (u64::MAX, 2)] {
        assert_eq!(
            format::encode(&vec![record; count], base_offset, Stamps::default()),
            Err(EncodeError::OffsetOutOfRange { base_offset, count, max })
        );
    }
    // Many references to one value are large without taking memory.
    let value = vec![0; 1 << 24];
    let large = vec![Record::new(&value); 128];
    let refused = format::encode(&large, 0, Stamps::default()).unwrap_err();
    assert!(matches!(refused, EncodeError::TooLarge { count: 128, .. }));
}

/// The messages name the field, its place and the numbers.
#[test]
fn messages_name_the_field_and_the_numbers() {
    let mut bytes = format::encode(&[Record::new("v")], 0, Stamps::default()).unwrap();
    bytes[22] = 4;
    let message = |bytes: &[u8]| format::decode(bytes).unwrap_err().to_string();
    assert_eq!(
        message(&bytes),
        "records are compressed with codec 4 (zstd), only uncompressed ones are read"
    );
    bytes[22] = 0;
    bytes[16] = 1;
    assert_eq!(message(&bytes), "magic at byte 16 is 1, only version 2 is read");
    bytes[16] = 2;
    bytes.push(0);
    assert_eq!(message(&bytes), "end expected at byte 69, 1 more follow");
    let crc = BatchError::Crc { stored: 0xab, computed: 0xcdef_0123 };
    assert_eq!(crc.to_string(), "CRC-32C at byte 17 is 0x000000ab, the bytes have 0xcdef0123");
}
