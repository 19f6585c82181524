//! Whole reads and writes on top of the seam, whose own may be short.

use super::disk::{Disk, DiskFile, OpenMode};
use crate::error::DiskError;
use std::io;
use std::path::Path;

/// Writes all of `bytes` at `position`, however many writes that takes.
///
/// # Errors
///
/// What the disk says; some of the bytes may have been written. A disk that takes nothing is
/// [`io::ErrorKind::WriteZero`].
pub(crate) fn write_all_at(
    file: &dyn DiskFile,
    mut bytes: &[u8],
    mut position: u64,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written.min(bytes.len())..];
                position += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until `buffer` is full or the file ends, and returns how much that was.
///
/// # Errors
///
/// What the disk says.
pub(crate) fn read_full_at(
    file: &dyn DiskFile,
    buffer: &mut [u8],
    position: u64,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A file's bytes, as far as they were asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    Missing,
    /// It is longer than the caller takes; nothing was read.
    TooLong,
    Bytes(Vec<u8>),
}

/// Reads a file of at most `bytes_max` bytes.
///
/// # Errors
///
/// [`DiskError`] if the disk refuses; not if there is no such file.
pub(crate) fn read_whole(disk: &dyn Disk, path: &Path, bytes_max: u64) -> Result<Whole, DiskError> {
    let file = match disk.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Whole::Missing),
        Err(error) => return Err(DiskError::new("open", path, &error)),
    };
    let bytes = file.len().map_err(DiskError::at("length", path))?;
    let Some(bytes) = usize::try_from(bytes).ok().filter(|_| bytes <= bytes_max) else {
        return Ok(Whole::TooLong);
    };
    let mut buffer = vec![0; bytes];
    let read = read_full_at(&*file, &mut buffer, 0).map_err(DiskError::at("read", path))?;
    buffer.truncate(read);
    Ok(Whole::Bytes(buffer))
}

#[cfg(test)]
mod tests {
    use super::super::memory_disk::MemoryDisk;
    use super::*;

    #[test]
    fn short_writes_and_reads_are_carried_on() {
        let disk = MemoryDisk::new();
        disk.transfer_at_most(3);
        let path = Path::new("d/file");
        let file = disk.open(path, OpenMode::Create).expect("a new file");
        write_all_at(&*file, b"0123456789", 2).expect("room");
        let mut buffer = [9; 16];
        assert_eq!(read_full_at(&*file, &mut buffer, 0).expect("readable"), 12);
        assert_eq!(&buffer[..12], b"\0\x000123456789");
        assert_eq!(read_full_at(&*file, &mut buffer, 12).expect("the end"), 0);
    }

    #[test]
    fn a_disk_that_takes_nothing_is_an_error() {
        let disk = MemoryDisk::new();
        disk.transfer_at_most(0);
        let file = disk.open(Path::new("f"), OpenMode::Create).expect("a new file");
        let refused = write_all_at(&*file, b"x", 0).expect_err("nothing was taken");
        assert_eq!(refused.kind(), io::ErrorKind::WriteZero);
        assert!(write_all_at(&*file, b"", 0).is_ok());
    }

    #[test]
    fn files_are_read_up_to_a_limit() {
        let disk = MemoryDisk::new();
        let path = Path::new("f");
        assert_eq!(read_whole(&disk, path, 4).expect("fine"), Whole::Missing);
        disk.put(path, b"1234");
        assert_eq!(read_whole(&disk, path, 4).expect("fine"), Whole::Bytes(b"1234".to_vec()));
        assert_eq!(read_whole(&disk, path, 3).expect("fine"), Whole::TooLong);
    }
}
