//! Sets of cores, grown from level to level: at each, every two cores within the level's radius end in one set.
//!
//! Called by `adaptive`, level by level. Neighbours known from the core distances are united first; what they leave apart, a walk
//! over pairs of tree nodes finds. Parts of the tree that are already of one set are passed by, so a level costs what it changes.

use rayon::prelude::*;

use crate::adaptive::levels::Ladder;
use crate::adaptive::neighbours::{NEAR, NOBODY};
use crate::control::Control;
use crate::error::{Result, filled};
use crate::metric::Kernel;
use crate::tree::kdtree::{KdTree, LANES, Span, lanes};
use crate::union_find::UnionFind;

/// Pairs of spans above this many blocks are walked by two threads.
const FORK_BLOCKS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No cores.
    Empty,
    Mixed,
    /// All cores in one set.
    Uniform,
    /// All points are cores of one set: for ever.
    Complete,
}

#[derive(Clone, Copy)]
struct Part {
    state: State,
    /// One core slot of the part, where it has any.
    first: u32,
}

impl Part {
    fn is_one_set(self) -> bool {
        matches!(self.state, State::Uniform | State::Complete)
    }
}

pub struct Growth<'a, K> {
    tree: &'a KdTree<K>,
    ladder: &'a Ladder,
    near: &'a [[u32; NEAR]],
    pub sets: UnionFind,
    /// By block, one bit per core.
    cores: Vec<u16>,
    /// By node.
    parts: Vec<Part>,
}

impl<'a, K: Kernel> Growth<'a, K> {
    pub fn new(tree: &'a KdTree<K>, ladder: &'a Ladder, near: &'a [[u32; NEAR]]) -> Result<Self> {
        let nodes = tree.root().map_or(0, Span::nodes);
        Ok(Self {
            tree,
            ladder,
            near,
            sets: UnionFind::new(tree.n_points())?,
            cores: filled(0, tree.blocks())?,
            parts: filled(Part { state: State::Empty, first: NOBODY }, nodes)?,
        })
    }

    /// Goes on to `level`, whose new cores are `newcomers`.
    pub fn raise(&mut self, level: usize, newcomers: &[u32], control: &Control) -> Result<()> {
        let of_slot = &self.ladder.of_slot;
        newcomers.par_iter().for_each(|&slot| {
            // Its neighbours are nearer than its core distance, so within the radius.
            let known = self.near[slot as usize].iter().filter(|&&near| near != NOBODY);
            for &near in known.filter(|&&near| usize::from(of_slot[near as usize]) <= level) {
                self.sets.union(slot as usize, near as usize);
            }
        });
        newcomers.iter().for_each(|&slot| self.cores[slot as usize / LANES] |= 1 << (slot as usize % LANES));
        let Some(root) = self.tree.root() else { return Ok(()) };
        refresh(self.tree, &self.sets, &self.cores, root, &mut self.parts);
        Walk { growth: self, limit: self.ladder.limits[level], control }.inside(root)
    }
}

/// Brings the parts of a subtree up to date with the sets.
fn refresh<K: Kernel>(tree: &KdTree<K>, sets: &UnionFind, cores: &[u16], span: Span, parts: &mut [Part]) {
    let (part, below) = parts.split_at_mut(1);
    let part = &mut part[0];
    if part.state == State::Complete {
        return;
    }
    if span.is_block() {
        let bits = cores[span.first];
        let mut slots = lanes(bits).map(|lane| span.first * LANES + lane);
        let Some(first) = slots.next() else { return };
        let one_set = part.state == State::Uniform && part.first as usize == first && bits.count_ones() == 1
            || slots.all(|slot| sets.same(first, slot));
        let state = match one_set {
            true if bits == tree.occupied(span.first) => State::Complete,
            true => State::Uniform,
            false => State::Mixed,
        };
        *part = Part { state, first: first as u32 };
        return;
    }
    let (left, right) = span.children();
    let (left_parts, right_parts) = below.split_at_mut(left.nodes());
    let mut refresh_left = || refresh(tree, sets, cores, left, left_parts);
    let mut refresh_right = || refresh(tree, sets, cores, right, right_parts);
    if span.blocks > FORK_BLOCKS {
        rayon::join(refresh_left, refresh_right);
    } else {
        refresh_left();
        refresh_right();
    }
    let (left, right) = (left_parts[0], right_parts[0]);
    let together = || sets.same(left.first as usize, right.first as usize);
    *part = match (left.state, right.state) {
        (State::Empty, _) => Part { state: not_complete(right.state), first: right.first },
        (_, State::Empty) => Part { state: not_complete(left.state), first: left.first },
        (State::Mixed, _) | (_, State::Mixed) => Part { state: State::Mixed, first: left.first },
        (State::Complete, State::Complete) if together() => Part { state: State::Complete, first: left.first },
        _ if together() => Part { state: State::Uniform, first: left.first },
        _ => Part { state: State::Mixed, first: left.first },
    };
}

