//! Kafka's own unit tests: every recorded call, and every key of what it expects.
//!
//! A case with several steps is replayed twice. *Fixed*: members own what Kafka gave them. *Chained*:
//! they own what we gave them. Where Kafka names the very partitions a sticky assignor hands out, it
//! pins its own tie-breaks: then sizes and moves are compared. Range and round robin must agree
//! literally.

use crate::data::{self, Case, CaseFile, Expect, Input, Outcome, Owners, Step};
use crate::{measure, optimum};
use anabranch::assignor::{Assignor, RebalanceProtocol};
use std::collections::{BTreeMap, BTreeSet};

/// Assignors of Kafka's that the crate does not offer: the two of its newer protocol, and that of
/// share groups.
const NOT_OFFERED: [&str; 3] = ["uniform", "range-848", "simple-share"];

/// The optimum by brute force is only asked for up to this many partitions.
const SMALL: usize = 60;

#[derive(Clone, Copy, PartialEq)]
enum Replay {
    Fixed,
    Chained,
}

#[test]
fn every_case_of_kafkas_unit_tests_holds() {
    let file: CaseFile = data::read("assignor_cases_public.json.gz");
    assert_eq!(file.cases.len(), file.count);
    let mut ran: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for case in file.cases {
        let Some(assignor) = data::assignor(&case.assignor) else {
            let is_rule = case.assignor == "common";
            assert!(is_rule || NOT_OFFERED.contains(&case.assignor.as_str()), "{}", case.id);
            if case.kind == "member_order" {
                check_member_order(&case);
            }
            continue;
        };
        if case.generator.is_some() {
            continue; // see `large.rs`
        }
        let counts = ran.entry(case.assignor.clone()).or_default();
        counts.0 += 1;
        counts.1 += run(&case, assignor.as_ref(), Replay::Fixed);
        run(&case, assignor.as_ref(), Replay::Chained);
    }
    let expected = [
        ("cooperative-sticky", (107, 184)),
        ("range", (45, 52)),
        ("roundrobin", (8, 10)),
        ("sticky", (121, 174)),
    ];
    assert_eq!(ran, expected.map(|(name, counts)| (name.to_owned(), counts)).into());
}

/// Replays the steps of a case; returns how many there were.
fn run(case: &Case, assignor: &dyn Assignor, replay: Replay) -> usize {
    let mut outputs: Vec<Owners> = Vec::new();
    let mut inputs: Vec<Input> = Vec::new();
    for (index, step) in case.steps.iter().enumerate() {
        let mut input = step.input.clone();
        if replay == Replay::Chained {
            for member in &mut input.members {
                if let Some(from) = member.owned_from_step {
                    member.owned = outputs[from].get(&member.id).cloned().unwrap_or_default();
                }
            }
        }
        let target = input.assign(assignor);
        let before: Vec<Owners> = match replay {
            Replay::Fixed => case.steps.iter().map(|step| step.kafka.assignment.clone()).collect(),
            Replay::Chained => outputs.clone(),
        };
        let check = Check {
            name: format!("{} step {index}", case.id),
            assignor,
            input: &input,
            target: &target,
            before: &before[..index],
            is_chained: replay == Replay::Chained,
        };
        outputs.push(check.run(step));
        inputs.push(input);
    }
    case.steps.len()
}

struct Check<'a> {
    name: String,
    assignor: &'a dyn Assignor,
    input: &'a Input,
    target: &'a Owners,
    /// The assignments of earlier steps: Kafka's or ours.
    before: &'a [Owners],
    is_chained: bool,
}

