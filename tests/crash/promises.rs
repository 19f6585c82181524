//! The failures that a user meets by name: a full disk, and a sync that fails.

use super::images::{GLANCE, check_image};
use super::model::{Ending, Setup};
use super::world::{Op, World, clock, whole};
use anabranch::testing::{Fate, SimDisk, Times};
use anabranch::{
    AppendError, Broker, DiskError, Durability, FlushError, Housekeeping, Partition, ReadError,
    Reader, Record, TopicConfig,
};
use std::time::Duration;

fn open(disk: &SimDisk) -> Broker {
    let builder = Broker::builder().disk(disk.clone()).clock(clock());
    let opened = builder.housekeeping(Housekeeping::Manual).open("data");
    opened.and_then(whole).expect("it opens")
}

fn partition(broker: &Broker, durability: Durability) -> Partition {
    let config = TopicConfig::new().durability(durability).segment_bytes(2_000).cache_bytes(0);
    broker.topic_or_create("t", config).expect("it is there").partition(0).expect("it has one")
}

fn values(partition: &Partition) -> Vec<String> {
    let mut values = Vec::new();
    while (values.len() as u64) < partition.high_watermark() {
        let read = partition.read(values.len() as u64, 1 << 20).expect("it can be read");
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        values.extend(read.iter().map(|record| text(record.value().unwrap_or_default())));
    }
    values
}

#[test]
fn a_full_disk_refuses_and_works_again_once_there_is_room() {
    for durability in [Durability::Written, Durability::Synced] {
        let mut world = World::new(&[Setup::of(durability)]);
        let mut refused = 0;
        for round in 0..40_u64 {
            let used: u64 = world.disk.files().iter().map(|(_, bytes)| bytes).sum();
            world.disk.set_capacity(used + round * 50);
            for op in [Op::Small, Op::Large, Op::Small] {
                refused += usize::from(world.apply(0, op) != Ok(None));
                world.check().expect("what was acknowledged can be read, and nothing else");
            }
            let cut = world.disk.power_cut(|_| Fate::Absent);
            for (image, ending) in [(world.disk.kill(), Ending::Kill), (cut, Ending::Cut)] {
                image.set_capacity(u64::MAX);
                check_image(&image, &world.models(), ending, GLANCE)
                    .expect("a full disk is no harm");
            }
            world.disk.set_capacity(u64::MAX);
            assert_eq!(world.apply(0, Op::Large), Ok(None), "there is room again");
        }
        assert!((10..110).contains(&refused), "{durability:?}: {refused} were refused");
        world.abandon();
    }
}

/// The source of a poisoned append.
fn poison(outcome: Result<u64, AppendError>) -> Box<DiskError> {
    match outcome {
        Err(AppendError::Poisoned { source, .. }) => source,
        other => panic!("a sync failed, and an append says {other:?}"),
    }
}

#[test]
fn a_failed_sync_is_told_to_all_who_wait_and_to_all_who_come() {
    for nth in 1..12 {
        let disk = SimDisk::new();
        let broker = open(&disk);
        let log = partition(&broker, Durability::Synced);
        log.append(&[Record::new("0")]).expect("all is well");
        disk.fail_syncs(nth, Times::Once);
        let acknowledged: Vec<(u64, String)> = std::thread::scope(|scope| {
            let send = |thread: u64| {
                let log = log.clone();
                move || {
                    let mut acknowledged = Vec::new();
                    for number in 0_u64.. {
                        let value = format!("{thread} {number}");
                        match log.append(&[Record::new(&value)]) {
                            Ok(offset) => acknowledged.push((offset, value)),
                            Err(AppendError::Poisoned { .. }) => return acknowledged,
                            Err(other) => panic!("{other}"),
                        }
                    }
                    acknowledged
                }
            };
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(send(thread))).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        // The disk is well again, and says that all is synced. It is not.
        let first = poison(log.append(&[Record::new("x")]));
        assert_eq!(first.operation, "sync");
        assert_eq!(poison(log.append(&[Record::new("y")])), first, "one error for all");
        assert!(matches!(log.flush(), Err(FlushError::Poisoned { source, .. }) if source == first));
        let end = log.high_watermark();
        assert_eq!(values(&log).len() as u64, end, "what was visible can be read");
        let mut reader = Reader::new([(log.clone(), end)]);
        let told = reader.poll(Duration::from_secs(60));
        assert!(matches!(told, Err(ReadError::Poisoned { .. })), "{told:?}");
        let is_there = |log: &Partition, what: &str| {
            let values = values(log);
            for (offset, value) in &acknowledged {
                assert_eq!(
                    values.get(usize::try_from(*offset).expect("few")),
                    Some(value),
                    "{what}, sync {nth}"
                );
            }
        };
        for (image, what) in [
            (disk.kill(), "killed"),
            (disk.power_cut(|_| Fate::Absent), "power cut"),
            (disk.power_cut_seeded(nth), "power cut by chance"),
        ] {
            let reopened = open(&image);
            is_there(&partition(&reopened, Durability::Synced), what);
            image.crash_at(0);
        }
        assert!(broker.close().is_err(), "not in good order");

        // The next session sees what the system's cache has, and must not believe it.
        let broker = open(&disk);
        let log = partition(&broker, Durability::Synced);
        let seen = values(&log);
        is_there(&log, "reopened");
        let cut = disk.power_cut(|_| Fate::Absent);
        let after = open(&cut);
        assert_eq!(
            values(&partition(&after, Durability::Synced)),
            seen,
            "shown, so it was on disk"
        );
        log.append(&[Record::new("more")]).expect("it works again");
    }
}

/// Opening gives a file its length anew after a crash; closing must not leave that to chance.
#[test]
fn a_good_end_of_a_session_that_wrote_nothing_is_as_good_as_any() {
    let disk = SimDisk::new();
    let broker = open(&disk);
    let log = partition(&broker, Durability::Written);
    log.append(&[Record::new("0")]).expect("all is well");
    log.flush().expect("all is well");
    let image = disk.kill();
    disk.crash_at(0);
    let broker = open(&image);
    assert_eq!(values(&partition(&broker, Durability::Written)), ["0"]);
    broker.close().expect("all is well");

    let logs = |disk: &SimDisk| {
        let mut files = disk.contents();
        files.retain(|path, _| path.extension().is_some_and(|extension| extension == "log"));
        files
    };
    let closed = logs(&image);
    let cuts = image.crash_images(1_000);
    assert!(cuts.is_exhaustive());
    for cut in cuts {
        assert!(logs(&cut) == closed, "it was not on the disk");
        assert!(open(&cut).recovery().was_clean);
    }
}
