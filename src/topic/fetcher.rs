//! Reading several partitions, and sleeping until one of them has records: what a reader and a
//! group's consumer have in common.
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
//! sleeps. A *paused* partition is neither.
//!
//! Invariants:
//! 1. A partition is in the line of active ones once if it is active, else not at all.
//! 2. A poll serves active partitions in turn: the one served goes to the end of the line, so one that
//!    has records is served after at most as many polls as there are others with records.
//! 3. Arming looks for records under the partition's lock, so no append is missed.

use super::cursor::Cursor;
use super::distance::Distance;
use super::partition::Partition;
use super::records::Records;
use super::shared::Watcher;
use crate::error::ReadError;
use crate::ids::{Map, Offset, TopicPartition};
use crate::sync::planted::{Bug, planted};
use crate::sync::{Arc, Backoff, Mailbox, Token};
use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

/// How many polls in a row may find an active partition empty before it is armed: arming takes the
/// partition's lock, and the next append then pays for a delivery.
const EMPTY_LOOKS_MAX: u32 = 32;

/// The token that says "something other than records": a group's membership has news.
pub(crate) const ALARM: Token = Token::MAX;

/// What one poll returns at most, unless a single batch is larger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) bytes: usize,
    pub(crate) records: usize,
}

#[derive(Debug)]
pub(crate) struct Fetcher {
    /// By token; `None` where a partition was removed.
    watched: Vec<Option<Watched>>,
    /// Tokens of partitions that were removed, to be used again. A delivery to the former holder that
    /// comes late makes the new one look once for nothing.
    free: Vec<Token>,
    by_name: Map<TopicPartition, Token>,
    active: VecDeque<Token>,
    /// Partitions whose position has changed since `take_moved`.
    moved: Vec<Token>,
    mailbox: Arc<Mailbox>,
    arrived: Vec<Token>,
    is_alarmed: bool,
    distance: Distance,
    limits: Limits,
}

#[derive(Debug)]
struct Watched {
    cursor: Cursor,
    empty_looks: u32,
    state: State,
    /// Whether it is among `moved`.
    has_moved: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    Armed,
    Paused,
}

impl Fetcher {
    pub(crate) fn new(limits: Limits) -> Fetcher {
        Fetcher {
            watched: Vec::new(),
            free: Vec::new(),
            by_name: Map::default(),
            active: VecDeque::new(),
            moved: Vec::new(),
            mailbox: Arc::new(Mailbox::default()),
            arrived: Vec::new(),
            is_alarmed: false,
            distance: Distance::default(),
            limits,
        }
    }

    pub(crate) fn set_max_bytes(&mut self, bytes: usize) {
        self.limits.bytes = bytes;
    }

    /// Where news is delivered.
    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Adds a partition to be read from `offset` on; one that is there already is moved to it.
    pub(crate) fn add(&mut self, partition: &Partition, offset: Offset) {
        let name = partition.shared.name();
        if self.by_name.contains_key(&name) {
            let is_same = |watched: &Option<Watched>| {
                let partition_of = watched.as_ref().map(|watched| watched.cursor.partition());
                partition_of.is_some_and(|known| Arc::ptr_eq(known, &partition.shared))
            };
            if let Some(place) = self.watched.iter().position(is_same) {
                return self.seek_token(
                    Token::try_from(place).expect("fewer partitions than 2^32"),
                    offset,
                );
            }
        }
        let cursor = Cursor::new(Arc::clone(&partition.shared), offset);
        let watched =
            Some(Watched { cursor, empty_looks: 0, state: State::Active, has_moved: false });
        let token = match self.free.pop() {
            Some(token) => {
                self.watched[token as usize] = watched;
                token
            }
            None => {
                self.watched.push(watched);
                Token::try_from(self.watched.len() - 1).expect("fewer partitions than 2^32")
            }
        };
        // Of two topics of one name the first is found by it; both are read.
        self.by_name.entry(name).or_insert(token);
        self.active.push_back(token);
    }

