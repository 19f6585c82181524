//! Reading several partitions, and sleeping until one of them has records.
//!
//! ```text
//!                 ┌────────── found nothing many times in a row ─────────┐
//!                 │                                                      ▼
//!    active: looked at by every poll                        armed: costs a poll nothing
//!                 ▲                                                      │
//!                 └──── token in the mailbox ◄── next append delivers ───┘
//! ```
//!
//! A partition with traffic is *active*: each poll looks at it, which is one load. One that has been
//! silent for a while is *armed*: its next append puts a token into the mailbox, and until then no
//! poll knows about it. A poll that finds nothing looks a few more times, then arms what is left and
//! sleeps.
//!
//! Invariants:
//! 1. Each partition is active or armed or paused, never two of them.
//! 2. A poll serves active partitions in turn: the one served goes to the end of the line, so one that
//!    has records is served after at most as many polls as there are others with records.
//! 3. Arming looks for records under the partition's lock, so no append is missed.

use super::cursor::Cursor;
use super::partition::{Partition, Watcher};
use super::records::Records;
use crate::clock::Deadline;
use crate::error::ReadError;
use crate::ids::{Map, Offset, TopicPartition};
use crate::sync::{Arc, Backoff, Mailbox, Token};
use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

/// How many polls in a row may find an active partition empty before it is armed: arming takes the
/// partition's lock, and the next append then pays for a delivery.
const EMPTY_LOOKS_MAX: u32 = 32;

/// What one poll returns at most, unless a single batch is larger: what stays in a core's cache.
const POLL_BYTES: usize = 1 << 20;

/// Reads any number of partitions, of one topic or several, without a group.
///
/// ```
/// use anabranch::{Producer, Reader, Record, Topic, TopicConfig};
/// use std::time::Duration;
///
/// let topic = Topic::in_memory("orders", TopicConfig::new().partitions(2))?;
/// let mut reader = Reader::new(topic.partitions().map(|partition| (partition, 0)));
///
/// Producer::new(&topic).send(Record::new("2 espresso").to_partition(1))?;
/// let records = reader.poll(Duration::from_secs(1))?;
/// assert_eq!(records.len(), 1);
/// assert!(reader.poll(Duration::ZERO)?.is_empty());
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    watched: Vec<Watched>,
    by_name: Map<TopicPartition, Token>,
    active: VecDeque<Token>,
    mailbox: Arc<Mailbox>,
    arrived: Vec<Token>,
    max_bytes: usize,
}

#[derive(Debug)]
struct Watched {
    cursor: Cursor,
    empty_looks: u32,
    is_armed: bool,
}

impl Reader {
    /// Reads these partitions, each from its offset on.
    ///
    /// An offset that does not exist shows at the first poll. A partition that is given twice is
    /// read from the last offset given.
    pub fn new(partitions: impl IntoIterator<Item = (Partition, Offset)>) -> Reader {
        let mut reader = Reader {
            watched: Vec::new(),
            by_name: Map::default(),
            active: VecDeque::new(),
            mailbox: Arc::new(Mailbox::default()),
            arrived: Vec::new(),
            max_bytes: POLL_BYTES,
        };
        for (partition, offset) in partitions {
            reader.add(&partition, offset);
        }
        reader
    }

