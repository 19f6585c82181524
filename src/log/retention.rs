//! What goes from the front of a log's files: which segments, and where the log starts after it.
//!
//! ```text
//!  sealed                                                             active
//!  ┌─────────┐ ┌─────────┐ ┌─────────┐ ┌─────────┐ ┌─────────┐ ┌─────────┐
//!  │ goes    │ │ goes    │ │ stays   │ │         │ │         │ │         │
//!  └─────────┘ └─────────┘ └─────────┘ └─────────┘ └─────────┘ └─────────┘
//!                          ▲ log start offset
//! ```
//!
//! This decides; who holds the files makes the new start durable, then drops them.
//!
//! 1. Only whole sealed segments go, from the front, and the first one that stays keeps all behind it.
//! 2. A segment goes if at least `bytes` stay without it, or its latest record is older than the horizon,
//!    or the log starts behind it.
//! 3. The log's start never falls.

use super::Retention;
use super::facts::SegmentFacts;
use crate::ids::Offset;

/// What is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct RetentionPlan {
    /// How many segments go, counted from the front.
    pub(crate) segments: usize,
    /// How many bytes of files go with them.
    pub(crate) bytes: u64,
    /// Where the log starts then.
    pub(crate) log_start: Offset,
}

/// Decides which of the `sealed` segments go. `active_bytes` counts as what stays: it is the size of
/// the segment that is appended to.
pub(crate) fn plan(
    sealed: &[SegmentFacts],
    active_bytes: u64,
    limits: Retention,
    log_start: Offset,
) -> RetentionPlan {
    let mut plan = RetentionPlan { segments: 0, bytes: 0, log_start };
    let mut stays = sealed.iter().fold(active_bytes, |sum, segment| sum + segment.bytes);
    for segment in sealed {
        let rest = stays - segment.bytes;
        let is_passed = segment.end_offset <= plan.log_start;
        let too_many = limits.bytes.is_some_and(|least| rest >= least);
        let too_old = limits.horizon.is_some_and(|horizon| segment.max_timestamp < horizon);
        if !(is_passed || too_many || too_old) {
            break;
        }
        stays = rest;
        plan.segments += 1;
        plan.bytes += segment.bytes;
        plan.log_start = plan.log_start.max(segment.end_offset);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Timestamp;

    /// Segments of ten records each, with these bytes and times.
    fn sealed(each: &[(u64, i64)]) -> Vec<SegmentFacts> {
        let facts = each.iter().zip((0..).step_by(10)).map(|(&(bytes, millis), base_offset)| {
            let max_timestamp = Timestamp::from_millis(millis);
            let end_offset = base_offset + 10;
            SegmentFacts {
                base_offset,
                end_offset,
                bytes,
                crc: 0,
                index_crc: 0,
                max_timestamp,
                is_compacted: false,
            }
        });
        facts.collect()
    }

    fn by_bytes(bytes: u64) -> Retention {
        Retention { bytes: Some(bytes), horizon: None }
    }

    fn by_time(millis: i64) -> Retention {
        Retention { bytes: None, horizon: Some(Timestamp::from_millis(millis)) }
    }

    #[test]
    fn nothing_goes_without_a_limit() {
        let nothing = RetentionPlan { segments: 0, bytes: 0, log_start: 7 };
        assert_eq!(plan(&sealed(&[(100, 1), (100, 2)]), 0, Retention::default(), 7), nothing);
        assert_eq!(plan(&[], 100, by_bytes(0), 7), nothing);
    }

    /// At the limit, one byte short of it, and with what the active segment holds.
    #[test]
    fn as_many_go_as_leave_the_bytes() {
        let sealed = sealed(&[(100, 1), (50, 2), (100, 3)]);
        for (bytes, active, segments, log_start) in
            [(250, 100, 1, 10), (251, 100, 0, 0), (200, 100, 2, 20), (0, 0, 3, 30), (1, 0, 2, 20)]
        {
            let plan = plan(&sealed, active, by_bytes(bytes), 0);
            assert_eq!((plan.segments, plan.log_start), (segments, log_start), "{bytes} {active}");
        }
    }

    /// The third is old enough, and stays behind one that is not.
    #[test]
    fn a_prefix_that_is_older_than_the_horizon_goes() {
        let sealed = sealed(&[(100, 10), (100, 20), (100, 5)]);
        for (horizon, segments) in [(10, 0), (11, 1), (20, 1), (21, 3)] {
            let plan = plan(&sealed, 0, by_time(horizon), 0);
            assert_eq!((plan.segments, plan.bytes), (segments, 100 * segments as u64), "{horizon}");
        }
    }

    #[test]
    fn either_limit_is_enough() {
        let sealed = sealed(&[(100, 30), (100, 10), (100, 30)]);
        let limits = Retention { bytes: Some(200), ..by_time(20) };
        assert_eq!(plan(&sealed, 0, limits, 0).segments, 2);
    }

    #[test]
    fn what_the_start_has_passed_goes_and_the_start_stays() {
        let sealed = sealed(&[(100, 1), (100, 2), (100, 3)]);
        for (start, segments) in [(9, 0), (10, 1), (25, 2), (30, 3)] {
            let plan = plan(&sealed, 0, Retention::default(), start);
            assert_eq!((plan.segments, plan.log_start), (segments, start));
        }
        assert_eq!(plan(&sealed, 0, by_bytes(250), 5).log_start, 5);
        assert_eq!(plan(&sealed, 0, by_bytes(150), 5).log_start, 10);
    }
}
