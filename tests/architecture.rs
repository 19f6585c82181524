//! The house keeps its shape: floors, addresses, limits and words, read from the sources.
//!
//! Each rule is a function from sources to the places that break it, and each test first shows that
//! the rule sees a planted violation. A new exception goes into one of the tables below, with its
//! reason, where everybody sees it.
//!
//! ```text
//!  5  ext/
//!  4  broker/
//!  3  producer/   group/           strangers to each other
//!  2  topic/      format
//!  1  log/
//!  0  ids  record  error  clock  sync      of these only `ids` is imported by its neighbours
//! ```

#[path = "architecture/source.rs"]
mod source;

use source::{Path, Source, files_below, read};

/// The floors from the ground up. A file imports from below and from its own folder.
const FLOORS: &[&[&str]] = &[
    &["ids", "record", "error", "clock", "sync"],
    &["log"],
    &["topic", "format"],
    &["producer", "group"],
    &["broker"],
    &["ext"],
];

/// The one module that others on its floor may import: it imports nothing itself.
const GROUND: &str = "ids";

/// What users get for their tests, which test code on every floor may use as they do. It is not
/// there in the builds that the floors are about.
const TEST_TOOLS: &str = "testing";

/// Things that have one address, and what makes an exception to it. Test code is free to use them.
const ADDRESSES: &[Address] = &[
    Address {
        what: &["std::fs"],
        at: &["src/log/disk.rs"],
        because: "file access goes through the `Disk` seam, where crash tests stand",
    },
    Address {
        what: &["parking_lot", "crossbeam", "crossbeam_utils", "crossbeam_channel"],
        at: &["src/sync.rs", "src/sync/"],
        because: "loom and shuttle stand in for locks in `sync`",
    },
    Address {
        what: &[
            "std::sync::atomic",
            "core::sync::atomic",
            "std::sync::Mutex",
            "std::sync::RwLock",
            "std::sync::Condvar",
            "std::sync::*",
        ],
        at: &[
            "src/sync.rs",
            "src/sync/",
            // ManualClock is moved by tests, not raced by the data path; models need no say in it.
            "src/clock.rs",
            // The table of topic names is a static, which models cannot have; it orders nothing.
            "src/ids.rs",
        ],
        because: "loom and shuttle stand in for locks and atomics in `sync`",
    },
    Address {
        what: &["loom", "shuttle"],
        at: &[
            "src/sync.rs",
            "src/sync/",
            // Raw memory is what loom has to watch: its cells stand beside the bytes.
            "src/log/chunk.rs",
        ],
        because: "the rest of the crate does not know what it runs on",
    },
    Address {
        what: &["Instant::now", "SystemTime::now"],
        at: &["src/clock.rs"],
        because: "time is a parameter",
    },
    Address {
        what: &["thread::spawn", "thread::Builder", "thread::scope"],
        at: &["src/broker/housekeeping.rs"],
        because: "no thread is spawned behind the user's back",
    },
    Address {
        what: &["crc_fast"],
        at: &["src/log/batch.rs", "src/log/batch/"],
        because: "CRC-32C belongs to the batch format",
    },
    Address {
        what: &["crc32fast"],
        at: &[
            "src/log/mark.rs",
            "src/log/index.rs",
            // librdkafka's partitioner chooses by this hash.
            "src/producer/partitioner.rs",
            "src/producer/partitioner/",
        ],
        because: "CRC-32 covers what Kafka's batch checksum leaves out",
    },
    Address {
        what: &["ahash"],
        at: &["src/ids.rs"],
        because: "its output is not stable; everybody else uses the `Map` alias",
    },
    Address {
        what: &["thiserror"],
        at: &["src/error/"],
        because: "errors are defined in one place",
    },
    Address {
        what: &["rustix"],
        at: &["src/clock.rs", "src/log/chunk.rs", "src/sync/"],
        because: "it is there for the coarse clock, huge pages and futexes alone",
    },
];

/// What the default build depends on, with the condition where there is one.
const DEPENDENCIES: &[&str] = &[
    "ahash",
    "bytes",
    "crc-fast",
    "crc32fast",
    "crossbeam",
    "loom if cfg(loom)",
    "parking_lot",
    "rustix if cfg(target_os = \"linux\")",
    "shuttle if cfg(shuttle)",
    "thiserror",
];

/// Words that do not belong in the project: places of one machine, and work left undone.
const FORBIDDEN: &[&str] =
    &["/work/", "/root/", "/tmp/", "todo!", "unimplemented!", "FIXME", "XXX"];

