//! Operations, faults, kills and power cuts by chance, against a model: what a synced topic acknowledged
//! is there, in order, and nothing that was never sent.
//!
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz operations`
#![no_main]

use anabranch::testing::{Fault, SimDisk, Times};
use anabranch::{Broker, Durability, Record, TopicConfig};
use anabranch_fuzz::open;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|steps: Vec<(u8, u8)>| {
    let mut world = World::new();
    for (what, how) in steps.iter().take(60) {
        world.step(*what, *how);
    }
    world.reopen(|disk| disk.kill());
    world.check();
});

struct World {
    disk: SimDisk,
    broker: Option<Broker>,
    /// By offset, the values that may stand there: one if it was acknowledged.
    sent: Vec<Vec<String>>,
    /// Below it everything was acknowledged.
    acknowledged: usize,
    count: u32,
}

impl World {
    fn new() -> World {
        let disk = SimDisk::new();
        let broker = open(&disk).expect("a new disk");
        let config = TopicConfig::new().durability(Durability::Synced).segment_bytes(500);
        broker.create_topic("orders", config.cache_bytes(0)).expect("a new topic");
        World { disk, broker: Some(broker), sent: Vec::new(), acknowledged: 0, count: 0 }
    }

    fn step(&mut self, what: u8, how: u8) {
        match what % 8 {
            0..3 => self.append(usize::from(how)),
            3 => self.with(|broker| broker.tick()),
            4 => self.disk.fail_call(u64::from(how % 16) + 1, fault(how), Times::Once),
            5 => self.reopen(|disk| disk.kill()),
            6 => self.reopen(|disk| disk.power_cut_seeded(how.into())),
            _ => {
                self.with(|broker| drop(broker.close()));
                self.reopen(|disk| disk.kill());
            }
        }
    }

    fn with(&self, work: impl FnOnce(&Broker)) {
        if let Some(broker) = &self.broker {
            work(broker);
        }
    }

    fn append(&mut self, size: usize) {
        let Some(broker) = &self.broker else { return };
        let partition = broker.topic("orders").expect("it was created").partition(0).expect("one");
        self.count += 1;
        let value = format!("{} {}", self.count, "x".repeat(size));
        match partition.append(&[Record::new(value.as_str())]) {
            Ok(offset) => {
                let at = usize::try_from(offset).expect("few records");
                assert!(at >= self.acknowledged, "{at} was given before");
                self.sent.resize_with(self.sent.len().max(at + 1), Vec::new);
                self.sent.truncate(at + 1);
                self.sent[at] = vec![value];
                self.acknowledged = at + 1;
            }
            Err(_) => {
                // It may have come as far as the disk.
                let at = usize::try_from(partition.log_end_offset()).expect("few records");
                for at in self.acknowledged..=at.max(self.acknowledged) {
                    self.sent.resize_with(self.sent.len().max(at + 1), Vec::new);
                    self.sent[at].push(value.clone());
                }
            }
        }
    }

    fn reopen(&mut self, image: impl Fn(&SimDisk) -> SimDisk) {
        self.disk = image(&self.disk);
        self.broker = None;
        let broker = open(&self.disk).expect("nothing but crashes has happened");
        broker.recovery().require_online().expect("a crash leaves no damage");
        self.broker = Some(broker);
        self.check();
    }

    fn check(&mut self) {
        let Some(broker) = &self.broker else { return };
        let partition = broker.topic("orders").expect("it was created").partition(0).expect("one");
        let end = usize::try_from(partition.high_watermark()).expect("few records");
        assert!(
            end >= self.acknowledged,
            "{} were acknowledged, {end} are there",
            self.acknowledged
        );
        let mut next = 0;
        while next < end {
            let records = partition.read(next as u64, 1_000).expect("nothing is damaged");
            assert!(!records.is_empty(), "nothing at {next}");
            let from = next as u64;
            for record in records.iter().filter(|record| record.offset() >= from) {
                assert_eq!(record.offset(), next as u64);
                let value =
                    String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned();
                let may_be = self.sent.get(next).is_some_and(|sent| sent.contains(&value));
                assert!(may_be, "{value} at {next}");
                // Seen, so it must stay.
                self.sent[next] = vec![value];
                next += 1;
            }
        }
        self.sent.truncate(end);
    }
}

fn fault(how: u8) -> Fault {
    match how / 16 % 3 {
        0 => Fault::Io,
        1 => Fault::NoSpace,
        _ => Fault::Short { bytes: 7 },
    }
}
