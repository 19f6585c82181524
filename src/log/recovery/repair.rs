//! What recovery changes: everything here can be interrupted anywhere and done again.
//!
//! Committed changes are finished first (replacements, removals), then what is torn is cut off, then
//! what has rolled is sealed: written again, synced, listed. The mark moves last.

use super::plan::Plan;
use super::scan::{Scan, Tear};
use super::segment::Scanned;
use super::survey::{CUT_SUFFIX, Survey};
use super::{Active, Place, Recovered};
use crate::error::{DiskError, OpenError};
use crate::ids::Offset;
use crate::log::disk::{DiskFile, OpenMode};
use crate::log::disk_io::write_all_at;
use crate::log::epochs::Epochs;
use crate::log::facts::{FileKind, SegmentFacts, file_name};
use crate::log::index;
use crate::log::mark::Mark;
use crate::log::report::{PartitionReport, TornTail};
use crate::log::segments_file;
use crate::log::window::Window;
use crate::sync::planted::{Bug, planted};
use std::io;
use std::path::Path;

/// How much of a torn tail is kept aside.
const CUT_BYTES_MAX: usize = 1 << 20;

/// Repairs what is to be repaired, and puts together what was found.
pub(super) fn finish(
    place: &Place<'_>,
    mut survey: Survey,
    mut plan: Plan,
    mut scan: Scan,
) -> Result<Recovered, OpenError> {
    let mut report = PartitionReport::new(place.partition.clone());
    report.verified_bytes = scan.verified_bytes;
    report.unknown_files = survey.unknown_files;
    let epochs = survey.epochs.take();
    report.was_rebuilt = plan.is_rebuild || survey.mark.is_none() || epochs.is_none();
    let epochs = epochs.unwrap_or_else(|| epochs_from_the_log(&survey, &plan, &scan));
    let mut mark = survey.mark.unwrap_or_default();
    if scan.active_file_bytes.is_some() {
        let file = place.open(scan.active.base_offset, FileKind::Log, OpenMode::Write)?;
        scan.active.file = Some(file);
    }
    if !scan.is_clean {
        // What a killed process renamed and created is seen, but may not last: nothing is built on it, and
        // nothing removed because of it, before it does.
        place.disk.sync_dir(place.dir).map_err(DiskError::at("sync", place.dir))?;
        if !planted(Bug::KeepTornTail) {
            report.torn = cut(place, &scan)?;
        }
        finish_swaps(place, &plan)?;
        list_rolled(place, &survey, &mut plan, &mut scan)?;
        mark = move_mark(&mut survey, &plan, &mut scan, epochs.latest())?;
        report.leftovers_removed = plan.leftovers.len();
        remove(place, &plan.leftovers)?;
    }
    report.sealed = plan.sealed.len();
    Ok(Recovered {
        sealed: plan.sealed,
        log_start: plan.log_start,
        active: scan.active,
        mark,
        mark_file: survey.mark_file,
        epochs,
        was_clean: scan.is_clean,
        report,
    })
}

/// Seals what has rolled, and writes the list if it says anything new.
fn list_rolled(
    place: &Place<'_>,
    survey: &Survey,
    plan: &mut Plan,
    scan: &mut Scan,
) -> Result<(), DiskError> {
    let mut is_changed = plan.is_rebuild || !scan.rolled.is_empty();
    for rolled in &scan.rolled {
        plan.sealed.push(seal(place, rolled)?);
    }
    if scan.active.end_offset < plan.log_start {
        // All there is was deleted by the user, and what was behind it is lost.
        start_over(survey, plan, scan);
        is_changed = true;
    }
    if is_changed {
        segments_file::store(place.disk, place.dir, plan.log_start, &plan.sealed)?;
    }
    Ok(())
}

