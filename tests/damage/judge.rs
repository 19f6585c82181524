//! Whether what is seen of a damaged directory is what its makers promise.
//!
//! 1. A record that is returned is the one that was written there.
//! 2. Nothing below the mark is missing without an error; nor is anything else, but what stood in a
//!    segment file above the mark, and what is reported as torn.
//! 3. An error names the partition that is damaged, its file, and a place that is in it.
//! 4. A partition that is offline says so to every call, no byte of it is changed, and the others are whole.

use super::look::{Row, Seen};
use super::reference::{Commits, Held, OFFSETS, Reference, owner};
use anabranch::{Corruption, OpenError, ReadError, TopicPartition};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One thing that was done to a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    Flip { path: PathBuf, byte: u64, bit: u8 },
    Cut { path: PathBuf, bytes: u64 },
    Gone { path: PathBuf },
    Extra { path: PathBuf, bytes: Vec<u8> },
}

impl Damage {
    pub fn path(&self) -> &Path {
        match self {
            Damage::Flip { path, .. } | Damage::Cut { path, .. } => path,
            Damage::Gone { path } | Damage::Extra { path, .. } => path,
        }
    }

    fn is_of_a_log(&self) -> bool {
        self.path().extension().is_some_and(|ending| ending == "log")
    }
}

/// What opening came to, and what was seen then.
pub struct Outcome {
    /// The partitions that are offline, by topic, and why.
    pub offline: BTreeMap<String, (TopicPartition, Corruption)>,
    /// What is wrong with how they say so.
    pub unsaid: Vec<String>,
    pub torn: BTreeMap<String, u64>,
    pub seen: BTreeMap<String, Seen>,
    pub commits: Commits,
}

/// How a promise was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// Everything is there.
    Whole,
    /// What is gone from above the mark was reported.
    Torn,
    /// What is gone from above the mark is a whole number of batches, which nobody can miss.
    Shorter,
    /// Reading says what is damaged.
    ReadError,
    /// Opening says what is damaged, and the partition is offline.
    Offline,
    /// Nothing can be known: opening is refused.
    OpenError,
}

pub fn judge(
    reference: &Reference,
    damage: &Damage,
    outcome: &Result<Outcome, OpenError>,
) -> Result<Kept, String> {
    match outcome {
        Err(error) => judge_refusal(damage, error).map(|()| Kept::OpenError),
        Ok(outcome) => {
            let mut kept = judge_offline(damage, outcome)?;
            if !outcome.offline.contains_key(OFFSETS) {
                kept = kept.max(judge_commits(reference, damage, outcome)?);
            }
            for (topic, seen) in &outcome.seen {
                let torn = outcome.torn.contains_key(topic);
                let seen = judge_seen(topic, &reference.held[topic], damage, seen, torn)
                    .map_err(|what| format!("{topic}: {what}"))?;
                kept = kept.max(seen);
            }
            Ok(kept)
        }
    }
}

fn judge_offline(damage: &Damage, outcome: &Outcome) -> Result<Kept, String> {
    if let Some(unsaid) = outcome.unsaid.first() {
        return Err(unsaid.clone());
    }
    for (partition, corruption) in outcome.offline.values() {
        let owner = owner(damage.path()).ok_or(format!("blames a partition: {corruption}"))?;
        names(&owner, damage, partition, corruption)?;
    }
    Ok(if outcome.offline.is_empty() { Kept::Whole } else { Kept::Offline })
}

fn judge_refusal(damage: &Damage, error: &OpenError) -> Result<(), String> {
    let owner = owner(damage.path());
    match error {
        OpenError::Manifest { path, .. } if owner.is_none() && path == damage.path() => Ok(()),
        OpenError::Version { path, .. } if path == damage.path() => Ok(()),
        _ => Err(format!("is refused with {error:?}")),
    }
}

/// No batch of the references is longer. Where only headers were read, a header that does not fit may
/// be blamed though the one before it is wrong.
const BATCH_BYTES_MAX: u64 = 500;

