//! From a record to its partition, and from a batch to its groups.
//!
//! The partitioner is the user's code: it is asked with no lock held, a panic of its ends with the
//! call that asked, and what it answers is checked.

use super::accumulator::Accumulator;
use super::partitioner::{DefaultPartitioner, Partitioner, TopicView};
use super::unknown_partition;
use crate::error::{SendError, panic_message};
use crate::ids::PartitionId;
use crate::log::batch::{HEADER_BYTES, record_bytes_max};
use crate::record::Record;
use crate::topic::Topic;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Who chooses. The default is called directly: it is ours, and it is on every sender's way.
pub(super) enum Router {
    Default(Box<DefaultPartitioner>),
    Custom(Box<dyn Partitioner>),
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Router::Default(_) => "Default",
            Router::Custom(_) => "Custom",
        })
    }
}

/// Where the records of one batch go.
pub(super) enum Routes {
    None,
    One(PartitionId),
    Many(Groups),
}

impl Router {
    /// The partition of a record.
    #[inline(always)]
    pub(super) fn route(
        &self,
        record: &Record<'_>,
        topic: &Topic,
        queues: &Accumulator,
    ) -> Result<PartitionId, SendError> {
        if self.has_no_choice(record, topic) {
            return Ok(0);
        }
        self.choose(record, topic, queues)
    }

    /// Whether the record is for the only partition, which is what most small programs have.
    #[inline(always)]
    fn has_no_choice(&self, record: &Record<'_>, topic: &Topic) -> bool {
        record.partition.is_none()
            && matches!(self, Router::Default(_))
            && topic.partition_count() == 1
    }

    fn choose(
        &self,
        record: &Record<'_>,
        topic: &Topic,
        queues: &Accumulator,
    ) -> Result<PartitionId, SendError> {
        match (record.partition, self) {
            (Some(named), _) if named < topic.partition_count() => Ok(named),
            (Some(named), _) => Err(unknown_partition(topic, named)),
            (None, Router::Default(ours)) => Ok(ours.partition(record, &view(topic, queues))),
            (None, Router::Custom(custom)) => {
                ask(topic, || custom.partition(record, &view(topic, queues)))
            }
        }
    }

