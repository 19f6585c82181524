//! Reads segments batch by batch, and judges what is wrong: torn, or damaged.

use super::Place;
use super::below::known_end;
use super::plan::{Plan, Unsealed};
use super::segment::{End, Scanned};
use crate::error::{BatchError, CorruptionReason, DiskError, OpenError};
use crate::ids::Offset;
use crate::log::batch::{BatchHeader, Checks};
use crate::log::disk::OpenMode;
use crate::log::epochs::Epochs;
use crate::log::facts::{FileKind, SegmentFacts};
use crate::log::mark::Crc;
use crate::log::window::Window;
use crate::sync::planted::{Bug, planted};
use std::path::PathBuf;

/// The state of reading one segment after the other.
pub(super) struct Reading<'a> {
    place: &'a Place<'a>,
    plan: &'a Plan,
    epochs: Option<&'a Epochs>,
    pub(super) verified_bytes: u64,
    /// The latest epoch of all batches, and where it began.
    pub(super) latest_epoch: Option<(i32, Offset)>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        place: &'a Place<'a>,
        plan: &'a Plan,
        epochs: Option<&'a Epochs>,
    ) -> Reading<'a> {
        Reading { place, plan, epochs, verified_bytes: 0, latest_epoch: None }
    }

    /// A segment stands where another offset is expected: if that is above the mark and behind a
    /// hole, what led there is torn. Otherwise it is damage.
    pub(super) fn refuse_unless_torn(
        &self,
        found: Offset,
        expected: Offset,
    ) -> Result<(), OpenError> {
        let is_above_mark = self.plan.known.is_some_and(|mark| mark.segment < found);
        if found < expected {
            let reason = CorruptionReason::Offset { found };
            return Err(self.place.corrupt_log(found, 0, expected, reason));
        }
        if !is_above_mark {
            let reason = CorruptionReason::Missing;
            return Err(self.place.corrupt_log(expected, 0, expected, reason));
        }
        Ok(())
    }

    /// Reads a segment to its end. If it is torn, also tells where the torn bytes end.
    pub(super) fn read(&mut self, segment: Unsealed) -> Result<(Scanned, Option<u64>), OpenError> {
        let Unsealed { base_offset, file_bytes } = segment;
        let known = self.plan.known.filter(|mark| mark.segment == base_offset);
        let known = known.filter(|_| !planted(Bug::CutBelowMark));
        // Everything below the mark is strict, and what is in its segment starts behind it.
        let is_strict = self.plan.known.is_none_or(|mark| base_offset < mark.segment);
        let end = match &known {
            Some(mark) => known_end(self.place, segment, mark)?,
            None => End::start_of(base_offset),
        };
        let rewrite_from =
            if self.plan.known.is_some() && is_strict { file_bytes } else { end.position };
        let file = self.place.open(base_offset, FileKind::Log, OpenMode::Read)?;
        let path = self.place.path(base_offset, FileKind::Log);
        // Where the list is lost nobody knows which segments were compacted; the last one never is.
        let is_last = self.plan.unsealed.last().is_some_and(|last| last.base_offset == base_offset);
        let checks = Checks { crc: true, contiguous: !self.plan.is_rebuild || is_last };
        let mut walk =
            Walk { window: Window::new(&*file, &path, file_bytes), end, checks, has_gaps: false };
        let bad = self.walk(&mut walk)?;
        let (end, has_gaps) = (walk.end, walk.has_gaps);
        let mut torn_end = None;
        if let Some(reason) = bad {
            let content_end = walk.window.content_end(end.position)?;
            if content_end > end.position && is_strict {
                return Err(self.place.corrupt_log(base_offset, end.position, end.offset, reason));
            }
            torn_end = Some(content_end).filter(|content_end| *content_end > end.position);
        }
        Ok((Scanned { base_offset, file_bytes, end, rewrite_from, has_gaps }, torn_end))
    }

    /// Walks until the file ends, or to the first bytes that are not the batch that belongs there.
    fn walk(&mut self, walk: &mut Walk<'_>) -> Result<Option<CorruptionReason>, DiskError> {
        while walk.end.position < walk.window.end() {
            let Walk { window, end, checks, has_gaps } = walk;
            let (header, bytes) = match window.batch_at(end.position, *checks)? {
                Ok(batch) => batch,
                Err(error) => return Ok(Some(CorruptionReason::Batch(error))),
            };
            if header.base_offset < end.offset
                || header.base_offset > end.offset && checks.contiguous
            {
                return Ok(Some(CorruptionReason::Offset { found: header.base_offset }));
            }
            if let Some(error) = self.wrong_epoch(&header) {
                return Ok(Some(CorruptionReason::Batch(error)));
            }
            let record_count = u64::from(header.last_offset_delta) + 1;
            *has_gaps |=
                header.base_offset != end.offset || u64::from(header.count) != record_count;
            end.crc.update(bytes);
            end.note(&header);
            self.verified_bytes += header.batch_bytes as u64;
        }
        Ok(None)
    }

    /// The epoch is not covered by the batch's own checksum; but which one it is, is known.
    fn wrong_epoch(&mut self, header: &BatchHeader) -> Option<BatchError> {
        let epoch = header.leader_epoch;
        let is_wrong = match self.epochs {
            Some(epochs) => epochs.epoch_at(header.base_offset).is_some_and(|known| known != epoch),
            None => epoch < 0,
        };
        if is_wrong {
            return Some(BatchError::OutOfRange {
                field: "leader epoch",
                at: 12,
                value: epoch.into(),
            });
        }
        if self.latest_epoch.is_none_or(|(latest, _)| epoch > latest) {
            self.latest_epoch = Some((epoch, header.base_offset));
        }
        None
    }

    /// Reads a sealed segment and compares it with what was noted when it was sealed.
    pub(super) fn verify_sealed(&mut self, facts: &SegmentFacts) -> Result<(), OpenError> {
        let is_swap = self.plan.swaps.contains(&facts.base_offset);
        let kind = if is_swap { FileKind::Swap } else { FileKind::Log };
        let path = self.place.path(facts.base_offset, kind);
        let file = self.place.open(facts.base_offset, kind, OpenMode::Read)?;
        let mut walk = Walk {
            window: Window::new(&*file, &path, facts.bytes),
            end: End::start_of(facts.base_offset),
            checks: Checks { crc: true, contiguous: !facts.is_compacted },
            has_gaps: false,
        };
        let bad = self.walk(&mut walk)?;
        let end = walk.end;
        let is_whole =
            end.offset == facts.end_offset || facts.is_compacted && end.offset < facts.end_offset;
        let reason = match bad {
            Some(reason) => reason,
            None if end.crc.value() != facts.crc => {
                CorruptionReason::FileCrc { stored: facts.crc, found: end.crc.value() }
            }
            None if !is_whole => CorruptionReason::Offset { found: end.offset },
            None => return Ok(()),
        };
        Err(self.place.corrupt(path, end.position, end.offset, reason))
    }
}

/// A segment that is being read.
struct Walk<'a> {
    window: Window<'a>,
    end: End,
    checks: Checks,
    has_gaps: bool,
}

/// CRC-32 of a file's first `bytes` bytes.
pub(super) fn file_crc(
    place: &Place<'_>,
    base_offset: Offset,
    kind: FileKind,
    bytes: u64,
) -> Result<u32, DiskError> {
    let file = place.open(base_offset, kind, OpenMode::Read)?;
    let path: PathBuf = place.path(base_offset, kind);
    let mut window = Window::new(&*file, &path, bytes);
    let (mut crc, mut at) = (Crc::new(), 0);
    loop {
        let piece = window.piece_at(at)?;
        if piece.is_empty() {
            return Ok(crc.value());
        }
        crc.update(piece);
        at += piece.len() as u64;
    }
}
