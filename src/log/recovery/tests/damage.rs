//! Every bit flipped, every file cut anywhere, every file gone, and bytes by chance.

use super::super::Recovered;
use super::support::*;
use crate::error::OpenError;
use crate::ids::Offset;
use crate::log::memory_disk::MemoryDisk;
use proptest::prelude::*;
use std::path::Path;

/// What must survive of a partition that was damaged in one place.
struct Promise {
    world: World,
    /// The end of what is known to be on disk.
    durable_end: Offset,
    is_clean: bool,
}

impl Promise {
    /// Opens what is there: it is refused, or the reader finds the damage, or what is read is what was
    /// written, from the start to no less than what is known to be on disk.
    fn check(&self, disk: &MemoryDisk, what: &str) {
        let Recovered { active, .. } = match open(disk, self.is_clean) {
            Ok(recovered) => {
                if let Ok(bytes) = read_all(disk, &recovered) {
                    let all = self.world.all();
                    assert!(all.starts_with(&bytes), "{what}: a wrong record");
                    recovered
                } else {
                    return;
                }
            }
            Err(OpenError::Corrupt { .. } | OpenError::Version { .. }) => return,
            Err(other) => panic!("{what}: {other}"),
        };
        assert!(active.end_offset >= self.durable_end, "{what}: silent loss");
    }
}

/// A partition closed in order, with a fresh mark, and with a stale one.
fn references() -> Vec<(Promise, MemoryDisk)> {
    let world = World { log_start: 1, ..World::new(&[&[2, 1], &[3], &[1, 2, 1]]) };
    let ats = [(MarkAt::End, true), (MarkAt::Batches(3), false), (MarkAt::Batches(1), false)];
    let reference = |(at, is_clean)| {
        let disk = world.lay_out(at);
        let durable_end = if at == MarkAt::Batches(1) { 7 } else { world.end() };
        (Promise { world: world.clone(), durable_end, is_clean }, disk)
    };
    ats.into_iter().map(reference).collect()
}

#[test]
fn every_flipped_bit_is_harmless_or_told() {
    for (promise, reference) in references() {
        for (path, bytes) in reference.files() {
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let disk = reference.snapshot();
                disk.put(&path, &damaged);
                promise.check(&disk, &format!("{} bit {bit}", path.display()));
            }
        }
    }
}

#[test]
fn every_cut_and_every_missing_file_is_harmless_or_told() {
    for (promise, reference) in references() {
        for (path, bytes) in reference.files() {
            for cut in 0..bytes.len() {
                let disk = reference.snapshot();
                disk.put(&path, &bytes[..cut]);
                promise.check(&disk, &format!("{} cut at {cut}", path.display()));
            }
            let disk = reference.snapshot();
            disk.remove(&path);
            promise.check(&disk, &format!("{} gone", path.display()));
        }
    }
}

#[test]
fn every_longer_file_is_harmless_or_told() {
    for (promise, reference) in references() {
        for (path, bytes) in reference.files() {
            for more in [vec![0], vec![1], vec![0; 600], vec![0xff; 600], bytes.clone()] {
                let disk = reference.snapshot();
                disk.put(&path, &[&bytes[..], &more].concat());
                promise.check(&disk, &format!("{} and {} more", path.display(), more.len()));
            }
        }
    }
}

/// A flipped bit is not only harmless or told: nearly everywhere below the mark, opening or reading
/// tells it, and the log is whole where it does not.
#[test]
fn a_flipped_bit_of_a_segment_below_the_mark_is_always_told() {
    for (promise, reference) in references() {
        for base in [0, 3, 6] {
            let bytes = reference.get(log_path(base)).expect("there");
            let below = match base {
                6 if promise.durable_end == 7 => promise.world.segments[2][0].len(),
                _ => bytes.len(),
            };
            for bit in 0..below * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let disk = reference.snapshot();
                disk.put(log_path(base), &damaged);
                if let Ok(recovered) = open(&disk, promise.is_clean) {
                    assert!(read_all(&disk, &recovered).is_err(), "segment {base} bit {bit}");
                }
            }
        }
    }
}

const NAMES: &[&str] = &[
    "mark",
    "segments",
    "leader-epoch-checkpoint",
    "00000000000000000000.log",
    "00000000000000000003.log",
    "00000000000000000003.log.swap",
    "00000000000000000006.log",
    "00000000000000000006.index",
    "00000000000000000006.timeindex",
    "09223372036854775807.log",
    "18446744073709551615.log",
    "00000000000000000009.cut",
    "segments.tmp",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Several files replaced, cut or patched by chance: no panic.
    #[test]
    fn damage_by_chance_does_not_panic(
        which in 0_usize..3,
        damage in prop::collection::vec(
            (0..NAMES.len(), 0_u8..4, prop::collection::vec(any::<u8>(), 0..80), any::<prop::sample::Index>()),
            1..5,
        ),
        is_clean in any::<bool>(),
    ) {
        let (_, disk) = references().swap_remove(which);
        for (name, how, bytes, at) in damage {
            let path = Path::new(dir()).join(NAMES[name]);
            let mut file = disk.get(&path).unwrap_or_default();
            let at = at.index(file.len() + 1);
            match how {
                0 => file = bytes,
                1 => file.truncate(at),
                2 => { file.splice(at..(at + bytes.len()).min(file.len()), bytes); }
                _ => { disk.remove(&path); continue; }
            }
            disk.put(&path, &file);
        }
        if let Ok(recovered) = open(&disk, is_clean) {
            let _ = read_all(&disk, &recovered);
            let again = open(&disk, false).expect("what was repaired can be opened");
            prop_assert_eq!(again.active.end_offset, recovered.active.end_offset);
        }
    }
}

/// Without the list, gaps may be what compaction left; but not in the last segment, where a batch that
/// claims a far offset is damaged.
#[test]
fn a_far_offset_in_the_last_segment_is_no_gap() {
    let path = Path::new(dir()).join("00000000000000000006.log");
    let whole = references()[2].1.get(&path).expect("it is there");
    for at in 0..whole.len() {
        let (_, disk) = references().swap_remove(2);
        disk.put(Path::new(dir()).join("segments"), &[]);
        let mut file = whole.clone();
        file[at] = 1;
        disk.put(&path, &file);
        if let Ok(recovered) = open(&disk, false) {
            assert!(recovered.active.end_offset < 100, "byte {at}");
        }
    }
}
