//! The points in the order of their cells.
//!
//! Called by the other parts of `grid`. The points of a run of neighbouring cells lie side by side, each coordinate in an array of
//! its own, for the compiler to vectorise.

use std::ops::Range;

use crate::control::Control;
use crate::error::{Result, filled};
use crate::grid::frame::{Frame, Run};
use crate::metric::Kernel;
use crate::pieces::{each, groups, made, parts, ranges};
use crate::sort::{Narrow, Pairs, Wide, sort_rows};
use crate::value::Value;

/// Points measured at once.
const LANES: usize = 8;
/// Points between two looks at whether enough are found.
const BLOCK: usize = 8 * LANES;

pub struct Cells<const D: usize, T> {
    pub frame: Frame<D>,
    /// By slot; `LANES` more than there are points, so that the last ones can be read at once, too.
    pub axes: [Vec<T>; D],
    /// Slot to row.
    pub rows: Vec<u32>,
    /// By block, ascending.
    keys: Vec<u64>,
    /// By block its first cell; one more, where the last block ends.
    firsts: Vec<u32>,
    /// By cell its first slot; one more, where the last cell ends.
    pub starts: Vec<u32>,
}

impl<const D: usize, T: Value> Cells<D, T> {
    pub fn build(points: &[T], frame: Frame<D>, control: &Control) -> Result<Self> {
        if Narrow::fits(points.len() / D, frame.largest_key) {
            Self::sorted::<Narrow>(points, frame, control)
        } else {
            Self::sorted::<Wide>(points, frame, control)
        }
    }

    fn sorted<P: Pairs>(points: &[T], frame: Frame<D>, control: &Control) -> Result<Self> {
        let points = points.as_chunks::<D>().0;
        let key = |row: usize| frame.key(&points[row].map(Into::into));
        let sorted = sort_rows::<P>(points.len(), frame.largest_key, key)?;
        control.check()?;
        let pieces = ranges(points.len());
        let lengths = || pieces.iter().map(ExactSizeIterator::len);
        let mut rows = made(points.len(), |_| 0_u32)?;
        let mut axes: [Vec<T>; D] = std::array::from_fn(|_| Vec::new());
        for axis in &mut axes {
            *axis = made(points.len() + LANES, |_| T::default())?;
        }
        let mut axis_parts = axes.each_mut().map(|axis| parts(axis, lengths()).into_iter());
        let work = pieces.iter().cloned().zip(parts(&mut rows, lengths()));
        let work = work
            .map(|(piece, rows)| (piece, rows, axis_parts.each_mut().map(|parts| parts.next().unwrap_or_default())));
        each(work.collect(), |(piece, rows, mut axes)| {
            for (at, slot) in piece.enumerate() {
                rows[at] = sorted.get(slot).1;
                for (axis, values) in axes.iter_mut().enumerate() {
                    values[at] = points[rows[at] as usize][axis];
                }
            }
            control.check()
        })?;
        let (keys, firsts, starts) = find_cells(&sorted, &pieces, frame.places())?;
        Ok(Self { frame, axes, rows, keys, firsts, starts })
    }

    pub fn n_cells(&self) -> usize {
        self.starts.len() - 1
    }

    /// Blocks in pieces of about as many points, for a thread each.
    pub fn pieces(&self) -> Vec<Range<usize>> {
        groups(self.keys.len(), |block| self.starts[self.firsts[block] as usize] as usize)
    }

    /// The block that a cell belongs to.
    pub fn block_of(&self, cell: usize) -> usize {
        self.firsts.partition_point(|&first| first as usize <= cell) - 1
    }

    /// The cells of some blocks.
    #[inline(always)]
    pub fn cells(&self, blocks: Range<usize>) -> Range<usize> {
        self.firsts[blocks.start] as usize..self.firsts[blocks.end] as usize
    }

    /// The slots of some blocks.
    #[inline(always)]
    pub fn slots_in(&self, blocks: Range<usize>) -> Range<usize> {
        let cells = self.cells(blocks);
        self.starts[cells.start] as usize..self.starts[cells.end] as usize
    }

    pub fn slots(&self, cell: usize) -> Range<usize> {
        self.starts[cell] as usize..self.starts[cell + 1] as usize
    }

    #[inline(always)]
    pub fn point(&self, slot: usize) -> [f64; D] {
        std::array::from_fn(|axis| self.axes[axis][slot].into())
    }

    /// The lowest corner of a cell, in sides.
    #[inline(always)]
    pub fn corner(&self, cell: usize) -> [f64; D] {
        Frame::corner(self.frame.position(&self.point(self.starts[cell] as usize)))
    }

    #[inline(always)]
    fn distances<K: Kernel>(&self, centre: &[f64; D], slot: usize) -> [f64; LANES] {
        let mut sums = [0.0; LANES];
        for (axis, centre) in self.axes.iter().zip(centre) {
            let values = &axis[slot..slot + LANES];
            for lane in 0..LANES {
                sums[lane] = K::add(sums[lane], values[lane].into() - centre);
            }
        }
        sums
    }

    /// How many points of some slots lie within `limit` of `centre`; stops soon after `enough`.
    #[inline(always)]
    pub fn count<K: Kernel>(&self, slots: Range<usize>, centre: &[f64; D], limit: f64, enough: usize) -> usize {
        let mut found = 0;
        let mut slot = slots.start;
        while slot < slots.end && found < enough {
            let end = slots.end.min(slot + BLOCK);
            let mut near = [0_u64; LANES];
            while slot < end {
                let distances = self.distances::<K>(centre, slot);
                let left = (end - slot) as i64;
                for lane in 0..LANES {
                    near[lane] += u64::from((distances[lane] <= limit) & ((lane as i64) < left));
                }
                slot += LANES;
            }
            found += near.iter().sum::<u64>() as usize;
        }
        found
    }

