//! The simulated disk: what a test orders. What a log does with it is in `calls.rs`, what it holds in
//! `inspect.rs`.

use super::crash::{Fate, NameOrder, Unsynced};
use super::faults::{Call, Crashed, Fault, Rule, Times};
use super::images::{self, CrashImages};
use super::state::{Shared, State};
use super::tree::{Node, Tree};
use std::fmt;
use std::io;
use std::sync::Arc;

/// A disk in memory that forgets what was not synced, fails when it is told to, fills up and rots.
///
/// This is a handle: clones are the same disk. [`kill`](SimDisk::kill), the power cuts and
/// [`crash_images`](SimDisk::crash_images) give disks of their own, without faults and with fresh
/// counters; they keep capacity and order of names.
///
/// Paths start at the disk's root: `/data`, `data` and `./data` are the same.
///
/// # Failed syncs
///
/// A `sync_data` that fails, for whatever reason, does what Linux does: the bytes are taken for clean.
/// Reads see them, a second sync says OK, and after a power cut they are gone, unless they were
/// *written* again and synced with success. A length that was set, which is in no page, waits for the
/// next sync, and so do names when a `sync_dir` fails.
///
/// ```
/// use anabranch::testing::{SimDisk, Times};
/// use anabranch::{Disk, OpenMode};
/// use std::path::Path;
///
/// let disk = SimDisk::new();
/// let log = disk.open(Path::new("log"), OpenMode::Create)?;
/// disk.sync_dir(Path::new(""))?;
/// log.write_at(b"precious", 0)?;
/// disk.fail_syncs(1, Times::Once);
/// assert!(log.sync_data().is_err());
///
/// log.sync_data()?; // It says OK,
/// assert_eq!(disk.read("log")?, b"precious"); // the bytes are there,
/// for image in disk.crash_images(1_000) {
///     assert_eq!(image.read("log")?, b""); // and they are lost.
/// }
///
/// log.write_at(b"precious", 0)?;
/// log.sync_data()?;
/// for image in disk.crash_images(1_000) {
///     assert_eq!(image.read("log")?, b"precious");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct SimDisk {
    pub(super) shared: Arc<Shared>,
}

impl Default for SimDisk {
    fn default() -> SimDisk {
        SimDisk::new()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.files();
        f.debug_struct("SimDisk").field("calls", &self.calls()).field("files", &files).finish()
    }
}

/// Making a disk, and images of it.
impl SimDisk {
    /// An empty disk.
    pub fn new() -> SimDisk {
        SimDisk::of(Arc::new(Tree::new()), NameOrder::default(), None)
    }

    pub(super) fn of(tree: Arc<Tree>, order: NameOrder, capacity: Option<u64>) -> SimDisk {
        SimDisk { shared: Arc::new(Shared::new(State::new(tree, order, capacity))) }
    }

