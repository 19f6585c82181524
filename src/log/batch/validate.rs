//! Bytes from elsewhere (a file, a peer, a user) to a batch that can be walked.
//!
//! Everything is checked once, here, so that the walk need not: each length against what is left
//! of what encloses it, each number against its field, and every statement of the header against
//! the records. Nothing is allocated, and no input panics.
//!
//! 1. What is accepted, [`RecordWalk`](super::RecordWalk) walks to the end, headers included.
//! 2. Most records are of one shape and are [skimmed](skim); the exact check decides about all others.
//! 3. The checks that cost nothing come first, the CRC before the records: of a batch that was
//!    damaged, one learns that it was damaged rather than where that led.

use super::crc::crc;
use super::header::{
    ATTRIBUTES_AT, BASE_TIMESTAMP_AT, BatchHeader, COUNT_AT, HEADER_BYTES, LAST_OFFSET_DELTA_AT,
    MAX_TIMESTAMP_AT,
};
use super::short::{TIMESTAMP_DELTA_END, skim};
use super::varint::{self, Malformed};
use crate::error::BatchError;
use crate::record::TimestampType;
use std::ops::Range;

/// What to check beyond the structure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checks {
    /// Whether the CRC must match. Not for a batch that was never sealed.
    pub crc: bool,
    /// Whether offsets rise by one. Compaction leaves gaps, and batches without records.
    pub contiguous: bool,
}

impl Checks {
    /// What a batch must be before it is appended.
    #[cfg(test)]
    pub(crate) const APPENDED: Checks = Checks { crc: true, contiguous: true };

    /// What a batch must be after compaction may have been over it.
    pub(crate) const COMPACTED: Checks = Checks { crc: true, contiguous: false };
}

/// Checks that `bytes` are one whole batch and nothing else, and returns its header.
///
/// # Errors
///
/// The first thing that is wrong with them.
pub(crate) fn validate(bytes: &[u8], checks: Checks) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::read(bytes)?;
    if header.batch_bytes < bytes.len() {
        let count = bytes.len() - header.batch_bytes;
        return Err(BatchError::TrailingBytes { at: header.batch_bytes, count });
    }
    check_attributes(&header)?;
    if checks.crc {
        let computed = crc(bytes);
        if computed != header.crc {
            return Err(BatchError::Crc { stored: header.crc, computed });
        }
    }
    check_header(&header, checks)?;
    let found = check_records(bytes, &header, checks, true);
    #[cfg(any(test, fuzzing))]
    assert_eq!(found, check_records(bytes, &header, checks, false), "skimming changes nothing");
    found.map(|()| header)
}

fn check_attributes(header: &BatchHeader) -> Result<(), BatchError> {
    let attributes = header.attributes;
    if attributes.unknown() != 0 {
        return Err(BatchError::UnknownAttributes {
            at: ATTRIBUTES_AT,
            bits: attributes.unknown(),
        });
    }
    match attributes.codec() {
        0 => Ok(()),
        codec => Err(BatchError::Compression { codec }),
    }
}

/// What the header says, against itself.
fn check_header(header: &BatchHeader, checks: Checks) -> Result<(), BatchError> {
    if header.count == 0 && checks.contiguous {
        return Err(out_of_range("record count", COUNT_AT, 0));
    }
    let last_index = header.count.saturating_sub(1);
    if header.last_offset_delta < last_index
        || (checks.contiguous && header.last_offset_delta != last_index)
    {
        return Err(BatchError::LastOffsetDelta {
            at: LAST_OFFSET_DELTA_AT,
            stored: header.last_offset_delta,
            found: last_index,
        });
    }
    for (field, at, timestamp) in [
        ("base timestamp", BASE_TIMESTAMP_AT, header.base_timestamp),
        ("max timestamp", MAX_TIMESTAMP_AT, header.max_timestamp),
    ] {
        if timestamp.as_millis() < NO_TIMESTAMP {
            return Err(out_of_range(field, at, timestamp.as_millis()));
        }
    }
    Ok(())
}

/// What Kafka writes where there is no timestamp.
const NO_TIMESTAMP: i64 = -1;

/// Base timestamps to which all deltas can be added that [`skim`] finds.
const USUAL_TIMESTAMPS: Range<i64> = TIMESTAMP_DELTA_END..i64::MAX - TIMESTAMP_DELTA_END;

/// What the header says, against the records, and each of these. Whether it `skims` those that it can
/// makes no difference but in time; tests and fuzzers compare the two.
fn check_records(
    bytes: &[u8],
    header: &BatchHeader,
    checks: Checks,
    skims: bool,
) -> Result<(), BatchError> {
    let base_timestamp = header.base_timestamp.as_millis();
    let mut skims = skims && USUAL_TIMESTAMPS.contains(&base_timestamp);
    let mut batch = Cursor { bytes, at: HEADER_BYTES };
    let mut max_timestamp = i64::MIN;
    let mut next_delta = 0;
    let mut left = header.count;
    while left > 0 {
        if skims {
            let skimmed = skim(&bytes[batch.at..], left, next_delta, checks.contiguous);
            batch.at = bytes.len() - skimmed.rest.len();
            let latest = skimmed.max_timestamp_delta.map(|delta| base_timestamp + delta);
            max_timestamp = latest.map_or(max_timestamp, |latest| latest.max(max_timestamp));
            next_delta = skimmed.next_delta;
            left -= skimmed.count;
            if left == 0 {
                break;
            }
            // Two unusual records in a row: the others will be like them.
            skims = skimmed.count > 0;
        }
        max_timestamp = max_timestamp.max(batch.check_record(header, checks, &mut next_delta)?);
        left -= 1;
    }
    if batch.left() > 0 {
        return Err(BatchError::TrailingBytes { at: batch.at, count: batch.left() });
    }
    // The last record may have been compacted away; the delta of the batch stays.
    if next_delta - 1 > i64::from(header.last_offset_delta) {
        return Err(BatchError::LastOffsetDelta {
            at: LAST_OFFSET_DELTA_AT,
            stored: header.last_offset_delta,
            found: u32::try_from(next_delta - 1).expect("a delta was read from 32 bits"),
        });
    }
    let is_create_time = header.attributes.timestamp_type() == TimestampType::CreateTime;
    if is_create_time && header.count > 0 && max_timestamp != header.max_timestamp.as_millis() {
        return Err(BatchError::MaxTimestamp {
            at: MAX_TIMESTAMP_AT,
            stored: header.max_timestamp.as_millis(),
            found: max_timestamp,
        });
    }
    Ok(())
}

