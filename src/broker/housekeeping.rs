//! The one thread that a broker may start: it looks after topics from time to time.
//!
//! ```text
//!   ┌─► sleep until it is time, or the broker closes ─► tick ─┐
//!   └──────────────────────────────────────────────────────────┘
//! ```
//!
//! The thread holds no share in the broker while it sleeps: who drops the last handle ends it.

use crate::sync::{Condvar, Mutex};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Who looks after a broker's topics: writes and syncs what is due, applies retention, compacts.
///
/// ```
/// use anabranch::{Broker, Housekeeping};
///
/// # let dir = std::env::temp_dir().join(format!("anabranch-doc-house-{}", std::process::id()));
/// let broker = Broker::builder().housekeeping(Housekeeping::Manual).open(&dir)?;
/// broker.tick(); // from time to time
/// # broker.close()?;
/// # std::fs::remove_dir_all(&dir).expect("it is ours");
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Housekeeping {
    /// A thread of the broker's own, which calls [`Broker::tick`](crate::Broker::tick) twice a second.
    #[default]
    Thread,
    /// The caller, with [`Broker::tick`](crate::Broker::tick).
    Manual,
}

/// How often the thread looks.
const INTERVAL: Duration = Duration::from_millis(500);

/// The thread, as its broker knows it; dropped, it ends.
#[derive(Debug)]
pub(super) struct Housekeeper {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Bell {
    is_over: Mutex<bool>,
    rung: Condvar,
}

impl Bell {
    /// Sleeps for the interval; says whether it is over.
    fn sleep(&self) -> bool {
        let mut is_over = self.is_over.lock();
        if !*is_over {
            is_over = self.rung.wait(is_over, INTERVAL);
        }
        *is_over
    }
}

impl Housekeeper {
    /// Starts the thread. It ends when `tick` says that there is nothing left to look after.
    ///
    /// # Errors
    ///
    /// If the system starts no more threads.
    pub(super) fn start(tick: impl Fn() -> bool + Send + 'static) -> std::io::Result<Housekeeper> {
        let bell = Arc::new(Bell::default());
        let listens = Arc::clone(&bell);
        let run = move || while !listens.sleep() && tick() {};
        let thread = std::thread::Builder::new().name("anabranch".to_owned()).spawn(run)?;
        Ok(Housekeeper { bell, thread: Some(thread) })
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        *self.bell.is_over.lock() = true;
        self.bell.rung.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic of a clock ended the thread alone.
            let _ = thread.join();
        }
    }
}
