//! Deal: which partitions are given up, and who gets those that are free.
//!
//! The plan knows only numbers. Any choice that fits them is as balanced and as sticky, so this one
//! looks at what the numbers leave open: that no member ends up with one topic alone.
//!
//! ```text
//!  gives up two of      t/0 t/3 t/5   u/1 u/2      ranks within the topic: t 0 1 2, u 0 1
//!  highest ranks go             ▲       ╰▲         so most go from the topic it has most of
//! ```
//!
//! 1. Among equal ranks every member starts with a different topic, so that what is given up comes
//!    from all topics.
//! 2. Free partitions are dealt in turn, topic by topic, to the members of a class that need some;
//!    those that keep the fewest come first.

use super::super::roster::{NOBODY, number};
use super::classes::{Classes, KeptArc, TopicClass};
use super::keep::Plan;

/// Turns previous owners into new ones.
pub(super) fn deal(classes: &Classes, arcs: &[Vec<KeptArc>], mut plan: Plan, owners: &mut [u32]) {
    let mut givers = Givers { places: vec![NOBODY; plan.needs.len()], turn: 0 };
    let mut rings = new_rings(classes, arcs, &plan);
    for ((class, arcs), feeds) in classes.topics.iter().zip(arcs).zip(&plan.feeds) {
        givers.release(class, arcs, owners);
        let mut feeds = feeds.iter();
        let (mut ring, mut left) = (0, 0);
        for slot in class.runs.iter().flat_map(|run| run.first..run.end) {
            if owners[slot as usize] != NOBODY {
                continue;
            }
            if left == 0 {
                let Some(feed) = feeds.next() else { break };
                (ring, left) = (feed.members as usize, feed.count);
            }
            left -= 1;
            owners[slot as usize] = rings[ring].next(&mut plan.needs);
        }
    }
}

/// The members of each class that need some, those that keep the fewest first.
fn new_rings(classes: &Classes, arcs: &[Vec<KeptArc>], plan: &Plan) -> Vec<Ring> {
    let mut kept = vec![0_u32; plan.needs.len()];
    for arc in arcs.iter().flatten() {
        kept[arc.member as usize] += arc.kept;
    }
    let is_needy = |member: &u32| plan.needs[*member as usize] > 0;
    let new_ring = |members: &Vec<u32>| {
        let mut ring: Vec<u32> = members.iter().copied().filter(is_needy).collect();
        ring.sort_by_key(|&member| kept[member as usize]);
        Ring { members: ring, next: 0, stay: 0 }
    };
    classes.members.iter().map(new_ring).collect()
}

/// Members that take turns until each has what it needs.
struct Ring {
    members: Vec<u32>,
    next: usize,
    /// Members before `next` that need more have been moved to the front: so many.
    stay: usize,
}

impl Ring {
    fn next(&mut self, needs: &mut [u32]) -> u32 {
        if self.next == self.members.len() {
            self.members.truncate(self.stay);
            (self.next, self.stay) = (0, 0);
        }
        let member = self.members[self.next];
        self.next += 1;
        needs[member as usize] -= 1;
        if needs[member as usize] > 0 {
            self.members[self.stay] = member;
            self.stay += 1;
        }
        member
    }
}

/// Members that give up partitions of the topic class at hand.
struct Givers {
    /// By member: its place among them, or `NOBODY`.
    places: Vec<u32>,
    /// How many have been given up so far, which is where the next giver starts.
    turn: usize,
}

/// Partitions that one member owns of one topic class.
struct Giver {
    member: u32,
    kept: usize,
    /// The topic at hand, and how many of its partitions have been seen.
    topic: u32,
    rank: u64,
    /// The rank and the place of the topic in this giver's order, then the slot.
    owned: Vec<(u64, u32)>,
}

impl Givers {
    /// Frees what is not kept of one topic class.
    fn release(&mut self, class: &TopicClass, arcs: &[KeptArc], owners: &mut [u32]) {
        let mut givers: Vec<Giver> = Vec::new();
        for arc in arcs.iter().filter(|arc| arc.kept < arc.owned) {
            self.places[arc.member as usize] = number(givers.len());
            givers.push(Giver::new(arc));
        }
        if givers.is_empty() {
            return;
        }
        let run_count = class.runs.len();
        for (place, run) in class.runs.iter().enumerate() {
            for slot in run.first..run.end {
                let owner = owners[slot as usize];
                if owner != NOBODY && self.places[owner as usize] != NOBODY {
                    givers[self.places[owner as usize] as usize].add(run.topic, place, slot);
                }
            }
        }
        for giver in &mut givers {
            self.places[giver.member as usize] = NOBODY;
            let start = self.turn % run_count;
            self.turn += giver.owned.len() - giver.kept;
            for slot in giver.give_up(start, run_count) {
                owners[slot as usize] = NOBODY;
            }
        }
    }
}

impl Giver {
    fn new(arc: &KeptArc) -> Self {
        Giver {
            member: arc.member,
            kept: arc.kept as usize,
            topic: NOBODY,
            rank: 0,
            owned: Vec::with_capacity(arc.owned as usize),
        }
    }

    fn add(&mut self, topic: u32, place: usize, slot: u32) {
        self.rank = if self.topic == topic { self.rank + 1 } else { 0 };
        self.topic = topic;
        self.owned.push(((self.rank << 32) + place as u64, slot));
    }

    /// The partitions with the highest ranks; among equals, topics from `start` on come first.
    fn give_up(&mut self, start: usize, run_count: usize) -> impl Iterator<Item = u32> + '_ {
        let (start, count) = (start as u64, run_count as u64);
        let order = move |&(key, _): &(u64, u32)| {
            let (rank, place) = (key >> 32, key & u64::from(u32::MAX));
            (rank << 32) + (count + start - 1 - place) % count
        };
        if self.kept > 0 {
            self.owned.select_nth_unstable_by_key(self.kept, order);
        }
        self.owned[self.kept..].iter().map(|&(_, slot)| slot)
    }
}
