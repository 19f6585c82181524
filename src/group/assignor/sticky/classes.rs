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
//!
//! Where racks matter, members of a class are also on the same rack, and a topic is divided into
//! classes of partitions on the same racks. All that the later steps know of racks is whether a
//! topic class is near a member class.

use super::super::racks::RackMap;
use super::super::roster::{NOBODY, Roster, Topic, number};
use crate::ids::Map;

/// The classes of a group.
pub(super) struct Classes {
    pub(super) topics: Vec<TopicClass>,
    /// The members of each member class, ascending.
    pub(super) members: Vec<Vec<u32>>,
    /// The member class of each member.
    pub(super) class_of: Vec<u32>,
    /// Where each member class is; `None` is near everything.
    racks: Vec<Option<u32>>,
}

/// Topics with the same subscribers, or those of their partitions that are on the same racks.
pub(super) struct TopicClass {
    /// Ascending.
    pub(super) runs: Vec<Run>,
    /// The member classes that subscribe, ascending.
    pub(super) subscribers: Vec<u32>,
    /// The length of all runs together; never 0.
    pub(super) partitions: u32,
    /// `None` if racks do not matter.
    racks: Option<Vec<u32>>,
}

/// Consecutive slots of one topic.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) topic: u32,
    pub(super) first: u32,
    pub(super) end: u32,
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

impl Classes {
    /// Sorts members and topics into classes.
    pub(super) fn new(roster: &Roster<'_>) -> Self {
        let has_racks = roster.members.iter().any(|member| member.rack.is_some());
        let racks = has_racks.then(|| RackMap::new(roster)).filter(RackMap::matter_at_all);
        let mut classes = Classes {
            topics: Vec::new(),
            members: Vec::new(),
            class_of: Vec::new(),
            racks: Vec::new(),
        };
        let subscriptions = classes.add_members(roster, racks.as_ref());
        let mut subscribers = vec![Vec::new(); roster.topics.len()];
        for (subscription, class) in subscriptions.into_iter().zip(0..) {
            for &topic in &roster.subscriptions[subscription as usize] {
                subscribers[topic as usize].push(class);
            }
        }
        classes.add_topics(roster, racks.as_ref(), &subscribers);
        classes
    }

    /// Whether the members of a class are on a rack of the partitions of another.
    pub(super) fn is_near(&self, topic: u32, members: u32) -> bool {
        let (racks, rack) = (&self.topics[topic as usize].racks, self.racks[members as usize]);
        racks.as_ref().zip(rack).is_none_or(|(racks, rack)| racks.binary_search(&rack).is_ok())
    }

    /// Sorts the members; returns each class's subscription.
    fn add_members(&mut self, roster: &Roster<'_>, racks: Option<&RackMap>) -> Vec<u32> {
        let mut subscriptions = Vec::new();
        let mut numbers: Map<(u32, Option<u32>), u32> = Map::default();
        for (&subscription, member) in roster.subscription_of.iter().zip(0..) {
            let rack = racks.and_then(|racks| racks.of_member(member));
            let class = *numbers.entry((subscription, rack)).or_insert_with(|| {
                subscriptions.push(subscription);
                self.members.push(Vec::new());
                self.racks.push(rack);
                number(self.members.len() - 1)
            });
            self.members[class as usize].push(member);
            self.class_of.push(class);
        }
        subscriptions
    }

    fn add_topics(
        &mut self,
        roster: &Roster<'_>,
        racks: Option<&RackMap>,
        subscribers: &[Vec<u32>],
    ) {
        let mut numbers: Map<(&[u32], Option<&[u32]>), usize> = Map::default();
        for ((topic, subscribers), index) in roster.topics.iter().zip(subscribers).zip(0..) {
            if subscribers.is_empty() {
                continue;
            }
            for run in runs(index, topic, racks) {
                let racks = racks.map(|racks| racks.of_slot(run.first));
                let class = *numbers.entry((subscribers, racks)).or_insert_with(|| {
                    self.topics.push(TopicClass {
                        runs: Vec::new(),
                        subscribers: subscribers.clone(),
                        partitions: 0,
                        racks: racks.map(<[u32]>::to_vec),
                    });
                    self.topics.len() - 1
                });
                self.topics[class].runs.push(run);
                self.topics[class].partitions += run.end - run.first;
            }
        }
    }

    /// Counts what members owned of each topic class.
    pub(super) fn kept_arcs(&self, roster: &Roster<'_>, owners: &[u32]) -> Vec<Vec<KeptArc>> {
        let mut owned = vec![0_u32; roster.members.len()];
        let count_class = |class: &TopicClass| {
            let mut arcs = Vec::new();
            for run in &class.runs {
                for &owner in &owners[run.first as usize..run.end as usize] {
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

/// A topic's slots: in one piece, or cut wherever the racks change.
fn runs(topic: u32, slots: &Topic<'_>, racks: Option<&RackMap>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let is_cut = |slot: u32| racks.is_some_and(|r| r.of_slot(slot - 1) != r.of_slot(slot));
    let mut first = slots.first;
    for end in slots.first + 1..=slots.end {
        if end == slots.end || is_cut(end) {
            runs.push(Run { topic, first, end });
            first = end;
        }
    }
    runs
}
