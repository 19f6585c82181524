//! A partition, as users hold it.

use super::fetcher::Limits;
use super::records::Records;
use super::settle::Ticket;
use super::shared::{Found, Shared};
use super::stats::PartitionStats;
use crate::error::{AppendError, Corruption, FlushError, ReadError};
use crate::ids::{Offset, PartitionId, Timestamp, TopicName};
use crate::log::batch::HEADER_BYTES;
use crate::record::Record;
use crate::sync::Arc;

/// A handle to one partition of a topic.
///
/// ```
/// use anabranch::{Record, Topic, TopicConfig};
///
/// let topic = Topic::in_memory("orders", TopicConfig::new().partitions(3))?;
/// let partition = topic.partition(2).expect("there are three");
/// assert_eq!(partition.append(&[Record::new("a"), Record::new("b")])?, 0);
/// assert_eq!(partition.append(&[Record::new("c")])?, 2);
///
/// let records = partition.read(1, 1024)?;
/// let values: Vec<_> = records.iter().map(|record| record.value()).collect();
/// assert_eq!(values, [Some(&b"b"[..]), Some(&b"c"[..])]);
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Partition {
    pub(crate) shared: Arc<Shared>,
}

impl Partition {
    /// The partition's number within its topic.
    pub fn id(&self) -> PartitionId {
        self.shared.id()
    }

    /// The name of the topic that the partition belongs to.
    pub fn topic(&self) -> &TopicName {
        &self.shared.settings.name
    }

    /// Why the partition is offline; `None` if it is not, as most are not.
    ///
    /// When a broker opens a directory and finds the files of a partition damaged where they were known to
    /// be on disk, it leaves them as they are and goes on without them. Each append, read and flush of
    /// that partition is answered with this damage, and its offsets and statistics are 0: what they were
    /// is not known. [`inspect`](crate::inspect) and [`salvage`](crate::salvage()) look at the files.
    ///
    /// ```
    /// use anabranch::{Topic, TopicConfig};
    ///
    /// let topic = Topic::in_memory("orders", TopicConfig::new().partitions(3))?;
    /// assert!(topic.partitions().all(|partition| partition.damage().is_none()));
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn damage(&self) -> Option<&Corruption> {
        self.shared.damage()
    }

    /// The first offset that can be read.
    pub fn log_start_offset(&self) -> Offset {
        self.shared.bounds().0
    }

    /// The offset behind the last record that consumers see.
    pub fn high_watermark(&self) -> Offset {
        self.shared.bounds().1
    }

    /// The offset that the next record gets. In memory it equals the high watermark.
    pub fn log_end_offset(&self) -> Offset {
        self.shared.stripe.lock().log.end_offset()
    }

