//! Stand-ins for the real locks and atomics under a model checker.
//!
//! loom and shuttle both imitate `std::sync`; the wrappers here give them the shape of `real.rs`.

#[cfg(loom)]
use loom::sync as checker;
#[cfg(shuttle)]
use shuttle::sync as checker;

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
