//! Clusters of varying density: DBSCAN at many radii, nested into a tree, out of which the most stable clusters are chosen.
//!
//! Called by the bindings. Core distances give a ladder of radii; sets of cores only grow from one to the next, so one union-find
//! serves all levels. Every chosen cluster keeps the widest radius at which it stands apart and out of its background. Memory is
//! O(n), and the outcome does not depend on the number of threads.

mod growth;
mod hierarchy;
mod levels;
mod membership;
mod neighbours;
mod scale;
mod selection;
mod surroundings;

use crate::adaptive::growth::Growth;
use crate::adaptive::hierarchy::{Cluster, Hierarchy, NO_CLUSTER};
use crate::adaptive::levels::{Ladder, NEVER};
use crate::adaptive::membership::find_borders;
use crate::adaptive::neighbours::{core_distances_of, find_neighbourhoods};
use crate::adaptive::scale::Scale;
use crate::adaptive::selection::{Density, density_gains, least_contrast, select};
use crate::adaptive::surroundings::Surroundings;
use crate::control::{Control, Stage};
use crate::dbscan::{NOISE, number_by_first_core};
use crate::error::{Result, filled, room};
use crate::metric::{Kernel, MaxAbs, Metric, SumAbs, SumSquares};
use crate::space::embed_rows;
use crate::tree::kdtree::KdTree;
use crate::value::Value;

/// One fit; everything is validated: finite rows, and sizes of at least 1.
#[derive(Clone, Copy)]
pub struct Job<'a, T> {
    /// Rows of `width` columns, one after the other.
    pub points: &'a [T],
    pub width: usize,
    pub metric: Metric,
    pub min_samples: usize,
    pub min_cluster_size: usize,
    pub allow_single_cluster: bool,
}

pub struct Clustering {
    /// By row.
    pub labels: Vec<i64>,
    pub probabilities: Vec<f64>,
    pub outlier_scores: Vec<f64>,
    /// Rows of clusters' cores, ascending.
    pub core_rows: Vec<i64>,
    /// By label, how far its cores reach.
    pub radii: Vec<f64>,
    /// By label, the radius at which the cluster's densest part appears; beyond it membership fades.
    pub peaks: Vec<f64>,
    pub tree: Vec<Branch>,
}

/// A cluster of the level tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Number of the parent in the tree, or -1.
    pub parent: i64,
    /// Radii of the densest and of the sparsest level at which it stands apart.
    pub appears: f64,
    pub ends: f64,
    pub size: i64,
    pub stability: f64,
    /// Its label if it is chosen, else `NOISE`.
    pub label: i64,
}

/// Clusters on the current thread pool.
pub fn cluster<T: Value>(job: Job<'_, T>, control: &Control) -> Result<Clustering> {
    match job.metric {
        Metric::Manhattan => cluster_with::<SumAbs, T>(job, control),
        Metric::Chebyshev => cluster_with::<MaxAbs, T>(job, control),
        Metric::Euclidean | Metric::Haversine | Metric::Cosine => cluster_with::<SumSquares, T>(job, control),
    }
}

/// The distance from each of some rows to its `min_samples`-th nearest row, itself included; infinite where there are fewer rows.
///
/// Under cosine zero vectors have no neighbours but themselves, and are nobody's.
pub fn core_distances<T: Value>(
    points: &[T],
    width: usize,
    metric: Metric,
    rows: &[u32],
    min_samples: usize,
    control: &Control,
) -> Result<Vec<f64>> {
    match metric {
        Metric::Manhattan => core_distances_with::<SumAbs, T>(points, width, metric, rows, min_samples, control),
        Metric::Chebyshev => core_distances_with::<MaxAbs, T>(points, width, metric, rows, min_samples, control),
        Metric::Euclidean | Metric::Haversine | Metric::Cosine => {
            core_distances_with::<SumSquares, T>(points, width, metric, rows, min_samples, control)
        }
    }
}

