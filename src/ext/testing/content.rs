//! What a simulated file holds: pages that are shared until somebody writes to them.
//!
//! ```text
//!  Content { bytes: 9,000 }──► [ Some(page) │ None │ Some(page) ]     None: zeros
//!                                    ▲                 ▲
//!  a copy of it ─────────────────────┴─────────────────┘
//! ```
//!
//! 1. Copies share pages: taking an image costs nothing for what the image does not change.
//! 2. What lies behind the end is zero, so that a file which is cut and extended again reads zeros.

use std::hash::Hasher;
use std::io;
use std::ops::Range;
use std::sync::Arc;

const PAGE_BYTES: usize = 4096;

/// Where a file may end. A simulated file has its place in memory: a position that was read from
/// garbage must be an error here, as it is on a real disk, and not the end of the process.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 34;

type Page = [u8; PAGE_BYTES];

const ZEROS: Page = [0; PAGE_BYTES];

/// A file's bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    bytes: u64,
    pages: Arc<Vec<Option<Arc<Page>>>>,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether a copy has cost nothing.
    #[cfg(test)]
    pub(super) fn is_shared_with(&self, other: &Content) -> bool {
        self.bytes == other.bytes && Arc::ptr_eq(&self.pages, &other.pages)
    }

    pub(super) fn read(&self, buffer: &mut [u8], position: u64) -> usize {
        let rest = self.bytes.saturating_sub(position);
        let count = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
        for (page, inside, part) in pieces(position, count) {
            match self.pages.get(page) {
                Some(Some(page)) => buffer[part].copy_from_slice(&page[inside]),
                _ => buffer[part].fill(0),
            }
        }
        count
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; index(self.bytes)];
        self.read(&mut bytes, 0);
        bytes
    }

    /// Puts the bytes into a hash, the same ones in the same way, however they came about.
    pub(super) fn hash(&self, hasher: &mut impl Hasher) {
        hasher.write_u64(self.bytes);
        let mut rest = index(self.bytes);
        for (number, page) in self.pages.iter().enumerate() {
            let inside = rest.min(PAGE_BYTES);
            rest -= inside;
            if let Some(page) = page
                && page[..inside] != ZEROS[..inside]
            {
                hasher.write_usize(number);
                hasher.write(&page[..inside]);
            }
        }
    }

    /// Writes, and extends with zeros up to there if need be.
    pub(super) fn write(&mut self, bytes: &[u8], position: u64) {
        if bytes.is_empty() {
            return;
        }
        for (page, inside, part) in pieces(position, bytes.len()) {
            self.page(page)[inside].copy_from_slice(&bytes[part]);
        }
        self.bytes = self.bytes.max(position + bytes.len() as u64);
    }

    /// Cuts, or extends with zeros.
    pub(super) fn set_len(&mut self, bytes: u64) {
        if bytes < self.bytes {
            let whole = index(bytes) / PAGE_BYTES;
            let kept = index(bytes) % PAGE_BYTES;
            let pages = Arc::make_mut(&mut self.pages);
            pages.truncate(if kept == 0 { whole } else { whole + 1 });
            if let Some(Some(last)) = pages.get_mut(whole) {
                Arc::make_mut(last)[kept..].fill(0);
            }
        }
        self.bytes = bytes;
    }

    fn page(&mut self, index: usize) -> &mut Page {
        let pages = Arc::make_mut(&mut self.pages);
        if pages.len() <= index {
            pages.resize(index + 1, None);
        }
        Arc::make_mut(pages[index].get_or_insert_with(|| Arc::new([0; PAGE_BYTES])))
    }
}

/// Cuts `count` bytes from `position` on at page boundaries: page, range in it, range of the bytes.
fn pieces(
    position: u64,
    count: usize,
) -> impl Iterator<Item = (usize, Range<usize>, Range<usize>)> {
    let start = index(position.min(FILE_BYTES_MAX));
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == count {
            return None;
        }
        let inside = (start + done) % PAGE_BYTES;
        let taken = (PAGE_BYTES - inside).min(count - done);
        let piece = ((start + done) / PAGE_BYTES, inside..inside + taken, done..done + taken);
        done += taken;
        Some(piece)
    })
}

/// Refuses what would end behind [`FILE_BYTES_MAX`].
pub(super) fn check_end(position: u64, bytes: u64) -> io::Result<()> {
    match position.checked_add(bytes) {
        Some(end) if end <= FILE_BYTES_MAX => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::FileTooLarge, "the simulated file is too large")),
    }
}

fn index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("lengths are checked against FILE_BYTES_MAX")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_where_they_were_written_across_pages() {
        let mut content = Content::default();
        let bytes: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        content.write(&bytes, 4_000);
        assert_eq!(content.len(), 14_000);
        let whole = content.to_vec();
        assert!(whole[..4_000].iter().all(|byte| *byte == 0));
        assert_eq!(whole[4_000..], bytes);
        let mut buffer = [9; 5_000];
        assert_eq!(content.read(&mut buffer, 13_990), 10);
        assert_eq!(buffer[..11], [&bytes[9_990..], &[9]].concat());
        assert_eq!(content.read(&mut buffer, 14_000), 0);
        assert_eq!(content.read(&mut buffer, u64::MAX), 0);
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        for cut in [0, 1, 4_095, 4_096, 4_097, 8_192, 9_000] {
            let mut content = Content::default();
            content.write(&[7; 9_000], 0);
            content.set_len(cut);
            content.set_len(20_000);
            let sevens = content.to_vec().iter().filter(|byte| **byte == 7).count();
            assert_eq!((sevens as u64, content.len()), (cut, 20_000));
        }
    }

    #[test]
    fn a_copy_keeps_what_it_had() {
        let mut content = Content::default();
        content.write(b"before", 0);
        let copy = content.clone();
        assert!(copy.is_shared_with(&content));
        content.write(b"behind", 0);
        assert!(!copy.is_shared_with(&content));
        assert_eq!((copy.to_vec(), content.to_vec()), (b"before".to_vec(), b"behind".to_vec()));
    }

    #[test]
    fn an_end_that_no_disk_has_is_refused() {
        assert!(check_end(0, FILE_BYTES_MAX).is_ok());
        for (position, bytes) in [(1, FILE_BYTES_MAX), (u64::MAX, 1), (FILE_BYTES_MAX + 1, 0)] {
            let error = check_end(position, bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        }
    }
}
