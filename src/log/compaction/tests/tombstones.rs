//! What goes and what stays, case by case.

use super::support::{Log, settings};
use super::*;

#[test]
fn the_newest_record_of_each_key_stays_where_it_was() {
    let mut log = Log::new();
    log.send("a b a c");
    log.send("d b");
    log.seal();
    log.send("c e");
    log.seal();
    log.send("a");
    let compacted = log.compact(settings());
    assert_eq!(compacted.clean_end, 8);
    // The a at 8 is in the active segment, which compaction does not look at.
    assert_eq!(log.offsets(), [2, 4, 5, 6, 7, 8]);
    let rewritten = compacted.replacements[0].rewritten;
    assert_eq!((rewritten.records_in, rewritten.records_out), (8, 5));
    assert_eq!(rewritten.bytes_out, log.sealed[0].bytes);
}

#[test]
fn records_without_a_key_go() {
    let mut log = Log::new();
    log.send("a . b .");
    log.send(". .");
    log.seal();
    let compacted = log.compact(settings());
    assert_eq!(log.offsets(), [0, 2]);
    assert_eq!(compacted.replacements[0].segments[0].end_offset, 6);
}

/// Before the first pass, at it, right before the time has come, and then.
#[test]
fn a_tombstone_goes_delete_retention_after_the_first_pass_over_it() {
    let mut log = Log::new();
    log.send("a b");
    log.send("-a");
    log.seal();
    log.now += 1_000;
    let more = |log: &mut Log, wait| {
        log.now += wait;
        log.send("c");
        log.seal();
        log.compact(settings());
        log.offsets()
    };
    assert_eq!(more(&mut log, 0), [1, 2, 3]);
    assert_eq!(more(&mut log, 99), [1, 2, 4]);
    assert_eq!(more(&mut log, 1), [1, 5]);
}

/// `delete_retention` of nothing still lets one pass go over it.
#[test]
fn a_tombstone_is_not_dropped_by_the_pass_that_sees_it_first() {
    let mut log = Log::new();
    let settings = CompactionSettings { delete_retention: Duration::ZERO, ..settings() };
    log.send("a b -a");
    log.seal();
    log.compact(settings);
    assert_eq!(log.offsets(), [1, 2]);
    log.send("b");
    log.seal();
    log.compact(settings);
    assert_eq!(log.offsets(), [3]);
}

/// The a at 0 may be part of a transaction that counts; without the tombstone it would come back.
#[test]
fn a_tombstone_stays_behind_a_transaction() {
    let mut log = Log::new();
    log.append(&[(Some("a"), true), (Some("b"), true)], true);
    log.send("-a b");
    log.seal();
    for _ in 0..3 {
        log.compact(settings());
        log.now += 1_000;
        log.send("c");
        log.seal();
    }
    assert_eq!(log.offsets(), [0, 1, 2, 3, 5, 6]);
}

/// Keys of a transaction replace nothing: it may have been aborted.
#[test]
fn a_transaction_is_left_alone_and_replaces_nothing() {
    let mut log = Log::new();
    log.send("a b");
    log.append(&[(Some("a"), true), (None, true)], true);
    log.seal();
    let before = log.sealed[0].clone();
    let compacted = log.compact(settings());
    assert!(!compacted.replacements[0].has_files);
    assert_eq!(log.sealed, [SegmentFacts { is_compacted: true, ..before }]);
}

/// Room for two keys: each pass cleans one segment of two keys, and the rest stays what it was.
#[test]
fn a_full_map_cleans_what_it_reaches() {
    let mut log = Log::new();
    for pair in ["a b", "b a", "c d", "a c"] {
        log.send(pair);
    }
    log.seal();
    let settings = CompactionSettings { key_map_bytes: 260, ..settings() };
    let compacted = log.compact(settings);
    assert_eq!(compacted.clean_end, 4);
    assert_eq!(log.offsets(), [2, 3, 4, 5, 6, 7]);
    let ranges: Vec<_> = log.sealed.iter().map(|s| (s.base_offset, s.is_compacted)).collect();
    assert_eq!(ranges, [(0, true), (4, false)]);
    assert_eq!(log.compact(settings).clean_end, 6);
    assert_eq!(log.compact(settings).clean_end, 8);
    assert_eq!(log.offsets(), [2, 5, 6, 7]);
    assert_eq!(log.plan(&settings), None);
}

/// One batch has more keys than fit: it is cleaned all the same, alone.
#[test]
fn a_batch_that_fits_no_map_is_cleaned_alone() {
    let mut log = Log::new();
    log.send("a b c d a b");
    log.send("e");
    log.seal();
    let settings = CompactionSettings { key_map_bytes: 0, ..settings() };
    assert_eq!(log.compact(settings).clean_end, 6);
    assert_eq!(log.offsets(), [2, 3, 4, 5, 6]);
    assert_eq!(log.compact(settings).clean_end, 7);
}

#[test]
fn a_segment_that_loses_all_keeps_its_range() {
    let mut log = Log::new();
    log.send("a b");
    log.seal();
    log.send("a b");
    log.seal();
    let compacted = log.compact(CompactionSettings { segment_bytes: 100, ..settings() });
    assert_eq!(compacted.replacements.len(), 2);
    let empty = &log.sealed[0];
    assert_eq!((empty.base_offset, empty.end_offset, empty.bytes), (0, 2, 0));
    assert_eq!(log.offsets(), [2, 3]);
}

#[test]
fn small_neighbours_become_one_segment() {
    let mut log = Log::new();
    for key in ["a", "b", "c"] {
        log.send(key);
        log.seal();
    }
    let compacted = log.compact(settings());
    assert_eq!((compacted.replacements.len(), compacted.replacements[0].replaced.len()), (1, 3));
    assert_eq!((log.sealed.len(), log.offsets().len()), (1, 3));
}

/// A tombstone's batch grows by its delete horizon; what does not fit any more begins another file.
#[test]
fn a_segment_that_grows_is_split() {
    let mut log = Log::new();
    log.send("-a -b -c -d -e -f -g -h");
    log.send("-i -j -k -l -m -n -o -p");
    log.seal();
    let before = log.sealed[0].bytes;
    log.compact(CompactionSettings { segment_bytes: before, ..settings() });
    assert_eq!((log.sealed.len(), log.offsets().len()), (2, 16));
    assert!(log.sealed.iter().map(|segment| segment.bytes).sum::<u64>() > before);
}

/// Why replacements are put in place from the front: the b at 1 is older than the one at 3, which would
/// be called clean before the b at 1 has gone, and no pass would look for it again.
#[test]
fn a_later_replacement_put_in_place_first_is_found() {
    let mut log = Log::new();
    log.send("a b");
    log.seal();
    let settings = CompactionSettings { segment_bytes: 1, ..settings() };
    let _ = log.compact(settings);
    log.send("c b");
    log.seal();
    let disk = log.disk.clone();
    let pass = log.start(&disk, log.plan(&settings).unwrap(), settings).unwrap();
    let replacements: Vec<_> = pass.map(Result::unwrap).collect();
    assert_eq!(replacements.len(), 2);
    log.put_in_place(&replacements[1], &settings, &log.covered());
    assert!(log.check().unwrap_err().starts_with("1 of"));
    log.put_in_place(&replacements[0], &settings, &log.covered());
    log.check().unwrap();
}
