//! Small partitions on a disk in memory, laid out byte by byte, and a reader that trusts nothing.

use super::super::{Recovered, recover};
use crate::error::OpenError;
use crate::ids::{Offset, Timestamp, TopicPartition};
use crate::log::batch::{self, Checks, Stamps, validate};
use crate::log::disk::Disk;
use crate::log::epochs::Epochs;
use crate::log::facts::{FileKind, SegmentFacts, file_path};
use crate::log::index::{SegmentIndex, index_crc};
use crate::log::mark::{Crc, Mark, MarkFile};
use crate::log::memory_disk::MemoryDisk;
use crate::log::segments_file;
use crate::record::Record;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) fn dir() -> &'static Path {
    Path::new("data/orders-3")
}

pub(super) fn log_path(base_offset: Offset) -> PathBuf {
    file_path(dir(), base_offset, FileKind::Log)
}

/// A sealed batch of `count` records.
pub(super) fn batch(base_offset: Offset, count: usize, epoch: i32) -> Vec<u8> {
    let value = format!("value {base_offset}");
    let records = vec![Record::new(&value).with_key("k"); count];
    let stamps = Stamps::create_time(Timestamp::from_millis(1000 + base_offset as i64));
    let mut bytes = vec![0; 5000];
    let encoded = batch::encode_batch(&mut bytes, base_offset, stamps, records.iter());
    bytes.truncate(encoded.bytes);
    bytes[12..16].copy_from_slice(&epoch.to_be_bytes());
    batch::seal(&mut bytes);
    bytes
}

/// Where a mark is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkAt {
    /// At the end of everything.
    End,
    /// Behind so many batches of the last segment.
    Batches(usize),
}

/// A partition: segments of batches.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) segments: Vec<Vec<Vec<u8>>>,
    pub(super) log_start: Offset,
    pub(super) epochs: Epochs,
}

impl World {
    /// Two sealed segments and an active one: offsets 0 to 13.
    pub(super) fn of_three() -> World {
        World::new(&[&[2, 1], &[3], &[1, 2, 4, 1]])
    }

    pub(super) fn new(counts: &[&[usize]]) -> World {
        let mut epochs = Epochs::default();
        epochs.assign(1, 6);
        let mut offset = 0;
        let mut world = World { epochs, ..World::default() };
        for counts in counts {
            let mut batches = Vec::new();
            for &count in *counts {
                let epoch = world.epochs.epoch_at(offset).expect("from 0 on");
                batches.push(batch(offset, count, epoch));
                offset += count as Offset;
            }
            world.segments.push(batches);
        }
        world
    }

    pub(super) fn all(&self) -> Vec<u8> {
        self.segments.concat().concat()
    }

    pub(super) fn base(&self, segment: usize) -> Offset {
        self.segments[..segment]
            .iter()
            .flatten()
            .last()
            .map_or(0, |last| batch::last_offset(last) + 1)
    }

    pub(super) fn end(&self) -> Offset {
        self.base(self.segments.len())
    }

    pub(super) fn facts(&self, segment: usize) -> SegmentFacts {
        let bytes = self.segments[segment].concat();
        let (index, base) = (self.index(segment), self.base(segment));
        SegmentFacts {
            base_offset: base,
            end_offset: self.base(segment + 1),
            bytes: bytes.len() as u64,
            crc: Crc::of(&bytes),
            index_crc: index_crc(&index.encode_offsets(base), &index.encode_times(base)),
            max_timestamp: index.max_timestamp(),
            is_compacted: false,
        }
    }

    pub(super) fn index(&self, segment: usize) -> SegmentIndex {
        let mut index = SegmentIndex::new();
        self.note(segment, 0..self.segments[segment].len(), &mut index);
        index
    }

    pub(super) fn note(&self, segment: usize, batches: Range<usize>, index: &mut SegmentIndex) {
        let mut position = self.segments[segment][..batches.start].concat().len() as u64;
        for bytes in &self.segments[segment][batches] {
            let last_offset = batch::last_offset(bytes);
            index.note(last_offset, position, bytes.len(), batch::max_timestamp(bytes));
            position += bytes.len() as u64;
        }
    }

