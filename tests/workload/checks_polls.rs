//! Statements about polls: a process sees a key in order and without gaps, and sees what is there.

use super::history::{Event, History, Key, Offset, Tick, What, Who};
use std::collections::{BTreeMap, BTreeSet};

/// The longest that a blocked poll may take to return when records came. Far beyond what a busy
/// machine needs: a sleeper that nobody wakes would take for ever.
pub(crate) const WAKE_MILLIS_MAX: u64 = 10_000;

/// A7 to A10: successive records of a key that a process kept, within one poll and across polls,
/// skip offsets or go back. Excused by a seek, and by records that the poll said are gone. (They may have
/// gone before the seek: a poll that failed has passed them over, and the next one tells.)
pub(crate) fn poll_order(history: &History) -> Vec<String> {
    let mut next: BTreeMap<(Who, Key), Offset> = BTreeMap::new();
    let mut sought: BTreeSet<(Who, Key)> = BTreeSet::new();
    let mut found = Vec::new();
    for Event { who, what, .. } in history {
        match what {
            What::Assigned(partitions) => {
                for (key, position, _) in partitions {
                    set(&mut next, (*who, *key), *position);
                }
            }
            What::Sought(key, position) => {
                set(&mut next, (*who, *key), *position);
                sought.insert((*who, *key));
            }
            What::Revoked(keys) | What::Lost(keys) => {
                for key in keys {
                    next.remove(&(*who, *key));
                }
            }
            What::Polled(poll) => {
                let mut lost: BTreeMap<Key, u64> = BTreeMap::new();
                for (key, count) in &poll.lost {
                    *lost.entry(*key).or_default() += count; // It may be overtaken more than once.
                }
                for (key, offset, _) in &poll.records {
                    let at = (*who, *key);
                    let (lost, was_sought) = (lost.remove(key), sought.contains(&at));
                    let Some(expected) = next.insert(at, offset + 1) else { continue };
                    let behind = expected + lost.unwrap_or_default();
                    if *offset != behind && !(was_sought && *offset == expected) {
                        let how = if *offset > behind { "skips to" } else { "goes back to" };
                        found.push(format!("{who} on {key:?}: {behind} is next, {how} {offset}"));
                    }
                }
                for (key, lost) in lost {
                    let at = (*who, key);
                    if sought.contains(&at) {
                        next.remove(&at); // It is one or the other.
                    } else if let Some(next) = next.get_mut(&at) {
                        *next += lost;
                    }
                }
                sought.retain(|(of, _)| of != who);
            }
            _ => {}
        }
    }
    found
}

fn set(next: &mut BTreeMap<(Who, Key), Offset>, at: (Who, Key), position: Option<Offset>) {
    match position {
        Some(position) => next.insert(at, position),
        None => next.remove(&at),
    };
}

/// A17: a poll returned nothing although a key it read, not paused, had a record that was
/// acknowledged before the poll began.
pub(crate) fn real_time_lag(history: &History) -> Vec<String> {
    // For each key the highest offset acknowledged so far, by when.
    let mut acknowledged: BTreeMap<Key, Vec<(Tick, Offset)>> = BTreeMap::new();
    for Event { returned, what, .. } in history {
        let What::Sent(values) = what else { continue };
        for (key, offset, _) in values {
            let of_key = acknowledged.entry(*key).or_default();
            let highest = of_key.last().map_or(0, |(_, highest)| *highest);
            of_key.push((*returned, highest.max(*offset)));
        }
    }
    let mut found = Vec::new();
    for Event { invoked, who, what, .. } in history {
        let What::Polled(poll) = what else { continue };
        for (key, position) in poll.watched.iter().filter(|_| poll.records.is_empty()) {
            let of_key = acknowledged.get(key).map_or(&[][..], Vec::as_slice);
            let before = of_key.partition_point(|(returned, _)| returned < invoked);
            let Some((_, highest)) = before.checked_sub(1).map(|last| of_key[last]) else {
                continue;
            };
            if *position <= highest {
                found.push(format!("{who} at {position} of {key:?} did not see {highest}"));
            }
        }
    }
    found
}

/// B16: a blocked poll slept on although records came.
pub(crate) fn wake_ups(history: &History) -> Vec<String> {
    let slept = history.iter().filter_map(|event| match event.what {
        What::Woken { millis } if millis > WAKE_MILLIS_MAX => Some((event.who, millis)),
        _ => None,
    });
    slept.map(|(who, millis)| format!("{who} slept for {millis} ms")).collect()
}
