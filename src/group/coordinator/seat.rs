//! A member as the coordinator keeps it: who it is, what it holds, where it is to go, and when it
//! is given up.
//!
//! A seat outlives its holder: a static member that went away for now leaves it reserved, with its
//! partitions, until it comes back or its session ends. Whoever sits down gets a serial number of
//! their own, so that one who was replaced is not taken for the one who came after.

use super::partitions::TopicIndex;
use super::reconcile::{Epoch, Held, Index, MemberState};
use crate::ids::{MemberId, TopicName};
use std::time::Duration;

/// What a member says about itself when it joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Its name, unique in the group.
    pub(crate) id: MemberId,
    /// The name under which it comes back after a restart, if it is a static member.
    pub(crate) instance_id: Option<String>,
    /// Where it runs.
    pub(crate) rack: Option<String>,
    /// Its share relative to the others'.
    pub(crate) weight: u32,
    /// The topics it wants; order and repetition do not matter.
    pub(crate) topics: Vec<TopicName>,
    /// How long it may take to let go of partitions.
    pub(crate) rebalance_timeout: Duration,
}

/// Why a deadline was set. In this order when several are due at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The member was not heard of for the session timeout.
    Session,
    /// The member did not poll for the longest interval allowed.
    Poll,
    /// The member did not let go of partitions within its rebalance timeout.
    Revocation,
}

/// When the member is given up, by reason; `None` is never.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deadlines {
    pub(super) session: Option<Duration>,
    pub(super) poll: Option<Duration>,
    pub(super) revocation: Option<Duration>,
}

impl Deadlines {
    /// The one that comes first.
    pub(super) fn first(self) -> Option<(Duration, Timer)> {
        let all = [
            (self.session, Timer::Session),
            (self.poll, Timer::Poll),
            (self.revocation, Timer::Revocation),
        ];
        all.into_iter().filter_map(|(due, timer)| Some((due?, timer))).min()
    }
}

/// A member's place in the group.
#[derive(Debug)]
pub(super) struct Seat {
    /// The current holder's number, unique in the group's life.
    pub(super) serial: u64,
    /// What its holder said about itself; topics sorted by name, without repetition.
    pub(super) profile: Profile,
    /// The same topics by place, sorted.
    pub(super) topics: Vec<TopicIndex>,
    pub(super) held: Held,
    /// What the installed assignment gives it, sorted; `None` if that was made without it.
    pub(super) target: Option<Vec<Index>>,
    /// Whether a static member went away for now.
    pub(super) is_away: bool,
    pub(super) deadlines: Deadlines,
}

impl Seat {
    /// The target, empty if there is none yet.
    pub(super) fn target(&self) -> &[Index] {
        self.target.as_deref().unwrap_or_default()
    }

    /// Whether it has what the installed assignment gives it.
    pub(super) fn is_settled(&self, at: Epoch) -> bool {
        !self.is_away && self.held.epoch == at && self.held.state == MemberState::Stable
    }
}
