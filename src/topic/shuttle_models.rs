//! Mixes of everything on a partition with files, under thousands of random schedules.
//!
//! Senders append in all ways that there are, while a thread and a task read, somebody flushes, and the
//! disk refuses writes at random. A record's value names its sender and its number there. What a
//! sender was told decides: what was acknowledged is there, once and in order, what was refused is
//! nowhere. Nobody waits with a timeout, so who is forgotten is a deadlock, which shuttle reports.

use super::config::{Durability, TopicConfig};
use super::model_files::{TWO_BATCHES, disk, open};
use super::partition::Partition;
use super::reader::Reader;
use super::records::Records;
use super::settle::Ticket;
use super::shared::Shared;
use crate::error::{AppendError, ReadError};
use crate::ids::{Offset, Timestamp};
use crate::log::memory_disk::MemoryDisk;
use crate::record::Record;
use crate::sync::explore::explore_some;
use crate::sync::planted::{Bug, caught};
use crate::sync::{Condvar, Mutex};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Schedules from each of the two schedulers: an append to files takes many more steps than one in memory.
const SCHEDULES: usize = 4_000;

/// Two or three batches.
const SEGMENT_BYTES: usize = 250;

/// Who sent a record, and the how-manieth of its sender it is.
type Name = [u8; 2];

/// The sender of the record that ends the log.
const END: u8 = u8::MAX;

fn config(durability: Durability) -> TopicConfig {
    TopicConfig::new().durability(durability).segment_bytes(SEGMENT_BYTES).cache_bytes(0)
}

/// One of those that show what is written, and nothing else.
fn any_durability() -> Durability {
    if thread_rng().gen_range(0..2) == 0 { Durability::Written } else { Durability::Synced }
}

/// Refuses one write in four, as long as it is on.
fn refuse_some(disk: &MemoryDisk) -> Arc<AtomicBool> {
    let is_full = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&is_full);
    disk.refuse_if(move |is_write| {
        is_write && asked.load(Ordering::Relaxed) && thread_rng().gen_range(0..4) == 0
    });
    is_full
}

/// What a sender was told, in the order of its calls.
#[derive(Default)]
struct Sent {
    acknowledged: Vec<(Name, Offset)>,
    refused: Vec<Name>,
    /// Refused because the partition was closed.
    is_closed: bool,
}

impl Sent {
    fn note(&mut self, name: Name, told: Result<Offset, AppendError>) {
        match told {
            Ok(offset) => self.acknowledged.push((name, offset)),
            Err(AppendError::Closed { .. }) => {
                self.is_closed = true;
                self.refused.push(name);
            }
            Err(AppendError::Disk { .. }) => self.refused.push(name),
            Err(other) => panic!("{other}"),
        }
    }
}

fn settle(partition: &Partition, sent: &mut Sent, tickets: Vec<(Name, Offset, Ticket)>) {
    for (name, offset, ticket) in tickets {
        let outcome = partition.shared.settle_ticket(&ticket);
        assert!(ticket.outcome().is_none_or(|told| told == outcome), "all are told the same");
        sent.note(name, outcome.map(|()| offset));
    }
}

/// Sends `count` records in ways that the schedule's dice choose.
fn send_mix(partition: &Partition, sender: u8, count: u8) -> Sent {
    let mut sent = Sent::default();
    let mut tickets = Vec::new();
    for number in 0..count {
        let name = [sender, number];
        let record = Record::new(&name);
        match thread_rng().gen_range(0..4) {
            0 => {
                settle(partition, &mut sent, std::mem::take(&mut tickets));
                sent.note(name, partition.append(&[record]));
            }
            1 => {
                let ticket = partition.shared.append_unsettled(&[record]);
                // Its offset shows in what is read.
                match ticket {
                    Ok(Some(ticket)) => tickets.push((name, Offset::MAX, ticket)),
                    Ok(None) => sent.note(name, Ok(Offset::MAX)),
                    Err(error) => sent.note(name, Err(error)),
                }
            }
            _ => match Shared::enqueue(&partition.shared, &record, Timestamp::default(), 100) {
                Ok((offset, Some(ticket))) => tickets.push((name, offset, ticket)),
                Ok((offset, None)) => sent.note(name, Ok(offset)),
                Err(error) => sent.note(name, Err(error)),
            },
        }
    }
    settle(partition, &mut sent, tickets);
    sent
}

