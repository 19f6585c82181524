//! The properties of an assignment, computed from their definitions and from nothing of the crate's.

use crate::data::{Input, MemberInput, Owners, Partition};
use std::collections::{BTreeMap, BTreeSet};

/// What is wrong with an assignment: an empty answer is a valid one.
pub(crate) fn invalid(input: &Input, owners: &Owners) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (id, list) in owners {
        let member = input.member(id);
        for partition in list {
            if input.topics.get(&partition.0).is_none_or(|&count| partition.1 >= count) {
                wrong.push(format!("{partition:?} does not exist"));
            }
            if !member.subscription.contains(&partition.0) {
                wrong.push(format!("{id} does not subscribe to {partition:?}"));
            }
            if !seen.insert(partition) {
                wrong.push(format!("{partition:?} is assigned twice"));
            }
        }
    }
    wrong
}

/// Whether every partition with a subscriber is assigned; the assignment must be valid.
pub(crate) fn is_complete(input: &Input, owners: &Owners) -> bool {
    owners.values().map(Vec::len).sum::<usize>() == input.effective().len()
}

/// No partition of a member has a subscriber with two partitions less.
pub(crate) fn is_strictly_balanced(input: &Input, owners: &Owners) -> bool {
    let size = |m: &MemberInput| owners.get(&m.id).map_or(0, Vec::len);
    owners.values().all(|list| {
        let topics: BTreeSet<&String> = list.iter().map(|(topic, _)| topic).collect();
        topics.into_iter().all(|topic| {
            input
                .members
                .iter()
                .filter(|m| m.subscription.contains(topic))
                .all(|m| size(m) + 2 > list.len())
        })
    })
}

/// No two members differ by more than one, over all members.
pub(crate) fn is_fully_balanced(owners: &Owners) -> bool {
    let loads = loads(owners);
    loads.last().unwrap_or(&0) - loads.first().unwrap_or(&0) <= 1
}

/// Members that differ by more than one have no topic in common.
pub(crate) fn is_kafka_balanced(owners: &Owners) -> bool {
    let topics =
        |list: &[Partition]| list.iter().map(|(topic, _)| topic.clone()).collect::<BTreeSet<_>>();
    let lists: Vec<_> = owners.values().map(|list| (list.len(), topics(list))).collect();
    lists.iter().all(|(a, of_a)| {
        lists.iter().all(|(b, of_b)| a.abs_diff(*b) <= 1 || of_a.is_disjoint(of_b))
    })
}

/// The number of partitions of each member, ascending.
pub(crate) fn loads(owners: &Owners) -> Vec<usize> {
    let mut loads: Vec<usize> = owners.values().map(Vec::len).collect();
    loads.sort_unstable();
    loads
}

/// The sum of the differences of all pairs of loads.
pub(crate) fn balance_score(owners: &Owners) -> u64 {
    let loads = loads(owners);
    let above = |(i, a): (usize, &usize)| loads[..i].iter().map(|b| (a - b) as u64).sum::<u64>();
    loads.iter().enumerate().map(above).sum()
}

/// How many partitions with a valid previous owner are assigned to somebody else.
pub(crate) fn moved(input: &Input, owners: &Owners) -> usize {
    let previous = input.previous_owners();
    let lists = owners.iter();
    lists
        .map(|(id, list)| {
            list.iter().filter(|p| previous.get(p).is_some_and(|owner| owner != id)).count()
        })
        .sum()
}

/// The target without what is newly added to a member while another reports owning it: what a
/// group hands out in the first round of a cooperative rebalance. Also what was withheld.
pub(crate) fn first_round(input: &Input, target: &Owners) -> (Owners, Vec<(Partition, String)>) {
    let mut withheld = Vec::new();
    let round = target.iter().map(|(id, list)| {
        let mut list = list.clone();
        list.retain(|partition| {
            let claims = |m: &MemberInput| m.owned.contains(partition);
            let is_added = !claims(input.member(id));
            let stays = !is_added || !input.members.iter().any(|m| m.id != *id && claims(m));
            if !stays {
                withheld.push((partition.clone(), id.clone()));
            }
            stays
        });
        (id.clone(), list)
    });
    let round = round.collect();
    (round, withheld)
}

