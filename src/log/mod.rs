//! One partition's bytes.

pub(crate) mod batch;
