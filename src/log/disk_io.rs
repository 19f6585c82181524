//! Whole writes and whole reads on a [`DiskFile`], whose own may be short.
//!
//! 1. An interrupted call is made again; every other error goes to the caller, who then knows nothing
//!    of the bytes that were to be written.

use crate::log::disk::DiskFile;
use std::io;

/// Writes all of `bytes` at `position`.
///
/// A write that takes nothing is [`io::ErrorKind::WriteZero`]. On any error some of the bytes may have
/// been written.
pub(crate) fn write_all_at(
    file: &dyn DiskFile,
    mut bytes: &[u8],
    mut position: u64,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                position += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads from `position` on until `buffer` is full or the file ends, and returns how many bytes.
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
