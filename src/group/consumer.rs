//! What a member's thread holds: poll, commit, seek.
//!
//! A poll that finds records and no news takes no lock of the group: it compares the group's version
//! with the one it saw last and the time with the group's next deadline, then reads. What happens
//! when there is news is told in `rebalance.rs`.
//!
//! Invariants:
//! 1. Positions are those of records that were returned: `commit` after `poll` commits them.
//! 2. A partition that is not assigned is not read, and not committed.
//! 3. `assignment` is sorted, and changes only within `poll`, and between the listener's calls.

use super::coordinator::{Epoch, Leave, MemberKey, Profile};
use super::member::RebalanceListener;
use super::membership::{Membership, Presence};
use super::offsets::{Change, Committed, METADATA_BYTES_MAX, OffsetAndMetadata};
use super::{OffsetReset, positions};
use crate::clock::Deadline;
use crate::error::{CommitError, GroupError, PollError, ReadError};
use crate::ids::{Map, MemberId, Offset, Timestamp, TopicPartition};
use crate::sync::planted::{Bug, planted};
use crate::topic::{Fetcher, Partition, Records};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A member of a group: reads the partitions that it is assigned.
///
/// It belongs to one thread at a time and leaves the group when it is dropped, also when its thread
/// panics; a static member keeps its partitions for the session timeout.
///
/// ```
/// use anabranch::{ConsumerGroup, Producer, Record, Topic, TopicConfig};
/// use std::time::Duration;
///
/// let orders = Topic::in_memory("orders", TopicConfig::new())?;
/// Producer::new(&orders).send_batch([Record::new("a"), Record::new("b")])?;
/// let billing = ConsumerGroup::builder("billing").topic(&orders).build()?;
///
/// let mut consumer = billing.join("worker-1")?;
/// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 2);
/// consumer.commit()?;
/// consumer.leave()?;
///
/// // Whoever comes next goes on from there.
/// assert!(billing.join("worker-2")?.poll(Duration::ZERO)?.is_empty());
/// # Ok::<(), anabranch::Error>(())
/// ```
pub struct Consumer {
    pub(super) group: Arc<Membership>,
    pub(super) profile: Profile,
    /// Whether it reads all of the group's topics, also those that are added.
    pub(super) wants_all: bool,
    pub(super) key: MemberKey,
    pub(super) presence: Arc<Presence>,
    pub(super) fetcher: Fetcher,
    pub(super) epoch: Epoch,
    /// The group's version as of the last time this member came by.
    pub(super) seen: u64,
    /// Whether the group is to be told what is held: at first, and after something was let go of.
    pub(super) must_report: bool,
    pub(super) assignment: Vec<TopicPartition>,
    /// Assigned partitions that have no position: `poll` says so until the program seeks.
    pub(super) unpositioned: Vec<TopicPartition>,
    pub(super) paused: Map<TopicPartition, ()>,
    /// Records that were gone before they were read, since the last poll that returned.
    pub(super) lost: Vec<(TopicPartition, u64)>,
    pub(super) listener: Option<Box<dyn RebalanceListener>>,
    pub(super) is_calling_listener: bool,
    pub(super) fenced_by: Option<MemberId>,
    pub(super) polled: Duration,
    pub(super) committed: Duration,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("group", &self.group.id)
            .field("member", &self.profile.id)
            .field("generation", &self.epoch)
            .field("assignment", &self.assignment)
            .finish_non_exhaustive()
    }
}

