//! The words of the domain: offsets, partition numbers, names, timestamps.
//!
//! These are the ground everything else stands on; this file imports nothing of ours, and the
//! only file on floor 0 that its neighbours may import.
//!
//! A topic's name goes with every record that is acknowledged and every slice that is read, so a copy
//! of it must cost nothing: no count to keep, nothing to drop. So each [`TopicName`] is interned, kept
//! once for the life of the process, and passed around as a reference; two are equal if they are the
//! same one. The names of groups and members ([`GroupId`], [`MemberId`]) come and go, and are passed
//! around less: short ones are kept inline, longer ones share one allocation.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// The number of a partition within its topic, counted from 0.
pub type PartitionId = u32;

/// The place of a record in its partition, counted from 0. Offsets rise by one per record and are
/// never reused.
pub type Offset = u64;

/// A hash map for keys that never leave the process; see `docs/architecture.md` on why this hash
/// never chooses a partition.
pub(crate) type Map<K, V> = std::collections::HashMap<K, V, ahash::RandomState>;

/// A point in time: milliseconds since the Unix epoch, as Kafka stamps its records.
///
/// ```
/// use anabranch::Timestamp;
///
/// let noon = Timestamp::from_millis(1_700_000_000_000);
/// assert_eq!(noon.as_millis(), 1_700_000_000_000);
/// assert!(noon < Timestamp::from_millis(1_700_000_000_001));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Makes a timestamp from milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This point moved back by `span`, stopping at the earliest that can be expressed.
    #[must_use]
    pub fn saturating_sub(self, span: std::time::Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_sub(millis))
    }

    /// This point moved on by `span`, stopping at the latest that can be expressed.
    #[must_use]
    pub fn saturating_add(self, span: std::time::Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_add(millis))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// One partition of one topic; prints as `orders/3`, also in lists.
///
/// ```
/// use anabranch::TopicPartition;
///
/// let third = TopicPartition::new("orders", 3);
/// assert_eq!(third.to_string(), "orders/3");
/// assert_eq!(format!("{:?}", [third]), "[orders/3]");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: TopicName,
    /// The partition's number within the topic.
    pub partition: PartitionId,
}

impl TopicPartition {
    /// Names a partition of a topic. Nothing is looked up.
    pub fn new(topic: impl Into<TopicName>, partition: PartitionId) -> Self {
        TopicPartition { topic: topic.into(), partition }
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// How many bytes of a group's or member's name are kept inline: what fits beside the length and the tag in 24 bytes.
const INLINE_BYTES_MAX: usize = 22;

#[derive(Clone)]
enum Text {
    Inline { len: u8, bytes: [u8; INLINE_BYTES_MAX] },
    Shared(Arc<str>),
}

impl Text {
    fn new(text: &str) -> Self {
        match u8::try_from(text.len()) {
            Ok(len) if text.len() <= INLINE_BYTES_MAX => {
                let mut bytes = [0; INLINE_BYTES_MAX];
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                Text::Inline { len, bytes }
            }
            _ => Text::Shared(text.into()),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Text::Inline { len, bytes } => std::str::from_utf8(&bytes[..usize::from(*len)])
                .expect("inline text was copied whole from a str"),
            Text::Shared(text) => text,
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Text::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Text::Shared(text) => text.as_bytes(),
        }
    }
}

/// What all names have in common: they read, compare and print as their text.
macro_rules! reads_as_text {
    ($name:ident) => {
        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                self.as_str()
            }
        }

        impl From<&String> for $name {
            fn from(text: &String) -> Self {
                text.as_str().into()
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                text.as_str().into()
            }
        }

        impl From<&$name> for $name {
            fn from(name: &$name) -> Self {
                name.clone()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl Eq for $name {}

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_bytes() == other.as_bytes()
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_bytes() == other.as_bytes()
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.as_bytes().cmp(other.as_bytes())
            }
        }

        impl Hash for $name {
            // As `str` hashes, because `Borrow<str>` promises it.
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write(self.as_bytes());
                state.write_u8(0xff);
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Text);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(Text::new(text))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.as_bytes() == other.as_bytes()
            }
        }

        reads_as_text!($name);
    };
}

/// The name of a topic: costs nothing to clone, reads as a `str`.
///
/// Any text can be held, so that an error can name what was refused; a topic is only created
/// under 1 to 249 of `[a-zA-Z0-9._-]`, and not `.` or `..`. Each distinct name is kept once, until
/// the process ends: making one looks it up in a table, copying it does not.
///
/// ```
/// use anabranch::TopicName;
///
/// let name = TopicName::from("orders");
/// assert_eq!(name, "orders");
/// assert!(name.starts_with("ord"));
/// ```
#[derive(Clone)]
pub struct TopicName(&'static Kept);

/// A name that is kept. It stands behind one pointer: every acknowledged record carries one.
type Kept = &'static str;

/// All topic names of the process. A lock of std's: models cannot have statics, and nothing is
/// ordered by it.
static TOPIC_NAMES: std::sync::Mutex<BTreeMap<&'static str, &'static Kept>> =
    std::sync::Mutex::new(BTreeMap::new());

impl TopicName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0
    }

    fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<&str> for TopicName {
    fn from(text: &str) -> Self {
        let mut names = TOPIC_NAMES.lock().expect("nothing here panics with the lock held");
        if let Some(known) = names.get(text) {
            return TopicName(known);
        }
        let text: Kept = String::leak(text.to_owned());
        let kept: &'static Kept = Box::leak(Box::new(text));
        names.insert(kept, kept);
        TopicName(kept)
    }
}

impl PartialEq for TopicName {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0) // the same text is kept in the same place
    }
}

reads_as_text!(TopicName);

name! {
    /// The name of a consumer group: cheap to clone, reads as a `str`.
    ///
    /// ```
    /// assert_eq!(anabranch::GroupId::from("billing"), "billing");
    /// ```
    GroupId
}

name! {
    /// The name of a member of a consumer group: cheap to clone, reads as a `str`.
    ///
    /// ```
    /// assert_eq!(anabranch::MemberId::from("worker-1"), "worker-1");
    /// ```
    MemberId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_inline_and_shared() {
        for len in [0, 1, 21, 22, 23, 249] {
            let text = "é".repeat(len / 2) + if len % 2 == 1 { "x" } else { "" };
            let name = MemberId::from(text.as_str());
            assert_eq!(name.as_str(), text);
            assert_eq!(name.clone(), name);
        }
        assert_eq!(size_of::<MemberId>(), 24);
    }

    #[test]
    fn a_topic_name_is_kept_once() {
        let (first, second) =
            (TopicName::from("kept once"), TopicName::from("kept once".to_owned()));
        assert!(std::ptr::eq(first.as_str(), second.as_str()));
        assert_eq!(first, second);
        assert_ne!(first, TopicName::from("kept"));
        assert_eq!(TopicName::from(""), TopicName::from(String::new()));
    }

    #[test]
    fn a_name_is_found_in_a_map_by_its_text() {
        let mut map: Map<TopicName, u32> = Map::default();
        map.insert("orders".into(), 7);
        assert_eq!(map.get("orders"), Some(&7));
    }
}
