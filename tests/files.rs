//! Topics in a directory: what survives, and what they have in common with topics in memory.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, end with what is wrong")]

#[path = "files/broker.rs"]
mod broker;
#[path = "files/closing.rs"]
mod closing;
#[path = "files/gate.rs"]
mod gate;
#[path = "files/inspecting.rs"]
mod inspecting;
#[path = "files/offline.rs"]
mod offline;
#[path = "files/offline_calls.rs"]
mod offline_calls;
#[path = "files/offline_damages.rs"]
mod offline_damages;
#[path = "files/offline_groups.rs"]
mod offline_groups;
#[path = "files/reading.rs"]
mod reading;
#[path = "files/refusals.rs"]
mod refusals;
#[path = "files/retention.rs"]
mod retention;
#[path = "files/salvaging.rs"]
mod salvaging;
#[path = "files/settling.rs"]
mod settling;
#[path = "files/support.rs"]
mod support;
