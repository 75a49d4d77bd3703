//! The choice of clusters: of every cluster and its descendants, whichever hold more excess of mass, if they are no chance.
//!
//! Called by `adaptive` once the tree is complete. The choice is Hartigan's excess of mass, as in Campello, Moulavi and Sander,
//! "Density-Based Clustering Based on Hierarchical Density Estimates" (2013), over square roots of real densities: one over
//! radius to the power of half the number of columns.

use crate::adaptive::hierarchy::{Cluster, NO_CLUSTER};

/// Real data fill fewer dimensions than they have columns; a higher power of the radius would only let the densest few rows decide.
const MOST_DIMENSIONS: usize = 4;
/// Keeps densities and their sums finite, whatever the radii.
const HIGHEST_DENSITY: f64 = 1e240;
/// Nearest-neighbour densities scatter by one over the root of `min_samples`: a cluster's mean density exceeds the density at its
/// end by at least so many times that. Below 0.5 parts of uniform noise pass, above 0.8 wide clusters around dense ones fail.
const CHANCE: f64 = 0.7;

/// Of lengths in the metric's own space, in units of the density at the longest of them.
#[derive(Debug, Clone, Copy)]
pub struct Density {
    longest: f64,
    pub dimensions: i32,
}

impl Density {
    pub fn new(longest: f64, dimensions: usize) -> Self {
        Self { longest, dimensions: dimensions.min(MOST_DIMENSIONS) as i32 }
    }

    pub fn at(self, length: f64) -> f64 {
        (self.longest / length).powi(self.dimensions).min(HIGHEST_DENSITY)
    }
}

/// By level, the root of the density by which it exceeds the next; `radii` are lengths in the metric's own space, ascending.
///
/// Roots weigh a contrast of ten within a cluster less than its standing out a hundredfold; plain densities split such a cluster.
pub fn density_gains(radii: &[f64], density: Density) -> Vec<f64> {
    // Below the sparsest level goes one more step of the same ratio.
    let beyond = match radii {
        [] => return Vec::new(),
        [.., before, last] => last * (last / before),
        [only] => 2.0 * only,
    };
    let roots: Vec<f64> = radii.iter().copied().chain([beyond]).map(|radius| density.at(radius).sqrt()).collect();
    roots.windows(2).map(|pair| pair[0] - pair[1]).collect()
}

/// The contrast from which on a cluster is more than chance: mean density of its cores over the density at its end.
pub fn least_contrast(min_samples: usize) -> f64 {
    1.0 + CHANCE / (min_samples as f64).sqrt()
}

/// By cluster, the chosen one that it is or lies below, else `NO_CLUSTER`.
pub fn select(clusters: &[Cluster], contrasts: &[f64], least: f64, allow_single_cluster: bool) -> Vec<u32> {
    let mut worthy: Vec<bool> = Vec::with_capacity(clusters.len());
    let mut best: Vec<f64> = Vec::with_capacity(clusters.len());
    // Whether it or a descendant is more than chance.
    let mut real: Vec<bool> = Vec::with_capacity(clusters.len());
    let roots = clusters.iter().filter(|cluster| cluster.parent == NO_CLUSTER).count();
    for (cluster, &contrast) in clusters.iter().zip(contrasts) {
        let below: f64 = cluster.children.iter().map(|&child| best[child as usize]).sum();
        let splits = cluster.children.iter().any(|&child| real[child as usize]);
        // A root that everything belongs to divides nothing.
        let is_everything = roots == 1 && cluster.parent == NO_CLUSTER && !allow_single_cluster;
        let is_real = contrast >= least;
        let is_worthy = !is_everything && if splits { is_real && cluster.stability >= below } else { true };
        worthy.push(is_worthy);
        best.push(if is_worthy { cluster.stability } else { below });
        real.push(is_real || splits);
    }
    let mut owners = vec![NO_CLUSTER; clusters.len()];
    for (number, cluster) in clusters.iter().enumerate().rev() {
        let above = owners.get(cluster.parent as usize).copied().unwrap_or(NO_CLUSTER);
        owners[number] = if above == NO_CLUSTER && worthy[number] { number as u32 } else { above };
    }
    // What was chosen and is chance is noise. Only now: it has kept what surrounds it from being taken for one cluster.
    let is_chance = |owner: &u32| contrasts.get(*owner as usize).is_some_and(|&contrast| contrast < least);
    owners.iter_mut().filter(|owner| is_chance(owner)).for_each(|owner| *owner = NO_CLUSTER);
    owners
}
