//! The mailbox: one sleeper, any number of things that may wake it.
//!
//! A reader watches many partitions and wants to sleep until one of them has records. It leaves a
//! [`Token`] with each; whoever has news delivers the token, and the owner collects the tokens that
//! came in. So a poll costs as many steps as there are partitions with news, not as there are
//! partitions watched.
//!
//! ```text
//!  partition 3 ── deliver(3) ─┐                       ┌─ wait(timeout)      a thread
//!  partition 8 ── deliver(8) ─┴─► ready: [3, 8] ──────┤
//!                                                     └─ register(waker)    a task
//! ```
//!
//! Invariants:
//! 1. A delivered token is collected exactly once; none is lost between a look and a sleep, because
//!    both happen under the one lock.
//! 2. Nobody is woken who does not sleep: a delivery to a busy owner costs a lock and a push.
//! 3. A waker is called with no lock held, and a panic of its ends there: whoever delivers has other
//!    tokens to deliver, and what they are news of has happened.

use super::atomic::{AtomicBool, Ordering};
use super::planted::{Bug, planted};
use super::{Condvar, Mutex};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;
use std::time::Duration;

/// What the owner of a mailbox calls the thing it watches.
pub(crate) type Token = u32;

#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    /// Guards everything that decides whether the owner may sleep.
    inbox: Mutex<Inbox>,
    /// Where the owner sleeps if it is a thread.
    bell: Condvar,
    /// Whether `inbox.ready` holds anything: written under the lock, read without it. Relaxed is
    /// enough, because the tokens themselves are fetched under the lock.
    has_mail: AtomicBool,
}

#[derive(Debug, Default)]
struct Inbox {
    ready: Vec<Token>,
    is_asleep: bool,
    waker: Option<Waker>,
}

/// Whom a token that was put in is to wake.
#[derive(Debug)]
#[must_use = "a sleeper is woken by ringing"]
pub(crate) struct Bell {
    was_asleep: bool,
    waker: Option<Waker>,
}

impl Mailbox {
    /// Puts a token in and wakes the owner if it sleeps.
    pub(crate) fn deliver(&self, token: Token) {
        let bell = self.put(token);
        self.ring(bell);
    }

    /// Puts a token in: whoever looks from now on finds it. The owner is woken by [`ring`](Self::ring),
    /// which may wait until other locks are open.
    pub(crate) fn put(&self, token: Token) -> Bell {
        let mut inbox = self.inbox.lock();
        if inbox.ready.last() != Some(&token) {
            inbox.ready.push(token); // who does not look is not told the same over and over
        }
        self.has_mail.store(true, Ordering::Relaxed);
        Bell { was_asleep: std::mem::take(&mut inbox.is_asleep), waker: inbox.waker.take() }
    }

    /// Wakes the owner if it slept when the token was put in.
    pub(crate) fn ring(&self, bell: Bell) {
        if bell.was_asleep && !planted(Bug::SilentDelivery) {
            self.bell.notify_one();
        }
        if let Some(waker) = bell.waker
            && !planted(Bug::ForgetWaker)
        {
            drop(catch_unwind(AssertUnwindSafe(|| waker.wake())));
        }
    }

    /// Whether a token is waiting; may lag behind a delivery that is under way.
    pub(crate) fn has_mail(&self) -> bool {
        self.has_mail.load(Ordering::Relaxed)
    }

    /// Moves the tokens that came in to the end of `tokens`.
    pub(crate) fn collect(&self, tokens: &mut Vec<Token>) {
        if self.has_mail() {
            let mut inbox = self.inbox.lock();
            tokens.append(&mut inbox.ready);
            self.has_mail.store(false, Ordering::Relaxed);
        }
    }

    /// Sleeps until a token is waiting, `timeout` has passed, or for no reason.
    pub(crate) fn wait(&self, timeout: Duration) {
        if planted(Bug::UnlockedDelivery) && !self.has_mail() {
            // The mistake: to look without the lock and to sleep without looking again.
            let inbox = self.inbox.lock();
            drop(self.bell.wait(inbox, timeout));
            return;
        }
        let mut inbox = self.inbox.lock();
        if inbox.ready.is_empty() {
            inbox.is_asleep = true;
            inbox = self.bell.wait(inbox, timeout);
            inbox.is_asleep = false;
        }
    }

    /// Has `waker` called at the next delivery. Returns false, and keeps no waker, if a token is
    /// waiting already.
    pub(crate) fn register(&self, waker: &Waker) -> bool {
        let fresh = waker.clone(); // the caller's code, as its drop is: not under the lock
        let was_empty = !self.has_mail();
        let mut inbox = self.inbox.lock();
        let is_known_empty = planted(Bug::UnlockedDelivery) && was_empty;
        if !inbox.ready.is_empty() && !is_known_empty {
            return false;
        }
        let outdated = inbox.waker.replace(fresh);
        drop(inbox);
        drop(outdated);
        true
    }
}
