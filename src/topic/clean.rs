//! Compaction of a partition's files, while it is read and appended to.
//!
//! ```text
//!   plan over what is sealed ─► a pass, beside the log: 0000…0.log.swap, synced
//!        ─► the list names the new segments (the crash before: the old set; after: the new one)
//!        ─► the swap takes the place of the old file ─► readers find the new ones, finish the old ones
//! ```
//!
//! Invariants:
//! 1. One compaction at a time; appends, syncs and reads go on meanwhile.
//! 2. What a pass has found is put in place from the front, each piece with one change of the list.
//! 3. A piece whose segments retention has taken meanwhile is given up.
//! 4. Where putting a piece in place is refused, nobody knows which list and which names are on disk. The
//!    files that either may need stay as they are: the next opening finishes the change.

use super::config::TopicConfig;
use super::files::Files;
use crate::error::DiskError;
use crate::ids::Timestamp;
use crate::log::compaction::{self, CompactionError, CompactionSettings, Pass, Replacement};
use crate::log::facts::{FileKind, SegmentFacts, file_path};
use crate::log::segments::Segment;
use crate::sync::planted::{Bug, planted};
use std::sync::Arc;

/// The memory that the keys of what was not cleaned yet may take in a pass.
const KEY_MAP_BYTES: usize = 64 << 20;

impl Files {
    /// Cleans what is worth it. What cannot be done now is done the next time; a damaged segment stays
    /// as it is, for its readers to be told of.
    pub(super) fn compact(
        &self,
        config: &TopicConfig,
        now: Timestamp,
    ) -> Result<(), CompactionError> {
        let Some(mut is_over) = self.compacting.try_lock() else { return Ok(()) };
        if *is_over && !planted(Bug::CompactOn) {
            return Ok(());
        }
        let settings = CompactionSettings {
            segment_bytes: config.segment_bytes as u64,
            min_cleanable_ratio: config.min_cleanable_ratio,
            delete_retention: config.delete_retention,
            key_map_bytes: KEY_MAP_BYTES,
        };
        // What is sealed and not on disk yet is not in the list, and left to the next pass.
        let sealed: Vec<SegmentFacts> = self.keeper.lock().listed().to_vec();
        let horizon = (!config.min_compaction_lag.is_zero())
            .then(|| now.saturating_sub(config.min_compaction_lag));
        let Some(plan) = compaction::plan(&sealed, &settings, horizon) else { return Ok(()) };
        for replacement in Pass::start(&*self.disk, &self.dir, plan, settings, now)? {
            let is_there = self.put_in_place(replacement?);
            *is_over = is_there.is_err();
            if !is_there? {
                break;
            }
        }
        Ok(())
    }

    /// Says whether it was: not if retention was faster.
    fn put_in_place(&self, replacement: Replacement) -> Result<bool, DiskError> {
        let Replacement { replaced, segments, has_files, .. } = replacement;
        if replaced == segments {
            return Ok(true);
        }
        let mut keeper = self.keeper.lock();
        let is_there = replaced.iter().all(|facts| keeper.listed().contains(facts));
        if !is_there {
            for facts in segments.iter().filter(|_| has_files) {
                let path = file_path(&self.dir, facts.base_offset, FileKind::Swap);
                self.disk.remove_file(&path).map_err(DiskError::at("remove", &path))?;
            }
            return Ok(false);
        }
        // Who holds an old segment goes on reading its file, by a handle: its name is about to be another's.
        let old: Vec<Arc<Segment>> = self.segments.read().of(&replaced);
        if has_files {
            for segment in &old {
                segment.hold_file()?;
            }
        }
        if !planted(Bug::SwapBeforeList) {
            keeper.replace(&segments)?;
        }
        if has_files {
            for facts in &segments {
                let from = file_path(&self.dir, facts.base_offset, FileKind::Swap);
                let to = file_path(&self.dir, facts.base_offset, FileKind::Log);
                self.disk.rename(&from, &to).map_err(DiskError::at("rename", &from))?;
            }
            self.disk.sync_dir(&self.dir).map_err(DiskError::at("sync", &self.dir))?;
        }
        if planted(Bug::SwapBeforeList) {
            keeper.replace(&segments)?;
        }
        let new = segments
            .iter()
            .map(|facts| Arc::new(Segment::new(Arc::clone(&self.disk), &self.dir, facts.clone())));
        self.segments.write().replace(&replaced, new.collect());
        for segment in old {
            let is_taken = segments.iter().any(|new| new.base_offset == segment.facts.base_offset);
            if !is_taken {
                segment.doom();
            }
        }
        Ok(true)
    }
}
