//! Between the metric's distances, which users see, and the reduced distances of the tree.
//!
//! Called by `adaptive`. Coordinates near the ends of a double's range are scaled by a power of two, which is exact, so that no
//! square leaves it.

use std::borrow::Cow;

use crate::error::{Result, room};
use crate::metric::Metric;

/// Coordinates whose largest magnitude lies between two to the power of minus and plus this stay as they are.
const SAFE_EXPONENT: i32 = 300;

#[derive(Debug, Clone, Copy)]
pub struct Scale {
    metric: Metric,
    /// What coordinates were multiplied by.
    unit: f64,
}

impl Scale {
    /// The scale of these coordinates, and the coordinates in it.
    pub fn of(metric: Metric, points: &[f64]) -> Result<(Self, Cow<'_, [f64]>)> {
        let largest = points.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
        let exponent = if largest > 0.0 { largest.log2() as i32 } else { 0 };
        if matches!(metric, Metric::Haversine | Metric::Cosine) || exponent.abs() <= SAFE_EXPONENT {
            return Ok((Self { metric, unit: 1.0 }, points.into()));
        }
        let unit = 2.0_f64.powi(-exponent.clamp(-1000, 1000));
        let mut scaled = room(points.len())?;
        scaled.extend(points.iter().map(|x| x * unit));
        Ok((Self { metric, unit }, scaled.into()))
    }

    /// The metric's distance of a reduced one.
    pub fn distance(self, reduced: f64) -> f64 {
        match self.metric {
            Metric::Euclidean => reduced.sqrt() / self.unit,
            Metric::Manhattan | Metric::Chebyshev => reduced / self.unit,
            Metric::Haversine => 2.0 * (0.5 * reduced.sqrt()).min(1.0).asin(),
            Metric::Cosine => 0.5 * reduced,
        }
    }

    /// The reduced distance that a ball of this radius covers.
    pub fn reduced(self, radius: f64) -> f64 {
        let scaled = radius * self.unit;
        match self.metric {
            Metric::Euclidean => scaled * scaled,
            Metric::Manhattan | Metric::Chebyshev => scaled,
            Metric::Haversine => {
                let half = (0.5 * radius.min(std::f64::consts::PI)).sin();
                4.0 * half * half
            }
            Metric::Cosine => 2.0 * radius,
        }
    }

    /// The smallest radius, up to the last bit, whose ball covers a reduced distance.
    pub fn radius_covering(self, reduced: f64) -> f64 {
        let radius = self.distance(reduced).clamp(f64::MIN_POSITIVE, f64::MAX);
        if self.reduced(radius) < reduced { radius.next_up().min(f64::MAX) } else { radius }
    }

    /// Length in the space that the tree sees: what densities are powers of.
    pub fn length(self, reduced: f64) -> f64 {
        match self.metric {
            Metric::Manhattan | Metric::Chebyshev => reduced,
            Metric::Euclidean | Metric::Haversine | Metric::Cosine => reduced.sqrt(),
        }
    }

    /// Dimensions in which that space has volume.
    pub fn dimensions(self, width: usize) -> usize {
        if self.metric == Metric::Cosine { width.saturating_sub(1).max(1) } else { width }
    }
}
