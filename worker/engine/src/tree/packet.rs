//! Sixteen rows that search together: one walk down the tree and one vector of arithmetic for all of them.
//!
//! Called by `cores`, `growth` and `borders`, inside a dispatch to the widest instructions that the processor has. Everything here
//! is inlined into that dispatch. Each lane has bounds of its own; a lane whose search has ended is within reach of nothing.

use std::marker::PhantomData;

use pulp::Simd;

use crate::metric::Kernel;
use crate::tree::blocks::Blocks;
use crate::tree::kdtree::{LANES, lanes};
use crate::tree::sketch::{Bounds, NOWHERE};

/// One number for each lane.
pub type Lanes<T> = [T; LANES];
/// Rows whose distances stay in registers while the axes go by.
const GROUP: usize = 8;
/// Wide boxes are given up after as many axes, if those alone are too far.
const AXES: usize = 16;
/// After as many boxes asked in vain, `PAUSE` are not asked.
const PATIENCE: u32 = 32;
const PAUSE: u32 = 128;

pub struct Packet<'a, K> {
    /// Sixteen by axis.
    coords: &'a [f32],
    /// Lanes still searching.
    pub active: u16,
    sure: Lanes<f32>,
    possible: Lanes<f32>,
    /// Distances computed so far, to rows and to boxes.
    pub work: u64,
    /// Boxes asked in vain since one was last out of reach.
    in_vain: u32,
    kernel: PhantomData<K>,
}

impl<'a, K: Kernel> Packet<'a, K> {
    /// The rows of a block that search, `active`, for others within `bounds`.
    #[inline(always)]
    pub fn new(tree: &'a Blocks<K>, block: usize, active: u16, bounds: Bounds) -> Self {
        let mut packet = Self {
            coords: tree.block(block),
            active,
            sure: [bounds.sure; LANES],
            possible: [bounds.possible; LANES],
            work: 0,
            in_vain: 0,
            kernel: PhantomData,
        };
        packet.end(!active);
        packet
    }

    /// Ends the searches of some lanes.
    #[inline(always)]
    pub fn end(&mut self, ended: u16) {
        self.active &= !ended;
        for lane in 0..LANES {
            if ended >> lane & 1 == 1 {
                (self.sure[lane], self.possible[lane]) = (NOWHERE.sure, NOWHERE.possible);
            }
        }
    }

    /// Whether any active lane may find a neighbour in the box.
    #[inline(always)]
    pub fn reaches<S: Simd>(&mut self, simd: S, corners: (&[f32], &[f32])) -> bool {
        // In many dimensions balls reach most boxes: while asking is in vain, most are entered unasked.
        if self.in_vain < PATIENCE {
            let is_reached = self.is_near(simd, corners);
            self.in_vain = if is_reached { self.in_vain + 1 } else { 0 };
            return is_reached;
        }
        self.in_vain = if self.in_vain < PATIENCE + PAUSE { self.in_vain + 1 } else { 0 };
        true
    }

    #[inline(always)]
    fn is_near<S: Simd>(&mut self, simd: S, (low, high): (&[f32], &[f32])) -> bool {
        self.work += LANES as u64;
        let zero = simd.splat_f32s(0.0);
        let mut sums = [zero; LANES];
        let places = S::as_simd_f32s(self.coords).0.chunks(AXES * vectors::<S>());
        for ((places, low), high) in places.zip(low.chunks(AXES)).zip(high.chunks(AXES)) {
            for ((place, &low), &high) in places.chunks_exact(vectors::<S>()).zip(low).zip(high) {
                let (low, high) = (simd.splat_f32s(low), simd.splat_f32s(high));
                for part in 0..vectors::<S>() {
                    let nearest = simd.min_f32s(simd.max_f32s(place[part], low), high);
                    sums[part] = K::add_lanes(simd, sums[part], simd.sub_f32s(place[part], nearest));
                }
            }
            if !any_within(&spread::<S>(&sums), &self.possible) {
                return false;
            }
        }
        true
    }

    /// Whether the whole box is surely within reach of every active lane.
    #[inline(always)]
    pub fn engulfs<S: Simd>(&mut self, simd: S, (low, high): (&[f32], &[f32])) -> bool {
        self.work += LANES as u64;
        let zero = simd.splat_f32s(0.0);
        let mut sums = [zero; LANES];
        let places = S::as_simd_f32s(self.coords).0.chunks_exact(vectors::<S>());
        for ((place, &low), &high) in places.zip(low).zip(high) {
            let (low, high) = (simd.splat_f32s(low), simd.splat_f32s(high));
            for part in 0..vectors::<S>() {
                let farthest = simd.max_f32s(simd.sub_f32s(place[part], low), simd.sub_f32s(high, place[part]));
                sums[part] = K::add_lanes(simd, sums[part], farthest);
            }
        }
        within(&spread::<S>(&sums), &self.sure) == self.active
    }

