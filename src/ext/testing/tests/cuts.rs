//! What a power cut leaves of data and names, one by one and by chance.

use super::*;

#[test]
fn synced_bytes_survive_and_others_have_each_fate() {
    let (disk, log) = with_log();
    put(&*log, &[1; 300], 0);
    log.sync_data().unwrap();
    assert_eq!(log_images(&disk), BTreeSet::from([vec![1; 300]]));
    put(&*log, &[2; 800], 300);
    let grown = |twos: usize, zeros: usize| [vec![1; 300], vec![2; twos], vec![0; zeros]].concat();
    let expected = [grown(0, 0), grown(0, 800), grown(212, 0), grown(724, 0), grown(800, 0)];
    assert_eq!(log_images(&disk), BTreeSet::from(expected));
}

#[test]
fn a_later_write_may_arrive_without_an_earlier_one() {
    let (disk, log) = with_log();
    put(&*log, b"ab", 0);
    put(&*log, b"cd", 2);
    let expected: [&[u8]; 6] = [b"", b"\0\0", b"ab", b"\0\0\0\0", b"ab\0\0", b"\0\0cd"];
    let mut expected: BTreeSet<Vec<u8>> = expected.iter().map(|bytes| bytes.to_vec()).collect();
    expected.insert(b"abcd".to_vec());
    assert_eq!(log_images(&disk), expected);
}

#[test]
fn durable_bytes_are_overwritten_or_kept_but_never_zeroed() {
    let (disk, log) = with_log();
    put(&*log, b"old old", 0);
    log.sync_data().unwrap();
    put(&*log, b"new", 0);
    let expected = [b"old old".to_vec(), b"new old".to_vec()];
    assert_eq!(log_images(&disk), BTreeSet::from(expected));
    assert_eq!(disk.power_cut(|_| Fate::Zeros).read("log").unwrap(), b"old old");
    // Beyond the end it is another matter.
    put(&*log, b"newer!", 4);
    assert_eq!(disk.power_cut(|_| Fate::Zeros).read("log").unwrap(), b"old old\0\0\0");
}

#[test]
fn a_cut_is_an_event_in_the_order_of_writes() {
    let (disk, log) = with_log();
    put(&*log, b"torn", 0);
    log.sync_data().unwrap();
    log.set_len(1).unwrap();
    put(&*log, b"wo", 1);
    let expected = ["torn", "t", "twon", "two", "t\0\0"].map(|text| text.as_bytes().to_vec());
    assert_eq!(log_images(&disk), BTreeSet::from(expected));
}

#[test]
fn replacing_a_file_empties_it_before_anything_is_written() {
    let (disk, log) = with_log();
    put(&*log, b"old", 0);
    log.sync_data().unwrap();
    open(&disk, "log", OpenMode::Replace);
    assert_eq!(log_images(&disk), BTreeSet::from([b"old".to_vec(), Vec::new()]));
}

#[test]
fn a_tear_is_at_a_sector_of_the_file() {
    let (disk, log) = with_log();
    put(&*log, &[1; 2_000], 500);
    let length = |bytes| disk.power_cut(|_| Fate::Torn { bytes }).files()[0].1;
    assert_eq!([0, 11, 12, 523, 524].map(length), [0, 0, 512, 512, 1_024]);
    assert_eq!([1_999, 2_000, 9_999].map(length), [2_048, 2_500, 2_500]);
}

#[test]
fn any_sectors_of_a_write_may_arrive() {
    let (disk, log) = with_log();
    put(&*log, &[1; 1_000], 500);
    let image = disk.power_cut(|_| Fate::Sectors { mask: 0b101 });
    let expected = [vec![0; 500], vec![1; 12], vec![0; 512], vec![1; 476]].concat();
    assert_eq!(image.read("log").unwrap(), expected);
}

#[test]
fn what_is_durable_in_an_image_stays_so_through_another_cut() {
    let (disk, log) = with_log();
    put(&*log, &[1; 700], 0);
    for image in disk.crash_images(100) {
        let held = image.contents();
        assert_eq!(image.unsynced(), 0);
        assert!(image.crash_images(100).all(|again| again.contents() == held));
    }
}

#[test]
fn a_name_comes_with_the_sync_of_its_directory_and_not_with_that_of_its_file() {
    let disk = SimDisk::new();
    let file = open(&disk, "x", OpenMode::Create);
    put(&*file, b"1", 0);
    file.sync_data().unwrap();
    assert_eq!(names(&disk), set([&[], &["x"]]));
    disk.sync_dir(Path::new(ROOT)).unwrap();
    assert_eq!(names(&disk), set([&["x"]]));
    assert_eq!(disk.power_cut(|_| Fate::Absent).read("x").unwrap(), b"1");
}

