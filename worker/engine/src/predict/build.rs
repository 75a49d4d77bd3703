//! Builds the arrays of an index from core samples, on the current thread pool.
//!
//! Called by the bindings. Cores are stored in the order of the tree's blocks, so that reading an index needs no work at all.

use rayon::prelude::*;

use crate::error::{Result, filled, invalid, room};
use crate::metric::{Kernel, Metric};
use crate::predict::arrays::{Arrays, Meta};
use crate::predict::nodes::{Nodes, Slots};
use crate::predict::radii::{Eps, Radii};
use crate::predict::survey::{Land, Map};
use crate::space::{Embedded, embed_rows};
use crate::tree::kdtree::{KdTree, LANES};

/// Arrays that own their values; see `Arrays`.
#[derive(Debug, Default)]
pub struct Built {
    pub meta: Vec<u64>,
    pub frame: Vec<f64>,
    pub points: Vec<f64>,
    pub angles: Vec<f64>,
    pub labels: Vec<i32>,
    pub rows: Vec<u32>,
    pub boxes: Vec<f32>,
    pub reaches: Vec<f64>,
    pub alone: Vec<i32>,
    pub map: Vec<u64>,
}

impl Built {
    pub fn arrays(&self) -> Arrays<'_> {
        Arrays {
            meta: &self.meta,
            frame: &self.frame,
            points: &self.points,
            angles: &self.angles,
            labels: &self.labels,
            rows: &self.rows,
            boxes: &self.boxes,
            reaches: &self.reaches,
            alone: &self.alone,
            map: &self.map,
        }
    }
}

/// Core samples as the caller has them: one row of `width` finite columns per label.
#[derive(Debug, Clone, Copy)]
pub struct Cores<'a> {
    pub points: &'a [f64],
    pub width: usize,
    pub labels: &'a [i32],
}

pub fn build<K: Kernel>(metric: Metric, cores: Cores<'_>, eps: Eps) -> Result<(Built, Radii)> {
    let Cores { points, width, labels } = cores;
    if labels.iter().any(|&label| label < 0) {
        return invalid("core_labels must be >= 0: a core sample always belongs to a cluster.");
    }
    if let Some(end) = eps.labels()
        && let Some(label) = labels.iter().find(|&&label| label as usize >= end)
    {
        return invalid(format!("core_labels has label {label}, but eps has a radius for {end} labels only."));
    }
    let largest = points.par_iter().map(|x| x.abs()).reduce(|| 0.0, f64::max);
    let radii = Radii::new(metric, eps, width, largest);
    let Embedded { coords, width: embedded, rows, directionless } = embed_rows(metric, points, width, labels.len())?;
    let placed = rows.len();
    let mut rows = KdTree::<K>::build(&coords, embedded, rows)?.rows().to_vec();
    let mut built = Built { points: lay_out(&coords, embedded, &rows)?, ..Built::default() };
    if metric == Metric::Haversine {
        built.angles = room(2 * placed)?;
        built.angles.extend(rows.iter().flat_map(|&row| &points[2 * row as usize..][..2]));
    }
    rows.extend(directionless);
    built.labels = room(rows.len())?;
    built.labels.extend(rows.iter().map(|&row| labels[row as usize]));
    built.rows = rows;
    let [lowest, free] = [0, placed].map(|first| answer_to_all(&built, &radii, first));
    let mut meta = Meta { metric, features: width, cores: labels.len(), placed, free, lowest, probes: 0 };
    let mut frame = [largest, 0.0, 0.0, 0.0, 0.0];
    if let Some(map) = survey::<K>(&built, &meta, embedded, &radii)? {
        let [x, y, z] = map.frame.corner;
        frame = [largest, map.frame.cells_per_unit, x, y, z];
        meta.probes = map.probes;
        built.map = map.slots.into_flattened();
    }
    built.meta = Vec::from(meta.encode());
    built.frame = Vec::from(frame);
    let slots = Slots { points: &built.points, labels: &built.labels, placed, width: embedded, radii: &radii };
    let nodes = Nodes::build::<K>(slots)?;
    (built.boxes, built.alone) = (nodes.boxes, nodes.alone);
    if radii.eps().labels().is_some() {
        built.reaches = nodes.reaches;
    }
    Ok((built, radii))
}

/// Of the slots from `first` on, the one that answers a row at distance 1 from all; the number of slots if none does.
fn answer_to_all(built: &Built, radii: &Radii, first: usize) -> usize {
    let slots = (first..built.labels.len()).filter(|&slot| {
        radii.metric() == Metric::Cosine && radii.ball(built.labels[slot]).is_some_and(|ball| 1.0 <= ball.limit)
    });
    slots.min_by_key(|&slot| (built.labels[slot], built.rows[slot])).unwrap_or(built.labels.len())
}

/// The map, for narrow spaces where one radius holds for all and no core is near everything.
fn survey<K: Kernel>(built: &Built, meta: &Meta, width: usize, radii: &Radii) -> Result<Option<Map>> {
    let (Eps::One(_), Some(ball)) = (radii.eps(), radii.ball(0)) else { return Ok(None) };
    if meta.free < meta.cores || meta.placed == 0 {
        return Ok(None);
    }
    let land = Land { metric: meta.metric, points: &built.points, labels: &built.labels, placed: meta.placed, ball };
    match width {
        1 => land.survey::<K, 1>(),
        2 => land.survey::<K, 2>(),
        3 => land.survey::<K, 3>(),
        _ => Ok(None),
    }
}

/// Sixteen slots side by side for every column; the last block is filled up with zeros.
fn lay_out(coords: &[f64], width: usize, rows: &[u32]) -> Result<Vec<f64>> {
    let mut points = filled(0.0, rows.len().div_ceil(LANES).saturating_mul(LANES * width))?;
    points.par_chunks_exact_mut(LANES * width).zip(rows.par_chunks(LANES)).for_each(|(block, rows)| {
        for (lane, &row) in rows.iter().enumerate() {
            for (axis, &value) in coords[row as usize * width..][..width].iter().enumerate() {
                block[axis * LANES + lane] = value;
            }
        }
    });
    Ok(points)
}
