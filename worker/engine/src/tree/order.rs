//! The order of rows in which a k-d tree's blocks lie: halves, quarters and so on, always across the widest side.
//!
//! Called when a tree is built. The order is the same on every run and for any number of threads.

use crate::error::{Result, room};
use crate::tree::kdtree::LANES;

/// Subtrees above this many blocks are ordered on two threads.
const FORK_BLOCKS: usize = 256;
/// The widest side is judged by about as many rows of a subtree.
const SAMPLE: usize = 64;

/// Rows of `coords` (row-major, `width` columns, no NaN) in the order of their slots.
pub fn order_rows(coords: &[f32], width: usize) -> Result<Vec<u32>> {
    let n = coords.len() / width;
    let mut keys: Vec<u64> = room(n)?;
    keys.extend(0..n as u64);
    split(coords, width, &mut keys, n.div_ceil(LANES));
    let mut rows = room(n)?;
    rows.extend(keys.iter().map(|&key| row(key)));
    Ok(rows)
}

fn row(key: u64) -> u32 {
    key as u32
}

/// A row under its value on one axis, in an integer of the same order.
fn key(value: f32, row: u32) -> u64 {
    let bits = value.to_bits();
    let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(ordered) << 32 | u64::from(row)
}

fn split(coords: &[f32], width: usize, keys: &mut [u64], blocks: usize) {
    if blocks < 2 {
        return;
    }
    let axis = widest_side(coords, width, keys);
    for slot in keys.iter_mut() {
        *slot = key(coords[row(*slot) as usize * width + axis], row(*slot));
    }
    let left = blocks.div_ceil(2);
    keys.select_nth_unstable(left * LANES);
    let (left_keys, right_keys) = keys.split_at_mut(left * LANES);
    let mut build_left = || split(coords, width, left_keys, left);
    let mut build_right = || split(coords, width, right_keys, blocks - left);
    if blocks > FORK_BLOCKS {
        rayon::join(build_left, build_right);
    } else {
        build_left();
        build_right();
    }
}

fn widest_side(coords: &[f32], width: usize, keys: &[u64]) -> usize {
    let sample = || keys.iter().step_by(keys.len().div_ceil(SAMPLE)).map(|&key| &coords[row(key) as usize * width..]);
    let side = |axis: usize| {
        let values = sample().map(|row| row[axis]);
        let (low, high) = values.fold((f32::MAX, f32::MIN), |(low, high), x| (low.min(x), high.max(x)));
        high - low
    };
    let mut widest = (0, f32::MIN);
    for axis in 0..width {
        let side = side(axis);
        if side > widest.1 {
            widest = (axis, side);
        }
    }
    widest.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_one_slot_and_halves_do_not_overlap() {
        for n in [0_usize, 1, 15, 16, 17, 33, 1000, 20_000] {
            let coords: Vec<f32> = (0..n).map(|i| ((i * 7919) % 1009) as f32 - 500.0).collect();
            let rows = order_rows(&coords, 1).unwrap();
            let mut sorted = rows.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..n as u32).collect::<Vec<_>>());
            let middle = n.div_ceil(LANES).div_ceil(2) * LANES;
            if middle < n {
                let value = |&row: &u32| coords[row as usize];
                let highest = rows[..middle].iter().map(value).fold(f32::MIN, f32::max);
                assert!(rows[middle..].iter().map(value).all(|value| value >= highest));
            }
        }
    }
}
