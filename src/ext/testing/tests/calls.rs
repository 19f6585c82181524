//! Calls beside those of the real disk, killed processes, and edits past all calls.

use super::*;

/// Makes the same calls of both disks: what they answer must be the same.
#[test]
fn calls_answer_as_those_of_the_real_disk_do() {
    let dir = std::env::temp_dir().join(format!("anabranch-sim-{}", std::process::id()));
    let real = answers(&FileDisk, &dir);
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(answers(&SimDisk::new(), &dir), real);
}

fn answers(disk: &dyn Disk, dir: &Path) -> Vec<String> {
    let mut answers = Vec::new();
    let mut note = |what: &str, result: io::Result<String>| {
        answers.push(format!("{what}: {:?}", result.map_err(|error| error.kind())));
    };
    let at = |name: &str| dir.join(name);
    let list = |name: &str| {
        let mut entries = disk.entries(&at(name))?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(format!("{entries:?}"))
    };
    let unit = |result: io::Result<()>| result.map(|()| String::new());
    let open = |name: &str, mode| disk.open(&at(name), mode);
    let opened =
        |name: &str, mode| open(name, mode).and_then(|file| file.len()).map(|n| n.to_string());

    note("no parent", opened("a/x", OpenMode::Create));
    note("dirs", unit(disk.create_dir(&at("a/b"))));
    note("dirs again", unit(disk.create_dir(&at("a/b"))));
    for mode in [OpenMode::Read, OpenMode::Write, OpenMode::Create, OpenMode::Create] {
        note("open", opened("a/x", mode));
    }
    note("open dir", opened("a", OpenMode::Write));
    note("through a file", opened("a/x/y", OpenMode::Read));
    note("dir through a file", unit(disk.create_dir(&at("a/x/y"))));
    note(
        "dir over a file",
        unit(disk.create_dir(&at("a/x")).map_err(|_| io::ErrorKind::Other.into())),
    );
    let file = open("a/x", OpenMode::Write).unwrap();
    note("write", file.write_at(b"0123456789", 5).map(|n| n.to_string()));
    note("cut", unit(file.set_len(12)));
    note("extend", unit(file.set_len(20)));
    note("sync", unit(file.sync_data()));
    let mut buffer = [7; 32];
    note("read", file.read_at(&mut buffer, 3).map(|n| format!("{n} {buffer:?}")));
    note("read behind", file.read_at(&mut buffer, 20).map(|n| n.to_string()));
    note("list", list("a"));
    note("list file", list("a/x"));
    note("list nothing", list("nowhere"));
    note("rename nothing", unit(disk.rename(&at("a/z"), &at("a/y"))));
    open("a/y", OpenMode::Create).unwrap().set_len(3).unwrap();
    note("rename over", unit(disk.rename(&at("a/x"), &at("a/y"))));
    note("rename to itself", unit(disk.rename(&at("a/y"), &at("a/y"))));
    note("rename over dir", unit(disk.rename(&at("a/y"), &at("a/b"))));
    note("handle after rename", file.len().map(|n| n.to_string()));
    note("list", list("a"));
    note("remove full dir", unit(disk.remove_dir(&at("a"))));
    note("remove file as dir", unit(disk.remove_dir(&at("a/y"))));
    note("remove", unit(disk.remove_file(&at("a/y"))));
    note("remove again", unit(disk.remove_file(&at("a/y"))));
    note("handle after removal", file.write_at(b"x", 30).map(|n| n.to_string()));
    note("length after removal", file.len().map(|n| n.to_string()));
    let held = disk.lock(&at("LOCK"));
    note("lock", held.as_ref().map(|_| String::new()).map_err(|e| e.kind().into()));
    note("lock again", disk.lock(&at("LOCK")).map(|_| String::new()));
    drop(held);
    note("lock later", disk.lock(&at("LOCK")).map(|_| String::new()));
    note("sync dir", unit(disk.sync_dir(&at("a"))));
    note("replace", opened("LOCK", OpenMode::Replace));
    note("list", list(""));
    answers
}

#[test]
fn a_reader_must_not_write() {
    let (disk, log) = with_log();
    put(&*log, b"x", 0);
    let reader = open(&disk, "log", OpenMode::Read);
    assert_eq!(kind(reader.write_at(b"y", 0)), Some(io::ErrorKind::PermissionDenied));
    assert_eq!(kind(reader.set_len(0)), Some(io::ErrorKind::PermissionDenied));
    assert_eq!(disk.read("/log").unwrap(), b"x");
}

#[test]
fn a_path_does_not_lead_out_of_the_disk() {
    let disk = SimDisk::new();
    for path in ["../x", "a/../x", "", "/"] {
        assert!(disk.open(Path::new(path), OpenMode::Create).is_err(), "{path}");
    }
    let far = open(&disk, "x", OpenMode::Create);
    assert_eq!(kind(far.write_at(b"x", u64::MAX)), Some(io::ErrorKind::FileTooLarge));
    assert_eq!(kind(far.set_len(1 << 60)), Some(io::ErrorKind::FileTooLarge));
}

