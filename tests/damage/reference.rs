//! Directories with every kind of file, and what was written to them.
//!
//! ```text
//!   session 1 ─ killed ─► session 2 ─ killed ─► session 3 ─┬─ closed            clean
//!   (epoch 0)             (epoch 1)             (epoch 2)  ├─ synced, killed    fresh
//!                                                          └─ an older mark     stale
//! ```

use super::look::{Row, look};
use anabranch::testing::SimDisk;
use anabranch::{
    Broker, Cleanup, Durability, Header, Housekeeping, ManualClock, Partition, Record, Timestamp,
    TopicConfig, TopicPartition,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub const ROOT: &str = "data";
pub const TOPICS: [&str; 2] = ["keys", "orders"];
pub const OFFSETS: &str = "__consumer_offsets";

/// How far the marks say that the logs are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// As far as they go; and the directory was closed.
    Clean,
    /// As far as they go.
    Fresh,
    /// Not as far: the files `mark` are older than the others.
    Stale,
}

/// What was committed, by group and partition.
pub type Commits = Vec<(String, String, u64)>;

/// What a partition held.
#[derive(Clone, Debug)]
pub struct Held {
    pub log_start: u64,
    pub end: u64,
    /// The end of what the mark says is on disk.
    pub known_end: u64,
    /// From its start on, in order.
    pub rows: Vec<Row>,
}

pub struct Reference {
    pub marks: Marks,
    pub disk: SimDisk,
    pub held: BTreeMap<String, Held>,
    pub commits: Commits,
    /// What was committed when the older mark was written.
    pub known_commits: Commits,
}

pub fn open(disk: &SimDisk) -> Result<Broker, anabranch::OpenError> {
    let clock = ManualClock::at(Timestamp::from_millis(5_000));
    let builder = Broker::builder().disk(disk.clone()).housekeeping(Housekeeping::Manual);
    builder.clock(clock).open(ROOT)
}

/// One reference for each kind of mark, of files with about `bytes` bytes.
pub fn references(bytes: usize) -> Vec<Reference> {
    let disk = first_sessions(bytes);
    [Marks::Clean, Marks::Fresh, Marks::Stale].map(|marks| last_session(&disk, marks)).into()
}

/// Two sessions that ended in a crash, so that there are epochs.
fn first_sessions(bytes: usize) -> SimDisk {
    let disk = SimDisk::new();
    let broker = open(&disk).unwrap();
    let orders = TopicConfig::new().segment_bytes(bytes * 5 / 16).durability(Durability::Synced);
    let keys = TopicConfig::new().segment_bytes(bytes / 16).cleanup(Cleanup::Compact);
    broker.create_topic("orders", orders).unwrap();
    broker.create_topic("keys", keys.durability(Durability::Written)).unwrap();
    fill(&broker, bytes / 400, 20);
    flush(&broker);
    let killed = disk.kill();
    let broker = open(&killed).unwrap();
    fill(&broker, bytes / 400, 12);
    partition(&broker, "orders").delete_records(3).unwrap();
    commit(&broker, 7);
    flush(&broker);
    broker.tick();
    let killed = killed.kill();
    killed.settle();
    killed
}

fn last_session(disk: &SimDisk, marks: Marks) -> Reference {
    let disk = disk.kill();
    let broker = open(&disk).unwrap();
    fill(&broker, 3, 2);
    commit(&broker, 11);
    flush(&broker);
    let known: BTreeMap<PathBuf, Vec<u8>> =
        disk.contents().into_iter().filter(|(path, _)| path.ends_with("mark")).collect();
    let known_ends = TOPICS.map(|topic| partition(&broker, topic).high_watermark());
    let known_commits = commits(&broker);
    fill(&broker, 3, 2);
    commit(&broker, 13);
    flush(&broker);
    let disk = match marks {
        Marks::Clean => {
            broker.close().unwrap();
            drop(broker);
            disk.kill()
        }
        Marks::Fresh | Marks::Stale => disk.kill(),
    };
    if marks == Marks::Stale {
        known.iter().for_each(|(path, bytes)| disk.write(path, bytes).unwrap());
    }
    disk.settle();
    let broker = open(&disk.kill()).unwrap();
    assert_eq!(broker.recovery().was_clean, marks == Marks::Clean);
    let held = |(topic, known_end): (&str, u64)| {
        let seen = look(&partition(&broker, topic), usize::MAX, &[]);
        let (log_start, end, rows) = (seen.log_start, seen.end, seen.rows.unwrap());
        let known_end = if marks == Marks::Stale { known_end } else { end };
        assert!(known_end < end || marks != Marks::Stale, "{topic}");
        (topic.to_owned(), Held { log_start, end, known_end, rows })
    };
    let held: BTreeMap<String, Held> = TOPICS.into_iter().zip(known_ends).map(held).collect();
    let commits = commits(&broker);
    assert_ne!(commits, known_commits);
    let known_commits = if marks == Marks::Stale { known_commits } else { commits.clone() };
    Reference { marks, disk, held, commits, known_commits }
}

