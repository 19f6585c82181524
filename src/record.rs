//! A record on its way in, and the same record owned.
//!
//! [`Record`] borrows everything, so that sending allocates nothing. What is read comes back as a
//! view into the log's own memory (`ConsumerRecord`, in `topic/records.rs`); [`OwnedRecord`] is that
//! view made independent of the log.

use crate::ids::{Offset, PartitionId, Timestamp, TopicName};
use bytes::Bytes;

/// A record to be sent: borrowed, so that sending allocates nothing.
///
/// A null key or value (`None`) and an empty one (`Some(b"")`) are different things, as in Kafka: a
/// null key has no partition of its own, a null value is a tombstone.
///
/// ```
/// use anabranch::{Header, Record};
///
/// let headers = [Header { name: "trace", value: Some(b"7f") }];
/// let record = Record::new("2 espresso").with_key("customer-42").with_headers(&headers);
/// assert_eq!(record.key, Some(&b"customer-42"[..]));
/// assert_eq!(Record::tombstone("customer-42").value, None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// What the default partitioner hashes and compaction compares; `None` is Kafka's null.
    pub key: Option<&'a [u8]>,
    /// The payload; `None` is Kafka's null, which compaction reads as a tombstone.
    pub value: Option<&'a [u8]>,
    /// Named values beside the payload, in the order given; names may repeat. Default: none.
    pub headers: &'a [Header<'a>],
    /// When it happened. Default: the topic's clock at the time of sending.
    pub timestamp: Option<Timestamp>,
    /// The partition it must go to. Default: the partitioner decides.
    pub partition: Option<PartitionId>,
}

impl<'a> Record<'a> {
    /// A record with this value, no key and no headers.
    pub fn new<V: AsRef<[u8]> + ?Sized>(value: &'a V) -> Self {
        Record { value: Some(value.as_ref()), ..Record::default() }
    }

    /// A record that says "this key is gone": a null value.
    pub fn tombstone<K: AsRef<[u8]> + ?Sized>(key: &'a K) -> Self {
        Record { key: Some(key.as_ref()), ..Record::default() }
    }

    /// Sets the key.
    #[must_use]
    pub fn with_key<K: AsRef<[u8]> + ?Sized>(mut self, key: &'a K) -> Self {
        self.key = Some(key.as_ref());
        self
    }

    /// Sets the headers.
    #[must_use]
    pub fn with_headers(mut self, headers: &'a [Header<'a>]) -> Self {
        self.headers = headers;
        self
    }

    /// Sets the time at which it happened.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Names the partition it must go to; no partitioner is asked.
    #[must_use]
    pub fn to_partition(mut self, partition: PartitionId) -> Self {
        self.partition = Some(partition);
        self
    }
}

/// A named value beside a record's payload.
///
/// ```
/// let header = anabranch::Header { name: "content-type", value: Some(b"text/plain") };
/// assert_eq!(header.name, "content-type");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name; may be empty, may repeat.
    pub name: &'a str,
    /// The value; `None` is Kafka's null.
    pub value: Option<&'a [u8]>,
}

/// A record that was read and no longer borrows the log.
///
/// Key and value share the log's memory (no copy), which stays resident as long as they do.
///
/// ```
/// use anabranch::{Record, Topic, TopicConfig};
///
/// let topic = Topic::in_memory("orders", TopicConfig::new())?;
/// let partition = topic.partition(0).expect("a topic has at least one partition");
/// partition.append(&[Record::new("2 espresso")])?;
///
/// let owned = partition.read(0, 1024)?.into_owned();
/// drop((topic, partition));
/// assert_eq!(owned[0].value.as_deref(), Some(&b"2 espresso"[..]));
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// The topic it was read from.
    pub topic: TopicName,
    /// The partition it was read from.
    pub partition: PartitionId,
    /// Its place in the partition.
    pub offset: Offset,
    /// When it happened, or when it was appended, by the topic's timestamp type.
    pub timestamp: Timestamp,
    /// The key; `None` is Kafka's null.
    pub key: Option<Bytes>,
    /// The value; `None` is Kafka's null.
    pub value: Option<Bytes>,
    /// The headers in the order they were sent.
    pub headers: Vec<OwnedHeader>,
}

/// A header of an [`OwnedRecord`].
///
/// ```
/// let header = anabranch::OwnedHeader { name: "trace".into(), value: None };
/// assert_eq!(header.name, "trace");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedHeader {
    /// The name.
    pub name: String,
    /// The value; `None` is Kafka's null.
    pub value: Option<Bytes>,
}

/// What the timestamps of a topic's records mean.
///
/// ```
/// assert_eq!(anabranch::TimestampType::default(), anabranch::TimestampType::CreateTime);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// When it happened: what the sender says, or when it was sent.
    #[default]
    CreateTime,
    /// When it was appended, whatever the sender says.
    LogAppendTime,
}

/// What an acknowledged record became.
///
/// ```
/// use anabranch::{Producer, Record, Topic, TopicConfig};
///
/// let topic = Topic::in_memory("orders", TopicConfig::new())?;
/// let sent = Producer::new(&topic).send(Record::new("2 espresso"))?;
/// assert_eq!((sent.partition, sent.offset), (0, 0));
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The topic it was appended to.
    pub topic: TopicName,
    /// The partition it was appended to.
    pub partition: PartitionId,
    /// Its place in the partition.
    pub offset: Offset,
    /// The timestamp it was given: its own, or the topic's clock.
    pub timestamp: Timestamp,
}
