//! What the handles of a partition share: one log, its stripe lock, and who waits for it.
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
//!
//! How an append reaches the files of a topic that has some, and who is told when, is `settle.rs`.

use super::config::TopicConfig;
use super::files::{Files, Opened};
use super::records::Slice;
use super::settle::Commit;
use super::stats::PartitionStats;
use crate::clock::Clock;
use crate::error::{AppendError, ReadError};
use crate::ids::{Offset, PartitionId, Timestamp, TopicName, TopicPartition};
use crate::log::batch::{self, EncodedBatch, Stamps};
use crate::log::onward::Onward;
use crate::log::{Appender, Chunk, Pool, Retention, Tail};
use crate::record::Record;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::planted::{Bug, planted};
use crate::sync::{Arc, CachePadded, Mailbox, Mutex, MutexGuard, RwLock, Token};
use std::iter;
use std::time::Duration;

/// What the handles, cursors and producers of one partition share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Guards appending, and who waits for it. On its own cache lines: partitions never meet.
    pub(super) stripe: CachePadded<Mutex<Stripe>>,
    /// Guards the chain of chunks.
    pub(super) tail: RwLock<Tail>,
    /// Records below this offset were deleted by request, also from chunks that retention dropped
    /// and readers still hold. Raised under `tail`, with the start that it stands for. Relaxed:
    /// deletion is not ordered with reads that run at the same time.
    deleted_before: AtomicU64,
    /// Counted by readers; on a line that appends do not touch.
    reads: CachePadded<Reads>,
    pub(crate) settings: Arc<Settings>,
    id: PartitionId,
    /// The partition's directory; `None` for a topic in memory.
    pub(super) files: Option<Box<Files>>,
}

/// What the partitions of one topic have in common.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) name: TopicName,
    pub(crate) config: TopicConfig,
    pub(crate) clock: std::sync::Arc<dyn Clock>,
    pub(crate) pool: Arc<Pool>,
}

impl Settings {
    pub(super) fn new(name: TopicName, config: TopicConfig, chunk_bytes: usize) -> Arc<Settings> {
        let clock = config.clock_or_systems();
        Arc::new(Settings { name, config, clock, pool: Pool::new(chunk_bytes) })
    }

    /// The topic's time. Kafka's format has none before the epoch, so a clock that stands there is
    /// taken to stand at the epoch.
    #[inline]
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now().max(Timestamp::default())
    }
}

#[derive(Debug)]
pub(super) struct Stripe {
    pub(super) log: Appender,
    pub(super) waiting: Vec<Watcher>,
    /// When the oldest chunk is due to be dropped, by the topic's clock: looked at by every append.
    pub(super) expires: Timestamp,
    /// Who carries what was appended to the files.
    pub(super) commit: Commit,
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

const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

/// What an index knows of a time.
pub(super) enum Found {
    /// The first record stamped then or later is here.
    Here(Offset),
    /// It is not before this.
    Behind(Offset),
}

/// A batch that was checked and can no longer be refused.
pub(crate) struct Checked<I> {
    pub(super) records: I,
    pub(super) bytes_max: usize,
    pub(super) stamps: Stamps,
}

fn payload_bytes(record: &Record<'_>) -> usize {
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)
}

impl Shared {
    /// An empty partition in memory.
    pub(crate) fn new(settings: Arc<Settings>, id: PartitionId) -> Shared {
        let log = Appender::new(Arc::clone(&settings.pool));
        Shared::assemble(settings, id, log, Tail::default(), None)
    }

    /// A partition as it was found in its directory.
    pub(crate) fn with_files(settings: Arc<Settings>, id: PartitionId, opened: Opened) -> Shared {
        let Opened { files, end_offset, home, layout, .. } = opened;
        let log = Appender::with_files(Arc::clone(&settings.pool), end_offset, home, layout);
        let tail = Tail::behind_files(end_offset);
        Shared::assemble(settings, id, log, tail, Some(Box::new(files)))
    }

    fn assemble(
        settings: Arc<Settings>,
        id: PartitionId,
        log: Appender,
        tail: Tail,
        files: Option<Box<Files>>,
    ) -> Shared {
        let (waiting, commit) = (Vec::new(), Commit::default());
        let stripe = Stripe { log, waiting, expires: NEVER, commit };
        Shared {
            stripe: CachePadded::new(Mutex::new(stripe)),
            tail: RwLock::new(tail),
            deleted_before: AtomicU64::new(0),
            reads: CachePadded::new(Reads::default()),
            settings,
            id,
            files,
        }
    }

