//! The index as flat arrays: what a model file holds, and the checks that make it safe to search.
//!
//! `build` writes them, the bindings keep them (in memory or mapped from a file), `Index::over` borrows them for one call.
//! They are not trusted: nothing but a length that was compared with a slice's own is ever used to reach into one. Arrays of
//! the right lengths with false contents give false answers, never a panic.

use crate::error::{Result, invalid};
use crate::metric::Metric;
use crate::predict::map::{Frame, LABEL, MAX_PROBES, SLOT_LEN, Slot};
use crate::space::embedded_width;
use crate::tree::kdtree::{LANES, Span};

pub const FORMAT: u64 = 1;
/// Not one label near a node.
pub const MIXED: i32 = -1;

/// What the numbers of `meta` say, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    pub metric: Metric,
    /// Columns of the rows.
    pub features: usize,
    pub cores: usize,
    /// Cores that have a place in the tree: all but zero vectors under cosine, which take the last slots.
    pub placed: usize,
    /// Slot of the core at distance 1 from every row, and of the core that answers a zero row; `cores` where there is none.
    pub free: usize,
    pub lowest: usize,
    /// Most slots of the map that one tile may have to look at.
    pub probes: usize,
}

pub const META_LEN: usize = 8;

impl Meta {
    pub fn encode(&self) -> [u64; META_LEN] {
        let Self { metric, features, cores, placed, free, lowest, probes } = *self;
        let counts = [features, cores, placed, free, lowest, probes].map(|count| count as u64);
        let [features, cores, placed, free, lowest, probes] = counts;
        [FORMAT, metric as u64, features, cores, placed, free, lowest, probes]
    }

    fn decode(meta: &[u64]) -> Result<Self> {
        let &[format, metric, features, cores, placed, free, lowest, probes] = meta else {
            return lie("meta", format!("must hold {META_LEN} numbers, not {}", meta.len()));
        };
        if format != FORMAT {
            return lie("meta", format!("is of format {format}, but only {FORMAT} is known"));
        }
        let Some(&metric) = usize::try_from(metric).ok().and_then(|code| Metric::ALL.get(code)) else {
            return lie("meta", format!("names an unknown metric: {metric}"));
        };
        // No count exceeds the number of slots that u32 can name, so products with a width below stay within u64 or saturate.
        let count = |name: &str, value: u64| match u32::try_from(value) {
            Ok(value) => Ok(value as usize),
            Err(_) => lie("meta", format!("has {name} = {value}, more than {}", u32::MAX)),
        };
        let decoded = Self {
            metric,
            features: count("features", features)?,
            cores: count("cores", cores)?,
            placed: count("placed", placed)?,
            free: count("free", free)?,
            lowest: count("lowest", lowest)?,
            probes: count("probes", probes)?,
        };
        if decoded.features == 0 || metric.check_width(decoded.features).is_err() {
            return lie("meta", format!("has {features} features, which the metric cannot have"));
        }
        if decoded.placed.max(decoded.free).max(decoded.lowest) > decoded.cores {
            return lie("meta", format!("names slots beyond its {cores} cores"));
        }
        Ok(decoded)
    }
}

/// Lengths: see `Index::over`. All numbers are little-endian in files.
#[derive(Debug, Clone, Copy)]
pub struct Arrays<'a> {
    pub meta: &'a [u64],
    /// Largest absolute angle of a core (haversine), cells of the map per unit, the map's corner.
    pub frame: &'a [f64],
    /// Block after block of sixteen slots, each coordinate by coordinate.
    pub points: &'a [f64],
    /// [latitude, longitude] by slot (haversine).
    pub angles: &'a [f64],
    /// By slot.
    pub labels: &'a [i32],
    /// By slot: the core's number in the caller's order.
    pub rows: &'a [u32],
    /// Per node in preorder the low corner, then the high corner, rounded outwards.
    pub boxes: &'a [f32],
    /// Per node the largest reduced radius below it; empty if all radii are the same.
    pub reaches: &'a [f64],
    /// Per node the label of every core that may cover a row that a core of the node covers; MIXED if there are several.
    pub alone: &'a [i32],
    /// The map's slots.
    pub map: &'a [u64],
}

