//! Where the cells lie: cubes so small that any two points of one are neighbours, numbered row by row.
//!
//! Called by the other parts of `grid`. Positions are measured in cell sides from the lowest corner, with an error below `MARGIN`;
//! every rule about whole cells leaves that much room, so no point is ever counted or left out by a rounding.

use crate::dbscan::Job;
use crate::metric::{Kernel, Metric, larger};
use crate::pieces::{each, ranges};
use crate::value::Value;

/// Most cells along an axis: a position rounds by less than their number times 2⁻⁵¹.
const MAX_CELLS: f64 = (1_u64 << 26) as f64;
/// In cell sides, well above the rounding of a position.
const MARGIN: f64 = 1e-6;
/// Radii whose squares, and the squares' roundings, stay far from the ends of a double's range.
const RADII: std::ops::Range<f64> = 1e-140..1e140;

/// The keys of some neighbours of a cell, relative to its own: a run of cells along the first axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run<const D: usize> {
    pub first: i64,
    pub last: i64,
    /// The key right in the middle of the row, on the level of the cell.
    middle: i64,
    /// Rows between the two, by axis; the first axis does not count.
    step: [i32; D],
}

pub struct Frame<const D: usize> {
    low: [f64; D],
    sides_per_unit: f64,
    /// What one step along an axis adds to the key.
    strides: [u64; D],
    pub largest_key: u64,
    /// Every cell with a point within eps of one of a cell's, itself included; nearest rows first.
    pub runs: Vec<Run<D>>,
    /// eps as a reduced distance in sides, rounded up.
    reach: f64,
}

impl<const D: usize> Frame<D> {
    /// None where cells cannot be trusted or not be numbered.
    pub fn new<K: Kernel, T: Value>(job: &Job<'_, T>) -> Option<Self> {
        let per_eps = match job.metric {
            Metric::Euclidean => (D as f64).sqrt(),
            Metric::Manhattan => D as f64,
            Metric::Chebyshev => 1.0,
            Metric::Haversine | Metric::Cosine => return None,
        } * (1.0 + 4.0 * MARGIN);
        if job.points.is_empty() || !RADII.contains(&job.eps) {
            return None;
        }
        let (low, high) = bounds::<D, T>(job.points)?;
        let sides_per_unit = per_eps / job.eps;
        let reach = K::add(0.0, per_eps) * (1.0 + 4.0 * MARGIN);
        let (mut strides, mut stride) = ([0; D], 1_u64);
        let widest = steps::<K>(0.0, reach);
        for axis in 0..D {
            let cells = (high[axis] - low[axis]) * sides_per_unit;
            if cells.is_nan() || cells >= MAX_CELLS {
                return None;
            }
            strides[axis] = stride;
            // Empty cells on both sides, so that no run reaches into another row.
            stride = stride.checked_mul(cells as u64 + 1 + 2 * widest as u64)?;
        }
        let largest_key = (stride < 1 << 62).then_some(stride - 1)?;
        let mut frame = Self { low, sides_per_unit, strides, largest_key, runs: Vec::new(), reach };
        frame.find_runs::<K>(widest);
        Some(frame)
    }

    fn find_runs<K: Kernel>(&mut self, widest: i32) {
        let width = 2 * widest as usize + 1;
        let mut runs = Vec::new();
        for number in 0..width.pow(D as u32 - 1) {
            let (mut step, mut rest, mut gap, mut offset) = ([0; D], number, 0.0, 0);
            for (step, &stride) in step.iter_mut().zip(&self.strides).skip(1) {
                *step = (rest % width) as i32 - widest;
                rest /= width;
                gap = K::add(gap, least_gap(*step));
                offset += i64::from(*step) * stride as i64;
            }
            if gap <= self.reach {
                let half = i64::from(steps::<K>(gap, self.reach));
                runs.push((
                    gap,
                    step.map(i32::abs).iter().sum::<i32>(),
                    Run { first: offset - half, last: offset + half, step, middle: offset },
                ));
            }
        }
        runs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        self.runs = runs.into_iter().map(|(_, _, run)| run).collect();
    }

