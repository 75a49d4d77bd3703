//! A flat k-d tree over embedded rows: blocks of sixteen points under boxes stored in preorder.
//!
//! Called by `adaptive`; knows nothing of metrics beyond a kernel and nothing of clusters. Every block but the last is full, so a
//! point's place ("slot") is its block times sixteen plus its lane, and no node stores a pointer or a range.
//! Box bounds round as point distances do (rounding is monotone) or to the safe side, so pruning by them never changes an answer.

use std::marker::PhantomData;

use crate::error::{Result, filled};
use crate::metric::{Kernel, larger};

pub const LANES: usize = 16;
/// From this many columns on, bounds are summed in as many independent parts.
const WIDE: usize = 8;
/// Subtrees above this many blocks are built on two threads.
const FORK_BLOCKS: usize = 256;

/// A subtree: its node (preorder number) and its run of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub node: usize,
    pub first: usize,
    pub blocks: usize,
}

impl Span {
    pub fn is_block(self) -> bool {
        self.blocks == 1
    }

    pub fn end(self) -> usize {
        self.first + self.blocks
    }

    /// Number of nodes of a subtree with as many blocks.
    pub fn nodes(self) -> usize {
        2 * self.blocks - 1
    }

    pub fn children(self) -> (Self, Self) {
        let left = Self { node: self.node + 1, first: self.first, blocks: self.blocks.div_ceil(2) };
        let right = Self { node: left.node + left.nodes(), first: left.end(), blocks: self.blocks - left.blocks };
        (left, right)
    }

    /// Descends to a block and returns it. `aside` gets the subtrees left and right of the way, those nearest to the block last.
    pub fn descend(self, block: usize, aside: &mut Vec<Self>) -> Self {
        aside.clear();
        let mut span = self;
        while !span.is_block() {
            let (left, right) = span.children();
            let (next, other) = if block < right.first { (left, right) } else { (right, left) };
            aside.push(other);
            span = next;
        }
        span
    }

    /// Pushes both children, last the one on the side of the block.
    pub fn push_children(self, block: usize, spans: &mut Vec<Self>) {
        let (left, right) = self.children();
        spans.extend(if block < right.first { [right, left] } else { [left, right] });
    }
}

pub struct KdTree<K> {
    width: usize,
    /// Block after block, each coordinate by coordinate: sixteen lanes lie side by side for the compiler to vectorise.
    lanes: Vec<f64>,
    /// Per node the low corner, then the high corner.
    boxes: Vec<f64>,
    /// Slot to row.
    rows: Vec<u32>,
    kernel: PhantomData<K>,
}

impl<K: Kernel> KdTree<K> {
    /// Builds over the given rows of `coords` (row-major, `width` columns, finite).
    pub fn build(coords: &[f64], width: usize, mut rows: Vec<u32>) -> Result<Self> {
        let blocks = rows.len().div_ceil(LANES);
        let mut boxes = filled(0.0, (2 * blocks).saturating_sub(1).saturating_mul(2 * width))?;
        let mut lanes = filled(0.0, blocks.saturating_mul(LANES * width))?;
        if blocks > 0 {
            split(coords, width, &mut rows, &mut boxes, blocks);
        }
        for (slot, &row) in rows.iter().enumerate() {
            let block = &mut lanes[slot / LANES * LANES * width..];
            for (axis, &value) in coords[row as usize * width..][..width].iter().enumerate() {
                block[axis * LANES + slot % LANES] = value;
            }
        }
        Ok(Self { width, lanes, boxes, rows, kernel: PhantomData })
    }

    pub fn n_points(&self) -> usize {
        self.rows.len()
    }

