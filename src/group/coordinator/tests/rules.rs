//! The product's rules for members, one test each: the good case, the refused case, and the edge.

use super::super::*;
use super::support::{Group, Told, of, profile, secs};
use crate::group::coordinator::reconcile::MemberState;
use crate::group::coordinator::seat::Timer;

const MOMENT: Duration = Duration::from_nanos(1);

/// Two members that share t/0..4 by halves: `a` has 0 and 2, `b` 1 and 3.
fn pair() -> (Group, usize, usize) {
    let mut group = Group::cooperative(&[("t", 4)]);
    let a = group.join(profile("a", &["t"]));
    group.settle();
    let b = group.join(profile("b", &["t"]));
    group.settle();
    (group, a, b)
}

/// `a` has all of t/0..4, and a target made for two says that 1 and 3 are `b`'s.
fn pair_about_to_share() -> (Group, usize, usize) {
    let mut group = Group::cooperative(&[("t", 4)]);
    let a = group.join(profile("a", &["t"]));
    group.settle();
    group.told(a);
    let b = group.join(profile("b", &["t"]));
    group.assign();
    (group, a, b)
}

#[test]
fn the_first_member_gets_everything_at_its_first_poll() {
    let mut group = Group::cooperative(&[("t", 2), ("u", 1)]);
    let a = group.join(profile("a", &["t", "u"]));
    assert_eq!(group.state(), GroupState::Assigning);
    assert_eq!(group.held(a), []);
    group.poll(a);
    assert_eq!(group.told(a), [Told::Added(1, [of("t", [0, 1]), of("u", [0])].concat())]);
    assert_eq!(group.state(), GroupState::Stable);
}

#[test]
fn what_a_member_keeps_is_mentioned_to_it_by_nobody() {
    let (mut group, a, b) = pair_about_to_share();
    group.settle();
    assert_eq!(group.told(a), [Told::Revoke(1, of("t", [1, 3]))]);
    assert_eq!(group.told(b), [Told::Added(2, of("t", [1, 3]))]);
    assert_eq!(group.held(a), of("t", [0, 2]));
}

#[test]
fn a_partition_moves_only_after_its_owner_let_go() {
    let (mut group, a, b) = pair_about_to_share();
    group.ask(b);
    assert_eq!(group.held(b), [], "a was not even told");
    group.ask(a);
    group.ask(b);
    assert_eq!(group.held(b), [], "a was told and still holds on");
    group.let_go(a);
    group.ask(b);
    assert_eq!(group.held(b), [], "a let go and has not said so");
    group.ask(a);
    group.ask(b);
    assert_eq!(group.held(b), of("t", [1, 3]));
}

#[test]
fn a_member_that_was_told_has_its_rebalance_timeout_to_let_go() {
    let (mut group, a, b) = pair_about_to_share();
    group.advance(secs(10));
    group.ask(a);
    group.advance(secs(60) - MOMENT);
    group.poll(b);
    assert_eq!(group.held(b), [], "a may still commit");
    group.advance(MOMENT);
    group.settle();
    let timer = Timer::Revocation;
    assert_eq!(group.told(a)[1..], [Told::Lost(Departure::Expired { timer }, of("t", 0..4))]);
    assert_eq!(group.held(b), of("t", 0..4));
}

#[test]
fn a_member_that_does_not_come_to_be_told_is_waited_for_no_longer() {
    let (mut group, a, b) = pair_about_to_share();
    group.advance(secs(60) - MOMENT);
    group.poll(b);
    assert_eq!(group.held(b), []);
    group.advance(MOMENT);
    group.poll(b);
    group.poll(b);
    assert_eq!(group.held(b), of("t", 0..4));
    group.ask(a);
    assert!(matches!(group.told(a)[..], [Told::Lost(Departure::Expired { .. }, _)]));
}

#[test]
fn a_target_that_gives_back_what_was_not_yet_revoked_lifts_the_deadline() {
    let (mut group, a, b) = pair_about_to_share();
    group.leave(b, Leave::ForGood);
    group.assign();
    group.advance(secs(61));
    group.poll(a);
    assert_eq!(group.told(a), []);
    assert_eq!(group.held(a), of("t", 0..4));
}

