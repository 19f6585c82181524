//! The invariants, checked from outside after every event: from what the coordinator shows, and
//! from what consumers were told.

use super::super::*;
use super::support::{Consumer, Group};
use crate::group::assignor::RebalanceProtocol;
use crate::group::coordinator::describe::MemberSnapshot;
use std::collections::{BTreeMap, BTreeSet};

/// What was true before the last event.
#[derive(Debug, Default)]
pub(super) struct Checker {
    epoch: Epoch,
    assignment_epoch: Epoch,
    /// Who was in the group: instance ids, or names.
    members: BTreeSet<String>,
    /// Each membership's epoch.
    epochs: BTreeMap<u64, Epoch>,
    /// Commits that were tried.
    pub(super) commits: usize,
}

impl Checker {
    /// Panics if an invariant does not hold, naming it.
    pub(super) fn check(&mut self, group: &Group) {
        let snapshot = group.coordinator.describe();
        self.epochs_rise(&snapshot);
        one_owner_at_most(&snapshot);
        books_agree(group);
        nobody_is_left_out(group, &snapshot);
        held_is_what_the_coordinator_gave(group, &snapshot);
        self.rebalances_follow_the_protocol(group, &snapshot);
        self.commits_are_fenced(group, &snapshot);
        no_deadline_has_passed(group);
    }

    /// B7. Epochs only rise, and whoever comes or goes raises the group's.
    fn epochs_rise(&mut self, snapshot: &GroupSnapshot) {
        assert!(snapshot.epoch >= self.epoch, "epochs rise: the group's fell");
        assert!(
            snapshot.assignment_epoch >= self.assignment_epoch,
            "epochs rise: assignment's fell"
        );
        assert!(
            snapshot.assignment_epoch <= snapshot.epoch,
            "epochs rise: assignment ahead of group"
        );
        let name = |m: &MemberSnapshot| m.instance_id.clone().unwrap_or(m.id.to_string());
        let members: BTreeSet<String> = snapshot.members.iter().map(name).collect();
        assert!(
            members == self.members || snapshot.epoch > self.epoch,
            "epochs rise: members changed at epoch {}",
            self.epoch
        );
        for member in &snapshot.members {
            assert!(member.epoch <= snapshot.epoch, "epochs rise: {} is ahead", member.id);
        }
        (self.epoch, self.assignment_epoch) = (snapshot.epoch, snapshot.assignment_epoch);
        self.members = members;
    }

    /// Who keeps what through a rebalance (L-8), and in an eager group, who gets what when.
    fn rebalances_follow_the_protocol(&mut self, group: &Group, snapshot: &GroupSnapshot) {
        let is_eager = group.coordinator.roster.config.protocol == RebalanceProtocol::Eager;
        for consumer in members(group) {
            let serial = consumer.key.map_or(0, |key| key.serial);
            let was = self.epochs.insert(serial, consumer.epoch).unwrap_or_default();
            assert!(consumer.epoch >= was, "epochs rise: {}'s fell", consumer.profile.id);
            let seat = snapshot.members.iter().find(|m| m.id == consumer.profile.id);
            let seat = seat.expect("a member is in the group");
            let in_vain = |p: &TopicPartition| {
                seat.target.contains(p) && snapshot.assignment_epoch == consumer.epoch + 1
            };
            assert!(
                is_eager || !consumer.letting_go.iter().any(in_vain),
                "keeps consuming: revoked what stays"
            );
        }
        if is_eager {
            eager_groups_start_anew(group);
        }
    }

    /// B7. A commit is accepted from the current holder, and from no epoch before it held.
    fn commits_are_fenced(&mut self, group: &Group, snapshot: &GroupSnapshot) {
        let all: Vec<TopicPartition> = partitions(&group.topics);
        for consumer in &group.consumers {
            let Some(key) = consumer.key else { continue };
            let seat = match group.coordinator.seat(key) {
                Ok(seat) => seat,
                Err(_) => continue,
            };
            let is_member = snapshot
                .members
                .iter()
                .any(|m| m.id == consumer.profile.id && !m.is_away && is_current(group, consumer));
            assert!(is_member, "commits are fenced: {} is gone", consumer.profile.id);
            let refused = group.coordinator.roster.refused_commits(seat, consumer.epoch, &all);
            let refused: BTreeSet<&TopicPartition> = refused.iter().map(|r| &r.partition).collect();
            for partition in &all {
                let is_accepted = !refused.contains(partition);
                if consumer.held.contains(partition) {
                    assert!(is_accepted, "commits are fenced: {partition} refused to its holder");
                    Self::stale_commit_is_refused(group, consumer, seat, partition);
                } else if is_accepted {
                    // Told to let go and did, but has not said so yet.
                    let ours = snapshot.members.iter().find(|m| m.id == consumer.profile.id);
                    let is_ours = ours.is_some_and(|m| {
                        m.pending.contains(partition) || m.assigned.contains(partition)
                    });
                    assert!(is_ours, "commits are fenced: {partition} accepted from a stranger");
                }
                self.commits += 1;
            }
        }
    }

    fn stale_commit_is_refused(
        group: &Group,
        consumer: &Consumer,
        seat: u32,
        partition: &TopicPartition,
    ) {
        // A static member that came back holds since before it came.
        let since = consumer.since.get(partition);
        if let Some(since) = since.filter(|_| consumer.profile.instance_id.is_none()) {
            let partition = std::slice::from_ref(partition);
            let refused = group.coordinator.roster.refused_commits(seat, since - 1, partition);
            assert!(!refused.is_empty(), "commits are fenced: accepted from before {since}");
        }
    }
}

