//! Eager groups: everybody gives up everything before anybody gets anything.

use super::super::*;
use super::support::{Group, Told, of, profile, secs, static_profile};

/// `a` has t/0 and t/2, `b` t/1 and t/3, and `c` has joined.
fn three() -> (Group, [usize; 3]) {
    let mut group = Group::eager(&[("t", 6)]);
    let a = group.join(profile("a", &["t"]));
    let b = group.join(profile("b", &["t"]));
    group.settle();
    group.told(a);
    group.told(b);
    let c = group.join(profile("c", &["t"]));
    group.assign();
    (group, [a, b, c])
}

#[test]
fn everything_is_given_up_also_what_is_to_stay() {
    let (mut group, [a, b, c]) = three();
    group.settle();
    let told = group.told(a);
    assert_eq!(told, [Told::Revoke(2, of("t", [0, 2, 4])), Told::Added(3, of("t", [0, 3]))]);
    assert_eq!(group.held(b), of("t", [1, 4]));
    assert_eq!(group.held(c), of("t", [2, 5]));
    assert_eq!(group.state(), GroupState::Stable);
}

#[test]
fn nobody_gets_anything_before_the_last_has_let_go() {
    let (mut group, [a, b, c]) = three();
    group.poll(a);
    group.poll(c);
    group.ask(b);
    assert_eq!((group.held(a), group.held(c)), (vec![], vec![]), "b was told, no more");
    assert!(!group.has_news(a) && !group.has_news(c));
    group.let_go(b);
    group.ask(b);
    assert_eq!(group.held(b), of("t", [1, 4]));
    assert!(group.has_news(a) && group.has_news(c), "that is announced");
    group.poll(a);
    group.poll(c);
    assert_eq!((group.held(a), group.held(c)), (of("t", [0, 3]), of("t", [2, 5])));
}

#[test]
fn who_does_not_let_go_in_time_is_waited_for_no_longer() {
    let (mut group, [a, b, c]) = three();
    group.poll(a);
    group.poll(c);
    group.advance(secs(60) - Duration::from_nanos(1));
    group.poll(c);
    assert_eq!(group.held(c), []);
    group.advance(Duration::from_nanos(1));
    group.settle();
    assert_eq!((group.held(a), group.held(c)), (of("t", [0, 2, 4]), of("t", [1, 3, 5])));
    assert!(matches!(group.told(b)[..], [Told::Lost(..)]));
}

#[test]
fn the_last_who_holds_on_may_leave_instead() {
    let (mut group, [a, b, c]) = three();
    group.poll(a);
    group.poll(c);
    group.leave(b, Leave::ForGood);
    group.settle();
    assert_eq!((group.held(a), group.held(c - 1)), (of("t", [0, 2, 4]), of("t", [1, 3, 5])));
}

#[test]
fn a_change_meanwhile_does_not_let_anybody_in_early() {
    let (mut group, [a, b, c]) = three();
    group.poll(a);
    let d = group.join(profile("d", &["t"]));
    for place in [a, c, d] {
        group.poll(place);
        assert_eq!(group.held(place), []);
    }
    group.poll(b);
    group.settle();
    assert_eq!(group.held(d), of("t", [3]));
    assert_eq!(group.state(), GroupState::Stable);
}

#[test]
fn a_generation_that_gives_everybody_the_same_is_told_all_the_same() {
    let mut group = Group::eager(&[("t", 2)]);
    let a = group.join(profile("a", &["t"]));
    group.settle();
    group.told(a);
    group.topics.push(TopicLayout::new("u", 1));
    group.coordinator.topics_changed(&group.topics);
    group.settle();
    assert_eq!(group.told(a), [], "u is read by nobody, so there is no new generation");
    let key = group.consumers[a].key.unwrap();
    group.coordinator.subscribe(key, vec!["t".into(), "nowhere".into()], group.now).unwrap();
    group.settle();
    assert_eq!(group.told(a), [Told::Revoke(1, of("t", [0, 1])), Told::Added(2, of("t", [0, 1]))]);
}

#[test]
fn one_who_is_away_is_not_waited_for_and_keeps_what_is_its_own() {
    let mut group = Group::eager(&[("t", 4)]);
    let a = group.join(static_profile("a", "one", &["t"]));
    let b = group.join(profile("b", &["t"]));
    group.settle();
    group.leave(a, Leave::ForNow);
    let b = b - 1;
    let c = group.join(profile("c", &["t"]));
    group.settle();
    assert_eq!(group.held(b), of("t", [1]));
    assert_eq!(group.held(c), [], "2 is a's until it is back");
    let epoch = group.coordinator.epoch();
    let a = group.join(static_profile("a", "one", &["t"]));
    group.poll(a);
    assert!(group.held(a).contains(&TopicPartition::new("t", 0)), "at once");
    group.settle();
    assert_eq!(group.held(a), of("t", [0, 3]));
    assert_eq!(group.held(c), of("t", [2]));
    assert_eq!(group.coordinator.epoch(), epoch);
}

#[test]
fn a_returning_member_disturbs_nobody() {
    let mut group = Group::eager(&[("t", 4)]);
    let a = group.join(static_profile("a", "one", &["t"]));
    let b = group.join(profile("b", &["t"]));
    group.settle();
    group.leave(a, Leave::ForNow);
    let b = b - 1;
    group.told(b);
    let a = group.join(static_profile("a", "one", &["t"]));
    group.settle();
    assert_eq!(group.held(a), of("t", [0, 2]));
    assert_eq!(group.told(b), []);
}
