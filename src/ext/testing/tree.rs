//! The simulated disk's state: directories and files, as they are now and as they are durable.
//!
//! ```text
//!  directory   now      { "a": 3, "b": 4 }        ◄── what calls see
//!              durable  { "a": 3 }                ◄── what a power cut leaves, with some of:
//!  pending     [ create b=4 in directory 0 ]          name operations, until sync_dir
//!
//!  file 3      now      "hello world"
//!              durable  "hello"
//!              unsynced [ write " world" at 5 ]       changes, until sync_data
//! ```
//!
//! 1. `now` is `durable` with all that is pending, in order, unless a sync has failed: then what was
//!    pending is forgotten and `now` has bytes that no later sync will make durable.
//! 2. Names and data are strangers: a name may be durable without the bytes, and bytes without a name.
//! 3. A tree is cheap to copy. Nothing in it is changed while a copy shares it.

use super::content::Content;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// What has no name is still itself: a file, a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(u32);

pub(super) const ROOT: NodeId = NodeId(0);

pub(super) type Names = BTreeMap<Arc<str>, NodeId>;

#[derive(Clone, Debug)]
pub(super) enum Node {
    Dir(Arc<Dir>),
    File(Arc<File>),
    /// A link, a device: there to be refused.
    Other,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Dir {
    pub(super) now: Arc<Names>,
    pub(super) durable: Arc<Names>,
}

#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) now: Content,
    pub(super) durable: Content,
    pub(super) unsynced: Vec<Change>,
    /// A sync has failed: `now` is no longer `durable` with `unsynced`.
    has_lost: bool,
    /// The name it has, or had last.
    pub(super) path: Arc<Path>,
}

/// A change of a file's data.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { position: u64, bytes: Arc<[u8]> },
    SetLen { bytes: u64 },
}

/// A change of names.
#[derive(Clone, Debug)]
pub(super) struct NameOp {
    pub(super) what: NameChange,
    pub(super) node: NodeId,
    pub(super) place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Create,
    Remove,
    Rename { from: Place },
}

/// A name in a directory, and the path it had when it was used.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) dir: NodeId,
    pub(super) name: Arc<str>,
    pub(super) path: Arc<Path>,
}

#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) pending: Vec<Arc<NameOp>>,
    next_id: u32,
}

impl Tree {
    pub(super) fn new() -> Tree {
        Tree {
            nodes: BTreeMap::from([(ROOT, Node::Dir(Arc::default()))]),
            pending: Vec::new(),
            next_id: 1,
        }
    }

