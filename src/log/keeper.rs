//! What a partition's little files say: the durable mark, the list of segments, the leader epochs.
//!
//! ```text
//!   Unsynced ─► data synced ─► Keeper::note ─┬─ segments were sealed: their indexes, the list, the mark, synced
//!                                            └─ else: the mark, which is true without a sync of its own
//! ```
//!
//! Invariants:
//! 1. The mark moves only after a successful sync of what lies below it.
//! 2. The list names a sealed segment only once all of it is on disk.
//! 3. The start offset moves on disk before records are gone.

use super::disk::Disk;
use super::epochs::Epochs;
use super::facts::SegmentFacts;
use super::index::{self, SegmentIndex};
use super::mark::{Mark, MarkFile};
use super::segments_file;
use super::store::{Reached, Rolled};
use crate::error::DiskError;
use crate::ids::Offset;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Keeper {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    mark_file: MarkFile,
    mark: Mark,
    epochs: Epochs,
    /// The list as it is stored, oldest first.
    sealed: Vec<SegmentFacts>,
    /// Segments that are on disk and not in the stored list yet.
    unlisted: Vec<SegmentFacts>,
    log_start: Offset,
    /// Whether the list that is seen may be another than the one that is meant: a change of it failed.
    is_list_unsure: bool,
}

impl Keeper {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        (mark_file, mark): (MarkFile, Mark),
        epochs: Epochs,
        sealed: Vec<SegmentFacts>,
        log_start: Offset,
    ) -> Keeper {
        Keeper {
            disk,
            dir: dir.to_owned(),
            mark_file,
            mark,
            epochs,
            sealed,
            unlisted: Vec::new(),
            log_start,
            is_list_unsure: false,
        }
    }

    /// The base offset of the segment that the mark is in.
    pub(crate) fn segment(&self) -> Offset {
        self.mark.segment
    }

    /// The offset below which everything is known to be on disk.
    pub(crate) fn synced(&self) -> Offset {
        self.mark.end_offset
    }

    pub(crate) fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// The sealed segments that the stored list names, oldest first.
    pub(crate) fn listed(&self) -> &[SegmentFacts] {
        &self.sealed
    }

    /// The sealed segments, listed or not.
    pub(crate) fn sealed(&self) -> impl Iterator<Item = &SegmentFacts> {
        self.sealed.iter().chain(&self.unlisted)
    }

    /// Notes that everything up to `reached` is on disk. `index_of` gives the index of a segment that
    /// was sealed.
    ///
    /// On an error the mark stays where it was, which costs the next recovery time and nothing else; what
    /// is left to be noted is noted with the next sync.
    pub(crate) fn note(
        &mut self,
        rolled: Vec<Rolled>,
        reached: &Reached,
        index_of: impl Fn(Offset) -> Option<SegmentIndex>,
    ) -> Result<(), DiskError> {
        // What was deleted before it was sealed is no part of the log, and its file is gone.
        let is_kept = |rolled: &Rolled| rolled.facts.end_offset > self.log_start;
        for Rolled { mut facts, .. } in rolled.into_iter().filter(is_kept).collect::<Vec<_>>() {
            if let Some(index) = index_of(facts.base_offset) {
                facts.index_crc = index::store(&*self.disk, &self.dir, facts.base_offset, &index)
                    .unwrap_or_default();
            }
            self.unlisted.push(facts);
        }
        let has_sealed = !self.unlisted.is_empty();
        if has_sealed {
            self.store_list(self.log_start)?;
        }
        // The index that was stored is one of this segment's beginning, as long as that is the segment.
        let is_same = reached.segment == self.mark.segment;
        let (index_crc, index_end) =
            if is_same { (self.mark.index_crc, self.mark.index_end) } else { (0, 0) };
        self.mark = Mark {
            segment: reached.segment,
            position: reached.position,
            end_offset: reached.end_offset,
            log_start: self.log_start,
            leader_epoch: self.epochs.latest(),
            crc: reached.crc,
            index_crc,
            index_end,
        };
        self.mark_file.write(&self.mark)?;
        if has_sealed { self.mark_file.sync() } else { Ok(()) }
    }

    /// Closes in good order: the mark stands at the end, which is on disk, and knows the index of the
    /// active segment, so that the next opening has nothing to look at.
    pub(crate) fn close(
        &mut self,
        reached: &Reached,
        index: Option<&SegmentIndex>,
    ) -> Result<(), DiskError> {
        self.note(Vec::new(), reached, |_| None)?;
        if self.is_list_unsure {
            // The next opening looks at nothing, so it must not see what may be gone after it.
            self.store_list(self.log_start)?;
        }
        if let Some(index) = index {
            self.store_index(index, reached.position)?;
        }
        self.mark_file.sync()
    }

    /// How many bytes of a segment its stored index covers, if it is the one that the mark is in.
    pub(crate) fn indexed_bytes(&self, segment: Offset) -> u64 {
        if segment == self.mark.segment { self.mark.index_end } else { 0 }
    }

    /// Stores the index of the active segment's first `bytes`, which are on disk, so that the next
    /// opening need not build it.
    pub(crate) fn store_index(
        &mut self,
        index: &SegmentIndex,
        bytes: u64,
    ) -> Result<(), DiskError> {
        self.mark.index_crc = index::store(&*self.disk, &self.dir, self.mark.segment, index)?;
        self.mark.index_end = bytes;
        self.mark_file.write(&self.mark)?;
        Ok(())
    }

    fn store_list(&mut self, log_start: Offset) -> Result<(), DiskError> {
        let all: Vec<SegmentFacts> = self.sealed().cloned().collect();
        self.store_all(log_start, all)
    }

    fn store_all(&mut self, log_start: Offset, all: Vec<SegmentFacts>) -> Result<(), DiskError> {
        self.is_list_unsure = true;
        segments_file::store(&*self.disk, &self.dir, log_start, &all)?;
        self.is_list_unsure = false;
        self.unlisted.clear();
        self.sealed = all;
        self.log_start = log_start;
        Ok(())
    }

    /// Moves the start, durably, and takes segments from the list that end at or before it.
    pub(crate) fn move_start(&mut self, log_start: Offset) -> Result<(), DiskError> {
        let kept = self.sealed().filter(|facts| facts.end_offset > log_start).cloned().collect();
        self.store_all(log_start, kept)
    }

    /// Puts segments, which follow one another, in the place of others, durably: of those whose offsets
    /// theirs cover.
    pub(crate) fn replace(&mut self, with: &[SegmentFacts]) -> Result<(), DiskError> {
        // All of them together: what was one segment may be several.
        let (Some(first), Some(last)) = (with.first(), with.last()) else { return Ok(()) };
        let covers = |facts: &SegmentFacts| {
            first.base_offset <= facts.base_offset && facts.end_offset <= last.end_offset
        };
        let mut all: Vec<SegmentFacts> =
            self.sealed().filter(|facts| !covers(facts)).cloned().collect();
        all.extend(with.iter().cloned());
        all.sort_unstable_by_key(|facts| facts.base_offset);
        self.store_all(self.log_start, all)
    }

    /// Starts another leader epoch at `end_offset`, durably, before anything is appended there.
    pub(crate) fn raise_epoch(&mut self, end_offset: Offset) -> Result<i32, DiskError> {
        let mut raised = self.epochs.clone();
        let epoch = raised.latest().saturating_add(1);
        raised.assign(epoch, end_offset);
        raised.store(&*self.disk, &self.dir)?;
        self.epochs = raised;
        Ok(epoch)
    }
}