#[test]
fn what_is_no_file_is_listed_and_refused() {
    let disk = SimDisk::new();
    disk.write_other("data/link").unwrap();
    assert_eq!(kind(disk.write_other("data/link")), Some(io::ErrorKind::AlreadyExists));
    let link = Path::new("data/link");
    assert_eq!(disk.entries(Path::new("data")).unwrap()[0].kind, EntryKind::Other);
    assert_eq!(kind(disk.open(link, OpenMode::Replace)), Some(io::ErrorKind::InvalidInput));
    assert_eq!(kind(disk.lock(link)), Some(io::ErrorKind::InvalidInput));
    disk.remove_file(link).unwrap();
}

#[test]
fn a_killed_process_leaves_all_calls_and_no_lock() {
    let (disk, log) = with_log();
    let _held: Box<dyn DiskLock> = disk.lock(Path::new("LOCK")).unwrap();
    put(&*log, b"one", 0);
    disk.fail_call(1, Fault::Io, Times::Forever);
    let [first, second] = [disk.kill(), disk.kill()];
    first.lock(Path::new("LOCK")).unwrap();
    put(&*open(&first, "log", OpenMode::Write), b"two", 0);
    assert_eq!(first.read("log").unwrap(), b"two");
    assert_eq!(second.read("log").unwrap(), b"one");
    disk.heal();
    put(&*log, b"on", 3);
    assert_eq!(disk.read("log").unwrap(), b"oneon");
    assert_eq!(second.read("log").unwrap(), b"one");
}

#[test]
fn what_a_killed_process_did_not_sync_is_still_lost_in_a_power_cut() {
    let (disk, log) = with_log();
    put(&*log, b"x", 0);
    let image = disk.kill();
    assert_eq!(image.read("log").unwrap(), b"x");
    assert_eq!(image.power_cut(|_| Fate::Absent).read("log").unwrap(), b"");
    open(&image, "log", OpenMode::Write).sync_data().unwrap();
    assert_eq!(image.power_cut(|_| Fate::Absent).read("log").unwrap(), b"x");
}

#[test]
fn edits_are_durable_and_are_no_calls() {
    let disk = SimDisk::new();
    disk.write("a/b/x", b"abc").unwrap();
    disk.flip_bit("a/b/x", 1, 0).unwrap();
    disk.truncate("a/b/x", 2).unwrap();
    assert_eq!((disk.calls(), disk.syncs(), disk.unsynced()), (0, 0, 0));
    assert_eq!(disk.power_cut(|_| Fate::Absent).read("a/b/x").unwrap(), b"ac");
    disk.write("a/b/x", b"").unwrap();
    assert_eq!(disk.files(), [(Path::new("a/b/x").to_owned(), 0)]);
    disk.remove("a").unwrap();
    assert_eq!(disk.power_cut(|_| Fate::Absent).files(), []);
    assert_eq!(disk.crash_images(9).total(), 1);
}

#[test]
fn edits_of_what_is_not_there_are_refused() {
    let disk = SimDisk::new();
    disk.write("x", b"a").unwrap();
    assert_eq!(kind(disk.flip_bit("x", 1, 0)), Some(io::ErrorKind::UnexpectedEof));
    assert_eq!(kind(disk.flip_bit("y", 0, 0)), Some(io::ErrorKind::NotFound));
    assert_eq!(kind(disk.truncate("x", u64::MAX)), Some(io::ErrorKind::FileTooLarge));
    assert_eq!(kind(disk.remove("y")), Some(io::ErrorKind::NotFound));
    assert_eq!(kind(disk.write("x/y", b"")), Some(io::ErrorKind::NotADirectory));
    assert_eq!(kind(disk.read("")), Some(io::ErrorKind::InvalidInput));
    assert_eq!(disk.contents().len(), 1);
}

#[test]
fn everything_is_durable_once_it_is_settled() {
    let (disk, log) = with_log();
    put(&*log, b"x", 0);
    disk.fail_syncs(1, Times::Once);
    assert!(log.sync_data().is_err());
    disk.create_dir(Path::new("a/b")).unwrap();
    open(&disk, "a/b/y", OpenMode::Create);
    disk.settle();
    assert_eq!(disk.unsynced(), 0);
    assert_eq!(disk.power_cut(|_| Fate::Absent).contents(), disk.contents());
}

/// Shows what an image costs: run it in a release build with `--nocapture`.
#[test]
fn a_hundred_thousand_images_are_taken_in_passing() {
    let disk = SimDisk::new();
    for number in 0..12 {
        disk.write(format!("data/t-0/{number:020}.log"), vec![1; 3_000]).unwrap();
    }
    let log = open(&disk, "data/t-0/00000000000000000011.log", OpenMode::Write);
    for number in 0..5_u64 {
        put(&*log, &[2; 600], 3_000 + number * 600);
    }
    open(&disk, "data/t-0/x", OpenMode::Create);
    let limit = if cfg!(debug_assertions) { 2_000 } else { 100_000 };
    let started = std::time::Instant::now();
    let images = disk.crash_images(limit).count();
    let each = started.elapsed() / u32::try_from(images).unwrap();
    println!("{images} images, {each:?} each");
}
