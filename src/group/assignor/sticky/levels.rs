//! Levels: how many partitions each member has in the best balance, give or take one.
//!
//! The members fall into blocks. In a block with ceiling β every member has β or β-1 partitions,
//! all of them from topics of the block. A block's topics may have subscribers in higher blocks
//! (who have enough already), never in lower ones (who would gladly take some).
//!
//! ```text
//!  load
//!   9 ┤ ██ ██          block 0, β = 9: topics that only these members subscribe to
//!   8 ┤ ██ ██ ██
//!   3 ┤ ██ ██ ██ ██ ██      block 1, β = 3: topics with a subscriber in block 1, none lower
//!   2 ┤ ██ ██ ██ ██ ██ ██
//! ```
//!
//! Divide and conquer: take the average load, rounded up, as β. Cap every member at β and push a
//! maximum flow. What does not fit marks the topics and members that must go above β: they are
//! split off. If all fits, take partitions from members at β for members below β-1. Who cannot be
//! helped marks the topics and members that stay below: they are split off, and the rest is a block.
//!
//! 1. Blocks have distinct ceilings, and a split never separates members of one class.
//! 2. Each split costs one or two maximum flows on the graph of classes, not of members.

use super::super::roster::number;
use super::classes::Classes;
use super::network::{FIRST_NODE, Network, SINK, SOURCE, UNLIMITED};

/// The blocks, in no particular order.
pub(super) struct Levels {
    pub(super) blocks: Vec<Block>,
    /// By member class, its index in `blocks`.
    pub(super) block_of: Vec<u32>,
}

/// Members whose loads differ by at most one, and the topics they share.
pub(super) struct Block {
    /// β: the highest load in the block. 0 if it has no topics.
    pub(super) ceiling: u64,
    pub(super) part: Part,
}

/// Some topic classes and some member classes.
pub(super) struct Part {
    pub(super) topics: Vec<u32>,
    pub(super) members: Vec<u32>,
}

impl Part {
    fn split(self, is_first: impl Fn(Node) -> bool) -> (Part, Part) {
        let (first_topics, topics) =
            self.topics.into_iter().partition(|&topic| is_first(Node::Topic(topic)));
        let (first_members, members) =
            self.members.into_iter().partition(|&class| is_first(Node::Members(class)));
        (Part { topics: first_topics, members: first_members }, Part { topics, members })
    }
}

enum Node {
    Topic(u32),
    Members(u32),
}

impl Levels {
    /// Finds the blocks of the best balance.
    pub(super) fn new(classes: &Classes) -> Self {
        let whole = Part {
            topics: (0..number(classes.topics.len())).collect(),
            members: (0..number(classes.members.len())).collect(),
        };
        let mut levels = Levels { blocks: Vec::new(), block_of: vec![0; classes.members.len()] };
        let mut parts = vec![whole];
        let mut splitter = Splitter::new(classes);
        while let Some(part) = parts.pop() {
            if part.members.is_empty() {
                continue;
            }
            match splitter.split(part) {
                Split::Block(block) => levels.add(block),
                Split::Above(above, rest) => parts.extend([above, rest]),
                Split::Below(block, below) => {
                    levels.add(block);
                    parts.push(below);
                }
            }
        }
        levels
    }

    fn add(&mut self, block: Block) {
        let index = number(self.blocks.len());
        for &class in &block.part.members {
            self.block_of[class as usize] = index;
        }
        self.blocks.push(block);
    }
}

enum Split {
    /// The part is a block.
    Block(Block),
    /// The first part is above the second.
    Above(Part, Part),
    /// The part is a block and something below it.
    Below(Block, Part),
}

struct Splitter<'a> {
    classes: &'a Classes,
    /// By topic class and by member class: its node in the network of the current part, or 0.
    topic_nodes: Vec<u32>,
    member_nodes: Vec<u32>,
}