fn core_distances_with<K: Kernel, T: Value>(
    points: &[T],
    width: usize,
    metric: Metric,
    rows: &[u32],
    min_samples: usize,
    control: &Control,
) -> Result<Vec<f64>> {
    control.begin(Stage::Index, 1);
    let points = T::widen(points)?;
    let (scale, points) = Scale::of(metric, &points)?;
    let n = points.len() / width;
    let embedded = embed_rows(metric, &points, width, n)?;
    let tree = KdTree::<K>::build(&embedded.coords, embedded.width, embedded.rows)?;
    let mut slot_of = filled(NO_CLUSTER, n)?;
    tree.rows().iter().enumerate().for_each(|(slot, &row)| slot_of[row as usize] = slot as u32);
    let mut placed = room(rows.len())?;
    placed.extend(rows.iter().map(|&row| slot_of[row as usize]).filter(|&slot| slot != NO_CLUSTER));
    let mut found = core_distances_of(&tree, &placed, min_samples, control)?.into_iter();
    let mut distances = room(rows.len())?;
    distances.extend(rows.iter().map(|&row| match slot_of[row as usize] {
        NO_CLUSTER => f64::INFINITY,
        _ => found.next().map_or(f64::INFINITY, |reduced| scale.distance(reduced)),
    }));
    Ok(distances)
}

fn cluster_with<K: Kernel, T: Value>(job: Job<'_, T>, control: &Control) -> Result<Clustering> {
    control.begin(Stage::Index, 1);
    control.check()?;
    let points = T::widen(job.points)?;
    let (scale, points) = Scale::of(job.metric, &points)?;
    let n = points.len() / job.width;
    // Zero vectors have no direction: under cosine they are noise.
    let embedded = embed_rows(job.metric, &points, job.width, n)?;
    let tree = KdTree::<K>::build(&embedded.coords, embedded.width, embedded.rows)?;
    let around = find_neighbourhoods(&tree, job.min_samples, control)?;
    let ladder = Ladder::new(&around.core, scale)?;
    let lengths: Vec<f64> = ladder.limits.iter().map(|&limit| scale.length(limit)).collect();
    let columns = scale.dimensions(job.width);
    let density = Density::new(lengths.last().copied().unwrap_or(1.0), columns);
    let gains = density_gains(&lengths, density);
    let mut hierarchy = Hierarchy::new(tree.n_points(), job.min_cluster_size)?;
    let mut growth = Growth::new(&tree, &ladder, &around.near)?;
    let (slots, starts) = ladder.newcomers()?;
    control.begin(Stage::Levels, ladder.len());
    for (level, &gain) in gains.iter().enumerate() {
        let newcomers = &slots[starts[level]..starts[level + 1]];
        growth.raise(level, newcomers, control)?;
        hierarchy.add_level(level, newcomers, &growth.sets, gain);
        control.advance(1)?;
    }
    hierarchy.finish();
    let reaches = (0..tree.n_points()).map(|slot| match hierarchy.joined_at[slot] {
        level if level == ladder.of_slot[slot] => scale.length(around.core[slot]),
        level => lengths.get(usize::from(level)).copied().unwrap_or(f64::INFINITY),
    });
    let surroundings = Surroundings::new(&hierarchy, &lengths, reaches, density);
    let least = least_contrast(job.min_samples);
    let owners = select(&hierarchy.clusters, &surroundings.contrasts, least, job.allow_single_cluster);
    let mut boundaries = room(hierarchy.clusters.len())?;
    boundaries.extend((0..hierarchy.clusters.len()).map(|each| surroundings.boundary(each, &lengths, columns, least)));
    let fit =
        Fit { tree: &tree, scale, core: &around.core, ladder: &ladder, hierarchy: &hierarchy, boundaries: &boundaries };
    fit.describe(n, &owners, control)
}

/// What is known once clusters are chosen.
struct Fit<'a, K> {
    tree: &'a KdTree<K>,
    scale: Scale,
    core: &'a [f64],
    ladder: &'a Ladder,
    hierarchy: &'a Hierarchy,
    /// By cluster, the sparsest level whose cores are its own.
    boundaries: &'a [usize],
}

