//! Input that nobody would write by hand: nothing panics, and what can be assigned is.

use anabranch::TopicPartition;
use anabranch::assignor::{
    Assignment, Assignor, CooperativeStickyAssignor, Member, PartitionLayout, RangeAssignor,
    RebalanceProtocol, RoundRobinAssignor, StickyAssignor, TopicLayout,
};

const ALL: [&dyn Assignor; 4] =
    [&RangeAssignor, &RoundRobinAssignor, &StickyAssignor, &CooperativeStickyAssignor];

fn of<'a>(assignment: &'a Assignment, member: &str) -> &'a [TopicPartition] {
    &assignment.0[member]
}

fn numbers(assignment: &Assignment, member: &str) -> Vec<u32> {
    of(assignment, member).iter().map(|p| p.partition).collect()
}

#[test]
fn assignors_go_by_kafkas_names() {
    let names = ALL.map(|assignor| (assignor.name(), assignor.protocol()));
    let (eager, cooperative) = (RebalanceProtocol::Eager, RebalanceProtocol::Cooperative);
    let expected = [
        ("range", eager),
        ("roundrobin", eager),
        ("sticky", eager),
        ("cooperative-sticky", cooperative),
    ];
    assert_eq!(names, expected);
}

#[test]
fn nothing_to_assign_is_an_assignment() {
    for assignor in ALL {
        assert_eq!(assignor.assign(&[], &[]), Assignment::default());
        assert_eq!(assignor.assign(&[], &[TopicLayout::new("t", 3)]), Assignment::default());
        let members = [Member::new("a"), Member::new("b").subscribe(["t", "gone", "t"])];
        for topics in [vec![], vec![TopicLayout::new("t", 0)], vec![TopicLayout::new("u", 4)]] {
            let assignment = assignor.assign(&members, &topics);
            assert_eq!((of(&assignment, "a"), of(&assignment, "b")), (&[][..], &[][..]));
        }
    }
}

#[test]
fn a_member_that_subscribes_to_nothing_gets_nothing() {
    let members = [Member::new("a").own("t", [0, 1]), Member::new("b").subscribe(["t"])];
    for assignor in ALL {
        let assignment = assignor.assign(&members, &[TopicLayout::new("t", 4)]);
        assert_eq!(numbers(&assignment, "a"), [0; 0]);
        assert_eq!(numbers(&assignment, "b"), [0, 1, 2, 3]);
    }
}

#[test]
fn what_is_listed_twice_counts_once() {
    let members = [
        Member::new("a").subscribe(["t", "t"]).own("t", [1, 1]).own("t", [1]).generation(1),
        Member::new("a").subscribe(["u"]).own("t", [2]).generation(9),
        Member::new("b").subscribe(["t"]),
    ];
    let topics = [TopicLayout::new("t", 3), TopicLayout::new("u", 5), TopicLayout::new("t", 9)];
    for assignor in ALL {
        let assignment = assignor.assign(&members, &topics);
        let mut all = [numbers(&assignment, "a"), numbers(&assignment, "b")].concat();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2], "{}", assignor.name());
        assert_eq!(assignment.0.len(), 2);
    }
    assert!(numbers(&StickyAssignor.assign(&members, &topics), "a").contains(&1));
}

#[test]
fn the_order_in_which_topics_are_listed_does_not_matter() {
    let names = ["t", "u", "v"];
    let members = [
        Member::new("a").subscribe(["v", "t"]).own("v", [1]).own("t", [0]),
        Member::new("b").subscribe(["u", "t"]).own("u", [2]),
        Member::new("c").subscribe(names),
    ];
    let mut topics = names.map(|name| TopicLayout::new(name, 5));
    for assignor in ALL {
        let assignment = assignor.assign(&members, &topics);
        topics.reverse();
        assert_eq!(assignor.assign(&members, &topics), assignment, "{}", assignor.name());
    }
}

#[test]
fn partition_numbers_may_have_gaps_and_any_order() {
    let mut topic = TopicLayout::new("t", 0);
    topic.partitions = [7, 2, u32::MAX, 2, 40].map(PartitionLayout::new).to_vec();
    let owned = [40, 41, 0, u32::MAX];
    let members =
        [Member::new("a").subscribe(["t"]), Member::new("b").subscribe(["t"]).own("t", owned)];
    for assignor in ALL {
        let assignment = assignor.assign(&members, std::slice::from_ref(&topic));
        let mut all = [numbers(&assignment, "a"), numbers(&assignment, "b")].concat();
        all.sort_unstable();
        assert_eq!(all, [2, 7, 40, u32::MAX], "{}", assignor.name());
    }
    let sticky = StickyAssignor.assign(&members, &[topic]);
    assert_eq!(numbers(&sticky, "b"), [40, u32::MAX]);
}

