//! Kafka's record batch v2 for users: bytes that Kafka reads, and bytes that Kafka wrote.
//!
//! What a topic keeps in memory and in its files is this format, so nobody needs this module to
//! send and read records. It is for what lies beyond: to hand a batch to something that speaks
//! Kafka, to read one from a segment file, to check one. `docs/log-format.md` draws the layout.
//!
//! ```
//! use anabranch::format::{self, Stamps};
//! use anabranch::{Record, Timestamp};
//!
//! let now = Stamps::create_time(Timestamp::from_millis(1_700_000_000_000));
//! let records = [Record::new("2 espresso").with_key("customer-42"), Record::new("1 lungo")];
//! let bytes = format::encode(&records, 42, now)?;
//!
//! let batch = format::decode(&bytes)?;
//! assert_eq!((batch.base_offset(), batch.last_offset(), batch.len()), (42, 43, 2));
//! for (record, sent) in batch.records().zip(&records) {
//!     assert_eq!((record.key, record.value), (sent.key, sent.value));
//! }
//! # Ok::<(), anabranch::Error>(())
//! ```

use crate::error::{BatchError, EncodeError};
use crate::ids::{Offset, Timestamp};
use crate::log::batch::{self, BatchHeader, Checks, HEADER_BYTES, RawHeaders, RecordWalk};
use crate::record::{Header, Record, TimestampType};
use std::fmt;
use std::iter::FusedIterator;

pub use crate::log::batch::Stamps;

/// The most bytes, and the most records, that the format can say.
const MAX: usize = i32::MAX as usize;

/// The last offset that the format can say.
const OFFSET_MAX: Offset = i64::MAX as Offset;

/// Encodes records as one batch, as Kafka's producer would send it and its broker store it.
///
/// The first record gets `base_offset`. The batch is uncompressed, of leader epoch 0, of no
/// producer id and not part of a transaction; its CRC is computed.
///
/// # Errors
///
/// [`EncodeError`] if there is no record, or the format cannot say how large the batch, its offsets
/// or its timestamps are.
///
/// # Examples
///
/// ```
/// use anabranch::format::{self, Stamps};
/// use anabranch::Record;
///
/// let bytes = format::encode(&[Record::new("2 espresso")], 0, Stamps::default())?;
/// assert_eq!(bytes.len(), 61 + 17);
/// # Ok::<(), anabranch::EncodeError>(())
/// ```
pub fn encode(
    records: &[Record<'_>],
    base_offset: Offset,
    stamps: Stamps,
) -> Result<Vec<u8>, EncodeError> {
    let sizes = records.iter().map(batch::record_bytes_max);
    let bytes = sizes.fold(HEADER_BYTES, usize::saturating_add);
    let count = match u32::try_from(records.len()) {
        Ok(0) => return Err(EncodeError::Empty),
        Ok(count) if records.len() <= MAX && bytes <= MAX => count,
        _ => return Err(EncodeError::TooLarge { count: records.len(), bytes, max: MAX }),
    };
    if base_offset.checked_add(Offset::from(count - 1)).is_none_or(|last| last > OFFSET_MAX) {
        let count = records.len();
        return Err(EncodeError::OffsetOutOfRange { base_offset, count, max: OFFSET_MAX });
    }
    for (index, record) in records.iter().enumerate() {
        let millis = stamps.of(record).as_millis();
        if millis < 0 {
            return Err(EncodeError::NegativeTimestamp { index, millis });
        }
    }
    let mut to = vec![0; bytes];
    let encoded = batch::encode_batch(&mut to, base_offset, stamps, records);
    to.truncate(encoded.bytes);
    batch::seal(&mut to);
    Ok(to)
}

/// Checks that `bytes` are one whole batch and nothing else, and gives a view of its records.
///
/// Everything is checked before the first record is seen: lengths, numbers, the CRC, and that what
/// the header says is true of the records. Offsets may have gaps, as compaction leaves them.
/// Nothing is copied or allocated.
///
/// # Errors
///
/// [`BatchError`] names the field, its place and the numbers.
///
/// # Examples
///
/// ```
/// use anabranch::BatchError;
///
/// let refused = anabranch::format::decode(b"not a batch").unwrap_err();
/// assert_eq!(refused.to_string(), "batch header at byte 0 takes 61 bytes, 11 are left");
/// ```
pub fn decode(bytes: &[u8]) -> Result<Batch<'_>, BatchError> {
    let header = batch::validate(bytes, Checks::COMPACTED)?;
    Ok(Batch { bytes, header })
}

/// Decodes batches that stand one behind the other, as in a segment file or a fetch response.
///
/// Each is checked as [`decode`] does it. After an error there is nothing more: where the next batch
/// would start is not known.
///
/// ```
/// use anabranch::format::{self, Stamps};
/// use anabranch::Record;
///
/// let mut file = format::encode(&[Record::new("a"), Record::new("b")], 0, Stamps::default())?;
/// file.extend(format::encode(&[Record::new("c")], 2, Stamps::default())?);
/// file.truncate(file.len() - 1); // Power was lost here.
///
/// let mut batches = format::batches(&file);
/// assert!(matches!(batches.next(), Some(Ok(batch)) if batch.len() == 2));
/// assert_eq!(batches.position(), 61 + 8 + 8);
/// assert!(matches!(batches.next(), Some(Err(_))));
/// assert!(batches.next().is_none());
/// # Ok::<(), anabranch::EncodeError>(())
/// ```
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { bytes, position: 0, has_failed: false }
}

