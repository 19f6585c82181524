//! Who is in a group: joining, leaving, subscriptions, limits, and what assignors hear of members.

use crate::support::{Log, fill, group, group_of, now, of, read, settle, t, topic};
use anabranch::assignor::{Assignment, Assignor, CooperativeStickyAssignor, Member, TopicLayout};
use anabranch::{ConsumerGroup, GroupError, GroupState, ManualClock};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn members_share_the_partitions_and_leaving_gives_them_back() {
    let group = group(&topic("t", 4));
    let (mut a, mut b) = (group.join("a").unwrap(), group.join("b").unwrap());
    settle(&mut [&mut a, &mut b]);
    assert_eq!((a.assignment().len(), b.assignment().len()), (2, 2));
    let before = group.describe().generation;
    b.leave().unwrap();
    assert_eq!(group.describe().generation, before + 1);
    now(&mut a);
    assert_eq!(a.assignment(), of("t", 0..4));
    drop(a);
    assert_eq!(group.describe().state, GroupState::Empty);
}

#[test]
fn more_members_than_partitions_leaves_some_idle_until_needed() {
    let topic = topic("t", 1);
    let group = group(&topic);
    let (mut a, mut b) = (group.join("a").unwrap(), group.join("b").unwrap());
    settle(&mut [&mut a, &mut b]);
    fill(&topic, 0, 1);
    assert_eq!((read(&mut b), read(&mut a)), (vec![], vec![(0, 0)]));
    drop(a);
    assert_eq!(read(&mut b), [(0, 0)]);
}

#[test]
fn a_name_is_used_by_one_live_member_at_a_time() {
    let group = group(&topic("t", 1));
    let a = group.join("a").unwrap();
    let before = group.describe();
    let refused = group.join("a").unwrap_err();
    assert_eq!(refused, GroupError::MemberExists { group: "g".into(), member: "a".into() });
    assert_eq!(group.describe(), before, "nothing was changed");
    drop(a);
    assert_eq!(group.join("a").unwrap().id(), "a");
}

#[test]
fn a_full_group_lets_nobody_in_until_somebody_leaves() {
    let group = group_of(&topic("t", 4)).max_members(2).build().unwrap();
    let (a, _b) = (group.join("a").unwrap(), group.join("b").unwrap());
    let refused = group.join("c").unwrap_err();
    assert_eq!(refused, GroupError::Full { group: "g".into(), max: 2 });
    assert_eq!(group.describe().members.len(), 2);
    drop(a);
    assert!(group.join("c").is_ok());
}

#[test]
fn a_member_may_read_some_of_the_groups_topics() {
    let (x, y) = (topic("x", 2), topic("y", 2));
    let group =
        ConsumerGroup::builder("g").topic(&x).topic(&y).clock(ManualClock::new()).build().unwrap();
    let mut a = group.member("a").topics(["x"]).join().unwrap();
    let mut b = group.member("b").topics(["y", "y"]).join().unwrap();
    settle(&mut [&mut a, &mut b]);
    assert_eq!(a.assignment(), of("x", 0..2));
    assert_eq!(b.assignment(), of("y", 0..2));
    // With b its topic has no reader any more; that is no fault of the assignor.
    drop(b);
    now(&mut a);
    assert_eq!(a.assignment(), of("x", 0..2));
    assert_eq!(group.describe().state, GroupState::Stable);
}

#[test]
fn a_topic_that_the_group_does_not_read_is_refused() {
    let group = group(&topic("t", 1));
    let refused = group.member("a").topics(["t", "u"]).join().unwrap_err();
    assert_eq!(refused, GroupError::UnknownTopic { group: "g".into(), topic: "u".into() });
    assert_eq!(group.describe().state, GroupState::Empty);
}

#[test]
fn a_member_without_topics_reads_nothing_and_hinders_nobody() {
    let group = group(&topic("t", 2));
    let mut a = group.member("a").topics(Vec::<String>::new()).join().unwrap();
    let mut b = group.join("b").unwrap();
    settle(&mut [&mut a, &mut b]);
    assert_eq!((a.assignment().len(), b.assignment().len()), (0, 2));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let t = topic("t", 1);
    let no_topics = ConsumerGroup::builder("g").build().unwrap_err();
    assert_eq!(no_topics, GroupError::NoTopics { group: "g".into() });
    let twice = ConsumerGroup::builder("g").topic(&t).topic(&t).build().unwrap_err();
    assert_eq!(twice, GroupError::TopicExists { group: "g".into(), topic: "t".into() });
    let zero = Duration::ZERO;
    let refused = |setting: &str, builder: anabranch::ConsumerGroupBuilder| {
        let error = builder.build().unwrap_err();
        let named =
            matches!(&error, GroupError::InvalidSetting { setting: s, .. } if *s == setting);
        assert!(named, "{error}");
    };
    refused("session_timeout", group_of(&t).session_timeout(zero));
    refused("max_poll_interval", group_of(&t).max_poll_interval(zero));
    refused("rebalance_timeout", group_of(&t).rebalance_timeout(zero));
    refused("max_poll_records", group_of(&t).max_poll_records(0));
    refused("max_members", group_of(&t).max_members(0));
}

