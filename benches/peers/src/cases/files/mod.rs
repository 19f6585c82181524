//! How do topics in files compare?
//!
//! ```text
//!  what our side writes, encoded beforehand ──► raw: write, pwrite, fdatasync, pread (and a CRC)
//!  the same 100 bytes a record ─► anabranch, commitlog, kafko      until they outlive the process
//!                              ─► anabranch, okaywal, raft-engine  until they outlive the system
//! ```
//!
//! All of them write onto one file system, each run into a folder of its own.

pub(crate) mod batch;
mod coalesced;
pub(crate) mod company;
mod opening;
pub(crate) mod reopen;
mod replay;
mod single;
mod synced;

use super::Case;

pub(super) const CASES: &[Case] = &[
    batch::CASE,
    coalesced::CASE,
    single::CASES[0],
    single::CASES[1],
    synced::CASES[0],
    synced::CASES[1],
    synced::CASES[2],
    synced::CASES[3],
    replay::CASE,
    reopen::CASE,
    company::CASE,
    opening::CASE,
];
