//! What reading returns: views into the log's own memory.
//!
//! [`Records`] holds shares of the chunks that were read, nothing is copied. A record is decoded when
//! the iteration reaches it. The memory stays resident as long as the `Records` (or a value taken out
//! with [`ConsumerRecord::to_owned`]) lives, also when retention drops it meanwhile.
//!
//! ```text
//!  Records ─► Slice (partition 0) ─► chunk ▒▒▒│batch│batch│batch│▒▒▒
//!         └─► Slice (partition 3) ─► chunk ▒│batch│▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
//! ```

use super::shared::Shared;
use crate::ids::{Offset, PartitionId, Timestamp, TopicName, TopicPartition};
use crate::log::ChunkSlice;
use crate::log::batch::{HeaderWalk, RecordRef, RecordWalk, base_offset, batch_bytes};
use crate::record::{Header, OwnedHeader, OwnedRecord};
use bytes::Bytes;
use std::ops::Range;

/// Whole batches of one partition, and which of their records are meant.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    bytes: ChunkSlice,
    topic: TopicName,
    partition: PartitionId,
    offsets: Range<Offset>,
    len: usize,
}

impl Slice {
    #[inline]
    pub(crate) fn new(bytes: ChunkSlice, partition: &Shared, offsets: Range<Offset>) -> Slice {
        let topic = partition.settings.name.clone();
        let len = usize::try_from(offsets.end - offsets.start).unwrap_or(usize::MAX);
        let mut slice = Slice { bytes, topic, partition: partition.id(), offsets, len };
        if partition.settings.config.cleanup.compacts() {
            slice.len = slice.iter().count();
        }
        slice
    }

    /// The bytes of the batches, headers included.
    #[inline]
    pub(crate) fn batch_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The number of records. In a log that is not compacted offsets have no gaps.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> SliceIter<'_> {
        SliceIter { slice: self, rest: self.bytes.as_ref(), walk: None }
    }
}

/// The records of one slice; skips those before its first offset, ends before its end.
#[derive(Clone, Debug)]
pub(crate) struct SliceIter<'a> {
    slice: &'a Slice,
    rest: &'a [u8],
    walk: Option<RecordWalk<'a>>,
}

impl<'a> Iterator for SliceIter<'a> {
    type Item = ConsumerRecord<'a>;

    #[inline(always)] // a record that is returned through memory costs as much as decoding it
    fn next(&mut self) -> Option<ConsumerRecord<'a>> {
        loop {
            if let Some(record) = self.walk.as_mut().and_then(Iterator::next) {
                if record.offset >= self.slice.offsets.end {
                    return None;
                }
                return Some(ConsumerRecord { slice: self.slice, record });
            }
            if self.rest.is_empty() {
                return None;
            }
            let (batch, rest) = self.rest.split_at(batch_bytes(self.rest));
            self.rest = rest;
            let mut walk = RecordWalk::new(batch);
            if base_offset(batch) < self.slice.offsets.start {
                walk.skip_to(self.slice.offsets.start);
            }
            self.walk = Some(walk);
        }
    }
}

/// A record that was read: a view into the log's own memory.
///
/// ```
/// use anabranch::{Header, Record, Topic, TopicConfig};
///
/// let topic = Topic::in_memory("orders", TopicConfig::new())?;
/// let partition = topic.partition(0).expect("the default is one");
/// let headers = [Header { name: "trace", value: Some(b"7f") }];
/// partition.append(&[Record::new("2 espresso").with_key("42").with_headers(&headers)])?;
///
/// for record in &partition.read(0, 1024)? {
///     assert_eq!(record.key(), Some(&b"42"[..]));
///     assert_eq!(record.value(), Some(&b"2 espresso"[..]));
///     assert_eq!(record.headers().next(), Some(headers[0]));
/// }
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ConsumerRecord<'a> {
    slice: &'a Slice,
    record: RecordRef<'a>,
}

