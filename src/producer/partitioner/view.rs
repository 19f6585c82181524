//! What a partitioner may know about the topic it chooses for.
//!
//! A partitioner sees a name, a count and, when the producer queues batches, how long each queue
//! is: no handle, nothing it could block on. So a partitioner can be tested with a view made by
//! hand, and the producer can ask one without having opened anything.
//!
//! 1. A view counts at least one partition.
//! 2. Without queues every backlog is 0 and no batch is open.

use crate::ids::PartitionId;
use std::fmt;

/// What a [`Partitioner`](super::Partitioner) may know about a topic at the time it is asked.
///
/// A record that is sent at once meets no queue, and most views have none. Where the producer
/// collects batches, [`backlog`](TopicView::backlog) says how many are waiting for a partition.
///
/// # Examples
///
/// A view made by hand, to test a partitioner of your own:
///
/// ```
/// use anabranch::partitioner::TopicView;
///
/// let topic = TopicView::new("orders", 3).with_backlog(&[5, 0, 1]).with_open_batches(&[2]);
/// assert_eq!((topic.name(), topic.partition_count()), ("orders", 3));
/// assert_eq!((topic.backlog(0), topic.backlog(1)), (5, 0));
/// assert!(topic.has_open_batch(2) && !topic.has_open_batch(0));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TopicView<'a> {
    name: &'a str,
    partition_count: u32,
    source: Source<'a>,
}

/// Where a view gets its queues from. An enum, so that a view without queues is four words to
/// write: one is made for every record.
#[derive(Clone, Copy)]
enum Source<'a> {
    None,
    Live(&'a dyn Queues),
    Fixed { backlog: &'a [usize], open: &'a [PartitionId] },
}

/// The producer's queues of batches, one per partition. `Sync`, so that a view is.
pub(crate) trait Queues: Sync {
    /// How many batches wait for this partition, the open one included; `None` as long as nothing
    /// was ever queued for it.
    fn backlog(&self, partition: PartitionId) -> Option<usize>;

    /// Whether the last batch of this partition's queue still takes records.
    fn has_open_batch(&self, partition: PartitionId) -> bool;
}

impl<'a> TopicView<'a> {
    /// A view of a topic for which nothing is queued.
    ///
    /// # Panics
    ///
    /// If `partition_count` is 0: a topic has at least one partition.
    #[inline]
    #[must_use]
    pub fn new(name: &'a str, partition_count: u32) -> Self {
        assert!(partition_count > 0, "a topic has at least one partition");
        TopicView { name, partition_count, source: Source::None }
    }

    /// Sets how many batches are queued for each partition, by number. A partition beyond the end
    /// of the list has no queue yet. Default: there are no queues.
    #[must_use]
    pub fn with_backlog(mut self, backlog: &'a [usize]) -> Self {
        let open = match self.source {
            Source::Fixed { open, .. } => open,
            _ => &[],
        };
        self.source = Source::Fixed { backlog, open };
        self
    }

    /// Sets the partitions whose last batch still takes records. Default: none.
    #[must_use]
    pub fn with_open_batches(mut self, open: &'a [PartitionId]) -> Self {
        let backlog = match self.source {
            Source::Fixed { backlog, .. } => backlog,
            _ => &[],
        };
        self.source = Source::Fixed { backlog, open };
        self
    }

    /// Looks at these queues whenever it is asked.
    #[allow(dead_code, reason = "the accumulator's door; tests and users give lists instead")]
    pub(crate) fn with_queues(mut self, queues: &'a dyn Queues) -> Self {
        self.source = Source::Live(queues);
        self
    }

    /// The topic's name.
    #[inline]
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// How many partitions the topic has: at least 1, and it may have grown since the last call.
    #[inline]
    #[must_use]
    pub fn partition_count(&self) -> u32 {
        self.partition_count
    }

    /// How many batches the producer has queued for a partition, the open one included; 0 if
    /// records are sent without queueing.
    #[must_use]
    pub fn backlog(&self, partition: PartitionId) -> usize {
        self.queue(partition).unwrap_or(0)
    }

    /// Whether the last batch queued for a partition still takes records.
    #[inline]
    #[must_use]
    pub fn has_open_batch(&self, partition: PartitionId) -> bool {
        match self.source {
            Source::None => false,
            Source::Live(queues) => queues.has_open_batch(partition),
            Source::Fixed { open, .. } => open.contains(&partition),
        }
    }

    /// Whether the producer queues batches, rather than appending each record at once.
    #[inline]
    #[must_use]
    pub fn has_queues(&self) -> bool {
        !matches!(self.source, Source::None)
    }

    /// The length of a partition's queue; `None` if it has none (yet).
    pub(super) fn queue(&self, partition: PartitionId) -> Option<usize> {
        match self.source {
            Source::None => None,
            Source::Live(queues) => queues.backlog(partition),
            Source::Fixed { backlog, .. } => backlog.get(usize::try_from(partition).ok()?).copied(),
        }
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::None => f.write_str("None"),
            Source::Live(_) => f.write_str("Live"),
            Source::Fixed { backlog, open } => {
                f.debug_struct("Fixed").field("backlog", backlog).field("open", open).finish()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct OnePartitionUsed;

    impl Queues for OnePartitionUsed {
        fn backlog(&self, partition: PartitionId) -> Option<usize> {
            (partition == 1).then_some(7)
        }

        fn has_open_batch(&self, partition: PartitionId) -> bool {
            partition == 1
        }
    }

    #[test]
    fn live_and_listed_queues_look_the_same() {
        let live = TopicView::new("t", 3).with_queues(&OnePartitionUsed);
        assert_eq!([0, 1, 2].map(|p| live.backlog(p)), [0, 7, 0]);
        assert_eq!([0, 1, 2].map(|p| live.queue(p)), [None, Some(7), None]);

        let listed = TopicView::new("t", 3).with_open_batches(&[1]).with_backlog(&[0, 7]);
        assert_eq!([0, 1, 2].map(|p| listed.backlog(p)), [0, 7, 0]);
        assert_eq!([0, 1, 2].map(|p| listed.queue(p)), [Some(0), Some(7), None]);

        for view in [live, listed] {
            assert!(view.has_queues() && view.has_open_batch(1) && !view.has_open_batch(0));
        }
    }

    #[test]
    fn without_queues_nothing_is_queued_and_nothing_is_open() {
        let view = TopicView::new("t", 2);
        assert!(!view.has_queues() && !view.has_open_batch(0));
        assert_eq!((view.backlog(0), view.queue(0)), (0, None));
    }

    #[test]
    #[should_panic(expected = "at least one partition")]
    fn a_topic_without_partitions_is_refused() {
        let _ = TopicView::new("t", 0);
    }
}
