//! What a power cut leaves: every un-synced change has a fate, every choice of fates is an image.
//!
//! ```text
//!  un-synced        write 700 at 300   set_len 900   create "b"
//!  fates            4                × 2           × 2            = 16 images
//!                   absent             absent        absent
//!                   zeros              whole         whole
//!                   torn at 512
//!                   whole
//! ```
//!
//! 1. Changes of a file's data are independent: any of them may be absent while later ones are whole.
//! 2. Bytes that were durable stay what they were wherever no later write arrives. Nothing becomes
//!    zeros but what lies behind the end that the file had.
//! 3. An image is a disk on which everything is durable.

use super::content::Content;
use super::tree::{Change, File, NameChange, NameOp};
use std::path::Path;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;

/// A change that no sync has made durable, of which a power cut decides.
///
/// ```
/// use anabranch::testing::{Fate, SimDisk, Unsynced};
/// use anabranch::{Disk, OpenMode};
/// use std::path::Path;
///
/// let disk = SimDisk::new();
/// disk.open(Path::new("log"), OpenMode::Create)?.write_at(&[1; 700], 0)?;
/// let mut asked = Vec::new();
/// disk.power_cut(|change| {
///     asked.push(format!("{change:?}"));
///     Fate::Whole
/// });
/// assert_eq!(asked, [
///     r#"Write { path: "log", position: 0, bytes: 700, grows: true }"#,
///     r#"Create { path: "log" }"#,
/// ]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsynced<'a> {
    /// Bytes that were written.
    Write {
        /// The file, by its present or last name.
        path: &'a Path,
        /// Where in the file.
        position: u64,
        /// How many bytes.
        bytes: usize,
        /// Whether they end behind what is certain to be there, so that zeros may stand there
        /// instead.
        grows: bool,
    },
    /// A file's length, set by `set_len` or by opening it with `OpenMode::Replace`.
    SetLen {
        /// The file.
        path: &'a Path,
        /// Its new length.
        bytes: u64,
    },
    /// The name of a new file or directory.
    Create {
        /// The name.
        path: &'a Path,
    },
    /// Another name for a file, in one step.
    Rename {
        /// The name it had.
        from: &'a Path,
        /// The name it was given.
        to: &'a Path,
    },
    /// A name that was removed.
    Remove {
        /// The name.
        path: &'a Path,
    },
}

/// What becomes of an un-synced change when the power is cut.
///
/// ```
/// use anabranch::testing::{Fate, SimDisk};
/// use anabranch::{Disk, OpenMode};
/// use std::path::Path;
///
/// let disk = SimDisk::new();
/// let log = disk.open(Path::new("log"), OpenMode::Create)?;
/// disk.sync_dir(Path::new(""))?;
/// log.write_at(&[7; 700], 0)?;
///
/// let left = |fate| disk.power_cut(|_| fate).read("log").map(|bytes| {
///     (bytes.len(), bytes.iter().filter(|byte| **byte == 7).count())
/// });
/// assert_eq!(left(Fate::Absent)?, (0, 0));
/// assert_eq!(left(Fate::Zeros)?, (700, 0));
/// assert_eq!(left(Fate::Torn { bytes: 512 })?, (512, 512));
/// assert_eq!(left(Fate::Sectors { mask: 0b10 })?, (700, 188));
/// assert_eq!(left(Fate::Whole)?, (700, 700));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never reached the disk.
    Absent,
    /// It is on the disk.
    Whole,
    /// Of a write only the first bytes are on the disk, and the file is no longer than they reach.
    /// Disks write sectors of 512 bytes whole: the tear is at the last boundary of a sector of the
    /// file that these bytes reach, so this may be [`Fate::Absent`]. Other changes are whole.
    Torn {
        /// How many bytes at most.
        bytes: usize,
    },
    /// Of a write the length is on the disk and the bytes are not: the file has zeros behind the end
    /// that it had, and before that what it had. Other changes are whole.
    Zeros,
    /// Of a write some sectors are on the disk, and the length is. The bit `n % 64` of the mask
    /// decides about the `n`th sector it touches. Other changes are whole.
    Sectors {
        /// The sectors that are on the disk.
        mask: u64,
    },
}

