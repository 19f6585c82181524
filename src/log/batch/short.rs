//! Records of the shape that nearly all have, taken apart in registers.
//!
//! Such a record has a value and no headers, and no number of it takes more than two bytes:
//!
//! ```text
//!   length ≤2 │ 0 │ Δt ≤2 │ Δo ≤2 │ 01                  │ value length ≤2 │ value │ 00
//!   length ≤2 │ 0 │ Δt ≤2 │ Δo ≤2 │ key length ≤2 │ key │ value length ≤2 │ value │ 00
//!   └───── at most 7 bytes ───────┘
//! ```
//!
//! [`skim`] checks a run of them. Most start like the one before, with an offset that is one more; so a
//! [`Likeness`] keeps what the next first word should be and compares all of it but the length at once. Where it
//! is something else, the numbers are looked at one by one, and what follows is compared with those.
//!
//! 1. What is accepted here, the exact check in [`validate`](super::validate()) accepts, and finds the same
//!    in it. What is not may be unusual, or broken, or the last bytes of a batch: that check tells.

use super::varint::{self, unpack};

/// The start of a record: all its numbers are in it, but the length of a value that follows a key.
#[derive(Clone, Copy)]
pub(super) struct Start<'a>(&'a [u8; 16]);

impl Start<'_> {
    #[inline(always)]
    pub(super) fn of(record: &[u8]) -> Option<Start<'_>> {
        record.first_chunk().map(Start)
    }

    /// The eight bytes at `at`, which is below eight.
    #[inline(always)]
    pub(super) fn word(self, at: usize) -> u64 {
        let word =
            self.0[at & 7..].first_chunk().expect("eight of sixteen bytes, from the eighth on");
        u64::from_le_bytes(*word)
    }
}

/// The key of a record, and where the value is, counted from the record's start; maybe behind its end.
pub(super) struct Payload<'a> {
    pub key: Option<&'a [u8]>,
    pub value_start: usize,
    /// The length of the value, raw.
    pub value: u64,
}

/// Finds key and value of the record that `bytes` start with.
#[inline(always)]
pub(super) fn payload<'a>(bytes: &'a [u8], start: Start<'_>, key_at: usize) -> Option<Payload<'a>> {
    let word = start.word(key_at);
    if word & 0xff == varint::NULL {
        let value = unpack(word >> 8)?;
        return Some(Payload { key: None, value_start: key_at + 1 + value.len, value: value.raw });
    }
    let length = unpack(word)?;
    let key_start = key_at + length.len;
    let key_end = key_start + (length.raw >> 1) as usize;
    let value = unpack(u16::from_le_bytes(*bytes.get(key_end..)?.first_chunk()?).into())?;
    if length.raw & 1 == 1 {
        return None;
    }
    let key = Some(bytes.get(key_start..key_end)?);
    Some(Payload { key, value_start: key_end + value.len, value: value.raw })
}

/// What was found of the records that [`skim`] stepped over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skimmed<'a> {
    /// What follows them.
    pub rest: &'a [u8],
    pub count: u32,
    /// One more than the last offset delta.
    pub next_delta: i64,
    /// `None` if there was no record.
    pub max_timestamp_delta: Option<i64>,
}

/// Timestamp deltas of two bytes are at least the negative of this, and less than it.
pub(super) const TIMESTAMP_DELTA_END: i64 = varint::TWO_BYTES_END.cast_signed() / 2;

/// Steps over up to `count` records that are well-formed, of the common shape, and have offset deltas that
/// rise from `next_delta` on; by one, if they are to be `contiguous`.
pub(super) fn skim(bytes: &[u8], count: u32, next_delta: i64, contiguous: bool) -> Skimmed<'_> {
    let (mut rest, mut next_delta, mut max_timestamp_delta) = (bytes, next_delta, i64::MIN);
    let (mut like, mut left) = (Likeness::NONE, count);
    while left > 0 {
        let Some(end) = like.next_end(rest) else { break };
        let found = like.offset_delta.cast_signed();
        if found != next_delta && (contiguous || found < next_delta) {
            break;
        }
        let Some(behind) = rest.get(end..) else { break };
        max_timestamp_delta = max_timestamp_delta.max(like.timestamp_delta);
        (rest, next_delta) = (behind, found + 1);
        left -= 1;
    }
    let count = count - left;
    let max_timestamp_delta = (count > 0).then_some(max_timestamp_delta);
    Skimmed { rest, count, next_delta, max_timestamp_delta }
}

/// So many offset deltas, from a multiple of it on, differ in the lowest seven bits only, one of which is
/// the sign: what a byte of a number holds.
const OFFSETS_ALIKE: u64 = 64;

