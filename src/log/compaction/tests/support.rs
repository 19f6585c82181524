//! A partition's files as small as can be, and a model of what must be in them.

use super::super::*;
use crate::log::batch::Checks;
use crate::log::batch::{self, HEADER_BYTES, Stamps, encode_batch, record_bytes_max, validate};
use crate::log::facts::{FileKind, file_path};
use crate::log::mark::Crc;
use crate::log::memory_disk::MemoryDisk;
use crate::record::Record;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const DIR: &str = "orders-0";

/// A record that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) timestamp: Timestamp,
    pub(super) is_transactional: bool,
}

/// A log with files, and everything that was ever sent to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    pub(super) disk: MemoryDisk,
    pub(super) sealed: Vec<SegmentFacts>,
    active: Vec<u8>,
    active_base: Offset,
    active_max: i64,
    pub(super) sent: BTreeMap<Offset, Sent>,
    next: Offset,
    pub(super) now: i64,
    /// When a pass first went over a tombstone.
    covered: BTreeMap<Offset, i64>,
    /// Tombstones whose time had come when a pass went over them.
    due: BTreeSet<Offset>,
}

pub(super) fn settings() -> CompactionSettings {
    CompactionSettings {
        segment_bytes: 1_000,
        min_cleanable_ratio: 0.0,
        delete_retention: Duration::from_millis(100),
        key_map_bytes: 1 << 20,
    }
}

impl Log {
    pub(super) fn new() -> Log {
        Log { now: 1_000, active_max: -1, ..Log::default() }
    }

    /// The same log on a disk of its own.
    pub(super) fn copy(&self) -> Log {
        Log { disk: self.disk.snapshot(), ..self.clone() }
    }

    /// Appends one batch; a value tells its offset.
    pub(super) fn append(&mut self, records: &[(Option<&str>, bool)], is_transactional: bool) {
        let base_offset = self.next;
        for &(key, has_value) in records {
            let value = has_value.then(|| format!("value of {}", self.next).into_bytes());
            let key = key.map(|key| key.as_bytes().to_vec());
            let timestamp = Timestamp::from_millis(self.now - (self.next % 3) as i64);
            self.active_max = self.active_max.max(timestamp.as_millis());
            self.sent.insert(self.next, Sent { key, value, timestamp, is_transactional });
            self.next += 1;
        }
        let records: Vec<_> =
            self.sent.range(base_offset..).map(|(_, sent)| record(sent)).collect();
        let room = HEADER_BYTES + records.iter().map(record_bytes_max).sum::<usize>();
        let mut bytes = vec![0; room];
        let encoded = encode_batch(&mut bytes, base_offset, Stamps::default(), &records);
        bytes.truncate(encoded.bytes);
        if is_transactional {
            bytes[22] |= 1 << 4;
        }
        batch::seal(&mut bytes);
        self.active.extend(bytes);
    }

    /// `"a b -c ."`: values of a and b, a tombstone of c, a record without key.
    pub(super) fn send(&mut self, records: &str) {
        let parse = |word| match word {
            "." => (None, true),
            word => (Some(word.trim_start_matches('-')), !word.starts_with('-')),
        };
        self.append(&records.split_whitespace().map(parse).collect::<Vec<_>>(), false);
    }

