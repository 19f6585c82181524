//! Models of waiting, and of a row that grows, under every schedule.
//!
//! Each shows that the checker objects to a planted bug, then that it has no objection without.
//! A sleeper that nobody wakes is a deadlock here, because in a model no time passes.

use super::explore::explore;
use super::flight::{Flight, Turn};
use super::planted::{Bug, caught};
use super::{Arc, Condvar, Mailbox, Mutex, Shelf};
use loom::cell::UnsafeCell;
use loom::thread;
use std::task::{Wake, Waker};
use std::time::Duration;

/// Two threads deliver a token each; the owner sleeps until it has both.
fn two_deliveries() {
    let mailbox = Arc::new(Mailbox::default());
    let senders = [1, 2].map(|token| {
        let mailbox = Arc::clone(&mailbox);
        thread::spawn(move || mailbox.deliver(token))
    });
    let mut tokens = Vec::new();
    while tokens.len() < 2 {
        mailbox.wait(Duration::MAX);
        mailbox.collect(&mut tokens);
    }
    for sender in senders {
        sender.join().unwrap();
    }
    tokens.sort_unstable();
    assert_eq!(tokens, [1, 2], "each token arrives once");
}

#[test]
fn loom_a_delivery_wakes_the_owner() {
    assert!(caught(Bug::SilentDelivery, || explore(2, two_deliveries)));
    assert!(caught(Bug::UnlockedDelivery, || explore(2, two_deliveries)));
    explore(4, two_deliveries);
}

/// What a task's executor does: sleeps until the waker was called.
#[derive(Default)]
struct Parker {
    is_woken: Mutex<bool>,
    bell: Condvar,
}

impl Wake for Parker {
    fn wake(self: std::sync::Arc<Self>) {
        *self.is_woken.lock() = true;
        self.bell.notify_one();
    }
}

impl Parker {
    fn park(&self) {
        let mut is_woken = self.is_woken.lock();
        while !std::mem::take(&mut *is_woken) {
            is_woken = self.bell.wait(is_woken, Duration::MAX);
        }
    }
}

/// As above, with an owner that is a task: it registers a waker instead of sleeping in the mailbox.
fn two_deliveries_to_a_task() {
    let mailbox = Arc::new(Mailbox::default());
    let senders = [1, 2].map(|token| {
        let mailbox = Arc::clone(&mailbox);
        thread::spawn(move || mailbox.deliver(token))
    });
    let parker = std::sync::Arc::new(Parker::default());
    let waker = Waker::from(std::sync::Arc::clone(&parker));
    let mut tokens = Vec::new();
    while tokens.len() < 2 {
        if mailbox.register(&waker) {
            parker.park();
        }
        mailbox.collect(&mut tokens);
    }
    for sender in senders {
        sender.join().unwrap();
    }
    tokens.sort_unstable();
    assert_eq!(tokens, [1, 2], "each token arrives once");
}

#[test]
fn loom_a_delivery_calls_the_waker() {
    assert!(caught(Bug::ForgetWaker, || explore(2, two_deliveries_to_a_task)));
    assert!(caught(Bug::UnlockedDelivery, || explore(2, two_deliveries_to_a_task)));
    explore(3, two_deliveries_to_a_task);
}

/// One thread grows a shelf, two look up what its length says is there. The values are cells that
/// were written before they were put in, so that a look-up without the order it needs shows.
fn growing_shelf() {
    const COUNT: u32 = 3; // two buckets
    let shelf = Arc::new(Shelf::new());
    let look = |shelf: &Shelf<UnsafeCell<u32>>| {
        let len = shelf.len();
        for index in 0..len {
            let cell = shelf.get(index).expect("the length covers it");
            cell.with(|value| assert!(!value.is_null(), "the cell is looked at"));
        }
        len
    };
    let readers = [(); 2].map(|()| {
        let shelf = Arc::clone(&shelf);
        thread::spawn(move || {
            let first = look(&shelf);
            assert!(first <= look(&shelf), "a shelf never shrinks");
        })
    });
    for index in 0..COUNT {
        let cell = UnsafeCell::new(0);
        cell.with_mut(|value| assert!(!value.is_null(), "written as number {index}"));
        shelf.push(cell);
    }
    for reader in readers {
        reader.join().unwrap();
    }
    assert_eq!(look(&shelf), COUNT);
}

#[test]
fn loom_a_look_up_sees_what_the_length_covers() {
    assert!(caught(Bug::RelaxedGrowth, || explore(2, growing_shelf)));
    assert!(caught(Bug::LengthBeforeValue, || explore(2, growing_shelf)));
    explore(3, growing_shelf);
}

/// What those who commit together share, as in `topic/settle.rs`: numbers are appended, and the outcome of
/// a flight is how many were carried.
#[derive(Default)]
struct Carrier(Mutex<Carried>);

#[derive(Default)]
struct Carried {
    is_busy: bool,
    boarding: Option<Arc<Flight<u32>>>,
    appended: u32,
    carried: u32,
}

impl Carrier {
    /// Appends a number, and returns how many were carried when it was.
    fn append(&self) -> u32 {
        let mut state = self.0.lock();
        state.appended += 1;
        let number = state.appended;
        if !state.is_busy {
            state.is_busy = true;
            drop(state);
            return self.lead(number);
        }
        let flight = Arc::clone(state.boarding.get_or_insert_default());
        flight.expect();
        drop(state);
        let carried = match flight.wait(0) {
            Turn::Landed(carried) => carried,
            Turn::Lead => self.lead(number),
        };
        assert!(flight.outcome().is_some_and(|told| told == carried), "all are told the same");
        assert!(carried >= number, "{number} was to be carried, {carried} were");
        carried
    }

    fn lead(&self, number: u32) -> u32 {
        let mut state = self.0.lock();
        assert!(state.is_busy, "who leads was chosen");
        let (flight, load) = (state.boarding.take(), state.appended);
        drop(state);
        thread::yield_now(); // what takes its time
        state = self.0.lock();
        assert!(state.carried < load && number <= load, "one at a time, each something new");
        state.carried = load;
        let next = state.boarding.as_ref().filter(|next| next.has_waiting()).map(Arc::clone);
        state.is_busy = next.is_some();
        drop(state);
        if let Some(next) = next {
            next.ask_leader();
        }
        if let Some(flight) = flight {
            flight.land(load);
        }
        load
    }
}

/// Three append at once: one leads, the others wait, and one of these leads for both or for itself.
fn three_passengers() {
    let carrier = Arc::new(Carrier::default());
    let others = [(); 2].map(|()| {
        let carrier = Arc::clone(&carrier);
        thread::spawn(move || carrier.append())
    });
    carrier.append();
    for other in others {
        other.join().unwrap();
    }
    let state = carrier.0.lock();
    assert_eq!((state.appended, state.carried, state.is_busy), (3, 3, false));
}

#[test]
fn loom_a_flight_forgets_nobody() {
    assert!(caught(Bug::ForgetLeader, || explore(2, three_passengers)));
    assert!(caught(Bug::ForgetSleepers, || explore(2, three_passengers)));
    explore(4, three_passengers);
}
