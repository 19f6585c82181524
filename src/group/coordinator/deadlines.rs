//! Who is given up, and when.
//!
//! Every member has a few deadlines, and nearly all of them are moved on before they come: at each
//! poll. So they are not kept in order. `due` is a time before which nothing can be due; setting a
//! deadline may lower it, moving one on leaves it alone. Only when `due` has passed are all members
//! looked at, and then it is exact again. A poll that renews costs no search.
//!
//! Kept here:
//! 1. `due` is never later than the first deadline.
//! 2. Deadlines that passed together take effect in the order of their times.

use super::planted::planted;
use super::roster::Roster;
use super::seat::Timer;
use crate::ids::MemberId;
use std::time::Duration;

/// A member that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expired {
    pub(super) serial: u64,
    pub(super) member: MemberId,
    pub(super) timer: Timer,
    pub(super) at: Duration,
    /// Whether it had gone away before, so that nobody is there to be told.
    pub(super) was_away: bool,
}

/// `timeout` from `now`; never, if that cannot be expressed.
pub(super) fn expiry(now: Duration, timeout: Duration) -> Option<Duration> {
    now.checked_add(timeout)
}

impl Roster {
    /// Takes note of a deadline that was set.
    pub(super) fn watch(&mut self, deadline: Option<Duration>) {
        if let Some(deadline) = deadline {
            self.due = self.due.min(deadline);
        }
    }

    /// A time before which nobody is given up; none if nobody ever is. May come before the first
    /// deadline, never after.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        (self.due < Duration::MAX).then_some(self.due)
    }

    /// Gives up all whose time has come, the earliest first.
    pub(super) fn expire(&mut self, now: Duration) -> Vec<Expired> {
        let mut expired = Vec::new();
        if now < self.due || planted!(DeadlineIgnored) {
            return expired;
        }
        loop {
            let mut due: Vec<(Duration, Timer, u32)> = Vec::new();
            self.due = Duration::MAX;
            let mut first = Duration::MAX;
            for (place, seat) in self.occupied() {
                match seat.deadlines.first() {
                    Some((at, timer)) if at <= now => due.push((at, timer, place)),
                    Some((at, _)) => first = first.min(at),
                    None => {}
                }
            }
            self.due = first;
            if due.is_empty() {
                return expired;
            }
            due.sort_unstable();
            expired
                .extend(due.into_iter().map(|(at, timer, place)| self.give_up(place, timer, at)));
        }
    }

    /// A static member that stopped polling goes away for now (M-7); everybody else is removed.
    fn give_up(&mut self, place: u32, timer: Timer, at: Duration) -> Expired {
        let seat = self.seat(place);
        let (serial, member) = (seat.serial, seat.profile.id.clone());
        let was_away = seat.is_away;
        if timer == Timer::Poll && seat.profile.instance_id.is_some() {
            self.send_away(place, at);
        } else {
            self.remove(place);
        }
        Expired { serial, member, timer, at, was_away }
    }

    /// Starts the time that members have to let go of what the new target takes from them, for
    /// those who were not told yet; one that does not come by is told by nobody, and others wait.
    pub(super) fn limit_revocations(&mut self, now: Duration) {
        for place in 0..self.seats.len() {
            let Some(seat) = &self.seats[place] else { continue };
            if seat.is_away || !seat.held.pending.is_empty() {
                continue;
            }
            let deadline = match self.must_let_go(seat) {
                true => seat.deadlines.revocation.or(expiry(now, seat.profile.rebalance_timeout)),
                false => None,
            };
            if let Some(seat) = &mut self.seats[place] {
                seat.deadlines.revocation = deadline;
            }
            self.watch(deadline);
        }
    }
}
