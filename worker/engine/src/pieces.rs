//! Cuts work over ranges into pieces, one after the other for a thread to take.
//!
//! Called by `grid` and `sort`. One piece runs on the calling thread, without a thread pool: small data shall not pay for one.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::{Result, room};

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

/// So many groups of rows in pieces of about as many rows; `start` says where a group, or the end of the last one, lies.
pub fn groups(count: usize, start: impl Fn(usize) -> usize) -> Vec<Range<usize>> {
    let rows = start(count);
    let pieces = if rows <= SMALL { 1 } else { rows.div_ceil(PIECE) };
    let mut cuts = Vec::with_capacity(pieces);
    let mut from = 0;
    for piece in 1..=pieces {
        let mut end = count;
        let (mut low, wanted) = (from, rows * piece / pieces);
        while low < end {
            let middle = (low + end) / 2;
            if start(middle) < wanted { low = middle + 1 } else { end = middle }
        }
        if end > from {
            cuts.push(from..end);
        }
        from = end;
    }
    cuts
}

/// Does every piece of work, on the current thread pool if there are several.
pub fn each<P: Send>(pieces: Vec<P>, work: impl Fn(P) -> Result<()> + Sync + Send) -> Result<()> {
    if pieces.len() > 1 {
        return pieces.into_par_iter().try_for_each(work);
    }
    pieces.into_iter().try_for_each(work)
}

/// `make` of every index from 0 to `len`, by all threads: fresh memory costs more than most values, and is theirs to touch.
pub fn made<T: Send>(len: usize, make: impl Fn(usize) -> T + Sync + Send) -> Result<Vec<T>> {
    let mut out = room(len)?;
    if len <= SMALL {
        out.extend((0..len).map(make));
    } else {
        (0..len).into_par_iter().with_min_len(PIECE).map(make).collect_into_vec(&mut out);
    }
    Ok(out)
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
        let found = groups(30_000, |group| starts[group] as usize);
        assert!(found.len() > 1);
        assert_eq!(found.into_iter().flatten().collect::<Vec<_>>(), (0..30_000).collect::<Vec<_>>());
    }
}
