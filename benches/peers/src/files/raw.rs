//! What does it cost to write and read the same bytes with nothing around them?
//!
//! The bytes are batches in Kafka's format, as our side writes them, encoded beforehand: raw does not
//! encode, frame, index or remember anything. A few hundred kilobytes of them are written over and
//! over, so that they come from a core's second cache, as everybody's payloads do.

use crate::files::folder::Filled;
use crate::payload::Payloads;
use anabranch::Record;
use anabranch::format::{self, Stamps};
use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How many records are encoded: about as many as there are payloads.
const RECORDS: u64 = 4_000;

/// Where the CRC of a batch starts to count.
const CRC_END: usize = 21;

/// Encoded batches of so many records each.
pub(crate) struct Batches {
    bytes: Vec<u8>,
    pub(crate) records_each: u64,
    pub(crate) bytes_each: usize,
}

impl Batches {
    pub(crate) fn of(records_each: u64) -> Batches {
        let payloads = Payloads::new();
        let mut bytes = Vec::new();
        for base in (0..RECORDS.max(records_each)).step_by(records_each as usize) {
            let values = (base..base + records_each).map(|i| Record::new(payloads.get(i)));
            let records: Vec<Record<'_>> = values.collect();
            let batch = format::encode(&records, base, Stamps::default());
            bytes.extend(batch.expect("the records fit into a batch"));
        }
        let bytes_each = bytes.len() / (RECORDS.max(records_each) / records_each) as usize;
        Batches { bytes, records_each, bytes_each }
    }

    /// One batch after the other, without end.
    pub(crate) fn endless(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.bytes_each).cycle()
    }

    /// The batches that hold `records`.
    pub(crate) fn holding(&self, records: u64) -> impl Iterator<Item = &[u8]> {
        self.endless().take((records / self.records_each) as usize)
    }

    /// As many bytes as `records` take, in pieces of `size`; the last may be shorter.
    fn pieces(&self, records: u64, size: usize) -> impl Iterator<Item = &[u8]> {
        let mut left = (records / self.records_each) as usize * self.bytes_each;
        self.bytes.chunks_exact(size).cycle().map_while(move |piece| {
            let piece = &piece[..piece.len().min(left)];
            left -= piece.len();
            (!piece.is_empty()).then_some(piece)
        })
    }
}

pub(crate) fn crc(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

fn create(dir: &Path) -> File {
    File::create_new(dir.join("raw.log")).expect("a file can be made")
}

/// One `write` for each batch, each with its CRC-32C computed.
pub(crate) fn write_batches(dir: &Path, batches: &Batches, records: u64) -> Duration {
    let mut file = create(dir);
    let began = Instant::now();
    for batch in batches.holding(records) {
        black_box(crc(&batch[CRC_END..]));
        file.write_all(batch).expect("the file takes the batch");
    }
    began.elapsed()
}

/// The same bytes, `size` at a time, each piece with its CRC-32C computed.
pub(crate) fn write_pieces(dir: &Path, batches: &Batches, records: u64, size: usize) -> Duration {
    let mut file = create(dir);
    let began = Instant::now();
    for piece in batches.pieces(records, size) {
        black_box(crc(piece));
        file.write_all(piece).expect("the file takes the bytes");
    }
    began.elapsed()
}

/// One `write` for each record, and nothing else.
pub(crate) fn write_each(dir: &Path, batches: &Batches, records: u64) -> Duration {
    let mut file = create(dir);
    let began = Instant::now();
    for batch in batches.holding(records) {
        file.write_all(batch).expect("the file takes the batch");
    }
    began.elapsed()
}

/// One positional write and one `fdatasync` for each record, into a file that grows or into one that
/// was full of zeros and on the disk before.
pub(crate) fn sync_each(dir: &Path, batches: &Batches, records: u64, is_filled: bool) -> Duration {
    let file = create(dir);
    if is_filled {
        let zeros = vec![0; records as usize * batches.bytes_each];
        file.write_all_at(&zeros, 0).expect("the file takes zeros");
        file.sync_all().expect("the file can be synced");
    }
    let mut position = 0;
    let began = Instant::now();
    for batch in batches.holding(records) {
        file.write_all_at(batch, position).expect("the file takes the batch");
        file.sync_data().expect("the file can be synced");
        position += batch.len() as u64;
    }
    began.elapsed()
}

/// Files that are kept and not read.
///
/// Whoever is the first to fill the page cache gets what memory is in pieces: a file whose pages do not
/// follow one another in memory takes half as long again to be read. So the first is nobody's.
pub(crate) fn ballast(records: u64) -> Rc<Filled> {
    Filled::by(move |dir| {
        write_batches(dir, &Batches::of(100), records);
    })
}

/// Reads a file from `start` on by `pread`, `size` bytes at a time; each piece goes to `each`.
pub(crate) fn read(file: &File, start: u64, size: usize, mut each: impl FnMut(&[u8])) -> u64 {
    let mut buffer = vec![0; size];
    let mut position = start;
    loop {
        let count = file.read_at(&mut buffer, position).expect("the file can be read");
        if count == 0 {
            return position - start;
        }
        each(&buffer[..count]);
        position += count as u64;
    }
}