    /// How many rows of a block are within each lane's two bounds.
    #[inline(always)]
    pub fn count<S: Simd>(&mut self, simd: S, block: &[f32]) -> (Lanes<u32>, Lanes<u32>) {
        self.work += (LANES * LANES) as u64;
        let (mut sure, mut possible) = ([0; LANES], [0; LANES]);
        let (none, one) = (simd.splat_u32s(0), simd.splat_u32s(1));
        for part in 0..vectors::<S>() {
            let bounds = (S::as_simd_f32s(&self.sure).0[part], S::as_simd_f32s(&self.possible).0[part]);
            let mut counts = (none, none);
            for group in 0..LANES / GROUP {
                for sum in self.distances_in_part(simd, block, part, group) {
                    let within = simd.less_than_or_equal_f32s(sum, bounds.0);
                    counts.0 = simd.add_u32s(counts.0, simd.select_u32s(within, one, none));
                    let within = simd.less_than_or_equal_f32s(sum, bounds.1);
                    counts.1 = simd.add_u32s(counts.1, simd.select_u32s(within, one, none));
                }
            }
            S::as_mut_simd_u32s(&mut sure).0[part] = counts.0;
            S::as_mut_simd_u32s(&mut possible).0[part] = counts.1;
        }
        (sure, possible)
    }

    /// The computed distances of every row of a block from each lane.
    #[inline(always)]
    pub fn distances<S: Simd>(&mut self, simd: S, block: &[f32]) -> [Lanes<f32>; LANES] {
        self.work += (LANES * LANES) as u64;
        let mut out = [[0.0; LANES]; LANES];
        for part in 0..vectors::<S>() {
            for group in 0..LANES / GROUP {
                let sums = self.distances_in_part(simd, block, part, group);
                for (out, sum) in out[group * GROUP..].iter_mut().zip(sums) {
                    S::as_mut_simd_f32s(out).0[part] = sum;
                }
            }
        }
        out
    }

    #[inline(always)]
    fn distances_in_part<S: Simd>(&self, simd: S, block: &[f32], part: usize, group: usize) -> [S::f32s; GROUP] {
        let mut sums = [simd.splat_f32s(0.0); GROUP];
        let places = S::as_simd_f32s(self.coords).0.chunks_exact(vectors::<S>());
        for (place, others) in places.zip(block.as_chunks::<LANES>().0) {
            for (sum, &other) in sums.iter_mut().zip(&others[group * GROUP..][..GROUP]) {
                *sum = K::add_lanes(simd, *sum, simd.sub_f32s(place[part], simd.splat_f32s(other)));
            }
        }
        sums
    }

    /// The lanes to which a row at these distances is surely a neighbour, and those of which only the formula can tell.
    #[inline(always)]
    pub fn hits(&self, distances: &Lanes<f32>) -> (u16, u16) {
        if !any_within(distances, &self.possible) {
            return (0, 0);
        }
        let sure = within(distances, &self.sure);
        (sure, within(distances, &self.possible) & !sure)
    }

    /// The lanes to which a row at these distances is a neighbour; `is_near` answers for a lane by the formula.
    #[inline(always)]
    pub fn neighbours(&self, distances: &Lanes<f32>, mut is_near: impl FnMut(usize) -> bool) -> u16 {
        let (sure, doubtful) = self.hits(distances);
        lanes(doubtful).filter(|&lane| is_near(lane)).fold(sure, |bits, lane| bits | 1 << lane)
    }
}

/// Vectors that make up sixteen lanes.
const fn vectors<S: Simd>() -> usize {
    LANES / S::F32_LANES
}

#[inline(always)]
fn spread<S: Simd>(parts: &[S::f32s; LANES]) -> Lanes<f32> {
    let mut out = [0.0; LANES];
    S::as_mut_simd_f32s(&mut out).0.copy_from_slice(&parts[..vectors::<S>()]);
    out
}

#[inline(always)]
fn any_within(values: &Lanes<f32>, bounds: &Lanes<f32>) -> bool {
    let mut any = false;
    for lane in 0..LANES {
        any |= values[lane] <= bounds[lane];
    }
    any
}

#[inline(always)]
fn within(values: &Lanes<f32>, bounds: &Lanes<f32>) -> u16 {
    let mut bits = 0;
    for lane in 0..LANES {
        bits |= u16::from(values[lane] <= bounds[lane]) << lane;
    }
    bits
}
