//! Cells grow into clusters: two cells belong together if a core point of one is within eps of one of the other.
//!
//! Called by `grid`. The sets are of cells, not points. Cells side by side come first: afterwards nearly all other pairs are of one
//! set already and need no look at their points.

use std::marker::PhantomData;
use std::ops::Range;

use crate::control::{Control, Stage};
use crate::error::{Result, room};
use crate::grid::cells::{Cells, Window};
use crate::grid::close::any_close;
use crate::grid::frame::Run;
use crate::metric::Kernel;
use crate::pieces::{each, groups};
use crate::simd::vectorised;
use crate::union_find::UnionFind;
use crate::value::Value;

/// Up to so many pairs of points are compared one by one.
const FEW_PAIRS: usize = 1 << 14;

/// Unites the cells whose core points (`ends`: where they end, by cell) are within eps of each other.
pub fn connect<K: Kernel, const D: usize, T: Value>(
    cells: &Cells<D, T>,
    ends: &[u32],
    limit: f64,
    control: &Control,
) -> Result<UnionFind> {
    let sets = UnionFind::new(cells.n_cells())?;
    let pieces = groups(&cells.starts);
    control.begin(Stage::Clusters, 2 * cells.n_cells());
    for runs in [cells.frame.faces(), cells.frame.later()] {
        let growth = Growth::<K, D, T> { cells, ends, limit, sets: &sets, runs, kernel: PhantomData };
        each(pieces.clone(), |piece| {
            vectorised(
                #[inline(always)]
                || growth.grow(piece, control),
            )
        })?;
    }
    Ok(sets)
}

struct Growth<'a, K, const D: usize, T> {
    cells: &'a Cells<D, T>,
    ends: &'a [u32],
    limit: f64,
    sets: &'a UnionFind,
    runs: Vec<Run<D>>,
    kernel: PhantomData<K>,
}

impl<K: Kernel, const D: usize, T: Value> Growth<'_, K, D, T> {
    fn cores(&self, cell: usize) -> Range<usize> {
        self.cells.starts[cell] as usize..self.ends[cell] as usize
    }

    #[inline(always)]
    fn grow(&self, piece: Range<usize>, control: &Control) -> Result<()> {
        let mut window = Window::new(self.cells, self.runs.len())?;
        let done = piece.len();
        for cell in piece {
            let cores = self.cores(cell);
            if cores.is_empty() {
                continue;
            }
            let mut root = self.sets.find(cell);
            for (number, run) in self.runs.iter().enumerate() {
                for other in window.find(cell, number, run) {
                    if self.cores(other).is_empty() || self.sets.is_below(other, root) {
                        continue;
                    }
                    root = self.sets.find(cell);
                    if self.sets.find(other) != root && self.touch(cell, other, control)? {
                        self.sets.union(cell, other);
                        root = self.sets.find(cell);
                    }
                }
            }
        }
        control.advance(done)
    }

    /// Whether some core point of one cell is within eps of one of the other.
    #[inline(always)]
    fn touch(&self, a: usize, b: usize, control: &Control) -> Result<bool> {
        let (fewer, more) = if self.cores(a).len() <= self.cores(b).len() { (a, b) } else { (b, a) };
        let (points, others) = (self.cores(fewer), self.cores(more));
        let corner = self.cells.corner(more);
        let near = |slot: usize| {
            let point = self.cells.point(slot);
            self.cells.frame.may_reach_cell::<K>(&self.cells.frame.position(&point), &corner).then_some(point)
        };
        if points.len() * others.len() > FEW_PAIRS {
            return self.touch_big(points, others, control);
        }
        Ok(points.filter_map(near).any(|point| self.cells.any::<K>(others.clone(), &point, self.limit)))
    }

    #[cold]
    fn touch_big(&self, a: Range<usize>, b: Range<usize>, control: &Control) -> Result<bool> {
        let copy = |slots: Range<usize>| -> Result<Vec<[f64; D]>> {
            let mut points = room(slots.len())?;
            points.extend(slots.map(|slot| self.cells.point(slot)));
            Ok(points)
        };
        any_close::<K, D>(&mut copy(a)?, &mut copy(b)?, self.limit, control)
    }
}
