//! Whether an assignment may be installed: a function of the assignment and what it was made for.
//!
//! An assignor is user code, so nothing it returns is taken on trust. Every existing partition of
//! a subscribed topic must go to exactly one member, one that subscribes to it; anything else is
//! refused with the partition and the member it is about. An empty list for a stranger gives
//! nothing away and is ignored.
//!
//! Kept here:
//! 1. What passes gives no partition to two members and leaves none of a subscribed topic out.

use super::partitions::{Partitions, TopicIndex, at};
use super::planted::planted;
use super::reconcile::Index;
use crate::error::AssignmentError;
use crate::group::assignor::Assignment;
use crate::ids::{MemberId, TopicPartition};

/// A member that may be given partitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) id: &'a MemberId,
    /// Its subscription, sorted.
    pub(super) topics: &'a [TopicIndex],
}

/// The partitions of each candidate, sorted, in the order of the candidates.
///
/// # Errors
///
/// The first thing that is wrong with the assignment, members in order of their names.
pub(super) fn validate(
    assignment: &Assignment,
    candidates: &[Candidate<'_>],
    partitions: &Partitions,
) -> Result<Vec<Vec<Index>>, AssignmentError> {
    let mut owners: Vec<Option<&MemberId>> = vec![None; partitions.len()];
    let mut targets: Vec<Vec<Index>> = vec![Vec::new(); candidates.len()];
    let mut places: Vec<usize> = (0..candidates.len()).collect();
    places.sort_unstable_by_key(|&place| candidates[place].id);

    for (member, given) in &assignment.0 {
        let place = places.binary_search_by_key(&member, |&place| candidates[place].id);
        let Ok(place) = place.map(|found| places[found]) else {
            match given.first().cloned() {
                Some(partition) => {
                    return Err(AssignmentError::UnknownMember {
                        partition,
                        member: member.clone(),
                    });
                }
                None => continue,
            }
        };
        let mut target = Vec::with_capacity(given.len());
        for partition in given {
            let index = admit(partition, candidates[place], partitions)?;
            if let Some(first) = owners[at(index)].replace(member)
                && !planted!(AssignmentUnchecked)
            {
                let (first, second) = (first.clone(), member.clone());
                let partition = partition.clone();
                return Err(AssignmentError::AssignedTwice { partition, first, second });
            }
            target.push(index);
        }
        target.sort_unstable();
        targets[place] = target;
    }
    find_unassigned(&owners, candidates, partitions)?;
    Ok(targets)
}

/// The place of a partition that may be given to a member.
fn admit(
    partition: &TopicPartition,
    to: Candidate<'_>,
    partitions: &Partitions,
) -> Result<Index, AssignmentError> {
    let (named, member) = (|| partition.clone(), || to.id.clone());
    let Some(topic) = partitions.topic(&partition.topic) else {
        return Err(AssignmentError::UnknownPartition { partition: named(), member: member() });
    };
    let Some(&index) = partitions.of_topic(topic).get(at(partition.partition)) else {
        return Err(AssignmentError::UnknownPartition { partition: named(), member: member() });
    };
    if to.topics.binary_search(&topic).is_err() {
        return Err(AssignmentError::NotSubscribed { partition: named(), member: member() });
    }
    Ok(index)
}

fn find_unassigned(
    owners: &[Option<&MemberId>],
    candidates: &[Candidate<'_>],
    partitions: &Partitions,
) -> Result<(), AssignmentError> {
    let mut subscribers: Vec<Option<&MemberId>> = vec![None; partitions.topic_count()];
    for candidate in candidates {
        for &topic in candidate.topics {
            let first = &mut subscribers[at(topic)];
            *first = Some(first.map_or(candidate.id, |first| first.min(candidate.id)));
        }
    }
    for (topic, member) in (0..).zip(subscribers) {
        let Some(member) = member else { continue };
        let left_out = partitions.of_topic(topic).iter().find(|&&p| owners[at(p)].is_none());
        if let Some(&index) = left_out
            && !planted!(AssignmentUnchecked)
        {
            let (partition, member) = (partitions.name(index), member.clone());
            return Err(AssignmentError::Unassigned { partition, member });
        }
    }
    Ok(())
}
