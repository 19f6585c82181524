//! A committed offset as bytes: what Kafka itself writes to `__consumer_offsets`.
//!
//! ```text
//!  key    version 1  │ group   │ topic        │ partition
//!         int16      │ string  │ string       │ int32
//!
//!  value  version 3  │ offset  │ leader epoch │ metadata │ time of the commit, ms
//!         int16      │ int64   │ int32        │ string   │ int64
//!
//!  string = length (int16), then so many bytes of UTF-8;  numbers are big-endian
//! ```
//!
//! A key without a value, a tombstone, says that nothing is committed any more. Keys of version 0 and
//! values of versions 0 to 2, which Kafka wrote in its youth, are read as well. Whatever else stands
//! in such a log (Kafka keeps its groups' members there) is not a commit, and says so.

use crate::group::offsets::{Committed, NO_EPOCH};
use crate::ids::{GroupId, Offset, PartitionId, Timestamp, TopicPartition};

const KEY_VERSION: i16 = 1;
const VALUE_VERSION: i16 = 3;

/// The most bytes that a string of a record may have.
pub(crate) const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// Whose offset it is, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommitKey {
    pub(super) group: GroupId,
    pub(super) of: TopicPartition,
}

/// Why bytes are not a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RecordError {
    /// There is no key, or it is of another kind of record.
    NoCommit,
    /// The value is of a version that is not known.
    Version { found: i16 },
    /// A field goes beyond the end.
    Short { needed: usize, left: usize },
    /// The length of a string is negative, which is null, where there must be one.
    Null,
    /// A string is not UTF-8.
    Text,
    /// An offset or a partition is negative.
    Negative { found: i64 },
    /// Something follows that does not belong there.
    Trailing { bytes: usize },
}

pub(super) fn encode_key(group: &GroupId, of: &TopicPartition) -> Vec<u8> {
    let mut to = Vec::with_capacity(10 + group.len() + of.topic.len());
    let partition = i32::try_from(of.partition).expect("a topic has fewer partitions than 2^31");
    to.extend(KEY_VERSION.to_be_bytes());
    put_string(&mut to, group);
    put_string(&mut to, &of.topic);
    to.extend(partition.to_be_bytes());
    to
}

pub(super) fn encode_value(committed: &Committed, at: Timestamp) -> Vec<u8> {
    let mut to = Vec::with_capacity(24 + committed.metadata.len());
    let offset = i64::try_from(committed.offset).expect("an offset that exists is below 2^63");
    to.extend(VALUE_VERSION.to_be_bytes());
    to.extend(offset.to_be_bytes());
    to.extend(committed.leader_epoch.to_be_bytes());
    put_string(&mut to, &committed.metadata);
    to.extend(at.as_millis().to_be_bytes());
    to
}

fn put_string(to: &mut Vec<u8>, text: &str) {
    let bytes = i16::try_from(text.len()).expect("names and metadata are checked on their way in");
    to.extend(bytes.to_be_bytes());
    to.extend(text.as_bytes());
}

pub(super) fn decode_key(bytes: &[u8]) -> Result<CommitKey, RecordError> {
    let mut rest = Rest(bytes);
    if !(0..=KEY_VERSION).contains(&rest.int16()?) {
        return Err(RecordError::NoCommit);
    }
    let (group, topic, partition) = (rest.string()?, rest.string()?, rest.int32()?);
    rest.end()?;
    let negative = RecordError::Negative { found: partition.into() };
    let partition = PartitionId::try_from(partition).map_err(|_| negative)?;
    Ok(CommitKey { group: group.into(), of: TopicPartition::new(topic, partition) })
}

pub(super) fn decode_value(bytes: &[u8]) -> Result<Committed, RecordError> {
    let mut rest = Rest(bytes);
    let version = rest.int16()?;
    if !(0..=VALUE_VERSION).contains(&version) {
        return Err(RecordError::Version { found: version });
    }
    let offset = rest.int64()?;
    let leader_epoch = if version >= 3 { rest.int32()? } else { NO_EPOCH };
    let metadata = rest.string()?;
    let _commit_time = rest.int64()?;
    if version == 1 {
        let _expiry = rest.int64()?;
    }
    rest.end()?;
    let negative = RecordError::Negative { found: offset };
    let offset = Offset::try_from(offset).map_err(|_| negative)?;
    Ok(Committed { offset, leader_epoch, metadata: metadata.to_owned() })
}

