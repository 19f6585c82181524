//! A partition whose files are damaged: it is there, keeps its number and its place in the topic, and says what
//! is wrong to whoever needs it.
//!
//! ```text
//!   recovery ─┬─ good ──► Files over the directory
//!             └─ damage ─► Files over nowhere, ended from the start ─► append, flush: refused
//!                                                                  ─► read, poll: told, never asleep
//! ```
//!
//! It is a partition that has ended before it began, so that what is on the way of a record need not ask
//! whether there is one: who appends looks for the end, and who reads finds no chunk.
//!
//! 1. Nothing of its directory is changed: what would be changed is not there.
//! 2. Its log is empty: start, high watermark and end are 0, and so is all that is counted. (But for that
//!    of committed offsets, if it went offline while it was replayed.)
//! 3. No read of it returns nothing without an error, and nobody sleeps on it.

use super::config::TopicConfig;
use super::files::{Ended, Files, Opened};
use super::session::Session;
use super::shared::Shared;
use crate::error::{AppendError, Corruption, ReadError};
use crate::ids::TopicPartition;
use crate::log::disk::Disk;
use crate::log::nowhere::{self, Nowhere};
use crate::sync::planted::{Bug, planted};
use std::path::Path;
use std::sync::Arc;

impl Files {
    /// In the place of a directory that is not touched.
    pub(crate) fn offline(
        dir: &Path,
        partition: &TopicPartition,
        config: &TopicConfig,
        session: &Arc<Session>,
        damage: Corruption,
    ) -> Opened {
        let nowhere: Arc<dyn Disk> = Arc::new(Nowhere);
        let nothing = nowhere::recovered(dir, partition);
        let mut opened = Files::assemble(&nowhere, dir, partition, config, session, nothing);
        opened.report.damage = Some(damage.clone());
        if !planted(Bug::SilentOffline) {
            opened.files.go_offline(damage);
        }
        opened
    }

    /// Takes nothing and changes nothing from here on.
    fn go_offline(&self, damage: Corruption) {
        self.end(Ended::Offline(Box::new(damage)));
        self.drain();
        drop(self.finish());
    }

    /// Why it is offline, if it is.
    pub(crate) fn damage(&self) -> Option<&Corruption> {
        match self.ended()? {
            Ended::Offline(damage) => Some(damage),
            Ended::Poisoned(_) | Ended::Closed => None,
        }
    }
}

impl Shared {
    /// Why the partition is offline, if it is.
    pub(crate) fn damage(&self) -> Option<&Corruption> {
        self.files.as_ref()?.damage()
    }

    /// Refuses what is to be appended, before anything else is.
    pub(crate) fn check_online(&self) -> Result<(), AppendError> {
        match self.damage().cloned().map(Box::new) {
            None => Ok(()),
            Some(corruption) => Err(AppendError::Offline { partition: self.name(), corruption }),
        }
    }

    /// Refuses a read, at whatever offset.
    pub(crate) fn check_readable(&self) -> Result<(), ReadError> {
        match self.damage().cloned().map(Box::new) {
            None => Ok(()),
            Some(corruption) => Err(ReadError::Offline { partition: self.name(), corruption }),
        }
    }

    /// Takes a partition offline whose damage showed when it was read. Nobody else has it yet.
    pub(crate) fn take_offline(&self, damage: Corruption) {
        if let Some(files) = &self.files {
            files.go_offline(damage);
        }
    }
}
