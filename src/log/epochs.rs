//! Which leader epoch began at which offset.
//!
//! Kafka stamps each batch with the epoch of the leader that appended it. Here an epoch ends when a
//! log is opened after a crash: records that were read, but not yet on disk, may be gone, and what is
//! appended then has their offsets but a higher epoch.
//!
//! The file is `leader-epoch-checkpoint`, in Kafka's format:
//!
//! ```text
//!  0                version
//!  2                how many lines follow
//!  0 0              epoch, and the offset it starts at
//!  1 4711
//! ```
//!
//! 1. Epochs rise from line to line; start offsets rise as well, or stay.
//! 2. Without a file, epoch 0 began at offset 0.

use super::disk::Disk;
use super::small_file::{SmallFileError, replace};
use super::whole::{Whole, read_whole};
use crate::error::DiskError;
use crate::ids::Offset;
use std::fmt::Write;
use std::path::Path;

/// The name of the file, as in Kafka.
pub(crate) const EPOCHS_FILE: &str = "leader-epoch-checkpoint";

/// More than a million crashes.
const BYTES_MAX: u64 = 32 << 20;

/// The latest version of the file that is known here, which is Kafka's.
pub(crate) const EPOCHS_VERSION: u32 = 0;

/// An epoch and where it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EpochStart {
    pub(crate) epoch: i32,
    pub(crate) start_offset: Offset,
}

/// The epochs of a log, oldest first. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Epochs(Vec<EpochStart>);

impl Default for Epochs {
    fn default() -> Epochs {
        Epochs::starting(0, 0)
    }
}

impl Epochs {
    /// A history that begins with `epoch` at `start_offset`.
    pub(crate) fn starting(epoch: i32, start_offset: Offset) -> Epochs {
        Epochs(vec![EpochStart { epoch, start_offset }])
    }

    /// Reads the file in `dir`; without one, this is a log that has known no crash.
    ///
    /// # Errors
    ///
    /// [`SmallFileError`] if the disk refuses, or the file is not one of Kafka's version 0.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path) -> Result<Epochs, SmallFileError> {
        match read_whole(disk, &dir.join(EPOCHS_FILE), BYTES_MAX)? {
            Whole::Missing => Ok(Epochs::default()),
            Whole::TooLong => Err(SmallFileError::Damaged("is longer than such a file can be")),
            Whole::Bytes(bytes) => decode(&bytes),
        }
    }

    /// The latest epoch.
    pub(crate) fn latest(&self) -> i32 {
        self.last().epoch
    }

    /// The epochs with their start offsets, oldest first.
    pub(crate) fn entries(&self) -> &[EpochStart] {
        &self.0
    }

    /// The epoch of the record at `offset`; `None` before the first that is known.
    pub(crate) fn epoch_at(&self, offset: Offset) -> Option<i32> {
        let behind = self.0.partition_point(|entry| entry.start_offset <= offset);
        self.0[..behind].last().map(|entry| entry.epoch)
    }

    /// Begins `epoch` at `start_offset`. Of earlier epochs, what began there or later is forgotten:
    /// none of its records is left. Does nothing if the epoch is not later than the latest.
    pub(crate) fn assign(&mut self, epoch: i32, start_offset: Offset) {
        if epoch > self.latest() {
            self.0.retain(|entry| entry.start_offset < start_offset);
            self.0.push(EpochStart { epoch, start_offset });
        }
    }

    /// Writes the file in `dir`, durably.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if the disk refuses; the old file stands, or, if the last sync was refused,
    /// either of the two.
    pub(crate) fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
        replace(disk, &dir.join(EPOCHS_FILE), self.encode().as_bytes())
    }

    fn last(&self) -> &EpochStart {
        self.0.last().expect("there is at least one epoch")
    }

    fn encode(&self) -> String {
        let mut text = format!("{EPOCHS_VERSION}\n{}\n", self.0.len());
        for EpochStart { epoch, start_offset } in &self.0 {
            writeln!(text, "{epoch} {start_offset}").expect("a string takes what it is given");
        }
        text
    }
}

fn decode(bytes: &[u8]) -> Result<Epochs, SmallFileError> {
    use SmallFileError::Damaged;
    let text = std::str::from_utf8(bytes).map_err(|_| Damaged("is not text"))?;
    // Kafka ends every line, the last one too; without that a number may have been cut.
    let mut lines = text.strip_suffix('\n').ok_or(Damaged("is cut off"))?.split('\n');
    let version: u32 = number(lines.next()).ok_or(Damaged("has no version"))?;
    if version != EPOCHS_VERSION {
        return Err(SmallFileError::Version { found: version });
    }
    let count: usize = number(lines.next()).ok_or(Damaged("has no count"))?;
    let entries: Option<Vec<EpochStart>> = lines.map(entry).collect();
    let entries = entries.ok_or(Damaged("has a line that is no epoch"))?;
    if entries.len() != count || entries.is_empty() {
        return Err(Damaged("has another number of lines than it says"));
    }
    let rises = |pair: &[EpochStart]| {
        pair[0].epoch < pair[1].epoch && pair[0].start_offset <= pair[1].start_offset
    };
    if !entries.windows(2).all(rises) {
        return Err(Damaged("has epochs that do not rise"));
    }
    Ok(Epochs(entries))
}

