//! Draws the map of an index.
//!
//! Called by `build`. The cores' cells are gathered by tile and label, then every such group marks the cells that it covers and
//! those that it may reach, in its own and the adjacent tiles. A group's cells lie in three tiles by three (by three), a row of
//! cells per word, so that marking is a few shifts.

use rayon::prelude::*;

use crate::error::{Result, filled, room};
use crate::metric::{Kernel, Metric};
use crate::predict::map::{AXIS_BITS, Frame, KEY, LABEL, MAX_PROBES, NEAR, SURE, Slot, UNUSED, home, side};
use crate::space::Ball;
use crate::tree::kdtree::LANES;

/// What rounding may do to a length in cells, and far more.
const SLACK: f64 = 1e-6;
/// Radii far beyond are squared out of the range of a double.
const SENSIBLE: std::ops::Range<f64> = 1e-100..1e100;
/// Small models may have as many tiles whatever their number of cores.
const FEW_TILES: usize = 1024;

/// A map with the array `frame` describes it by.
pub struct Map {
    pub frame: Frame,
    pub slots: Vec<Slot>,
    pub probes: usize,
}

/// Cells of one tile that hold cores of one label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    key: u64,
    label: i32,
    cells: u64,
}

/// The embedded cores by slot, in `points` block by block, and the ball of all of them.
#[derive(Clone, Copy)]
pub struct Land<'a> {
    pub metric: Metric,
    pub points: &'a [f64],
    pub labels: &'a [i32],
    pub placed: usize,
    pub ball: &'a Ball,
}

impl Land<'_> {
    /// The map; None where it would be large, or cells too many to number.
    pub fn survey<K: Kernel, const WIDTH: usize>(&self) -> Result<Option<Map>> {
        let length = |reduced: f64| match self.metric {
            Metric::Manhattan | Metric::Chebyshev => reduced,
            Metric::Euclidean | Metric::Haversine | Metric::Cosine => reduced.sqrt(),
        };
        let (inner, outer) = (length(self.ball.accept), length(self.ball.reject));
        if !(SENSIBLE.contains(&inner) && SENSIBLE.contains(&outer)) {
            return Ok(None);
        }
        let diagonal = length((0..WIDTH).fold(0.0, |sum, _| K::add(sum, 1.0)));
        let cell = inner / (2.0 * diagonal) * (1.0 - SLACK);
        let brush = Brush::new::<K>(WIDTH, outer / cell);
        let Some((brush, frame)) = brush.zip(self.frame::<WIDTH>(cell)) else { return Ok(None) };
        let groups = self.groups::<WIDTH>(&frame)?;
        let most = (self.placed / 2).max(FEW_TILES);
        if groups.len() > most {
            return Ok(None);
        }
        let mut tiles = Tiles::new(groups.len())?;
        for group in &groups {
            tiles.slot(group.key, group.label)?;
        }
        for group in &groups {
            brush.paint(group, &mut tiles)?;
            if tiles.used > most {
                return Ok(None);
            }
        }
        Ok(tiles.finish()?.map(|(slots, probes)| Map { frame, slots, probes }))
    }

    /// A frame with room for one more tile on every side.
    fn frame<const WIDTH: usize>(&self, cell: f64) -> Option<Frame> {
        let margin = cell * 2.0 * side(WIDTH) as f64;
        let mut frame = Frame { corner: [0.0; 3], cells_per_unit: 1.0 / cell };
        for axis in 0..WIDTH {
            let coords = (0..self.placed).map(|slot| self.place::<WIDTH>(slot)[axis]);
            let (low, high) =
                coords.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
            frame.corner[axis] = low - margin;
            let cells = (high - frame.corner[axis] + margin) * frame.cells_per_unit;
            // So far from zero that steps of a cell are lost, or so wide that keys are.
            if low - frame.corner[axis] < 0.75 * margin || cells >= (side(WIDTH) << AXIS_BITS) as f64 {
                return None;
            }
        }
        Some(frame)
    }

    fn place<const WIDTH: usize>(&self, slot: usize) -> [f64; WIDTH] {
        std::array::from_fn(|axis| self.points[(slot / LANES * WIDTH + axis) * LANES + slot % LANES])
    }

    fn groups<const WIDTH: usize>(&self, frame: &Frame) -> Result<Vec<Group>> {
        let mut groups: Vec<Group> = room(self.placed)?;
        for (slot, &label) in self.labels.iter().enumerate().take(self.placed) {
            let Some((key, bit)) = frame.locate(&self.place::<WIDTH>(slot)) else { continue };
            let cells = 1 << bit;
            match groups.last_mut() {
                Some(last) if (last.key, last.label) == (key, label) => last.cells |= cells,
                _ => groups.push(Group { key, label, cells }),
            }
        }
        groups.par_sort_unstable();
        groups.dedup_by(|next, kept| {
            let same = (next.key, next.label) == (kept.key, kept.label);
            if same {
                kept.cells |= next.cells;
            }
            same
        });
        Ok(groups)
    }
}

