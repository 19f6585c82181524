//! What consumer groups promise, shown through the public API alone.
//!
//! Time is a `ManualClock`, threads are used only where something sleeps, and nobody waits for a
//! span of time: a test that blocks waits for an event, with a bound that is never reached.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, end with what is wrong")]

#[path = "group/assignors.rs"]
mod assignors;
#[path = "group/commits.rs"]
mod commits;
#[path = "group/growth.rs"]
mod growth;
#[path = "group/large.rs"]
mod large;
#[path = "group/listeners.rs"]
mod listeners;
#[path = "group/members.rs"]
mod members;
#[path = "group/polling.rs"]
mod polling;
#[path = "group/positions.rs"]
mod positions;
#[path = "group/random.rs"]
mod random;
#[path = "group/rebalance.rs"]
mod rebalance;
#[path = "group/resets.rs"]
mod resets;
#[path = "group/static_members.rs"]
mod static_members;
#[path = "group/support.rs"]
mod support;
#[path = "group/timers.rs"]
mod timers;
#[path = "group/waking.rs"]
mod waking;