    pub fn blocks(&self) -> usize {
        self.rows.len().div_ceil(LANES)
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    pub fn root(&self) -> Option<Span> {
        (self.blocks() > 0).then(|| Span { node: 0, first: 0, blocks: self.blocks() })
    }

    /// Number of points below a span.
    pub fn points(&self, span: Span) -> usize {
        (span.end() * LANES).min(self.n_points()) - span.first * LANES
    }

    /// One bit for every lane of a block that holds a point.
    pub fn occupied(&self, block: usize) -> u16 {
        let points = (self.n_points() - block * LANES).min(LANES);
        (u32::MAX >> (32 - points)) as u16
    }

    pub fn coord(&self, slot: usize, axis: usize) -> f64 {
        self.lanes[(slot / LANES * self.width + axis) * LANES + slot % LANES]
    }

    /// Reduced distances from `query` to every lane of a block; those of empty lanes mean nothing.
    #[inline]
    pub fn distances(&self, query: &[f64], block: usize) -> [f64; LANES] {
        let mut sums = [0.0; LANES];
        let block = &self.lanes[block * LANES * self.width..][..LANES * self.width];
        // Arrays of a known length: the compiler keeps all sums in registers and unrolls the lanes.
        for (axis, &centre) in block.as_chunks::<LANES>().0.iter().zip(query) {
            for lane in 0..LANES {
                sums[lane] = K::add(sums[lane], axis[lane] - centre);
            }
        }
        sums
    }

    fn corners(&self, node: usize) -> (&[f64], &[f64]) {
        self.boxes[node * 2 * self.width..][..2 * self.width].split_at(self.width)
    }

    /// No point below the node is nearer than this.
    #[inline]
    pub fn nearest(&self, query: &[f64], node: usize) -> f64 {
        let (low, high) = self.corners(node);
        let gap = |low: f64, high: f64, centre: f64| larger(larger(low - centre, centre - high), 0.0);
        if self.width < WIDE {
            return low.iter().zip(high).zip(query).fold(0.0, |sum, ((&l, &h), &c)| K::add(sum, gap(l, h, c)));
        }
        // Independent sums are several times faster; what another order of additions may round up, the factor takes away.
        let (lows, low_rest) = low.as_chunks::<WIDE>();
        let (highs, high_rest) = high.as_chunks::<WIDE>();
        let (centres, centre_rest) = query.as_chunks::<WIDE>();
        let mut sums = [0.0; WIDE];
        for ((low, high), centre) in lows.iter().zip(highs).zip(centres) {
            for lane in 0..WIDE {
                sums[lane] = K::add(sums[lane], gap(low[lane], high[lane], centre[lane]));
            }
        }
        let rest = low_rest.iter().zip(high_rest).zip(centre_rest);
        let rest = rest.fold(0.0, |sum, ((&l, &h), &c)| K::add(sum, gap(l, h, c)));
        sums.into_iter().fold(rest, K::merge) * (1.0 - 4.0 * self.width as f64 * f64::EPSILON)
    }

    /// No point below one node is nearer than this to any point below the other.
    pub fn gap(&self, node: usize, other: usize) -> f64 {
        let ((low, high), (other_low, other_high)) = (self.corners(node), self.corners(other));
        let sides = low.iter().zip(high).zip(other_low.iter().zip(other_high));
        sides.fold(0.0, |sum, ((&low, &high), (&other_low, &other_high))| {
            K::add(sum, larger(larger(other_low - high, low - other_high), 0.0))
        })
    }
}

/// The lanes whose bits are set.
pub fn lanes(mut bits: u16) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = (bits != 0).then(|| bits.trailing_zeros() as usize);
        bits &= bits.wrapping_sub(1);
        lane
    })
}

/// Orders `rows` into blocks and fills the boxes of the subtree, widest side first.
fn split(coords: &[f64], width: usize, rows: &mut [u32], boxes: &mut [f64], blocks: usize) {
    let (own, below) = boxes.split_at_mut(2 * width);
    let (low, high) = own.split_at_mut(width);
    low.fill(f64::INFINITY);
    high.fill(f64::NEG_INFINITY);
    for &row in rows.iter() {
        for (axis, &value) in coords[row as usize * width..][..width].iter().enumerate() {
            low[axis] = low[axis].min(value);
            high[axis] = high[axis].max(value);
        }
    }
    if blocks == 1 {
        return;
    }
    let side = |axis: usize| high[axis] - low[axis];
    let axis = (0..width).max_by(|&a, &b| side(a).total_cmp(&side(b))).unwrap_or(0);
    let left = blocks.div_ceil(2);
    let key = |row: u32| coords[row as usize * width + axis];
    // Rows break ties, so the tree is the same on every run and for any number of threads.
    rows.select_nth_unstable_by(left * LANES, |&a, &b| key(a).total_cmp(&key(b)).then(a.cmp(&b)));
    let (left_rows, right_rows) = rows.split_at_mut(left * LANES);
    let (left_boxes, right_boxes) = below.split_at_mut((2 * left - 1) * 2 * width);
    let mut build_left = || split(coords, width, left_rows, left_boxes, left);
    let mut build_right = || split(coords, width, right_rows, right_boxes, blocks - left);
    if blocks > FORK_BLOCKS {
        rayon::join(build_left, build_right);
    } else {
        build_left();
        build_right();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::SumSquares;

    fn tree(n: usize) -> KdTree<SumSquares> {
        let coords: Vec<f64> = (0..2 * n).map(|i| ((i * 7919) % 1009) as f64).collect();
        KdTree::build(&coords, 2, (0..n as u32).collect()).unwrap()
    }

    #[test]
    fn every_row_has_one_slot() {
        for n in [0, 1, 15, 16, 17, 33, 1000] {
            let mut rows = tree(n).rows().to_vec();
            rows.sort_unstable();
            assert_eq!(rows, (0..n as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_point_is_nearer_than_its_boxes() {
        let tree = tree(777);
        let query = [300.0, 512.5];
        let mut spans = vec![tree.root().unwrap()];
        let mut seen = 0;
        while let Some(span) = spans.pop() {
            let near = tree.nearest(&query, span.node);
            for slot in span.first * LANES..span.first * LANES + tree.points(span) {
                let distance = tree.distances(&query, slot / LANES)[slot % LANES];
                assert!(near <= distance);
            }
            seen += 1;
            if !span.is_block() {
                let (left, right) = span.children();
                spans.extend([left, right]);
            }
        }
        assert_eq!(seen, tree.root().unwrap().nodes());
    }

    #[test]
    fn the_last_block_has_only_its_own_lanes() {
        assert_eq!(tree(17).occupied(0), u16::MAX);
        assert_eq!(tree(17).occupied(1), 1);
    }
}
