//! Where partitioners get chance from: the crate's own source, or the caller's.
//!
//! Choosing a partition needs numbers that spread well and cost little; nobody is kept out by
//! them. The crate's source is splitmix64 with one state per thread, seeded by the standard
//! library's `RandomState`, so threads neither meet nor repeat one another. A source given by the
//! caller makes every choice repeatable, which is how Kafka's own traces are run in the tests.
//!
//! 1. [`Random::next`] is 31 bits wide, whatever the source returns: Kafka's choices are made of
//!    non-negative `int`s.
//! 2. One choice of a partition takes one number.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};

/// A source of 31-bit numbers.
#[derive(Default)]
pub(super) enum Random {
    #[default]
    Thread,
    Given(Box<dyn Fn() -> u32 + Send + Sync>),
}

impl Random {
    pub(super) fn given(source: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        Random::Given(Box::new(source))
    }

    /// The next number, in `0..=0x7fff_ffff`.
    #[inline]
    pub(super) fn next(&self) -> u32 {
        match self {
            Random::Thread => thread_random(),
            Random::Given(source) => source() & 0x7fff_ffff,
        }
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Random::Thread => "Thread",
            Random::Given(_) => "Given",
        })
    }
}

thread_local! {
    static STATE: Cell<u64> = Cell::new(RandomState::new().build_hasher().finish());
}

/// One step of splitmix64 (Steele, Lea, Flood 2014); its high bits are the best mixed.
#[inline]
fn thread_random() -> u32 {
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 33) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_yields_31_bits() {
        assert_eq!(Random::given(|| u32::MAX).next(), 0x7fff_ffff);
        assert_eq!(Random::given(|| 0x8000_0000).next(), 0);
        let random = Random::default();
        let seen = (0..1_000).fold(0, |seen, _| seen | random.next());
        assert_eq!(seen, 0x7fff_ffff, "a bit that is never set, or the sign bit");
    }

    #[test]
    fn threads_do_not_repeat_one_another() {
        let draw = || (0..4).map(|_| thread_random()).collect::<Vec<_>>();
        let other = std::thread::spawn(draw).join().expect("drawing does not panic");
        assert_ne!(draw(), other);
    }
}
