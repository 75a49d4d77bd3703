//! Clusters grow: every two cores within eps of each other end in one set.
//!
//! Called by `dbscan` once the cores are known. A part of the tree whose cores are already of one set is never searched by a member
//! of that set again, so dense data cost little more than sparse. Sets only grow: whatever a thread knows stays true.

use std::sync::atomic::{AtomicU8, Ordering};

use rayon::prelude::*;

use crate::control::{Control, Stage};
use crate::error::{Result, filled, room};
use crate::metric::Kernel;
use crate::tree::Fit;
use crate::tree::index::Query;
use crate::tree::kdtree::{LANES, Span, lanes};
use crate::union_find::UnionFind;

/// What is known of the cores below a node.
const EMPTY: u8 = 0;
const MIXED: u8 = 1;
/// All in one set. Sets only grow, so this is for ever.
const UNIFORM: u8 = 2;

/// Unites all cores (one bit per lane of every block) within eps of each other.
pub fn connect<K: Kernel>(fit: &Fit<K>, cores: &[u16], control: &Control) -> Result<UnionFind> {
    control.begin(Stage::Clusters, fit.index.tree.blocks());
    let sets = UnionFind::new(fit.index.tree.n_points())?;
    let Some(root) = fit.index.tree.root() else { return Ok(sets) };
    let mut states = room(root.nodes())?;
    states.resize_with(root.nodes(), || AtomicU8::new(MIXED));
    let mut growth = Growth { fit, cores, sets: &sets, states: &states, firsts: filled(u32::MAX, root.nodes())? };
    growth.find_firsts(root);
    growth.unite_dense(root);
    (0..fit.index.tree.blocks()).into_par_iter().try_for_each_init(
        || fit.index.query(),
        |query, block| {
            for lane in lanes(cores[block]) {
                let slot = block * LANES + lane;
                fit.index.aim(query, slot);
                growth.grow(root, query, slot);
            }
            control.advance(1)
        },
    )?;
    Ok(sets)
}

/// Clusters while they grow: which nodes are already of one set, so that no search enters them twice.
struct Growth<'a, K> {
    fit: &'a Fit<K>,
    cores: &'a [u16],
    sets: &'a UnionFind,
    states: &'a [AtomicU8],
    /// By node, its first core slot.
    firsts: Vec<u32>,
}

impl<K: Kernel> Growth<'_, K> {
    fn state(&self, span: Span) -> u8 {
        self.states[span.node].load(Ordering::Acquire)
    }

    fn set_state(&self, span: Span, state: u8) {
        self.states[span.node].store(state, Ordering::Release);
    }

    fn first(&self, span: Span) -> usize {
        self.firsts[span.node] as usize
    }

    fn find_firsts(&mut self, span: Span) {
        let first = if span.is_block() {
            lanes(self.cores[span.first]).next().map_or(u32::MAX, |lane| (span.first * LANES + lane) as u32)
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
        if self.fit.index.tree.diagonal(span.node) <= self.fit.ball.accept {
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
            lanes(self.cores[span.first]).for_each(|lane| self.sets.union(slot, span.first * LANES + lane));
        } else {
            let (left, right) = span.children();
            self.absorb(left, slot);
            self.absorb(right, slot);
        }
        self.set_state(span, UNIFORM);
    }

    /// Unites `slot`, at which `query` aims, with every core within eps in its own or a later block.
    fn grow(&self, span: Span, query: &Query, slot: usize) {
        let (tree, ball) = (&self.fit.index.tree, &self.fit.ball);
        if span.end() <= slot / LANES {
            return; // The search from there finds this pair.
        }
        let state = self.state(span);
        if state == EMPTY || (state == UNIFORM && self.sets.same(slot, self.first(span))) {
            return;
        }
        if tree.nearest(&query.coords, span.node) > ball.reject {
            return;
        }
        if tree.is_inside(&query.coords, span.node, ball.accept) {
            return self.absorb(span, slot);
        }
        if span.is_block() {
            return self.grow_into_block(span, state, query, slot);
        }
        let (left, right) = span.children();
        self.grow(left, query, slot);
        self.grow(right, query, slot);
        if state == MIXED && self.is_uniform(left, right) {
            self.set_state(span, UNIFORM);
        }
    }

    fn grow_into_block(&self, span: Span, mut state: u8, query: &Query, slot: usize) {
        let (cores, first) = (self.cores[span.first], self.first(span));
        let slots = |bits: u16| lanes(bits).map(|lane| span.first * LANES + lane);
        // Asking the sets is cheaper than measuring, and in many dimensions the only way to learn that a block is uniform.
        if state == MIXED && slots(cores).skip(1).all(|other| self.sets.same(first, other)) {
            self.set_state(span, UNIFORM);
            state = UNIFORM;
        }
        if state == UNIFORM && self.sets.same(slot, first) {
            return;
        }
        let hits = self.fit.index.hits(&self.fit.ball, query, span.first) & cores;
        slots(hits).for_each(|other| self.sets.union(slot, other));
    }

    fn is_uniform(&self, left: Span, right: Span) -> bool {
        match (self.state(left), self.state(right)) {
            (MIXED, _) | (_, MIXED) => false,
            (UNIFORM, UNIFORM) => self.sets.same(self.first(left), self.first(right)),
            _ => true,
        }
    }
}