/// What a record has in common with the one before.
///
/// What the bits say and what the numbers say is always the same; which is why a record that has those bits
/// has those numbers.
#[derive(Clone, Copy, Debug)]
struct Likeness {
    /// The bits of the record's first word where the mask has ones: everywhere before the key but in the length,
    /// of which only how many bytes it takes, and that it is not negative.
    bits: u64,
    mask: u64,
    /// What one more offset adds to the bits.
    step: u64,
    /// The bits of a length's second byte, once that is moved to where the first one ends; none if there
    /// is no second one.
    length_high: u64,
    length_len: usize,
    key_at: usize,
    timestamp_delta: i64,
    offset_delta: u64,
}

impl Likeness {
    /// To nothing: the next record is looked at number by number.
    const NONE: Likeness = Likeness {
        bits: 0,
        mask: 0,
        step: 0,
        length_high: 0,
        length_len: 0,
        key_at: 0,
        timestamp_delta: 0,
        offset_delta: OFFSETS_ALIKE - 1,
    };

    /// Steps on to the record that `bytes` start with, and returns where it ends, if it is of the common
    /// shape.
    #[inline(always)]
    fn next_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let start = Start::of(bytes)?;
        let word = start.word(0);
        let bits = self.bits.wrapping_add(self.step);
        let offset_delta = self.offset_delta + 1;
        if (word ^ bits) & self.mask == 0 && !offset_delta.is_multiple_of(OFFSETS_ALIKE) {
            (self.bits, self.offset_delta) = (bits, offset_delta);
        } else {
            *self = Likeness::to(word)?;
        }
        let length = word & 0x7f | word >> 1 & self.length_high;
        let payload = payload(bytes, start, self.key_at)?;
        // The value ends a byte before the record. Lengths are doubled, with the sign below: that of the
        // record is even, and so is that of the value if they fit.
        let value_at = payload.value_start - self.length_len;
        if payload.value + 2 * (value_at as u64 + 1) != length {
            return None;
        }
        let end = self.length_len + (length >> 1) as usize;
        let headers = bytes.get(end - 1)?;
        (*headers == 0).then_some(end)
    }

    /// The likeness to a record that starts with this word.
    #[inline(never)]
    fn to(word: u64) -> Option<Likeness> {
        let length = unpack(word)?;
        let attributes = word >> (8 * length.len) & 0xff;
        let timestamp_at = length.len + 1;
        let timestamp = unpack(word >> (8 * timestamp_at))?;
        let offset_at = timestamp_at + timestamp.len;
        let offset = unpack(word >> (8 * offset_at))?;
        if attributes != 0 || (length.raw | offset.raw) & 1 != 0 {
            return None;
        }
        let key_at = offset_at + offset.len;
        let behind_length = (1 << (8 * key_at)) - (1 << (8 * length.len));
        let (in_length, length_high) = if length.len == 2 { (0x8081, 0x3f80) } else { (0x81, 0) };
        let mask = behind_length | in_length;
        Some(Likeness {
            bits: word & mask,
            mask,
            step: varint::zigzag_len(1) << (8 * offset_at),
            length_high,
            length_len: length.len,
            key_at,
            timestamp_delta: varint::unzigzag(timestamp.raw),
            offset_delta: offset.raw >> 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::header::{COUNT_AT, LENGTH_AT};
    use super::super::{
        Checks, HEADER_BYTES, RecordWalk, Stamps, encode_batch, record_bytes_max, validate,
    };
    use super::*;
    use crate::ids::Timestamp;
    use crate::record::{Header, Record};
    use proptest::prelude::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn encode(records: &[Record<'_>]) -> Vec<u8> {
        let room = records.iter().map(record_bytes_max).sum::<usize>();
        let mut bytes = vec![0; HEADER_BYTES + room];
        let encoded = encode_batch(&mut bytes, 42, Stamps::create_time(NOW), records);
        bytes.truncate(encoded.bytes);
        bytes
    }

    /// Offsets of one byte and of two, times that rise and fall, records of one length and another.
    #[test]
    fn records_of_the_common_shape_are_skimmed() {
        let at = |millis| NOW.saturating_add(Duration::from_millis(millis));
        for (key, sizes) in [(None, [100, 100]), (None, [20, 90]), (Some("key"), [3, 250])] {
            let record = |index: usize| Record {
                key: key.map(str::as_bytes),
                value: Some(&[7; 250][..sizes[index / 3 % 2]]),
                timestamp: Some(at([0, 5, 8_000, 3][index / 7 % 4])),
                ..Record::default()
            };
            let records: Vec<_> = (0..300).map(record).collect();
            let bytes = encode(&records);
            let skimmed = skim(&bytes[HEADER_BYTES..], 300, 0, true);
            let rest = Skimmed {
                rest: &[],
                count: 300,
                next_delta: 300,
                max_timestamp_delta: Some(8_000),
            };
            assert_eq!(skimmed, rest, "{key:?} {sizes:?}");
            // An offset that is not expected, too.
            assert_eq!(skim(&bytes[HEADER_BYTES..], 300, 1, true).count, 0);
        }
    }

    #[test]
    fn unusual_records_are_left_to_the_exact_check() {
        let header = [Header { name: "h", value: None }];
        for unusual in [
            Record::tombstone("k"),
            Record::new("v").with_headers(&header),
            Record::new(&[7; 9_000]),
            Record::new("v").with_timestamp(NOW.saturating_add(Duration::from_secs(9))),
        ] {
            let plain = Record::new("some value or other");
            let bytes = encode(&[plain, plain, unusual, plain]);
            assert_eq!(skim(&bytes[HEADER_BYTES..], 4, 0, true).count, 2, "{unusual:?}");
            validate(&bytes, Checks { crc: false, contiguous: true }).expect("it is well-formed");
        }
    }

    /// In the first bytes of a record that is like the one before; [`validate`] checks both ways in tests.
    #[test]
    fn one_or_two_flipped_bits_mean_the_same_to_both_checks() {
        const CHANGED: usize = 14;
        for (key, len) in [(None, 100), (None, 20), (Some("key"), 100)] {
            let payload = [0; 100];
            let plain = Record { key: key.map(str::as_bytes), ..Record::new(&payload[..len]) };
            let bytes = encode(&[plain; 4]);
            let record_at = HEADER_BYTES + 2 * (bytes.len() - HEADER_BYTES) / 4;
            for first in 0..8 * CHANGED {
                for second in 0..=first {
                    let mut changed = bytes.clone();
                    changed[record_at + first / 8] ^= 1 << (first % 8);
                    if second != first {
                        changed[record_at + second / 8] ^= 1 << (second % 8);
                    }
                    for contiguous in [true, false] {
                        if validate(&changed, Checks { crc: false, contiguous }).is_ok() {
                            assert_eq!(RecordWalk::new(&changed).count(), 4);
                        }
                    }
                }
            }
        }
    }

    /// A record by the classes that matter: of which length key and value are, and when it was.
    fn shapes() -> impl Strategy<Value = Vec<(Option<usize>, Option<usize>, u64, bool)>> {
        let len = || prop_oneof![6 => 0..30_usize, 4 => 45..75_usize, 1 => 8_170..8_200_usize];
        let key = proptest::option::weighted(0.3, len());
        let value = proptest::option::weighted(0.95, len());
        let at = prop_oneof![8 => 0..3_u64, 2 => 0..200_u64, 1 => 8_180..8_200_u64];
        let has_headers = proptest::bool::weighted(0.05);
        let few = proptest::collection::vec((key, value, at, has_headers), 1..8);
        // One after the other, again and again: records that are alike, and numbers that get longer.
        (few, 1..30_usize).prop_map(|(few, times)| few.repeat(times))
    }

    /// Where in a record's first bytes, or in the batch, something is changed, and to what.
    fn changes() -> impl Strategy<Value = Vec<(usize, usize, u8)>> {
        let byte = prop_oneof![
            proptest::sample::select(vec![0, 1, 2, 3, 0x7e, 0x7f, 0x80, 0x81, 0xfe, 0xff]),
            any::<u8>(),
        ];
        proptest::collection::vec((any::<usize>(), 0..14_usize, byte), 0..4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// The walk reads both ways in tests, too; here they get something to differ about.
        #[test]
        fn skimming_changes_nothing(shapes in shapes(), changes in changes(), drops in 0..3_usize) {
            let header = [Header { name: "h", value: None }];
            let payload = [7; 8_200];
            let records: Vec<_> = shapes.iter().map(|(key, value, at, has_headers)| Record {
                key: key.map(|len| &payload[..len]),
                value: value.map(|len| &payload[..len]),
                timestamp: Some(NOW.saturating_add(Duration::from_millis(*at))),
                headers: if *has_headers { &header } else { &[] },
                ..Record::default()
            }).collect();
            let mut bytes = encode(&records);
            let mut starts = vec![HEADER_BYTES];
            let mut walk = RecordWalk::new(&bytes);
            while let Some((_, record)) = walk.next_with_bytes() {
                starts.push(starts[starts.len() - 1] + record.len());
            }
            for (record, at, byte) in changes {
                let at = starts[record % (starts.len() - 1)] + at;
                if let Some(changed) = bytes.get_mut(at) {
                    *changed = byte;
                }
            }
            if drops == 2 && starts.len() > 2 {
                // The first record goes, so that offsets do not start with 0.
                bytes.drain(HEADER_BYTES..starts[1]);
                let length = u32::try_from(bytes.len() - 12).expect("it is short");
                bytes[LENGTH_AT..][..4].copy_from_slice(&length.to_be_bytes());
                let count = u32::try_from(starts.len() - 2).expect("there are few");
                bytes[COUNT_AT..][..4].copy_from_slice(&count.to_be_bytes());
            }
            for contiguous in [true, false] {
                if validate(&bytes, Checks { crc: false, contiguous }).is_ok() {
                    prop_assert!(RecordWalk::new(&bytes).count() > 0);
                }
            }
        }
    }
}
