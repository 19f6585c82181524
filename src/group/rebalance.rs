//! The part of a poll in which partitions come and go.
//!
//! ```text
//!  come by ─► revoke these ─► auto-commit ─► listener.revoked ─► let go ─► come by again, saying so
//!     │
//!     ├─► these are yours ─► positions ─► listener.assigned
//!     └─► you are not a member ─► listener.lost ─► join again, or say `Fenced`
//! ```
//!
//! What is held changes after `revoked` or `lost` has returned and before `assigned` is called. A listener that
//! panics does not stop any of it: the first panic continues when all is done.

use super::consumer::Consumer;
use super::coordinator::{Change, Departure, Leave, Poll, PollRefused};
use super::member::RebalanceListener;
use super::offsets::Committed;
use super::{OffsetReset, positions};
use crate::error::{AssignmentError, CommitError, PollError};
use crate::ids::TopicPartition;
use crate::sync::planted::{Bug, planted};
use crate::topic::Partition;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What went wrong on the way, to be told when the rebalance is carried through.
#[derive(Default)]
struct Trouble {
    panic: Option<Box<dyn Any + Send>>,
    refused: Option<AssignmentError>,
}

/// Which of the listener's methods to call.
#[derive(Clone, Copy)]
enum Call {
    Assigned,
    Revoked,
    Lost,
}

impl Consumer {
    /// What every poll begins with: is there news, and is it time to commit?
    #[inline]
    pub(super) fn begin_poll(&mut self) -> Result<(), PollError> {
        if self.is_calling_listener {
            return Err(PollError::Reentrant);
        }
        let now = self.group.elapsed();
        let is_late = now.saturating_sub(self.polled) > self.group.settings.max_poll_interval;
        if !is_late {
            // One that is late was given up, or is about to be: that must not be papered over.
            self.polled = now;
            self.presence.polled(now);
        }
        let has_alarm = self.fetcher.take_alarm();
        let has_news = self.group.version() != self.seen || self.group.deadline() <= now;
        if has_alarm || has_news || is_late || self.must_report {
            self.rebalance()?;
        }
        if let Some(interval) = self.group.settings.auto_commit
            && now.saturating_sub(self.committed) >= interval
        {
            self.auto_commit();
        }
        Ok(())
    }

    /// Comes by until there is nothing more to do.
    #[cold]
    fn rebalance(&mut self) -> Result<(), PollError> {
        let mut trouble = Trouble::default();
        let outcome = self.come_by(&mut trouble);
        self.polled = self.group.elapsed();
        self.presence.polled(self.polled);
        if let Some(panic) = trouble.panic {
            resume_unwind(panic);
        }
        outcome?;
        match trouble.refused {
            None => Ok(()),
            Some(reason) => Err(PollError::Assignment {
                group: self.group.id.clone(),
                assignor: self.group.settings.assignor.name().to_owned(),
                reason,
            }),
        }
    }

    fn come_by(&mut self, trouble: &mut Trouble) -> Result<(), PollError> {
        loop {
            if let Some(by) = self.fenced_by.clone() {
                let (group, member) = (self.group.id.clone(), self.profile.id.clone());
                return Err(PollError::Fenced { group, member, by });
            }
            let owned = self.must_report.then_some(self.assignment.as_slice());
            let poll = Poll { member: self.key, epoch: self.epoch, owned };
            match self.group.come_by(poll) {
                Ok(answer) => {
                    self.seen = answer.version;
                    self.must_report = false;
                    self.epoch = answer.update.epoch;
                    trouble.refused = answer.refused.or(trouble.refused.take());
                    match answer.update.change {
                        Some(change) => self.change(change, trouble),
                        None => return Ok(()),
                    }
                    if !self.must_report {
                        return Ok(());
                    }
                }
                Err(PollRefused::WrongEpoch { current, .. }) => {
                    self.epoch = current;
                    self.must_report = true;
                }
                Err(PollRefused::Departed(departure)) => {
                    if let Departure::Fenced { by } = departure {
                        self.fenced_by = Some(by);
                    }
                    self.lose_all(trouble);
                    if self.fenced_by.is_none() {
                        self.join_again()?;
                    }
                }
            }
        }
    }

    /// Carries out what the group decided about this member.
    fn change(&mut self, change: Change, trouble: &mut Trouble) {
        let Change { assignment, added, revoke } = change;
        if !revoke.is_empty() {
            if self.group.settings.auto_commit.is_some() {
                self.auto_commit();
            }
            if planted(Bug::LetGoBeforeRevoked) {
                let owned = Some(assignment.as_slice());
                drop(self.group.come_by(Poll { member: self.key, epoch: self.epoch, owned }));
            }
            self.call(Call::Revoked, &revoke, trouble);
            self.let_go(&revoke);
            self.must_report = true;
        }
        self.assignment = assignment;
        self.group.offsets.wait_for(&added);
        for of in &added {
            self.take_on(of);
        }
        if revoke.is_empty() {
            self.call(Call::Assigned, &added, trouble);
            self.committed = self.group.elapsed();
        }
    }

