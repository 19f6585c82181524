//! What was laid out, and what becomes of it.

use super::counting::peak;
use super::forge::Place;
use anabranch::{AppendError, Broker, OpenError, Partition, ReadError, Record, Timestamp};
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

/// What opening may take besides what the files have: a piece of a file for each partition that is open,
/// and what a broker is made of.
const BUDGET_BYTES: usize = 8 << 20;
/// What a name in a directory may take.
const NAME_BYTES: usize = 400;
/// A small file is read whole, its lines are looked at, and what they say is kept.
const TIMES: usize = 6;

/// Opens, reads everything, appends and closes. Nothing of it may panic, touch what is outside, or take
/// more memory than it may; all may be refused.
fn survive(place: &Place, what: &str) -> Option<OpenError> {
    let before = place.contents_outside();
    let (bytes, names) = place.extent();
    let (opened, taken) = peak(|| catch_unwind(AssertUnwindSafe(|| place.open())));
    let opened = opened.unwrap_or_else(|_| panic!("{what}: opening panics"));
    let limit = BUDGET_BYTES + names * NAME_BYTES + TIMES * usize::try_from(bytes).unwrap();
    if std::env::var("ANABRANCH_HOSTILE").is_ok() {
        println!("{taken:>10} of memory for {bytes:>10} bytes: {}", &what[..what.len().min(60)]);
    }
    assert!(taken <= limit, "{what}: {taken} bytes of memory for {bytes} bytes, {names} names");
    let error = match opened {
        Ok(broker) => {
            let used = catch_unwind(AssertUnwindSafe(|| use_it(&broker)));
            assert!(used.is_ok(), "{what}: using it panics");
            None
        }
        Err(error) => Some(error),
    };
    assert!(place.contents_outside() == before, "{what}: something outside was touched");
    error
}

fn use_it(broker: &Broker) {
    for topic in broker.topics() {
        for partition in topic.partitions() {
            read_all(&partition);
            let appended = partition.append(&[Record::new("more").with_key("k")]);
            if partition.damage().is_some() {
                let read = partition.read(0, 1);
                assert!(matches!(read, Err(ReadError::Offline { .. })), "{read:?}");
                assert!(matches!(appended, Err(AppendError::Offline { .. })), "{appended:?}");
            }
            let _ = partition.delete_records(partition.log_start_offset().saturating_add(1));
            let _ = partition.flush();
            read_all(&partition);
        }
    }
    broker.tick();
    let _ = broker.groups();
    for topic in broker.topics() {
        if let Ok(group) = broker.consumer_group("billing").topic(&topic).build()
            && let Ok(mut member) = group.join("member")
        {
            let _ = member.poll(std::time::Duration::ZERO);
            let _ = member.commit();
        }
    }
    let _ = broker.create_topic("fresh", anabranch::TopicConfig::new());
    let _ = broker.delete_topic("keys");
    let _ = broker.close();
}

fn read_all(partition: &Partition) {
    let (start, end) = (partition.log_start_offset(), partition.high_watermark());
    for offset in [start, start.saturating_add(7), end.saturating_sub(1), end, u64::MAX] {
        let _ = partition.read(offset, 1 << 20);
    }
    for at in [i64::MIN, 0, 4_000, i64::MAX] {
        let _ = partition.offset_for_timestamp(Timestamp::from_millis(at));
    }
}

#[track_caller]
fn refused(place: &Place, what: &str) -> OpenError {
    survive(place, what).unwrap_or_else(|| panic!("{what}: it was opened"))
}

/// The directory's own files, by what a partition may have.
const FILES: [&str; 9] = [
    "LOCK",
    "manifest",
    "clean",
    "orders-0/mark",
    "orders-0/segments",
    "orders-0/leader-epoch-checkpoint",
    "orders-0/00000000000000000000.log",
    "orders-0/00000000000000000000.index",
    "__consumer_offsets-0/00000000000000000000.log",
];

pub fn planted_mistakes_are_seen() {
    let trips = |work: &dyn Fn(&Place)| {
        let place = Place::with_topics();
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        let tripped = catch_unwind(AssertUnwindSafe(|| work(&place))).is_err();
        std::panic::set_hook(hook);
        tripped
    };
    assert!(!trips(&|place| drop(survive(place, "nothing"))));
    assert!(trips(&|place| drop(refused(place, "nothing"))));
    let (_, taken) = peak(|| vec![0_u8; 9 << 20]);
    assert!(taken > BUDGET_BYTES, "memory is counted");
    let place = Place::new();
    let before = place.contents_outside();
    std::fs::remove_file(place.outside().join("inner/precious")).unwrap();
    assert!(place.contents_outside() != before, "what is outside is looked at");
}

