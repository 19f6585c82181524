//! Damage and refusals: nothing comes of them, and the log's own files stay as they are.

use super::support::{DIR, Log, path, settings};
use super::*;
use crate::error::CorruptionReason;

/// Two clean segments and two dirty ones, of 2 batches each.
fn log() -> Log {
    let mut log = Log::new();
    let settings = CompactionSettings { segment_bytes: 1, ..settings() };
    for round in 0..2 {
        for batches in [["a b c", "d -e f"], ["a g", "h -e . i"]] {
            batches.iter().for_each(|records| log.send(records));
            log.seal();
        }
        if round == 0 {
            let _ = log.compact(settings);
        }
    }
    log
}

fn compacted(log: &Log) -> Result<Compacted, CompactionError> {
    let plan = log.plan(&settings()).expect("there is something to clean");
    compact(&log.disk, Path::new(DIR), plan, settings(), Timestamp::from_millis(log.now))
}

fn has_swap_files(log: &Log) -> bool {
    log.disk.files().keys().any(|path| path.extension().is_some_and(|suffix| suffix == "swap"))
}

/// Each bit of each segment: the checksum of the whole file notices what a batch's own does not.
#[test]
fn a_flipped_bit_is_refused() {
    let log = log();
    assert!(compacted(&log.copy()).is_ok());
    for segment in &log.sealed {
        let bytes = log.file(segment);
        let name = path(segment.base_offset, FileKind::Log);
        for bit in 0..bytes.len() * 8 {
            let log = log.copy();
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            log.disk.put(&name, &flipped);
            match compacted(&log) {
                Err(CompactionError::Corrupt(found)) => assert_eq!(found.file, name),
                other => panic!("{name:?} bit {bit}: {other:?}"),
            }
            assert!(!has_swap_files(&log));
        }
    }
}

#[test]
fn a_file_of_another_length_is_refused() {
    let log = log();
    let segment = &log.sealed[1];
    let bytes = log.file(segment);
    let name = path(segment.base_offset, FileKind::Log);
    let stored = segment.bytes;
    for found in (0..stored).chain([stored + 1]) {
        let log = log.copy();
        let mut other = bytes.clone();
        other.resize(usize::try_from(found).expect("a small file"), 0);
        log.disk.put(&name, &other);
        let Err(CompactionError::Corrupt(corruption)) = compacted(&log) else { panic!("{found}") };
        assert_eq!(corruption.reason, CorruptionReason::FileBytes { stored, found });
        assert!(!has_swap_files(&log));
    }
    log.disk.remove(&name);
    let Err(CompactionError::Corrupt(corruption)) = compacted(&log) else { panic!("missing") };
    assert_eq!(corruption.reason, CorruptionReason::Missing);
}

/// Facts that do not fit the records: a start, an end, gaps that must not be.
#[test]
fn offsets_that_were_not_sealed_are_refused() {
    let log = log();
    let last = log.sealed.len() - 1;
    let refused = |spoil: fn(&mut SegmentFacts)| {
        let mut log = log.copy();
        spoil(&mut log.sealed[last]);
        let Err(CompactionError::Corrupt(corruption)) = compacted(&log) else { panic!("accepted") };
        corruption.reason
    };
    let base_offset = log.sealed[last].base_offset;
    assert_eq!(
        refused(|facts| facts.end_offset -= 1),
        CorruptionReason::Offset { found: base_offset + 2 }
    );
    assert!(matches!(refused(|facts| facts.end_offset += 1), CorruptionReason::SmallFile { .. }));
    let mut log = log.copy();
    let gaps = log.sealed.iter().position(|s| s.is_compacted && !log.file(s).is_empty()).unwrap();
    log.sealed[gaps].is_compacted = false;
    assert!(matches!(compacted(&log), Err(CompactionError::Corrupt(_))));
}

/// The nth change on the disk and all after it fail, for every n, with short transfers throughout.
#[test]
fn a_disk_that_fails_leaves_the_log_as_it_was() {
    let log = log();
    let mut failures = 0;
    for count in 0.. {
        let log = log.copy();
        log.disk.transfer_at_most(100);
        log.disk.fail_after(count);
        match compacted(&log) {
            Ok(_) => break,
            Err(CompactionError::Disk(_)) => failures += 1,
            Err(error) => panic!("{error:?}"),
        }
        log.check().unwrap();
    }
    assert!(failures > 5);
}

#[test]
fn what_was_written_is_synced_with_its_name() {
    let mut log = log();
    let (disk, now) = (log.disk.clone(), Timestamp::from_millis(log.now));
    let before = disk.files();
    let plan = log.plan(&settings()).expect("there is something to clean");
    let compacted = compact(&disk, Path::new(DIR), plan, settings(), now).expect("the disk works");
    // The log's own files are not touched; those that are new are all there.
    assert!(before.iter().all(|(path, bytes)| disk.get(path).as_ref() == Some(bytes)));
    let new: usize = compacted.replacements.iter().map(|r| r.segments.len()).sum();
    assert_eq!(disk.files().len(), before.len() + new);
    let covered = log.covered();
    for replacement in &compacted.replacements {
        log.put_in_place(replacement, &settings(), &covered);
    }
    log.check().unwrap();
}
