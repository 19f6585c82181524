//! Recovery of small partitions: in order, torn, interrupted, damaged, hostile.

mod damage;
mod support;

use super::*;
use crate::log::disk::EntryKind;
use crate::log::index::index_crc;
use crate::log::mark::MARK_FILE;
use crate::log::memory_disk::MemoryDisk;
use crate::log::report::TornTail;
use crate::log::segments_file::{self, SEGMENTS_FILE};
use support::*;

fn corruption(found: Result<Recovered, OpenError>) -> Corruption {
    match found {
        Err(OpenError::Corrupt { partition: of, corruption }) => {
            assert_eq!(of, partition());
            *corruption
        }
        other => panic!("not refused as damaged: {other:?}"),
    }
}

fn torn(recovered: &Recovered) -> Option<(u64, Offset)> {
    recovered.report.torn.map(|TornTail { bytes, offset }| (bytes, offset))
}

#[test]
fn a_new_partition_is_empty_and_clean() {
    let disk = MemoryDisk::new();
    create(&disk, dir()).expect("room");
    let before = disk.files();
    let opened = open(&disk, true).expect("nothing is wrong");
    assert!(opened.was_clean && opened.active.file.is_none() && opened.sealed.is_empty());
    assert_eq!((opened.log_start, opened.active.end_offset, opened.epochs.latest()), (0, 0, 0));
    assert_eq!(opened.mark, Mark::default());
    assert_eq!(disk.files(), before);
    let opened = open(&disk, false).expect("nothing is wrong");
    assert!(!opened.was_clean);
    assert_eq!(opened.active.end_offset, 0);
}

#[test]
fn a_clean_directory_is_neither_read_nor_changed() {
    let world = World::of_three();
    let disk = world.lay_out(MarkAt::End);
    disk.put(dir().join("notes.txt"), b"somebody's");
    let before = disk.files();
    let changes = disk.changes();
    let opened = open(&disk, true).expect("nothing is wrong");
    assert_eq!((disk.files(), disk.changes()), (before, changes), "no byte and no call");
    assert!(opened.was_clean);
    assert_eq!(opened.sealed, [world.facts(0), world.facts(1)]);
    assert_eq!(read_all(&disk, &opened), Ok(world.all()));
    let Active { base_offset, end_offset, bytes, rewrite_from, max_timestamp, .. } = opened.active;
    assert_eq!((base_offset, end_offset, rewrite_from), (6, 14, bytes));
    assert_eq!(max_timestamp.as_millis(), 1013);
    assert_eq!(opened.epochs.latest(), 1);
    let report = &opened.report;
    assert_eq!((report.sealed, report.verified_bytes, report.unknown_files), (2, 0, 1));
}

#[test]
fn what_is_above_the_mark_is_verified_and_kept() {
    let world = World::of_three();
    for count in 0..=4 {
        let disk = world.lay_out(MarkAt::Batches(count));
        let opened = open(&disk, false).expect("nothing is wrong");
        assert_eq!(read_all(&disk, &opened), Ok(world.all()));
        assert_eq!((torn(&opened), opened.was_clean), (None, false));
        let above = world.segments[2][count..].concat().len() as u64;
        assert_eq!(opened.report.verified_bytes, above);
        assert_eq!(opened.active.rewrite_from, opened.active.bytes - above);
        assert_eq!(opened.mark, world.mark(2, count), "the mark stands");
    }
}

