//! A member of the group: counts the flights it is given, and commits before it loses a partition.
//!
//! Partitions come and go only within `poll`, when everything that earlier polls returned is counted.
//! A commit in `revoked` therefore covers exactly what was counted, and the next owner goes on right
//! behind it: nothing is counted twice. `leave` calls `revoked` as well.

use super::run::Run;
use super::send::{NUMBER, SENT};
use anabranch::{Consumer, ConsumerRecord, Offset, PartitionId, RebalanceListener, TopicPartition};
use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// After how many records a member commits, if no rebalance makes it do so before.
const COMMIT_EVERY: usize = 1_000;

/// How long a poll waits for records; a member that is to leave looks up that late at most.
const POLL_TIMEOUT: Duration = Duration::from_millis(20);

/// What members tell the conductor. Members are counted from 1.
#[derive(Debug)]
pub(crate) enum Event {
    Assigned { member: usize, partitions: Vec<PartitionId> },
    Revoked { member: usize, partitions: Vec<PartitionId> },
    Failed(String),
}

/// The delays at one airport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delays {
    pub(crate) flights: u64,
    pub(crate) minutes: i64,
    /// Flights that were more than a quarter of an hour late.
    pub(crate) late: u64,
}

impl Delays {
    pub(crate) fn count(&mut self, delay: i64) {
        self.add(Delays { flights: 1, minutes: delay, late: u64::from(delay > 15) });
    }

    pub(crate) fn add(&mut self, other: Delays) {
        self.flights += other.flights;
        self.minutes += other.minutes;
        self.late += other.late;
    }
}

/// One delivery of one record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) partition: PartitionId,
    pub(crate) offset: Offset,
    /// Which flight it is.
    pub(crate) number: u64,
    /// Its place among the deliveries to all members.
    pub(crate) order: u64,
    /// When it was sent and consumed: nanoseconds since the run began.
    pub(crate) sent: u64,
    pub(crate) consumed: u64,
}

/// What one member counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) member: usize,
    pub(crate) seen: Vec<Seen>,
    pub(crate) airports: HashMap<String, Delays>,
}

/// Tells what comes and goes, and commits before it goes.
pub(crate) struct Listener {
    pub(crate) member: usize,
    pub(crate) commits: bool,
    pub(crate) events: Sender<Event>,
}

impl Listener {
    fn tell(&self, event: Event) {
        // Nobody listens any more only when the run is over.
        let _ = self.events.send(event);
    }
}

impl RebalanceListener for Listener {
    fn assigned(&mut self, _: &mut Consumer, partitions: &[TopicPartition]) {
        self.tell(Event::Assigned { member: self.member, partitions: numbers(partitions) });
    }

    fn revoked(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) {
        if self.commits
            && let Err(error) = consumer.commit()
        {
            self.tell(Event::Failed(error.to_string()));
        }
        self.tell(Event::Revoked { member: self.member, partitions: numbers(partitions) });
    }
}

fn numbers(partitions: &[TopicPartition]) -> Vec<PartitionId> {
    partitions.iter().map(|of| of.partition).collect()
}

/// Counts what is polled until the member is to leave, or the run is over.
pub(crate) fn work(
    run: &Run<'_>,
    member: usize,
    mut consumer: Consumer,
) -> Result<Tally, Box<dyn Error + Send + Sync>> {
    let mut tally = Tally { member, ..Tally::default() };
    let mut uncommitted = 0;
    while !run.is_over.load(Ordering::SeqCst) && !run.leaves[member - 1].load(Ordering::SeqCst) {
        let records = consumer.poll(POLL_TIMEOUT)?;
        for record in &records {
            tally.count(run, &record)?;
        }
        uncommitted += records.len();
        if uncommitted >= COMMIT_EVERY && run.args.commits {
            consumer.commit()?;
            uncommitted = 0;
        }
    }
    consumer.leave()?;
    Ok(tally)
}

impl Tally {
    fn count(&mut self, run: &Run<'_>, record: &ConsumerRecord<'_>) -> Result<(), String> {
        let (partition, offset) = (record.partition(), record.offset());
        let line = std::str::from_utf8(record.value().unwrap_or_default())
            .map_err(|_| format!("record {offset} of partition {partition} is not UTF-8"))?;
        let flight = run.input.columns.flight(line)?;
        match self.airports.get_mut(&*flight.origin) {
            Some(delays) => delays.count(flight.delay),
            None => {
                let mut delays = Delays::default();
                delays.count(flight.delay);
                self.airports.insert(flight.origin.into_owned(), delays);
            }
        }
        self.seen.push(Seen {
            partition,
            offset,
            number: header(record, NUMBER)?,
            order: run.deliveries.fetch_add(1, Ordering::SeqCst),
            sent: header(record, SENT)?,
            consumed: run.now(),
        });
        run.reached[partition as usize].fetch_max(offset + 1, Ordering::SeqCst);
        Ok(())
    }
}

fn header(record: &ConsumerRecord<'_>, name: &str) -> Result<u64, String> {
    let header = record.headers().find(|header| header.name == name);
    let bytes = header.and_then(|header| header.value?.try_into().ok());
    let missing = || format!("record {} has no header {name} of 8 bytes", record.offset());
    bytes.map(u64::from_be_bytes).ok_or_else(missing)
}