/// Remembers what it was asked.
#[derive(Clone, Default)]
struct Curious(Arc<Mutex<Vec<Vec<Member>>>>, Arc<Mutex<Vec<u64>>>);

impl Assignor for Curious {
    fn name(&self) -> &str {
        "curious"
    }

    fn assign(&self, members: &[Member], topics: &[TopicLayout]) -> Assignment {
        self.0.lock().unwrap().push(members.to_vec());
        let lags = topics.iter().flat_map(|topic| topic.partitions.iter().map(|p| p.lag));
        *self.1.lock().unwrap() = lags.collect();
        CooperativeStickyAssignor.assign(members, topics)
    }
}

#[test]
fn weight_rack_and_lag_reach_the_assignor() {
    let topic = topic("t", 2);
    fill(&topic, 1, 3);
    let curious = Curious::default();
    let group = group_of(&topic).assignor(curious.clone()).build().unwrap();
    let mut a = group.member("a").rack("north").weight(3).instance_id("i").join().unwrap();
    now(&mut a);
    let seen = curious.0.lock().unwrap().pop().unwrap().pop().unwrap();
    assert_eq!((seen.id.as_str(), seen.rack.as_deref(), seen.weight), ("a", Some("north"), 3));
    assert_eq!(
        (seen.instance_id.as_deref(), &seen.subscription[..]),
        (Some("i"), &["t".into()][..])
    );
    assert_eq!(seen.owned, []);
    assert_eq!(*curious.1.lock().unwrap(), [0, 3]);

    a.commit().unwrap();
    let mut b = group.join("b").unwrap();
    now(&mut b);
    let seen = curious.0.lock().unwrap().pop().unwrap();
    assert_eq!((&seen[0].owned[..], seen[1].weight), (&of("t", 0..2)[..], 1));
    assert_eq!(*curious.1.lock().unwrap(), [0, 0], "the lag is that behind what is committed");
}

#[test]
fn a_poll_without_news_asks_no_assignor() {
    let curious = Curious::default();
    let group = group_of(&topic("t", 2)).assignor(curious.clone()).build().unwrap();
    let mut a = group.join("a").unwrap();
    settle(&mut [&mut a]);
    assert_eq!(curious.0.lock().unwrap().len(), 1);
}

#[test]
fn two_groups_know_nothing_of_each_other() {
    let topic = topic("t", 2);
    fill(&topic, 0, 2);
    let (one, other) = (group(&topic), group(&topic));
    let (mut a, mut b) = (one.join("a").unwrap(), other.join("a").unwrap());
    assert_eq!((read(&mut a).len(), read(&mut b).len()), (2, 2));
    a.commit().unwrap();
    assert_eq!((one.total_lag(), other.total_lag()), (0, 2));
    assert_eq!(other.committed(&t(0)), None);
    assert_eq!(b.assignment(), of("t", 0..2));
}

#[test]
fn a_drop_tells_the_listener_and_a_second_goodbye_says_nothing() {
    let group = group(&topic("t", 1));
    let log = Log::default();
    let mut a = group.member("a").listener(log.clone()).join().unwrap();
    now(&mut a);
    a.leave().unwrap();
    assert_eq!(log.take(), ["a assigned t/0", "a revoked t/0"]);
    let unused = group.member("b").listener(log.clone()).join().unwrap();
    drop(unused);
    assert_eq!(log.take(), Vec::<String>::new(), "one that has nothing has nothing to give up");
}

#[test]
fn members_are_described_with_what_they_hold_and_will_hold() {
    let group = group(&topic("t", 2));
    let mut a = group.join("a").unwrap();
    now(&mut a);
    let mut b = group.join("b").unwrap();
    now(&mut b);
    let described = group.describe();
    assert_eq!((described.id.as_str(), described.generation), ("g", 2));
    assert_eq!(described.members[0].assignment, of("t", 0..2));
    assert_eq!(described.members[0].target, of("t", 0..1));
    assert_eq!(
        (&described.members[1].assignment[..], &described.members[1].target[..]),
        (&[][..], &[t(1)][..])
    );
    now(&mut a);
    assert_eq!(group.describe().members[0].assignment, [t(0)]);
}
