//! The checksum of a batch: CRC-32C of everything behind the CRC field. The one place that knows
//! which crate computes it.

use super::header::{CRC_AT, CRC_END};

/// Computes the CRC of a batch from its bytes; what its CRC field holds does not matter.
///
/// # Panics
///
/// If there are fewer bytes than a header has.
pub(crate) fn crc(batch: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(&batch[CRC_END..])
}

/// Computes the CRC of a batch and stores it: the last step before its bytes leave the process.
///
/// # Panics
///
/// If there are fewer bytes than a header has.
pub(crate) fn seal(batch: &mut [u8]) {
    let crc = crc(batch);
    batch[CRC_AT..CRC_END].copy_from_slice(&crc.to_be_bytes());
}
