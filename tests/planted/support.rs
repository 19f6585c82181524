//! A broker on a simulated disk, and short words for what scenarios do with it.

use anabranch::testing::{Fate, SimDisk, Unsynced};
use anabranch::{
    Broker, Durability, Housekeeping, ManualClock, OpenError, Partition, ReadError, Record,
    Timestamp, Topic, TopicConfig,
};
use std::ops::Range;

pub(crate) const LOG: &str = "data/t-0/00000000000000000000.log";

/// Opens it, and refuses one with a partition that is offline: no scenario but those of rot leaves any.
pub(crate) fn try_open(disk: &SimDisk) -> Result<Broker, OpenError> {
    let broker = open_damaged(disk)?;
    broker.recovery().require_online()?;
    Ok(broker)
}

pub(crate) fn open_damaged(disk: &SimDisk) -> Result<Broker, OpenError> {
    let clock = ManualClock::at(Timestamp::from_millis(1_700_000_000_000));
    let builder = Broker::builder().housekeeping(Housekeeping::Manual).clock(clock);
    builder.disk(disk.clone()).open("data")
}

#[track_caller]
pub(crate) fn open(disk: &SimDisk) -> Broker {
    try_open(disk).unwrap_or_else(|error| panic!("does not open: {error}"))
}

/// A topic of one partition whose segments take a few small records.
pub(crate) fn config(durability: Durability) -> TopicConfig {
    TopicConfig::new().durability(durability).segment_bytes(400)
}

pub(crate) fn topic(broker: &Broker, durability: Durability) -> Topic {
    broker.topic_or_create("t", config(durability)).unwrap()
}

/// The one partition of a topic on a broker of its own.
pub(crate) struct Log {
    pub(crate) partition: Partition,
    pub(crate) topic: Topic,
    pub(crate) broker: Broker,
}

impl Log {
    #[track_caller]
    pub(crate) fn open(disk: &SimDisk, durability: Durability) -> Log {
        let broker = open(disk);
        let topic = topic(&broker, durability);
        Log { partition: topic.partition(0).unwrap(), topic, broker }
    }

    #[track_caller]
    pub(crate) fn send(&self, values: Range<u64>) {
        for value in values {
            try_send(&self.partition, value).unwrap();
        }
    }

    pub(crate) fn values(&self) -> Result<Vec<u64>, ReadError> {
        values(&self.partition)
    }
}

pub(crate) fn try_send(partition: &Partition, value: u64) -> Result<u64, anabranch::AppendError> {
    partition.append(&[Record::new(&value.to_string())])
}

pub(crate) fn values(partition: &Partition) -> Result<Vec<u64>, ReadError> {
    let (mut values, mut next) = (Vec::new(), partition.log_start_offset());
    while next < partition.high_watermark() {
        let records = partition.read(next, 4 << 10)?;
        for record in &records {
            let text = std::str::from_utf8(record.value().unwrap()).unwrap();
            values.push(text.parse().unwrap());
            next = record.offset() + 1;
        }
        if records.is_empty() {
            break;
        }
    }
    Ok(values)
}

/// What the next process finds in the topic.
#[track_caller]
pub(crate) fn found(image: &SimDisk) -> Vec<u64> {
    let broker = open(image);
    let topic = broker.topic("t").unwrap_or_else(|error| panic!("{error}"));
    values(&topic.partition(0).unwrap()).unwrap_or_else(|error| panic!("does not read: {error}"))
}

/// The disk of a process that opens the log, does something, and is killed.
pub(crate) fn killed(disk: &SimDisk, does: impl FnOnce(&Log)) -> SimDisk {
    let disk = disk.kill();
    let log = Log::open(&disk, Durability::Written);
    does(&log);
    disk.kill()
}

/// Everything that was not synced is lost, but for the marks.
pub(crate) fn all_but_marks_is_lost(change: &Unsynced<'_>) -> Fate {
    match change {
        Unsynced::Write { path, .. } if path.ends_with("mark") => Fate::Whole,
        _ => Fate::Absent,
    }
}

/// The base offset and leader epoch of each batch of the first segment.
pub(crate) fn epochs(disk: &SimDisk) -> Vec<(u64, u32)> {
    let bytes = disk.read(LOG).unwrap();
    let (mut found, mut rest) = (Vec::new(), &bytes[..]);
    while rest.first_chunk::<61>().is_some() && rest[..61] != [0; 61] {
        let base = u64::from_be_bytes(rest[..8].try_into().unwrap());
        let length = u32::from_be_bytes(rest[8..12].try_into().unwrap());
        found.push((base, u32::from_be_bytes(rest[12..16].try_into().unwrap())));
        rest = &rest[12 + length as usize..];
    }
    found
}
