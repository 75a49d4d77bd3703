//! The choice of clusters: of every cluster and its descendants, whichever hold more excess of mass.
//!
//! Called by `adaptive` once the tree is complete. The choice is Hartigan's excess of mass, as in Campello, Moulavi and Sander,
//! "Density-Based Clustering Based on Hierarchical Density Estimates" (2013), over real densities: one over radius to the power
//! of the number of columns.

use crate::adaptive::hierarchy::{Cluster, NO_CLUSTER};

/// Real data fill fewer dimensions than they have columns; a higher power of the radius would only let the densest few rows decide.
const MOST_DIMENSIONS: usize = 4;
/// Keeps densities and their sums finite, whatever the radii.
const HIGHEST_DENSITY: f64 = 1e240;

/// By level, the density by which it exceeds the next; `radii` are lengths in the metric's own space, ascending.
pub fn density_gains(radii: &[f64], dimensions: usize) -> Vec<f64> {
    let Some(&largest) = radii.last() else { return Vec::new() };
    let power = dimensions.min(MOST_DIMENSIONS) as i32;
    let density = |radius: f64| (largest / radius).powi(power).min(HIGHEST_DENSITY);
    // Below the sparsest level goes one more step of the same ratio.
    let beyond = if let [.., before, last] = radii { last * (last / before) } else { 2.0 * largest };
    let densities: Vec<f64> = radii.iter().copied().chain([beyond]).map(density).collect();
    densities.windows(2).map(|pair| pair[0] - pair[1]).collect()
}

/// By cluster, the chosen one that it is or lies below, else `NO_CLUSTER`.
pub fn select(clusters: &[Cluster], allow_single_cluster: bool) -> Vec<u32> {
    let mut worthy: Vec<bool> = Vec::with_capacity(clusters.len());
    let mut best: Vec<f64> = Vec::with_capacity(clusters.len());
    let roots = clusters.iter().filter(|cluster| cluster.parent == NO_CLUSTER).count();
    for cluster in clusters {
        let below: f64 = cluster.children.iter().map(|&child| best[child as usize]).sum();
        // A root that everything belongs to divides nothing.
        let is_everything = roots == 1 && cluster.parent == NO_CLUSTER && !allow_single_cluster;
        let is_worthy = !is_everything && cluster.stability >= below;
        worthy.push(is_worthy);
        best.push(if is_worthy { cluster.stability } else { below });
    }
    let mut owners = vec![NO_CLUSTER; clusters.len()];
    for (number, cluster) in clusters.iter().enumerate().rev() {
        let above = owners.get(cluster.parent as usize).copied().unwrap_or(NO_CLUSTER);
        owners[number] = if above == NO_CLUSTER && worthy[number] { number as u32 } else { above };
    }
    owners
}