/// The index is taken from its files as far as these go, if they are what the mark knows; a look-up
/// leads where it leads in an index that was built from all batches.
#[test]
fn the_index_below_the_mark_is_what_the_batches_make_it() {
    let world = World::new(&[&[50; 30]]);
    let whole = world.index(0);
    let last = world.segments[0].len();
    for (stored_at, mark_at, damage) in [
        (0, 9, ""),
        (last, last, ""),
        (9, 9, ""),
        (9, 20, ""),
        (9, 20, "index"),
        (9, 20, "timeindex"),
    ] {
        let disk = world.lay_out(MarkAt::Batches(mark_at));
        let mut stored = SegmentIndex::new();
        let mut mark = world.mark(0, mark_at);
        mark.index_end = world.mark(0, stored_at).position;
        world.note(0, 0..stored_at, &mut stored);
        let (offsets, times) = (stored.encode_offsets(0), stored.encode_times(0));
        assert_eq!((offsets.is_empty(), times.is_empty()), (stored_at == 0, stored_at == 0));
        mark.index_crc = index_crc(&offsets, &times);
        disk.put(file_path(dir(), 0, FileKind::Index), &offsets);
        disk.put(file_path(dir(), 0, FileKind::TimeIndex), &times);
        if !damage.is_empty() {
            let path = log_path(0).with_extension(damage);
            let mut bytes = disk.get(&path).expect("there");
            *bytes.last_mut().expect("not empty") ^= 1;
            disk.put(path, &bytes);
        }
        MarkFile::create(&disk, dir(), &mark).expect("room");
        for is_clean in [false, true] {
            let opened = open(&disk, is_clean).expect("nothing is wrong");
            assert_eq!(opened.was_clean, is_clean && mark_at == last);
            let index = &opened.active.index;
            assert_eq!(index.encode_offsets(0), whole.encode_offsets(0));
            for offset in 0..world.end() {
                assert_eq!(index.position_of(offset), whole.position_of(offset));
                // A time index that was stored has an entry more, and may lead closer.
                let timestamp = Timestamp::from_millis(1000 + offset as i64);
                let start = index.position_of_timestamp(timestamp);
                assert!(start >= whole.position_of_timestamp(timestamp));
                // The first batch of that time or later is the first that starts at the offset or later.
                let first = usize::try_from(offset.div_ceil(50)).expect("small");
                assert!(start <= world.segments[0][..first].concat().len() as u64);
            }
            assert_eq!(opened.active.max_timestamp, whole.max_timestamp());
        }
    }
}

/// The flag alone does not make a directory clean.
#[test]
fn a_clean_flag_is_not_believed_where_the_files_say_otherwise() {
    let world = World::of_three();
    let disk = world.lay_out(MarkAt::Batches(2));
    let opened = open(&disk, true).expect("nothing is wrong");
    assert!(!opened.was_clean);
    assert_eq!(read_all(&disk, &opened), Ok(world.all()));
}

#[test]
fn a_torn_tail_is_cut_kept_aside_and_reported() {
    let world = World::of_three();
    let whole = world.segments[2].concat();
    let last = world.segments[2][3].len();
    // The last byte is a zero, and the first seven are: where only these are gone, or left, what is
    // there is a whole batch, or none at all.
    for cut in 2..last - 7 {
        let disk = world.lay_out(MarkAt::Batches(2));
        let mut file = whole[..whole.len() - cut].to_vec();
        file.resize(whole.len() + 999, 0);
        disk.put(log_path(6), &file);
        let opened = open(&disk, false).expect("it can be cut");
        assert_eq!(opened.active.end_offset, 13);
        let kept = whole.len() - last;
        assert_eq!(disk.get(log_path(6)).expect("there"), &whole[..kept]);
        let (bytes, offset) = torn(&opened).expect("it is told");
        assert_eq!(offset, 13);
        let aside = disk.get(dir().join(format!("{:020}.cut", 13))).expect("kept");
        assert_eq!(aside.len() as u64, bytes);
        assert!(whole[kept..].starts_with(&aside));
        // A second opening finds nothing to do.
        let again = open(&disk, false).expect("nothing is wrong");
        assert_eq!((again.active.end_offset, torn(&again)), (13, None));
    }
}

#[test]
fn zeros_behind_the_last_batch_are_the_end() {
    let world = World::of_three();
    let disk = world.lay_out(MarkAt::Batches(3));
    let mut file = world.segments[2].concat();
    file.resize(3 << 20, 0);
    disk.put(log_path(6), &file);
    let opened = open(&disk, false).expect("nothing is wrong");
    assert_eq!((torn(&opened), opened.active.end_offset), (None, 14));
    assert_eq!(read_all(&disk, &opened), Ok(world.all()));
    assert_eq!(disk.get(log_path(6)).expect("there"), world.segments[2].concat());
}