    /// Whether some point of the slots lies within `limit` of `centre`.
    #[inline(always)]
    pub fn any<K: Kernel>(&self, slots: Range<usize>, centre: &[f64; D], limit: f64) -> bool {
        let mut slot = slots.start;
        while slot < slots.end {
            let distances = self.distances::<K>(centre, slot);
            let left = (slots.end - slot) as i64;
            let mut near = 0;
            for (lane, &distance) in distances.iter().enumerate() {
                near |= u64::from((distance <= limit) & ((lane as i64) < left));
            }
            if near != 0 {
                return true;
            }
            slot += LANES;
        }
        false
    }

    /// The sum of the weights of the slots within `limit` of `centre`, added in their order.
    #[inline(always)]
    pub fn weigh<K: Kernel>(&self, slots: Range<usize>, centre: &[f64; D], limit: f64, weights: &[f64]) -> f64 {
        let mut sum = 0.0;
        for slot in slots.clone().step_by(LANES) {
            let near = self.distances::<K>(centre, slot);
            for lane in 0..LANES.min(slots.end - slot) {
                sum += if near[lane] <= limit { weights[slot + lane] } else { 0.0 };
            }
        }
        sum
    }
}

/// By block its key and its first cell, by cell its first slot; `places` bits of a cell's key are not its block's.
fn find_cells<P: Pairs>(sorted: &P, pieces: &[Range<usize>], places: u32) -> Result<(Vec<u64>, Vec<u32>, Vec<u32>)> {
    /// In which slots cells and blocks begin.
    fn begins<P: Pairs>(sorted: &P, piece: Range<usize>, places: u32) -> impl Iterator<Item = (usize, u64, bool)> {
        let mut before = piece.start.checked_sub(1).map(|slot| sorted.get(slot).0);
        piece.filter_map(move |slot| {
            let key = sorted.get(slot).0;
            let last = before.replace(key);
            (last != Some(key)).then(|| (slot, key >> places, last.map(|last| last >> places) != Some(key >> places)))
        })
    }
    let mut counts = filled((0_usize, 0_usize), pieces.len())?;
    each(pieces.iter().cloned().zip(&mut counts).collect(), |(piece, (blocks, cells))| {
        for (_, _, is_block) in begins(sorted, piece, places) {
            *cells += 1;
            *blocks += usize::from(is_block);
        }
        Ok(())
    })?;
    let blocks = counts.iter().map(|count| count.0).sum();
    let cells: usize = counts.iter().map(|count| count.1).sum();
    let (mut keys, mut firsts, mut starts) = (filled(0, blocks)?, filled(0, blocks + 1)?, filled(0, cells + 1)?);
    firsts[blocks] = cells as u32;
    starts[cells] = pieces.last().map_or(0, |piece| piece.end as u32);
    let before = counts.iter().scan(0, |before, count| {
        *before += count.1;
        Some(*before - count.1)
    });
    let by_block = || counts.iter().map(|count| count.0);
    let by_block = parts(&mut keys, by_block()).into_iter().zip(parts(&mut firsts, by_block()));
    let by_piece = by_block.zip(parts(&mut starts, counts.iter().map(|count| count.1)));
    let work = pieces.iter().cloned().zip(before).zip(by_piece);
    each(work.collect(), |((piece, before), ((keys, firsts), starts))| {
        let mut block = 0;
        for (cell, (slot, key, is_block)) in begins(sorted, piece, places).enumerate() {
            starts[cell] = slot as u32;
            if is_block {
                (keys[block], firsts[block]) = (key, (before + cell) as u32);
                block += 1;
            }
        }
        Ok(())
    })?;
    Ok((keys, firsts, starts))
}

/// Finds the blocks of a set of runs around one block after the other, in ascending order.
pub struct Window<'a, const D: usize> {
    keys: &'a [u64],
    /// By run, the first block that was not before it the last time.
    from: Vec<usize>,
}

impl<'a, const D: usize> Window<'a, D> {
    pub fn new<T: Value>(cells: &'a Cells<D, T>, runs: usize) -> Result<Self> {
        Ok(Self { keys: &cells.keys, from: filled(0, runs)? })
    }

    /// The blocks of run number `number` around `block`, which must not be less than the last time for this run.
    #[inline(always)]
    pub fn find(&mut self, block: usize, number: usize, run: &Run<D>) -> Range<usize> {
        let key = self.keys[block] as i64;
        let (first, last) = ((key + run.first) as u64, (key + run.last) as u64);
        let start = first_from(self.keys, self.from[number], first);
        self.from[number] = start;
        let run = self.keys[start..].iter().take_while(|&&key| key <= last).count();
        start..start + run
    }
}

/// The first index from `from` on whose key is at least `key`.
#[inline(always)]
fn first_from(keys: &[u64], mut from: usize, key: u64) -> usize {
    let mut stride = 1;
    // Usually it is one of the next few.
    while from < keys.len() && keys[from] < key {
        if stride > 4 {
            return gallop(keys, from, key);
        }
        from += 1;
        stride += 1;
    }
    from
}

fn gallop(keys: &[u64], mut from: usize, key: u64) -> usize {
    let mut stride = 8;
    while from + stride < keys.len() && keys[from + stride] < key {
        from += stride;
        stride *= 2;
    }
    let end = keys.len().min(from + stride + 1);
    from + keys[from..end].partition_point(|&other| other < key)
}
