//! The log under a journal, in two steps: put a batch in line, then wait until it is safe.
//!
//! The first step fixes the order and takes no longer than memory does, so it may be taken under a
//! group's lock. The second one may take as long as a disk does, and is taken with no lock held.

use crate::error::{AppendError, FlushError};
use crate::ids::Timestamp;
use crate::record::Record;
use crate::topic::{self, Partition};
use std::fmt::Debug;

/// A batch that is in line: to be settled once.
#[derive(Debug)]
#[must_use = "whether the batch is safe is known when it is settled"]
pub(in crate::group) struct Ticket(Option<topic::Ticket>);

/// What a journal asks of its log; tests stand in here for a disk that is slow, or fails.
pub(in crate::group) trait OffsetsLog: Debug + Send + Sync {
    /// Puts records in line as one batch. On an error nothing was.
    fn enqueue(&self, records: &[Record<'_>]) -> Result<Ticket, AppendError>;

    /// Waits until the batch is as durable as the log's topic says, or on disk if it is to be `synced`. On
    /// an error it is not, and no later batch is settled before an earlier one.
    fn settle(&self, ticket: Ticket, synced: bool) -> Result<(), AppendError>;

    /// The log's time.
    fn now(&self) -> Timestamp;
}

impl OffsetsLog for Partition {
    fn enqueue(&self, records: &[Record<'_>]) -> Result<Ticket, AppendError> {
        self.append_unsettled(records).map(Ticket)
    }

    fn settle(&self, ticket: Ticket, synced: bool) -> Result<(), AppendError> {
        if let Some(ticket) = ticket.0 {
            self.shared.settle_ticket(&ticket)?;
        }
        if synced {
            self.shared.sync_written().map_err(|refused| match refused {
                FlushError::Disk { partition, source } => AppendError::Disk { partition, source },
                FlushError::Poisoned { partition, source } => {
                    AppendError::Poisoned { partition, source }
                }
                FlushError::Offline { partition, corruption } => {
                    AppendError::Offline { partition, corruption }
                }
                FlushError::Closed { partition } => AppendError::Closed { partition },
            })?;
        }
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.shared.settings.now()
    }
}
