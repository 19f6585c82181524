//! A checker that cannot fail proves nothing: each bug, planted, is found by the invariant named.

use super::super::planted::{Bug, plant};
use super::generated::histories;
use crate::group::assignor::RebalanceProtocol::{self, Cooperative, Eager};
use std::panic::catch_unwind;

/// Runs histories with a bug until one is stopped by the checker; what it said.
fn found(bug: Bug, protocol: RebalanceProtocol) -> String {
    plant(Some(bug));
    let outcome = catch_unwind(|| histories(protocol, 1..20, 200));
    plant(None);
    let panic = outcome.expect_err("a planted bug is found");
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic.downcast::<&str>().map(|text| text.to_string()).unwrap(),
    }
}

macro_rules! is_found {
    ($($name:ident: $bug:ident in $protocol:ident is $($invariant:literal)|+;)*) => {$(
        #[test]
        fn $name() {
            let said = found(Bug::$bug, $protocol);
            assert!([$($invariant),+].iter().any(|i| said.contains(i)), "{said}");
        }
    )*};
}

is_found! {
    a_revocation_that_never_ends_is_found: RevocationNeverEnds in Cooperative is "convergence";
    a_revocation_skipped_is_found: RevocationSkipped in Cooperative is "one owner";
    a_partition_given_away_while_held_is_found: InUseIgnored in Cooperative is "one owner";
    an_incomplete_target_is_found: TargetIncomplete in Cooperative is "stable";
    an_unchecked_assignment_is_found: AssignmentUnchecked in Cooperative is "stable" | "one owner" | "convergence";
    a_departure_unnoticed_is_found: DepartureUnnoticed in Cooperative is "epochs rise";
    leaked_partitions_are_found: PartitionsLeaked in Cooperative is "leaked";
    a_falling_epoch_is_found: EpochFalls in Cooperative is "epochs rise";
    a_stale_target_is_found: StaleTargetInstalled in Cooperative is "stale";
    an_unfenced_commit_is_found: CommitUnfenced in Cooperative is "commits are fenced";
    a_commit_from_before_is_found: CommitEpochIgnored in Cooperative is "commits are fenced";
    an_answer_to_the_departed_is_found: DepartedAnswered in Cooperative is "commits are fenced";
    an_eager_member_that_keeps_is_found: EagerKeeps in Eager is "all let go";
    a_barrier_ignored_is_found: BarrierIgnored in Eager is "all let go";
    a_version_that_is_stuck_is_found: VersionStuck in Cooperative is "convergence";
    a_version_that_is_stuck_in_an_eager_group_is_found: VersionStuck in Eager is "convergence";
    a_deadline_ignored_is_found: DeadlineIgnored in Cooperative is "deadlines";
}