/// The longest a file may be.
const LINES_MAX: usize = 600;

struct Address {
    what: &'static [&'static str],
    /// Files, or folders with a trailing `/`.
    at: &'static [&'static str],
    because: &'static str,
}

/// Shows that `rule` sees what is wrong with `planted`, then that the project keeps it.
#[track_caller]
fn keeps(rule: impl Fn(&Source) -> Vec<String>, sources: &[Source], planted: &[(&str, &str)]) {
    for (file, text) in planted {
        assert!(!rule(&Source::new(file, text)).is_empty(), "not seen in {file}: {text}");
    }
    assert!(!sources.is_empty(), "nothing was read");
    let broken: Vec<String> = sources.iter().flat_map(rule).collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

fn src() -> Vec<Source> {
    Source::all_below("src")
}

/// Everything that is compiled by `cargo test` and `cargo bench`, and the peer benchmarks.
fn all_rust() -> Vec<Source> {
    ["src", "tests", "examples", "benches"].iter().flat_map(|at| Source::all_below(at)).collect()
}

fn is_at(file: &str, places: &[&str]) -> bool {
    places.iter().any(|place| file == *place || place.ends_with('/') && file.starts_with(place))
}

/// The module directly below the root to which a file belongs; none for `lib.rs`.
fn house_of(file: &str) -> Option<&str> {
    let below = file.strip_prefix("src/")?;
    let name = below.split('/').next()?.trim_end_matches(".rs");
    (name != "lib").then_some(name)
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// The module below the root that a path of a file leads to, if it leaves its own folder.
fn target<'a>(file: &str, path: &'a Path) -> Option<&'a str> {
    let mut segments = path.segments.iter().map(String::as_str);
    if path.segments[0] == "crate" {
        return segments.nth(1);
    }
    let ups = path.segments.iter().filter(|s| *s != "self").take_while(|s| *s == "super").count();
    let depth = file.trim_end_matches("/mod.rs").matches('/').count() + path.inline_mods;
    if ups == 0 || ups < depth {
        return None;
    }
    segments.find(|s| *s != "self" && *s != "super")
}

fn broken_floors(source: &Source) -> Vec<String> {
    let Some(house) = house_of(&source.file) else { return Vec::new() };
    let Some(own) = floor_of(house) else {
        return vec![format!("{}: {house} has no floor", source.file)];
    };
    let may_import = |to: &str| match floor_of(to) {
        _ if to == house => true,
        Some(floor) => floor < own || own == 0 && to == GROUND,
        // What the root exports, which only an extension may use: it stands where users stand.
        None => own == FLOORS.len() - 1,
    };
    let paths = source.paths.iter().filter_map(|path| Some((path, target(&source.file, path)?)));
    paths
        .filter(|(path, to)| !(may_import(to) || path.is_test && *to == TEST_TOOLS))
        .map(|(path, to)| {
            let why = match floor_of(to) {
                Some(floor) => format!("{to} is on floor {floor}, {house} on floor {own}"),
                None => "name the module it is defined in".to_owned(),
            };
            format!("{}:{}: {}: {why}", source.file, path.line, path.segments.join("::"))
        })
        .collect()
}

fn broken_addresses(source: &Source) -> Vec<String> {
    let mut broken = Vec::new();
    for address in ADDRESSES.iter().filter(|address| !is_at(&source.file, address.at)) {
        for path in source.paths.iter().filter(|path| !path.is_test) {
            let is_meant = |what: &&str| match what.split_once("::") {
                Some(("std" | "core", _)) | None => path.starts_with(what),
                Some(_) => path.contains(what),
            };
            if address.what.iter().any(is_meant) {
                let (path, line) = (path.segments.join("::"), path.line);
                let (at, because) = (address.at[0], address.because);
                broken.push(format!("{}:{line}: {path} belongs in {at}: {because}", source.file));
            }
        }
    }
    broken
}

fn unsafe_words(source: &Source) -> Vec<String> {
    if source.file == "src/log/chunk.rs" {
        return Vec::new();
    }
    let words = source.tokens.iter().filter(|token| token.text == "unsafe");
    words.map(|word| format!("{}:{}: unsafe", source.file, word.line)).collect()
}

fn excess_lines(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let excess = (lines > LINES_MAX).then(|| format!("{}: {lines} lines", source.file));
    excess.into_iter().collect()
}

