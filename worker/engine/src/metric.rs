//! The five metrics: their names, the arithmetic of their index space and their plain distance.
//!
//! Called by `space` (which embeds rows for the index) and `silhouette`.
//! A `Kernel` accumulates one *reduced* distance, always one coordinate after the other from the first to the last:
//! the order of scikit-learn's trees, so that ties at exactly eps fall the same way.

use pulp::Simd;

use crate::error::{Result, invalid};
use crate::value::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Euclidean,
    Manhattan,
    Chebyshev,
    Haversine,
    Cosine,
}

impl Metric {
    /// In the order of their numbers in stored indexes.
    pub const ALL: [Self; 5] = [Self::Euclidean, Self::Manhattan, Self::Chebyshev, Self::Haversine, Self::Cosine];

    pub fn parse(name: &str) -> Result<Self> {
        if let Some(metric) = Self::ALL.into_iter().find(|metric| metric.name() == name) {
            return Ok(metric);
        }
        let mut known = Self::ALL.map(|metric| format!("'{}'", metric.name()));
        known.sort_unstable();
        let known = known.join(", ");
        invalid(format!("The 'metric' parameter must be a str among {{{known}}}. Got '{name}' instead."))
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Euclidean => "euclidean",
            Self::Manhattan => "manhattan",
            Self::Chebyshev => "chebyshev",
            Self::Haversine => "haversine",
            Self::Cosine => "cosine",
        }
    }

    pub fn check_width(self, width: usize) -> Result<()> {
        if self == Self::Haversine && width != 2 {
            return invalid(format!(
                "Haversine distance only valid in 2 dimensions ([latitude, longitude] in radians), but X has {width} features."
            ));
        }
        Ok(())
    }

    /// The distance between two rows as a user would write it; cosine takes rows already scaled by `normalise`.
    pub fn distance(self, a: &[f64], b: &[f64]) -> f64 {
        match self {
            Self::Euclidean => reduced::<SumSquares, _>(a, b).sqrt(),
            Self::Manhattan => reduced::<SumAbs, _>(a, b),
            Self::Chebyshev => reduced::<MaxAbs, _>(a, b),
            Self::Haversine => 2.0 * haversine_square([a[0], a[1]], [b[0], b[1]]).clamp(0.0, 1.0).sqrt().asin(),
            Self::Cosine => cosine_distance(a.iter().zip(b).map(|(x, y)| x * y)),
        }
    }

    /// The distance whose rank (squared, sin²(distance / 2) or itself) is known.
    pub fn distance_of_rank(self, rank: f64) -> f64 {
        match self {
            Self::Euclidean => rank.sqrt(),
            Self::Manhattan | Self::Chebyshev | Self::Cosine => rank,
            Self::Haversine => 2.0 * rank.clamp(0.0, 1.0).sqrt().asin(),
        }
    }
}

/// How coordinate differences become a reduced distance: monotone in the distance, cheaper to compute.
pub trait Kernel: Copy + Send + Sync + 'static {
    /// Reduced distance of two radii, with room for rounding: what a box inside a ball may measure across, in units of the ball.
    const ACROSS: f64;

    fn add(sum: f64, difference: f64) -> f64;
    /// One sum from two over different coordinates.
    fn merge(a: f64, b: f64) -> f64;
    /// The distance of which this is the reduced one.
    fn radius(reduced: f64) -> f64;
    fn reduce(radius: f64) -> f64;
    /// `add` on the f32 lanes of a vector, rounded once or twice.
    fn add_lanes<S: Simd>(simd: S, sum: S::f32s, difference: S::f32s) -> S::f32s;
}

/// `f64::max` for numbers known not to be NaN: one instruction.
#[inline(always)]
pub fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

#[derive(Clone, Copy)]
pub struct SumSquares;
#[derive(Clone, Copy)]
pub struct SumAbs;
#[derive(Clone, Copy)]
pub struct MaxAbs;

impl Kernel for SumSquares {
    const ACROSS: f64 = 4.000_001;

    #[inline(always)]
    fn add(sum: f64, difference: f64) -> f64 {
        sum + difference * difference
    }

    #[inline(always)]
    fn merge(a: f64, b: f64) -> f64 {
        a + b
    }

    fn radius(reduced: f64) -> f64 {
        reduced.sqrt()
    }

    fn reduce(radius: f64) -> f64 {
        radius * radius
    }

    #[inline(always)]
    fn add_lanes<S: Simd>(simd: S, sum: S::f32s, difference: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(difference, difference, sum)
    }
}

impl Kernel for SumAbs {
    const ACROSS: f64 = 2.000_001;