fn entry(line: &str) -> Option<EpochStart> {
    let (epoch, start_offset) = line.split_once(' ')?;
    let entry =
        EpochStart { epoch: number(Some(epoch))?, start_offset: number(Some(start_offset))? };
    (entry.epoch >= 0 && entry.start_offset <= i64::MAX as Offset).then_some(entry)
}

/// A number in the one way that Kafka writes it: no plus sign, no zeros in front.
fn number<N: std::str::FromStr>(text: Option<&str>) -> Option<N> {
    let text = text?;
    let is_plain = !text.starts_with('+') && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::super::memory_disk::MemoryDisk;
    use super::*;
    use proptest::prelude::*;

    fn dir() -> &'static Path {
        Path::new("orders-0")
    }

    #[test]
    fn without_a_file_epoch_0_began_at_offset_0() {
        let epochs = Epochs::load(&MemoryDisk::new(), dir()).expect("nothing is wrong");
        assert_eq!(epochs.entries(), [EpochStart { epoch: 0, start_offset: 0 }]);
    }

    #[test]
    fn epochs_come_back_in_kafkas_format() {
        let disk = MemoryDisk::new();
        let mut epochs = Epochs::default();
        epochs.assign(1, 4711);
        epochs.assign(3, 5000);
        epochs.store(&disk, dir()).expect("room");
        let bytes = disk.get("orders-0/leader-epoch-checkpoint").expect("written");
        let of = |offset| epochs.epoch_at(offset).expect("known from 0 on");
        assert_eq!([0, 4710, 4711, 9999].map(of), [0, 0, 1, 3]);
        assert_eq!(Epochs::starting(2, 5).epoch_at(4), None);
        assert_eq!(bytes, b"0\n3\n0 0\n1 4711\n3 5000\n");
        assert_eq!(Epochs::load(&disk, dir()), Ok(epochs));
    }

    #[test]
    fn an_epoch_that_left_no_record_is_forgotten() {
        let mut epochs = Epochs::default();
        epochs.assign(1, 10);
        epochs.assign(2, 10);
        assert_eq!(epochs.encode(), "0\n2\n0 0\n2 10\n");
        epochs.assign(3, 5);
        assert_eq!(epochs.encode(), "0\n2\n0 0\n3 5\n");
        epochs.assign(3, 9);
        epochs.assign(2, 9);
        assert_eq!(epochs.encode(), "0\n2\n0 0\n3 5\n", "not later than the latest");
        epochs.assign(4, 0);
        assert_eq!(epochs.encode(), "0\n1\n4 0\n");
    }

    #[test]
    fn what_kafka_would_not_write_is_damage() {
        let damaged = [
            "",
            "\n",
            "0",
            "0\n",
            "0\n0\n",
            "0\n1\n",
            "0\n1\n0 0",
            "0\n2\n0 0\n",
            "0\n1\n0 0\n\n",
            "0\n1\n0\n",
            "0\n1\n0 0 0\n",
            "0\n1\n-1 0\n",
            "0\n1\n0 -1\n",
            "0\n1\n+1 0\n",
            "0\n1\n01 0\n",
            "0\n2\n1 0\n1 5\n",
            "0\n2\n0 5\n1 4\n",
            "0\n1\n0 9223372036854775808\n",
            "0\n1\n2147483648 0\n",
            "x\n1\n0 0\n",
        ];
        for text in damaged {
            let found = decode(text.as_bytes());
            assert!(matches!(found, Err(SmallFileError::Damaged(_))), "{text:?}: {found:?}");
        }
        assert!(matches!(decode(b"\xff\n1\n0 0\n"), Err(SmallFileError::Damaged(_))));
        let newer = decode(b"1\nwhatever\n");
        assert_eq!(newer, Err(SmallFileError::Version { found: 1 }));
        assert!(decode(b"0\n2\n0 5\n1 5\n").is_ok(), "Kafka may write an epoch without records");
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_would_be_written(text in "[0-3]\n[0-3]\n([0-9]{1,3} [0-9]{1,3}\n){0,3}") {
            if let Ok(epochs) = decode(text.as_bytes()) {
                prop_assert_eq!(epochs.encode(), text);
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes);
        }
    }
}
