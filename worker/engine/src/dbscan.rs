//! DBSCAN without neighbour lists: count, connect, number, then hand out the borders.
//!
//! Called by the bindings. The outcome equals scikit-learn's, cluster numbers included: clusters are numbered by their first core
//! row, and a border row joins the lowest-numbered cluster within eps. Threads only ever add unions and counts, so their number and
//! timing cannot change a label.

use crate::control::Control;
use crate::error::{Result, filled, invalid};
use crate::grid;
use crate::metric::{MaxAbs, Metric, SumAbs, SumSquares};
use crate::pieces::{SMALL, each, made, parts, ranges};
use crate::tree;
use crate::value::Value;

pub const NOISE: i64 = -1;
/// So few values that no step of a grid cuts them into pieces.
pub const FEW_VALUES: usize = SMALL / 2;

/// One fit; everything is validated: finite rows, eps > 0, as many weights as rows.
#[derive(Clone, Copy)]
pub struct Job<'a, T> {
    /// Rows of `width` columns, one after the other.
    pub points: &'a [T],
    pub width: usize,
    pub metric: Metric,
    pub eps: f64,
    /// A row is core if its neighbours, itself included, weigh at least as much.
    pub min_samples: usize,
    /// By row; each weighs 1 where absent.
    pub weights: Option<&'a [f64]>,
    pub index: Index,
    /// Most distance computations that the fit may cost, see `budget`.
    pub work_budget: Option<f64>,
}

/// What finds the neighbours; the labels never depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// The grid where it can, else the tree.
    Auto,
    Grid,
    Tree,
}

impl Index {
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "auto" => Ok(Self::Auto),
            "grid" => Ok(Self::Grid),
            "tree" => Ok(Self::Tree),
            other => invalid(format!(
                "The 'index' parameter must be a str among {{'auto', 'grid', 'tree'}}. Got '{other}' instead."
            )),
        }
    }
}

impl<T> Job<'_, T> {
    pub fn rows(&self) -> usize {
        self.points.len() / self.width
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clustering {
    pub labels: Vec<i64>,
    /// Rows, ascending.
    pub core_rows: Vec<i64>,
}

/// Clusters few rows on the calling thread, which takes less time than to start others; None where it takes a thread pool.
pub fn cluster_few<T: Value>(job: Job<'_, T>) -> Result<Option<Clustering>> {
    if job.points.len() > FEW_VALUES || job.index == Index::Tree {
        return Ok(None);
    }
    grid::cluster(job, &Control::default())
}

/// Clusters on the current thread pool.
pub fn cluster<T: Value>(job: Job<'_, T>, control: &Control) -> Result<Clustering> {
    if job.index != Index::Tree {
        if let Some(found) = grid::cluster(job, control)? {
            return Ok(found);
        }
        if job.index == Index::Grid {
            return invalid(format!(
                "index='grid' needs 1 to 3 features, a metric among {{'chebyshev', 'euclidean', 'manhattan'}} and at most 2^26 times \
                 'eps' between the smallest and the largest value of a feature. Got {} features, metric '{}' and eps={:?}; use index='auto'.",
                job.width,
                job.metric.name(),
                job.eps
            ));
        }
    }
    match job.metric {
        Metric::Manhattan => tree::cluster::<SumAbs, T>(job, control),
        Metric::Chebyshev => tree::cluster::<MaxAbs, T>(job, control),
        Metric::Euclidean | Metric::Haversine | Metric::Cosine => tree::cluster::<SumSquares, T>(job, control),
    }
}

/// The values of the core rows, and their labels.
pub fn core_samples<T: Value>(points: &[T], width: usize, found: &Clustering) -> Result<(Vec<T>, Vec<i32>)> {
    let rows = &found.core_rows;
    let labels = made(rows.len(), |core| found.labels[rows[core] as usize] as i32)?;
    let mut values = made(rows.len() * width, |_| T::default())?;
    let pieces = ranges(rows.len());
    let work = parts(&mut values, pieces.iter().map(|piece| piece.len() * width));
    each(pieces.into_iter().zip(work).collect(), |(piece, values)| {
        for (&row, values) in rows[piece].iter().zip(values.chunks_exact_mut(width)) {
            values.copy_from_slice(&points[row as usize * width..][..width]);
        }
        Ok(())
    })?;
    Ok((values, labels))
}

/// Turns the set of every core row (any numbers below `sets`, `NOISE` for other rows) into cluster numbers, in place.
pub fn number_by_first_core(labels: &mut [i64], sets: usize) -> Result<Vec<i64>> {
    let mut numbers = filled(NOISE, sets)?;
    let mut next = 0;
    let mut core_rows = Vec::new();
    for (row, label) in labels.iter_mut().enumerate().filter(|(_, label)| **label != NOISE) {
        let number = &mut numbers[*label as usize];
        if *number == NOISE {
            *number = next;
            next += 1;
        }
        *label = *number;
        core_rows.push(row as i64);
    }
    Ok(core_rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job<'a>(points: &'a [f64], eps: f64, min_samples: usize) -> Job<'a, f64> {
        Job {
            points,
            width: 1,
            metric: Metric::Euclidean,
            eps,
            min_samples,
            weights: None,
            index: Index::Auto,
            work_budget: None,
        }
    }

    fn labels(points: &[f64], eps: f64, min_samples: usize) -> Clustering {
        cluster(job(points, eps, min_samples), &Control::default()).unwrap()
    }

    #[test]
    fn chains_noise_and_borders() {
        // 0-1-2 and 10-11-12 are clusters of three, 13.0 a border of the second, 50 noise.
        let found = labels(&[10.0, 11.0, 12.0, 50.0, 0.0, 1.0, 2.0, 13.0], 1.0, 3);
        assert_eq!(found.labels, [0, 0, 0, -1, 1, 1, 1, 0]);
        assert_eq!(found.core_rows, [1, 2, 5]);
        let points = [10.0, 11.0, 12.0, 50.0, 0.0, 1.0, 2.0, 13.0];
        assert_eq!(core_samples(&points, 1, &found).unwrap(), (vec![11.0, 12.0, 1.0], vec![0, 0, 1]));
    }

    #[test]
    fn a_border_between_two_clusters_joins_the_lower_numbered() {
        // 0 is within eps of one core at -1 (cluster 1) and one at 1 (cluster 0), and is not core itself.
        let found = labels(&[1.0, 1.9, 1.9, 0.0, -1.0, -1.9, -1.9], 1.0, 4);
        assert_eq!(found.labels, [0, 0, 0, 0, 1, 1, 1]);
    }

    #[test]
    fn weights_count_as_that_many_rows_and_negative_ones_inhibit() {
        let weighted = |weights: &[f64]| {
            let job = Job { weights: Some(weights), ..job(&[0.0, 0.5, 9.0], 1.0, 3) };
            cluster(job, &Control::default()).unwrap()
        };
        assert_eq!(weighted(&[2.0, 1.0, 3.0]).labels, [0, 0, 1]);
        assert_eq!(weighted(&[4.0, -2.0, 1.0]).labels, [-1, -1, -1]);
    }

    #[test]
    fn a_stopped_fit_gives_no_labels() {
        let control = Control::default();
        control.stop();
        assert!(cluster(job(&[0.0, 1.0], 1.0, 1), &control).is_err());
    }

    #[test]
    fn no_rows_no_clusters() {
        assert_eq!(labels(&[], 1.0, 1).labels, [0_i64; 0]);
    }
}
