//! Stand-ins for the real locks and atomics under a model checker.
//!
//! loom and shuttle both imitate `std::sync`; the wrappers here give them the shape of `real.rs`.

#[cfg(loom)]
use loom::{sync as checker, thread as checker_thread};
#[cfg(shuttle)]
use shuttle::{sync as checker, thread as checker_thread};

use atomic::Ordering;
use std::collections::VecDeque;
use std::time::Duration;

pub(crate) use checker::{Arc, MutexGuard, atomic};

const POISONED: &str = "a model's thread panicked while it held the lock";

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(checker::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Mutex(checker::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect(POISONED)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(checker::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        RwLock(checker::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> checker::RwLockReadGuard<'_, T> {
        self.0.read().expect(POISONED)
    }

    pub(crate) fn write(&self) -> checker::RwLockWriteGuard<'_, T> {
        self.0.write().expect(POISONED)
    }
}

/// Under a model time does not pass: a wait ends only when it is notified, so that a lost wake-up is
/// a deadlock, which the checker reports.
#[derive(Debug)]
pub(crate) struct Condvar(checker::Condvar);

impl Default for Condvar {
    fn default() -> Self {
        Condvar(checker::Condvar::new())
    }
}

impl Condvar {
    pub(crate) fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _timeout: Duration,
    ) -> MutexGuard<'a, T> {
        self.0.wait(guard).expect(POISONED)
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A cell that is written once.
///
/// Neither checker has one, and both run a model on one thread, where std's is never seen half
/// written. The flag beside the value gives them what they lack: points to switch threads at, and a
/// Release that a look may miss.
#[derive(Debug)]
pub(crate) struct OnceLock<T> {
    is_set: atomic::AtomicBool,
    value: std::sync::OnceLock<T>,
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        OnceLock::new()
    }
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        OnceLock { is_set: atomic::AtomicBool::new(false), value: std::sync::OnceLock::new() }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        if self.is_set.load(Ordering::Acquire) { self.value.get() } else { None }
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        self.value.set(value)?;
        self.is_set.store(true, Ordering::Release);
        Ok(())
    }

    /// `make` does nothing that a checker could switch threads at.
    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        let value = self.value.get_or_init(make);
        self.is_set.store(true, Ordering::Release);
        value
    }
}

/// Gives up at once: to look again is worth its time on a real machine, while a checker tries every
/// length of the gap anyway.
#[derive(Debug)]
pub(crate) struct Backoff;

impl Backoff {
    pub(crate) fn new() -> Self {
        Backoff
    }

    pub(crate) fn is_completed(&self) -> bool {
        true
    }

    pub(crate) fn snooze(&self) {
        checker_thread::yield_now();
    }
}

#[derive(Debug)]
pub(crate) struct Queue<T> {
    values: Mutex<VecDeque<T>>,
    capacity: usize,
}

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Queue { values: Mutex::new(VecDeque::new()), capacity }
    }

    pub(crate) fn push(&self, value: T) -> Result<(), T> {
        let mut values = self.values.lock();
        if values.len() == self.capacity {
            return Err(value);
        }
        values.push_back(value);
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.values.lock().pop_front()
    }
}
