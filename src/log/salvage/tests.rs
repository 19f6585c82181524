//! Damage by hand: of every flipped bit, cut and lost file no more is lost than must be, and what is
//! returned is what was written.

use super::*;
use crate::ids::{Offset, Timestamp};
use crate::log::batch::{self, Stamps};
use crate::log::disk::DiskFile;
use crate::log::facts::{FileKind, SegmentFacts, file_path};
use crate::log::mark::{Crc, Mark, MarkFile};
use crate::log::memory_disk::MemoryDisk;
use crate::log::segments_file;
use crate::record::Record;
use std::collections::BTreeMap;
use std::io;

fn dir() -> &'static Path {
    Path::new("data/orders-3")
}

fn log_path(base_offset: Offset) -> PathBuf {
    file_path(dir(), base_offset, FileKind::Log)
}

fn value(offset: Offset) -> String {
    format!("value {offset}")
}

/// A sealed batch whose records say at which offset they were written.
fn batch(base_offset: Offset, count: Offset) -> Vec<u8> {
    let values: Vec<String> = (base_offset..base_offset + count).map(value).collect();
    batch_of(base_offset, &values)
}

fn batch_of<V: AsRef<[u8]>>(base_offset: Offset, values: &[V]) -> Vec<u8> {
    let records: Vec<Record<'_>> =
        values.iter().map(|value| Record::new(value).with_key("k")).collect();
    let stamps = Stamps::create_time(Timestamp::from_millis(1_000));
    let bytes_max: usize = records.iter().map(batch::record_bytes_max).sum();
    let mut bytes = vec![0; batch::HEADER_BYTES + bytes_max];
    let encoded = batch::encode_batch(&mut bytes, base_offset, stamps, records.iter());
    bytes.truncate(encoded.bytes);
    batch::seal(&mut bytes);
    bytes
}

/// Batches of so many records each, from `base_offset` on.
fn batches(base_offset: Offset, counts: &[Offset]) -> Vec<Vec<u8>> {
    let mut offset = base_offset;
    let next = |&count: &Offset| {
        offset += count;
        batch(offset - count, count)
    };
    counts.iter().map(next).collect()
}

fn facts(base_offset: Offset, end_offset: Offset, bytes: &[u8]) -> SegmentFacts {
    SegmentFacts {
        base_offset,
        end_offset,
        bytes: bytes.len() as u64,
        crc: Crc::of(bytes),
        index_crc: 0,
        max_timestamp: Timestamp::from_millis(1_000),
        is_compacted: false,
    }
}

/// A partition of two sealed segments, 0 to 6 and 6 to 9, and an active one, 9 to 14, all of it below
/// the mark.
struct World {
    disk: MemoryDisk,
    segments: Vec<(Offset, Vec<Vec<u8>>)>,
}

const END: Offset = 14;

fn world() -> World {
    let segments = vec![
        (0, batches(0, &[1, 2, 1, 2])),
        (6, batches(6, &[1, 1, 1])),
        (9, batches(9, &[2, 2, 1])),
    ];
    let disk = MemoryDisk::new();
    for (base_offset, batches) in &segments {
        disk.put(log_path(*base_offset), &batches.concat());
    }
    let sealed = [facts(0, 6, &segments[0].1.concat()), facts(6, 9, &segments[1].1.concat())];
    segments_file::store(&disk, dir(), 0, &sealed).expect("room");
    let active = segments[2].1.concat();
    let mark = Mark {
        segment: 9,
        position: active.len() as u64,
        end_offset: END,
        crc: Crc::of(&active),
        ..Mark::default()
    };
    MarkFile::create(&disk, dir(), &mark).expect("room");
    World { disk, segments }
}

fn read(disk: &MemoryDisk) -> (BTreeMap<Offset, Vec<u8>>, SalvageReport) {
    let before = disk.files();
    let mut all = Salvage::of(Arc::new(disk.clone()), dir()).expect("it can be listed");
    let mut partition = all.next().expect("one partition");
    assert!(all.next().is_none());
    let mut records = BTreeMap::new();
    for record in &mut partition {
        let last = records.last_key_value().map(|(last, _)| *last);
        assert!(last < Some(record.offset), "offsets rise");
        records.insert(record.offset, record.value.expect("all have one").to_vec());
    }
    assert!(partition.next().is_none());
    assert_eq!(disk.files(), before, "nothing is written");
    let report = partition.report().clone();
    assert_eq!(report.records, records.len() as u64);
    (records, report)
}

