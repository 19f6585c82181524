//! A good directory, and a series of mishaps: bits, cuts, files that are gone, doubled or in another's
//! place. Refused or survived, never a panic, never a wrong record.
//!
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz directory`
#![no_main]

use anabranch::testing::SimDisk;
use anabranch_fuzz::{good, use_it};
use libfuzzer_sys::fuzz_target;
use std::path::PathBuf;

fuzz_target!(|input: (bool, Vec<(u8, u8, u32, Vec<u8>)>)| {
    let (is_clean, mishaps) = input;
    let disk = good(is_clean);
    for (which, how, at, bytes) in mishaps.iter().take(8) {
        befall(&disk, *which, *how, *at, bytes);
    }
    use_it(&disk);
});

fn befall(disk: &SimDisk, which: u8, how: u8, at: u32, bytes: &[u8]) {
    let files = disk.files();
    let Some((path, length)) = files.get(usize::from(which) % files.len().max(1)) else { return };
    let at = if *length == 0 { 0 } else { u64::from(at) % length };
    // What cannot be done is not done.
    let _ = match how % 9 {
        0 => disk.flip_bit(path, at, how / 9 % 8),
        1 => disk.truncate(path, at),
        2 => disk.truncate(path, length + at),
        3 => disk.remove(path),
        4 => disk.read(path).and_then(|mut found| {
            let start = usize::try_from(at).unwrap_or(0);
            found.truncate(start);
            found.extend_from_slice(bytes);
            disk.write(path, found)
        }),
        5 => disk.read(path).and_then(|found| disk.write(renamed(path, bytes), found)),
        6 => disk.write(renamed(path, bytes), bytes),
        7 => disk.write_other(renamed(path, bytes)),
        _ => disk.remove(path).and_then(|()| disk.write(path.join("inside"), bytes)),
    };
}

/// Another name in the same directory: of a segment, or of anything.
fn renamed(path: &std::path::Path, bytes: &[u8]) -> PathBuf {
    let number = bytes.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let name = match bytes.first().copied().unwrap_or(0) % 6 {
        0 => format!("{:020}.log", number >> 48),
        1 => format!("{number:020}.log"),
        2 => format!("{:020}.log.swap", number >> 48),
        3 => format!("{:020}.index", number >> 48),
        4 => "segments.tmp".to_owned(),
        _ => format!("x{}", number % 1_000),
    };
    path.with_file_name(name)
}
