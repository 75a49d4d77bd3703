//! DBSCAN over a k-d tree: every metric, any number of columns.
//!
//! Called by `dbscan`. Memory is O(n): rows in f32, a tree over them, a bit per point and a union-find.

mod blocks;
mod borders;
mod cores;
mod exact;
mod growth;
pub mod kdtree;
mod order;
mod packet;
mod sketch;

use crate::control::{Control, Stage};
use crate::dbscan::{Clustering, Job, NOISE, number_by_first_core};
use crate::error::{Result, filled};
use crate::metric::Kernel;
use crate::space::{Ball, embedded_width};
use crate::tree::blocks::Blocks;
use crate::tree::borders::find_borders;
use crate::tree::cores::{Demand, find_cores};
use crate::tree::exact::Exact;
use crate::tree::growth::connect;
use crate::tree::kdtree::{LANES, Span, lanes};
use crate::tree::packet::Packet;
use crate::tree::sketch::{Reach, Sketch};
use crate::union_find::UnionFind;
use crate::value::Value;

pub fn cluster<K: Kernel, T: Value>(job: Job<'_, T>, control: &Control) -> Result<Clustering> {
    let n = job.rows();
    control.begin(Stage::Index, 1);
    control.check()?;
    let (fit, directionless) = Fit::<K, T>::build(&job)?;
    // A zero vector is at cosine distance 1 from every other row: beyond eps, or a neighbour of all.
    let reaches_all = !directionless.is_empty() && job.eps >= 1.0;
    let weight = |row: u32| job.weights.map_or(1.0, |weights| weights[row as usize]);
    let weight_of = |rows: &[u32]| rows.iter().map(|&row| weight(row)).sum::<f64>();
    let needed = job.min_samples as f64;
    let beyond = if reaches_all { directionless.as_slice() } else { &[] };
    let demand = match job.weights {
        None => Demand::Count(job.min_samples.saturating_sub(beyond.len())),
        Some(_) => Demand::Weight(fit.rows().iter().map(|&row| weight(row)).collect(), needed - weight_of(beyond)),
    };
    let cores = find_cores(&fit, &demand, job.work_budget, control)?;
    if reaches_all && weight_of(fit.rows()) + weight_of(&directionless) >= needed {
        // Such a row is core and touches every other row, so there is exactly one cluster.
        let mut core_rows: Vec<i64> = directionless.iter().map(|&row| i64::from(row)).collect();
        core_rows.extend(fit.core_slots(&cores).map(|slot| i64::from(fit.rows()[slot])));
        core_rows.sort_unstable();
        return Ok(Clustering { labels: filled(0, n)?, core_rows });
    }
    let sets = connect(&fit, &cores, control)?;
    let alone: Vec<u32> = directionless.iter().copied().filter(|&row| !reaches_all && weight(row) >= needed).collect();
    let mut found = fit.number(n, &cores, &sets, &alone, control)?;
    if reaches_all && !found.core_rows.is_empty() {
        // Within eps of every core, the first cluster's included.
        directionless.iter().for_each(|&row| found.labels[row as usize] = 0);
    }
    Ok(found)
}

/// One data set's tree with the ball that eps is in it.
struct Fit<'a, K, T> {
    tree: Blocks<K>,
    exact: Exact<'a, T>,
    reach: Reach<K>,
    /// Boxes with a larger diagonal (reduced) fit into no ball.
    across: f32,
}

impl<'a, K: Kernel, T: Value> Fit<'a, K, T> {
    /// The tree, and the rows that have no place in it.
    fn build(job: &Job<'a, T>) -> Result<(Self, Vec<u32>)> {
        let largest = job.points.iter().fold(0.0_f64, |largest, &x| largest.max(x.into().abs()));
        let ball = Ball::new(job.metric, job.eps, job.width, largest);
        let reach = Reach::new(&ball, embedded_width(job.metric, job.width));
        let mut sketch = Sketch::draw(job.metric, job.points, job.width, reach.scale)?;
        let directionless = std::mem::take(&mut sketch.directionless);
        let exact = Exact { metric: job.metric, points: job.points, columns: job.width, limit: ball.limit };
        Ok((Self { tree: Blocks::build(sketch)?, exact, reach, across: reach.across() }, directionless))
    }

    /// Slot to row.
    fn rows(&self) -> &[u32] {
        self.tree.rows()
    }

    /// The rows of a block that search together.
    #[inline(always)]
    fn packet(&self, block: Span, active: u16) -> Packet<'_, K> {
        Packet::new(&self.tree, block.first, active, self.reach.bounds(self.tree.norm(block.node)))
    }

    /// Whether the points of two slots are neighbours, by the formula.
    fn are_near(&self, a: usize, b: usize) -> bool {
        self.exact.are_near::<K>(self.rows()[a], self.rows()[b])
    }

    /// Whether all points below the span are surely neighbours of each other.
    fn is_dense(&self, span: Span) -> bool {
        self.tree.diagonal(span.node) <= self.across
            && self.reach.encloses(f64::from(self.tree.diagonal(span.node)), self.tree.norm(span.node))
    }

    fn core_slots(&self, cores: &[u16]) -> impl Iterator<Item = usize> {
        cores.iter().enumerate().flat_map(|(block, &bits)| lanes(bits).map(move |lane| block * LANES + lane))
    }

    /// Numbers the sets by their first row and labels every row.
    fn number(
        &self,
        n: usize,
        cores: &[u16],
        sets: &UnionFind,
        alone: &[u32],
        control: &Control,
    ) -> Result<Clustering> {
        let rows = self.rows();
        let mut labels = filled(NOISE, n)?;
        for slot in self.core_slots(cores) {
            labels[rows[slot] as usize] = sets.find(slot) as i64;
        }
        // Sets of one zero vector each get roots past the last slot.
        for (extra, &row) in alone.iter().enumerate() {
            labels[row as usize] = (rows.len() + extra) as i64;
        }
        let core_rows = number_by_first_core(&mut labels, rows.len() + alone.len())?;
        if let Some(root) = self.tree.root().filter(|_| !core_rows.is_empty()) {
            let borders = find_borders(self, cores, &labels, root, control)?;
            borders.into_iter().for_each(|(row, label)| labels[row as usize] = label);
        }
        Ok(Clustering { labels, core_rows })
    }
}