    pub(super) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.shared.state.lock())
    }

    /// The disk as the next process finds it when this one is killed: every completed call has
    /// happened, locks are free, and what was not synced may still be lost in a power cut.
    ///
    /// The original goes on as before, so that a test may take several images of one moment.
    ///
    /// ```
    /// use anabranch::testing::SimDisk;
    /// use anabranch::{Disk, OpenMode};
    /// use std::path::Path;
    ///
    /// let disk = SimDisk::new();
    /// let _held = disk.lock(Path::new("LOCK"))?;
    /// disk.open(Path::new("log"), OpenMode::Create)?.write_at(b"x", 0)?;
    ///
    /// let image = disk.kill();
    /// assert!(image.lock(Path::new("LOCK")).is_ok());
    /// assert_eq!(image.read("log")?, b"x");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn kill(&self) -> SimDisk {
        self.with(|state| SimDisk::of(Arc::clone(&state.tree), state.order, state.capacity))
    }

    /// The disk after a power cut in which each un-synced change has the fate that is chosen for it.
    ///
    /// Data comes first, file by file, then names; each in the order of the calls. With
    /// [`NameOrder::Journaled`] nobody is asked about names behind one that is absent. Changes that
    /// cannot matter, of files that no name can lead to, are not asked about.
    ///
    /// See [`Fate`] for an example.
    pub fn power_cut(&self, choose: impl FnMut(&Unsynced<'_>) -> Fate) -> SimDisk {
        let (tree, order, capacity) = self.moment();
        SimDisk::of(Arc::new(images::cut(tree, order, choose)), order, capacity)
    }

    /// The disk after a power cut in which chance decides; the same seed decides the same way.
    ///
    /// Some seeds lose nearly everything, some nearly nothing; a few writes reach the disk with any
    /// of their sectors.
    ///
    /// ```
    /// use anabranch::testing::SimDisk;
    /// use anabranch::{Disk, OpenMode};
    /// use std::path::Path;
    ///
    /// let disk = SimDisk::new();
    /// disk.open(Path::new("log"), OpenMode::Create)?.write_at(&[1; 5_000], 0)?;
    /// let images = [1, 2, 3, 1].map(|seed| disk.power_cut_seeded(seed).contents());
    /// assert_eq!(images[0], images[3]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn power_cut_seeded(&self, seed: u64) -> SimDisk {
        let (tree, order, capacity) = self.moment();
        SimDisk::of(Arc::new(images::cut_by_chance(tree, order, seed)), order, capacity)
    }

    /// Every image that a power cut may leave now, up to `limit`; see
    /// [`CrashImages::is_exhaustive`].
    ///
    /// The images are of this moment, whatever happens to the disk while they are looked at.
    pub fn crash_images(&self, limit: usize) -> CrashImages {
        let (tree, order, capacity) = self.moment();
        CrashImages::new(tree, order, capacity, limit)
    }

    fn moment(&self) -> (Arc<Tree>, NameOrder, Option<u64>) {
        self.with(|state| (Arc::clone(&state.tree), state.order, state.capacity))
    }

    /// Sets what a power cut may do to the order of names.
    pub fn set_name_order(&self, order: NameOrder) {
        self.with(|state| state.order = order);
    }

    /// Starts to keep an image, as of [`kill`](SimDisk::kill), of the disk as it is now and behind
    /// each call that changes something.
    ///
    /// So a scenario needs to run once, and not once for each call at which it may crash.
    ///
    /// ```
    /// use anabranch::testing::SimDisk;
    /// use anabranch::{Disk, OpenMode};
    /// use std::path::Path;
    ///
    /// let disk = SimDisk::new();
    /// disk.record();
    /// let log = disk.open(Path::new("log"), OpenMode::Create)?; // Call 1.
    /// log.len()?; // Call 2 changes nothing.
    /// log.write_at(b"x", 0)?;
    /// log.sync_data()?;
    /// let after: Vec<u64> = disk.recorded().map(|(calls, _)| calls).collect();
    /// assert_eq!(after, [0, 1, 3, 4]);
    /// assert_eq!(disk.recorded().map(|(_, image)| image.crash_images(9).len()).sum::<usize>(),
    ///     1 + 2 + 3 * 2 + 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn record(&self) {
        self.with(|state| state.recorded = Some(vec![(state.calls, Arc::clone(&state.tree))]));
    }

    /// The images that were kept since [`record`](SimDisk::record), each with the number of
    /// [`calls`](SimDisk::calls) made by then.
    pub fn recorded(&self) -> impl Iterator<Item = (u64, SimDisk)> + use<> {
        let (_, order, capacity) = self.moment();
        let recorded = self.with(|state| state.recorded.clone()).unwrap_or_default();
        let image = move |(calls, tree)| (calls, SimDisk::of(tree, order, capacity));
        recorded.into_iter().map(image)
    }
}

/// Faults.
impl SimDisk {
    /// Lets the `n`th call from now fail; 1 is the next one. Every call of [`Disk`](crate::Disk) and
    /// [`DiskFile`](crate::DiskFile) counts, also those that fail.
    ///
    /// Faults add up: a call shows the first one that wants it.
    ///
    /// # Panics
    ///
    /// If `n` is 0.
    pub fn fail_call(&self, n: u64, fault: Fault, times: Times) {
        self.with(|state| state.rules.push(Rule::nth(n, fault, times, |_| true)));
    }

