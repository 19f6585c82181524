//! Statements about the log: what was sent stands where it was said to, once, and is read.

use super::history::{Event, Found, History, Key, Offset, Value, What};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that anybody saw: acknowledgements, polls, and the logs as they stand at the end.
fn sightings(history: &History) -> impl Iterator<Item = Found> {
    history.iter().flat_map(|event| match &event.what {
        What::Sent(found) => found.clone(),
        What::Polled(poll) => poll.records.clone(),
        What::Log { key, records, .. } => {
            records.iter().map(|(offset, value)| (*key, *offset, *value)).collect()
        }
        _ => Vec::new(),
    })
}

fn read(history: &History) -> impl Iterator<Item = Found> {
    sightings_of(history, |event| !matches!(event.what, What::Sent(_)))
}

fn acknowledged(history: &History) -> impl Iterator<Item = Found> {
    sightings_of(history, |event| matches!(event.what, What::Sent(_)))
}

fn sightings_of(history: &History, wanted: impl Fn(&Event) -> bool) -> impl Iterator<Item = Found> {
    let wanted: History = history.iter().filter(|event| wanted(event)).cloned().collect();
    sightings(&wanted).collect::<Vec<_>>().into_iter()
}

/// Where each log starts at the end: what is below may have been dropped before anybody read it.
fn starts(history: &History) -> BTreeMap<Key, Offset> {
    let starts = history.iter().filter_map(|event| match event.what {
        What::Log { key, start, .. } => Some((key, start)),
        _ => None,
    });
    starts.collect()
}

/// A1: two values were seen at one offset of a key.
pub(crate) fn inconsistent_offsets(history: &History) -> Vec<String> {
    let mut values: BTreeMap<(Key, Offset), Value> = BTreeMap::new();
    let mut found = Vec::new();
    for (key, offset, value) in sightings(history) {
        let first = *values.entry((key, offset)).or_insert(value);
        if first != value {
            found.push(format!("{key:?} has {first} and {value} at offset {offset}"));
        }
    }
    found
}

/// A2: a value stands at two offsets.
pub(crate) fn duplicates(history: &History) -> Vec<String> {
    let mut places: BTreeMap<Value, (Key, Offset)> = BTreeMap::new();
    let mut found = Vec::new();
    for (key, offset, value) in sightings(history) {
        let first = *places.entry(value).or_insert((key, offset));
        if first != (key, offset) {
            found.push(format!("{value} stands at {first:?} and at {:?}", (key, offset)));
        }
    }
    found
}

/// A3 and B14: a value was read whose sender was told that it failed.
pub(crate) fn failed_but_read(history: &History) -> Vec<String> {
    let failed: BTreeSet<Value> = history
        .iter()
        .flat_map(|event| match &event.what {
            What::SendFailed(values) => values.clone(),
            _ => Vec::new(),
        })
        .collect();
    let read = sightings(history).filter(|(_, _, value)| failed.contains(value));
    read.map(|(key, offset, value)| format!("{value} failed, and is at {key:?} {offset}")).collect()
}

/// A5: an acknowledged value, below the highest offset that anybody read of its key and still
/// retained, was read by nobody.
pub(crate) fn lost_writes(history: &History) -> Vec<String> {
    let read: BTreeSet<Found> = read(history).collect();
    let mut highest: BTreeMap<Key, Offset> = BTreeMap::new();
    for (key, offset, _) in &read {
        let highest = highest.entry(*key).or_default();
        *highest = (*highest).max(*offset);
    }
    let starts = starts(history);
    let is_lost = |found: &Found| {
        let (key, offset, _) = found;
        highest.get(key).is_some_and(|highest| offset < highest)
            && starts.get(key).is_none_or(|start| offset >= start)
            && !read.contains(found)
    };
    acknowledged(history).filter(is_lost).map(|found| format!("{found:?} is lost")).collect()
}

/// A6: after the final reads an acknowledged value that is retained was read by nobody.
pub(crate) fn unseen(history: &History) -> Vec<String> {
    let starts = starts(history);
    let read: BTreeSet<Found> = read(history).collect();
    let is_unseen = |found: &Found| {
        let (key, offset, _) = found;
        starts.get(key).is_none_or(|start| offset >= start) && !read.contains(found)
    };
    acknowledged(history).filter(is_unseen).map(|found| format!("{found:?} is unseen")).collect()
}

/// A11 and A12: of one producer's values on a key a later one has the lower offset.
pub(crate) fn nonmonotonic_sends(history: &History) -> Vec<String> {
    let mut sends: Vec<&Event> =
        history.iter().filter(|event| matches!(event.what, What::Sent(_))).collect();
    sends.sort_by_key(|event| event.invoked);
    let mut last: BTreeMap<(u32, Key), Found> = BTreeMap::new();
    let mut found = Vec::new();
    for event in sends {
        let What::Sent(values) = &event.what else { continue };
        for &later in values {
            let before = last.insert((event.who, later.0), later);
            if let Some(before) = before.filter(|before| before.1 >= later.1) {
                found.push(format!("{} sent {before:?}, then {later:?}", event.who));
            }
        }
    }
    found
}