impl<'a> ConsumerRecord<'a> {
    /// The topic it was read from.
    pub fn topic(&self) -> &'a TopicName {
        &self.slice.topic
    }

    /// The partition it was read from.
    pub fn partition(&self) -> PartitionId {
        self.slice.partition
    }

    /// Its place in the partition.
    #[inline]
    pub fn offset(&self) -> Offset {
        self.record.offset
    }

    /// When it happened, or when it was appended, by the topic's timestamp type.
    #[inline]
    pub fn timestamp(&self) -> Timestamp {
        self.record.timestamp
    }

    /// The key; `None` is Kafka's null.
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.record.key
    }

    /// The value; `None` is Kafka's null, a tombstone.
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.record.value
    }

    /// The headers in the order they were sent.
    pub fn headers(&self) -> Headers<'a> {
        Headers(self.record.headers.iter())
    }

    /// The record without its tie to this borrow: key and value share the log's memory.
    #[allow(clippy::wrong_self_convention, reason = "as `ToOwned`, but to a type of its own")]
    pub fn to_owned(&self) -> OwnedRecord {
        self.owned_from(&Bytes::from_owner(self.slice.bytes.clone()))
    }

    /// `all` holds the bytes that the record is a part of.
    fn owned_from(&self, all: &Bytes) -> OwnedRecord {
        let share = |part: Option<&[u8]>| part.map(|part| all.slice_ref(part));
        OwnedRecord {
            topic: self.topic().clone(),
            partition: self.partition(),
            offset: self.offset(),
            timestamp: self.timestamp(),
            key: share(self.key()),
            value: share(self.value()),
            headers: self
                .headers()
                .map(|header| OwnedHeader { name: header.name.into(), value: share(header.value) })
                .collect(),
        }
    }
}

/// The headers of a record, in the order they were sent.
///
/// ```
/// # use anabranch::{Header, Record, Topic, TopicConfig};
/// # let topic = Topic::in_memory("orders", TopicConfig::new())?;
/// # let partition = topic.partition(0).expect("the default is one");
/// # let headers = [Header { name: "trace", value: Some(b"7f") }];
/// # partition.append(&[Record::new("x").with_headers(&headers)])?;
/// let records = partition.read(0, 1024)?;
/// let record = records.iter().next().expect("one was appended");
/// let trace = record.headers().find(|header| header.name == "trace");
/// assert_eq!(trace.and_then(|header| header.value), Some(&b"7f"[..]));
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Headers<'a>(HeaderWalk<'a>);

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// What a read or poll returns: records of one or more partitions, in offset order within each.
///
/// ```
/// use anabranch::{Record, Topic, TopicConfig};
///
/// let topic = Topic::in_memory("orders", TopicConfig::new())?;
/// let partition = topic.partition(0).expect("the default is one");
/// partition.append(&[Record::new("a"), Record::new("b")])?;
///
/// let records = partition.read(0, 1024)?;
/// assert_eq!(records.len(), 2);
/// for record in &records {
///     println!("{}: {:?}", record.offset(), record.value());
/// }
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Records {
    // Most reads return one slice: it takes no allocation.
    first: Option<Slice>,
    others: Vec<Slice>,
    len: usize,
    lost: Vec<(TopicPartition, u64)>,
}

impl Records {
    #[inline]
    pub(crate) fn push(&mut self, slice: Slice) {
        self.len += slice.len();
        if self.first.is_none() {
            self.first = Some(slice);
        } else {
            self.others.push(slice);
        }
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Records that were gone before this consumer could read them, by partition: retention or
    /// deletion overtook its position, and it went on where the group's
    /// [`OffsetReset`](crate::OffsetReset) said.
    pub fn lost(&self) -> &[(TopicPartition, u64)] {
        &self.lost
    }

    pub(crate) fn set_lost(&mut self, lost: Vec<(TopicPartition, u64)>) {
        self.lost = lost;
    }

    /// The records, partition after partition.
    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter { current: self.first.as_ref().map(Slice::iter), others: self.others.iter() }
    }

