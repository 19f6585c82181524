//! The CRC-32 of a segment while it is written, a few kilobytes at a time.
//!
//! ```text
//!   counted │ uncounted: a slice of the last chunk, which the next piece makes longer │ the next piece
//! ```
//!
//! A record that is written by itself is too short for the fast ways to compute a checksum. So what was
//! written is kept in hand, not copied, until there is enough of it or somebody asks for the value.

use super::chunk::ChunkSlice;
use super::mark::Crc;

/// So many bytes are counted in one go: enough to be fast, and few enough to be in the nearest cache still.
const ENOUGH_BYTES: usize = 4 << 10;

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    counted: Crc,
    uncounted: Option<ChunkSlice>,
}

impl From<Crc> for Tally {
    fn from(counted: Crc) -> Self {
        Tally { counted, uncounted: None }
    }
}

impl Tally {
    /// Goes on behind all bytes so far.
    #[inline]
    pub(crate) fn add(&mut self, bytes: &ChunkSlice) {
        let is_joined = self.uncounted.as_mut().is_some_and(|before| before.join(bytes));
        if !is_joined {
            self.count();
            if bytes.len() >= ENOUGH_BYTES {
                self.counted.update(bytes.as_ref());
                return;
            }
            self.uncounted = Some(bytes.clone());
        }
        if self.uncounted.as_ref().is_some_and(|bytes| bytes.len() >= ENOUGH_BYTES) {
            self.count();
        }
    }

    fn count(&mut self) {
        if let Some(bytes) = self.uncounted.take() {
            self.counted.update(bytes.as_ref());
        }
    }

    /// The checksum of all bytes so far.
    pub(crate) fn value(&mut self) -> u32 {
        self.count();
        self.counted.value()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::super::Pool;
    use super::super::batch::{Encoded, HEADER_BYTES};
    use super::super::chunk::ChunkWriter;
    use super::*;
    use crate::ids::Timestamp;
    use proptest::prelude::*;

    /// A chunk of batches of the given lengths, each filled with its own bytes, as pieces of one batch each.
    fn pieces(base: u64, lengths: &[usize]) -> Vec<ChunkSlice> {
        let pool = Pool::new(1 << 20);
        let mut writer = ChunkWriter::new(base, 1 << 20, &pool);
        let piece = |(place, length): (usize, &usize)| {
            let start = writer.written().bytes;
            writer.append(|spare| {
                let bytes = HEADER_BYTES + length;
                spare[..bytes].fill(u8::try_from(place % 251).expect("less than 256"));
                let stamp = Timestamp::from_millis(1);
                Encoded { bytes, count: 1, base_timestamp: stamp, max_timestamp: stamp }
            });
            writer.slice(start, writer.written().bytes)
        };
        lengths.iter().enumerate().map(piece).collect()
    }

    proptest! {
        /// Whatever the pieces, and whenever somebody asks, also across chunks and behind a checksum to go on from.
        #[test]
        fn the_value_is_that_of_all_bytes(
            first in prop::collection::vec(0_usize..3000, 0..12),
            second in prop::collection::vec(0_usize..6000, 0..8),
            asked in any::<u32>(),
        ) {
            let (mut tally, mut whole) = (Tally::from(Crc::resume(Crc::of(b"before"))), b"before".to_vec());
            let all = pieces(0, &first).into_iter().chain(pieces(99, &second));
            for (place, piece) in all.enumerate() {
                tally.add(&piece);
                whole.extend(piece.as_ref());
                if asked >> place & 1 == 1 {
                    prop_assert_eq!(tally.value(), Crc::of(&whole));
                }
            }
            prop_assert_eq!(tally.value(), Crc::of(&whole));
        }
    }
}