    /// The partitions of the records of one batch, and the partitioner told about them. Under the
    /// default one keyless records stay together: that is what its stickiness is for.
    pub(super) fn route_all(
        &self,
        records: &[Record<'_>],
        topic: &Topic,
        queues: &Accumulator,
    ) -> Result<Routes, SendError> {
        if !records.is_empty() && records.iter().all(|record| self.has_no_choice(record, topic)) {
            return Ok(Routes::One(0)); // no choice, and nothing to count for the next one
        }
        let mut keyless = Keyless::default();
        let Some((first, rest)) = records.split_first() else { return Ok(Routes::None) };
        let common = self.route_one_of(first, &mut keyless, topic, queues)?;
        let mut ids = Vec::new();
        for (behind, record) in (1..).zip(rest) {
            let id = self.route_one_of(record, &mut keyless, topic, queues)?;
            if id != common && ids.is_empty() {
                ids.reserve(records.len());
                ids.resize(behind, common);
            }
            if !ids.is_empty() {
                ids.push(id);
            }
        }
        match (self, keyless.chosen) {
            (Router::Default(ours), Some(id)) => {
                let bytes = keyless.bytes + HEADER_BYTES;
                ours.appended(&Record::default(), id, bytes, &view(topic, queues));
            }
            (Router::Default(_), None) => {}
            (Router::Custom(_), _) => {
                for (index, record) in records.iter().enumerate() {
                    let id = ids.get(index).copied().unwrap_or(common);
                    self.appended(record, id, topic, queues);
                }
            }
        }
        Ok(if ids.is_empty() { Routes::One(common) } else { Routes::Many(Groups::new(ids)) })
    }

    #[inline]
    fn route_one_of(
        &self,
        record: &Record<'_>,
        keyless: &mut Keyless,
        topic: &Topic,
        queues: &Accumulator,
    ) -> Result<PartitionId, SendError> {
        let sticks = matches!(self, Router::Default(_))
            && record.key.is_none()
            && record.partition.is_none();
        if !sticks {
            return self.route(record, topic, queues);
        }
        keyless.bytes += record_bytes_max(record);
        match keyless.chosen {
            Some(chosen) => Ok(chosen),
            None => self.route(record, topic, queues).inspect(|id| keyless.chosen = Some(*id)),
        }
    }

    /// Tells the partitioner what became of its choice.
    #[inline(always)]
    pub(super) fn appended(
        &self,
        record: &Record<'_>,
        id: PartitionId,
        topic: &Topic,
        queues: &Accumulator,
    ) {
        if record.partition.is_none() && !self.has_no_choice(record, topic) {
            self.tell(record, id, topic, queues);
        }
    }

    fn tell(&self, record: &Record<'_>, id: PartitionId, topic: &Topic, queues: &Accumulator) {
        let bytes = record_bytes_max(record) + HEADER_BYTES;
        match self {
            Router::Default(_) if record.key.is_some() => {}
            Router::Default(ours) => ours.appended(record, id, bytes, &view(topic, queues)),
            Router::Custom(custom) => {
                // The record is appended whatever happens here, so a panic has no call to fail.
                let told = || custom.appended(record, id, bytes, &view(topic, queues));
                drop(catch_unwind(AssertUnwindSafe(told)));
            }
        }
    }

    /// Where a record goes that did not fit into the open batch of its partition.
    pub(super) fn batch_closed(
        &self,
        record: &Record<'_>,
        id: PartitionId,
        topic: &Topic,
        queues: &Accumulator,
    ) -> Result<PartitionId, SendError> {
        match self {
            _ if record.partition.is_some() => Ok(id),
            Router::Default(ours) => Ok(ours.batch_closed(record, id, &view(topic, queues))),
            Router::Custom(custom) => {
                ask(topic, || custom.batch_closed(record, id, &view(topic, queues)))
            }
        }
    }
}

/// The one partition that the keyless records of a batch share, and what they take.
#[derive(Default)]
struct Keyless {
    chosen: Option<PartitionId>,
    bytes: usize,
}

#[inline]
fn view<'t>(topic: &'t Topic, queues: &'t Accumulator) -> TopicView<'t> {
    let view = TopicView::new(topic.name(), topic.partition_count());
    if queues.tells() { view.with_queues(queues) } else { view }
}

/// Asks the user's partitioner.
fn ask(topic: &Topic, choose: impl FnOnce() -> PartitionId) -> Result<PartitionId, SendError> {
    // Unwind safety: a partitioner is used through `&self` by many threads anyway, so that what it
    // leaves behind is for its own locks to protect; nothing of ours is in its hands.
    let chosen = catch_unwind(AssertUnwindSafe(choose)).map_err(|panic| {
        let message = panic_message(&*panic);
        SendError::PartitionerPanicked { topic: topic.topic_name().clone(), message }
    })?;
    let count = topic.partition_count();
    if chosen < count {
        return Ok(chosen);
    }
    Err(SendError::PartitionerOutOfRange { topic: topic.topic_name().clone(), chosen, count })
}

/// The records of a batch by partition, in order within each.
pub(super) struct Groups {
    /// The partition of each record.
    routes: Vec<PartitionId>,
    /// The records' indices, partition after partition.
    order: Vec<u32>,
    /// Each partition and where its indices end.
    ends: Vec<(PartitionId, usize)>,
}

impl Groups {
    fn new(routes: Vec<PartitionId>) -> Groups {
        let count = u32::try_from(routes.len()).expect("a batch has fewer records than 2^32");
        let mut order: Vec<u32> = (0..count).collect();
        let route = |index: u32| routes[index as usize];
        order.sort_by_key(|&index| route(index)); // stable: keeps the records' order
        let mut ends: Vec<(PartitionId, usize)> = Vec::new();
        for (place, &index) in order.iter().enumerate() {
            match ends.last_mut() {
                Some((id, end)) if *id == route(index) => *end = place + 1,
                _ => ends.push((route(index), place + 1)),
            }
        }
        Groups { routes, order, ends }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Each partition and the indices of its records.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PartitionId, &[u32])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|&(_, end)| end));
        starts.zip(&self.ends).map(|(start, &(id, end))| (id, &self.order[start..end]))
    }

    /// The partition of each record.
    pub(super) fn routes(&self) -> &[PartitionId] {
        &self.routes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_keep_the_order_within_each_partition() {
        let groups = Groups::new(vec![3, 1, 3, 0, 1, 3]);
        let listed: Vec<(u32, Vec<u32>)> =
            groups.iter().map(|(id, members)| (id, members.to_vec())).collect();
        assert_eq!(listed, [(0, vec![3]), (1, vec![1, 4]), (3, vec![0, 2, 5])]);
        assert_eq!(groups.len(), 3);
    }
}