#[test]
fn a_hole_of_zeros_above_the_mark_is_torn() {
    let world = World::of_three();
    let disk = world.lay_out(MarkAt::Batches(1));
    let mut file = world.segments[2].concat();
    let first = world.segments[2][0].len();
    let second = world.segments[2][1].len();
    file[first..first + second].fill(0);
    disk.put(log_path(6), &file);
    let opened = open(&disk, false).expect("it can be cut");
    assert_eq!(torn(&opened), Some(((file.len() - first - 1) as u64, 7)), "but for a zero");
}

/// A roll does not wait for a sync: several segments may stand above the mark.
#[test]
fn rolled_segments_above_the_mark_are_sealed() {
    let world = World::new(&[&[2, 1], &[3], &[1, 2], &[4]]);
    for (mark_segment, count) in [(0, 0), (0, 2), (1, 0), (1, 1), (2, 1), (3, 0), (3, 1)] {
        let disk = world.lay_out(MarkAt::Batches(0));
        MarkFile::create(&disk, dir(), &world.mark(mark_segment, count)).expect("room");
        let sealed = mark_segment.min(1);
        world.list(&disk, 0..sealed);
        let padded = [world.segments[1].concat(), vec![0; 5000]].concat();
        if sealed == 0 {
            disk.put(log_path(3), &padded);
        }
        let opened = open(&disk, false).expect("nothing is wrong");
        assert_eq!(opened.sealed, [world.facts(0), world.facts(1), world.facts(2)]);
        assert_eq!(read_all(&disk, &opened), Ok(world.all()));
        assert_eq!(disk.get(log_path(3)).expect("there"), world.segments[1].concat());
        assert_eq!(opened.mark.segment, 9);
        let stored = segments_file::load(&disk, dir()).expect("whole").expect("there");
        assert_eq!(stored.sealed, opened.sealed);
        let again = open(&disk, false).expect("nothing is wrong");
        assert_eq!((again.mark, again.sealed), (opened.mark, opened.sealed));
    }
}

#[test]
fn segments_behind_a_tear_are_removed() {
    let world = World::new(&[&[2, 1], &[3, 1], &[1, 2], &[4]]);
    let disk = world.lay_out(MarkAt::Batches(0));
    MarkFile::create(&disk, dir(), &world.mark(1, 1)).expect("room");
    world.list(&disk, 0..1);
    let mut file = world.segments[1].concat();
    *file.last_mut().expect("not empty") ^= 1;
    disk.put(log_path(3), &file);
    let opened = open(&disk, false).expect("it can be cut");
    assert_eq!((opened.active.base_offset, opened.active.end_offset), (3, 6));
    let behind = world.segments[1][1].len()
        + world.segments[2].concat().len()
        + world.segments[3].concat().len();
    let (bytes, offset) = torn(&opened).expect("it is told");
    assert_eq!(offset, 6);
    let aside = disk.get(dir().join(format!("{:020}.cut", 6))).expect("kept");
    assert_eq!(aside.len() as u64, bytes);
    assert_eq!(bytes, behind as u64 - 2, "but for the zeros at the ends of two files");
    let logs = disk.files().into_keys().filter(|path| path.extension().is_some_and(|e| e == "log"));
    assert_eq!(logs.count(), 2);
}

#[test]
fn a_tail_of_many_bytes_is_kept_in_part() {
    let world = World::of_three();
    let disk = world.lay_out(MarkAt::Batches(4));
    let file = [world.segments[2].concat(), vec![7; 3 << 20]].concat();
    disk.put(log_path(6), &file);
    let opened = open(&disk, false).expect("it can be cut");
    assert_eq!(torn(&opened), Some((3 << 20, 14)));
    let aside = disk.get(dir().join(format!("{:020}.cut", 14))).expect("kept");
    assert_eq!(aside, vec![7; 1 << 20]);
}