pub fn partition(broker: &Broker, topic: &str) -> Partition {
    broker.topic(topic).unwrap().partition(0).unwrap()
}

/// Appends batches of one, two and three records, small and large, with times that rise and fall.
fn fill(broker: &Broker, orders: usize, keys: usize) {
    let of = partition(broker, "orders");
    for _ in 0..orders {
        let first = of.log_end_offset();
        let values: Vec<String> = (first..=first + first % 3).map(value).collect();
        let stamps = (first..)
            .map(|offset| Timestamp::from_millis((2_000 + offset * 10 - offset % 7 * 9) as i64));
        let header = [Header { name: "kind", value: Some(b"tea") }];
        let records = values.iter().zip(stamps).map(|(value, at)| {
            let headers: &[Header<'_>] = if value.len() % 2 == 0 { &header } else { &[] };
            Record { headers, ..Record::new(value.as_str()).with_timestamp(at) }
        });
        of.append(&records.collect::<Vec<_>>()).unwrap();
    }
    let of = partition(broker, "keys");
    for _ in 0..keys {
        let (offset, value) = (of.log_end_offset(), value(of.log_end_offset()));
        // One in three stays, the others are written again and again.
        let key =
            if offset % 3 == 0 { format!("rare {offset}") } else { format!("k{}", offset % 5) };
        of.append(&[Record::new(value.as_str()).with_key(key.as_str())]).unwrap();
    }
}

fn value(offset: u64) -> String {
    format!("value {offset} {}", "x".repeat((offset * 37 % 90) as usize))
}

fn flush(broker: &Broker) {
    for topic in TOPICS {
        partition(broker, topic).flush().unwrap();
    }
}

fn commit(broker: &Broker, offset: u64) {
    for (group, ahead) in [("billing", 0), ("audit", 1)] {
        let topics = TOPICS.map(|topic| broker.topic(topic).unwrap());
        let builder = broker.consumer_group(group).durability(Durability::Synced);
        let group = topics.iter().fold(builder, |builder, topic| builder.topic(topic));
        let group = group.build().unwrap();
        let mut member = group.join("member").unwrap();
        member.poll(Duration::ZERO).unwrap();
        let all = TOPICS.map(|topic| (TopicPartition::new(topic, 0), offset + ahead));
        member.commit_offsets(&all).unwrap();
    }
}

pub fn commits(broker: &Broker) -> Commits {
    let each = |(group, offsets): (
        anabranch::GroupId,
        Vec<(TopicPartition, anabranch::OffsetAndMetadata)>,
    )| {
        let row = move |(of, committed): (TopicPartition, anabranch::OffsetAndMetadata)| {
            (group.to_string(), of.to_string(), committed.offset)
        };
        offsets.into_iter().map(row).collect::<Vec<_>>()
    };
    broker.groups().into_iter().flat_map(each).collect()
}

/// The partition that a file belongs to, by the name of its directory.
pub fn owner(path: &Path) -> Option<String> {
    let dir = path.parent()?.file_name()?.to_str()?;
    Some(dir.strip_suffix("-0")?.to_owned())
}

#[test]
fn the_references_have_every_kind_of_file() {
    for reference in references(16 << 10) {
        let files = reference.disk.files();
        let bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        println!("{:?}: {} files, {bytes} bytes", reference.marks, files.len());
        files.iter().for_each(|(path, bytes)| println!("  {bytes:>6} {}", path.display()));
        let has = |name: &str| files.iter().any(|(path, _)| path.ends_with(name));
        for name in [
            "LOCK",
            "manifest",
            "orders-0/mark",
            "orders-0/segments",
            "keys-0/segments",
            "orders-0/leader-epoch-checkpoint",
            "orders-0/00000000000000000000.index",
            "orders-0/00000000000000000000.timeindex",
            "__consumer_offsets-0/00000000000000000000.log",
        ] {
            assert!(has(name), "{name}");
        }
        assert_eq!(has("data/clean"), reference.marks == Marks::Clean);
        let index = reference.disk.read("data/orders-0/00000000000000000000.index").unwrap();
        assert!(!index.is_empty(), "an index with entries");
        let keys = &reference.held["keys"].rows;
        assert!(keys.windows(2).any(|pair| pair[0].offset + 1 < pair[1].offset), "compacted");
    }
}
