//! The damages, and the threads that try them.

use super::judge::{Damage, Kept, Outcome, judge};
use super::look::{Seen, look};
use super::reference::{
    Marks, OFFSETS, Reference, TOPICS, commits, open, owner, partition, references,
};
use anabranch::testing::SimDisk;
use anabranch::{
    AppendError, Broker, Corruption, GroupError, OpenError, PartitionReport, ReadError, Reader,
    Record, TopicPartition,
};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How much is tried: see the header of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    Bytes,
    Bits,
    Full,
}

fn tier() -> Tier {
    match std::env::var("ANABRANCH_DAMAGE").as_deref() {
        Err(_) => Tier::Bytes,
        Ok("bits") => Tier::Bits,
        Ok("full") => Tier::Full,
        Ok(other) => panic!("ANABRANCH_DAMAGE is {other:?}, neither bits nor full"),
    }
}

fn reference_bytes() -> usize {
    if tier() == Tier::Full { 64 << 10 } else { 16 << 10 }
}

/// Of so many damages one has every look-up, and is opened twice.
fn one_in() -> usize {
    match tier() {
        Tier::Bytes => 96,
        Tier::Bits => 16,
        Tier::Full => 4,
    }
}

fn apply(disk: &SimDisk, damage: &Damage) {
    match damage {
        Damage::Flip { path, byte, bit } => disk.flip_bit(path, *byte, *bit).unwrap(),
        Damage::Cut { path, bytes } => disk.truncate(path, *bytes).unwrap(),
        Damage::Gone { path } => disk.remove(path).unwrap(),
        Damage::Extra { path, bytes } => disk.write(path, bytes).unwrap(),
    }
}

/// Opens a damaged directory and looks at what the damage may concern, at one in `step` offsets. Beside a
/// partition that is offline, at the others as well.
fn observe(
    reference: &Reference,
    disk: &SimDisk,
    of: Option<&str>,
    step: usize,
) -> Result<Outcome, OpenError> {
    let broker = open(disk)?;
    let reports = broker.recovery().partitions.iter();
    let torn = reports.filter_map(|one| Some((one.partition.topic.to_string(), one.torn?.bytes)));
    let torn = torn.collect();
    let commits = commits(&broker);
    let offline = offline(&broker);
    let unsaid = offline.values().filter_map(|(of, why)| unsaid(&broker, of, why).err()).collect();
    let of = of.filter(|_| offline.is_empty());
    let mut seen = BTreeMap::new();
    for topic in TOPICS.into_iter().filter(|topic| of.is_none_or(|of| of == *topic)) {
        if offline.contains_key(topic) {
            continue;
        }
        let times: Vec<i64> = reference.held[topic].rows.iter().map(|row| row.timestamp).collect();
        seen.insert(topic.to_owned(), look(&partition(&broker, topic), step, &times));
    }
    Ok(Outcome { offline, unsaid, torn, seen, commits })
}

fn offline(broker: &Broker) -> BTreeMap<String, (TopicPartition, Corruption)> {
    let reports = broker.recovery().offline();
    let each = |report: &PartitionReport| {
        let of = report.partition.clone();
        Some((of.topic.to_string(), (of, report.damage.clone()?)))
    };
    reports.filter_map(each).collect()
}

/// What of a partition that is offline does not say so.
fn unsaid(broker: &Broker, of: &TopicPartition, why: &Corruption) -> Result<(), String> {
    let topic = broker.topic(&of.topic).map_err(|error| error.to_string())?;
    let partition = topic.partition(0).ok_or("there is no partition")?;
    for offset in [0, 3, 46, 93, 140, u64::MAX] {
        match partition.read(offset, 1) {
            Err(ReadError::Offline { corruption, .. }) if *corruption == *why => {}
            other => return Err(format!("{of} is offline, and a read at {offset} says {other:?}")),
        }
    }
    match partition.append(&[Record::new("x").with_key("k")]) {
        Err(AppendError::Offline { corruption, .. }) if *corruption == *why => {}
        other => return Err(format!("{of} is offline, and an append says {other:?}")),
    }
    let polled = Reader::new([(partition, 3)]).poll(Duration::from_secs(60));
    if !matches!(&polled, Err(ReadError::Offline { .. })) {
        return Err(format!("{of} is offline, and a poll says {polled:?}"));
    }
    let group = broker.consumer_group("billing").topic(&topic).build();
    let is_refused =
        matches!(&group, Err(GroupError::Offline { partition, .. }) if partition == of);
    if is_refused != (&*of.topic == OFFSETS) {
        return Err(format!("{of} is offline, and a group says {group:?}"));
    }
    Ok(())
}

