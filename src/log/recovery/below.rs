//! What lies below the mark: known to be on disk, and not read again but for the index.

use super::Place;
use super::plan::Unsealed;
use super::segment::End;
use crate::error::{CorruptionReason, DiskError, OpenError};
use crate::ids::Offset;
use crate::log::batch::Checks;
use crate::log::disk::OpenMode;
use crate::log::facts::FileKind;
use crate::log::index::{SegmentIndex, index_crc};
use crate::log::mark::{Crc, Mark};
use crate::log::whole::{Whole, read_whole};
use crate::log::window::Window;
use crate::sync::planted::{Bug, planted};

/// The longest index file that is read: that of a segment of 32 GiB.
const INDEX_BYTES_MAX: u64 = 64 << 20;

/// The part of a segment that lies below the mark, with its index: as far as the index files go that
/// the mark knows, from these, and from the headers of the batches behind that.
pub(super) fn known_end(
    place: &Place<'_>,
    segment: Unsealed,
    mark: &Mark,
) -> Result<End, OpenError> {
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
    let start = (end.position, expected);
    while end.position < mark.position {
        let offset = expected.unwrap_or(mark.end_offset);
        let reason = match window.header_at(end.position)? {
            Ok(header) if expected.is_none_or(|expected| header.base_offset == expected) => {
                end.note(&header);
                expected = Some(end.offset);
                continue;
            }
            Ok(header) => CorruptionReason::Offset { found: header.base_offset },
            Err(error) => CorruptionReason::Batch(error),
        };
        let (at, offset, reason) =
            first_damage(&mut window, start)?.unwrap_or((end.position, offset, reason));
        return Err(place.corrupt_log(mark.segment, at, offset, reason));
    }
    if end.offset != mark.end_offset {
        let reason = CorruptionReason::Offset { found: end.offset };
        let (at, offset, reason) =
            first_damage(&mut window, start)?.unwrap_or((mark.position, mark.end_offset, reason));
        return Err(place.corrupt_log(mark.segment, at, offset, reason));
    }
    Ok(())
}

/// Headers that do not fit show that there is damage, but not where: a length that is wrong leads
/// astray. The first batch that does not verify is where it is.
fn first_damage(
    window: &mut Window<'_>,
    (mut position, mut expected): (u64, Option<Offset>),
) -> Result<Option<(u64, Offset, CorruptionReason)>, DiskError> {
    let checks = Checks { crc: true, contiguous: true };
    while position < window.end() {
        let offset = expected.unwrap_or_default();
        match window.batch_at(position, checks)? {
            Ok((header, _)) if expected.is_none_or(|offset| header.base_offset == offset) => {
                position += header.batch_bytes as u64;
                expected = Some(header.last_offset() + 1);
            }
            Ok((header, _)) => {
                let reason = CorruptionReason::Offset { found: header.base_offset };
                return Ok(Some((position, offset, reason)));
            }
            Err(error) => return Ok(Some((position, offset, CorruptionReason::Batch(error)))),
        }
    }
    Ok(None)
}
