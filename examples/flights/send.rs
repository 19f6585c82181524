//! The senders: all flights, in the file's order, at the rate that was asked for.
//!
//! A producer keeps the order of the calls that one thread makes; two threads that sent flights of
//! the same airport would race each other to the partition. So each airport belongs to one sender,
//! by a hash of its name, and order per airport holds by construction.

use super::run::Run;
use anabranch::{Header, Producer, Record, SendError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How many threads send.
pub(crate) const SENDERS: u64 = 2;

/// Carries when a flight was sent: nanoseconds since the run began.
pub(crate) const SENT: &str = "sent";

/// Carries which flight it is, counted from 0 over all repetitions.
pub(crate) const NUMBER: &str = "number";

/// How long a sender sleeps at the gate before it looks again.
const GATE_NAP: Duration = Duration::from_micros(100);

/// Which sender an airport belongs to.
fn sender_of(origin: &str) -> u64 {
    // Not the hash that chooses the partition: each sender is to reach all partitions.
    let mut hasher = DefaultHasher::new();
    origin.hash(&mut hasher);
    hasher.finish() % SENDERS
}

/// Sends the flights of this sender's airports, until all are sent or the run is over.
pub(crate) fn send(run: &Run<'_>, sender: u64, producer: &Producer) -> Result<(), SendError> {
    let is_mine: Vec<bool> =
        run.flights.iter().map(|flight| sender_of(&flight.origin) == sender).collect();
    let begin = Instant::now();
    let mut number = 0;
    for _ in 0..run.args.repeat {
        for ((line, flight), &is_mine) in run.input.lines.iter().zip(&run.flights).zip(&is_mine) {
            if is_mine {
                if !wait_for_turn(run, begin, number) {
                    return Ok(());
                }
                let sent = run.now().to_be_bytes();
                let headers = [
                    Header { name: SENT, value: Some(&sent) },
                    Header { name: NUMBER, value: Some(&number.to_be_bytes()) },
                ];
                let record = Record::new(line).with_key(&*flight.origin).with_headers(&headers);
                producer.send(record)?;
            }
            number += 1;
        }
    }
    Ok(())
}

/// Waits until a flight may be sent and is due; says whether the run still goes on.
fn wait_for_turn(run: &Run<'_>, begin: Instant, number: u64) -> bool {
    while number >= run.gate.load(Ordering::SeqCst) {
        if run.is_over.load(Ordering::SeqCst) {
            return false;
        }
        sleep(GATE_NAP);
    }
    if let Some(rate) = run.args.rate {
        let due = Duration::from_secs_f64(number as f64 / f64::from(rate));
        // In naps, so that a slow run that fails does not sleep on.
        while let Some(early) = due.checked_sub(begin.elapsed()).filter(|early| !early.is_zero()) {
            if run.is_over.load(Ordering::SeqCst) {
                return false;
            }
            sleep(early.min(Duration::from_millis(50)));
        }
    }
    !run.is_over.load(Ordering::Relaxed)
}
