//! Records that join the batch at the end of their partition, and who closes it.
//!
//! ```text
//!   enqueue ─► open batch ─┬─ in memory: shown to whoever looks at the end ─► closed, published
//!              unseen      └─ in a directory: a ticket; carried when there is enough of it,
//!                             when somebody waits for it, or when a reader wants it
//! ```
//!
//! In memory such a record is where it will stay, and only its batch is not complete. The published
//! word says that there is one, so a reader at the end completes it, under the stripe, and reads on:
//! what was enqueued before somebody looks is there for him, as if it had been appended by itself.
//!
//! Where the log stamps its records, or shows them before they are written, each is appended by itself.
//!
//! Invariants:
//! 1. Whoever asks for the end of the log, or for what is there, closes the open batch first.
//! 2. While a reader sleeps no batch in memory stays open.

use super::files::Files;
use super::settle::{Ticket, WORTH_A_WRITE};
use super::shared::{Shared, Stripe};
use crate::error::AppendError;
use crate::ids::{Offset, Timestamp};
use crate::log::Appender;
use crate::log::batch::record_bytes_max;
use crate::record::{Record, TimestampType};
use crate::sync::{Arc, MutexGuard};
use crate::topic::config::Durability;

impl Shared {
    /// Adds a record to the batch that is open, which is to end at `batch_bytes`. `None` for the ticket
    /// if it is where the topic promises it to be.
    #[inline]
    pub(crate) fn enqueue(
        this: &Arc<Shared>,
        record: &Record<'_>,
        now: Timestamp,
        batch_bytes: usize,
    ) -> Result<(Offset, Option<Ticket>), AppendError> {
        let bytes_max = this.check_one(record, now)?;
        let config = &this.settings.config;
        if config.timestamp_type == TimestampType::LogAppendTime {
            // A batch has one time.
            return Ok((this.append_one(record, bytes_max, now)?, None));
        }
        let joining = Joining {
            record,
            now,
            bytes_max,
            batch_bytes: batch_bytes.min(config.max_batch_bytes),
        };
        match &this.files {
            None => Ok((this.join_in_memory(joining), None)),
            Some(files) if files.durability != Durability::Memory => {
                let (offset, ticket) = Shared::join_in_files(this, files, joining)?;
                Ok((offset, Some(ticket)))
            }
            Some(_) => Ok((this.append_one(record, bytes_max, now)?, None)),
        }
    }

    fn join_in_memory(&self, joining: Joining<'_, '_>) -> Offset {
        let mut stripe = self.stripe.lock();
        // A look at what is due to go is part of it.
        if !joining.finds_room(&stripe.log) || joining.now >= stripe.expires {
            self.make_room(&mut stripe, joining.bytes_max, joining.now);
        }
        let offset = joining.push(&mut stripe.log);
        if !stripe.waiting.is_empty() {
            stripe.log.close_open();
            self.wake(stripe);
        }
        offset
    }

    fn join_in_files(
        this: &Arc<Shared>,
        files: &Files,
        joining: Joining<'_, '_>,
    ) -> Result<(Offset, Ticket), AppendError> {
        let mut stripe = this.enter(files)?;
        if !joining.finds_room(&stripe.log) {
            stripe = this.begin_batch(files, stripe, &joining)?;
        }
        let offset = joining.push(&mut stripe.log);
        let ticket = stripe.commit.take_ticket(this);
        let is_wanted = !stripe.waiting.is_empty() || stripe.log.unwritten_bytes() >= WORTH_A_WRITE;
        if is_wanted && !stripe.commit.is_busy() {
            drop(this.lead(stripe, files)); // the ticket tells
        }
        Ok((offset, ticket))
    }

    /// Makes room for another batch behind the open one. If that takes another chunk, what the full one
    /// has is carried first: a write that ends with it is the cheapest by the byte.
    #[inline(never)]
    fn begin_batch<'s>(
        &'s self,
        files: &Files,
        mut stripe: MutexGuard<'s, Stripe>,
        joining: &Joining<'_, '_>,
    ) -> Result<MutexGuard<'s, Stripe>, AppendError> {
        stripe.log.close_open();
        let is_full = !stripe.log.has_room(joining.bytes_max);
        if is_full && stripe.log.unwritten_bytes() > 0 && !stripe.commit.is_busy() {
            drop(self.lead(stripe, files)); // the tickets tell
            stripe = self.enter(files)?;
        }
        // Another may have opened one meanwhile.
        if !joining.finds_room(&stripe.log) {
            self.make_room(&mut stripe, joining.bytes_max, joining.now);
        }
        Ok(stripe)
    }

    /// Shows what was enqueued before, in memory.
    pub(crate) fn show_open(&self) {
        if self.files.is_none() && self.tail.read().is_open() {
            self.close_open();
        }
    }

    /// Completes the open batch of a log in memory.
    #[cold]
    pub(crate) fn close_open(&self) {
        self.stripe.lock().log.close_open();
    }
}

/// A record that is to join the open batch, or to open one.
struct Joining<'j, 'a> {
    record: &'j Record<'a>,
    now: Timestamp,
    /// What a batch of it alone takes at most.
    bytes_max: usize,
    /// What the batch may come to take with it.
    batch_bytes: usize,
}

impl Joining<'_, '_> {
    /// Whether the open batch takes it. There it may take more than by itself, for its distance from the first
    /// record.
    #[inline]
    fn finds_room(&self, log: &Appender) -> bool {
        log.open_has_room(record_bytes_max(self.record), self.batch_bytes)
    }

    /// Puts it in; returns its offset.
    #[inline]
    fn push(&self, log: &mut Appender) -> Offset {
        log.open_push(self.record, self.record.timestamp.unwrap_or(self.now))
    }
}
