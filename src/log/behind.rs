//! The appending half of a log: batches that stay open, and what goes to the files.
//!
//! ```text
//!   open_push ─► open batch ─┬─ full, or something else is appended ───► closed
//!                            ├─ in memory: a reader wants it ──────────► closed: it is shown
//!                            └─ load: what is not written, to be carried to the files
//!
//!   load ─► (written) ─► wrote ─► (synced, where that is waited for) ─► show ─► readers
//!     └───► (refused) ─► give_up: the log ends where it was written to
//! ```

use super::backlog::Backlog;
use super::batch::OpenBatch;
use super::{Appender, Chunk, GivenUp, Load, batch};
use crate::ids::{Offset, Timestamp};
use crate::record::{Record, TimestampType};
use crate::sync::Arc;

impl Appender {
    /// Whether the open batch takes a record of at most `record_bytes` more, if it is to end at
    /// `batch_bytes`.
    #[inline]
    pub(crate) fn open_has_room(&self, record_bytes: usize, batch_bytes: usize) -> bool {
        self.open.as_ref().is_some_and(|open| {
            let bytes = open.bytes() + record_bytes;
            bytes <= batch_bytes && bytes <= open.bytes_max()
        })
    }

    /// Adds a record to the open batch, or opens one; returns its offset. The caller has made room.
    /// Such batches are stamped by their senders.
    #[inline]
    pub(crate) fn open_push(&mut self, record: &Record<'_>, timestamp: Timestamp) -> Offset {
        if self.open.is_none() {
            self.open = Some(OpenBatch::new(self.open_bytes_max()));
        }
        let (Some(open), Some(writer)) = (&mut self.open, &mut self.writer) else {
            unreachable!("{}", super::HAS_ROOM)
        };
        open.push(writer.spare(), record, timestamp);
        if open.count() == 1 && self.backlog.is_none() {
            writer.announce();
        }
        self.next_offset += 1;
        self.next_offset - 1
    }

    /// What a batch that is opened now may come to take: what the chunk has left, within its place in the file.
    fn open_bytes_max(&self) -> usize {
        let writer = self.writer.as_ref().expect(super::HAS_ROOM);
        let in_file = |backlog: &Backlog| backlog.room(writer, self.next_offset);
        writer.room().min(self.backlog.as_deref().map_or(usize::MAX, in_file))
    }

    /// Completes the open batch, if there is one.
    #[inline]
    pub(crate) fn close_open(&mut self) {
        if self.open.is_some() {
            self.close();
        }
    }

    #[cold]
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let base_offset = self.next_offset - Offset::from(open.count());
        let writer = self.writer.as_mut().expect(super::HAS_ROOM);
        let finish = |spare: &mut [u8]| open.finish(spare, base_offset, TimestampType::CreateTime);
        let encoded = match &mut self.backlog {
            None => writer.append(finish),
            Some(backlog) => {
                let encoded = writer.append_hidden(|spare| {
                    let encoded = finish(spare);
                    batch::set_leader_epoch(spare, backlog.epoch);
                    batch::seal(&mut spare[..encoded.bytes]);
                    encoded
                });
                backlog.unwritten_bytes += encoded.bytes as u64;
                if backlog.shows_at_once() {
                    writer.publish(writer.written());
                }
                encoded
            }
        };
        self.account(&encoded);
    }

    /// Bytes that are appended and not written, as far as they are in complete batches, and those of the
    /// open one.
    #[inline]
    pub(crate) fn unwritten_bytes(&self) -> u64 {
        let open = self.open.as_ref().map_or(0, OpenBatch::bytes) as u64;
        self.backlog.as_ref().map_or(0, |backlog| backlog.unwritten_bytes) + open
    }

    /// The epoch that batches carry from now on.
    pub(crate) fn set_epoch(&mut self, epoch: i32) {
        if let Some(backlog) = &mut self.backlog {
            backlog.epoch = epoch;
        }
    }

    /// Everything that is not written yet; `None` if there is nothing.
    pub(crate) fn load(&mut self) -> Option<Load> {
        self.close_open();
        self.backlog.as_ref()?.load(self.writer.as_ref(), (self.appends, self.bytes))
    }

    /// Notes that a load is in the files.
    pub(crate) fn wrote(&mut self, load: &Load) {
        if let (Some(backlog), Some(writer)) = (&mut self.backlog, &self.writer) {
            backlog.wrote(load, writer);
        }
    }

    /// Shows readers everything that is written.
    pub(crate) fn show_written(&mut self) {
        if let (Some(backlog), Some(writer)) = (&mut self.backlog, &self.writer) {
            backlog.show(backlog.written(), writer);
        }
    }

    /// Gives up everything that is not written. The caller takes as many chunks from the end of the
    /// chain as this says.
    pub(crate) fn give_up(&mut self) -> Option<GivenUp> {
        self.open = None;
        let writer = self.writer.take()?;
        let given_up = self.backlog.as_mut()?.give_up(writer);
        self.next_offset = given_up.next_offset;
        (self.appends, self.bytes) = given_up.totals;
        Some(given_up)
    }

    /// Whether a chunk may go from memory: all of it is written and shown, and it is not the last.
    pub(crate) fn is_settled(&self, chunk: &Arc<Chunk>) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| backlog.is_settled(chunk))
    }
}
