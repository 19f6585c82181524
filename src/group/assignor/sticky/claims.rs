//! Claims: who owned a partition before, when members disagree.
//!
//! Members are heard in order of their generations, the newest first, so that a slot needs no more
//! than one number: whoever speaks first about a partition has the newest claim. A second voice
//! counts only if it is of the same generation; then nobody is believed.
//!
//! 1. The member with the strictly highest generation is the previous owner; an unknown generation
//!    is below all others.
//! 2. There is none if two members share the highest generation, or if that member does not
//!    subscribe to the topic. Older claims do not step in.

use super::super::roster::{NOBODY, Roster, Trail, number};
use std::cmp::Reverse;

/// The owner of a slot that is claimed, but by nobody who can keep it. Later voices do not change
/// that: they are as old or older.
const DISPUTED: u32 = u32::MAX - 1;

/// The previous owner of each slot.
pub(super) fn previous_owners(roster: &Roster<'_>) -> Vec<u32> {
    let mut newest_first: Vec<u32> = (0..number(roster.members.len())).collect();
    newest_first.sort_by_key(|&m| Reverse(roster.members[m as usize].generation));
    let mut owners = vec![NOBODY; roster.slot_count()];
    let mut subscribed = Subscribed::new(roster);
    for member in newest_first {
        if !roster.members[member as usize].owned.is_empty() {
            subscribed.turn_to(roster, member);
            hear(roster, member, &subscribed, &mut owners);
        }
    }
    for owner in &mut owners {
        if *owner == DISPUTED {
            *owner = NOBODY;
        }
    }
    owners
}

fn hear(roster: &Roster<'_>, member: u32, subscribed: &Subscribed, owners: &mut [u32]) {
    let mut trail = Trail::default();
    for claim in &roster.members[member as usize].owned {
        let Some(topic) = roster.find_topic(&claim.topic, &mut trail) else { continue };
        let Some(slot) = roster.topics[topic as usize].slot(claim.partition) else { continue };
        let owner = &mut owners[slot as usize];
        match *owner {
            NOBODY if subscribed.has(topic) => *owner = member,
            NOBODY => *owner = DISPUTED,
            DISPUTED => {}
            earlier if earlier == member => {}
            earlier => {
                let generation = |m: u32| roster.members[m as usize].generation;
                if generation(earlier) == generation(member) {
                    *owner = DISPUTED;
                }
            }
        }
    }
}

/// The subscription of one member at a time, as a set.
struct Subscribed {
    subscription: Option<u32>,
    /// By topic: the last subscription, plus one, that was found to contain it.
    stamps: Vec<u32>,
}

impl Subscribed {
    fn new(roster: &Roster<'_>) -> Self {
        Subscribed { subscription: None, stamps: vec![0; roster.topics.len()] }
    }

    fn turn_to(&mut self, roster: &Roster<'_>, member: u32) {
        let subscription = roster.subscription_of[member as usize];
        if self.subscription.replace(subscription) != Some(subscription) {
            for &topic in &roster.subscriptions[subscription as usize] {
                self.stamps[topic as usize] = subscription + 1;
            }
        }
    }

    fn has(&self, topic: u32) -> bool {
        self.subscription.is_some_and(|s| self.stamps[topic as usize] == s + 1)
    }
}
