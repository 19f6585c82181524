//! The mark: how far a log is known to be on disk.
//!
//! What lies below it was synced before the mark was written. So only bytes above it can be torn, and
//! anything wrong below it is damage. Kafka's checksum of a batch leaves 17 bytes of its header
//! uncovered; the mark's covers every byte of the segment below it.
//!
//! The file `mark` has two slots that are written in turn, each in a sector of its own and with one call, so
//! that a torn write of one leaves the other. The valid one with the higher sequence number counts.
//!
//! ```text
//!    0 ┌─────────────────── slot A ───────────────────┐    numbers are big-endian
//!      │   0  4  "abmk"          40  8  log start     │
//!      │   4  4  version, 1      48  4  leader epoch  │
//!      │   8  8  sequence        52  4  segment CRC   │
//!      │  16  8  segment         56  4  index CRC     │
//!      │  24  8  position        60  8  index end     │
//!      │  32  8  end offset     508  4  CRC of 0..508 │
//!  512 ├─────────────────── slot B ───────────────────┤
//! 1024 └──────────────────────────────────────────────┘
//! ```
//!
//! 1. A slot is written after the sync that makes it true, never before.
//! 2. A slot is not synced itself, except where that is asked for: an older mark is true as well.
//! 3. While one slot may be torn on the disk the other is not written: one that took more than one call is synced
//!    before.
//! 4. First field and checksum stand where they stand in all versions, so that a slot of another version
//!    is told from a damaged one.

use super::disk::{Disk, DiskFile, OpenMode};
use super::disk_io::{read_full_at, write_all_at};
use super::facts::OFFSET_MAX;
use crate::error::DiskError;
use crate::ids::Offset;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of the file.
pub(crate) const MARK_FILE: &str = "mark";

const MAGIC: &[u8; 4] = b"abmk";

/// The latest version of a slot that is known here.
pub(crate) const MARK_VERSION: u32 = 1;

/// A sector of the disks that write the least at once.
const SLOT_BYTES: usize = 512;
const CRC_AT: usize = SLOT_BYTES - 4;
const FILE_BYTES: usize = 2 * SLOT_BYTES;

/// The longest file, and the most changes of a mark, that can be.
const NUMBER_MAX: u64 = i64::MAX as u64;

/// A CRC-32 (the one of zip and Ethernet) that is computed piece by piece.
#[derive(Clone, Debug, Default)]
pub(crate) struct Crc(crc32fast::Hasher);

impl Crc {
    /// That of no bytes, which is 0.
    pub(crate) fn new() -> Crc {
        Crc::default()
    }

    /// Goes on where a checksum of `value` was left.
    pub(crate) fn resume(value: u32) -> Crc {
        Crc(crc32fast::Hasher::new_with_initial(value))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes so far.
    pub(crate) fn value(&self) -> u32 {
        self.0.clone().finalize()
    }

    /// The checksum of `bytes` alone.
    pub(crate) fn of(bytes: &[u8]) -> u32 {
        crc32fast::hash(bytes)
    }
}

/// A point of the log below which everything is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The base offset of the segment it lies in.
    pub(crate) segment: Offset,
    /// Where in that segment's file.
    pub(crate) position: u64,
    /// The offset that the next record there has.
    pub(crate) end_offset: Offset,
    /// Where the log started at that time.
    pub(crate) log_start: Offset,
    /// The latest leader epoch at that time.
    pub(crate) leader_epoch: i32,
    /// CRC-32 of the segment's bytes below `position`.
    pub(crate) crc: u32,
    /// CRC-32 of the segment's `.index`, then `.timeindex`, as they were last written; 0 if they were
    /// not. Index files of another checksum are not trusted.
    pub(crate) index_crc: u32,
    /// The position up to which those index files go; 0 if there are none.
    pub(crate) index_end: u64,
}

