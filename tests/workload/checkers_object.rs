//! Each statement's checker objects to a history that violates it, and to none that does not.

use super::history::{Commit, Description, Event, History, LookUp, Poll, Reopened, What, Who};
use super::run::CHECKS;
use super::{checks_files, checks_groups, checks_log, checks_polls};

const KEY: (u8, u32) = (0, 0);

/// One after the other: each event ends before the next begins.
fn history(events: impl IntoIterator<Item = (Who, What)>) -> History {
    let event = |(tick, (who, what)): (u64, (Who, What))| Event {
        invoked: 2 * tick,
        returned: 2 * tick + 1,
        who,
        what,
    };
    (0_u64..).zip(events).map(event).collect()
}

fn sent(offset: u64, value: u64) -> What {
    What::Sent(vec![(KEY, offset, value)])
}

fn polled(offsets: &[u64]) -> What {
    let records = offsets.iter().map(|offset| (KEY, *offset, 10 + offset)).collect();
    What::Polled(Poll { records, ..Poll::default() })
}

fn empty_poll(position: u64) -> What {
    What::Polled(Poll { watched: vec![(KEY, position)], ..Poll::default() })
}

fn log(start: u64, end: u64) -> What {
    What::Log { key: KEY, start, records: (start..end).map(|at| (at, 10 + at)).collect() }
}

fn assigned(position: u64) -> What {
    What::Assigned(vec![(KEY, Some(position), Some(position))])
}

fn committed(offset: u64) -> Commit {
    let (offsets, ends) = (vec![(KEY, offset)], vec![(KEY, 9)]);
    Commit {
        is_ok: true,
        is_unknown: false,
        offsets,
        ends,
        held: Some(vec![KEY]),
        goes_back: false,
    }
}

fn described(is_stable: bool, owners: &[&str]) -> What {
    let held = owners.iter().map(|owner| ((*owner).to_owned(), vec![KEY])).collect();
    What::Described(Description { is_stable, held, wanted: vec![KEY] })
}

/// A life of two members in which all is as it should be.
fn good() -> History {
    history([
        (1, sent(0, 10)),
        (1, sent(1, 11)),
        (1, What::SendFailed(vec![99])),
        (7, assigned(0)),
        (7, described(true, &["seven"])),
        (7, polled(&[0, 1])),
        (7, empty_poll(2)),
        (7, What::Committed(committed(2))),
        (7, What::Sought(KEY, Some(1))),
        (7, polled(&[1])),
        (7, What::Committed(Commit { goes_back: true, ..committed(1) })),
        (7, What::Committed(Commit { is_ok: false, held: None, ..committed(5) })),
        (7, What::Revoked(vec![KEY])),
        (7, described(false, &[])),
        (8, assigned(1)),
        (8, polled(&[1])),
        (1, sent(2, 12)),
        (8, polled(&[2])),
        (8, What::Memory { bytes: 5, limit: 5 }),
        (8, What::Woken { millis: 30 }),
        found(Reopened { committed: Some(1), ..reopened(true, 0..3) }),
        (99, What::OpenedClean { is_changed: false }),
        (99, log(0, 3)),
    ])
}

#[test]
fn a_good_history_meets_with_no_objection() {
    for (name, check) in CHECKS {
        assert_eq!(check(&good()), [""; 0], "{name}");
    }
}

#[track_caller]
fn objects(check: fn(&History) -> Vec<String>, events: impl IntoIterator<Item = (Who, What)>) {
    let objections = check(&history(events));
    assert!(!objections.is_empty(), "no objection");
}

#[test]
fn two_values_at_one_offset() {
    objects(checks_log::inconsistent_offsets, [(1, sent(0, 10)), (1, sent(0, 11))]);
    objects(checks_log::inconsistent_offsets, [(1, sent(1, 10)), (7, polled(&[1]))]);
}

#[test]
fn one_value_at_two_offsets() {
    objects(checks_log::duplicates, [(1, sent(3, 10)), (7, polled(&[0]))]);
}

#[test]
fn a_failed_value_that_was_read() {
    let failed = What::SendFailed(vec![10]);
    objects(checks_log::failed_but_read, [(1, failed), (7, polled(&[0]))]);
}