impl Consumer {
    pub(super) fn join(
        group: Arc<Membership>,
        profile: Profile,
        wants_all: bool,
        listener: Option<Box<dyn RebalanceListener>>,
    ) -> Result<Consumer, GroupError> {
        let fetcher = Fetcher::new(group.settings.limits);
        let now = group.elapsed();
        let mailbox = crate::sync::Arc::clone(fetcher.mailbox());
        let presence = Presence::new(mailbox, wants_all, now);
        let key = group.join(profile.clone(), &presence)?;
        Ok(Consumer {
            group,
            profile,
            wants_all,
            key,
            presence,
            fetcher,
            epoch: 0,
            seen: u64::MAX,
            must_report: true,
            assignment: Vec::new(),
            unpositioned: Vec::new(),
            paused: Map::default(),
            lost: Vec::new(),
            listener,
            is_calling_listener: false,
            fenced_by: None,
            polled: now,
            committed: now,
        })
    }

    /// The member's name.
    pub fn id(&self) -> &MemberId {
        &self.profile.id
    }

    /// The generation whose assignment the member has; 0 before its first.
    pub fn generation(&self) -> u32 {
        self.epoch
    }

    /// The partitions that the member reads, sorted.
    pub fn assignment(&self) -> &[TopicPartition] {
        &self.assignment
    }

    /// Returns the next records of the assigned partitions; waits for some up to `timeout`, in real
    /// time, if there are none. This is also where rebalances happen.
    ///
    /// At most `max_poll_records` and `max_poll_bytes` are returned. Partitions are served in turn: one
    /// that has records is served after at most as many polls as there are others with records.
    ///
    /// # Errors
    ///
    /// [`PollError`] says what happened and what the next poll will do. A partition that is damaged or
    /// offline says so each time that it is its turn, and others are served in between;
    /// [`pause`](Self::pause) it to hear no more of it.
    ///
    /// # Panics
    ///
    /// With the panic of a listener, after the rebalance has been carried through.
    pub fn poll(&mut self, timeout: Duration) -> Result<Records, PollError> {
        self.begin_poll()?;
        let records = self.take()?;
        if !records.is_empty() || !records.lost().is_empty() || timeout.is_zero() {
            return Ok(records);
        }
        let deadline = Deadline::after(timeout);
        loop {
            let now = self.group.elapsed();
            let until_due = self.due().saturating_sub(now);
            self.presence.polling();
            self.fetcher.wait(deadline.remaining().min(until_due));
            self.polled = self.group.elapsed();
            self.begin_poll()?;
            let records = self.take()?;
            if !records.is_empty() || !records.lost().is_empty() || deadline.remaining().is_zero() {
                return Ok(records);
            }
        }
    }

