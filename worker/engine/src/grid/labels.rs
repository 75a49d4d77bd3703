//! Numbers the clusters, hands out the borders and brings the labels into the order of rows.
//!
//! Called by `grid` once the sets of cells are known.

use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use crate::control::{Control, Stage};
use crate::dbscan::{Clustering, NOISE};
use crate::error::{Result, filled};
use crate::grid::cells::{Cells, Window};
use crate::metric::Kernel;
use crate::pieces::{each, made, parts, ranges};
use crate::simd::vectorised;
use crate::union_find::UnionFind;
use crate::value::Value;

/// The number of a cell without cores: above every cluster's.
const NONE: u32 = u32::MAX;

/// Cluster numbers by cell, in the order of the clusters' first core rows.
pub fn number<const D: usize, T: Value>(cells: &Cells<D, T>, ends: &[u32], sets: UnionFind) -> Result<Vec<u32>> {
    // The rows of a cell's cores ascend, so its first one is the lowest.
    let mut numbers = filled(NONE, cells.n_cells())?;
    let has_cores = |cell: usize| ends[cell] > cells.starts[cell];
    let with_cores = || (0..cells.n_cells()).filter(|&cell| has_cores(cell));
    let mut roots = Vec::new();
    for cell in with_cores() {
        let root = sets.find(cell);
        if root == cell {
            roots.push(cell);
        }
        numbers[root] = numbers[root].min(cells.rows[cells.starts[cell] as usize]);
    }
    roots.sort_unstable_by_key(|&root| numbers[root]);
    roots.iter().enumerate().for_each(|(number, &root)| numbers[root] = number as u32);
    // Roots are the smallest of their sets, so each has its number for good before its members ask for it.
    for cell in with_cores() {
        numbers[cell] = numbers[sets.find(cell)];
    }
    Ok(numbers)
}

/// Labels of all rows; core rows keep their number, others join the lowest-numbered cluster within eps.
pub fn label<K: Kernel, const D: usize, T: Value>(
    cells: Cells<D, T>,
    ends: Vec<u32>,
    numbers: Vec<u32>,
    limit: f64,
    control: &Control,
) -> Result<Clustering> {
    control.begin(Stage::Borders, cells.rows.len());
    let labels = made(cells.rows.len(), |_| AtomicI64::new(NOISE))?;
    let search = Search { cells, ends, numbers, limit };
    each(search.cells.pieces(), |piece| {
        vectorised(
            #[inline(always)]
            || search.label::<K>(piece, &labels, control),
        )
    })?;
    drop(search);
    collect(labels.into_iter().map(AtomicI64::into_inner).collect())
}

/// The labels as they shall be, and the core rows.
fn collect(mut labels: Vec<i64>) -> Result<Clustering> {
    let pieces = ranges(labels.len());
    let mut counts = filled(0, pieces.len())?;
    each(pieces.iter().cloned().zip(&mut counts).collect(), |(piece, count)| {
        *count = labels[piece].iter().filter(|&&label| label >= 0).count();
        Ok(())
    })?;
    let mut core_rows = made(counts.iter().sum(), |_| 0)?;
    let work = parts(&mut labels, pieces.iter().map(ExactSizeIterator::len)).into_iter();
    let work = pieces.iter().cloned().zip(work).zip(parts(&mut core_rows, counts.iter().copied()));
    each(work.collect(), |((piece, labels), core_rows)| {
        let mut core_rows = core_rows.iter_mut();
        for (row, label) in piece.zip(labels) {
            if *label < 0 {
                *label = of_border(*label);
            } else if let Some(core_row) = core_rows.next() {
                *core_row = row as i64;
            }
        }
        Ok(())
    })?;
    Ok(Clustering { labels, core_rows })
}

/// A border's label is kept below those of all cores until these are collected; noise is its own.
fn of_border(label: i64) -> i64 {
    if label == NOISE { NOISE } else { -2 - label }
}

/// A cell with cores that a border may join.
struct Neighbour<const D: usize> {
    number: u32,
    corner: [f64; D],
    cores: Range<usize>,
}

struct Search<const D: usize, T> {
    cells: Cells<D, T>,
    ends: Vec<u32>,
    numbers: Vec<u32>,
    limit: f64,
}

impl<const D: usize, T: Value> Search<D, T> {
    #[inline(always)]
    fn label<K: Kernel>(&self, piece: Range<usize>, labels: &[AtomicI64], control: &Control) -> Result<()> {
        let cells = &self.cells;
        let mut window = Window::new(cells, cells.frame.runs.len())?;
        let mut around = Vec::new();
        let done = cells.slots_in(piece.clone()).len();
        for block in piece {
            around.clear();
            let mut is_known = false;
            for cell in cells.cells(block..block + 1) {
                let (slots, end) = (cells.slots(cell), self.ends[cell] as usize);
                for slot in slots.start..end {
                    labels[cells.rows[slot] as usize].store(i64::from(self.numbers[cell]), Relaxed);
                }
                // A lower number than the first there is not.
                if end < slots.end && self.numbers[cell] > 0 && !is_known {
                    is_known = true;
                    for (at, run) in cells.frame.runs.iter().enumerate() {
                        let cells = cells.cells(window.find(block, at, run));
                        around
                            .extend(cells.filter(|&cell| self.numbers[cell] != NONE).map(|cell| self.neighbour(cell)));
                    }
                }
                for slot in end..slots.end {
                    let number = self.lowest::<K>(slot, self.numbers[cell], &around);
                    if number != NONE {
                        labels[cells.rows[slot] as usize].store(of_border(i64::from(number)), Relaxed);
                    }
                }
            }
            control.check()?;
        }
        control.advance(done)
    }

    fn neighbour(&self, cell: usize) -> Neighbour<D> {
        let cores = self.cells.starts[cell] as usize..self.ends[cell] as usize;
        Neighbour { number: self.numbers[cell], corner: self.cells.corner(cell), cores }
    }

    /// The lowest number of a core within eps of `slot`, `own` being its cell's.
    #[inline(always)]
    fn lowest<K: Kernel>(&self, slot: usize, own: u32, around: &[Neighbour<D>]) -> u32 {
        let cells = &self.cells;
        let point = cells.point(slot);
        let position = cells.frame.position(&point);
        let mut lowest = own;
        for Neighbour { number, corner, cores } in around {
            if *number < lowest
                && cells.frame.may_reach_cell::<K>(&position, corner)
                && cells.any::<K>(cores.clone(), &point, self.limit)
            {
                lowest = *number;
            }
        }
        lowest
    }
}
