//! Files that rot: of a directory with every kind of file, each bit flipped, each file cut at every
//! byte, removed, and joined by files that do not belong there. What is read afterwards is what was
//! written, or an error says what is damaged; nothing that was known to be on disk is lost in silence.
//!
//! ```text
//!   reference ─► one damage ─► Broker::open ─► read everything ─► judge
//!   3 marks      on a SimDisk                  in turn, by offset, by time, commits
//! ```
//!
//! | `ANABRANCH_DAMAGE` | tries |
//! |---|---|
//! | (not set) | of 16 KiB each byte, one of its bits, for one of the marks; each third cut |
//! | `bits` | of 16 KiB each bit and each cut, for each mark |
//! | `full` | of 64 KiB each bit and each cut, for each mark, with more look-ups |
//!
//! `ANABRANCH_DAMAGE=bits cargo test --release --features testing --test damage -- --nocapture`

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "the files of one test")]

mod damage {
    mod cases;
    mod judge;
    mod look;
    mod reference;
}