/// Moves the mark to the start of the active segment, unless it lies in that already.
fn move_mark(
    survey: &mut Survey,
    plan: &Plan,
    scan: &mut Scan,
    leader_epoch: i32,
) -> Result<Mark, DiskError> {
    let base_offset = scan.active.base_offset;
    let is_in_active = |mark: &Mark| mark.segment == base_offset && plan.known == Some(*mark);
    if let Some(mark) = survey.mark.filter(is_in_active) {
        return Ok(mark);
    }
    let mark = Mark {
        segment: base_offset,
        end_offset: base_offset,
        log_start: plan.log_start.min(base_offset),
        leader_epoch,
        ..Mark::default()
    };
    survey.mark_file.write(&mark)?;
    survey.mark_file.sync()?;
    scan.active.rewrite_from = 0;
    Ok(mark)
}

/// The epochs as far as they can be told without their file: at least the latest one.
fn epochs_from_the_log(survey: &Survey, plan: &Plan, scan: &Scan) -> Epochs {
    let known = survey.mark.map_or(0, |mark| mark.leader_epoch);
    let mut epochs = Epochs::starting(known, plan.log_start);
    if let Some((epoch, start_offset)) = scan.latest_epoch {
        epochs.assign(epoch, start_offset);
    }
    epochs
}

/// Puts committed replacements in their place.
fn finish_swaps(place: &Place<'_>, plan: &Plan) -> Result<(), DiskError> {
    // Their indexes go first: those of the segments before would look like theirs.
    let kinds = [FileKind::Index, FileKind::TimeIndex];
    let bases = plan.swaps.iter();
    let indexes = bases.flat_map(|base_offset| kinds.map(|kind| file_name(*base_offset, kind)));
    remove(place, &indexes.collect::<Vec<_>>())?;
    for &base_offset in &plan.swaps {
        let swap = place.path(base_offset, FileKind::Swap);
        let log = place.path(base_offset, FileKind::Log);
        place.disk.rename(&swap, &log).map_err(DiskError::at("rename", &swap))?;
    }
    if !plan.swaps.is_empty() {
        // Before the segments go that they replace.
        place.disk.sync_dir(place.dir).map_err(DiskError::at("sync", place.dir))?;
    }
    Ok(())
}

/// Cuts off what is torn, from the end to the front, and the zeros behind the active segment.
fn cut(place: &Place<'_>, scan: &Scan) -> Result<Option<TornTail>, OpenError> {
    let Active { base_offset, bytes, end_offset, ref file, .. } = scan.active;
    let mut torn_bytes = 0;
    if let Some(tear) = &scan.tear {
        let mut kept = Vec::new();
        torn_bytes = gather(place, &scan.active, tear, &mut kept)?;
        if torn_bytes > 0 {
            keep(place, end_offset, &kept)?;
        }
        for segment in tear.later.iter().rev() {
            let kinds = [FileKind::Log, FileKind::Index, FileKind::TimeIndex];
            remove(place, &kinds.map(|kind| file_name(segment.base_offset, kind)))?;
        }
    }
    if let Some(file) = &file {
        let path = place.path(base_offset, FileKind::Log);
        set_length(&**file, &path, bytes)?;
        if scan.active_file_bytes > Some(bytes) {
            file.sync_data().map_err(DiskError::at("sync", &path))?;
        }
    }
    Ok((torn_bytes > 0).then_some(TornTail { bytes: torn_bytes, offset: end_offset }))
}

/// Counts the torn bytes, and copies the first of them.
fn gather(
    place: &Place<'_>,
    active: &Active,
    tear: &Tear,
    kept: &mut Vec<u8>,
) -> Result<u64, DiskError> {
    let mut torn_bytes = 0;
    if let Some(file) = &active.file {
        let path = place.path(active.base_offset, FileKind::Log);
        torn_bytes = tear.active_content_end.saturating_sub(active.bytes);
        copy(&**file, &path, active.bytes, tear.active_content_end, kept)?;
    }
    for segment in &tear.later {
        let file = place.open(segment.base_offset, FileKind::Log, OpenMode::Read)?;
        let path = place.path(segment.base_offset, FileKind::Log);
        let end = Window::new(&*file, &path, segment.file_bytes).content_end(0)?;
        torn_bytes += end;
        copy(&*file, &path, 0, end, kept)?;
    }
    Ok(torn_bytes)
}

