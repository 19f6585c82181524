//! Tools for testing what is built on this crate. Behind the feature `testing`.
//!
//! [`SimDisk`] is a disk in memory on which a broker's files can be made to suffer everything that
//! befalls files: the process dies, the power is cut, calls fail, space runs out, bits flip.
//!
//! ```text
//!            scenario                     images                     judgement
//!  SimDisk ◄─ broker appends ──┬─ kill()         all completed calls  ─► Broker::open ─► what is there?
//!                              ├─ power_cut(…)   one choice of fates  ─► Broker::open ─► what is there?
//!                              └─ crash_images() each of them         ─► Broker::open ─► what is there?
//! ```
//!
//! An image is a disk of its own: what is done to it changes neither its original nor other images.
//! Taking one costs some microseconds, so a test can look at each of a hundred thousand.
//!
//! What is simulated is worse than most disks: names that no `sync_dir` made durable may come and go
//! in any order ([`NameOrder`] can be kinder), data may be durable before names and names before data,
//! later writes before earlier ones. What is not: a sector of 512 bytes is whole or not at all, and
//! what was synced stays, unless [`SimDisk::flip_bit`] or [`SimDisk::write`] say otherwise.
//!
//! The feature `planted` adds bugs that this crate's own tests are shown to find. It is for those
//! tests alone.

mod calls;
mod content;
mod crash;
mod faults;
mod fingerprint;
mod images;
mod inspect;
mod sim_disk;
mod state;
#[cfg(test)]
mod tests;
mod tree;

#[cfg(feature = "planted")]
pub use crate::sync::planted::{Bug, with_planted};
pub use crash::{Fate, NameOrder, Unsynced};
pub use faults::{Call, CallKind, Fault, Times};
pub use images::CrashImages;
pub use sim_disk::SimDisk;
