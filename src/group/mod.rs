//! Consumer groups: several members share the partitions of some topics, and remember how far they
//! have come.
//!
//! ```text
//!   member 1 ── Consumer ─┐                    ┌─ Coordinator: who is in, who has what, who must let go
//!   member 2 ── Consumer ─┼─► Membership (lock)┤
//!   member 3 ── Consumer ─┘        │           └─ Offsets: what is committed
//!                                  └─► Assignor (yours or ours), with the lock open
//! ```
//!
//! | File | Its one job |
//! |---|---|
//! | `settings.rs` | The group's settings. |
//! | `member.rs` | A member's settings, and its listener. |
//! | `consumer.rs` | What a member's thread holds: poll, commit, seek. |
//! | `rebalance.rs` | The part of a poll in which partitions come and go. |
//! | `positions.rs` | Where to start reading a partition. |
//! | `membership.rs` | The lock around the coordinator. |
//! | `coordinator/` | The state machine. |
//! | `offsets.rs` | Committed offsets, and lag. |
//! | `journal/` | Committed offsets that survive, as records of an internal topic. |
//! | `assignor/` | Who gets which partition. |

pub mod assignor;
mod consumer;
mod coordinator;
pub(crate) mod journal;
mod member;
mod membership;
mod offsets;
mod positions;
mod rebalance;
mod settings;
#[cfg(all(test, shuttle))]
mod shuttle_models;

pub use consumer::Consumer;
pub use member::{MemberBuilder, RebalanceListener};
pub use offsets::OffsetAndMetadata;
pub use settings::{ConsumerGroupBuilder, OffsetReset};

use crate::error::{AssignmentError, GroupError};
use crate::ids::{GroupId, MemberId, Offset, Timestamp, TopicName, TopicPartition};
use crate::topic::Topic;
use coordinator::GroupSnapshot;
use membership::Membership;
use std::sync::Arc;

/// A named group of consumers that share the partitions of some topics: a handle that is cheap to
/// clone.
///
/// Each partition is read by one member at a time. When members come and go, partitions move; a
/// member that keeps a partition goes on reading it meanwhile. Partitions are given out when members
/// poll: members that all join before the first one polls share them from the start.
///
/// ```
/// use anabranch::{ConsumerGroup, Producer, Record, Topic, TopicConfig};
/// use std::time::Duration;
///
/// let orders = Topic::in_memory("orders", TopicConfig::new().partitions(6))?;
/// Producer::new(&orders).send(Record::new("2 espresso").with_key("customer-42"))?;
///
/// let billing = ConsumerGroup::builder("billing").topic(&orders).build()?;
/// let mut consumer = billing.join("worker-1")?;
/// for record in &consumer.poll(Duration::from_secs(1))? {
///     println!("{}@{}: {:?}", record.partition(), record.offset(), record.value());
/// }
/// consumer.commit()?;
/// assert_eq!(billing.total_lag(), 0);
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConsumerGroup {
    membership: Arc<Membership>,
}

/// How far a group is as a whole.
///
/// ```
/// use anabranch::{ConsumerGroup, GroupState, Topic, TopicConfig};
/// use std::time::Duration;
///
/// let orders = Topic::in_memory("orders", TopicConfig::new())?;
/// let billing = ConsumerGroup::builder("billing").topic(&orders).build()?;
/// assert_eq!(billing.describe().state, GroupState::Empty);
/// let mut worker = billing.join("worker-1")?;
/// assert_eq!(billing.describe().state, GroupState::Assigning);
/// worker.poll(Duration::ZERO)?;
/// assert_eq!(billing.describe().state, GroupState::Stable);
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupState {
    /// It has no members.
    Empty,
    /// It needs an assignment, which the next poll of a member makes.
    Assigning,
    /// Members are on their way to what the assignment gives them.
    Reconciling,
    /// Every member has what the assignment gives it; the listener of one that was just given something
    /// may not have been called yet.
    Stable,
}

/// A group at one moment.
///
/// ```
/// use anabranch::{ConsumerGroup, Topic, TopicConfig};
///
/// let orders = Topic::in_memory("orders", TopicConfig::new())?;
/// let billing = ConsumerGroup::builder("billing").topic(&orders).build()?;
/// let worker = billing.join("worker-1")?;
/// let description = billing.describe();
/// assert_eq!(description.members[0].id, "worker-1");
/// assert_eq!(description.assignor, "cooperative-sticky");
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// The group's name.
    pub id: GroupId,
    /// How far it is.
    pub state: GroupState,
    /// Rises with every change of its members, their subscriptions or its topics.
    pub generation: u32,
    /// The name of its assignor.
    pub assignor: String,
    /// Why the assignor's answer for this generation was refused, if it was.
    pub refused: Option<AssignmentError>,
    /// The members, by name.
    pub members: Vec<MemberDescription>,
}

/// A member at one moment.
///
/// ```
/// use anabranch::{ConsumerGroup, Topic, TopicConfig};
/// use std::time::Duration;
///
/// let orders = Topic::in_memory("orders", TopicConfig::new().partitions(2))?;
/// let billing = ConsumerGroup::builder("billing").topic(&orders).build()?;
/// let mut worker = billing.join("worker-1")?;
/// worker.poll(Duration::ZERO)?;
/// assert_eq!(billing.describe().members[0].assignment.len(), 2);
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberDescription {
    /// The member's name.
    pub id: MemberId,
    /// The name under which it comes back, if it is a static member.
    pub instance_id: Option<String>,
    /// Whether it is a static member that went away, and whose partitions are kept.
    pub is_away: bool,
    /// The generation that it has taken over; 0 before its first assignment.
    pub generation: u32,
    /// The topics that it wants, sorted.
    pub subscription: Vec<TopicName>,
    /// The partitions that it reads, sorted.
    pub assignment: Vec<TopicPartition>,
    /// The partitions that it was told to let go of, sorted.
    pub revoking: Vec<TopicPartition>,
    /// The partitions that it will have, sorted.
    pub target: Vec<TopicPartition>,
}

