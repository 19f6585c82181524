//! Statements about files: what was acknowledged is there after a crash, and nothing else is.

use super::history::{Event, History, Key, LookUp, Offset, Reopened, Tick, Value, What};
use std::collections::BTreeMap;

type Known = BTreeMap<(Key, Offset), Value>;

fn reopenings(history: &History) -> impl Iterator<Item = (usize, &Reopened)> {
    history.iter().enumerate().filter_map(|(at, event)| match &event.what {
        What::Reopened(reopened) => Some((at, reopened)),
        _ => None,
    })
}

/// What the other statements are about: all that happened, but for what was seen of records that a crash
/// took whose topic did not promise to keep them.
pub(crate) fn without_what_was_lost(history: &History) -> History {
    let mut kept: History = Vec::with_capacity(history.len());
    for event in history {
        if let What::Reopened(reopened) = &event.what
            && !reopened.is_covered
        {
            forget(&mut kept, reopened.key, reopened.end());
        }
        kept.push(event.clone());
    }
    kept
}

/// Forgets what was seen of a key from an offset on.
fn forget(history: &mut History, key: Key, end: Offset) {
    let is_kept = |at: &(Key, Offset)| at.0 != key || at.1 < end;
    for event in history {
        match &mut event.what {
            What::Sent(found) => found.retain(|(key, offset, _)| is_kept(&(*key, *offset))),
            What::Polled(poll) => {
                let count = poll.records.len();
                poll.records.retain(|(key, offset, _)| is_kept(&(*key, *offset)));
                if poll.records.len() < count {
                    poll.watched.clear(); // It is not one that returned nothing.
                }
            }
            What::Committed(commit) => {
                let of_key = commit.offsets.iter_mut().filter(|(of, _)| *of == key);
                of_key.for_each(|(_, offset)| *offset = end.min(*offset));
            }
            _ => {}
        }
    }
}

/// What was seen of each key before an event, and is not known to be lost.
fn known_before(history: &History, mut see: impl FnMut(&Known, &Reopened)) {
    let mut known = Known::new();
    for Event { what, .. } in history {
        match what {
            What::Sent(found) => {
                known.extend(found.iter().map(|(key, offset, value)| ((*key, *offset), *value)));
            }
            What::Polled(poll) => {
                let found = poll.records.iter();
                known.extend(found.map(|(key, offset, value)| ((*key, *offset), *value)));
            }
            What::Reopened(reopened) => {
                see(&known, reopened);
                let (key, start) = (reopened.key, reopened.start);
                known.retain(|(of, at), _| *of != key || *at < start);
                let there = reopened.records.iter();
                known.extend(there.map(|(offset, value)| ((key, *offset), *value)));
            }
            _ => {}
        }
    }
}

/// B3: what was acknowledged, or shown, durably enough for the crash is there, as it was.
pub(crate) fn durable_acknowledgements(history: &History) -> Vec<String> {
    let mut found = Vec::new();
    known_before(history, |known, reopened| {
        let there: BTreeMap<Offset, Value> = reopened.records.iter().copied().collect();
        let Reopened { key, start, is_covered, .. } = *reopened;
        for (&(_, offset), value) in known.range((key, start)..=(key, Offset::MAX)) {
            let now = there.get(&offset);
            if now.is_some_and(|now| now != value) || is_covered && now.is_none() {
                found.push(format!("{key:?} had {value} at {offset}, and now {now:?}"));
            }
        }
    });
    found
}

/// B4: what is there has no holes.
pub(crate) fn prefix(history: &History) -> Vec<String> {
    let mut found = Vec::new();
    for (_, Reopened { key, start, records, .. }) in reopenings(history) {
        let mut expected = *start..;
        if let Some((offset, _)) = records.iter().find(|at| Some(at.0) != expected.next()) {
            found.push(format!("{key:?} goes on with {offset} behind a hole"));
        }
    }
    found
}

/// B5: offsets of records that somebody saw and a crash took are given again, in the same leader epoch.
pub(crate) fn silent_reuse(history: &History) -> Vec<String> {
    let mut found = Vec::new();
    // Where a log was cut, and the latest epoch before.
    let mut cuts: BTreeMap<Key, Vec<(Offset, u32)>> = BTreeMap::new();
    known_before(history, |known, reopened| {
        let Reopened { key, epoch_before, ref epochs, .. } = *reopened;
        for (base, epoch) in epochs {
            let of_key = cuts.get(&key).map_or(&[][..], Vec::as_slice);
            let same = of_key.iter().find(|(end, before)| base >= end && epoch <= before);
            if let Some((end, _)) = same {
                found
                    .push(format!("{key:?} was cut at {end}, has {base} in the old epoch {epoch}"));
            }
        }
        let end = reopened.end();
        let is_cut = known.range((key, end)..=(key, Offset::MAX)).next().is_some();
        if let Some(before) = epoch_before.filter(|_| is_cut) {
            cuts.entry(key).or_default().push((end, before));
        }
    });
    found
}