/// Whether an error names the right partition, a file of it, and a place in it.
fn names(
    topic: &str,
    damage: &Damage,
    partition: &TopicPartition,
    corruption: &Corruption,
) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what}: {partition}, {corruption:?}"));
    let Corruption { file, position, .. } = corruption;
    if &*partition.topic != topic || partition.partition != 0 {
        return wrong("another partition is blamed");
    }
    if file.parent() != damage.path().parent() {
        return wrong("a file of another directory is blamed");
    }
    match damage {
        Damage::Flip { path, byte, .. } if damage.is_of_a_log() => {
            if file != path {
                return wrong("another file is blamed");
            }
            if *position > byte + BATCH_BYTES_MAX {
                return wrong("a place behind the damage is blamed");
            }
        }
        Damage::Cut { path, bytes }
            if damage.is_of_a_log() && (file != path || position > bytes) =>
        {
            return wrong("another place is blamed");
        }
        _ => {}
    }
    Ok(())
}

fn judge_commits(
    reference: &Reference,
    damage: &Damage,
    outcome: &Outcome,
) -> Result<Kept, String> {
    if outcome.commits == reference.commits {
        return Ok(Kept::Whole);
    }
    let is_known =
        outcome.commits == reference.known_commits || is_between(reference, &outcome.commits);
    if !is_known || owner(damage.path()).as_deref() != Some(OFFSETS) {
        return Err(format!("committed is {:?}", outcome.commits));
    }
    match outcome.torn.contains_key(OFFSETS) {
        true => Ok(Kept::Torn),
        false if matches!(damage, Damage::Cut { .. }) && damage.is_of_a_log() => Ok(Kept::Shorter),
        false => Err(format!("commits were lost in silence: {:?}", outcome.commits)),
    }
}

/// Some commits behind the mark are there, and some not: each is one that was made.
fn is_between(reference: &Reference, commits: &Commits) -> bool {
    commits.len() == reference.commits.len()
        && commits
            .iter()
            .zip(&reference.commits)
            .zip(&reference.known_commits)
            .all(|((found, last), known)| found == last || found == known)
}

fn judge_seen(
    topic: &str,
    held: &Held,
    damage: &Damage,
    seen: &Seen,
    is_torn: bool,
) -> Result<Kept, String> {
    let read_error = |error: &ReadError| match error {
        ReadError::Corrupt { partition, corruption } => names(topic, damage, partition, corruption),
        other => Err(format!("reading says {other:?}")),
    };
    if seen.log_start != held.log_start {
        return Err(format!("it starts at {}, not {}", seen.log_start, held.log_start));
    }
    if seen.end < held.known_end || seen.end > held.end {
        return Err(format!(
            "it ends at {}, of {} and {} known",
            seen.end, held.end, held.known_end
        ));
    }
    let mut kept = match (seen.end == held.end, is_torn) {
        (true, _) => Kept::Whole,
        (false, true) => Kept::Torn,
        (false, false) if damage.is_of_a_log() && matches!(damage, Damage::Cut { .. }) => {
            Kept::Shorter
        }
        (false, false) => return Err(format!("it ends at {} in silence", seen.end)),
    };
    let rows: Vec<&Row> = held.rows.iter().filter(|row| row.offset < seen.end).collect();
    match &seen.rows {
        Err(error) => {
            read_error(error)?;
            kept = kept.max(Kept::ReadError);
        }
        Ok(found) if found.iter().ne(rows.iter().copied()) => {
            let first = found.iter().zip(&rows).find(|(one, other)| one != *other);
            return Err(format!(
                "read in turn: {} records of {}; {first:?}",
                found.len(),
                rows.len()
            ));
        }
        Ok(_) => {}
    }
    for (offset, found) in &seen.by_offset {
        let wanted = rows.iter().find(|row| row.offset >= *offset);
        match found {
            Ok(found) if found.as_ref() == wanted.copied() => {}
            Ok(found) => return Err(format!("at {offset}: {found:?}, not {wanted:?}")),
            Err(error) => {
                read_error(error)?;
                kept = kept.max(Kept::ReadError);
            }
        }
    }
    for (at, found) in &seen.by_time {
        let wanted = rows.iter().find(|row| row.timestamp >= *at).map(|row| row.offset);
        if *found != wanted && !(found.is_none() && kept == Kept::ReadError) {
            return Err(format!("time {at}: {found:?}, not {wanted:?}"));
        }
    }
    Ok(kept)
}
