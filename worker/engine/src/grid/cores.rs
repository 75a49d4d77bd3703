//! Which points are core, and cells with their core points first.
//!
//! Called by `grid`. All points of a cell are neighbours of each other, so a full cell needs no look at any other.

use std::marker::PhantomData;
use std::ops::Range;

use crate::budget;
use crate::control::Control;
use crate::dbscan::Job;
use crate::error::{Result, filled, room};
use crate::grid::cells::{Cells, Window};
use crate::metric::Kernel;
use crate::pieces::{each, groups, parts};
use crate::simd::vectorised;
use crate::value::Value;

/// A cell that has less than one part in so many of what is needed is sparse.
const SPARSE: f64 = 4.0;

/// What makes a point core.
enum Demand {
    Count(usize),
    Weight {
        /// By slot.
        weights: Vec<f64>,
        needed: f64,
        /// No weight is negative: what is enough stays enough.
        grows: bool,
    },
}

/// Moves the core points of every cell to its front; returns where they end, by cell. The order of rows is kept among the cores.
pub fn find_cores<K: Kernel, const D: usize, T: Value>(
    cells: &mut Cells<D, T>,
    job: &Job<'_, T>,
    limit: f64,
    control: &Control,
) -> Result<Vec<u32>> {
    let demand = demand(cells, job)?;
    let pieces = groups(&cells.starts);
    let mut is_core = filled(false, cells.rows.len())?;
    let mut ends = filled(0_u32, cells.n_cells())?;
    let slots: Vec<Range<usize>> =
        pieces.iter().map(|p| cells.slots(p.start).start..cells.slots(p.end - 1).end).collect();
    let by_slot = || slots.iter().map(ExactSizeIterator::len);
    let by_cell = || pieces.iter().map(ExactSizeIterator::len);

    let search = Search::<K, D, T> { cells, demand, limit, kernel: PhantomData };
    budget::check(job.work_budget, cells.rows.len(), D, |slot| search.cost(slot))?;
    let work = pieces.iter().cloned().zip(parts(&mut is_core, by_slot())).zip(parts(&mut ends, by_cell()));
    each(work.collect(), |((piece, is_core), ends)| {
        vectorised(
            #[inline(always)]
            || search.mark(piece, is_core, ends, control),
        )
    })?;

    let mut axis_parts = cells.axes.each_mut().map(|axis| parts(axis, by_slot()).into_iter());
    let work = parts(&mut cells.rows, by_slot()).into_iter();
    let work = work.map(|rows| (rows, axis_parts.each_mut().map(|parts| parts.next().unwrap_or_default())));
    let work = pieces.iter().cloned().zip(parts(&mut is_core, by_slot())).zip(work);
    let starts = &cells.starts;
    each(work.collect(), |((piece, is_core), (rows, mut axes))| {
        let base = starts[piece.start] as usize;
        let mut order = Vec::new();
        for cell in piece {
            let slots = starts[cell] as usize - base..starts[cell + 1] as usize - base;
            let cores = ends[cell] as usize - base - slots.start;
            if cores == 0 || cores == slots.len() {
                continue;
            }
            let is_core = &is_core[slots.clone()];
            order.clear();
            order.extend((0..slots.len()).filter(|&at| is_core[at]));
            order.extend((0..slots.len()).filter(|&at| !is_core[at]));
            reorder(&mut rows[slots.clone()], &order);
            axes.iter_mut().for_each(|axis| reorder(&mut axis[slots.clone()], &order));
        }
        control.check()
    })?;
    Ok(ends)
}

fn reorder<V: Copy>(values: &mut [V], order: &[usize]) {
    let before = values.to_vec();
    values.iter_mut().zip(order).for_each(|(value, &at)| *value = before[at]);
}

fn demand<const D: usize, T: Value>(cells: &Cells<D, T>, job: &Job<'_, T>) -> Result<Demand> {
    let Some(weights) = job.weights else { return Ok(Demand::Count(job.min_samples)) };
    let mut by_slot = room(weights.len())?;
    by_slot.extend(cells.rows.iter().map(|&row| weights[row as usize]));
    let grows = weights.iter().all(|&weight| weight >= 0.0);
    Ok(Demand::Weight { weights: by_slot, needed: job.min_samples as f64, grows })
}

struct Search<'a, K, const D: usize, T> {
    cells: &'a Cells<D, T>,
    demand: Demand,
    limit: f64,
    kernel: PhantomData<K>,
}

