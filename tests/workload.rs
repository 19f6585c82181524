//! The workload: eight processes that send, poll, commit and fail in every way there is, and the
//! statements that must hold of whatever happened.
//!
//! | Variable | Meaning | Default |
//! |---|---|---|
//! | `ANABRANCH_SEED` | where all choices start; printed by every run | fresh |
//! | `ANABRANCH_OPERATIONS` | operations of all runs together, half of them on one thread | 100,000 |
//!
//! A run with one thread is decided by its seed alone. The full tier, 10^7 operations:
//!
//! ```text
//! ANABRANCH_OPERATIONS=10000000 cargo test --release --test workload
//! ```
//!
//! | File | Its one job |
//! |---|---|
//! | `history.rs` | What happened, as data. |
//! | `checks_log.rs` `checks_polls.rs` `checks_groups.rs` | The statements: pure functions of that. |
//! | `checkers_object.rs` | Each statement objects to a history that violates it. |
//! | `world.rs` | What processes share; the faults in user code. |
//! | `process.rs` `life.rs` | What a process does; one life of its consumer. |
//! | `run.rs` | One thread, or a thread for each process; the end, where everything is read. |

#[path = "workload/checkers_object.rs"]
mod checkers_object;
#[path = "workload/checks_groups.rs"]
mod checks_groups;
#[path = "workload/checks_log.rs"]
mod checks_log;
#[path = "workload/checks_polls.rs"]
mod checks_polls;
#[path = "workload/history.rs"]
mod history;
#[path = "workload/life.rs"]
mod life;
#[path = "workload/process.rs"]
mod process;
#[path = "workload/run.rs"]
mod run;
#[path = "workload/world.rs"]
mod world;
