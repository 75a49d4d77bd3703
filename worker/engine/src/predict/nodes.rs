//! What a tree knows of the cores below each node: their box, their largest radius, and whether they are alone.
//!
//! Called by `build`. A node is alone if every core that may cover a row that one of its cores covers carries its label: then any
//! core that covers a row decides its label, and the nearest need not be found.

use rayon::join;

use crate::error::{Result, filled};
use crate::metric::{Kernel, larger};
use crate::predict::arrays::MIXED;
use crate::predict::radii::Radii;
use crate::tree::kdtree::{LANES, Span};

/// Subtrees above this many blocks are worked on by two threads.
const FORK_BLOCKS: usize = 256;
/// Nodes looked at to see whether another one is alone; where it takes more, it is taken for not alone.
const LOOKS: usize = 512;
/// Reduced radii below this one are as good as this one, so that doubling them does not underflow.
const LEAST_REACH: f64 = 1e-300;

/// The cores as `Arrays` holds them, by slot.
#[derive(Clone, Copy)]
pub struct Slots<'a> {
    pub points: &'a [f64],
    pub labels: &'a [i32],
    pub placed: usize,
    pub width: usize,
    pub radii: &'a Radii,
}

/// In preorder; see `Arrays`.
pub struct Nodes {
    pub boxes: Vec<f32>,
    pub reaches: Vec<f64>,
    pub alone: Vec<i32>,
}

impl Nodes {
    pub fn build<K: Kernel>(slots: Slots<'_>) -> Result<Self> {
        let blocks = slots.placed.div_ceil(LANES);
        let count = (2 * blocks).saturating_sub(1);
        let mut boxes = filled(0.0, count.saturating_mul(2 * slots.width))?;
        let (mut reaches, mut labels, mut alone) = (filled(-1.0, count)?, filled(MIXED, count)?, filled(MIXED, count)?);
        if blocks > 0 {
            let root = Span { node: 0, first: 0, blocks };
            slots.fill(root, Below { boxes: &mut boxes, reaches: &mut reaches, labels: &mut labels });
            let known = Known { slots, root, boxes: &boxes, reaches: &reaches, labels: &labels };
            known.mark::<K>(root, &mut alone);
        }
        Ok(Self { boxes, reaches, alone })
    }
}

/// The nodes of one subtree while they are filled.
struct Below<'a> {
    boxes: &'a mut [f32],
    reaches: &'a mut [f64],
    /// The one label of all cores below a node, or MIXED.
    labels: &'a mut [i32],
}

impl<'a> Below<'a> {
    fn split_at(self, nodes: usize, width: usize) -> (Self, Self) {
        let (boxes, more_boxes) = self.boxes.split_at_mut(nodes * 2 * width);
        let (reaches, more_reaches) = self.reaches.split_at_mut(nodes);
        let (labels, more_labels) = self.labels.split_at_mut(nodes);
        let more = Self { boxes: more_boxes, reaches: more_reaches, labels: more_labels };
        (Self { boxes, reaches, labels }, more)
    }
}

impl Slots<'_> {
    fn of(&self, block: usize) -> std::ops::Range<usize> {
        block * LANES..((block + 1) * LANES).min(self.placed)
    }

    fn coord(&self, slot: usize, axis: usize) -> f64 {
        self.points[(slot / LANES * self.width + axis) * LANES + slot % LANES]
    }

    fn fill(&self, span: Span, below: Below<'_>) {
        let width = self.width;
        let (own, below) = below.split_at(1, width);
        let (low, high) = own.boxes.split_at_mut(width);
        if span.is_block() {
            for axis in 0..width {
                let coords = || self.of(span.first).map(|slot| self.coord(slot, axis));
                low[axis] = rounded_down(coords().fold(f64::INFINITY, f64::min));
                high[axis] = -rounded_down(-coords().fold(f64::NEG_INFINITY, f64::max));
            }
            let labels = &self.labels[self.of(span.first)];
            let balls = labels.iter().filter_map(|&label| self.radii.ball(label));
            own.reaches[0] = balls.fold(-1.0, |reach, ball| larger(reach, ball.reject));
            own.labels[0] = if labels.iter().all(|label| *label == labels[0]) { labels[0] } else { MIXED };
            return;
        }
        let (left, right) = span.children();
        let (mut left_below, mut right_below) = below.split_at(left.nodes(), width);
        let fill_left = || self.fill(left, left_below.reborrow());
        let fill_right = || self.fill(right, right_below.reborrow());
        fork(span, fill_left, fill_right);
        for axis in 0..width {
            low[axis] = left_below.boxes[axis].min(right_below.boxes[axis]);
            high[axis] = left_below.boxes[width + axis].max(right_below.boxes[width + axis]);
        }
        own.reaches[0] = larger(left_below.reaches[0], right_below.reaches[0]);
        own.labels[0] = if left_below.labels[0] == right_below.labels[0] { left_below.labels[0] } else { MIXED };
    }
}

