//! A partition: one log, its stripe lock, and who waits for it.
//!
//! ```text
//!   senders ──► stripe (Mutex) ──► Appender ──► chunk ─── published word ───► cursors (no lock)
//!                  │                   └─ roll, retention ─► tail (RwLock) ◄── look-ups
//!                  └─ waiting: tokens of readers that sleep, taken out and delivered by an append
//! ```
//!
//! Locks, taken in this order: `stripe`, then `tail` or a mailbox. The stripe is held while a batch is copied in;
//! the tail is written once per chunk, so readers that look an offset up meet an appender there about
//! once in 4 MiB. Mailboxes are rung with none held.
//!
//! Appenders pay for sleeping readers only: a reader arms itself under the stripe (and looks once more
//! whether there is something to read), the next append takes all armed tokens out in one go. Without
//! sleepers that is a look at an empty list.

use super::config::TopicConfig;
use super::fetcher::Limits;
use super::records::{Records, Slice};
use crate::error::{AppendError, FlushError, ReadError};
use crate::ids::{Offset, PartitionId, Timestamp, TopicName, TopicPartition};
use crate::log::batch::{self, EncodedBatch, Stamps};
use crate::log::{Appender, Chunk, Pool, Retention, Tail};
use crate::record::Record;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::planted::{Bug, planted};
use crate::sync::{Arc, CachePadded, Mailbox, Mutex, MutexGuard, RwLock, Token};
use std::time::Duration;

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

/// What the handles, cursors and producers of one partition share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Guards appending, and who waits for it. On its own cache lines: partitions never meet.
    stripe: CachePadded<Mutex<Stripe>>,
    /// Guards the chain of chunks.
    tail: RwLock<Tail>,
    /// Records below this offset were deleted by request, also from chunks that retention dropped
    /// and readers still hold. Raised under `tail`, with the start that it stands for. Relaxed:
    /// deletion is not ordered with reads that run at the same time.
    deleted_before: AtomicU64,
    /// Counted by readers; on a line that appends do not touch.
    reads: CachePadded<Reads>,
    pub(crate) settings: Arc<Settings>,
    id: PartitionId,
}

impl std::ops::Add for PartitionStats {
    type Output = PartitionStats;

    fn add(self, other: PartitionStats) -> PartitionStats {
        PartitionStats {
            records: self.records + other.records,
            bytes: self.bytes + other.bytes,
            memory_bytes: self.memory_bytes + other.memory_bytes,
            appends: self.appends + other.appends,
            appended_records: self.appended_records + other.appended_records,
            appended_bytes: self.appended_bytes + other.appended_bytes,
            reads: self.reads + other.reads,
            read_bytes: self.read_bytes + other.read_bytes,
        }
    }
}

/// What the partitions of one topic have in common.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) name: TopicName,
    pub(crate) config: TopicConfig,
    pub(crate) pool: Arc<Pool>,
}

impl Settings {
    /// The topic's time. Kafka's format has none before the epoch, so a clock that stands there is
    /// taken to stand at the epoch.
    #[inline]
    pub(crate) fn now(&self) -> Timestamp {
        self.config.clock.now().max(Timestamp::default())
    }
}

#[derive(Debug)]
struct Stripe {
    log: Appender,
    waiting: Vec<Watcher>,
    /// When the oldest chunk is due to be dropped, by the topic's clock: looked at by every append.
    expires: Timestamp,
}

/// A sleeping reader, as a partition knows it.
#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) token: Token,
}

// Plain counters that order nothing: Relaxed.
#[derive(Debug, Default)]
struct Reads {
    reads: AtomicU64,
    bytes: AtomicU64,
}

/// What a partition holds and what was done to it.
///
/// ```
/// use anabranch::{Record, Topic, TopicConfig};
///
/// let topic = Topic::in_memory("orders", TopicConfig::new())?;
/// topic.partition(0).expect("the default is one").append(&[Record::new("a"), Record::new("b")])?;
/// let stats = topic.stats();
/// assert_eq!((stats.total.records, stats.total.appends), (2, 1));
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionStats {
    /// Records that can be read now.
    pub records: u64,
    /// Bytes of batches that are retained now.
    pub bytes: u64,
    /// Bytes of memory set aside for them.
    pub memory_bytes: u64,
    /// Batches appended since the topic was created.
    pub appends: u64,
    /// Records appended since the topic was created.
    pub appended_records: u64,
    /// Bytes of batches appended since the topic was created.
    pub appended_bytes: u64,
    /// Reads that returned records.
    pub reads: u64,
    /// Bytes of batches that reads returned, counted once for each reader.
    pub read_bytes: u64,
}