impl<K: Kernel, const D: usize, T: Value> Search<'_, K, D, T> {
    #[inline(always)]
    fn mark(&self, piece: Range<usize>, is_core: &mut [bool], ends: &mut [u32], control: &Control) -> Result<()> {
        let cells = self.cells;
        let mut window = Window::new(cells, cells.frame.runs.len())?;
        let mut around = Vec::new();
        let (base, first) = (cells.slots(piece.start).start, piece.start);
        for cell in piece {
            let slots = cells.slots(cell);
            let is_core = &mut is_core[slots.start - base..slots.end - base];
            self.mark_cell(cell, &mut window, &mut around, is_core, control)?;
            let cores = is_core.iter().filter(|&&is_core| is_core).count();
            ends[cell - first] = (slots.start + cores) as u32;
        }
        control.advance(is_core.len())
    }

    #[inline(always)]
    fn mark_cell(
        &self,
        cell: usize,
        window: &mut Window<'_, D>,
        around: &mut Vec<Range<usize>>,
        is_core: &mut [bool],
        control: &Control,
    ) -> Result<()> {
        let cells = self.cells;
        let own = cells.slots(cell);
        let start = self.demand.of(own.clone());
        if self.demand.is_met(start) && self.demand.grows() {
            is_core.fill(true);
            return Ok(());
        }
        let runs = &cells.frame.runs;
        let mut slots_of = |number: usize| {
            let found = window.find(cell, number, &runs[number]);
            cells.starts[found.start] as usize..cells.starts[found.end] as usize
        };
        let row = slots_of(0);
        around.clear();
        around.extend([row.start..own.start, own.end..row.end]);
        // A sparse cell is likely to see all its neighbours, and all of them together may be too few.
        if self.demand.grows() && !self.demand.is_met(SPARSE * start) {
            around.extend((1..runs.len()).map(&mut slots_of));
            let most = start + around.iter().map(|slots| self.demand.of(slots.clone())).sum::<f64>();
            if !self.demand.is_met(most) {
                return Ok(());
            }
        }
        let corner = cells.corner(cell);
        for (slot, is_core) in own.zip(is_core) {
            let point = cells.point(slot);
            let position = cells.frame.position(&point);
            let within = std::array::from_fn(|axis| position[axis] - corner[axis]);
            let mut found = start;
            // The own row comes in two parts.
            for at in 0..=runs.len() {
                let number = at.saturating_sub(1);
                if at == around.len() {
                    around.push(slots_of(number));
                }
                if !around[at].is_empty() && cells.frame.may_reach::<K>(&within, &runs[number]) {
                    found += self.near(around[at].clone(), &point, found);
                    if self.demand.grows() && self.demand.is_met(found) {
                        break;
                    }
                }
            }
            *is_core = self.demand.is_met(found);
            control.check()?;
        }
        Ok(())
    }

    /// Distances that the search for one point's neighbours computes, or a few more: a run of points counts as a whole.
    fn cost(&self, slot: usize) -> u64 {
        let cells = self.cells;
        let cell = cells.starts.partition_point(|&start| start as usize <= slot) - 1;
        let own = cells.slots(cell);
        let mut found = self.demand.of(own.clone());
        let Ok(mut window) = Window::new(cells, cells.frame.runs.len()) else { return 0 };
        let (mut spent, point) = (0, cells.point(slot));
        for (number, run) in cells.frame.runs.iter().enumerate() {
            if self.demand.grows() && self.demand.is_met(found) {
                break;
            }
            let near = window.find(cell, number, run);
            let slots = cells.starts[near.start] as usize..cells.starts[near.end] as usize;
            // The first run holds the own cell.
            let parts = if number == 0 { [slots.start..own.start, own.end..slots.end] } else { [slots, 0..0] };
            for part in parts {
                spent += part.len() as u64;
                if !self.demand.is_met(found) {
                    found += self.near(part, &point, found);
                }
            }
        }
        spent
    }

    #[inline(always)]
    fn near(&self, slots: Range<usize>, point: &[f64; D], found: f64) -> f64 {
        match &self.demand {
            Demand::Count(needed) => self.cells.count::<K>(slots, point, self.limit, needed - found as usize) as f64,
            Demand::Weight { weights, .. } => self.cells.weigh::<K>(slots, point, self.limit, weights),
        }
    }
}

impl Demand {
    /// What some slots weigh together.
    fn of(&self, slots: Range<usize>) -> f64 {
        match self {
            Self::Count(_) => slots.len() as f64,
            Self::Weight { weights, .. } => weights[slots].iter().sum(),
        }
    }

    fn is_met(&self, found: f64) -> bool {
        match self {
            Self::Count(needed) => found >= *needed as f64,
            Self::Weight { needed, .. } => found >= *needed,
        }
    }

    fn grows(&self) -> bool {
        match self {
            Self::Count(_) => true,
            Self::Weight { grows, .. } => *grows,
        }
    }
}