/// No partition is both added to one member and taken from another.
pub(crate) fn is_cooperative(input: &Input, owners: &Owners) -> bool {
    let (mut added, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for member in &input.members {
        let old: BTreeSet<&Partition> = member.owned.iter().collect();
        let new: BTreeSet<&Partition> = owners[&member.id].iter().collect();
        added.extend(new.difference(&old).copied());
        taken.extend(old.difference(&new).copied());
    }
    added.is_disjoint(&taken)
}

/// Pairs of members between which partitions of one topic went both ways.
pub(crate) fn move_cycles(before: &Owners, after: &Owners) -> Vec<(String, String, String)> {
    let mut moves = BTreeSet::new();
    let now: BTreeMap<&Partition, &String> =
        after.iter().flat_map(|(id, list)| list.iter().map(move |p| (p, id))).collect();
    for (from, list) in before {
        for partition in list {
            if let Some(&to) = now.get(partition).filter(|&&to| to != from) {
                moves.insert((partition.0.clone(), from.clone(), to.clone()));
            }
        }
    }
    let back = |(topic, from, to): &(String, String, String)| {
        moves.contains(&(topic.clone(), to.clone(), from.clone()))
    };
    moves.iter().filter(|m| back(m)).cloned().collect()
}

/// How many partitions have no replica where their owner is.
pub(crate) fn rack_mismatches(input: &Input, owners: &Owners) -> usize {
    let lists = owners.iter().map(|(id, list)| (input.member(id), list));
    lists.map(|(member, list)| list.iter().filter(|p| input.is_away(member, p)).count()).sum()
}

impl Input {
    pub(crate) fn member(&self, id: &str) -> &MemberInput {
        self.members.iter().find(|m| m.id == id).expect("a member of the group")
    }

    /// Whether a partition has no replica on the member's rack.
    pub(crate) fn is_away(&self, member: &MemberInput, (topic, partition): &Partition) -> bool {
        let racks =
            self.partition_racks.get(topic).and_then(|racks| racks.get(*partition as usize));
        member.rack.as_ref().is_some_and(|rack| racks.is_none_or(|racks| !racks.contains(rack)))
    }

    /// The partitions of existing topics with a subscriber.
    pub(crate) fn effective(&self) -> Vec<Partition> {
        let is_wanted =
            |topic: &&String| self.members.iter().any(|m| m.subscription.contains(topic));
        let wanted = self.topics.keys().filter(is_wanted);
        wanted.flat_map(|t| (0..self.topics[t]).map(|p| (t.clone(), p))).collect()
    }

    /// The member with the strictly highest generation among those that claim a partition, if it
    /// still subscribes.
    pub(crate) fn previous_owners(&self) -> BTreeMap<Partition, String> {
        let mut claims: BTreeMap<&Partition, Vec<(i64, &MemberInput)>> = BTreeMap::new();
        for member in &self.members {
            for partition in member.owned.iter().collect::<BTreeSet<_>>() {
                let generation = member.generation.unwrap_or(-1);
                claims.entry(partition).or_default().push((generation, member));
            }
        }
        let mut owners = BTreeMap::new();
        for (partition, claims) in claims {
            let highest = claims.iter().map(|(generation, _)| *generation).max();
            let mut newest = claims.iter().filter(|(generation, _)| Some(*generation) == highest);
            let (first, second) = (newest.next(), newest.next());
            let exists = self.topics.get(&partition.0).is_some_and(|&count| partition.1 < count);
            if let (Some((_, owner)), None, true) = (first, second, exists)
                && owner.subscription.contains(&partition.0)
            {
                owners.insert(partition.clone(), owner.id.clone());
            }
        }
        owners
    }
}
