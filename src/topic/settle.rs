//! From an append to the files: who writes, who waits, and when readers see it.
//!
//! ```text
//!   append ─► in memory, unseen ─┬─ nobody at work: lead ── load ─► carry ─► show ─► readers
//!                                └─ somebody is: board the next flight, wait ── landed, or lead ─┘
//!
//!   enqueue ─► open batch, unseen ─► carried when there is enough of it, when somebody waits for it,
//!                                    or when a reader has nothing else to read
//! ```
//!
//! Whoever needs something written that nobody is writing does it, for everybody behind. A topic of
//! durability `Memory` shows records at once, and writes them when there is enough of them.
//!
//! Invariants:
//! 1. `is_busy` is set while somebody carries, or waits for company before that, and while somebody is asked to:
//!    one at a time.
//! 2. Who boards a flight under the stripe has appended before under it: the load that is taken with that
//!    flight holds it.
//! 3. When a write is refused, everything that is not written is given up, and everybody whose records
//!    are among it is told so. Readers have seen none of it.

use super::files::{Carried, Ended, Files};
use super::shared::{Checked, Shared, Stripe, Watcher};
use crate::clock::Deadline;
use crate::error::AppendError;
use crate::ids::{Offset, Timestamp};
use crate::log::batch::EncodedBatch;
use crate::log::{Appender, Load};
use crate::record::Record;
use crate::sync::planted::{Bug, planted};
use crate::sync::{Arc, Backoff, Flight, MutexGuard, OnceLock, Turn};
use crate::topic::config::Durability;
use std::ops::Deref;
use std::time::Duration;

/// So many unseen bytes are worth a write, if a chunk that was full did not lead to one: somebody else was at it.
pub(super) const WORTH_A_WRITE: u64 = if IS_MODEL { 150 } else { 2 << 20 };

/// So many bytes that readers have seen are worth a write. Nobody waits for them.
const SHOWN_WORTH_A_WRITE: u64 = if IS_MODEL { 100 } else { 1 << 20 };

/// At so many bytes that are not written who adds more waits, or is refused.
const UNWRITTEN_BYTES_MAX: u64 = if IS_MODEL { 200 } else { 8 << 20 };

/// Models append two or three batches.
const IS_MODEL: bool = cfg!(any(loom, shuttle));

/// How many flights a leader carries besides its own before it asks somebody else to.
const LEADS_MAX: u32 = if IS_MODEL { 0 } else { 32 };

/// How long the leader of a sync waits for company: less than the sync takes.
const GATHERING: Duration = Duration::from_micros(if IS_MODEL { 0 } else { 50 });

/// Of more companions than this the leader of a sync waits for half: to wake and hear them all takes longer than
/// a sync, in which those who are late come aboard for the next one.
const COMPANIONS_MAX: usize = 32;

/// How many times the leader of a write looks for company: as long as it takes who has landed to come back.
const WRITE_GATHERING_SPINS: u32 = if IS_MODEL { 0 } else { 64 };

/// How many times who waits for a write looks before it gives way: longer than a write takes. Where there
/// are more senders than cores, those who run serve each other, and the others lose nothing.
const WRITE_SPINS: u32 = if IS_MODEL { 0 } else { 256 };

/// What became of a flight.
pub(crate) type Outcome = Result<(), AppendError>;

/// Who carries what was appended to the files.
#[derive(Debug, Default)]
pub(super) struct Commit {
    /// Whether somebody carries, is about to, or was asked to.
    is_busy: bool,
    /// Those whose records the next load holds.
    boarding: Option<Arc<Trip>>,
    /// How many were under way when the last flight landed: so many may come.
    companions: usize,
    /// Whether those who board include enqueued records, whose senders need not wait.
    has_enqueued: bool,
    /// The first refusal of enqueued records that no flush has told of yet.
    untold: Option<AppendError>,
}

impl Commit {
    fn board(&mut self) -> Arc<Trip> {
        Arc::clone(self.boarding.get_or_insert_default())
    }

    /// Whether somebody carries, or was asked to.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Boards for a sender of this partition that does not wait now.
    #[inline(always)]
    pub(super) fn take_ticket(&mut self, of: &Arc<Shared>) -> Ticket {
        self.has_enqueued = true;
        let trip = self.board();
        if trip.partition.get().is_none() {
            let _ = trip.partition.set(Arc::clone(of));
        }
        Ticket(trip)
    }

    fn is_boarding(&self, flight: &Arc<Trip>) -> bool {
        self.boarding.as_ref().is_some_and(|boarding| Arc::ptr_eq(boarding, flight))
    }
}

