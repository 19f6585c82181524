//! What can go wrong in a consumer group.

use super::{AppendError, Corruption, ReadError};
use crate::ids::{GroupId, MemberId, Offset, TopicName, TopicPartition};

/// Why a group was not built or changed, or a member not let in.
///
/// ```
/// use anabranch::{ConsumerGroup, GroupError, Topic, TopicConfig};
///
/// let orders = Topic::in_memory("orders", TopicConfig::new())?;
/// let billing = ConsumerGroup::builder("billing").topic(&orders).build()?;
/// let worker = billing.join("worker-1")?;
/// let refused = billing.join("worker-1").unwrap_err();
/// assert!(matches!(refused, GroupError::MemberExists { .. }));
/// assert_eq!(refused.to_string(), "group billing has a member worker-1 already");
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The group was given no topic to read.
    #[error("group {group} has no topics")]
    NoTopics {
        /// The group.
        group: GroupId,
    },
    /// Two topics of one name were given to the group.
    #[error("group {group} has a topic {topic} already")]
    TopicExists {
        /// The group.
        group: GroupId,
        /// The name that they share.
        topic: TopicName,
    },
    /// A member wants a topic that is not among the group's.
    #[error("group {group} does not read topic {topic}")]
    UnknownTopic {
        /// The group.
        group: GroupId,
        /// The topic asked for.
        topic: TopicName,
    },
    /// A partition was named that the group's topics do not have.
    #[error("group {group} does not read partition {partition}")]
    UnknownPartition {
        /// The group.
        group: GroupId,
        /// The partition asked for.
        partition: TopicPartition,
    },
    /// A live member has that name.
    #[error("group {group} has a member {member} already")]
    MemberExists {
        /// The group.
        group: GroupId,
        /// The name asked for.
        member: MemberId,
    },
    /// The group has as many members as it may have.
    #[error("group {group} has {max} members, no more are let in")]
    Full {
        /// The group.
        group: GroupId,
        /// The most it may have.
        max: usize,
    },
    /// Offsets are reset only while nobody could be reading from the old ones.
    #[error("group {group} has {members} members, its offsets are reset only while it has none")]
    NotEmpty {
        /// The group.
        group: GroupId,
        /// How many members it has, static ones that may come back included.
        members: usize,
    },
    /// An offset to reset to does not exist.
    #[error("offset {requested} of {partition} is outside of {log_start} to {log_end}")]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The offset asked for.
        requested: Offset,
        /// The first that exists.
        log_start: Offset,
        /// The end of the log.
        log_end: Offset,
    },
    /// A partition is offline: its files were found damaged when the directory was opened. Where it is one
    /// of the log of committed offsets, it is not known where the group stands, and there is no group. Else it
    /// is not known where the partition starts and ends: set the offsets of the others by
    /// [`ResetTo::Offsets`](crate::ResetTo::Offsets).
    #[error("group {group} cannot do without {partition}, which is offline: {corruption}")]
    Offline {
        /// The group.
        group: GroupId,
        /// The partition.
        partition: TopicPartition,
        /// Where it is damaged, and what is wrong.
        corruption: Box<Corruption>,
    },
    /// A setting is outside its range.
    #[error("{setting} of group {group} is {value}, {reason}")]
    InvalidSetting {
        /// The group.
        group: GroupId,
        /// The setting's name, as its setter is called.
        setting: &'static str,
        /// The value asked for.
        value: String,
        /// What values it takes.
        reason: &'static str,
    },
    /// The group has a handle, or a member, already. A second one that knew nothing of the first would
    /// give each partition a second owner: clone the handle. To delete the group's offsets, drop it.
    #[error("group {group} is in use")]
    InUse {
        /// The group.
        group: GroupId,
    },
    /// Offsets were not committed: those of a member that left all the same, or those that were to be
    /// set.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why a poll returned no records.
