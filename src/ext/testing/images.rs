//! Images: the fates of all un-synced changes put together, by choice, by chance, or one by one.
//!
//! ```text
//!  Plan   slots   [ data of file 3: #0 #1 │ data of file 5: #0 │ names: #0 #1 #2 ]
//!         fates   [   whole  torn         │   absent           │   whole absent whole ] ──► image
//! ```
//!
//! 1. Only changes that may matter have a slot: a file that no name can lead to has none.
//! 2. The number of an image, written in digits of as many values as a change has fates, is its fates.

use super::SimDisk;
use super::crash::{Fate, NameOrder, Unsynced, describe_data, describe_name};
use super::tree::{Dir, File, NameOp, Names, Node, NodeId, ROOT, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A change in the order in which fates are given: data by file, then names.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Data(NodeId, usize),
    Name(usize),
}

/// The un-synced changes of a tree that may matter.
#[derive(Clone, Debug)]
struct Plan {
    tree: Arc<Tree>,
    ops: Vec<Arc<NameOp>>,
    slots: Vec<Slot>,
    /// Where a file's changes begin among the slots.
    starts: BTreeMap<NodeId, usize>,
    names_start: usize,
}

impl Plan {
    fn new(tree: Arc<Tree>) -> Plan {
        let reachable = reachable(&tree);
        let mut slots = Vec::new();
        let mut starts = BTreeMap::new();
        for id in &reachable {
            if let Some(Node::File(file)) = tree.nodes.get(id) {
                starts.insert(*id, slots.len());
                slots.extend((0..file.unsynced.len()).map(|index| Slot::Data(*id, index)));
            }
        }
        let names_start = slots.len();
        let may_matter = |op: &&Arc<NameOp>| op.dirs().any(|dir| reachable.contains(&dir));
        let ops: Vec<_> = tree.pending.iter().filter(may_matter).cloned().collect();
        slots.extend((0..ops.len()).map(Slot::Name));
        Plan { tree, ops, slots, starts, names_start }
    }

    fn change(&self, slot: Slot) -> Unsynced<'_> {
        match slot {
            Slot::Data(id, index) => match self.tree.nodes.get(&id) {
                Some(Node::File(file)) => describe_data(file, index),
                _ => unreachable!("the plan is of this tree"),
            },
            Slot::Name(index) => describe_name(&self.ops[index]),
        }
    }

    /// The tree that is left if each slot has the fate of its number.
    fn image(&self, fates: &[Fate]) -> Tree {
        let mut changed = self.changed_names(&fates[self.names_start..]);
        let mut nodes = BTreeMap::new();
        let mut open = vec![ROOT];
        while let Some(id) = open.pop() {
            let node = match &self.tree.nodes[&id] {
                Node::Dir(dir) => {
                    let names = changed.remove(&id).map(Arc::new);
                    let names = names.unwrap_or_else(|| Arc::clone(&dir.durable));
                    open.extend(names.values());
                    Node::Dir(Arc::new(Dir { now: Arc::clone(&names), durable: names }))
                }
                Node::File(file) if file.is_settled() => Node::File(Arc::clone(file)),
                Node::File(file) => Node::File(Arc::new(self.file_image(id, file, fates))),
                Node::Other => Node::Other,
            };
            nodes.insert(id, node);
        }
        self.tree.settled(nodes)
    }

    fn changed_names(&self, fates: &[Fate]) -> BTreeMap<NodeId, Names> {
        let mut changed: BTreeMap<NodeId, Names> = BTreeMap::new();
        for (op, fate) in self.ops.iter().zip(fates) {
            if *fate == Fate::Absent {
                continue;
            }
            for (place, edit) in op.edits() {
                let names = changed.entry(place.dir).or_insert_with(|| {
                    self.tree.dir(place.dir).map(|dir| (*dir.durable).clone()).unwrap_or_default()
                });
                edit.apply(names, &place.name);
            }
        }
        changed
    }

    fn file_image(&self, id: NodeId, file: &File, fates: &[Fate]) -> File {
        let mut content = file.durable.clone();
        let start = self.starts[&id];
        for (change, fate) in file.unsynced.iter().zip(&fates[start..]) {
            change.apply_in_part(*fate, &mut content);
        }
        File::settled(content, &file.path)
    }
}

/// What some image may hold: all that durable names and pending ones lead to.
fn reachable(tree: &Tree) -> BTreeSet<NodeId> {
    let mut reachable = BTreeSet::new();
    let mut open = vec![ROOT];
    while let Some(id) = open.pop() {
        if !reachable.insert(id) {
            continue;
        }
        if let Some(Node::Dir(dir)) = tree.nodes.get(&id) {
            open.extend(dir.durable.values());
            let to_here = tree.pending.iter().filter(|op| op.place.dir == id);
            open.extend(to_here.map(|op| op.node));
        }
    }
    reachable
}

