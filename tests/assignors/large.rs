//! Kafka's large tests, up to a million partitions and 2,000 members: still valid, complete and
//! strictly balanced, nothing moves that need not, and within the time Kafka allows itself.

use crate::data::{self, Case, CaseFile};
use anabranch::assignor::{Assignment, Member, TopicLayout};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

#[test]
fn large_groups_are_assigned_within_kafkas_limits() {
    let file: CaseFile = data::read("assignor_cases_public.json.gz");
    let mut ran = 0;
    for case in file.cases.iter().filter(|case| case.generator.is_some()) {
        let assignor = data::assignor(&case.assignor).expect("an assignor of ours");
        let limit = Duration::from_secs(case.kafka_test_time_limit_s.expect("a limit"));
        assert_eq!(case.expect.properties, ["completes_within_limit"]);
        assert_eq!(case.expect.derived_properties, ["valid", "complete", "strictly_balanced"]);
        let (mut members, topics) = input(case);
        let start = Instant::now();
        let first = assignor.assign(&members, &topics);
        for member in members.iter_mut().skip(1) {
            member.owned.clone_from(&first.0[&member.id]);
            member.generation = Some(1);
        }
        let second = assignor.assign(&members, &topics);
        assert!(start.elapsed() < limit, "{}", case.id);
        for assignment in [&first, &second] {
            check(&case.id, assignment, &members, &topics);
        }
        // The member that forgot what it owned gets it back: nobody else loses anything.
        for member in &members[1..] {
            assert_eq!(first.0[&member.id], second.0[&member.id], "{}: {}", case.id, member.id);
        }
        ran += 1;
    }
    assert_eq!(ran, 12);
}

/// The input that the generator of a case describes.
fn input(case: &Case) -> (Vec<Member>, Vec<TopicLayout>) {
    let generator = case.generator.as_ref().expect("a generator");
    let number = |key: &str| generator[key].as_u64().expect(key);
    let (topics, members) = (number("topics"), number("members"));
    let partitions = u32::try_from(number("partitions_per_topic")).expect("not so many");
    let has_racks = generator["racks"].as_bool().expect("with racks or without");
    let width = |count: u64| (count - 1).to_string().len();
    let (topic_width, member_width) = (width(topics), width(members));
    let names: Vec<String> = (0..topics).map(|t| format!("t{t:0topic_width$}")).collect();
    let shape = case.id.split('/').next_back().expect("a last part").to_owned();
    let wants = |member: u64, topic: u64| match shape.split('-').next().expect("a first word") {
        "uniform" => true,
        "nonequal" => member + 1 < members || topic == 0,
        "halves" => member.is_multiple_of(4) == (topic < topics / 2),
        other => panic!("{}: {other}", case.id),
    };
    let racks = ["a", "b", "c"];
    let new_member = |index: u64| {
        let wanted = names.iter().zip(0..).filter(|&(_, topic)| wants(index, topic));
        let member = Member::new(format!("c{index:0member_width$}"));
        let member = member.subscribe(wanted.map(|(name, _)| name));
        if has_racks { member.rack(racks[(index % 3) as usize]) } else { member }
    };
    let mut layouts: Vec<TopicLayout> =
        names.iter().map(|name| TopicLayout::new(name, partitions)).collect();
    if has_racks {
        for partition in layouts.iter_mut().flat_map(|layout| &mut layout.partitions) {
            partition.racks = racks.map(String::from).to_vec();
        }
    }
    ((0..members).map(new_member).collect(), layouts)
}

fn check(name: &str, assignment: &Assignment, members: &[Member], topics: &[TopicLayout]) {
    let mut owned: BTreeMap<&str, Vec<bool>> = BTreeMap::new();
    let mut largest_owner: BTreeMap<&str, usize> = BTreeMap::new();
    let mut smallest_subscriber: BTreeMap<&str, usize> = BTreeMap::new();
    for topic in topics {
        owned.insert(topic.name.as_str(), vec![false; topic.partitions.len()]);
    }
    for member in members {
        let load = assignment.0[&member.id].len();
        for topic in &member.subscription {
            let smallest = smallest_subscriber.entry(topic.as_str()).or_insert(load);
            *smallest = load.min(*smallest);
        }
        // Lists are sorted, and so are the subscriptions here: they are walked side by side.
        let mut wanted = member.subscription.iter();
        let mut topic = None;
        for partition in &assignment.0[&member.id] {
            while topic != Some(&partition.topic) {
                topic = wanted.next();
                assert!(topic.is_some(), "{name}: {} does not want {partition}", member.id);
                let largest = largest_owner.entry(partition.topic.as_str()).or_default();
                *largest = load.max(*largest);
            }
            let owned = owned.get_mut(partition.topic.as_str()).expect("a topic of the group");
            let is_owned = &mut owned[partition.partition as usize];
            assert!(!std::mem::replace(is_owned, true), "{name}: {partition} twice");
        }
    }
    assert!(owned.values().flatten().all(|&is_owned| is_owned), "{name}: not complete");
    for (topic, largest) in largest_owner {
        assert!(largest <= smallest_subscriber[topic] + 1, "{name}: {topic} is not balanced");
    }
}
