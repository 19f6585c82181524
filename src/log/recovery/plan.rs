//! What each file is: sealed, not yet sealed, a remain, or a replacement that is to be finished.
//!
//! The list of sealed segments is what was committed. Behind them stand the segments that were not
//! sealed yet; the last of these is the active one. Before a partition's first seal there is no list,
//! and the log starts with offset 0. Where a list must have been and none can be read, all segments
//! count as not sealed, and all of them up to the mark's are verified.

use super::Place;
use super::reading::file_crc;
use super::survey::{List, Survey};
use crate::error::{CorruptionReason, OpenError};
use crate::ids::Offset;
use crate::log::facts::{FileKind, SegmentFacts, file_name};
use crate::log::mark::{MARK_FILE, Mark};
use crate::log::segments_file::SEGMENTS_FILE;
use crate::sync::planted::{Bug, planted};

#[derive(Debug)]
pub(super) struct Plan {
    /// As the list has them; their files are there and have the right lengths.
    pub(super) sealed: Vec<SegmentFacts>,
    pub(super) log_start: Offset,
    /// What is behind them, by rising base offsets.
    pub(super) unsealed: Vec<Unsealed>,
    /// The offset that follows the sealed segments: the first of the unsealed ones is named for it.
    pub(super) first_unsealed: Offset,
    /// Up to where the log is known to be on disk; `None` if nothing is known.
    pub(super) known: Option<Mark>,
    /// Files that committed changes left behind.
    pub(super) leftovers: Vec<String>,
    /// Replacements that were committed, and have still to take the place of their segments.
    pub(super) swaps: Vec<Offset>,
    /// Whether the list is unknown, so that all segments are taken from the files.
    pub(super) is_rebuild: bool,
}

/// A segment that is not in the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsealed {
    pub(super) base_offset: Offset,
    pub(super) file_bytes: u64,
}

impl Plan {
    pub(super) fn of(place: &Place<'_>, survey: &Survey) -> Result<Plan, OpenError> {
        let mut plan = match &survey.list {
            List::Known(list) => {
                let mark_start = survey.mark.map_or(0, |mark| mark.log_start);
                Plan::new(list.sealed.clone(), list.log_start.max(mark_start))
            }
            List::Absent if is_before_the_first_seal(survey) => Plan::new(Vec::new(), 0),
            List::Absent => Plan::rebuild(place, survey, "is missing")?,
            List::Damaged(what) => Plan::rebuild(place, survey, what)?,
        };
        plan.sort_logs(survey);
        plan.sort_swaps(place, survey)?;
        plan.check_sealed(place, survey)?;
        plan.place_mark(place, survey)?;
        plan.sort_indexes(survey);
        plan.leftovers.extend(survey.temporaries.iter().cloned());
        Ok(plan)
    }

    fn new(sealed: Vec<SegmentFacts>, log_start: Offset) -> Plan {
        Plan {
            sealed,
            log_start,
            unsealed: Vec::new(),
            first_unsealed: 0,
            known: None,
            leftovers: Vec::new(),
            swaps: Vec::new(),
            is_rebuild: false,
        }
    }

    /// A plan without a list, which only a mark allows: it says where the log starts and ends.
    fn rebuild(place: &Place<'_>, survey: &Survey, what: &'static str) -> Result<Plan, OpenError> {
        let mark = survey.mark.ok_or_else(|| place.corrupt_small(SEGMENTS_FILE, what))?;
        Ok(Plan { is_rebuild: true, ..Plan::new(Vec::new(), mark.log_start) })
    }

    /// Sorts the `.log` files into sealed, unsealed and left over.
    fn sort_logs(&mut self, survey: &Survey) {
        let sealed_end = self.sealed.last().map(|last| last.end_offset);
        let bases: Vec<(Offset, u64)> =
            survey.logs.iter().map(|(at, bytes)| (*at, *bytes)).collect();
        for (index, &(base_offset, file_bytes)) in bases.iter().enumerate() {
            let next = bases.get(index + 1).map(|(next, _)| *next);
            let is_left_over = match sealed_end {
                Some(end) => base_offset < end && !self.is_listed(base_offset),
                None => self.is_below_start(base_offset, next, survey.mark),
            };
            if is_left_over {
                self.leftovers.push(file_name(base_offset, FileKind::Log));
            } else if sealed_end.is_none_or(|end| base_offset >= end) {
                self.unsealed.push(Unsealed { base_offset, file_bytes });
            }
        }
    }

    fn is_listed(&self, base_offset: Offset) -> bool {
        self.sealed.binary_search_by_key(&base_offset, |segment| segment.base_offset).is_ok()
    }

    /// Whether a segment lies wholly below the log's start, where the list names no segment: one that
    /// follows it, or the mark, tells where it ends. Without a mark nothing is deleted.
    fn is_below_start(&self, base: Offset, next: Option<Offset>, mark: Option<Mark>) -> bool {
        let Some(mark) = mark.filter(|_| !self.is_rebuild) else { return false };
        let end = next.or(Some(mark.segment).filter(|segment| *segment > base));
        let is_blamed = |end| end > mark.segment && planted(Bug::BlameOldMark);
        end.is_some_and(|end| end <= self.log_start && !is_blamed(end))
    }