pub fn what_is_no_file_is_refused() {
    for file in FILES {
        let place = Place::with_topics();
        let path = place.path(file);
        let _ = std::fs::remove_file(&path);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("inside"), b"x").unwrap();
        refused(&place, &format!("a directory for {file}"));

        let place = Place::with_topics();
        let path = place.path(file);
        let _ = std::fs::remove_file(&path);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        refused(&place, &format!("a pipe for {file}"));

        for target in ["/dev/zero", "/dev/full", "/proc/self/mem"] {
            let place = Place::with_topics();
            let path = place.path(file);
            let _ = std::fs::remove_file(&path);
            symlink(target, &path).unwrap();
            refused(&place, &format!("{target} for {file}"));
        }
    }
    let place = Place::with_topics();
    std::fs::remove_dir_all(place.path("orders-0")).unwrap();
    let broker = place.open().unwrap();
    let offline = broker.recovery().offline().map(|report| report.partition.to_string());
    assert_eq!(offline.collect::<Vec<_>>(), ["orders/0"]);
    drop(broker);
    assert_eq!(survive(&place, "a partition that is gone"), None);
    assert!(!place.path("orders-0").exists(), "and stays so");
    std::fs::write(place.path("orders-0"), b"x").unwrap();
    refused(&place, "a file for a partition");
    let place = Place::with_topics();
    std::fs::create_dir(place.path("orders-0/sub")).unwrap();
    assert!(matches!(refused(&place, "a directory inside"), OpenError::Foreign { .. }));
}

pub fn links_are_not_followed() {
    for file in FILES {
        for target in ["precious", "inner", "nothing"] {
            let place = Place::with_topics();
            let path = place.path(file);
            let _ = std::fs::remove_file(&path);
            symlink(place.outside().join(target), &path).unwrap();
            refused(&place, &format!("{file} is a link to {target}"));
        }
    }
    for temporary in ["manifest.tmp", "orders-0/segments.tmp", "orders-0/00000000000000000020.cut"]
    {
        let place = Place::with_topics();
        symlink(place.outside().join("precious"), place.path(temporary)).unwrap();
        survive(&place, temporary);
    }
    for dir in ["orders-0", "__consumer_offsets-0"] {
        let place = Place::with_topics();
        std::fs::remove_dir_all(place.path(dir)).unwrap();
        symlink(place.outside(), place.path(dir)).unwrap();
        let error = refused(&place, "a partition that is a link");
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");

        // Even if what it leads to is a good partition.
        let place = Place::with_topics();
        std::fs::rename(place.path(dir), place.outside().join("moved")).unwrap();
        symlink(place.outside().join("moved"), place.path(dir)).unwrap();
        let error = refused(&place, "a link to a good partition");
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    }
    // What is being deleted is deleted in this directory, and nowhere else.
    let place = Place::with_topics();
    let manifest = String::from_utf8(place.read("manifest")).unwrap();
    let lines: Vec<&str> = manifest.lines().collect();
    let listed = lines[1..lines.len() - 1].join("\n");
    place.forge("manifest", "manifest", &format!("{listed}\ndeleting gone partitions=1\n"));
    symlink(place.outside(), place.path("gone-0")).unwrap();
    let error = refused(&place, "what is being deleted is a link");
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    // Nor is a new topic made there.
    let place = Place::with_topics();
    symlink(place.outside().join("inner"), place.path("fresh-0")).unwrap();
    assert_eq!(survive(&place, "a new topic's directory is a link"), None);
    // Nor one deleted whose directory was put there while it was open.
    let place = Place::with_topics();
    let broker = place.open().unwrap();
    std::fs::rename(place.path("keys-0"), place.path("elsewhere")).unwrap();
    symlink(place.outside(), place.path("keys-0")).unwrap();
    let before = place.contents_outside();
    assert!(broker.delete_topic("keys").is_err());
    assert_eq!(place.contents_outside(), before);
}

