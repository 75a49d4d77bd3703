//! The mean silhouette of a sample.
//!
//! Called by the bindings with rows already sampled and labels 0, 1, 2, … without noise. Quadratic in the rows given:
//! the caller bounds them. A cluster of one row counts 0, as in scikit-learn.

use std::borrow::Cow;

use rayon::prelude::*;

use crate::metric::{Metric, normalise};

/// `labels` run from 0 to `clusters` - 1, each present at least once, and `clusters` is at least 2.
pub fn mean_silhouette(metric: Metric, points: &[f64], width: usize, labels: &[usize], clusters: usize) -> f64 {
    let mut points = Cow::from(points);
    if metric == Metric::Cosine {
        points.to_mut().chunks_exact_mut(width).for_each(|row| {
            normalise(row);
        });
    }
    let mut sizes = vec![0_usize; clusters];
    labels.iter().for_each(|&label| sizes[label] += 1);
    let values: Vec<f64> = (0..labels.len())
        .into_par_iter()
        .map_init(
            || vec![0.0; clusters],
            |sums, row| {
                sums.fill(0.0);
                let own = &points[row * width..][..width];
                for (other, &label) in labels.iter().enumerate().filter(|(other, _)| *other != row) {
                    sums[label] += metric.distance(own, &points[other * width..][..width]);
                }
                silhouette(sums, &sizes, labels[row])
            },
        )
        .collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// (b - a) / max(a, b): a is the mean distance within the own cluster, b to the nearest other one.
fn silhouette(sums: &[f64], sizes: &[usize], own: usize) -> f64 {
    if sizes[own] == 1 {
        return 0.0;
    }
    let within = sums[own] / (sizes[own] - 1) as f64;
    let others = sums.iter().zip(sizes).enumerate().filter(|(label, _)| *label != own);
    let between = others.map(|(_, (sum, &size))| sum / size as f64).fold(f64::INFINITY, f64::min);
    let larger = within.max(between);
    if larger == 0.0 { 0.0 } else { (between - within) / larger }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_pairs_far_apart() {
        let found = mean_silhouette(Metric::Euclidean, &[0.0, 1.0, 10.0, 11.0], 1, &[0, 0, 1, 1], 2);
        assert!((found - (1.0 - 1.0 / 10.5 + 1.0 - 1.0 / 9.5) / 2.0).abs() < 1e-15);
    }
}
