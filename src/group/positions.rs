//! Where to start reading a partition, and what a reset of a group's offsets comes to.

use super::membership::Membership;
use super::offsets::{Change, Committed};
use super::{OffsetAndMetadata, OffsetReset, ResetTo};
use crate::error::GroupError;
use crate::ids::{Offset, Timestamp, TopicPartition};
use crate::topic::Partition;

/// Where a policy starts a partition; `None` if it wants the program to say.
///
/// `is_new` is a partition that was added while the group was at work: it starts at its beginning, so
/// that nothing is skipped that came before it was noticed (KIP-1282). A topic that is added later
/// counts as new with all that is in it.
pub(super) fn start(
    reset: OffsetReset,
    partition: &Partition,
    now: Timestamp,
    is_new: bool,
) -> Option<Offset> {
    match reset {
        OffsetReset::None => None,
        OffsetReset::Earliest => Some(partition.log_start_offset()),
        OffsetReset::Latest | OffsetReset::ByDuration(_) if is_new => {
            Some(partition.log_start_offset())
        }
        OffsetReset::Latest => Some(partition.high_watermark()),
        OffsetReset::ByDuration(span) => Some(at_or_end(partition, now.saturating_sub(span))),
    }
}

/// The first record stamped `at` or later, or the end.
pub(super) fn at_or_end(partition: &Partition, at: Timestamp) -> Offset {
    partition.offset_for_timestamp(at).unwrap_or_else(|| partition.high_watermark())
}

/// The offsets that a reset asks for, checked.
pub(super) fn resolve(group: &Membership, to: ResetTo) -> Result<Vec<Change>, GroupError> {
    let target = |partition: &Partition, offset| {
        Some(Committed::new(partition, OffsetAndMetadata::new(offset)))
    };
    let check_online = |of: &TopicPartition, partition: &Partition| {
        let offline = |corruption| GroupError::Offline {
            group: group.id.clone(),
            partition: of.clone(),
            corruption,
        };
        partition.damage().cloned().map_or(Ok(()), |damage| Err(offline(Box::new(damage))))
    };
    if let ResetTo::Offsets(offsets) = to {
        let checked = offsets.into_iter().map(|(of, offset)| {
            let partition = group.partition(&of).ok_or_else(|| GroupError::UnknownPartition {
                group: group.id.clone(),
                partition: of.clone(),
            })?;
            check_online(&of, &partition)?;
            let (log_start, log_end) = (partition.log_start_offset(), partition.high_watermark());
            if (log_start..=log_end).contains(&offset) {
                return Ok((of, target(&partition, offset)));
            }
            Err(GroupError::OffsetOutOfRange {
                partition: of,
                requested: offset,
                log_start,
                log_end,
            })
        });
        return checked.collect();
    }
    let offset = |partition: &Partition| match &to {
        ResetTo::Beginning => partition.log_start_offset(),
        ResetTo::Timestamp(at) => at_or_end(partition, *at),
        ResetTo::End | ResetTo::Offsets(_) => partition.high_watermark(),
    };
    let mut targets = Vec::new();
    for topic in group.topics() {
        for partition in topic.partitions() {
            let of = TopicPartition::new(topic.name(), partition.id());
            check_online(&of, &partition)?;
            targets.push((of, target(&partition, offset(&partition))));
        }
    }
    Ok(targets)
}
