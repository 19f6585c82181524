//! How long does a written record wait when there is other work on the same files?

use crate::cases::{Case, Group};
use crate::contest::{Contender, Metric, Reading, Size};
use crate::files::folder;
use crate::files::raw::Batches;
use crate::stats::percentile;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) const CASE: Case = Case {
    group: Group::Files,
    name: "company",
    question: "What one thread waits for each single record to be written, while the log rolls every \
        4 MiB and three others flush it every 10 ms, compact it every 20 ms, and read what is cold. \
        Raw is one positional write of the same bytes, alone and with the like of that company.",
    contenders,
};

const SENDS: u64 = 300_000;
pub(crate) const SEGMENT_BYTES: u64 = 4 << 20;
/// Records of one key replace each other.
pub(crate) const KEYS: u64 = 1_024;
const FLUSH_EVERY: Duration = Duration::from_millis(10);
const COMPACT_EVERY: Duration = Duration::from_millis(20);
const READ_EVERY: Duration = Duration::from_millis(1);
pub(crate) const READ_BYTES: usize = 64 << 10;

const P50: Metric = Metric::less("p50: µs");
const P99: Metric = Metric::less("p99: µs");
const P999: Metric = Metric::less("p99.9: µs");
const MAX: Metric = Metric::less("max: µs");

/// Who else works on the log, over and over.
pub(crate) struct Company<'a> {
    pub(crate) flush: Box<dyn FnMut() + Send + 'a>,
    pub(crate) compact: Box<dyn FnMut() + Send + 'a>,
    pub(crate) read: Box<dyn FnMut() + Send + 'a>,
}

fn contenders(size: &Size) -> Vec<Contender> {
    let sends = size.thousands(SENDS);
    vec![
        Contender::new("anabranch send", move || {
            let dir = folder::fresh();
            crate::ours_files::in_company(dir.path(), |send, company| {
                measure(sends, send, Some(company))
            })
        }),
        Contender::new("raw pwrite, in company", move || raw(sends, true)),
        Contender::new("raw pwrite, alone", move || raw(sends, false)),
    ]
}

/// Times each call of `send`, while the company keeps the log busy.
fn measure<'a>(
    sends: u64,
    mut send: impl FnMut(u64),
    company: Option<Company<'a>>,
) -> Vec<Reading> {
    let is_over = &AtomicBool::new(false);
    let mut times = Vec::with_capacity(sends as usize);
    std::thread::scope(|scope| {
        let repeat = |mut work: Box<dyn FnMut() + Send + 'a>, pause: Duration| {
            scope.spawn(move || {
                // Whoever works is seen to stop by the end of the scope.
                while !is_over.load(Ordering::Relaxed) {
                    work();
                    std::thread::sleep(pause);
                }
            });
        };
        if let Some(Company { flush, compact, read }) = company {
            repeat(flush, FLUSH_EVERY);
            repeat(compact, COMPACT_EVERY);
            repeat(read, READ_EVERY);
        }
        for i in 0..sends {
            let began = Instant::now();
            send(i);
            times.push(began.elapsed().as_nanos() as f64 / 1e3);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let shares = [(P50, 0.5), (P99, 0.99), (P999, 0.999), (MAX, 1.0)];
    shares.map(|(metric, share)| Reading::new(metric, percentile(&mut times, share))).into()
}

fn raw(sends: u64, has_company: bool) -> Vec<Reading> {
    let dir = folder::fresh();
    let batches = Batches::of(1);
    let log = RawLog { dir: dir.path().into(), segments: Mutex::default() };
    log.roll();
    let mut payloads = batches.endless();
    let (mut segment, mut position) = (log.last(), 0);
    let send = |_| {
        let batch = payloads.next().expect("there is no end of them");
        if position + batch.len() as u64 > SEGMENT_BYTES {
            log.roll();
            (segment, position) = (log.last(), 0);
        }
        segment.write_all_at(batch, position).expect("the file takes the batch");
        position += batch.len() as u64;
    };
    let (mut buffer, mut place) = (vec![0; READ_BYTES], 0);
    let company = Company {
        flush: Box::new(|| log.last().sync_data().expect("the file can be synced")),
        compact: Box::new(|| log.compact()),
        read: Box::new(|| {
            log.first().read_at(&mut buffer, place).expect("the file can be read");
            place = (place + READ_BYTES as u64) % SEGMENT_BYTES;
        }),
    };
    measure(sends, send, has_company.then_some(company))
}

/// Files one after the other, and as much as it takes to have company in them.
struct RawLog {
    dir: PathBuf,
    segments: Mutex<Vec<Arc<File>>>,
}

impl RawLog {
    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    fn roll(&self) {
        let mut segments = self.segments.lock().expect("nobody panics with the lock");
        let path = self.path(segments.len().to_string());
        let options = File::options().read(true).write(true).create_new(true).open(path);
        segments.push(Arc::new(options.expect("a file can be made")));
    }

    fn first(&self) -> Arc<File> {
        self.segments.lock().expect("nobody panics with the lock")[0].clone()
    }

    fn last(&self) -> Arc<File> {
        let segments = self.segments.lock().expect("nobody panics with the lock");
        segments.last().expect("there is one from the start").clone()
    }

    /// Reads the first file if it is full, and writes a file of as many bytes as there are keys' worth
    /// of, which gets a name once it is synced.
    fn compact(&self) {
        if self.segments.lock().expect("nobody panics with the lock").len() < 2 {
            return;
        }
        let mut bytes = fs::read(self.path("0")).expect("the file can be read");
        bytes.truncate(KEYS as usize * bytes.len() / (SEGMENT_BYTES as usize / 180));
        let file = File::create(self.path("swap")).expect("a file can be made");
        file.write_all_at(&bytes, 0).expect("the file takes the bytes");
        file.sync_data().expect("the file can be synced");
        fs::rename(self.path("swap"), self.path("compacted")).expect("the file can be renamed");
    }
}