impl Below<'_> {
    fn reborrow(&mut self) -> Below<'_> {
        Below { boxes: self.boxes, reaches: self.reaches, labels: self.labels }
    }
}

/// All that is known when nodes are asked whether they are alone.
struct Known<'a> {
    slots: Slots<'a>,
    root: Span,
    boxes: &'a [f32],
    reaches: &'a [f64],
    labels: &'a [i32],
}

impl Known<'_> {
    fn mark<K: Kernel>(&self, span: Span, alone: &mut [i32]) {
        let label = self.labels[span.node];
        if label != MIXED && !self.is_met::<K>(span.node, label, self.root, &mut { LOOKS }) {
            alone.fill(label);
        } else if !span.is_block() {
            let (left, right) = span.children();
            let (left_alone, right_alone) = alone[1..].split_at_mut(left.nodes());
            fork(span, || self.mark::<K>(left, left_alone), || self.mark::<K>(right, right_alone));
        }
    }

    /// Whether a core of another label below `span` may cover a row that one of the node's cores covers.
    fn is_met<K: Kernel>(&self, node: usize, label: i32, span: Span, looks: &mut usize) -> bool {
        if self.labels[span.node] == label {
            return false;
        }
        let apart = |low: &dyn Fn(usize) -> f64, high: &dyn Fn(usize) -> f64| {
            let (own_low, own_high) = self.corners(node);
            (0..self.slots.width).fold(0.0, |sum, axis| {
                let gap = larger(low(axis) - f64::from(own_high[axis]), f64::from(own_low[axis]) - high(axis));
                K::add(sum, larger(gap, 0.0))
            })
        };
        let (low, high) = self.corners(span.node);
        let reach = larger(larger(self.reaches[node], self.reaches[span.node]), LEAST_REACH) * K::ACROSS;
        if apart(&|axis| f64::from(low[axis]), &|axis| f64::from(high[axis])) > reach {
            return false;
        }
        if self.labels[span.node] != MIXED || *looks == 0 {
            return true;
        }
        *looks -= 1;
        if span.is_block() {
            let mut others = self.slots.of(span.first).filter(|&slot| self.slots.labels[slot] != label);
            return others.any(|slot| {
                let coord = |axis| self.slots.coord(slot, axis);
                apart(&coord, &coord) <= reach
            });
        }
        let (left, right) = span.children();
        self.is_met::<K>(node, label, left, looks) || self.is_met::<K>(node, label, right, looks)
    }

    fn corners(&self, node: usize) -> (&[f32], &[f32]) {
        self.boxes[node * 2 * self.slots.width..][..2 * self.slots.width].split_at(self.slots.width)
    }
}

fn fork(span: Span, left: impl FnOnce() + Send, right: impl FnOnce() + Send) {
    if span.blocks > FORK_BLOCKS {
        join(left, right);
    } else {
        left();
        right();
    }
}

/// The largest f32 that is not above the value.
fn rounded_down(value: f64) -> f32 {
    let nearest = value as f32;
    if f64::from(nearest) > value { nearest.next_down() } else { nearest }
}
