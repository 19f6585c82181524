//! Names turned into numbers, once, so that the algorithms work on small integers.
//!
//! Members are numbered by id and topics by name, so a result depends on who is in the group and
//! not on the order in which they are listed. Partitions get one dense number each, their *slot*:
//!
//! ```text
//!  topics    a          b     c             sorted by name
//!  slots     0 1 2 3    4 5   6 7 8         topic.first .. topic.end
//!  owners    m m n n    n -   m n m         one member number per slot: what an assignor computes
//! ```
//!
//! 1. Members with the same subscription share one entry of `subscriptions`: ascending topic
//!    numbers, without duplicates, without topics that do not exist.
//! 2. A member or topic that is listed twice counts once, the way it is listed first.
//! 3. Slots of a topic ascend with the partitions' numbers.

use super::{Assignment, Member, TopicLayout};
use crate::ids::{Map, PartitionId, TopicName, TopicPartition};

/// The owner of a slot that nobody owns.
pub(super) const NOBODY: u32 = u32::MAX;

/// The members and topics of one call, numbered.
pub(super) struct Roster<'a> {
    pub(super) members: Vec<&'a Member>,
    pub(super) topics: Vec<Topic<'a>>,
    /// The distinct subscriptions; see invariant 1.
    pub(super) subscriptions: Vec<Vec<u32>>,
    /// For each member, its entry in `subscriptions`.
    pub(super) subscription_of: Vec<u32>,
    by_name: Map<&'a str, u32>,
}

/// Where a list of topic names has led so far.
#[derive(Default)]
pub(super) struct Trail {
    topic: u32,
    /// 0 while names repeat, 1 while they follow each other.
    step: u32,
}

/// A topic and its slots.
pub(super) struct Topic<'a> {
    pub(super) layout: &'a TopicLayout,
    pub(super) first: u32,
    pub(super) end: u32,
    /// The partitions' numbers in ascending order, unless they are simply `0..n`.
    listed: Option<Vec<PartitionId>>,
}

impl Topic<'_> {
    /// How many partitions the topic has.
    pub(super) fn partition_count(&self) -> u32 {
        self.end - self.first
    }

    /// The slot of a partition, if the topic has it.
    pub(super) fn slot(&self, partition: PartitionId) -> Option<u32> {
        let rank = match &self.listed {
            None => partition,
            Some(listed) => number(listed.binary_search(&partition).ok()?),
        };
        (rank < self.partition_count()).then(|| self.first + rank)
    }

    /// The number of the partition in a slot of this topic.
    pub(super) fn partition(&self, slot: u32) -> PartitionId {
        let rank = slot - self.first;
        self.listed.as_ref().map_or(rank, |listed| listed[rank as usize])
    }
}

impl<'a> Roster<'a> {
    /// Numbers the members and topics of a call.
    pub(super) fn new(members: &'a [Member], layouts: &'a [TopicLayout]) -> Self {
        let mut members: Vec<&Member> = members.iter().collect();
        members.sort_by(|a, b| a.id.cmp(&b.id));
        members.dedup_by(|later, first| later.id == first.id);
        let topics = number_topics(layouts);
        let by_name = topics.iter().zip(0..).map(|(t, i)| (t.layout.name.as_str(), i)).collect();
        let mut roster = Roster {
            subscription_of: Vec::with_capacity(members.len()),
            subscriptions: Vec::new(),
            members,
            topics,
            by_name,
        };
        roster.number_subscriptions();
        roster
    }

    /// How many partitions there are in all topics together.
    pub(super) fn slot_count(&self) -> usize {
        self.topics.last().map_or(0, |topic| topic.end as usize)
    }

    /// Finds a topic by name, guessing first: lists of names are mostly sorted, so the answer is
    /// mostly as far from the previous one as that was from the one before, by 0 or 1.
    pub(super) fn find_topic(&self, name: &TopicName, trail: &mut Trail) -> Option<u32> {
        for step in [trail.step, 1 - trail.step] {
            let guess = trail.topic + step;
            if self.topics.get(guess as usize).is_some_and(|t| t.layout.name == *name) {
                *trail = Trail { topic: guess, step };
                return Some(guess);
            }
        }
        trail.topic = *self.by_name.get(name.as_str())?;
        Some(trail.topic)
    }

    /// For each topic, the members that subscribe to it, in the order of `members`.
    pub(super) fn subscribers(&self, members: impl Iterator<Item = u32>) -> Vec<Vec<u32>> {
        let mut subscribers = vec![Vec::new(); self.topics.len()];
        for member in members {
            for &topic in &self.subscriptions[self.subscription_of[member as usize] as usize] {
                subscribers[topic as usize].push(member);
            }
        }
        subscribers
    }