/// A flight, and where it started. Every record that is enqueued has a share in it, and in nothing else.
#[derive(Debug, Default)]
pub(crate) struct Trip {
    flight: Flight<Outcome>,
    /// Set as soon as somebody has a ticket. The partition keeps its boarding trip, and so itself, until
    /// that sets off, which the last handle of a producer sees to.
    partition: OnceLock<Arc<Shared>>,
}

impl Deref for Trip {
    type Target = Flight<Outcome>;

    fn deref(&self) -> &Flight<Outcome> {
        &self.flight
    }
}

/// A share in what becomes of a record that was enqueued.
#[derive(Clone, Debug)]
pub(crate) struct Ticket(Arc<Trip>);

impl Ticket {
    /// What became of it, if that is known.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.0.outcome()
    }

    /// The partition that it was enqueued to.
    pub(crate) fn partition(&self) -> &Arc<Shared> {
        self.0.partition.get().expect("who enqueues says where")
    }
}

impl Shared {
    pub(super) fn append_settled<'r, 'a: 'r, I>(
        &self,
        files: &Files,
        batch: Checked<I>,
    ) -> Result<Offset, AppendError>
    where
        I: Iterator<Item = &'r Record<'a>> + Clone,
    {
        let Checked { records, bytes_max, stamps } = batch;
        self.append_with(files, bytes_max, stamps.now, |log| log.append(records, stamps))
    }

    pub(super) fn append_encoded_settled(
        &self,
        files: &Files,
        batch: &EncodedBatch,
        now: Timestamp,
    ) -> Result<Offset, AppendError> {
        let stamps = self.stamps(now);
        self.append_with(files, batch.encoded.bytes, now, |log| log.append_encoded(batch, stamps))
    }

    fn append_with(
        &self,
        files: &Files,
        bytes: usize,
        now: Timestamp,
        append: impl FnOnce(&mut Appender) -> Offset,
    ) -> Result<Offset, AppendError> {
        let mut stripe = self.enter(files)?;
        self.make_room(&mut stripe, bytes, now);
        let offset = append(&mut stripe.log);
        if files.durability != Durability::Memory {
            self.settle(stripe, files)?;
            return Ok(offset);
        }
        let unwritten = stripe.log.unwritten_bytes();
        if unwritten >= SHOWN_WORTH_A_WRITE && !stripe.commit.is_busy {
            let stripe = self.wake_under(stripe);
            // The records are where this topic promises them to be, whatever becomes of the write; the
            // next append hears of it if it goes on. Somebody may be at it by now.
            if !stripe.commit.is_busy || planted(Bug::LeadUnasked) {
                drop(self.lead(stripe, files));
            }
        } else {
            self.wake(stripe);
        }
        Ok(offset)
    }

    /// Takes the stripe to append, if that may be.
    #[inline(always)]
    pub(super) fn enter(&self, files: &Files) -> Result<MutexGuard<'_, Stripe>, AppendError> {
        files.begin(|| self.stripe.lock().log.end_offset())?;
        let mut stripe = self.stripe.lock();
        loop {
            if let Some(ended) = files.ended()
                && !planted(Bug::AppendClosed)
            {
                return Err(files.append_ended(ended));
            }
            if stripe.log.unwritten_bytes() < UNWRITTEN_BYTES_MAX {
                stripe.log.set_epoch(files.epoch());
                return Ok(stripe);
            }
            // More than memory is to hold. Where a write is refused, so is the append.
            self.settle_others(stripe, files)?;
            stripe = self.stripe.lock();
        }
    }

    /// Appends records as one batch, without waiting for it to be written. `None` for the ticket if it is
    /// where the topic promises it to be.
    pub(crate) fn append_unsettled(
        &self,
        records: &[Record<'_>],
    ) -> Result<Option<Ticket>, AppendError> {
        let batch = self.check(records.iter(), self.settings.now())?;
        let Some(files) = self.files.as_ref().filter(|f| f.durability != Durability::Memory) else {
            return self.append(batch).map(|_| None);
        };
        let mut stripe = self.enter(files)?;
        self.make_room(&mut stripe, batch.bytes_max, batch.stamps.now);
        stripe.log.append(batch.records, batch.stamps);
        Ok(Some(Ticket(stripe.commit.board())))
    }

    /// Sees to it that an enqueued record is carried, and returns what became of it.
    pub(crate) fn settle_ticket(&self, ticket: &Ticket) -> Outcome {
        if let Some(outcome) = ticket.outcome() {
            return outcome;
        }
        let files = self.files.as_ref().expect("only a topic with files gives tickets");
        let stripe = self.stripe.lock();
        let is_boarding = stripe.commit.is_boarding(&ticket.0) || planted(Bug::TicketAhead);
        if is_boarding && !stripe.commit.is_busy {
            return self.lead(stripe, files);
        }
        // Somebody will lead it, or it is about to land: that is told after others may lead.
        ticket.0.expect();
        drop(stripe);
        match ticket.0.wait(spins(files)) {
            Turn::Landed(outcome) => outcome,
            Turn::Lead => self.lead(self.stripe.lock(), files),
        }
    }

    /// Sees to it that everything appended so far is carried.
    pub(crate) fn settle_all(&self) -> Outcome {
        let Some(files) = &self.files else { return Ok(()) };
        let stripe = self.stripe.lock();
        if stripe.log.unwritten_bytes() == 0 && !stripe.commit.is_busy {
            return Ok(());
        }
        self.settle_others(stripe, files)
    }

    /// The first refusal of enqueued records since this was last asked, whoever met it.
    pub(crate) fn take_untold(&self) -> Outcome {
        self.stripe.lock().commit.untold.take().map_or(Ok(()), Err)
    }

    /// As [`settle`](Self::settle), out of line: for who waits for room, or flushes.
    #[inline(never)]
    fn settle_others<'s>(&'s self, stripe: MutexGuard<'s, Stripe>, files: &Files) -> Outcome {
        self.settle(stripe, files)
    }

    /// Waits until what was appended under this lock is carried, or carries it.
    ///
    /// All of it is inlined down to the call of the disk: a return that follows a call of the system is mispredicted,
    /// which takes 7 ns each.
    #[inline(always)]
    fn settle<'s>(&'s self, mut stripe: MutexGuard<'s, Stripe>, files: &Files) -> Outcome {
        if stripe.commit.is_busy {
            let flight = stripe.commit.board();
            flight.expect();
            drop(stripe);
            if let Turn::Landed(outcome) = flight.wait(spins(files)) {
                return outcome;
            }
            stripe = self.stripe.lock();
        }
        let companions = stripe.commit.companions;
        if companions > 0 {
            stripe.commit.is_busy = true;
            let flight = stripe.commit.board();
            drop(stripe);
            gather(files, &flight, companions);
            stripe = self.stripe.lock();
        }
        self.lead_here(stripe, files)
    }

    /// Carries what was appended, for all who have boarded; returns what became of it. Goes on for a while
    /// for those who board meanwhile, and as long as readers sleep that nobody else would wake.
    #[inline(never)]
    pub(super) fn lead<'s>(&'s self, stripe: MutexGuard<'s, Stripe>, files: &Files) -> Outcome {
        self.lead_here(stripe, files)
    }

    #[inline(always)]
    fn lead_here<'s>(&'s self, mut stripe: MutexGuard<'s, Stripe>, files: &Files) -> Outcome {
        stripe.commit.is_busy = true;
        let (mut first, mut led) = (None, 0);
        loop {
            let flight = stripe.commit.boarding.take();
            let has_enqueued = std::mem::take(&mut stripe.commit.has_enqueued);
            let load = stripe.log.load();
            drop(stripe);
            let leading = Leading { shared: self, files, flight: flight.as_ref() };
            let carried = match files.poisoned() {
                Some(error) => Carried::Poisoned(error.clone()),
                None => files.carry(load.as_ref()),
            };
            std::mem::forget(leading);
            stripe = self.stripe.lock();
            let outcome = self.land(&mut stripe, files, load, carried);
            if let Err(refused) = &outcome
                && (std::mem::take(&mut stripe.commit.has_enqueued) || has_enqueued)
            {
                stripe.commit.untold.get_or_insert_with(|| refused.clone());
            }
            let next = stripe.commit.boarding.as_ref().filter(|next| next.has_waiting());
            let next = next.map(Arc::clone);
            let waiting =
                |flight: &Option<Arc<Trip>>| flight.as_ref().map_or(0, |flight| flight.waiting());
            stripe.commit.companions = waiting(&flight) + waiting(&next);
            // A write takes less time than it takes another thread to begin one.
            let leads_on = next.is_some() && files.durability != Durability::Synced;
            let is_wanted = !stripe.waiting.is_empty() && stripe.log.unwritten_bytes() > 0;
            let goes_on =
                outcome.is_ok() && (leads_on && led < LEADS_MAX || next.is_none() && is_wanted);
            led += 1;
            stripe.commit.is_busy = next.is_some() || goes_on || planted(Bug::StayBusy);
            let is_silent = outcome.is_ok() && planted(Bug::SilentShow);
            if (outcome.is_ok() || files.ended().is_some()) && !is_silent {
                stripe = self.wake_under(stripe);
            }
            drop(stripe);
            // Those who have landed may be back before the next leader is ready.
            if let Some(flight) = flight {
                flight.land(outcome.clone());
            }
            first.get_or_insert(outcome);
            if !goes_on {
                if let Some(next) = next {
                    next.ask_leader();
                }
                return first.unwrap_or(Ok(()));
            }
            stripe = self.stripe.lock();
        }
    }

    /// Wakes the readers that sleep, between two holds of the stripe.
    fn wake_under<'s>(&'s self, stripe: MutexGuard<'s, Stripe>) -> MutexGuard<'s, Stripe> {
        if stripe.waiting.is_empty() {
            return stripe;
        }
        self.wake(stripe);
        self.stripe.lock()
    }

    /// Carries what is not written yet, if nobody is at it, for a reader that has nothing else to read.
    /// Says whether anything was carried.
    #[cold]
    pub(super) fn nudge(&self) -> bool {
        let Some(files) = &self.files else { return false };
        if files.durability == Durability::Memory {
            return false; // Readers see everything.
        }
        let stripe = self.stripe.lock();
        let is_wanted = stripe.log.unwritten_bytes() > 0 && !stripe.commit.is_busy;
        is_wanted && self.lead(stripe, files).is_ok()
    }

    /// As [`arm`](Self::arm), for a log with files: what is appended and not written is carried.
    pub(super) fn arm_behind_files(
        &self,
        files: &Files,
        watcher: Watcher,
        position: Offset,
    ) -> bool {
        let mut stripe = self.stripe.lock();
        if files.is_drained() || self.tail.read().end_offset() != position {
            return false;
        }
        stripe.waiting.push(watcher);
        if stripe.log.unwritten_bytes() > 0
            && files.durability != Durability::Memory
            && !stripe.commit.is_busy
        {
            drop(self.lead(stripe, files));
        }
        true
    }

    /// Takes over what became of a load.
    fn land(
        &self,
        stripe: &mut Stripe,
        files: &Files,
        load: Option<Load>,
        carried: Carried,
    ) -> Outcome {
        match carried {
            Carried::Done => {
                if let Some(load) = &load {
                    stripe.log.wrote(load);
                }
                stripe.log.show_written();
                Ok(())
            }
            Carried::Refused(error) => {
                drop(load);
                let refused = files.refused(error);
                if files.durability != Durability::Memory {
                    self.give_up(stripe, &refused);
                }
                Err(refused)
            }
            Carried::Poisoned(error) => {
                files.poison(error.clone());
                let refused = files.append_ended(&Ended::Poisoned(error));
                if let Some(boarded) = stripe.commit.boarding.take() {
                    boarded.land(Err(refused.clone()));
                }
                Err(refused)
            }
        }
    }

    /// Forgets what could not be written, and tells those who have boarded since.
    fn give_up(&self, stripe: &mut Stripe, refused: &AppendError) {
        if let Some(given_up) = stripe.log.give_up() {
            self.tail.write().drop_back(given_up.chunks);
        }
        if let Some(boarded) = stripe.commit.boarding.take()
            && !planted(Bug::ForgetBoarded)
        {
            boarded.land(Err(refused.clone()));
        }
    }
}