    /// Forgets these partitions, which are sorted.
    fn let_go(&mut self, gone: &[TopicPartition]) {
        self.fetcher.remove(gone);
        self.paused.retain(|of, ()| gone.binary_search(of).is_err());
        self.unpositioned.retain(|of| gone.binary_search(of).is_err());
    }

    /// Gives a partition that came its position: what is committed, or what the policy says.
    fn take_on(&mut self, of: &TopicPartition) {
        let Some(partition) = self.group.partition(of) else { return };
        if partition.damage().is_some() {
            // No position of it is better than another: its polls say why there is nothing to read.
            let committed = self.group.offsets.get(of);
            return self.fetcher.add(&partition, committed.map_or(0, |committed| committed.offset));
        }
        if let Some(committed) = self.group.offsets.get(of)
            && !planted(Bug::PositionFromStart)
        {
            return self.go_on_from(&partition, of, &committed);
        }
        let is_new = self.group.is_new(of);
        match positions::start(self.offset_reset(), &partition, self.now(), is_new) {
            Some(offset) => self.place(&partition, of, offset),
            None => self.unpositioned.push(of.clone()),
        }
    }

    /// Reads on from what is committed. Where records below that were lost and others may stand at their
    /// offsets, it is from the first of those on (KIP-320), unless the program wants to say.
    fn go_on_from(&mut self, partition: &Partition, of: &TopicPartition, committed: &Committed) {
        match committed.truncated_at(partition) {
            None => self.fetcher.add(partition, committed.offset),
            Some(_) if self.offset_reset() == OffsetReset::None => {
                self.unpositioned.push(of.clone());
            }
            Some(end) => self.place(partition, of, end),
        }
    }

    fn lose_all(&mut self, trouble: &mut Trouble) {
        let all = self.assignment.clone();
        if !all.is_empty() {
            self.call(Call::Lost, &all, trouble);
        }
        self.let_go(&all);
        self.assignment.clear();
        self.epoch = 0;
    }

    fn join_again(&mut self) -> Result<(), PollError> {
        self.group.forget(self.key);
        if self.wants_all {
            self.profile.topics = self.group.topic_names();
        }
        let joined = self.group.join(self.profile.clone(), &self.presence);
        self.key = joined.map_err(|reason| PollError::Rejoin {
            group: self.group.id.clone(),
            member: self.profile.id.clone(),
            reason: Box::new(reason),
        })?;
        self.must_report = true;
        Ok(())
    }

    /// Commits what was returned; what is wrong with that never surfaces, as in Kafka.
    fn auto_commit(&mut self) {
        drop(self.commit());
        self.committed = self.group.elapsed();
    }

    /// Calls the listener, which may use this consumer meanwhile.
    fn call(&mut self, what: Call, partitions: &[TopicPartition], trouble: &mut Trouble) {
        let Some(mut listener) = self.listener.take() else { return };
        self.is_calling_listener = true;
        // Unwind safety: the consumer's own methods leave it whole, and the listener's state is its
        // own affair.
        let called = catch_unwind(AssertUnwindSafe(|| {
            let listener: &mut dyn RebalanceListener = &mut *listener;
            match what {
                Call::Assigned => listener.assigned(self, partitions),
                Call::Revoked => listener.revoked(self, partitions),
                Call::Lost => listener.lost(self, partitions),
            }
        }));
        self.is_calling_listener = false;
        self.listener = Some(listener);
        if let Err(panic) = called {
            trouble.panic.get_or_insert(panic);
        }
    }

    /// Leaves the group; does nothing the second time.
    pub(super) fn say_goodbye(&mut self, how: Leave) -> Result<(), CommitError> {
        let mut trouble = Trouble::default();
        let mut committed = Ok(());
        if self.group.settings.auto_commit.is_some() && !self.assignment.is_empty() {
            committed = self.commit();
        }
        let all = self.assignment.clone();
        if !all.is_empty() {
            let is_member = self.group.is_member(self.key);
            let call = if is_member { Call::Revoked } else { Call::Lost };
            self.call(call, &all, &mut trouble);
        }
        self.listener = None;
        self.let_go(&all);
        self.assignment.clear();
        self.group.depart(self.key, how);
        if let Some(panic) = trouble.panic {
            resume_unwind(panic);
        }
        committed
    }
}
