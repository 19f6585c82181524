//! Small text files that are replaced as a whole, and that know when they are damaged.
//!
//! ```text
//!  anabranch segments 1            what it is, and the version of the lines below
//!  …                               the lines
//!  crc32 5d41402a                  CRC-32 of every byte above, in hexadecimal
//! ```
//!
//! 1. Under a file's name stands the old content or the new one, whole, after a crash at any point:
//!    the new one is written beside it, synced, renamed over it, and the directory synced.
//! 2. First line and last line have this shape in all versions, so that a file of another version is
//!    told from a damaged one.

use super::disk::{Disk, OpenMode};
use super::disk_io::write_all_at;
use super::mark::Crc;
use super::whole::{Whole, read_whole};
use crate::error::DiskError;
use crate::sync::planted::{Bug, planted};
use std::path::{Path, PathBuf};

/// The longest a small file may be: a million segments, and far from what hurts to read.
const BYTES_MAX: u64 = 64 << 20;

/// The ending of a file that is not yet what it is to be.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// `"crc32 "`, eight digits and the end of the line.
const TRAILER_BYTES: usize = 6 + 8 + 1;

/// Why a small file was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SmallFileError {
    Disk(DiskError),
    /// It is not what was written.
    Damaged(&'static str),
    /// It is whole, but of a version that is not known here.
    Version {
        found: u32,
    },
}

impl From<DiskError> for SmallFileError {
    fn from(error: DiskError) -> SmallFileError {
        SmallFileError::Disk(error)
    }
}

/// Replaces the file at `path`, durably. Each of `lines` ends with a line feed.
///
/// # Errors
///
/// [`DiskError`] if the disk refuses; the old content stands, or, if the last sync was refused,
/// either of the two.
pub(crate) fn write(
    disk: &dyn Disk,
    path: &Path,
    kind: &str,
    version: u32,
    lines: &str,
) -> Result<(), DiskError> {
    debug_assert!(lines.is_empty() || lines.ends_with('\n'), "lines end with a line feed");
    replace(disk, path, encode(kind, version, lines).as_bytes())
}

/// Reads the lines of the file at `path`; `None` if there is none.
///
/// # Errors
///
/// [`SmallFileError`] if the disk refuses, or if the file is not of this kind, version and checksum.
pub(crate) fn read(
    disk: &dyn Disk,
    path: &Path,
    kind: &str,
    version: u32,
) -> Result<Option<String>, SmallFileError> {
    match read_whole(disk, path, BYTES_MAX)? {
        Whole::Missing => Ok(None),
        Whole::TooLong => Err(SmallFileError::Damaged("is longer than such a file can be")),
        Whole::Bytes(bytes) => decode(&bytes, kind, version).map(Some),
    }
}

/// Replaces a file's bytes so that a crash leaves the old ones or the new ones.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    if planted(Bug::ReplaceInPlace) {
        return write_temporary(disk, path, bytes);
    }
    let temporary = temporary_path(path);
    let written = write_temporary(disk, &temporary, bytes)
        .and_then(|()| disk.rename(&temporary, path).map_err(DiskError::at("rename", path)));
    if written.is_err() {
        // It is in nobody's way: the next attempt and the next opening replace or remove it.
        let _ = disk.remove_file(&temporary);
        return written;
    }
    let dir = path.parent().unwrap_or(Path::new(""));
    disk.sync_dir(dir).map_err(DiskError::at("sync", dir))
}

fn write_temporary(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let file = disk.open(path, OpenMode::Replace).map_err(DiskError::at("create", path))?;
    write_all_at(&*file, bytes, 0).map_err(DiskError::at("write", path))?;
    file.sync_data().map_err(DiskError::at("sync", path))
}

fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY_SUFFIX);
    name.into()
}

fn encode(kind: &str, version: u32, lines: &str) -> String {
    let mut text = format!("anabranch {kind} {version}\n{lines}");
    let crc = Crc::of(text.as_bytes());
    text.push_str(&format!("crc32 {crc:08x}\n"));
    text
}

