//! The map: cells of a narrow space, and which of them answer every row inside without a search.
//!
//! `Predictor` asks it first, `survey` draws it. Only spaces of at most three columns with one radius have one. Cells are so small that
//! a core covers its own and every adjacent cell wholly. A cell is *near* if any core may cover a row in it, and *sure* if one surely
//! does and no core of another label may. Tiles of up to 64 cells keep both as bits, in a hash table that is an array.

use crate::predict::arrays::Index;

/// The key of an unused slot.
pub const UNUSED: u64 = u64::MAX;
/// A tile's number on one axis has as many bits.
pub const AXIS_BITS: u32 = 21;
/// A map with tiles farther from home than this many slots is not drawn, nor read.
pub const MAX_PROBES: usize = 64;

pub const SLOT_LEN: usize = 4;
pub type Slot = [u64; SLOT_LEN];

/// Names of a slot's numbers.
pub const KEY: usize = 0;
pub const SURE: usize = 1;
pub const NEAR: usize = 2;
pub const LABEL: usize = 3;

/// What is known of a row without a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    Label(i32),
    Noise,
    Nothing,
}

/// Where cells lie: `side` cells make one side of a tile, a power of two.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    pub corner: [f64; 3],
    pub cells_per_unit: f64,
}

/// Cells along a side of a tile.
pub const fn side(width: usize) -> usize {
    match width {
        1 => 16,
        2 => 8,
        _ => 4,
    }
}

impl Frame {
    /// The tile of a place and the cell's bit within it; None outside of what keys can name.
    #[inline(always)]
    pub fn locate<const WIDTH: usize>(&self, place: &[f64; WIDTH]) -> Option<(u64, u32)> {
        let side = side(WIDTH) as u64;
        let (mut key, mut bit) = (0, 0);
        for axis in (0..WIDTH).rev() {
            let cell = (place[axis] - self.corner[axis]) * self.cells_per_unit;
            if !(cell >= 0.0 && cell < (side << AXIS_BITS) as f64) {
                return None;
            }
            let cell = cell as u64;
            key = (key << AXIS_BITS) | (cell / side);
            bit = bit * side + cell % side;
        }
        Some((key, bit as u32))
    }
}

/// Where to look for a tile first, in a table of `slots` (a power of two).
#[inline(always)]
pub fn home(key: u64, slots: usize) -> usize {
    let mixed = (key ^ (key >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((u128::from(mixed) * slots as u128) >> 64) as usize
}

/// Where a row is to be looked up.
#[derive(Debug, Clone, Copy)]
pub struct Spot {
    key: u64,
    bit: u32,
    first: usize,
    /// The key in the first slot: read ahead, so that rows do not wait for each other's slots.
    found: u64,
}

/// The spot of a place; the index must have a map. None outside of what it can name, which is noise.
#[inline(always)]
pub fn spot<const WIDTH: usize>(index: &Index<'_>, place: &[f64; WIDTH]) -> Option<Spot> {
    let (key, bit) = index.frame.locate(place)?;
    let first = home(key, index.map.len());
    Some(Spot { key, bit, first, found: index.map[first][KEY] })
}

/// Looks up what is known at a spot.
#[inline(always)]
pub fn look(index: &Index<'_>, spot: Option<Spot>) -> Known {
    let Some(Spot { key, bit, first, found }) = spot else { return Known::Noise };
    if found == UNUSED {
        return Known::Noise;
    }
    let slots = index.map.len();
    for probe in 0..=index.meta.probes {
        let slot = &index.map[(first + probe) & (slots - 1)];
        if slot[KEY] == key {
            return match ((slot[SURE] >> bit) & 1, (slot[NEAR] >> bit) & 1) {
                (1, _) => i32::try_from(slot[LABEL]).map_or(Known::Nothing, Known::Label),
                (_, 0) => Known::Noise,
                _ => Known::Nothing,
            };
        }
        if slot[KEY] == UNUSED {
            break;
        }
    }
    Known::Noise
}
