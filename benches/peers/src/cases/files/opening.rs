//! How long does it take to open many partitions that were closed?

use crate::cases::{Case, Group};
use crate::contest::{Contender, Metric, Reading, Size};
use crate::files::folder;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const CASE: Case = Case {
    group: Group::Files,
    name: "opening",
    question: "Opening 10 GiB (`--small`: 1 GiB) in 100 partitions that were closed; the names are in \
        the kernel's caches. Raw lists the folders, with the files' lengths, and reads the small \
        files.",
    contenders,
};

const PARTITIONS: u32 = 100;
const BYTES: u64 = 10 << 30;
const WANTED: Duration = Duration::from_millis(100);

const OPEN: Metric = Metric::less("ms");

fn contenders(size: &Size) -> Vec<Contender> {
    let bytes = if size.is_small { BYTES / 10 } else { BYTES };
    let bytes_each = size.count(bytes / u64::from(PARTITIONS));
    vec![
        Contender::new("anabranch open", {
            let mut filled: Option<(TempDir, u64)> = None;
            move || {
                let (dir, records) = filled.get_or_insert_with(|| {
                    let dir = folder::fresh();
                    let records =
                        crate::ours_files::fill_partitions(dir.path(), PARTITIONS, bytes_each);
                    folder::settle();
                    (dir, records)
                });
                let (took, found) = crate::ours_files::open(dir.path());
                assert_eq!(found, *records);
                millis(took)
            }
        }),
        Contender::new("what is wanted", || millis(WANTED)).wanted(OPEN, 1.0),
        Contender::new("raw list and read of the small files", {
            let mut filled: Option<TempDir> = None;
            move || {
                let dir = filled.get_or_insert_with(|| {
                    let dir = folder::fresh();
                    fill(dir.path(), bytes_each);
                    folder::settle();
                    dir
                });
                millis(list(dir.path()))
            }
        }),
    ]
}

fn millis(took: Duration) -> Vec<Reading> {
    vec![Reading::new(OPEN, took.as_secs_f64() * 1e3)]
}

/// What a closed partition looks like. The logs are holes: nobody reads them.
fn fill(dir: &Path, bytes_each: u64) {
    for id in 0..PARTITIONS {
        let partition = dir.join(format!("bench-{id}"));
        fs::create_dir(&partition).expect("a folder can be made");
        for (name, bytes) in [
            ("00000000000000000000.log", bytes_each),
            ("00000000000000000000.index", bytes_each / 4_096 * 8),
            ("00000000000000000000.timeindex", bytes_each / 4_096 * 12),
            ("mark", 1_024),
        ] {
            let file = File::create(partition.join(name)).expect("a file can be made");
            file.set_len(bytes).expect("a file can be extended");
        }
    }
}

fn list(dir: &Path) -> Duration {
    let began = Instant::now();
    let mut bytes = 0;
    for id in 0..PARTITIONS {
        let partition = dir.join(format!("bench-{id}"));
        for entry in fs::read_dir(&partition).expect("the folder is there") {
            bytes += entry.and_then(|entry| entry.metadata()).expect("the file is there").len();
        }
        assert_eq!(fs::read(partition.join("mark")).expect("the mark is there").len(), 1_024);
    }
    let took = began.elapsed();
    assert!(bytes > 0);
    took
}
