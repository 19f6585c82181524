//! Assignors that are wrong, late or gone: what they answer is refused, and the group goes on as it
//! was.

use super::super::*;
use super::support::{Group, ModAssignor, of, profile, secs};
use crate::group::assignor::{Assignor, Member};

/// `a` and `b` share t/0..2 and `a` alone reads u/0; then `c` joins, which reads t, and an answer for
/// the three is due.
fn asked() -> (Group, AssignmentRequest) {
    let mut group = Group::cooperative(&[("t", 2), ("u", 1)]);
    group.join(profile("a", &["t", "u"]));
    group.join(profile("b", &["t"]));
    group.settle();
    group.join(profile("c", &["t"]));
    let request = group.coordinator.needs_assignment().unwrap();
    (group, request)
}

fn given(list: &[(&str, Vec<TopicPartition>)]) -> Assignment {
    Assignment(list.iter().map(|(member, given)| ((*member).into(), given.clone())).collect())
}

fn right() -> Assignment {
    given(&[("a", of("u", [0])), ("b", of("t", [1])), ("c", of("t", [0]))])
}

#[test]
fn the_question_has_everything_in_it() {
    let mut group = Group::cooperative(&[("u", 1), ("t", 2)]);
    let mut a = profile("a", &["u", "t"]);
    (a.rack, a.weight) = (Some("r".into()), 3);
    group.join(a);
    group.settle();
    group.join(Profile { instance_id: Some("one".into()), ..profile("b", &["t"]) });
    let request = group.coordinator.needs_assignment().unwrap();
    let a = Member::new("a").subscribe(["t", "u"]).own("t", [0, 1]).own("u", [0]);
    let a = a.generation(1).rack("r").weight(3);
    let b = Member::new("b").subscribe(["t"]).instance_id("one");
    assert_eq!(request.members, [a, b]);
    assert_eq!(request.topics, [TopicLayout::new("t", 2), TopicLayout::new("u", 1)]);
    assert_eq!(request.epoch, 2);
}

/// A move under way counts as made; one that nobody was told of does not.
#[test]
fn a_claim_follows_what_is_held() {
    let mut group = Group::cooperative(&[("t", 4)]);
    let a = group.join(profile("a", &["t"]));
    group.settle();
    group.join(profile("b", &["t"]));
    group.assign();
    group.join(profile("c", &["t"]));
    let owned = |group: &mut Group| -> Vec<Vec<TopicPartition>> {
        group.coordinator.roster.request().members.into_iter().map(|m| m.owned).collect()
    };
    assert_eq!(owned(&mut group), [of("t", 0..4), vec![], vec![]]);
    let key = group.consumers[a].key.unwrap();
    let poll = Poll { member: key, epoch: 1, owned: None };
    let _ = group.coordinator.poll(poll, group.now).unwrap();
    assert_eq!(owned(&mut group), [of("t", [0, 2]), of("t", [1, 3]), vec![]]);
}

#[test]
fn wrong_answers_are_refused_by_name_and_the_group_keeps_what_it_has() {
    let p = |topic, partition| TopicPartition::new(topic, partition);
    let cases = [
        (
            given(&[("a", of("u", [0])), ("b", of("t", [1])), ("c", of("t", [0, 1]))]),
            AssignmentError::AssignedTwice {
                partition: p("t", 1),
                first: "b".into(),
                second: "c".into(),
            },
        ),
        (
            given(&[("a", of("u", [0])), ("b", of("t", [1, 0, 1]))]),
            AssignmentError::AssignedTwice {
                partition: p("t", 1),
                first: "b".into(),
                second: "b".into(),
            },
        ),
        (
            given(&[("a", of("u", [0])), ("b", of("t", [1])), ("d", of("t", [0]))]),
            AssignmentError::UnknownMember { partition: p("t", 0), member: "d".into() },
        ),
        (
            given(&[("a", of("t", [0, 1])), ("b", of("u", [0]))]),
            AssignmentError::NotSubscribed { partition: p("u", 0), member: "b".into() },
        ),
        (
            given(&[("a", of("u", [0])), ("b", of("t", [0, 1, 2]))]),
            AssignmentError::UnknownPartition { partition: p("t", 2), member: "b".into() },
        ),
        (
            given(&[("a", of("v", [0]))]),
            AssignmentError::UnknownPartition { partition: p("v", 0), member: "a".into() },
        ),
        (
            given(&[("a", of("u", [0])), ("b", of("t", [1]))]),
            AssignmentError::Unassigned { partition: p("t", 0), member: "a".into() },
        ),
        (
            Assignment::default(),
            AssignmentError::Unassigned { partition: p("t", 0), member: "a".into() },
        ),
    ];
    for (answer, error) in cases {
        let (mut group, request) = asked();
        let before = group.coordinator.describe();
        let refused = group.coordinator.install(request.epoch, Ok(answer), group.now);
        assert_eq!(refused, Err(error.clone()));
        let after = group.coordinator.describe();
        assert_eq!(after, GroupSnapshot { refused: Some(error), ..before });
        for place in 0..3 {
            group.ask(place);
        }
        assert_eq!(group.held(0), [of("t", [0]), of("u", [0])].concat());
        assert_eq!((group.held(1), group.held(2)), (of("t", [1]), vec![]));
        assert_eq!(group.commit(0, &of("t", [0])), Ok(vec![]));
    }
}