///
/// ```
/// use anabranch::{ConsumerGroup, OffsetReset, PollError, Topic, TopicConfig};
/// use std::time::Duration;
///
/// let orders = Topic::in_memory("orders", TopicConfig::new())?;
/// let billing = ConsumerGroup::builder("billing")
///     .topic(&orders)
///     .offset_reset(OffsetReset::None)
///     .build()?;
/// let mut worker = billing.join("worker-1")?;
/// let refused = worker.poll(Duration::ZERO).unwrap_err();
/// assert_eq!(refused.to_string(), "group billing has no committed offset for orders/0");
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PollError {
    /// Another live member took this one's instance id. The membership is over and everything is
    /// lost; joining again would fence the other one in turn.
    #[error("member {member} of group {group} was fenced by {by}, which has its instance id")]
    Fenced {
        /// The group.
        group: GroupId,
        /// The member that polled.
        member: MemberId,
        /// The member that took its place.
        by: MemberId,
    },
    /// The member was given up (see the listener's `lost`) and could not join again. The next poll
    /// tries once more.
    #[error("member {member} of group {group} was given up and cannot join again: {reason}")]
    Rejoin {
        /// The group.
        group: GroupId,
        /// The member that polled.
        member: MemberId,
        /// Why it was not let in.
        reason: Box<GroupError>,
    },
    /// Nothing is committed for a partition, and the group's [`OffsetReset`](crate::OffsetReset) is
    /// `None`. The partition is not read until the consumer seeks; the others are.
    #[error("group {group} has no committed offset for {partition}")]
    NoOffset {
        /// The group.
        group: GroupId,
        /// The partition.
        partition: TopicPartition,
    },
    /// The partition's log lost records, in a crash, that were consumed and committed; others may stand
    /// at their offsets since. The group's [`OffsetReset`](crate::OffsetReset) is `None`, so the
    /// partition is not read until the consumer seeks; the first record that may be new is at
    /// `log_end`.
    #[error(
        "offset {committed} is committed for {partition} by group {group}, but the log was cut at {log_end}"
    )]
    Truncated {
        /// The group.
        group: GroupId,
        /// The partition.
        partition: TopicPartition,
        /// What is committed.
        committed: Offset,
        /// Where the log ended after the crash.
        log_end: Offset,
    },
    /// The assignor's answer was refused. The group keeps its previous assignment; this member goes
    /// on with what it has.
    #[error("assignor {assignor} of group {group} was refused: {reason}")]
    Assignment {
        /// The group.
        group: GroupId,
        /// The assignor's name.
        assignor: String,
        /// What was wrong with its answer.
        reason: AssignmentError,
    },
    /// A listener called `poll`.
    #[error("poll was called from a rebalance listener")]
    Reentrant,
    /// A partition could not be read where it was to be. Its position is unchanged, and others are read by
    /// the next poll. If the position does not exist any more and the group's
    /// [`OffsetReset`](crate::OffsetReset) is `None`, seek; if the partition is offline, pause it to hear no
    /// more of it.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why offsets were not committed. None of the call's offsets was.
