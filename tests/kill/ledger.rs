//! What was acknowledged, and whether it is there.

use super::child::{THREADS, TOPICS, value};
use anabranch::{Broker, Partition, TopicPartition};
use std::collections::BTreeMap;

/// The latest that was acknowledged, of each thing that only rises.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// By topic and partition, the last offset.
    pub appended: BTreeMap<(String, u32), u64>,
    /// By key, the last number.
    pub keys: BTreeMap<String, u64>,
    /// By topic, the offset.
    pub committed: BTreeMap<String, u64>,
}

impl Ledger {
    /// Notes a line that the child has printed.
    pub fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["a", topic, partition, offset] => {
                let of = ((*topic).to_owned(), partition.parse().unwrap());
                self.appended.insert(of, offset.parse().unwrap());
            }
            ["k", key, number] => {
                self.keys.insert((*key).to_owned(), number.parse().unwrap());
            }
            ["c", topic, offset] => {
                self.committed.insert((*topic).to_owned(), offset.parse().unwrap());
            }
            _ => panic!("the child says {line:?}"),
        }
    }

    /// Whether all of it is there, and nothing but what was written. `checked` is how far each partition
    /// was looked at before; what lies below is looked at here and there.
    pub fn check(
        &self,
        broker: &Broker,
        checked: &mut BTreeMap<(String, u32), u64>,
    ) -> Result<(), String> {
        for topic in TOPICS {
            let Ok(found) = broker.topic(topic) else {
                let was_used = self.appended.keys().any(|(used, _)| used == topic);
                if was_used {
                    return Err(format!("topic {topic} is gone"));
                }
                continue;
            };
            for id in 0..THREADS {
                let of = (topic.to_owned(), id);
                let partition = found.partition(id).ok_or(format!("{of:?} is gone"))?;
                let end = partition.high_watermark();
                if let Some(last) = self.appended.get(&of).filter(|last| **last >= end) {
                    return Err(format!("{of:?}: {last} was acknowledged, the end is {end}"));
                }
                let from = checked.get(&of).map_or(0, |checked| checked.saturating_sub(100));
                check_values(&partition, 0, 10.min(end))?;
                check_values(&partition, from.min(end), end)?;
                checked.insert(of, end);
            }
        }
        self.check_keys(broker)?;
        for (topic, offset) in &self.committed {
            let of = TopicPartition::new(topic, 0);
            let groups = broker.groups();
            let all = groups.iter().flat_map(|(_, offsets)| offsets);
            let found =
                all.filter(|(found, _)| *found == of).map(|(_, committed)| committed.offset);
            let found = found.max();
            let end = broker.topic(topic).unwrap().partition(0).unwrap().high_watermark();
            if found.is_none_or(|found| found < *offset || found > end) {
                return Err(format!(
                    "{topic}: {offset} was committed, {found:?} is, the end is {end}"
                ));
            }
        }
        Ok(())
    }

    fn check_keys(&self, broker: &Broker) -> Result<(), String> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let partition = broker.topic("keys").unwrap().partition(0).unwrap();
        let mut latest: BTreeMap<String, u64> = BTreeMap::new();
        for (offset, key, value) in all_from(&partition, partition.log_start_offset())? {
            if value != offset.to_string() {
                return Err(format!("keys: {value} at {offset}"));
            }
            latest.insert(key, offset);
        }
        for (key, number) in &self.keys {
            if latest.get(key).is_none_or(|latest| latest < number) {
                return Err(format!(
                    "key {key}: {number} was acknowledged, {:?} is there",
                    latest.get(key)
                ));
            }
        }
        Ok(())
    }
}

fn check_values(partition: &Partition, from: u64, to: u64) -> Result<(), String> {
    let mut next = from;
    for (offset, _, found) in all_from(partition, from)? {
        if offset >= to {
            break;
        }
        if offset != next || found != value(offset) {
            let of = (partition.topic(), partition.id());
            return Err(format!("{of:?}: at {next} stands {offset} with {found:?}"));
        }
        next += 1;
    }
    if next < to { Err(format!("nothing at {next}")) } else { Ok(()) }
}

fn all_from(partition: &Partition, from: u64) -> Result<Vec<(u64, String, String)>, String> {
    let text =
        |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let (mut all, mut next) = (Vec::new(), from);
    while next < partition.high_watermark() {
        let records = partition.read(next, 1 << 20).map_err(|error| error.to_string())?;
        let before = next;
        for record in records.iter().filter(|record| record.offset() >= before) {
            all.push((record.offset(), text(record.key()), text(record.value())));
            next = record.offset() + 1;
        }
        if next == before {
            break;
        }
    }
    Ok(all)
}
