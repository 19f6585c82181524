//! Static members: they come back, they are replaced, they are given up.

use super::super::*;
use super::support::{Group, ModAssignor, Told, of, profile, secs, static_profile};
use crate::group::assignor::Assignor;
use crate::group::coordinator::describe::MemberSnapshot;
use crate::group::coordinator::seat::Timer;

const MOMENT: Duration = Duration::from_nanos(1);

/// `a`, a static member, has t/0 and t/2; `b`, a dynamic one, t/1 and t/3.
fn pair() -> (Group, usize, usize) {
    let mut group = Group::cooperative(&[("t", 4)]);
    let a = group.join(static_profile("a", "one", &["t"]));
    group.settle();
    let b = group.join(profile("b", &["t"]));
    group.settle();
    (group, a, b)
}

fn members(group: &Group) -> Vec<MemberSnapshot> {
    group.coordinator.describe().members
}

#[test]
fn who_returns_in_time_finds_its_partitions_and_disturbs_nobody() {
    let (mut group, a, b) = pair();
    let epoch = group.coordinator.epoch();
    group.leave(a, Leave::ForNow);
    let b = b - 1;
    group.told(b);
    group.advance(secs(45) - MOMENT);
    group.settle();
    let a = group.join(static_profile("a2", "one", &["t"]));
    group.settle();
    assert_eq!(group.told(a), [Told::Added(epoch, of("t", [0, 2]))]);
    assert_eq!(group.told(b), []);
    assert_eq!((group.coordinator.epoch(), group.state()), (epoch, GroupState::Stable));
}

#[test]
fn who_returns_too_late_is_a_newcomer() {
    let (mut group, a, b) = pair();
    let epoch = group.coordinator.epoch();
    group.leave(a, Leave::ForNow);
    group.advance(secs(45));
    let b = b - 1;
    group.poll(b);
    group.poll(b);
    assert_eq!(group.held(b), of("t", 0..4));
    let a = group.join(static_profile("a", "one", &["t"]));
    assert_eq!(group.coordinator.epoch(), epoch + 2);
    group.settle();
    assert_eq!(group.held(a), of("t", [0, 2]));
}

#[test]
fn who_returns_with_other_wishes_rebalances() {
    let mut group = Group::cooperative(&[("t", 2), ("u", 2)]);
    let a = group.join(static_profile("a", "one", &["t"]));
    group.settle();
    group.leave(a, Leave::ForNow);
    let epoch = group.coordinator.epoch();
    let a = group.join(static_profile("a", "one", &["u"]));
    assert_eq!(group.coordinator.epoch(), epoch + 1);
    group.settle();
    assert_eq!(group.held(a), of("u", [0, 1]));
    for changed in [
        Profile { weight: 2, ..static_profile("a", "one", &["u"]) },
        Profile { weight: 2, rack: Some("r".into()), ..static_profile("a", "one", &["u"]) },
    ] {
        let epoch = group.coordinator.epoch();
        group.leave(0, Leave::ForNow);
        group.join(changed);
        assert_eq!(group.coordinator.epoch(), epoch + 1);
        group.settle();
    }
}

#[test]
fn a_second_live_holder_fences_the_first() {
    let (mut group, a, b) = pair();
    let epoch = group.coordinator.epoch();
    group.told(a);
    group.told(b);
    let second = group.join(static_profile("a-again", "one", &["t"]));
    let fenced = Departure::Fenced { by: "a-again".into() };
    assert_eq!(group.commit(a, &of("t", [0])), Err(fenced.clone()), "learned by a commit");
    group.poll(second);
    assert_eq!(group.told(second), [Told::Added(epoch, of("t", [0, 2]))]);
    assert_eq!(group.commit(second, &of("t", [0, 2])), Ok(vec![]));
    assert_eq!(group.commit(a, &of("t", [0])), Err(fenced.clone()), "and again");
    group.ask(a);
    assert_eq!(group.told(a), [Told::Lost(fenced, of("t", [0, 2]))], "and by a poll");
    group.settle();
    assert_eq!(group.told(b), []);
    assert_eq!((group.coordinator.epoch(), group.state()), (epoch, GroupState::Stable));
}

/// Told that it was too late, it would join again, and fence who came in its place.
#[test]
fn a_holder_given_up_and_replaced_learns_that_it_was_replaced() {
    let (mut group, a, b) = pair();
    group.advance(secs(299));
    group.poll(b);
    group.advance(secs(1));
    let second = group.join(static_profile("a2", "one", &["t"]));
    group.settle();
    let fenced = Departure::Fenced { by: "a2".into() };
    assert_eq!(group.told(a).last(), Some(&Told::Lost(fenced, of("t", [0, 2]))));
    assert_eq!(group.held(second), of("t", [0, 2]));
}

#[test]
fn a_fenced_holder_that_leaves_takes_nothing_away() {
    let (mut group, a, _) = pair();
    let second = group.join(static_profile("a", "one", &["t"]));
    group.settle();
    group.leave(a, Leave::ForGood);
    group.settle();
    assert_eq!(group.held(second - 1), of("t", [0, 2]));
    assert_eq!(group.coordinator.departed.len(), 0);
}

