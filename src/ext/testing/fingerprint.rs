//! Which disks are alike: a number for all that the next process could find, now or after a power cut.
//!
//! ```text
//!  root ─┬─ names now, durable      ──► each file: bytes now, durable, un-synced changes
//!        └─ operations of names           met again: the number of the first visit
//! ```
//!
//! 1. The numbers that a tree gives its nodes do not count: they tell how it came about.

use super::SimDisk;
use super::tree::{Change, Dir, File, NameChange, Node, NodeId, ROOT, Tree};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

impl SimDisk {
    /// A number for what the disk holds and for what a power cut may still make of it: disks that do
    /// not differ in that have the same one, and others have another, but for one pair in 2⁶⁴.
    ///
    /// So a test need not look twice at images that are alike. The number may be another one with
    /// another version of the compiler.
    ///
    /// ```
    /// use anabranch::testing::{Fate, SimDisk};
    /// use anabranch::{Disk, OpenMode};
    /// use std::path::Path;
    ///
    /// let disk = SimDisk::new();
    /// let log = disk.open(Path::new("log"), OpenMode::Create)?;
    /// disk.sync_dir(Path::new(""))?;
    /// let empty = disk.fingerprint();
    /// log.write_at(b"x", 0)?;
    /// assert_ne!(disk.fingerprint(), empty);
    /// assert_eq!(disk.power_cut(|_| Fate::Absent).fingerprint(), empty);
    /// assert_ne!(disk.power_cut(|_| Fate::Whole).fingerprint(), disk.fingerprint()); // It may be lost.
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn fingerprint(&self) -> u64 {
        let tree = self.with(|state| Arc::clone(&state.tree));
        let mut print = Print { tree: &tree, met: BTreeMap::new(), hasher: DefaultHasher::new() };
        print.node(ROOT);
        for op in &tree.pending {
            let hasher = &mut print.hasher;
            op.place.path.hash(hasher);
            match &op.what {
                NameChange::Create => hasher.write_u8(0),
                NameChange::Remove => hasher.write_u8(1),
                NameChange::Rename { from } => from.path.hash(hasher),
            }
            print.node(op.node);
        }
        print.hasher.finish()
    }
}

struct Print<'a> {
    tree: &'a Tree,
    met: BTreeMap<NodeId, usize>,
    hasher: DefaultHasher,
}

impl Print<'_> {
    fn node(&mut self, id: NodeId) {
        let number = self.met.len();
        if let Some(number) = self.met.get(&id) {
            return self.hasher.write_usize(*number);
        }
        self.met.insert(id, number);
        match self.tree.nodes.get(&id) {
            Some(Node::Dir(dir)) => self.dir(dir),
            Some(Node::File(file)) => self.file(file),
            Some(Node::Other) | None => self.hasher.write_u8(0),
        }
    }

    fn dir(&mut self, dir: &Dir) {
        for names in [&dir.now, &dir.durable] {
            self.hasher.write_usize(names.len());
            for (name, id) in names.iter() {
                name.hash(&mut self.hasher);
                self.node(*id);
            }
        }
    }

    fn file(&mut self, file: &File) {
        let hasher = &mut self.hasher;
        file.now.hash(hasher);
        hasher.write_usize(file.unsynced.len());
        if file.is_settled() {
            return;
        }
        file.durable.hash(hasher);
        for change in &file.unsynced {
            match change {
                Change::Write { position, bytes } => (position, bytes).hash(hasher),
                Change::SetLen { bytes } => bytes.hash(hasher),
            }
        }
    }
}