    /// Seals the active segment, if there is anything in it.
    pub(super) fn seal(&mut self) {
        if self.active.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.active);
        self.disk.put(path(self.active_base, FileKind::Log), &bytes);
        self.sealed.push(SegmentFacts {
            base_offset: self.active_base,
            end_offset: self.next,
            bytes: bytes.len() as u64,
            crc: Crc::of(&bytes),
            index_crc: 0,
            max_timestamp: Timestamp::from_millis(self.active_max),
            is_compacted: false,
        });
        (self.active_base, self.active_max) = (self.next, -1);
    }

    pub(super) fn plan(&self, settings: &CompactionSettings) -> Option<CompactionPlan> {
        plan(&self.sealed, settings, None)
    }

    pub(super) fn start<'d>(
        &self,
        disk: &'d MemoryDisk,
        plan: CompactionPlan,
        settings: CompactionSettings,
    ) -> Result<Pass<'d>, CompactionError> {
        Pass::start(disk, Path::new(DIR), plan, settings, Timestamp::from_millis(self.now))
    }

    /// Compacts as far as it goes, in one pass, and checks everything.
    pub(super) fn compact(&mut self, settings: CompactionSettings) -> Compacted {
        let plan = self.plan(&settings).expect("there is something to clean");
        let disk = self.disk.clone();
        let now = Timestamp::from_millis(self.now);
        let compacted =
            compact(&disk, Path::new(DIR), plan, settings, now).expect("the disk works");
        let covered = self.covered.clone();
        for replacement in &compacted.replacements {
            self.put_in_place(replacement, &settings, &covered);
        }
        self.check().unwrap();
        compacted
    }

    /// What the store does: the new files take their names, the old ones go. `covered` is what passes
    /// before this one went over.
    pub(super) fn put_in_place(
        &mut self,
        replacement: &Replacement,
        settings: &CompactionSettings,
        covered: &BTreeMap<Offset, i64>,
    ) {
        let Replacement { replaced, segments, has_files, .. } = replacement;
        let at = self.sealed.iter().position(|s| *s == replaced[0]).expect("it is there");
        assert_eq!(self.sealed[at..at + replaced.len()], replaced[..]);
        if *has_files {
            for old in replaced {
                self.disk.remove(path(old.base_offset, FileKind::Log));
            }
            for new in segments {
                let swap = path(new.base_offset, FileKind::Swap);
                let bytes = self.disk.get(&swap).expect("the swap file is there");
                self.disk.remove(&swap);
                self.disk.put(path(new.base_offset, FileKind::Log), &bytes);
            }
        }
        self.sealed.splice(at..at + replaced.len(), segments.iter().cloned());
        let transaction = self.first_transaction();
        for segment in segments.iter().filter(|segment| segment.is_compacted) {
            for (offset, sent) in self.sent.range(segment.base_offset..segment.end_offset) {
                if sent.value.is_none() && !sent.is_transactional {
                    let retention =
                        i64::try_from(settings.delete_retention.as_millis()).expect("a short time");
                    let is_due = covered.get(offset).is_some_and(|at| at + retention <= self.now);
                    if is_due && *offset < transaction {
                        self.due.insert(*offset);
                    }
                    self.covered.entry(*offset).or_insert(self.now);
                }
            }
        }
    }

    fn first_transaction(&self) -> Offset {
        let found = self.sent.iter().find(|(_, sent)| sent.is_transactional);
        found.map_or(Offset::MAX, |(offset, _)| *offset)
    }

    pub(super) fn covered(&self) -> BTreeMap<Offset, i64> {
        self.covered.clone()
    }

    /// Retention takes the first segment; what was in it is forgotten.
    pub(super) fn drop_front(&mut self) {
        if !self.sealed.is_empty() {
            let front = self.sealed.remove(0);
            self.disk.remove(path(front.base_offset, FileKind::Log));
            self.sent = self.sent.split_off(&front.end_offset);
        }
    }

    pub(super) fn file(&self, segment: &SegmentFacts) -> Vec<u8> {
        self.disk
            .get(path(segment.base_offset, FileKind::Log))
            .expect("a sealed segment has a file")
    }

    /// The segments that are clean, one behind the other.
    pub(super) fn clean_bytes(&self) -> Vec<u8> {
        self.clean().flat_map(|segment| self.file(segment)).collect()
    }

    pub(super) fn clean(&self) -> impl Iterator<Item = &SegmentFacts> {
        self.sealed.iter().take_while(|segment| segment.is_compacted)
    }

    /// All offsets that are left.
    pub(super) fn offsets(&self) -> Vec<Offset> {
        self.read().unwrap().into_keys().collect()
    }

    /// Reads everything, and checks what is known of the files on the way.
    fn read(&self) -> Result<BTreeMap<Offset, Sent>, String> {
        let mut found = BTreeMap::new();
        let mut next = self.sealed.first().map_or(self.active_base, |first| first.base_offset);
        let mut is_clean = true;
        for segment in &self.sealed {
            let bytes = self.file(segment);
            let facts = (segment.base_offset, segment.bytes, segment.crc);
            ensure(facts == (next, bytes.len() as u64, Crc::of(&bytes)), "facts of a file")?;
            ensure(is_clean || !segment.is_compacted, "a clean segment behind a dirty one")?;
            is_clean = segment.is_compacted;
            let max = read_batches(&bytes, next..segment.end_offset, is_clean, &mut found)?;
            ensure(max == segment.max_timestamp.as_millis(), "max timestamp of a file")?;
            next = segment.end_offset;
        }
        ensure(next == self.active_base, "the active segment follows")?;
        read_batches(&self.active, next..self.next, false, &mut found)?;
        Ok(found)
    }

    /// Checks that what is left is what must be left, and no more than may be.
    pub(super) fn check(&self) -> Result<(), String> {
        let found = self.read()?;
        for (offset, record) in &found {
            let sent = self.sent.get(offset);
            ensure(sent == Some(record), format_args!("{offset}: {record:?}, sent {sent:?}"))?;
        }
        let clean_end = self.clean().last().map_or(0, |segment| segment.end_offset);
        for (offset, sent) in &self.sent {
            let is_replaced = |end: Offset| {
                let mut newer = self.sent.range(offset + 1..end);
                sent.key.is_none()
                    || newer.any(|(_, newer)| newer.key == sent.key && !newer.is_transactional)
            };
            let is_due = self.due.contains(offset);
            let is_there = found.contains_key(offset);
            let must_stay = sent.is_transactional || !is_replaced(self.next) && !is_due;
            let must_go =
                !sent.is_transactional && *offset < clean_end && (is_replaced(clean_end) || is_due);
            ensure(is_there || !must_stay, format_args!("{offset} of {sent:?} is gone"))?;
            ensure(!is_there || !must_go, format_args!("{offset} of {sent:?} is still there"))?;
            ensure(
                is_there || *offset < clean_end,
                format_args!("{offset} was dirty and is gone"),
            )?;
        }
        ensure(state(&found) == state(&self.sent), "what a reader ends up with")
    }
}

