//! Calls that fail.

use super::*;

#[test]
fn a_failed_sync_loses_bytes_though_a_second_one_says_ok() {
    let (disk, log) = with_log();
    put(&*log, b"safe", 0);
    log.sync_data().unwrap();
    put(&*log, b"lost", 4);
    disk.fail_syncs(1, Times::Once);
    assert!(log.sync_data().is_err());
    log.sync_data().unwrap();
    // Another process reads them from the page cache, syncs, and is told that all is well.
    let reopened = disk.kill();
    assert_eq!(reopened.read("log").unwrap(), b"safelost");
    open(&reopened, "log", OpenMode::Write).sync_data().unwrap();
    for disk in [&disk, &reopened] {
        assert_eq!(log_images(disk), BTreeSet::from([b"safe".to_vec()]));
    }
    // What is written later arrives; what was lost is a hole before it.
    put(&*log, b"!", 8);
    log.sync_data().unwrap();
    assert_eq!(log_images(&disk), BTreeSet::from([b"safe\0\0\0\0!".to_vec()]));
    // Written again they are as safe as any.
    put(&*open(&reopened, "log", OpenMode::Write), b"lost", 4);
    assert!(log_images(&reopened).contains(b"safe".as_slice()));
    open(&reopened, "log", OpenMode::Write).sync_data().unwrap();
    assert_eq!(log_images(&reopened), BTreeSet::from([b"safelost".to_vec()]));
}

#[test]
fn a_failed_sync_of_a_directory_leaves_its_names_waiting() {
    let disk = SimDisk::new();
    open(&disk, "x", OpenMode::Create);
    disk.fail_syncs(1, Times::Once);
    assert!(disk.sync_dir(Path::new(ROOT)).is_err());
    assert_eq!(names(&disk), set([&[], &["x"]]));
    disk.sync_dir(Path::new(ROOT)).unwrap();
    assert_eq!(names(&disk), set([&["x"]]));
}

#[test]
fn the_nth_call_fails_once_or_for_ever_and_does_nothing() {
    let (disk, log) = with_log();
    disk.fail_call(2, Fault::NoSpace, Times::Once);
    disk.fail_call(4, Fault::Io, Times::Forever);
    put(&*log, b"1", 0);
    assert_eq!(kind(log.write_at(b"2", 0)), Some(io::ErrorKind::StorageFull));
    assert_eq!(log.len().unwrap(), 1);
    assert_eq!(kind(log.set_len(0)), Some(io::ErrorKind::Other));
    assert!(log.len().is_err() && disk.entries(Path::new(ROOT)).is_err());
    assert_eq!((disk.calls(), disk.faults()), (8, 4));
    assert!(!disk.has_crashed());
    disk.heal();
    assert_eq!(disk.read("log").unwrap(), b"1");
    assert_eq!(log.len().unwrap(), 1);
}

#[test]
fn reads_and_writes_are_cut_short() {
    let (disk, log) = with_log();
    put(&*log, b"hello", 0);
    disk.fail_call(1, Fault::Short { bytes: 2 }, Times::Forever);
    let mut buffer = [0; 5];
    assert_eq!(log.read_at(&mut buffer, 0).unwrap(), 2);
    assert_eq!(log.write_at(b"HELLO", 0).unwrap(), 2);
    log.sync_data().unwrap();
    assert_eq!((disk.read("log").unwrap(), disk.faults()), (b"HEllo".to_vec(), 2));
    disk.heal();
    disk.fail_call(1, Fault::Short { bytes: 0 }, Times::Forever);
    assert_eq!(log.write_at(b"x", 0).unwrap(), 0);
    assert_eq!(log.read_at(&mut buffer, 0).unwrap(), 1, "none would be the end of the file");
}

#[test]
fn calls_behind_a_crash_fail_and_change_nothing() {
    let (disk, log) = with_log();
    put(&*log, b"x", 0);
    disk.crash_at(0);
    let calls = disk.calls();
    assert!(SimDisk::is_crash(&log.sync_data().unwrap_err()));
    assert!(SimDisk::is_crash(&disk.open(Path::new("y"), OpenMode::Create).unwrap_err()));
    assert!(!SimDisk::is_crash(&io::Error::other("else")));
    assert_eq!(disk.calls(), calls);
    // The failed sync was none: nothing was lost by it.
    let image = disk.kill();
    open(&image, "log", OpenMode::Write).sync_data().unwrap();
    assert_eq!(log_images(&image), BTreeSet::from([b"x".to_vec()]));
    disk.heal();
    log.sync_data().unwrap();
}

#[test]
fn a_full_disk_takes_what_fits() {
    let (disk, log) = with_log();
    disk.set_capacity(10);
    put(&*log, b"012345", 0);
    let other = open(&disk, "other", OpenMode::Create);
    assert_eq!(other.write_at(b"abcdef", 0).unwrap(), 4);
    assert_eq!(kind(other.write_at(b"ef", 4)), Some(io::ErrorKind::StorageFull));
    assert_eq!(kind(log.set_len(7)), Some(io::ErrorKind::StorageFull));
    assert_eq!(kind(log.write_at(b"x", 100)), Some(io::ErrorKind::StorageFull));
    put(&*log, b"5432", 2);
    assert_eq!(log.write_at(b"", 6).unwrap(), 0);
    // Space comes back when nobody has the removed file open.
    disk.remove_file(Path::new("other")).unwrap();
    assert!(log.write_at(b"x", 6).is_err());
    drop(other);
    put(&*log, b"x", 6);
    assert!(disk.kill().open(Path::new("log"), OpenMode::Write).unwrap().set_len(11).is_err());
    disk.set_capacity(u64::MAX);
    log.set_len(11).unwrap();
}
