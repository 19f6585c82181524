//! A whole file at once, if it is as short as it should be.

use super::disk::{Disk, OpenMode};
use super::disk_io::read_full_at;
use crate::error::DiskError;
use std::io;
use std::path::Path;

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
    fn files_are_read_up_to_a_limit() {
        let disk = MemoryDisk::new();
        let path = Path::new("f");
        assert_eq!(read_whole(&disk, path, 4).expect("fine"), Whole::Missing);
        disk.put(path, b"1234");
        assert_eq!(read_whole(&disk, path, 4).expect("fine"), Whole::Bytes(b"1234".to_vec()));
        assert_eq!(read_whole(&disk, path, 3).expect("fine"), Whole::TooLong);
    }
}