#[test]
fn damage_below_the_mark_is_named() {
    let world = World::of_three();
    let disk = world.lay_out(MarkAt::Batches(3));
    let mut file = world.segments[2].concat();
    let position = world.segments[2][0].len();
    file[position + 7] ^= 1;
    disk.put(log_path(6), &file);
    let found = corruption(open(&disk, false));
    assert_eq!((found.file, found.position, found.offset), (log_path(6), position as u64, 7));
    assert_eq!(found.reason, CorruptionReason::Offset { found: 6 });

    file.truncate(position);
    disk.put(log_path(6), &file);
    let before = disk.files();
    let stored = world.mark(2, 3).position;
    let reason = CorruptionReason::FileBytes { stored, found: position as u64 };
    assert_eq!(corruption(open(&disk, false)).reason, reason);
    disk.remove(log_path(6));
    assert_eq!(corruption(open(&disk, false)).reason, CorruptionReason::Missing);
    disk.put(log_path(6), &file);
    assert_eq!(disk.files(), before, "a refusal changes nothing");
}

#[test]
fn a_sealed_segment_of_another_length_is_named() {
    let world = World::of_three();
    for is_clean in [true, false] {
        let disk = world.lay_out(MarkAt::End);
        let bytes = world.facts(1).bytes;
        disk.put(log_path(3), &[world.segments[1].concat(), vec![0]].concat());
        let found = corruption(open(&disk, is_clean));
        assert_eq!(found.file, log_path(3));
        assert_eq!(found.reason, CorruptionReason::FileBytes { stored: bytes, found: bytes + 1 });
        disk.remove(log_path(3));
        assert_eq!(corruption(open(&disk, is_clean)).reason, CorruptionReason::Missing);
    }
}

#[test]
fn without_a_mark_everything_is_read_and_any_damage_refused() {
    let world = World::of_three();
    let disk = world.lay_out(MarkAt::End);
    disk.put(dir().join(MARK_FILE), &[0; 1024]);
    let opened = open(&disk, true).expect("all is whole");
    assert!(!opened.was_clean && opened.report.was_rebuilt);
    assert_eq!(opened.report.verified_bytes, world.all().len() as u64);
    assert_eq!((opened.active.end_offset, opened.active.rewrite_from), (14, 0));
    assert_eq!(opened.mark, Mark { leader_epoch: 1, ..world.mark(2, 0) });

    for base in [0, 3, 6] {
        let disk = world.lay_out(MarkAt::End);
        disk.put(dir().join(MARK_FILE), b"");
        let mut file = disk.get(log_path(base)).expect("there");
        *file.last_mut().expect("not empty") ^= 1;
        disk.put(log_path(base), &file);
        let before = disk.files();
        assert_eq!(corruption(open(&disk, false)).file, log_path(base));
        assert_eq!(disk.files(), before);
    }
}

#[test]
fn a_missing_mark_or_directory_is_refused() {
    let world = World::of_three();
    let disk = world.lay_out(MarkAt::End);
    disk.remove(dir().join(MARK_FILE));
    for disk in [disk, MemoryDisk::new()] {
        let found = corruption(open(&disk, true));
        assert_eq!((found.file, found.reason), (dir().join(MARK_FILE), CorruptionReason::Missing));
    }
}

#[test]
fn a_list_that_is_lost_is_found_out_from_the_segments() {
    let world = World { log_start: 4, ..World::of_three() };
    for damage in [None, Some(&b"anabranch"[..])] {
        let disk = world.lay_out(MarkAt::End);
        match damage {
            None => disk.remove(dir().join(SEGMENTS_FILE)),
            Some(bytes) => disk.put(dir().join(SEGMENTS_FILE), bytes),
        }
        let opened = open(&disk, true).expect("all is whole");
        assert_eq!(opened.sealed, [world.facts(0), world.facts(1)]);
        assert!(opened.report.was_rebuilt && !opened.was_clean);
        assert_eq!(opened.log_start, 4);
        assert_eq!(read_all(&disk, &opened), Ok(world.all()));
        let stored = segments_file::load(&disk, dir()).expect("whole").expect("there");
        assert_eq!(stored.sealed, opened.sealed);

        for base in [0, 3] {
            let disk = world.lay_out(MarkAt::End);
            disk.remove(dir().join(SEGMENTS_FILE));
            let mut file = disk.get(log_path(base)).expect("there");
            file.truncate(world.segments[0][0].len());
            disk.put(log_path(base), &file);
            corruption(open(&disk, false));
            disk.remove(log_path(base));
            match base {
                0 => assert_eq!(open(&disk, false).expect("it is below the start").sealed.len(), 1),
                _ => assert_eq!(corruption(open(&disk, false)).reason, CorruptionReason::Missing),
            }
        }
    }
}

