//! A broker's settings.

use super::directory::Directory;
use super::{Broker, Housekeeping};
use crate::clock::{Clock, SystemClock};
use crate::error::OpenError;
use crate::log::disk::{Disk, FileDisk};
use std::path::Path;
use std::sync::Arc;

/// The settings of a [`Broker`].
///
/// ```
/// use anabranch::{Broker, Housekeeping, ManualClock};
///
/// # let dir = std::env::temp_dir().join(format!("anabranch-doc-builder-{}", std::process::id()));
/// let clock = ManualClock::new();
/// let broker =
///     Broker::builder().clock(clock.clone()).housekeeping(Housekeeping::Manual).open(&dir)?;
/// assert_eq!(broker.path(), Some(dir.as_path()));
/// # broker.close()?;
/// # std::fs::remove_dir_all(&dir).expect("it is ours");
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct BrokerBuilder {
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
    housekeeping: Housekeeping,
}

impl Default for BrokerBuilder {
    fn default() -> Self {
        BrokerBuilder {
            clock: Arc::new(SystemClock),
            disk: Arc::new(FileDisk),
            housekeeping: Housekeeping::Thread,
        }
    }
}

impl BrokerBuilder {
    /// Where topics and groups get their time from that name no clock of their own. Default:
    /// [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The file system. Default: [`FileDisk`], the real one.
    pub fn disk(mut self, disk: impl Disk + 'static) -> Self {
        self.disk = Arc::new(disk);
        self
    }

    /// Who does what is due. Default: [`Housekeeping::Thread`].
    pub fn housekeeping(mut self, housekeeping: Housekeeping) -> Self {
        self.housekeeping = housekeeping;
        self
    }

    /// Opens a directory, making it if it is new.
    ///
    /// # Errors
    ///
    /// As [`Broker::open`].
    pub fn open(self, dir: impl AsRef<Path>) -> Result<Broker, OpenError> {
        let BrokerBuilder { clock, disk, housekeeping } = self;
        let directory = Directory::open(disk, dir.as_ref())?;
        Broker::assemble(Some(Arc::new(directory)), clock, housekeeping)
    }

    /// The same in memory. There is no housekeeping: appends apply retention themselves.
    pub fn in_memory(self) -> Broker {
        match Broker::assemble(None, self.clock, Housekeeping::Manual) {
            Ok(broker) => broker,
            Err(error) => unreachable!("nothing in memory can be refused: {error}"),
        }
    }
}
