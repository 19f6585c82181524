//! Verifying a partition's files, read and not touched.
//!
//! ```text
//!   sealed      │ batch │ batch │ batch │   each batch's CRC, its place, and the CRC of the file
//!   to the mark │ batch │ batch ▼          the same, and the running CRC of all bytes below the mark
//!   above it            │ batch │ torn     up to the first that is no batch: a tear, which opening cuts off
//! ```
//!
//! Somebody may be at work in the directory: what is found damaged counts only if the directory says
//! the same before and after.

use super::batch::{BatchHeader, Checks};
use super::contents::{Contents, SegmentFile};
use super::disk::{Disk, OpenMode};
use super::facts::{FileKind, file_path};
use super::mark::Crc;
use super::report::TornTail;
use super::whole::{Whole, read_whole};
use super::window::Window;
use crate::error::{Corruption, CorruptionReason, DiskError};
use crate::ids::Offset;

/// How often a partition is verified again that changes while it is.
const ATTEMPTS: usize = 3;

/// The longest index file that is read: that of a segment of 32 GiB.
const INDEX_BYTES_MAX: u64 = 64 << 20;

/// What verifying found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verified {
    pub(crate) batches: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Where bytes are not those that are known to have been on disk; the first place of each file.
    pub(crate) damage: Vec<Corruption>,
    /// What opening will cut off, if nobody is writing it just now.
    pub(crate) torn: Option<TornTail>,
}

/// Reads all segments, and compares them with all that is known of them.
///
/// # Errors
///
/// [`DiskError`] if the system does not give a file's bytes.
pub(crate) fn verify(disk: &dyn Disk, contents: &Contents) -> Result<Verified, DiskError> {
    let mut before = contents.clone();
    let mut verified = verify_once(disk, &before)?;
    for _ in 1..ATTEMPTS {
        if verified.damage.is_empty() {
            break;
        }
        let now = Contents::read(disk, &before.dir)?;
        if now == before {
            break;
        }
        before = now;
        verified = verify_once(disk, &before)?;
    }
    Ok(verified)
}

/// How far the segment at `index` reaches, which is the last or one that is not listed: its end offset and
/// its bytes. Reads what is above the mark.
///
/// # Errors
///
/// [`DiskError`] if the system does not give a file's bytes.
pub(crate) fn extent(
    disk: &dyn Disk,
    contents: &Contents,
    segment: &SegmentFile,
) -> Result<(Offset, u64), DiskError> {
    let mark = contents.mark.filter(|mark| mark.segment == segment.base_offset);
    let start = mark.map_or((segment.base_offset, 0), |mark| (mark.end_offset, mark.position));
    let Some(file_bytes) = segment.file_bytes.filter(|bytes| *bytes > start.1) else {
        return Ok(start);
    };
    let file = match disk.open(&segment.path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(start),
        Err(error) => return Err(DiskError::new("open", &segment.path, &error)),
    };
    let mut walk = Walk::new(segment, Window::new(&*file, &segment.path, file_bytes));
    (walk.offset, walk.position) = start;
    while let Step::Batch(_) = walk.step()? {}
    Ok((walk.offset, walk.position))
}

fn verify_once(disk: &dyn Disk, contents: &Contents) -> Result<Verified, DiskError> {
    let mut verified = Verified { damage: contents.damage.clone(), ..Verified::default() };
    for segment in &contents.segments {
        verified.check_index(disk, contents, segment)?;
        let Some(file_bytes) = segment.file_bytes else { continue };
        if let Some(torn) = &mut verified.torn {
            // Nothing behind a tear counts.
            torn.bytes += file_bytes;
            continue;
        }
        let file = match disk.open(&segment.path, OpenMode::Read) {
            Ok(file) => file,
            // Taken since; the directory says something else by now.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                verified.note(segment, (0, segment.base_offset), CorruptionReason::Missing);
                continue;
            }
            Err(error) => return Err(DiskError::new("open", &segment.path, &error)),
        };
        let mut walk = Walk::new(segment, Window::new(&*file, &segment.path, file_bytes));
        verified.check_segment(contents, segment, &mut walk)?;
    }
    Ok(verified)
}

impl Verified {
    fn note(
        &mut self,
        segment: &SegmentFile,
        (position, offset): (u64, Offset),
        reason: CorruptionReason,
    ) {
        let file = segment.path.clone();
        // What names and lengths have told is not told again.
        if !self.damage.iter().any(|found| found.file == file) {
            self.damage.push(Corruption { file, position, offset, reason });
        }
    }