#[test]
fn a_list_and_a_mark_that_are_both_lost_are_refused() {
    let world = World { log_start: 4, ..World::of_three() };
    let disk = world.lay_out(MarkAt::End);
    disk.put(dir().join(MARK_FILE), b"");
    disk.put(dir().join(SEGMENTS_FILE), b"");
    let found = corruption(open(&disk, false));
    assert_eq!(found.file, dir().join(SEGMENTS_FILE));
}

/// What retention and compaction left when they were interrupted.
#[test]
fn remains_of_committed_changes_are_removed() {
    let world = World { log_start: 3, ..World::of_three() };
    let disk = world.lay_out(MarkAt::Batches(2));
    world.list(&disk, 1..2);
    disk.put(dir().join("segments.tmp"), b"half");
    disk.put(log_path(4), b"inside segment 3, replaced by it");
    disk.put(file_path(dir(), 4, FileKind::Index), b"");
    let opened = open(&disk, false).expect("nothing is wrong");
    assert_eq!((opened.log_start, opened.sealed.len()), (3, 1));
    assert_eq!(opened.report.leftovers_removed, 6, "logs 0 and 4, three indexes, a temporary");
    assert_eq!(opened.report.unknown_files, 0);
    let expected = [world.segments[1].concat(), world.segments[2].concat()].concat();
    assert_eq!(read_all(&disk, &opened), Ok(expected));
    assert_eq!(open(&disk, false).expect("fine").report.leftovers_removed, 0);
}

/// All sealed segments were dropped; the list names none.
#[test]
fn an_empty_list_with_a_start_leaves_the_active_segment() {
    let world = World { log_start: 7, ..World::of_three() };
    for count in [0, 1, 4] {
        let disk = world.lay_out(MarkAt::Batches(count));
        segments_file::store(&disk, dir(), 7, &[]).expect("room");
        let opened = open(&disk, false).expect("nothing is wrong");
        assert_eq!((opened.log_start, opened.sealed.len()), (7, 0));
        assert_eq!(read_all(&disk, &opened), Ok(world.segments[2].concat()));
        assert_eq!(opened.report.leftovers_removed, 6);
        disk.remove(log_path(6));
        if count > 1 {
            assert_eq!(corruption(open(&disk, false)).reason, CorruptionReason::Missing);
        }
    }
}

/// Records up to 12 were deleted, but only those up to 7 had reached the disk.
#[test]
fn a_log_that_ends_before_its_start_begins_again_there() {
    let world = World { log_start: 12, ..World::of_three() };
    for nth in 0..40 {
        let disk = world.lay_out(MarkAt::Batches(1));
        disk.put(log_path(6), &world.segments[2][0]);
        disk.fail_after(nth);
        let interrupted = open(&disk, false);
        let disk = disk.snapshot();
        let opened = open(&disk, false).expect("nothing is wrong");
        assert_eq!((opened.log_start, opened.active.base_offset), (12, 12));
        assert!(opened.active.file.is_none() && opened.sealed.is_empty());
        assert_eq!(opened.mark.end_offset, 12);
        assert!(disk.get(log_path(6)).is_none() && disk.get(log_path(0)).is_none());
        if interrupted.is_ok() {
            return;
        }
    }
    panic!("the disk never stopped failing");
}