pub const FRAME_LEN: usize = 5;

/// Arrays whose lengths fit each other.
#[derive(Debug, Clone, Copy)]
pub struct Index<'a> {
    pub arrays: Arrays<'a>,
    pub meta: Meta,
    /// Columns of the embedded rows.
    pub width: usize,
    pub frame: Frame,
    /// A power of two, or empty.
    pub map: &'a [Slot],
}

impl<'a> Index<'a> {
    /// Costs nothing that grows with the model, so it is done anew for every call.
    pub fn over(arrays: Arrays<'a>) -> Result<Self> {
        let meta = Meta::decode(arrays.meta)?;
        let width = embedded_width(meta.metric, meta.features);
        let blocks = meta.placed.div_ceil(LANES);
        let nodes = (2 * blocks).saturating_sub(1);
        let angles = if meta.metric == Metric::Haversine { 2 * meta.placed } else { 0 };
        expect("points", arrays.points.len(), blocks.saturating_mul(LANES).saturating_mul(width))?;
        expect("angles", arrays.angles.len(), angles)?;
        expect("labels", arrays.labels.len(), meta.cores)?;
        expect("rows", arrays.rows.len(), meta.cores)?;
        expect("boxes", arrays.boxes.len(), nodes.saturating_mul(2).saturating_mul(width))?;
        expect("alone", arrays.alone.len(), nodes)?;
        if !arrays.reaches.is_empty() {
            expect("reaches", arrays.reaches.len(), nodes)?;
        }
        let (map, rest) = arrays.map.as_chunks::<SLOT_LEN>();
        if !rest.is_empty() || !(map.is_empty() || map.len().is_power_of_two()) {
            return lie("map", format!("must hold a power of two of slots of {SLOT_LEN}, not {}", arrays.map.len()));
        }
        if meta.probes > MAX_PROBES {
            return lie("meta", format!("has probes = {}, more than {MAX_PROBES}", meta.probes));
        }
        let &[_, cells_per_unit, x, y, z] = arrays.frame else {
            return lie("frame", format!("must hold {FRAME_LEN} values, not {}", arrays.frame.len()));
        };
        let frame = Frame { corner: [x, y, z], cells_per_unit };
        Ok(Self { arrays, meta, width, frame, map })
    }

    /// The contents: `labels` is the number of labels that have a radius, if each has its own.
    pub fn check_contents(&self, labels: Option<usize>) -> Result<()> {
        let end = labels.map_or(i32::MAX, |labels| i32::try_from(labels).unwrap_or(i32::MAX));
        let known = |label: i32| (0..end).contains(&label);
        if self.arrays.frame.iter().any(|value| !value.is_finite()) {
            return lie("frame", "has a value that is not finite");
        }
        if !all(self.arrays.labels, known) {
            return lie("labels", format!("has a label outside 0 to {end}, the labels that have a radius"));
        }
        if !all(self.arrays.alone, |label| label == MIXED || known(label)) {
            return lie("alone", format!("has a label outside -1 to {end}, the labels that have a radius"));
        }
        if !self.map.iter().all(|slot| slot[LABEL] < end as u64) {
            return lie("map", format!("has a label outside 0 to {end}, the labels that have a radius"));
        }
        let cores = self.meta.cores as u64;
        if !all(self.arrays.rows, |row| u64::from(row) < cores) {
            return lie("rows", format!("names a core beyond the {cores} that there are"));
        }
        Ok(())
    }

    pub fn root(&self) -> Option<Span> {
        let blocks = self.meta.placed.div_ceil(LANES);
        (blocks > 0).then_some(Span { node: 0, first: 0, blocks })
    }
}

/// Whether all pass; looks at every value, which the compiler does many at a time.
fn all<T: Copy>(values: &[T], pass: impl Fn(T) -> bool) -> bool {
    values.chunks(4096).all(|chunk| chunk.iter().fold(true, |passed, &value| passed & pass(value)))
}

fn expect(name: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    lie(name, format!("must hold {expected} values by what meta says, not {found}"))
}

fn lie<T>(name: &str, what: impl std::fmt::Display) -> Result<T> {
    invalid(format!("The index array '{name}' {what}; build the index again from its core samples."))
}
