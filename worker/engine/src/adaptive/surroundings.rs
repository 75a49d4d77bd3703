//! How clusters stand against what surrounds them: are they denser than chance makes them, and do they lie in a background?
//!
//! Called by `adaptive` between the tree and the choice. Every core fills one over its density of space; the space that a cluster
//! fills as the density falls tells a cluster that fades out from one that drowns in noise or in a wider cluster.

use crate::adaptive::hierarchy::{Cluster, Hierarchy, NO_CLUSTER};
use crate::adaptive::levels::NEVER;
use crate::adaptive::selection::Density;

/// Densities within this factor of a cluster's end are compared, and where a background ends a cluster, the cluster is cut off at
/// this multiple of it: there as many rows are the cluster's as are the background's (Bayes).
const NEAR: f64 = 2.0;
/// A cluster that fills so many times the space of a normal distribution of its contrast lies in a background. Overlapping
/// normal clusters measure 0.8 to 1.1.
const EXCESS: f64 = 1.4;
/// Below this contrast the rows lost would outweigh the noise kept out.
const CLEAR: f64 = 4.0;
/// Keeps arithmetic finite where most rows of a cluster are equal.
const HIGHEST_CONTRAST: f64 = 1e12;

pub struct Surroundings<'a> {
    clusters: &'a [Cluster],
    /// By level.
    densities: Vec<f64>,
    dimensions: i32,
    /// By cluster, the space that its own cores fill up to each level of its life, without its descendants'.
    own: Vec<Vec<f64>>,
    /// By cluster, the space that it and its descendants fill.
    space: Vec<f64>,
    /// By cluster, the mean density of its cores over the density at its end.
    pub contrasts: Vec<f64>,
}

impl<'a> Surroundings<'a> {
    /// `radii` of the levels and the `reaches` at which slots join lie in the metric's own space.
    pub fn new(hierarchy: &'a Hierarchy, radii: &[f64], reaches: impl Iterator<Item = f64>, density: Density) -> Self {
        let clusters = &hierarchy.clusters[..];
        let densities: Vec<f64> = radii.iter().map(|&radius| density.at(radius)).collect();
        let mut own: Vec<Vec<f64>> = clusters.iter().map(|each| vec![0.0; each.last - each.first + 1]).collect();
        let mut mass = vec![0.0; clusters.len()];
        for ((&joined, &level), reach) in hierarchy.joined.iter().zip(&hierarchy.joined_at).zip(reaches) {
            if joined == NO_CLUSTER || level == NEVER {
                continue;
            }
            let at = density.at(reach);
            // Equal rows are denser than any density.
            mass[joined as usize] += if reach > 0.0 { at } else { f64::INFINITY };
            own[joined as usize][usize::from(level) - clusters[joined as usize].first] += 1.0 / at;
        }
        let (mut space, mut contrasts) = (vec![0.0; clusters.len()], Vec::with_capacity(clusters.len()));
        for (number, cluster) in clusters.iter().enumerate() {
            for level in 1..own[number].len() {
                own[number][level] += own[number][level - 1];
            }
            space[number] = own[number].last().copied().unwrap_or(0.0);
            for &child in &cluster.children {
                mass[number] += mass[child as usize];
                space[number] += space[child as usize];
            }
            contrasts.push(mass[number] / f64::from(cluster.size) / densities[cluster.last]);
        }
        Self { clusters, densities, dimensions: density.dimensions, own, space, contrasts }
    }

    /// The sparsest level at which a cluster, rather than its background, holds most rows; `radii` as in `new`, `columns` all
    /// that have volume.
    pub fn boundary(&self, number: usize, radii: &[f64], columns: usize, least_contrast: f64) -> usize {
        let cluster = &self.clusters[number];
        if self.contrasts[number] < CLEAR || self.excess(number, least_contrast) < EXCESS {
            return cluster.last;
        }
        let limit = radii[cluster.last] / NEAR.powf(1.0 / columns as f64);
        (cluster.first..=cluster.last).rev().find(|&level| radii[level] <= limit).unwrap_or(cluster.first)
    }

    /// The space filled around a cluster, between `NEAR` times its end's density and as much below, over what a normal
    /// distribution would fill, whose space above a density grows as (ln(peak / density)) ^ (dimensions / 2).
    fn excess(&self, number: usize, least_contrast: f64) -> f64 {
        let cluster = &self.clusters[number];
        let end = self.densities[cluster.last];
        let contrast = self.contrasts[number].min(HIGHEST_CONTRAST);
        // Of a normal distribution in two dimensions: its mean density above a bound is half of peak and bound together.
        let depth = (2.0 * contrast - 1.0).ln();
        let inside = (cluster.first..=cluster.last).rev().find(|&level| self.densities[level] >= NEAR * end);
        let inside = inside.unwrap_or(cluster.first);
        let added = self.own[number][cluster.last - cluster.first] - self.own[number][inside - cluster.first];
        let inner_space = self.space[number] - added;
        let outer_depth = depth + (end / self.outer_end(number)).ln();
        let inner_depth = depth - (self.densities[inside] / end).ln();
        let filled = self.space[number] / inner_space * self.growth_outside(number, least_contrast);
        filled / (outer_depth / inner_depth.max(0.1)).powf(f64::from(self.dimensions) / 2.0)
    }

    /// The space filled within `NEAR` below a cluster's end, over that of the clusters which meet there.
    fn growth_outside(&self, number: usize, least_contrast: f64) -> f64 {
        let cluster = &self.clusters[number];
        let Some(parent) = self.clusters.get(cluster.parent as usize) else { return 1.0 };
        let (mut inner, mut outer) = (0.0, 0.0);
        for &sibling in &parent.children {
            let sibling = sibling as usize;
            let is_cluster = sibling == number || self.contrasts[sibling] >= least_contrast;
            *(if is_cluster { &mut inner } else { &mut outer }) += self.space[sibling];
        }
        outer += self.outside(number).map(|(ancestor, levels)| self.own[ancestor][levels - 1]).sum::<f64>();
        1.0 + outer / inner
    }

    /// The lowest density within `NEAR` below a cluster's end at which an ancestor grew.
    fn outer_end(&self, number: usize) -> f64 {
        let lowest = self.outside(number).last();
        let level =
            lowest.map_or(self.clusters[number].last, |(above, levels)| self.clusters[above].first + levels - 1);
        self.densities[level]
    }

    /// Ancestors of a cluster, with how many of their levels are denser than one over `NEAR` of its end.
    fn outside(&self, number: usize) -> impl Iterator<Item = (usize, usize)> {
        let bound = self.densities[self.clusters[number].last] / NEAR;
        let ancestors = std::iter::successors(self.clusters.get(number).map(|cluster| cluster.parent), |&above| {
            self.clusters.get(above as usize).map(|cluster| cluster.parent)
        });
        ancestors
            .take_while(|&above| above != NO_CLUSTER)
            .map(move |above| {
                let cluster = &self.clusters[above as usize];
                let levels = &self.densities[cluster.first..=cluster.last];
                (above as usize, levels.iter().take_while(|&&density| density >= bound).count())
            })
            .take_while(|&(_, levels)| levels > 0)
    }
}
