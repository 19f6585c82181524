//! Random scenarios that Kafka was run on: never worse than Kafka, and as good as it gets.

use crate::data::{self, Owners, Scenario, ScenarioFile};
use crate::measure;
use anabranch::assignor::{Assignor, RebalanceProtocol};
use std::collections::BTreeMap;

#[test]
fn random_scenarios_are_never_worse_than_kafka_and_always_optimal() {
    let file: ScenarioFile = data::read("assignor_random_public.json.gz");
    assert_eq!(file.scenarios.len(), file.count);
    let mut ran: BTreeMap<String, usize> = BTreeMap::new();
    let mut better_than_kafka = 0;
    for scenario in file.scenarios {
        let Some(assignor) = data::assignor(&scenario.assignor) else {
            assert!(["uniform", "range-848"].contains(&scenario.assignor.as_str()));
            continue; // the crate does not offer these
        };
        *ran.entry(scenario.assignor.clone()).or_default() += 1;
        match &scenario.expect.exact {
            Some(exact) => {
                check_exact(&scenario, exact, &scenario.input.assign(assignor.as_ref()));
            }
            None => better_than_kafka += usize::from(check_optimal(&scenario, assignor.as_ref())),
        }
    }
    let expected =
        [("cooperative-sticky", 183), ("range", 180), ("roundrobin", 180), ("sticky", 182)];
    assert_eq!(ran, expected.map(|(name, count)| (name.to_owned(), count)).into());
    assert!(better_than_kafka > 0, "Kafka is not optimal everywhere, so this compares nothing");
}

fn check_exact(scenario: &Scenario, exact: &Owners, owners: &Owners) {
    for (id, list) in owners {
        let mut expected = exact.get(id).cloned().unwrap_or_default();
        if !scenario.expect.ordered {
            expected.sort();
        }
        assert_eq!(*list, expected, "{}: {id}", scenario.id);
    }
}

/// Returns whether Kafka did worse, or failed.
fn check_optimal(scenario: &Scenario, assignor: &dyn Assignor) -> bool {
    let (input, name) = (&scenario.input, &scenario.id);
    let target = input.assign(assignor);
    let mut last = target.clone();
    if assignor.protocol() == RebalanceProtocol::Cooperative {
        let (first, _) = measure::first_round(input, &target);
        assert!(measure::is_cooperative(input, &first), "{name}");
        let next = input.follow_up(&first);
        last = next.assign(assignor);
        let (all, withheld) = measure::first_round(&next, &last);
        assert!(withheld.is_empty() && all == last, "{name}: two rounds are enough");
    }
    assert_eq!(measure::invalid(input, &last), [""; 0], "{name}");
    assert!(measure::is_complete(input, &last), "{name}");
    assert!(measure::is_strictly_balanced(input, &last), "{name}");
    let (score, moved) = (measure::balance_score(&last), measure::moved(input, &last));
    let optimal = scenario.optimal.as_ref().expect("sticky scenarios come with an optimum");
    assert_eq!(measure::loads(&last), optimal.loads_sorted, "{name}");
    assert_eq!((score, moved), (optimal.balance_score, optimal.moves), "{name}");
    assert_eq!(measure::moved(input, &target), optimal.moves, "{name}");
    let kafka = &scenario.kafka;
    if kafka.throws.is_some() || kafka.valid == Some(false) {
        return true;
    }
    let of_kafka = (kafka.balance_score.expect("a score"), kafka.moved.expect("moves"));
    assert!(score <= of_kafka.0, "{name}");
    assert!(moved <= of_kafka.1 || scenario.tradeoff && score < of_kafka.0, "{name}");
    (score, moved) != of_kafka
}