///
/// ```
/// use anabranch::{CommitError, ConsumerGroup, Topic, TopicConfig, TopicPartition};
///
/// let orders = Topic::in_memory("orders", TopicConfig::new())?;
/// let billing = ConsumerGroup::builder("billing").topic(&orders).build()?;
/// let mut worker = billing.join("worker-1")?;
/// let refused = worker.commit_offsets(&[(TopicPartition::new("orders", 0), 0)]).unwrap_err();
/// assert!(matches!(refused, CommitError::NotAssigned { .. })); // it has not polled yet
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The member is not in the group any more: it was given up, and will join again with its next
    /// poll. What it held may be others' by now.
    #[error("member {member} is not in group {group} any more")]
    NotMember {
        /// The group.
        group: GroupId,
        /// The member that committed.
        member: MemberId,
    },
    /// Another live member took this one's instance id.
    #[error("member {member} of group {group} was fenced by {by}, which has its instance id")]
    Fenced {
        /// The group.
        group: GroupId,
        /// The member that committed.
        member: MemberId,
        /// The member that took its place.
        by: MemberId,
    },
    /// The partition is not the member's.
    #[error("{partition} is not assigned to member {member} of group {group}")]
    NotAssigned {
        /// The group.
        group: GroupId,
        /// The member that committed.
        member: MemberId,
        /// The partition.
        partition: TopicPartition,
    },
    /// The commit is from a generation before the member was given the partition (the limit is that
    /// generation), or from one that the member has not reached (the limit is the member's).
    #[error("generation {requested} may not commit {partition}, the limit is {limit}")]
    WrongGeneration {
        /// The partition.
        partition: TopicPartition,
        /// The generation of the commit.
        requested: u32,
        /// The first or last generation from which a commit is accepted.
        limit: u32,
    },
    /// The offset does not exist.
    #[error("offset {requested} of {partition} is outside of {log_start} to {log_end}")]
    OutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The offset to be committed.
        requested: Offset,
        /// The first that exists.
        log_start: Offset,
        /// The end of the log.
        log_end: Offset,
    },
    /// The partition is offline, so that nobody has read it: its files were found damaged when the directory
    /// was opened. What is committed for it stays as it is.
    #[error("{partition} is offline: {corruption}")]
    Offline {
        /// The partition.
        partition: TopicPartition,
        /// Where it is damaged, and what is wrong.
        corruption: Box<Corruption>,
    },
    /// The metadata is longer than Kafka allows.
    #[error("metadata of {bytes} bytes for {partition} exceeds {max}")]
    MetadataTooLarge {
        /// The partition.
        partition: TopicPartition,
        /// The bytes of the metadata.
        bytes: usize,
        /// The most there may be.
        max: usize,
    },
    /// The commit could not be made as durable as the group's offsets are. What was committed before
    /// stands, in this process and for whoever reads on.
    ///
    /// After a refused batch or a failed write the commit left no trace: try again, with the next poll
    /// or later. After a failed sync it is not known whether it survives: when the directory is opened
    /// again, the group may stand where this commit put it, and until then no commit succeeds.
    #[error("offsets of group {group} could not be made durable")]
    NotDurable {
        /// The group.
        group: GroupId,
        /// What the log of committed offsets says.
        #[source]
        reason: AppendError,
    },
}

/// Why the result of an assignor was refused. The group keeps its previous assignment.
///
/// The next change of the group (a member, a subscription, a topic) asks the assignor again.
///
/// ```
/// use anabranch::{AssignmentError, TopicPartition};
///
/// let partition = TopicPartition::new("orders", 3);
/// let refused = AssignmentError::Unassigned { partition, member: "worker-1".into() };
/// assert_eq!(refused.to_string(), "assignor gave orders/3 to nobody, but worker-1 subscribes to it");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssignmentError {
    /// A partition was given out more than once, to two members or twice to one.
    #[error("assignor gave {partition} to {first} and again to {second}")]
    AssignedTwice {
        /// The partition.
        partition: TopicPartition,
        /// Who was given it first.
        first: MemberId,
        /// Who was given it as well.
        second: MemberId,
    },
    /// A partition was given to somebody who is not in the group.
    #[error("assignor gave {partition} to {member}, which is not a member of the group")]
    UnknownMember {
        /// The partition.
        partition: TopicPartition,
        /// The stranger.
        member: MemberId,
    },
    /// A partition was given to a member that does not want its topic.
    #[error("assignor gave {partition} to {member}, which does not subscribe to its topic")]
    NotSubscribed {
        /// The partition.
        partition: TopicPartition,
        /// The member.
        member: MemberId,
    },
    /// A member was given a partition that does not exist.
    #[error("assignor gave {partition} to {member}, but there is no such partition")]
    UnknownPartition {
        /// The partition.
        partition: TopicPartition,
        /// The member.
        member: MemberId,
    },
    /// A partition of a subscribed topic was given to nobody.
    #[error("assignor gave {partition} to nobody, but {member} subscribes to it")]
    Unassigned {
        /// The partition.
        partition: TopicPartition,
        /// A member that could have been given it.
        member: MemberId,
    },
    /// The assignor panicked; the panic ended with this call.
    #[error("assignor panicked: {message}")]
    Panicked {
        /// The panic's message, where it had one.
        message: String,
    },
}