    /// Stops reading these partitions. The line is gone through once, however many they are.
    pub(crate) fn remove(&mut self, names: &[TopicPartition]) {
        for name in names {
            let Some(token) = self.by_name.remove(name) else { continue };
            let watched = self.watched[token as usize].take();
            if let Some(mut watched) = watched.filter(|watched| watched.state == State::Armed) {
                watched.disarm(&self.mailbox, token);
            }
            self.free.push(token);
        }
        let watched = &self.watched;
        let is_read = |token: &Token| watched[*token as usize].is_some();
        self.active.retain(is_read);
        self.moved.retain(is_read);
    }

    /// The offset that the next record of a partition will have.
    pub(crate) fn position(&self, of: &TopicPartition) -> Option<Offset> {
        let token = *self.by_name.get(of)?;
        Some(self.watched[token as usize].as_ref()?.cursor.offset())
    }

    /// Reads on from `offset`.
    pub(crate) fn seek(&mut self, of: &TopicPartition, offset: Offset) -> Result<(), ReadError> {
        let token = self.token(of)?;
        self.seek_token(token, offset);
        Ok(())
    }

    fn seek_token(&mut self, token: Token, offset: Offset) {
        let watched = known(&mut self.watched, token);
        watched.cursor.seek(offset);
        if watched.state == State::Armed {
            // There may be records at the new position already, so it must be looked at.
            watched.disarm(&self.mailbox, token);
            watched.state = State::Active;
            self.active.push_back(token);
        }
    }

    /// Stops reading these partitions, at the positions they have; the line is gone through once.
    pub(crate) fn pause(&mut self, partitions: &[TopicPartition]) {
        let mut was_active = false;
        for of in partitions {
            let Some(&token) = self.by_name.get(of) else { continue };
            let watched = known(&mut self.watched, token);
            match std::mem::replace(&mut watched.state, State::Paused) {
                State::Active => was_active = true,
                State::Armed => watched.disarm(&self.mailbox, token),
                State::Paused => {}
            }
        }
        if was_active {
            let watched = &mut self.watched;
            self.active.retain(|token| known(watched, *token).state == State::Active);
        }
    }

    /// Goes on reading these partitions, where they were paused.
    pub(crate) fn resume(&mut self, partitions: &[TopicPartition]) {
        for of in partitions {
            let Some(&token) = self.by_name.get(of) else { continue };
            let watched = known(&mut self.watched, token);
            if watched.state == State::Paused {
                watched.state = State::Active;
                self.active.push_back(token);
            }
        }
    }

    /// The partitions whose position has changed since the last call.
    pub(crate) fn take_moved(&mut self) -> Vec<TopicPartition> {
        let mut moved = Vec::with_capacity(self.moved.len());
        for token in self.moved.drain(..) {
            let watched = known(&mut self.watched, token);
            watched.has_moved = false;
            moved.push(watched.cursor.partition().name());
        }
        moved
    }

    /// Whether a position has changed since `take_moved`.
    pub(crate) fn has_moved(&self) -> bool {
        !self.moved.is_empty()
    }

    /// Counts partitions among those whose position has changed.
    pub(crate) fn moved_again(&mut self, partitions: &[TopicPartition]) {
        for of in partitions {
            let Some(&token) = self.by_name.get(of) else { continue };
            if !std::mem::replace(&mut known(&mut self.watched, token).has_moved, true) {
                self.moved.push(token);
            }
        }
    }

    fn token(&self, of: &TopicPartition) -> Result<Token, ReadError> {
        let unknown = || ReadError::NotAssigned { partition: of.clone() };
        self.by_name.get(of).copied().ok_or_else(unknown)
    }

    /// Reads from the active partitions in turn, as far as the limits go.
    pub(crate) fn take(&mut self) -> Result<Records, ReadError> {
        if self.distance.is_kept()
            && let Some(&token) = self.active.front()
        {
            self.distance.keep(&known(&mut self.watched, token).cursor);
        }
        let records = self.take_now()?;
        self.distance.adapt(records.len());
        Ok(records)
    }

