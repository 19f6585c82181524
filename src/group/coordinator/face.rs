//! What is said to the coordinator and what it answers: settings, keys, polls, updates.

use super::reconcile::{Epoch, MemberState};
use super::seat::Timer;
use crate::group::assignor::RebalanceProtocol;
use crate::ids::{MemberId, TopicPartition};
use std::time::Duration;

/// When a member's session timer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sessions {
    /// Always: somebody calls `heartbeat` for members that are busy between polls.
    #[cfg_attr(not(test), expect(dead_code, reason = "Kafka's way, for replaying its traces"))]
    Always,
    /// While a static member is away. A member that is there is vouched for by its handle.
    WhileAway,
}

/// The group's settings.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// How the group moves to a new assignment: the assignor's word.
    pub(crate) protocol: RebalanceProtocol,
    /// How long a static member's seat is kept, and how long any member may be silent.
    pub(crate) session_timeout: Duration,
    /// Whose silence counts.
    pub(crate) sessions: Sessions,
    /// How long a member may go without polling.
    pub(crate) max_poll_interval: Duration,
    /// The most members there may be.
    pub(crate) member_count_max: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            protocol: RebalanceProtocol::Cooperative,
            session_timeout: Duration::from_secs(45),
            sessions: Sessions::WhileAway,
            max_poll_interval: Duration::from_secs(300),
            member_count_max: None,
        }
    }
}

/// What a member is spoken to by. Never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MemberKey {
    pub(super) seat: u32,
    pub(super) serial: u64,
}

/// Why a membership ended without its holder asking for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// Another live member took the instance id. Joining again would fence that one in turn.
    Fenced {
        /// Who took it.
        by: MemberId,
    },
    /// A deadline passed. The member may join again.
    Expired {
        /// Which one.
        timer: Timer,
    },
    /// It left, or has been told already.
    Left,
}

/// How a member goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// For good: its partitions go to others.
    ForGood,
    /// For now: a static member's seat is kept for the session timeout. Others go for good.
    ForNow,
}

/// A member comes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Poll<'a> {
    pub(crate) member: MemberKey,
    /// The epoch of the last update the member has taken over; 0 after `join`.
    pub(crate) epoch: Epoch,
    /// All that it holds, if it wants to say: after it has let go of something, and when it comes
    /// by for the first time. This is what acknowledges a revocation.
    pub(crate) owned: Option<&'a [TopicPartition]>,
}

/// Why a poll was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PollRefused {
    /// The membership is over, and all partitions are lost.
    Departed(Departure),
    /// The member is not at that epoch; its membership stands.
    WrongEpoch {
        /// What it said.
        requested: Epoch,
        /// Where it is.
        current: Epoch,
    },
}

/// What a member is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct MemberUpdate {
    /// The member's epoch from now on, to be taken over before any listener is called. 0 as long as
    /// no assignment was made with the member in it.
    pub(crate) epoch: Epoch,
    /// How far it is.
    pub(crate) state: MemberState,
    /// What to do; `None` if nothing changed and the member did not say what it owns.
    pub(crate) change: Option<Change>,
}

/// What a member is to do. The lists are sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// All that it consumes from now on.
    pub(crate) assignment: Vec<TopicPartition>,
    /// Those of them that it did not have.
    pub(crate) added: Vec<TopicPartition>,
    /// What it must let go of, and say so by its next `owned`.
    pub(crate) revoke: Vec<TopicPartition>,
}