#[test]
fn a_directory_needs_a_name_too() {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("a/b")).unwrap();
    open(&disk, "a/b/x", OpenMode::Create);
    disk.sync_dir(Path::new("a/b")).unwrap();
    disk.sync_dir(Path::new("a")).unwrap();
    assert_eq!(names(&disk), set([&[], &["a/b/x"]]));
    disk.sync_dir(Path::new(ROOT)).unwrap();
    assert_eq!(names(&disk), set([&["a/b/x"]]));
}

#[test]
fn a_rename_is_one_step() {
    let (disk, log) = with_log();
    put(&*log, b"old", 0);
    log.sync_data().unwrap();
    let new = open(&disk, "new", OpenMode::Create);
    put(&*new, b"new", 0);
    new.sync_data().unwrap();
    disk.rename(Path::new("new"), Path::new("log")).unwrap();
    let found: BTreeSet<Vec<u8>> = log_images(&disk);
    assert_eq!(found, BTreeSet::from([b"old".to_vec(), b"new".to_vec()]));
    disk.sync_dir(Path::new(ROOT)).unwrap();
    assert_eq!(names(&disk), set([&["log"]]));
    assert_eq!(log_images(&disk), BTreeSet::from([b"new".to_vec()]));
}

#[test]
fn a_rename_without_a_sync_of_the_file_may_lead_to_an_empty_one() {
    let (disk, log) = with_log();
    put(&*log, b"old", 0);
    log.sync_data().unwrap();
    put(&*open(&disk, "new", OpenMode::Create), b"new", 0);
    disk.rename(Path::new("new"), Path::new("log")).unwrap();
    disk.sync_dir(Path::new(ROOT)).unwrap();
    assert!(log_images(&disk).contains(b"".as_slice()));
}

#[test]
fn a_removed_name_may_come_back_with_its_bytes() {
    let (disk, log) = with_log();
    put(&*log, b"x", 0);
    log.sync_data().unwrap();
    disk.remove_file(Path::new("log")).unwrap();
    drop(log);
    assert_eq!(names(&disk), set([&[], &["log"]]));
    assert_eq!(disk.power_cut(|_| Fate::Absent).read("log").unwrap(), b"x");
    disk.sync_dir(Path::new(ROOT)).unwrap();
    assert_eq!(names(&disk), set([&[]]));
}

#[test]
fn a_new_directory_does_not_inherit_what_the_old_one_held() {
    let disk = SimDisk::new();
    disk.write("a/x", b"old").unwrap();
    disk.remove_file(Path::new("a/x")).unwrap();
    disk.remove_dir(Path::new("a")).unwrap();
    disk.create_dir(Path::new("a")).unwrap();
    let image = disk.power_cut(|change| match change {
        Unsynced::Create { .. } => Fate::Whole,
        _ => Fate::Absent,
    });
    assert_eq!(image.files(), []);
    assert_eq!(image.entries(Path::new("a")).unwrap(), []);
}

#[test]
fn a_journal_keeps_names_in_order_across_directories() {
    let disk = SimDisk::new();
    disk.set_name_order(NameOrder::Journaled);
    disk.create_dir(Path::new("a")).unwrap();
    open(&disk, "a/x", OpenMode::Create);
    open(&disk, "y", OpenMode::Create);
    disk.remove_file(Path::new("a/x")).unwrap();
    assert_eq!(names(&disk), set([&[], &["a/x"], &["a/x", "y"], &["y"]]));
    let mut asked = 0;
    let image = disk.power_cut(|_| {
        asked += 1;
        if asked == 2 { Fate::Absent } else { Fate::Whole }
    });
    assert_eq!((asked, image.files().len()), (2, 0));
    disk.set_name_order(NameOrder::Any);
    assert!(names(&disk).contains(&vec!["y".to_owned()]));
}

#[test]
fn a_file_that_moves_takes_along_what_happened_where_it_came_from() {
    let disk = SimDisk::new();
    disk.write("a/keep", b"").unwrap();
    disk.write("b/keep", b"").unwrap();
    open(&disk, "a/x", OpenMode::Create);
    disk.rename(Path::new("a/x"), Path::new("b/x")).unwrap();
    open(&disk, "a/later", OpenMode::Create);
    disk.sync_dir(Path::new("b")).unwrap();
    let kept: &[&str] = &["a/keep", "b/keep", "b/x"];
    assert_eq!(names(&disk), set([kept, &["a/keep", "a/later", "b/keep", "b/x"]]));
}

#[test]
fn changes_that_nothing_can_lead_to_do_not_multiply_images() {
    let disk = SimDisk::new();
    disk.write("a/x", b"").unwrap();
    let file = open(&disk, "a/x", OpenMode::Write);
    put(&*file, b"123", 0);
    disk.remove_file(Path::new("a/x")).unwrap();
    disk.remove_dir(Path::new("a")).unwrap();
    assert_eq!(disk.crash_images(100).total(), 3 * 2 * 2);
    disk.sync_dir(Path::new(ROOT)).unwrap();
    assert_eq!(disk.crash_images(100).total(), 1);
    put(&*file, b"4", 3);
    assert_eq!(file.len().unwrap(), 4);
    assert_eq!(disk.crash_images(100).total(), 1);
}