impl<'a> Splitter<'a> {
    fn new(classes: &'a Classes) -> Self {
        Splitter {
            classes,
            topic_nodes: vec![0; classes.topics.len()],
            member_nodes: vec![0; classes.members.len()],
        }
    }

    fn split(&mut self, part: Part) -> Split {
        let partitions: u64 = part.topics.iter().map(|&t| self.partitions(t)).sum();
        let members: u64 = part.members.iter().map(|&c| self.size(c)).sum();
        let ceiling = partitions.div_ceil(members);
        // One class, or nothing to share: nothing to find out.
        if ceiling == 0 || part.members.len() == 1 {
            return Split::Block(Block { ceiling, part });
        }
        let mut network = Network::default();
        let gates = self.build(&part, ceiling, &mut network);
        network.push_most();
        if gates.topics.iter().any(|&gate| network.room(gate) > 0) {
            let (above, rest) = part.split(|node| network.is_reached(self.node(&node)));
            self.forget(&above);
            self.forget(&rest);
            return Split::Above(above, rest);
        }
        if !self.raise_the_poor(&part, ceiling - 1, &gates, &mut network) {
            self.forget(&part);
            return Split::Block(Block { ceiling, part });
        }
        let poor = network.nodes_that_reach_sink();
        let (below, part) = part.split(|node| poor[self.node(&node) as usize]);
        self.forget(&below);
        self.forget(&part);
        Split::Below(Block { ceiling, part }, below)
    }

    fn build(&mut self, part: &Part, ceiling: u64, network: &mut Network) -> Gates {
        let mut node = FIRST_NODE;
        let mut gates = Gates { topics: Vec::new(), surplus: Vec::new(), members: Vec::new() };
        for &class in &part.members {
            self.member_nodes[class as usize] = node;
            gates.members.push(network.add_free(node, SINK, ceiling * self.size(class)));
            gates.surplus.push(network.add_free(SOURCE, node, 0));
            node += 1;
        }
        for &topic in &part.topics {
            self.topic_nodes[topic as usize] = node;
            gates.topics.push(network.add_free(SOURCE, node, self.partitions(topic)));
            for &class in &self.classes.topics[topic as usize].subscribers {
                if self.member_nodes[class as usize] != 0 {
                    network.add_free(node, self.member_nodes[class as usize], UNLIMITED);
                }
            }
            node += 1;
        }
        network.finish(node);
        gates
    }

    /// Moves partitions from members above `floor` to members below; true if some stay below.
    fn raise_the_poor(
        &self,
        part: &Part,
        floor: u64,
        gates: &Gates,
        network: &mut Network,
    ) -> bool {
        let mut is_poor = false;
        for ((&class, &gate), &surplus) in
            part.members.iter().zip(&gates.members).zip(&gates.surplus)
        {
            let (load, floor) = (network.flow(gate), floor * self.size(class));
            network.set_room(gate, floor.saturating_sub(load));
            network.set_room(surplus, load.saturating_sub(floor));
            is_poor |= load < floor;
        }
        if is_poor {
            network.push_most();
        }
        is_poor && gates.members.iter().any(|&gate| network.room(gate) > 0)
    }

    fn forget(&mut self, part: &Part) {
        for &class in &part.members {
            self.member_nodes[class as usize] = 0;
        }
    }

    fn node(&self, node: &Node) -> u32 {
        match *node {
            Node::Topic(topic) => self.topic_nodes[topic as usize],
            Node::Members(class) => self.member_nodes[class as usize],
        }
    }

    fn partitions(&self, topic: u32) -> u64 {
        u64::from(self.classes.topics[topic as usize].partitions)
    }

    fn size(&self, class: u32) -> u64 {
        u64::from(number(self.classes.members[class as usize].len()))
    }
}

/// The arcs at both ends of the network.
struct Gates {
    /// From the source to each topic class.
    topics: Vec<u32>,
    /// From the source to each member class; closed at first.
    surplus: Vec<u32>,
    /// From each member class to the sink.
    members: Vec<u32>,
}
