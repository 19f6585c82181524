//! A directory of topics and groups, or the same in memory.
//!
//! ```text
//!   Broker ─┬─ topics by name ──────────► Topic ─► partitions ─► files in the directory
//!           ├─ groups by name ──────────► committed offsets: records of an internal topic
//!           └─ housekeeping: a thread, or whoever calls tick
//! ```
//!
//! | File | Its one job |
//! |---|---|
//! | `directory.rs` | Where the files lie; making and removing topics. |
//! | `manifest.rs` | The list of topics and their settings. |
//! | `builder.rs` | A broker's settings. |
//! | `housekeeping.rs` | The one thread. |
//! | `inspect.rs` | A directory looked at without opening it. |
//!
//! Locks, in this order: the registry of topics, then the directory's list.

mod builder;
mod directory;
mod housekeeping;
pub mod inspect;
mod manifest;

pub use builder::BrokerBuilder;
pub use housekeeping::Housekeeping;

use crate::clock::Clock;
use crate::error::GroupError;
use crate::error::{AppendError, DiskError, FlushError, OpenError, ReadError, TopicError};
use crate::group::OffsetAndMetadata;
use crate::group::journal::{OFFSETS_TOPIC, OffsetsJournal};
use crate::group::{ConsumerGroup, ConsumerGroupBuilder};
use crate::ids::{GroupId, Map, TopicName, TopicPartition};
use crate::log::report::RecoveryReport;
use crate::sync::Mutex;
use crate::sync::planted::{Bug, planted};
use crate::topic::{Cleanup, Home, Topic, TopicConfig};
use directory::Directory;
use housekeeping::Housekeeper;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::Weak;
use std::time::Duration;

/// A directory that holds topics and what groups have committed: a handle that is cheap to clone.
///
/// One process at a time has it open. When the last handle goes, or with [`close`](Self::close), what was
/// appended is written and synced, and its topics take nothing more; so keep the broker for as long as
/// its topics are used. A process that is killed instead loses nothing that was acknowledged; see
/// [`Durability`](crate::Durability).
///
/// ```
/// use anabranch::{Broker, Producer, Record, TopicConfig};
/// use std::time::Duration;
///
/// # let dir = std::env::temp_dir().join(format!("anabranch-doc-broker-{}", std::process::id()));
/// let broker = Broker::open(&dir)?;
/// let orders = broker.create_topic("orders", TopicConfig::new().partitions(6))?;
/// Producer::new(&orders).send(Record::new("2 espresso").with_key("customer-42"))?;
/// broker.close()?;
///
/// let broker = Broker::open(&dir)?; // later, or after a crash
/// let billing = broker.consumer_group("billing").topic(&broker.topic("orders")?).build()?;
/// let mut consumer = billing.join("worker-1")?;
/// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 1);
/// consumer.commit()?; // and the next time it goes on from here
/// # drop((consumer, billing, broker));
/// # std::fs::remove_dir_all(&dir).expect("it is ours");
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Broker {
    inner: Arc<Inner>,
    _close: Arc<CloseOnDrop>,
}

#[derive(Debug)]
struct Inner {
    /// `None` in memory.
    directory: Option<Arc<Directory>>,
    clock: Arc<dyn Clock>,
    /// Guards which topics there are.
    registry: Mutex<Registry>,
    journal: Arc<OffsetsJournal>,
    /// Guards when each topic was last synced, by the broker's clock.
    synced: Mutex<Map<TopicName, Duration>>,
    report: RecoveryReport,
    housekeeper: Mutex<Option<Housekeeper>>,
}

#[derive(Debug, Default)]
struct Registry {
    topics: BTreeMap<TopicName, Topic>,
    is_closed: bool,
}