impl Mark {
    fn encode(&self, sequence: u64) -> [u8; SLOT_BYTES] {
        let mut slot = [0; SLOT_BYTES];
        slot[..4].copy_from_slice(MAGIC);
        slot[4..8].copy_from_slice(&MARK_VERSION.to_be_bytes());
        let numbers = [sequence, self.segment, self.position, self.end_offset, self.log_start];
        for (at, number) in numbers.into_iter().enumerate() {
            slot[8 + at * 8..][..8].copy_from_slice(&number.to_be_bytes());
        }
        slot[48..52].copy_from_slice(&self.leader_epoch.to_be_bytes());
        slot[52..56].copy_from_slice(&self.crc.to_be_bytes());
        slot[56..60].copy_from_slice(&self.index_crc.to_be_bytes());
        slot[60..68].copy_from_slice(&self.index_end.to_be_bytes());
        let crc = Crc::of(&slot[..CRC_AT]);
        slot[CRC_AT..].copy_from_slice(&crc.to_be_bytes());
        slot
    }
}

/// What a slot turns out to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Bad,
    Version(u32),
    Good { sequence: u64, mark: Mark },
}

impl Slot {
    fn decode(slot: &[u8; SLOT_BYTES]) -> Slot {
        let word = |at: usize| u32::from_be_bytes(field(slot, at));
        let number = |index: usize| u64::from_be_bytes(field(slot, 8 + index * 8));
        if &slot[..4] != MAGIC || word(CRC_AT) != Crc::of(&slot[..CRC_AT]) {
            return Slot::Bad;
        }
        if word(4) != MARK_VERSION {
            return Slot::Version(word(4));
        }
        let mark = Mark {
            segment: number(1),
            position: number(2),
            end_offset: number(3),
            log_start: number(4),
            leader_epoch: i32::from_be_bytes(field(slot, 48)),
            crc: word(52),
            index_crc: word(56),
            index_end: u64::from_be_bytes(field(slot, 60)),
        };
        let sequence = number(0);
        let is_possible = sequence <= NUMBER_MAX
            && mark.leader_epoch >= 0
            && mark.segment <= mark.end_offset
            && mark.log_start <= mark.end_offset
            && mark.end_offset <= OFFSET_MAX
            && mark.position <= NUMBER_MAX
            && mark.index_end <= mark.position;
        if is_possible { Slot::Good { sequence, mark } } else { Slot::Bad }
    }
}

fn field<const N: usize>(slot: &[u8; SLOT_BYTES], at: usize) -> [u8; N] {
    *slot[at..].first_chunk().expect("the field lies within the slot")
}

/// Why a mark was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MarkError {
    /// There is no such file, which is never right: it is made with the partition.
    Missing,
    Disk(DiskError),
    /// A slot is whole, but of a version that is not known here.
    Version {
        found: u32,
    },
}

impl From<DiskError> for MarkError {
    fn from(error: DiskError) -> MarkError {
        MarkError::Disk(error)
    }
}

/// The file that holds the mark, open.
#[derive(Debug)]
pub(crate) struct MarkFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    /// The slot that is written next, 0 or 1; the other holds what counts.
    next_slot: usize,
    next_sequence: u64,
    /// Whether half of the next slot may be on the disk, or, in what another session has left, half of one.
    is_torn: bool,
    is_synced: bool,
}

impl MarkFile {
    /// Makes the file with its first mark, and syncs it; the caller syncs the directory.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if the disk refuses.
    pub(crate) fn create(disk: &dyn Disk, dir: &Path, mark: &Mark) -> Result<MarkFile, DiskError> {
        let path = dir.join(MARK_FILE);
        let file = disk.open(&path, OpenMode::Replace).map_err(DiskError::at("create", &path))?;
        file.set_len(FILE_BYTES as u64).map_err(DiskError::at("set length", &path))?;
        let mut created = MarkFile::over(file, path, (0, 1));
        // Into both slots: whichever is written next, the other is whole.
        created.write(mark)?;
        created.write(mark)?;
        created.sync()?;
        Ok(created)
    }

