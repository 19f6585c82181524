//! The in-memory log through its public face: topics, partitions, producers, readers.
//!
//! For each behaviour the good case, the refused case, and the edge where one becomes the other. Time
//! is a `ManualClock`, nothing sleeps, and chunks are a few records long, so that rolling, retention
//! and look-ups across chunks happen in every test.
//!
//! | Module | What is shown |
//! |---|---|
//! | `records` | What may be appended, and that it comes back as it was. |
//! | `tail` | What retention and deletion take, and what readers are told. |
//! | `lookup` | Reading by offset and by time, against a linear scan. |
//! | `topics` | Names, partition counts, growth under load, statistics. |
//! | `sending` | `send`, `send_batch`, and who chooses the partition. |
//! | `joining` | `enqueue` without linger: batches that are open, and who sees them. |
//! | `queueing` | `enqueue` with linger: when a batch is appended, and when the buffer is full. |
//! | `waiting` | Blocked polls, wakers, turns. |
//! | `hostile` | User code that panics, blocks, or comes back in. |
//! | `workload` | Many threads at random; `checker` says what must be true of their history. |
//! | `model` | Random steps against a map. |

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "memory/checker.rs"]
mod checker;
#[path = "memory/hostile.rs"]
mod hostile;
#[path = "memory/joining.rs"]
mod joining;
#[path = "memory/lookup.rs"]
mod lookup;
#[path = "memory/model.rs"]
mod model;
#[path = "memory/queueing.rs"]
mod queueing;
#[path = "memory/records.rs"]
mod records;
#[path = "memory/sending.rs"]
mod sending;
#[path = "memory/support.rs"]
mod support;
#[path = "memory/tail.rs"]
mod tail;
#[path = "memory/topics.rs"]
mod topics;
#[path = "memory/waiting.rs"]
mod waiting;
#[path = "memory/workload.rs"]
mod workload;
