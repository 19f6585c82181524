//! Variable-length integers, as Kafka's `ByteUtils` writes them.
//!
//! Seven bits a byte, the lowest first; the top bit of a byte says that another one follows.
//! Signed numbers are zigzagged first, so that small ones of either sign stay short:
//!
//! ```text
//!   0 → 0   -1 → 1   1 → 2   -2 → 3   2 → 4  …      300 → 600 = 0b100_1011000 → d8 04
//! ```
//!
//! 1. A number has at most 5 bytes (32 bits) or 10 (64 bits), and its last byte no bits that do not
//!    fit; anything else is refused. (Java drops the bits that do not fit.)
//! 2. Longer forms than needed (`80 00` for 0) are read, as Java reads them, and never written.

/// The longest form of a 32-bit number.
pub(super) const BYTES_MAX_32: usize = 5;

/// The longest form of a 64-bit number.
pub(super) const BYTES_MAX_64: usize = 10;

/// Raw numbers below this take at most two bytes, which is what [`Packed::new`] takes.
pub(super) const TWO_BYTES_END: u64 = 1 << 14;

/// The raw form of -1, which is the length of what is null.
pub(super) const NULL: u64 = zigzag(-1);

/// Maps a signed number to an unsigned one that is small if it is near zero.
#[inline]
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The zigzag form of a length: `len` is never negative, so it is doubled.
#[inline]
pub(super) const fn zigzag_len(len: usize) -> u64 {
    (len as u64) << 1
}

