//! What the public face does not show: lanes, the shared word, and threads in one word.
//! The rules themselves run in `tests/partitioners.rs`, against Kafka's traces and a model.

use super::*;
use crate::sync::atomic::AtomicU32;
use std::collections::BTreeSet;
use std::thread;

/// 0, 1, 2, …: how often chance was asked can be read from the answer.
fn counting() -> Random {
    let next = AtomicU32::new(0);
    Random::given(move || next.fetch_add(1, Ordering::Relaxed))
}

fn bytes(word: &AtomicU64) -> u32 {
    Choice::load(word).bytes()
}

#[test]
fn threads_that_send_at_once_stick_to_partitions_of_their_own() {
    let sticky = Sticky::new(1_000).with_random(counting());
    let topic = TopicView::new("t", 1_000);
    let mine = sticky.current(&topic);
    let theirs = thread::scope(|s| s.spawn(|| sticky.current(&topic)).join().unwrap());
    assert_eq!((mine, theirs), (0, 1));
    assert_eq!(sticky.current(&topic), mine);
}

#[test]
fn threads_that_queue_stick_to_one_partition_together() {
    let sticky = Sticky::new(1_000).with_random(counting());
    let topic = TopicView::new("t", 1_000).with_backlog(&[]);
    let mine = sticky.current(&topic);
    let theirs = thread::scope(|s| s.spawn(|| sticky.current(&topic)).join().unwrap());
    assert_eq!((mine, theirs), (0, 0));
}

/// More threads than lanes: they share, and each record still gets a partition.
#[test]
fn threads_beyond_the_last_lane_share() {
    let sticky = Sticky::new(10);
    thread::scope(|s| {
        for _ in 0..LANE_COUNT + 2 {
            s.spawn(|| {
                for count in 1..200 {
                    let topic = TopicView::new("t", count);
                    let partition = sticky.current(&topic);
                    assert!(partition < count);
                    sticky.appended(partition, 3, &topic);
                }
            });
        }
    });
}

#[test]
fn no_byte_goes_uncounted_in_the_shared_word() {
    let sticky = Sticky::new(usize::MAX);
    let topic = TopicView::new("t", 1).with_backlog(&[0]);
    assert_eq!(sticky.current(&topic), 0);
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| (0..5_000).for_each(|_| sticky.appended(0, 3, &topic)));
        }
    });
    assert_eq!(bytes(&sticky.shared), 60_000);
}

/// Every draw is another partition, so the partitions seen count the changes; those drawn by
/// threads that came second are never seen. 40,000 bytes are enough for 400 changes.
#[test]
fn a_change_is_made_once_however_many_threads_see_it_due() {
    let sticky = Sticky::new(100).with_random(counting());
    let topic = TopicView::new("t", u32::MAX).with_backlog(&[]);
    let send = || {
        let mut seen = BTreeSet::new();
        for _ in 0..10_000 {
            let partition = sticky.current(&topic);
            seen.insert(partition);
            sticky.appended(partition, 1, &topic);
        }
        seen
    };
    let seen: BTreeSet<PartitionId> = thread::scope(|s| {
        let threads = [s.spawn(send), s.spawn(send), s.spawn(send), s.spawn(send)];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!((100..=401).contains(&seen.len()), "{} changes", seen.len());
}

#[test]
fn a_topic_with_another_partition_count_gets_a_partition_it_has() {
    let sticky = Sticky::new(1_000).with_random(Random::given(|| 5));
    assert_eq!(sticky.current(&TopicView::new("t", 6)), 5);
    // Grown: the choice stays until its share is used up.
    assert_eq!(sticky.current(&TopicView::new("t", 7)), 5);
    // Another topic, with fewer: chosen anew.
    assert_eq!(sticky.current(&TopicView::new("t", 3)), 2);
    assert_eq!(sticky.current(&TopicView::new("t", 1)), 0);
}

#[test]
fn counts_stop_at_the_end_of_the_word() {
    assert_eq!(checked(usize::MAX), u32::MAX / 2);
    assert_eq!(checked(1), 1);
    let full = Choice::of(7).grown(usize::MAX).grown(1);
    assert_eq!((full.partition(), full.bytes()), (7, u32::MAX));
    assert_eq!(Choice::of(7).grown(u32::MAX as usize).bytes(), u32::MAX);

    let sticky = Sticky::new(usize::MAX).with_random(counting());
    let topic = TopicView::new("t", 9);
    assert_eq!(sticky.current(&topic), 0);
    sticky.appended(0, usize::MAX, &topic);
    assert_eq!(sticky.current(&topic), 1);
}

/// Kafka prefers no partition until each has been sent to once; until then all are alike.
#[test]
fn a_partition_without_a_queue_yet_leaves_all_alike() {
    let sticky = Sticky::new(1).adaptive().with_random(Random::given(|| 0));
    assert_eq!(sticky.current(&TopicView::new("t", 3).with_backlog(&[9, 0])), 0);
    let sticky = Sticky::new(1).adaptive().with_random(Random::given(|| 1));
    assert_eq!(sticky.current(&TopicView::new("t", 3).with_backlog(&[0, 9, 0])), 0);
}
