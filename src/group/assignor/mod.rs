//! Who gets which partition: the [`Assignor`] trait and the algorithms that come with the crate.
//!
//! An assignor is a pure function from members and topics to a target. It does not know what is
//! still held by whom: withholding a partition until its old owner has let go is the group's work.
//!
//! | | Balance | When the group changes | For |
//! |---|---|---|---|
//! | [`CooperativeStickyAssignor`] | the best there is | moves the least, keeps working | most groups |
//! | [`StickyAssignor`] | the best there is | moves the least, stops meanwhile | members that must start together |
//! | [`RangeAssignor`] | even for each topic | may move everything | topics with the same keys that are to meet |
//! | [`RoundRobinAssignor`] | even if all subscribe alike | may move everything | stateless members |
//!
//! All of them are deterministic, do not depend on the order in which members and topics are
//! listed, and ignore what cannot be: topics that do not exist, partitions that are gone, members
//! or topics listed a second time.
//!
//! # What they cost
//!
//! Time and memory grow with the number of partitions, plus the length of all subscriptions and of
//! all lists of owned partitions. The sticky ones also solve two flow problems, whose size is not
//! the number of partitions but that of pairs of a member and a *topic class* (topics with the same
//! subscribers) it owned something of: 2,000 pairs for 2,000 members that all subscribe to the same
//! 500 topics, up to a million if no two subscriptions are alike. Groups of the latter kind are the
//! slow ones; the last two rows are what we found to be hardest.
//!
//! | Topics × partitions × members | Subscriptions | First | One member leaves |
//! |---|---|---|---|
//! | 20 × 50 × 40 | alike | 0.03 ms | 0.03 ms |
//! | 100 × 100 × 1,000 | alike | 0.8 ms | 0.9 ms |
//! | 100 × 100 × 200 | a random quarter each | 1.0 ms | 1.3 ms |
//! | 100 × 200 × 500 | two halves | 0.6 ms | 0.9 ms |
//! | 500 × 2,000 × 2,000 | alike | 20 ms | 31 ms |
//! | 500 × 2,000 × 2,000 | all but one alike | 22 ms | 42 ms |
//! | 500 × 2,000 × 2,000, range / round robin | alike | 29 / 26 ms | |
//! | 500 × 200 × 2,000 | a random quarter each | 41 ms | 50 ms |
//! | 300 × 100 × 300, owners at random | each one topic more | 27 ms | 212 ms |
//!
//! The sticky assignors, best of many runs on a shared virtual machine with two cores, rustc 1.95,
//! `cargo bench --bench assignors`; medians were up to twice as long, as other work was going on.
//! The result takes 32 bytes a partition, what is needed meanwhile 8 bytes a partition and about 150
//! bytes for each of those pairs: 38 MB at the peak for a new group with a million partitions.

mod racks;
mod range;
mod roster;
mod round_robin;
mod sticky;

pub use range::RangeAssignor;
pub use round_robin::RoundRobinAssignor;
pub use sticky::{CooperativeStickyAssignor, StickyAssignor};

use crate::ids::{MemberId, PartitionId, TopicName, TopicPartition};
use std::collections::BTreeMap;

/// How a group moves from one assignment to the next.
///
/// ```
/// use anabranch::assignor::{Assignor, RebalanceProtocol, StickyAssignor};
///
/// assert_eq!(StickyAssignor.protocol(), RebalanceProtocol::Eager);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RebalanceProtocol {
    /// Only the partitions that change hands are revoked; members keep consuming the others.
    #[default]
    Cooperative,
    /// Every member gives up everything before anything is assigned.
    Eager,
}

/// Decides which member of a group gets which partition.
///
/// The group checks what is returned and refuses an assignment that leaves out a partition, gives
/// one to two members, or to a member that does not subscribe to its topic; it then keeps the
/// previous one. No lock is held during the call.
pub trait Assignor: Send + Sync {
    /// The strategy's name, as `describe` shows it.
    fn name(&self) -> &str;

    /// How the group is to move to the new assignment. Default: cooperative.
    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    /// Assigns every partition of a subscribed topic to exactly one member that subscribes to it.
    ///
    /// Members may subscribe to topics that do not exist, and topics may have no subscriber: both
    /// are ignored. What members say they own may overlap and be out of date; their generations
    /// tell which claim is newer.
    fn assign(&self, members: &[Member], topics: &[TopicLayout]) -> Assignment;
}

