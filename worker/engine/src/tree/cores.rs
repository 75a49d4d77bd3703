//! Core points: those with enough neighbours.
//!
//! Called by `mod` once the tree is built. A search ends as soon as it has counted enough, starting among the nearest blocks.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::budget;
use crate::control::{Control, Stage};
use crate::error::{Result, filled};
use crate::metric::Kernel;
use crate::tree::Fit;
use crate::tree::kdtree::{LANES, Span, lanes};
use crate::tree::packet::{Lanes, Packet};
use crate::value::Value;

/// What makes a point core.
pub enum Demand {
    Count(usize),
    /// Weights by slot, and what those within eps must sum up to.
    Weight(Vec<f64>, f64),
}

/// One bit by lane of every block: those that meet the demand. Refuses what would cost more than the budget.
pub fn find_cores<K: Kernel, T: Value>(
    fit: &Fit<K, T>,
    demand: &Demand,
    budget: Option<f64>,
    control: &Control,
) -> Result<Vec<u16>> {
    let tree = &fit.tree;
    control.begin(Stage::Cores, tree.n_blocks());
    let mut cores = filled(0_u16, tree.n_blocks())?;
    let Some(root) = tree.root() else { return Ok(cores) };
    match *demand {
        Demand::Count(needed) if needed > tree.n_points() => return Ok(cores),
        Demand::Count(needed) => mark_dense(fit, root, needed, &mut cores),
        Demand::Weight(..) => {}
    }
    let search = Search { fit, root, demand, arch: Arch::new() };
    if budget.is_some() {
        let open: Vec<usize> = (0..tree.n_blocks()).filter(|&block| tree.occupied(block) != cores[block]).collect();
        let mut spans = Vec::new();
        budget::check(budget, open.len(), tree.width(), |unit| {
            search.run(open[unit], cores[open[unit]], &mut spans).1
        })?;
    }
    cores.par_iter_mut().enumerate().try_for_each_init(Vec::new, |spans, (block, bits)| {
        *bits |= search.run(block, *bits, spans).0;
        control.advance(1)
    })?;
    Ok(cores)
}

/// What the searches of all blocks share.
struct Search<'a, 'p, K, T> {
    fit: &'a Fit<'p, K, T>,
    root: Span,
    demand: &'a Demand,
    arch: Arch,
}

impl<K: Kernel, T: Value> Search<'_, '_, K, T> {
    /// Which rows of a block are core besides those `known` to be, and how many distances it took to find out.
    fn run(&self, block: usize, known: u16, spans: &mut Vec<Span>) -> (u16, u64) {
        let Self { fit, root, demand, arch } = *self;
        let open = fit.tree.occupied(block) & !known;
        if open == 0 {
            return (0, 0);
        }
        match demand {
            Demand::Count(needed) => arch.dispatch(Count { fit, root, block, open, needed: *needed as u32, spans }),
            Demand::Weight(weights, needed) => {
                let (sums, work) = arch.dispatch(Weigh { fit, root, block, open, weights, spans });
                (lanes(open).filter(|&lane| sums[lane] >= *needed).fold(0, |bits, lane| bits | 1 << lane), work)
            }
        }
    }
}

/// Where enough points lie within one eps of each other, all of them are core and none needs a search.
fn mark_dense<K: Kernel, T: Value>(fit: &Fit<K, T>, span: Span, needed: usize, cores: &mut [u16]) {
    if fit.tree.points(span) < needed {
        return;
    }
    if fit.is_dense(span) {
        (span.first..span.end()).for_each(|block| cores[block] = fit.tree.occupied(block));
    } else if !span.is_block() {
        let (left, right) = span.children();
        mark_dense(fit, left, needed, cores);
        mark_dense(fit, right, needed, cores);
    }
}

/// The search of one block's `open` lanes; returns those that have at least `needed` neighbours.
struct Count<'a, 'p, K, T> {
    fit: &'a Fit<'p, K, T>,
    root: Span,
    block: usize,
    open: u16,
    needed: u32,
    spans: &'a mut Vec<Span>,
}

impl<K: Kernel, T: Value> WithSimd for Count<'_, '_, K, T> {
    type Output = (u16, u64);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (u16, u64) {
        let Self { fit, root, block, open, needed, spans } = self;
        let tree = &fit.tree;
        let own = root.descend(block, spans);
        spans.push(own);
        let mut packet = fit.packet(own, open);
        let mut found = [0_u32; LANES];
        let mut enough = 0;
        while let Some(span) = spans.pop() {
            let corners = tree.corners(span.node);
            if span != own && !packet.reaches(simd, corners) {
                continue;
            }
            if tree.diagonal(span.node) <= fit.across && packet.engulfs(simd, corners) {
                for lane in lanes(packet.active) {
                    found[lane] += tree.points(span) as u32;
                }
            } else if span.is_block() {
                let (sure, possible) = packet.count(simd, tree.block(span.first));
                let counts = if sure == possible { sure } else { recount(fit, &mut packet, simd, own, span.first) };
                for lane in 0..LANES {
                    found[lane] += counts[lane];
                }
            } else {
                span.push_children(block, spans);
                continue;
            }
            let mut met = 0;
            for (lane, &found) in found.iter().enumerate() {
                met |= u16::from(found >= needed) << lane;
            }
            if met != enough {
                enough = met;
                packet.end(met);
                if packet.active == 0 {
                    break;
                }
            }
        }
        (enough & open, packet.work)
    }
}

/// Neighbours of the lanes of `own` in another block, where some are too near to eps for their sketches.
#[inline(always)]
fn recount<K: Kernel, T: Value, S: Simd>(
    fit: &Fit<K, T>,
    packet: &mut Packet<K>,
    simd: S,
    own: Span,
    block: usize,
) -> Lanes<u32> {
    let mut counts = [0; LANES];
    for (other, distances) in packet.distances(simd, fit.tree.block(block)).iter().enumerate() {
        let near = packet.neighbours(distances, |lane| fit.are_near(own.first * LANES + lane, block * LANES + other));
        lanes(near).for_each(|lane| counts[lane] += 1);
    }
    counts
}

/// The weight within eps of one block's `open` lanes. Weights may be negative, so nothing is cut off.
struct Weigh<'a, 'p, K, T> {
    fit: &'a Fit<'p, K, T>,
    root: Span,
    block: usize,
    open: u16,
    weights: &'a [f64],
    spans: &'a mut Vec<Span>,
}

impl<K: Kernel, T: Value> WithSimd for Weigh<'_, '_, K, T> {
    type Output = (Lanes<f64>, u64);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (Lanes<f64>, u64) {
        let Self { fit, root, block, open, weights, spans } = self;
        let tree = &fit.tree;
        let own = root.descend(block, spans);
        spans.push(own);
        let mut packet = fit.packet(own, open);
        let mut sums = [0.0; LANES];
        while let Some(span) = spans.pop() {
            if span != own && !packet.reaches(simd, tree.corners(span.node)) {
                continue;
            }
            if !span.is_block() {
                span.push_children(block, spans);
                continue;
            }
            let points = tree.points(span);
            for (other, distances) in packet.distances(simd, tree.block(span.first)).iter().enumerate().take(points) {
                let slot = span.first * LANES + other;
                let near = packet.neighbours(distances, |lane| fit.are_near(block * LANES + lane, slot));
                lanes(near).for_each(|lane| sums[lane] += weights[slot]);
            }
        }
        (sums, packet.work)
    }
}
