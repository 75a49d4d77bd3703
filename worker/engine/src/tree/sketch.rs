//! Rows in f32, and how far distances between them can be trusted.
//!
//! Called by `mod` before the tree is built. A sketch is centred and scaled so that eps becomes about one; every decision that its
//! rounding could change is left to `exact`. The error of a coordinate is in proportion to its distance from the centre, so the
//! bounds are made for each packet of rows that search together: an outlier costs itself only.

use std::marker::PhantomData;

use rayon::prelude::*;

use crate::error::{Result, filled, room};
use crate::metric::{Kernel, Metric};
use crate::space::{Ball, embed, embedded_width};
use crate::value::Value;

/// Half the distance of 1 to the next f32.
const UNIT: f64 = f32::EPSILON as f64 / 2.0;
/// Coordinates end here, so that no distance overflows; what lies farther out is never decided by its sketch.
const FAR: f64 = 1e16;
/// Reduced distances below are left to the formula: their f64 squares may have lost bits.
const SMALLEST: f64 = 1e-290;
/// The centre is the median of about as many rows.
const SAMPLE: usize = 255;
/// Rows that one task embeds.
const CHUNK: usize = 1024;

/// Embedded rows that have a place in the space, row-major.
pub struct Sketch {
    pub coords: Vec<f32>,
    pub width: usize,
    /// Which rows they are; empty if all of them.
    pub placed: Vec<u32>,
    /// Zero vectors under cosine: at distance exactly 1 from everything else, so in no place at all.
    pub directionless: Vec<u32>,
}

impl Sketch {
    pub fn draw<T: Value>(metric: Metric, points: &[T], columns: usize, scale: f64) -> Result<Self> {
        let n = points.len() / columns;
        let width = embedded_width(metric, columns);
        let centre = centre(metric, points, columns)?;
        let mut coords = filled(0.0_f32, n.saturating_mul(width))?;
        let mut lost: Vec<u32> = coords
            .par_chunks_mut(CHUNK * width)
            .zip(points.par_chunks(CHUNK * columns))
            .enumerate()
            .flat_map_iter(|(chunk, (out, rows))| {
                let (mut row, mut place) = (vec![0.0; columns], vec![0.0; width]);
                let mut lost = Vec::new();
                for (at, (out, values)) in out.chunks_exact_mut(width).zip(rows.chunks_exact(columns)).enumerate() {
                    row.iter_mut().zip(values).for_each(|(wide, &value)| *wide = value.into());
                    if !embed(metric, &row, &mut place) {
                        lost.push((chunk * CHUNK + at) as u32);
                    }
                    for ((out, &place), &centre) in out.iter_mut().zip(&place).zip(&centre) {
                        *out = ((place - centre) * scale).clamp(-FAR, FAR) as f32;
                    }
                }
                lost
            })
            .collect();
        let mut placed = Vec::new();
        if !lost.is_empty() {
            lost.sort_unstable();
            placed = room(n - lost.len())?;
            placed.extend((0..n as u32).filter(|row| lost.binary_search(row).is_err()));
            for (slot, &row) in placed.iter().enumerate() {
                coords.copy_within(row as usize * width..(row as usize + 1) * width, slot * width);
            }
            coords.truncate(placed.len() * width);
        }
        Ok(Self { coords, width, placed, directionless: lost })
    }
}

/// A place in the middle of most rows: the median of a sample, axis by axis. The unit sphere has its own.
fn centre<T: Value>(metric: Metric, points: &[T], columns: usize) -> Result<Vec<f64>> {
    let mut centre = filled(0.0, embedded_width(metric, columns))?;
    let n = points.len() / columns;
    if n == 0 || matches!(metric, Metric::Haversine | Metric::Cosine) {
        return Ok(centre);
    }
    for (axis, centre) in centre.iter_mut().enumerate() {
        let mut values: Vec<f64> =
            points[axis..].iter().step_by(columns * n.div_ceil(SAMPLE)).map(|&value| value.into()).collect();
        let middle = values.len() / 2;
        *centre = *values.select_nth_unstable_by(middle, f64::total_cmp).1;
    }
    Ok(centre)
}

/// The ball of radius eps among sketched rows.
#[derive(Debug, Clone, Copy)]
pub struct Reach<K> {
    /// From embedded coordinates to sketched ones: a power of two.
    pub scale: f64,
    /// Radii in sketched coordinates: all nearer embedded rows are neighbours, no farther ones are.
    accept: f64,
    reject: f64,
    width: f64,
    kernel: PhantomData<K>,
}

