//! Keep: how many partitions of each topic class every member keeps, and what it gets besides.
//!
//! One min-cost flow per block. It starts from "everybody keeps everything", which moves nothing
//! but overloads some and leaves others short, and mends that along the cheapest paths:
//!
//! ```text
//!              ╭── kept, 1 to give one up, 1 back to take it again ──╮
//!   source ─► topic class ── not kept ──► member class ─────────► member ─► sink
//!     │        unowned                                              ▲        β-1 free of charge,
//!     ╰──────────────── what a member has above β-1 ────────────────╯        one more for `LAST`
//! ```
//!
//! 1. `LAST` is dearer than any path, so every member gets to β-1 before any gets to β.
//!    Where racks matter, arcs to members on other racks cost `AWAY` besides, which is more than
//!    all moves of a path and less than `LAST`: balance, then racks, then moves.
//! 2. Partitions of a higher block's members that belong to a lower block's topics are not kept:
//!    no best balance has them there.
//! 3. A member that gives up a partition of a topic class gets none of that class: the network
//!    would have a cheaper path. So what is given up never comes back as a different partition.

use super::super::roster::number;
use super::classes::{Classes, KeptArc};
use super::levels::{Block, Levels};
use super::network::{Arc, FIRST_NODE, Network, SINK, SOURCE, UNLIMITED};

/// What happens to the partitions that are not kept.
pub(super) struct Plan {
    /// By topic class: the member classes that get some of them, and how many.
    pub(super) feeds: Vec<Vec<Feed>>,
    /// By member: how many it gets, besides those it keeps.
    pub(super) needs: Vec<u32>,
}

/// How many partitions a member class gets from a topic class.
pub(super) struct Feed {
    pub(super) members: u32,
    pub(super) count: u32,
}

/// Decides how many partitions everybody keeps (in `arcs`, by topic class) and gets.
pub(super) fn plan(classes: &Classes, levels: &Levels, arcs: &mut [Vec<KeptArc>]) -> Plan {
    let member_count = classes.class_of.len();
    let mut plan = Plan {
        feeds: classes.topics.iter().map(|_| Vec::new()).collect(),
        needs: vec![0; member_count],
    };
    let mut planner = Planner {
        classes,
        levels,
        loads: vec![0; member_count],
        class_nodes: vec![0; classes.members.len()],
        member_nodes: vec![0; member_count],
        network: Network::default(),
        routes: Routes::default(),
    };
    for (index, block) in levels.blocks.iter().enumerate() {
        if block.ceiling > 0 {
            planner.build(number(index), arcs);
            planner.spread(block);
            planner.network.push_cheapest();
            planner.read(block, arcs, &mut plan);
        }
    }
    plan
}

struct Planner<'a> {
    classes: &'a Classes,
    levels: &'a Levels,
    /// By member: how many partitions it has, if it keeps all it may.
    loads: Vec<u64>,
    class_nodes: Vec<u32>,
    member_nodes: Vec<u32>,
    /// The block at hand.
    network: Network,
    routes: Routes,
}

/// The arcs that are looked at again, in the order of the block's topic and member classes.
#[derive(Default)]
struct Routes {
    /// By topic class: from the source.
    unowned: Vec<u32>,
    /// By topic class: (place among its kept arcs, arc).
    kept: Vec<Vec<(usize, u32)>>,
    /// By topic class: (member class, arc).
    feeds: Vec<Vec<(u32, u32)>>,
    /// By member class, by member.
    members: Vec<Vec<MemberRoute>>,
}

/// The arcs around a member.
struct MemberRoute {
    from_class: u32,
    /// On to the sink, up to β-1.
    to_floor: u32,
}

