//! Cuts work over ranges into pieces, one after the other for a thread to take.
//!
//! Called by `grid` and `sort`. One piece runs on the calling thread, without a thread pool: small data shall not pay for one.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::Result;

/// Rows of a piece: enough that handing it out costs nothing, few enough that no thread waits long for the last one.
const PIECE: usize = 4096;
/// Up to this many rows one thread is done before another has started.
pub const SMALL: usize = 8192;

/// How many pieces so many rows are worth.
fn pieces(rows: usize) -> usize {
    if rows <= SMALL { 1 } else { rows.div_ceil(PIECE).min(16 * rayon::current_num_threads()) }
}

/// 0 to `rows` in pieces of about the same size.
pub fn ranges(rows: usize) -> Vec<Range<usize>> {
    let pieces = pieces(rows);
    (0..pieces).map(|piece| rows * piece / pieces..rows * (piece + 1) / pieces).collect()
}

/// The groups between `starts` (ascending, the last one ends the last group) in pieces of about as many rows.
pub fn groups(starts: &[u32]) -> Vec<Range<usize>> {
    let rows = starts.last().map_or(0, |&rows| rows as usize);
    let pieces = if rows <= SMALL { 1 } else { rows.div_ceil(PIECE) };
    let cut = |piece: usize| starts.partition_point(|&start| (start as usize) < rows * piece / pieces);
    let cuts = (0..pieces).map(|piece| cut(piece)..cut(piece + 1));
    cuts.filter(|piece| !piece.is_empty()).collect()
}

/// Does every piece of work, on the current thread pool if there are several.
pub fn each<P: Send>(pieces: Vec<P>, work: impl Fn(P) -> Result<()> + Sync + Send) -> Result<()> {
    if pieces.len() > 1 {
        return pieces.into_par_iter().try_for_each(work);
    }
    pieces.into_iter().try_for_each(work)
}

/// Cuts a slice into parts of the given lengths.
pub fn parts<T>(mut slice: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    let mut parts = Vec::new();
    for length in lengths {
        let (part, rest) = slice.split_at_mut(length);
        parts.push(part);
        slice = rest;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_everything_once() {
        for rows in [0, 1, 8192, 8193, 100_000] {
            let found: Vec<usize> = ranges(rows).into_iter().flatten().collect();
            assert_eq!(found, (0..rows).collect::<Vec<_>>());
        }
        let starts: Vec<u32> = (0..=30_000).map(|group| group + group / 7 * 5).collect();
        let found: Vec<usize> = groups(&starts).into_iter().flatten().collect();
        assert_eq!(found, (0..30_000).collect::<Vec<_>>());
    }
}
