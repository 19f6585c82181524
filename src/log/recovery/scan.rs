//! Reads what is not known to be on disk, and finds where the log ends. Writes nothing.

use super::plan::{Plan, Unsealed};
use super::survey::Survey;
use super::walk::Window;
use super::{Active, Place};
use crate::error::{BatchError, CorruptionReason, DiskError, OpenError};
use crate::ids::Offset;
use crate::log::batch::{BatchHeader, Checks};
use crate::log::disk::{DiskFile, OpenMode};
use crate::log::epochs::Epochs;
use crate::log::facts::{FileKind, SegmentFacts};
use crate::log::index::{SegmentIndex, index_crc};
use crate::log::mark::{Crc, Mark};
use crate::log::whole::{Whole, read_whole};
use crate::sync::planted::{Bug, planted};
use std::path::PathBuf;
use std::sync::Arc;

/// The longest index file that is read: that of a segment of 32 GiB.
const INDEX_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug)]
pub(super) struct Scan {
    /// Segments that are followed by another one, and so can be sealed.
    pub(super) rolled: Vec<Scanned>,
    pub(super) active: Active,
    /// How long the active segment's file is, which may be more than it holds.
    pub(super) active_file_bytes: u64,
    pub(super) tear: Option<Tear>,
    pub(super) verified_bytes: u64,
    /// The latest epoch of all batches that were read, and where it began.
    pub(super) latest_epoch: Option<(i32, Offset)>,
    /// Whether the directory is as closing leaves it.
    pub(super) is_clean: bool,
}

/// What is to be cut off, behind the active segment's end.
#[derive(Debug)]
pub(super) struct Tear {
    /// Where in the active segment's file its own torn bytes end.
    pub(super) active_content_end: u64,
    /// Later segments, which hold nothing that can be kept.
    pub(super) later: Vec<Unsealed>,
}

/// A segment that was read to its end.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) base_offset: Offset,
    pub(super) file_bytes: u64,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) end: End,
    pub(super) rewrite_from: u64,
    has_gaps: bool,
}

/// How far a segment was read, and what was gathered on the way.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) position: u64,
    pub(super) offset: Offset,
    pub(super) crc: Crc,
    pub(super) index: SegmentIndex,
}

impl End {
    fn start_of(base_offset: Offset) -> End {
        End { position: 0, offset: base_offset, crc: Crc::new(), index: SegmentIndex::new() }
    }
}

impl Scanned {
    pub(super) fn facts(&self) -> SegmentFacts {
        SegmentFacts {
            base_offset: self.base_offset,
            end_offset: self.end.offset,
            bytes: self.end.position,
            crc: self.end.crc.value(),
            index_crc: 0,
            max_timestamp: self.end.index.max_timestamp(),
            is_compacted: self.has_gaps,
        }
    }

    fn into_active(self) -> (Active, u64) {
        let active = Active {
            base_offset: self.base_offset,
            bytes: self.end.position,
            end_offset: self.end.offset,
            crc: self.end.crc,
            max_timestamp: self.end.index.max_timestamp(),
            index: self.end.index,
            file: Some(self.file),
            rewrite_from: self.rewrite_from,
        };
        (active, self.file_bytes)
    }
}

impl Scan {
    /// Takes a directory that was closed in order as its files say it is; `None` if they do not.
    pub(super) fn of_clean(
        place: &Place<'_>,
        survey: &Survey,
        plan: &Plan,
    ) -> Result<Option<Scan>, OpenError> {
        let Some(mark) = plan.known.filter(|mark| survey.mark == Some(*mark)) else {
            return Ok(None);
        };
        let is_as_closed = match plan.unsealed.as_slice() {
            [] => mark.position == 0,
            [active] => active.base_offset == mark.segment && active.file_bytes == mark.position,
            _ => false,
        };
        let is_clean = is_as_closed
            && mark.segment == plan.first_unsealed
            && plan.log_start <= mark.end_offset
            && plan.swaps.is_empty()
            && !plan.is_rebuild
            && survey.epochs.is_some();
        if !is_clean {
            return Ok(None);
        }
        let mut scan = Scan::empty(Active::without_file(mark.segment));
        scan.is_clean = true;
        if let [segment] = plan.unsealed.as_slice() {
            let end = known_end(place, *segment, &mark)?;
            let file = place.open(segment.base_offset, FileKind::Log, OpenMode::Write)?;
            let (base_offset, file_bytes) = (segment.base_offset, segment.file_bytes);
            let rewrite_from = mark.position;
            let scanned =
                Scanned { base_offset, file_bytes, file, end, rewrite_from, has_gaps: false };
            (scan.active, scan.active_file_bytes) = scanned.into_active();
        }
        Ok(Some(scan))
    }