fn copy(
    file: &dyn DiskFile,
    path: &Path,
    mut at: u64,
    end: u64,
    kept: &mut Vec<u8>,
) -> Result<(), DiskError> {
    let mut window = Window::new(file, path, end);
    while at < end && kept.len() < CUT_BYTES_MAX {
        let piece = window.piece_at(at)?;
        if piece.is_empty() {
            break;
        }
        at += piece.len() as u64;
        kept.extend_from_slice(&piece[..piece.len().min(CUT_BYTES_MAX - kept.len())]);
    }
    Ok(())
}

fn keep(place: &Place<'_>, end_offset: Offset, bytes: &[u8]) -> Result<(), DiskError> {
    let path = place.dir.join(format!("{end_offset:020}{CUT_SUFFIX}"));
    let file = place.disk.open(&path, OpenMode::Replace).map_err(DiskError::at("create", &path))?;
    write_all_at(&*file, bytes, 0).map_err(DiskError::at("write", &path))?;
    file.sync_data().map_err(DiskError::at("sync", &path))?;
    place.disk.sync_dir(place.dir).map_err(DiskError::at("sync", place.dir))
}

/// Gives a file its length anew, for the next sync to make durable: a sync that failed may have lost
/// how it got the one it has, and the disk may have zeros behind it.
fn set_length(file: &dyn DiskFile, path: &Path, bytes: u64) -> Result<(), DiskError> {
    // One that it does not have before, or the system finds that nothing changes. Without room for a
    // byte more, nothing was cut that anybody waits for.
    let _ = file.set_len(bytes + 1);
    file.set_len(bytes).map_err(DiskError::at("set length", path))
}

/// Makes a rolled segment durable, and stores its index.
fn seal(place: &Place<'_>, rolled: &Scanned) -> Result<SegmentFacts, DiskError> {
    let path = place.path(rolled.base_offset, FileKind::Log);
    let bytes = rolled.end.position;
    let file = place.open(rolled.base_offset, FileKind::Log, OpenMode::Write)?;
    set_length(&*file, &path, bytes)?;
    // A sync that failed before the crash is not told twice: only bytes that are written again are sure
    // to be on disk once a sync has succeeded.
    let mut window = Window::new(&*file, &path, bytes);
    let mut at = rolled.rewrite_from;
    while at < bytes {
        let piece = window.piece_at(at)?;
        if piece.is_empty() {
            break;
        }
        write_all_at(&*file, piece, at).map_err(DiskError::at("write", &path))?;
        at += piece.len() as u64;
    }
    file.sync_data().map_err(DiskError::at("sync", &path))?;
    let index_crc = index::store(place.disk, place.dir, rolled.base_offset, &rolled.end.index)?;
    Ok(rolled.facts(index_crc))
}

/// Begins again at the log's start, behind all that is there, so that no offset is given twice.
fn start_over(survey: &Survey, plan: &mut Plan, scan: &mut Scan) {
    let torn = scan.tear.iter().flat_map(|tear| &tear.later);
    let gone: Vec<Offset> = torn.map(|segment| segment.base_offset).collect();
    let bases = survey.logs.keys().filter(|base| !gone.contains(base));
    for base_offset in bases {
        for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex] {
            let name = file_name(*base_offset, kind);
            if !plan.leftovers.contains(&name) {
                plan.leftovers.push(name);
            }
        }
    }
    plan.sealed.clear();
    scan.active = Active::without_file(plan.log_start);
}

/// Removes files, if they are there.
fn remove(place: &Place<'_>, names: &[String]) -> Result<(), DiskError> {
    for name in names {
        let path = place.dir.join(name);
        match place.disk.remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(DiskError::new("remove", &path, &error));
            }
            _ => {}
        }
    }
    if !names.is_empty() {
        place.disk.sync_dir(place.dir).map_err(DiskError::at("sync", place.dir))?;
    }
    Ok(())
}
