//! The optimum by the plainest method that finds it: one partition, one node.
//!
//! Partitions are placed one at a time along the cheapest augmenting path (Bellman-Ford). A member's
//! n-th partition costs n times `LEVEL`, which is more than everything else together, so the loads
//! come out with the least sum of squares; among those, with the fewest partitions away from their
//! racks; among those, with the fewest moves.

use crate::data::Input;
use std::collections::BTreeSet;

pub(crate) struct Optimum {
    /// Ascending.
    pub(crate) loads: Vec<usize>,
    pub(crate) moves: usize,
    pub(crate) away: usize,
}

const LEVEL: i64 = 1_000_000_000;
const AWAY: i64 = 10_000;

pub(crate) fn find(input: &Input) -> Optimum {
    let partitions = input.effective();
    let previous = input.previous_owners();
    let is_allowed = |p: usize, m: usize| input.members[m].subscription.contains(&partitions[p].0);
    let racks_matter = racks_matter(input);
    let cost = |p: usize, m: usize| {
        let member = &input.members[m];
        let moves = previous.get(&partitions[p]).is_some_and(|id| *id != member.id);
        let is_away = racks_matter && input.is_away(member, &partitions[p]);
        i64::from(moves) + AWAY * i64::from(is_away)
    };
    let count = input.members.len();
    let mut owner: Vec<Option<usize>> = vec![None; partitions.len()];
    for new in 0..partitions.len() {
        // The cheapest way for member m to come by one partition more than it can keep, and whose
        // partition that is.
        let mut costs = vec![i64::MAX; count];
        let mut via = vec![new; count];
        for m in (0..count).filter(|&m| is_allowed(new, m)) {
            costs[m] = cost(new, m);
        }
        for _ in 0..count {
            for (p, from) in owner[..new].iter().enumerate() {
                let from = from.expect("placed before");
                for to in (0..count).filter(|&to| to != from && is_allowed(p, to)) {
                    let through = costs[from].saturating_add(cost(p, to) - cost(p, from));
                    if costs[from] != i64::MAX && through < costs[to] {
                        (costs[to], via[to]) = (through, p);
                    }
                }
            }
        }
        let load = |m: usize| owner.iter().filter(|o| **o == Some(m)).count() as i64;
        let total = |m: usize| costs[m].saturating_add((2 * load(m) + 1) * LEVEL);
        let reached = (0..count).filter(|&m| costs[m] != i64::MAX);
        let mut member = reached.min_by_key(|&m| total(m)).expect("a subscriber");
        loop {
            let partition = via[member];
            match owner[partition].replace(member) {
                Some(from) => member = from,
                None => break,
            }
        }
    }
    let placed: Vec<usize> = owner.into_iter().flatten().collect();
    let mut loads: Vec<usize> =
        (0..count).map(|m| placed.iter().filter(|&&o| o == m).count()).collect();
    loads.sort_unstable();
    let costs = placed.iter().enumerate().map(|(p, &m)| cost(p, m));
    let (moves, away) = (costs.clone().filter(|c| c % AWAY > 0), costs.filter(|&c| c >= AWAY));
    Optimum { loads, moves: moves.count(), away: away.count() }
}

/// Whether some member is on a rack with replicas, and some partitions are on fewer racks than
/// others.
pub(crate) fn racks_matter(input: &Input) -> bool {
    let no_racks = Vec::new();
    let racks = |(topic, &count): (&String, &u32)| {
        let of_topic = input.partition_racks.get(topic).unwrap_or(&no_racks);
        (0..count as usize)
            .map(|p| of_topic.get(p).into_iter().flatten().collect::<BTreeSet<_>>())
            .collect::<Vec<_>>()
    };
    let by_partition: Vec<BTreeSet<&String>> = input.topics.iter().flat_map(racks).collect();
    let all: BTreeSet<&String> = by_partition.iter().flatten().copied().collect();
    input.members.iter().any(|m| m.rack.as_ref().is_some_and(|rack| all.contains(rack)))
        && by_partition.iter().any(|racks| *racks != all)
}
