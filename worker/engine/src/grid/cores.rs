//! Which points are core, and cells with their core points first.
//!
//! Called by `grid`. All points of a cell are neighbours of each other, so a full cell needs no look at any other. For the others the
//! blocks around theirs are found once, and searched from the own block outwards until enough is found.

use std::marker::PhantomData;
use std::ops::Range;

use crate::budget;
use crate::control::Control;
use crate::dbscan::Job;
use crate::error::{Result, filled, room};
use crate::grid::cells::{Cells, Window};
use crate::metric::Kernel;
use crate::pieces::{each, made, parts};
use crate::simd::vectorised;
use crate::value::Value;

/// A block that has less than one part in so many of what is needed is sparse.
const SPARSE: f64 = 4.0;
/// Into how many parts the row of a block is cut: the block, what is before it, what is behind it.
const OWN_PARTS: usize = 3;

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
    let pieces: Vec<Range<usize>> = cells.pieces();
    let mut is_core = made(cells.rows.len(), |_| false)?;
    let mut ends = filled(0_u32, cells.n_cells())?;
    let slots: Vec<usize> = pieces.iter().map(|piece| cells.slots_in(piece.clone()).len()).collect();
    let in_cells: Vec<Range<usize>> = pieces.iter().map(|piece| cells.cells(piece.clone())).collect();
    let by_slot = || slots.iter().copied();
    let by_cell = in_cells.iter().map(ExactSizeIterator::len);

    let search = Search::<K, D, T> { cells, demand, limit, kernel: PhantomData };
    budget::check(job.work_budget, cells.rows.len(), D, |slot| search.cost(slot))?;
    let work = pieces.iter().cloned().zip(parts(&mut is_core, by_slot())).zip(parts(&mut ends, by_cell));
    each(work.collect(), |((piece, is_core), ends)| {
        vectorised(
            #[inline(always)]
            || search.mark(piece, is_core, ends, control),
        )
    })?;

    let mut axis_parts = cells.axes.each_mut().map(|axis| parts(axis, by_slot()).into_iter());
    let work = parts(&mut cells.rows, by_slot()).into_iter();
    let work = work.map(|rows| (rows, axis_parts.each_mut().map(|parts| parts.next().unwrap_or_default())));
    let work = in_cells.iter().cloned().zip(parts(&mut is_core, by_slot())).zip(work);
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
        let (base, first) = (cells.slots_in(piece.clone()).start, cells.cells(piece.clone()).start);
        for block in piece {
            around.clear();
            for cell in cells.cells(block..block + 1) {
                let slots = cells.slots(cell);
                let is_core = &mut is_core[slots.start - base..slots.end - base];
                self.mark_cell(block, slots.clone(), &mut window, &mut around, is_core);
                let cores = is_core.iter().filter(|&&is_core| is_core).count();
                ends[cell - first] = (slots.start + cores) as u32;
                control.check()?;
            }
        }
        control.advance(is_core.len())
    }

    /// `around` holds what the block's cells have looked up so far.
    #[inline(always)]
    fn mark_cell(
        &self,
        block: usize,
        own: Range<usize>,
        window: &mut Window<'_, D>,
        around: &mut Vec<Range<usize>>,
        is_core: &mut [bool],
    ) {
        let (cells, demand) = (self.cells, &self.demand);
        let inside = demand.of(own.clone());
        if demand.grows() && demand.is_met(inside) {
            is_core.fill(true);
            return;
        }
        if around.is_empty() {
            around.extend(self.own_row(block, window));
        }
        let runs = &cells.frame.runs;
        // A sparse block's points are likely to look at everything around, and all of it may be too little.
        let parts = OWN_PARTS + runs.len() - 1;
        if demand.grows() && !demand.is_met(SPARSE * demand.of(around[0].clone())) {
            around.extend((around.len()..parts).map(|part| self.other_row(block, part, window)));
            if !demand.is_met(around.iter().map(|slots| demand.of(slots.clone())).sum()) {
                return;
            }
        }
        // What is alone in its block has been looked at as a whole.
        let alone = own == around[0];
        let (start, first) = if alone { (inside, 1) } else { (0.0, 0) };
        for (slot, is_core) in own.zip(is_core) {
            let point = cells.point(slot);
            let within = cells.frame.within_block(&cells.frame.position(&point));
            let mut found = start;
            for part in first..parts {
                if part == around.len() {
                    around.push(self.other_row(block, part, window));
                }
                let slots = around[part].clone();
                let is_near = part < OWN_PARTS || cells.frame.may_reach::<K>(&within, &runs[part + 1 - OWN_PARTS]);
                if is_near && !slots.is_empty() {
                    found += self.near(slots, &point, found);
                    if demand.grows() && demand.is_met(found) {
                        break;
                    }
                }
            }
            *is_core = demand.is_met(found);
        }
    }

    /// The slots of a block, of what is before it in its row, and of what is behind it.
    #[inline(always)]
    fn own_row(&self, block: usize, window: &mut Window<'_, D>) -> [Range<usize>; OWN_PARTS] {
        let own = self.cells.slots_in(block..block + 1);
        let row = self.cells.slots_in(window.find(block, 0, &self.cells.frame.runs[0]));
        [own.clone(), row.start..own.start, own.end..row.end]
    }

    /// The slots of another row, which is the given part of all that is around.
    #[inline(always)]
    fn other_row(&self, block: usize, part: usize, window: &mut Window<'_, D>) -> Range<usize> {
        let number = part + 1 - OWN_PARTS;
        self.cells.slots_in(window.find(block, number, &self.cells.frame.runs[number]))
    }

    /// Distances that the search for one point's neighbours computes, or a few more: a run of points counts as a whole.
    fn cost(&self, slot: usize) -> u64 {
        let cells = self.cells;
        let cell = cells.starts.partition_point(|&start| start as usize <= slot) - 1;
        if self.demand.grows() && self.demand.is_met(self.demand.of(cells.slots(cell))) {
            return 0;
        }
        let Ok(mut window) = Window::new(cells, cells.frame.runs.len()) else { return 0 };
        let (block, point) = (cells.block_of(cell), cells.point(slot));
        let (mut found, mut spent) = (0.0, 0);
        let mut around = self.own_row(block, &mut window).to_vec();
        for part in 0..OWN_PARTS + cells.frame.runs.len() - 1 {
            if part == around.len() {
                around.push(self.other_row(block, part, &mut window));
            }
            spent += around[part].len() as u64;
            if !self.demand.is_met(found) {
                found += self.near(around[part].clone(), &point, found);
            } else if self.demand.grows() {
                break;
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
