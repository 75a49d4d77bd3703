//! DBSCAN over a k-d tree: every metric, any number of columns.
//!
//! Called by `dbscan`. Memory is O(n): a tree, a bit per point and a union-find.

mod borders;
mod growth;
pub mod index;
pub mod kdtree;

use rayon::prelude::*;

use crate::control::{Control, Stage};
use crate::dbscan::{Clustering, Job, NOISE, number_by_first_core};
use crate::error::{Result, filled};
use crate::metric::{Kernel, Metric};
use crate::space::{Ball, Embedded, embed_rows};
use crate::tree::borders::find_borders;
use crate::tree::growth::connect;
use crate::tree::index::{Index, Query};
use crate::tree::kdtree::{LANES, Span, lanes};
use crate::union_find::UnionFind;
use crate::value::Value;

/// What makes a point core.
enum Demand {
    Count(usize),
    /// Weights by slot, and what those within eps must sum up to.
    Weight(Vec<f64>, f64),
}

pub fn cluster<K: Kernel, T: Value>(job: Job<'_, T>, control: &Control) -> Result<Clustering> {
    let points = &*T::widen(job.points)?;
    let n = job.rows();
    control.begin(Stage::Index, 1);
    control.check()?;
    let largest = points.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    let ball = Ball::new(job.metric, job.eps, job.width, largest);
    let embedded = embed_rows(job.metric, points, job.width, n)?;
    let directionless = embedded.directionless.clone();
    let fit = Fit::<K>::build(job.metric, points, embedded, ball)?;
    // A zero vector is at cosine distance 1 from every other row: beyond eps, or a neighbour of all.
    let reaches_all = !directionless.is_empty() && job.eps >= 1.0;
    let weight = |row: u32| job.weights.map_or(1.0, |weights| weights[row as usize]);
    let weight_of = |rows: &[u32]| rows.iter().map(|&row| weight(row)).sum::<f64>();
    let needed = job.min_samples as f64;
    let beyond = if reaches_all { directionless.as_slice() } else { &[] };
    let demand = match job.weights {
        None => Demand::Count(job.min_samples.saturating_sub(beyond.len())),
        Some(_) => Demand::Weight(fit.rows().iter().map(|&row| weight(row)).collect(), needed - weight_of(beyond)),
    };
    let cores = fit.find_cores(&demand, control)?;
    if reaches_all && weight_of(fit.rows()) + weight_of(&directionless) >= needed {
        // Such a row is core and touches every other row, so there is exactly one cluster.
        let mut core_rows: Vec<i64> = directionless.iter().map(|&row| i64::from(row)).collect();
        core_rows.extend(fit.core_slots(&cores).map(|slot| i64::from(fit.rows()[slot])));
        core_rows.sort_unstable();
        return Ok(Clustering { labels: filled(0, n)?, core_rows });
    }
    let sets = connect(&fit, &cores, control)?;
    let alone: Vec<u32> = directionless.iter().copied().filter(|&row| !reaches_all && weight(row) >= needed).collect();
    let mut found = fit.number(n, &cores, &sets, &alone, control)?;
    if reaches_all && !found.core_rows.is_empty() {
        // Within eps of every core, the first cluster's included.
        directionless.iter().for_each(|&row| found.labels[row as usize] = 0);
    }
    Ok(found)
}

/// One data set's index with the ball that `eps` is in it.
pub struct Fit<K> {
    pub index: Index<K>,
    pub ball: Ball,
}

impl<K: Kernel> Fit<K> {
    fn build(metric: Metric, points: &[f64], embedded: Embedded<'_>, ball: Ball) -> Result<Self> {
        Ok(Self { index: Index::build(metric, points, embedded)?, ball })
    }

    /// Slot to row.
    fn rows(&self) -> &[u32] {
        self.index.tree.rows()
    }

    /// One bit per lane of every block: those that meet the demand.
    fn find_cores(&self, demand: &Demand, control: &Control) -> Result<Vec<u16>> {
        let tree = &self.index.tree;
        control.begin(Stage::Cores, tree.blocks());
        let mut cores = filled(0_u16, tree.blocks())?;
        let Some(root) = tree.root() else { return Ok(cores) };
        if let Demand::Count(needed) = demand {
            self.mark_dense(root, *needed, &mut cores);
        }
        cores.par_iter_mut().enumerate().try_for_each_init(
            || self.index.query(),
            |query, (block, bits)| {
                for lane in lanes(tree.occupied(block) & !*bits) {
                    let slot = block * LANES + lane;
                    self.index.aim(query, slot);
                    let is_core = match demand {
                        Demand::Count(needed) => self.count(root, query, slot, *needed) >= *needed,
                        Demand::Weight(weights, needed) => self.weigh(root, query, slot, weights) >= *needed,
                    };
                    *bits |= u16::from(is_core) << lane;
                }
                control.advance(1)
            },
        )?;
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

    /// The lanes of a block within eps of `own`, always itself among them.
    fn near(&self, query: &Query, own: usize, block: usize) -> u16 {
        let hits = self.index.hits(&self.ball, query, block);
        if own / LANES == block { hits | 1 << (own % LANES) } else { hits }
    }

    /// Points within eps, `own` always among them; stops soon after `needed`.
    fn count(&self, span: Span, query: &Query, own: usize, needed: usize) -> usize {
        let tree = &self.index.tree;
        if tree.is_inside(&query.coords, span.node, self.ball.accept) {
            return tree.points(span);
        }
        if span.is_block() {
            return self.near(query, own, span.first).count_ones() as usize;
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

    /// Weight of the points within eps, added up in the order of slots. Weights may be negative, so nothing is cut off.
    fn weigh(&self, span: Span, query: &Query, own: usize, weights: &[f64]) -> f64 {
        let tree = &self.index.tree;
        let holds_own = (span.first..span.end()).contains(&(own / LANES));
        if !holds_own && tree.nearest(&query.coords, span.node) > self.ball.reject {
            return 0.0;
        }
        if span.is_block() {
            return lanes(self.near(query, own, span.first)).map(|lane| weights[span.first * LANES + lane]).sum();
        }
        let (left, right) = span.children();
        self.weigh(left, query, own, weights) + self.weigh(right, query, own, weights)
    }

    fn core_slots<'a>(&self, cores: &'a [u16]) -> impl Iterator<Item = usize> + 'a {
        cores.iter().enumerate().flat_map(|(block, &bits)| lanes(bits).map(move |lane| block * LANES + lane))
    }

    /// Numbers the sets by their first row and labels every row.
    fn number(
        &self,
        n: usize,
        cores: &[u16],
        sets: &UnionFind,
        alone: &[u32],
        control: &Control,
    ) -> Result<Clustering> {
        let rows = self.rows();
        let mut labels = filled(NOISE, n)?;
        for slot in self.core_slots(cores) {
            labels[rows[slot] as usize] = sets.find(slot) as i64;
        }
        // Sets of one zero vector each get roots past the last slot.
        for (extra, &row) in alone.iter().enumerate() {
            labels[row as usize] = (rows.len() + extra) as i64;
        }
        let core_rows = number_by_first_core(&mut labels, rows.len() + alone.len())?;
        if let Some(root) = self.index.tree.root().filter(|_| !core_rows.is_empty()) {
            let borders = find_borders(self, cores, &labels, root, control)?;
            borders.into_iter().for_each(|(row, label)| labels[row as usize] = label);
        }
        Ok(Clustering { labels, core_rows })
    }
}