    /// Opens the file and reads the mark; `None` if both slots are bad. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`MarkError`] if there is no file, the disk refuses, or a slot is of an unknown version.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path) -> Result<(MarkFile, Option<Mark>), MarkError> {
        let path = dir.join(MARK_FILE);
        let file = open_file(disk, &path, OpenMode::Write)?;
        let best = latest(&*file, &path)?;
        let (next_slot, next_sequence) =
            best.map_or((0, 1), |(index, sequence, _)| (1 - index, sequence + 1));
        let opened = MarkFile::over(file, path, (next_slot, next_sequence));
        Ok((MarkFile { is_torn: true, ..opened }, best.map(|(_, _, mark)| mark)))
    }

    fn over(
        file: Arc<dyn DiskFile>,
        path: PathBuf,
        (next_slot, next_sequence): (usize, u64),
    ) -> MarkFile {
        MarkFile { file, path, next_slot, next_sequence, is_torn: false, is_synced: false }
    }

    /// A file that is not there, for a partition whose files are not to be touched.
    pub(crate) fn nowhere(file: Arc<dyn DiskFile>, dir: &Path) -> MarkFile {
        MarkFile::over(file, dir.join(MARK_FILE), (0, 1))
    }

    /// Reads the mark and nothing else; `None` if both slots are bad. Somebody may be writing it: that
    /// leaves one slot whole at any time.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Mark>, MarkError> {
        let path = dir.join(MARK_FILE);
        let file = open_file(disk, &path, OpenMode::Read)?;
        Ok(latest(&*file, &path)?.map(|(_, _, mark)| mark))
    }

    /// Writes a mark over the older one. Synced only if one of the slots might be torn.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if the disk refuses; the mark before stands, or this one.
    pub(crate) fn write(&mut self, mark: &Mark) -> Result<(), DiskError> {
        if self.is_torn {
            // It may be the other slot.
            self.sync()?;
        }
        self.is_synced = false;
        let slot = mark.encode(self.next_sequence);
        let position = position_of(self.next_slot);
        if !matches!(self.file.write_at(&slot, position), Ok(SLOT_BYTES)) {
            self.is_torn = true;
            write_all_at(&*self.file, &slot, position)
                .map_err(DiskError::at("write", &self.path))?;
        }
        if self.is_torn {
            self.sync()?;
            self.is_torn = false;
        }
        self.next_slot = 1 - self.next_slot;
        self.next_sequence += 1;
        Ok(())
    }

    /// Makes the last mark durable.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if the disk refuses; which mark stands is not known.
    pub(crate) fn sync(&mut self) -> Result<(), DiskError> {
        if !self.is_synced {
            self.file.sync_data().map_err(DiskError::at("sync", &self.path))?;
            self.is_synced = true;
        }
        Ok(())
    }
}

fn open_file(disk: &dyn Disk, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, MarkError> {
    disk.open(path, mode).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => MarkError::Missing,
        _ => DiskError::new("open", path, &error).into(),
    })
}

/// The slot that counts, its sequence number and its mark; `None` if both are bad.
fn latest(file: &dyn DiskFile, path: &Path) -> Result<Option<(usize, u64, Mark)>, MarkError> {
    let mut best: Option<(usize, u64, Mark)> = None;
    for index in 0..2 {
        let mut bytes = [0; SLOT_BYTES];
        read_full_at(file, &mut bytes, position_of(index)).map_err(DiskError::at("read", path))?;
        match Slot::decode(&bytes) {
            Slot::Bad => {}
            Slot::Version(found) => return Err(MarkError::Version { found }),
            Slot::Good { sequence, mark } => {
                if best.is_none_or(|(_, highest, _)| sequence > highest) {
                    best = Some((index, sequence, mark));
                }
            }
        }
    }
    Ok(best)
}

fn position_of(slot: usize) -> u64 {
    (slot * SLOT_BYTES) as u64
}

#[cfg(test)]
mod tests {
    use super::super::memory_disk::MemoryDisk;
    use super::*;
    use crate::testing::{CallKind, Fault, SimDisk, Times};
    use proptest::prelude::*;

    fn mark(position: u64) -> Mark {
        Mark {
            segment: 100,
            position,
            end_offset: 100 + position,
            log_start: 50,
            leader_epoch: 3,
            crc: 7,
            index_crc: 9,
            index_end: position,
        }
    }

