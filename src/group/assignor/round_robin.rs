//! Round robin: partitions are dealt one by one to the members that want them.
//!
//! Members stand in a ring, partitions in a line. Each partition goes to the next member in the
//! ring that subscribes to its topic, and the ring turns on from there; across topics it is not
//! reset, so that many small topics spread as well as one large one.
//!
//! 1. The ring is in Kafka's member order: static members by instance id, then the others by id.
//! 2. What members own is ignored.

use super::roster::{NOBODY, Roster};
use super::{Assignment, Assignor, Member, RebalanceProtocol, TopicLayout};

/// Deals all partitions of all topics to the members in turn, as Kafka's `RoundRobinAssignor` does.
///
/// If all members subscribe alike they end up at most one partition apart; if not, the result can
/// be far from balanced. Every change of the group may move every partition.
///
/// ```
/// use anabranch::assignor::{Assignor, Member, RoundRobinAssignor, TopicLayout};
///
/// let members = [Member::new("a").subscribe(["t", "u"]), Member::new("b").subscribe(["t", "u"])];
/// let topics = [TopicLayout::new("t", 3), TopicLayout::new("u", 3)];
/// let assignment = RoundRobinAssignor.assign(&members, &topics);
/// let of_b: Vec<String> = assignment.0["b"].iter().map(ToString::to_string).collect();
/// assert_eq!(of_b, ["t/1", "u/0", "u/2"]);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobinAssignor;

impl Assignor for RoundRobinAssignor {
    fn name(&self) -> &str {
        "roundrobin"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    fn assign(&self, members: &[Member], topics: &[TopicLayout]) -> Assignment {
        let roster = Roster::new(members, topics);
        let ring = roster.static_members_first();
        // Positions in the ring, not members: where the ring goes on is a search among them.
        let mut position_of = vec![0_u32; ring.len()];
        for (&member, position) in ring.iter().zip(0..) {
            position_of[member as usize] = position;
        }
        let subscribers = roster.subscribers(ring.iter().copied());
        let mut owners = vec![NOBODY; roster.slot_count()];
        let mut position = 0;
        for (topic, subscribers) in roster.topics.iter().zip(&subscribers) {
            if subscribers.is_empty() {
                continue;
            }
            let slots = &mut owners[topic.first as usize..topic.end as usize];
            let next = subscribers.partition_point(|&m| position_of[m as usize] < position);
            let turns = subscribers.iter().cycle().skip(next);
            for (owner, &member) in slots.iter_mut().zip(turns) {
                *owner = member;
                position = position_of[member as usize] + 1;
            }
        }
        roster.assignment(&owners)
    }
}