/// Where a group's committed offsets are set to.
///
/// ```
/// use anabranch::{ConsumerGroup, Producer, Record, ResetTo, Topic, TopicConfig};
///
/// let orders = Topic::in_memory("orders", TopicConfig::new())?;
/// Producer::new(&orders).send(Record::new("2 espresso"))?;
/// let billing = ConsumerGroup::builder("billing").topic(&orders).build()?;
/// billing.reset_offsets(ResetTo::End)?;
/// assert_eq!(billing.total_lag(), 0);
/// billing.reset_offsets(ResetTo::Beginning)?;
/// assert_eq!(billing.total_lag(), 1);
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetTo {
    /// The first record that is retained, of every partition.
    Beginning,
    /// The end of every partition.
    End,
    /// The first record stamped at this time or later, of every partition; the end if there is none.
    Timestamp(Timestamp),
    /// These offsets; other partitions keep theirs.
    Offsets(Vec<(TopicPartition, Offset)>),
}

impl ConsumerGroup {
    /// Starts the settings of a group.
    ///
    /// The group is what it builds: another one of the same name is another group.
    pub fn builder(id: impl Into<GroupId>) -> ConsumerGroupBuilder {
        ConsumerGroupBuilder::new(id.into())
    }

    /// The group's name.
    pub fn id(&self) -> &GroupId {
        &self.membership.id
    }

    /// Lets a member in that reads all of the group's topics. It gets partitions with its first poll.
    ///
    /// # Errors
    ///
    /// [`GroupError::MemberExists`] if a live member has that name, [`GroupError::Full`] at the
    /// group's limit.
    pub fn join(&self, member: impl Into<MemberId>) -> Result<Consumer, GroupError> {
        self.member(member).join()
    }

    /// Starts the settings of a member.
    pub fn member(&self, member: impl Into<MemberId>) -> MemberBuilder {
        MemberBuilder::new(&self.membership, member.into())
    }

    /// Adds a topic to those that the group reads. Members that read all topics get it too.
    ///
    /// # Errors
    ///
    /// [`GroupError::TopicExists`] if the group has a topic of that name.
    pub fn add_topic(&self, topic: &Topic) -> Result<(), GroupError> {
        self.membership.add_topic(topic)
    }

    /// The group at this moment.
    pub fn describe(&self) -> GroupDescription {
        let GroupSnapshot { state, epoch, refused, members, .. } = self.membership.describe();
        let members = members.into_iter().map(|member| MemberDescription {
            id: member.id,
            instance_id: member.instance_id,
            is_away: member.is_away,
            generation: member.epoch,
            subscription: member.subscription,
            assignment: member.assigned,
            revoking: member.pending,
            target: member.target,
        });
        GroupDescription {
            id: self.membership.id.clone(),
            state: match state {
                coordinator::GroupState::Empty => GroupState::Empty,
                coordinator::GroupState::Assigning => GroupState::Assigning,
                coordinator::GroupState::Reconciling => GroupState::Reconciling,
                coordinator::GroupState::Stable => GroupState::Stable,
            },
            generation: epoch,
            assignor: self.membership.settings.assignor.name().to_owned(),
            refused,
            members: members.collect(),
        }
    }

    /// How many records of each partition are not consumed yet: the high watermark less the committed
    /// offset; without a commit all that are retained. Of a partition that is offline, which is not known, 0.
    pub fn lag(&self) -> Vec<(TopicPartition, u64)> {
        let mut lags = Vec::new();
        for topic in self.membership.topics() {
            let rows = self.membership.offsets.lags(&topic).into_iter();
            lags.extend(
                (0..).zip(rows).map(|(id, lag)| (TopicPartition::new(topic.name(), id), lag)),
            );
        }
        lags.sort_unstable();
        lags
    }

    /// The sum of all partitions' lags.
    pub fn total_lag(&self) -> u64 {
        self.lag().into_iter().map(|(_, lag)| lag).sum()
    }

    /// What is committed for a partition.
    pub fn committed(&self, of: &TopicPartition) -> Option<OffsetAndMetadata> {
        self.membership.offsets.get(of).map(OffsetAndMetadata::from)
    }

    /// Sets the committed offsets.
    ///
    /// # Errors
    ///
    /// [`GroupError::NotEmpty`] while the group has members, as in Kafka;
    /// [`GroupError::UnknownPartition`] and [`GroupError::OffsetOutOfRange`] for offsets that do not
    /// exist, [`GroupError::Offline`] if a partition among them is offline, [`GroupError::Commit`] if they
    /// could not be made durable. Nothing was changed.
    pub fn reset_offsets(&self, to: ResetTo) -> Result<(), GroupError> {
        let targets = positions::resolve(&self.membership, to)?;
        self.membership.reset(targets)
    }

    /// Removes a static member that went away, without waiting for its session to end; says whether
    /// there was one.
    pub fn remove_instance(&self, instance_id: &str) -> bool {
        self.membership.remove_instance(instance_id)
    }

    /// Gives up members whose time has passed. Every poll, join and commit does so; this is for
    /// groups whose members may all hang.
    pub fn tick(&self) {
        self.membership.tick();
    }
}
