//! Border rows: not core themselves, but within eps of a core.
//!
//! Called by `mod` last. Such a row joins the lowest-numbered cluster in reach: the one that scikit-learn's search, which goes
//! through the clusters in that order, meets first.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::control::{Control, Stage};
use crate::error::{Result, filled};
use crate::metric::Kernel;
use crate::tree::Fit;
use crate::tree::kdtree::{LANES, Span, lanes};
use crate::tree::packet::Lanes;
use crate::value::Value;

/// Where no core is.
const NOWHERE: i64 = i64::MAX;

/// Every border row with its label; `labels` hold those of the cores.
pub fn find_borders<K: Kernel, T: Value>(
    fit: &Fit<K, T>,
    cores: &[u16],
    labels: &[i64],
    root: Span,
    control: &Control,
) -> Result<Vec<(u32, i64)>> {
    let tree = &fit.tree;
    control.begin(Stage::Borders, tree.n_blocks());
    let mut borders = Borders { fit, root, cores, labels, lowest: filled(NOWHERE, root.nodes())? };
    borders.find_lowest(root);
    let arch = Arch::new();
    let found: Result<Vec<Vec<(u32, i64)>>> = (0..tree.n_blocks())
        .into_par_iter()
        .map_init(Vec::new, |spans, block| {
            control.advance(1)?;
            let others = tree.occupied(block) & !cores[block];
            if others == 0 {
                return Ok(Vec::new());
            }
            let labels = arch.dispatch(Search { borders: &borders, block, others, spans });
            let borders = lanes(others).filter(|&lane| labels[lane] != NOWHERE);
            Ok(borders.map(|lane| (tree.rows()[block * LANES + lane], labels[lane])).collect())
        })
        .collect();
    Ok(found?.into_iter().flatten().collect())
}

/// What the searches for border rows share.
struct Borders<'a, 'p, K, T> {
    fit: &'a Fit<'p, K, T>,
    root: Span,
    cores: &'a [u16],
    labels: &'a [i64],
    /// By node, the lowest label of its cores.
    lowest: Vec<i64>,
}

impl<K, T> Borders<'_, '_, K, T>
where
    K: Kernel,
    T: Value,
{
    fn label(&self, slot: usize) -> i64 {
        self.labels[self.fit.tree.rows()[slot] as usize]
    }

    fn find_lowest(&mut self, span: Span) -> i64 {
        let lowest = if span.is_block() {
            let cores = lanes(self.cores[span.first]).map(|lane| self.label(span.first * LANES + lane));
            cores.min().unwrap_or(NOWHERE)
        } else {
            let (left, right) = span.children();
            self.find_lowest(left).min(self.find_lowest(right))
        };
        self.lowest[span.node] = lowest;
        lowest
    }
}

/// The search of one block's rows that are not core for the lowest-numbered cluster within eps of each.
struct Search<'a, 'b, 'p, K, T> {
    borders: &'a Borders<'b, 'p, K, T>,
    block: usize,
    others: u16,
    spans: &'a mut Vec<Span>,
}

impl<K: Kernel, T: Value> WithSimd for Search<'_, '_, '_, K, T> {
    type Output = Lanes<i64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Lanes<i64> {
        let Self { borders, block, others, spans } = self;
        let (fit, tree) = (borders.fit, &borders.fit.tree);
        let mut best = [NOWHERE; LANES];
        let own = borders.root.descend(block, spans);
        spans.push(own);
        let mut packet = fit.packet(own, others);
        while let Some(span) = spans.pop() {
            let lowest = borders.lowest[span.node];
            if lanes(packet.active).all(|lane| best[lane] <= lowest) {
                continue;
            }
            let corners = tree.corners(span.node);
            if span != own && !packet.reaches(simd, corners) {
                continue;
            }
            if tree.diagonal(span.node) <= fit.across && packet.engulfs(simd, corners) {
                lanes(packet.active).for_each(|lane| best[lane] = best[lane].min(lowest));
            } else if span.is_block() {
                let distances = packet.distances(simd, tree.block(span.first));
                for lane in lanes(borders.cores[span.first]) {
                    let slot = span.first * LANES + lane;
                    let label = borders.label(slot);
                    let (sure, doubtful) = packet.hits(&distances[lane]);
                    for lane in lanes(sure | doubtful) {
                        let is_sure = sure >> lane & 1 == 1;
                        if label < best[lane] && (is_sure || fit.are_near(block * LANES + lane, slot)) {
                            best[lane] = label;
                        }
                    }
                }
            } else {
                span.push_children(block, spans);
                continue;
            }
            packet.end((0..LANES).filter(|&lane| best[lane] == 0).fold(0, |bits, lane| bits | 1 << lane));
        }
        best
    }
}