    /// The records of each partition by themselves.
    pub fn by_partition(&self) -> impl Iterator<Item = (TopicPartition, PartitionRecords<'_>)> {
        let mut groups: Vec<(TopicPartition, PartitionRecords<'_>)> = Vec::new();
        for slice in self.slices() {
            let of = TopicPartition { topic: slice.topic.clone(), partition: slice.partition };
            match groups.iter_mut().find(|(known, _)| *known == of) {
                Some((_, group)) => group.slices.push(slice),
                None => groups.push((of, PartitionRecords { slices: vec![slice] })),
            }
        }
        groups.into_iter()
    }

    /// The records without their tie to this value: keys and values share the log's memory.
    pub fn into_owned(self) -> Vec<OwnedRecord> {
        let mut owned = Vec::with_capacity(self.len);
        for slice in self.slices() {
            let all = Bytes::from_owner(slice.bytes.clone());
            owned.extend(slice.iter().map(|record| record.owned_from(&all)));
        }
        owned
    }

    fn slices(&self) -> impl Iterator<Item = &Slice> {
        self.first.iter().chain(&self.others)
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = ConsumerRecord<'a>;
    type IntoIter = RecordsIter<'a>;

    fn into_iter(self) -> RecordsIter<'a> {
        self.iter()
    }
}

/// Iterates over [`Records`]; made by [`Records::iter`].
#[derive(Clone, Debug)]
pub struct RecordsIter<'a> {
    current: Option<SliceIter<'a>>,
    others: std::slice::Iter<'a, Slice>,
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = ConsumerRecord<'a>;

    #[inline(always)] // a record that is returned through memory costs as much as decoding it
    fn next(&mut self) -> Option<ConsumerRecord<'a>> {
        loop {
            if let Some(record) = self.current.as_mut()?.next() {
                return Some(record);
            }
            self.current = self.others.next().map(Slice::iter);
        }
    }
}

/// The records of one partition; made by [`Records::by_partition`].
///
/// ```
/// # use anabranch::{Record, Topic, TopicConfig};
/// # let topic = Topic::in_memory("orders", TopicConfig::new())?;
/// # let partition = topic.partition(0).expect("the default is one");
/// # partition.append(&[Record::new("a"), Record::new("b")])?;
/// for (partition, records) in partition.read(0, 1024)?.by_partition() {
///     assert_eq!((partition.to_string().as_str(), records.len()), ("orders/0", 2));
///     assert_eq!(records.iter().count(), 2);
/// }
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PartitionRecords<'a> {
    slices: Vec<&'a Slice>,
}

impl<'a> PartitionRecords<'a> {
    /// The number of records; never zero.
    #[expect(clippy::len_without_is_empty, reason = "a partition without records is not listed")]
    pub fn len(&self) -> usize {
        self.slices.iter().map(|slice| slice.len()).sum()
    }

    /// The records in offset order.
    pub fn iter(&self) -> PartitionRecordsIter<'a> {
        PartitionRecordsIter { current: None, others: self.slices.clone().into_iter() }
    }
}

impl<'a> IntoIterator for PartitionRecords<'a> {
    type Item = ConsumerRecord<'a>;
    type IntoIter = PartitionRecordsIter<'a>;

    fn into_iter(self) -> PartitionRecordsIter<'a> {
        PartitionRecordsIter { current: None, others: self.slices.into_iter() }
    }
}

/// Iterates over [`PartitionRecords`]; made by [`PartitionRecords::iter`].
#[derive(Clone, Debug)]
pub struct PartitionRecordsIter<'a> {
    current: Option<SliceIter<'a>>,
    others: std::vec::IntoIter<&'a Slice>,
}

impl<'a> Iterator for PartitionRecordsIter<'a> {
    type Item = ConsumerRecord<'a>;

    fn next(&mut self) -> Option<ConsumerRecord<'a>> {
        loop {
            if let Some(record) = self.current.as_mut().and_then(Iterator::next) {
                return Some(record);
            }
            self.current = Some(self.others.next()?.iter());
        }
    }
}
