//! Compaction on a disk in memory: against a model, against damage, and with mistakes planted.

use super::*;
use crate::log::facts::FileKind;

mod files;
mod generated;
mod support;
mod tombstones;