/// What was returned was written there; and what was not is missing.
fn check(
    records: &BTreeMap<Offset, Vec<u8>>,
    report: &SalvageReport,
    range: std::ops::Range<Offset>,
) {
    for (offset, found) in records {
        assert_eq!(found, value(*offset).as_bytes(), "{offset}");
    }
    let missing: Vec<Offset> = report.missing.iter().cloned().flatten().collect();
    let lost: Vec<Offset> = range.filter(|offset| !records.contains_key(offset)).collect();
    assert_eq!(missing, lost, "{report:?}");
    assert_eq!(report.missing_offsets, lost.len() as u64);
    assert!(report.unconfirmed == 0);
}

#[test]
fn what_is_whole_is_read_whole() {
    let (records, report) = read(&world().disk);
    check(&records, &report, 0..END);
    assert_eq!((records.len(), report.batches), (14, 10));
    assert!(report.is_complete());
}

/// No matter which bit of which segment, and whether the small files can help.
#[test]
fn every_flipped_bit_costs_its_batch_at_most() {
    for has_small_files in [true, false] {
        let world = world();
        if !has_small_files {
            world.disk.remove(dir().join("mark"));
            world.disk.remove(dir().join("segments"));
        }
        for (base_offset, batches) in &world.segments {
            let whole = batches.concat();
            let (mut start, mut offset) = (0, *base_offset);
            for bytes in batches {
                let end_offset = batch::last_offset(bytes) + 1;
                for bit in start * 8..(start + bytes.len()) * 8 {
                    let mut damaged = whole.clone();
                    damaged[bit / 8] ^= 1 << (bit % 8);
                    world.disk.put(log_path(*base_offset), &damaged);
                    let (records, report) = read(&world.disk);
                    let lost: Vec<Offset> =
                        (0..END).filter(|at| !records.contains_key(at)).collect();
                    let all_of_it: Vec<Offset> = (offset..end_offset).collect();
                    let context = format!("{base_offset}, bit {bit} at {}", bit % 8);
                    if has_small_files {
                        check(&records, &report, 0..END);
                        assert!(lost.is_empty() || lost == all_of_it, "{context}: {lost:?}");
                        assert!(report.skipped.len() <= 1, "{context}: {report:?}");
                        assert_eq!(lost.is_empty(), report.skipped.is_empty(), "{context}");
                    } else {
                        assert!(
                            lost.is_empty() || lost == all_of_it,
                            "{context}: {lost:?} {report:?}"
                        );
                        let is_true =
                            |(at, found): (&Offset, &Vec<u8>)| *found == value(*at).as_bytes();
                        let wrong = records.iter().filter(|pair| !is_true(*pair)).count();
                        // Nobody says where the last batch of all ends.
                        assert!(wrong as u64 <= report.unconfirmed, "{context}: {records:?}");
                        assert!(wrong == 0 || records.contains_key(&(END - 2)), "{context}");
                    }
                }
                start += bytes.len();
                offset = end_offset;
            }
            world.disk.put(log_path(*base_offset), &whole);
        }
    }
}

#[test]
fn a_cut_file_gives_what_is_before_the_cut_and_tells_the_rest() {
    let world = world();
    for (base_offset, batches) in &world.segments {
        let whole = batches.concat();
        for cut in 0..whole.len() {
            world.disk.put(log_path(*base_offset), &whole[..cut]);
            let (records, report) = read(&world.disk);
            check(&records, &report, 0..END);
            let mut end = 0;
            let kept = batches.iter().filter(|bytes| {
                end += bytes.len();
                end <= cut
            });
            let kept = kept.last().map_or(*base_offset, |last| batch::last_offset(last) + 1);
            assert!(!records.contains_key(&kept), "{cut}");
            assert!(kept == *base_offset || records.contains_key(&(kept - 1)), "{cut}");
            assert_eq!(report.skipped.last().map(|last| last.end), Some(whole.len() as u64));
        }
        world.disk.put(log_path(*base_offset), &whole);
    }
}

#[test]
fn a_lost_file_costs_its_records() {
    for base_offset in [0, 6, 9] {
        let world = world();
        world.disk.remove(log_path(base_offset));
        let (records, report) = read(&world.disk);
        check(&records, &report, 0..END);
        assert_eq!(report.missing.len(), 1);
        assert_eq!(report.missing[0].start, base_offset);
    }
}

