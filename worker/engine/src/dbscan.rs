//! DBSCAN without neighbour lists: count, connect, number, then hand out the borders.
//!
//! Called by the bindings. Memory is O(n): a tree, a bit per point and a union-find. The outcome equals scikit-learn's, cluster
//! numbers included: clusters are numbered by their first core row, and a border row joins the lowest-numbered cluster within eps.
//! Threads only ever add unions and counts, so their number and timing cannot change a label.

use std::sync::atomic::{AtomicU8, Ordering};

use rayon::prelude::*;

use crate::error::{Result, filled};
use crate::index::{Index, Query};
use crate::kdtree::{LANES, Span};
use crate::metric::{Kernel, Metric};
use crate::space::{Ball, embed_rows};
use crate::union_find::UnionFind;

pub const NOISE: i64 = -1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clustering {
    pub labels: Vec<i64>,
    /// Rows, ascending.
    pub core_rows: Vec<i64>,
}

/// Clusters `n` rows of `width` columns; everything is validated, and the current thread pool is used.
pub fn cluster<K: Kernel>(
    metric: Metric,
    points: &[f64],
    width: usize,
    eps: f64,
    min_samples: usize,
) -> Result<Clustering> {
    let n = points.len() / width;
    let largest = points.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    let ball = Ball::new(metric, eps, width, largest);
    let embedded = embed_rows(metric, points, width, n)?;
    let directionless = embedded.directionless.clone();
    // A zero vector is at cosine distance 1 from every other row: beyond eps, or a neighbour of all.
    let reaches_all = !directionless.is_empty() && eps >= 1.0;
    if reaches_all && n >= min_samples {
        // Such a row is core and touches every other row, so there is exactly one cluster.
        return cluster_of_all::<K>(metric, points, embedded, ball, min_samples);
    }
    let index = Index::<K>::build(metric, points, embedded)?;
    let fit = Fit { index, ball };
    let beyond = if reaches_all { directionless.len() } else { 0 };
    let cores = fit.find_cores(min_samples.saturating_sub(beyond))?;
    let sets = fit.connect(&cores)?;
    let alone = if min_samples <= 1 { directionless.as_slice() } else { &[] };
    fit.number(n, &cores, &sets, alone)
}

fn cluster_of_all<K: Kernel>(
    metric: Metric,
    points: &[f64],
    embedded: crate::space::Embedded<'_>,
    ball: Ball,
    min_samples: usize,
) -> Result<Clustering> {
    let directionless = embedded.directionless.clone();
    let n = embedded.rows.len() + directionless.len();
    let fit = Fit { index: Index::<K>::build(metric, points, embedded)?, ball };
    let cores = fit.find_cores(min_samples.saturating_sub(directionless.len()))?;
    let mut core_rows: Vec<i64> = directionless.iter().map(|&row| i64::from(row)).collect();
    core_rows.extend(fit.core_slots(&cores).map(|slot| i64::from(fit.index.tree.rows()[slot])));
    core_rows.sort_unstable();
    Ok(Clustering { labels: filled(0, n)?, core_rows })
}

/// What is known of the cores below a node.
const EMPTY: u8 = 0;
const MIXED: u8 = 1;
/// All in one set. Sets only grow, so this is for ever.
const UNIFORM: u8 = 2;

struct Fit<K> {
    index: Index<K>,
    ball: Ball,
}

impl<K: Kernel> Fit<K> {
    /// One bit per lane of every block: at least `needed` points (itself included) within eps.
    fn find_cores(&self, needed: usize) -> Result<Vec<u16>> {
        let mut cores = filled(0_u16, self.index.tree.blocks())?;
        if let Some(root) = self.index.tree.root() {
            self.mark_dense(root, needed, &mut cores);
            cores.par_iter_mut().enumerate().for_each_init(
                || self.index.query(),
                |query, (block, bits)| {
                    let mut open = self.index.tree.occupied(block) & !*bits;
                    while open != 0 {
                        let lane = open.trailing_zeros() as usize;
                        let slot = block * LANES + lane;
                        self.index.aim(query, slot);
                        if self.count(root, query, slot, needed) >= needed {
                            *bits |= 1 << lane;
                        }
                        open &= open - 1;
                    }
                },
            );
        }
        Ok(cores)
    }

    /// Where enough points lie within one eps of each other, all of them are core and none needs a search.
    fn mark_dense(&self, span: Span, needed: usize, cores: &mut [u16]) {
        let tree = &self.index.tree;
        if tree.points(span) < needed {
            return;
        }
        if tree.diagonal(span.node) <= self.ball.accept {
            (span.first..span.end()).for_each(|block| cores[block] = tree.occupied(block));
        } else if !span.is_block() {
            let (left, right) = span.children();
            self.mark_dense(left, needed, cores);
            self.mark_dense(right, needed, cores);
        }
    }

