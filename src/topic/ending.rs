//! The life of a partition with files beside its appends: flushing, housekeeping, epochs, and its end.
//!
//! ```text
//!   open ─┬─ close: nobody adds any more, then everything is written and synced
//!         ├─ abandon: its files are going
//!         ├─ offline: its files were damaged when they were to be opened
//!         └─ a write or sync after which nobody knows what the files hold: poisoned
//! ```
//!
//! Whoever waits, to append or to read, learns of the end.

use super::files::{Ended, Files};
use super::shared::Shared;
use crate::error::{AppendError, FlushError, ReadError};
use crate::ids::{Offset, Timestamp};
use crate::sync::planted::{Bug, planted};

impl Shared {
    /// The latest leader epoch in which anything was appended; `None` in memory, where there is but one.
    ///
    /// Not the one to come: what is read and committed before it begins may be lost before it does, and
    /// would look like its own.
    pub(crate) fn leader_epoch(&self) -> Option<i32> {
        let is_coming = planted(Bug::CommitComingEpoch);
        self.files
            .as_ref()
            .map(|files| if is_coming { files.coming_epoch() } else { files.epoch() })
    }

    /// Where the records of `epoch`, and of those before it, end: where the next epoch starts; `None` if
    /// there is none.
    pub(crate) fn end_of_epoch(&self, epoch: i32) -> Option<Offset> {
        let files = self.files.as_ref().filter(|_| epoch >= 0)?;
        let end = || self.stripe.lock().log.end_offset();
        // Looked at before the epochs: whatever was appended by now has begun its epoch before, and what is
        // appended from now on does not count.
        let before = (!planted(Bug::EndAfterEpochs)).then(end);
        // There may be one that this session will begin with its first append.
        let is_past = epoch < files.coming_epoch();
        let next = files.end_of_epoch(epoch);
        let end = before.unwrap_or_else(end);
        // The next may have begun at what was lost since.
        let next = next.filter(|next| *next <= end || planted(Bug::EndBehindLog));
        is_past.then(|| next.unwrap_or(end))
    }

    /// Why a reader that has read everything gets nothing more, if so.
    pub(super) fn read_ended(&self) -> Option<ReadError> {
        self.files.as_ref()?.read_ended()
    }

    /// Whether a reader that has read everything is to be told that this was all.
    pub(super) fn has_ended(&self) -> bool {
        self.files.as_ref().is_some_and(|files| files.is_drained())
    }

    /// Makes everything appended before the call durable.
    pub(super) fn flush(&self) -> Result<Offset, FlushError> {
        let Some(files) = &self.files else { return Ok(self.stripe.lock().log.end_offset()) };
        if let Some(ended) = files.ended() {
            return Err(files.flush_ended(ended));
        }
        self.settle_all().map_err(|refused| match refused {
            AppendError::Disk { partition, source } => FlushError::Disk { partition, source },
            AppendError::Poisoned { partition, source } => {
                FlushError::Poisoned { partition, source }
            }
            _ => FlushError::Closed { partition: self.name() },
        })?;
        self.sync(files)
    }

    /// Makes durable what is written: not more, so that it is not refused for what is not.
    pub(crate) fn sync_written(&self) -> Result<(), FlushError> {
        self.files.as_ref().map_or(Ok(()), |files| self.sync(files).map(drop))
    }

    fn sync(&self, files: &Files) -> Result<Offset, FlushError> {
        let waking = WakeOnPanic(self);
        let synced = files.sync();
        std::mem::forget(waking);
        synced.map_err(|error| {
            if !planted(Bug::SilentPoison) {
                self.wake(self.stripe.lock());
            }
            files.flush_ended(&Ended::Poisoned(error))
        })?;
        Ok(files.synced())
    }

    /// What housekeeping does for a partition.
    pub(super) fn keep_house(&self, now: Timestamp, syncs: bool) {
        let Some(files) = &self.files else { return self.apply_retention(now) };
        if files.ended().is_some() {
            return;
        }
        // Nobody waits for these: who does hears of a refusal. A failed sync poisons the partition.
        drop(self.settle_all());
        if syncs {
            drop(self.flush());
        }
        self.apply_retention(now);
        if self.settings.config.cleanup.compacts() {
            drop(files.compact(&self.settings.config, now));
            if files.ended().is_some() {
                self.wake(self.stripe.lock());
            }
        }
    }

    /// Ends the partition: nothing is taken any more. Who is appending has left the stripe when this returns.
    fn end(&self, files: &Files, ended: Ended) {
        files.end(ended);
        self.wake(self.stripe.lock());
    }

    /// Tells readers that what is shown is all.
    fn drained(&self, files: &Files) {
        files.drain();
        self.wake(self.stripe.lock());
    }

    /// Ends the partition whose files are going, and waits for who is at work on them.
    pub(super) fn abandon(&self) {
        if let Some(files) = &self.files {
            self.end(files, Ended::Closed);
            drop(self.settle_all());
            self.drained(files);
            drop(files.finish());
        }
    }

    /// Closes the partition in good order; what was appended is on disk then.
    pub(super) fn close(&self) -> Result<(), FlushError> {
        let Some(files) = &self.files else { return Ok(()) };
        if let Some(Ended::Closed | Ended::Offline(_)) = files.ended() {
            return Ok(());
        }
        // First nobody adds any more, then what was added is written.
        self.end(files, Ended::Closed);
        if planted(Bug::EndTooSoon) {
            self.drained(files);
        }
        let settled = if planted(Bug::CloseUnwritten) { Ok(()) } else { self.settle_all() };
        self.drained(files);
        let closed = files.close(settled.is_ok());
        let partition = self.name();
        if let Some(error) = files.poisoned() {
            return Err(files.flush_ended(&Ended::Poisoned(error.clone())));
        }
        match (settled, closed.map_err(Box::new)) {
            (Err(AppendError::Disk { source, .. }), _) | (_, Err(source)) => {
                Err(FlushError::Disk { partition, source })
            }
            (Err(other), _) => unreachable!("a write is refused by the disk: {other}"),
            (Ok(()), Ok(())) => Ok(()),
        }
    }
}

/// Who syncs, and leads nobody: the readers that sleep are told of the poison that a panic leaves. Forgotten when
/// there was none.
struct WakeOnPanic<'l>(&'l Shared);

impl Drop for WakeOnPanic<'_> {
    fn drop(&mut self) {
        self.0.wake(self.0.stripe.lock());
    }
}