    /// The next cell along each axis.
    pub fn faces(&self) -> Vec<Run<D>> {
        let face = |axis: usize| {
            let offset = self.strides[axis] as i64;
            let mut step = [0; D];
            step[axis] = i32::from(axis > 0);
            Run { first: offset, last: offset, step, middle: if axis > 0 { offset } else { 0 } }
        };
        (0..D).map(face).collect()
    }

    /// Of every two neighbouring cells, the later one seen from the earlier.
    pub fn later(&self) -> Vec<Run<D>> {
        let later = self.runs.iter().filter(|run| run.last > 0);
        later.map(|run| Run { first: run.first.max(1), ..*run }).filter(|run| run.first <= run.last).collect()
    }

    /// A point's place in cell sides from the lowest corner.
    #[inline(always)]
    pub fn position(&self, point: &[f64; D]) -> [f64; D] {
        std::array::from_fn(|axis| (point[axis] - self.low[axis]) * self.sides_per_unit)
    }

    #[inline(always)]
    pub fn key(&self, point: &[f64; D]) -> u64 {
        let padding = self.runs[0].last as u64;
        let position = self.position(point);
        (0..D).map(|axis| (position[axis] as u64 + padding) * self.strides[axis]).sum()
    }

    /// Whether a point, by its place within its cell, may have neighbours in a run of cells.
    #[inline(always)]
    pub fn may_reach<K: Kernel>(&self, within: &[f64; D], run: &Run<D>) -> bool {
        let other_axes = within.iter().zip(&run.step).skip(1);
        other_axes.fold(0.0, |gap, (&place, &step)| K::add(gap, gap_to(place, f64::from(step)))) <= self.reach
    }

    /// Whether a point at `position` may have neighbours in the cell with the given corner.
    #[inline(always)]
    pub fn may_reach_cell<K: Kernel>(&self, position: &[f64; D], corner: &[f64; D]) -> bool {
        let axes = position.iter().zip(corner);
        axes.fold(0.0, |gap, (&place, &start)| K::add(gap, gap_to(place, start))) <= self.reach
    }
}

/// The lowest and the highest corner of the rows' box.
fn bounds<const D: usize, T: Value>(points: &[T]) -> Option<([f64; D], [f64; D])> {
    let rows = points.as_chunks::<D>().0;
    let pieces = ranges(rows.len());
    let mut boxes = vec![([f64::INFINITY; D], [f64::NEG_INFINITY; D]); pieces.len()];
    let done = each(pieces.into_iter().zip(&mut boxes).collect(), |(piece, (low, high))| {
        for row in &rows[piece] {
            for axis in 0..D {
                let value = row[axis].into();
                low[axis] = if value < low[axis] { value } else { low[axis] };
                high[axis] = larger(high[axis], value);
            }
        }
        Ok(())
    });
    done.ok()?;
    boxes.into_iter().reduce(|(low, high), (other_low, other_high)| {
        (
            std::array::from_fn(|axis| low[axis].min(other_low[axis])),
            std::array::from_fn(|axis| high[axis].max(other_high[axis])),
        )
    })
}

impl<const D: usize> Run<D> {
    /// The steps, by axis, to the cell whose key is larger by `difference`.
    #[inline(always)]
    pub fn steps_to(&self, difference: i64) -> [f64; D] {
        std::array::from_fn(
            |axis| if axis == 0 { (difference - self.middle) as f64 } else { f64::from(self.step[axis]) },
        )
    }
}

/// Between a place and a cell that starts at `start`, rounded down.
#[inline(always)]
fn gap_to(place: f64, start: f64) -> f64 {
    let (below, above) = (start - place - MARGIN, place - start - (1.0 + MARGIN));
    let gap = if below > above { below } else { above };
    if gap > 0.0 { gap } else { 0.0 }
}

/// Between points in cells so many steps apart, rounded down.
fn least_gap(step: i32) -> f64 {
    f64::from(step.abs() - 1).max(0.0) * (1.0 - MARGIN)
}

/// How many cells along one axis lie within `reach`, if the other axes already add up to `gap`.
fn steps<K: Kernel>(gap: f64, reach: f64) -> i32 {
    (0..).take_while(|&step| K::add(gap, least_gap(step)) <= reach).last().unwrap_or(0)
}
