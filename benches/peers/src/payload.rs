//! What is sent, and how is it known to have arrived?
//!
//! Payloads are cut from one buffer of pseudo-random letters (letters, because one of the peers
//! takes text only) that fits into a core's second cache. [`Seen`] touches both ends of every value
//! and adds them up; the sum of what was sent is known beforehand.

use std::sync::LazyLock;

/// The bytes of a payload.
pub(crate) const BYTES: usize = 100;

/// The same, inline.
pub(crate) type Inline = [u8; BYTES];

/// How many different payloads there are: 400 KiB of them.
const COUNT: u64 = 4_096;

static BUFFER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut letter = || {
        // xorshift64: any sequence does, as long as it is the same every time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'0' + (state % 64) as u8
    };
    (0..COUNT as usize * BYTES).map(|_| letter()).collect()
});

/// A view of the buffer, so that a loop does not ask each time whether it is filled.
#[derive(Clone, Copy)]
pub(crate) struct Payloads(&'static [u8]);

impl Payloads {
    pub(crate) fn new() -> Self {
        Payloads(&BUFFER)
    }

    /// The payload of record `index`.
    pub(crate) fn get(self, index: u64) -> &'static Inline {
        let start = (index % COUNT) as usize * BYTES;
        self.0[start..start + BYTES].try_into().expect("the slice is as long as the array")
    }

    /// What a consumer of records `0..count` must have seen.
    pub(crate) fn expected(self, count: u64) -> Seen {
        let mut cycle = Seen::default();
        let mut rest = Seen::default();
        for index in 0..COUNT {
            cycle.touch(self.get(index));
            if index < count % COUNT {
                rest.touch(self.get(index));
            }
        }
        let sum = cycle.sum.wrapping_mul(count / COUNT).wrapping_add(rest.sum);
        Seen { count, sum }
    }
}

/// What a consumer has seen: every value counted, both its ends added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) count: u64,
    sum: u64,
}

impl Seen {
    pub(crate) fn touch(&mut self, value: &[u8]) {
        let (first, _) = value.split_first_chunk().expect("payloads are longer than a word");
        let last = value[value.len() - 1];
        self.sum = self.sum.wrapping_add(u64::from_le_bytes(*first)).wrapping_add(u64::from(last));
        self.count += 1;
    }

    pub(crate) fn add(&mut self, other: Seen) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}
