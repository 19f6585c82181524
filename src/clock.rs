//! Time as a parameter: nothing else in the crate asks the system what time it is.
//!
//! A [`Clock`] answers two questions that must not be confused: *when* is it (record timestamps,
//! retention; may jump), and *how long* since (lingering, session timeouts; never goes back).
//! Blocking calls sleep in real time whatever the topic's clock says; see [`Deadline`].

use crate::ids::Timestamp;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where a topic or a group gets its time from.
///
/// ```
/// use anabranch::{Clock, SystemClock};
///
/// let clock = SystemClock;
/// assert!(clock.now().as_millis() > 1_600_000_000_000);
/// ```
pub trait Clock: Send + Sync + fmt::Debug {
    /// When it is: may jump in either direction, as a system's clock does.
    fn now(&self) -> Timestamp;

    /// How long this clock has been running, from an arbitrary start: never goes back.
    fn elapsed(&self) -> Duration;
}

/// The system's clocks.
///
/// On Linux [`now`](Clock::now) reads the coarse clock, which the kernel moves on every 1 to 4 ms
/// and which costs a third of the exact one: record timestamps count milliseconds. To compare
/// with record timestamps, ask this clock rather than [`SystemTime::now`].
///
/// ```
/// use anabranch::{Clock, SystemClock};
///
/// let before = SystemClock.elapsed();
/// assert!(SystemClock.elapsed() >= before);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[cfg(target_os = "linux")]
    fn now(&self) -> Timestamp {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        Timestamp::from_millis(time.tv_sec * 1_000 + time.tv_nsec / 1_000_000)
    }

    #[cfg(not(target_os = "linux"))]
    fn now(&self) -> Timestamp {
        exact_now()
    }

    fn elapsed(&self) -> Duration {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
}

/// The system's exact time; before 1970 and after the year 292 million it stops at the ends.
#[cfg_attr(target_os = "linux", expect(dead_code, reason = "Linux has the coarse clock"))]
fn exact_now() -> Timestamp {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp::default().saturating_add(since),
        Err(before) => Timestamp::default().saturating_sub(before.duration()),
    }
}

/// A clock that moves only when told to: for tests.
///
/// A clone is another handle to the same clock. It starts at the epoch.
///
/// ```
/// use anabranch::{Clock, ManualClock, Timestamp};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let handle = clock.clone();
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(handle.now(), Timestamp::from_millis(2_000));
/// assert_eq!(handle.elapsed(), Duration::from_secs(2));
///
/// clock.set(Timestamp::from_millis(500)); // the wall clock jumps back; what has elapsed does not
/// assert_eq!(handle.elapsed(), Duration::from_secs(2));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    state: Arc<ManualState>,
}

// The wall clock is kept as its distance from `elapsed`, so that one store moves both on. SeqCst
// keeps tests that look at both from several threads easy to reason about.
#[derive(Debug, Default)]
struct ManualState {
    elapsed_nanos: AtomicU64,
    epoch_millis: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at the Unix epoch.
    pub fn new() -> Self {
        Self::default()
    }

    /// A clock that stands at `now`.
    pub fn at(now: Timestamp) -> Self {
        let clock = Self::new();
        clock.set(now);
        clock
    }

    /// Moves both times on.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.state.elapsed_nanos.fetch_add(nanos, Ordering::SeqCst);
    }

    /// Makes the wall clock jump to `now`, in either direction; `elapsed` stays as it is.
    pub fn set(&self, now: Timestamp) {
        let epoch = now.saturating_sub(self.elapsed());
        self.state.epoch_millis.store(epoch.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.state.epoch_millis.load(Ordering::SeqCst))
            .saturating_add(self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.state.elapsed_nanos.load(Ordering::SeqCst))
    }
}

/// When a blocking call gives up, in real time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// `timeout` from now; a timeout beyond what can be expressed never comes.
    pub(crate) fn after(timeout: Duration) -> Self {
        Deadline(Instant::now().checked_add(timeout))
    }

    /// What is left: zero once it has passed.
    pub(crate) fn remaining(self) -> Duration {
        match self.0 {
            Some(at) => at.saturating_duration_since(Instant::now()),
            None => Duration::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_clock_agrees_with_the_exact_one() {
        let exact = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let coarse = SystemClock.now().as_millis();
        assert!(i128::from(coarse).abs_diff(exact as i128) < 1_000, "{coarse} and {exact}");
    }

    #[test]
    fn a_deadline_that_cannot_be_expressed_never_comes() {
        assert_eq!(Deadline::after(Duration::MAX).remaining(), Duration::MAX);
        assert_eq!(Deadline::after(Duration::ZERO).remaining(), Duration::ZERO);
    }
}
