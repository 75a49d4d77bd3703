//! Clusters grow: every two cores within eps of each other end in one set.
//!
//! Called by `mod` once the cores are known. A part of the tree whose cores are already of one set is never searched by members of
//! that set again, so dense data cost little more than sparse. Sets only grow: whatever a thread knows stays true.

use std::sync::atomic::{AtomicU8, Ordering};

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::control::{Control, Stage};
use crate::error::{Result, filled, room};
use crate::metric::Kernel;
use crate::tree::Fit;
use crate::tree::kdtree::{LANES, Span, lanes};
use crate::tree::packet::Packet;
use crate::union_find::UnionFind;
use crate::value::Value;

/// What is known of the cores below a node.
const EMPTY: u8 = 0;
const MIXED: u8 = 1;
/// All in one set. Sets only grow, so this is for ever.
const UNIFORM: u8 = 2;

/// Subtrees that a block enters at first. Most sets are whole once every block has met those next to it, and then the search for
/// pairs farther away, which begins from scratch, has little to enter.
const NEARBY: usize = 24;

/// Unites all cores (one bit by lane of every block) within eps of each other.
pub fn connect<K: Kernel, T: Value>(fit: &Fit<K, T>, cores: &[u16], control: &Control) -> Result<UnionFind> {
    control.begin(Stage::Clusters, 2 * fit.tree.n_blocks());
    let sets = UnionFind::new(fit.tree.n_points())?;
    let Some(root) = fit.tree.root() else { return Ok(sets) };
    let mut states = room(root.nodes())?;
    states.resize_with(root.nodes(), || AtomicU8::new(MIXED));
    let mut growth = Growth { fit, root, cores, sets: &sets, states: &states, firsts: filled(u32::MAX, root.nodes())? };
    growth.find_firsts(root);
    growth.unite_dense(root);
    growth.step(NEARBY, control)?;
    growth.look_below(root);
    growth.step(usize::MAX, control)?;
    Ok(sets)
}

/// Clusters while they grow: which nodes are already of one set, so that no search enters them twice.
struct Growth<'a, 'p, K, T> {
    fit: &'a Fit<'p, K, T>,
    root: Span,
    cores: &'a [u16],
    sets: &'a UnionFind,
    states: &'a [AtomicU8],
    /// By node, its first core slot.
    firsts: Vec<u32>,
}

impl<K: Kernel, T: Value> Growth<'_, '_, K, T> {
    fn state(&self, span: Span) -> u8 {
        self.states[span.node].load(Ordering::Acquire)
    }

    fn set_state(&self, span: Span, state: u8) {
        self.states[span.node].store(state, Ordering::Release);
    }

    fn first(&self, span: Span) -> usize {
        self.firsts[span.node] as usize
    }

    /// The core slots of a block.
    fn slots(&self, block: usize) -> impl Iterator<Item = usize> {
        lanes(self.cores[block]).map(move |lane| block * LANES + lane)
    }

    fn find_firsts(&mut self, span: Span) {
        let first = if span.is_block() {
            self.slots(span.first).next().map_or(u32::MAX, |slot| slot as u32)
        } else {
            let (left, right) = span.children();
            self.find_firsts(left);
            self.find_firsts(right);
            self.firsts[left.node].min(self.firsts[right.node])
        };
        self.firsts[span.node] = first;
        if first == u32::MAX {
            self.set_state(span, EMPTY);
        }
    }

    fn unite_dense(&self, span: Span) {
        if self.state(span) == EMPTY {
            return;
        }
        if self.fit.is_dense(span) {
            self.absorb(span, self.first(span));
        } else if !span.is_block() {
            let (left, right) = span.children();
            self.unite_dense(left);
            self.unite_dense(right);
        }
    }

    /// Unites every core below the span with `slot`.
    fn absorb(&self, span: Span, slot: usize) {
        match self.state(span) {
            EMPTY => return,
            UNIFORM => return self.sets.union(slot, self.first(span)),
            _ => {}
        }
        if span.is_block() {
            self.slots(span.first).for_each(|other| self.sets.union(slot, other));
        } else {
            let (left, right) = span.children();
            self.absorb(left, slot);
            self.absorb(right, slot);
        }
        self.set_state(span, UNIFORM);
    }

