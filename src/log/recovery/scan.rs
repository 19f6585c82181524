//! Reads what is not known to be on disk, and finds where the log ends. Writes nothing.

use super::below::known_end;
use super::plan::{Plan, Unsealed};
use super::reading::Reading;
use super::segment::Scanned;
use super::survey::Survey;
use super::{Active, Place};
use crate::error::{CorruptionReason, OpenError};
use crate::ids::Offset;

#[derive(Debug)]
pub(super) struct Scan {
    /// Segments that are followed by another one, and so can be sealed.
    pub(super) rolled: Vec<Scanned>,
    pub(super) active: Active,
    /// How long the active segment's file is, which may be more than it holds; `None` if there is none.
    pub(super) active_file_bytes: Option<u64>,
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
            let Unsealed { base_offset, file_bytes } = *segment;
            let rewrite_from = mark.position;
            scan.set_active(Scanned {
                base_offset,
                file_bytes,
                end,
                rewrite_from,
                has_gaps: false,
            });
        }
        Ok(Some(scan))
    }

    /// Reads everything above the mark; without a mark, everything.
    pub(super) fn of(place: &Place<'_>, survey: &Survey, plan: &Plan) -> Result<Scan, OpenError> {
        let mut reading = Reading::new(place, plan, survey.epochs.as_ref());
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
            scan.set_active(last);
        }
        scan.rolled = scanned;
        Ok(scan)
    }

    fn set_active(&mut self, scanned: Scanned) {
        self.active_file_bytes = Some(scanned.file_bytes);
        self.active = scanned.into_active();
    }

    fn empty(active: Active) -> Scan {
        Scan {
            rolled: Vec::new(),
            active,
            active_file_bytes: None,
            tear: None,
            verified_bytes: 0,
            latest_epoch: None,
            is_clean: false,
        }
    }
}
