//! Any bytes at all in place of a good directory's small files, as they are and with their checksums
//! put right: refused or survived, never a panic, never a wrong record.
//!
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz small_files`
#![no_main]

use anabranch_fuzz::{crc32, good, use_it};
use libfuzzer_sys::fuzz_target;

const FILES: [(&str, &str); 9] = [
    ("data/manifest", "manifest"),
    ("data/orders-0/segments", "segments"),
    ("data/keys-0/segments", "segments"),
    ("data/orders-0/mark", "mark"),
    ("data/__consumer_offsets-0/mark", "mark"),
    ("data/orders-0/leader-epoch-checkpoint", ""),
    ("data/keys-0/leader-epoch-checkpoint", ""),
    ("data/orders-0/00000000000000000000.index", ""),
    ("data/orders-0/00000000000000000000.timeindex", ""),
];

fuzz_target!(|input: (u8, bool, bool, Vec<u8>)| {
    let (which, is_clean, is_put_right, bytes) = input;
    let (path, kind) = FILES[usize::from(which) % FILES.len()];
    let bytes = if is_put_right { put_right(kind, bytes) } else { bytes };
    let disk = good(is_clean);
    disk.write(path, &bytes).expect("a file of a good directory");
    use_it(&disk);
});

fn put_right(kind: &str, bytes: Vec<u8>) -> Vec<u8> {
    match kind {
        "manifest" | "segments" => {
            let lines = String::from_utf8_lossy(&bytes);
            let text = format!("anabranch {kind} 1\n{lines}\n");
            format!("{text}crc32 {:08x}\n", crc32(text.as_bytes())).into_bytes()
        }
        "mark" => {
            let mut slots = bytes;
            slots.resize(1_024, 0);
            for slot in slots.chunks_mut(512) {
                slot[..8].copy_from_slice(b"abmk\0\0\0\x01");
                let crc = crc32(&slot[..508]);
                slot[508..].copy_from_slice(&crc.to_be_bytes());
            }
            slots
        }
        _ => bytes,
    }
}