/// What was read.
#[derive(Default)]
struct Log(BTreeMap<Offset, Name>);

impl Log {
    fn note(&mut self, records: &Records, next: &mut Offset) {
        for record in records {
            assert_eq!(record.offset(), *next, "a reader sees a prefix, without gaps");
            *next += 1;
            let name = record.value().and_then(|value| value.try_into().ok()).expect("intact");
            self.0.insert(record.offset(), name);
        }
    }

    fn read(partition: &Partition) -> Log {
        let (mut log, mut next) = (Log::default(), 0);
        while next < partition.high_watermark() {
            let records = partition.read(next, usize::MAX).unwrap();
            assert!(!records.is_empty(), "nothing at {next}");
            log.note(&records, &mut next);
        }
        log
    }

    fn check(&self, sent: &[Sent]) {
        let mut names: Vec<Name> = self.0.values().copied().filter(|name| name[0] != END).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a record stands twice: {:?}", self.0);
        for sent in sent {
            let mut last = None;
            for (name, offset) in &sent.acknowledged {
                let place = self.0.iter().find(|(_, read)| *read == name).map(|(place, _)| *place);
                let place = place.unwrap_or_else(|| panic!("{name:?} is lost: {:?}", self.0));
                assert!(*offset == place || *offset == Offset::MAX, "{name:?} is at {place}");
                assert!(last < Some(place), "{name:?} was overtaken");
                last = Some(place);
            }
            for name in &sent.refused {
                assert!(!names.contains(name), "{name:?} was refused, and is there");
            }
        }
        let told: usize = sent.iter().map(|sent| sent.acknowledged.len()).sum();
        assert_eq!(names.len(), told, "what is there was acknowledged");
    }
}

/// What a task's executor does: sleeps until the waker was called.
#[derive(Default)]
struct Parker {
    is_woken: Mutex<bool>,
    bell: Condvar,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        *self.is_woken.lock() = true;
        self.bell.notify_one();
    }
}

/// Polls as a thread or as a task, until there are records or an error.
fn poll(reader: &mut Reader, is_task: bool) -> Result<Records, ReadError> {
    if !is_task {
        return reader.poll(Duration::MAX);
    }
    let parker = Arc::new(Parker::default());
    let waker = Waker::from(Arc::clone(&parker));
    loop {
        match reader.poll_next(&mut Context::from_waker(&waker)) {
            Poll::Ready(records) => return records,
            Poll::Pending => {
                let mut is_woken = parker.is_woken.lock();
                while !std::mem::take(&mut *is_woken) {
                    is_woken = parker.bell.wait(is_woken, Duration::MAX);
                }
            }
        }
    }
}

/// Reads until the record that ends the log, or until it is told that this was all.
fn spawn_reader(partition: &Partition, is_task: bool) -> JoinHandle<Log> {
    let partition = partition.clone();
    thread::spawn(move || {
        let mut reader = Reader::new([(partition, 0)]).max_bytes(150);
        let (mut log, mut next) = (Log::default(), 0);
        while log.0.values().next_back().is_none_or(|name| name[0] != END) {
            match poll(&mut reader, is_task) {
                Ok(records) => log.note(&records, &mut next),
                Err(ReadError::Closed { .. }) => break,
                Err(other) => panic!("{other}"),
            }
        }
        log
    })
}

fn spawn_senders(partition: &Partition, senders: u8, records: u8) -> Vec<JoinHandle<Sent>> {
    let spawn = |sender| {
        let partition = partition.clone();
        thread::spawn(move || send_mix(&partition, sender, records))
    };
    Vec::from_iter((0..senders).map(spawn))
}

