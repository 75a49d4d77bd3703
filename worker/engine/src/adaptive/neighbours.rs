//! Core distances: how far each point must reach to have enough neighbours, itself included.
//!
//! Called by `adaptive` and by the search for an eps. Points of a block search together, so that the way down the tree is
//! shared; every point's answer is its own, whatever the number of threads.

use rayon::prelude::*;

use crate::control::{Control, Stage};
use crate::error::{Result, filled};
use crate::metric::Kernel;
use crate::tree::kdtree::{KdTree, LANES, Span, lanes};

/// So many of a point's nearest neighbours are remembered: enough to connect most of its cluster without a search.
pub const NEAR: usize = 8;
pub const NOBODY: u32 = u32::MAX;

pub struct Neighbourhoods {
    /// By slot, the reduced distance to the `min_samples`-th nearest point; infinite where there are fewer points.
    pub core: Vec<f64>,
    /// By slot, its nearest slots, `NOBODY` where there are fewer.
    pub near: Vec<[u32; NEAR]>,
}

/// Core distances of every point.
pub fn find_neighbourhoods<K: Kernel>(
    tree: &KdTree<K>,
    min_samples: usize,
    control: &Control,
) -> Result<Neighbourhoods> {
    let n = tree.n_points();
    let mut found = Neighbourhoods { core: filled(f64::INFINITY, n)?, near: filled([NOBODY; NEAR], n)? };
    if n < min_samples {
        return Ok(found);
    }
    control.begin(Stage::Cores, tree.blocks());
    let chunks = found.core.par_chunks_mut(LANES).zip(found.near.par_chunks_mut(LANES)).enumerate();
    chunks.try_for_each_init(
        || Search::new(tree, min_samples),
        |search, (block, (core, near))| {
            let search = search.as_mut().map_err(|error| error.clone())?;
            search.run(block, tree.occupied(block));
            for (lane, (core, near)) in core.iter_mut().zip(near).enumerate() {
                let (distances, slots) = search.nearest(lane);
                *core = distances[min_samples - 1];
                let own = (block * LANES + lane) as u32;
                let others = slots.iter().copied().filter(|&slot| slot != own);
                near.iter_mut().zip(others).for_each(|(place, slot)| *place = slot);
            }
            control.advance(1)
        },
    )?;
    Ok(found)
}

/// Reduced core distances of the points at `slots` only, in that order.
pub fn core_distances_of<K: Kernel>(
    tree: &KdTree<K>,
    slots: &[u32],
    min_samples: usize,
    control: &Control,
) -> Result<Vec<f64>> {
    let mut core = filled(f64::INFINITY, slots.len())?;
    if tree.n_points() < min_samples {
        return Ok(core);
    }
    control.begin(Stage::Cores, slots.len());
    core.par_iter_mut().zip(slots).try_for_each_init(
        || Search::new(tree, min_samples),
        |search, (core, &slot)| {
            let search = search.as_mut().map_err(|error| error.clone())?;
            let (block, lane) = (slot as usize / LANES, slot as usize % LANES);
            search.run(block, 1 << lane);
            *core = search.nearest(lane).0[min_samples - 1];
            control.advance(1)
        },
    )?;
    Ok(core)
}

/// The nearest neighbours of one block's points; reused from block to block.
struct Search<'a, K> {
    tree: &'a KdTree<K>,
    wanted: usize,
    block: usize,
    node: usize,
    /// The lanes that ask.
    asking: u16,
    /// By lane, its coordinates.
    queries: Vec<f64>,
    /// By lane, the `wanted` smallest distances so far, ascending, and their slots.
    distances: Vec<f64>,
    slots: Vec<u32>,
}

impl<'a, K: Kernel> Search<'a, K> {
    fn new(tree: &'a KdTree<K>, wanted: usize) -> Result<Self> {
        Ok(Self {
            tree,
            wanted,
            block: 0,
            node: 0,
            asking: 0,
            queries: filled(0.0, LANES * tree.width())?,
            distances: filled(f64::INFINITY, LANES.saturating_mul(wanted))?,
            slots: filled(NOBODY, LANES.saturating_mul(wanted))?,
        })
    }

    fn nearest(&self, lane: usize) -> (&[f64], &[u32]) {
        let places = lane * self.wanted..(lane + 1) * self.wanted;
        (&self.distances[places.clone()], &self.slots[places])
    }

    fn run(&mut self, block: usize, asking: u16) {
        let Some(root) = self.tree.root() else { return };
        let width = self.tree.width();
        (self.block, self.asking) = (block, asking);
        self.distances.fill(f64::INFINITY);
        self.slots.fill(NOBODY);
        for lane in lanes(asking) {
            for axis in 0..width {
                self.queries[lane * width + axis] = self.tree.coord(block * LANES + lane, axis);
            }
        }
        self.node = node_of(root, block);
        // The own block first: its points are near, and the radius of the search shrinks at once.
        self.visit_block(Span { node: self.node, first: block, blocks: 1 });
        self.visit(root);
    }

    /// No asking lane needs a point farther than this.
    fn reach(&self) -> f64 {
        lanes(self.asking).map(|lane| self.distances[(lane + 1) * self.wanted - 1]).fold(0.0, f64::max)
    }

    fn visit(&mut self, span: Span) {
        if span.is_block() {
            if span.first != self.block {
                self.visit_block(span);
            }
            return;
        }
        let (left, right) = span.children();
        let (to_left, to_right) = (self.tree.gap(self.node, left.node), self.tree.gap(self.node, right.node));
        let holds_right = (right.first..right.end()).contains(&self.block);
        let right_first = to_right < to_left || (to_right == to_left && holds_right);
        let order =
            if right_first { [(right, to_right), (left, to_left)] } else { [(left, to_left), (right, to_right)] };
        for (child, gap) in order {
            // What is as far as the farthest so far changes nothing; among equal rows that is everybody.
            if gap < self.reach() {
                self.visit(child);
            }
        }
    }

    fn visit_block(&mut self, span: Span) {
        let width = self.tree.width();
        for lane in lanes(self.asking) {
            let query = &self.queries[lane * width..(lane + 1) * width];
            let places = lane * self.wanted..(lane + 1) * self.wanted;
            let (distances, slots) = (&mut self.distances[places.clone()], &mut self.slots[places]);
            let reach = distances[self.wanted - 1];
            if self.tree.nearest(query, span.node) >= reach {
                continue;
            }
            let found = self.tree.distances(query, span.first);
            for other in lanes(self.tree.occupied(span.first)) {
                if found[other] < distances[self.wanted - 1] {
                    insert(distances, slots, found[other], (span.first * LANES + other) as u32);
                }
            }
        }
    }
}

fn node_of(root: Span, block: usize) -> usize {
    let mut span = root;
    while !span.is_block() {
        let (left, right) = span.children();
        span = if block < left.end() { left } else { right };
    }
    span.node
}

/// Puts a distance into its place among ascending ones; the last falls out.
fn insert(distances: &mut [f64], slots: &mut [u32], distance: f64, slot: u32) {
    let mut place = distances.len() - 1;
    while place > 0 && distances[place - 1] > distance {
        distances[place] = distances[place - 1];
        slots[place] = slots[place - 1];
        place -= 1;
    }
    distances[place] = distance;
    slots[place] = slot;
}