const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

/// A batch that was checked and can no longer be refused.
pub(crate) struct Checked<I> {
    records: I,
    bytes_max: usize,
    stamps: Stamps,
}

impl Partition {
    /// The partition's number within its topic.
    pub fn id(&self) -> PartitionId {
        self.shared.id
    }

    /// The name of the topic that the partition belongs to.
    pub fn topic(&self) -> &TopicName {
        &self.shared.settings.name
    }

    /// The first offset that can be read.
    pub fn log_start_offset(&self) -> Offset {
        self.shared.tail.read().start_offset()
    }

    /// The offset behind the last record that consumers see.
    pub fn high_watermark(&self) -> Offset {
        self.shared.tail.read().end_offset()
    }

    /// The offset that the next record gets. In memory it equals the high watermark.
    pub fn log_end_offset(&self) -> Offset {
        self.shared.stripe.lock().log.end_offset()
    }

    /// Appends records as one batch, whole or not at all, and returns the offset of the first.
    ///
    /// The batch is visible to readers when this returns.
    ///
    /// # Errors
    ///
    /// [`AppendError::Empty`] without records, [`AppendError::TooLarge`] if the batch exceeds
    /// `max_batch_bytes`, [`AppendError::WrongPartition`] if a record names another partition,
    /// [`AppendError::NegativeTimestamp`] for a time before 1970. The log is unchanged.
    pub fn append(&self, records: &[Record<'_>]) -> Result<Offset, AppendError> {
        let misplaced = |record: &&Record<'_>| record.partition.is_some_and(|id| id != self.id());
        if let Some(named) = records.iter().find(misplaced).and_then(|record| record.partition) {
            return Err(AppendError::WrongPartition { partition: self.shared.name(), named });
        }
        let now = self.shared.settings.now();
        let batch = self.shared.check(records.iter(), now)?;
        Ok(self.shared.append(batch))
    }

    /// Reads from an offset on, up to `max_bytes` of batches but at least one batch; empty at the
    /// end. Never blocks and copies nothing.
    ///
    /// # Errors
    ///
    /// [`ReadError::OutOfRange`] if `from` is below the start or beyond the high watermark.
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
        while let Some(slice) =
            cursor.fetch(Limits { bytes: room, records: usize::MAX }, records.is_empty())?
        {
            room = room.saturating_sub(slice.batch_bytes());
            records.push(slice);
        }
        Ok(records)
    }

    /// The offset of the first record stamped `at` or later; `None` if there is none.
    pub fn offset_for_timestamp(&self, at: Timestamp) -> Option<Offset> {
        let tail = self.shared.tail.read();
        let start = tail.start_offset();
        let found = tail.since(at).find_map(|chunk| chunk.offset_for_timestamp(at))?;
        if found >= start {
            return Some(found);
        }
        // Found among deleted records at the front of the first chunk: look on from the start.
        drop(tail);
        let mut cursor = super::cursor::Cursor::new(Arc::clone(&self.shared), start);
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
                Err(_) => cursor.seek(self.log_start_offset()),
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
    /// [`AppendError::BeyondEnd`] if `before` is beyond the high watermark.
    pub fn delete_records(&self, before: Offset) -> Result<Offset, AppendError> {
        let mut tail = self.shared.tail.write();
        let high_watermark = tail.end_offset();
        if before > high_watermark {
            let partition = self.shared.name();
            return Err(AppendError::BeyondEnd { partition, requested: before, high_watermark });
        }
        tail.delete_before(before);
        if !planted(Bug::ForgetFloor) {
            self.shared.deleted_before.fetch_max(before, Ordering::Relaxed);
        }
        Ok(tail.start_offset())
    }

    /// Makes everything appended before the call as durable as it can be made; returns the offset
    /// below which that is true. In memory there is nothing to do.
    ///
    /// # Errors
    ///
    /// None for a topic in memory.
    pub fn flush(&self) -> Result<Offset, FlushError> {
        Ok(self.log_end_offset())
    }

    /// What the partition holds and what was done to it.
    pub fn stats(&self) -> PartitionStats {
        let appended = self.shared.stripe.lock().log.appended();
        let tail = self.shared.tail.read();
        PartitionStats {
            records: tail.end_offset() - tail.start_offset(),
            bytes: tail.bytes(),
            memory_bytes: tail.capacity(),
            appends: appended.batches,
            appended_records: appended.records,
            appended_bytes: appended.bytes,
            reads: self.shared.reads.reads.load(Ordering::Relaxed),
            read_bytes: self.shared.reads.bytes.load(Ordering::Relaxed),
        }
    }
}

fn payload_bytes(record: &Record<'_>) -> usize {
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)
}

