//! Whether any two points of two large sets are close, without comparing all pairs.
//!
//! Called by `connect` for cells of many points. Boxes around actual points round as their distances do, so no answer changes.

use crate::control::Control;
use crate::error::Result;
use crate::metric::{Kernel, larger};

/// Up to so many pairs are compared one by one.
const FEW_PAIRS: usize = 256;

/// Reorders both sets.
pub fn any_close<K: Kernel, const D: usize>(
    a: &mut [[f64; D]],
    b: &mut [[f64; D]],
    limit: f64,
    control: &Control,
) -> Result<bool> {
    control.check()?;
    let (Some(box_a), Some(box_b)) = (Box::around(a), Box::around(b)) else { return Ok(false) };
    if box_a.farthest::<K>(&box_b) <= limit {
        return Ok(true);
    }
    // Only points near the other box can be one of a close pair.
    let a = keep_near::<K, D>(a, &box_b, limit);
    let b = keep_near::<K, D>(b, &box_a, limit);
    if a.len() * b.len() <= FEW_PAIRS {
        let close = |x: &[f64; D], y: &[f64; D]| (0..D).fold(0.0, |sum, axis| K::add(sum, x[axis] - y[axis])) <= limit;
        return Ok(a.iter().any(|x| b.iter().any(|y| close(x, y))));
    }
    let (halved, whole) = if a.len() > b.len() { (a, b) } else { (b, a) };
    let Some(sides) = Box::around(halved) else { return Ok(false) };
    let side = |axis: usize| sides.high[axis] - sides.low[axis];
    let widest = (0..D).max_by(|&x, &y| side(x).total_cmp(&side(y))).unwrap_or(0);
    let middle = halved.len() / 2;
    halved.select_nth_unstable_by(middle, |x, y| x[widest].total_cmp(&y[widest]));
    let (left, right) = halved.split_at_mut(middle);
    Ok(any_close::<K, D>(left, whole, limit, control)? || any_close::<K, D>(right, whole, limit, control)?)
}

struct Box<const D: usize> {
    low: [f64; D],
    high: [f64; D],
}

impl<const D: usize> Box<D> {
    fn around(points: &[[f64; D]]) -> Option<Self> {
        let (&first, rest) = points.split_first()?;
        let start = Self { low: first, high: first };
        Some(rest.iter().fold(start, |sides, point| Self {
            low: std::array::from_fn(|axis| sides.low[axis].min(point[axis])),
            high: std::array::from_fn(|axis| larger(sides.high[axis], point[axis])),
        }))
    }

    fn nearest<K: Kernel>(&self, point: &[f64; D]) -> f64 {
        let gap = |axis: usize| larger(larger(self.low[axis] - point[axis], point[axis] - self.high[axis]), 0.0);
        (0..D).fold(0.0, |sum, axis| K::add(sum, gap(axis)))
    }

    fn farthest<K: Kernel>(&self, other: &Self) -> f64 {
        let across = |axis: usize| larger(other.high[axis] - self.low[axis], self.high[axis] - other.low[axis]);
        (0..D).fold(0.0, |sum, axis| K::add(sum, across(axis)))
    }
}

/// The points within `limit` of a box, moved to the front.
fn keep_near<'a, K: Kernel, const D: usize>(
    points: &'a mut [[f64; D]],
    sides: &Box<D>,
    limit: f64,
) -> &'a mut [[f64; D]] {
    let mut kept = 0;
    for at in 0..points.len() {
        if sides.nearest::<K>(&points[at]) <= limit {
            points.swap(kept, at);
            kept += 1;
        }
    }
    &mut points[..kept]
}