/// Batches one behind the other; see [`batches`].
///
/// ```
/// assert!(anabranch::format::batches(b"").next().is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
    has_failed: bool,
}

impl Batches<'_> {
    /// Where the next batch starts, or the one that was refused.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.bytes[self.position..];
        if self.has_failed || rest.is_empty() {
            return None;
        }
        let batch = BatchHeader::read(rest).and_then(|header| decode(&rest[..header.batch_bytes]));
        match &batch {
            Ok(batch) => self.position += batch.bytes.len(),
            Err(_) => self.has_failed = true,
        }
        Some(batch)
    }
}

impl FusedIterator for Batches<'_> {}

/// One batch, checked: a view into the bytes that [`decode`] was given.
///
/// ```
/// use anabranch::format::{self, Stamps};
/// use anabranch::{Record, TimestampType};
///
/// let bytes = format::encode(&[Record::new("2 espresso")], 7, Stamps::default())?;
/// let batch = format::decode(&bytes)?;
/// assert_eq!((batch.len(), batch.base_offset()), (1, 7));
/// assert_eq!(batch.timestamp_type(), TimestampType::CreateTime);
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    bytes: &'a [u8],
    header: BatchHeader,
}

impl<'a> Batch<'a> {
    /// The offset of the first record, or of what was the first before compaction.
    pub fn base_offset(&self) -> Offset {
        self.header.base_offset
    }

    /// The offset of the last record, or of what was the last before compaction.
    pub fn last_offset(&self) -> Offset {
        self.header.last_offset()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.header.count as usize
    }

    /// Whether there are none, which only compaction does to a batch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the records' timestamps mean.
    pub fn timestamp_type(&self) -> TimestampType {
        self.header.attributes.timestamp_type()
    }

    /// The latest timestamp in the batch.
    pub fn max_timestamp(&self) -> Timestamp {
        self.header.max_timestamp
    }

    /// The epoch of the leader that appended the batch; -1 if none has.
    pub fn leader_epoch(&self) -> i32 {
        self.header.leader_epoch
    }

    /// The idempotent producer's id; -1 if there is none.
    pub fn producer_id(&self) -> i64 {
        self.header.producer_id
    }

    /// The idempotent producer's epoch; -1 if there is none.
    pub fn producer_epoch(&self) -> i16 {
        self.header.producer_epoch
    }

    /// The idempotent producer's number for the first record; -1 if there is none.
    pub fn base_sequence(&self) -> i32 {
        self.header.base_sequence
    }

    /// Whether the batch is part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.header.attributes.is_transactional()
    }

    /// Whether the batch holds markers of Kafka's own, such as the end of a transaction.
    pub fn is_control(&self) -> bool {
        self.header.attributes.is_control()
    }

    /// The records, in offset order.
    pub fn records(&self) -> BatchRecords<'a> {
        BatchRecords { walk: RecordWalk::new(self.bytes) }
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("base_offset", &self.base_offset())
            .field("last_offset", &self.last_offset())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// The records of a [`Batch`], in offset order.
///
/// ```
/// use anabranch::format::{self, Stamps};
/// use anabranch::Record;
///
/// let bytes = format::encode(&[Record::new("a"), Record::new("b")], 7, Stamps::default())?;
/// let offsets: Vec<_> = format::decode(&bytes)?.records().map(|record| record.offset).collect();
/// assert_eq!(offsets, [7, 8]);
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchRecords<'a> {
    walk: RecordWalk<'a>,
}

impl<'a> Iterator for BatchRecords<'a> {
    type Item = BatchRecord<'a>;

    #[inline]
    fn next(&mut self) -> Option<BatchRecord<'a>> {
        let record = self.walk.next()?;
        Some(BatchRecord {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.walk.size_hint()
    }
}

impl ExactSizeIterator for BatchRecords<'_> {}

/// One record of a [`Batch`]: a view into its bytes.
///
/// ```
/// use anabranch::format::{self, Stamps};
/// use anabranch::{Header, Record};
///
/// let headers = [Header { name: "trace", value: Some(b"7f") }];
/// let sent = Record::tombstone("customer-42").with_headers(&headers);
/// let bytes = format::encode(&[sent], 7, Stamps::default())?;
///
/// let record = format::decode(&bytes)?.records().next().expect("one record was encoded");
/// assert_eq!((record.offset, record.key, record.value), (7, sent.key, None));
/// assert!(record.headers().eq(headers));
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BatchRecord<'a> {
    /// Its place in the partition.
    pub offset: Offset,
    /// When it happened, or when it was appended, by the batch's timestamp type; -1 ms if a
    /// producer of Kafka's gave none.
    pub timestamp: Timestamp,
    /// The key; `None` is Kafka's null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is Kafka's null.
    pub value: Option<&'a [u8]>,
    headers: RawHeaders<'a>,
}

impl<'a> BatchRecord<'a> {
    /// The headers, in the order they were sent.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = Header<'a>> + use<'a> {
        self.headers.iter()
    }
}
