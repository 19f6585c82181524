//! What is behind the simulated disk's lock: the tree, who holds what, which calls are to fail.

use super::crash::NameOrder;
use super::faults::{Call, CallKind, Crashed, Fault, Rule};
use super::tree::{NodeId, Tree};
use crate::sync::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What all clones of a disk, its open files and its locks share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Guards everything: one call is made at a time, as the image of a moment needs.
    pub(super) state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) tree: Arc<Tree>,
    pub(super) locks: BTreeSet<NodeId>,
    /// How many files are open on a node.
    pub(super) handles: BTreeMap<NodeId, usize>,
    pub(super) order: NameOrder,
    pub(super) capacity: Option<u64>,
    pub(super) rules: Vec<Rule>,
    pub(super) calls: u64,
    pub(super) syncs: u64,
    faults: u64,
    pub(super) crash_after: Option<u64>,
    pub(super) recorded: Option<Vec<(u64, Arc<Tree>)>>,
}

impl Shared {
    pub(super) fn new(state: State) -> Shared {
        Shared { state: Mutex::new(state) }
    }
}

impl State {
    pub(super) fn new(tree: Arc<Tree>, order: NameOrder, capacity: Option<u64>) -> State {
        State {
            tree,
            locks: BTreeSet::new(),
            handles: BTreeMap::new(),
            order,
            capacity,
            rules: Vec::new(),
            calls: 0,
            syncs: 0,
            faults: 0,
            crash_after: None,
            recorded: None,
        }
    }

    pub(super) fn has_crashed(&self) -> bool {
        self.crash_after.is_some_and(|limit| self.calls >= limit)
    }

    /// Counts a call and lets it fail if it is to: an error, or how many bytes it may move.
    pub(super) fn begin(&mut self, kind: CallKind, path: &Path) -> io::Result<usize> {
        if self.has_crashed() {
            return Err(io::Error::other(Crashed));
        }
        self.calls += 1;
        let call = Call { kind, path, number: self.calls };
        let mut fault = None;
        // Each rule sees each call: it counts.
        for rule in &mut self.rules {
            if (rule.is_met)(&call) && fault.is_none() {
                fault = Some(rule.fault);
            }
        }
        let Some(fault) = fault else { return Ok(usize::MAX) };
        if let Some(error) = fault.error() {
            self.faults += 1;
            return Err(error);
        }
        match fault {
            Fault::Short { bytes } if kind.has_length() => {
                self.faults += 1;
                Ok(bytes)
            }
            _ => Ok(usize::MAX),
        }
    }

    pub(super) fn faults(&self) -> u64 {
        self.faults
    }

    pub(super) fn end_sync(&mut self) {
        self.syncs += 1;
    }

    /// Keeps an image of what a call has changed.
    pub(super) fn keep(&mut self) {
        if let Some(recorded) = &mut self.recorded
            && !recorded.last().is_some_and(|(_, tree)| Arc::ptr_eq(tree, &self.tree))
        {
            recorded.push((self.calls, Arc::clone(&self.tree)));
        }
    }

    /// How many bytes files may still grow by.
    pub(super) fn free(&self) -> u64 {
        let Some(capacity) = self.capacity else { return u64::MAX };
        let mut counted: BTreeSet<NodeId> = self.handles.keys().copied().collect();
        counted.extend(self.tree.walk().into_iter().map(|(_, id)| id));
        let files = counted.into_iter().filter_map(|id| self.tree.file(id).ok());
        capacity.saturating_sub(files.map(|file| file.now.len()).sum())
    }
}
