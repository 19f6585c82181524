//! Whether there is enough to clean, and which segments become one.
//!
//! 1. A plan names the sealed segments from the front without a gap; the active one is never among them.
//! 2. Records that are too young keep all that follows them out.

use super::CompactionSettings;
use crate::ids::Timestamp;
use crate::log::facts::SegmentFacts;
use std::ops::Range;

/// The most offsets that one segment may cover: its index says them relative to its base, in 32 bits.
const OFFSETS_MAX: u64 = i32::MAX as u64 + 1;

/// What a pass is to go over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct CompactionPlan {
    /// The segments, from the log's first one.
    pub(crate) segments: Vec<SegmentFacts>,
    /// Which of them is the first that no pass has been over.
    pub(crate) first_dirty: usize,
    /// Bytes from there on.
    pub(crate) dirty_bytes: u64,
}

/// Decides whether a pass over a log is due. `sealed` are all its segments but the active one.
///
/// Segments with a record later than `horizon`, and those behind them, are too young.
pub(crate) fn plan(
    sealed: &[SegmentFacts],
    settings: &CompactionSettings,
    horizon: Option<Timestamp>,
) -> Option<CompactionPlan> {
    let first_dirty = sealed.iter().position(|segment| !segment.is_compacted)?;
    let (clean, dirty) = sealed.split_at(first_dirty);
    let is_young = |segment: &SegmentFacts| horizon.is_some_and(|at| segment.max_timestamp > at);
    let old = dirty.iter().take_while(|segment| !is_young(segment)).count();
    let dirty_bytes = bytes(&dirty[..old]);
    let ratio = dirty_bytes as f64 / (bytes(clean) + dirty_bytes).max(1) as f64;
    (ratio > settings.min_cleanable_ratio).then(|| CompactionPlan {
        segments: sealed[..first_dirty + old].to_vec(),
        first_dirty,
        dirty_bytes,
    })
}

fn bytes(segments: &[SegmentFacts]) -> u64 {
    segments.iter().map(|segment| segment.bytes).sum()
}

/// Which neighbours are written into one file: as many as have no more than `segment_bytes` together, before
/// anything goes from them, and no more offsets than an index can say.
pub(super) fn group(segments: &[SegmentFacts], segment_bytes: u64) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut group_bytes = 0;
    for (index, segment) in segments.iter().enumerate() {
        if let Some(group) = groups.last_mut() {
            let offsets = segment.end_offset.saturating_sub(segments[group.start].base_offset);
            if group_bytes + segment.bytes <= segment_bytes && offsets <= OFFSETS_MAX {
                group_bytes += segment.bytes;
                group.end = index + 1;
                continue;
            }
        }
        group_bytes = segment.bytes;
        groups.push(index..index + 1);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn segment(index: u64, bytes: u64, is_compacted: bool) -> SegmentFacts {
        SegmentFacts {
            base_offset: index * 10,
            end_offset: index * 10 + 10,
            bytes,
            crc: 0,
            index_crc: 0,
            max_timestamp: Timestamp::from_millis(0),
            is_compacted,
        }
    }

    fn settings(min_cleanable_ratio: f64) -> CompactionSettings {
        CompactionSettings {
            segment_bytes: 1_000,
            min_cleanable_ratio,
            delete_retention: Duration::ZERO,
            key_map_bytes: 1_000,
        }
    }

    #[test]
    fn a_pass_is_due_when_more_than_the_ratio_is_dirty() {
        let sealed = [segment(0, 60, true), segment(1, 10, false), segment(2, 10, false)];
        assert_eq!(plan(&sealed, &settings(0.25), None), None);
        let due = plan(&sealed, &settings(0.24), None).unwrap();
        assert_eq!((due.segments.len(), due.first_dirty, due.dirty_bytes), (3, 1, 20));
        let fresh = plan(&sealed[1..], &settings(0.99), None).unwrap();
        assert_eq!((fresh.segments.len(), fresh.first_dirty), (2, 0));
    }

    #[test]
    fn without_dirty_bytes_no_pass_is_due() {
        assert_eq!(plan(&[], &settings(0.0), None), None);
        assert_eq!(plan(&[segment(0, 60, true)], &settings(0.0), None), None);
        assert_eq!(plan(&[segment(0, 0, false)], &settings(0.0), None), None);
    }

    /// The third segment's latest record decides, the fourth is old and behind it; clean ones are
    /// not asked.
    #[test]
    fn young_records_keep_what_follows_out() {
        let mut sealed: Vec<_> = (0..4).map(|index| segment(index, 10, index == 0)).collect();
        sealed[0].max_timestamp = Timestamp::from_millis(100);
        sealed[2].max_timestamp = Timestamp::from_millis(50);
        for (horizon, segments) in [(49, 2), (50, 4)] {
            let due = plan(&sealed, &settings(0.0), Some(Timestamp::from_millis(horizon))).unwrap();
            assert_eq!(due.segments.len(), segments, "{horizon}");
        }
        assert_eq!(plan(&sealed, &settings(0.0), Some(Timestamp::from_millis(-1))), None);
    }

    #[test]
    fn small_neighbours_become_one() {
        let sizes = [40, 50, 10, 1, 99, 150, 0, 0, 100];
        let sealed: Vec<_> =
            sizes.iter().zip(0..).map(|(size, i)| segment(i, *size, true)).collect();
        assert_eq!(group(&sealed, 100), [0..3, 3..5, 5..6, 6..9]);
        assert!(group(&[], 100).is_empty());
    }

    #[test]
    fn a_group_covers_no_more_offsets_than_an_index_can_say() {
        let mut sealed = [segment(0, 1, true), segment(1, 1, true)];
        sealed[1].end_offset = OFFSETS_MAX;
        assert_eq!(group(&sealed, 100), vec![0..2]);
        sealed[1].end_offset += 1;
        assert_eq!(group(&sealed, 100), [0..1, 1..2]);
    }
}
