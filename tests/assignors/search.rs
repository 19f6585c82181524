//! Random small groups, searched for one where the sticky assignors miss the optimum.

use crate::data::{Input, MemberInput};
use crate::{measure, optimum};
use anabranch::assignor::{
    Assignor, CooperativeStickyAssignor, RangeAssignor, RoundRobinAssignor, StickyAssignor,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const TOPICS: u32 = 6;

/// Subscriptions and claims name topics `t0..t5`, of which only some exist.
fn member() -> impl Strategy<Value = MemberInput> {
    let subscription = prop_oneof![
        4 => prop::collection::vec(0..TOPICS, 0..5),
        1 => Just((0..TOPICS).collect::<Vec<_>>()),
        1 => Just(vec![0, 1, 0, 1]),
    ];
    let owned = prop::collection::vec((0..TOPICS, 0..7_u32), 0..14);
    (subscription, owned, prop::option::of(0..3_i64)).prop_map(
        |(subscription, owned, generation)| MemberInput {
            subscription: subscription.into_iter().map(|t| format!("t{t}")).collect(),
            owned: owned.into_iter().map(|(t, p)| (format!("t{t}"), p)).collect(),
            generation,
            ..MemberInput::default()
        },
    )
}

fn group() -> impl Strategy<Value = Input> {
    let topics = prop::collection::vec(prop::option::weighted(0.9, 0..7_u32), TOPICS as usize);
    // A rack is one of a, b, c; a partition is on none to three of them.
    let rack = || (0..3_usize).prop_map(|rack| ["a", "b", "c"][rack].to_owned());
    let member_racks = prop::collection::vec(prop::option::weighted(0.8, rack()), 7);
    let partition_racks = prop::collection::vec(prop::collection::vec(rack(), 0..4), 7 * 6);
    let racks = prop::option::of((member_racks, partition_racks));
    (topics, prop::collection::vec(member(), 0..7), racks).prop_map(
        |(topics, mut members, racks)| {
            for (index, member) in members.iter_mut().enumerate() {
                member.id = format!("m{index}");
                member.rack = racks.as_ref().and_then(|(of_members, _)| of_members[index].clone());
            }
            let partition_racks =
                racks.iter().flat_map(|(_, of_partitions)| of_partitions.chunks(7));
            let partition_racks = partition_racks
                .enumerate()
                .map(|(t, racks)| (format!("t{t}"), racks.to_vec()))
                .collect();
            let existing = topics.into_iter().enumerate();
            let topics: BTreeMap<String, u32> =
                existing.filter_map(|(t, count)| Some((format!("t{t}"), count?))).collect();
            Input { topics, members, partition_racks }
        },
    )
}

/// Twice proptest's usual number; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases * 2, failure_persistence: None, ..usual }
}

proptest! {
    #![proptest_config(config())]

    /// Loads, racks and moves equal those of the plain search; a second round changes nothing.
    #[test]
    fn sticky_assignments_are_optimal(input in group()) {
        let target = input.assign(&StickyAssignor);
        prop_assert_eq!(measure::invalid(&input, &target), Vec::<String>::new());
        prop_assert!(measure::is_complete(&input, &target));
        prop_assert!(measure::is_strictly_balanced(&input, &target));
        let best = optimum::find(&input);
        prop_assert_eq!(measure::loads(&target), best.loads);
        prop_assert_eq!(measure::moved(&input, &target), best.moves);
        if optimum::racks_matter(&input) {
            prop_assert_eq!(measure::rack_mismatches(&input, &target), best.away);
        }
        prop_assert_eq!(&target, &input.assign(&CooperativeStickyAssignor));
        prop_assert_eq!(&target, &input.follow_up(&target).assign(&StickyAssignor));
    }

    /// What a group hands out in the first of two rounds leads to an assignment as good as the target.
    #[test]
    fn two_cooperative_rounds_are_as_good_as_one_eager(input in group()) {
        let target = input.assign(&CooperativeStickyAssignor);
        let (first, _) = measure::first_round(&input, &target);
        prop_assert!(measure::is_cooperative(&input, &first));
        let next = input.follow_up(&first);
        let last = next.assign(&CooperativeStickyAssignor);
        prop_assert!(measure::first_round(&next, &last).1.is_empty());
        prop_assert!(measure::is_complete(&input, &last));
        prop_assert_eq!(measure::loads(&last), measure::loads(&target));
        prop_assert_eq!(measure::moved(&input, &last), measure::moved(&input, &target));
    }

    /// The order in which members and topics are listed, and that of claims, changes nothing.
    #[test]
    fn the_order_of_the_input_does_not_matter(input in group()) {
        let mut reversed = input.clone();
        reversed.members.reverse();
        for member in &mut reversed.members {
            member.owned.reverse();
            member.subscription.reverse();
        }
        let all: [&dyn Assignor; 3] = [&StickyAssignor, &RangeAssignor, &RoundRobinAssignor];
        for assignor in all {
            let target = input.assign(assignor);
            prop_assert_eq!(&target, &reversed.assign(assignor), "{}", assignor.name());
            prop_assert_eq!(measure::invalid(&input, &target), Vec::<String>::new());
            prop_assert!(measure::is_complete(&input, &target));
        }
    }
}
