//! The exact search: down a k-d tree to the nearest core whose radius covers the row.
//!
//! Called by `Predictor` for every row that the map does not answer. Of cores at one distance the lowest label wins, then the lowest
//! number, so an answer depends on the model and the row only.

use crate::metric::{Kernel, Metric, cosine_distance, haversine_square, larger};
use crate::predict::arrays::{Index, MIXED};
use crate::predict::radii::Radii;
use crate::space::{Ball, embed};
use crate::tree::kdtree::LANES;

/// A tree over at most 2^32 slots is not deeper, and a search keeps one open node per level.
const DEPTH: usize = 32;
/// From this many columns on, bounds are summed in as many independent parts.
const WIDE: usize = 8;

/// A row as the tree sees it, with room for the next.
pub struct Query {
    coords: Vec<f64>,
    angles: [f64; 2],
    /// False for a zero row under cosine.
    placed: bool,
}

impl Query {
    pub fn new(width: usize) -> Self {
        Self { coords: vec![0.0; width], angles: [0.0; 2], placed: false }
    }

    pub fn aim(&mut self, metric: Metric, row: &[f64]) {
        self.placed = embed(metric, row, &mut self.coords);
        if let (Metric::Haversine, &[latitude, longitude]) = (metric, row) {
            self.angles = [latitude, longitude];
        }
    }

    /// The row's place, if it has one.
    pub fn place(&self) -> Option<&[f64]> {
        self.placed.then_some(&self.coords)
    }
}

/// The nearest core so far.
#[derive(Debug, Clone, Copy)]
pub struct Best {
    /// The metric's own rank; infinite until there is one.
    pub rank: f64,
    /// i32::MAX until there is one.
    pub label: i32,
    /// The core's number in the caller's order.
    pub row: u32,
    /// Reduced distance beyond which no core can win.
    reach: f64,
}

impl Best {
    pub fn is_none(&self) -> bool {
        self.label == i32::MAX
    }

    fn offer(&mut self, rank: f64, label: i32, row: u32, ball: &Ball) {
        let before = (label, row) < (self.label, self.row);
        if rank <= ball.limit && (rank < self.rank || (rank == self.rank && before)) {
            *self = Self { rank, label, row, reach: ball.reach(rank).min(self.reach) };
        }
    }
}

/// One search; `ANY_OF_LABEL` stops at the first core wherever all that may cover the row carry its label.
pub struct Search<'a, const ANY_OF_LABEL: bool> {
    pub index: &'a Index<'a>,
    pub radii: &'a Radii,
    pub query: &'a Query,
    /// See `Arrays`; empty where they do not hold for `radii`.
    pub reaches: &'a [f64],
}

