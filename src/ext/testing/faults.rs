//! Which calls fail on purpose, and how.

use std::fmt;
use std::io;
use std::path::Path;

/// How a call fails on purpose.
///
/// ```
/// use anabranch::testing::{Fault, SimDisk, Times};
/// use anabranch::{Disk, OpenMode};
/// use std::{io, path::Path};
///
/// let disk = SimDisk::new();
/// let log = disk.open(Path::new("log"), OpenMode::Create)?;
/// disk.fail_call(1, Fault::Short { bytes: 3 }, Times::Once);
/// disk.fail_call(2, Fault::NoSpace, Times::Once);
/// assert_eq!(log.write_at(b"hello", 0)?, 3);
/// assert_eq!(log.write_at(b"lo", 3).unwrap_err().kind(), io::ErrorKind::StorageFull);
/// assert_eq!(log.write_at(b"lo", 3)?, 2);
/// # Ok::<(), io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device fails, as with `EIO`. Nothing is done.
    Io,
    /// The disk is full, or a quota used up. Nothing is done.
    NoSpace,
    /// A read or write stops after so many bytes, without an error. Other calls are not touched.
    Short {
        /// How many bytes at most.
        bytes: usize,
    },
}

/// How often a fault happens.
///
/// ```
/// use anabranch::testing::{Fault, SimDisk, Times};
/// use anabranch::Disk;
/// use std::path::Path;
///
/// let disk = SimDisk::new();
/// disk.fail_call(2, Fault::Io, Times::Forever);
/// let results = [(); 4].map(|()| disk.sync_dir(Path::new("")).is_ok());
/// assert_eq!(results, [true, false, false, false]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Once; the same call made again succeeds.
    Once,
    /// From then on, until [`SimDisk::heal`](super::SimDisk::heal).
    Forever,
}

/// A call that is made of a simulated disk.
///
/// ```
/// use anabranch::testing::{CallKind, Fault, SimDisk};
/// use anabranch::{Disk, OpenMode};
/// use std::path::Path;
///
/// let disk = SimDisk::new();
/// disk.fail_if(Fault::Io, |call| call.kind == CallKind::Write && call.path.ends_with("mark"));
/// let [log, mark] = ["log", "mark"].map(|name| disk.open(Path::new(name), OpenMode::Create));
/// assert!(log?.write_at(b"x", 0).is_ok());
/// assert!(mark?.write_at(b"x", 0).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call<'a> {
    /// Which one.
    pub kind: CallKind,
    /// The file or directory, as the caller named it; for a rename the name that is replaced.
    pub path: &'a Path,
    /// Its number: 1 was the first call of this disk.
    pub number: u64,
}

/// The methods of [`Disk`](crate::Disk) and [`DiskFile`](crate::DiskFile), as a [`Call`] names them.
///
/// ```
/// use anabranch::testing::{CallKind, Fault, SimDisk};
/// use anabranch::Disk;
/// use std::path::Path;
///
/// let disk = SimDisk::new();
/// disk.fail_if(Fault::NoSpace, |call| call.kind == CallKind::CreateDir);
/// assert!(disk.create_dir(Path::new("data")).is_err());
/// assert!(disk.entries(Path::new("")).is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "they are the names of methods")]
pub enum CallKind {
    CreateDir,
    Entries,
    Open,
    Rename,
    RemoveFile,
    RemoveDir,
    SyncDir,
    Lock,
    Read,
    Write,
    SyncData,
    SetLen,
    Len,
}

impl CallKind {
    pub(super) fn is_sync(self) -> bool {
        matches!(self, CallKind::SyncData | CallKind::SyncDir)
    }

    pub(super) fn has_length(self) -> bool {
        matches!(self, CallKind::Read | CallKind::Write)
    }
}

impl Fault {
    pub(super) fn error(self) -> Option<io::Error> {
        match self {
            Fault::Io => Some(io::Error::other("simulated failure of the device")),
            Fault::NoSpace => Some(no_space()),
            Fault::Short { .. } => None,
        }
    }
}

pub(super) fn no_space() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on the simulated disk")
}

/// Why calls fail behind [`SimDisk::crash_at`](super::SimDisk::crash_at).
#[derive(Clone, Copy, Debug)]
pub(super) struct Crashed;

impl fmt::Display for Crashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated machine has crashed")
    }
}

impl std::error::Error for Crashed {}

/// A fault that waits for its call.
pub(super) struct Rule {
    pub(super) fault: Fault,
    pub(super) is_met: Box<dyn FnMut(&Call<'_>) -> bool + Send>,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl Rule {
    /// Is met by the `n`th call from now that `counts`, and then as often as asked.
    pub(super) fn nth(
        n: u64,
        fault: Fault,
        times: Times,
        counts: impl Fn(&Call<'_>) -> bool + Send + 'static,
    ) -> Rule {
        assert!(n > 0, "the next call is number 1");
        let mut seen = 0;
        let is_met = Box::new(move |call: &Call<'_>| {
            if !counts(call) {
                return false;
            }
            seen += 1;
            seen == n || seen > n && times == Times::Forever
        });
        Rule { fault, is_met }
    }
}
