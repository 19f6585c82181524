//! Reading without a group: partitions and start offsets in, records out.

use super::fetcher::{Fetcher, Limits};
use super::partition::Partition;
use super::records::Records;
use crate::clock::Deadline;
use crate::error::ReadError;
use crate::ids::{Offset, TopicPartition};
use std::task::{Context, Poll};
use std::time::Duration;

/// What one poll returns at most by default: what stays in a core's cache.
const POLL_BYTES: usize = 1 << 20;

/// Reads any number of partitions, of one topic or several, without a group.
///
/// ```
/// use anabranch::{Producer, Reader, Record, Topic, TopicConfig};
/// use std::time::Duration;
///
/// let topic = Topic::in_memory("orders", TopicConfig::new().partitions(2))?;
/// let mut reader = Reader::new(topic.partitions().map(|partition| (partition, 0)));
///
/// Producer::new(&topic).send(Record::new("2 espresso").to_partition(1))?;
/// let records = reader.poll(Duration::from_secs(1))?;
/// assert_eq!(records.len(), 1);
/// assert!(reader.poll(Duration::ZERO)?.is_empty());
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    fetcher: Fetcher,
}

impl Reader {
    /// Reads these partitions, each from its offset on.
    ///
    /// An offset that does not exist shows at the first poll. A partition that is given twice is
    /// read from the last offset given. Of two topics of one name, [`position`](Self::position) and
    /// [`seek`](Self::seek) mean the one that was given first.
    pub fn new(partitions: impl IntoIterator<Item = (Partition, Offset)>) -> Reader {
        let limits = Limits { bytes: POLL_BYTES, records: usize::MAX };
        let mut fetcher = Fetcher::new(limits);
        for (partition, offset) in partitions {
            fetcher.add(&partition, offset);
        }
        Reader { fetcher }
    }

    /// Sets how many bytes of batches a poll returns at most; one batch is returned whatever it
    /// takes. Default: 1 MiB. Raising it makes polls fewer and longer.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Reader {
        self.fetcher.set_max_bytes(bytes);
        self
    }

    /// Returns the next records; waits for some up to `timeout`, in real time, if there are none.
    ///
    /// Nothing is returned only when the time is up.
    ///
    /// # Errors
    ///
    /// [`ReadError::OutOfRange`] when retention or deletion overtook one of the positions. That
    /// partition keeps its position, the others go on with the next poll: [`seek`](Self::seek).
    pub fn poll(&mut self, timeout: Duration) -> Result<Records, ReadError> {
        let records = self.fetcher.take()?;
        if !records.is_empty() || timeout.is_zero() {
            return Ok(records);
        }
        if self.fetcher.look_again() {
            // Most gaps are shorter than it takes to ask for the time.
            let records = self.fetcher.take()?;
            if !records.is_empty() {
                return Ok(records);
            }
        }
        let deadline = Deadline::after(timeout);
        loop {
            self.fetcher.wait(deadline.remaining());
            let records = self.fetcher.take()?;
            if !records.is_empty() || deadline.remaining().is_zero() {
                return Ok(records);
            }
        }
    }

    /// As [`poll`](Self::poll), for a task: without records, the task is woken when there are some.
    ///
    /// The waker is called by whoever appends, so it must not send to the same topic itself, or wait
    /// for somebody who does; a task's waker only puts it in line to be run.
    ///
    /// # Errors
    ///
    /// As [`poll`](Self::poll).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the task goes away: records that were not returned are read next time.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Records, ReadError>> {
        loop {
            match self.fetcher.take() {
                Ok(records) if records.is_empty() => {}
                done => return Poll::Ready(done),
            }
            if self.fetcher.wake_later(context.waker()) {
                return Poll::Pending;
            }
        }
    }

    /// The offset that the next record of a partition will have; `None` for one that is not read.
    pub fn position(&self, of: &TopicPartition) -> Option<Offset> {
        self.fetcher.position(of)
    }

    /// Reads on from `offset`. Whether that exists shows at the next poll.
    ///
    /// # Errors
    ///
    /// [`ReadError::NotAssigned`] for a partition that is not read.
    pub fn seek(&mut self, of: &TopicPartition, offset: Offset) -> Result<(), ReadError> {
        self.fetcher.seek(of, offset)
    }
}