fn not_complete(state: State) -> State {
    if state == State::Complete { State::Uniform } else { state }
}

/// One level's walk over pairs of parts.
struct Walk<'a, 'b, K> {
    growth: &'b Growth<'a, K>,
    /// Reduced.
    limit: f64,
    control: &'b Control,
}

impl<K: Kernel> Walk<'_, '_, K> {
    fn part(&self, span: Span) -> Part {
        self.growth.parts[span.node]
    }

    /// Unites what lies within one span.
    fn inside(&self, span: Span) -> Result<()> {
        if self.part(span).state != State::Mixed {
            return Ok(());
        }
        if span.is_block() {
            self.meet_blocks(span, span);
            return Ok(());
        }
        let (left, right) = span.children();
        self.fork(span.blocks, || self.inside(left), || self.inside(right))?;
        self.between(left, right)
    }

    /// Unites across two disjoint spans.
    fn between(&self, a: Span, b: Span) -> Result<()> {
        let (part_a, part_b) = (self.part(a), self.part(b));
        if part_a.state == State::Empty || part_b.state == State::Empty || self.are_together(part_a, part_b) {
            return Ok(());
        }
        if self.growth.tree.gap(a.node, b.node) > self.limit {
            return Ok(());
        }
        if a.is_block() && b.is_block() {
            self.meet_blocks(a, b);
            return Ok(());
        }
        let (wide, other) = if a.blocks >= b.blocks { (a, b) } else { (b, a) };
        let (left, right) = wide.children();
        self.fork(a.blocks + b.blocks, || self.between(left, other), || self.between(right, other))
    }

    fn are_together(&self, a: Part, b: Part) -> bool {
        a.is_one_set() && b.is_one_set() && self.growth.sets.same(a.first as usize, b.first as usize)
    }

    fn fork(
        &self,
        blocks: usize,
        first: impl FnOnce() -> Result<()> + Send,
        second: impl FnOnce() -> Result<()> + Send,
    ) -> Result<()> {
        if blocks <= FORK_BLOCKS {
            first()?;
            return second();
        }
        self.control.check()?;
        let (first, second) = rayon::join(first, second);
        first.and(second)
    }

    fn meet_blocks(&self, a: Span, b: Span) {
        let Growth { tree, sets, cores, .. } = self.growth;
        let (part_a, part_b) = (self.part(a), self.part(b));
        let mut query = [0.0; 64];
        let mut wide_query = Vec::new();
        let query = if tree.width() <= query.len() {
            &mut query[..tree.width()]
        } else {
            wide_query.resize(tree.width(), 0.0);
            &mut wide_query[..]
        };
        for lane in lanes(cores[a.first]) {
            let slot = a.first * LANES + lane;
            if part_b.is_one_set() && sets.same(slot, part_b.first as usize) {
                continue;
            }
            query.iter_mut().enumerate().for_each(|(axis, coord)| *coord = tree.coord(slot, axis));
            if tree.nearest(query, b.node) > self.limit {
                continue;
            }
            let distances = tree.distances(query, b.first);
            for other in lanes(cores[b.first]).filter(|&other| distances[other] <= self.limit) {
                sets.union(slot, b.first * LANES + other);
                if part_a.is_one_set() && part_b.is_one_set() {
                    return;
                }
                if part_b.is_one_set() {
                    break;
                }
            }
        }
    }
}