#[test]
fn a_block_of_zeros_or_noise_costs_what_it_touches() {
    for noise in [false, true] {
        let world = world();
        let (base_offset, batches) = &world.segments[0];
        let whole = batches.concat();
        for start in 0..whole.len() {
            for len in [1, 20, 61, 100, 200] {
                let mut damaged = whole.clone();
                let end = (start + len).min(whole.len());
                for (at, byte) in damaged[start..end].iter_mut().enumerate() {
                    *byte = if noise { (at * 7 + start).to_le_bytes()[0] ^ 0xa5 } else { 0 };
                }
                world.disk.put(log_path(*base_offset), &damaged);
                let (records, report) = read(&world.disk);
                check(&records, &report, 0..END);
                let mut at = 0;
                for bytes in batches {
                    let is_touched = at < end && start < at + bytes.len();
                    let is_read = records.contains_key(&batch::base_offset(bytes));
                    // The last whole one before the damage is told from a likeness by what follows it.
                    assert!(is_read || is_touched, "{start} {len}: {records:?} {report:?}");
                    at += bytes.len();
                }
            }
        }
    }
}

#[test]
fn zeros_behind_the_end_are_no_damage() {
    let world = world();
    let active = world.segments[2].1.concat();
    for zeros in [1, 60, 61, 5_000] {
        world.disk.put(log_path(9), &[&active[..], &vec![0; zeros]].concat());
        let (records, report) = read(&world.disk);
        check(&records, &report, 0..END);
        assert!(report.is_complete(), "{zeros}: {report:?}");
    }
    world.disk.put(log_path(9), &[&active[..], &[0; 100], b"torn"].concat());
    let (records, report) = read(&world.disk);
    assert_eq!((records.len(), report.skipped_bytes), (14, 104));
}

/// A value that is a batch itself is not taken for one when the batch around it is damaged.
#[test]
fn a_batch_in_a_value_is_not_a_batch_of_the_log() {
    let disk = MemoryDisk::new();
    let inner = batch(2, 1);
    let outer = batch_of(1, &[&inner[..], b"behind it"]);
    let log = [batch(0, 1), outer.clone(), batch(3, 1), batch(4, 1)];
    for at in 0..outer.len() {
        let mut damaged = log.concat();
        damaged[log[0].len() + at] ^= 0x10;
        disk.put(log_path(0), &damaged);
        MarkFile::create(&disk, dir(), &Mark::default()).expect("room");
        let (records, _) = read(&disk);
        let expected: &[Offset] =
            if (12..16).contains(&at) { &[0, 1, 2, 3, 4] } else { &[0, 3, 4] };
        assert_eq!(records.keys().copied().collect::<Vec<_>>(), expected, "byte {at}");
    }
}

#[test]
fn what_was_deleted_stays_deleted() {
    let world = world();
    let sealed =
        [facts(0, 6, &world.segments[0].1.concat()), facts(6, 9, &world.segments[1].1.concat())];
    segments_file::store(&world.disk, dir(), 2, &sealed).expect("room");
    let (records, report) = read(&world.disk);
    check(&records, &report, 2..END);
    assert_eq!(records.len(), 12);
    // A remain of a compaction that was committed.
    world.disk.put(log_path(4), &batch(4, 2));
    let (records, report) = read(&world.disk);
    check(&records, &report, 2..END);
    assert!(report.is_complete());
}

#[test]
fn compacted_segments_have_gaps_and_tell_what_is_not_certain() {
    let disk = MemoryDisk::new();
    let log = [batch(1, 1), batch(5, 1), batch(9, 2), batch(15, 1)].concat();
    let compacted = SegmentFacts { is_compacted: true, ..facts(0, 20, &log) };
    segments_file::store(&disk, dir(), 0, std::slice::from_ref(&compacted)).expect("room");
    let mark = Mark { segment: 20, end_offset: 20, ..Mark::default() };
    MarkFile::create(&disk, dir(), &mark).expect("room");
    disk.put(log_path(0), &log);
    let (records, report) = read(&disk);
    assert_eq!(records.keys().copied().collect::<Vec<_>>(), [1, 5, 9, 10, 15]);
    assert!(report.is_complete() && report.unconfirmed == 0, "{report:?}");
    // A base offset that its neighbours allow, but that is not the one that was sealed.
    let mut damaged = log.clone();
    let second = batch(1, 1).len();
    damaged[second + 7] ^= 2;
    disk.put(log_path(0), &damaged);
    let (records, report) = read(&disk);
    assert_eq!(records.keys().copied().collect::<Vec<_>>(), [1, 7, 9, 10, 15]);
    assert!(report.unconfirmed > 0, "{report:?}");
    // A batch that is damaged takes with it what may have been around it.
    damaged[second + 70] ^= 2;
    disk.put(log_path(0), &damaged);
    let (records, report) = read(&disk);
    assert_eq!(records.keys().copied().collect::<Vec<_>>(), [1, 9, 10, 15]);
    assert!(report.missing.iter().cloned().flatten().eq(2..9));
}