/// The files of a partition that is offline are as they were.
fn untouched(outcome: &Outcome, before: &Files, disk: &SimDisk) -> Result<(), String> {
    let after = disk.contents();
    for topic in outcome.offline.keys() {
        let dir = format!("data/{topic}-0");
        let files = |all: &Files| -> Vec<(PathBuf, Vec<u8>)> {
            let its = all.iter().filter(|(path, _)| path.starts_with(&dir));
            its.map(|(path, bytes)| (path.clone(), bytes.clone())).collect()
        };
        if files(before) != files(&after) {
            return Err(format!("{topic} is offline, and was changed"));
        }
    }
    Ok(())
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn try_one(reference: &Reference, damage: &Damage, step: usize) -> Result<Kept, String> {
    let disk = reference.disk.kill();
    apply(&disk, damage);
    let owner = owner(damage.path());
    let observed =
        catch_unwind(AssertUnwindSafe(|| observe(reference, &disk, owner.as_deref(), step)));
    let outcome = observed.map_err(|_| "it panics".to_owned())?;
    let kept = judge(reference, damage, &outcome)?;
    if let Ok(outcome) = &outcome
        && !outcome.offline.is_empty()
    {
        let before = reference.disk.kill();
        apply(&before, damage);
        untouched(outcome, &before.contents(), &disk)?;
    }
    if step == 1 && outcome.is_ok() {
        // Opened once more, after whatever the first opening and the closing have written.
        let again =
            catch_unwind(AssertUnwindSafe(|| observe(reference, &disk, owner.as_deref(), step)));
        let mut again = again.map_err(|_| "it panics when opened again".to_owned())?;
        let (Ok(before), Ok(after)) = (&outcome, &mut again) else {
            return judge(reference, damage, &again)
                .map_err(|what| format!("opened again: {what}"));
        };
        // What was reported once is not reported again.
        after.torn.extend(before.torn.clone());
        if after.offline != before.offline {
            return Err(format!("opened again: {:?}, not {:?}", after.offline, before.offline));
        }
        judge(reference, damage, &again).map_err(|what| format!("opened again: {what}"))?;
    }
    Ok(kept)
}

/// Tries all damages on one reference; of `one_in` only one has every look-up and is opened twice.
fn try_all(reference: &Reference, damages: &[Damage], one_in: usize) -> BTreeMap<Kept, usize> {
    let start = Instant::now();
    let (next, counts, wrong) = (AtomicUsize::new(0), Mutex::default(), Mutex::new(Vec::new()));
    let work = || {
        let mut kept: BTreeMap<Kept, usize> = BTreeMap::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(damage) = damages.get(index) else { break };
            let step = if index % one_in == 0 { 1 } else { 61 };
            match try_one(reference, damage, step) {
                Ok(how) => *kept.entry(how).or_default() += 1,
                Err(what) => wrong.lock().unwrap().push((index, what)),
            }
        }
        let counts: &mut BTreeMap<Kept, usize> = &mut counts.lock().unwrap();
        kept.into_iter().for_each(|(how, count)| *counts.entry(how).or_default() += count);
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    for (index, what) in wrong.iter().take(40) {
        println!("{:?} {:?}: {what}", reference.marks, damages[*index]);
    }
    assert!(wrong.is_empty(), "{} of {} damages break a promise", wrong.len(), damages.len());
    let counts = counts.into_inner().unwrap();
    println!(
        "{:?}: {} damages in {:.1?}: {counts:?}",
        reference.marks,
        damages.len(),
        start.elapsed()
    );
    counts
}

/// Every bit of every file for each of the marks; in the smallest tier, every byte for one of them.
#[test]
fn every_flipped_bit_is_harmless_or_told() {
    let references = references(reference_bytes());
    for (number, reference) in (0..).zip(&references) {
        let mut damages = Vec::new();
        for (path, bytes) in reference.disk.files() {
            for at in 0..bytes * 8 {
                let (byte, bit) = (at / 8, (at % 8) as u8);
                let turn = byte % 3 == number && (byte / 3) % 8 == u64::from(bit);
                let is_chosen = tier() != Tier::Bytes || turn;
                if is_chosen {
                    damages.push(Damage::Flip { path: path.clone(), byte, bit });
                }
            }
        }
        let counts = try_all(reference, &damages, one_in());
        assert!(
            counts[&Kept::OpenError] > 0
                && counts[&Kept::Offline] > 0
                && counts[&Kept::ReadError] > 0
                && counts[&Kept::Whole] > 0
        );
        assert_eq!(counts.contains_key(&Kept::Torn), reference.marks == Marks::Stale);
    }
}

#[test]
fn every_cut_and_every_missing_file_is_harmless_or_told() {
    for (number, reference) in (0_u64..).zip(&references(reference_bytes())) {
        let mut damages = Vec::new();
        for (path, bytes) in reference.disk.files() {
            let cuts = (0..bytes).filter(|cut| tier() != Tier::Bytes || *cut % 3 == number);
            damages.extend(cuts.map(|bytes| Damage::Cut { path: path.clone(), bytes }));
            damages.push(Damage::Gone { path });
        }
        try_all(reference, &damages, one_in());
    }
}

/// Files that no writer leaves, and some that a writer might.
#[test]
fn every_extra_file_is_harmless_or_told() {
    for reference in &references(reference_bytes()) {
        let mut damages = Vec::new();
        let files = reference.disk.contents();
        let first =
            files["data/orders-0/00000000000000000000.log".as_ref() as &std::path::Path].clone();
        let contents =
            [Vec::new(), vec![0; 600], vec![0xff; 600], first.clone(), first[..700].to_vec()];
        let end = reference.held["orders"].end;
        let names = [
            "00000000000000000001.log".to_owned(),
            "00000000000000000000.log.swap".to_owned(),
            "00000000000000000005.log.swap".to_owned(),
            format!("{end:020}.log"),
            format!("{:020}.log", end + 1),
            format!("{end:020}.index"),
            "09223372036854775807.log".to_owned(),
            "18446744073709551615.log".to_owned(),
            "99999999999999999999.log".to_owned(),
            "segments.tmp".to_owned(),
            "mark.tmp".to_owned(),
            "00000000000000000009.cut".to_owned(),
            "README".to_owned(),
        ];
        for dir in TOPICS.into_iter().chain([OFFSETS]) {
            for name in &names {
                let path = format!("data/{dir}-0/{name}");
                if files.contains_key(path.as_ref() as &std::path::Path) {
                    continue;
                }
                for bytes in &contents {
                    damages.push(Damage::Extra { path: path.clone().into(), bytes: bytes.clone() });
                }
            }
        }
        for name in [
            "data/manifest.tmp",
            "data/orders-1/mark",
            "data/clean",
            "data/nobody-0/mark",
            "data/x",
        ] {
            if !files.contains_key(name.as_ref() as &std::path::Path) {
                damages.push(Damage::Extra { path: name.into(), bytes: vec![7; 99] });
            }
        }
        try_all(reference, &damages, if tier() == Tier::Bytes { 4 } else { 1 });
    }
}

/// The judge sees each of the mistakes that it is there for.
#[test]
fn planted_mistakes_are_seen() {
    let references = references(16 << 10);
    let stale = &references[2];
    let log = "data/orders-0/00000000000000000093.log";
    let damage = Damage::Flip { path: log.into(), byte: 3_000, bit: 0 };
    let good = || observe(stale, &stale.disk.kill(), Some("orders"), 1).unwrap();
    assert_eq!(judge(stale, &damage, &Ok(good())), Ok(Kept::Whole));
    let trips = |what: &str, said: &str, plant: &dyn Fn(&mut Outcome, &mut Seen)| {
        let mut outcome = good();
        let mut seen = outcome.seen.remove("orders").unwrap();
        plant(&mut outcome, &mut seen);
        outcome.seen.insert("orders".to_owned(), seen);
        let found = judge(stale, &damage, &Ok(outcome)).expect_err(what);
        assert!(found.contains(said), "{what}: {found}");
    };
    let known_end = stale.held["orders"].known_end;
    trips("a wrong value", "read in turn", &|_, seen| {
        seen.rows.as_mut().unwrap()[70].value = Some(b"other".to_vec());
    });
    trips("a record skipped", "read in turn", &|_, seen| {
        drop(seen.rows.as_mut().unwrap().remove(9))
    });
    trips("a wrong record for an offset", "at ", &|_, seen| {
        seen.by_offset[4].1 = seen.by_offset[5].1.clone();
    });
    trips("a wrong offset for a time", "time ", &|_, seen| seen.by_time[3].1 = None);
    trips("a start that moved", "starts at", &|_, seen| seen.log_start += 1);
    trips("loss above the mark, not told", "in silence", &|_, seen| seen.end = known_end);
    trips("loss below the mark, told as torn", "ends at", &|outcome, seen| {
        seen.end = known_end - 1;
        outcome.torn.insert("orders".to_owned(), 9);
    });
    trips("a commit lost", "committed", &|outcome, _| drop(outcome.commits.pop()));
    trips("another partition blamed", "another partition", &|_, seen| {
        seen.rows = Err(corrupt("keys", log, 10));
    });
    trips("another file blamed", "another file", &|_, seen| {
        seen.rows = Err(corrupt("orders", "data/orders-0/mark", 10));
    });
    trips("a partition offline that is not damaged", "another partition", &|outcome, _| {
        let ReadError::Corrupt { partition, corruption } = corrupt("keys", log, 10) else { return };
        outcome.offline.insert("keys".to_owned(), (partition, *corruption));
    });
    trips("a partition offline that says nothing", "says nothing", &|outcome, _| {
        outcome.unsaid.push("it says nothing".to_owned());
    });
    trips("a place behind the damage", "behind", &|_, seen| {
        seen.rows = Err(corrupt("orders", log, 9_000));
    });
}

fn corrupt(topic: &str, file: &str, at: u64) -> ReadError {
    // Corruptions are made by the crate alone: one is taken from it and turned around.
    let disk = SimDisk::new();
    let broker = open(&disk).unwrap();
    let config = anabranch::TopicConfig::new().durability(anabranch::Durability::Written);
    broker.create_topic(topic, config).unwrap();
    partition(&broker, topic).append(&[anabranch::Record::new("x")]).unwrap();
    broker.close().unwrap();
    drop(broker);
    disk.flip_bit(format!("data/{topic}-0/00000000000000000000.log"), 30, 1).unwrap();
    let broker = open(&disk).unwrap();
    let mut error = partition(&broker, topic).read(0, 1).unwrap_err();
    if let ReadError::Corrupt { corruption, .. } = &mut error {
        corruption.file = file.into();
        corruption.position = at;
    }
    error
}

/// A batch's checksum does not cover where it says that it stands. One that says it stands behind all
/// that may be read is damage, and not the end of what compaction has left.
#[test]
fn a_batch_that_claims_a_later_offset_is_damage() {
    let reference = &references(16 << 10)[0];
    for file in ["00000000000000000046.log", "00000000000000000093.log"] {
        let path = format!("data/orders-0/{file}");
        let damage = Damage::Flip { path: path.into(), byte: 1, bit: 6 };
        assert_eq!(try_one(reference, &damage, 1), Ok(Kept::ReadError), "{file}");
    }
}

/// An index that is built anew must not learn a wrong offset from a header: it would lead to a batch
/// that takes itself for another one, and its checksum would not object.
#[test]
fn an_index_built_from_wrong_headers_is_not_believed() {
    let reference = &references(16 << 10)[0];
    let (log, index) = ["log", "index"]
        .map(|ending| format!("data/orders-0/00000000000000000046.{ending}"))
        .into();
    let entries = reference.disk.read(&index).unwrap();
    let position = u32::from_be_bytes(*entries[4..].first_chunk().unwrap());
    for (byte, bit) in (0..8).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
        let byte = u64::from(position) + byte;
        let damage = Damage::Flip { path: log.clone().into(), byte, bit };
        let disk = reference.disk.kill();
        disk.remove(&index).unwrap();
        apply(&disk, &damage);
        let outcome = observe(reference, &disk, Some("orders"), 1);
        assert_eq!(judge(reference, &damage, &outcome), Ok(Kept::ReadError), "{damage:?}");
    }
}