    fn dir() -> &'static Path {
        Path::new("orders-0")
    }

    fn read(disk: &MemoryDisk) -> Option<Mark> {
        let mark = MarkFile::open(disk, dir()).expect("it is there").1;
        assert_eq!(MarkFile::read(disk, dir()), Ok(mark));
        mark
    }

    #[test]
    fn a_checksum_may_be_computed_in_pieces_and_resumed() {
        let mut whole = Crc::new();
        assert_eq!(whole.value(), 0);
        whole.update(b"123456789");
        assert_eq!(whole.value(), 0xcbf4_3926, "the check value of CRC-32");
        assert_eq!(Crc::of(b"123456789"), whole.value());
        let mut resumed = Crc::resume(Crc::of(b"1234"));
        resumed.update(b"56789");
        assert_eq!(resumed.value(), whole.value());
        whole.update(b"0");
        resumed.update(b"0");
        assert_eq!(resumed.value(), whole.value());
    }

    #[test]
    fn the_last_mark_comes_back_across_reopening() {
        let disk = MemoryDisk::new();
        drop(MarkFile::create(&disk, dir(), &Mark::default()).expect("room"));
        assert_eq!(read(&disk), Some(Mark::default()));
        assert_eq!(disk.get("orders-0/mark").expect("there").len(), FILE_BYTES);
        for position in 1..10 {
            let (mut file, _) = MarkFile::open(&disk, dir()).expect("it is there");
            for of_many in 0..position {
                file.write(&mark(10 * position + of_many)).expect("room");
                assert_eq!(read(&disk), Some(mark(10 * position + of_many)));
            }
        }
    }

    /// Whatever becomes of one slot, it is the newest mark or the one before that is read.
    #[test]
    fn every_flipped_bit_and_every_cut_leaves_a_true_mark_or_none() {
        let disk = MemoryDisk::new();
        let mut file = MarkFile::create(&disk, dir(), &mark(1)).expect("room");
        file.write(&mark(2)).expect("room");
        let whole = disk.get("orders-0/mark").expect("there");
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            disk.put("orders-0/mark", &bytes);
            let expected = if bit / 8 < SLOT_BYTES { mark(1) } else { mark(2) };
            assert_eq!(read(&disk), Some(expected), "bit {bit}");
        }
        for cut in 0..whole.len() {
            disk.put("orders-0/mark", &whole[..cut]);
            let expected = (cut >= SLOT_BYTES).then_some(mark(2));
            assert_eq!(read(&disk), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_bad_slot_is_the_next_to_be_written() {
        for bad in 0..2 {
            let disk = MemoryDisk::new();
            let mut file = MarkFile::create(&disk, dir(), &mark(1)).expect("room");
            file.write(&mark(2)).expect("room");
            let mut bytes = disk.get("orders-0/mark").expect("there");
            bytes[bad * SLOT_BYTES + 20] ^= 1;
            disk.put("orders-0/mark", &bytes);
            let (mut file, good) = MarkFile::open(&disk, dir()).expect("there");
            file.write(&mark(3)).expect("room");
            assert_eq!(read(&disk), Some(mark(3)));
            bytes = disk.get("orders-0/mark").expect("there");
            bytes[bad * SLOT_BYTES + 20] ^= 1;
            disk.put("orders-0/mark", &bytes);
            assert_eq!(read(&disk), good, "the good one was kept");
        }
    }

    #[test]
    fn two_bad_slots_are_no_mark_and_can_be_written() {
        let disk = MemoryDisk::new();
        disk.put("orders-0/mark", &[0; FILE_BYTES]);
        let (mut file, none) = MarkFile::open(&disk, dir()).expect("there");
        assert_eq!(none, None);
        file.write(&mark(4)).expect("room");
        assert_eq!(read(&disk), Some(mark(4)));
    }

    #[test]
    fn a_missing_file_and_a_newer_version_are_errors() {
        let disk = MemoryDisk::new();
        assert!(matches!(MarkFile::open(&disk, dir()), Err(MarkError::Missing)));
        let mut slot = mark(1).encode(1);
        slot[4..8].copy_from_slice(&2_u32.to_be_bytes());
        let crc = Crc::of(&slot[..CRC_AT]);
        slot[CRC_AT..].copy_from_slice(&crc.to_be_bytes());
        disk.put("orders-0/mark", &[mark(1).encode(9), slot].concat());
        let found = MarkFile::open(&disk, dir()).expect_err("unknown");
        assert_eq!(found, MarkError::Version { found: 2 });
    }

    #[test]
    fn a_mark_that_cannot_be_is_bad() {
        let impossible = [
            Mark { segment: 1, ..Mark::default() },
            Mark { log_start: 1, ..Mark::default() },
            Mark { leader_epoch: -1, ..Mark::default() },
            Mark { end_offset: NUMBER_MAX + 1, ..Mark::default() },
            Mark { position: u64::MAX, ..Mark::default() },
            Mark { index_end: 1, ..Mark::default() },
        ];
        for mark in impossible {
            assert_eq!(Slot::decode(&mark.encode(1)), Slot::Bad);
        }
        assert_eq!(Slot::decode(&Mark::default().encode(u64::MAX)), Slot::Bad);
    }

    #[test]
    fn a_refused_write_leaves_the_mark_before() {
        let disk = MemoryDisk::new();
        let mut file = MarkFile::create(&disk, dir(), &mark(1)).expect("room");
        disk.fail_after(0);
        file.write(&mark(2)).expect_err("the disk fails");
        file.sync().expect_err("the disk fails");
        assert_eq!(read(&disk), Some(mark(1)));
    }

    /// What the disk does with one write of the mark.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Luck {
        Good,
        /// A slot takes many calls.
        Short,
        /// The same, and one of them fails.
        Broken,
        /// As `Short`, and the sync that follows fails.
        Lost,
        /// As `Short`, and the process is killed before the sync that follows.
        Killed,
    }

    /// Half a slot of this mark may be all that a power cut leaves of it, and half a slot of the next one:
    /// then there would be no mark.
    #[test]
    fn slots_that_were_written_piece_by_piece_are_not_both_torn() {
        const LUCKS: [Luck; 5] = [Luck::Good, Luck::Short, Luck::Broken, Luck::Lost, Luck::Killed];
        for number in 0..5_usize.pow(4) {
            let lucks = [1, 5, 25, 125].map(|step| LUCKS[number / step % 5]);
            let mut disk = SimDisk::new();
            disk.create_dir(dir()).expect("well");
            let mut file = MarkFile::create(&disk, dir(), &mark(1)).expect("well");
            disk.sync_dir(Path::new("")).expect("well");
            disk.sync_dir(dir()).expect("well");
            for (luck, position) in lucks.into_iter().zip(2..) {
                disk.heal();
                let syncs = u64::from(file.is_torn);
                match luck {
                    Luck::Broken => disk.fail_call(2 + syncs, Fault::Io, Times::Once),
                    Luck::Lost => disk.fail_syncs(1 + syncs, Times::Once),
                    Luck::Killed => disk.crash_at(5 + syncs),
                    Luck::Good | Luck::Short => {}
                }
                if luck != Luck::Good {
                    // Behind the others, which a call shows first.
                    disk.fail_if(Fault::Short { bytes: 150 }, |call| call.kind == CallKind::Write);
                }
                let _ = file.write(&mark(position));
                for seed in 0..20 {
                    let image = disk.power_cut_seeded(seed);
                    let left = MarkFile::read(&image, dir()).expect("it is there");
                    assert!(left.is_some(), "{lucks:?} left no mark, {position} being the last");
                }
                if luck == Luck::Killed {
                    disk = disk.kill();
                    file = MarkFile::open(&disk, dir()).expect("it is there").0;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_no_mark(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let disk = MemoryDisk::new();
            disk.put("orders-0/mark", &bytes);
            prop_assert_eq!(read(&disk), None);
        }
    }
}