    /// Points within eps, `own` always among them; stops soon after `needed`.
    fn count(&self, span: Span, query: &Query, own: usize, needed: usize) -> usize {
        let tree = &self.index.tree;
        if tree.farthest(&query.coords, span.node) <= self.ball.accept {
            return tree.points(span);
        }
        if span.is_block() {
            let mut hits = self.index.hits(&self.ball, query, span.first);
            if own / LANES == span.first {
                hits |= 1 << (own % LANES);
            }
            return hits.count_ones() as usize;
        }
        let (left, right) = span.children();
        let (to_left, to_right) = (tree.nearest(&query.coords, left.node), tree.nearest(&query.coords, right.node));
        let holds = |child: Span| (child.first..child.end()).contains(&(own / LANES));
        let left_first = to_left < to_right || (to_left == to_right && holds(left));
        let order =
            if left_first { [(left, to_left), (right, to_right)] } else { [(right, to_right), (left, to_left)] };
        let mut found = 0;
        for (child, distance) in order {
            if distance <= self.ball.reject {
                found += self.count(child, query, own, needed - found);
                if found >= needed {
                    break;
                }
            }
        }
        found
    }

    fn core_slots<'a>(&self, cores: &'a [u16]) -> impl Iterator<Item = usize> + 'a {
        cores.iter().enumerate().flat_map(|(block, &bits)| lanes(bits).map(move |lane| block * LANES + lane))
    }

    /// Unites all cores within eps of each other.
    fn connect(&self, cores: &[u16]) -> Result<UnionFind> {
        let sets = UnionFind::new(self.index.tree.n_points());
        let Some(root) = self.index.tree.root() else { return Ok(sets) };
        let mut states = Vec::new();
        states.resize_with(root.nodes(), || AtomicU8::new(MIXED));
        let clusters =
            Growth { fit: self, cores, sets: &sets, states: &states, firsts: filled(u32::MAX, root.nodes())? };
        let clusters = clusters.prepare(root);
        (0..self.index.tree.blocks()).into_par_iter().for_each_init(
            || self.index.query(),
            |query, block| {
                for lane in lanes(cores[block]) {
                    let slot = block * LANES + lane;
                    self.index.aim(query, slot);
                    clusters.grow(root, query, slot);
                }
            },
        );
        Ok(sets)
    }

    /// Numbers the sets by their first row and labels every row.
    fn number(&self, n: usize, cores: &[u16], sets: &UnionFind, alone: &[u32]) -> Result<Clustering> {
        let rows = self.index.tree.rows();
        let mut labels = filled(NOISE, n)?;
        for slot in self.core_slots(cores) {
            labels[rows[slot] as usize] = sets.find(slot) as i64;
        }
        // Sets of one zero vector each get roots past the last slot.
        for (extra, &row) in alone.iter().enumerate() {
            labels[row as usize] = (rows.len() + extra) as i64;
        }
        let mut numbers = filled(NOISE, rows.len() + alone.len())?;
        let mut next = 0;
        let mut core_rows = Vec::new();
        for (row, label) in labels.iter_mut().enumerate().filter(|(_, label)| **label != NOISE) {
            let number = &mut numbers[*label as usize];
            if *number == NOISE {
                *number = next;
                next += 1;
            }
            *label = *number;
            core_rows.push(row as i64);
        }
        if let Some(root) = self.index.tree.root().filter(|_| next > 0) {
            let borders = Borders::new(self, cores, &labels, root)?.find(root);
            borders.into_iter().for_each(|(row, label)| labels[row as usize] = label);
        }
        Ok(Clustering { labels, core_rows })
    }
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
    fn prepare(mut self, root: Span) -> Self {
        self.find_firsts(root);
        self.unite_dense(root);
        self
    }

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
        if tree.farthest(&query.coords, span.node) <= ball.accept {
            return self.absorb(span, slot);
        }
        if span.is_block() {
            let hits = self.fit.index.hits(ball, query, span.first) & self.cores[span.first];
            if state == UNIFORM && hits != 0 {
                self.sets.union(slot, self.first(span));
            } else {
                lanes(hits).for_each(|lane| self.sets.union(slot, span.first * LANES + lane));
                if hits == self.cores[span.first] {
                    self.set_state(span, UNIFORM);
                }
            }
            return;
        }
        let (left, right) = span.children();
        self.grow(left, query, slot);
        self.grow(right, query, slot);
        if state == MIXED && self.is_uniform(left, right) {
            self.set_state(span, UNIFORM);
        }
    }

    fn is_uniform(&self, left: Span, right: Span) -> bool {
        match (self.state(left), self.state(right)) {
            (MIXED, _) | (_, MIXED) => false,
            (UNIFORM, UNIFORM) => self.sets.same(self.first(left), self.first(right)),
            _ => true,
        }
    }
}

