//! The real locks and atomics: `parking_lot`, `crossbeam` and `std`.

#[cfg(target_os = "linux")]
use atomic::{AtomicU32, Ordering};
#[cfg(target_os = "linux")]
use rustix::thread::futex;
use std::time::Duration;

pub(crate) use crossbeam::utils::Backoff;
pub(crate) use parking_lot::{Mutex, MutexGuard, RwLock};
pub(crate) use std::sync::{Arc, OnceLock, atomic};

/// Where threads sleep until another one says that something changed.
#[derive(Debug, Default)]
pub(crate) struct Condvar(parking_lot::Condvar);

impl Condvar {
    /// Gives the lock back and sleeps: until notified, `timeout` has passed, or for no reason.
    pub(crate) fn wait<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> MutexGuard<'a, T> {
        if timeout == Duration::MAX {
            self.0.wait(&mut guard);
        } else {
            self.0.wait_for(&mut guard, timeout);
        }
        guard
    }

    /// Wakes one sleeper, if there is one.
    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all sleepers.
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A number that threads sleep on until it is another one: a futex, where the system has them.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(crate) struct Word(AtomicU32);

#[cfg(target_os = "linux")]
impl Word {
    pub(crate) fn new(value: u32) -> Self {
        Word(AtomicU32::new(value))
    }

    /// Acquire: what was written before the value was stored is seen after it.
    pub(crate) fn load(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Sets bits; returns the number before. Release, as what was written before is to be seen with them.
    pub(crate) fn set(&self, bits: u32) -> u32 {
        self.0.fetch_or(bits, Ordering::AcqRel)
    }

    /// Stores `new` if the number is `old`; says whether it was.
    pub(crate) fn exchange(&self, old: u32, new: u32) -> bool {
        self.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Sleeps while the number is `value`: until woken, or for no reason.
    pub(crate) fn wait(&self, value: u32) {
        // An error says that the number is another one by now, or that a signal came.
        let _ = futex::wait(&self.0, futex::Flags::PRIVATE, value, None);
    }

    pub(crate) fn wake_one(&self) {
        let _ = futex::wake(&self.0, futex::Flags::PRIVATE, 1);
    }

    pub(crate) fn wake_all(&self) {
        let _ = futex::wake(&self.0, futex::Flags::PRIVATE, u32::MAX >> 1);
    }
}

/// A bounded queue that takes and gives without a lock.
#[derive(Debug)]
pub(crate) struct Queue<T>(crossbeam::queue::ArrayQueue<T>);

impl<T> Queue<T> {
    /// A queue for up to `capacity` values.
    pub(crate) fn new(capacity: usize) -> Self {
        Queue(crossbeam::queue::ArrayQueue::new(capacity))
    }

    /// Puts a value in, or gives it back if the queue is full.
    pub(crate) fn push(&self, value: T) -> Result<(), T> {
        self.0.push(value)
    }

    /// Takes the oldest value out.
    pub(crate) fn pop(&self) -> Option<T> {
        self.0.pop()
    }
}
