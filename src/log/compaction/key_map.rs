//! The newest offset of each key in the dirty part of a log, within a budget of memory.
//!
//! Kafka keeps digests of 16 bytes in place of keys, and trusts that no two keys share one. Here are the
//! keys themselves: two keys that were taken for one would lose a record, and no hash of ours is
//! strong enough to rule that out for keys that somebody chose.
//!
//! 1. Offsets are noted in rising order, so the last one noted is the newest.
//! 2. The bytes counted stay within the budget, but for what is noted beyond it.

use super::planted::planted;
use crate::ids::{Map, Offset};

/// What an entry takes beside the bytes of its key: pointer, length, offset and tag in a table that may be
/// less than half full, and that is there one and a half times while it grows; and what an allocation
/// takes.
const ENTRY_BYTES: usize = 128;

/// Newest offsets by key.
#[derive(Debug)]
pub(super) struct KeyMap {
    offsets: Map<Box<[u8]>, Offset>,
    bytes: usize,
    bytes_max: usize,
}

impl KeyMap {
    /// A map without keys.
    pub(super) fn new(bytes_max: usize) -> KeyMap {
        KeyMap { offsets: Map::default(), bytes: 0, bytes_max }
    }

    /// Notes that `key` has a record at `offset`; `false` if there is no room for another key.
    pub(super) fn note(&mut self, key: &[u8], offset: Offset) -> bool {
        if let Some(newest) = self.offsets.get_mut(key) {
            if !planted!(KeepOldest) {
                *newest = offset;
            }
            return true;
        }
        let bytes = self.bytes.saturating_add(ENTRY_BYTES).saturating_add(key.len());
        if bytes > self.bytes_max {
            return false;
        }
        self.bytes = bytes;
        self.offsets.insert(key.into(), offset);
        true
    }

    /// Notes a key that there is no room for. Always `true`.
    pub(super) fn note_beyond(&mut self, key: &[u8], offset: Offset) -> bool {
        self.bytes = self.bytes.saturating_add(ENTRY_BYTES).saturating_add(key.len());
        self.offsets.insert(key.into(), offset);
        true
    }

    /// The newest offset that was noted for `key`.
    pub(super) fn newest(&self, key: &[u8]) -> Option<Offset> {
        self.offsets.get(key).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_of_a_key_counts() {
        let mut map = KeyMap::new(10_000);
        for (key, offset) in [("a", 1), ("b", 2), ("a", 3), ("", 4)] {
            assert!(map.note(key.as_bytes(), offset));
        }
        assert_eq!(
            (map.newest(b"a"), map.newest(b"b"), map.newest(b"")),
            (Some(3), Some(2), Some(4))
        );
        assert_eq!(map.newest(b"c"), None);
    }

    /// Room for two keys of four bytes, to the byte; known keys need none.
    #[test]
    fn a_full_map_takes_known_keys_only() {
        for (budget, takes_two) in
            [(2 * (ENTRY_BYTES + 4), true), (2 * (ENTRY_BYTES + 4) - 1, false)]
        {
            let mut map = KeyMap::new(budget);
            assert!(map.note(b"key0", 0));
            assert_eq!(map.note(b"key1", 1), takes_two);
            assert!(!map.note(b"key2", 2));
            assert!(map.note(b"key0", 3));
            assert!(map.note_beyond(b"key2", 4));
            assert_eq!((map.newest(b"key0"), map.newest(b"key2")), (Some(3), Some(4)));
        }
    }

    /// The table by the room that it says it has, with the one that it grew out of; keys by the blocks of
    /// 16 bytes that allocators deal in.
    #[test]
    fn an_entry_takes_no_more_than_is_counted() {
        let mut map = KeyMap::new(1 << 20);
        let mut count = 0_u32;
        while map.note(&count.to_le_bytes(), 0) {
            count += 1;
            let buckets = (map.offsets.capacity() * 8 / 7).next_power_of_two();
            let table = buckets * (size_of::<(Box<[u8]>, Offset)>() + 1);
            let keys = count as usize * 32;
            assert!(count < 8 || table + table / 2 + keys <= map.bytes, "{count}");
        }
        assert!(count > 7_000);
    }
}