    fn take_now(&mut self) -> Result<Records, ReadError> {
        self.wake_up();
        let mut records = Records::default();
        let mut room = self.limits;
        for _ in 0..self.active.len() {
            let Some(token) = self.active.pop_front() else { break };
            let watched = known(&mut self.watched, token);
            match watched.cursor.fetch(room, records.is_empty()) {
                Ok(Some(slice)) => {
                    watched.empty_looks = 0;
                    if !std::mem::replace(&mut watched.has_moved, true) {
                        self.moved.push(token);
                    }
                    room.bytes = room.bytes.saturating_sub(slice.batch_bytes());
                    room.records -= slice.len().min(room.records);
                    records.push(slice);
                }
                Ok(None) if !records.is_empty() && watched.cursor.is_ready() => {
                    // It has records, but they do not fit any more: it is the first of the next poll.
                    // (While nothing was read everything fits, and what comes just now is not waited
                    // for: others behind it may have had records before.)
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
            if token == ALARM {
                self.is_alarmed = true;
                continue;
            }
            // A token that was on its way while its partition was disarmed says nothing new.
            let watched = self.watched.get_mut(token as usize).and_then(Option::as_mut);
            if let Some(watched) = watched.filter(|watched| watched.state == State::Armed) {
                watched.state = State::Active;
                watched.empty_looks = 0;
                self.active.push_back(token);
            }
        }
    }

    /// Whether the alarm was delivered since the last call.
    pub(crate) fn take_alarm(&mut self) -> bool {
        self.wake_up();
        std::mem::take(&mut self.is_alarmed)
    }

    /// Waits for news for up to `timeout`, in real time: looks a few more times, then sleeps. May
    /// return for no reason. An alarm that was collected and not taken yet counts as news.
    pub(crate) fn wait(&mut self, timeout: Duration) {
        if !self.has_alarm() && !self.look_again() && self.arm_all() {
            self.mailbox.wait(timeout);
        }
    }

    /// Has `waker` called when there is news; false if there is some already.
    pub(crate) fn wake_later(&mut self, waker: &Waker) -> bool {
        !self.has_alarm() && self.arm_all() && self.mailbox.register(waker)
    }

    /// Whether an alarm came out of the mailbox with other tokens, and nobody has taken it yet: the
    /// mailbox does not know of it any more.
    fn has_alarm(&self) -> bool {
        self.is_alarmed && !planted(Bug::ForgetAlarm)
    }

    /// Looks a few more times, first spinning, then giving way to other threads: waking a sleeper
    /// costs more than most gaps between two records last.
    pub(crate) fn look_again(&self) -> bool {
        let is_ready = |token: &Token| {
            self.watched[*token as usize].as_ref().is_some_and(|watched| watched.cursor.is_ready())
        };
        let backoff = Backoff::new();
        while !backoff.is_completed() {
            if self.mailbox.has_mail() || self.active.iter().any(is_ready) {
                return true;
            }
            backoff.snooze();
        }
        false
    }

    /// Arms every active partition. Returns false, with some left active, if there is something to
    /// read.
    fn arm_all(&mut self) -> bool {
        for _ in 0..self.active.len() {
            let Some(token) = self.active.pop_front() else { break };
            if !known(&mut self.watched, token).arm(&self.mailbox, token) {
                self.active.push_back(token);
                return false;
            }
        }
        true
    }
}

/// A partition whose token is in use.
fn known(watched: &mut [Option<Watched>], token: Token) -> &mut Watched {
    watched[token as usize].as_mut().expect("a token in use has its partition")
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        for (token, watched) in (0..).zip(&mut self.watched) {
            if let Some(watched) = watched.as_mut().filter(|watched| watched.state == State::Armed)
            {
                watched.disarm(&self.mailbox, token);
            }
        }
    }
}

impl Watched {
    fn arm(&mut self, mailbox: &Arc<Mailbox>, token: Token) -> bool {
        let watcher = Watcher { mailbox: Arc::clone(mailbox), token };
        let is_armed = self.cursor.partition().arm(watcher, self.cursor.offset());
        if is_armed {
            self.state = State::Armed;
        }
        is_armed
    }

    fn disarm(&mut self, mailbox: &Arc<Mailbox>, token: Token) {
        self.cursor.partition().disarm(mailbox, token);
    }
}
