//! `raft-engine`: one `LogBatch` with one entry for each commit, written with `sync`; one sync carries
//! all that wait.
//!
//! Entries of one Raft group must come in order, so each thread has a group of its own, as in TiKV.
//! An entry has an index and bytes. Of the messages that come with protobuf one has both, so that
//! nothing needs to be generated. Its file system is its own with one addition: syncs are counted.

use crate::contest::{Side, race};
use crate::payload::{Inline, Payloads};
use protobuf::descriptor::UninterpretedOption;
use raft_engine::env::{DefaultFileSystem, FileSystem, Handle, Permission};
use raft_engine::{Config, Engine, LogBatch, MessageExt};
use std::io::Result;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

struct Entries;

impl MessageExt for Entries {
    type Entry = UninterpretedOption;

    fn index(entry: &UninterpretedOption) -> u64 {
        entry.get_positive_int_value()
    }
}

fn entry(index: u64, payload: &Inline) -> UninterpretedOption {
    let mut entry = UninterpretedOption::new();
    entry.set_positive_int_value(index);
    entry.set_string_value(payload.to_vec());
    entry
}

/// Returns the time, and how many syncs there were in it.
pub(crate) fn commit(dir: &Path, threads: u64, each: u64) -> (Duration, u64) {
    let payloads = Payloads::new();
    let dir = dir.to_str().expect("the folder's name is text").to_owned();
    let syncs = Arc::new(AtomicU64::new(0));
    let files = Arc::new(Counting { syncs: syncs.clone() });
    let config = Config { dir, ..Config::default() };
    let engine = Engine::open_with_file_system(config, files).expect("raft-engine opens");
    super::folder::settle();
    let before = syncs.load(Ordering::Relaxed);
    let sides = (0..threads).map(|thread| {
        let engine = &engine;
        Box::new(move || {
            let mut batch = LogBatch::default();
            for index in 1..=each {
                let entry = entry(index, payloads.get(thread * each + index));
                batch.add_entries::<Entries>(thread + 1, &[entry]).expect("the entry fits");
                engine.write(&mut batch, true).expect("raft-engine commits");
            }
        }) as Side<'_>
    });
    let took = race(sides.collect());
    let syncs = syncs.load(Ordering::Relaxed) - before;
    assert!((1..=threads).all(|group| engine.last_index(group) == Some(each)));
    (took, syncs)
}

/// The file system that raft-engine has by itself.
struct Counting {
    syncs: Arc<AtomicU64>,
}

struct CountingHandle {
    file: Arc<<DefaultFileSystem as FileSystem>::Handle>,
    syncs: Arc<AtomicU64>,
}

impl Handle for CountingHandle {
    fn truncate(&self, offset: usize) -> Result<()> {
        self.file.truncate(offset)
    }

    fn file_size(&self) -> Result<usize> {
        self.file.file_size()
    }

    fn sync(&self) -> Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync()
    }
}

impl Counting {
    fn counted(&self, file: <DefaultFileSystem as FileSystem>::Handle) -> CountingHandle {
        CountingHandle { file: Arc::new(file), syncs: self.syncs.clone() }
    }
}

impl FileSystem for Counting {
    type Handle = CountingHandle;
    type Reader = <DefaultFileSystem as FileSystem>::Reader;
    type Writer = <DefaultFileSystem as FileSystem>::Writer;

    fn create<P: AsRef<Path>>(&self, path: P) -> Result<CountingHandle> {
        DefaultFileSystem.create(path).map(|file| self.counted(file))
    }

    fn open<P: AsRef<Path>>(&self, path: P, permission: Permission) -> Result<CountingHandle> {
        DefaultFileSystem.open(path, permission).map(|file| self.counted(file))
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> Result<()> {
        DefaultFileSystem.delete(path)
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> Result<()> {
        DefaultFileSystem.rename(from, to)
    }

    fn new_reader(&self, handle: Arc<CountingHandle>) -> Result<Self::Reader> {
        DefaultFileSystem.new_reader(handle.file.clone())
    }

    fn new_writer(&self, handle: Arc<CountingHandle>) -> Result<Self::Writer> {
        DefaultFileSystem.new_writer(handle.file.clone())
    }
}