    /// Sets how many bytes of batches a poll returns at most; one batch is returned whatever it
    /// takes. Default: 1 MiB. Raising it makes polls fewer and longer.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Reader {
        self.max_bytes = bytes;
        self
    }

    fn add(&mut self, partition: &Partition, offset: Offset) {
        let name = partition.shared.name();
        if let Some(&token) = self.by_name.get(&name) {
            self.watched[token as usize].cursor.seek(offset);
            return;
        }
        let token = Token::try_from(self.watched.len()).expect("fewer partitions than 2^32");
        let cursor = Cursor::new(Arc::clone(&partition.shared), offset);
        self.watched.push(Watched { cursor, empty_looks: 0, is_armed: false });
        self.by_name.insert(name, token);
        self.active.push_back(token);
    }

    /// Returns the next records; waits for some up to `timeout`, in real time, if there are none.
    ///
    /// Nothing is returned only when the time is up.
    ///
    /// # Errors
    ///
    /// [`ReadError::OutOfRange`] when retention or deletion overtook one of the positions. That
    /// partition keeps its position, the others go on with the next poll: [`seek`](Self::seek).
    pub fn poll(&mut self, timeout: Duration) -> Result<Records, ReadError> {
        let records = self.take()?;
        if !records.is_empty() || timeout.is_zero() {
            return Ok(records);
        }
        let deadline = Deadline::after(timeout);
        loop {
            self.look_again();
            let records = self.take()?;
            if !records.is_empty() {
                return Ok(records);
            }
            let remaining = deadline.remaining();
            if remaining.is_zero() {
                return Ok(records);
            }
            if self.arm_all() {
                self.mailbox.wait(remaining);
            }
        }
    }

    /// As [`poll`](Self::poll), for a task: without records, the task is woken when there are some.
    ///
    /// # Errors
    ///
    /// As [`poll`](Self::poll).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the task goes away: records that were not returned are read next time.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Records, ReadError>> {
        loop {
            match self.take() {
                Ok(records) if records.is_empty() => {}
                done => return Poll::Ready(done),
            }
            if self.arm_all() && self.mailbox.register(context.waker()) {
                return Poll::Pending;
            }
        }
    }

    /// The offset that the next record of a partition will have; `None` for one that is not read.
    pub fn position(&self, of: &TopicPartition) -> Option<Offset> {
        let token = *self.by_name.get(of)?;
        Some(self.watched[token as usize].cursor.offset())
    }

    /// Reads on from `offset`. Whether that exists shows at the next poll.
    ///
    /// # Errors
    ///
    /// [`ReadError::NotAssigned`] for a partition that is not read.
    pub fn seek(&mut self, of: &TopicPartition, offset: Offset) -> Result<(), ReadError> {
        let Some(&token) = self.by_name.get(of) else {
            return Err(ReadError::NotAssigned { partition: of.clone() });
        };
        let watched = &mut self.watched[token as usize];
        watched.cursor.seek(offset);
        if watched.is_armed {
            // There may be records at the new position already, so it must be looked at.
            watched.disarm(&self.mailbox, token);
            self.active.push_back(token);
        }
        Ok(())
    }

    /// Reads from the active partitions in turn, as far as the limits go.
    fn take(&mut self) -> Result<Records, ReadError> {
        self.wake_up();
        let mut records = Records::default();
        let mut room = self.max_bytes;
        for _ in 0..self.active.len() {
            let Some(token) = self.active.pop_front() else { break };
            let watched = &mut self.watched[token as usize];
            match watched.cursor.fetch(room, records.is_empty()) {
                Ok(Some(slice)) => {
                    watched.empty_looks = 0;
                    room = room.saturating_sub(slice.batch_bytes());
                    records.push(slice);
                }
                Ok(None) if watched.cursor.is_ready() => {
                    // It has records, but they do not fit any more: it is the first of the next poll.
                    self.active.push_front(token);
                    break;
                }
                Ok(None) => {
                    watched.empty_looks += 1;
                    if watched.empty_looks > EMPTY_LOOKS_MAX && watched.arm(&self.mailbox, token) {
                        continue;
                    }
                }
                Err(error) if records.is_empty() => {
                    self.active.push_back(token);
                    return Err(error);
                }
                Err(_) => {
                    // What was read before is returned. The error comes with the next poll, which
                    // begins here: behind others with records it would never come.
                    self.active.push_front(token);
                    return Ok(records);
                }
            }
            self.active.push_back(token);
        }
        Ok(records)
    }

    /// Makes partitions active again whose tokens have arrived.
    #[inline]
    fn wake_up(&mut self) {
        if !self.mailbox.has_mail() {
            return;
        }
        self.mailbox.collect(&mut self.arrived);
        for token in self.arrived.drain(..) {
            let watched = &mut self.watched[token as usize];
            // A token that was on its way while its partition was disarmed says nothing new.
            if std::mem::take(&mut watched.is_armed) {
                watched.empty_looks = 0;
                self.active.push_back(token);
            }
        }
    }

    /// Looks a few more times, first spinning, then giving way to other threads: waking a sleeper
    /// costs more than most gaps between two records last.
    fn look_again(&mut self) {
        let backoff = Backoff::new();
        while !backoff.is_completed() {
            let is_ready = |token: &Token| self.watched[*token as usize].cursor.is_ready();
            if self.mailbox.has_mail() || self.active.iter().any(is_ready) {
                return;
            }
            backoff.snooze();
        }
    }

    /// Arms every active partition. Returns false, with some left active, if there is something to
    /// read.
    fn arm_all(&mut self) -> bool {
        for _ in 0..self.active.len() {
            let Some(token) = self.active.pop_front() else { break };
            if !self.watched[token as usize].arm(&self.mailbox, token) {
                self.active.push_back(token);
                return false;
            }
        }
        true
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for (token, watched) in (0..).zip(&mut self.watched) {
            watched.disarm(&self.mailbox, token);
        }
    }
}

impl Watched {
    fn arm(&mut self, mailbox: &Arc<Mailbox>, token: Token) -> bool {
        let watcher = Watcher { mailbox: Arc::clone(mailbox), token };
        self.is_armed = self.cursor.partition().arm(watcher, self.cursor.offset());
        self.is_armed
    }

    fn disarm(&mut self, mailbox: &Arc<Mailbox>, token: Token) {
        if std::mem::take(&mut self.is_armed) {
            self.cursor.partition().disarm(mailbox, token);
        }
    }
}
