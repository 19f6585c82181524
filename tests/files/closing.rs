//! Closed is closed: from then on the directory is somebody else's, and no handle touches it.

use super::support::{Dir, append, config, first, numbers, values_from};
use anabranch::{
    AppendError, Broker, Cleanup, Durability, FlushError, Record, Topic, TopicConfig, TopicError,
};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::Duration;

fn touch_all_ways(topic: &Topic) {
    let partition = first(topic);
    let refused = partition.append(&[Record::new("x")]);
    assert!(matches!(refused, Err(AppendError::Closed { .. })), "{refused:?}");
    let refused = partition.delete_records(1);
    assert!(matches!(refused, Err(AppendError::Closed { .. })), "{refused:?}");
    let refused = partition.flush();
    assert!(matches!(refused, Err(FlushError::Closed { .. })), "{refused:?}");
    let refused = topic.add_partitions(7);
    assert!(matches!(refused, Err(TopicError::Closed { .. })), "{refused:?}");
    topic.apply_retention();
}

#[test]
fn no_handle_changes_a_directory_that_was_closed() {
    let dir = Dir::new();
    let config = config(Durability::Written).segment_bytes(300).retention_bytes(300);
    let topic = {
        let broker = dir.open();
        let topic = broker.create_topic("t", config).unwrap();
        append(&first(&topic), 0..20);
        broker.close().unwrap();
        topic
    };
    let before = dir.contents();
    touch_all_ways(&topic);
    assert!(before == dir.contents(), "some byte was changed");

    // The same for a session that has not written anything itself.
    let broker = dir.open();
    let topic = broker.topic("t").unwrap();
    broker.close().unwrap();
    touch_all_ways(&topic);
    broker.tick();
    assert!(before == dir.contents(), "some byte was changed");
    assert!(dir.open().recovery().was_clean);
}

fn compacted(broker: &Broker) -> Topic {
    let config = TopicConfig::new().cleanup(Cleanup::Compact).segment_bytes(500);
    let topic = broker.topic_or_create("t", config).unwrap();
    if first(&topic).log_end_offset() == 0 {
        for number in 0..100 {
            let value = number.to_string();
            first(&topic).append(&[Record::new(&value).with_key("key")]).unwrap();
        }
        first(&topic).flush().unwrap();
    }
    topic
}

/// The first call that makes a file of a compaction is held up while the broker closes.
#[test]
fn a_close_waits_for_a_compaction() {
    let dir = Dir::new();
    let (arrive, is_there) = sync_channel(1);
    let (release, released) = sync_channel(1);
    let once = Mutex::new(Some((arrive, released)));
    let is_closed = Arc::new(AtomicBool::new(false));
    let late = Arc::new(AtomicUsize::new(0));
    let (asked, counted) = (Arc::clone(&is_closed), Arc::clone(&late));
    let broker = dir.open_gated(move |what, path: &Path| {
        let is_swap = path.extension().is_some_and(|extension| extension == "swap");
        if what == "create" && is_swap {
            let held = once.lock().unwrap().take();
            if let Some((arrive, released)) = held {
                arrive.send(()).unwrap();
                released.recv().unwrap();
            }
        }
        let is_change = what != "read" && asked.load(Ordering::SeqCst);
        counted.fetch_add(usize::from(is_change), Ordering::SeqCst);
        Ok(())
    });
    compacted(&broker);
    let ticking = {
        let broker = broker.clone();
        spawn(move || broker.tick())
    };
    is_there.recv().unwrap();
    let closing = spawn(move || {
        broker.close().unwrap();
        is_closed.store(true, Ordering::SeqCst);
    });
    sleep(Duration::from_millis(50));
    release.send(()).unwrap();
    ticking.join().unwrap();
    closing.join().unwrap();
    assert_eq!(late.load(Ordering::SeqCst), 0, "calls to the disk after the close");
    let topic = dir.open().topic("t").unwrap();
    assert_eq!(*values_from(&first(&topic), 0).last().unwrap(), "99");
}

/// What compaction changes is a change: the directory is not as it was closed any more.
#[test]
fn compaction_takes_the_note_away_that_says_clean() {
    let dir = Dir::new();
    let broker = dir.open();
    compacted(&broker);
    broker.close().unwrap();
    let note = dir.path().join("clean");
    assert!(note.exists());
    let broker = dir.open();
    let before = compacted(&broker).stats().total.bytes;
    broker.tick();
    assert!(compacted(&broker).stats().total.bytes < before, "it was not compacted");
    assert!(!note.exists());
    broker.close().unwrap();
    assert!(note.exists());
    assert!(dir.open().recovery().was_clean);
}

/// A topic is deleted, and made anew, while an append of the old one is about to make a file.
#[test]
fn a_deleted_topic_leaves_nothing_to_the_next_of_its_name() {
    let dir = Dir::new();
    let (arrive, is_there) = sync_channel(1);
    let (release, released) = sync_channel(1);
    let once = Mutex::new(Some((arrive, released)));
    let broker = dir.open_gated(move |what, path: &Path| {
        if what == "create" && path.extension().is_some_and(|extension| extension == "log") {
            let held = once.lock().unwrap().take();
            if let Some((arrive, released)) = held {
                arrive.send(()).unwrap();
                released.recv().unwrap();
            }
        }
        Ok(())
    });
    let old = broker.create_topic("t", config(Durability::Written)).unwrap();
    let appending = spawn(move || first(&old).append(&[Record::new("old")]));
    is_there.recv().unwrap();
    let recreating = {
        let broker = broker.clone();
        spawn(move || {
            broker.delete_topic("t").unwrap();
            broker.create_topic("t", config(Durability::Written)).unwrap()
        })
    };
    sleep(Duration::from_millis(50));
    release.send(()).unwrap();
    drop(appending.join().unwrap()); // there, or told that it is closed
    let new = recreating.join().unwrap();
    assert_eq!(dir.names("t-0", ".log"), [""; 0]);
    append(&first(&new), 0..3);
    assert_eq!(values_from(&first(&new), 0), numbers(0..3));
}

/// The zeros that a file was filled with ahead are cut off: without a sync they may be back after a power
/// cut, under a note that says clean.
#[test]
fn what_a_close_cuts_off_is_cut_off_durably() {
    let dir = Dir::new();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&calls);
    let broker = dir.open_gated(move |what, path: &Path| {
        if path.extension().is_some_and(|extension| extension == "log") {
            noted.lock().unwrap().push(what.to_owned());
        }
        Ok(())
    });
    let topic = broker.create_topic("t", config(Durability::Synced)).unwrap();
    append(&first(&topic), 0..3);
    calls.lock().unwrap().clear();
    broker.close().unwrap();
    assert_eq!(*calls.lock().unwrap(), ["set_len", "sync"]);
}
