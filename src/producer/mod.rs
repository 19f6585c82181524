//! Producing: which partition a record goes to, when a batch is due, when to push back.

pub mod partitioner;
