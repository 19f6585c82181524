//! The CRC-32 that covers what Kafka's batch checksum leaves out.

/// A CRC-32 that bytes are added to piece by piece.
#[derive(Clone, Debug, Default)]
pub(crate) struct Crc(crc32fast::Hasher);

impl Crc {
    /// That of no bytes.
    pub(crate) fn new() -> Crc {
        Crc::default()
    }

    /// Adds what follows.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// That of all bytes so far.
    pub(crate) fn value(&self) -> u32 {
        self.0.clone().finalize()
    }

    /// The checksum of `bytes` alone.
    #[cfg(test)]
    pub(crate) fn of(bytes: &[u8]) -> u32 {
        crc32fast::hash(bytes)
    }
}