impl Check<'_> {
    /// Checks everything that is known of a step; returns what the members have after it.
    fn run(&self, step: &Step) -> Owners {
        let name = &self.name;
        assert_eq!(measure::invalid(self.input, self.target), [""; 0], "{name}");
        assert!(measure::is_complete(self.input, self.target), "{name}");
        let is_cooperative = self.assignor.protocol() == RebalanceProtocol::Cooperative;
        let (after, withheld) = measure::first_round(self.input, self.target);
        let after = if is_cooperative { after } else { self.target.clone() };
        self.check_properties(&step.expect, &after);
        self.check_sizes(&step.expect, &after);
        self.check_relations(&step.expect, &after);
        if let Some(transferring) = &step.expect.transferring {
            assert_eq!(withheld.len(), transferring.len(), "{name}: {withheld:?}");
        }
        if let Some(count) = step.expect.transferring_count {
            assert_eq!(withheld.len(), count, "{name}: {withheld:?}");
        }
        if let Some(mismatches) = step.expect.rack_mismatches {
            assert_eq!(measure::rack_mismatches(self.input, &after), mismatches, "{name}");
        }
        if self.assignor.name().ends_with("sticky") {
            self.check_optimum(step);
            self.check_against_kafka(&step.kafka);
            let exact = step.expect.exact.as_ref().filter(|_| !self.is_chained);
            if let Some(exact) = exact {
                assert_eq!(sizes(&after), sizes(&fill(exact, &after)), "{name}");
            }
        } else if let Some(exact) = &step.expect.exact {
            assert_eq!(after, sorted(fill(exact, &after), step.expect.ordered), "{name}");
        }
        after
    }

    fn check_properties(&self, expect: &Expect, after: &Owners) {
        // Balance is asked of a first round only if it withholds nothing, else of the target.
        let is_whole = measure::is_complete(self.input, after);
        let last = if is_whole { after } else { self.target };
        for property in expect.properties.iter().chain(&expect.derived_properties) {
            let holds = match property.as_str() {
                "valid" => measure::invalid(self.input, after).is_empty(),
                "complete" => measure::is_complete(self.input, last),
                "fully_balanced" => measure::is_fully_balanced(last),
                "kafka_balanced" => measure::is_kafka_balanced(last),
                "strictly_balanced" => measure::is_strictly_balanced(self.input, last),
                "no_move_cycles" => {
                    let before = self.before.last().expect("a step before this one");
                    measure::move_cycles(before, after).is_empty()
                }
                "cooperative_valid" => measure::is_cooperative(self.input, after),
                "converges" => self.converges(after),
                unknown => panic!("{}: property {unknown}", self.name),
            };
            assert!(holds, "{}: not {property}: {after:?}", self.name);
        }
    }

    fn converges(&self, after: &Owners) -> bool {
        let mut owners = after.clone();
        for _ in 0..4 {
            let input = self.input.follow_up(&owners);
            let target = input.assign(self.assignor);
            let (next, withheld) = measure::first_round(&input, &target);
            let is_lost =
                |(id, list): (&String, &Vec<_>)| list.iter().any(|p| !next[id].contains(p));
            if withheld.is_empty() && !owners.iter().any(is_lost) {
                return measure::invalid(&input, &next).is_empty()
                    && measure::is_complete(&input, &next)
                    && measure::is_kafka_balanced(&next)
                    && measure::loads(&next) == measure::loads(self.target)
                    && measure::moved(self.input, &next)
                        == measure::moved(self.input, self.target);
            }
            owners = next;
        }
        false
    }

    fn check_sizes(&self, expect: &Expect, after: &Owners) {
        let name = &self.name;
        if let Some(sizes) = &expect.sizes {
            for (id, &size) in sizes {
                assert_eq!(after[id].len(), size, "{name}: {id}");
            }
        }
        if let Some(sizes) = &expect.sizes_any_order {
            let mut sizes = sizes.clone();
            sizes.sort_unstable();
            assert_eq!(measure::loads(after), sizes, "{name}");
        }
        if let Some((least, most)) = expect.each_size_between {
            assert!(after.values().all(|list| (least..=most).contains(&list.len())), "{name}");
        }
        if let Some(total) = expect.total_assigned {
            assert_eq!(after.values().map(Vec::len).sum::<usize>(), total, "{name}");
        }
        for (topic, &count) in expect.per_topic_count_each.iter().flatten() {
            for (id, list) in after {
                let of_topic = list.iter().filter(|(name, _)| name == topic).count();
                assert_eq!(of_topic, count, "{name}: {id} {topic}");
            }
        }
        for (id, list) in expect.exact_partial.iter().flatten() {
            if !self.is_chained {
                assert_eq!(set(&after[id]), set(list), "{name}: {id}");
            }
        }
    }

    fn check_relations(&self, expect: &Expect, after: &Owners) {
        let name = &self.name;
        for (id, &step) in &expect.superset_of {
            assert!(set(&after[id]).is_superset(&set(&self.before[step][id])), "{name}: {id}");
        }
        for (id, &step) in &expect.subset_of_step {
            assert!(set(&after[id]).is_subset(&set(&self.before[step][id])), "{name}: {id}");
        }
        for id in &expect.subset_of_owned {
            assert!(set(&after[id]).is_subset(&set(&self.input.member(id).owned)), "{name}: {id}");
        }
        for with in &expect.intersects {
            let other = set(&self.before[with.of_step][&with.of_member]);
            assert!(!set(&after[&with.member]).is_disjoint(&other), "{name}: {}", with.member);
        }
    }

    /// The best balance, and the fewest moves for it: as the data says, and as we compute it here.
    fn check_optimum(&self, step: &Step) {
        let (input, target, name) = (self.input, self.target, &self.name);
        if let Some(optimal) = step.optimal.as_ref().filter(|_| !self.is_chained) {
            assert_eq!(measure::loads(target), optimal.loads_sorted, "{name}");
            assert_eq!(measure::balance_score(target), optimal.balance_score, "{name}");
            assert_eq!(measure::moved(input, target), optimal.moves, "{name}");
        }
        if input.effective().len() <= SMALL {
            let best = optimum::find(input);
            assert_eq!(measure::loads(target), best.loads, "{name}");
            assert_eq!(measure::moved(input, target), best.moves, "{name}");
            if optimum::racks_matter(input) {
                assert_eq!(measure::rack_mismatches(input, target), best.away, "{name}");
            }
        }
    }

    /// Never less balanced than Kafka, and at equal balance never more moves.
    fn check_against_kafka(&self, kafka: &Outcome) {
        let is_comparable = !self.is_chained && kafka.valid != Some(false);
        let (Some(score), Some(moved), true) = (kafka.balance_score, kafka.moved, is_comparable)
        else {
            return;
        };
        let mut ours = self.target.clone();
        let is_whole = measure::is_complete(self.input, &kafka.assignment);
        if !is_whole {
            ours = measure::first_round(self.input, self.target).0;
        }
        let name = &self.name;
        assert!(!is_whole || measure::balance_score(&ours) <= score, "{name}");
        let is_equal = measure::balance_score(&ours) == score;
        let moves = moved + kafka.withheld.unwrap_or(0);
        let racks = optimum::racks_matter(self.input);
        assert!(!is_equal || racks || measure::moved(self.input, self.target) <= moves, "{name}");
    }
}