/// Shared by the handles, but not by the housekeeper.
#[derive(Debug)]
struct CloseOnDrop(Arc<Inner>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`.
        let _ = self.0.close();
    }
}

impl Broker {
    /// Opens a directory, making it if it is new, with the defaults named at [`BrokerBuilder`].
    ///
    /// What was appended and is not known to be on disk is verified; the rest is not read. What a crash
    /// tore off the end is cut off and told in [`recovery`](Self::recovery).
    ///
    /// A partition whose files are damaged where they were known to be good is *offline*: it is told in
    /// [`recovery`](Self::recovery), each call that needs it is answered with what is wrong, not a byte of
    /// its files is changed, and everything else works. Who wants all or nothing goes on with
    /// [`require_online`](RecoveryReport::require_online).
    ///
    /// # Errors
    ///
    /// [`OpenError`] if somebody has it open, the list of topics is damaged or names more than a thousand
    /// partitions that have hardly a file, a file is of a version that is not known, something stands
    /// there that this crate never puts there, or the system refuses, be it for one partition alone: that
    /// says nothing about what is on the disk. What was recovered before stays so; nothing else was
    /// changed.
    pub fn open(dir: impl AsRef<Path>) -> Result<Broker, OpenError> {
        Broker::builder().open(dir)
    }

    /// The same in memory: it starts empty, and what it holds ends with it.
    pub fn in_memory() -> Broker {
        Broker::builder().in_memory()
    }

    /// A broker with other settings than the defaults.
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder::default()
    }

    fn assemble(
        directory: Option<Arc<Directory>>,
        clock: Arc<dyn Clock>,
        housekeeping: Housekeeping,
    ) -> Result<Broker, OpenError> {
        let start = clock.elapsed();
        let mut report = RecoveryReport::default();
        let mut registry = Registry::default();
        if let Some(directory) = &directory {
            report.was_clean = directory.was_clean();
            for (name, config) in directory.topics() {
                let home: Arc<dyn Home> = Arc::clone(directory) as _;
                let config = with_clock(config, &clock);
                let (topic, reports) = Topic::open(name.clone(), config, home, false)?;
                report.partitions.extend(reports);
                registry.topics.insert(name, topic);
            }
        }
        let journal = open_journal(directory.as_ref(), &mut registry, &clock)?;
        report.unknown_commits = journal.skipped();
        if let Some((of, damage)) = journal.offline()
            && let Some(of) = report.partitions.iter_mut().find(|report| report.partition == *of)
        {
            of.damage.get_or_insert_with(|| (**damage).clone());
        }
        report.time = clock.elapsed().saturating_sub(start);
        let inner = Arc::new(Inner {
            directory,
            clock,
            registry: Mutex::new(registry),
            journal,
            synced: Mutex::new(Map::default()),
            report,
            housekeeper: Mutex::new(None),
        });
        if housekeeping == Housekeeping::Thread {
            inner.start_housekeeping()?;
        }
        Ok(Broker { _close: Arc::new(CloseOnDrop(Arc::clone(&inner))), inner })
    }

    /// The broker's directory; `None` in memory.
    pub fn path(&self) -> Option<&Path> {
        self.inner.directory.as_ref().map(|directory| directory.root())
    }

    /// What opening the directory found and did.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.inner.report
    }

    /// Creates a topic. Its settings are kept in the directory, but for the clock.
    ///
    /// # Errors
    ///
    /// [`TopicError`] if the name or a setting is not allowed, there is such a topic, or the disk
    /// refuses. There is no new topic.
    pub fn create_topic(
        &self,
        name: impl Into<TopicName>,
        config: TopicConfig,
    ) -> Result<Topic, TopicError> {
        let name = name.into();
        config.check(&name)?;
        let mut registry = self.inner.registry.lock();
        registry.check_new(&name)?;
        let topic = self.inner.make_topic(&name, config)?;
        registry.topics.insert(name, topic.clone());
        Ok(topic)
    }

    /// A topic that exists.
    ///
    /// # Errors
    ///
    /// [`TopicError::Unknown`] if it does not.
    pub fn topic(&self, name: &str) -> Result<Topic, TopicError> {
        let registry = self.inner.registry.lock();
        let unknown = || TopicError::Unknown { topic: name.into() };
        registry.topics.get(name).cloned().ok_or_else(unknown)
    }

    /// A topic that exists, or a new one with these settings; those of one that exists stay.
    ///
    /// # Errors
    ///
    /// As [`create_topic`](Self::create_topic).
    pub fn topic_or_create(
        &self,
        name: impl Into<TopicName>,
        config: TopicConfig,
    ) -> Result<Topic, TopicError> {
        let name = name.into();
        match self.create_topic(&name, config) {
            Err(TopicError::Exists { .. }) => self.topic(&name),
            other => other,
        }
    }

    /// The topics by name, but for those of the broker's own.
    pub fn topics(&self) -> Vec<Topic> {
        let registry = self.inner.registry.lock();
        registry.topics.values().filter(|topic| topic.name() != OFFSETS_TOPIC).cloned().collect()
    }

    /// Deletes a topic, its files, and what groups have committed for it. Handles to it take and return nothing more; what was read stays.
    ///
    /// # Errors
    ///
    /// [`TopicError::Unknown`] if there is none, [`TopicError::Disk`] if the disk refuses: if it did so
    /// before the topic was gone, it is as it was; else its files go when the directory is next opened.
    /// [`TopicError::Offline`] if the topic is gone, but what is committed for it is not, because the log of
    /// committed offsets is damaged.
    pub fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        let mut registry = self.inner.registry.lock();
        let unknown = || TopicError::Unknown { topic: name.into() };
        let is_ours = name == OFFSETS_TOPIC;
        let topic = registry.topics.get(name).filter(|_| !is_ours).cloned().ok_or_else(unknown)?;
        if let Some(directory) = &self.inner.directory {
            directory.delete(topic.topic_name())?;
        }
        registry.topics.remove(name);
        topic.abandon();
        // What groups have committed for it is of no use to a topic of that name to come. Where that
        // cannot be kept now, such a topic's groups find offsets beyond its end, and are reset.
        let forgotten = self.inner.journal.forget_topic(topic.topic_name());
        if let Some(directory) = &self.inner.directory {
            directory.finish_deleting().map_err(|error| TopicError::Disk {
                topic: name.into(),
                source: Box::new(error),
            })?;
        }
        match forgotten {
            Err(AppendError::Disk { source, .. } | AppendError::Poisoned { source, .. }) => {
                Err(TopicError::Disk { topic: name.into(), source })
            }
            Err(AppendError::Offline { partition, corruption }) => {
                Err(TopicError::Offline { topic: name.into(), partition, corruption })
            }
            _ => Ok(()),
        }
    }

    /// Starts the settings of a consumer group. What it commits is kept in the directory: when it is
    /// built again, it goes on from there.
    pub fn consumer_group(&self, id: impl Into<GroupId>) -> ConsumerGroupBuilder {
        let clock = Arc::clone(&self.inner.clock);
        ConsumerGroup::builder(id).shared_clock(clock).with_journal(&self.inner.journal)
    }

    /// The groups that have committed something, and what, by name. None is known if the log of committed
    /// offsets is damaged, which [`recovery`](Self::recovery) tells.
    pub fn groups(&self) -> Vec<(GroupId, Vec<(TopicPartition, OffsetAndMetadata)>)> {
        self.inner.journal.groups()
    }

    /// Forgets what a group has committed; says whether there was anything.
    ///
    /// # Errors
    ///
    /// [`GroupError::InUse`] while a handle of the group or a member of it lives, [`GroupError::Commit`] if
    /// that could not be made durable, [`GroupError::Offline`] if the log of committed offsets is damaged.
    pub fn delete_group(&self, id: impl Into<GroupId>) -> Result<bool, GroupError> {
        self.inner.journal.forget(&id.into())
    }

    /// Does what is due: writes and syncs, applies retention, compacts. For [`Housekeeping::Manual`]; with
    /// a thread it does no harm.
    pub fn tick(&self) {
        self.inner.tick();
    }

    /// Closes the directory in good order: everything that was appended is written and synced. Its topics
    /// take nothing more, and another broker can open it. Partitions that are offline stay as they are.
    ///
    /// # Errors
    ///
    /// [`FlushError`] if a partition could not be brought to disk. The directory is closed all the
    /// same, and the next opening verifies it.
    pub fn close(&self) -> Result<(), FlushError> {
        self.inner.close()
    }
}

fn with_clock(config: TopicConfig, clock: &Arc<dyn Clock>) -> TopicConfig {
    let clock = config.clock.clone().or_else(|| Some(Arc::clone(clock)));
    TopicConfig { clock, ..config }
}

/// Opens the log of committed offsets, making it if it is new.
fn open_journal(
    directory: Option<&Arc<Directory>>,
    registry: &mut Registry,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<OffsetsJournal>, OpenError> {
    let name = TopicName::from(OFFSETS_TOPIC);
    let topic = match (registry.topics.get(&name), directory) {
        (Some(topic), _) => topic.clone(),
        (None, None) => {
            // What is committed is in the groups' own memory; nobody reads it here.
            let config = TopicConfig::new().retention_bytes(0);
            Topic::in_memory(&name, with_clock(config, clock)).expect("a good name and settings")
        }
        (None, Some(directory)) => {
            let config = TopicConfig::new().cleanup(Cleanup::Compact).segment_bytes(16 << 20);
            let config = with_clock(config, clock);
            directory.create(&name, &config).map_err(|error| match error {
                TopicError::Disk { source, .. } => OpenError::Disk(source),
                other => OpenError::Manifest {
                    path: directory.root().to_owned(),
                    what: other.to_string(),
                },
            })?;
            Topic::open(name.clone(), config, Arc::clone(directory) as _, true)?.0
        }
    };
    registry.topics.insert(name, topic.clone());
    let partition = topic.partition(0).expect("every topic has one");
    OffsetsJournal::open(partition).map_err(|error| match error {
        ReadError::Disk { source, .. } => OpenError::Disk(source),
        // Nobody else has it yet.
        other => {
            let path = directory.map(|directory| directory.root().to_owned()).unwrap_or_default();
            let what = format!("committed offsets cannot be read: {other}");
            OpenError::Manifest { path, what }
        }
    })
}

impl Registry {
    fn check_new(&self, name: &TopicName) -> Result<(), TopicError> {
        if self.is_closed {
            return Err(TopicError::Closed { topic: name.clone() });
        }
        if self.topics.contains_key(name) {
            return Err(TopicError::Exists { topic: name.clone() });
        }
        match self.topics.keys().find(|existing| existing.eq_ignore_ascii_case(name)) {
            Some(existing) => {
                let (topic, existing) = (name.clone(), existing.clone());
                Err(TopicError::SameButCase { topic, existing })
            }
            None => Ok(()),
        }
    }
}

impl Inner {
    fn make_topic(&self, name: &TopicName, config: TopicConfig) -> Result<Topic, TopicError> {
        let config = with_clock(config, &self.clock);
        let Some(directory) = &self.directory else { return Topic::in_memory(name, config) };
        directory.create(name, &config)?;
        let opened = Topic::open(name.clone(), config, Arc::clone(directory) as _, true);
        opened.map(|(topic, _)| topic).map_err(|source| {
            let (topic, source) = (name.clone(), Box::new(source));
            TopicError::Open { topic, source }
        })
    }

    fn start_housekeeping(self: &Arc<Self>) -> Result<(), OpenError> {
        let inner: Weak<Inner> = Arc::downgrade(self);
        let tick = move || inner.upgrade().map(|inner| inner.tick()).is_some();
        let housekeeper = Housekeeper::start(tick).map_err(|error| {
            let path = self.directory.as_ref().map(|directory| directory.root());
            DiskError::new("start of a thread", path.unwrap_or(Path::new("")), &error)
        })?;
        *self.housekeeper.lock() = Some(housekeeper);
        Ok(())
    }

    fn tick(&self) {
        let topics: Vec<Topic> = self.registry.lock().topics.values().cloned().collect();
        let now = self.clock.elapsed();
        for topic in topics {
            topic.keep_house(self.is_due(&topic, now));
        }
    }

    /// Whether a topic's time to be synced has come; if so, it has just been.
    fn is_due(&self, topic: &Topic, now: Duration) -> bool {
        let Some(interval) = topic.config().flush_interval else { return false };
        let mut synced = self.synced.lock();
        let last = synced.entry(topic.topic_name().clone()).or_insert(now);
        let is_due = now.saturating_sub(*last) >= interval;
        if is_due {
            *last = now;
        }
        is_due
    }

    fn close(&self) -> Result<(), FlushError> {
        // Joined with no lock held: it may be at work.
        let housekeeper = self.housekeeper.lock().take();
        drop(housekeeper);
        let mut registry = self.registry.lock();
        if std::mem::replace(&mut registry.is_closed, true) {
            return Ok(());
        }
        let mut outcome = Ok(());
        for topic in registry.topics.values() {
            outcome = outcome.and(topic.close());
        }
        let Some(directory) = &self.directory else { return outcome };
        // An opening that finds the note looks less closely. Damage that only the closer look finds would be
        // taken for good by the next one: so there is no note over damage.
        let has_offline = registry.topics.values().any(|topic| !topic.offline().is_empty());
        let is_good = outcome.is_ok() && (!has_offline || planted(Bug::NoteOverDamage));
        let closed = directory.close(is_good);
        let partition = TopicPartition::new(OFFSETS_TOPIC, 0);
        let refused = |error| FlushError::Disk { partition, source: Box::new(error) };
        outcome.and(closed.map_err(refused))
    }
}