    /// Kafka's member order for range and round robin: static members by instance id, then the
    /// others by member id.
    pub(super) fn static_members_first(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..number(self.members.len())).collect();
        order.sort_by_key(|&member| {
            let instance_id = &self.members[member as usize].instance_id;
            (instance_id.is_none(), instance_id.as_deref())
        });
        order
    }

    /// Turns owners by slot into an assignment that names every member.
    pub(super) fn assignment(&self, owners: &[u32]) -> Assignment {
        let mut ends = vec![0_u32; self.members.len() + 1];
        for &owner in owners.iter().filter(|&&owner| owner != NOBODY) {
            ends[owner as usize + 1] += 1;
        }
        for member in 1..ends.len() {
            ends[member] += ends[member - 1];
        }
        // A counting sort: `ends[m]` starts where the slots of `m` begin and stops where they end.
        let mut slots = vec![0_u32; ends[self.members.len()] as usize];
        for (&owner, slot) in owners.iter().zip(0_u32..) {
            if owner != NOBODY {
                slots[ends[owner as usize] as usize] = slot;
                ends[owner as usize] += 1;
            }
        }
        let mut start = 0;
        let lists = self.members.iter().zip(&ends).map(|(member, &end)| {
            let list = self.name_slots(&slots[start..end as usize]);
            start = end as usize;
            (member.id.clone(), list)
        });
        Assignment(lists.collect())
    }

    fn name_slots(&self, slots: &[u32]) -> Vec<TopicPartition> {
        let mut rest = self.topics.as_slice();
        slots
            .iter()
            .map(|&slot| {
                if slot >= rest[0].end {
                    rest = &rest[1..];
                }
                if slot >= rest[0].end {
                    rest = &rest[rest.partition_point(|topic| topic.end <= slot)..];
                }
                // The name comes last: with nothing after it that could fail, it is copied in place.
                let partition = rest[0].partition(slot);
                TopicPartition { topic: rest[0].layout.name.clone(), partition }
            })
            .collect()
    }

    fn number_subscriptions(&mut self) {
        let mut numbers: Map<Vec<u32>, u32> = Map::default();
        let mut previous: Option<&Member> = None;
        for index in 0..self.members.len() {
            let member = self.members[index];
            // Most groups are of one mind: comparing the lists is cheaper than numbering them.
            let repeated = previous.is_some_and(|p| p.subscription == member.subscription);
            previous = Some(member);
            if repeated {
                self.subscription_of.push(self.subscription_of[index - 1]);
                continue;
            }
            let topics = self.number_topics_of(member);
            let next = number(numbers.len());
            let subscription = *numbers.entry(topics).or_insert_with_key(|topics| {
                self.subscriptions.push(topics.clone());
                next
            });
            self.subscription_of.push(subscription);
        }
    }

    fn number_topics_of(&self, member: &Member) -> Vec<u32> {
        let mut trail = Trail::default();
        let names = member.subscription.iter();
        let mut topics: Vec<u32> =
            names.filter_map(|name| self.find_topic(name, &mut trail)).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }
}

fn number_topics(layouts: &[TopicLayout]) -> Vec<Topic<'_>> {
    let mut layouts: Vec<&TopicLayout> = layouts.iter().collect();
    layouts.sort_by(|a, b| a.name.cmp(&b.name));
    layouts.dedup_by(|later, first| later.name == first.name);
    let mut first = 0;
    let number_topic = |layout| {
        let listed = listed_ids(layout);
        let count = listed.as_ref().map_or(layout.partitions.len(), Vec::len);
        let end = first + number(count);
        let topic = Topic { layout, first, end, listed };
        first = end;
        topic
    };
    layouts.into_iter().map(number_topic).collect()
}

/// The partitions' numbers in order, or `None` where they are `0..n` in order already.
fn listed_ids(layout: &TopicLayout) -> Option<Vec<PartitionId>> {
    if layout.partitions.iter().zip(0..).all(|(partition, rank)| partition.id == rank) {
        return None;
    }
    let mut listed: Vec<PartitionId> = layout.partitions.iter().map(|p| p.id).collect();
    listed.sort_unstable();
    listed.dedup();
    Some(listed)
}

/// An index as it is stored: half the size of a `usize`.
pub(super) fn number(index: usize) -> u32 {
    u32::try_from(index).expect("four billion members or partitions do not fit into memory")
}
