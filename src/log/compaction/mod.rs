//! Compaction: of each key, the newest record stays.
//!
//! Kafka's log cleaner. A pass takes the sealed segments from the front up to where records are still too
//! young. The part that no pass has been over yet is dirty; its keys are read into a map of their newest
//! offsets, as far as memory reaches. Then all segments up to there are written anew without the records
//! that a newer one in the map has replaced, small neighbours into one file.
//!
//! ```text
//!   clean: each key once            dirty                           too young   active
//!  ┌─────────┐ ┌───┐ ┌─────────┐ ┌─────────┐ ┌─────────┐ ┌─────────┐ ┌─────────┐ ┌──────┐
//!  └─────────┘ └───┘ └─────────┘ └─────────┘ └─────────┘ └─────────┘ └─────────┘ └──────┘
//!                               │── key map: newest offsets ─►│ clean_end: memory was full
//!  ┌───────┐ ┌───────────┐ ┌──────────────┐ ┌─┐ ┌─────────────┐
//!  └───────┘ └───────────┘ └──────────────┘ └─┘ └─────────────┘  dirty still, copied
//! ```
//!
//! This reads segments and writes `.log.swap` files, nothing else; who holds the log puts them in place,
//! the list of segments first.
//!
//! A tombstone stays while readers may depend on it: the first pass over it writes into its batch when
//! it may go, `delete_retention` later, and a pass from then on drops it.
//!
//! 1. The newest record of a key stays, at its offset, in its order, unless it is a tombstone whose time
//!    has come; and then no older one of that key is left.
//! 2. Clean segments precede dirty ones: replacements come in order from the front, and must be put in
//!    place in that order, or all at once. An older record of a key that was put in place after its newer
//!    one was called clean would be there for good.
//! 3. The ranges of offsets that the segments cover stay contiguous, whatever is left in them.
//! 4. Memory is bounded by `key_map_bytes`, two batches and two pieces of a file.
//! 5. What was read had the checksum that the segment was sealed with, or nothing comes of it.
//! 6. Batches of a transaction and those of the log's own are left alone: which of them count is not
//!    known here. What could replace a record in one therefore stays as well.
//!
//! | File | Its one job |
//! |---|---|
//! | `plan.rs` | Whether there is enough to clean, and which segments go together. |
//! | `key_map.rs` | The newest offset of each key, within a budget. |
//! | `rewrite.rs` | Which records of a batch stay. |
//! | `read.rs` `write.rs` | A segment file to batches, verified; batches to swap files. |

mod key_map;
mod plan;
mod planted;
mod read;
mod rewrite;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use plan::{CompactionPlan, plan};
pub(crate) use rewrite::Rewritten;

use super::batch::{BatchHeader, RecordWalk};
use super::disk::Disk;
use super::facts::SegmentFacts;
use crate::error::{Corruption, DiskError};
use crate::ids::{Offset, Timestamp};
use key_map::KeyMap;
use planted::planted;
use read::SegmentReader;
use rewrite::{Rewriter, is_left_alone};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;
use write::Swap;

/// How a log is compacted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CompactionSettings {
    /// The most bytes that neighbours may have together to be written into one file.
    pub(crate) segment_bytes: u64,
    /// A pass is due when dirty bytes are more than this part of all that could be cleaned.
    pub(crate) min_cleanable_ratio: f64,
    /// For how long a tombstone stays after the first pass over it.
    pub(crate) delete_retention: Duration,
    /// The memory that keys of the dirty part may take. What does not fit is left to the next pass,
    /// except that one batch always does.
    pub(crate) key_map_bytes: usize,
}

/// Why a pass was given up. The log's own files are as they were, and what had been written beside
/// them is gone, or is removed when the directory is opened next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CompactionError {
    /// The system refused something.
    Disk(DiskError),
    /// A segment is not what was sealed.
    Corrupt(Corruption),
}

impl From<DiskError> for CompactionError {
    fn from(error: DiskError) -> Self {
        CompactionError::Disk(error)
    }
}

/// Segments that are to take the place of others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Replacement {
    /// The neighbours that go.
    pub(crate) replaced: Vec<SegmentFacts>,
    /// What comes instead: the same range of offsets, in at least one segment.
    pub(crate) segments: Vec<SegmentFacts>,
    /// Whether there are new files, each synced under its swap name. If not, the one file is as it was,
    /// and only what is known of it changes: that it is clean.
    pub(crate) has_files: bool,
    /// What became of the records.
    pub(crate) rewritten: Rewritten,
}

/// What a whole pass came to.
#[cfg(test)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compacted {
    /// What replaces what, from the front.
    pub(crate) replacements: Vec<Replacement>,
    /// The offset up to which the log is clean then.
    pub(crate) clean_end: Offset,
}

/// Carries out a plan, to the end.
///
/// # Errors
///
/// [`CompactionError`] if a file could not be read or written, or is damaged.
#[cfg(test)]
pub(crate) fn compact(
    disk: &dyn Disk,
    dir: &Path,
    plan: CompactionPlan,
    settings: CompactionSettings,
    now: Timestamp,
) -> Result<Compacted, CompactionError> {
    let pass = Pass::start(disk, dir, plan, settings, now)?;
    let clean_end = pass.clean_end();
    let replacements = pass.collect::<Result<_, _>>()?;
    Ok(Compacted { replacements, clean_end })
}