#[test]
fn every_image_comes_once_and_a_limit_takes_a_sample() {
    let (disk, log) = with_log();
    for number in 0..6_u8 {
        put(&*log, &[number + 1], u64::from(number));
    }
    let all = disk.crash_images(1_000);
    assert_eq!((all.total(), all.len(), all.is_exhaustive()), (729, 729, true));
    assert_eq!(all.count(), 729);
    let few = disk.crash_images(20);
    assert!(!few.is_exhaustive());
    let few: Vec<_> = few.map(|image| image.read("log").unwrap()).collect();
    assert_eq!(few.len(), 20);
    assert_eq!((&few[0][..], &few[1][..]), (&b""[..], &[1, 2, 3, 4, 5, 6][..]));
    let again = disk.crash_images(20).map(|image| image.read("log").unwrap());
    assert!(again.eq(few));
    assert_eq!(disk.crash_images(0).count(), 0);
}

#[test]
fn more_images_than_can_be_counted_are_sampled() {
    let (disk, log) = with_log();
    for number in 0..500 {
        put(&*log, b"x", number);
    }
    let images = disk.crash_images(5);
    assert_eq!((images.total(), images.count()), (u128::MAX, 5));
}

#[test]
fn chance_is_repeatable_and_finds_all_images() {
    let (disk, log) = with_log();
    put(&*log, &[1; 700], 0);
    put(&*log, &[2; 5], 700);
    let seeded: BTreeSet<_> =
        (0..2_000).map(|seed| disk.power_cut_seeded(seed).read("log").unwrap()).collect();
    assert!(log_images(&disk).is_subset(&seeded));
    assert_eq!(disk.power_cut_seeded(7).contents(), disk.power_cut_seeded(7).contents());
}

#[test]
fn what_is_recorded_is_what_a_crash_at_that_call_leaves() {
    let scenario = |disk: &SimDisk| -> io::Result<()> {
        disk.create_dir(Path::new("d"))?;
        let file = disk.open(Path::new("d/x"), OpenMode::Create)?;
        file.write_at(b"one", 0)?;
        file.sync_data()?;
        disk.sync_dir(Path::new("d"))?;
        file.write_at(b"two", 3)?;
        disk.rename(Path::new("d/x"), Path::new("d/y"))?;
        disk.sync_dir(Path::new("d"))
    };
    let images = |disk: SimDisk| -> Vec<_> {
        disk.crash_images(1_000).map(|image| image.contents()).collect()
    };
    let recorder = SimDisk::new();
    recorder.record();
    scenario(&recorder).unwrap();
    let mut count = 0;
    for (calls, recorded) in recorder.recorded() {
        let disk = SimDisk::new();
        disk.crash_at(calls);
        assert_eq!(scenario(&disk).is_ok(), calls == recorder.calls());
        assert_eq!(disk.contents(), recorded.contents());
        assert_eq!(images(disk), images(recorded));
        count += 1;
    }
    assert_eq!(count, 9);
}

#[test]
fn disks_that_do_not_differ_have_the_same_fingerprint() {
    // However they came about: by way of other files, of other writes, of one that came and went.
    let (disk, log) = with_log();
    put(&*log, b"what is on the disk", 0);
    log.sync_data().unwrap();
    let (other, log) = with_log();
    open(&other, "x", OpenMode::Create);
    other.remove_file(Path::new("x")).unwrap();
    other.sync_dir(Path::new(ROOT)).unwrap();
    put(&*log, &[b"what is on the disk".as_slice(), &[0; 5_000], b"and more"].concat(), 0);
    log.set_len(19).unwrap();
    assert_ne!(disk.fingerprint(), other.fingerprint(), "a cut would make nothing of the other");
    log.sync_data().unwrap();
    assert_eq!(disk.fingerprint(), other.fingerprint());

    // And others have another.
    let changes: [&dyn Fn(&SimDisk); 8] = [
        &|_| {},
        &|disk| disk.flip_bit("log", 3, 0).unwrap(),
        &|disk| disk.truncate("log", 18).unwrap(),
        &|disk| disk.truncate("log", 20).unwrap(),
        &|disk| disk.write("other", b"").unwrap(),
        &|disk| disk.rename(Path::new("log"), Path::new("gol")).unwrap(),
        &|disk| disk.create_dir(Path::new("empty")).unwrap(),
        &|disk| put(&*open(disk, "log", OpenMode::Write), b"w", 0),
    ];
    let prints = changes.map(|change| {
        let image = disk.kill();
        change(&image);
        image.fingerprint()
    });
    assert_eq!(BTreeSet::from(prints).len(), changes.len());

    // Images that cannot be told apart are one: an absent write of what is there anyway.
    put(&*log, b"what", 0);
    let prints: BTreeSet<u64> = other.crash_images(9).map(|image| image.fingerprint()).collect();
    assert_eq!(prints.len(), 1);
}