fn missing_headers(source: &Source) -> Vec<String> {
    let is_missing = !source.text.starts_with("//! ");
    is_missing.then(|| format!("{}: does not open with //!", source.file)).into_iter().collect()
}

fn unexplained_ignores(source: &Source) -> Vec<String> {
    let words: Vec<&str> = source.tokens.iter().map(|token| token.text.as_str()).collect();
    let at = words.windows(4).position(|window| window == ["#", "[", "ignore", "]"]);
    at.map(|at| format!("{}:{}: ignore = \"why?\"", source.file, source.tokens[at].line))
        .into_iter()
        .collect()
}

/// The dependencies that a build without features takes, with their conditions, sorted.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut section = String::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']').to_owned();
        }
        let target = section.strip_prefix("target.").and_then(|s| s.rsplit_once(".dependencies"));
        let (condition, table) = match target {
            Some((condition, table)) => (format!(" if {}", condition.trim_matches('\'')), table),
            None => match section.strip_prefix("dependencies") {
                Some(table) => (String::new(), table),
                None => continue,
            },
        };
        match (table.strip_prefix('.'), line.split_once('=')) {
            (Some(name), _) if line.starts_with('[') => found.push(format!("{name}{condition}")),
            (Some(_), Some((key, value))) if key.trim() == "optional" && value.trim() == "true" => {
                found.pop();
            }
            (None, Some((name, value)))
                if !line.starts_with(['[', '#']) && !value.contains("optional = true") =>
            {
                found.push(format!("{}{condition}", name.trim()));
            }
            _ => {}
        }
    }
    found.sort();
    found
}

/// Where a text says what the project does not say.
fn forbidden_words(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for word in FORBIDDEN {
            // A word begins where nothing that could be part of it stands before: `src/work/` is fine.
            let is_start = |at: usize| {
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_./-".contains(c))
            };
            if line.match_indices(word).any(|(at, _)| is_start(at)) {
                found.push(format!("{file}:{}: {word}", number + 1));
            }
        }
    }
    found
}

#[test]
fn a_file_imports_only_from_floors_below() {
    let planted = [
        ("src/log/tail.rs", "use crate::topic::Topic;"),
        ("src/log/tail.rs", "fn f() { crate::topic::f() }"),
        ("src/log/batch/mod.rs", "use super::super::topic::Topic;"),
        ("src/log/mod.rs", "use super::{ids::Offset, producer};"),
        ("src/log/tail.rs", "mod tests { use super::super::super::topic::Topic; }"),
        ("src/log/tail.rs", "use crate::Topic;"),
        ("src/producer/mod.rs", "use crate::group::Consumer;"),
        ("src/group/mod.rs", "use crate::{ids::Offset, producer::Producer};"),
        ("src/error/", "use crate::record::Record;"),
        ("src/ids.rs", "use crate::error::Error;"),
        ("src/sync.rs", "use crate::clock::Clock;"),
        ("src/topic/mod.rs", "use crate::broker::Broker;"),
        ("src/attic.rs", ""),
        ("src/log/recovery.rs", "use crate::testing::SimDisk;"),
        ("src/log/recovery.rs", "#[cfg(test)] mod tests { use crate::ext::testing::SimDisk; }"),
    ];
    let allowed = [
        ("src/log/tail.rs", "use crate::log::chunk; use super::chunk; use crate::ids::Offset;"),
        ("src/log/batch/mod.rs", "use super::super::ids; pub(in crate::log) fn f() {}"),
        ("src/error/", "use crate::ids::Offset;"),
        ("src/lib.rs", "pub use crate::group::Consumer; pub use topic::Topic;"),
        ("src/ext/tokio.rs", "use crate::{Topic, partitioner::Partitioner};"),
        ("src/log/recovery.rs", "#[cfg(test)] mod tests { use crate::testing::SimDisk; }"),
        ("src/log/tail.rs", "/// [`crate::topic::Topic`]\nfn f() -> &str { \"crate::topic\" }"),
    ];
    for (file, text) in allowed {
        assert_eq!(broken_floors(&Source::new(file, text)), [""; 0], "{file}: {text}");
    }
    keeps(broken_floors, &src(), &planted);
}