#[test]
fn a_newer_target_gives_one_that_was_told_no_more_time() {
    let (mut group, a, b) = pair_about_to_share();
    group.ask(a);
    group.advance(secs(30));
    group.topics = vec![TopicLayout::new("t", 5)];
    group.coordinator.topics_changed(&group.topics);
    group.assign();
    group.advance(secs(30));
    group.poll(b);
    group.poll(b);
    assert_eq!(group.held(b), of("t", 0..5));
    group.ask(a);
    assert!(matches!(group.told(a).last(), Some(Told::Lost(..))));
}

/// What it just let go of comes back in the same answer; if that is lost, it may ask again.
#[test]
fn a_member_gets_back_at_once_what_it_let_go_of_for_nothing() {
    let (mut group, a, b) = pair_about_to_share();
    group.ask(a);
    group.leave(b, Leave::ForGood);
    group.assign();
    let member = group.consumers[a].key.unwrap();
    let owned = of("t", [0, 2]);
    let poll = Poll { member, epoch: 1, owned: Some(&owned) };
    let first = group.coordinator.poll(poll, group.now).unwrap();
    assert_eq!((first.epoch, first.state), (3, MemberState::Stable));
    assert_eq!(first.change.as_ref().unwrap().added, of("t", [1, 3]));
    assert_eq!(group.coordinator.poll(poll, group.now), Ok(first));
}

#[test]
fn a_slow_member_delays_only_those_who_wait_for_its_partitions() {
    let mut group = Group::cooperative(&[("t", 2), ("u", 2)]);
    let slow = group.join(profile("a-slow", &["t"]));
    let quick = group.join(profile("b-quick", &["u"]));
    group.settle();
    let c = group.join(profile("c", &["t"]));
    let d = group.join(profile("d", &["u"]));
    group.assign();
    group.ask(slow);
    for place in [quick, c, d] {
        group.poll(place);
    }
    group.poll(d);
    assert_eq!(group.held(d), of("u", [1]));
    assert_eq!(group.held(c), []);
    assert_eq!(group.state(), GroupState::Reconciling);
}

#[test]
fn whoever_leaves_lets_go_at_once() {
    let (mut group, a, b) = pair();
    let epoch = group.coordinator.epoch();
    group.leave(a, Leave::ForGood);
    assert_eq!(group.coordinator.epoch(), epoch + 1);
    let b = b - 1;
    group.poll(b);
    assert_eq!(group.held(b), of("t", 0..4));
    group.leave(b, Leave::ForNow);
    assert_eq!(group.state(), GroupState::Empty);
    assert_eq!(group.coordinator.needs_assignment(), None);
}

#[test]
fn a_commit_is_accepted_from_the_holder_until_it_let_go() {
    let (mut group, a, b) = pair_about_to_share();
    assert_eq!(group.commit(a, &of("t", 0..4)), Ok(vec![]), "not told yet");
    group.ask(a);
    assert_eq!(
        group.commit(a, &of("t", 0..4)),
        Ok(vec![]),
        "told, and committing before it lets go"
    );
    group.let_go(a);
    group.ask(a);
    let partition = TopicPartition::new("t", 1);
    let refused = CommitRefused { partition, reason: CommitFault::NotHeld };
    assert_eq!(group.commit(a, &of("t", [0, 1])), Ok(vec![refused]));
    assert_eq!(group.commit(b, &of("t", [1])).map(|refused| refused.len()), Ok(1));
    group.poll(b);
    assert_eq!(group.commit(b, &of("t", [1, 3])), Ok(vec![]));
}

