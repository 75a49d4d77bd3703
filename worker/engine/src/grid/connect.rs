//! Cells grow into clusters: two cells belong together if a core point of one is within eps of one of the other.
//!
//! Called by `grid`. The sets are of cells, not points. Cells of one block come first, then those of blocks side by side: afterwards
//! nearly all other pairs are of one set already and need no look at their points.

use std::marker::PhantomData;
use std::ops::Range;

use crate::control::{Control, Stage};
use crate::error::{Result, room};
use crate::grid::cells::{Cells, Window};
use crate::grid::close::any_close;
use crate::grid::frame::Run;
use crate::metric::Kernel;
use crate::pieces::each;
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
    let pieces = cells.pieces();
    control.begin(Stage::Clusters, 3 * cells.n_cells());
    for runs in [Vec::new(), cells.frame.faces(), cells.frame.later()] {
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
    /// Where other blocks are; none to compare the cells of every block with each other.
    runs: Vec<Run<D>>,
    kernel: PhantomData<K>,
}

impl<K: Kernel, const D: usize, T: Value> Growth<'_, K, D, T> {
    fn cores(&self, cell: usize) -> Range<usize> {
        self.cells.starts[cell] as usize..self.ends[cell] as usize
    }

    #[inline(always)]
    fn has_cores(&self, cell: usize) -> bool {
        self.ends[cell] > self.cells.starts[cell]
    }

    #[inline(always)]
    fn grow(&self, piece: Range<usize>, control: &Control) -> Result<()> {
        let mut window = Window::new(self.cells, self.runs.len())?;
        let done = self.cells.cells(piece.clone()).len();
        let mut own: Vec<usize> = Vec::new();
        for block in piece {
            own.clear();
            own.extend(self.cells.cells(block..block + 1).filter(|&cell| self.has_cores(cell)));
            if self.runs.is_empty() {
                for (at, &cell) in own.iter().enumerate() {
                    self.join(cell, &own[..at], control)?;
                }
                continue;
            }
            let Some(&first) = own.first() else { continue };
            let mut root = self.sets.find(first);
            let are_one = |root: usize| own[1..].iter().all(|&cell| self.sets.find(cell) == root);
            let mut is_one = are_one(root);
            for (number, run) in self.runs.iter().enumerate() {
                for other in self.cells.cells(window.find(block, number, run)) {
                    if !self.has_cores(other) || is_one && self.sets.is_below(other, root) {
                        continue;
                    }
                    root = self.sets.find(first);
                    if is_one && self.sets.find(other) == root {
                        continue;
                    }
                    self.join(other, &own, control)?;
                    root = self.sets.find(first);
                    is_one = is_one || are_one(root);
                }
            }
        }
        control.advance(done)
    }

    /// Unites a cell with those of some earlier ones that are close, likely the last of them.
    #[inline(always)]
    fn join(&self, cell: usize, others: &[usize], control: &Control) -> Result<()> {
        let mut root = self.sets.find(cell);
        for &other in others.iter().rev() {
            if self.sets.find(other) != root && self.touch(cell, other, control)? {
                self.sets.union(cell, other);
                root = self.sets.find(cell);
            }
        }
        Ok(())
    }

    /// Whether some core point of one cell is within eps of one of the other.
    #[inline(always)]
    fn touch(&self, a: usize, b: usize, control: &Control) -> Result<bool> {
        let (fewer, more) = if self.cores(a).len() <= self.cores(b).len() { (a, b) } else { (b, a) };
        let (points, others) = (self.cores(fewer), self.cores(more));
        let corner = self.cells.corner(more);
        if !self.cells.frame.may_touch::<K>(&self.cells.corner(fewer), &corner) {
            return Ok(false);
        }
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
