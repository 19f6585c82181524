//! Assignors that get it wrong: refused with names, and nobody is the worse for it.

use crate::support::{fill, group_of, now, of, read, settle, t, topic};
use anabranch::assignor::{Assignment, Assignor, CooperativeStickyAssignor, Member, TopicLayout};
use anabranch::{AssignmentError, ConsumerGroup, PollError, TopicPartition};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Spoil = fn(&mut Assignment);

/// Sticky, until it is told to spoil its results.
#[derive(Clone, Default)]
struct Moody(Arc<Mutex<Option<Spoil>>>);

impl Moody {
    fn spoil(&self, spoil: Spoil) {
        *self.0.lock().unwrap() = Some(spoil);
    }

    fn behave(&self) {
        *self.0.lock().unwrap() = None;
    }
}

impl Assignor for Moody {
    fn name(&self) -> &str {
        "moody"
    }

    fn assign(&self, members: &[Member], topics: &[TopicLayout]) -> Assignment {
        let mut assignment = CooperativeStickyAssignor.assign(members, topics);
        let spoil = *self.0.lock().unwrap();
        if let Some(spoil) = spoil {
            spoil(&mut assignment);
        }
        assignment
    }
}

fn list<'a>(assignment: &'a mut Assignment, member: &str) -> &'a mut Vec<TopicPartition> {
    assignment.0.entry(member.into()).or_default()
}

/// A spoilt result is refused at a newcomer's poll; the others go on, and a corrected assignor works.
fn is_refused(spoil: Spoil, expected: AssignmentError) {
    let topic = topic("t", 4);
    let other = crate::support::topic("u", 1);
    let moody = Moody::default();
    let group = group_of(&topic).topic(&other).assignor(moody.clone()).build().unwrap();
    let mut a = group.member("a").topics(["t"]).join().unwrap();
    let mut b = group.member("b").topics(["t"]).join().unwrap();
    settle(&mut [&mut a, &mut b]);
    let before = (a.assignment().to_vec(), b.assignment().to_vec());

    moody.spoil(spoil);
    let mut c = group.member("c").join().unwrap();
    let refused = c.poll(Duration::from_secs(60)).unwrap_err();
    let (g, assignor, reason) = ("g".into(), "moody".into(), expected.clone());
    assert_eq!(refused, PollError::Assignment { group: g, assignor, reason });
    assert_eq!(group.describe().refused, Some(expected));
    for round in 1..=3 {
        (0..4).for_each(|partition| fill(&topic, partition, 1));
        let count = read(&mut a).len() + read(&mut b).len();
        assert_eq!(count, 4, "round {round}: everybody goes on");
        assert_eq!(read(&mut c), []);
    }
    a.commit().unwrap();
    assert_eq!((a.assignment().to_vec(), b.assignment().to_vec()), before);

    moody.behave();
    now(&mut c);
    assert_eq!(c.assignment(), [], "nobody asks again before something changes");
    let mut d = group.member("d").topics(["t"]).join().unwrap();
    settle(&mut [&mut d, &mut a, &mut b, &mut c]);
    assert_eq!(group.describe().refused, None);
    for member in [&a, &b, &d] {
        assert!(!member.assignment().is_empty());
    }
    assert!(c.assignment().contains(&TopicPartition::new("u", 0)));
    complete(&group, 5);
}

fn complete(group: &ConsumerGroup, partitions: usize) {
    let held: usize = group.describe().members.iter().map(|member| member.assignment.len()).sum();
    assert_eq!(held, partitions);
}

#[test]
fn a_partition_for_two_members_is_refused() {
    let spoil: Spoil = |assignment| {
        for member in ["a", "b", "c"] {
            list(assignment, member).retain(|of| *of != t(0));
        }
        list(assignment, "a").push(t(0));
        list(assignment, "b").push(t(0));
    };
    let (first, second) = ("a".into(), "b".into());
    is_refused(spoil, AssignmentError::AssignedTwice { partition: t(0), first, second });
}

#[test]
fn a_partition_that_one_member_is_given_twice_is_refused() {
    let spoil: Spoil = |assignment| {
        let again = list(assignment, "a")[0].clone();
        list(assignment, "a").push(again);
    };
    let (first, second) = ("a".into(), "a".into());
    is_refused(spoil, AssignmentError::AssignedTwice { partition: t(0), first, second });
}

#[test]
fn a_partition_for_a_stranger_is_refused() {
    let spoil: Spoil = |assignment| {
        for member in ["a", "b", "c"] {
            list(assignment, member).retain(|of| *of != t(0));
        }
        list(assignment, "nobody").push(t(0));
    };
    let member = "nobody".into();
    is_refused(spoil, AssignmentError::UnknownMember { partition: t(0), member });
}

#[test]
fn a_partition_for_one_who_does_not_want_it_is_refused() {
    let spoil: Spoil = |assignment| {
        list(assignment, "c").retain(|of| of.topic != "u");
        list(assignment, "a").push(TopicPartition::new("u", 0));
    };
    let (partition, member) = (TopicPartition::new("u", 0), "a".into());
    is_refused(spoil, AssignmentError::NotSubscribed { partition, member });
}

#[test]
fn a_partition_for_nobody_is_refused() {
    let spoil: Spoil = |assignment| {
        for of in assignment.0.values_mut() {
            of.retain(|of| *of != t(3));
        }
    };
    let member = "a".into();
    is_refused(spoil, AssignmentError::Unassigned { partition: t(3), member });
}

#[test]
fn a_partition_that_does_not_exist_is_refused() {
    let spoil: Spoil = |assignment| list(assignment, "b").push(t(4));
    let member = "b".into();
    is_refused(spoil, AssignmentError::UnknownPartition { partition: t(4), member });
}

#[test]
fn a_panic_is_refused_and_stays_where_it_is() {
    let spoil: Spoil = |_| panic!("no idea");
    is_refused(spoil, AssignmentError::Panicked { message: "no idea".into() });
}

#[test]
fn a_refusal_at_somebodys_departure_leaves_the_rest_at_work() {
    let topic = topic("t", 4);
    let moody = Moody::default();
    let group = group_of(&topic).assignor(moody.clone()).build().unwrap();
    let (mut a, mut b) = (group.join("a").unwrap(), group.join("b").unwrap());
    settle(&mut [&mut a, &mut b]);
    moody.spoil(|_| panic!("no idea"));
    drop(b);
    (0..4).for_each(|partition| fill(&topic, partition, 1));
    assert!(matches!(a.poll(Duration::ZERO), Err(PollError::Assignment { .. })));
    assert_eq!(read(&mut a).len(), 2);
    a.commit().unwrap();
    moody.behave();
    let c = group.join("c").unwrap();
    drop(c);
    assert_eq!(read(&mut a).len(), 2, "what b left behind");
    assert_eq!(a.assignment(), of("t", 0..4));
}