impl<const ANY_OF_LABEL: bool> Search<'_, ANY_OF_LABEL> {
    #[inline(always)]
    pub fn run<K: Kernel>(&self) -> Best {
        let mut best = Best { rank: f64::INFINITY, label: i32::MAX, row: u32::MAX, reach: self.radii.reach() };
        let meta = &self.index.meta;
        if !self.query.placed {
            // A zero row is at distance 1 from every core.
            self.offer(meta.lowest, 1.0, &mut best);
            return best;
        }
        match self.index.width {
            1 => self.descend::<K, 1>(&mut best),
            2 => self.descend::<K, 2>(&mut best),
            3 => self.descend::<K, 3>(&mut best),
            _ => self.descend::<K, 0>(&mut best),
        }
        self.offer(meta.free, 1.0, &mut best);
        best
    }

    fn offer(&self, slot: usize, rank: f64, best: &mut Best) {
        let arrays = &self.index.arrays;
        let (Some(&label), Some(&row)) = (arrays.labels.get(slot), arrays.rows.get(slot)) else { return };
        if let Some(ball) = self.radii.ball(label) {
            best.offer(rank, label, row, ball);
        }
    }

    /// `WIDTH` is the number of columns if the compiler is to know it, else 0.
    #[inline(always)]
    fn descend<K: Kernel, const WIDTH: usize>(&self, best: &mut Best) {
        let Some(root) = self.index.root() else { return };
        let arrays = &self.index.arrays;
        let mut open = [(root, 0.0); DEPTH];
        open[0].1 = self.bound::<K, WIDTH>(root.node);
        let mut depth = 1;
        let mut any = false;
        while depth > 0 {
            depth -= 1;
            let (mut span, mut bound) = open[depth];
            while bound <= best.reach && self.reaches.get(span.node).is_none_or(|&reach| bound <= reach) {
                if ANY_OF_LABEL && arrays.alone[span.node] != MIXED {
                    any = true;
                }
                if span.is_block() {
                    self.scan::<K, WIDTH>(span.first, any, best);
                    break;
                }
                let (left, right) = span.children();
                let (to_left, to_right) = (self.bound::<K, WIDTH>(left.node), self.bound::<K, WIDTH>(right.node));
                let far = if to_left <= to_right {
                    (span, bound) = (left, to_left);
                    (right, to_right)
                } else {
                    (span, bound) = (right, to_right);
                    (left, to_left)
                };
                if depth < DEPTH {
                    open[depth] = far;
                    depth += 1;
                }
            }
            if ANY_OF_LABEL && any && !best.is_none() {
                return;
            }
        }
    }

    /// No core below the node is nearer than this.
    #[inline(always)]
    fn bound<K: Kernel, const WIDTH: usize>(&self, node: usize) -> f64 {
        let width = if WIDTH == 0 { self.index.width } else { WIDTH };
        let corners = &self.index.arrays.boxes[node * 2 * width..][..2 * width];
        let (low, high) = corners.split_at(width);
        let centre = &self.query.coords[..width];
        let gap =
            |low: f32, high: f32, centre: f64| larger(larger(f64::from(low) - centre, centre - f64::from(high)), 0.0);
        if WIDTH != 0 || width < WIDE {
            return low.iter().zip(high).zip(centre).fold(0.0, |sum, ((&l, &h), &c)| K::add(sum, gap(l, h, c)));
        }
        // Independent sums are several times faster; what another order of additions may round up, the factor takes away.
        let (lows, low_rest) = low.as_chunks::<WIDE>();
        let (highs, high_rest) = high.as_chunks::<WIDE>();
        let (centres, centre_rest) = centre.as_chunks::<WIDE>();
        let mut sums = [0.0; WIDE];
        for ((low, high), centre) in lows.iter().zip(highs).zip(centres) {
            for lane in 0..WIDE {
                sums[lane] = K::add(sums[lane], gap(low[lane], high[lane], centre[lane]));
            }
        }
        let rest = low_rest.iter().zip(high_rest).zip(centre_rest);
        let rest = rest.fold(0.0, |sum, ((&l, &h), &c)| K::add(sum, gap(l, h, c)));
        sums.into_iter().fold(rest, K::merge) * (1.0 - 4.0 * width as f64 * f64::EPSILON)
    }

    #[inline(always)]
    fn scan<K: Kernel, const WIDTH: usize>(&self, block: usize, any: bool, best: &mut Best) {
        let width = if WIDTH == 0 { self.index.width } else { WIDTH };
        let axes = &self.index.arrays.points[block * LANES * width..][..LANES * width];
        let mut sums = [0.0; LANES];
        for (axis, &centre) in axes.as_chunks::<LANES>().0.iter().zip(&self.query.coords[..width]) {
            for lane in 0..LANES {
                sums[lane] = K::add(sums[lane], axis[lane] - centre);
            }
        }
        let points = (self.index.meta.placed - block * LANES).min(LANES);
        let reach = best.reach;
        let near = sums.iter().enumerate().fold(0_u32, |bits, (lane, &sum)| bits | (u32::from(sum <= reach) << lane));
        let mut near = near & (u32::MAX >> (32 - points));
        while near != 0 {
            let lane = near.trailing_zeros() as usize;
            near &= near - 1;
            if sums[lane] <= best.reach {
                let slot = block * LANES + lane;
                self.offer(slot, self.rank(slot, sums[lane]), best);
                if ANY_OF_LABEL && any && !best.is_none() {
                    return;
                }
            }
        }
    }

    /// The metric's own rank of the core at `slot`, of which `reduced` is the reduced distance.
    #[inline(always)]
    fn rank(&self, slot: usize, reduced: f64) -> f64 {
        let (index, query) = (self.index, self.query);
        match index.meta.metric {
            Metric::Euclidean | Metric::Manhattan | Metric::Chebyshev => reduced,
            Metric::Haversine => {
                haversine_square(query.angles, [index.arrays.angles[2 * slot], index.arrays.angles[2 * slot + 1]])
            }
            Metric::Cosine => {
                let block = &index.arrays.points[slot / LANES * LANES * index.width..];
                let coords = block.iter().skip(slot % LANES).step_by(LANES);
                cosine_distance(coords.zip(&query.coords).map(|(core, value)| value * core))
            }
        }
    }
}