#[test]
fn long_names_are_as_good_as_short_ones() {
    let long = "a-topic-with-a-name-that-no-longer-fits-into-twenty-two-bytes";
    let id = "a-member-with-a-name-that-no-longer-fits-into-twenty-two-bytes";
    let members =
        [Member::new(id).subscribe([long]).own(long, [1]), Member::new("b").subscribe([long])];
    for assignor in ALL {
        let assignment = assignor.assign(&members, &[TopicLayout::new(long, 2)]);
        assert_eq!((of(&assignment, id).len(), of(&assignment, "b").len()), (1, 1));
    }
}

#[test]
fn an_unknown_generation_loses_against_the_first() {
    let members = [
        Member::new("a").subscribe(["t"]).own("t", [0, 1]),
        Member::new("b").subscribe(["t"]).own("t", [0, 1]).generation(0),
        Member::new("c").subscribe(["t"]).own("t", [2, 3]),
    ];
    let assignment = StickyAssignor.assign(&members, &[TopicLayout::new("t", 6)]);
    assert_eq!(numbers(&assignment, "b"), [0, 1]);
    assert_eq!(numbers(&assignment, "c"), [2, 3]);
}

#[test]
fn an_older_claim_does_not_step_in_for_disputed_ones() {
    let members = [
        Member::new("a").subscribe(["t"]).own("t", [0]).generation(5),
        Member::new("b").subscribe(["t"]).own("t", [0]).generation(5),
        Member::new("c").subscribe(["t"]).own("t", [0]).own("t", [1]).generation(4),
    ];
    // If the claim of c counted, it would keep partition 0 or 1 and not certainly the latter.
    let assignment = StickyAssignor.assign(&members, &[TopicLayout::new("t", 3)]);
    assert_eq!(numbers(&assignment, "c"), [1]);
}

#[test]
fn a_member_with_a_heavy_topic_of_its_own_is_spared_the_others() {
    let members = [
        Member::new("a").subscribe(["own", "shared"]).own("shared", [0, 1, 2]),
        Member::new("b").subscribe(["shared"]),
        Member::new("c").subscribe(["shared"]).own("shared", [3]),
    ];
    let topics = [TopicLayout::new("own", 9), TopicLayout::new("shared", 4)];
    let assignment = StickyAssignor.assign(&members, &topics);
    assert_eq!(["a", "b", "c"].map(|m| of(&assignment, m).len()), [9, 2, 2]);
    assert!(numbers(&assignment, "c").contains(&3));
}

#[test]
fn a_new_group_spreads_every_topic_over_all_members() {
    let ids: Vec<String> = (0..8).map(|i| format!("c{i}")).collect();
    let names: Vec<String> = (0..5).map(|i| format!("t{i}")).collect();
    let members: Vec<Member> = ids.iter().map(|id| Member::new(id).subscribe(&names)).collect();
    let topics: Vec<TopicLayout> = names.iter().map(|name| TopicLayout::new(name, 16)).collect();
    let assignment = StickyAssignor.assign(&members, &topics);
    for (id, name) in ids.iter().flat_map(|id| names.iter().map(move |name| (id, name))) {
        let count = of(&assignment, id).iter().filter(|p| p.topic == name.as_str()).count();
        assert_eq!(count, 2, "{id} {name}");
    }
}

#[test]
fn who_joins_gets_something_of_every_topic() {
    let names: Vec<String> = (0..6).map(|i| format!("t{i}")).collect();
    let topics: Vec<TopicLayout> = names.iter().map(|name| TopicLayout::new(name, 6)).collect();
    let mut members = vec![Member::new("a").subscribe(&names), Member::new("b").subscribe(&names)];
    let before = StickyAssignor.assign(&members, &topics);
    for member in &mut members {
        member.owned = before.0[&member.id].clone();
    }
    members.push(Member::new("c").subscribe(&names));
    let assignment = StickyAssignor.assign(&members, &topics);
    for (member, name) in ["a", "b", "c"].iter().flat_map(|m| names.iter().map(move |n| (m, n))) {
        let count = of(&assignment, member).iter().filter(|p| p.topic == name.as_str()).count();
        assert_eq!(count, 2, "{member} {name}");
    }
}

#[test]
fn sticky_prefers_a_member_near_a_replica_to_the_previous_owner() {
    let member =
        |id: &str, rack: &str, owned| Member::new(id).subscribe(["t"]).rack(rack).own("t", owned);
    let members = [member("a", "x", [0, 1]), member("b", "y", [2, 3])];
    let mut topic = TopicLayout::new("t", 4);
    for (partition, rack) in topic.partitions.iter_mut().zip(["x", "y", "x", "y"]) {
        partition.racks = vec![rack.to_owned()];
    }
    let assignment = StickyAssignor.assign(&members, std::slice::from_ref(&topic));
    assert_eq!(numbers(&assignment, "a"), [0, 2]);
    for partition in &mut topic.partitions {
        partition.racks = vec!["x".to_owned(), "y".to_owned()];
    }
    let assignment = StickyAssignor.assign(&members, &[topic]);
    assert_eq!(numbers(&assignment, "a"), [0, 1], "everything is near, so nothing moves");
}
