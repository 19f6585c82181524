//! A directory of its own for each test, and short words for what they do.

use super::gate::Gate;
use anabranch::{
    Broker, Durability, Housekeeping, ManualClock, OwnedRecord, Partition, Record, Timestamp,
    Topic, TopicConfig,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A directory that goes with the test.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Dir {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("anabranch-files-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn open(&self) -> Broker {
        self.open_at(ManualClock::at(Timestamp::from_millis(1_700_000_000_000)))
    }

    pub(crate) fn open_at(&self, clock: ManualClock) -> Broker {
        let builder = Broker::builder().housekeeping(Housekeeping::Manual).clock(clock);
        let broker = builder.open(&self.0).unwrap();
        broker.recovery().require_online().unwrap();
        broker
    }

    /// Opens it though partitions of it are damaged.
    pub(crate) fn open_damaged(&self) -> Broker {
        self.open_gated(|_, _| Ok(()))
    }

    /// What a process leaves that is killed now.
    pub(crate) fn killed(&self) -> Dir {
        let image = Dir::new();
        for (path, bytes) in self.contents() {
            let to = image.0.join(path.strip_prefix(&self.0).unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, bytes).unwrap();
        }
        image
    }

    /// The files of one partition with their bytes.
    pub(crate) fn files_of(&self, partition: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let dir = self.0.join(partition);
        self.contents().into_iter().filter(|(path, _)| path.starts_with(&dir)).collect()
    }

    /// Opens it through a disk that asks `hook` before each call.
    pub(crate) fn open_gated(
        &self,
        hook: impl Fn(&str, &Path) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Broker {
        let clock = ManualClock::at(Timestamp::from_millis(1_700_000_000_000));
        let builder = Broker::builder().housekeeping(Housekeeping::Manual).clock(clock);
        builder.disk(Gate::new(hook)).open(&self.0).unwrap()
    }

    /// All files with their bytes.
    pub(crate) fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        fn collect(dir: &Path, into: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    collect(&path, into);
                } else {
                    let bytes = std::fs::read(&path).unwrap();
                    into.push((path, bytes));
                }
            }
        }
        let mut all = Vec::new();
        collect(&self.0, &mut all);
        all.sort();
        all
    }

    /// The names of a partition's files with this ending, sorted.
    pub(crate) fn names(&self, partition: &str, ending: &str) -> Vec<String> {
        let dir = std::fs::read_dir(self.0.join(partition)).unwrap();
        let names = dir.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) const LEVELS: [Durability; 3] =
    [Durability::Memory, Durability::Written, Durability::Synced];

pub(crate) fn config(durability: Durability) -> TopicConfig {
    TopicConfig::new().durability(durability)
}

pub(crate) fn first(topic: &Topic) -> Partition {
    topic.partition(0).unwrap()
}

/// Appends values one by one, each a batch.
pub(crate) fn append(partition: &Partition, values: std::ops::Range<u64>) {
    for value in values {
        let offset = partition.append(&[Record::new(&value.to_string())]).unwrap();
        assert_eq!(offset, value);
    }
}

/// All values from an offset on.
pub(crate) fn values_from(partition: &Partition, from: u64) -> Vec<String> {
    let mut values = Vec::new();
    let mut next = from;
    while next < partition.high_watermark() {
        let records = partition.read(next, 64 << 10).unwrap();
        assert!(!records.is_empty(), "nothing at {next}");
        for record in &records {
            assert!(record.offset() >= next);
            next = record.offset() + 1;
            values.push(String::from_utf8(record.value().unwrap().to_vec()).unwrap());
        }
    }
    values
}

pub(crate) fn numbers(values: std::ops::Range<u64>) -> Vec<String> {
    values.map(|value| value.to_string()).collect()
}

/// The number that was appended as this record.
pub(crate) fn number(record: &OwnedRecord) -> u64 {
    std::str::from_utf8(record.value.as_deref().unwrap()).unwrap().parse().unwrap()
}