impl Shared {
    pub(crate) fn new(settings: Arc<Settings>, id: PartitionId) -> Shared {
        let stripe = Stripe {
            log: Appender::new(Arc::clone(&settings.pool)),
            waiting: Vec::new(),
            expires: NEVER,
        };
        Shared {
            stripe: CachePadded::new(Mutex::new(stripe)),
            tail: RwLock::new(Tail::default()),
            deleted_before: AtomicU64::new(0),
            reads: CachePadded::new(Reads::default()),
            settings,
            id,
        }
    }

    pub(crate) fn id(&self) -> PartitionId {
        self.id
    }

    pub(crate) fn name(&self) -> TopicPartition {
        TopicPartition { topic: self.settings.name.clone(), partition: self.id }
    }

    /// Checks a batch against the limits, before anything is locked or changed.
    #[inline]
    pub(crate) fn check<'r, 'a: 'r, I>(
        &self,
        records: I,
        now: Timestamp,
    ) -> Result<Checked<I>, AppendError>
    where
        I: Iterator<Item = &'r Record<'a>> + Clone,
    {
        let config = &self.settings.config;
        let mut bytes_max = batch::HEADER_BYTES;
        for record in records.clone() {
            bytes_max = bytes_max.saturating_add(batch::record_bytes_max(record));
            if let Some(stamp) = record.timestamp.filter(|stamp| stamp.as_millis() < 0) {
                let millis = stamp.as_millis();
                return Err(AppendError::NegativeTimestamp { partition: self.name(), millis });
            }
        }
        if bytes_max == batch::HEADER_BYTES {
            return Err(AppendError::Empty { partition: self.name() });
        }
        let stamps = self.stamps(now);
        if bytes_max > config.max_batch_bytes {
            bytes_max = self.measure(records.clone(), stamps, bytes_max)?;
        }
        Ok(Checked { records, bytes_max, stamps })
    }

    /// What a batch takes to the byte, for one that is near the limit or above it.
    #[cold]
    fn measure<'r, 'a: 'r>(
        &self,
        records: impl Iterator<Item = &'r Record<'a>> + Clone,
        stamps: Stamps,
        bytes_max: usize,
    ) -> Result<usize, AppendError> {
        let max = self.settings.config.max_batch_bytes;
        let bytes_min = batch::HEADER_BYTES + records.clone().map(payload_bytes).sum::<usize>();
        let bytes = if bytes_min > max {
            bytes_min
        } else {
            batch::encode_batch(&mut vec![0; bytes_max], 0, stamps, records).bytes
        };
        if bytes > max {
            return Err(AppendError::TooLarge { partition: self.name(), bytes, max });
        }
        Ok(bytes)
    }

    pub(crate) fn stamps(&self, now: Timestamp) -> Stamps {
        Stamps { now, timestamp_type: self.settings.config.timestamp_type }
    }

    /// Appends a checked batch, and wakes who waits for it.
    #[inline]
    pub(crate) fn append<'r, 'a: 'r, I>(&self, batch: Checked<I>) -> Offset
    where
        I: Iterator<Item = &'r Record<'a>> + Clone,
    {
        self.append_under(self.stripe.lock(), batch)
    }

    /// Appends a batch that was encoded, and checked, before.
    pub(crate) fn append_encoded(&self, batch: &EncodedBatch, now: Timestamp) -> Offset {
        let mut stripe = self.stripe.lock();
        self.make_room(&mut stripe, batch.encoded.bytes, now);
        let base_offset = stripe.log.append_encoded(batch, self.stamps(now));
        self.finish_append(stripe);
        base_offset
    }

    /// Appends a checked batch unless another thread is appending right now.
    #[inline]
    pub(crate) fn try_append<'r, 'a: 'r, I>(&self, batch: Checked<I>) -> Option<Offset>
    where
        I: Iterator<Item = &'r Record<'a>> + Clone,
    {
        let stripe = self.stripe.try_lock()?;
        Some(self.append_under(stripe, batch))
    }

    #[inline]
    fn append_under<'r, 'a: 'r, I>(
        &self,
        mut stripe: MutexGuard<'_, Stripe>,
        batch: Checked<I>,
    ) -> Offset
    where
        I: Iterator<Item = &'r Record<'a>> + Clone,
    {
        self.make_room(&mut stripe, batch.bytes_max, batch.stamps.now);
        let base_offset = stripe.log.append(batch.records, batch.stamps);
        self.finish_append(stripe);
        base_offset
    }

    #[inline]
    fn make_room(&self, stripe: &mut Stripe, bytes: usize, now: Timestamp) {
        if now >= stripe.expires {
            stripe.expires = self.retain(now);
        }
        if !stripe.log.has_room(bytes) {
            self.roll(stripe, bytes, now);
        }
    }

    /// Gives the stripe back and wakes who waits, with no lock held. Their tokens are put in before: a
    /// later append finds nobody armed, and a poll that follows it must not miss what is there.
    #[inline]
    fn finish_append(&self, mut stripe: MutexGuard<'_, Stripe>) {
        if stripe.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut stripe.waiting);
        if planted(Bug::PutAfterUnlock) {
            drop(stripe);
            waiting.into_iter().for_each(|watcher| watcher.mailbox.deliver(watcher.token));
            return;
        }
        let put = |watcher: Watcher| (watcher.mailbox.put(watcher.token), watcher.mailbox);
        let to_ring: Vec<_> = waiting.into_iter().map(put).collect();
        drop(stripe);
        for (bell, mailbox) in to_ring {
            mailbox.ring(bell);
        }
    }

    /// Goes on in a new chunk. Its place in the chain comes before the seal that sends readers there.
    #[cold]
    fn roll(&self, stripe: &mut Stripe, bytes: usize, now: Timestamp) {
        let next = stripe.log.next_chunk(bytes);
        let chunk = Arc::clone(next.chunk());
        if planted(Bug::SealBeforeChain) {
            stripe.log.switch(next);
            self.tail.write().push(chunk);
            return;
        }
        self.tail.write().push(chunk);
        stripe.log.switch(next);
        stripe.expires = self.retain(now);
    }

    /// Drops what retention does not keep.
    pub(crate) fn apply_retention(&self, now: Timestamp) {
        let mut stripe = self.stripe.lock();
        stripe.expires = self.retain(now);
    }

    /// Drops what retention does not keep; returns when the next chunk is due.
    #[cold]
    fn retain(&self, now: Timestamp) -> Timestamp {
        let config = &self.settings.config;
        let horizon = config.retention_time.map(|span| now.saturating_sub(span));
        let mut tail = self.tail.write();
        tail.apply(Retention { bytes: config.retention_bytes, horizon });
        match (config.retention_time, tail.oldest_timestamp()) {
            // A chunk is due when its latest record is older than the span, not as old.
            (Some(span), Some(latest)) => latest.saturating_add(span + Duration::from_millis(1)),
            _ => NEVER,
        }
    }

    /// The offset below which records were deleted by request.
    #[inline]
    pub(crate) fn deleted_before(&self) -> Offset {
        self.deleted_before.load(Ordering::Relaxed)
    }

    /// Finds the chunk that holds `offset`, or will hold it next.
    pub(crate) fn find(&self, offset: Offset) -> Result<Option<Arc<Chunk>>, ReadError> {
        let tail = self.tail.read();
        let (log_start, high_watermark) = (tail.start_offset(), tail.end_offset());
        if offset < log_start || offset > high_watermark {
            drop(tail);
            return Err(ReadError::OutOfRange {
                partition: self.name(),
                requested: offset,
                log_start,
                high_watermark,
            });
        }
        Ok(tail.find(offset).cloned())
    }

    /// Whether reading at `position` returns something, be it an error.
    pub(crate) fn has_news(&self, position: Offset) -> bool {
        self.tail.read().end_offset() != position
    }

    /// Counts a read that returned `slice`.
    #[inline]
    pub(crate) fn count_read(&self, slice: &Slice) {
        self.reads.reads.fetch_add(1, Ordering::Relaxed);
        self.reads.bytes.fetch_add(slice.batch_bytes() as u64, Ordering::Relaxed);
    }

    /// Has the watcher's token delivered by the next append. Returns false, and keeps nothing, if
    /// there is something to read at `position` already.
    pub(crate) fn arm(&self, watcher: Watcher, position: Offset) -> bool {
        let mut stripe = self.stripe.lock();
        if stripe.log.end_offset() != position && !planted(Bug::ArmWithoutCheck) {
            return false;
        }
        stripe.waiting.push(watcher);
        true
    }

    /// Forgets the tokens of a mailbox that is going away.
    pub(crate) fn disarm(&self, mailbox: &Arc<Mailbox>, token: Token) {
        let mut stripe = self.stripe.lock();
        stripe
            .waiting
            .retain(|watcher| !(watcher.token == token && Arc::ptr_eq(&watcher.mailbox, mailbox)));
    }
}