pub fn names_and_empty_files_are_harmless() {
    let place = Place::with_topics();
    let odd = OsStr::from_bytes(b"orders-\xff");
    std::fs::create_dir(place.root().join(odd)).unwrap();
    let mut deep = place.path("deep");
    for _ in 0..200 {
        deep.push("d".repeat(10));
    }
    std::fs::create_dir_all(deep).unwrap();
    std::fs::write(place.path(&"n".repeat(255)), b"x").unwrap();
    std::fs::write(place.path("new\nline"), b"x").unwrap();
    assert_eq!(survive(&place, "odd names beside the partitions"), None);

    let place = Place::with_topics();
    std::fs::write(place.path("orders-0").join(odd), b"x").unwrap();
    assert!(matches!(refused(&place, "a name that is no text"), OpenError::Foreign { .. }));

    let place = Place::with_topics();
    for number in 0..2_000_u64 {
        std::fs::write(place.path(&format!("orders-0/{:020}.log", 1_000 + number)), b"").unwrap();
        std::fs::write(place.path(&format!("orders-0/{:020}.index", number)), b"").unwrap();
    }
    survive(&place, "thousands of empty files");

    for file in FILES {
        let place = Place::with_topics();
        place.replace(file, b"");
        survive(&place, &format!("{file} is empty"));
        std::fs::remove_file(place.path(file)).unwrap();
        survive(&place, &format!("{file} is gone"));
    }
    let place = Place::new();
    std::fs::create_dir(place.root()).unwrap();
    for name in ["orders-0", "manifest.tmp", "x"] {
        std::fs::create_dir(place.path(name)).unwrap();
    }
    survive(&place, "directories in a new one");
}

pub fn a_bad_manifest_is_refused() {
    let long = format!("topic {}\n", "n".repeat(1 << 20));
    let huge = "18446744073709551615";
    let lines = [
        "topic\n",
        "topic ../outside\n",
        "topic ..\n",
        "topic a/b\n",
        "topic orders partitions=4294967295\n",
        "topic orders partitions=100000\n",
        "topic orders partitions=0\n",
        "topic orders partitions=-1\n",
        "topic orders segment_bytes=0\n",
        "topic orders min_cleanable_ratio=NaN\n",
        "topic orders min_cleanable_ratio=1e999\n",
        "topic orders max_batch_bytes=18446744073709551615\n",
        "topic orders\ntopic orders\n",
        "topic orders\ntopic ORDERS\n",
        "topic orders \n",
        "river orders\n",
        "deleting ../outside partitions=1\n",
        "deleting .. partitions=1\n",
        "deleting / partitions=1\n",
        "\n",
        "\0\n",
        long.as_str(),
    ];
    for lines in lines {
        let place = Place::with_topics();
        place.forge("manifest", "manifest", lines);
        let shown: String = lines.chars().take(60).collect();
        refused(&place, &format!("manifest {shown:?}"));
    }
    // Settings of any size are a matter of taste.
    for setting in [
        "segment_bytes",
        "cache_bytes",
        "retention_bytes",
        "retention_time",
        "flush_interval",
        "min_compaction_lag",
        "delete_retention",
    ] {
        for value in [huge, "9223372036854775807", "0", "1"] {
            let place = Place::with_topics();
            let durability = if value.len() % 2 == 0 { "synced" } else { "written" };
            let line =
                format!("topic orders durability={durability} cleanup=both {setting}={value}\n");
            place.forge("manifest", "manifest", &line);
            survive(&place, &line);
        }
    }
    let place = Place::with_topics();
    for bytes in [&b"anabranch manifest 2\ncrc32 00000000\n"[..], b"\xff\xfe", b"\n", &[0; 4096]] {
        place.replace("manifest", bytes);
        let error = refused(&place, "a manifest that is none");
        assert!(matches!(error, OpenError::Manifest { .. }), "{error}");
    }
}

