//! Where the cells lie: cubes so small that any two points of one are neighbours, in blocks that are numbered row by row.
//!
//! Called by the other parts of `grid`. A block is about as wide as eps, so that few blocks hold all neighbours of its points: what is
//! sought around a cell is sought once for its block. Positions are measured in cell sides from the lowest corner, with an error below `MARGIN`;
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

/// The keys of some neighbours of a block, relative to its own: a run of blocks along the first axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run<const D: usize> {
    pub first: i64,
    pub last: i64,
    /// Rows between the two, by axis; the first axis does not count.
    step: [i32; D],
}

pub struct Frame<const D: usize> {
    low: [f64; D],
    sides_per_unit: f64,
    /// A block is `1 << halvings` cells wide.
    halvings: u32,
    /// What one step along an axis adds to a block's key.
    strides: [u64; D],
    pub largest_key: u64,
    /// Every block with a point within eps of one of a block's, itself included; the own row first, then the nearest.
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
        let halvings = u32::from(per_eps > 1.2);
        let (mut strides, mut stride) = ([0; D], 1_u64);
        let widest = steps::<K>(0.0, reach, f64::from(1 << halvings));
        for axis in 0..D {
            let cells = (high[axis] - low[axis]) * sides_per_unit;
            if cells.is_nan() || cells >= MAX_CELLS {
                return None;
            }
            strides[axis] = stride;
            // Empty blocks on both sides, so that no run reaches into another row.
            stride = stride.checked_mul((cells as u64 >> halvings) + 1 + 2 * widest as u64)?;
        }
        let cells = stride.checked_mul(1 << (halvings * D as u32))?;
        let largest_key = (cells < 1 << 62).then_some(cells - 1)?;
        let mut frame = Self { low, sides_per_unit, halvings, strides, largest_key, runs: Vec::new(), reach };
        frame.find_runs::<K>(widest);
        Some(frame)
    }

    fn find_runs<K: Kernel>(&mut self, widest: i32) {
        let (across, width) = (2 * widest as usize + 1, self.width());
        let mut runs = Vec::new();
        for number in 0..across.pow(D as u32 - 1) {
            let (mut step, mut rest, mut gap, mut offset) = ([0; D], number, 0.0, 0);
            for (step, &stride) in step.iter_mut().zip(&self.strides).skip(1) {
                *step = (rest % across) as i32 - widest;
                rest /= across;
                gap = K::add(gap, least_gap(*step, width));
                offset += i64::from(*step) * stride as i64;
            }
            if gap <= self.reach {
                let half = i64::from(steps::<K>(gap, self.reach, width));
                let rows = step.map(i32::abs).iter().sum::<i32>();
                runs.push((gap, rows, Run { first: offset - half, last: offset + half, step }));
            }
        }
        runs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        self.runs = runs.into_iter().map(|(_, _, run)| run).collect();
    }

    /// The next block along each axis.
    pub fn faces(&self) -> Vec<Run<D>> {
        let face = |axis: usize| {
            let offset = self.strides[axis] as i64;
            let mut step = [0; D];
            step[axis] = i32::from(axis > 0);
            Run { first: offset, last: offset, step }
        };
        (0..D).map(face).collect()
    }

    /// Of every two neighbouring blocks, the later one seen from the earlier.
    pub fn later(&self) -> Vec<Run<D>> {
        let later = self.runs.iter().filter(|run| run.last > 0);
        later.map(|run| Run { first: run.first.max(1), ..*run }).filter(|run| run.first <= run.last).collect()
    }

    /// A point's place in cell sides from the lowest corner.
    #[inline(always)]
    pub fn position(&self, point: &[f64; D]) -> [f64; D] {
        std::array::from_fn(|axis| (point[axis] - self.low[axis]) * self.sides_per_unit)
    }

    /// The key of a point's cell: its block's, then its place in it.
    #[inline(always)]
    pub fn key(&self, point: &[f64; D]) -> u64 {
        let padding = self.runs[0].last as u64;
        let inner = (1 << self.halvings) - 1;
        let (mut block, mut place) = (0, 0);
        for (axis, position) in self.position(point).into_iter().enumerate() {
            let cell = u64::from(position as u32);
            block += ((cell >> self.halvings) + padding) * self.strides[axis];
            place = place << self.halvings | cell & inner;
        }
        block << self.places() | place
    }

    /// How many bits a cell's key has more than its block's.
    #[inline(always)]
    pub fn places(&self) -> u32 {
        self.halvings * D as u32
    }

    /// Of a block, in sides.
    #[inline(always)]
    fn width(&self) -> f64 {
        f64::from(1_u32 << self.halvings)
    }

    /// The lowest corner, in sides, of the cell around a position.
    #[inline(always)]
    pub fn corner(position: [f64; D]) -> [f64; D] {
        position.map(|place| place as u32 as f64)
    }

    /// Where a position lies within its block, in sides.
    #[inline(always)]
    pub fn within_block(&self, position: &[f64; D]) -> [f64; D] {
        position.map(|place| place - f64::from(place as u32 >> self.halvings << self.halvings))
    }

    /// Whether a point, by its place within its block, may have neighbours in a run of blocks.
    #[inline(always)]
    pub fn may_reach<K: Kernel>(&self, within: &[f64; D], run: &Run<D>) -> bool {
        let width = self.width();
        let other_axes = within.iter().zip(&run.step).skip(1);
        let gap = |place: f64, step: i32| gap_to(place, f64::from(step) * width, width);
        other_axes.fold(0.0, |sum, (&place, &step)| K::add(sum, gap(place, step))) <= self.reach
    }

    /// Whether points of two cells may be within eps of each other, by the cells' corners.
    #[inline(always)]
    pub fn may_touch<K: Kernel>(&self, a: &[f64; D], b: &[f64; D]) -> bool {
        let gap = |axis: usize| larger((a[axis] - b[axis]).abs() - (1.0 + MARGIN), 0.0);
        (0..D).fold(0.0, |sum, axis| K::add(sum, gap(axis))) <= self.reach
    }

    /// Whether a point at `position` may have neighbours in the cell with the given corner.
    #[inline(always)]
    pub fn may_reach_cell<K: Kernel>(&self, position: &[f64; D], corner: &[f64; D]) -> bool {
        let axes = position.iter().zip(corner);
        axes.fold(0.0, |gap, (&place, &start)| K::add(gap, gap_to(place, start, 1.0))) <= self.reach
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

/// Between a place and what starts at `start` and is so wide, rounded down.
#[inline(always)]
fn gap_to(place: f64, start: f64, width: f64) -> f64 {
    let (below, above) = (start - place - MARGIN, place - start - (width + MARGIN));
    let gap = if below > above { below } else { above };
    if gap > 0.0 { gap } else { 0.0 }
}

/// Between points in blocks so many steps apart, rounded down.
fn least_gap(step: i32, width: f64) -> f64 {
    f64::from(step.abs() - 1).max(0.0) * width * (1.0 - MARGIN)
}

/// How many blocks along one axis lie within `reach`, if the other axes already add up to `gap`.
fn steps<K: Kernel>(gap: f64, reach: f64, width: f64) -> i32 {
    (0..).take_while(|&step| K::add(gap, least_gap(step, width)) <= reach).last().unwrap_or(0)
}
