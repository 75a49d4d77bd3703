//! The ladder of density levels: radii, dense to sparse, at quantiles of the core distances.
//!
//! Called by `adaptive`. A level's cores are the points whose core distance its radius covers, so every level adds points and
//! takes none away.

use rayon::prelude::*;

use crate::adaptive::scale::Scale;
use crate::error::{Result, filled, room};

/// So many levels: from 24 on the mean quality on the bench sets changes in the third digit only.
pub const LEVELS: usize = 32;
/// No level: the point is never core.
pub const NEVER: u8 = u8::MAX;

pub struct Ladder {
    /// Distances in the metric, ascending, all above zero.
    pub radii: Vec<f64>,
    /// By level, the reduced distance that its radius covers.
    pub limits: Vec<f64>,
    /// By slot, the first level at which it is core.
    pub of_slot: Vec<u8>,
}

impl Ladder {
    pub fn new(core: &[f64], scale: Scale) -> Result<Self> {
        let mut sorted = room(core.len())?;
        sorted.extend(core.iter().copied().filter(|&core| core > 0.0 && core.is_finite()));
        sorted.par_sort_unstable_by(f64::total_cmp);
        let mut radii: Vec<f64> = (1..=LEVELS)
            .filter_map(|level| {
                // Finer towards the sparse end, where noise begins.
                let rest = 1.0 - level as f64 / LEVELS as f64;
                let rank = ((1.0 - rest * rest) * sorted.len() as f64).ceil() as usize;
                sorted.get(rank.max(1) - 1).map(|&reduced| scale.radius_covering(reduced))
            })
            .collect();
        if radii.is_empty() && core.contains(&0.0) {
            // Nothing but heaps of equal points.
            radii.push(f64::MIN_POSITIVE);
        }
        radii.dedup();
        let limits: Vec<f64> = radii.iter().map(|&radius| scale.reduced(radius)).collect();
        let mut of_slot = room(core.len())?;
        of_slot.extend(core.iter().map(|&core| {
            let level = limits.partition_point(|&limit| limit < core);
            if level < limits.len() { level as u8 } else { NEVER }
        }));
        Ok(Self { radii, limits, of_slot })
    }

    pub fn len(&self) -> usize {
        self.radii.len()
    }

    /// Slots ordered by level, and where each level's begin.
    pub fn newcomers(&self) -> Result<(Vec<u32>, Vec<usize>)> {
        let mut starts = vec![0; self.len() + 1];
        self.of_slot.iter().filter(|&&level| level != NEVER).for_each(|&level| starts[usize::from(level) + 1] += 1);
        for level in 0..self.len() {
            starts[level + 1] += starts[level];
        }
        let mut next = starts.clone();
        let mut slots = filled(0_u32, starts[self.len()])?;
        for (slot, &level) in self.of_slot.iter().enumerate().filter(|(_, level)| **level != NEVER) {
            slots[next[usize::from(level)]] = slot as u32;
            next[usize::from(level)] += 1;
        }
        Ok((slots, starts))
    }
}