/// How many times who waits looks before it gives way.
fn spins(files: &Files) -> u32 {
    if files.durability == Durability::Synced { 0 } else { WRITE_SPINS }
}

/// Gives those who came with the last flight a moment to board this one: a write or a sync that serves all
/// of them is worth more than one that starts at once.
fn gather(files: &Files, flight: &Flight<Outcome>, companions: usize) {
    if files.durability != Durability::Synced {
        let mut spins = WRITE_GATHERING_SPINS;
        while flight.waiting() < companions && spins > 0 {
            std::hint::spin_loop();
            spins -= 1;
        }
        return;
    }
    let companions = if companions > COMPANIONS_MAX { companions / 2 } else { companions };
    let deadline = Deadline::after(GATHERING);
    let backoff = Backoff::new();
    while flight.waiting() < companions
        && !(backoff.is_completed() && deadline.remaining().is_zero())
    {
        backoff.snooze();
    }
}

/// Who is at work on the files; forgotten when that is done. If the disk panics, nobody knows what they hold, and
/// those who wait for this thread must not wait for ever. (Whether the thread panics does not tell: a producer that
/// goes away in a panic of the program's writes what it has enqueued.)
struct Leading<'l> {
    shared: &'l Shared,
    files: &'l Files,
    flight: Option<&'l Arc<Trip>>,
}

impl Drop for Leading<'_> {
    #[cold]
    fn drop(&mut self) {
        let error = self.files.panicked();
        self.files.poison(error.clone());
        let outcome = Err(self.files.append_ended(&Ended::Poisoned(error)));
        let mut stripe = self.shared.stripe.lock();
        let boarded = stripe.commit.boarding.take();
        for flight in self.flight.into_iter().chain(&boarded) {
            flight.land(outcome.clone());
        }
        stripe.commit.is_busy = false;
        self.shared.wake(stripe);
    }
}
