//! Each statement objects to what violates it: to observations that are wrong, and to disks that lie.

use super::images::{SHALLOW, check_image};
use super::model::{Ending, Model, Seen, Setup};
use super::world::{LIE, Lie, Op, World};
use anabranch::testing::Fate;
use anabranch::{Cleanup, Durability};

/// A log of four records, two of them acknowledged, and how it is seen when all is well.
fn good() -> (Model, Seen) {
    good_of(Setup::of(Durability::Synced))
}

fn good_of(setup: Setup) -> (Model, Seen) {
    let mut model = Model::new(setup);
    let mut sent = model.send(4, 20);
    model.acknowledge();
    let remark = model.commit();
    model.committed();
    model.delete(1);
    model.started(1);
    sent.extend(model.send(1, 20));
    let place = |at: u64| sent[usize::try_from(at).expect("five")];
    let records = (1..5_u64).map(|at| (at, place(at).key(), place(at).value()));
    let epochs = (0..5).map(|at| (at, 0)).collect();
    let commit = Some(remark);
    (model, Seen { start: 1, end: 5, records: records.collect(), commit, epochs })
}

#[track_caller]
fn objects(word: &str, spoil: impl Fn(&mut Model, &mut Seen)) {
    let (mut model, mut seen) = good();
    spoil(&mut model, &mut seen);
    let told = model.check(&seen, Ending::Cut).and_then(|()| model.check_epochs(&seen));
    let told = told.expect_err("no objection");
    assert!(told.contains(word), "{told}");
}

#[test]
fn a_good_log_meets_with_no_objection() {
    let (mut model, mut seen) = good();
    assert_eq!(model.check(&seen, Ending::Cut), Ok(()));
    assert_eq!(model.check_epochs(&seen), Ok(()));
    // What nobody was told of may be missing.
    seen.records.pop();
    seen.end = 4;
    assert_eq!(model.check(&seen, Ending::Cut), Ok(()));
}

#[test]
fn each_statement_objects() {
    objects("B3", |_, seen| {
        seen.records.truncate(2);
        seen.end = 3;
    });
    objects("B3", |_, seen| drop(seen.records.remove(1)));
    objects("B4", |_, seen| seen.records[2].2[0] ^= 1);
    objects("B4", |_, seen| seen.records[0].1.push('x'));
    objects("were sent", |_, seen| {
        let copy = seen.records[0].clone();
        seen.records.push((5, copy.1, copy.2));
        seen.end = 6;
    });
    objects("deleted records are back", |_, seen| seen.start = 0);
    objects("beyond what was deleted", |_, seen| seen.start = 2);
    objects("B6", |_, seen| seen.commit = None);
    objects("B6", |_, seen| seen.commit = Some("another".into()));
    // The last one was lost, and its offset went to another record.
    objects("B5", |model, seen| {
        model.check_epochs(seen).expect("all is well");
        seen.records.pop();
        seen.end = 4;
        model.adopt(seen, Ending::Cut);
        let sent = model.send(1, 20)[0];
        seen.records.push((4, sent.key(), sent.value()));
        seen.end = 5;
    });
}

#[test]
fn a_refused_record_that_is_there_is_objected_to() {
    objects("were sent", |model, _| model.refuse());
}

#[test]
fn compaction_that_takes_the_newest_of_a_key_is_objected_to() {
    let setup = Setup { cleanup: Cleanup::Compact, ..Setup::of(Durability::Synced) };
    let (model, mut seen) = good_of(setup);
    let old = seen.records.remove(1); // The last one has its key.
    assert_eq!(model.check(&seen, Ending::Cut), Ok(()));
    seen.records.insert(1, old);
    seen.records.remove(0);
    let told = model.check(&seen, Ending::Cut).expect_err("no objection");
    assert!(told.contains("B12"), "{told}");
}

/// Whether any image of some short histories is objected to, on a disk that lies.
fn is_caught(lie: Lie, setup: Setup) -> bool {
    use Op::{Checkpoint, Close, Commit, Delete, Roll, Small, Tick};
    let histories: [&[Op]; 6] = [
        &[Small, Small],
        &[Small, Roll, Roll, Small],
        &[Small, Commit],
        &[Roll, Roll, Roll, Delete],
        &[Roll, Roll, Roll, Delete, Close, Small],
        &[Roll, Roll, Roll, Roll, Checkpoint, Tick],
    ];
    histories.iter().any(|history| {
        LIE.set(lie);
        let mut world = World::new(&[setup]);
        let went = history.iter().all(|op| world.apply(0, *op) == Ok(None));
        LIE.set(Lie::None);
        let (models, disk) = (world.models(), world.disk.clone());
        world.abandon();
        let images = [disk.power_cut(|_| Fate::Absent), disk.power_cut(|_| Fate::Whole)];
        let chance = (0..20).map(|seed| disk.power_cut_seeded(seed));
        !went
            || images
                .into_iter()
                .chain(chance)
                .any(|image| check_image(&image, &models, Ending::Cut, SHALLOW).is_err())
    })
}

#[test]
fn a_log_that_skips_what_it_must_do_is_caught() {
    for setup in [Setup::of(Durability::Synced), Setup::compacted(Durability::Synced)] {
        assert!(!is_caught(Lie::None, setup), "an honest disk");
        for lie in [Lie::SkipsSyncs, Lie::SkipsNames, Lie::LosesTheList, Lie::MarksAhead] {
            assert!(is_caught(lie, setup), "{lie:?} of {setup:?}");
        }
    }
}