#[test]
fn a_refused_join_fences_nobody() {
    let (mut group, a, _) = pair();
    let refused = group.try_join(static_profile("b", "one", &["t"]));
    assert_eq!(refused, Err(JoinRefused::NameInUse { member: "b".into() }));
    assert_eq!(group.commit(a, &of("t", [0])), Ok(vec![]));
}

#[test]
fn a_holder_fenced_while_it_lets_go_lets_go() {
    let (mut group, a, b) = pair();
    let c = group.join(profile("c", &["t"]));
    group.assign();
    group.ask(a);
    assert_eq!(group.consumers[a].letting_go, of("t", [2]), "2 goes to c");
    group.join(static_profile("a2", "one", &["t"]));
    group.poll(c);
    assert_eq!(group.held(c), of("t", [2]));
    group.settle();
    assert!(matches!(group.told(a).last(), Some(Told::Lost(Departure::Fenced { .. }, _))));
    assert_eq!(group.held(b), of("t", [1]));
}

#[test]
fn the_seat_of_one_who_is_away_is_not_given_away() {
    let config = Config { member_count_max: Some(2), ..Config::default() };
    let mut group = Group::new(config, &[("t", 2)]);
    let a = group.join(static_profile("a", "one", &["t"]));
    group.join(profile("b", &["t"]));
    group.settle();
    group.leave(a, Leave::ForNow);
    let refused = group.try_join(profile("a", &["t"]));
    assert_eq!(refused, Err(JoinRefused::NameInUse { member: "a".into() }));
    let refused = group.try_join(profile("c", &["t"]));
    assert_eq!(refused, Err(JoinRefused::Full { count_max: 2 }));
    group.join(static_profile("a", "one", &["t"]));
}

#[test]
fn one_who_is_away_can_be_removed() {
    let (mut group, a, b) = pair();
    assert!(!group.coordinator.remove_instance("one", group.now), "it is there");
    group.leave(a, Leave::ForNow);
    assert!(group.coordinator.remove_instance("one", group.now));
    assert!(!group.coordinator.remove_instance("one", group.now));
    group.settle();
    assert_eq!(group.held(b - 1), of("t", 0..4));
}

#[test]
fn one_that_leaves_for_good_is_gone() {
    let (mut group, a, b) = pair();
    group.leave(a, Leave::ForGood);
    group.settle();
    assert_eq!(group.held(b - 1), of("t", 0..4));
}

#[test]
fn one_that_stops_polling_is_away_for_its_session() {
    let (mut group, a, b) = pair();
    group.advance(secs(200));
    group.poll(b);
    group.advance(secs(100));
    group.poll(b);
    assert!(members(&group)[0].is_away);
    group.ask(a);
    let expired = Departure::Expired { timer: Timer::Poll };
    assert_eq!(group.told(a).last(), Some(&Told::Lost(expired, of("t", [0, 2]))));
    let epoch = group.coordinator.epoch();
    group.rejoin(a).unwrap();
    group.settle();
    assert_eq!(group.held(a), of("t", [0, 2]));
    assert_eq!(group.coordinator.epoch(), epoch);
    // And once more, for longer than its session.
    group.advance(secs(200));
    group.poll(b);
    group.advance(secs(144));
    group.poll(b);
    assert_eq!(members(&group).len(), 2);
    group.advance(secs(1));
    group.poll(b);
    group.poll(b);
    assert_eq!(group.held(b), of("t", 0..4));
}

/// The answer was made for a name that is nobody's any more.
#[test]
fn a_return_under_another_name_outdates_the_answer_that_is_being_made() {
    let (mut group, a, _) = pair();
    group.leave(a, Leave::ForNow);
    let c = group.join(profile("c", &["t"]));
    let request = group.coordinator.needs_assignment().unwrap();
    group.join(static_profile("a2", "one", &["t"]));
    let assignment = ModAssignor.assign(&request.members, &request.topics);
    let installed = group.coordinator.install(request.epoch, Ok(assignment), group.now);
    assert_eq!(installed, Ok(Installed::Stale));
    group.settle();
    assert_eq!(group.state(), GroupState::Stable);
    assert!(!group.held(c).is_empty());
}

/// A target may move while its owner is away; the owner then returns to what is left for it.
#[test]
fn partitions_of_one_who_is_away_stay_in_use() {
    let (mut group, a, b) = pair();
    group.leave(a, Leave::ForNow);
    let c = group.join(profile("c", &["t"]));
    group.settle();
    let b = b - 1;
    assert_eq!(group.held(b), of("t", [1]));
    assert_eq!(group.held(c), [], "2 is reserved for a");
    let a = group.join(static_profile("a", "one", &["t"]));
    group.settle();
    assert_eq!(group.held(a), of("t", [0, 3]));
    assert_eq!(group.held(c), of("t", [2]));
    assert!(group.told(a).iter().all(|told| matches!(told, Told::Added(..))));
}
