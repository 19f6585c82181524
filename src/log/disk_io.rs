//! Whole writes and whole reads on a [`DiskFile`], whose own may be short.
//!
//! 1. An interrupted call is made again; every other error goes to the caller, who then knows nothing
//!    of the bytes that were to be written.

use crate::log::disk::DiskFile;
use crate::sync::planted::{Bug, planted};
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
                let done = if planted(Bug::RepeatShortWrite) && written < bytes.len() {
                    0
                } else {
                    written
                };
                bytes = &bytes[done..];
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Takes and gives `step` bytes a call, and is interrupted in every other one.
    #[derive(Debug)]
    struct Slow {
        bytes: Mutex<(Vec<u8>, usize)>,
        step: usize,
    }

    impl Slow {
        fn new(step: usize) -> Slow {
            Slow { bytes: Mutex::new((Vec::new(), 0)), step }
        }

        fn is_interrupted(&self) -> bool {
            let calls = &mut self.bytes.lock().unwrap().1;
            *calls += 1;
            calls.is_multiple_of(2)
        }
    }

    impl DiskFile for Slow {
        fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
            if self.is_interrupted() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let bytes = &self.bytes.lock().unwrap().0;
            let rest = &bytes[usize::try_from(position).unwrap().min(bytes.len())..];
            let count = self.step.min(buffer.len()).min(rest.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }

        fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
            if self.is_interrupted() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let held = &mut self.bytes.lock().unwrap().0;
            assert_eq!(held.len() as u64, position);
            let count = self.step.min(bytes.len());
            held.extend(&bytes[..count]);
            Ok(count)
        }

        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }

        fn set_len(&self, _bytes: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn len(&self) -> io::Result<u64> {
            Ok(self.bytes.lock().unwrap().0.len() as u64)
        }
    }

    #[test]
    fn short_and_interrupted_calls_are_carried_on() {
        let file = Slow::new(3);
        write_all_at(&file, b"0123456789", 0).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(read_full_at(&file, &mut buffer, 1).unwrap(), 8);
        assert_eq!(&buffer, b"12345678");
    }

    #[test]
    fn a_read_stops_at_the_end() {
        let file = Slow::new(3);
        write_all_at(&file, b"0123456789", 0).unwrap();
        let mut buffer = [b'-'; 8];
        assert_eq!(read_full_at(&file, &mut buffer, 6).unwrap(), 4);
        assert_eq!(&buffer, b"6789----");
        assert_eq!(read_full_at(&file, &mut buffer, 10).unwrap(), 0);
        assert_eq!(read_full_at(&file, &mut buffer, 99).unwrap(), 0);
    }

    #[test]
    fn a_write_that_takes_nothing_is_an_error_and_not_a_loop() {
        let error = write_all_at(&Slow::new(0), b"x", 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        write_all_at(&Slow::new(0), b"", 0).unwrap();
    }
}
