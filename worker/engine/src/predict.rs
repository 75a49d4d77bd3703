//! Predictions: the label of the nearest core sample within eps, else noise.
//!
//! Called by the bindings, from any number of threads at once: a `Predictor` never changes. Of several cores at the same
//! distance the one with the lowest label wins, so an answer depends on the model and the row only.

use std::num::NonZeroUsize;
use std::thread;

use crate::error::{EngineError, Result, filled, invalid};
use crate::metric::{Kernel, Metric};
use crate::space::{Ball, embed, embed_rows};
use crate::tree::index::{Index, Query};
use crate::tree::kdtree::{LANES, Span};

pub const NOISE: i32 = -1;
/// Fewer rows than this per thread are answered sooner than a thread starts.
const ROWS_PER_THREAD: usize = 2048;

pub struct Predictor<K> {
    index: Index<K>,
    metric: Metric,
    eps: f64,
    width: usize,
    largest: f64,
    /// By slot.
    labels: Vec<i32>,
    /// The lowest label of a zero core under cosine, at distance exactly 1 from every row.
    directionless: Option<i32>,
}

impl<K: Kernel> Predictor<K> {
    /// `points` hold one core of `width` finite columns per label.
    pub fn build(metric: Metric, points: &[f64], width: usize, core_labels: &[i32], eps: f64) -> Result<Self> {
        if core_labels.iter().any(|&label| label < 0) {
            return invalid("core_labels must be >= 0: a core sample always belongs to a cluster.");
        }
        let largest = points.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
        let embedded = embed_rows(metric, points, width, core_labels.len())?;
        let directionless = embedded.directionless.iter().map(|&row| core_labels[row as usize]).min();
        let index = Index::<K>::build(metric, points, embedded)?;
        let labels = index.tree.rows().iter().map(|&row| core_labels[row as usize]).collect();
        Ok(Self { index, metric, eps, width, largest, labels, directionless })
    }

    /// Labels rows of `width` finite values, on at most `threads` threads.
    pub fn predict<T: Copy + Into<f64> + Sync>(&self, rows: &[T], threads: NonZeroUsize) -> Result<Vec<i32>> {
        let n = rows.len() / self.width;
        let mut labels = filled(NOISE, n)?;
        let chunk = n.div_ceil(threads.get()).max(ROWS_PER_THREAD);
        if chunk >= n {
            self.predict_into(rows, &mut labels);
            return Ok(labels);
        }
        // Threads that end with the call, not a pool: a process forked meanwhile never waits for threads it lacks.
        thread::scope(|scope| {
            for (rows, labels) in rows.chunks(chunk * self.width).zip(labels.chunks_mut(chunk)) {
                let started = thread::Builder::new().spawn_scoped(scope, || self.predict_into(rows, labels));
                started.map_err(|error| EngineError::Threads(format!("Cannot start {threads} threads: {error}")))?;
            }
            Ok(())
        })?;
        Ok(labels)
    }

    fn predict_into<T: Copy + Into<f64>>(&self, rows: &[T], labels: &mut [i32]) {
        let mut query = self.index.query();
        let mut row = vec![0.0; self.width];
        for (values, label) in rows.chunks_exact(self.width).zip(labels) {
            row.iter_mut().zip(values).for_each(|(out, &value)| *out = value.into());
            *label = self.label(&row, &mut query);
        }
    }

    fn label(&self, row: &[f64], query: &mut Query) -> i32 {
        let largest = row.iter().fold(self.largest, |largest, x| largest.max(x.abs()));
        let ball = Ball::new(self.metric, self.eps, self.width, largest);
        let mut best = Best { rank: ball.limit, label: i32::MAX, reach: ball.reject };
        let placed = embed(self.metric, row, &mut query.coords);
        if self.metric == Metric::Haversine {
            query.angles = [row[0], row[1]];
        }
        if placed {
            if let Some(root) = self.index.tree.root() {
                self.search(root, &ball, query, &mut best);
            }
            self.directionless.iter().for_each(|&label| best.offer(1.0, label, &ball));
        } else {
            // A zero vector is at distance 1 from every core.
            self.labels.iter().chain(&self.directionless).for_each(|&label| best.offer(1.0, label, &ball));
        }
        if best.label == i32::MAX { NOISE } else { best.label }
    }

    fn search(&self, span: Span, ball: &Ball, query: &Query, best: &mut Best) {
        let tree = &self.index.tree;
        if span.is_block() {
            let reduced = tree.distances(&query.coords, span.first);
            for (lane, &reduced) in reduced.iter().enumerate().take(tree.points(span)) {
                if reduced <= best.reach {
                    let slot = span.first * LANES + lane;
                    best.offer(self.index.rank(query, slot, reduced), self.labels[slot], ball);
                }
            }
            return;
        }
        let (left, right) = span.children();
        let (to_left, to_right) = (tree.nearest(&query.coords, left.node), tree.nearest(&query.coords, right.node));
        let order = if to_left <= to_right {
            [(left, to_left), (right, to_right)]
        } else {
            [(right, to_right), (left, to_left)]
        };
        for (child, distance) in order {
            if distance <= best.reach {
                self.search(child, ball, query, best);
            }
        }
    }
}

/// The nearest core so far; `label` is i32::MAX until there is one.
struct Best {
    rank: f64,
    label: i32,
    reach: f64,
}

impl Best {
    fn offer(&mut self, rank: f64, label: i32, ball: &Ball) {
        if rank < self.rank || (rank == self.rank && label < self.label) {
            *self = Self { rank, label, reach: ball.reach(rank) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::SumSquares;

    fn predict(cores: &[f64], labels: &[i32], eps: f64, rows: &[f32]) -> Vec<i32> {
        let predictor = Predictor::<SumSquares>::build(Metric::Euclidean, cores, 1, labels, eps).unwrap();
        predictor.predict(rows, NonZeroUsize::MIN).unwrap()
    }

    #[test]
    fn the_nearest_core_within_eps_answers() {
        assert_eq!(predict(&[0.0, 4.0], &[0, 1], 1.5, &[0.5, 3.0, 2.0, 5.5, 5.6]), [0, 1, -1, 1, -1]);
    }

    #[test]
    fn equal_distances_go_to_the_lowest_label() {
        assert_eq!(predict(&[0.0, 2.0], &[7, 3], 1.0, &[1.0]), [3]);
    }

    #[test]
    fn a_model_without_cores_knows_only_noise() {
        assert_eq!(predict(&[], &[], 1.0, &[1.0, 2.0]), [-1, -1]);
    }
}
