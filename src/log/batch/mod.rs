//! Kafka's record batch v2, both directions: the one format of memory, files and the wire.
//!
//! A batch is a header of 61 bytes and then its records, each with its own length. Numbers in the
//! header are big-endian and of fixed size; in the records they are varints ([`varint`]), and
//! offsets and timestamps are differences to those of the batch.
//!
//! ```text
//!   0 ┌──────────────────────┬───────────┬───────────┬─────┬───────────┬─────┐ 23
//!     │ base offset        8 │ length  4 │ epoch   4 │ m 1 │ CRC     4 │ a 2 │
//!  23 ├───────────┬──────────┴───────────┼───────────┴─────┴────┬──────┴─────┘
//!     │ last Δo 4 │ base timestamp     8 │ max timestamp      8 │
//!  43 ├───────────┴──────────┬─────┬─────┴─────┬───────────┬────┘
//!     │ producer id        8 │ e 2 │ seq     4 │ count   4 │
//!  61 ├──────────────────────┴─────┴───────────┴───────────┘
//!     │ record, record, …       length │ a 1 │ Δt │ Δo │ key │ value │ headers
//! ```
//!
//! m: magic, 2; a: attributes; e: producer epoch. `length` counts what follows it. A key or value
//! is a varint length (-1: null) and its bytes. `docs/log-format.md` tells it at length.
//!
//! | File | Its one job |
//! |---|---|
//! | `encode.rs` `record.rs` | Records to a batch, in place; one record to bytes. |
//! | `open.rs` `builder.rs` | A batch that is built over time, in place or in a buffer of its own. |
//! | `header.rs` | The fixed part, read and written; what is patched later; peeks. |
//! | `walk.rs` | A batch to records, without a copy. |
//! | `retain.rs` | What compaction leaves of a batch. |
//! | `validate.rs` | Bytes from elsewhere: everything checked once, so that the walk need not. |
//! | `short.rs` | The shape that nearly all records have, read in registers by the two above. |
//! | `varint.rs` `crc.rs` | Small numbers; the checksum. |
//!
//! 1. What [`encode_batch`] writes, [`validate()`] accepts once it is sealed; what `validate` accepts,
//!    [`RecordWalk`] walks to the end.
//! 2. Within the process the CRC field of a batch is 0; [`seal`] fills it in on the way out. The CRC
//!    covers all that follows it, so base offset and leader epoch can be patched at any time.
//! 3. A batch of ours is at most `i32::MAX` bytes long; in a foreign one, so many follow the length.

mod builder;
mod crc;
mod encode;
mod header;
mod open;
mod record;
mod retain;
mod short;
mod validate;
mod varint;
mod walk;

#[cfg(test)]
mod tests;

pub(crate) use builder::{BatchBuilder, EncodedBatch};
pub(crate) use crc::seal;
pub use encode::Stamps;
pub(crate) use encode::{Encoded, encode_batch};
pub(crate) use header::{
    BatchHeader, HEADER_BYTES, base_offset, batch_bytes, last_offset, max_timestamp,
    set_base_offset, set_leader_epoch, set_log_append_time,
};
pub(crate) use open::OpenBatch;
pub(crate) use record::record_bytes_max;
pub(crate) use retain::retain;
pub(crate) use validate::{Checks, validate};
pub(crate) use walk::{HeaderWalk, RawHeaders, RecordRef, RecordWalk, whole_batches};
