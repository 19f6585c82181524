//! Models of the append buffer: one writer, two readers, every schedule, every allowed reordering.
//!
//! loom watches each byte of a chunk's memory: who reads a byte that is not ordered behind its
//! writing, or writes one that somebody may still read, is told. Batches are 61 bytes without
//! records, filled with their number, which is all that a chunk wants to know.

use super::Pool;
use super::batch::{Encoded, HEADER_BYTES};
use super::chunk::{Chunk, ChunkWriter};
use crate::ids::{Offset, Timestamp};
use crate::sync::Arc;
use crate::sync::explore::explore;
use crate::sync::planted::{Bug, caught};
use loom::thread;

const BATCHES: u8 = 3;
const CHUNK_BYTES: usize = BATCHES as usize * HEADER_BYTES;

/// Appends a batch and returns whether its memory was written before.
fn append(writer: &mut ChunkWriter, number: u8) -> bool {
    let mut is_reused = false;
    writer.append(|spare| {
        is_reused = spare[0] != 0;
        spare[..HEADER_BYTES].fill(number);
        let stamp = Timestamp::from_millis(number.into());
        Encoded { bytes: HEADER_BYTES, count: 1, base_timestamp: stamp, max_timestamp: stamp }
    });
    is_reused
}

/// Reads what is published and checks that it is whole batches, the first ones, intact.
fn check(chunk: &Chunk) -> u32 {
    let published = chunk.published();
    let bytes = chunk.bytes(published);
    assert_eq!(bytes.len(), published.records as usize * HEADER_BYTES, "whole batches");
    for (number, batch) in (0..).zip(bytes.chunks(HEADER_BYTES)) {
        assert!(batch.iter().all(|&byte| byte == number), "batch {number} is {batch:?}");
    }
    if let Some(last) = published.records.checked_sub(1) {
        let latest = chunk.index().max_timestamp();
        assert!(latest >= last.into(), "{latest}: the index covers what is published");
    }
    published.records
}

fn publish(readers: usize, batches: u8) {
    let pool = Pool::new(CHUNK_BYTES);
    let mut writer = ChunkWriter::new(0, CHUNK_BYTES, &pool);
    let readers = Vec::from_iter((0..readers).map(|_| {
        let chunk = Arc::clone(writer.chunk());
        thread::spawn(move || {
            let first = check(&chunk);
            assert!(first <= check(&chunk), "what was seen stays");
        })
    }));
    for number in 0..batches {
        append(&mut writer, number);
    }
    for reader in readers {
        reader.join().unwrap();
    }
    assert_eq!(check(writer.chunk()), u32::from(batches));
}

#[test]
fn loom_readers_see_whole_batches_and_a_prefix() {
    assert!(caught(Bug::RelaxedPublish, || explore(2, || publish(1, 2))));
    explore(4, || publish(1, BATCHES));
    explore(2, || publish(2, 2));
}

/// A writer goes on in a second chunk and a third; the memory of the first, which nobody retains,
/// is the third's if its reader was done in time. Returns whether it was.
fn recycle() -> bool {
    let pool = Pool::new(CHUNK_BYTES);
    let mut writer = ChunkWriter::new(0, CHUNK_BYTES, &pool);
    append(&mut writer, 1);
    let first = Arc::clone(writer.chunk());
    let reader = thread::spawn(move || {
        let slice = Chunk::slice(&first, 0, first.published().bytes);
        drop(first); // a slice keeps the chunk by itself
        assert!(slice.as_ref().iter().all(|&byte| byte == 1), "{:?}", slice.as_ref());
        let other = slice.clone();
        drop(slice);
        assert!(other.as_ref().iter().all(|&byte| byte == 1), "{:?}", other.as_ref());
    });
    let mut reused = [2, 3].map(|number| {
        let next = ChunkWriter::new(Offset::from(number) - 1, CHUNK_BYTES, &pool);
        std::mem::replace(&mut writer, next).seal();
        append(&mut writer, number)
    });
    reader.join().unwrap();
    reused.sort_unstable();
    reused[1]
}

#[test]
fn loom_memory_is_reused_only_behind_its_last_reader() {
    assert!(caught(Bug::EarlyRecycle, || explore(2, || {
        recycle();
    })));
    let outcomes = std::sync::Arc::new(std::sync::Mutex::new([0; 2]));
    let counted = std::sync::Arc::clone(&outcomes);
    explore(6, move || {
        let was_reused = recycle();
        counted.lock().unwrap()[usize::from(was_reused)] += 1;
    });
    let [fresh, reused] = *outcomes.lock().unwrap();
    assert!(fresh > 0 && reused > 0, "both happen: {fresh} and {reused}");
}
