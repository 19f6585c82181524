//! Recovery against power cuts: a small writer that keeps the rules on disk, cut off at every call, during
//! recovery too.
//!
//! ```text
//!  writer ── call ── call ── call ──► …            three sessions, each on what the one before left
//!             │        │        └► images ─► recover ─► nothing durable is missing, nothing is wrong
//!             │        └► images ─► recover, cut off at every call ─► recover ─► the same
//! ```
//!
//! The writer is the least that a partition does: it appends, syncs in groups, rolls without a sync,
//! seals, drops segments, deletes records, closes. `ANABRANCH_HISTORIES` sets how many histories are
//! tried, `ANABRANCH_SEED` the first one.

use super::*;
use crate::format::{self, Stamps};
use crate::log::facts::{FileKind, SegmentFacts, file_path};
use crate::log::index::index_crc;
use crate::log::mark::{Crc, Mark};
use crate::log::recovery::{Active, Recovered, create, recover};
use crate::log::segments_file;
use crate::{Offset, Record, TopicPartition};
use std::ops::RangeInclusive;

fn dir() -> &'static Path {
    Path::new("data/orders-3")
}

fn log_path(base_offset: Offset) -> std::path::PathBuf {
    file_path(dir(), base_offset, FileKind::Log)
}

/// Chance that can be repeated.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

fn opened(disk: &SimDisk, is_clean: bool) -> Result<Recovered, crate::OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    recover(&disk, dir(), &TopicPartition::new("orders", 3), is_clean)
}

struct Writer {
    disk: SimDisk,
    log: Recovered,
    /// Segments that are full, and not synced yet.
    rolled: Vec<(SegmentFacts, Arc<dyn DiskFile>)>,
    /// Where the bytes start that recovery found above the mark; `None` once they were written again.
    rewrite_from: Option<u64>,
    epoch: Option<i32>,
    promises: Promises,
}

/// What a session promises, by the number of calls made when it became true.
struct Promises {
    /// Every batch that was ever appended.
    batches: Vec<Vec<u8>>,
    durable_ends: Vec<(u64, Offset)>,
    /// Where the log may start from then on: a start is certain once the next one is asked for.
    starts: Vec<(u64, Offset)>,
}

impl Promises {
    fn durable_end(&self, calls: u64) -> Offset {
        self.durable_ends.iter().rfind(|(at, _)| *at <= calls).expect("the first is at the start").1
    }

    fn starts(&self, calls: u64) -> RangeInclusive<Offset> {
        let asked = self.starts.iter().rposition(|(at, _)| *at <= calls);
        let asked = asked.expect("the first is at the start");
        self.starts[asked.saturating_sub(1)].1..=self.starts[asked].1
    }
}

