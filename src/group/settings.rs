//! A group's settings, checked once, when it is built.

use super::assignor::{Assignor, CooperativeStickyAssignor};
use super::journal::OffsetsJournal;
use super::offsets::Offsets;
use super::{ConsumerGroup, membership::Membership};
use crate::clock::{Clock, SystemClock};
use crate::error::GroupError;
use crate::ids::{GroupId, Map};
use crate::topic::{Durability, Limits, Topic};
use std::sync::Arc;
use std::time::Duration;

/// Where a member starts to read a partition for which nothing is committed, and where it goes on
/// when its position does not exist any more.
///
/// ```
/// use anabranch::{ConsumerGroup, OffsetReset, Producer, Record, Topic, TopicConfig};
/// use std::time::Duration;
///
/// let orders = Topic::in_memory("orders", TopicConfig::new())?;
/// Producer::new(&orders).send(Record::new("before"))?;
/// let billing =
///     ConsumerGroup::builder("billing").topic(&orders).offset_reset(OffsetReset::Latest).build()?;
/// assert!(billing.join("worker-1")?.poll(Duration::ZERO)?.is_empty());
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// The first record that is retained. The default: a group that is made in the same program as
    /// its topic wants what is in it. (Kafka's default is `Latest`.)
    #[default]
    Earliest,
    /// The end: only what comes from now on.
    Latest,
    /// Nowhere: `poll` returns an error until the consumer seeks.
    None,
    /// The first record that is stamped at most this long ago, by the group's clock; the end if there
    /// is none (KIP-1106).
    ByDuration(Duration),
}

/// The settings of a group; made by [`ConsumerGroup::builder`].
///
/// ```
/// use anabranch::assignor::RangeAssignor;
/// use anabranch::{ConsumerGroup, Topic, TopicConfig};
/// use std::time::Duration;
///
/// let orders = Topic::in_memory("orders", TopicConfig::new().partitions(6))?;
/// let billing = ConsumerGroup::builder("billing")
///     .topic(&orders)
///     .assignor(RangeAssignor)
///     .auto_commit(Some(Duration::from_secs(5)))
///     .build()?;
/// assert_eq!(billing.describe().assignor, "range");
/// # Ok::<(), anabranch::Error>(())
/// ```
#[must_use]
pub struct ConsumerGroupBuilder {
    id: GroupId,
    topics: Vec<Topic>,
    settings: Settings,
    /// Where committed offsets go; in memory nowhere.
    journal: Option<Arc<OffsetsJournal>>,
}

/// What holds for all members.
pub(super) struct Settings {
    pub(super) assignor: Box<dyn Assignor>,
    pub(super) offset_reset: OffsetReset,
    pub(super) session_timeout: Duration,
    pub(super) max_poll_interval: Duration,
    pub(super) rebalance_timeout: Option<Duration>,
    pub(super) auto_commit: Option<Duration>,
    pub(super) limits: Limits,
    pub(super) members_max: Option<usize>,
    pub(super) durability: Durability,
    pub(super) clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("assignor", &self.assignor.name())
            .field("offset_reset", &self.offset_reset)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ConsumerGroupBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsumerGroupBuilder")
            .field("id", &self.id)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl ConsumerGroupBuilder {
    pub(super) fn new(id: GroupId) -> Self {
        let settings = Settings {
            assignor: Box::new(CooperativeStickyAssignor),
            offset_reset: OffsetReset::default(),
            session_timeout: Duration::from_secs(45),
            max_poll_interval: Duration::from_secs(300),
            rebalance_timeout: None,
            auto_commit: None,
            limits: Limits { bytes: 1 << 20, records: 500 },
            members_max: None,
            durability: Durability::Written,
            clock: Arc::new(SystemClock),
        };
        ConsumerGroupBuilder { id, topics: Vec::new(), settings, journal: None }
    }

    /// Has committed offsets survive, and goes on from those that did.
    pub(crate) fn with_journal(mut self, journal: &Arc<OffsetsJournal>) -> Self {
        self.journal = Some(Arc::clone(journal));
        self
    }

    /// Adds a topic to those that the group reads; at least one.
    pub fn topic(mut self, topic: &Topic) -> Self {
        self.topics.push(topic.clone());
        self
    }

    /// Who gets which partition. Default: [`CooperativeStickyAssignor`].
    ///
    /// It runs on the thread of a member that polls, with no lock held. If it panics or its answer is
    /// wrong, the group keeps its previous assignment.
    pub fn assignor(mut self, assignor: impl Assignor + 'static) -> Self {
        self.settings.assignor = Box::new(assignor);
        self
    }

    /// Where members start without a committed offset. Default: [`OffsetReset::Earliest`].
    pub fn offset_reset(mut self, reset: OffsetReset) -> Self {
        self.settings.offset_reset = reset;
        self
    }

    /// How long the partitions of a static member that went away are kept for its return. Default:
    /// 45 seconds, as in Kafka. Raising it lets them lie idle for longer if it does not come back.
    ///
    /// Other members need no session in one process: one whose thread ends leaves by being dropped,
    /// one whose thread hangs is noticed by `max_poll_interval`.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.settings.session_timeout = timeout;
        self
    }

