//! A member's settings, and who is told when its partitions come and go.

use super::consumer::Consumer;
use super::coordinator::Profile;
use super::membership::Membership;
use crate::error::GroupError;
use crate::ids::{MemberId, TopicName, TopicPartition};
use std::sync::Arc;

/// Told when partitions come to a member and go from it.
///
/// All calls are made on the member's own thread, within `poll`, `leave` or the drop of the
/// consumer, and never while records are processed. The consumer may be used to commit, to seek, and
/// to ask for positions; its `poll` refuses.
///
/// A panic does not stop the rebalance: it goes on, and the panic continues from `poll` afterwards.
///
/// ```
/// use anabranch::{Consumer, ConsumerGroup, RebalanceListener, Topic, TopicConfig, TopicPartition};
/// use std::sync::mpsc::{Sender, channel};
/// use std::time::Duration;
///
/// struct Log(Sender<usize>);
///
/// impl RebalanceListener for Log {
///     fn assigned(&mut self, _: &mut Consumer, partitions: &[TopicPartition]) {
///         self.0.send(partitions.len()).expect("the other end is in use");
///     }
/// }
///
/// let orders = Topic::in_memory("orders", TopicConfig::new().partitions(6))?;
/// let billing = ConsumerGroup::builder("billing").topic(&orders).build()?;
/// let (log, counts) = channel();
/// let mut worker = billing.member("worker-1").listener(Log(log)).join()?;
/// worker.poll(Duration::ZERO)?;
/// assert_eq!(counts.try_recv(), Ok(6));
/// # Ok::<(), anabranch::Error>(())
/// ```
pub trait RebalanceListener: Send {
    /// These partitions came; they are positioned, and read from the next poll on. Called once for
    /// every rebalance that the member takes part in, also if nothing came.
    fn assigned(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) {
        let _ = (consumer, partitions);
    }

    /// These partitions are about to go: the last chance to commit what was consumed of them. They
    /// go to their next owner when this returns.
    fn revoked(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) {
        let _ = (consumer, partitions);
    }

    /// These partitions are gone already: the member was given up, or fenced. Others may have them,
    /// and commits for them are refused. Their positions can be asked for until this returns.
    fn lost(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) {
        let _ = (consumer, partitions);
    }
}

/// The settings of a member; made by [`ConsumerGroup::member`](crate::ConsumerGroup::member).
///
/// ```
/// use anabranch::{ConsumerGroup, Topic, TopicConfig};
///
/// let orders = Topic::in_memory("orders", TopicConfig::new())?;
/// let refunds = Topic::in_memory("refunds", TopicConfig::new())?;
/// let billing = ConsumerGroup::builder("billing").topic(&orders).topic(&refunds).build()?;
/// let worker = billing.member("worker-1").topics(["refunds"]).instance_id("host-7").join()?;
/// assert_eq!(billing.describe().members[0].subscription, ["refunds"]);
/// # Ok::<(), anabranch::Error>(())
/// ```
#[must_use]
pub struct MemberBuilder {
    group: Arc<Membership>,
    id: MemberId,
    topics: Option<Vec<TopicName>>,
    instance_id: Option<String>,
    rack: Option<String>,
    weight: u32,
    listener: Option<Box<dyn RebalanceListener>>,
}

impl std::fmt::Debug for MemberBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemberBuilder")
            .field("id", &self.id)
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}

impl MemberBuilder {
    pub(super) fn new(group: &Arc<Membership>, id: MemberId) -> Self {
        MemberBuilder {
            group: Arc::clone(group),
            id,
            topics: None,
            instance_id: None,
            rack: None,
            weight: 1,
            listener: None,
        }
    }

    /// The topics that the member reads, out of the group's. Default: all of them.
    pub fn topics<T: Into<TopicName>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics = Some(topics.into_iter().map(Into::into).collect());
        self
    }

    /// Makes the member a static one (KIP-345): when it leaves or is dropped, its partitions are kept
    /// for the group's `session_timeout`, and whoever joins with the same instance id meanwhile gets
    /// them back without a rebalance. A second live holder fences the first. Default: none.
    pub fn instance_id(mut self, instance_id: impl Into<String>) -> Self {
        self.instance_id = Some(instance_id.into());
        self
    }

    /// Where the member runs, for assignors that care. Default: none.
    pub fn rack(mut self, rack: impl Into<String>) -> Self {
        self.rack = Some(rack.into());
        self
    }

    /// The member's share relative to the others', for assignors that care. Default: 1.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Who is told when partitions come and go. Default: nobody.
    pub fn listener(mut self, listener: impl RebalanceListener + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Lets the member in. It gets partitions with its first poll.
    ///
    /// # Errors
    ///
    /// [`GroupError::MemberExists`] if a live member has that name, [`GroupError::UnknownTopic`] for a
    /// topic that the group does not read, [`GroupError::Full`] at the group's limit.
    pub fn join(self) -> Result<Consumer, GroupError> {
        let settings = &self.group.settings;
        let profile = Profile {
            id: self.id,
            instance_id: self.instance_id,
            rack: self.rack,
            weight: self.weight,
            topics: self.topics.clone().unwrap_or_else(|| self.group.topic_names()),
            rebalance_timeout: settings.rebalance_timeout.unwrap_or(settings.max_poll_interval),
        };
        Consumer::join(self.group, profile, self.topics.is_none(), self.listener)
    }
}
