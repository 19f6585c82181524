//! Processes that end without warning, and processes that meet: what a child acknowledged before it was
//! killed is there; a directory has one holder, and none once that is dead.
//!
//! ```text
//!   parent ── spawns itself ──► child: several threads append, commit, print what was acknowledged
//!      │ ◄────── lines ─────────┘ ▲
//!      └─ reads some, then SIGKILL ┘  ─► opens the directory ─► all that was printed is there ─► again
//! ```
//!
//! Each kill goes on in the directory of the one before. `ANABRANCH_KILLS=100000 cargo test --release
//! --test kill -- --nocapture` kills so many; without it there are 20.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "the files of one test")]

mod kill {
    mod child;
    mod holders;
    mod kills;
    mod ledger;
}
