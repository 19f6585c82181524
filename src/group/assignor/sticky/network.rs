//! A flow network: pushes as much as possible from a source to a sink, on the cheapest paths.
//!
//! Dinic's algorithm inside the primal-dual method. Node potentials keep every residual arc's
//! reduced cost at or above zero; flow is pushed only along arcs whose reduced cost is zero, level
//! by level, until none is left. Then the shortest paths are measured anew and the potentials move.
//! With costs that are all zero this is plain Dinic.
//!
//! Arcs come in pairs: `e` and `e ^ 1` are each other's reverse, and what one loses in capacity the
//! other gains. Nothing recurses, so long chains of members need no stack.

use super::super::roster::number;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Where all flow starts.
pub(super) const SOURCE: u32 = 0;
/// Where all flow ends.
pub(super) const SINK: u32 = 1;
/// The first node that is free to use.
pub(super) const FIRST_NODE: u32 = 2;
/// The capacity of an arc that never fills up.
pub(super) const UNLIMITED: u64 = u64::MAX / 4;

const UNREACHED: u32 = u32::MAX;

/// An arc to be added: from `tail` to `head`, with the room left in both directions.
pub(super) struct Arc {
    pub(super) tail: u32,
    pub(super) head: u32,
    pub(super) room: u64,
    pub(super) room_back: u64,
    pub(super) cost: i64,
}

/// The residual network.
#[derive(Default)]
pub(super) struct Network {
    heads: Vec<u32>,
    rooms: Vec<u64>,
    costs: Vec<i64>,
    /// The arcs that leave node `v` are `out[out_ends[v]..out_ends[v + 1]]`.
    out: Vec<u32>,
    out_ends: Vec<u32>,
    potentials: Vec<i64>,
    levels: Vec<u32>,
    /// For each node, the next of its arcs to try.
    cursors: Vec<u32>,
    queue: Vec<u32>,
}

impl Network {
    /// Adds an arc and returns its number.
    pub(super) fn add(&mut self, arc: Arc) -> u32 {
        let id = number(self.heads.len());
        self.heads.extend([arc.head, arc.tail]);
        self.rooms.extend([arc.room, arc.room_back]);
        self.costs.extend([arc.cost, -arc.cost]);
        id
    }

    /// Adds an arc that carries nothing and costs nothing.
    pub(super) fn add_free(&mut self, tail: u32, head: u32, room: u64) -> u32 {
        self.add(Arc { tail, head, room, room_back: 0, cost: 0 })
    }

    /// What an arc can still take.
    pub(super) fn room(&self, arc: u32) -> u64 {
        self.rooms[arc as usize]
    }

    /// What an arc can give back: its flow, if it was added empty.
    pub(super) fn flow(&self, arc: u32) -> u64 {
        self.rooms[(arc ^ 1) as usize]
    }

    /// Sets what an arc can still take.
    pub(super) fn set_room(&mut self, arc: u32, room: u64) {
        self.rooms[arc as usize] = room;
    }

    /// Sends flow through one arc.
    pub(super) fn push(&mut self, arc: u32, amount: u64) {
        self.rooms[arc as usize] -= amount;
        self.rooms[(arc ^ 1) as usize] += amount;
    }

    /// Sorts the arcs by tail, once all have been added.
    pub(super) fn finish(&mut self, node_count: u32) {
        let nodes = node_count as usize;
        self.out_ends = vec![0; nodes + 1];
        for &tail in &self.heads {
            self.out_ends[tail as usize + 1] += 1; // the heads of all arcs are the tails of all
        }
        for node in 1..=nodes {
            self.out_ends[node] += self.out_ends[node - 1];
        }
        let mut next = self.out_ends.clone();
        self.out = vec![0; self.heads.len()];
        for arc in 0..number(self.heads.len()) {
            let place = &mut next[self.tail(arc) as usize];
            self.out[*place as usize] = arc;
            *place += 1;
        }
        self.potentials = vec![0; nodes];
        self.levels = vec![UNREACHED; nodes];
        self.cursors = vec![0; nodes];
    }

    /// Pushes all it can, on ever more expensive paths: of all flows of this size, the cheapest.
    ///
    /// Arcs with room must not have a negative cost at the start.
    pub(super) fn push_cheapest(&mut self) {
        self.push_most();
        while self.raise_potentials() {
            self.push_most();
        }
    }

    /// Pushes all it can on arcs whose reduced cost is zero.
    pub(super) fn push_most(&mut self) {
        while self.measure_levels() {
            self.push_along_levels();
        }
    }

    /// Whether the last `push_most` could still reach a node from the source.
    pub(super) fn is_reached(&self, node: u32) -> bool {
        self.levels[node as usize] != UNREACHED
    }

    /// The nodes from which the sink could still be fed, if flow were to appear there.
    pub(super) fn nodes_that_reach_sink(&self) -> Vec<bool> {
        let mut reaches = vec![false; self.levels.len()];
        reaches[SINK as usize] = true;
        let mut queue = vec![SINK];
        while let Some(node) = queue.pop() {
            for &arc in self.out_of(node) {
                let tail = self.heads[arc as usize];
                if self.rooms[(arc ^ 1) as usize] > 0 && !reaches[tail as usize] && tail != SOURCE {
                    reaches[tail as usize] = true;
                    queue.push(tail);
                }
            }
        }
        reaches
    }

