//! What the tests share: an assignor, a way to write partitions, and a group with consumers that
//! do what they are told.

use super::super::*;
use crate::group::assignor::{Assignor, Member};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

/// For each topic, partition p goes to the subscriber p mod n, by name: the assignor of the traces.
pub(super) struct ModAssignor;

impl Assignor for ModAssignor {
    fn name(&self) -> &str {
        "mod"
    }

    fn assign(&self, members: &[Member], topics: &[TopicLayout]) -> Assignment {
        let mut given: BTreeMap<MemberId, Vec<TopicPartition>> = BTreeMap::new();
        for topic in topics {
            let mut subscribers: Vec<&Member> =
                members.iter().filter(|member| member.subscription.contains(&topic.name)).collect();
            subscribers.sort_by(|a, b| a.id.cmp(&b.id));
            for partition in topic.partitions.iter().filter(|_| !subscribers.is_empty()) {
                let owner = subscribers[at(partition.id) % subscribers.len()];
                let partition = TopicPartition::new(&topic.name, partition.id);
                given.entry(owner.id.clone()).or_default().push(partition);
            }
        }
        Assignment(given)
    }
}

/// `of("t", [0, 2])` is t/0 and t/2.
pub(super) fn of(topic: &str, partitions: impl IntoIterator<Item = u32>) -> Vec<TopicPartition> {
    partitions.into_iter().map(|partition| TopicPartition::new(topic, partition)).collect()
}

pub(super) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A file of `tests/data/kafka`, parsed.
pub(super) fn kafka_data(name: &str) -> serde_json::Value {
    let path = format!("{}/tests/data/kafka/{name}", env!("CARGO_MANIFEST_DIR"));
    let file = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    if name.ends_with(".gz") {
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    } else {
        serde_json::from_reader(std::io::BufReader::new(file)).unwrap()
    }
}
