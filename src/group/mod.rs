//! Consumer groups.

pub mod assignor;
mod coordinator;
