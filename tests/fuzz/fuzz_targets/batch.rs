//! Any bytes at all: decoded or refused, never a panic; and what is decoded can be encoded again.
//!
//! The input is tried as it is, and once more with magic, length and CRC put right, so that the
//! fuzzer gets past the checksum to the records. Built for a fuzzer, the crate itself checks and walks
//! records in both its ways, the fast one and the exact one, and asserts that they agree.
//!
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz batch`
#![no_main]

use anabranch::format::{self, Stamps};
use anabranch::{Header, Record};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    let walked: usize = format::batches(bytes).flatten().map(|batch| batch.records().count()).sum();
    assert!(walked <= bytes.len());
    if bytes.len() >= 61 {
        check(&put_right(bytes));
    }
});

fn check(bytes: &[u8]) {
    let Ok(batch) = format::decode(bytes) else { return };
    let offsets = batch.base_offset()..=batch.last_offset();
    let mut next = batch.base_offset();
    let headers: Vec<Vec<Header<'_>>> =
        batch.records().map(|record| record.headers().collect()).collect();
    let mut records = Vec::new();
    for (record, headers) in batch.records().zip(&headers) {
        assert!(offsets.contains(&record.offset) && record.offset >= next);
        assert!(record.timestamp <= batch.max_timestamp());
        next = record.offset + 1;
        let (key, value) = (record.key, record.value);
        records.push(Record {
            key,
            value,
            headers,
            timestamp: Some(record.timestamp),
            partition: None,
        });
    }
    assert_eq!(records.len(), batch.len());
    // Timestamps of -1 are read and not written; gaps are closed. All else comes back.
    if let Ok(again) = format::encode(&records, batch.base_offset(), Stamps::default()) {
        let again = format::decode(&again).expect("what we encode is valid");
        for (after, before) in again.records().zip(batch.records()) {
            assert_eq!((after.key, after.value), (before.key, before.value));
            assert_eq!(after.timestamp, before.timestamp);
            assert!(after.headers().eq(before.headers()));
        }
        assert_eq!(again.len(), batch.len());
    }
}

fn put_right(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let length = u32::try_from(bytes.len() - 12).expect("inputs are short");
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// CRC-32C, bit by bit: independent of the one under test.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}