    /// The mark in `segment` behind `count` of its batches.
    pub(super) fn mark(&self, segment: usize, count: usize) -> Mark {
        let below = self.segments[segment][..count].concat();
        let base = self.base(segment);
        let last = self.segments[segment][..count].last();
        let end_offset = last.map_or(base, |last| batch::last_offset(last) + 1);
        Mark {
            segment: base,
            position: below.len() as u64,
            end_offset,
            log_start: self.log_start.min(end_offset),
            leader_epoch: self.epochs.epoch_at(end_offset).expect("from 0 on"),
            crc: Crc::of(&below),
            ..Mark::default()
        }
    }

    /// All but the last segment are sealed, with their indexes; the mark is where it is asked for.
    pub(super) fn lay_out(&self, at: MarkAt) -> MemoryDisk {
        let last = self.segments.len() - 1;
        let mut mark = match at {
            MarkAt::End => self.mark(last, self.segments[last].len()),
            MarkAt::Batches(count) => self.mark(last, count),
        };
        let disk = MemoryDisk::new();
        for segment in 0..=last {
            let base = self.base(segment);
            disk.put(log_path(base), &self.segments[segment].concat());
            if segment < last || at == MarkAt::End {
                let index = self.index(segment);
                let (offsets, times) = (index.encode_offsets(base), index.encode_times(base));
                disk.put(file_path(dir(), base, FileKind::Index), &offsets);
                disk.put(file_path(dir(), base, FileKind::TimeIndex), &times);
                if segment == last {
                    mark.index_crc = index_crc(&offsets, &times);
                    mark.index_end = mark.position;
                }
            }
        }
        let mut file = MarkFile::create(&disk, dir(), &self.mark(last, 0)).expect("room");
        file.write(&mark).expect("room");
        self.epochs.store(&disk, dir()).expect("room");
        self.list(&disk, 0..last);
        disk
    }

    /// Writes the list with these segments, or removes it if there is nothing to say.
    pub(super) fn list(&self, disk: &MemoryDisk, sealed: Range<usize>) {
        let sealed: Vec<SegmentFacts> = sealed.map(|segment| self.facts(segment)).collect();
        if sealed.is_empty() && self.log_start == 0 {
            disk.remove(dir().join("segments"));
        } else {
            segments_file::store(disk, dir(), self.log_start, &sealed).expect("room");
        }
    }
}

pub(super) fn partition() -> TopicPartition {
    TopicPartition::new("orders", 3)
}

pub(super) fn open(disk: &MemoryDisk, is_clean: bool) -> Result<Recovered, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    recover(&disk, dir(), &partition(), is_clean)
}

/// What a reader gets that compares everything with what is known: all bytes, or where it stops.
pub(super) fn read_all(disk: &MemoryDisk, recovered: &Recovered) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    let mut expected = recovered.sealed.first().map(|first| first.base_offset);
    let sealed = recovered
        .sealed
        .iter()
        .map(|facts| (facts.base_offset, facts.bytes, facts.crc, facts.end_offset));
    let active = &recovered.active;
    let active = (active.base_offset, active.bytes, active.crc.value(), active.end_offset);
    for (base, bytes, crc, end) in sealed.chain([active]) {
        let file = disk.get(log_path(base)).unwrap_or_default();
        let bytes = usize::try_from(bytes).expect("small");
        let file = file.get(..bytes).ok_or("the file is too short")?;
        if expected.is_some_and(|expected| expected != base) {
            return Err(format!("{base} follows {expected:?}"));
        }
        let mut next = base;
        let mut rest = file;
        while !rest.is_empty() {
            let header = batch::BatchHeader::read(rest).map_err(|error| error.to_string())?;
            let (bytes, behind) = rest.split_at(header.batch_bytes);
            validate(bytes, Checks::APPENDED).map_err(|error| error.to_string())?;
            if header.base_offset != next {
                return Err(format!("{} at {next}", header.base_offset));
            }
            next = header.last_offset() + 1;
            rest = behind;
        }
        if Crc::of(file) != crc || next != end {
            return Err(format!("segment {base} is not as it was"));
        }
        all.extend_from_slice(file);
        expected = Some(end);
    }
    Ok(all)
}