    fn tail(&self, arc: u32) -> u32 {
        self.heads[(arc ^ 1) as usize]
    }

    fn out_of(&self, node: u32) -> &[u32] {
        let node = node as usize;
        &self.out[self.out_ends[node] as usize..self.out_ends[node + 1] as usize]
    }

    fn reduced_cost(&self, tail: u32, arc: u32) -> i64 {
        let head = self.heads[arc as usize];
        self.costs[arc as usize] + self.potentials[tail as usize] - self.potentials[head as usize]
    }

    fn is_open(&self, tail: u32, arc: u32) -> bool {
        self.rooms[arc as usize] > 0 && self.reduced_cost(tail, arc) == 0
    }

    /// Breadth first from the source along open arcs; false if the sink is out of reach.
    fn measure_levels(&mut self) -> bool {
        self.levels.fill(UNREACHED);
        self.levels[SOURCE as usize] = 0;
        let mut queue = std::mem::take(&mut self.queue);
        queue.clear();
        queue.push(SOURCE);
        let mut next = 0;
        while let Some(&node) = queue.get(next) {
            next += 1;
            let level = self.levels[node as usize] + 1;
            if level > self.levels[SINK as usize] {
                break; // what lies beyond the sink's level is on no shortest path
            }
            let (start, end) = (self.out_ends[node as usize], self.out_ends[node as usize + 1]);
            for place in start..end {
                let arc = self.out[place as usize];
                let head = self.heads[arc as usize];
                if self.levels[head as usize] == UNREACHED && self.is_open(node, arc) {
                    self.levels[head as usize] = level;
                    queue.push(head);
                }
            }
        }
        self.queue = queue;
        self.levels[SINK as usize] != UNREACHED
    }

    /// Pushes until every path of the current levels has a full arc.
    fn push_along_levels(&mut self) {
        let nodes = self.cursors.len();
        self.cursors.copy_from_slice(&self.out_ends[..nodes]);
        let mut path: Vec<u32> = Vec::new();
        loop {
            let node = path.last().map_or(SOURCE, |&arc| self.heads[arc as usize]);
            if node == SINK {
                let full = self.push_path(&path);
                path.truncate(full);
            } else if let Some(arc) = self.next_arc(node) {
                path.push(arc);
            } else if path.pop().is_some() {
                self.levels[node as usize] = UNREACHED; // a dead end: nobody need come here again
            } else {
                return;
            }
        }
    }

    /// The next arc of a node that leads one level on, starting with the last one tried.
    fn next_arc(&mut self, node: u32) -> Option<u32> {
        let end = self.out_ends[node as usize + 1];
        while self.cursors[node as usize] < end {
            let arc = self.out[self.cursors[node as usize] as usize];
            let head_level = self.levels[self.heads[arc as usize] as usize];
            if head_level == self.levels[node as usize] + 1 && self.is_open(node, arc) {
                return Some(arc);
            }
            self.cursors[node as usize] += 1;
        }
        None
    }

    /// Fills a path to the sink; returns how many of its arcs come before the first full one.
    fn push_path(&mut self, path: &[u32]) -> usize {
        let amount = path.iter().map(|&arc| self.rooms[arc as usize]).min().unwrap_or(0);
        for &arc in path {
            self.push(arc, amount);
        }
        path.iter().position(|&arc| self.rooms[arc as usize] == 0).unwrap_or(0)
    }

    /// Dijkstra by reduced cost, up to the sink; false if it is out of reach.
    fn raise_potentials(&mut self) -> bool {
        const FAR: i64 = i64::MAX;
        let mut distances = vec![FAR; self.potentials.len()];
        distances[SOURCE as usize] = 0;
        let mut later = BinaryHeap::from([Reverse((0, SOURCE))]);
        let mut same = Vec::new(); // most arcs have reduced cost zero and need no heap
        while let Some(Reverse((distance, node))) = later.pop() {
            if distance > distances[node as usize] {
                continue;
            }
            if distance >= distances[SINK as usize] {
                break;
            }
            same.push(node);
            while let Some(node) = same.pop() {
                for &arc in self.out_of(node) {
                    let head = self.heads[arc as usize];
                    if self.rooms[arc as usize] == 0 || distances[head as usize] <= distance {
                        continue;
                    }
                    let through = distance + self.reduced_cost(node, arc);
                    if through < distances[head as usize] {
                        distances[head as usize] = through;
                        if through == distance {
                            same.push(head);
                        } else {
                            later.push(Reverse((through, head)));
                        }
                    }
                }
            }
        }
        let to_sink = distances[SINK as usize];
        if to_sink == FAR {
            return false;
        }
        for (potential, distance) in self.potentials.iter_mut().zip(distances) {
            *potential += distance.min(to_sink);
        }
        true
    }
}
