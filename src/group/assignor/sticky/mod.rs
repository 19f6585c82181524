//! Sticky: the best balance there is, and for that balance the fewest partitions moved.
//!
//! Both are exact. The question is a flow problem in disguise, and grouping makes it small: members
//! with equal subscriptions form a *member class*, topics with equal subscribers a *topic class*.
//! What matters is only how many partitions of each topic class each member keeps or gets.
//!
//! ```text
//!   claims.rs    who owned what             the newest generation wins, ties lose
//!      ▼
//!   classes.rs   topic classes, kept arcs   "m owned k partitions of topic class t"
//!      ▼
//!   levels.rs    how high is each load?     blocks of members with loads β-1 or β (max flow)
//!      ▼
//!   keep.rs      who keeps how many?        most kept within a block's bounds (min-cost flow)
//!      ▼
//!   deal.rs      which ones?                give up and deal out evenly across topics
//! ```
//!
//! 1. No complete assignment has a lexicographically smaller vector of loads, sorted from high to
//!    low (or, which is the same, a smaller sum of squares).
//! 2. Among those that are equal in this, none has more partitions with members on one of their
//!    racks, if racks matter; this is also how Kafka's sticky assignors rank racks.
//! 3. Among those that are equal in this, none leaves more partitions with their previous owner.
//! 4. The result depends on the set of members and topics, not on their order, and on nothing else.
//!
//! Why two flow problems suffice: all assignments with the best loads form one face of a
//! polymatroid. The members fall into blocks, each with a number β, and an assignment is best
//! exactly if each member of a block has β-1 or β partitions, all of them from the topics of its
//! block (Frank and Murota, *Discrete decreasing minimization*, 2019). So once the blocks are
//! known, balance is a pair of bounds, and what is left is to keep as much as the bounds allow.

mod claims;
mod classes;
mod deal;
mod keep;
mod levels;
mod network;

use super::roster::Roster;
use super::{Assignment, Assignor, Member, RebalanceProtocol, TopicLayout};

/// Balances as well as possible and moves as little as possible; the group stops while it does.
///
/// The loads are the most even that the subscriptions allow, and no assignment with such loads
/// leaves more partitions where they were. Partitions given up and handed out are spread over
/// topics. If members and partitions have racks, those come between: loads first, then as many
/// partitions as possible on members near a replica, then as few moves as possible. Weights and
/// lag are ignored.
///
/// A partition's previous owner is the member that claims it with the highest
/// [`generation`](Member::generation). If two members claim it with the same one, or the owner no
/// longer subscribes to the topic, it has none.
///
/// ```
/// use anabranch::assignor::{Assignor, Member, StickyAssignor, TopicLayout};
///
/// let members = [
///     Member::new("a").subscribe(["t"]).own("t", [0, 1, 2, 3]),
///     Member::new("b").subscribe(["t"]).own("t", [4, 5]),
///     Member::new("c").subscribe(["t"]),
/// ];
/// let assignment = StickyAssignor.assign(&members, &[TopicLayout::new("t", 6)]);
/// let of_b: Vec<u32> = assignment.0["b"].iter().map(|p| p.partition).collect();
/// assert_eq!(of_b, [4, 5]);
/// assert_eq!(assignment.0["c"].len(), 2);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct StickyAssignor;

impl Assignor for StickyAssignor {
    fn name(&self) -> &str {
        "sticky"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    fn assign(&self, members: &[Member], topics: &[TopicLayout]) -> Assignment {
        assign(members, topics)
    }
}

/// Balances as well as possible and moves as little as possible, while the group keeps working.
///
/// The target is that of [`StickyAssignor`]. The group moves to it cooperatively: what stays with
/// its member is consumed all along, and what moves is handed over once its owner has let go.
///
/// ```
/// use anabranch::assignor::{Assignor, CooperativeStickyAssignor, Member, RebalanceProtocol};
/// use anabranch::assignor::TopicLayout;
///
/// let members = [
///     Member::new("a").subscribe(["t"]).own("t", [0, 1]).generation(4),
///     Member::new("b").subscribe(["t"]).own("t", [1, 2]).generation(5),
/// ];
/// let assignment = CooperativeStickyAssignor.assign(&members, &[TopicLayout::new("t", 4)]);
/// let of_b: Vec<u32> = assignment.0["b"].iter().map(|p| p.partition).collect();
/// assert_eq!(of_b, [1, 2]); // the newer claim wins
/// assert_eq!(CooperativeStickyAssignor.protocol(), RebalanceProtocol::Cooperative);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CooperativeStickyAssignor;

impl Assignor for CooperativeStickyAssignor {
    fn name(&self) -> &str {
        "cooperative-sticky"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn assign(&self, members: &[Member], topics: &[TopicLayout]) -> Assignment {
        assign(members, topics)
    }
}

fn assign(members: &[Member], topics: &[TopicLayout]) -> Assignment {
    let roster = Roster::new(members, topics);
    let mut owners = claims::previous_owners(&roster);
    let classes = classes::Classes::new(&roster);
    let mut arcs = classes.kept_arcs(&roster, &owners);
    let levels = levels::Levels::new(&classes);
    let plan = keep::plan(&classes, &levels, &mut arcs);
    deal::deal(&classes, &arcs, plan, &mut owners);
    roster.assignment(&owners)
}