/// What is left to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn bytes(&mut self, needed: usize) -> Result<&'a [u8], RecordError> {
        let short = RecordError::Short { needed, left: self.0.len() };
        let (taken, rest) = self.0.split_at_checked(needed).ok_or(short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        Ok(self.bytes(N)?.try_into().expect("as many were asked for"))
    }

    fn int16(&mut self) -> Result<i16, RecordError> {
        self.array().map(i16::from_be_bytes)
    }

    fn int32(&mut self) -> Result<i32, RecordError> {
        self.array().map(i32::from_be_bytes)
    }

    fn int64(&mut self) -> Result<i64, RecordError> {
        self.array().map(i64::from_be_bytes)
    }

    fn string(&mut self) -> Result<&'a str, RecordError> {
        let length = usize::try_from(self.int16()?).map_err(|_| RecordError::Null)?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| RecordError::Text)
    }

    fn end(self) -> Result<(), RecordError> {
        match self.0.len() {
            0 => Ok(()),
            bytes => Err(RecordError::Trailing { bytes }),
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(group: &str, topic: &str, partition: PartitionId) -> CommitKey {
        CommitKey { group: group.into(), of: TopicPartition::new(topic, partition) }
    }

    fn encoded(key: &CommitKey) -> Vec<u8> {
        encode_key(&key.group, &key.of)
    }

    fn committed(offset: Offset, leader_epoch: i32, metadata: &str) -> Committed {
        Committed { offset, leader_epoch, metadata: metadata.to_owned() }
    }

    /// Written out by hand from Kafka's OffsetCommitKey.json and OffsetCommitValue.json.
    #[test]
    fn a_commit_is_kafkas_byte_for_byte() {
        let bytes = b"\x00\x01\x00\x07billing\x00\x06orders\x00\x00\x00\x05";
        assert_eq!(encoded(&key("billing", "orders", 5)), bytes);
        let bytes = b"\x00\x03\x00\x00\x00\x00\x00\x00\x01\x02\x00\x00\x00\x07\x00\x02hi\
            \x00\x00\x01\x8b\xcf\xe5\x68\x00";
        let at = Timestamp::from_millis(1_700_000_000_000);
        assert_eq!(encode_value(&committed(258, 7, "hi"), at), bytes);
        let unknown = encode_value(&committed(0, NO_EPOCH, ""), Timestamp::default());
        assert_eq!(unknown[10..14], [0xff; 4], "no epoch is -1");
    }

    #[test]
    fn older_versions_of_kafkas_are_read() {
        let mut old_key = encoded(&key("g", "t", 2));
        old_key[1] = 0;
        assert_eq!(decode_key(&old_key), Ok(key("g", "t", 2)));
        let plain = b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09\x00\x01m\0\0\0\0\0\0\0\0";
        let expiring = [&plain[..], &[0; 8]].concat();
        for (version, bytes) in [(0, plain.to_vec()), (1, expiring), (2, plain.to_vec())] {
            let mut bytes = bytes;
            bytes[1] = version;
            assert_eq!(decode_value(&bytes), Ok(committed(9, NO_EPOCH, "m")), "{version}");
        }
    }

    #[test]
    fn what_is_no_commit_says_why() {
        let good = encoded(&key("g", "t", 1));
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            decode_key(&bytes).unwrap_err()
        };
        assert_eq!(with(1, 2), RecordError::NoCommit, "Kafka's key of a group's members");
        assert_eq!(with(2, 0xff), RecordError::Null);
        assert_eq!(with(4, 0xff), RecordError::Text);
        assert_eq!(with(3, 200), RecordError::Short { needed: 200, left: 8 });
        assert_eq!(with(8, 0x80), RecordError::Negative { found: -0x7fff_ffff });
        assert_eq!(decode_key(&[]), Err(RecordError::Short { needed: 2, left: 0 }));
        let trailing = [&good[..], b"x"].concat();
        assert_eq!(decode_key(&trailing), Err(RecordError::Trailing { bytes: 1 }));
        let mut value = encode_value(&committed(1, 0, ""), Timestamp::default());
        value[2] = 0xff;
        assert!(matches!(decode_value(&value), Err(RecordError::Negative { .. })));
        value[1] = 4;
        assert_eq!(decode_value(&value), Err(RecordError::Version { found: 4 }));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_nothing_shorter(
            group in ".{0,40}", topic in "[a-zA-Z0-9._-]{1,20}", partition in 0..=i32::MAX,
            offset in 0..=i64::MAX, leader_epoch in any::<i32>(), metadata in ".{0,80}", at in any::<i64>(),
        ) {
            let written = key(&group, &topic, partition.unsigned_abs());
            let bytes = encoded(&written);
            prop_assert_eq!(decode_key(&bytes), Ok(written));
            for end in 0..bytes.len() {
                prop_assert!(decode_key(&bytes[..end]).is_err());
            }
            let written = committed(offset.unsigned_abs(), leader_epoch, &metadata);
            let bytes = encode_value(&written, Timestamp::from_millis(at));
            prop_assert_eq!(decode_value(&bytes), Ok(written));
            for end in 0..bytes.len() {
                prop_assert!(decode_value(&bytes[..end]).is_err());
            }
        }

        /// Short names only: what is decoded as a topic's name is kept for the life of the process.
        #[test]
        fn any_bytes_are_a_commit_or_none(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..64), version in 0..5_u8, length in 0..4_u8,
        ) {
            let _ = (decode_key(&bytes), decode_value(&bytes));
            if bytes.len() > 4 {
                bytes[..4].copy_from_slice(&[0, version, 0, length]);
            }
            let _ = (decode_key(&bytes), decode_value(&bytes));
        }
    }
}