    fn check_segment(
        &mut self,
        contents: &Contents,
        segment: &SegmentFile,
        walk: &mut Walk<'_>,
    ) -> Result<(), DiskError> {
        let mut mark = contents.mark.filter(|mark| mark.segment == segment.base_offset);
        // Up to here everything was on disk.
        let known_bytes = match (&segment.facts, contents.mark) {
            (Some(facts), _) => facts.bytes,
            (None, Some(mark)) if mark.segment == segment.base_offset => mark.position,
            (None, Some(mark)) if mark.segment < segment.base_offset => 0,
            (None, _) => walk.window.end(),
        };
        let reason = loop {
            if let Some(mark) = mark.take_if(|mark| mark.position <= walk.position) {
                self.check_point(segment, walk, (mark.end_offset, mark.crc));
            }
            match walk.step()? {
                Step::Batch(header) => {
                    self.batches += 1;
                    self.records += u64::from(header.count);
                    self.bytes += header.batch_bytes as u64;
                }
                Step::End => break None,
                Step::Bad(reason) => break Some(reason),
            }
        };
        let at = (walk.position, walk.offset);
        if let Some(reason) = reason {
            let content_end = walk.window.content_end(at.0)?;
            if at.0 < known_bytes || segment.facts.is_some() && content_end > at.0 {
                self.note(segment, at, reason);
            } else if content_end > at.0 {
                self.torn = Some(TornTail { bytes: content_end - at.0, offset: at.1 });
            }
        } else if let Some(facts) = &segment.facts {
            let is_compacted_end = facts.is_compacted && walk.offset <= facts.end_offset;
            let end = if is_compacted_end { walk.offset } else { facts.end_offset };
            self.check_point(segment, walk, (end, facts.crc));
        }
        Ok(())
    }

    /// The offset and the checksum of everything up to here are as they were noted.
    fn check_point(
        &mut self,
        segment: &SegmentFile,
        walk: &Walk<'_>,
        (end, stored): (Offset, u32),
    ) {
        let found = walk.crc.value();
        let reason = match walk.offset {
            _ if found != stored => CorruptionReason::FileCrc { stored, found },
            found if found != end => CorruptionReason::Offset { found },
            _ => return,
        };
        self.note(segment, (0, segment.base_offset), reason);
    }

    /// Indexes are built anew where they are not what was stored; damaged they are all the same.
    fn check_index(
        &mut self,
        disk: &dyn Disk,
        contents: &Contents,
        segment: &SegmentFile,
    ) -> Result<(), DiskError> {
        let Some(facts) = segment.facts.as_ref().filter(|facts| facts.index_crc != 0) else {
            return Ok(());
        };
        let mut crc = Crc::new();
        let path = |kind| file_path(&contents.dir, segment.base_offset, kind);
        for kind in [FileKind::Index, FileKind::TimeIndex] {
            match read_whole(disk, &path(kind), INDEX_BYTES_MAX)? {
                Whole::Bytes(bytes) => crc.update(&bytes),
                Whole::TooLong => return Ok(()),
                Whole::Missing => {}
            }
        }
        let (stored, found) = (facts.index_crc, crc.value());
        if stored != found {
            let (file, offset) = (path(FileKind::Index), segment.base_offset);
            let reason = CorruptionReason::FileCrc { stored, found };
            self.damage.push(Corruption { file, position: 0, offset, reason });
        }
        Ok(())
    }
}

/// A way through the batches of one file.
struct Walk<'a> {
    window: Window<'a>,
    position: u64,
    offset: Offset,
    crc: Crc,
    may_have_gaps: bool,
}

enum Step {
    Batch(BatchHeader),
    Bad(CorruptionReason),
    End,
}

impl<'a> Walk<'a> {
    fn new(segment: &SegmentFile, window: Window<'a>) -> Walk<'a> {
        let (offset, may_have_gaps) = (segment.base_offset, segment.may_have_gaps);
        Walk { window, position: 0, offset, crc: Crc::new(), may_have_gaps }
    }

    fn step(&mut self) -> Result<Step, DiskError> {
        if self.position >= self.window.end() {
            return Ok(Step::End);
        }
        let checks = Checks { crc: true, contiguous: !self.may_have_gaps };
        let (header, bytes) = match self.window.batch_at(self.position, checks)? {
            Ok(batch) => batch,
            Err(error) => return Ok(Step::Bad(CorruptionReason::Batch(error))),
        };
        let found = header.base_offset;
        if found < self.offset || found > self.offset && !self.may_have_gaps {
            return Ok(Step::Bad(CorruptionReason::Offset { found }));
        }
        self.crc.update(bytes);
        self.position += header.batch_bytes as u64;
        self.offset = header.last_offset() + 1;
        Ok(Step::Batch(header))
    }
}