/// A pass under way: an iterator of replacements, from the front. Between two of them the log may
/// put in place what it has, or give up the rest.
#[derive(Debug)]
pub(crate) struct Pass<'d> {
    disk: &'d dyn Disk,
    dir: &'d Path,
    segments: Vec<SegmentFacts>,
    groups: std::vec::IntoIter<Range<usize>>,
    segment_bytes: u64,
    clean_end: Offset,
    rewriter: Rewriter,
}

impl<'d> Pass<'d> {
    /// Reads the keys of the dirty part, which decides how far the pass will reach.
    ///
    /// # Errors
    ///
    /// [`CompactionError`] if a file could not be read or written, or is damaged.
    pub(crate) fn start(
        disk: &'d dyn Disk,
        dir: &'d Path,
        plan: CompactionPlan,
        settings: CompactionSettings,
        now: Timestamp,
    ) -> Result<Pass<'d>, CompactionError> {
        let CompactionPlan { mut segments, first_dirty, .. } = plan;
        let mut map = KeyMap::new(settings.key_map_bytes);
        let clean_end = map_keys(disk, dir, &segments, first_dirty, &mut map)?;
        segments.retain(|segment| segment.base_offset < clean_end);
        let groups = plan::group(&segments, settings.segment_bytes).into_iter();
        let rewriter = Rewriter::new(map, now, settings.delete_retention);
        let segment_bytes = settings.segment_bytes;
        Ok(Pass { disk, dir, segments, groups, segment_bytes, clean_end, rewriter })
    }

    /// The offset up to which the log will be clean.
    #[cfg(test)]
    pub(crate) fn clean_end(&self) -> Offset {
        self.clean_end
    }

    fn replace(&mut self, group: Range<usize>) -> Result<Replacement, CompactionError> {
        let replaced = self.segments[group].to_vec();
        let base_offset = replaced[0].base_offset;
        let mut swap = Swap::create(self.disk, self.dir, base_offset, self.segment_bytes)?;
        match self.fill(&mut swap, &replaced) {
            Ok((segments, has_files)) => {
                let rewritten = self.rewriter.take_counts();
                Ok(Replacement { replaced, segments, has_files, rewritten })
            }
            Err(error) => {
                swap.discard();
                Err(error)
            }
        }
    }

    /// Writes what is left of the segments that are to be replaced.
    fn fill(
        &mut self,
        swap: &mut Swap<'_>,
        replaced: &[SegmentFacts],
    ) -> Result<(Vec<SegmentFacts>, bool), CompactionError> {
        let mut end_offset = 0;
        for facts in replaced {
            let mut segment = SegmentReader::open(self.disk, self.dir, facts)?;
            while let Some(header) = segment.advance()? {
                if header.base_offset >= self.clean_end {
                    swap.begin_rest(self.clean_end)?;
                    swap.append(&header, segment.batch())?;
                } else if let Some((header, left)) = self.rewriter.rewrite(header, segment.batch())
                {
                    swap.append(&header, left)?;
                }
            }
            end_offset = facts.end_offset;
        }
        swap.finish(end_offset)?;
        let has_files = !swap.is_same_as(replaced);
        let segments = swap.facts();
        if has_files {
            swap.sync()?;
        } else {
            swap.discard();
        }
        Ok((segments, has_files))
    }
}

impl Iterator for Pass<'_> {
    type Item = Result<Replacement, CompactionError>;

    fn next(&mut self) -> Option<Self::Item> {
        let group = self.groups.next()?;
        let replacement = self.replace(group);
        if replacement.is_err() {
            self.groups = Vec::new().into_iter();
        }
        Some(replacement)
    }
}

/// Reads the keys of the dirty segments into `map`, and returns the offset behind the last batch of which
/// all keys are there.
///
/// The first batch is taken in whatever its size, so that each pass makes way. So is all of a
/// segment that has gaps: what is cut off of it would have to be called clean, and is not. (As clean
/// segments precede dirty ones, there is none.)
fn map_keys(
    disk: &dyn Disk,
    dir: &Path,
    segments: &[SegmentFacts],
    first_dirty: usize,
    map: &mut KeyMap,
) -> Result<Offset, CompactionError> {
    let mut clean_end = segments.first().map_or(0, |segment| segment.base_offset);
    let mut must_fit = true;
    for (index, facts) in segments.iter().enumerate() {
        if index < first_dirty {
            clean_end = facts.end_offset;
            continue;
        }
        let mut segment = SegmentReader::open(disk, dir, facts)?;
        let mut is_full = false;
        while let Some(header) = segment.advance()? {
            // The rest of the file is read for its checksum.
            if is_full {
                continue;
            }
            is_full = !map_batch(map, &header, segment.batch(), must_fit || facts.is_compacted);
            if !is_full {
                clean_end = header.last_offset() + 1;
                must_fit = false;
            }
        }
        if is_full && !planted!(IgnoreFull) {
            break;
        }
        clean_end = facts.end_offset;
    }
    Ok(clean_end)
}

/// Notes the keys of a batch; `false` if they do not all fit. Those that were noted before that may stay:
/// the records that they stand for are kept, and are newer than what they replace.
fn map_batch(map: &mut KeyMap, header: &BatchHeader, batch: &[u8], must_fit: bool) -> bool {
    if is_left_alone(header) {
        return true;
    }
    RecordWalk::new(batch).all(|record| match record.key {
        Some(key) => {
            map.note(key, record.offset) || must_fit && map.note_beyond(key, record.offset)
        }
        None => true,
    })
}