    /// Whether the partition has a directory.
    #[inline]
    pub(crate) fn has_files(&self) -> bool {
        self.files.is_some()
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
        if config.cleanup.compacts() && records.clone().any(|record| record.key.is_none()) {
            return Err(AppendError::NoKey { partition: self.name() });
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

    /// As [`check`](Self::check), for a record by itself; returns what its batch takes at most. A number,
    /// since a struct would be read back in wider pieces than it was written, which the processor waits for.
    #[inline(always)]
    pub(crate) fn check_one(
        &self,
        record: &Record<'_>,
        now: Timestamp,
    ) -> Result<usize, AppendError> {
        let config = &self.settings.config;
        let bytes_max = batch::HEADER_BYTES.saturating_add(batch::record_bytes_max(record));
        let is_plain = bytes_max <= config.max_batch_bytes
            && record.timestamp.is_none()
            && !config.cleanup.compacts();
        if is_plain { Ok(bytes_max) } else { self.check_unusual(record, now) }
    }

    #[inline(never)]
    fn check_unusual(&self, record: &Record<'_>, now: Timestamp) -> Result<usize, AppendError> {
        Ok(self.check(iter::once(record), now)?.bytes_max)
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

    /// Appends a checked batch, and wakes who waits for it. Returns when the topic's durability is
    /// reached.
    #[inline]
    pub(crate) fn append<'r, 'a: 'r, I>(&self, batch: Checked<I>) -> Result<Offset, AppendError>
    where
        I: Iterator<Item = &'r Record<'a>> + Clone,
    {
        match &self.files {
            None => Ok(self.append_under(self.stripe.lock(), batch)),
            Some(files) => self.append_settled(files, batch),
        }
    }

    /// As [`append`](Self::append), for a record by itself that was checked.
    #[inline(never)]
    pub(crate) fn append_one(
        &self,
        record: &Record<'_>,
        bytes_max: usize,
        now: Timestamp,
    ) -> Result<Offset, AppendError> {
        let (records, stamps) = (iter::once(record), self.stamps(now));
        self.append(Checked { records, bytes_max, stamps })
    }

    /// Appends a batch that was encoded, and checked, before.
    pub(crate) fn append_encoded(
        &self,
        batch: &EncodedBatch,
        now: Timestamp,
    ) -> Result<Offset, AppendError> {
        if let Some(files) = &self.files {
            return self.append_encoded_settled(files, batch, now);
        }
        let mut stripe = self.stripe.lock();
        self.make_room(&mut stripe, batch.encoded.bytes, now);
        let base_offset = stripe.log.append_encoded(batch, self.stamps(now));
        self.wake(stripe);
        Ok(base_offset)
    }

    #[inline(always)]
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
        self.wake(stripe);
        base_offset
    }

    /// Makes room for a batch, behind the open one, which takes what it has.
    #[inline]
    pub(super) fn make_room(&self, stripe: &mut Stripe, bytes: usize, now: Timestamp) {
        stripe.log.close_open();
        if now >= stripe.expires && self.files.is_none() {
            stripe.expires = self.retain(now);
        }
        if !stripe.log.has_room(bytes) {
            self.roll(stripe, bytes, now);
        }
    }

    /// Gives the stripe back and wakes who waits, with no lock held.
    #[inline(always)]
    pub(super) fn wake(&self, stripe: MutexGuard<'_, Stripe>) {
        if !stripe.waiting.is_empty() {
            wake_waiting(stripe);
        }
    }

    /// Goes on in a new chunk. Its place in the chain comes before the seal that sends readers there.
    #[cold]
    fn roll(&self, stripe: &mut Stripe, bytes: usize, now: Timestamp) {
        let next = stripe.log.next_chunk(bytes);
        let chunk = Arc::clone(next.chunk());
        if planted(Bug::SealBeforeChain) {
            stripe.log.switch(next, bytes);
            self.tail.write().push(chunk);
            return;
        }
        self.tail.write().push(chunk);
        stripe.log.switch(next, bytes);
        match &self.files {
            None => stripe.expires = self.retain(now),
            Some(_) => {
                let bytes_max = self.settings.config.cache_bytes;
                self.tail.write().evict(bytes_max, |chunk| {
                    stripe.log.is_settled(chunk) || planted(Bug::EvictUnwritten)
                });
            }
        }
    }

    /// Drops what retention does not keep.
    pub(crate) fn apply_retention(&self, now: Timestamp) {
        if let Some(files) = &self.files {
            if self.settings.config.cleanup.deletes() && files.damage().is_none() {
                let high_watermark = self.tail.read().end_offset();
                // What could not be dropped now is dropped the next time.
                let _ = files.apply_retention(self.limits(now), high_watermark);
            }
            return;
        }
        let mut stripe = self.stripe.lock();
        stripe.log.close_open();
        stripe.expires = self.retain(now);
    }

    /// Drops what retention does not keep; returns when the next chunk is due.
    #[cold]
    fn retain(&self, now: Timestamp) -> Timestamp {
        let config = &self.settings.config;
        let mut tail = self.tail.write();
        tail.apply(self.limits(now));
        match (config.retention_time, tail.oldest_timestamp()) {
            // A chunk is due when its latest record is older than the span, not as old.
            (Some(span), Some(latest)) => latest.saturating_add(span + Duration::from_millis(1)),
            _ => NEVER,
        }
    }

    fn limits(&self, now: Timestamp) -> Retention {
        let config = &self.settings.config;
        let horizon = config.retention_time.map(|span| now.saturating_sub(span));
        Retention { bytes: config.retention_bytes, horizon }
    }

    /// The offset below which records were deleted by request.
    #[inline]
    pub(crate) fn deleted_before(&self) -> Offset {
        self.deleted_before.load(Ordering::Relaxed)
    }

    /// Finds the chunk that holds `offset`, or will hold it next, or the first record behind it. What is
    /// not in memory is read back.
    pub(crate) fn find(
        &self,
        offset: Offset,
        onward: &mut Onward,
    ) -> Result<Option<Arc<Chunk>>, ReadError> {
        self.check_readable()?;
        self.show_open();
        let tail = self.tail.read();
        let high_watermark = tail.end_offset();
        let out_of_range = |log_start| ReadError::OutOfRange {
            partition: self.name(),
            requested: offset,
            log_start,
            high_watermark,
        };
        let log_start = match &self.files {
            None => tail.start_offset(),
            Some(files) => files.log_start(),
        };
        if offset < log_start || offset > high_watermark {
            return Err(out_of_range(log_start));
        }
        let first_in_memory = tail.first_offset();
        if let Some(files) = &self.files
            && offset < first_in_memory
        {
            drop(tail);
            let found = files.read_back(offset, first_in_memory, onward)?;
            // Where retention came by meanwhile, what was found is not what follows, or nothing was.
            if offset < files.log_start() && !planted(Bug::PassOvertaken) {
                return Err(out_of_range(files.log_start()));
            }
            if found.is_some() {
                return Ok(found);
            }
            // Compaction has left nothing before what is in memory.
            return Ok(self.tail.read().find(first_in_memory).cloned());
        }
        Ok(tail.find(offset).cloned())
    }

    /// The first offset that can be read, and the end of what can be.
    pub(crate) fn bounds(&self) -> (Offset, Offset) {
        self.show_open();
        let tail = self.tail.read();
        let start = self.files.as_ref().map_or(tail.start_offset(), |files| files.log_start());
        (start, tail.end_offset())
    }

    /// What the partition holds and what was done to it.
    pub(super) fn stats(&self) -> PartitionStats {
        let (start, end) = self.bounds();
        let appended = self.stripe.lock().log.appended();
        let tail = self.tail.read();
        PartitionStats {
            records: end - start,
            bytes: self.files.as_ref().map_or_else(|| tail.bytes(), |files| files.bytes()),
            memory_bytes: tail.capacity(),
            appends: appended.batches,
            appended_records: appended.records,
            appended_bytes: appended.bytes,
            reads: self.reads.reads.load(Ordering::Relaxed),
            read_bytes: self.reads.bytes.load(Ordering::Relaxed),
        }
    }

    /// Deletes the records below `before`; returns the new start.
    pub(super) fn delete_records(&self, before: Offset) -> Result<Offset, AppendError> {
        self.check_online()?;
        self.show_open();
        let mut tail = self.tail.write();
        let high_watermark = tail.end_offset();
        if before > high_watermark {
            let partition = self.name();
            return Err(AppendError::BeyondEnd { partition, requested: before, high_watermark });
        }
        let start = match &self.files {
            None => {
                tail.delete_before(before);
                tail.start_offset()
            }
            Some(files) => {
                drop(tail);
                if let Some(ended) = files.ended() {
                    return Err(files.append_ended(ended));
                }
                files.move_start(before)?
            }
        };
        if !planted(Bug::ForgetFloor) {
            self.deleted_before.fetch_max(before, Ordering::Relaxed);
        }
        Ok(start)
    }

    /// Where to look for the first record stamped `at` or later; `None` if there is none.
    pub(super) fn offset_before(&self, at: Timestamp) -> Option<Found> {
        if let Some(files) = &self.files {
            self.check_readable().ok()?;
            return files.offset_before(at).ok().map(Found::Behind);
        }
        self.show_open();
        let tail = self.tail.read();
        let found = tail.since(at).find_map(|chunk| chunk.offset_for_timestamp(at))?;
        Some(Found::Here(found))
    }

    /// Whether reading at `position` returns something, be it an error.
    pub(crate) fn has_news(&self, position: Offset) -> bool {
        let tail = self.tail.read();
        tail.end_offset() != position || tail.is_open()
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
        if let Some(files) = &self.files {
            return self.arm_behind_files(files, watcher, position);
        }
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

/// Gives the stripe back and wakes who waits. Their tokens are put in before: a later append finds nobody
/// armed, and a poll that follows it must not miss what is there.
#[cold]
fn wake_waiting(mut stripe: MutexGuard<'_, Stripe>) {
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