/// A place in the batch; `bytes` ends where what encloses the place ends, be it batch or record.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn signed_32(&mut self, field: &'static str) -> Result<i64, BatchError> {
        let read = varint::read_32(self.bytes, &mut self.at);
        self.signed(field, read, varint::BYTES_MAX_32)
    }

    fn signed_64(&mut self, field: &'static str) -> Result<i64, BatchError> {
        let read = varint::read_64(self.bytes, &mut self.at);
        self.signed(field, read, varint::BYTES_MAX_64)
    }

    fn signed(
        &self,
        field: &'static str,
        read: Result<u64, Malformed>,
        bytes_max: usize,
    ) -> Result<i64, BatchError> {
        read.map(varint::unzigzag).map_err(|malformed| match malformed {
            Malformed::Cut => {
                let needed = self.left() + 1;
                BatchError::Truncated { field, at: self.at, needed, available: self.left() }
            }
            Malformed::TooLong => BatchError::Varint { field, at: self.at, bytes_max },
        })
    }

    /// Reads a length or a count, which is not negative.
    fn count(&mut self, field: &'static str) -> Result<usize, BatchError> {
        let at = self.at;
        let value = self.signed_32(field)?;
        usize::try_from(value).map_err(|_| out_of_range(field, at, value))
    }

    /// Takes `count` bytes.
    fn take(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], BatchError> {
        let (at, available) = (self.at, self.left());
        if count > available {
            return Err(BatchError::Truncated { field, at, needed: count, available });
        }
        self.at += count;
        Ok(&self.bytes[at..self.at])
    }

    /// Checks a record of any shape and returns its timestamp.
    fn check_record(
        &mut self,
        header: &BatchHeader,
        checks: Checks,
        next_delta: &mut i64,
    ) -> Result<i64, BatchError> {
        let mut record = self.record()?;
        record.attributes()?;
        let timestamp = record.timestamp(header)?;
        let (at, delta) = (record.at, record.signed_32("offset delta")?);
        if delta < *next_delta || (checks.contiguous && delta > *next_delta) {
            return Err(BatchError::OffsetDelta { at, found: delta, expected: *next_delta });
        }
        *next_delta = delta + 1;
        record.nullable("key")?;
        record.nullable("value")?;
        record.headers()?;
        record.end()?;
        Ok(timestamp)
    }

    /// Steps over a record and returns a cursor at its attributes that ends where it ends.
    fn record(&mut self) -> Result<Cursor<'a>, BatchError> {
        let count = self.count("record length")?;
        let at = self.at;
        self.take("record", count)?;
        Ok(Cursor { bytes: &self.bytes[..self.at], at })
    }

    fn attributes(&mut self) -> Result<(), BatchError> {
        let at = self.at;
        match self.take("record attributes", 1)?[0] {
            0 => Ok(()),
            bits => Err(BatchError::UnknownAttributes { at, bits: bits.into() }),
        }
    }

    fn timestamp(&mut self, header: &BatchHeader) -> Result<i64, BatchError> {
        let at = self.at;
        let delta = self.signed_64("timestamp delta")?;
        match header.base_timestamp.as_millis().checked_add(delta) {
            Some(timestamp) if timestamp >= NO_TIMESTAMP => Ok(timestamp),
            _ => Err(out_of_range("timestamp delta", at, delta)),
        }
    }

    /// Steps over bytes that may be null.
    fn nullable(&mut self, field: &'static str) -> Result<(), BatchError> {
        let at = self.at;
        match self.signed_32(field)? {
            -1 => Ok(()),
            value => {
                let count = usize::try_from(value).map_err(|_| out_of_range(field, at, value))?;
                self.take(field, count).map(drop)
            }
        }
    }

    fn headers(&mut self) -> Result<(), BatchError> {
        for _ in 0..self.count("header count")? {
            let count = self.count("header name")?;
            let at = self.at;
            let name = self.take("header name", count)?;
            if let Err(error) = std::str::from_utf8(name) {
                return Err(BatchError::HeaderName { at: at + error.valid_up_to() });
            }
            self.nullable("header value")?;
        }
        Ok(())
    }

    /// Checks that the record ends where its length says.
    fn end(&self) -> Result<(), BatchError> {
        match self.left() {
            0 => Ok(()),
            count => Err(BatchError::TrailingBytes { at: self.at, count }),
        }
    }
}

fn out_of_range(field: &'static str, at: usize, value: i64) -> BatchError {
    BatchError::OutOfRange { field, at, value }
}
