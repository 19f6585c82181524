//! What stands outside: each part behind a feature of its own, built on what users have.
//!
//! 1. A part imports what `lib.rs` exports, and locks from `sync`. Cut it off and nothing else changes.

pub mod testing;