/// Three send in all ways, two read, one flushes, and the disk refuses what it likes.
fn refusals() {
    let disk = disk();
    let partition = open(&disk, config(any_durability()), TWO_BATCHES);
    let is_full = refuse_some(&disk);
    let readers = [false, true].map(|is_task| spawn_reader(&partition, is_task));
    let senders = spawn_senders(&partition, 3, 3);
    let flusher = {
        let partition = partition.clone();
        thread::spawn(move || drop(partition.flush()))
    };
    let sent = Vec::from_iter(senders.into_iter().map(|sender| sender.join().unwrap()));
    flusher.join().unwrap();
    is_full.store(false, Ordering::Relaxed);
    partition.append(&[Record::new(&[END, 0])]).expect("after refusals the log goes on");
    let log = Log::read(&partition);
    log.check(&sent);
    for reader in readers {
        assert_eq!(reader.join().unwrap().0, log.0, "readers agree");
    }
    partition.shared.close().unwrap();
    drop(partition);
    assert_eq!(Log::read(&open(&disk, config(Durability::Written), TWO_BATCHES)).0, log.0);
}

#[test]
fn shuttle_what_is_acknowledged_is_there_and_what_is_refused_is_not() {
    let bugs = [
        Bug::ForgetLeader,
        Bug::StayBusy,
        Bug::ForgetBoarded,
        Bug::TicketAhead,
        Bug::ShowUnwritten,
        Bug::ShowGivenUp,
        Bug::LeaveCutOpen,
        Bug::SilentShow,
        Bug::EvictUnwritten,
        Bug::SealBeforeChain,
    ];
    for bug in bugs {
        assert!(caught(bug, || explore_some(SCHEDULES, refusals)), "{bug:?}");
    }
    explore_some(SCHEDULES, refusals);
}

/// The partition closes while records are sent and read: what was acknowledged is on disk when the close
/// has returned, and readers have seen it when they are told that this was all.
fn close_in_the_middle() {
    let disk = disk();
    let partition = open(&disk, config(any_durability()), TWO_BATCHES);
    let readers = [false, true].map(|is_task| spawn_reader(&partition, is_task));
    let senders = spawn_senders(&partition, 2, 3);
    let closed = {
        let (partition, disk) = (partition.clone(), disk.clone());
        thread::spawn(move || {
            partition.shared.close().unwrap();
            disk.snapshot()
        })
    };
    let left = closed.join().unwrap();
    let sent = Vec::from_iter(senders.into_iter().map(|sender| sender.join().unwrap()));
    let log = Log::read(&open(&left, config(Durability::Written), TWO_BATCHES));
    log.check(&sent);
    for reader in readers {
        assert_eq!(reader.join().unwrap().0, log.0, "readers have seen what there is");
    }
    assert!(partition.append(&[Record::new("x")]).is_err());
    assert!(left.files() == disk.files(), "something was changed after the close");
}

#[test]
fn shuttle_what_is_acknowledged_while_it_closes_is_on_disk() {
    for bug in [Bug::CloseUnwritten, Bug::AppendClosed, Bug::EndTooSoon, Bug::ForgetLeader] {
        assert!(caught(bug, || explore_some(SCHEDULES, close_in_the_middle)), "{bug:?}");
    }
    explore_some(SCHEDULES, close_in_the_middle);
}

/// Records are shown at once and written when there is enough of them; writes are refused at times, and so
/// is an append when memory holds too much. Nothing that was acknowledged is lost.
fn shown_at_once() {
    let disk = disk();
    let partition = open(&disk, config(Durability::Memory), TWO_BATCHES);
    let is_full = refuse_some(&disk);
    let readers = [false, true].map(|is_task| spawn_reader(&partition, is_task));
    let senders = spawn_senders(&partition, 3, 3);
    let sent = Vec::from_iter(senders.into_iter().map(|sender| sender.join().unwrap()));
    is_full.store(false, Ordering::Relaxed);
    partition.append(&[Record::new(&[END, 0])]).unwrap();
    let log = Log::read(&partition);
    log.check(&sent);
    for reader in readers {
        assert_eq!(reader.join().unwrap().0, log.0, "readers agree");
    }
    partition.shared.close().unwrap();
    assert_eq!(Log::read(&open(&disk, config(Durability::Memory), TWO_BATCHES)).0, log.0);
}

#[test]
fn shuttle_what_is_shown_at_once_is_written_once() {
    for bug in [Bug::LeadUnasked, Bug::StayBusy, Bug::EvictUnwritten] {
        assert!(caught(bug, || explore_some(SCHEDULES, shown_at_once)), "{bug:?}");
    }
    explore_some(SCHEDULES, shown_at_once);
}