    /// Reads everything above the mark; without a mark, everything.
    pub(super) fn of(place: &Place<'_>, survey: &Survey, plan: &Plan) -> Result<Scan, OpenError> {
        let mut reading = Reading {
            place,
            plan,
            epochs: survey.epochs.as_ref(),
            verified_bytes: 0,
            latest_epoch: None,
        };
        if plan.known.is_none() {
            for facts in &plan.sealed {
                reading.verify_sealed(facts)?;
            }
        }
        let mut scanned: Vec<Scanned> = Vec::new();
        let mut tear = None;
        let mut expected = plan.first_unsealed;
        for (index, segment) in plan.unsealed.iter().enumerate() {
            if segment.base_offset != expected {
                reading.refuse_unless_torn(segment.base_offset, expected)?;
                let active_content_end = scanned.last().map_or(0, |last| last.end.position);
                tear = Some(Tear { active_content_end, later: plan.unsealed[index..].to_vec() });
                break;
            }
            let (segment, torn_end) = reading.read(*segment)?;
            expected = segment.end.offset;
            scanned.push(segment);
            if let Some(active_content_end) = torn_end {
                tear =
                    Some(Tear { active_content_end, later: plan.unsealed[index + 1..].to_vec() });
                break;
            }
        }
        let mut scan = Scan::empty(Active::without_file(expected));
        scan.tear = tear;
        scan.verified_bytes = reading.verified_bytes;
        scan.latest_epoch = reading.latest_epoch;
        // The mark's segment may have been begun without a file to show for it.
        let begun = plan.known.map_or(0, |mark| mark.segment);
        let is_behind = |last: &Scanned| last.base_offset < begun;
        if scanned.last().is_none_or(is_behind) {
            if begun > expected {
                return Err(place.corrupt_log(expected, 0, expected, CorruptionReason::Missing));
            }
        } else if let Some(last) = scanned.pop() {
            (scan.active, scan.active_file_bytes) = last.into_active();
        }
        scan.rolled = scanned;
        Ok(scan)
    }

    fn empty(active: Active) -> Scan {
        Scan {
            rolled: Vec::new(),
            active,
            active_file_bytes: 0,
            tear: None,
            verified_bytes: 0,
            latest_epoch: None,
            is_clean: false,
        }
    }
}

/// The state of reading one segment after the other.
struct Reading<'a> {
    place: &'a Place<'a>,
    plan: &'a Plan,
    epochs: Option<&'a Epochs>,
    verified_bytes: u64,
    latest_epoch: Option<(i32, Offset)>,
}

impl Reading<'_> {
    /// A segment stands where another offset is expected: if that is above the mark and behind a
    /// hole, what led there is torn. Otherwise it is damage.
    fn refuse_unless_torn(&self, found: Offset, expected: Offset) -> Result<(), OpenError> {
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
    fn read(&mut self, segment: Unsealed) -> Result<(Scanned, Option<u64>), OpenError> {
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
        let file = self.place.open(base_offset, FileKind::Log, OpenMode::Write)?;
        let path = self.place.path(base_offset, FileKind::Log);
        let checks = Checks { crc: true, contiguous: !self.plan.is_rebuild };
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
        Ok((Scanned { base_offset, file_bytes, file, end, rewrite_from, has_gaps }, torn_end))
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
            note(end, &header);
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
    fn verify_sealed(&mut self, facts: &SegmentFacts) -> Result<(), OpenError> {
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

/// Takes a batch as read, but for its checksum.
fn note(end: &mut End, header: &BatchHeader) {
    let last_offset = header.last_offset();
    end.index.note(last_offset, end.position, header.batch_bytes, header.max_timestamp);
    end.position += header.batch_bytes as u64;
    end.offset = last_offset + 1;
}

/// The part of a segment that lies below the mark, with its index: as far as the index files go that
/// the mark knows, from these, and from the headers of the batches behind that.
fn known_end(place: &Place<'_>, segment: Unsealed, mark: &Mark) -> Result<End, OpenError> {
    let mut end = End::start_of(segment.base_offset);
    if let Some(index) = stored_index(place, mark)? {
        end.index = index;
        end.position = mark.index_end;
    }
    if end.position < mark.position {
        read_headers(place, mark, &mut end)?;
    }
    end.offset = mark.end_offset;
    end.crc = Crc::resume(mark.crc);
    Ok(end)
}

/// The index as it was last stored; `None` if it was not, or is not what was stored.
fn stored_index(place: &Place<'_>, mark: &Mark) -> Result<Option<SegmentIndex>, DiskError> {
    let read =
        |kind| match read_whole(place.disk, &place.path(mark.segment, kind), INDEX_BYTES_MAX)? {
            Whole::Bytes(bytes) => Ok(bytes),
            Whole::Missing | Whole::TooLong => Ok::<_, DiskError>(Vec::new()),
        };
    if mark.index_end == 0 {
        return Ok(None);
    }
    let (offsets, times) = (read(FileKind::Index)?, read(FileKind::TimeIndex)?);
    if index_crc(&offsets, &times) != mark.index_crc && !planted(Bug::TrustIndex) {
        return Ok(None);
    }
    Ok(SegmentIndex::decode(mark.segment, &offsets, &times, mark.index_end))
}

/// Steps over the batches from `end` to the mark, and must arrive there.
fn read_headers(place: &Place<'_>, mark: &Mark, end: &mut End) -> Result<(), OpenError> {
    let file = place.open(mark.segment, FileKind::Log, OpenMode::Read)?;
    let path = place.path(mark.segment, FileKind::Log);
    let mut window = Window::new(&*file, &path, mark.position);
    // Behind a stored index the first batch tells which offset it is; the last must lead to the mark.
    let mut expected = (end.position == 0).then_some(end.offset);
    while end.position < mark.position {
        let offset = expected.unwrap_or(mark.end_offset);
        let reason = match window.header_at(end.position)? {
            Ok(header) if expected.is_none_or(|expected| header.base_offset == expected) => {
                note(end, &header);
                expected = Some(end.offset);
                continue;
            }
            Ok(header) => CorruptionReason::Offset { found: header.base_offset },
            Err(error) => CorruptionReason::Batch(error),
        };
        return Err(place.corrupt_log(mark.segment, end.position, offset, reason));
    }
    if end.offset != mark.end_offset {
        let reason = CorruptionReason::Offset { found: end.offset };
        return Err(place.corrupt_log(mark.segment, mark.position, mark.end_offset, reason));
    }
    Ok(())
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