fn swap_path(base: Offset) -> PathBuf {
    file_path(dir(), base, FileKind::Swap)
}

/// Segments 0 and 1 become one: before the list says so, after, and with the old ones gone in part.
#[test]
fn a_replacement_is_finished_if_it_is_listed_and_undone_if_not() {
    let world = World::of_three();
    let merged = World::new(&[&[2, 1, 3], &[1, 2, 4, 1]]);
    assert_eq!(merged.all(), world.all());
    let lay_out = || {
        let disk = world.lay_out(MarkAt::Batches(1));
        disk.put(swap_path(0), &merged.segments[0].concat());
        disk
    };
    let disk = lay_out();
    let opened = open(&disk, false).expect("nothing is wrong");
    assert_eq!((opened.sealed.len(), opened.report.leftovers_removed), (2, 1));
    assert!(disk.get(swap_path(0)).is_none());
    assert_eq!(read_all(&disk, &opened), Ok(world.all()));

    for gone in [&[][..], &[0], &[3], &[0, 3]] {
        for is_clean in [false, true] {
            let disk = lay_out();
            merged.list(&disk, 0..1);
            gone.iter().for_each(|base| disk.remove(log_path(*base)));
            let opened = open(&disk, is_clean).expect("nothing is wrong");
            assert_eq!(opened.sealed, [merged.facts(0)]);
            assert!(disk.get(swap_path(0)).is_none() && disk.get(log_path(3)).is_none());
            assert_eq!(read_all(&disk, &opened), Ok(world.all()));
        }
    }

    let disk = lay_out();
    merged.list(&disk, 0..1);
    disk.put(swap_path(0), &merged.segments[0].concat()[1..]);
    let before = disk.files();
    assert_eq!(corruption(open(&disk, false)).file, swap_path(0));
    assert_eq!(disk.files(), before, "whatever is there may be needed");
}

#[test]
fn a_gap_or_an_overlap_between_segments_is_refused_below_the_mark() {
    let world = World::new(&[&[2, 1], &[3], &[1, 2], &[4]]);
    let disk = world.lay_out(MarkAt::Batches(1));
    world.list(&disk, 0..1);
    disk.remove(log_path(6));
    let found = corruption(open(&disk, false));
    assert_eq!((found.file, found.reason), (log_path(6), CorruptionReason::Missing));
    let disk = world.lay_out(MarkAt::Batches(1));
    world.list(&disk, 0..1);
    disk.put(log_path(5), &batch(5, 1, 0));
    let found = corruption(open(&disk, false));
    assert_eq!(found.reason, CorruptionReason::Offset { found: 5 });
}

#[test]
fn an_epoch_that_is_not_the_known_one_is_seen() {
    let world = World::of_three();
    let disk = world.lay_out(MarkAt::Batches(1));
    let mut file = world.segments[2].concat();
    file[world.segments[2][0].len() + 15] ^= 2;
    disk.put(log_path(6), &file);
    let opened = open(&disk, false).expect("it can be cut");
    assert_eq!(opened.active.end_offset, 7);
}

#[test]
fn epochs_that_are_lost_are_at_least_the_latest() {
    let world = World::of_three();
    for damage in [&b"0\n1\n0 0\n"[..], b"", b"\xff"] {
        let disk = world.lay_out(MarkAt::Batches(2));
        disk.put(dir().join("leader-epoch-checkpoint"), damage);
        let opened = open(&disk, false).expect("nothing is lost");
        assert_eq!(opened.epochs.latest(), 1);
        assert!(opened.report.was_rebuilt);
        assert_eq!(read_all(&disk, &opened), Ok(world.all()));
    }
    let disk = world.lay_out(MarkAt::End);
    disk.put(dir().join("leader-epoch-checkpoint"), b"1\nnew\n");
    assert!(matches!(open(&disk, true), Err(OpenError::Version { found: 1, known: 0, .. })));
}

