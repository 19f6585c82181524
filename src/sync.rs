//! Locks and atomics in one place, so that a model checker can stand in for them.

pub(crate) use crossbeam::utils::CachePadded;

/// The standard atomics.
pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::*;
}