impl Writer {
    fn append(&mut self, count: usize) {
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => self.begin_epoch(),
        };
        let active = &mut self.log.active;
        if active.file.is_none() {
            let path = log_path(active.base_offset);
            active.file = Some(self.disk.open(&path, OpenMode::Create).unwrap());
            self.disk.sync_dir(dir()).unwrap();
        }
        let value = format!("{}", active.end_offset);
        let records = vec![Record::new(&value); count];
        let mut batch = format::encode(&records, active.end_offset, Stamps::default()).unwrap();
        batch[12..16].copy_from_slice(&epoch.to_be_bytes());
        put(&**active.file.as_ref().unwrap(), &batch, active.bytes);
        active.end_offset += count as Offset;
        active.index.note(active.end_offset - 1, active.bytes, batch.len(), Stamps::default().now);
        active.bytes += batch.len() as u64;
        active.crc.update(&batch);
        self.promises.batches.push(batch);
    }

    fn begin_epoch(&mut self) -> i32 {
        let epochs = &mut self.log.epochs;
        if !self.log.was_clean {
            epochs.assign(epochs.latest() + 1, self.log.active.end_offset);
            epochs.store(&self.disk, dir()).unwrap();
        }
        self.epoch = Some(epochs.latest());
        epochs.latest()
    }

    fn roll(&mut self) {
        let active = &mut self.log.active;
        let Some(file) = active.file.take_if(|_| active.bytes > 0) else { return };
        let facts = SegmentFacts {
            base_offset: active.base_offset,
            end_offset: active.end_offset,
            bytes: active.bytes,
            crc: active.crc.value(),
            index_crc: 0,
            max_timestamp: active.index.max_timestamp(),
            is_compacted: false,
        };
        *active = Active {
            base_offset: facts.end_offset,
            bytes: 0,
            crc: Crc::new(),
            index: Default::default(),
            file: None,
            rewrite_from: 0,
            ..*active
        };
        self.rolled.push((facts, file));
    }

    /// Writes again what recovery found above the mark.
    fn rewrite(&mut self) {
        let Some(from) = self.rewrite_from.take() else { return };
        let active = &self.log.active;
        let (bytes, file) = match self.rolled.first() {
            Some((facts, file)) => (facts.bytes, Some(file)),
            None => (active.bytes, active.file.as_ref()),
        };
        let Some(file) = file.filter(|_| from < bytes) else { return };
        let mut buffer = vec![0; usize::try_from(bytes - from).unwrap()];
        file.read_at(&mut buffer, from).unwrap();
        put(&**file, &buffer, from);
    }

    fn sync(&mut self, is_mark_synced: bool) {
        self.rewrite();
        let has_rolled = !self.rolled.is_empty();
        for (facts, file) in self.rolled.drain(..) {
            file.sync_data().unwrap();
            self.log.sealed.push(facts);
        }
        let active = &self.log.active;
        active.file.iter().for_each(|file| file.sync_data().unwrap());
        self.promises.durable_ends.push((self.disk.calls(), active.end_offset));
        if has_rolled {
            self.list();
        }
        self.mark(0, 0);
        if is_mark_synced || has_rolled {
            self.log.mark_file.sync().unwrap();
        }
    }

    fn mark(&mut self, index_crc: u32, index_end: u64) {
        let active = &self.log.active;
        let mark = Mark {
            segment: active.base_offset,
            position: active.bytes,
            end_offset: active.end_offset,
            log_start: self.log.log_start,
            leader_epoch: self.log.epochs.latest(),
            crc: active.crc.value(),
            index_crc,
            index_end,
        };
        self.log.mark_file.write(&mark).unwrap();
    }

    fn list(&self) {
        let (start, sealed) = (self.log.log_start, &self.log.sealed);
        segments_file::store(&self.disk, dir(), start, sealed).unwrap();
    }

    fn start_at(&mut self, log_start: Offset) {
        self.log.log_start = self.log.log_start.max(log_start);
        self.promises.starts.push((self.disk.calls(), self.log.log_start));
        self.list();
    }

    fn drop_segments(&mut self, chance: &mut Chance) {
        let count = self.log.sealed.len() as u64;
        if count == 0 {
            return;
        }
        let count = 1 + usize::try_from(chance.below(count)).unwrap();
        let gone: Vec<SegmentFacts> = self.log.sealed.drain(..count).collect();
        self.start_at(gone[count - 1].end_offset);
        for facts in gone {
            // A reader may hold a file for longer than the process lives.
            if chance.below(3) > 0 {
                self.disk.remove_file(&log_path(facts.base_offset)).unwrap();
            }
        }
    }

    fn delete_records(&mut self, chance: &mut Chance) {
        let (start, end) = (self.log.log_start, self.log.active.end_offset);
        if start < end {
            self.start_at(start + 1 + chance.below(end - start));
        }
    }

    fn close(&mut self) {
        self.sync(false);
        let active = &self.log.active;
        let base = active.base_offset;
        let files = (active.index.encode_offsets(base), active.index.encode_times(base));
        for (kind, bytes) in [(FileKind::Index, &files.0), (FileKind::TimeIndex, &files.1)] {
            let file = self.disk.open(&file_path(dir(), base, kind), OpenMode::Replace).unwrap();
            if !bytes.is_empty() {
                put(&*file, bytes, 0);
            }
            file.sync_data().unwrap();
        }
        self.disk.sync_dir(dir()).unwrap();
        self.mark(index_crc(&files.0, &files.1), active.bytes);
        self.log.mark_file.sync().unwrap();
    }

    fn step(&mut self, chance: &mut Chance) -> &'static str {
        match chance.below(24) {
            0..=9 => {
                self.append(1 + usize::try_from(chance.below(60)).unwrap());
                "append"
            }
            10..=15 => {
                self.sync(chance.below(3) == 0);
                "sync"
            }
            16..=19 => {
                self.roll();
                "roll"
            }
            20..=21 => {
                self.drop_segments(chance);
                "drop"
            }
            _ => {
                self.delete_records(chance);
                "delete"
            }
        }
    }
}