#[test]
fn what_is_no_file_is_refused_and_not_touched() {
    for name in ["mark", "segments", "00000000000000000000.log", "anything"] {
        let disk = World::of_three().lay_out(MarkAt::End);
        disk.remove(dir().join(name));
        disk.put_other(dir().join(name));
        let found = open(&disk, true).expect_err("a link");
        assert!(matches!(found, OpenError::Foreign { path, .. } if path == dir().join(name)));
    }
    let disk = World::of_three().lay_out(MarkAt::End);
    disk.create_dir(&dir().join("sub")).expect("room");
    assert!(disk.entries(dir()).expect("there").iter().any(|entry| entry.kind == EntryKind::Dir));
    assert!(matches!(open(&disk, true), Err(OpenError::Foreign { .. })));
}

/// Whichever call fails, the next opening comes to where an undisturbed one comes to.
#[test]
fn an_interrupted_recovery_can_be_done_again() {
    let world = World { log_start: 1, ..World::new(&[&[2, 1], &[3], &[1, 2], &[4, 1], &[5]]) };
    let merged = World { log_start: 1, ..World::new(&[&[2, 1, 3], &[1, 2], &[4, 1], &[5]]) };
    let lay_out = || {
        let disk = world.lay_out(MarkAt::Batches(0));
        MarkFile::create(&disk, dir(), &world.mark(2, 1)).expect("room");
        merged.list(&disk, 0..1);
        disk.put(swap_path(0), &merged.segments[0].concat());
        let mut file = world.segments[3].concat();
        *file.last_mut().expect("not empty") ^= 1;
        disk.put(log_path(9), &[file, vec![0; 100]].concat());
        disk
    };
    let undisturbed = lay_out();
    let changes = undisturbed.changes();
    let expected = open(&undisturbed, false).expect("it can be cut");
    assert_eq!(expected.active.end_offset, 13);
    let kept = read_all(&undisturbed, &expected).expect("whole");
    let changes = undisturbed.changes() - changes;
    assert!(changes > 20, "{changes}");
    for nth in 0..changes {
        let disk = lay_out();
        disk.fail_after(nth);
        assert!(matches!(open(&disk, false), Err(OpenError::Disk(_))), "{nth}");
        let disk = disk.snapshot();
        let opened = open(&disk, false).expect("it can be done again");
        assert_eq!((&opened.sealed, opened.active.end_offset), (&expected.sealed, 13), "{nth}");
        assert_eq!(read_all(&disk, &opened).as_ref(), Ok(&kept), "{nth}");
        let names = |disk: &MemoryDisk| disk.files().into_keys().collect::<Vec<_>>();
        assert_eq!(names(&disk), names(&undisturbed), "{nth}");
    }
}

/// The disk in memory behaves as the real one does, as far as recovery can tell.
#[test]
fn the_real_disk_gives_the_same() {
    let root = std::env::temp_dir().join(format!("anabranch-recovery-{}", std::process::id()));
    let world = World::new(&[&[2, 1], &[3], &[1, 2], &[4]]);
    let memory = world.lay_out(MarkAt::Batches(0));
    MarkFile::create(&memory, dir(), &world.mark(1, 0)).expect("room");
    world.list(&memory, 0..1);
    let mut file = world.segments[3].concat();
    file.truncate(40);
    memory.put(log_path(9), &file);
    let real = root.join(dir());
    std::fs::create_dir_all(&real).expect("room");
    for (path, bytes) in memory.files() {
        std::fs::write(root.join(path), bytes).expect("room");
    }
    let expected = open(&memory, false).expect("it can be cut");
    let disk: Arc<dyn Disk> = Arc::new(crate::log::disk::FileDisk);
    let opened = recover(&disk, &real, &partition(), false).expect("it can be cut");
    assert_eq!((&opened.sealed, &opened.report), (&expected.sealed, &expected.report));
    let files = memory.files();
    assert_eq!(std::fs::read_dir(&real).expect("there").count(), files.len());
    for (path, bytes) in files {
        assert_eq!(std::fs::read(root.join(&path)).expect("there"), bytes, "{}", path.display());
    }
    std::fs::remove_dir_all(&root).expect("it is ours");
}
