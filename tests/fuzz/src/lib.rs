//! A good directory on a simulated disk, and everything that can be seen of one: what the targets
//! that work on directories share.

use anabranch::testing::SimDisk;
use anabranch::{
    AppendError, Broker, Cleanup, Durability, Housekeeping, ManualClock, OpenError, Partition,
    ReadError, Record, Timestamp, TopicConfig, TopicPartition,
};
use std::sync::OnceLock;
use std::time::Duration;

pub const ROOT: &str = "data";

pub fn open(disk: &SimDisk) -> Result<Broker, OpenError> {
    let clock = ManualClock::at(Timestamp::from_millis(5_000));
    let builder = Broker::builder().disk(disk.clone()).housekeeping(Housekeeping::Manual);
    builder.clock(clock).open(ROOT)
}

/// The value of the record at an offset of the good directory.
pub fn value(offset: u64) -> String {
    format!("{offset} {}", "x".repeat((offset * 37 % 90) as usize))
}

/// Two topics, several segments, epochs, committed offsets; closed in order, or killed.
pub fn good(is_clean: bool) -> SimDisk {
    static DISKS: OnceLock<[SimDisk; 2]> = OnceLock::new();
    let disks = DISKS.get_or_init(|| [false, true].map(make));
    disks[usize::from(is_clean)].kill()
}

fn make(is_clean: bool) -> SimDisk {
    let disk = SimDisk::new();
    let broker = open(&disk).expect("a new disk");
    let orders = TopicConfig::new().durability(Durability::Written).segment_bytes(1_500);
    let keys = orders.clone().cleanup(Cleanup::Compact).segment_bytes(400);
    broker.create_topic("orders", orders).expect("a new topic");
    broker.create_topic("keys", keys).expect("a new topic");
    write(&broker, 30);
    broker.tick();
    let killed = disk.kill();
    let broker = open(&killed).expect("it was killed");
    write(&broker, 10);
    let topic = broker.topic("orders").expect("it is there");
    let group = broker.consumer_group("billing").topic(&topic).build().expect("a group");
    let mut member = group.join("member").expect("a member");
    member.poll(Duration::ZERO).expect("records");
    member.commit().expect("a commit");
    if is_clean {
        broker.close().expect("nothing is in the way");
    } else {
        topic.partition(0).expect("one").flush().expect("nothing is in the way");
        write(&broker, 3);
    }
    let last = killed.kill();
    last.settle();
    last
}

fn write(broker: &Broker, count: u64) {
    for topic in broker.topics() {
        let partition = topic.partition(0).expect("one");
        for _ in 0..count {
            let offset = partition.log_end_offset();
            let (key, value) = ((offset % 6).to_string(), value(offset));
            let record = Record::new(value.as_str()).with_key(key.as_str());
            partition.append(&[record]).expect("nothing is in the way");
        }
    }
}

/// Looks at everything. A record that is returned is the one that was written at its offset.
pub fn look(broker: &Broker) {
    for topic in broker.topics() {
        for partition in topic.partitions() {
            look_at(&partition);
        }
    }
    broker.groups();
}

fn look_at(partition: &Partition) {
    let (start, end) = (partition.log_start_offset(), partition.high_watermark());
    assert!(start <= end, "{start} {end}");
    if let Some(damage) = partition.damage() {
        for offset in [0, 1, 30, u64::MAX] {
            let read = partition.read(offset, 1);
            let told = matches!(&read, Err(ReadError::Offline { corruption, .. }) if **corruption == *damage);
            assert!(told, "{read:?}");
        }
        let appended = partition.append(&[Record::new("x").with_key("k")]);
        assert!(matches!(&appended, Err(AppendError::Offline { .. })), "{appended:?}");
    }
    let mut next = start;
    while next < end {
        let Ok(records) = partition.read(next, 4_096) else { break };
        let before = next;
        for record in records.iter().filter(|record| record.offset() >= before) {
            let wanted = value(record.offset());
            assert_eq!(record.value(), Some(wanted.as_bytes()), "at {}", record.offset());
            next = record.offset() + 1;
        }
        if next == before {
            break;
        }
    }
    for offset in [start, (start / 2 + end / 2), end.saturating_sub(1), end, u64::MAX] {
        let _ = partition.read(offset, 1);
    }
    for at in [i64::MIN, 0, 5_000, i64::MAX] {
        partition.offset_for_timestamp(Timestamp::from_millis(at));
    }
}

/// Opens a directory and does a little of everything; and once more, as it was left.
pub fn use_it(disk: &SimDisk) {
    let Ok(broker) = open(disk) else { return };
    look(&broker);
    for topic in broker.topics() {
        for partition in topic.partitions() {
            let value = value(partition.log_end_offset());
            let _ = partition.append(&[Record::new(value.as_str()).with_key("k")]);
            let _ = partition.flush();
        }
    }
    look(&broker);
    broker.tick();
    let damaged = offline(&broker);
    let is_closed = broker.close().is_ok();
    drop(broker);
    match open(disk) {
        Ok(broker) => {
            look(&broker);
            let again = offline(&broker);
            assert!(damaged.iter().all(|of| again.contains(of)), "{damaged:?}, then {again:?}");
        }
        // What was refused while it was closed may be damaged for good.
        Err(error) => assert!(!is_closed || is_of_files(&error), "{error}"),
    }
}

/// What is offline, and stays so.
fn offline(broker: &Broker) -> Vec<TopicPartition> {
    broker.recovery().offline().map(|report| report.partition.clone()).collect()
}

/// Whether an error is one that files can cause.
pub fn is_of_files(error: &OpenError) -> bool {
    use OpenError::{Disk, Foreign, Manifest, Version};
    matches!(error, Disk(_) | Foreign { .. } | Manifest { .. } | Version { .. })
}

/// CRC-32, bit by bit: independent of the one under test.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