    /// Lets every block meet later ones in as many subtrees as `limit`, the nearest first.
    fn step(&self, limit: usize, control: &Control) -> Result<()> {
        let arch = Arch::new();
        (0..self.fit.tree.n_blocks()).into_par_iter().try_for_each_init(Vec::new, |spans, block| {
            if self.cores[block] != 0 {
                arch.dispatch(Step { growth: self, block, limit, spans });
            }
            control.advance(1)
        })
    }

    /// Looks at every span below one, from the blocks up.
    fn look_below(&self, span: Span) {
        if self.state(span) == MIXED {
            if !span.is_block() {
                let (left, right) = span.children();
                self.look_below(left);
                self.look_below(right);
            }
            self.look(span);
        }
    }

    /// The state of a span, seen anew from what lies below. Asking the sets is cheaper than measuring, and in many dimensions the
    /// only way to learn that a block is of one set.
    fn look(&self, span: Span) -> u8 {
        let known = self.state(span);
        if known != MIXED {
            return known;
        }
        let first = self.first(span);
        let is_uniform = if span.is_block() {
            self.slots(span.first).skip(1).all(|other| self.sets.same(first, other))
        } else {
            let (left, right) = span.children();
            [left, right].into_iter().all(|child| match self.state(child) {
                EMPTY => true,
                UNIFORM => self.sets.same(first, self.first(child)),
                _ => false,
            })
        };
        if is_uniform {
            self.set_state(span, UNIFORM);
            return UNIFORM;
        }
        MIXED
    }
}

/// Unites one block's cores with every core within eps in the block itself and in later ones; earlier blocks find theirs.
struct Step<'a, 'g, 'p, K, T> {
    growth: &'a Growth<'g, 'p, K, T>,
    block: usize,
    limit: usize,
    spans: &'a mut Vec<Span>,
}

impl<K: Kernel, T: Value> WithSimd for Step<'_, '_, '_, K, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { growth, block, limit, spans } = self;
        let (tree, sets) = (&growth.fit.tree, growth.sets);
        let own = growth.root.descend(block, spans);
        spans.retain(|span| span.first > block);
        let mut packet = growth.fit.packet(own, growth.cores[block]);
        let first = growth.first(own);
        if growth.look(own) != UNIFORM {
            unite_pairs(growth, &mut packet, simd, own, own, false);
        }
        // Whether the block's own cores are one set yet.
        let mut united = growth.look(own) == UNIFORM;
        for _ in 0..limit {
            let Some(span) = spans.pop() else { break };
            let state = growth.look(span);
            let is_same = |slot: usize| sets.same(slot, growth.first(span));
            if state == EMPTY || (state == UNIFORM && is_same(first) && (united || growth.slots(block).all(is_same))) {
                continue;
            }
            let corners = tree.corners(span.node);
            if !packet.reaches(simd, corners) {
                continue;
            }
            if tree.diagonal(span.node) <= growth.fit.across && packet.engulfs(simd, corners) {
                growth.slots(block).for_each(|slot| growth.absorb(span, slot));
            } else if span.is_block() {
                unite_pairs(growth, &mut packet, simd, own, span, united && state == UNIFORM);
            } else {
                span.push_children(block, spans);
                continue;
            }
            united = united || growth.look(own) == UNIFORM;
        }
    }
}

/// Unites the cores of two blocks that are within eps; one pair is enough `if_one_unites_all`.
#[inline(always)]
fn unite_pairs<K: Kernel, T: Value, S: Simd>(
    growth: &Growth<'_, '_, K, T>,
    packet: &mut Packet<K>,
    simd: S,
    own: Span,
    span: Span,
    if_one_unites_all: bool,
) {
    let distances = packet.distances(simd, growth.fit.tree.block(span.first));
    for lane in lanes(growth.cores[span.first]) {
        let other = span.first * LANES + lane;
        let (sure, doubtful) = packet.hits(&distances[lane]);
        for lane in lanes(sure | doubtful) {
            let slot = own.first * LANES + lane;
            let is_sure = sure >> lane & 1 == 1;
            if is_sure || (!growth.sets.same(slot, other) && growth.fit.are_near(slot, other)) {
                growth.sets.union(slot, other);
                if if_one_unites_all {
                    return;
                }
            }
        }
    }
}
