//! What can go wrong between a log and its files.

use crate::error::BatchError;
use crate::ids::{Offset, TopicName, TopicPartition};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An operation on a file or directory that the system refused.
///
/// ```
/// use anabranch::{Broker, OpenError};
///
/// // A file stands where the directory is to be.
/// let file = std::env::current_exe().expect("a test runs from a file");
/// match Broker::open(&file) {
///     Err(OpenError::Disk(error)) => assert_eq!(error.path, file),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskError {
    /// What was tried: `write`, `sync`, `open` …
    pub operation: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What kind of refusal it was; [`io::ErrorKind::StorageFull`] passes once there is space.
    pub kind: io::ErrorKind,
    /// The system's own words.
    pub message: String,
}

impl DiskError {
    /// Notes what was tried where.
    pub(crate) fn new(operation: &'static str, path: &Path, error: &io::Error) -> DiskError {
        DiskError {
            operation,
            path: path.to_owned(),
            kind: error.kind(),
            message: error.to_string(),
        }
    }

    /// For `map_err`.
    pub(crate) fn at(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
        move |error| DiskError::new(operation, path, &error)
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: {}", self.operation, self.path.display(), self.message)
    }
}

impl std::error::Error for DiskError {}

/// A place in a partition's files whose bytes are not those that were written.
///
/// Nothing was changed, and nothing of it was returned. Other partitions are not concerned.
/// [`salvage`](crate::salvage) reads what can be read around it.
///
/// ```
/// use anabranch::Corruption;
///
/// # fn show(found: &Corruption) {
/// println!("{} at byte {}: {}", found.file.display(), found.position, found.reason);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Corruption {
    /// The file.
    pub file: PathBuf,
    /// Where in the file the first batch stands that cannot be read.
    pub position: u64,
    /// The offset that was expected there.
    pub offset: Offset,
    /// What is wrong.
    pub reason: CorruptionReason,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Corruption { file, position, offset, reason } = self;
        write!(f, "{} at byte {position}, offset {offset}: {reason}", file.display())
    }
}

/// What is wrong with a place in a file.
///
/// ```
/// use anabranch::CorruptionReason;
///
/// let reason = CorruptionReason::FileBytes { stored: 100, found: 90 };
/// assert_eq!(reason.to_string(), "100 bytes were sealed, 90 are there");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CorruptionReason {
    /// The bytes are not a record batch.
    Batch(BatchError),
    /// A batch is whole, but not the one that belongs here.
    Offset {
        /// The offset it starts with.
        found: Offset,
    },
    /// A file has another length than it had when it was sealed, or than is known to be on disk.
    FileBytes {
        /// The length it had.
        stored: u64,
        /// The length it has.
        found: u64,
    },
    /// All bytes of a file, or of its known part, have another checksum than they had.
    FileCrc {
        /// The checksum they had.
        stored: u32,
        /// The checksum they have.
        found: u32,
    },
    /// The file is not there.
    Missing,
    /// A small file of this crate's own is damaged, and what it said cannot be told from others.
    SmallFile {
        /// What is wrong with it.
        what: &'static str,
    },
}

impl fmt::Display for CorruptionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CorruptionReason::Batch(error) => write!(f, "{error}"),
            CorruptionReason::Offset { found } => {
                write!(f, "a batch of offset {found} stands here")
            }
            CorruptionReason::FileBytes { stored, found } => {
                write!(f, "{stored} bytes were sealed, {found} are there")
            }
            CorruptionReason::FileCrc { stored, found } => {
                write!(f, "the bytes had CRC-32 {stored:#010x} and have {found:#010x}")
            }
            CorruptionReason::Missing => f.write_str("the file is missing"),
            CorruptionReason::SmallFile { what } => f.write_str(what),
        }
    }
}

/// Why a directory was not opened. Nothing in it was changed.
///
/// ```
/// use anabranch::{Broker, OpenError};
///
/// # let dir = std::env::temp_dir().join(format!("anabranch-doc-open-{}", std::process::id()));
/// let holder = Broker::open(&dir)?;
/// assert!(matches!(Broker::open(&dir), Err(OpenError::Locked { .. })));
/// # drop(holder);
/// # std::fs::remove_dir_all(&dir).expect("it is ours");
/// # Ok::<(), OpenError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another handle of this one, has the directory open.
    #[error("{} is open in another broker", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused something.
    #[error(transparent)]
    Disk(Box<DiskError>),
    /// A file of this crate's own is of a version that it does not know. Open the directory with a
    /// newer version of this crate.
    #[error("{} has format version {found}, up to {known} is known", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The latest version that is known.
        known: u32,
    },
    /// The list of topics is damaged: what the directory holds is not known.
    #[error("{}: {what}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A partition's files are damaged where they were known to be on disk. A broker opens all the same,
    /// without that partition; this is what [`require_online`](crate::RecoveryReport::require_online) says
    /// to who wants all or nothing.
    #[error("{partition} is damaged: {corruption}")]
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// Where, and what is wrong.
        corruption: Box<Corruption>,
    },
    /// Something stands in the directory that this crate never puts there: a link, a device, a file
    /// where a directory belongs.
    #[error("{} is {what}", path.display())]
    Foreign {
        /// What stands there.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The directory has no topic of that name.
    #[error("there is no topic {topic}")]
    UnknownTopic {
        /// The name asked for.
        topic: TopicName,
    },
    /// A setting is outside its range.
    #[error("{setting} is {value}, {reason}")]
    InvalidSetting {
        /// The setting's name, as its setter is called.
        setting: &'static str,
        /// The value asked for.
        value: String,
        /// What values it takes.
        reason: &'static str,
    },
    /// The broker was closed.
    #[error("the broker is closed")]
    Closed,
}

impl From<DiskError> for OpenError {
    fn from(error: DiskError) -> OpenError {
        OpenError::Disk(Box::new(error))
    }
}