    #[inline(always)]
    fn add(sum: f64, difference: f64) -> f64 {
        sum + difference.abs()
    }

    #[inline(always)]
    fn merge(a: f64, b: f64) -> f64 {
        a + b
    }

    fn radius(reduced: f64) -> f64 {
        reduced
    }

    fn reduce(radius: f64) -> f64 {
        radius
    }

    #[inline(always)]
    fn add_lanes<S: Simd>(simd: S, sum: S::f32s, difference: S::f32s) -> S::f32s {
        simd.add_f32s(sum, simd.abs_f32s(difference))
    }
}

impl Kernel for MaxAbs {
    const ACROSS: f64 = 2.000_001;

    #[inline(always)]
    fn add(sum: f64, difference: f64) -> f64 {
        larger(sum, difference.abs())
    }

    #[inline(always)]
    fn merge(a: f64, b: f64) -> f64 {
        larger(a, b)
    }

    fn radius(reduced: f64) -> f64 {
        reduced
    }

    fn reduce(radius: f64) -> f64 {
        radius
    }

    #[inline(always)]
    fn add_lanes<S: Simd>(simd: S, sum: S::f32s, difference: S::f32s) -> S::f32s {
        simd.max_f32s(sum, simd.abs_f32s(difference))
    }
}

/// Reduced distance of two rows.
pub fn reduced<K: Kernel, T: Value>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (&x, &y)| K::add(sum, x.into() - y.into()))
}

/// sin²(distance / 2) of two [latitude, longitude] pairs.
pub fn haversine_square(a: [f64; 2], b: [f64; 2]) -> f64 {
    let latitude = (0.5 * (a[0] - b[0])).sin();
    let longitude = (0.5 * (a[1] - b[1])).sin();
    latitude * latitude + a[0].cos() * b[0].cos() * longitude * longitude
}

/// 1 - cosine from the products of two unit vectors' coordinates, kept within [0, 2].
pub fn cosine_distance(products: impl Iterator<Item = f64>) -> f64 {
    (1.0 - products.sum::<f64>()).clamp(0.0, 2.0)
}

/// What brings a row to length one: two divisions, the first of which only keeps squares within the range of a double.
pub struct Scaling {
    largest: f64,
    norm: f64,
}

impl Scaling {
    /// None for the zero vector, which has no direction.
    pub fn to_length_one<T: Value>(row: &[T]) -> Option<Self> {
        let values = || row.iter().map(|&x| -> f64 { x.into() });
        let square: f64 = values().map(|x| x * x).sum();
        if (f64::MIN_POSITIVE..f64::INFINITY).contains(&square) {
            return Some(Self { largest: 1.0, norm: square.sqrt() });
        }
        let largest = values().fold(0.0_f64, |largest, x| largest.max(x.abs()));
        let square: f64 = values().map(|x| x / largest).map(|x| x * x).sum();
        (largest > 0.0).then(|| Self { largest, norm: square.sqrt() })
    }

    pub fn apply(&self, x: f64) -> f64 {
        x / self.largest / self.norm
    }
}

/// Scales a row to length one; false (and untouched) for the zero vector.
pub fn normalise(row: &mut [f64]) -> bool {
    let Some(scaling) = Scaling::to_length_one(row) else { return false };
    row.iter_mut().for_each(|x| *x = scaling.apply(*x));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_match_their_definitions() {
        let (a, b) = ([0.0, 0.0], [3.0, 4.0]);
        assert_eq!(Metric::Euclidean.distance(&a, &b), 5.0);
        assert_eq!(Metric::Manhattan.distance(&a, &b), 7.0);
        assert_eq!(Metric::Chebyshev.distance(&a, &b), 4.0);
        let quarter = std::f64::consts::FRAC_PI_2;
        assert!((Metric::Haversine.distance(&a, &[quarter, 0.0]) - quarter).abs() < 1e-15);
        assert!((Metric::Cosine.distance(&[1.0, 0.0], &[0.0, 1.0]) - 1.0).abs() < 1e-15);
    }

    #[test]
    fn huge_tiny_and_zero_rows_normalise_without_overflow() {
        for scale in [1e300, 1.0, 1e-300, 5e-324] {
            let mut row = [scale, 0.0];
            assert!(normalise(&mut row));
            assert_eq!(row, [1.0, 0.0]);
        }
        assert!(!normalise(&mut [0.0, 0.0]));
    }

    #[test]
    fn unknown_metrics_are_refused_with_the_known_ones() {
        let message = Metric::parse("l7").unwrap_err().to_string();
        assert!(message.contains("'euclidean'") && message.contains("Got 'l7' instead."));
    }
}
