//! DBSCAN without neighbour lists: count, connect, number, then hand out the borders.
//!
//! Called by the bindings. Memory is O(n): a tree, a bit per point and a union-find. The outcome equals scikit-learn's, cluster
//! numbers included: clusters are numbered by their first core row, and a border row joins the lowest-numbered cluster within eps.
//! Threads only ever add unions and counts, so their number and timing cannot change a label.

use rayon::prelude::*;

use crate::borders::find_borders;
use crate::error::{Result, filled};
use crate::growth::connect;
use crate::index::{Index, Query};
use crate::kdtree::{LANES, Span, lanes};
use crate::metric::{Kernel, Metric};
use crate::space::{Ball, Embedded, embed_rows};
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
    let sets = connect(&fit, &cores)?;
    let alone = if min_samples <= 1 { directionless.as_slice() } else { &[] };
    fit.number(n, &cores, &sets, alone)
}

fn cluster_of_all<K: Kernel>(
    metric: Metric,
    points: &[f64],
    embedded: Embedded<'_>,
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

/// One data set's index with the ball that `eps` is in it.
pub struct Fit<K> {
    pub index: Index<K>,
    pub ball: Ball,
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
        if tree.is_inside(&query.coords, span.node, self.ball.accept) {
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
            let borders = find_borders(self, cores, &labels, root)?;
            borders.into_iter().for_each(|(row, label)| labels[row as usize] = label);
        }
        Ok(Clustering { labels, core_rows })
    }
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
