//! Partitions move without stopping the world, and only after their owner has let go.

use crate::support::{Log, TICK, fill, group, group_of, now, of, read, settle, t, timed, topic};
use anabranch::assignor::{RangeAssignor, RoundRobinAssignor, StickyAssignor};
use anabranch::{ConsumerGroup, ConsumerGroupBuilder, GroupState, TopicPartition};
use std::time::Duration;

#[test]
fn a_first_member_gets_everything_with_its_first_poll() {
    let group = group(&topic("t", 3));
    let mut a = group.join("a").unwrap();
    assert_eq!((a.assignment(), a.generation()), (&[][..], 0));
    now(&mut a);
    assert_eq!((a.assignment(), a.generation()), (&of("t", 0..3)[..], 1));
    assert_eq!(group.describe().state, GroupState::Stable);
}

#[test]
fn what_a_member_keeps_is_read_while_the_rest_is_on_its_way() {
    let topic = topic("t", 4);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    now(&mut a);
    let mut b = group.join("b").unwrap();
    now(&mut b); // makes the target; everything is still a's
    assert_eq!(group.describe().state, GroupState::Reconciling);
    for partition in 0..4 {
        fill(&topic, partition, 1);
    }
    assert_eq!(read(&mut b), []);
    // The same poll lets go of two partitions and returns the records of the two that stay.
    let kept = read(&mut a);
    assert_eq!((kept.len(), a.assignment().len()), (2, 2));
    let moved = read(&mut b);
    assert_eq!((moved.len(), b.assignment().len()), (2, 2));
    let mut all: Vec<_> = kept.into_iter().chain(moved).collect();
    all.sort_unstable();
    assert_eq!(all, [(0, 0), (1, 0), (2, 0), (3, 0)]);
    assert_eq!(group.describe().state, GroupState::Stable);
}

#[test]
fn a_member_goes_on_while_another_has_not_let_go_yet() {
    let topic = topic("t", 6);
    let group = group(&topic);
    let (mut a, mut b) = (group.join("a").unwrap(), group.join("b").unwrap());
    settle(&mut [&mut a, &mut b]);
    let mut c = group.join("c").unwrap();
    now(&mut c);
    now(&mut a); // a let go, b did not
    assert_eq!((a.assignment().len(), b.assignment().len()), (2, 3));
    now(&mut c);
    assert_eq!(c.assignment().len(), 1, "what is free comes at once");
    for round in 0..3 {
        (0..6).for_each(|partition| fill(&topic, partition, 1));
        assert_eq!(read(&mut a).len(), 2, "round {round}");
        assert_eq!(read(&mut c).len(), 1, "round {round}");
    }
    assert_eq!(read(&mut b).len(), 6, "three records of each of two partitions");
    assert_eq!(read(&mut c).len(), 3);
}

#[test]
fn a_partition_moves_at_its_owners_next_poll_and_the_owner_may_commit_until_then() {
    let topic = topic("t", 2);
    fill(&topic, 0, 3);
    fill(&topic, 1, 3);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    assert_eq!(read(&mut a).len(), 6);
    let mut b = group.join("b").unwrap();
    for _ in 0..3 {
        assert_eq!(read(&mut b), [], "nothing moves before a was told");
    }
    a.commit().unwrap();
    now(&mut a);
    assert_eq!(read(&mut b), [], "b goes on where a committed");
    assert_eq!((a.assignment().len(), b.assignment().len()), (1, 1));
}

#[test]
fn without_a_commit_the_next_owner_reads_again() {
    let topic = topic("t", 2);
    fill(&topic, 0, 3);
    fill(&topic, 1, 3);
    let group = group(&topic);
    let mut a = group.join("a").unwrap();
    assert_eq!(read(&mut a).len(), 6);
    let mut b = group.join("b").unwrap();
    now(&mut b);
    now(&mut a);
    assert_eq!(read(&mut b).len(), 3);
    assert_eq!(read(&mut a), [], "what stayed is not read twice");
}

/// A holds everything, B waits for half of it.
fn waiting(settings: impl FnOnce(ConsumerGroupBuilder) -> ConsumerGroupBuilder) -> Waiting {
    let topic = topic("t", 2);
    let (group, clock) = timed(&topic, settings);
    let log = Log::default();
    let mut a = group.member("a").listener(log.clone()).join().unwrap();
    now(&mut a);
    let mut b = group.join("b").unwrap();
    now(&mut b);
    assert!(b.assignment().is_empty());
    log.take();
    Waiting { group, clock, log, a, b }
}

struct Waiting {
    group: ConsumerGroup,
    clock: anabranch::ManualClock,
    log: Log,
    a: anabranch::Consumer,
    b: anabranch::Consumer,
}

#[test]
fn an_owner_that_does_not_let_go_in_time_is_given_up() {
    let timeout = Duration::from_secs(10);
    let Waiting { group, clock, log, mut a, mut b } =
        waiting(|builder| builder.rebalance_timeout(timeout));
    clock.advance(timeout - TICK);
    now(&mut b);
    assert!(b.assignment().is_empty(), "just before the end a may still let go");
    clock.advance(TICK);
    now(&mut b);
    assert_eq!(b.assignment(), of("t", 0..2));
    assert_eq!(group.describe().members.len(), 1);
    now(&mut a);
    assert_eq!(log.take()[0], "a lost t/0 t/1");
    settle(&mut [&mut a, &mut b]);
    assert_eq!((a.assignment().len(), b.assignment().len()), (1, 1), "it joined again");
}

