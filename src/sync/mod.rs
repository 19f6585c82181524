//! Locks, atomics and waiting, in one place.
//!
//! Everything that threads share goes through here, so that a model checker can stand in for the
//! real thing: `--cfg loom` explores every interleaving and every allowed reordering of a small
//! model, `--cfg shuttle` runs the real code under thousands of random schedules. The rest of the
//! crate does not know which one it runs on.
//!
//! ```text
//!            crate::sync::{Mutex, RwLock, Condvar, OnceLock, Queue, Backoff, atomic, Arc}
//!  normal    parking_lot, crossbeam, std          (real.rs)
//!  model     loom::sync or shuttle::sync          (model.rs)
//! ```

#[cfg(all(test, any(loom, shuttle)))]
pub(crate) mod explore;
mod flight;
#[cfg(all(test, loom))]
mod loom_models;
mod mailbox;
#[cfg(any(loom, shuttle))]
mod model;
pub(crate) mod planted;
#[cfg(not(any(loom, shuttle)))]
mod real;
mod shelf;
#[cfg(any(loom, shuttle, not(target_os = "linux")))]
mod word;

pub(crate) use crossbeam::utils::CachePadded;
pub(crate) use flight::{Flight, Turn};
pub(crate) use mailbox::{Mailbox, Token};
#[cfg(any(loom, shuttle))]
pub(crate) use model::{Arc, Backoff, Condvar, Mutex, MutexGuard, OnceLock, Queue, RwLock, atomic};
#[cfg(all(target_os = "linux", not(any(loom, shuttle))))]
pub(crate) use real::Word;
#[cfg(not(any(loom, shuttle)))]
pub(crate) use real::{Arc, Backoff, Condvar, Mutex, MutexGuard, OnceLock, Queue, RwLock, atomic};
pub(crate) use shelf::Shelf;
#[cfg(any(loom, shuttle, not(target_os = "linux")))]
pub(crate) use word::Word;
