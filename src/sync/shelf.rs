//! The shelf: a row of values that grows while others look things up in it, without a lock.
//!
//! ```text
//!  bucket   0: [0]   1: [1 2]   2: [3 4 5 6]   3: [7 … 14]   …     bucket b holds 2^b values
//! ```
//!
//! A bucket is allocated when its first value comes and never moves, so a look-up is two loads.
//! `len` is stored after the value it covers.

use super::OnceLock;
use super::atomic::{AtomicU32, Ordering};
use super::planted::{Bug, planted};

/// Enough for 2^17 - 1 values, more than a topic may have partitions.
const BUCKETS: usize = 17;

#[derive(Debug)]
pub(crate) struct Shelf<T> {
    buckets: [OnceLock<Box<[OnceLock<T>]>>; BUCKETS],
    /// Release on growth, Acquire on look-up: who sees the length sees the values below it.
    len: AtomicU32,
}

impl<T> Shelf<T> {
    pub(crate) fn new() -> Shelf<T> {
        Shelf { buckets: std::array::from_fn(|_| OnceLock::new()), len: AtomicU32::new(0) }
    }

    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        if index >= self.len() {
            return None;
        }
        let (bucket, place) = locate(index);
        self.buckets.get(bucket)?.get()?.get(place)?.get()
    }

    /// Adds a value at the end. Only one caller at a time pushes.
    ///
    /// # Panics
    ///
    /// If the shelf is full, or two push at once.
    pub(crate) fn push(&self, value: T) {
        let index = self.len.load(Ordering::Relaxed);
        let (bucket, place) = locate(index);
        let values = self.buckets[bucket]
            .get_or_init(|| (0..1 << bucket).map(|_| OnceLock::new()).collect());
        let order = if planted(Bug::RelaxedGrowth) { Ordering::Relaxed } else { Ordering::Release };
        if planted(Bug::LengthBeforeValue) {
            self.len.store(index + 1, order);
        }
        assert!(values[place].set(value).is_ok(), "one caller at a time pushes");
        self.len.store(index + 1, order);
    }
}

#[inline]
fn locate(index: u32) -> (usize, usize) {
    let number = index as usize + 1;
    let bucket = number.ilog2() as usize;
    (bucket, number - (1 << bucket))
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_where_they_were_put() {
        let shelf = Shelf::new();
        for index in 0..1_000 {
            assert_eq!(shelf.get(index), None);
            shelf.push(index);
            assert_eq!(shelf.len(), index + 1);
        }
        assert!((0..1_000).all(|index| shelf.get(index) == Some(&index)));
        assert_eq!(shelf.get(u32::MAX), None);
    }
}