    /// As [`poll`](Self::poll), for a task: without records, the task is woken when there are some, or
    /// when the group has news for this member.
    ///
    /// Time wakes no task: what is due while all members wait (an auto-commit, somebody's deadline) is
    /// done when one of them is polled, or by [`ConsumerGroup::tick`](crate::ConsumerGroup::tick). A
    /// task that waits counts as polling; one that was woken has `max_poll_interval` to poll.
    ///
    /// # Errors
    ///
    /// As [`poll`](Self::poll).
    ///
    /// The waker is called by whoever appends: it must not send to the same topics itself.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the task goes away: records that were not returned are read next time.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Records, PollError>> {
        loop {
            let polled = self.begin_poll().and_then(|()| self.take());
            match polled {
                Ok(records) if records.is_empty() && records.lost().is_empty() => {}
                done => return Poll::Ready(done),
            }
            self.presence.polling();
            if self.fetcher.wake_later(context.waker()) {
                return Poll::Pending;
            }
        }
    }

    /// When a poll that waits has something to do besides reading, by the group's clock.
    fn due(&self) -> Duration {
        let deadline = self.group.deadline();
        match self.group.settings.auto_commit {
            Some(interval) if self.fetcher.has_moved() => {
                deadline.min(self.committed.saturating_add(interval))
            }
            _ => deadline,
        }
    }

    /// Reads, and goes on where the group's policy says when a position does not exist any more.
    fn take(&mut self) -> Result<Records, PollError> {
        loop {
            match self.fetcher.take() {
                Ok(mut records) => {
                    // Others are read all the same: the error is for a poll that finds nothing.
                    if records.is_empty()
                        && let Some(partition) = self.unpositioned.first().cloned()
                    {
                        self.unpositioned.rotate_left(1);
                        return Err(self.no_position(partition));
                    }
                    records.set_lost(std::mem::take(&mut self.lost));
                    return Ok(records);
                }
                Err(error) => self.go_on_elsewhere(error)?,
            }
        }
    }

    /// Why a partition has no position, and the program is to say.
    #[cold]
    fn no_position(&self, of: TopicPartition) -> PollError {
        let (group, committed) = (self.group.id.clone(), self.group.offsets.get(&of));
        let truncated = committed.and_then(|committed| {
            let end = committed.truncated_at(&self.group.partition(&of)?)?;
            Some((committed.offset, end))
        });
        match truncated {
            None => PollError::NoOffset { group, partition: of },
            Some((committed, log_end)) => {
                PollError::Truncated { group, partition: of, committed, log_end }
            }
        }
    }

    #[cold]
    fn go_on_elsewhere(&mut self, error: ReadError) -> Result<(), PollError> {
        let ReadError::OutOfRange { partition: of, requested, log_start, .. } = &error else {
            return Err(error.into());
        };
        let start = self.group.partition(of).and_then(|partition| {
            positions::start(self.group.settings.offset_reset, &partition, self.now(), false)
        });
        let Some(start) = start else { return Err(error.into()) };
        self.fetcher.seek(of, start)?;
        self.fetcher.moved_again(std::slice::from_ref(of));
        let reads_on_at_start = self.offset_reset() == OffsetReset::Earliest;
        // That start may have moved on since the error.
        let first = match reads_on_at_start && start > *requested {
            true if !planted(Bug::LossUncounted) => start,
            _ => *log_start,
        };
        if let Some(lost) = first.checked_sub(*requested) {
            self.lost.push((of.clone(), lost));
        }
        Ok(())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.group.settings.clock.now()
    }

    /// Commits the positions of all that `poll` has returned, or that was sought since. A position
    /// beyond the end is none yet: the next poll decides where that partition is read, and what is
    /// committed for it stays as it is until then, as it does for a partition that is offline.
    ///
    /// # Errors
    ///
    /// [`CommitError`] if the member was fenced or given up, or the commit could not be made durable.
    /// Nothing was committed; what was consumed is committed with the next call.
    pub fn commit(&mut self) -> Result<(), CommitError> {
        let moved = self.fetcher.take_moved();
        let (mut commits, mut pending) = (Vec::new(), Vec::new());
        for of in &moved {
            let Some(position) = self.fetcher.position(of) else { continue };
            let Some(partition) = self.group.partition(of) else { continue };
            if partition.damage().is_some() {
                continue; // Nobody has read it, wherever it was sought.
            }
            if position > partition.high_watermark() && !planted(Bug::CommitBeyondEnd) {
                pending.push(of.clone());
                continue;
            }
            // Retention may have overtaken it since.
            let position = position.max(partition.log_start_offset());
            let committed = Committed::new(&partition, OffsetAndMetadata::new(position));
            commits.push((of.clone(), Some(committed)));
        }
        self.fetcher.moved_again(&pending);
        if commits.is_empty() {
            return self.check_fenced();
        }
        let committed = self.store(commits);
        if committed.is_err() {
            self.fetcher.moved_again(&moved);
        }
        committed
    }

    /// Commits these offsets: of each partition that of the next record to be read.
    ///
    /// # Errors
    ///
    /// [`CommitError`] if the member was fenced or given up, a partition is not assigned to it or offline,
    /// an offset does not exist, or the commit could not be made durable. None was committed.
    pub fn commit_offsets(
        &mut self,
        offsets: &[(TopicPartition, Offset)],
    ) -> Result<(), CommitError> {
        let plain =
            |(of, offset): &(TopicPartition, Offset)| (of.clone(), OffsetAndMetadata::new(*offset));
        self.commit_each(offsets.iter().map(plain))
    }

    /// As [`commit_offsets`](Self::commit_offsets), with something to remember beside each.
    ///
    /// # Errors
    ///
    /// As [`commit_offsets`](Self::commit_offsets), and [`CommitError::MetadataTooLarge`].
    pub fn commit_with_metadata(
        &mut self,
        offsets: Vec<(TopicPartition, OffsetAndMetadata)>,
    ) -> Result<(), CommitError> {
        self.commit_each(offsets.into_iter())
    }

    fn commit_each(
        &mut self,
        offsets: impl ExactSizeIterator<Item = (TopicPartition, OffsetAndMetadata)>,
    ) -> Result<(), CommitError> {
        if offsets.len() == 0 {
            return self.check_fenced();
        }
        let mut commits = Vec::with_capacity(offsets.len());
        for (of, what) in offsets {
            let committed = self.check_commit(&of, what)?;
            commits.push((of, Some(committed)));
        }
        self.store(commits)
    }

    fn check_commit(
        &self,
        of: &TopicPartition,
        what: OffsetAndMetadata,
    ) -> Result<Committed, CommitError> {
        let bytes = what.metadata.len();
        if bytes > METADATA_BYTES_MAX {
            let (partition, max) = (of.clone(), METADATA_BYTES_MAX);
            return Err(CommitError::MetadataTooLarge { partition, bytes, max });
        }
        let Some(partition) = self.group.partition(of) else {
            let (group, member) = (self.group.id.clone(), self.profile.id.clone());
            return Err(CommitError::NotAssigned { group, member, partition: of.clone() });
        };
        if let Some(corruption) = partition.damage().cloned().map(Box::new) {
            return Err(CommitError::Offline { partition: of.clone(), corruption });
        }
        let (log_start, log_end) = (partition.log_start_offset(), partition.high_watermark());
        let requested = what.offset;
        if !(log_start..=log_end).contains(&requested) {
            let partition = of.clone();
            return Err(CommitError::OutOfRange { partition, requested, log_start, log_end });
        }
        Ok(Committed::new(&partition, what))
    }

    fn store(&mut self, commits: Vec<Change>) -> Result<(), CommitError> {
        self.check_fenced()?;
        self.group.commit(self.key, &self.profile.id, self.epoch, commits)
    }

    fn check_fenced(&self) -> Result<(), CommitError> {
        match self.fenced_by.clone() {
            None => Ok(()),
            Some(by) => Err(CommitError::Fenced {
                group: self.group.id.clone(),
                member: self.profile.id.clone(),
                by,
            }),
        }
    }

    /// The offset of the next record that `poll` returns of a partition; `None` if it is not assigned
    /// or has no position yet.
    pub fn position(&self, of: &TopicPartition) -> Option<Offset> {
        self.fetcher.position(of)
    }

    /// How many records of an assigned partition `poll` has yet to return; of one that is offline, which is
    /// not known, 0.
    pub fn lag(&self, of: &TopicPartition) -> Option<u64> {
        let position = self.position(of)?;
        Some(self.group.partition(of)?.high_watermark().saturating_sub(position))
    }

    /// Reads a partition on from `offset`. If that does not exist, the next poll goes by the group's
    /// [`OffsetReset`].
    ///
    /// # Errors
    ///
    /// [`ReadError::NotAssigned`] for a partition that is not assigned to this member.
    pub fn seek(&mut self, of: &TopicPartition, offset: Offset) -> Result<(), ReadError> {
        self.seek_with(std::slice::from_ref(of), |_| offset)
    }

    /// Reads these partitions on from their first retained record; all assigned ones if none is named.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek); no position was changed.
    pub fn seek_to_beginning(&mut self, partitions: &[TopicPartition]) -> Result<(), ReadError> {
        self.seek_with(partitions, Partition::log_start_offset)
    }

    /// Reads these partitions on from their end; all assigned ones if none is named.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek); no position was changed.
    pub fn seek_to_end(&mut self, partitions: &[TopicPartition]) -> Result<(), ReadError> {
        self.seek_with(partitions, Partition::high_watermark)
    }

    /// Reads these partitions on from their first record stamped `at` or later, or their end; all
    /// assigned ones if none is named.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek); no position was changed.
    pub fn seek_to_timestamp(
        &mut self,
        partitions: &[TopicPartition],
        at: Timestamp,
    ) -> Result<(), ReadError> {
        self.seek_with(partitions, |partition| positions::at_or_end(partition, at))
    }

    fn seek_with(
        &mut self,
        partitions: &[TopicPartition],
        target: impl Fn(&Partition) -> Offset,
    ) -> Result<(), ReadError> {
        let all = if partitions.is_empty() { self.assignment.clone() } else { Vec::new() };
        let partitions = if partitions.is_empty() { &all } else { partitions };
        let unknown = |of: &&TopicPartition| self.assignment.binary_search(of).is_err();
        if let Some(of) = partitions.iter().find(unknown) {
            return Err(ReadError::NotAssigned { partition: of.clone() });
        }
        for of in partitions {
            let Some(partition) = self.group.partition(of) else { continue };
            self.place(&partition, of, target(&partition));
        }
        let fetcher = &self.fetcher;
        self.unpositioned.retain(|of| fetcher.position(of).is_none());
        Ok(())
    }

    /// Gives an assigned partition a position that is the program's or the policy's, not the group's.
    pub(super) fn place(&mut self, partition: &Partition, of: &TopicPartition, offset: Offset) {
        self.fetcher.add(partition, offset);
        if self.paused.contains_key(of) {
            // It was paused before it had a position, and so before the fetcher knew it.
            self.fetcher.pause(std::slice::from_ref(of));
        }
        self.fetcher.moved_again(std::slice::from_ref(of));
    }

    /// Stops returning records of these partitions, which stay assigned. Those that are not assigned
    /// are passed over. Forgotten when a partition is revoked.
    pub fn pause(&mut self, partitions: &[TopicPartition]) {
        let is_mine = |of: &&TopicPartition| self.assignment.binary_search(of).is_ok();
        let mine: Vec<TopicPartition> = partitions.iter().filter(is_mine).cloned().collect();
        self.fetcher.pause(&mine);
        self.paused.extend(mine.into_iter().map(|of| (of, ())));
    }

    /// Goes on returning records of these partitions, where they were paused.
    pub fn resume(&mut self, partitions: &[TopicPartition]) {
        for of in partitions {
            self.paused.remove(of);
        }
        self.fetcher.resume(partitions);
    }

    /// Leaves the group: commits under auto-commit, tells the listener, lets go of everything. A static
    /// member's partitions are kept for the session timeout.
    ///
    /// # Errors
    ///
    /// [`GroupError::Commit`] if auto-commit was refused. The member has left all the same.
    pub fn leave(mut self) -> Result<(), GroupError> {
        self.say_goodbye(Leave::ForNow).map_err(GroupError::from)
    }

    /// As [`leave`](Self::leave), but a static member's partitions go to others at once.
    ///
    /// # Errors
    ///
    /// As [`leave`](Self::leave).
    pub fn leave_for_good(mut self) -> Result<(), GroupError> {
        self.say_goodbye(Leave::ForGood).map_err(GroupError::from)
    }

    /// The policy of the group, for the parts of this type.
    pub(super) fn offset_reset(&self) -> OffsetReset {
        self.group.settings.offset_reset
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // No user code on the way out of a panic, and nothing is committed that may not have
            // been processed.
            self.listener = None;
            self.group.depart(self.key, Leave::ForNow);
        } else {
            // After `leave` there is nothing left to say.
            drop(self.say_goodbye(Leave::ForNow));
        }
    }
}
