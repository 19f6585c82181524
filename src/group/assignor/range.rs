//! Range: each topic is cut into consecutive ranges, one for each member.
//!
//! ```text
//!  t, 7 partitions    0 1 2 │ 3 4 │ 5 6       7 = 3·2 + 1: the first member gets one more
//!  u, 7 partitions    0 1 2 │ 3 4 │ 5 6       equal partition counts: equal cuts
//!                     a       b     c
//! ```
//!
//! Topics with the same number of partitions and the same subscribers are cut alike, so that
//! records with the same key meet at one member whatever topic they come from (co-partitioning).
//! The price is balance: the first members get the remainder of every topic.
//!
//! 1. Members stand in Kafka's order: static members by instance id, then the others by id.
//! 2. Where racks matter (see `racks.rs`), partitions first go to members on a rack that holds a
//!    replica; how many a member gets of each topic stays the same.
//! 3. What members own is ignored.

use super::racks::RackMap;
use super::roster::{NOBODY, Roster, Topic, number};
use super::{Assignment, Assignor, Member, RebalanceProtocol, TopicLayout};
use crate::ids::Map;

/// Gives each member consecutive partitions of each topic, as Kafka's `RangeAssignor` does.
///
/// If members and partitions have racks, partitions go to members on a rack that holds a replica
/// where this is possible without changing how many each member gets.
///
/// ```
/// use anabranch::assignor::{Assignor, Member, RangeAssignor, TopicLayout};
///
/// let members = ["a", "b", "c"].map(|id| Member::new(id).subscribe(["t"]));
/// let assignment = RangeAssignor.assign(&members, &[TopicLayout::new("t", 7)]);
/// let of_a: Vec<u32> = assignment.0["a"].iter().map(|p| p.partition).collect();
/// assert_eq!(of_a, [0, 1, 2]);
/// assert_eq!(assignment.0["b"].len(), 2);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RangeAssignor;

impl Assignor for RangeAssignor {
    fn name(&self) -> &str {
        "range"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    fn assign(&self, members: &[Member], topics: &[TopicLayout]) -> Assignment {
        let roster = Roster::new(members, topics);
        let order = roster.static_members_first();
        let subscribers = roster.subscribers(order.into_iter());
        let mut owners = vec![NOBODY; roster.slot_count()];
        let mut ranges: Vec<Range<'_>> = Vec::new();
        for (topic, subscribers) in roster.topics.iter().zip(&subscribers) {
            if !subscribers.is_empty() && topic.partition_count() > 0 {
                ranges.push(Range::new(topic, subscribers));
            }
        }
        if members.iter().any(|member| member.rack.is_some()) {
            match_racks(&roster, &mut ranges, &mut owners);
        }
        for range in &mut ranges {
            range.fill(&mut owners, |_, _| true);
        }
        roster.assignment(&owners)
    }
}

/// One topic on its way to being cut.
struct Range<'a> {
    topic: &'a Topic<'a>,
    subscribers: &'a [u32],
    /// How many partitions every subscriber gets at least.
    quota: u32,
    /// How many subscribers may still get one more.
    extras: u32,
    /// How many partitions each subscriber has, by its place among the subscribers.
    taken: Vec<u32>,
}

impl<'a> Range<'a> {
    fn new(topic: &'a Topic<'a>, subscribers: &'a [u32]) -> Self {
        let (partitions, count) = (topic.partition_count(), number(subscribers.len()));
        Range {
            topic,
            subscribers,
            quota: partitions / count,
            extras: partitions % count,
            taken: vec![0; subscribers.len()],
        }
    }

    fn room(&self, place: usize) -> u32 {
        (self.quota + u32::from(self.extras > 0)).saturating_sub(self.taken[place])
    }

    fn give(&mut self, slot: u32, place: usize, owners: &mut [u32]) {
        owners[slot as usize] = self.subscribers[place];
        self.taken[place] += 1;
        if self.taken[place] > self.quota {
            self.extras -= 1;
        }
    }

    /// Lets each subscriber in turn take the lowest free partitions that it may have.
    fn fill(&mut self, owners: &mut [u32], may_have: impl Fn(u32, u32) -> bool) {
        let mut free: Vec<u32> =
            (self.topic.first..self.topic.end).filter(|&s| owners[s as usize] == NOBODY).collect();
        let mut start = 0;
        for place in 0..self.subscribers.len() {
            // Of the slots looked at, `start..seen`, those refused are kept in front.
            let (mut seen, mut refused) = (start, start);
            while seen < free.len() && self.room(place) > 0 {
                let slot = free[seen];
                seen += 1;
                if may_have(self.subscribers[place], slot) {
                    self.give(slot, place, owners);
                } else {
                    free[refused] = slot;
                    refused += 1;
                }
            }
            let next = seen - (refused - start);
            free.copy_within(start..refused, next);
            start = next;
        }
    }
}

/// Gives partitions to members on their racks: topics that are cut alike together, the others alone.
fn match_racks(roster: &Roster<'_>, ranges: &mut [Range<'_>], owners: &mut [u32]) {
    let racks = RackMap::new(roster);
    let uses_racks: Vec<bool> =
        ranges.iter().map(|range| racks.matter(range.topic, range.subscribers)).collect();
    if !uses_racks.contains(&true) {
        return;
    }
    for alike in group_alike(ranges) {
        match alike.as_slice() {
            [alone] if uses_racks[*alone] => {
                ranges[*alone].fill(owners, |member, slot| racks.matches(member, slot));
            }
            [_] => {}
            together => match_together(&racks, ranges, together, owners),
        }
    }
}

/// The topics with the same subscribers and the same number of partitions.
fn group_alike(ranges: &[Range<'_>]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut group_of: Map<(&[u32], u32), usize> = Map::default();
    for (index, range) in ranges.iter().enumerate() {
        let key = (range.subscribers, range.topic.partition_count());
        let group = *group_of.entry(key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(index);
    }
    groups
}

/// Gives the same partition of all `together` to the first member whose rack has them all.
fn match_together(
    racks: &RackMap,
    ranges: &mut [Range<'_>],
    together: &[usize],
    owners: &mut [u32],
) {
    let (subscribers, partitions) =
        (ranges[together[0]].subscribers, ranges[together[0]].topic.partition_count());
    for rank in 0..partitions {
        let fits = |place: usize| {
            together.iter().map(|&index| &ranges[index]).all(|range| {
                range.room(place) > 0 && racks.matches(subscribers[place], range.topic.first + rank)
            })
        };
        let Some(place) = (0..subscribers.len()).find(|&place| fits(place)) else { continue };
        for &index in together {
            let slot = ranges[index].topic.first + rank;
            ranges[index].give(slot, place, owners);
        }
    }
}
