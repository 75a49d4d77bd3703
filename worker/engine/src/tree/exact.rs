//! Who is whose neighbour, by the metric's own formula on the rows as given.
//!
//! Called for the pairs that sketches leave open. The answer is the documented one: f64, one coordinate after the other.

use crate::metric::{Kernel, Metric, Scaling, cosine_distance, haversine_square, reduced};
use crate::value::Value;

pub struct Exact<'a, T> {
    pub metric: Metric,
    pub points: &'a [T],
    pub columns: usize,
    /// Bound on the metric's rank, see `Ball`.
    pub limit: f64,
}

impl<T: Value> Exact<'_, T> {
    /// Every row is its own neighbour.
    pub fn are_near<K: Kernel>(&self, a: u32, b: u32) -> bool {
        a == b || self.rank::<K>(self.row(a), self.row(b)) <= self.limit
    }

    fn row(&self, row: u32) -> &[T] {
        &self.points[row as usize * self.columns..][..self.columns]
    }

    fn rank<K: Kernel>(&self, a: &[T], b: &[T]) -> f64 {
        match self.metric {
            Metric::Euclidean | Metric::Manhattan | Metric::Chebyshev => reduced::<K, T>(a, b),
            Metric::Haversine => haversine_square([a[0].into(), a[1].into()], [b[0].into(), b[1].into()]),
            Metric::Cosine => match (Scaling::to_length_one(a), Scaling::to_length_one(b)) {
                (Some(to_a), Some(to_b)) => {
                    cosine_distance(a.iter().zip(b).map(|(&x, &y)| to_a.apply(x.into()) * to_b.apply(y.into())))
                }
                _ => 1.0,
            },
        }
    }
}