/// Offsets and lengths that may be anything from 0 to 2^64 - 1.
const NUMBERS: [u64; 10] = [
    0,
    1,
    20,
    u32::MAX as u64,
    1 << 40,
    i64::MAX as u64 - 1,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

pub fn huge_numbers_are_harmless() {
    let place = Place::with_topics();
    let mark = place.read("orders-0/mark");
    let reset = || {
        std::fs::remove_dir_all(place.root()).unwrap();
        let fresh = Place::with_topics();
        std::fs::rename(fresh.root(), place.root()).unwrap();
    };
    for field in 0..5 {
        for number in NUMBERS {
            for is_clean in [true, false] {
                reset();
                let mut numbers = [1, 0, 0, 0, 0];
                for (index, value) in numbers.iter_mut().enumerate() {
                    *value = u64::from_be_bytes(*mark[8 + index * 8..].first_chunk().unwrap());
                }
                numbers[field] = number;
                place.forge_mark("orders-0/mark", numbers, 0, (0, 0, 0));
                if !is_clean {
                    std::fs::remove_file(place.path("clean")).unwrap();
                }
                survive(&place, &format!("mark {numbers:?}, {is_clean}"));
                // And one that is of a piece: everything ends there.
                reset();
                place.forge_mark(
                    "orders-0/mark",
                    [number, number, 0, number, 0],
                    i32::MAX,
                    (0, 0, 0),
                );
                survive(&place, &format!("mark at {number}, {is_clean}"));
            }
        }
    }
    for end in NUMBERS {
        for (start, bytes) in [(0, 0), (0, end), (end.saturating_sub(1), 1), (end, end)] {
            reset();
            let lines = format!(
                "log_start {start}\nsegment {start} {end} {bytes} 00000000 00000000 {} 0\n",
                i64::MAX
            );
            place.forge("orders-0/segments", "segments", &lines);
            survive(&place, &lines);
            // With a file that has just these bytes: none.
            std::fs::write(place.path(&format!("orders-0/{start:020}.log")), b"").unwrap();
            survive(&place, &lines);
        }
        // An empty log that is to go on at the last offset there is.
        let fresh = Place::new();
        let broker = fresh.open().unwrap();
        broker.create_topic("orders", anabranch::TopicConfig::new()).unwrap();
        broker.close().unwrap();
        fresh.forge_mark("orders-0/mark", [7, end, 0, end, end], i32::MAX, (0, 0, 0));
        fresh.forge("orders-0/segments", "segments", &format!("log_start {end}\n"));
        survive(&fresh, &format!("an empty log at {end}"));
    }
    for text in [
        "0\n18446744073709551615\n0 0\n",
        "0\n1\n2147483647 0\n",
        "0\n1\n2147483647 9223372036854775807\n",
        "0\n2\n0 0\n2147483647 5\n",
        "4294967295\n",
    ] {
        reset();
        place.replace("orders-0/leader-epoch-checkpoint", text.as_bytes());
        survive(&place, text);
        std::fs::remove_file(place.path("clean")).ok();
        survive(&place, text);
    }
    // A batch whose numbers are huge, with a checksum that is right, is forged by the fuzzer.
    for (at, bytes) in
        [(0, [0x7f; 8]), (0, [0xff; 8]), (8, [0x7f; 8]), (8, [0xff; 8]), (27, [0x7f; 8])]
    {
        for is_clean in [true, false] {
            reset();
            let mut log = place.read("orders-0/00000000000000000000.log");
            log[at..at + 8].copy_from_slice(&bytes);
            place.replace("orders-0/00000000000000000000.log", &log);
            if !is_clean {
                std::fs::remove_file(place.path("clean")).unwrap();
                place.replace("orders-0/mark", &[0; 1024]);
            }
            survive(&place, &format!("a batch with {bytes:?} at {at}"));
        }
    }
}

pub fn long_files_cost_no_more_than_their_length() {
    let long = |line: &str, bytes: usize| line.repeat(bytes / line.len());
    let mut segments = String::from("log_start 0\n");
    for base in 0..100_000 {
        writeln!(segments, "segment {base} {} 0 0 0 0 0", base + 1).unwrap();
    }
    let files: [(&str, &str, String); 4] = [
        ("manifest", "manifest", long("topic a\n", 4 << 20)),
        ("orders-0/segments", "segments", segments),
        ("orders-0/segments", "segments", long("log_start 0\n", 4 << 20)),
        ("orders-0/segments", "segments", long("segment 0 1 0 0 0 0 0\n", 4 << 20)),
    ];
    for (name, kind, lines) in &files {
        let place = Place::with_topics();
        place.forge(name, kind, lines);
        survive(&place, &format!("{name} of {} bytes", lines.len()));
    }
    let mut epochs = String::from("0\n300000\n");
    (0..300_000).for_each(|epoch| writeln!(epochs, "{epoch} 0").unwrap());
    for text in [epochs, long("0 0\n", 4 << 20), long("0\n", 4 << 20)] {
        let place = Place::with_topics();
        place.replace("orders-0/leader-epoch-checkpoint", text.as_bytes());
        survive(&place, &format!("epochs of {} bytes", text.len()));
    }
    // Files with holes: long, and nothing in them.
    for name in [
        "manifest",
        "orders-0/mark",
        "orders-0/segments",
        "orders-0/leader-epoch-checkpoint",
        "orders-0/00000000000000000000.index",
        "orders-0/00000000000000000000.timeindex",
    ] {
        for bytes in [1 << 20, 80 << 20, 1 << 40] {
            let place = Place::with_topics();
            let file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(place.path(name))
                .unwrap();
            file.set_len(bytes).unwrap();
            survive(&place, &format!("{name} of {bytes} bytes"));
        }
    }
    // A log that goes on with a hole is one that was filled with zeros ahead.
    let place = Place::with_topics();
    let names = std::fs::read_dir(place.path("orders-0")).unwrap();
    let logs = names
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "log"));
    let last = logs.max().unwrap();
    std::fs::OpenOptions::new().write(true).open(last).unwrap().set_len(100 << 20).unwrap();
    std::fs::remove_file(place.path("clean")).unwrap();
    let (error, taken) = peak(|| survive(&place, "a log with a hole"));
    assert_eq!(error, None);
    assert!(taken < BUDGET_BYTES, "{taken}");
}