/// What a reader that goes through all records ends up with.
fn state(records: &BTreeMap<Offset, Sent>) -> BTreeMap<&[u8], &[u8]> {
    let mut state = BTreeMap::new();
    for record in records.values() {
        match (&record.key, &record.value) {
            (Some(key), Some(value)) => drop(state.insert(&key[..], &value[..])),
            (Some(key), None) => drop(state.remove(&key[..])),
            (None, _) => {}
        }
    }
    state
}

fn read_batches(
    mut bytes: &[u8],
    range: Range<Offset>,
    has_gaps: bool,
    found: &mut BTreeMap<Offset, Sent>,
) -> Result<i64, String> {
    let mut next = range.start;
    let mut max_timestamp = -1;
    while !bytes.is_empty() {
        let (one, rest) = bytes.split_at(batch::batch_bytes(bytes));
        let checks = Checks { crc: true, contiguous: !has_gaps };
        let header = validate(one, checks).map_err(|error| error.to_string())?;
        let base_offset = header.base_offset;
        ensure(base_offset == next || has_gaps && base_offset > next, "offsets of batches rise")?;
        next = header.last_offset() + 1;
        max_timestamp = max_timestamp.max(header.max_timestamp.as_millis());
        for record in RecordWalk::new(one) {
            let sent = Sent {
                key: record.key.map(Vec::from),
                value: record.value.map(Vec::from),
                timestamp: record.timestamp,
                is_transactional: header.attributes.is_transactional(),
            };
            found.insert(record.offset, sent);
        }
        bytes = rest;
    }
    ensure(next == range.end || has_gaps && next < range.end, "the range ends with its batches")?;
    Ok(max_timestamp)
}

fn record(sent: &Sent) -> Record<'_> {
    Record {
        key: sent.key.as_deref(),
        value: sent.value.as_deref(),
        timestamp: Some(sent.timestamp),
        ..Record::default()
    }
}

pub(super) fn path(base_offset: Offset, kind: FileKind) -> std::path::PathBuf {
    file_path(Path::new(DIR), base_offset, kind)
}

fn ensure(is_so: bool, what: impl std::fmt::Display) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(what.to_string()) }
}