/// B6: what was committed durably enough for the crash is what is committed afterwards.
pub(crate) fn durable_commits(history: &History) -> Vec<String> {
    // Those that may be the last one: of two that were made at once either may be. None where a commit may
    // have been stored or not.
    let mut committed: BTreeMap<Key, Vec<(Tick, Offset)>> = BTreeMap::new();
    let mut unknown = None;
    let mut found = Vec::new();
    for Event { invoked, returned, what, .. } in history {
        match what {
            What::Committed(commit) if commit.is_ok => {
                for (key, offset) in &commit.offsets {
                    let last = committed.entry(*key).or_default();
                    let is_known = unknown.is_none_or(|unknown| *invoked > unknown);
                    last.retain(|(returned, _)| is_known && returned > invoked);
                    if is_known {
                        last.push((*returned, *offset));
                    }
                }
            }
            What::Committed(commit) if commit.is_unknown => {
                unknown = unknown.max(Some(*returned));
                committed.clear();
            }
            What::Reopened(reopened) => {
                let (key, now) = (reopened.key, reopened.committed);
                let last = committed.remove(&key).unwrap_or_default();
                let is_one = last.is_empty() || last.iter().any(|(_, offset)| Some(*offset) == now);
                if reopened.are_commits_covered && !is_one {
                    found.push(format!("{last:?} was committed of {key:?}, and now {now:?} is"));
                }
                // One that was refused and is there all the same may go with the next power cut.
                let stays = now.filter(|_| is_one && !last.is_empty());
                committed.extend(stays.map(|now| (key, vec![(*returned, now)])));
            }
            _ => {}
        }
    }
    found
}

/// B10: a look-up by the index finds something else than looking at everything.
pub(crate) fn index_is_scan(history: &History) -> Vec<String> {
    let wrong = history.iter().filter_map(|event| match &event.what {
        What::LookedUp(looked) if looked.by_index != looked.by_scan => Some(looked),
        _ => None,
    });
    let told = |LookUp { key, by_index, by_scan }: &LookUp| {
        format!("{key:?}: the index leads to {by_index:?}, {by_scan:?} is it")
    };
    wrong.map(told).collect()
}

/// B11: a read below the start is anything but refused.
pub(crate) fn reads_below_the_start(history: &History) -> Vec<String> {
    let answered = history.iter().filter_map(|event| match event.what {
        What::ReadBelow { key, is_refused: false } => Some(key),
        _ => None,
    });
    answered.map(|key| format!("a read below the start of {key:?} was answered")).collect()
}

/// B12: the newest value of a key is gone or has moved, or records are out of order.
pub(crate) fn compaction(history: &History) -> Vec<String> {
    let mut sent: BTreeMap<u64, Vec<(Offset, Value)>> = BTreeMap::new();
    let mut found = Vec::new();
    for Event { what, .. } in history {
        match what {
            What::Kept { key, offset, value } => {
                sent.entry(*key).or_default().push((*offset, *value));
            }
            What::Compacted { is_covered, end, records } => {
                if !records.is_sorted_by(|one, next| one.1 < next.1) {
                    found.push("compacted records are out of order".to_owned());
                }
                for (key, of_key) in &mut sent {
                    if !is_covered {
                        of_key.retain(|(offset, _)| offset < end);
                    }
                    let Some((newest, value)) = of_key.last() else { continue };
                    // A later one may have been written whose sender was not told.
                    let is_it = |(of, at, its): &&(u64, Offset, Value)| {
                        of == key && (at > newest || at == newest && its == value)
                    };
                    if records.iter().rfind(is_it).is_none() {
                        found.push(format!("{value} of {key} is gone from {newest}"));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// B17: opening what was closed in good order changes a byte.
pub(crate) fn clean_openings(history: &History) -> Vec<String> {
    let is_changed = |event: &&Event| matches!(event.what, What::OpenedClean { is_changed: true });
    let changed = history.iter().filter(is_changed);
    changed.map(|_| "opening a closed directory changed it".to_owned()).collect()
}
