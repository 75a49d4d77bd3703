//! Sketched rows in blocks of sixteen under boxes: what the searches of a fit walk through.
//!
//! Called by `mod`. A point's place ("slot") is its block times sixteen plus its lane; every block but the last is full, and the
//! empty lanes there are infinitely far from everything.

use std::marker::PhantomData;

use rayon::prelude::*;

use crate::error::{Result, filled};
use crate::metric::Kernel;
use crate::tree::kdtree::{LANES, Span};
use crate::tree::order::order_rows;
use crate::tree::sketch::Sketch;

/// Subtrees above this many blocks get their boxes on two threads.
const FORK_BLOCKS: usize = 1024;

pub struct Blocks<K> {
    width: usize,
    /// Block after block, each axis by axis.
    lanes: Vec<f32>,
    /// Per node the low corner, then the high corner.
    boxes: Vec<f32>,
    /// Per node, the reduced distance between its corners.
    diagonals: Vec<f32>,
    /// Slot to row.
    rows: Vec<u32>,
    kernel: PhantomData<K>,
}

impl<K: Kernel> Blocks<K> {
    pub fn build(sketch: Sketch) -> Result<Self> {
        let Sketch { coords, width, placed, .. } = sketch;
        let mut rows = order_rows(&coords, width)?;
        let blocks = rows.len().div_ceil(LANES);
        let mut lanes = filled(f32::INFINITY, blocks.saturating_mul(LANES * width))?;
        lanes.par_chunks_mut(LANES * width).zip(rows.par_chunks(LANES)).for_each(|(block, rows)| {
            for (lane, &row) in rows.iter().enumerate() {
                let values = &coords[row as usize * width..][..width];
                values.iter().enumerate().for_each(|(axis, &value)| block[axis * LANES + lane] = value);
            }
        });
        drop(coords);
        if !placed.is_empty() {
            rows.iter_mut().for_each(|row| *row = placed[*row as usize]);
        }
        let nodes = (2 * blocks).saturating_sub(1);
        let mut built = Self {
            width,
            lanes,
            boxes: filled(0.0, nodes.saturating_mul(2 * width))?,
            diagonals: filled(0.0, nodes)?,
            rows,
            kernel: PhantomData,
        };
        if let Some(root) = built.root() {
            let (mut boxes, mut diagonals) = (std::mem::take(&mut built.boxes), std::mem::take(&mut built.diagonals));
            built.enclose(root, &mut boxes, &mut diagonals);
            (built.boxes, built.diagonals) = (boxes, diagonals);
        }
        Ok(built)
    }

    /// Fills the boxes of a subtree, from its blocks up.
    fn enclose(&self, span: Span, boxes: &mut [f32], diagonals: &mut [f32]) {
        let width = self.width;
        let (own, below) = boxes.split_at_mut(2 * width);
        let (diagonal, diagonals) = diagonals.split_at_mut(1);
        let (low, high) = own.split_at_mut(width);
        if span.is_block() {
            let points = self.points(span);
            for ((axis, low), high) in self.block(span.first).as_chunks::<LANES>().0.iter().zip(low).zip(high) {
                *low = axis[..points].iter().fold(f32::INFINITY, |low, &x| low.min(x));
                *high = axis[..points].iter().fold(f32::NEG_INFINITY, |high, &x| high.max(x));
            }
        } else {
            let (left, right) = span.children();
            let (left_boxes, right_boxes) = below.split_at_mut(left.nodes() * 2 * width);
            let (left_diagonals, right_diagonals) = diagonals.split_at_mut(left.nodes());
            let mut of_left = || self.enclose(left, left_boxes, left_diagonals);
            let mut of_right = || self.enclose(right, right_boxes, right_diagonals);
            if span.blocks > FORK_BLOCKS {
                rayon::join(of_left, of_right);
            } else {
                of_left();
                of_right();
            }
            for axis in 0..width {
                low[axis] = below[axis].min(below[left.nodes() * 2 * width + axis]);
                high[axis] = below[width + axis].max(below[left.nodes() * 2 * width + width + axis]);
            }
        }
        let (low, high) = own.split_at(width);
        let sides = low.iter().zip(high).map(|(&low, &high)| f64::from(high) - f64::from(low));
        diagonal[0] = (sides.fold(0.0, K::add) as f32).next_up();
    }

    pub fn n_points(&self) -> usize {
        self.rows.len()
    }

    pub fn n_blocks(&self) -> usize {
        self.rows.len().div_ceil(LANES)
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    pub fn root(&self) -> Option<Span> {
        (self.n_blocks() > 0).then(|| Span { node: 0, first: 0, blocks: self.n_blocks() })
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

    /// The coordinates of a block, sixteen by axis.
    #[inline(always)]
    pub fn block(&self, block: usize) -> &[f32] {
        &self.lanes[block * LANES * self.width..][..LANES * self.width]
    }

    /// Low and high corner of a node's box.
    #[inline(always)]
    pub fn corners(&self, node: usize) -> (&[f32], &[f32]) {
        self.boxes[node * 2 * self.width..][..2 * self.width].split_at(self.width)
    }

    #[inline(always)]
    pub fn diagonal(&self, node: usize) -> f32 {
        self.diagonals[node]
    }

    /// The longest that a row below the node can be, as a radius around the origin.
    pub fn norm(&self, node: usize) -> f64 {
        let (low, high) = self.corners(node);
        let farthest = low.iter().zip(high).map(|(low, high)| f64::from(low.abs().max(high.abs())));
        K::radius(farthest.fold(0.0, K::add)) * (1.0 + 1e-9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::SumSquares;

    #[test]
    fn boxes_are_the_smallest_around_the_points_below_them() {
        let coords: Vec<f32> = (0..2 * 777).map(|i| ((i * 7919) % 1009) as f32).collect();
        let sketch = Sketch { coords, width: 2, placed: Vec::new(), directionless: Vec::new() };
        let tree = Blocks::<SumSquares>::build(sketch).unwrap();
        let mut spans = vec![tree.root().unwrap()];
        while let Some(span) = spans.pop() {
            for axis in 0..2 {
                let values =
                    (span.first..span.end()).flat_map(|block| tree.block(block)[axis * LANES..][..LANES].to_vec());
                let values: Vec<f32> = values.filter(|value| value.is_finite()).collect();
                let (low, high) = tree.corners(span.node);
                assert_eq!(low[axis], values.iter().copied().fold(f32::INFINITY, f32::min));
                assert_eq!(high[axis], values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            }
            if !span.is_block() {
                let (left, right) = span.children();
                spans.extend([left, right]);
            }
        }
        assert_eq!((tree.occupied(0), tree.occupied(48)), (u16::MAX, 0x1ff));
    }
}