impl<K: Kernel> Fit<'_, K> {
    fn describe(&self, n: usize, owners: &[u32], control: &Control) -> Result<Clustering> {
        let (rows, clusters) = (self.tree.rows(), &self.hierarchy.clusters);
        let mut labels = filled(NOISE, n)?;
        for (slot, &row) in rows.iter().enumerate() {
            let owner = self.owner(owners, slot);
            labels[row as usize] = if owner == NO_CLUSTER { NOISE } else { i64::from(owner) };
        }
        let core_rows = number_by_first_core(&mut labels, clusters.len())?;
        let mut slot_labels = room(rows.len())?;
        slot_labels.extend(rows.iter().map(|&row| labels[row as usize]));
        let mut label_of = filled(NOISE, clusters.len())?;
        for (slot, &label) in slot_labels.iter().enumerate().filter(|(_, label)| **label != NOISE) {
            label_of[self.owner(owners, slot) as usize] = label;
        }
        let peaks = self.peaks();
        let mut by_label: Vec<usize> = (0..clusters.len()).filter(|&number| label_of[number] != NOISE).collect();
        by_label.sort_unstable_by_key(|&number| label_of[number]);
        let radii: Vec<f64> = by_label.iter().map(|&number| self.ladder.radii[self.boundaries[number]]).collect();
        let label_peaks: Vec<f64> = by_label.iter().map(|&number| peaks[number]).collect();

        let (mut probabilities, mut outlier_scores) = (filled(0.0, n)?, filled(1.0, n)?);
        for (slot, &row) in rows.iter().enumerate() {
            let (row, reach) = (row as usize, self.reach(slot));
            if let Some(&peak) = peaks.get(self.hierarchy.joined[slot] as usize) {
                outlier_scores[row] = 1.0 - share(peak, reach);
            }
            if let Ok(label) = usize::try_from(slot_labels[slot]) {
                probabilities[row] = share(label_peaks[label], reach);
            }
        }
        let limits: Vec<f64> = radii.iter().map(|&radius| self.scale.reduced(radius)).collect();
        for border in find_borders(self.tree, &slot_labels, &limits, control)? {
            let (row, label) = (rows[border.slot] as usize, slot_labels[border.core]);
            labels[row] = label;
            let reach = self.scale.distance(border.distance).max(self.reach(border.core));
            probabilities[row] = share(label_peaks[label as usize], reach);
        }
        let tree = clusters.iter().zip(&label_of).map(|(cluster, &label)| self.branch(cluster, label)).collect();
        Ok(Clustering { labels, probabilities, outlier_scores, core_rows, radii, peaks: label_peaks, tree })
    }

    /// The chosen cluster whose core a slot is.
    fn owner(&self, owners: &[u32], slot: usize) -> u32 {
        let (joined, level) = (self.hierarchy.joined[slot], usize::from(self.hierarchy.joined_at[slot]));
        let owner = owners.get(joined as usize).copied().unwrap_or(NO_CLUSTER);
        let is_beyond = owner == joined && owner != NO_CLUSTER && level > self.boundaries[owner as usize];
        if is_beyond { NO_CLUSTER } else { owner }
    }

    /// By cluster, the radius at which the densest part of it appears.
    fn peaks(&self) -> Vec<f64> {
        let mut peaks: Vec<f64> = Vec::with_capacity(self.hierarchy.clusters.len());
        for cluster in &self.hierarchy.clusters {
            let below = cluster.children.iter().map(|&child| peaks[child as usize]);
            peaks.push(below.fold(self.ladder.radii[cluster.first], f64::min));
        }
        peaks
    }

    /// The radius at which a point joins the tree: its core distance, or the level's if it had to wait for others.
    fn reach(&self, slot: usize) -> f64 {
        let (core_at, joined_at) = (self.ladder.of_slot[slot], self.hierarchy.joined_at[slot]);
        match joined_at {
            NEVER => f64::INFINITY,
            level if level == core_at => self.scale.distance(self.core[slot]),
            level => self.ladder.radii[usize::from(level)],
        }
    }

    fn branch(&self, cluster: &Cluster, label: i64) -> Branch {
        Branch {
            parent: if cluster.parent == NO_CLUSTER { -1 } else { i64::from(cluster.parent) },
            appears: self.ladder.radii[cluster.first],
            ends: self.ladder.radii[cluster.last],
            size: i64::from(cluster.size),
            stability: cluster.stability,
            label,
        }
    }
}

/// How much of the full strength is left at `reach`: one up to `peak`, then falling with its inverse.
fn share(peak: f64, reach: f64) -> f64 {
    peak / reach.max(peak)
}