/// Static members first, by instance id; then the others, by member id. Round robin deals in
/// this order, so one topic with as many partitions as there are members shows it.
fn check_member_order(case: &Case) {
    let order = case.expect.order.as_ref().expect("an order");
    let mut input = Input { members: case.members.clone(), ..Input::default() };
    let count = u32::try_from(input.members.len()).expect("few members");
    input.topics.insert("t".to_owned(), count);
    for member in &mut input.members {
        member.subscription = vec!["t".to_owned()];
    }
    let owners = input.assign(&anabranch::assignor::RoundRobinAssignor);
    for (id, place) in order.iter().zip(0..) {
        assert_eq!(owners[id], [("t".to_owned(), place)], "{}", case.id);
    }
}

fn set(list: &[data::Partition]) -> BTreeSet<&data::Partition> {
    list.iter().collect()
}

fn sizes(owners: &Owners) -> Vec<usize> {
    measure::loads(owners)
}

/// Members that an expectation leaves out have nothing.
fn fill(exact: &Owners, after: &Owners) -> Owners {
    let mut filled: Owners = after.keys().map(|id| (id.clone(), Vec::new())).collect();
    filled.extend(exact.clone());
    filled
}

fn sorted(mut owners: Owners, is_ordered: bool) -> Owners {
    if !is_ordered {
        owners.values_mut().for_each(|list| list.sort());
    }
    owners
}
