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
    Fixed(Fixed<'a>),
}

/// What was set by hand.
#[derive(Clone, Copy, Debug, Default)]
struct Fixed<'a> {
    gathers: bool,
    backlog: &'a [usize],
    open: &'a [PartitionId],
    offline: &'a [PartitionId],
}

/// The producer's queues of batches, one per partition. `Sync`, so that a view is.
pub(crate) trait Queues: Sync {
    /// How many batches wait for this partition, the open one included; `None` as long as nothing
    /// was ever queued for it.
    fn backlog(&self, partition: PartitionId) -> Option<usize>;

    /// Whether the last batch of this partition's queue still takes records.
    fn has_open_batch(&self, partition: PartitionId) -> bool;

    /// Whether batches gather in them, rather than being appended at once.
    fn gather(&self) -> bool {
        true
    }

    /// The partitions that take nothing, sorted.
    fn offline(&self) -> &[PartitionId] {
        &[]
    }
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
        self.source = Source::Fixed(Fixed { gathers: true, backlog, ..self.fixed() });
        self
    }

    /// Sets the partitions whose last batch still takes records. Default: none.
    #[must_use]
    pub fn with_open_batches(mut self, open: &'a [PartitionId]) -> Self {
        self.source = Source::Fixed(Fixed { gathers: true, open, ..self.fixed() });
        self
    }

    /// Sets the partitions that are offline, by rising number. Default: none.
    #[must_use]
    pub fn with_offline(mut self, offline: &'a [PartitionId]) -> Self {
        self.source = Source::Fixed(Fixed { offline, ..self.fixed() });
        self
    }

    fn fixed(&self) -> Fixed<'a> {
        match self.source {
            Source::Fixed(fixed) => fixed,
            Source::None | Source::Live(_) => Fixed::default(),
        }
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
            Source::Fixed(fixed) => fixed.open.contains(&partition),
        }
    }

    /// Whether a partition is offline, and so refuses each record: opening its directory found its files
    /// damaged. A record that may go anywhere goes elsewhere, as those of the built-in partitioners do; one
    /// with a key has its place, and is refused.
    ///
    /// ```
    /// use anabranch::Record;
    /// use anabranch::partitioner::{Murmur2Partitioner, Partitioner, TopicView};
    ///
    /// let topic = TopicView::new("orders", 3).with_offline(&[0, 1]);
    /// assert!(topic.is_offline(1) && !topic.is_offline(2));
    /// assert_eq!(Murmur2Partitioner::new().partition(&Record::new("x"), &topic), 2);
    /// ```
    #[must_use]
    pub fn is_offline(&self, partition: PartitionId) -> bool {
        self.offline().binary_search(&partition).is_ok()
    }

    fn offline(&self) -> &'a [PartitionId] {
        match self.source {
            Source::None => &[],
            Source::Live(queues) => queues.offline(),
            Source::Fixed(fixed) => fixed.offline,
        }
    }

    /// The partition that a number of chance stands for: each that is not offline as often as others.
    /// Where all are, one of them, which says so.
    pub(super) fn any(&self, random: u32) -> PartitionId {
        let (count, offline) = (self.partition_count, self.offline());
        let is_here = |id: &&PartitionId| **id < count;
        let online = count - u32::try_from(offline.iter().filter(is_here).count()).unwrap_or(count);
        if online == 0 || online == count {
            return random % count;
        }
        // Each offline one at or before the place moves it on by one.
        offline.iter().fold(random % online, |place, id| place + PartitionId::from(*id <= place))
    }

    /// Whether the producer queues batches, rather than appending each record at once.
    #[inline]
    #[must_use]
    pub fn has_queues(&self) -> bool {
        match self.source {
            Source::None => false,
            Source::Live(queues) => queues.gather(),
            Source::Fixed(fixed) => fixed.gathers,
        }
    }

    /// The length of a partition's queue; `None` if it has none (yet).
    pub(super) fn queue(&self, partition: PartitionId) -> Option<usize> {
        match self.source {
            Source::None => None,
            Source::Live(queues) => queues.backlog(partition),
            Source::Fixed(fixed) => fixed.backlog.get(usize::try_from(partition).ok()?).copied(),
        }
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::None => f.write_str("None"),
            Source::Live(_) => f.write_str("Live"),
            Source::Fixed(fixed) => fmt::Debug::fmt(fixed, f),
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

    /// Each number of chance leads to one that is not offline, and each of these is led to alike.
    #[test]
    fn chance_passes_over_what_is_offline() {
        let places = |offline: &[PartitionId]| {
            let view = TopicView::new("t", 5).with_offline(offline);
            (0..6).map(|random| view.any(random)).collect::<Vec<_>>()
        };
        assert_eq!(places(&[]), [0, 1, 2, 3, 4, 0]);
        assert_eq!(places(&[0, 1, 4]), [2, 3, 2, 3, 2, 3]);
        assert_eq!(places(&[1, 3]), [0, 2, 4, 0, 2, 4]);
        assert_eq!(places(&[0, 1, 2, 3, 4]), [0, 1, 2, 3, 4, 0], "nothing else is left");
        assert_eq!(places(&[7]), [0, 1, 2, 3, 4, 0], "beyond the topic's");
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