#[test]
fn an_acknowledged_value_that_nobody_reads() {
    let gap = || [(1, sent(0, 10)), (1, sent(1, 11)), (7, polled(&[1]))];
    objects(checks_log::lost_writes, gap());
    objects(checks_log::unseen, gap());
    objects(checks_log::unseen, [(1, sent(0, 10))]);
    // Retention excuses what is below the start, and nothing else.
    let excused = history([(1, sent(0, 10)), (1, sent(1, 11)), (99, log(1, 2))]);
    assert_eq!(checks_log::lost_writes(&excused), [""; 0]);
    assert_eq!(checks_log::unseen(&excused), [""; 0]);
}

#[test]
fn a_poll_that_skips_or_goes_back() {
    objects(checks_polls::poll_order, [(7, assigned(0)), (7, polled(&[1]))]);
    objects(checks_polls::poll_order, [(7, polled(&[0])), (7, polled(&[0]))]);
    objects(checks_polls::poll_order, [(7, polled(&[0, 2]))]);
    objects(checks_polls::poll_order, [(7, polled(&[1, 0]))]);
    objects(checks_polls::poll_order, [(7, What::Sought(KEY, Some(4))), (7, polled(&[3]))]);
    // What the poll says is gone is excused, to the record.
    let after_loss = |lost| {
        let poll = Poll { lost: vec![(KEY, lost)], records: vec![(KEY, 5, 15)], ..Poll::default() };
        checks_polls::poll_order(&history([(7, assigned(2)), (7, What::Polled(poll))]))
    };
    assert_eq!(after_loss(3), [""; 0]);
    assert_ne!(after_loss(2), [""; 0]);
    // They may have gone before a seek, or behind it.
    let after_seek = |to| {
        let poll = Poll { lost: vec![(KEY, 3)], records: vec![(KEY, 5, 15)], ..Poll::default() };
        let sought = What::Sought(KEY, Some(to));
        checks_polls::poll_order(&history([(7, assigned(2)), (7, sought), (7, What::Polled(poll))]))
    };
    assert_eq!([after_seek(5), after_seek(2)], [[""; 0]; 2]);
    assert_ne!(after_seek(4), [""; 0]);
}

#[test]
fn a_producer_whose_later_value_comes_first() {
    objects(checks_log::nonmonotonic_sends, [(1, sent(1, 10)), (1, sent(0, 11))]);
    let within = What::Sent(vec![(KEY, 1, 10), (KEY, 0, 11)]);
    objects(checks_log::nonmonotonic_sends, [(1, within)]);
}

#[test]
fn a_poll_that_misses_what_was_acknowledged_before_it() {
    objects(checks_polls::real_time_lag, [(1, sent(0, 10)), (7, empty_poll(0))]);
    // What is acknowledged during the poll may be missed.
    let mut concurrent = history([(1, sent(0, 10)), (7, empty_poll(0))]);
    concurrent[1].invoked = 0;
    assert_eq!(checks_polls::real_time_lag(&concurrent), [""; 0]);
}

#[test]
fn a_commit_that_goes_back_or_beyond() {
    let commit = |offset| (7, What::Committed(committed(offset)));
    objects(checks_groups::committed_offsets, [commit(5), commit(4)]);
    objects(checks_groups::committed_offsets, [commit(10)]);
    // Who holds it may have gone back, and an auto-commit may have told the group; a reader of its own cannot.
    let with_seek = |who, to| {
        let sought = (who, What::Sought(KEY, Some(to)));
        history([(7, assigned(0)), commit(5), sought, commit(4)])
    };
    assert_eq!(checks_groups::committed_offsets(&with_seek(7, 3)), [""; 0]);
    assert_ne!(checks_groups::committed_offsets(&with_seek(7, 5)), [""; 0]);
    assert_ne!(checks_groups::committed_offsets(&with_seek(8, 3)), [""; 0]);
    let mut concurrent = history([commit(5), commit(4)]);
    concurrent[1].invoked = 0;
    assert_eq!(checks_groups::committed_offsets(&concurrent), [""; 0]);
    // Another goes back while the higher one is under way, and is noted first.
    let backward = || (8, What::Committed(Commit { goes_back: true, ..committed(3) }));
    let mut noted_late = history([backward(), commit(5), commit(4)]);
    assert_ne!(checks_groups::committed_offsets(&noted_late), [""; 0]);
    noted_late[1].invoked = 0;
    assert_eq!(checks_groups::committed_offsets(&noted_late), [""; 0]);
}

