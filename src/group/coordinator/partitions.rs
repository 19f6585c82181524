//! The group's partitions by dense number, and who holds each.
//!
//! Everything inside the coordinator speaks of partitions by [`Index`]: a list of them is sorted
//! and compared as numbers, and the holder of one is an array access away. Names appear where
//! members come in and go out.
//!
//! ```text
//!  topics    orders ─► [0 1 2 3]   clicks ─► [4 5]      orders grows: [0 1 2 3 6 7]
//!  holds     index    0      1      2      …
//!                   seat 3  seat 3  free        + the epoch since, + whether it is to be let go of
//! ```
//!
//! Kept here:
//! 1. A number stands for one name for ever, also when a topic goes and comes back.
//! 2. A partition has one holder at most.

use super::reconcile::{Epoch, Index};
use crate::group::assignor::TopicLayout;
use crate::ids::{Map, PartitionId, TopicName, TopicPartition};

/// The place of a partition that the group has never heard of; no list contains it.
pub(super) const NOWHERE: Index = Index::MAX;

/// A topic's place in the table; dense, never reused.
pub(super) type TopicIndex = u32;

/// Who holds a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    /// The holder.
    pub(super) seat: u32,
    /// The epoch at which it was given the partition.
    pub(super) since: Epoch,
    /// Whether it was told to let go.
    pub(super) is_pending: bool,
}

#[derive(Debug)]
struct Topic {
    layout: TopicLayout,
    /// By partition number; may be longer than the layout, if the topic was made anew and smaller.
    indices: Vec<Index>,
    exists: bool,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    topics: Vec<Topic>,
    by_name: Map<TopicName, TopicIndex>,
    names: Vec<(TopicIndex, PartitionId)>,
    holds: Vec<Option<Hold>>,
}

impl Partitions {
    /// Takes over what topics and partitions there are, and returns the topics in which names,
    /// partitions or racks changed.
    pub(super) fn update(&mut self, layouts: &[TopicLayout]) -> Vec<TopicIndex> {
        let mut changed = Vec::new();
        let mut gone: Vec<bool> = self.topics.iter().map(|topic| topic.exists).collect();
        for layout in layouts {
            let place = self.topic_or_new(&layout.name);
            if let Some(gone) = gone.get_mut(at(place)) {
                *gone = false;
            }
            let topic = &mut self.topics[at(place)];
            if !topic.exists || !is_same(&topic.layout, layout) {
                changed.push(place);
            }
            topic.exists = true;
            topic.layout = layout.clone();
            for partition in topic.indices.len()..layout.partitions.len() {
                topic.indices.push(number(self.names.len()));
                self.names.push((place, number(partition)));
                self.holds.push(None);
            }
        }
        for (place, gone) in gone.into_iter().enumerate().filter(|(_, gone)| *gone) {
            self.topics[place].exists = !gone;
            changed.push(number(place));
        }
        changed
    }

    /// The place of a topic by name; a name that is new gets a place, but does not exist yet.
    pub(super) fn topic_or_new(&mut self, name: &TopicName) -> TopicIndex {
        if let Some(&place) = self.by_name.get(name.as_str()) {
            return place;
        }
        let place = number(self.topics.len());
        let layout = TopicLayout::new(name, 0);
        self.topics.push(Topic { layout, indices: Vec::new(), exists: false });
        self.by_name.insert(name.clone(), place);
        place
    }

    /// The layouts of the topics that exist, by name.
    pub(super) fn layouts(&self) -> Vec<TopicLayout> {
        let existing = self.topics.iter().filter(|topic| topic.exists);
        let mut layouts: Vec<TopicLayout> = existing.map(|topic| topic.layout.clone()).collect();
        layouts.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        layouts
    }

    /// The place of a topic that has been named before.
    pub(super) fn topic(&self, name: &str) -> Option<TopicIndex> {
        self.by_name.get(name).copied()
    }

    /// The name of a topic.
    pub(super) fn topic_name(&self, place: TopicIndex) -> &TopicName {
        &self.topics[at(place)].layout.name
    }

    /// The partitions of a topic; none if it does not exist.
    pub(super) fn of_topic(&self, place: TopicIndex) -> &[Index] {
        let topic = &self.topics[at(place)];
        match topic.exists {
            true => &topic.indices[..topic.layout.partitions.len()],
            false => &[],
        }
    }

    /// How many topics have been named.
    pub(super) fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// How many partitions have been given a number.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The place of a partition; [`NOWHERE`] if the group has never heard of it.
    pub(super) fn index(&self, of: &TopicPartition) -> Index {
        let topic = self.topic(&of.topic).map(|place| &self.topics[at(place)]);
        let index = topic.and_then(|topic| topic.indices.get(at(of.partition)));
        index.copied().unwrap_or(NOWHERE)
    }

    /// The places of partitions, in the same order.
    pub(super) fn indices(&self, of: &[TopicPartition]) -> Vec<Index> {
        of.iter().map(|partition| self.index(partition)).collect()
    }

    /// The name of a partition.
    pub(super) fn name(&self, index: Index) -> TopicPartition {
        let (topic, partition) = self.names[at(index)];
        TopicPartition::new(self.topic_name(topic), partition)
    }

    /// The names of partitions, sorted.
    pub(super) fn sorted_names(&self, of: &[Index]) -> Vec<TopicPartition> {
        let mut names: Vec<TopicPartition> = of.iter().map(|&index| self.name(index)).collect();
        names.sort_unstable();
        names
    }

    /// Who holds a partition.
    pub(super) fn hold(&self, index: Index) -> Option<Hold> {
        self.holds.get(at(index)).copied().flatten()
    }

    /// Gives a partition to a holder, or frees it.
    pub(super) fn set_hold(&mut self, index: Index, hold: Option<Hold>) {
        self.holds[at(index)] = hold;
    }
}

fn is_same(a: &TopicLayout, b: &TopicLayout) -> bool {
    let racks = |layout: &TopicLayout| layout.partitions.iter().any(|p| !p.racks.is_empty());
    a.partitions.len() == b.partitions.len()
        && (!(racks(a) || racks(b))
            || a.partitions.iter().zip(&b.partitions).all(|(a, b)| a.racks == b.racks))
}

/// A place as a subscript.
pub(super) fn at(place: u32) -> usize {
    usize::try_from(place).expect("a machine addresses at least 32 bits")
}

/// A subscript as a place.
pub(super) fn number(place: usize) -> u32 {
    u32::try_from(place).ok().filter(|&place| place != NOWHERE).expect("fewer than 2^32 of a kind")
}
