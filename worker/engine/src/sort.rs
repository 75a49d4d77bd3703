//! A parallel radix sort of rows by key: stable, without comparisons, on no more bits than the largest key has.
//!
//! Called by `grid`. Threads scatter into one shared buffer of atomics: every slot is written by exactly one of them in each pass,
//! so relaxed stores, which cost no more than plain ones, are enough.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::error::{Result, filled};
use crate::pieces::{each, made, ranges};

/// Most buckets of one pass: their open cache lines must stay in the first levels of the cache.
const MAX_DIGIT_BITS: u32 = 11;

/// Keys with the rows that they belong to.
pub trait Pairs: Sized + Sync {
    /// The pairs of the rows below `len` with their keys.
    fn made(len: usize, key: impl Fn(usize) -> u64 + Sync + Send) -> Result<Self>;
    fn get(&self, at: usize) -> (u64, u32);
    fn set(&self, at: usize, key: u64, row: u32);
}

/// Keys each in one word with its row.
pub struct Narrow {
    words: Vec<AtomicU64>,
    row_bits: u32,
}

/// Keys of any size.
pub struct Wide {
    keys: Vec<AtomicU64>,
    rows: Vec<AtomicU32>,
}

impl Narrow {
    /// Whether a key of that size fits into a word beside a row below `len`.
    pub fn fits(len: usize, largest: u64) -> bool {
        bits(len as u64) + bits(largest) <= u64::BITS
    }
}

impl Pairs for Narrow {
    fn made(len: usize, key: impl Fn(usize) -> u64 + Sync + Send) -> Result<Self> {
        let row_bits = bits(len as u64);
        let words = made(len, |row| (key(row) << row_bits | row as u64).into())?;
        Ok(Self { words, row_bits })
    }

    #[inline(always)]
    fn get(&self, at: usize) -> (u64, u32) {
        let word = self.words[at].load(Relaxed);
        (word >> self.row_bits, (word & ((1 << self.row_bits) - 1)) as u32)
    }

    #[inline(always)]
    fn set(&self, at: usize, key: u64, row: u32) {
        self.words[at].store(key << self.row_bits | u64::from(row), Relaxed);
    }
}

impl Pairs for Wide {
    fn made(len: usize, key: impl Fn(usize) -> u64 + Sync + Send) -> Result<Self> {
        Ok(Self { keys: made(len, |row| key(row).into())?, rows: made(len, |row| (row as u32).into())? })
    }

    #[inline(always)]
    fn get(&self, at: usize) -> (u64, u32) {
        (self.keys[at].load(Relaxed), self.rows[at].load(Relaxed))
    }

    #[inline(always)]
    fn set(&self, at: usize, key: u64, row: u32) {
        self.keys[at].store(key, Relaxed);
        self.rows[at].store(row, Relaxed);
    }
}

fn bits(largest: u64) -> u32 {
    u64::BITS - largest.leading_zeros()
}

/// The rows 0 to `rows` in the order of their keys, none above `largest`; equal keys stay in the order of rows.
pub fn sort_rows<P: Pairs>(rows: usize, largest: u64, key: impl Fn(usize) -> u64 + Sync + Send) -> Result<P> {
    let mut from = P::made(rows, key)?;
    let passes = bits(largest).div_ceil(MAX_DIGIT_BITS);
    if passes == 0 {
        return Ok(from);
    }
    let mut to = P::made(rows, |_| 0)?;
    let (pieces, digit) = (ranges(rows), bits(largest).div_ceil(passes));
    for pass in 0..passes {
        scatter(&from, &to, &pieces, pass * digit, digit)?;
        std::mem::swap(&mut from, &mut to);
    }
    Ok(from)
}

/// One pass: orders by `bits` bits of the key from `shift` on.
fn scatter<P: Pairs>(from: &P, to: &P, pieces: &[Range<usize>], shift: u32, bits: u32) -> Result<()> {
    let buckets = 1_usize << bits;
    let bucket = |key: u64| (key >> shift) as usize & (buckets - 1);
    let mut places = filled(0_u32, pieces.len() * buckets)?;
    each(pieces.iter().cloned().zip(places.chunks_exact_mut(buckets)).collect(), |(piece, counts)| {
        piece.for_each(|at| counts[bucket(from.get(at).0)] += 1);
        Ok(())
    })?;
    let mut next = 0;
    for bucket in 0..buckets {
        for piece in 0..pieces.len() {
            let count = std::mem::replace(&mut places[piece * buckets + bucket], next);
            next += count;
        }
    }
    each(pieces.iter().cloned().zip(places.chunks_exact_mut(buckets)).collect(), |(piece, places)| {
        for at in piece {
            let (key, row) = from.get(at);
            let place = &mut places[bucket(key)];
            to.set(*place as usize, key, row);
            *place += 1;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<P: Pairs>(n: usize, largest: u64) {
        let key = |row: usize| (row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % (largest + 1);
        let sorted = sort_rows::<P>(n, largest, key).unwrap();
        let mut expected: Vec<(u64, u32)> = (0..n).map(|row| (key(row), row as u32)).collect();
        expected.sort_unstable();
        let found: Vec<(u64, u32)> = (0..n).map(|at| sorted.get(at)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn rows_come_in_the_order_of_keys_and_rows() {
        for n in [0, 1, 2, 777, 40_000] {
            for largest in [0, 1, 5, 2047, 2048, 1 << 23, (1 << 32) - 1] {
                check::<Narrow>(n, largest);
                check::<Wide>(n, largest);
            }
            check::<Narrow>(n, (1 << 48) - 1);
            check::<Wide>(n, (1 << 62) - 1);
        }
    }
}
