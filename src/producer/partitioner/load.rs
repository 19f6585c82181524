//! Which partition, when some queues are longer than others: a pure weighted choice.
//!
//! The longer a partition's queue, the slower it is being emptied, and the less it should be
//! given (KIP-794, "adaptive partitioning"). With `max` the longest queue, a queue of length `q`
//! weighs `max + 1 - q`, and a number `r` picks the partition in whose stretch `r mod R` falls:
//!
//! ```text
//!  queues   0        3   1          max = 3
//!  weights  4        1   3          R   = 8
//!           ├─ ─ ─ ─ ┼ ─ ┼ ─ ─ ─ ┤
//!  r mod R  0 1 2 3    4   5 6 7
//! ```
//!
//! Kafka keeps the running sums in a table that its sender thread rebuilds. Here they are added up
//! as a choice is made: that happens once per batch, needs no memory, and is never out of date.
//!
//! 1. Weights are whole numbers and add up exactly: over `R` consecutive `r`, a partition is
//!    picked as often as it weighs.
//! 2. Every partition in the running weighs at least 1: a long queue is given less, never nothing.
//! 3. Queues may change while they are read; the answer is one of the partitions in the running.

use crate::ids::PartitionId;

/// Picks one of `queues` by weight, or `None` where queue lengths are no reason to prefer any.
///
/// `queues` are the partitions in the running, out of `partition_count`. There is no reason to
/// prefer any if none is in the running, if there is no other, if a queue does not exist yet
/// (nothing was ever sent to that partition), or if all are in the running and equally long.
pub(super) fn choose<I>(queues: I, partition_count: usize, random: u32) -> Option<PartitionId>
where
    I: Iterator<Item = (PartitionId, Option<usize>)> + Clone,
{
    let range = weigh(queues.clone(), partition_count)?;
    let mut rest = u64::from(random) % range.sum;
    let mut picked = None;
    for (partition, length) in queues {
        picked = Some(partition);
        // Saturating because the queue may have grown beyond `longest` since it was weighed.
        let weight = (range.longest + 1).saturating_sub(clamped(length?));
        if rest < weight {
            break;
        }
        rest -= weight;
    }
    picked
}

/// What the queues weigh together, and the length their weights are counted from.
struct Range {
    sum: u64,
    longest: u64,
}

fn weigh(
    queues: impl Iterator<Item = (PartitionId, Option<usize>)>,
    partition_count: usize,
) -> Option<Range> {
    let (mut count, mut queued, mut shortest, mut longest) = (0_u64, 0_u64, u64::MAX, 0_u64);
    for (_, length) in queues {
        let length = clamped(length?);
        count += 1;
        queued += length;
        shortest = shortest.min(length);
        longest = longest.max(length);
    }
    // A topic's only partition is level with itself.
    let is_level = count == partition_count as u64 && shortest == longest;
    if count == 0 || is_level {
        return None;
    }
    // The sum of `longest + 1 - length` over all of them: at least 1 each.
    Some(Range { sum: count * (longest + 1) - queued, longest })
}

/// A queue length for which sums over 2^32 partitions cannot overflow; a queue of 2^31 batches
/// does not fit in memory.
fn clamped(length: usize) -> u64 {
    (length as u64).min(1 << 31)
}

#[cfg(test)]
mod tests;