#[test]
fn a_partition_that_starts_elsewhere_than_committed() {
    let elsewhere = What::Assigned(vec![(KEY, Some(0), Some(5))]);
    objects(checks_groups::start_positions, [(7, elsewhere)]);
}

#[test]
fn a_record_that_was_committed_and_never_returned() {
    let commit = (7, What::Committed(committed(2)));
    objects(checks_groups::delivery, [(7, polled(&[1])), commit.clone()]);
    let gone = history([(7, polled(&[1])), commit, (99, log(1, 2))]);
    assert_eq!(checks_groups::delivery(&gone), [""; 0]);
}

#[test]
fn a_commit_of_who_is_no_member_or_does_not_hold_it() {
    for held in [None, Some(Vec::new()), Some(vec![(1, 1)])] {
        let commit = Commit { held, ..committed(1) };
        objects(checks_groups::fencing, [(7, What::Committed(commit))]);
    }
}

#[test]
fn a_partition_with_two_owners_or_none() {
    objects(checks_groups::owners_by_description, [(7, described(false, &["seven", "eight"]))]);
    objects(checks_groups::owners_by_description, [(7, described(true, &[]))]);
}

#[test]
fn two_members_who_were_told_the_same() {
    let revoked = |who| (who, What::Revoked(vec![KEY]));
    let both = [(7, assigned(0)), (8, assigned(0)), revoked(7), revoked(8)];
    objects(checks_groups::owners_by_events, both);
    // One that was given up is told late: what counts is when it last polled.
    let lost = || (7, What::Lost(vec![KEY]));
    let late = [(7, assigned(0)), (7, polled(&[0])), (8, assigned(0)), lost(), revoked(8)];
    assert_eq!(checks_groups::owners_by_events(&history(late)), [""; 0]);
    let early = [(7, assigned(0)), (8, assigned(0)), (7, polled(&[0])), lost(), revoked(8)];
    objects(checks_groups::owners_by_events, early);
    let crash = [(7, assigned(0)), (8, assigned(0)), (7, polled(&[0])), (7, What::Crashed)];
    objects(checks_groups::owners_by_events, crash.into_iter().chain([revoked(8)]));
}

fn reopened(is_covered: bool, offsets: std::ops::Range<u64>) -> Reopened {
    let records = offsets.map(|offset| (offset, 10 + offset)).collect();
    let (key, are_commits_covered, epoch_before) = (KEY, is_covered, Some(3));
    Reopened { key, is_covered, are_commits_covered, records, epoch_before, ..Reopened::default() }
}

fn found(reopened: Reopened) -> (Who, What) {
    (99, What::Reopened(reopened))
}

#[test]
fn a_durable_record_that_a_crash_took_or_changed() {
    let sends = || [(1, sent(0, 10)), (1, sent(1, 11))];
    let lost = |is_covered| sends().into_iter().chain([found(reopened(is_covered, 0..1))]);
    objects(checks_files::durable_acknowledgements, lost(true));
    // Who was not promised more may lose the end, but not find something else.
    assert_eq!(checks_files::durable_acknowledgements(&history(lost(false))), [""; 0]);
    let records = vec![(0, 77)];
    let other = found(Reopened { records, ..reopened(false, 0..0) });
    objects(checks_files::durable_acknowledgements, sends().into_iter().chain([other]));
}

