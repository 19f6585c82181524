//! Statements about groups: one owner, commits that stand, and memory that is bounded.

use super::history::{Commit, Event, History, Key, Offset, Tick, What, Who};
use std::collections::{BTreeMap, BTreeSet};

fn commits(history: &History) -> impl Iterator<Item = (&Event, &Commit)> {
    history.iter().filter_map(|event| match &event.what {
        What::Committed(commit) if commit.is_ok => Some((event, commit)),
        _ => None,
    })
}

/// B6: a committed offset goes back without a reset, or exceeds the end of its log.
pub(crate) fn committed_offsets(history: &History) -> Vec<String> {
    // Commits of one key in order: when it began and ended, and what it set.
    let mut by_key: BTreeMap<Key, Vec<(Tick, Tick, Offset)>> = BTreeMap::new();
    // Those that went back on purpose: when they began and ended. One that was under way together with
    // another commit may have taken effect behind it, whichever is noted first.
    let mut backward: BTreeMap<Key, Vec<(Tick, Tick)>> = BTreeMap::new();
    for (event, commit) in commits(history).filter(|(_, commit)| commit.goes_back) {
        for (key, _) in &commit.offsets {
            backward.entry(*key).or_default().push((event.invoked, event.returned));
        }
    }
    // Where who holds a key has gone back to since it was last committed: an auto-commit, which is not noted, may
    // have made that the committed offset.
    let mut holders: BTreeMap<Key, Who> = BTreeMap::new();
    let mut sought: BTreeMap<Key, Offset> = BTreeMap::new();
    let mut found = Vec::new();
    for event in history {
        match &event.what {
            // What of it must be there is another statement's concern.
            What::Reopened(reopened) => drop(by_key.remove(&reopened.key)),
            What::Assigned(partitions) => {
                holders.extend(partitions.iter().map(|(key, _, _)| (*key, event.who)));
            }
            What::Sought(key, Some(to)) if holders.get(key) == Some(&event.who) => {
                let lowest = sought.entry(*key).or_insert(*to);
                *lowest = (*lowest).min(*to);
            }
            _ => {}
        }
        let What::Committed(commit) = &event.what else { continue };
        for (key, offset) in commit.offsets.iter().filter(|_| commit.is_ok) {
            let end = commit.ends.iter().find(|(of, _)| of == key).map(|(_, end)| *end);
            if end.is_some_and(|end| *offset > end) {
                found.push(format!("{} committed {offset} of {key:?}, end {end:?}", event.who));
            }
            let before = by_key.entry(*key).or_default();
            if commit.goes_back {
                before.clear();
            }
            let backward = backward.get(key).map_or(&[][..], Vec::as_slice);
            let is_between = |begun: Tick| {
                backward.iter().any(|(from, to)| begun < *to && *from < event.returned)
            };
            let was_sought = sought.remove(key).is_some_and(|to| to <= *offset);
            let higher = before.iter().find(|(begun, ended, at)| {
                *ended < event.invoked && at > offset && !is_between(*begun)
            });
            let higher = higher.filter(|_| !was_sought);
            if let Some((_, _, higher)) = higher {
                found.push(format!("{} set {key:?} back {higher} to {offset}", event.who));
            }
            before.push((event.invoked, event.returned, *offset));
        }
    }
    found
}

/// A partition that came is read from what is committed, not from elsewhere.
pub(crate) fn start_positions(history: &History) -> Vec<String> {
    let mut found = Vec::new();
    for Event { who, what, .. } in history {
        let What::Assigned(partitions) = what else { continue };
        for (key, position, committed) in partitions {
            if committed.is_some() && position != committed {
                found.push(format!("{who} starts {key:?} at {position:?}, not {committed:?}"));
            }
        }
    }
    found
}

/// B7: a commit was accepted from who was not a member any more, or for what it did not hold.
/// Partitions come within the member's own polls only, so what it does not hold before a commit it
/// cannot hold during it.
pub(crate) fn fencing(history: &History) -> Vec<String> {
    let mut found = Vec::new();
    for (event, commit) in commits(history) {
        let held = commit.held.as_deref().unwrap_or_default();
        for (key, offset) in commit.offsets.iter().filter(|(key, _)| !held.contains(key)) {
            let who = event.who;
            found.push(format!("{who} committed {offset} of {key:?} and held {:?}", commit.held));
        }
    }
    found
}

