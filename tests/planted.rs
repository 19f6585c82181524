//! Planted bugs: each mistake that the files invite is made on purpose, and a named scenario finds it.
//!
//! A scenario is a few lines on a disk in memory that panic if a promise is broken. Each test runs its
//! scenario twice: as things are, when it must pass, and with the bug in place, when it must not.
//!
//! ```text
//! cargo test --features planted --test planted -- --nocapture     says what each bug breaks
//! ```
//!
//! | File | Scenarios about |
//! |---|---|
//! | `surviving.rs` | What was acknowledged and what a kill or a power cut leaves of it. |
//! | `crashing.rs` | Crashes between any two calls to the disk. |
//! | `failing.rs` | Calls that fail, and what they may leave behind. |
//! | `rotting.rs` | Bytes that changed, and files that are not what they were. |
//! | `committing.rs` | What groups commit. |

#![allow(clippy::unwrap_used, reason = "a scenario that cannot go on has failed")]

#[path = "planted/committing.rs"]
mod committing;
#[path = "planted/crashing.rs"]
mod crashing;
#[path = "planted/failing.rs"]
mod failing;
#[path = "planted/rotting.rs"]
mod rotting;
#[path = "planted/support.rs"]
mod support;
#[path = "planted/surviving.rs"]
mod surviving;

use anabranch::testing::{Bug, with_planted};
use std::panic::catch_unwind;

/// The scenario passes, and objects when the bug is there.
#[track_caller]
fn finds(bug: Bug, name: &str, scenario: fn()) {
    scenario();
    let Err(objection) = with_planted(bug, || catch_unwind(scenario)) else {
        panic!("{name} does not find {bug:?}");
    };
    let text = objection.downcast_ref::<String>().map(String::as_str);
    let text = text.or(objection.downcast_ref::<&str>().copied()).unwrap_or("an objection");
    println!("{bug:?}: {name}: {}", text.replace('\n', " "));
}

macro_rules! found {
    ($($test:ident: $bug:ident by $scenario:path;)*) => {
        $(
            #[test]
            fn $test() {
                finds(Bug::$bug, stringify!($scenario), $scenario);
            }
        )*
    };
}

found! {
    acknowledging_before_the_write: AckBeforeWrite by surviving::a_kill_keeps_what_was_acknowledged;
    writing_again_behind_a_short_write: RepeatShortWrite by surviving::a_short_write_goes_on_where_it_stopped;
    acknowledging_before_the_sync: AckBeforeSync by surviving::a_power_cut_keeps_what_was_acknowledged;
    not_syncing_the_directory: SkipDirSync by surviving::a_power_cut_keeps_what_was_acknowledged;
    not_syncing_the_name_of_a_directory: SkipRootSync by surviving::a_new_directory_is_durable;
    not_syncing_what_rolled: SkipRolledSync by surviving::a_power_cut_keeps_what_was_flushed;
    not_writing_again_what_was_found: SkipRewrite by surviving::what_is_shown_after_a_failed_sync_is_on_disk;
    keeping_the_epoch: KeepEpoch by surviving::an_offset_is_given_again_in_a_new_epoch;
    keeping_the_clean_note: KeepCleanNote by surviving::a_closed_directory_that_was_opened_and_cut_off;
    not_syncing_the_last_cut: SkipTrimSync by surviving::a_closed_directory_stays_as_it_was_closed;
    not_cutting_the_torn_tail: KeepTornTail by surviving::a_torn_tail_is_cut_and_told;

    marking_before_the_sync: MarkBeforeSync by crashing::a_log_opens_after_a_crash_anywhere;
    writing_small_files_in_place: ReplaceInPlace by crashing::a_log_opens_after_a_crash_anywhere;
    listing_a_topic_before_its_directories: ListBeforeDirs by crashing::a_log_opens_after_a_crash_anywhere;
    removing_segments_before_the_list_forgets_them: RemoveBeforeList by crashing::records_are_deleted_whole;
    blaming_a_mark_below_the_start: BlameOldMark by crashing::segments_go_in_any_order;
    swapping_before_the_list_names_it: SwapBeforeList by crashing::compaction_keeps_the_last_of_each_key;

    syncing_again_after_a_failure: RetrySync by failing::a_failed_sync_is_not_made_good_by_another;
    going_on_after_a_failed_sync: ForgetPoison by failing::a_failed_flush_is_the_last;
    leaving_half_a_write: KeepHalfWritten by failing::a_refused_write_leaves_nothing;
    keeping_a_chunk_that_was_given_up: KeepEmptyChunk by failing::a_refused_record_is_never_read;
    not_telling_who_boarded: ForgetBoarded by failing::who_comes_during_a_refused_write_is_told;
    not_taking_the_lock: SkipLock by failing::a_second_handle_is_refused;

    cutting_below_the_mark: CutBelowMark by rotting::damage_below_the_mark_is_told;
    forgetting_that_a_partition_is_damaged: SilentOffline by rotting::a_damaged_partition_says_so;
    noting_a_good_end_over_damage: NoteOverDamage by rotting::a_directory_with_damage_is_looked_at_again;
    reading_without_the_checksum: SkipReadCrc by rotting::a_flipped_bit_is_not_returned;
    trusting_an_index: TrustIndex by rotting::a_wrong_index_leads_nowhere_wrong;

    showing_a_commit_in_flight: ShowInFlight by committing::a_refused_commit_is_not_seen;
    committing_in_the_epoch_to_come: CommitComingEpoch by committing::a_group_reads_what_took_the_place_of_what_it_read;
    ending_an_epoch_behind_the_log: EndBehindLog by committing::a_group_goes_on_where_a_log_was_cut_twice;
    not_syncing_a_commit: CommitUnsynced by committing::a_power_cut_keeps_what_was_committed;
}

/// A compaction that the disk refuses half way poisons the partition: nothing can go wrong behind it.
#[test]
fn a_refused_compaction_is_finished_later() {
    crashing::a_refused_compaction_is_finished_later();
}