/// Rows of cells around a tile: three tiles by three (by three), each row a word.
const MOST_ROWS: usize = 144;

/// How far a core's marks go, in rows and in cells to either side.
struct Brush {
    width: usize,
    cover: Vec<Stroke>,
    reach: Vec<Stroke>,
}

#[derive(Clone, Copy)]
struct Stroke {
    rows: isize,
    layers: isize,
    half: u32,
}

impl Brush {
    /// `reach` in cells; None if it leaves the adjacent tiles.
    fn new<K: Kernel>(width: usize, reach: f64) -> Option<Self> {
        let most = (reach + 1.0 + 2.0 * SLACK).floor();
        if most > side(width) as f64 {
            return None;
        }
        let most = most as isize;
        let bound = K::add(0.0, reach * (1.0 + SLACK));
        let gap = |steps: isize| (steps.abs() as f64 - 1.0 - SLACK).max(0.0);
        let strokes = |most: isize, half: &dyn Fn(isize, isize) -> Option<isize>| {
            let layers = if width > 2 { most } else { 0 };
            let rows = if width > 1 { most } else { 0 };
            let mut strokes = Vec::new();
            for (layers, rows) in (-layers..=layers).flat_map(|layer| (-rows..=rows).map(move |row| (layer, row))) {
                if let Some(half) = half(rows, layers) {
                    strokes.push(Stroke { rows, layers, half: half as u32 });
                }
            }
            strokes
        };
        let within = |rows: isize, layers: isize| {
            let beside = K::add(K::add(0.0, gap(layers)), gap(rows));
            (0..=most).rev().find(|&steps| K::add(beside, gap(steps)) <= bound)
        };
        Some(Self { width, cover: strokes(1, &|_, _| Some(1)), reach: strokes(most, &within) })
    }

    fn paint(&self, group: &Group, tiles: &mut Tiles) -> Result<()> {
        let side = side(self.width);
        let (rows, layers) = (if self.width > 1 { side } else { 1 }, if self.width > 2 { side } else { 1 });
        let around = |axis: usize| if axis < self.width { -1..=1 } else { 0..=0 };
        let (cover, reach) = (self.spread(&self.cover, group.cells), self.spread(&self.reach, group.cells));
        let tile = |axis: u32| ((group.key >> (axis * AXIS_BITS)) & ((1 << AXIS_BITS) - 1)) as i64;
        for (z, y, x) in around(2).flat_map(|z| around(1).flat_map(move |y| around(0).map(move |x| (z, y, x)))) {
            let cut = |painted: &[u64; MOST_ROWS]| {
                let mut cells = 0;
                for (layer, row) in (0..layers).flat_map(|layer| (0..rows).map(move |row| (layer, row))) {
                    let at = self.row_at((z + 1) as usize * layers + layer, (y + 1) as usize * rows + row);
                    let word = (painted[at] >> ((x + 1) as usize * side)) & ((1 << side) - 1);
                    cells |= word << (side * (row + rows * layer));
                }
                cells
            };
            let near = cut(&reach);
            if near == 0 {
                continue;
            }
            // The frame leaves room for one more tile on every side.
            let key = [tile(0) + x as i64, tile(1) + y as i64, tile(2) + z as i64];
            let key = (0..self.width).rev().fold(0, |sum, axis| (sum << AXIS_BITS) | key[axis] as u64);
            let at = tiles.slot(key, group.label)?;
            let slot = &mut tiles.slots[at];
            slot[NEAR] |= near;
            if slot[LABEL] == group.label as u64 {
                slot[SURE] |= cut(&cover);
            } else {
                tiles.foreign[at] |= near;
            }
        }
        Ok(())
    }