/// B8, as the group sees it: a partition has two owners, or none in a stable group.
pub(crate) fn owners_by_description(history: &History) -> Vec<String> {
    let mut found = Vec::new();
    for event in history {
        let What::Described(description) = &event.what else { continue };
        let mut owners: BTreeMap<Key, &str> = BTreeMap::new();
        for (member, keys) in &description.held {
            for key in keys {
                if let Some(other) = owners.insert(*key, member) {
                    found.push(format!("{key:?} is {other}'s and {member}'s"));
                }
            }
        }
        let is_orphan = |key: &&Key| description.is_stable && !owners.contains_key(key);
        let orphans = description.wanted.iter().filter(is_orphan);
        found.extend(orphans.map(|key| format!("{key:?} is nobody's in a stable group")));
    }
    found
}

/// A member's time with a partition.
struct Span {
    who: Who,
    key: Key,
    from: Tick,
    to: Tick,
}

/// B8, as the members see it: two own a partition at once. A member's time begins when its listener
/// is told, and ends when its listener is told that it must let go. One that was given up without
/// being asked is not told in time: its time ends with the last poll that knew nothing of it.
pub(crate) fn owners_by_events(history: &History) -> Vec<String> {
    let mut open: BTreeMap<(Who, Key), Tick> = BTreeMap::new();
    let mut polled: BTreeMap<Who, Tick> = BTreeMap::new();
    let mut spans = Vec::new();
    for Event { invoked, returned, who, what } in history {
        match what {
            What::Assigned(partitions) => {
                for (key, _, _) in partitions {
                    open.insert((*who, *key), *returned);
                }
            }
            What::Polled(_) => {
                polled.insert(*who, *invoked);
            }
            What::Revoked(keys) | What::Lost(keys) => {
                let is_told = matches!(what, What::Revoked(_));
                for key in keys {
                    let Some(from) = open.remove(&(*who, *key)) else { continue };
                    let last = polled.get(who).copied().unwrap_or_default();
                    let to = if is_told { *invoked } else { last };
                    spans.push(Span { who: *who, key: *key, from, to });
                }
            }
            What::Crashed => {
                let gone: Vec<_> = open.keys().filter(|(of, _)| of == who).copied().collect();
                let last = polled.get(who).copied().unwrap_or_default();
                for at in gone {
                    let from = open.remove(&at).expect("it was just listed");
                    spans.push(Span { who: *who, key: at.1, from, to: last });
                }
            }
            _ => {}
        }
    }
    overlaps(spans)
}

fn overlaps(mut spans: Vec<Span>) -> Vec<String> {
    spans.retain(|span| span.from < span.to);
    spans.sort_by_key(|span| (span.key, span.from));
    let mut found = Vec::new();
    for pair in spans.windows(2) {
        let [a, b] = pair else { continue };
        if a.key == b.key && a.who != b.who && b.from < a.to {
            let (from, to) = (b.from, a.to.min(b.to));
            found.push(format!("{:?} is {}'s and {}'s from {from} to {to}", a.key, a.who, b.who));
        }
    }
    found
}

/// At least once: a record below what is committed was returned to some member, or was gone.
pub(crate) fn delivery(history: &History) -> Vec<String> {
    let mut returned: BTreeSet<(Key, Offset)> = BTreeSet::new();
    let mut highest: BTreeMap<Key, Offset> = BTreeMap::new();
    let mut logs: BTreeMap<Key, Offset> = BTreeMap::new();
    for event in history {
        match &event.what {
            What::Polled(poll) => {
                returned.extend(poll.records.iter().map(|(key, offset, _)| (*key, *offset)));
            }
            What::Committed(commit) if commit.is_ok => {
                for (key, offset) in &commit.offsets {
                    let highest = highest.entry(*key).or_default();
                    *highest = (*highest).max(*offset);
                }
            }
            What::Log { key, start, .. } => {
                logs.insert(*key, *start);
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    for (key, end) in highest {
        let start = logs.get(&key).copied().unwrap_or_default();
        let missed = (start..end).filter(|offset| !returned.contains(&(key, *offset)));
        found.extend(missed.map(|offset| format!("{key:?} {offset} was passed over")));
    }
    found
}

/// B15: memory exceeds what retention and a constant allow.
pub(crate) fn bounded_memory(history: &History) -> Vec<String> {
    let excess = history.iter().filter_map(|event| match event.what {
        What::Memory { bytes, limit } if bytes > limit => Some((bytes, limit)),
        _ => None,
    });
    excess.map(|(bytes, limit)| format!("{bytes} bytes are in use, {limit} are allowed")).collect()
}