/// Bounds on distances as computed in f32, reduced: at most `sure` is within eps, above `possible` is not; between the two only
/// the exact formula knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    pub sure: f32,
    pub possible: f32,
}

/// Of nothing: no distance is within.
pub const NOWHERE: Bounds = Bounds { sure: -1.0, possible: -1.0 };

impl<K: Kernel> Reach<K> {
    pub fn new(ball: &Ball, width: usize) -> Self {
        // Squares of the smallest distances are not numbers to build on: there the formula alone decides.
        let accept = if ball.accept < SMALLEST { -1.0 } else { K::radius(ball.accept) };
        let reject = K::radius(ball.reject.max(SMALLEST));
        let exponent = ((reject.to_bits() >> 52) as i64 - 1023).clamp(-1000, 1000);
        let scale = if reject.is_finite() { f64::from_bits(((1023 - exponent) as u64) << 52) } else { 1.0 };
        Self { scale, accept: accept * scale, reject: reject * scale, width: width as f64, kernel: PhantomData }
    }

    /// Whether rows no longer than `norm` are surely all neighbours if their sketches are no farther apart than `diagonal` (reduced).
    pub fn encloses(&self, diagonal: f64, norm: f64) -> bool {
        K::radius(diagonal) * (1.0 + 1e-12) + 2.1 * UNIT * norm <= self.accept * (1.0 - 1.1 * UNIT)
    }

    /// Boxes with a larger diagonal (reduced) fit into no ball.
    pub fn across(&self) -> f32 {
        (K::ACROSS * K::reduce(self.accept.max(0.0))).min(f64::from(f32::MAX)) as f32
    }

    /// Bounds for the distances from rows whose sketches are no longer than `norm` (from the origin, as a radius).
    ///
    /// Rounding moves the two ends by at most UNIT times their length, and the far end is at most the distance longer than the
    /// near one. Computing a reduced distance adds a relative error of UNIT for each operation on the way.
    pub fn bounds(&self, norm: f64) -> Bounds {
        let moved = 2.1 * UNIT * norm;
        let computed = (self.width + 8.0) * UNIT * 1.1;
        let possible = K::reduce(self.reject * (1.0 + 1.1 * UNIT) + moved) * (1.0 + computed) + 1e-35;
        let accept = self.accept * (1.0 - 1.1 * UNIT) - moved;
        let sure = if accept > 0.0 { K::reduce(accept) * (1.0 - computed) - 1e-35 } else { -1.0 };
        Bounds { sure: (sure as f32).next_down().min(f32::MAX), possible: (possible as f32).next_up().min(f32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{SumAbs, SumSquares};

    #[test]
    fn bounds_enclose_eps_and_widen_with_the_distance_from_the_centre() {
        let reach = Reach::<SumSquares>::new(&Ball::new(Metric::Euclidean, 0.3, 8, 0.0), 8);
        let eps = (0.3 * reach.scale).powi(2) as f32;
        let (near, far) = (reach.bounds(1.0), reach.bounds(1e5));
        assert!(near.sure < eps && eps < near.possible && near.possible - near.sure < 1e-5);
        assert!(far.sure < near.sure && near.possible < far.possible);
        assert_eq!(reach.bounds(1e9).sure, (-1.0_f32).next_down());
    }

    #[test]
    fn the_smallest_and_the_largest_eps_keep_finite_bounds() {
        for eps in [5e-324, 1e-300, 1e-160, 1.0, 1e160, f64::MAX] {
            let ball = Ball::new(Metric::Manhattan, eps, 2, 0.0);
            let bounds = Reach::<SumAbs>::new(&ball, 2).bounds(1.0);
            assert!(bounds.possible > 0.0 && bounds.possible.is_finite(), "{eps}");
            let ball = Ball::new(Metric::Euclidean, eps, 2, 0.0);
            let bounds = Reach::<SumSquares>::new(&ball, 2).bounds(1.0);
            assert!(bounds.possible > 0.0 && bounds.possible.is_finite(), "{eps}");
        }
    }

    #[test]
    fn zero_vectors_have_no_place() {
        let sketch = Sketch::draw(Metric::Cosine, &[0.0, 0.0, 3.0, 4.0, 0.0, 0.0], 2, 1.0).unwrap();
        assert_eq!((sketch.directionless, sketch.placed, sketch.coords), (vec![0, 2], vec![1], vec![0.6, 0.8]));
    }
}