/// All batches of a log, compared with all that is known of it.
fn batches(disk: &SimDisk, log: &Recovered) -> Vec<Vec<u8>> {
    let sealed = log.sealed.iter().map(|of| (of.base_offset, of.bytes, of.crc, of.end_offset));
    let active = &log.active;
    let active = (active.base_offset, active.bytes, active.crc.value(), active.end_offset);
    let mut batches = Vec::new();
    let mut expected = log.sealed.first().map_or(active.0, |first| first.base_offset);
    assert!(expected <= log.log_start && log.log_start <= active.3);
    for (base, bytes, crc, end) in sealed.chain([active]) {
        let file = disk.read(log_path(base)).unwrap_or_default();
        let file = &file[..usize::try_from(bytes).unwrap()];
        assert_eq!((base, Crc::of(file)), (expected, crc));
        let (mut walk, mut position) = (format::batches(file), 0);
        while let Some(batch) = walk.next() {
            let batch = batch.expect("it was verified");
            assert_eq!(batch.base_offset(), expected);
            expected = batch.last_offset() + 1;
            batches.push(file[position..walk.position()].to_vec());
            position = walk.position();
        }
        assert_eq!(expected, end);
    }
    batches
}

/// Opens an image, and checks that it keeps the promises made by the call at which it was taken.
fn check(image: &SimDisk, promises: &Promises, calls: u64) -> (Recovered, Vec<Vec<u8>>) {
    let log = opened(image, false).unwrap_or_else(|error| panic!("{error}\n{:?}", image.files()));
    let found = batches(image, &log);
    assert!(found.iter().all(|batch| promises.batches.contains(batch)), "a wrong batch");
    assert!(log.active.end_offset >= promises.durable_end(calls), "a durable batch is missing");
    assert!(promises.starts(calls).contains(&log.log_start), "the log starts at {}", log.log_start);
    (log, found)
}

/// Three sessions, the later ones on an image of the one before.
fn explore(seed: u64, trace: &mut Vec<String>) {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut disk = SimDisk::new();
    disk.create_dir(Path::new("data")).unwrap();
    create(&disk, dir()).unwrap();
    disk.settle();
    let (mut known, mut durable_end, mut start) = (Vec::new(), 0, 0);
    for session in 0..3 {
        let log = opened(&disk, session == 0).unwrap();
        disk.record();
        let calls = disk.calls();
        let mut writer = Writer {
            disk: disk.clone(),
            rolled: Vec::new(),
            rewrite_from: Some(log.active.rewrite_from),
            epoch: None,
            promises: Promises {
                batches: known,
                durable_ends: vec![(calls, durable_end)],
                starts: vec![(calls, start)],
            },
            log,
        };
        trace.push(format!("session {session}"));
        for _ in 0..4 + chance.below(5) {
            trace.push(writer.step(&mut chance).to_owned());
        }
        let moments: Vec<(u64, SimDisk)> = disk.recorded().collect();
        if chance.below(4) == 0 {
            trace.push("close".to_owned());
            writer.close();
            let before = disk.contents();
            let log = opened(&disk, true).unwrap();
            assert!(log.was_clean && log.active.end_offset == writer.log.active.end_offset);
            assert_eq!(disk.contents(), before, "a clean opening changes nothing");
        }
        let last = usize::try_from(chance.below(moments.len() as u64)).unwrap();
        let mut next = None;
        for (calls, moment) in &moments[..=last] {
            for image in moment.crash_images(10).chain([moment.kill()]) {
                trace.push(format!("call {calls}"));
                image.record();
                let (log, found) = check(&image, &writer.promises, *calls);
                let during = if chance.below(4) == 0 {
                    image.recorded().skip(1)
                } else {
                    image.recorded().skip(usize::MAX)
                };
                for (at, moment) in during {
                    trace.push(format!("call {at} of recovery"));
                    moment
                        .crash_images(4)
                        .for_each(|image| drop(check(&image, &writer.promises, *calls)));
                    trace.pop();
                }
                trace.pop();
                next = Some((image, found, *calls, log.log_start));
            }
        }
        let (image, found, calls, log_start) = next.expect("there is at least one image");
        durable_end = writer.promises.durable_end(calls);
        (disk, known, start) = (image, found, log_start);
        disk.settle();
    }
}

#[test]
fn nothing_durable_is_lost_to_a_power_cut() {
    let number = |name| std::env::var(name).ok().and_then(|value: String| value.parse().ok());
    let first = number("ANABRANCH_SEED").unwrap_or(1);
    for seed in first..first + number("ANABRANCH_HISTORIES").unwrap_or(60) {
        let mut trace = Vec::new();
        let explored = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            explore(seed, &mut trace);
        }));
        if let Err(panic) = explored {
            eprintln!("ANABRANCH_SEED={seed}: {}", trace.join(", "));
            std::panic::resume_unwind(panic);
        }
    }
}