#[test]
fn what_a_crash_may_take_is_not_missed() {
    let commit = (7, What::Committed(committed(2)));
    let events = || [(1, sent(0, 10)), (1, sent(1, 11)), (7, polled(&[0, 1])), commit.clone()];
    let after = [found(reopened(false, 0..1)), (1, sent(1, 21))];
    let all = history(events().into_iter().chain(after));
    assert_ne!(checks_log::inconsistent_offsets(&all), [""; 0]);
    let kept = checks_files::without_what_was_lost(&all);
    assert_eq!(checks_log::inconsistent_offsets(&kept), [""; 0]);
    // A crash that the topic's durability covers excuses nothing.
    let after = [found(reopened(true, 0..1)), (1, sent(1, 21))];
    let kept = checks_files::without_what_was_lost(&history(events().into_iter().chain(after)));
    assert_ne!(checks_log::inconsistent_offsets(&kept), [""; 0]);
}

#[test]
fn a_hole() {
    let records = vec![(0, 10), (2, 12)];
    objects(checks_files::prefix, [found(Reopened { records, ..reopened(true, 0..0) })]);
}

#[test]
fn an_offset_that_is_given_again_in_the_old_epoch() {
    let again = |epoch| {
        let later = Reopened { epochs: vec![(0, 3), (1, epoch)], ..reopened(true, 0..2) };
        let sends = [(1, sent(0, 10)), (1, sent(1, 11))];
        sends.into_iter().chain([found(reopened(false, 0..1)), (1, sent(1, 21)), found(later)])
    };
    objects(checks_files::silent_reuse, again(3));
    assert_eq!(checks_files::silent_reuse(&history(again(4))), [""; 0]);
}

#[test]
fn a_durable_commit_that_a_crash_took() {
    let commit = || (7, What::Committed(committed(5)));
    let refused = Commit { is_ok: false, is_unknown: true, ..committed(6) };
    let after = |is_covered| found(Reopened { committed: Some(4), ..reopened(is_covered, 0..9) });
    objects(checks_files::durable_commits, [commit(), after(true)]);
    let excused = history([commit(), after(false)]);
    assert_eq!(checks_files::durable_commits(&excused), [""; 0]);
    let unknown = history([commit(), (7, What::Committed(refused)), after(true)]);
    assert_eq!(checks_files::durable_commits(&unknown), [""; 0]);
}

#[test]
fn an_index_that_leads_elsewhere() {
    let looked = LookUp { key: KEY, by_index: Some(3), by_scan: Some(2) };
    objects(checks_files::index_is_scan, [(99, What::LookedUp(looked))]);
}

#[test]
fn a_read_below_the_start_that_is_answered() {
    let answered = What::ReadBelow { key: KEY, is_refused: false };
    objects(checks_files::reads_below_the_start, [(99, answered)]);
}

#[test]
fn a_newest_value_that_is_gone_or_has_moved() {
    let kept = |offset, value| (99, What::Kept { key: 1, offset, value });
    let found = |is_covered, records: &[(u64, u64, u64)]| {
        (99, What::Compacted { is_covered, end: 8, records: records.to_vec() })
    };
    let sends = || [kept(0, 10), kept(5, 15)];
    let after = |event| sends().into_iter().chain([event]);
    objects(checks_files::compaction, after(found(true, &[(1, 0, 10)])));
    objects(checks_files::compaction, after(found(true, &[(1, 5, 10)])));
    objects(checks_files::compaction, after(found(false, &[(1, 4, 15)])));
    objects(checks_files::compaction, after(found(true, &[(1, 5, 15), (2, 3, 9)])));
    assert_eq!(checks_files::compaction(&history(after(found(true, &[(1, 5, 15)])))), [""; 0]);
    let cut = (99, What::Compacted { is_covered: false, end: 1, records: vec![(1, 0, 10)] });
    assert_eq!(checks_files::compaction(&history(after(cut))), [""; 0]);
}

#[test]
fn a_clean_opening_that_changes_something() {
    objects(checks_files::clean_openings, [(99, What::OpenedClean { is_changed: true })]);
}

#[test]
fn memory_beyond_its_bound() {
    objects(checks_groups::bounded_memory, [(99, What::Memory { bytes: 6, limit: 5 })]);
}

#[test]
fn a_sleeper_that_nobody_woke() {
    let millis = checks_polls::WAKE_MILLIS_MAX + 1;
    objects(checks_polls::wake_ups, [(7, What::Woken { millis })]);
}