#[test]
fn an_assignor_is_asked_again_when_something_changed() {
    let (mut group, request) = asked();
    let panicked = AssignmentError::Panicked { message: "oh no".into() };
    let refused = group.coordinator.install(request.epoch, Err(panicked.clone()), group.now);
    assert_eq!(refused, Err(panicked));
    assert_eq!(group.coordinator.needs_assignment(), None, "nothing changed since");
    group.leave(2, Leave::ForGood);
    let again = group.coordinator.needs_assignment().unwrap();
    assert_eq!(again.epoch, request.epoch + 1);
    assert_eq!(group.coordinator.describe().refused, None);
}

#[test]
fn a_right_answer_is_installed_and_nobody_else_is_asked_meanwhile() {
    let (mut group, request) = asked();
    assert_eq!(group.coordinator.needs_assignment(), None);
    let installed = group.coordinator.install(request.epoch, Ok(right()), group.now);
    assert_eq!(installed, Ok(Installed::Done));
    assert_eq!(group.coordinator.needs_assignment(), None);
    group.settle();
    assert_eq!(group.held(2), of("t", [0]));
}

#[test]
fn an_empty_list_for_a_stranger_gives_nothing_away() {
    let (mut group, request) = asked();
    let mut answer = right();
    answer.0.insert("stranger".into(), Vec::new());
    let installed = group.coordinator.install(request.epoch, Ok(answer), group.now);
    assert_eq!(installed, Ok(Installed::Done));
}

#[test]
fn an_answer_that_comes_too_late_changes_nothing() {
    let (mut group, request) = asked();
    group.leave(2, Leave::ForGood);
    let before = group.coordinator.describe();
    let newer = group.coordinator.needs_assignment().unwrap();
    for late in [Ok(right()), Err(AssignmentError::Panicked { message: String::new() })] {
        let installed = group.coordinator.install(request.epoch, late, group.now);
        assert_eq!(installed, Ok(Installed::Stale));
    }
    assert_eq!(group.coordinator.describe(), before);
    assert_eq!(group.coordinator.needs_assignment(), None, "the newer answer is still awaited");
    let assignment = ModAssignor.assign(&newer.members, &newer.topics);
    let installed = group.coordinator.install(newer.epoch, Ok(assignment.clone()), group.now);
    assert_eq!(installed, Ok(Installed::Done));
    // The epoch has its target, members may be there: nothing else is installed for it.
    let installed = group.coordinator.install(newer.epoch, Ok(assignment), group.now);
    assert_eq!(installed, Ok(Installed::Stale));
}

/// A deadline that passes while the assignor thinks makes the answer stale.
#[test]
fn an_answer_for_members_that_expired_meanwhile_is_stale() {
    let (mut group, request) = asked();
    group.advance(secs(300));
    let installed = group.coordinator.install(request.epoch, Ok(right()), group.now);
    assert_eq!(installed, Ok(Installed::Stale));
    assert_eq!(group.state(), GroupState::Empty);
}
