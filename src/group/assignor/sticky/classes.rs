//! Classes: members that want the same topics, topics that are wanted by the same members.
//!
//! ```text
//!  topic classes                member classes
//!   {t1 t2}  5 partitions ────► {a b}
//!                        ╲
//!   {u}      3 partitions ────► {c}          an edge: subscribes
//! ```
//!
//! Within a class everything is interchangeable, as far as balance goes: a group of 2,000 members
//! and 500 topics that all subscribe to everything is one edge.

use super::super::roster::{NOBODY, Roster, number};
use crate::ids::Map;

/// The classes of a group.
pub(super) struct Classes<'a> {
    pub(super) topics: Vec<TopicClass>,
    /// The member class of each member.
    pub(super) class_of: &'a [u32],
    /// The members of each member class, ascending.
    pub(super) members: Vec<Vec<u32>>,
}

/// Topics with the same subscribers.
pub(super) struct TopicClass {
    /// Topic numbers, ascending.
    pub(super) topics: Vec<u32>,
    /// The member classes that subscribe, ascending.
    pub(super) subscribers: Vec<u32>,
    /// The partitions of all topics together; never 0.
    pub(super) partitions: u32,
}

/// One member's previous share of one topic class.
#[derive(Clone, Copy)]
pub(super) struct KeptArc {
    pub(super) member: u32,
    /// How many partitions of the class the member owned.
    pub(super) owned: u32,
    /// How many of them it is to keep; decided by `keep.rs`.
    pub(super) kept: u32,
}

impl<'a> Classes<'a> {
    /// Sorts members and topics into classes.
    pub(super) fn new(roster: &'a Roster<'_>) -> Self {
        let mut members = vec![Vec::new(); roster.subscriptions.len()];
        for (&subscription, member) in roster.subscription_of.iter().zip(0..) {
            members[subscription as usize].push(member);
        }
        let mut subscribers = vec![Vec::new(); roster.topics.len()];
        for (topics, class) in roster.subscriptions.iter().zip(0..) {
            for &topic in topics {
                subscribers[topic as usize].push(class);
            }
        }
        let mut classes: Vec<TopicClass> = Vec::new();
        let mut class_of: Map<&[u32], usize> = Map::default();
        for (topic, subscribers) in subscribers.iter().enumerate() {
            let partitions = roster.topics[topic].partition_count();
            if partitions == 0 || subscribers.is_empty() {
                continue;
            }
            let class = *class_of.entry(subscribers).or_insert_with(|| {
                let subscribers = subscribers.clone();
                classes.push(TopicClass { topics: Vec::new(), subscribers, partitions: 0 });
                classes.len() - 1
            });
            classes[class].topics.push(number(topic));
            classes[class].partitions += partitions;
        }
        Classes { topics: classes, class_of: &roster.subscription_of, members }
    }

    /// Counts what members owned of each topic class.
    pub(super) fn kept_arcs(&self, roster: &Roster<'_>, owners: &[u32]) -> Vec<Vec<KeptArc>> {
        let mut owned = vec![0_u32; roster.members.len()];
        let count_class = |class: &TopicClass| {
            let mut arcs = Vec::new();
            for &topic in &class.topics {
                let topic = &roster.topics[topic as usize];
                for &owner in &owners[topic.first as usize..topic.end as usize] {
                    if owner != NOBODY {
                        let owned = &mut owned[owner as usize];
                        if *owned == 0 {
                            arcs.push(KeptArc { member: owner, owned: 0, kept: 0 });
                        }
                        *owned += 1;
                    }
                }
            }
            for arc in &mut arcs {
                arc.owned = std::mem::take(&mut owned[arc.member as usize]);
            }
            arcs
        };
        self.topics.iter().map(count_class).collect()
    }
}