#[test]
fn a_commit_from_before_the_partition_came_is_refused() {
    let (mut group, a, b) = pair();
    // a's epochs: 1 with everything, 2 with halves, 3 with everything again.
    group.leave(b, Leave::ForGood);
    group.settle();
    let key = group.consumers[a].key.unwrap();
    let mut check =
        |epoch| group.coordinator.check_commit(key, epoch, &of("t", [0, 1]), group.now).unwrap();
    assert_eq!(check(3), []);
    let partition = TopicPartition::new("t", 1);
    let reason = CommitFault::Stale { requested: 2, assigned: 3 };
    assert_eq!(
        check(2),
        [CommitRefused { partition, reason }],
        "0 was a's all the time, 1 was not"
    );
    assert_eq!(check(1).len(), 1);
    assert_eq!(check(0).len(), 2);
    let ahead = check(4);
    assert_eq!(ahead.len(), 2);
    assert_eq!(ahead[0].reason, CommitFault::Ahead { requested: 4, current: 3 });
}

#[test]
fn a_commit_of_a_partition_that_does_not_exist_is_refused() {
    let (mut group, a, _) = pair();
    let refused = group.commit(a, &[of("t", [9]), of("nowhere", [0])].concat()).unwrap();
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|refused| refused.reason == CommitFault::NotHeld));
}

#[test]
fn a_name_is_one_member_s_as_long_as_it_is_there() {
    let (mut group, a, _) = pair();
    let before = group.coordinator.describe();
    let refused = group.try_join(profile("a", &["t"]));
    assert_eq!(refused, Err(JoinRefused::NameInUse { member: "a".into() }));
    assert_eq!(group.coordinator.describe(), before);
    let old = group.consumers[a].key.unwrap();
    group.leave(a, Leave::ForGood);
    group.join(profile("a", &["t"]));
    group.settle();
    let poll = Poll { member: old, epoch: 2, owned: None };
    let refused = Err(PollRefused::Departed(Departure::Left));
    assert_eq!(group.coordinator.poll(poll, group.now), refused, "an outlived key opens nothing");
    let refused = group.coordinator.check_commit(old, 2, &of("t", [0]), group.now);
    assert_eq!(refused, Err(Departure::Left));
}

#[test]
fn a_full_group_lets_nobody_in_until_somebody_left() {
    let config = Config { member_count_max: Some(1), ..Config::default() };
    let mut group = Group::new(config, &[("t", 1)]);
    let a = group.join(profile("a", &["t"]));
    let refused = group.try_join(profile("b", &["t"]));
    assert_eq!(refused, Err(JoinRefused::Full { count_max: 1 }));
    group.leave(a, Leave::ForGood);
    group.join(profile("b", &["t"]));
}

#[test]
fn a_member_gets_only_what_it_subscribes_to() {
    let mut group = Group::cooperative(&[("t", 2), ("u", 2)]);
    let a = group.join(profile("a", &["t", "u"]));
    let b = group.join(profile("b", &["u"]));
    group.settle();
    assert_eq!(group.held(a), [of("t", [0, 1]), of("u", [0])].concat());
    assert_eq!(group.held(b), of("u", [1]));
    let key = group.consumers[b].key.unwrap();
    group.coordinator.subscribe(key, vec!["t".into()], group.now).unwrap();
    group.settle();
    assert_eq!(group.held(a), [of("t", [0]), of("u", [0, 1])].concat());
    assert_eq!(group.held(b), of("t", [1]));
}

#[test]
fn the_same_topics_in_another_order_change_nothing() {
    let mut group = Group::cooperative(&[("t", 2), ("u", 2)]);
    let a = group.join(profile("a", &["t", "u"]));
    group.settle();
    let (epoch, version) = (group.coordinator.epoch(), group.coordinator.version());
    let key = group.consumers[a].key.unwrap();
    let topics = vec!["u".into(), "t".into(), "u".into()];
    group.coordinator.subscribe(key, topics, group.now).unwrap();
    assert_eq!((group.coordinator.epoch(), group.coordinator.version()), (epoch, version));
}

#[test]
fn a_topic_that_does_not_exist_is_waited_for() {
    let mut group = Group::cooperative(&[("t", 1)]);
    let a = group.join(profile("a", &["t", "later"]));
    group.settle();
    assert_eq!(group.state(), GroupState::Stable);
    group.topics.push(TopicLayout::new("later", 2));
    group.coordinator.topics_changed(&group.topics);
    group.settle();
    assert_eq!(group.held(a), [of("later", [0, 1]), of("t", [0])].concat());
}

