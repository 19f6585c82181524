//! The workload: eight processes that send, poll, commit and fail in every way there is, and the
//! statements that must hold of whatever happened.
//!
//! | Variable | Meaning | Default |
//! |---|---|---|
//! | `ANABRANCH_SEED` | where all choices start; printed by every run | fresh |
//! | `ANABRANCH_OPERATIONS` | operations of all runs in memory together, half of them on one thread; and twice as many with files | 100,000; with files and without optimization 10,000 |
//!
//! A run with one thread is decided by its seed alone. With files it lives on a simulated disk: topics wait
//! for writes or for syncs, and every thirty seconds or so of virtual time the process is killed, the power
//! is cut, the broker goes or is closed, or the disk refuses, fails, fills up or writes by pieces. What must
//! survive is what was acknowledged durably enough; the rest may be there or not. The full tier, 10^7 operations:
//!
//! ```text
//! ANABRANCH_OPERATIONS=10000000 cargo test --release --features testing --test workload
//! ```
//!
//! Where each process has a thread, the seed decides what is done, and not in which order: a run that fails need not
//! fail again. `ANABRANCH_HISTORY` names a file to which all that happened is written then.
//!
//! | File | Its one job |
//! |---|---|
//! | `history.rs` | What happened, as data. |
//! | `checks_log.rs` `checks_polls.rs` `checks_groups.rs` `checks_files.rs` | The statements: pure functions of that. |
//! | `checkers_object.rs` | Each statement objects to a history that violates it. |
//! | `world.rs` | What processes share; the faults in user code. |
//! | `process.rs` `life.rs` | What a process does; one life of its consumer. |
//! | `files.rs` | The broker, what befalls its disk, and what is found afterwards. |
//! | `run.rs` | One thread, or a thread for each process; the end, where everything is read. |

#[path = "workload/checkers_object.rs"]
mod checkers_object;
#[path = "workload/checks_files.rs"]
mod checks_files;
#[path = "workload/checks_groups.rs"]
mod checks_groups;
#[path = "workload/checks_log.rs"]
mod checks_log;
#[path = "workload/checks_polls.rs"]
mod checks_polls;
#[path = "workload/files.rs"]
mod files;
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
