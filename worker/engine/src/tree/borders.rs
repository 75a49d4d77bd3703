//! Border rows: not core themselves, but within eps of a core.
//!
//! Called by `dbscan` last. Such a row joins the lowest-numbered cluster in reach: the one that scikit-learn's search, which goes
//! through the clusters in that order, meets first.

use rayon::prelude::*;

use crate::control::{Control, Stage};
use crate::error::{Result, filled};
use crate::metric::Kernel;
use crate::tree::Fit;
use crate::tree::index::Query;
use crate::tree::kdtree::{LANES, Span, lanes};

/// Every border row with its label; `labels` hold those of the cores.
pub fn find_borders<K: Kernel>(
    fit: &Fit<K>,
    cores: &[u16],
    labels: &[i64],
    root: Span,
    control: &Control,
) -> Result<Vec<(u32, i64)>> {
    control.begin(Stage::Borders, fit.index.tree.blocks());
    let mut borders = Borders { fit, cores, labels, lowest: filled(i64::MAX, root.nodes())? };
    borders.find_lowest(root);
    borders.find(root, control)
}

/// The search for the lowest-numbered cluster within eps of a row that is not core.
struct Borders<'a, K> {
    fit: &'a Fit<K>,
    cores: &'a [u16],
    labels: &'a [i64],
    /// By node, the lowest label of its cores.
    lowest: Vec<i64>,
}

impl<K: Kernel> Borders<'_, K> {
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

    fn find(&self, root: Span, control: &Control) -> Result<Vec<(u32, i64)>> {
        let tree = &self.fit.index.tree;
        let found: Result<Vec<Vec<(u32, i64)>>> = (0..tree.blocks())
            .into_par_iter()
            .map_init(
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
                    control.advance(1)?;
                    Ok(found)
                },
            )
            .collect();
        Ok(found?.into_iter().flatten().collect())
    }

    fn search(&self, span: Span, query: &Query, best: i64) -> i64 {
        let (tree, ball) = (&self.fit.index.tree, &self.fit.ball);
        if self.lowest[span.node] >= best || tree.nearest(&query.coords, span.node) > ball.reject {
            return best;
        }
        if tree.is_inside(&query.coords, span.node, ball.accept) {
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