#[test]
fn an_owner_that_lets_go_just_in_time_stays() {
    let timeout = Duration::from_secs(10);
    let Waiting { clock, log, mut a, mut b, .. } =
        waiting(|builder| builder.rebalance_timeout(timeout));
    clock.advance(timeout - TICK);
    now(&mut a);
    assert_eq!(log.take(), ["a revoked t/1", "a assigned"]);
    clock.advance(TICK);
    now(&mut b);
    now(&mut a);
    assert_eq!((a.assignment(), b.assignment()), (&[t(0)][..], &[t(1)][..]));
    assert_eq!(log.take(), Vec::<String>::new());
}

#[test]
fn an_owner_that_is_dropped_lets_go() {
    let Waiting { log, a, mut b, .. } = waiting(|builder| builder);
    drop(a);
    assert_eq!(log.take(), ["a revoked t/0 t/1"]);
    now(&mut b);
    assert_eq!(b.assignment(), of("t", 0..2));
}

#[test]
fn an_owner_whose_thread_panics_lets_go_and_commits_nothing() {
    let topic = topic("t", 1);
    fill(&topic, 0, 2);
    let group = group_of(&topic).auto_commit(Some(Duration::ZERO)).build().unwrap();
    let log = Log::default();
    let mut a = group.member("a").listener(log.clone()).join().unwrap();
    let panicked = std::thread::spawn(move || {
        assert_eq!(now(&mut a).len(), 2);
        panic!("while processing");
    });
    assert!(panicked.join().is_err());
    assert_eq!(log.take(), ["a assigned t/0"], "no listener is called on the way out of a panic");
    assert_eq!(group.describe().members, []);
    // The position before the first record may have been committed, what was returned is not.
    assert_eq!(group.committed(&t(0)).map_or(0, |committed| committed.offset), 0);
    assert_eq!(read(&mut group.join("b").unwrap()).len(), 2);
}

#[test]
fn an_eager_group_gives_nothing_before_everybody_gave_up_everything() {
    let topic = topic("t", 6);
    let group = group_of(&topic).assignor(StickyAssignor).build().unwrap();
    let log = Log::default();
    let join = |name: &str| group.member(name).listener(log.clone()).join().unwrap();
    let mut a = join("a");
    now(&mut a);
    let mut b = join("b");
    settle(&mut [&mut a, &mut b]);
    assert_eq!((a.assignment().len(), b.assignment().len()), (3, 3));
    log.take();

    let mut c = join("c");
    now(&mut c);
    now(&mut a);
    assert_eq!(a.assignment(), [], "a gave up everything, b has not yet");
    now(&mut c);
    now(&mut a);
    assert_eq!((a.assignment(), c.assignment()), (&[][..], &[][..]));
    now(&mut b);
    assert_eq!(b.assignment().len(), 2, "the last one gets its part at once");
    settle(&mut [&mut a, &mut b, &mut c]);
    assert_eq!((a.assignment().len(), b.assignment().len(), c.assignment().len()), (2, 2, 2));
    let told = log.take();
    let first = |start: &str| told.iter().position(|line| line.starts_with(start));
    let given = told.iter().position(|line| line.contains("assigned t/"));
    assert!(first("a revoked") < given && first("b revoked") < given, "{told:?}");
}

#[test]
fn an_eager_member_that_does_not_come_by_holds_all_up_until_its_time_is_over() {
    let topic = topic("t", 4);
    let timeout = Duration::from_secs(10);
    let (group, clock) =
        timed(&topic, |builder| builder.assignor(StickyAssignor).rebalance_timeout(timeout));
    let (mut a, mut b) = (group.join("a").unwrap(), group.join("b").unwrap());
    settle(&mut [&mut a, &mut b]);
    let mut c = group.join("c").unwrap();
    for _ in 0..3 {
        now(&mut c);
        now(&mut a);
    }
    assert_eq!((a.assignment(), c.assignment()), (&[][..], &[][..]));
    clock.advance(timeout);
    settle(&mut [&mut a, &mut c]);
    assert_eq!((a.assignment().len(), c.assignment().len()), (2, 2));
}

/// Three members come one by one, then the first goes; all partitions have one owner after each.
fn drives(settings: impl FnOnce(ConsumerGroupBuilder) -> ConsumerGroupBuilder) {
    let topic = topic("t", 7);
    let group = settings(group_of(&topic)).build().unwrap();
    let mut members = Vec::new();
    let mut read_so_far = 0;
    for (round, name) in ["a", "b", "c", "-"].into_iter().enumerate() {
        match name {
            "-" => drop(members.remove(0)),
            name => members.push(group.join(name).unwrap()),
        }
        settle(&mut members.iter_mut().collect::<Vec<_>>());
        let mut owned: Vec<TopicPartition> =
            members.iter().flat_map(|member| member.assignment().to_vec()).collect();
        owned.sort_unstable();
        assert_eq!(owned, of("t", 0..7), "round {round}");
        let counts = members.iter().map(|member| member.assignment().len());
        assert!(counts.clone().max().unwrap() - counts.min().unwrap() <= 1, "round {round}");
        assert_eq!(group.describe().state, GroupState::Stable);
        (0..7).for_each(|partition| fill(&topic, partition, 1));
        for member in &mut members {
            read_so_far += now(member).len();
            member.commit().unwrap();
        }
        assert_eq!(read_so_far, 7 * (round + 1));
        assert_eq!(group.total_lag(), 0);
    }
}

#[test]
fn range_drives_a_group() {
    drives(|builder| builder.assignor(RangeAssignor));
}

#[test]
fn round_robin_drives_a_group() {
    drives(|builder| builder.assignor(RoundRobinAssignor));
}

#[test]
fn sticky_drives_a_group() {
    drives(|builder| builder.assignor(StickyAssignor));
}

#[test]
fn cooperative_sticky_drives_a_group() {
    drives(|builder| builder);
}