#[test]
fn hostile_directories_do_not_panic() {
    let disk = MemoryDisk::new();
    disk.put("data/orders-3/notes", b"hello");
    disk.put("data/orders-x/notes", b"hello");
    disk.put("data/manifest", b"");
    for name in ["data/orders-3", "data/orders-x"] {
        disk.create_dir(Path::new(name)).expect("room");
    }
    let mut all = Salvage::of(Arc::new(disk.clone()), Path::new("data")).expect("listed");
    assert_eq!(all.len(), 1);
    assert_eq!(all.next().map(|mut partition| partition.next().is_none()), Some(true));
    for bytes in [&b""[..], &[0; 100], &[2; 100], &[0xff; 3_000]] {
        for name in ["mark", "segments", "leader-epoch-checkpoint"] {
            disk.put(dir().join(name), bytes);
        }
        disk.put(log_path(7), bytes);
        disk.put(log_path(Offset::MAX >> 1), bytes);
        let (records, _) = read(&disk);
        assert!(records.is_empty());
    }
    disk.put("data/orders/mark", b"");
    let refused = Salvage::of(Arc::new(disk.clone()), Path::new("data/orders"));
    assert!(matches!(refused, Err(OpenError::Foreign { .. })));
    assert!(Salvage::of(Arc::new(disk), Path::new("elsewhere")).is_err());
}

#[test]
fn names_are_told() {
    for (name, of) in [("orders-3", ("orders", 3)), ("a-b-0", ("a-b", 0)), ("-x-01", ("-x", 1))] {
        assert_eq!(parse_dir_name(name), Some(TopicPartition::new(of.0, of.1)));
    }
    for name in ["orders", "orders-", "-3", "a b-3", "orders-+3", "orders-99999999999"] {
        assert_eq!(parse_dir_name(name), None, "{name}");
    }
}

/// A file of which the medium does not give a range.
#[derive(Debug)]
struct Holey(Vec<u8>, std::ops::Range<u64>);

impl DiskFile for Holey {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let end = (position + buffer.len() as u64).min(self.0.len() as u64);
        if position < self.1.end && self.1.start < end {
            return Err(io::Error::other("no such sector"));
        }
        let index = |at: u64| usize::try_from(at).expect("the file is in memory");
        let bytes = &self.0[index(position.min(end))..index(end)];
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write_at(&self, _bytes: &[u8], _position: u64) -> io::Result<usize> {
        unreachable!("nothing is written")
    }

    fn sync_data(&self) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn set_len(&self, _bytes: u64) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

#[test]
fn what_the_medium_does_not_give_is_stepped_over() {
    let log = batches(0, &[1; 300]);
    let (whole, block) = (log.concat(), 4096);
    for hole in [0..block, block..2 * block, block..3 * block] {
        let file = Holey(whole.clone(), hole.clone());
        let source = source::Source::new(Arc::new(file), log_path(0), whole.len() as u64);
        let known = Some((whole.len() as u64, 300));
        let rules = scan::Rules { may_have_gaps: false, known, is_intact: false };
        let mut scan = scan::Scan::new(source, 0, 300, rules);
        let mut report = SalvageReport::new(TopicPartition::new("orders", 3));
        let mut found = Vec::new();
        while let Some(batch) = scan.next(&mut report) {
            assert!(batch.is_confirmed);
            found.push(batch.header.base_offset);
        }
        // With it go the batches that lie across its ends.
        let mut start = 0;
        let untouched = log.iter().filter(|bytes| {
            start += bytes.len() as u64;
            start <= hole.start || hole.end <= start - bytes.len() as u64
        });
        let untouched: Vec<Offset> = untouched.map(|bytes| batch::base_offset(bytes)).collect();
        assert_eq!(found, untouched, "{hole:?}");
        assert!(matches!(report.skipped[0].reason, SkipReason::Disk(_)), "{report:?}");
    }
}