#[test]
fn partitions_added_while_running_are_picked_up() {
    let (mut group, a, b) = pair();
    let epoch = group.coordinator.epoch();
    group.topics = vec![TopicLayout::new("t", 6), TopicLayout::new("unread", 3)];
    group.coordinator.topics_changed(&group.topics);
    assert_eq!(group.coordinator.epoch(), epoch + 1);
    group.settle();
    assert_eq!(group.held(a), of("t", [0, 2, 4]));
    assert_eq!(group.held(b), of("t", [1, 3, 5]));
    // Nobody reads it, so it concerns nobody; nor does the same news again.
    group.topics[1] = TopicLayout::new("unread", 4);
    group.coordinator.topics_changed(&group.topics);
    group.coordinator.topics_changed(&group.topics);
    assert_eq!(group.coordinator.epoch(), epoch + 1);
}

#[test]
fn a_topic_that_goes_is_taken_back_and_may_come_again() {
    let mut group = Group::cooperative(&[("t", 1), ("u", 2)]);
    let a = group.join(profile("a", &["t", "u"]));
    group.settle();
    let gone = group.topics.pop().unwrap();
    group.coordinator.topics_changed(&group.topics);
    group.settle();
    assert_eq!(group.held(a), of("t", [0]));
    group.topics.push(gone);
    group.coordinator.topics_changed(&group.topics);
    group.settle();
    assert_eq!(group.held(a), [of("t", [0]), of("u", [0, 1])].concat());
}

#[test]
fn a_member_that_does_not_poll_for_too_long_is_removed_and_may_rejoin() {
    let (mut group, a, b) = pair();
    let max = Config::default().max_poll_interval;
    group.advance(max - MOMENT);
    assert_eq!(group.commit(a, &of("t", [0])), Ok(vec![]), "a commit is no poll");
    group.poll(b);
    assert_eq!(group.coordinator.describe().members.len(), 2);
    group.advance(MOMENT);
    let departure = Departure::Expired { timer: Timer::Poll };
    assert_eq!(
        group.commit(a, &of("t", [0])),
        Err(departure.clone()),
        "noticed by the commit itself"
    );
    group.poll(b);
    assert_eq!(group.held(b), of("t", 0..4));
    group.told(a);
    group.ask(a);
    assert_eq!(group.told(a), [Told::Lost(departure, of("t", [0, 2]))]);
    group.rejoin(a).unwrap();
    group.settle();
    assert_eq!(group.held(a), of("t", [0, 2]));
}

#[test]
fn polls_that_reach_nobody_count() {
    let (mut group, a, b) = pair();
    let max = Config::default().max_poll_interval;
    let version = group.coordinator.version();
    group.advance(max / 2);
    group.coordinator.tick(group.now);
    assert!(!group.has_news(a) && !group.has_news(b));
    group.poll(a);
    group.poll(b);
    group.advance(max / 2 + secs(1));
    group.coordinator.tick(group.now);
    assert_eq!(group.coordinator.describe().members.len(), 2);
    assert_eq!(group.coordinator.version(), version);
}

#[test]
fn news_of_an_older_poll_takes_no_time_away() {
    let (mut group, a, _) = pair();
    let key = group.consumers[a].key.unwrap();
    group.coordinator.polled_at(key, secs(200));
    group.coordinator.polled_at(key, secs(100));
    group.coordinator.tick(secs(499));
    let left: Vec<MemberId> =
        group.coordinator.describe().members.into_iter().map(|member| member.id).collect();
    assert_eq!(left, ["a"]);
    group.coordinator.tick(secs(500));
    assert_eq!(group.state(), GroupState::Empty);
}

#[test]
fn a_poll_with_nothing_new_says_so() {
    let (mut group, a, _) = pair();
    let member = group.consumers[a].key.unwrap();
    let update = group.coordinator.poll(Poll { member, epoch: 2, owned: None }, group.now);
    let state = MemberState::Stable;
    assert_eq!(update, Ok(MemberUpdate { epoch: 2, state, change: None }));
}