/// The image for the fates that are chosen for each change.
pub(super) fn cut(
    tree: Arc<Tree>,
    order: NameOrder,
    mut choose: impl FnMut(&Unsynced<'_>) -> Fate,
) -> Tree {
    let plan = Plan::new(tree);
    let mut fates = Vec::with_capacity(plan.slots.len());
    let mut has_stopped = false;
    for slot in &plan.slots {
        let fate = if has_stopped { Fate::Absent } else { choose(&plan.change(*slot)) };
        let is_name = matches!(slot, Slot::Name(_));
        has_stopped |= is_name && order == NameOrder::Journaled && fate == Fate::Absent;
        fates.push(fate);
    }
    plan.image(&fates)
}

/// Chooses fates by chance: of an even mix, of mostly absent or mostly whole changes.
pub(super) fn cut_by_chance(tree: Arc<Tree>, order: NameOrder, seed: u64) -> Tree {
    let mut random = Random(seed);
    let whole_of_8 = [1, 3, 4, 5, 7][random.below(5)];
    cut(tree, order, |change| {
        let fates = change.fates();
        match random.below(16) {
            0 if fates.len() > 2 => Fate::Sectors { mask: random.next() },
            1..6 => fates[random.below(fates.len())],
            _ if random.below(8) < whole_of_8 => Fate::Whole,
            _ => Fate::Absent,
        }
    })
}

/// SplitMix64: a seed gives the same images on every machine and with every version of any library.
#[derive(Clone, Copy, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The remainder favours small numbers, by one in 2⁶⁴ divided by `count`.
    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).expect("it is below a usize")
    }
}

/// The images that a power cut may leave; see [`SimDisk::crash_images`].
///
/// ```
/// use anabranch::testing::SimDisk;
/// use anabranch::{Disk, OpenMode};
/// use std::path::Path;
///
/// let disk = SimDisk::new();
/// let log = disk.open(Path::new("log"), OpenMode::Create)?;
/// disk.sync_dir(Path::new(""))?;
/// log.write_at(&[7; 700], 0)?;
///
/// let images = disk.crash_images(1_000);
/// assert!(images.is_exhaustive());
/// let mut lengths: Vec<_> = images.map(|image| image.read("log").map(|log| log.len())).collect();
/// assert_eq!(lengths.into_iter().collect::<Result<Vec<_>, _>>()?, [0, 700, 512, 700]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "an iterator does nothing until it is asked"]
#[derive(Clone, Debug)]
pub struct CrashImages {
    plan: Plan,
    choices: Vec<Choice>,
    total: u128,
    limit: usize,
    made: usize,
    digits: Vec<usize>,
    fates: Vec<Fate>,
    capacity: Option<u64>,
    order: NameOrder,
}

/// A digit of an image's number: what it may be, and which slots it decides about.
#[derive(Clone, Debug)]
enum Choice {
    Fate(Vec<Fate>),
    /// How many of the name operations are whole, for a journal: the rest is absent.
    Prefix,
}

impl CrashImages {
    pub(super) fn new(
        tree: Arc<Tree>,
        order: NameOrder,
        capacity: Option<u64>,
        limit: usize,
    ) -> CrashImages {
        let plan = Plan::new(tree);
        let is_single = |slot: &&Slot| order == NameOrder::Any || matches!(slot, Slot::Data(..));
        let singles = plan.slots.iter().filter(is_single);
        let mut choices: Vec<Choice> =
            singles.map(|slot| Choice::Fate(plan.change(*slot).fates())).collect();
        if choices.len() < plan.slots.len() {
            choices.push(Choice::Prefix);
        }
        let names = plan.slots.len() - plan.names_start;
        let radices = choices.iter().map(|choice| choice.count(names) as u128);
        let total = radices.fold(1_u128, u128::saturating_mul);
        let digits = vec![0; choices.len()];
        let fates = vec![Fate::Absent; plan.slots.len()];
        CrashImages { plan, choices, total, limit, made: 0, digits, fates, capacity, order }
    }

    /// How many images there are, whatever the limit; [`u128::MAX`] stands for more than that.
    pub fn total(&self) -> u128 {
        self.total
    }

    /// Whether each of them comes, once. Otherwise the limit is smaller: everything absent comes,
    /// then everything whole, then images by chance, the same in every run.
    pub fn is_exhaustive(&self) -> bool {
        self.total <= self.limit as u128
    }

    fn names(&self) -> usize {
        self.plan.slots.len() - self.plan.names_start
    }

    /// Sets the digits to those of the next image.
    fn turn(&mut self) {
        let names = self.names();
        if self.is_exhaustive() {
            for (digit, choice) in self.digits.iter_mut().zip(&self.choices) {
                *digit += 1;
                if *digit < choice.count(names) {
                    return;
                }
                *digit = 0;
            }
        } else if self.made == 1 {
            for (digit, choice) in self.digits.iter_mut().zip(&self.choices) {
                *digit = choice.count(names) - 1;
            }
        } else {
            let mut random = Random(self.made as u64);
            for (digit, choice) in self.digits.iter_mut().zip(&self.choices) {
                *digit = random.below(choice.count(names));
            }
        }
    }
}

impl Choice {
    fn count(&self, names: usize) -> usize {
        match self {
            Choice::Fate(fates) => fates.len(),
            Choice::Prefix => names + 1,
        }
    }
}

impl Iterator for CrashImages {
    type Item = SimDisk;

    fn next(&mut self) -> Option<SimDisk> {
        if self.made >= self.limit || self.made as u128 >= self.total {
            return None;
        }
        if self.made > 0 {
            self.turn();
        }
        self.made += 1;
        for (slot, (choice, digit)) in self.choices.iter().zip(&self.digits).enumerate() {
            match choice {
                Choice::Fate(fates) => self.fates[slot] = fates[*digit],
                Choice::Prefix => {
                    for (number, fate) in self.fates[slot..].iter_mut().enumerate() {
                        *fate = if number < *digit { Fate::Whole } else { Fate::Absent };
                    }
                }
            }
        }
        let tree = Arc::new(self.plan.image(&self.fates));
        Some(SimDisk::of(tree, self.order, self.capacity))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let total = usize::try_from(self.total).unwrap_or(usize::MAX);
        let left = total.min(self.limit) - self.made;
        (left, Some(left))
    }
}

impl ExactSizeIterator for CrashImages {}
