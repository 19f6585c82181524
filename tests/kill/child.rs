//! What the child does, and how the parent starts it.

use super::ledger::Ledger;
use anabranch::{Broker, Cleanup, Durability, Partition, Record, TopicConfig, TopicPartition};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const DIRECTORY: &str = "ANABRANCH_KILL_CHILD";
const ROLE: &str = "ANABRANCH_KILL_ROLE";
pub const TOPICS: [&str; 2] = ["synced", "written"];
pub const THREADS: u32 = 2;

/// A directory that goes with the test.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new(name: &str) -> Dir {
        let path =
            std::env::temp_dir().join(format!("anabranch-kill-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Dir(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Starts this program again, as a child that does `role` in a directory.
pub fn spawn(dir: &Path, role: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    // Only the test below runs, which is what the child is.
    command.args(["--exact", "kill::child::this_is_the_child", "--nocapture", "--test-threads=1"]);
    command.env(DIRECTORY, dir).env(ROLE, role).stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(Stdio::inherit()).spawn().unwrap()
}

/// Does nothing unless it was started by one of the tests here.
#[test]
fn this_is_the_child() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    let dir = PathBuf::from(dir);
    match std::env::var(ROLE).unwrap().as_str() {
        "work" => work(&dir),
        "hold" => hold(&dir),
        "verify" => verify(&dir),
        other => panic!("{other} is nothing that a child can do"),
    }
}

/// One line, at once. Lines are short enough for a pipe to take them whole.
fn say(line: &str) {
    let line = format!("\n@{line}\n");
    if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
        std::process::exit(0); // Nobody listens.
    }
}

fn hold(dir: &Path) {
    let broker = Broker::open(dir).unwrap();
    let topic = broker.topic_or_create("synced", TopicConfig::new()).unwrap();
    topic.partition(0).unwrap().append(&[Record::new("held")]).unwrap();
    say("holds");
    std::thread::sleep(Duration::from_secs(60));
}

/// For power cuts: the lines that a worker said come from a file, and of these only what was to be on
/// disk counts.
fn verify(dir: &Path) {
    let said = std::fs::read_to_string(std::env::var_os("ANABRANCH_KILL_SAID").unwrap()).unwrap();
    let mut ledger = Ledger::default();
    let counts_all = std::env::var_os("ANABRANCH_KILL_ALL").is_some();
    let is_durable =
        |line: &&str| counts_all || line.starts_with("a synced ") || line.starts_with("c ");
    // The last line may be cut off; it was not said then.
    let whole = &said[..said.rfind('\n').map_or(0, |end| end + 1)];
    let lines = whole.lines().filter_map(|line| line.strip_prefix('@')).filter(is_durable);
    let count = lines.inspect(|line| ledger.note(line)).count();
    let broker = Broker::open(dir).unwrap();
    ledger.check(&broker, &mut BTreeMap::new()).unwrap();
    let torn = broker.recovery().partitions.iter().filter(|one| one.torn.is_some()).count();
    broker.close().unwrap();
    say(&format!("verified {count} {torn}"));
}

fn work(dir: &Path) {
    let broker = Broker::open(dir).unwrap();
    let settings = |durability| {
        let config = TopicConfig::new().durability(durability).segment_bytes(16 << 10);
        config.flush_interval(Some(Duration::from_millis(5))).cache_bytes(0).partitions(THREADS)
    };
    let levels = [Durability::Synced, Durability::Written];
    for (topic, durability) in TOPICS.into_iter().zip(levels) {
        broker.topic_or_create(topic, settings(durability)).unwrap();
    }
    let keys = settings(Durability::Written).cleanup(Cleanup::Compact).partitions(1);
    broker.topic_or_create("keys", keys).unwrap();
    std::thread::scope(|scope| {
        for topic in TOPICS {
            for id in 0..THREADS {
                let partition = broker.topic(topic).unwrap().partition(id).unwrap();
                scope.spawn(move || append_for_ever(&partition));
            }
        }
        scope.spawn(|| write_keys(&broker));
        scope.spawn(|| commit_for_ever(&broker));
    });
}

/// `a topic partition offset`: the value follows from them.
fn append_for_ever(partition: &Partition) {
    loop {
        let first = partition.log_end_offset();
        let values: Vec<String> = (first..=first + first % 3).map(value).collect();
        let records: Vec<Record<'_>> =
            values.iter().map(|value| Record::new(value.as_str())).collect();
        let found = partition.append(&records).unwrap();
        assert_eq!(found, first, "one thread for each partition");
        say(&format!("a {} {} {}", partition.topic(), partition.id(), first + first % 3));
    }
}

/// `k key number`: numbers rise, and the latest of each key must be there.
fn write_keys(broker: &Broker) {
    let partition = broker.topic("keys").unwrap().partition(0).unwrap();
    loop {
        let number = partition.log_end_offset();
        let (key, value) = ((number % 7).to_string(), number.to_string());
        partition.append(&[Record::new(value.as_str()).with_key(key.as_str())]).unwrap();
        say(&format!("k {key} {number}"));
        if number.is_multiple_of(64) {
            broker.tick();
        }
    }
}

/// `c topic offset`: offsets rise.
fn commit_for_ever(broker: &Broker) {
    let topics = TOPICS.map(|topic| broker.topic(topic).unwrap());
    let group = broker.consumer_group("workers").topic(&topics[0]).topic(&topics[1]);
    let group = group.durability(Durability::Synced).build().unwrap();
    let mut member = group.join("one").unwrap();
    member.poll(Duration::ZERO).unwrap();
    loop {
        for topic in TOPICS {
            let of = TopicPartition::new(topic, 0);
            let last = group.committed(&of).map_or(0, |committed| committed.offset);
            let end = broker.topic(topic).unwrap().partition(0).unwrap().high_watermark();
            let next = (last + 1).min(end);
            member.commit_offsets(&[(of, next)]).unwrap();
            say(&format!("c {topic} {next}"));
        }
    }
}

pub fn value(offset: u64) -> String {
    format!("{offset} {}", "x".repeat(usize::try_from(offset * 13 % 200).unwrap()))
}