/// A member as an assignor sees it.
///
/// ```
/// use anabranch::assignor::Member;
///
/// let member = Member::new("c1").subscribe(["t1", "t2"]).own("t1", [0, 3]).generation(7).rack("a");
/// assert_eq!(member.owned.len(), 2);
/// assert_eq!(member.weight, 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The member's name, unique in the group.
    pub id: MemberId,
    /// The name under which a static member comes back after a restart (KIP-345). Default: none.
    pub instance_id: Option<String>,
    /// Where the member runs, to be matched with the partitions' racks. Default: none.
    pub rack: Option<String>,
    /// The member's share relative to the others', for assignors that care. Default: 1.
    pub weight: u32,
    /// The topics that the member wants to read.
    pub subscription: Vec<TopicName>,
    /// The partitions that the member holds, or claims to.
    pub owned: Vec<TopicPartition>,
    /// The generation of that claim; `None` is unknown and loses against any other.
    pub generation: Option<u32>,
}

impl Member {
    /// A member that subscribes to nothing and owns nothing.
    pub fn new(id: impl Into<MemberId>) -> Self {
        Member {
            id: id.into(),
            instance_id: None,
            rack: None,
            weight: 1,
            subscription: Vec::new(),
            owned: Vec::new(),
            generation: None,
        }
    }

    /// Adds topics to the subscription.
    #[must_use]
    pub fn subscribe<T: Into<TopicName>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.subscription.extend(topics.into_iter().map(Into::into));
        self
    }

    /// Adds partitions of one topic to what the member owns.
    #[must_use]
    pub fn own(
        mut self,
        topic: impl Into<TopicName>,
        partitions: impl IntoIterator<Item = PartitionId>,
    ) -> Self {
        let topic = topic.into();
        self.owned.extend(
            partitions.into_iter().map(|p| TopicPartition { topic: topic.clone(), partition: p }),
        );
        self
    }

    /// Sets the generation of what the member owns.
    #[must_use]
    pub fn generation(mut self, generation: u32) -> Self {
        self.generation = Some(generation);
        self
    }

    /// Sets where the member runs.
    #[must_use]
    pub fn rack(mut self, rack: impl Into<String>) -> Self {
        self.rack = Some(rack.into());
        self
    }

    /// Makes the member a static one.
    #[must_use]
    pub fn instance_id(mut self, instance_id: impl Into<String>) -> Self {
        self.instance_id = Some(instance_id.into());
        self
    }

    /// Sets the member's share relative to the others'.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }
}

/// A topic as an assignor sees it.
///
/// ```
/// use anabranch::assignor::TopicLayout;
///
/// let layout = TopicLayout::new("t1", 3);
/// assert_eq!(layout.partitions[2].id, 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicLayout {
    /// The topic's name.
    pub name: TopicName,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionLayout>,
}

impl TopicLayout {
    /// A topic with partitions `0..partitions`, without racks and without lag.
    pub fn new(name: impl Into<TopicName>, partitions: u32) -> Self {
        let partitions = (0..partitions).map(PartitionLayout::new).collect();
        TopicLayout { name: name.into(), partitions }
    }
}

/// A partition as an assignor sees it.
///
/// ```
/// let layout = anabranch::assignor::PartitionLayout::new(4);
/// assert_eq!((layout.id, layout.lag), (4, 0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionLayout {
    /// The partition's number.
    pub id: PartitionId,
    /// The racks that hold a replica. Default: none.
    pub racks: Vec<String>,
    /// How many records the group has yet to consume. Default: 0.
    pub lag: u64,
}

impl PartitionLayout {
    /// A partition without racks and without lag.
    pub fn new(id: PartitionId) -> Self {
        PartitionLayout { id, racks: Vec::new(), lag: 0 }
    }
}

/// What an assignor decides: the partitions of each member, sorted by topic, then number, unless the
/// algorithm says otherwise.
///
/// ```
/// use anabranch::assignor::{Assignor, Member, RangeAssignor, TopicLayout};
///
/// let members = [Member::new("a").subscribe(["t"]), Member::new("b").subscribe(["t"])];
/// let assignment = RangeAssignor.assign(&members, &[TopicLayout::new("t", 3)]);
/// assert_eq!(assignment.0["a"].len(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment(pub BTreeMap<MemberId, Vec<TopicPartition>>);
