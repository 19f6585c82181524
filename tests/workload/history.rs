//! What happened: every operation with when it began and ended, and what came of it.
//!
//! Times are ticks of one counter that all threads share, so *a* ended before *b* began exactly if
//! `a.returned < b.invoked`. The checkers are functions of this and of nothing else.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A topic by number, and a partition of it.
pub(crate) type Key = (u8, u32);
/// What a record carries; no two records carry the same.
pub(crate) type Value = u64;
pub(crate) type Offset = u64;
pub(crate) type Tick = u64;
/// A producer, or one life of a consumer.
pub(crate) type Who = u32;

/// Where a value was found.
pub(crate) type Found = (Key, Offset, Value);

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) invoked: Tick,
    pub(crate) returned: Tick,
    pub(crate) who: Who,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Acknowledged: each value with its place, in the order of the call.
    Sent(Vec<Found>),
    /// Refused: none of it may ever be seen.
    SendFailed(Vec<Value>),
    Polled(Poll),
    /// A position was set; `None` is one that does not exist, which the next poll resolves.
    Sought(Key, Option<Offset>),
    /// Partitions came, with the position that each has and what was committed for it.
    Assigned(Vec<(Key, Option<Offset>, Option<Offset>)>),
    Revoked(Vec<Key>),
    Lost(Vec<Key>),
    /// The consumer is about to end without a word to its listener.
    Crashed,
    Committed(Commit),
    Described(Description),
    /// A topic's memory, and what it may be.
    Memory {
        bytes: u64,
        limit: u64,
    },
    /// How long a blocked poll took to return after records came, in milliseconds.
    Woken {
        millis: u64,
    },
    /// A value of a key in the compacted topic was acknowledged.
    Kept {
        key: u64,
        offset: Offset,
        value: Value,
    },
    /// A partition as it was found after the broker ended.
    Reopened(Reopened),
    /// The compacted topic, likewise: keys, offsets and values.
    Compacted {
        is_covered: bool,
        end: Offset,
        records: Vec<(u64, Offset, Value)>,
    },
    LookedUp(LookUp),
    /// Somebody read below the start of a log.
    ReadBelow {
        key: Key,
        is_refused: bool,
    },
    /// A directory that was closed in good order was opened.
    OpenedClean {
        is_changed: bool,
    },
    /// A partition as it stands at the end, when all faults have stopped.
    Log {
        key: Key,
        start: Offset,
        records: Vec<(Offset, Value)>,
    },
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Poll {
    pub(crate) records: Vec<Found>,
    /// Records that the poll said were gone.
    pub(crate) lost: Vec<(Key, u64)>,
    /// Partitions that were read before and after, were not paused, and their position afterwards.
    pub(crate) watched: Vec<(Key, Offset)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) is_ok: bool,
    /// Refused by the disk, so that whether it is stored is not known.
    pub(crate) is_unknown: bool,
    pub(crate) offsets: Vec<(Key, Offset)>,
    /// Where each of the logs ended when the commit had returned.
    pub(crate) ends: Vec<(Key, Offset)>,
    /// What the group said, just before, that the member holds; `None` if it was not a member.
    pub(crate) held: Option<Vec<Key>>,
    /// Whether the program went back on purpose.
    pub(crate) goes_back: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Description {
    pub(crate) is_stable: bool,
    /// Each member's partitions, those included that it has yet to let go of.
    pub(crate) held: Vec<(String, Vec<Key>)>,
    /// All partitions of topics that somebody subscribes to.
    pub(crate) wanted: Vec<Key>,
}

/// A partition after the broker ended, one way or another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reopened {
    pub(crate) key: Key,
    /// Whether the way the broker ended is one that the topic's durability covers, and that of commits.
    pub(crate) is_covered: bool,
    pub(crate) are_commits_covered: bool,
    pub(crate) start: Offset,
    pub(crate) records: Vec<(Offset, Value)>,
    pub(crate) committed: Option<Offset>,
    /// The latest leader epoch in the files when the broker ended.
    pub(crate) epoch_before: Option<u32>,
    /// The leader epochs of the batches that are left, with their base offsets.
    pub(crate) epochs: Vec<(Offset, u32)>,
}

impl Reopened {
    pub(crate) fn end(&self) -> Offset {
        self.records.last().map_or(self.start, |(offset, _)| offset + 1)
    }
}

/// What an index says, and what looking at all records says.
#[derive(Clone, Debug)]
pub(crate) struct LookUp {
    pub(crate) key: Key,
    pub(crate) by_index: Option<Offset>,
    pub(crate) by_scan: Option<Offset>,
}

/// All that happened, by the time it ended.
pub(crate) type History = Vec<Event>;

/// Writes down what happens, from any thread.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    ticks: AtomicU64,
    events: Mutex<History>,
}

impl Recorder {
    pub(crate) fn tick(&self) -> Tick {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    /// Something that began at `invoked` and ended now.
    pub(crate) fn note(&self, who: Who, invoked: Tick, what: What) {
        let returned = self.tick();
        let mut events = self.events.lock().expect("no panic while it is held");
        events.push(Event { invoked, returned, who, what });
    }

    pub(crate) fn note_now(&self, who: Who, what: What) {
        self.note(who, self.tick(), what);
    }

    pub(crate) fn finish(&self) -> History {
        let mut history = std::mem::take(&mut *self.events.lock().expect("as above"));
        history.sort_by_key(|event| event.returned);
        history
    }
}
