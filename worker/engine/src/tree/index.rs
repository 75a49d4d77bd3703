//! Ties a k-d tree to a metric: which points of a block lie within a ball, decided by the metric's own formula at the boundary.
//!
//! Called by the searches of `tree`. Never decides by a chord what the metric would decide otherwise.

use crate::error::{Result, room};
use crate::metric::{Kernel, Metric, cosine_distance, haversine_square};
use crate::space::{Ball, Embedded};
use crate::tree::kdtree::{KdTree, LANES};

pub struct Index<K> {
    pub tree: KdTree<K>,
    metric: Metric,
    /// By slot, [latitude, longitude]; empty unless the metric is haversine.
    angles: Vec<[f64; 2]>,
}

/// One row asking for its neighbours.
pub struct Query {
    pub coords: Vec<f64>,
    pub angles: [f64; 2],
}

impl<K: Kernel> Index<K> {
    /// `points` are the rows as given, `embedded` the same rows as the tree stores them.
    pub fn build(metric: Metric, points: &[f64], embedded: Embedded<'_>) -> Result<Self> {
        let tree = KdTree::build(&embedded.coords, embedded.width, embedded.rows)?;
        let mut angles = room(if metric == Metric::Haversine { tree.n_points() } else { 0 })?;
        if metric == Metric::Haversine {
            angles.extend(tree.rows().iter().map(|&row| [points[2 * row as usize], points[2 * row as usize + 1]]));
        }
        Ok(Self { tree, metric, angles })
    }

    /// An empty query with room for a row of this index.
    pub fn query(&self) -> Query {
        Query { coords: vec![0.0; self.tree.width()], angles: [0.0; 2] }
    }

    /// Makes `query` ask for the point at `slot`.
    pub fn aim(&self, query: &mut Query, slot: usize) {
        for (axis, coord) in query.coords.iter_mut().enumerate() {
            *coord = self.tree.coord(slot, axis);
        }
        if let Some(&angles) = self.angles.get(slot) {
            query.angles = angles;
        }
    }

    /// One bit for every point of the block within the ball around `query`.
    #[inline]
    pub fn hits(&self, ball: &Ball, query: &Query, block: usize) -> u16 {
        let reduced = self.tree.distances(&query.coords, block);
        let mut near = lanes_within(&reduced, ball.reject) & self.tree.occupied(block);
        if !ball.is_plain() {
            let mut doubtful = near & !lanes_within(&reduced, ball.accept);
            while doubtful != 0 {
                let lane = doubtful.trailing_zeros() as usize;
                if self.rank(query, block * LANES + lane, reduced[lane]) > ball.limit {
                    near &= !(1 << lane);
                }
                doubtful &= doubtful - 1;
            }
        }
        near
    }

    /// The metric's own rank of the point at `slot`, of which `reduced` is the reduced distance.
    pub fn rank(&self, query: &Query, slot: usize, reduced: f64) -> f64 {
        match self.metric {
            Metric::Euclidean | Metric::Manhattan | Metric::Chebyshev => reduced,
            Metric::Haversine => haversine_square(query.angles, self.angles[slot]),
            Metric::Cosine => {
                let coords = query.coords.iter().enumerate();
                cosine_distance(coords.map(|(axis, value)| value * self.tree.coord(slot, axis)))
            }
        }
    }
}

#[inline]
fn lanes_within(reduced: &[f64; LANES], bound: f64) -> u16 {
    reduced.iter().enumerate().fold(0, |bits, (lane, &value)| bits | (u16::from(value <= bound) << lane))
}