/// In what order names become durable that nobody has synced.
///
/// ```
/// use anabranch::testing::{NameOrder, SimDisk};
/// use anabranch::{Disk, OpenMode};
/// use std::path::Path;
///
/// let disk = SimDisk::new();
/// disk.open(Path::new("a"), OpenMode::Create)?;
/// disk.open(Path::new("b"), OpenMode::Create)?;
/// assert_eq!(disk.crash_images(100).count(), 4); // Neither, a, b, both.
/// disk.set_name_order(NameOrder::Journaled);
/// assert_eq!(disk.crash_images(100).count(), 3); // Neither, a, both.
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameOrder {
    /// Any of them may be absent while later ones are there: all that POSIX promises.
    #[default]
    Any,
    /// If one is absent, so are all later ones, of whatever directory: ext4, XFS, and other file
    /// systems with a journal.
    Journaled,
}

impl Unsynced<'_> {
    /// All that may become of it, [`Fate::Absent`] first and [`Fate::Whole`] last: once
    /// [`Fate::Torn`] for each boundary of a sector inside a write, and [`Fate::Zeros`] where the
    /// file grows. [`Fate::Sectors`], of which there are too many, is left out.
    pub fn fates(&self) -> Vec<Fate> {
        let mut fates = vec![Fate::Absent];
        if let Unsynced::Write { position, bytes, grows, .. } = *self {
            fates.extend(grows.then_some(Fate::Zeros));
            let first = SECTOR_BYTES - position % SECTOR_BYTES;
            let step = usize::try_from(SECTOR_BYTES).unwrap_or(usize::MAX);
            let first = usize::try_from(first).unwrap_or(usize::MAX);
            fates.extend((first..bytes).step_by(step).map(|bytes| Fate::Torn { bytes }));
        }
        fates.push(Fate::Whole);
        fates
    }
}

impl Change {
    /// Does to a file's durable content what the power cut let through.
    pub(super) fn apply_in_part(&self, fate: Fate, content: &mut Content) {
        let Change::Write { position, bytes } = self else {
            return if fate != Fate::Absent {
                self.apply(content)
            };
        };
        let end = position + bytes.len() as u64;
        match fate {
            Fate::Absent => {}
            Fate::Whole => content.write(bytes, *position),
            Fate::Torn { bytes: reached } if reached >= bytes.len() => {
                content.write(bytes, *position);
            }
            Fate::Torn { bytes: reached } => {
                let reached = position + reached as u64;
                let tear = reached - reached % SECTOR_BYTES;
                let kept = usize::try_from(tear.saturating_sub(*position)).unwrap_or(0);
                content.write(&bytes[..kept], *position);
            }
            Fate::Zeros => content.set_len(content.len().max(end)),
            Fate::Sectors { mask } => {
                content.set_len(content.len().max(end));
                let mut start = *position;
                for number in 0_u32.. {
                    let next = end.min(start - start % SECTOR_BYTES + SECTOR_BYTES);
                    if mask >> (number % 64) & 1 == 1 {
                        let part = [start, next].map(|at| usize::try_from(at - position));
                        if let [Ok(from), Ok(to)] = part {
                            content.write(&bytes[from..to], start);
                        }
                    }
                    if next == end {
                        break;
                    }
                    start = next;
                }
            }
        }
    }
}

/// A change of a file's data as its fate is asked for.
pub(super) fn describe_data(file: &File, index: usize) -> Unsynced<'_> {
    let path = &*file.path;
    match &file.unsynced[index] {
        Change::SetLen { bytes } => Unsynced::SetLen { path, bytes: *bytes },
        Change::Write { position, bytes } => {
            let lengths = file.unsynced[..index].iter().filter_map(|change| match change {
                Change::SetLen { bytes } => Some(*bytes),
                Change::Write { .. } => None,
            });
            let certain = lengths.fold(file.durable.len(), u64::min);
            let grows = position + bytes.len() as u64 > certain;
            Unsynced::Write { path, position: *position, bytes: bytes.len(), grows }
        }
    }
}

/// A change of names as its fate is asked for.
pub(super) fn describe_name(op: &NameOp) -> Unsynced<'_> {
    let path = &*op.place.path;
    match &op.what {
        NameChange::Create => Unsynced::Create { path },
        NameChange::Remove => Unsynced::Remove { path },
        NameChange::Rename { from } => Unsynced::Rename { from: &from.path, to: path },
    }
}
