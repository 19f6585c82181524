//! Kafka's key hash: 32-bit murmur2 with Kafka's seed, bit for bit.
//!
//! Programs that write with a Kafka client and programs that write with this crate must agree on
//! where a key lives, so nothing here is ours to choose. The key is taken four bytes at a time,
//! little-endian; what is left over is mixed in as unsigned bytes; all arithmetic wraps.
//!
//! 1. [`murmur2`] returns what `org.apache.kafka.common.utils.Utils.murmur2` returns.
//! 2. A key's partition is `(hash & 0x7fff_ffff) % n`: a mask, not an absolute value.

const SEED: u32 = 0x9747_b28c;
const M: u32 = 0x5bd1_e995;
const R: u32 = 24;

/// Hashes a key as Kafka's Java client does, bit for bit.
///
/// The result is signed because Kafka's is. The partition of a key is
/// `(murmur2(key) & 0x7fff_ffff) % partition_count`. An empty key has a hash too; a null key has
/// none.
///
/// # Examples
///
/// ```
/// use anabranch::partitioner::murmur2;
///
/// assert_eq!(murmur2(b"foobar"), -790_332_482);
/// assert_eq!((murmur2(b"foobar") & 0x7fff_ffff) % 12, 6);
/// ```
#[inline]
#[must_use]
pub fn murmur2(key: &[u8]) -> i32 {
    let (words, tail) = key.as_chunks::<4>();
    #[expect(clippy::cast_possible_truncation, reason = "Kafka has no keys of 4 GiB; a test costs")]
    let mut h = SEED ^ key.len() as u32;
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let rest = match *tail {
            [a, b, c] => u32::from_le_bytes([a, b, c, 0]),
            [a, b] => u32::from_le_bytes([a, b, 0, 0]),
            _ => u32::from(tail[0]),
        };
        h = (h ^ rest).wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^= h >> 15;
    h.cast_signed()
}

/// The partition Kafka gives a key among `partition_count`.
#[inline]
pub(super) fn partition_of(key: &[u8], partition_count: u32) -> u32 {
    (murmur2(key).cast_unsigned() & 0x7fff_ffff) % partition_count
}