/// Undoes [`zigzag`].
#[inline]
pub(super) const fn unzigzag(raw: u64) -> i64 {
    (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
}

/// How many bytes the raw (zigzagged) number takes.
#[inline]
pub(super) const fn len(raw: u64) -> usize {
    let bits = 64 - (raw | 1).leading_zeros();
    // ceil(bits / 7) for every count of bits there is, without a division.
    ((bits * 9 + 64) >> 6) as usize
}

/// A number of up to two bytes, encoded in a register.
#[derive(Clone, Copy)]
pub(super) struct Packed {
    /// The bytes, the first one lowest.
    pub bits: u64,
    /// How many bytes there are: 1 or 2.
    pub len: usize,
}

impl Packed {
    /// Encodes a raw number below [`TWO_BYTES_END`].
    #[inline(always)]
    pub(super) const fn new(raw: u64) -> Packed {
        debug_assert!(raw < TWO_BYTES_END);
        if raw < 0x80 {
            Packed { bits: raw, len: 1 }
        } else {
            Packed { bits: raw & 0x7f | 0x80 | (raw & !0x7f) << 1, len: 2 }
        }
    }
}

/// A number of one or two bytes, read in a register.
#[derive(Clone, Copy)]
pub(super) struct Unpacked {
    pub raw: u64,
    /// How many bytes there are: 1 or 2.
    pub len: usize,
}

/// Reads the raw number that `word` starts with, at its low end; `None` if it takes more than two bytes.
#[inline(always)]
pub(super) const fn unpack(word: u64) -> Option<Unpacked> {
    if word & 0x80 == 0 {
        Some(Unpacked { raw: word & 0x7f, len: 1 })
    } else if word & 0x8000 == 0 {
        Some(Unpacked { raw: word & 0x7f | (word & 0x7f00) >> 1, len: 2 })
    } else {
        None
    }
}

/// Encodes any raw number: the bytes, and how many of them count.
#[inline]
pub(super) fn encode(raw: u64) -> ([u8; BYTES_MAX_64], usize) {
    let mut bytes = [0; BYTES_MAX_64];
    let mut rest = raw;
    let mut at = 0;
    while rest >= 0x80 {
        bytes[at] = low_byte(rest) | 0x80;
        rest >>= 7;
        at += 1;
    }
    bytes[at] = low_byte(rest);
    (bytes, at + 1)
}

#[inline]
fn low_byte(raw: u64) -> u8 {
    raw.to_le_bytes()[0]
}

/// Reads a raw number of at most 32 bits at `*at` and moves `at` behind it.
#[inline]
pub(super) fn read_32(bytes: &[u8], at: &mut usize) -> Result<u64, Malformed> {
    match read_short(bytes, at) {
        Some(raw) => Ok(raw),
        None => read_long(bytes, at, BYTES_MAX_32, 32),
    }
}

/// Reads a raw number of at most 64 bits at `*at` and moves `at` behind it.
#[inline]
pub(super) fn read_64(bytes: &[u8], at: &mut usize) -> Result<u64, Malformed> {
    match read_short(bytes, at) {
        Some(raw) => Ok(raw),
        None => read_long(bytes, at, BYTES_MAX_64, 64),
    }
}

/// The two lengths that nearly all numbers have.
#[inline(always)]
fn read_short(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let first = *bytes.get(*at)?;
    if first < 0x80 {
        *at += 1;
        return Some(u64::from(first));
    }
    let second = *bytes.get(*at + 1)?;
    if second < 0x80 {
        *at += 2;
        return Some(u64::from(first & 0x7f) | u64::from(second) << 7);
    }
    None
}

#[cold]
#[inline(never)]
fn read_long(
    bytes: &[u8],
    at: &mut usize,
    bytes_max: usize,
    bits_max: u32,
) -> Result<u64, Malformed> {
    let mut raw = 0;
    let mut shift = 0;
    for (index, byte) in bytes.get(*at..).unwrap_or_default().iter().take(bytes_max).enumerate() {
        let digit = u64::from(byte & 0x7f);
        if bits_max - shift < 7 && digit >> (bits_max - shift) != 0 {
            return Err(Malformed::TooLong);
        }
        raw |= digit << shift;
        shift += 7;
        if *byte < 0x80 {
            *at += index + 1;
            return Ok(raw);
        }
    }
    if shift as usize / 7 == bytes_max { Err(Malformed::TooLong) } else { Err(Malformed::Cut) }
}

/// Why no number could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// The bytes end before the number does.
    Cut,
    /// The number has more bits than its field.
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges() -> Vec<i64> {
        let mut edges = vec![0, i64::MAX, i64::MIN];
        for bit in 0..63 {
            for near in [-1, 0, 1] {
                edges.extend([
                    (1_i64 << bit).wrapping_add(near),
                    (-1_i64 << bit).wrapping_add(near),
                ]);
            }
        }
        edges
    }

    #[test]
    fn a_number_comes_back_and_takes_what_len_says() {
        for value in edges() {
            let raw = zigzag(value);
            let (bytes, count) = encode(raw);
            assert_eq!(count, len(raw), "{value}");
            let mut at = 0;
            assert_eq!(read_64(&bytes, &mut at), Ok(raw));
            assert_eq!((at, unzigzag(raw)), (count, value));
            if raw < TWO_BYTES_END {
                let packed = Packed::new(raw);
                assert_eq!(packed.bits.to_le_bytes()[..packed.len], bytes[..count], "{value}");
            }
            for cut in 0..count {
                assert_eq!(read_64(&bytes[..cut], &mut 0), Err(Malformed::Cut));
            }
            let narrow = read_32(&bytes, &mut 0);
            assert_eq!(narrow.is_ok(), u32::try_from(raw).is_ok(), "{value}");
        }
    }

    #[test]
    fn known_numbers_have_kafkas_bytes() {
        for (value, expected) in [
            (0, &[0x00][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (8191, &[0xfe, 0x7f]),
            (8192, &[0x80, 0x80, 0x01]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let (bytes, count) = encode(zigzag(value));
            assert_eq!(&bytes[..count], expected, "{value}");
        }
    }

    #[test]
    fn a_number_that_does_not_fit_is_refused_and_a_padded_one_is_read() {
        assert_eq!(read_32(&[0xff, 0xff, 0xff, 0xff, 0x10], &mut 0), Err(Malformed::TooLong));
        assert_eq!(read_32(&[0x80; 6], &mut 0), Err(Malformed::TooLong));
        assert_eq!(read_64(&[0x80; 11], &mut 0), Err(Malformed::TooLong));
        assert_eq!(read_32(&[0x80, 0x80, 0x00], &mut 0), Ok(0));
    }
}