#[test]
fn a_member_that_says_what_it_holds_is_told_everything() {
    let (mut group, a, _) = pair();
    let member = group.consumers[a].key.unwrap();
    let owned = of("t", [2]);
    let poll = Poll { member, epoch: 2, owned: Some(&owned) };
    let change = group.coordinator.poll(poll, group.now).unwrap().change.unwrap();
    assert_eq!(change.assignment, of("t", [0, 2]));
    assert_eq!(change.added, of("t", [0]), "the last answer was lost with 0 in it");
    assert_eq!(change.revoke, []);
}

#[test]
fn a_member_speaks_at_its_own_epoch() {
    let (mut group, a, _) = pair();
    let member = group.consumers[a].key.unwrap();
    let before = group.coordinator.describe();
    let mut poll = |epoch, owned| group.coordinator.poll(Poll { member, epoch, owned }, group.now);
    for epoch in [0, 1, 3] {
        let refused = PollRefused::WrongEpoch { requested: epoch, current: 2 };
        assert_eq!(poll(epoch, None), Err(refused));
    }
    let (some, more) = (of("t", [0]), of("t", [0, 1]));
    assert!(poll(1, Some(&some)).is_ok(), "the answer with epoch 2 was lost");
    assert!(poll(1, Some(&more)).is_err(), "it holds what it cannot");
    assert!(poll(2, Some(&more)).is_ok());
    assert_eq!(group.coordinator.describe(), before);
}

#[test]
fn sessions_that_always_run_are_kept_by_heartbeats() {
    let config = Config { sessions: Sessions::Always, ..Config::default() };
    let mut group = Group::new(config, &[("t", 2)]);
    let [a, b] = ["a", "b"].map(|id| group.join(profile(id, &["t"])));
    group.settle();
    group.advance(secs(45) - MOMENT);
    let key = group.consumers[a].key.unwrap();
    assert_eq!(group.coordinator.heartbeat(key, group.now), Ok(()));
    group.advance(MOMENT);
    group.coordinator.tick(group.now);
    group.ask(b);
    let departure = Departure::Expired { timer: Timer::Session };
    assert_eq!(group.told(b).last(), Some(&Told::Lost(departure, of("t", [1]))));
    group.poll(a);
    assert_eq!(group.held(a), of("t", [0, 1]));
}

#[test]
fn a_member_that_is_there_needs_no_heartbeats() {
    let (mut group, _, _) = pair();
    group.advance(secs(61));
    group.coordinator.tick(group.now);
    assert_eq!(group.coordinator.describe().members.len(), 2);
    assert_eq!(group.coordinator.next_deadline(), Some(secs(300)));
}

#[test]
fn deadlines_that_cannot_be_expressed_never_come() {
    let config = Config { max_poll_interval: Duration::MAX, ..Config::default() };
    let mut group = Group::new(config, &[("t", 1)]);
    group.advance(secs(1));
    group.join(profile("a", &["t"]));
    assert_eq!(group.coordinator.next_deadline(), None);
    group.coordinator.tick(Duration::MAX);
    assert_eq!(group.coordinator.describe().members.len(), 1);
}

#[test]
fn those_who_are_told_late_why_they_are_out_are_told_once() {
    let (mut group, a, _) = pair();
    let member = group.consumers[a].key.unwrap();
    group.advance(secs(300));
    let poll = Poll { member, epoch: 2, owned: None };
    let expired = PollRefused::Departed(Departure::Expired { timer: Timer::Poll });
    assert_eq!(group.coordinator.poll(poll, group.now), Err(expired));
    let left = PollRefused::Departed(Departure::Left);
    assert_eq!(group.coordinator.poll(poll, group.now), Err(left));
    assert_eq!(group.coordinator.departed.len(), 1, "only b is left to be told");
    group.leave(1, Leave::ForGood);
    assert_eq!(group.coordinator.departed.len(), 0, "and leaves without asking");
}
