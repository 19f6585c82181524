//! A number that threads sleep on until it is another one, made of a lock: for systems without futexes,
//! and for models.

use super::{Condvar, Mutex};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Word {
    value: Mutex<u32>,
    changed: Condvar,
}

impl Word {
    pub(crate) fn new(value: u32) -> Self {
        Word { value: Mutex::new(value), changed: Condvar::default() }
    }

    pub(crate) fn load(&self) -> u32 {
        *self.value.lock()
    }

    /// Sets bits; returns the number before.
    pub(crate) fn set(&self, bits: u32) -> u32 {
        let mut value = self.value.lock();
        let before = *value;
        *value |= bits;
        before
    }

    /// Stores `new` if the number is `old`; says whether it was.
    pub(crate) fn exchange(&self, old: u32, new: u32) -> bool {
        let mut value = self.value.lock();
        let is_old = *value == old;
        if is_old {
            *value = new;
        }
        is_old
    }

    /// Sleeps while the number is `value`: until woken, or for no reason.
    pub(crate) fn wait(&self, value: u32) {
        let current = self.value.lock();
        if *current == value {
            drop(self.changed.wait(current, Duration::MAX));
        }
    }

    pub(crate) fn wake_one(&self) {
        self.changed.notify_one();
    }

    pub(crate) fn wake_all(&self) {
        self.changed.notify_all();
    }
}