    /// Index of a row of cells, counted from the lowest adjacent tile.
    fn row_at(&self, layer: usize, row: usize) -> usize {
        let rows = 3 * side(self.width);
        match self.width {
            1 => 0,
            2 => row,
            _ => layer * rows + row,
        }
    }

    fn spread(&self, strokes: &[Stroke], cells: u64) -> [u64; MOST_ROWS] {
        let side = side(self.width);
        let mut painted = [0; MOST_ROWS];
        let (rows, layers) = (if self.width > 1 { side } else { 1 }, if self.width > 2 { side } else { 1 });
        for (layer, row) in (0..layers).flat_map(|layer| (0..rows).map(move |row| (layer, row))) {
            let word = ((cells >> (side * (row + rows * layer))) & ((1 << side) - 1)) << side;
            if word == 0 {
                continue;
            }
            for stroke in strokes {
                let layer = (layer + layers).wrapping_add_signed(stroke.layers);
                let row = (row + rows).wrapping_add_signed(stroke.rows);
                let wide = (0..=stroke.half).fold(0, |wide, steps| wide | (word << steps) | (word >> steps));
                painted[self.row_at(layer, row)] |= wide;
            }
        }
        painted
    }
}

/// The hash table of tiles while it grows; at most half full.
struct Tiles {
    slots: Vec<Slot>,
    /// By slot, the cells that cores of other labels than the slot's may reach.
    foreign: Vec<u64>,
    used: usize,
}

impl Tiles {
    fn new(tiles: usize) -> Result<Self> {
        let slots = (2 * tiles).next_power_of_two().max(2);
        Ok(Self { slots: filled([UNUSED, 0, 0, 0], slots)?, foreign: filled(0, slots)?, used: 0 })
    }

    /// The slot of a tile; a new one gets the label.
    fn slot(&mut self, key: u64, label: i32) -> Result<usize> {
        if 2 * (self.used + 1) > self.slots.len() {
            let mut larger = Self::new(self.slots.len())?;
            for (slot, &foreign) in self.slots.iter().zip(&self.foreign).filter(|(slot, _)| slot[KEY] != UNUSED) {
                let at = larger.find(slot[KEY]);
                (larger.slots[at], larger.foreign[at]) = (*slot, foreign);
            }
            larger.used = self.used;
            *self = larger;
        }
        let at = self.find(key);
        if self.slots[at][KEY] == UNUSED {
            self.slots[at] = [key, 0, 0, label as u64];
            self.used += 1;
        }
        Ok(at)
    }

    /// Where the key is or would be.
    fn find(&self, key: u64) -> usize {
        let last = self.slots.len() - 1;
        let mut at = home(key, self.slots.len());
        while self.slots[at][KEY] != key && self.slots[at][KEY] != UNUSED {
            at = (at + 1) & last;
        }
        at
    }

    /// The slots and how far from home the farthest tile is; None if that is too far.
    fn finish(mut self) -> Result<Option<(Vec<Slot>, usize)>> {
        for (slot, foreign) in self.slots.iter_mut().zip(&self.foreign) {
            slot[SURE] &= !foreign;
        }
        let slots = self.slots.len();
        let far = |(at, slot): (usize, &Slot)| at.wrapping_sub(home(slot[KEY], slots)) & (slots - 1);
        let used = self.slots.iter().enumerate().filter(|(_, slot)| slot[KEY] != UNUSED);
        let probes = used.map(far).max().unwrap_or(0);
        Ok((probes <= MAX_PROBES).then_some((self.slots, probes)))
    }
}