/// The search for the lowest-numbered cluster within eps of a row that is not core.
struct Borders<'a, K> {
    fit: &'a Fit<K>,
    cores: &'a [u16],
    labels: &'a [i64],
    /// By node, the lowest label of its cores.
    lowest: Vec<i64>,
}

impl<'a, K: Kernel> Borders<'a, K> {
    fn new(fit: &'a Fit<K>, cores: &'a [u16], labels: &'a [i64], root: Span) -> Result<Self> {
        let mut borders = Self { fit, cores, labels, lowest: filled(i64::MAX, root.nodes())? };
        borders.find_lowest(root);
        Ok(borders)
    }

    fn label(&self, slot: usize) -> i64 {
        self.labels[self.fit.index.tree.rows()[slot] as usize]
    }

    fn find_lowest(&mut self, span: Span) -> i64 {
        let lowest = if span.is_block() {
            let cores = lanes(self.cores[span.first]).map(|lane| self.label(span.first * LANES + lane));
            cores.min().unwrap_or(i64::MAX)
        } else {
            let (left, right) = span.children();
            self.find_lowest(left).min(self.find_lowest(right))
        };
        self.lowest[span.node] = lowest;
        lowest
    }

    fn find(&self, root: Span) -> Vec<(u32, i64)> {
        let tree = &self.fit.index.tree;
        let found = (0..tree.blocks()).into_par_iter().map_init(
            || self.fit.index.query(),
            |query, block| {
                let mut found = Vec::new();
                for lane in lanes(tree.occupied(block) & !self.cores[block]) {
                    let slot = block * LANES + lane;
                    self.fit.index.aim(query, slot);
                    let label = self.search(root, query, i64::MAX);
                    if label != i64::MAX {
                        found.push((tree.rows()[slot], label));
                    }
                }
                found
            },
        );
        found.flatten_iter().collect()
    }

    fn search(&self, span: Span, query: &Query, best: i64) -> i64 {
        let (tree, ball) = (&self.fit.index.tree, &self.fit.ball);
        if self.lowest[span.node] >= best || tree.nearest(&query.coords, span.node) > ball.reject {
            return best;
        }
        if tree.farthest(&query.coords, span.node) <= ball.accept {
            return self.lowest[span.node];
        }
        if span.is_block() {
            let hits = self.fit.index.hits(ball, query, span.first) & self.cores[span.first];
            return lanes(hits).map(|lane| self.label(span.first * LANES + lane)).fold(best, i64::min);
        }
        let (left, right) = span.children();
        let best = self.search(left, query, best);
        self.search(right, query, best)
    }
}

/// The numbers of the set bits.
fn lanes(mut bits: u16) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = (bits != 0).then(|| bits.trailing_zeros() as usize);
        bits &= bits.wrapping_sub(1);
        lane
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::SumSquares;

    fn labels(points: &[f64], eps: f64, min_samples: usize) -> Clustering {
        cluster::<SumSquares>(Metric::Euclidean, points, 1, eps, min_samples).unwrap()
    }

    #[test]
    fn chains_noise_and_borders() {
        // 0-1-2 and 10-11-12 are clusters of three, 13.0 a border of the second, 50 noise.
        let found = labels(&[10.0, 11.0, 12.0, 50.0, 0.0, 1.0, 2.0, 13.0], 1.0, 3);
        assert_eq!(found.labels, [0, 0, 0, -1, 1, 1, 1, 0]);
        assert_eq!(found.core_rows, [1, 2, 5]);
    }

    #[test]
    fn a_border_between_two_clusters_joins_the_lower_numbered() {
        // 0 is within eps of one core at -1 (cluster 1) and one at 1 (cluster 0), and is not core itself.
        let found = labels(&[1.0, 1.9, 1.9, 0.0, -1.0, -1.9, -1.9], 1.0, 4);
        assert_eq!(found.labels, [0, 0, 0, 0, 1, 1, 1]);
    }

    #[test]
    fn no_rows_no_clusters() {
        assert_eq!(labels(&[], 1.0, 1).labels, [0_i64; 0]);
    }
}