    /// Lets the `n`th sync from now fail, be it of data or of names.
    ///
    /// # Panics
    ///
    /// If `n` is 0.
    pub fn fail_syncs(&self, n: u64, times: Times) {
        let is_sync = |call: &Call<'_>| call.kind.is_sync();
        self.with(|state| state.rules.push(Rule::nth(n, Fault::Io, times, is_sync)));
    }

    /// Lets each call fail for which `is_met` says so. It is asked once for each call, under the
    /// disk's lock, so it must not use the disk.
    pub fn fail_if(&self, fault: Fault, is_met: impl FnMut(&Call<'_>) -> bool + Send + 'static) {
        self.with(|state| state.rules.push(Rule { fault, is_met: Box::new(is_met) }));
    }

    /// Stops the machine when `n` more calls have been made: every later one fails with an error
    /// that [`is_crash`](SimDisk::is_crash) knows, changes nothing and is not counted.
    ///
    /// ```
    /// use anabranch::testing::SimDisk;
    /// use anabranch::{Disk, OpenMode};
    /// use std::path::Path;
    ///
    /// let disk = SimDisk::new();
    /// disk.crash_at(2);
    /// let log = disk.open(Path::new("log"), OpenMode::Create)?;
    /// log.write_at(b"x", 0)?;
    /// assert!(SimDisk::is_crash(&log.sync_data().unwrap_err()));
    /// assert!(disk.has_crashed());
    /// assert_eq!(disk.kill().read("log")?, b"x");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn crash_at(&self, n: u64) {
        self.with(|state| state.crash_after = Some(state.calls.saturating_add(n)));
    }

    /// Whether all calls have been made that [`crash_at`](SimDisk::crash_at) allows.
    pub fn has_crashed(&self) -> bool {
        self.with(|state| state.has_crashed())
    }

    /// Whether an error is that of a machine that was stopped by [`crash_at`](SimDisk::crash_at).
    pub fn is_crash(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Crashed>())
    }

    /// Takes back all faults that were ordered, and the crash. What they have done stays done.
    pub fn heal(&self) {
        self.with(|state| {
            state.rules.clear();
            state.crash_after = None;
        });
    }

    /// Sets how many bytes all files together may have; [`u64::MAX`] for any number.
    ///
    /// A write that does not fit is cut short, and refused with
    /// [`StorageFull`](io::ErrorKind::StorageFull) if nothing fits; `set_len` is refused. Bytes that
    /// are overwritten, names and directories cost nothing; a file that was removed costs until the
    /// last one who has it open lets go.
    ///
    /// ```
    /// use anabranch::testing::SimDisk;
    /// use anabranch::{Disk, OpenMode};
    /// use std::{io, path::Path};
    ///
    /// let disk = SimDisk::new();
    /// disk.set_capacity(8);
    /// let log = disk.open(Path::new("log"), OpenMode::Create)?;
    /// assert_eq!(log.write_at(b"0123456789", 0)?, 8);
    /// assert_eq!(log.write_at(b"89", 8).unwrap_err().kind(), io::ErrorKind::StorageFull);
    /// log.set_len(7)?;
    /// assert_eq!(log.write_at(b"89", 7)?, 1);
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn set_capacity(&self, bytes: u64) {
        self.with(|state| state.capacity = (bytes < u64::MAX).then_some(bytes));
    }

    /// How many calls have been made, with those that failed.
    pub fn calls(&self) -> u64 {
        self.with(|state| state.calls)
    }

    /// How many syncs have been made with success, of data and of names.
    pub fn syncs(&self) -> u64 {
        self.with(|state| state.syncs)
    }

    /// How many calls were failed or cut short on purpose. Lack of space and the crash do not count.
    pub fn faults(&self) -> u64 {
        self.with(|state| state.faults())
    }

    /// How many changes of data and names wait for a sync.
    pub fn unsynced(&self) -> usize {
        self.with(|state| {
            let files = state.tree.nodes.values().map(|node| match node {
                Node::File(file) => file.unsynced.len(),
                Node::Dir(_) | Node::Other => 0,
            });
            files.sum::<usize>() + state.tree.pending.len()
        })
    }
}