#[test]
fn what_has_one_address_is_used_nowhere_else() {
    let planted = [
        ("src/broker.rs", "fn f() { std::fs::create_dir(1); }"),
        ("src/broker.rs", "use std::{fs, io};"),
        ("src/topic/mod.rs", "use parking_lot::Mutex;"),
        ("src/topic/mod.rs", "use crossbeam::utils::CachePadded;"),
        ("src/log/chunk.rs", "use std::sync::atomic::AtomicUsize;"),
        ("src/log/chunk.rs", "use std::sync::{Arc, Mutex};"),
        ("src/log/chunk.rs", "use std::sync::*;"),
        ("src/log/tail.rs", "use loom::sync::Arc;"),
        ("src/topic/mod.rs", "use std::time::Instant; fn f() { Instant::now() }"),
        ("src/topic/mod.rs", "fn f() { std::time::SystemTime::now() }"),
        ("src/broker.rs", "fn f() { std::thread::spawn(f); }"),
        ("src/broker.rs", "use std::thread::{self, Builder};"),
        ("src/log/mark.rs", "fn f() { crc_fast::checksum() }"),
        ("src/log/batch/mod.rs", "use crc32fast::Hasher;"),
        ("src/group/mod.rs", "use ahash::AHashMap;"),
        ("src/group/mod.rs", "#[derive(thiserror::Error)] enum E {}"),
        ("src/topic/mod.rs", "use rustix::mm;"),
    ];
    let allowed = [
        ("src/log/disk.rs", "use std::fs;"),
        ("src/sync/mailbox.rs", "use parking_lot::Mutex;"),
        ("src/topic/mod.rs", "use crate::sync::Mutex; use std::sync::Arc; use std::time::Instant;"),
        ("src/topic/mod.rs", "#[cfg(test)] mod tests { fn f() { std::thread::spawn(f); } }"),
    ];
    for (file, text) in allowed {
        assert_eq!(broken_addresses(&Source::new(file, text)), [""; 0], "{file}: {text}");
    }
    keeps(broken_addresses, &src(), &planted);
}

#[test]
fn unsafe_stands_only_in_the_chunk() {
    let planted =
        [("src/log/tail.rs", "fn f() { unsafe { g() } }"), ("src/ids.rs", "unsafe fn f() {}")];
    assert!(
        unsafe_words(&Source::new("src/ids.rs", "// unsafe\nconst X: &str = \"unsafe\";"))
            .is_empty()
    );
    keeps(unsafe_words, &src(), &planted);
}

#[test]
fn no_file_is_longer_than_a_sitting() {
    let long = "//!\n".repeat(LINES_MAX + 1);
    keeps(excess_lines, &all_rust(), &[("src/log/mod.rs", &long)]);
}

#[test]
fn every_file_opens_with_its_job() {
    keeps(missing_headers, &all_rust(), &[("src/log/mod.rs", "mod chunk;\n//! Too late.")]);
}

#[test]
fn a_test_is_ignored_only_with_a_reason() {
    keeps(unexplained_ignores, &all_rust(), &[("tests/x.rs", "#[test]\n#[ignore]\nfn f() {}")]);
}

#[test]
fn the_default_build_depends_on_nothing_else() {
    let planted = "[dependencies]\n# a = 1\nbytes = \"1\"\nserde = { version = \"1\", optional = true }\n\
        [dependencies.tokio]\nversion = \"1\"\n[dependencies.zstd]\noptional = true\n\
        [target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n[dev-dependencies]\nproptest = \"1\"";
    assert_eq!(dependencies(planted), ["bytes", "libc if cfg(unix)", "tokio"]);
    let manifest = read("Cargo.toml").expect("Cargo.toml is text");
    assert_eq!(dependencies(&manifest), DEPENDENCIES);
}

#[test]
fn no_text_names_a_machine_or_leaves_work_undone() {
    for planted in
        ["//! See /work/x.", "cp a /tmp/b", "path = \"/root/x\"", "todo!()", "// FIXME", "XXX"]
    {
        assert!(!forbidden_words("x", planted).is_empty(), "not seen: {planted}");
    }
    for allowed in ["std::env::temp_dir()", "src/work/x", "target/tmp/x"] {
        assert_eq!(forbidden_words("x", allowed), [""; 0], "{allowed}");
    }
    let skipped = ["target", ".git", "Cargo.lock", "tests/data", "corpus", "artifacts"];
    let files = files_below("", &skipped);
    assert!(files.iter().any(|file| file == "src/lib.rs"), "the project was not read");
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !file.starts_with("tests/architecture")) {
        found.extend(read(file).iter().flat_map(|text| forbidden_words(file, text)));
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}