/// The consumers that are members; the others do not know yet that they are not.
fn members(group: &Group) -> impl Iterator<Item = &Consumer> {
    group.consumers.iter().filter(|consumer| is_current(group, consumer))
}

/// Looked up without asking the coordinator's own guard.
fn is_current(group: &Group, consumer: &Consumer) -> bool {
    let seat = consumer.key.and_then(|key| {
        let seat = group.coordinator.roster.seats[at(key.seat)].as_ref()?;
        (seat.serial == key.serial && !seat.is_away).then_some(seat)
    });
    seat.is_some()
}

/// B8, R-10. By the coordinator's books.
fn one_owner_at_most(snapshot: &GroupSnapshot) {
    let mut owners: BTreeMap<&TopicPartition, &MemberId> = BTreeMap::new();
    for member in &snapshot.members {
        for partition in member.assigned.iter().chain(&member.pending) {
            let other = owners.insert(partition, &member.id);
            assert!(other.is_none(), "one owner: {partition} is {other:?}'s and {}'s", member.id);
        }
    }
}

/// The table of holders and the members' lists say the same, and so does the count of those who
/// keep an eager group waiting.
fn books_agree(group: &Group) {
    let roster = &group.coordinator.roster;
    let mut held = 0;
    for (place, seat) in roster.occupied() {
        for (list, is_pending) in [(&seat.held.assigned, false), (&seat.held.pending, true)] {
            assert!(list.is_sorted(), "books: {list:?}");
            for &p in list {
                let hold = roster.partitions.hold(p).filter(|hold| hold.seat == place);
                let is_so = hold.is_some_and(|hold| hold.is_pending == is_pending);
                assert!(is_so, "one owner: books of {} and {p} differ", seat.profile.id);
                held += 1;
            }
        }
    }
    let all = 0..partitions::number(roster.partitions.len());
    let taken = all.filter(|&p| roster.partitions.hold(p).is_some()).count();
    assert_eq!(taken, held, "one owner: books have leaked partitions");
    let holdouts = roster.occupied().filter(|(_, seat)| roster.is_holdout(seat)).count();
    assert_eq!(roster.holdouts, holdouts, "books: holdouts");
}

/// B8. In a stable generation every partition that somebody wants is somebody's, and everybody has
/// what the target says.
fn nobody_is_left_out(group: &Group, snapshot: &GroupSnapshot) {
    if snapshot.state != GroupState::Stable {
        return;
    }
    for member in &snapshot.members {
        assert_eq!(member.assigned, member.target, "stable: {} is not at its target", member.id);
    }
    for partition in partitions(&group.topics) {
        let is_wanted = snapshot.members.iter().any(|m| m.subscription.contains(&partition.topic));
        let is_owned = snapshot.members.iter().any(|m| m.assigned.contains(&partition));
        assert!(is_owned || !is_wanted, "stable: {partition} has no owner");
    }
    for member in &snapshot.members {
        let is_wanted = |p: &TopicPartition| member.subscription.contains(&p.topic);
        assert!(member.assigned.iter().all(is_wanted), "stable: {} has too much", member.id);
    }
}

/// L-14. What consumers really hold: each partition at one of them, and no more than the
/// coordinator's books say.
fn held_is_what_the_coordinator_gave(group: &Group, snapshot: &GroupSnapshot) {
    let mut holders: BTreeMap<&TopicPartition, &MemberId> = BTreeMap::new();
    for consumer in members(group) {
        let id = &consumer.profile.id;
        let seat = snapshot.members.iter().find(|member| member.id == *id);
        let seat = seat.expect("a member is in the group");
        for partition in &consumer.held {
            let other = holders.insert(partition, id);
            assert!(other.is_none(), "one owner: {partition} is held by {other:?} and {id}");
            assert!(
                seat.assigned.contains(partition) || seat.pending.contains(partition),
                "one owner: {partition} is held by {id}, but it is not {id}'s"
            );
        }
    }
}

/// All that members hold, they were given in one generation; nobody kept anything. (A static member
/// that came back was given its own in the generation it came back to.)
fn eager_groups_start_anew(group: &Group) {
    let mut generation = None;
    for consumer in members(group) {
        let id = &consumer.profile.id;
        for (partition, &since) in &consumer.since {
            let is_leaving = consumer.letting_go.contains(partition);
            assert!(since == consumer.epoch || is_leaving, "all let go: {id} kept {partition}");
            if consumer.profile.instance_id.is_none() {
                let first = *generation.get_or_insert(since);
                assert!(
                    first == since,
                    "all let go: {id} has {partition} of {since}, others {first}"
                );
            }
        }
    }
}

fn no_deadline_has_passed(group: &Group) {
    for (_, seat) in group.coordinator.roster.occupied() {
        if let Some((due, timer)) = seat.deadlines.first() {
            let id = &seat.profile.id;
            assert!(due > group.now, "deadlines: {timer:?} of {id} passed");
            let next = group.coordinator.next_deadline();
            assert!(next.is_some_and(|next| next <= due), "deadlines: {timer:?} of {id} unseen");
        }
    }
}

pub(super) fn partitions(topics: &[TopicLayout]) -> Vec<TopicPartition> {
    let of =
        |topic: &TopicLayout| super::support::of(&topic.name, 0..number(topic.partitions.len()));
    topics.iter().flat_map(of).collect()
}

fn number(len: usize) -> u32 {
    partitions::number(len)
}
