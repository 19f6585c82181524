//! The real locks and atomics: `parking_lot`, `crossbeam` and `std`.

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
