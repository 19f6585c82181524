//! How many records a second reach the disk when each is acknowledged as synced by itself?

use crate::cases::{Case, Group};
use crate::contest::{Contender, Size};
use crate::files::okaywal::{self, Keeps};
use crate::files::raw::{self, Batches};
use crate::files::{COMMITS, commits, folder, raft};

const QUESTION: &str = "Each record is sent by itself; the call returns when it is on the disk. One \
    sync may carry those of all threads. okaywal recycles its files unless it has room for all; each \
    thread of raft-engine has a group of its own.";

pub(crate) const CASES: [Case; 4] = [
    case("synced-1", |size| contenders(size, 1)),
    case("synced-4", |size| contenders(size, 4)),
    case("synced-16", |size| contenders(size, 16)),
    case("synced-64", |size| contenders(size, 64)),
];

const fn case(name: &'static str, contenders: fn(&Size) -> Vec<Contender>) -> Case {
    Case { group: Group::Files, name, question: QUESTION, contenders }
}

/// Commits of each thread, for a second or so.
const COMMITS_EACH: u64 = 2_000;

fn contenders(size: &Size, threads: u64) -> Vec<Contender> {
    let each = size.count(COMMITS_EACH);
    let count = threads * each;
    let wanted = if threads == 1 { 0.95 } else { 1.3 };
    let mut contenders = vec![
        Contender::new("anabranch send", move || {
            let dir = folder::fresh();
            let durability = anabranch::Durability::Synced;
            let (took, syncs) = crate::ours_files::send_each(dir.path(), threads, each, durability);
            commits(count, took, Some(syncs))
        }),
        Contender::new("okaywal commit", move || {
            let dir = folder::fresh();
            commits(count, okaywal::commit(dir.path(), threads, each, Keeps::Nothing), None)
        })
        .wanted(COMMITS, wanted),
        Contender::new("okaywal commit, room for all", move || {
            let dir = folder::fresh();
            commits(count, okaywal::commit(dir.path(), threads, each, Keeps::Everything), None)
        })
        .wanted(COMMITS, wanted),
    ];
    let raft = Contender::new("raft-engine write", move || {
        let dir = folder::fresh();
        let (took, syncs) = raft::commit(dir.path(), threads, each);
        commits(count, took, Some(syncs))
    });
    contenders.push(if threads == 1 { raft } else { raft.wanted(COMMITS, wanted) });
    if threads == 1 {
        contenders.push(raw_sync("raw pwrite, fdatasync; growing", count, false));
        contenders.push(raw_sync("raw pwrite, fdatasync; prewritten", count, true));
    }
    contenders
}

fn raw_sync(name: &'static str, count: u64, is_filled: bool) -> Contender {
    let batches = Batches::of(1);
    Contender::new(name, move || {
        let dir = folder::fresh();
        commits(count, raw::sync_each(dir.path(), &batches, count, is_filled), Some(count))
    })
}
