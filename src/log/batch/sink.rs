//! Where encoded bytes go: the spare room of a chunk, a slice, or a `Vec`.
//!
//! The encoder writes numbers with fixed-size copies that may scribble behind the end: eight bytes
//! copied to keep two are one instruction, two bytes of a length known at run time are a call.
//!
//! 1. A sink only ever appends, apart from [`Sink::patch`], which stays below [`Sink::written`].

/// Where encoded bytes go.
pub(crate) trait Sink {
    /// Room left, in bytes; without bound for a `Vec`.
    fn room(&self) -> usize;

    /// Bytes written so far.
    fn written(&self) -> usize;

    /// Appends. The caller has checked [`room`](Sink::room); a sink that is too small panics.
    fn put(&mut self, bytes: &[u8]);

    /// Appends the first `len` bytes of `bytes`. May scribble all `N` behind the end where there
    /// is room for them.
    fn put_prefix<const N: usize>(&mut self, bytes: &[u8; N], len: usize);

    /// Overwrites bytes that were written.
    fn patch(&mut self, at: usize, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    #[inline]
    fn room(&self) -> usize {
        isize::MAX.cast_unsigned() - self.len()
    }

    #[inline]
    fn written(&self) -> usize {
        self.len()
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn put_prefix<const N: usize>(&mut self, bytes: &[u8; N], len: usize) {
        let end = self.len() + len;
        self.extend_from_slice(bytes);
        self.truncate(end);
    }

    #[inline]
    fn patch(&mut self, at: usize, bytes: &[u8]) {
        self[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// A sink over a slice, filled from its start.
#[derive(Debug)]
pub(crate) struct SliceSink<'a> {
    bytes: &'a mut [u8],
    written: usize,
}

impl<'a> SliceSink<'a> {
    /// A sink that fills `bytes`.
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        SliceSink { bytes, written: 0 }
    }
}

impl Sink for SliceSink<'_> {
    #[inline]
    fn room(&self) -> usize {
        self.bytes.len() - self.written
    }

    #[inline]
    fn written(&self) -> usize {
        self.written
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.written..][..bytes.len()].copy_from_slice(bytes);
        self.written += bytes.len();
    }

    #[inline]
    fn put_prefix<const N: usize>(&mut self, bytes: &[u8; N], len: usize) {
        match self.bytes[self.written..].first_chunk_mut::<N>() {
            Some(chunk) => {
                assert!(len <= N, "a prefix is part of its bytes");
                *chunk = *bytes;
                self.written += len;
            }
            None => self.put(&bytes[..len]),
        }
    }

    #[inline]
    fn patch(&mut self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.written, "only what was written is patched");
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }
}