    /// Appends records as one batch, whole or not at all, and returns the offset of the first.
    ///
    /// Returns when the topic's durability is reached; the batch is visible to readers then.
    ///
    /// # Errors
    ///
    /// [`AppendError::Empty`] without records, [`AppendError::TooLarge`] if the batch exceeds
    /// `max_batch_bytes`, [`AppendError::WrongPartition`] if a record names another partition,
    /// [`AppendError::NegativeTimestamp`] for a time before 1970, [`AppendError::NoKey`] in a compacted
    /// topic, [`AppendError::Disk`] if the disk refuses, [`AppendError::Closed`] behind a closed broker,
    /// [`AppendError::Offline`] if the files were found [damaged](Self::damage).
    /// The log is unchanged. After a sync that failed, [`AppendError::Poisoned`]: whether this batch is on
    /// the disk is not known.
    pub fn append(&self, records: &[Record<'_>]) -> Result<Offset, AppendError> {
        let misplaced = |record: &&Record<'_>| record.partition.is_some_and(|id| id != self.id());
        if let Some(named) = records.iter().find(misplaced).and_then(|record| record.partition) {
            return Err(AppendError::WrongPartition { partition: self.shared.name(), named });
        }
        let now = self.shared.settings.now();
        let batch = self.shared.check(records.iter(), now)?;
        self.shared.append(batch)
    }

    /// As [`append`](Self::append), for who waits later.
    pub(crate) fn append_unsettled(
        &self,
        records: &[Record<'_>],
    ) -> Result<Option<Ticket>, AppendError> {
        self.shared.append_unsettled(records)
    }

    /// Reads from an offset on, up to `max_bytes` of batches but at least one batch; empty at the
    /// end. Never waits for records to come, and copies nothing. Where records were enqueued behind the
    /// end, it completes their batch, and in a directory has it written.
    ///
    /// # Errors
    ///
    /// [`ReadError::OutOfRange`] if `from` is below the start or beyond the high watermark;
    /// [`ReadError::Corrupt`] and [`ReadError::Disk`] for what is read from a file; [`ReadError::Offline`],
    /// whatever is read, if the files were found [damaged](Self::damage) before.
    ///
    /// ```
    /// use anabranch::{ReadError, Record, Topic, TopicConfig};
    ///
    /// let topic = Topic::in_memory("orders", TopicConfig::new())?;
    /// let partition = topic.partition(0).expect("the default is one");
    /// partition.append(&[Record::new("a")])?;
    /// assert_eq!(partition.read(0, 1)?.len(), 1);
    /// assert!(partition.read(1, 1)?.is_empty());
    /// assert!(matches!(partition.read(2, 1), Err(ReadError::OutOfRange { .. })));
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn read(&self, from: Offset, max_bytes: usize) -> Result<Records, ReadError> {
        let mut cursor = super::cursor::Cursor::new(Arc::clone(&self.shared), from);
        let mut records = Records::default();
        let mut room = max_bytes;
        // At least one batch, then whole batches as long as they fit, across chunks.
        loop {
            let limits = Limits { bytes: room, records: usize::MAX };
            cursor.limit(room);
            match cursor.fetch(limits, records.is_empty()) {
                Ok(Some(slice)) => {
                    room = room.saturating_sub(slice.batch_bytes());
                    records.push(slice);
                    if room < HEADER_BYTES {
                        return Ok(records); // To find out what does not fit would take another read.
                    }
                }
                Ok(None) => return Ok(records),
                // What was read is returned; that nothing will follow concerns who waits for more.
                Err(ReadError::Closed { .. } | ReadError::Poisoned { .. }) => return Ok(records),
                Err(_) if !records.is_empty() => return Ok(records),
                Err(error) => return Err(error),
            }
        }
    }

    /// The offset of the first record stamped `at` or later; `None` if there is none, or if files that
    /// had to be read could not be, or are [damaged](Self::damage).
    pub fn offset_for_timestamp(&self, at: Timestamp) -> Option<Offset> {
        let start = self.log_start_offset();
        let from = match self.shared.offset_before(at)? {
            Found::Here(offset) if offset >= start => return Some(offset),
            // Found among deleted records at the front of the first chunk: look on from the start.
            Found::Here(_) => start,
            Found::Behind(offset) => offset.max(start),
        };
        let mut cursor = super::cursor::Cursor::new(Arc::clone(&self.shared), from);
        let everything = Limits { bytes: usize::MAX, records: usize::MAX };
        loop {
            match cursor.fetch(everything, true) {
                Ok(Some(slice)) => {
                    if let Some(record) = slice.iter().find(|record| record.timestamp() >= at) {
                        return Some(record.offset());
                    }
                }
                Ok(None) => return None,
                // The start has moved on meanwhile.
                Err(ReadError::OutOfRange { .. }) => cursor.seek(self.log_start_offset()),
                Err(_) => return None,
            }
        }
    }

    /// Deletes the records below `before`; returns the new start.
    ///
    /// They cannot be read any more when this returns; their memory is freed chunk by chunk. An
    /// offset at or below the start changes nothing.
    ///
    /// # Errors
    ///
    /// [`AppendError::BeyondEnd`] if `before` is beyond the high watermark; in a directory also
    /// [`AppendError::Disk`], [`AppendError::Poisoned`], [`AppendError::Closed`] and
    /// [`AppendError::Offline`]. The start is where it was.
    pub fn delete_records(&self, before: Offset) -> Result<Offset, AppendError> {
        self.shared.delete_records(before)
    }

    /// Makes everything appended before the call as durable as it can be made; returns the offset
    /// below which that is true. In memory there is nothing to do.
    ///
    /// # Errors
    ///
    /// None for a topic in memory. Else [`FlushError`] if the disk refuses a write or a sync, the broker is
    /// closed, or the partition is [offline](Self::damage).
    pub fn flush(&self) -> Result<Offset, FlushError> {
        self.shared.flush()
    }

    /// What the partition holds and what was done to it; of one that is [offline](Self::damage) nothing is
    /// known, and all is 0.
    pub fn stats(&self) -> PartitionStats {
        self.shared.stats()
    }
}
