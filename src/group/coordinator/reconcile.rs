//! One step of one member towards its target: KIP-848's rules, as a function.
//!
//! A member never jumps to its target. It first keeps what it has and may keep, is told what to let
//! go of, and gets nothing new before it has said that it did; then it gets what nobody holds any
//! more, and the rest as others let go. Each step looks at this member, its target and the
//! partitions that are in use, and at nothing else.
//!
//! ```text
//!                     something to let go of
//!    ┌──────────────────────────────────────────────────────┐
//!    │                                                      ▼
//!  Stable ◄───── all of the target ──────┐            ┌─ Unrevoked ─┐ still owns some: stays
//!    │                                   ├── let go ──┤             │
//!    └── some of the target is in use ──►│            └─────────────┘
//!                                   Unreleased ──── something to let go of ───► Unrevoked
//! ```
//!
//! Kept here:
//! 1. Nothing is added while something is left to be let go of.
//! 2. Nothing is added that is in use.
//! 3. A step that changes the member records the epoch it had before.

use super::planted::planted;

/// The number of a generation: rises by one whenever the group needs another assignment.
pub(crate) type Epoch = u32;

/// A partition's place in the group's tables; dense, never reused.
pub(super) type Index = u32;

/// How far a member is on its way to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberState {
    /// It has what the target of its epoch gives it.
    Stable,
    /// It was told to let go of partitions and has not said that it did.
    Unrevoked,
    /// It waits for partitions that others still hold.
    Unreleased,
}

/// What a member holds, and at which epoch. The lists are sorted and disjoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) state: MemberState,
    pub(super) epoch: Epoch,
    pub(super) previous_epoch: Epoch,
    /// What it consumes.
    pub(super) assigned: Vec<Index>,
    /// What it was told to let go of.
    pub(super) pending: Vec<Index>,
}

impl Held {
    /// A member that has just joined.
    pub(super) fn nothing() -> Self {
        Held {
            state: MemberState::Stable,
            epoch: 0,
            previous_epoch: 0,
            assigned: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Whether it holds no partition at all.
    pub(super) fn is_empty(&self) -> bool {
        self.assigned.is_empty() && self.pending.is_empty()
    }
}

/// Where a member is to go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal<'a> {
    /// The epoch of the target.
    pub(super) epoch: Epoch,
    /// The partitions it gives the member, sorted.
    pub(super) target: &'a [Index],
    /// Whether what is in both stays with the member meanwhile. Eager groups give up everything.
    pub(super) keeps: bool,
}

/// Takes a member one step on; `None` if there is none to take.
///
/// `owned` is what the member says it holds, in any order; `None` if it does not say. `is_free`
/// tells whether nobody holds a partition, this member included.
pub(super) fn step(
    held: &Held,
    goal: Goal<'_>,
    owned: Option<&[Index]>,
    is_free: impl Fn(Index) -> bool,
) -> Option<Held> {
    let epoch = match held.state {
        MemberState::Stable if held.epoch == goal.epoch => return None,
        MemberState::Stable | MemberState::Unreleased => held.epoch,
        MemberState::Unrevoked => {
            if !has_let_go(owned, &held.pending) || planted!(RevocationNeverEnds) {
                return None;
            }
            held.epoch + 1
        }
    };
    let next = towards(held, epoch, goal, owned, is_free);
    (next != *held).then_some(next)
}

fn towards(
    held: &Held,
    epoch: Epoch,
    goal: Goal<'_>,
    owned: Option<&[Index]>,
    is_free: impl Fn(Index) -> bool,
) -> Held {
    let previous_epoch = held.epoch;
    let (keep, revoke) = split(&held.assigned, |p| goal.keeps && contains(goal.target, p));
    if !revoke.is_empty() && !has_let_go(owned, &revoke) && !planted!(RevocationSkipped) {
        let state = MemberState::Unrevoked;
        return Held { state, epoch, previous_epoch, assigned: keep, pending: revoke };
    }
    let (_, want) = split(goal.target, |p| contains(&keep, p));
    let (free, missing) = split(&want, |p| is_free(p) || planted!(InUseIgnored));
    let state = match missing.is_empty() {
        true => MemberState::Stable,
        false => MemberState::Unreleased,
    };
    let mut assigned = keep;
    assigned.extend(free);
    assigned.sort_unstable();
    Held { state, epoch: goal.epoch, previous_epoch, assigned, pending: Vec::new() }
}

/// Whether a member that reports `owned` holds none of `pending`. One that reports nothing may.
fn has_let_go(owned: Option<&[Index]>, pending: &[Index]) -> bool {
    owned.is_some_and(|owned| !owned.iter().any(|&p| contains(pending, p)))
}

/// Whether a sorted list has `index`.
pub(super) fn contains(sorted: &[Index], index: Index) -> bool {
    sorted.binary_search(&index).is_ok()
}

/// The members of a sorted list that fulfil `fact`, and those that do not; both sorted.
fn split(list: &[Index], fact: impl Fn(Index) -> bool) -> (Vec<Index>, Vec<Index>) {
    list.iter().copied().partition(|&p| fact(p))
}