    /// How long a member may go without polling before it is given up and its partitions go to
    /// others. Default: 5 minutes, as in Kafka. Raising it lets a hung member hold its partitions
    /// for longer.
    pub fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.settings.max_poll_interval = interval;
        self
    }

    /// How long a member may take to let go of partitions that are to move, before it is given up.
    /// Default: `max_poll_interval`, as in Kafka.
    pub fn rebalance_timeout(mut self, timeout: Duration) -> Self {
        self.settings.rebalance_timeout = Some(timeout);
        self
    }

    /// Whether `poll` commits what earlier polls returned, and how often; also before partitions are
    /// revoked and when the member leaves. Default: `None`, the program commits. (Kafka's default is
    /// every 5 seconds.)
    ///
    /// Records that were returned and not processed when the program ends are then not seen again.
    pub fn auto_commit(mut self, interval: Option<Duration>) -> Self {
        self.settings.auto_commit = interval;
        self
    }

    /// The most records that a poll returns. Default: 500, as in Kafka. Raising it makes polls fewer
    /// and the time between them longer.
    pub fn max_poll_records(mut self, records: usize) -> Self {
        self.settings.limits.records = records;
        self
    }

    /// The most bytes of batches that a poll returns; one batch is returned whatever it takes.
    /// Default: 1 MiB.
    pub fn max_poll_bytes(mut self, bytes: usize) -> Self {
        self.settings.limits.bytes = bytes;
        self
    }

    /// The most members that are let in (KIP-389). Default: without limit.
    pub fn max_members(mut self, members: usize) -> Self {
        self.settings.members_max = Some(members);
        self
    }

    /// What a commit must have survived before it counts, in a group of a [`Broker`](crate::Broker) with
    /// a directory. Default: [`Durability::Written`], the end of the process; with
    /// [`Durability::Synced`] a commit returns when it is on the disk, which takes a sync. The
    /// commits of a group without a broker end with it.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = durability;
        self
    }

    /// Where the group gets its time from. Default: [`SystemClock`]. Timeouts of `poll` pass in real
    /// time whatever it says.
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        self.shared_clock(Arc::new(clock))
    }

    pub(crate) fn shared_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.settings.clock = clock;
        self
    }

    /// Makes the group.
    ///
    /// # Errors
    ///
    /// [`GroupError::NoTopics`] without topics, [`GroupError::TopicExists`] if two have the same name,
    /// [`GroupError::InvalidSetting`] if a timeout or limit is zero; if the group is one of a broker's,
    /// [`GroupError::InUse`] if there is a handle of it, [`GroupError::Offline`] if the log of committed
    /// offsets is damaged.
    pub fn build(self) -> Result<ConsumerGroup, GroupError> {
        self.check()?;
        let ConsumerGroupBuilder { id, topics, settings, journal } = self;
        let offsets = match journal {
            Some(journal) => {
                let offsets = journal.open_group(&id)?;
                offsets.set_durability(settings.durability);
                offsets
            }
            None => Arc::new(Offsets::default()),
        };
        Ok(ConsumerGroup { membership: Membership::new(id, topics, settings, offsets) })
    }

    fn check(&self) -> Result<(), GroupError> {
        let group = || self.id.clone();
        if self.topics.is_empty() {
            return Err(GroupError::NoTopics { group: group() });
        }
        let mut names = Map::default();
        for topic in &self.topics {
            if names.insert(topic.topic_name(), ()).is_some() {
                let topic = topic.topic_name().clone();
                return Err(GroupError::TopicExists { group: group(), topic });
            }
        }
        let settings = &self.settings;
        let zero = [
            ("session_timeout", settings.session_timeout.is_zero()),
            ("max_poll_interval", settings.max_poll_interval.is_zero()),
            ("rebalance_timeout", settings.rebalance_timeout.is_some_and(|span| span.is_zero())),
            ("max_poll_records", settings.limits.records == 0),
            ("max_members", settings.members_max == Some(0)),
        ];
        match zero.into_iter().find(|(_, is_zero)| *is_zero) {
            Some((setting, _)) => Err(GroupError::InvalidSetting {
                group: group(),
                setting,
                value: "0".to_owned(),
                reason: "it must be more than that",
            }),
            None => Ok(()),
        }
    }
}