    /// A tree with nothing pending, in which the numbers of `self` keep their meaning.
    pub(super) fn settled(&self, nodes: BTreeMap<NodeId, Node>) -> Tree {
        Tree { nodes, pending: Vec::new(), next_id: self.next_id }
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut at = ROOT;
        for name in names_of(path) {
            at = *self.dir(at)?.now.get(name?).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    pub(super) fn find_dir(&self, path: &Path) -> io::Result<NodeId> {
        let id = self.find(path)?;
        self.dir(id).map(|_| id)
    }

    /// Where a path's last name stands, or would stand.
    pub(super) fn place(&self, path: &Path) -> io::Result<Place> {
        let name = names_of(path).next_back().ok_or_else(no_name)??;
        let dir = self.find_dir(path.parent().ok_or_else(no_name)?)?;
        Ok(Place { dir, name: name.into(), path: plain(path).into() })
    }

    pub(super) fn at(&self, place: &Place) -> Option<NodeId> {
        self.dir(place.dir).ok()?.now.get(&place.name).copied()
    }

    pub(super) fn dir(&self, id: NodeId) -> io::Result<&Dir> {
        match self.nodes.get(&id) {
            Some(Node::Dir(dir)) => Ok(dir),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn file(&self, id: NodeId) -> io::Result<&File> {
        match self.nodes.get(&id) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(not_ordinary()),
        }
    }

    pub(super) fn file_mut(&mut self, id: NodeId) -> io::Result<&mut File> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => Ok(Arc::make_mut(file)),
            _ => Err(not_ordinary()),
        }
    }

    fn dir_mut(&mut self, id: NodeId) -> &mut Dir {
        match self.nodes.get_mut(&id) {
            Some(Node::Dir(dir)) => Arc::make_mut(dir),
            _ => panic!("a place is in a directory"),
        }
    }

    pub(super) fn create_file(&mut self, place: Place) -> NodeId {
        let file = File {
            now: Content::default(),
            durable: Content::default(),
            unsynced: Vec::new(),
            has_lost: false,
            path: Arc::clone(&place.path),
        };
        self.create(place, Node::File(Arc::new(file)))
    }

    pub(super) fn create(&mut self, place: Place, node: Node) -> NodeId {
        let id = NodeId(self.next_id);
        self.next_id += 1;
        self.nodes.insert(id, node);
        Arc::make_mut(&mut self.dir_mut(place.dir).now).insert(Arc::clone(&place.name), id);
        self.pending.push(Arc::new(NameOp { what: NameChange::Create, node: id, place }));
        id
    }

    pub(super) fn create_dirs(&mut self, path: &Path) -> io::Result<()> {
        let mut so_far = PathBuf::new();
        for name in names_of(path) {
            so_far.push(name?);
            let place = self.place(&so_far)?;
            match self.at(&place) {
                Some(id) => self.dir(id).map(|_| ())?,
                None => {
                    self.create(place, Node::Dir(Arc::default()));
                }
            }
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, place: Place) {
        let removed = Arc::make_mut(&mut self.dir_mut(place.dir).now).remove(&place.name);
        let node = removed.expect("what is removed was found");
        self.pending.push(Arc::new(NameOp { what: NameChange::Remove, node, place }));
    }

    pub(super) fn rename(&mut self, from: Place, to: Place) {
        let removed = Arc::make_mut(&mut self.dir_mut(from.dir).now).remove(&from.name);
        let node = removed.expect("what is renamed was found");
        if let Ok(file) = self.file_mut(node) {
            file.path = Arc::clone(&to.path);
        }
        Arc::make_mut(&mut self.dir_mut(to.dir).now).insert(Arc::clone(&to.name), node);
        let what = NameChange::Rename { from };
        self.pending.push(Arc::new(NameOp { what, node, place: to }));
    }

    /// Makes a directory's names durable.
    ///
    /// A file that came from another directory takes along what happened there before: one
    /// operation cannot be half durable, and the order inside a directory is kept.
    pub(super) fn sync_dir(&mut self, dir: NodeId) {
        let mut dirs = BTreeSet::from([dir]);
        let mut durable = Vec::new();
        let mut pending = Vec::new();
        for op in std::mem::take(&mut self.pending).into_iter().rev() {
            if op.dirs().any(|dir| dirs.contains(&dir)) {
                dirs.extend(op.dirs());
                durable.push(op);
            } else {
                pending.push(op);
            }
        }
        for op in durable.into_iter().rev() {
            for (place, edit) in op.edits() {
                edit.apply(Arc::make_mut(&mut self.dir_mut(place.dir).durable), &place.name);
            }
        }
        pending.reverse();
        self.pending = pending;
        for dir in dirs {
            let dir = self.dir_mut(dir);
            if dir.now == dir.durable {
                dir.durable = Arc::clone(&dir.now);
            }
        }
    }

    /// Forgets what has no name, will have none after a power cut, and is not open.
    pub(super) fn collect(&mut self, is_open: impl Fn(NodeId) -> bool) {
        let mut kept = BTreeSet::new();
        let mut open: Vec<NodeId> = vec![ROOT];
        open.extend(self.nodes.keys().copied().filter(|id| is_open(*id)));
        for op in &self.pending {
            open.extend(op.dirs().chain([op.node]));
        }
        while let Some(id) = open.pop() {
            if !kept.insert(id) {
                continue;
            }
            if let Some(Node::Dir(dir)) = self.nodes.get(&id) {
                open.extend(dir.now.values().chain(dir.durable.values()));
            }
        }
        self.nodes.retain(|id, _| kept.contains(id));
    }

    /// What has a name now: paths in order, without the root.
    pub(super) fn walk(&self) -> Vec<(PathBuf, NodeId)> {
        let mut found = Vec::new();
        self.walk_below(&mut PathBuf::new(), ROOT, &mut found);
        found
    }

    /// Paths are in order if names are: they are compared name by name.
    fn walk_below(&self, path: &mut PathBuf, id: NodeId, found: &mut Vec<(PathBuf, NodeId)>) {
        let Some(Node::Dir(dir)) = self.nodes.get(&id) else { return };
        for (name, id) in dir.now.iter() {
            path.push(&**name);
            found.push((path.clone(), *id));
            self.walk_below(path, *id, found);
            path.pop();
        }
    }
}

impl File {
    pub(super) fn write(&mut self, bytes: &[u8], position: u64) {
        if !bytes.is_empty() {
            self.now.write(bytes, position);
            self.unsynced.push(Change::Write { position, bytes: bytes.into() });
        }
    }

    pub(super) fn set_len(&mut self, bytes: u64) {
        if bytes != self.now.len() {
            self.now.set_len(bytes);
            self.unsynced.push(Change::SetLen { bytes });
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.unsynced.is_empty() && !self.has_lost
    }

    pub(super) fn sync(&mut self) {
        let unsynced = std::mem::take(&mut self.unsynced);
        if self.has_lost {
            unsynced.iter().for_each(|change| change.apply(&mut self.durable));
        } else {
            self.durable = self.now.clone();
        }
    }

    /// What a failed sync does: the system takes the pages for clean and will not write them again. A
    /// length that was set is in no page, and waits for the next sync.
    pub(super) fn lose(&mut self) {
        let is_lost = |change: &Change| matches!(change, Change::Write { .. });
        self.has_lost |= self.unsynced.iter().any(is_lost);
        self.unsynced.retain(|change| !is_lost(change));
    }

    /// Makes what the file holds durable, whatever has happened to it.
    pub(super) fn settle(&mut self) {
        self.unsynced.clear();
        self.has_lost = false;
        self.durable = self.now.clone();
    }

    /// A file that has always held this.
    pub(super) fn settled(content: Content, path: &Arc<Path>) -> File {
        File {
            now: content.clone(),
            durable: content,
            unsynced: Vec::new(),
            has_lost: false,
            path: Arc::clone(path),
        }
    }
}

impl Change {
    pub(super) fn apply(&self, content: &mut Content) {
        match self {
            Change::Write { position, bytes } => content.write(bytes, *position),
            Change::SetLen { bytes } => content.set_len(*bytes),
        }
    }
}

impl NameOp {
    pub(super) fn dirs(&self) -> impl Iterator<Item = NodeId> {
        let from = match &self.what {
            NameChange::Rename { from } => Some(from.dir),
            NameChange::Create | NameChange::Remove => None,
        };
        from.into_iter().chain([self.place.dir])
    }

    /// The names that go and the name that comes.
    pub(super) fn edits(&self) -> impl Iterator<Item = (&Place, Edit)> {
        let (gone, come) = match &self.what {
            NameChange::Create => (None, true),
            NameChange::Remove => (Some(&self.place), false),
            NameChange::Rename { from } => (Some(from), true),
        };
        let gone = gone.map(|place| (place, Edit::Forget(self.node)));
        gone.into_iter().chain(come.then_some((&self.place, Edit::Insert(self.node))))
    }
}

/// What becomes of one name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Edit {
    Insert(NodeId),
    /// If it is the name of this one. In an image earlier operations may be absent.
    Forget(NodeId),
}

impl Edit {
    pub(super) fn apply(self, names: &mut Names, name: &Arc<str>) {
        match self {
            Edit::Insert(node) => {
                names.insert(Arc::clone(name), node);
            }
            Edit::Forget(node) if names.get(name) == Some(&node) => {
                names.remove(name);
            }
            Edit::Forget(_) => {}
        }
    }
}

/// The names in a path. `/data`, `data` and `./data` are one path; `..` leads nowhere.
fn names_of(path: &Path) -> impl DoubleEndedIterator<Item = io::Result<&str>> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_str().ok_or_else(no_name)),
        Component::ParentDir => Some(Err(no_name())),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    })
}

fn plain(path: &Path) -> PathBuf {
    names_of(path).filter_map(Result::ok).collect()
}

fn no_name() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "is not a name on a simulated disk")
}

fn not_ordinary() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "is not an ordinary file")
}