    /// A replacement counts if the list names exactly it, and not the segment that is there: one that
    /// would have changed nothing, and was not synced, looks like it. Whether it does is found out
    /// before anything is removed.
    fn sort_swaps(&mut self, place: &Place<'_>, survey: &Survey) -> Result<(), OpenError> {
        for (&base_offset, &bytes) in &survey.swaps {
            let facts = self.sealed.iter().find(|segment| segment.base_offset == base_offset);
            let log_bytes = survey.logs.get(&base_offset).copied();
            let is_named = match facts.filter(|facts| facts.bytes == bytes) {
                Some(facts) => {
                    let is_it = |kind| -> Result<bool, OpenError> {
                        Ok(file_crc(place, base_offset, kind, bytes)? == facts.crc)
                    };
                    let is_in_place = log_bytes == Some(bytes) && is_it(FileKind::Log)?;
                    !is_in_place && is_it(FileKind::Swap)?
                }
                None => false,
            };
            if is_named {
                self.swaps.push(base_offset);
                continue;
            }
            if let Some(facts) = facts.filter(|facts| log_bytes != Some(facts.bytes)) {
                // The list names neither the segment nor this: it is not known which is the right one.
                let reason = CorruptionReason::FileBytes { stored: facts.bytes, found: bytes };
                let path = place.path(base_offset, FileKind::Swap);
                return Err(place.corrupt(path, 0, base_offset, reason));
            }
            self.leftovers.push(file_name(base_offset, FileKind::Swap));
        }
        Ok(())
    }

    fn check_sealed(&self, place: &Place<'_>, survey: &Survey) -> Result<(), OpenError> {
        for facts in self.sealed.iter().filter(|facts| !self.swaps.contains(&facts.base_offset)) {
            let reason = match survey.logs.get(&facts.base_offset) {
                Some(&bytes) if bytes == facts.bytes => continue,
                Some(&found) => CorruptionReason::FileBytes { stored: facts.bytes, found },
                None => CorruptionReason::Missing,
            };
            return Err(place.corrupt_log(facts.base_offset, 0, facts.base_offset, reason));
        }
        Ok(())
    }

    /// Finds out where the unsealed segments must begin, and whether the mark's is among them.
    fn place_mark(&mut self, place: &Place<'_>, survey: &Survey) -> Result<(), OpenError> {
        let sealed_end = self.sealed.last().map(|last| last.end_offset);
        let first_there = self.unsealed.first().map(|segment| segment.base_offset);
        self.first_unsealed = match (sealed_end, first_there, survey.mark) {
            (Some(end), _, _) => end,
            (None, _, _) if matches!(survey.list, List::Absent) && !self.is_rebuild => 0,
            (None, Some(first), _) => first,
            (None, None, Some(mark)) if mark.position == 0 => mark.segment.max(self.log_start),
            (None, None, _) => self.log_start,
        };
        if self.sealed.is_empty() && self.first_unsealed > self.log_start {
            // What is gone was not dropped. Nor was it known to be there, if the mark is before it.
            let start = self.log_start;
            if self.is_rebuild || survey.mark.is_none_or(|mark| mark.end_offset > start) {
                return Err(place.corrupt_log(start, 0, start, CorruptionReason::Missing));
            }
            self.first_unsealed = start;
        }
        let Some(mark) = survey.mark else { return Ok(()) };
        if mark.segment < self.first_unsealed && mark.end_offset <= self.first_unsealed {
            // An old mark: its segment has been sealed, and perhaps dropped, since.
            self.known = Some(Mark {
                segment: self.first_unsealed,
                position: 0,
                end_offset: self.first_unsealed,
                crc: 0,
                index_crc: 0,
                index_end: 0,
                ..mark
            });
            return Ok(());
        }
        let is_there = self.unsealed.iter().find(|segment| segment.base_offset == mark.segment);
        let reason = match is_there {
            _ if mark.segment < self.first_unsealed => Some(CorruptionReason::Missing),
            None if mark.position > 0 => Some(CorruptionReason::Missing),
            Some(segment) if segment.file_bytes < mark.position => {
                let found = segment.file_bytes;
                Some(CorruptionReason::FileBytes { stored: mark.position, found })
            }
            _ => None,
        };
        if let Some(reason) = reason {
            return Err(place.corrupt_log(mark.segment, 0, mark.segment, reason));
        }
        if (mark.position == 0) != (mark.end_offset == mark.segment) {
            return Err(place.corrupt_small(MARK_FILE, "has an end that is not where it says"));
        }
        self.known = Some(mark);
        Ok(())
    }

    /// Indexes without a segment are left over.
    fn sort_indexes(&mut self, survey: &Survey) {
        let bases = self.unsealed.iter().map(|segment| segment.base_offset);
        let mut kept: Vec<Offset> =
            bases.chain(self.sealed.iter().map(|segment| segment.base_offset)).collect();
        kept.sort_unstable();
        for (base_offset, kind) in &survey.indexes {
            let is_replaced = self.swaps.contains(base_offset);
            if is_replaced || kept.binary_search(base_offset).is_err() {
                self.leftovers.push(file_name(*base_offset, kind.file_kind()));
            }
        }
    }
}

/// Whether there need not be a list yet: all there is begins at offset 0.
fn is_before_the_first_seal(survey: &Survey) -> bool {
    match survey.mark {
        Some(mark) => mark.segment == 0 && mark.log_start == 0,
        None => survey.logs.keys().next().is_none_or(|first| *first == 0),
    }
}