fn decode(bytes: &[u8], kind: &str, version: u32) -> Result<String, SmallFileError> {
    use SmallFileError::Damaged;
    let text = std::str::from_utf8(bytes).map_err(|_| Damaged("is not text"))?;
    let (covered, trailer) = text
        .len()
        .checked_sub(TRAILER_BYTES)
        .and_then(|at| text.split_at_checked(at))
        .ok_or(Damaged("is cut off"))?;
    // Compared as text, so that there is one way to write a checksum.
    if trailer != format!("crc32 {:08x}\n", Crc::of(covered.as_bytes())) {
        return Err(Damaged("does not have the checksum that it was written with"));
    }
    let (header, lines) = covered.split_once('\n').ok_or(Damaged("has no first line"))?;
    let found = header
        .strip_prefix("anabranch ")
        .and_then(|rest| rest.strip_prefix(kind)?.strip_prefix(' '))
        .and_then(|number| number.parse().ok())
        .ok_or(Damaged("is of another kind"))?;
    if found != version {
        return Err(SmallFileError::Version { found });
    }
    Ok(lines.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::memory_disk::MemoryDisk;
    use super::*;
    use proptest::prelude::*;

    const LINES: &str = "start 7\nsegment 0 9\n";

    fn path() -> &'static Path {
        Path::new("d/segments")
    }

    fn written() -> MemoryDisk {
        let disk = MemoryDisk::new();
        write(&disk, path(), "segments", 1, LINES).expect("room");
        disk
    }

    #[test]
    fn lines_come_back() {
        for lines in ["", "\n", LINES, "crc32 00000000\n", "ä\n"] {
            let disk = MemoryDisk::new();
            disk.transfer_at_most(5);
            write(&disk, path(), "segments", 1, lines).expect("room");
            let found = read(&disk, path(), "segments", 1).expect("whole");
            assert_eq!(found.as_deref(), Some(lines));
            assert_eq!(disk.files().len(), 1, "nothing stays beside it");
        }
    }

    #[test]
    fn a_missing_file_is_none() {
        assert_eq!(read(&MemoryDisk::new(), path(), "segments", 1), Ok(None));
    }

    #[test]
    fn another_kind_or_version_is_refused() {
        let disk = written();
        assert_eq!(read(&disk, path(), "segments", 2), Err(SmallFileError::Version { found: 1 }));
        for kind in ["seg", "manifest", "segments 1"] {
            assert!(matches!(read(&disk, path(), kind, 1), Err(SmallFileError::Damaged(_))));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let whole = written().get(path()).expect("it was written");
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode(&bytes, "segments", 1), Err(SmallFileError::Damaged(_))));
        }
        for cut in 0..whole.len() {
            let found = decode(&whole[..cut], "segments", 1);
            assert!(matches!(found, Err(SmallFileError::Damaged(_))), "{cut}");
        }
        let longer = [&whole[..], b"\n"].concat();
        assert!(decode(&longer, "segments", 1).is_err());
    }

    /// Whichever call to the disk fails, what can be read is the old lines or the new ones.
    #[test]
    fn a_failure_leaves_the_old_or_the_new() {
        let changes = {
            let disk = written();
            let before = disk.changes();
            write(&disk, path(), "segments", 1, "new\n").expect("room");
            disk.changes() - before
        };
        for nth in 0..changes {
            let disk = written();
            disk.fail_after(nth);
            write(&disk, path(), "segments", 1, "new\n").expect_err("the disk fails");
            let found = read(&disk, path(), "segments", 1).expect("whole").expect("there");
            assert!(found == LINES || nth + 1 == changes && found == "new\n", "{nth}: {found}");
        }
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read() {
        let disk = MemoryDisk::new();
        let file = disk.open(path(), OpenMode::Create).expect("new");
        file.set_len(BYTES_MAX + 1).expect("room");
        assert!(matches!(read(&disk, path(), "segments", 1), Err(SmallFileError::Damaged(_))));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes, "segments", 1).is_err());
        }
    }
}
