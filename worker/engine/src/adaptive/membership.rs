//! Rows outside all clusters: those that the radius of a near cluster covers join the nearest core's.
//!
//! Called by `adaptive` last. The same rule answers predictions, so a row gets the label in `fit` that it would be predicted.

use rayon::prelude::*;

use crate::control::{Control, Stage};
use crate::dbscan::NOISE;
use crate::error::{Result, filled};
use crate::metric::Kernel;
use crate::tree::kdtree::{KdTree, LANES, Span, lanes};

/// No core below the node.
const NO_REACH: f64 = -1.0;

/// A row's nearest core among those that reach it.
#[derive(Debug, Clone, Copy)]
pub struct Border {
    pub slot: usize,
    pub core: usize,
    /// Reduced.
    pub distance: f64,
}

struct Cores<'a, K> {
    tree: &'a KdTree<K>,
    /// By slot; `NOISE` where it is no core.
    labels: &'a [i64],
    /// By label, reduced.
    limits: &'a [f64],
    /// By node, the widest limit of its cores.
    reach: Vec<f64>,
}

/// Finds the border rows among the slots that have no label.
pub fn find_borders<K: Kernel>(
    tree: &KdTree<K>,
    labels: &[i64],
    limits: &[f64],
    control: &Control,
) -> Result<Vec<Border>> {
    let Some(root) = tree.root() else { return Ok(Vec::new()) };
    control.begin(Stage::Borders, tree.blocks());
    let mut cores = Cores { tree, labels, limits, reach: filled(NO_REACH, root.nodes())? };
    cores.find_reach(root);
    let found: Result<Vec<Vec<Border>>> = (0..tree.blocks())
        .into_par_iter()
        .map_init(
            || vec![0.0; tree.width()],
            |query, block| {
                control.advance(1)?;
                let slots = lanes(tree.occupied(block)).map(|lane| block * LANES + lane);
                let borders = slots.filter(|&slot| labels[slot] == NOISE).filter_map(|slot| {
                    query.iter_mut().enumerate().for_each(|(axis, coord)| *coord = tree.coord(slot, axis));
                    let mut best = Border { slot, core: usize::MAX, distance: f64::INFINITY };
                    cores.search(root, query, &mut best);
                    (best.core != usize::MAX).then_some(best)
                });
                Ok(borders.collect())
            },
        )
        .collect();
    Ok(found?.into_iter().flatten().collect())
}

impl<K: Kernel> Cores<'_, K> {
    fn find_reach(&mut self, span: Span) -> f64 {
        let reach = if span.is_block() {
            let slots = lanes(self.tree.occupied(span.first)).map(|lane| span.first * LANES + lane);
            slots.filter_map(|slot| self.limit(slot)).fold(NO_REACH, f64::max)
        } else {
            let (left, right) = span.children();
            self.find_reach(left).max(self.find_reach(right))
        };
        self.reach[span.node] = reach;
        reach
    }

    fn limit(&self, slot: usize) -> Option<f64> {
        usize::try_from(self.labels[slot]).ok().map(|label| self.limits[label])
    }

    fn search(&self, span: Span, query: &[f64], best: &mut Border) {
        if span.is_block() {
            let distances = self.tree.distances(query, span.first);
            for lane in lanes(self.tree.occupied(span.first)) {
                let (core, distance) = (span.first * LANES + lane, distances[lane]);
                let is_nearer = distance < best.distance
                    || (distance == best.distance
                        && best.core != usize::MAX
                        && self.labels[core] < self.labels[best.core]);
                if is_nearer && self.limit(core).is_some_and(|limit| distance <= limit) {
                    *best = Border { core, distance, ..*best };
                }
            }
            return;
        }
        let (left, right) = span.children();
        let to = |child: Span| self.tree.nearest(query, child.node);
        let (to_left, to_right) = (to(left), to(right));
        let order = if to_left <= to_right {
            [(left, to_left), (right, to_right)]
        } else {
            [(right, to_right), (left, to_left)]
        };
        for (child, distance) in order {
            if distance <= best.distance && distance <= self.reach[child.node] {
                self.search(child, query, best);
            }
        }
    }
}