impl Planner<'_> {
    fn build(&mut self, index: u32, arcs: &[Vec<KeptArc>]) {
        let block = &self.levels.blocks[index as usize];
        (self.network, self.routes) = (Network::default(), Routes::default());
        let first_class = FIRST_NODE + number(block.part.topics.len());
        let mut node = first_class + number(block.part.members.len());
        for (&class, class_node) in block.part.members.iter().zip(first_class..) {
            self.class_nodes[class as usize] = class_node;
            for &member in &self.classes.members[class as usize] {
                self.member_nodes[member as usize] = node;
                node += 1;
            }
        }
        for (&topic, topic_node) in block.part.topics.iter().zip(FIRST_NODE..) {
            let unowned = self.add_kept(index, topic, topic_node, &arcs[topic as usize]);
            self.add_feeds(index, topic, topic_node);
            self.routes.unowned.push(self.network.add_free(SOURCE, topic_node, unowned));
        }
        for &class in &block.part.members {
            self.add_members(class, block.ceiling - 1);
        }
        self.network.finish(node);
    }

    /// Adds the arcs of a topic class to its previous owners; returns how much is left.
    fn add_kept(&mut self, block: u32, topic: u32, topic_node: u32, arcs: &[KeptArc]) -> u64 {
        let mut unowned = u64::from(self.classes.topics[topic as usize].partitions);
        let mut kept = Vec::new();
        for (place, arc) in arcs.iter().enumerate() {
            let class = self.classes.class_of[arc.member as usize];
            if self.levels.block_of[class as usize] == block {
                let (head, owned) = (self.member_nodes[arc.member as usize], u64::from(arc.owned));
                let kept_arc = Arc { tail: topic_node, head, room: 0, room_back: owned, cost: -1 };
                if self.classes.is_near(topic, class) {
                    kept.push((place, self.network.add(kept_arc)));
                    self.loads[arc.member as usize] += owned;
                    unowned -= owned;
                } else {
                    // It would rather be elsewhere, so it starts as given up and may come back.
                    let (room, room_back, cost) = (owned, 0, AWAY - 1);
                    let kept_arc = Arc { room, room_back, cost, ..kept_arc };
                    kept.push((place, self.network.add(kept_arc)));
                }
            }
        }
        self.routes.kept.push(kept);
        unowned
    }

    fn add_feeds(&mut self, block: u32, topic: u32, topic_node: u32) {
        let mut feeds = Vec::new();
        for &class in &self.classes.topics[topic as usize].subscribers {
            if self.levels.block_of[class as usize] == block {
                let (tail, head) = (topic_node, self.class_nodes[class as usize]);
                let cost = if self.classes.is_near(topic, class) { 0 } else { AWAY };
                let feed = Arc { tail, head, room: UNLIMITED, room_back: 0, cost };
                feeds.push((class, self.network.add(feed)));
            }
        }
        self.routes.feeds.push(feeds);
    }

    fn add_members(&mut self, class: u32, floor: u64) {
        let (class_node, network) = (self.class_nodes[class as usize], &mut self.network);
        let add = |&member: &u32| {
            let (node, load) = (self.member_nodes[member as usize], self.loads[member as usize]);
            let from_class = network.add_free(class_node, node, UNLIMITED);
            if load > floor {
                network.add_free(SOURCE, node, load - floor);
            }
            let to_floor = network.add_free(node, SINK, floor.saturating_sub(load));
            network.add(Arc { tail: node, head: SINK, room: 1, room_back: 0, cost: LAST });
            MemberRoute { from_class, to_floor }
        };
        self.routes.members.push(self.classes.members[class as usize].iter().map(add).collect());
    }

    /// Gives members below β-1 unowned partitions, of each topic class in proportion.
    ///
    /// All of these paths are free of charge, so the flow may start with any of them. Left to
    /// itself it would fill one member after another, each with few topics.
    fn spread(&mut self, block: &Block) {
        let (network, routes) = (&mut self.network, &self.routes);
        let mut rooms = vec![0_u64; self.classes.members.len()];
        for (&class, members) in block.part.members.iter().zip(&routes.members) {
            rooms[class as usize] = members.iter().map(|m| network.room(m.to_floor)).sum();
        }
        let mut gains = vec![0_u64; rooms.len()];
        let topics = block.part.topics.iter().zip(&routes.feeds).zip(&routes.unowned);
        for ((&topic, feeds), &unowned) in topics {
            let near = feeds.iter().filter(|&&(class, _)| self.classes.is_near(topic, class));
            let all: u64 = near.clone().map(|&(class, _)| rooms[class as usize]).sum();
            let share = network.room(unowned).min(all);
            let (mut seen, mut given) = (0, 0);
            for &(class, feed) in near.filter(|_| share > 0) {
                seen += rooms[class as usize];
                let gain = proportion(share, seen, all) - given;
                given += gain;
                rooms[class as usize] -= gain;
                gains[class as usize] += gain;
                network.push(feed, gain);
            }
            network.push(unowned, given);
        }
        for (&class, members) in block.part.members.iter().zip(&routes.members) {
            let mut gain = gains[class as usize];
            for member in members {
                let taken = gain.min(network.room(member.to_floor));
                network.push(member.from_class, taken);
                network.push(member.to_floor, taken);
                gain -= taken;
            }
        }
    }

    /// Reads the plan off the flow.
    fn read(&self, block: &Block, arcs: &mut [Vec<KeptArc>], plan: &mut Plan) {
        let (network, routes) = (&self.network, &self.routes);
        for (&topic, kept) in block.part.topics.iter().zip(&routes.kept) {
            for &(place, arc) in kept {
                arcs[topic as usize][place].kept = count(network.flow(arc));
            }
        }
        for (&topic, feeds) in block.part.topics.iter().zip(&routes.feeds) {
            let feeds = feeds.iter().filter(|&&(_, arc)| network.flow(arc) > 0);
            plan.feeds[topic as usize] = feeds
                .map(|&(members, arc)| Feed { members, count: count(network.flow(arc)) })
                .collect();
        }
        for (&class, routes) in block.part.members.iter().zip(&routes.members) {
            let members = &self.classes.members[class as usize];
            for (&member, route) in members.iter().zip(routes) {
                plan.needs[member as usize] = count(network.flow(route.from_class));
            }
        }
    }
}

/// More than all moves of a path: a path passes no node twice, and 2^28 members need 40 GB.
const AWAY: i64 = 1 << 28;
/// More than any path can cost.
const LAST: i64 = 1 << 58;

fn count(flow: u64) -> u32 {
    u32::try_from(flow).expect("no more flows than there are partitions")
}

/// `share * part / whole`, rounded down.
fn proportion(share: u64, part: u64, whole: u64) -> u64 {
    let due = u128::from(share) * u128::from(part) / u128::from(whole);
    u64::try_from(due).expect("a part is no more than the whole")
}
