//! Predictions: the label of the nearest core sample whose radius covers a row, else noise.
//!
//! Called by the bindings, from any number of threads at once. The index is a set of flat arrays (`arrays`), the same in memory and in
//! a model file; `build` makes them, `Predictor` answers from them, and nothing ever changes them.

pub mod arrays;
pub mod build;
mod map;
mod nodes;
pub mod radii;
mod search;
mod survey;

use std::num::NonZeroUsize;
use std::thread;

use crate::error::{EngineError, Result, filled, invalid};
use crate::metric::{Kernel, MaxAbs, Metric, SumAbs, SumSquares};
use crate::predict::arrays::{Arrays, Index, Meta};
use crate::predict::build::{Built, Cores};
use crate::predict::map::{Known, look, spot};
use crate::predict::radii::{Eps, Radii};
use crate::predict::search::{Best, Query, Search};
use crate::value::Value;

pub const NOISE: i32 = -1;
/// Fewer rows than this per thread are answered sooner than a thread starts.
const ROWS_PER_THREAD: usize = 2048;

/// Rows looked up together: while one slot of the map comes from memory, the next ones are on their way, too.
const BATCH: usize = 64;

/// The core sample that labels a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearest {
    pub label: i32,
    /// The metric's own, infinite for noise.
    pub distance: f64,
    /// In the order of the arrays given; -1 for noise.
    pub core: i64,
}

/// Builds an index on the current thread pool.
pub fn build(metric: Metric, cores: Cores<'_>, eps: Eps) -> Result<(Built, Radii)> {
    match metric {
        Metric::Manhattan => build::build::<SumAbs>(metric, cores, eps),
        Metric::Chebyshev => build::build::<MaxAbs>(metric, cores, eps),
        Metric::Euclidean | Metric::Haversine | Metric::Cosine => build::build::<SumSquares>(metric, cores, eps),
    }
}

/// Checks arrays that somebody else wrote, and the radii that go with them.
pub fn open(arrays: Arrays<'_>, metric: Metric, eps: Eps) -> Result<(Radii, Meta)> {
    let index = Index::over(arrays)?;
    if index.meta.metric != metric {
        return invalid(format!(
            "The index array 'meta' is of the metric '{}', not '{}'.",
            index.meta.metric.name(),
            metric.name()
        ));
    }
    index.check_contents(eps.labels())?;
    Ok((Radii::new(metric, eps, index.meta.features, index.arrays.frame[0]), index.meta))
}

/// Answers from an index; made anew for every call.
pub struct Predictor<'a> {
    index: Index<'a>,
    radii: &'a Radii,
    threads: NonZeroUsize,
}

impl<'a> Predictor<'a> {
    pub fn over(arrays: Arrays<'a>, radii: &'a Radii, threads: NonZeroUsize) -> Result<Self> {
        Ok(Self { index: Index::over(arrays)?, radii, threads })
    }

    /// Labels of rows of finite values.
    pub fn predict<T: Value>(&self, rows: &[T]) -> Result<Vec<i32>> {
        match self.index.meta.metric {
            Metric::Manhattan => self.labels::<SumAbs, T>(rows),
            Metric::Chebyshev => self.labels::<MaxAbs, T>(rows),
            Metric::Euclidean | Metric::Haversine | Metric::Cosine => self.labels::<SumSquares, T>(rows),
        }
    }

    /// The core samples that label rows of finite values.
    pub fn nearest<T: Value>(&self, rows: &[T]) -> Result<Vec<Nearest>> {
        let none = Nearest { label: NOISE, distance: f64::INFINITY, core: -1 };
        match self.index.meta.metric {
            Metric::Manhattan => self.cores::<SumAbs, T>(rows, none),
            Metric::Chebyshev => self.cores::<MaxAbs, T>(rows, none),
            Metric::Euclidean | Metric::Haversine | Metric::Cosine => self.cores::<SumSquares, T>(rows, none),
        }
    }

    fn cores<K: Kernel, T: Value>(&self, rows: &[T], none: Nearest) -> Result<Vec<Nearest>> {
        self.each(rows, none, |rows, cores, query| {
            rows.chunks_exact(self.index.meta.features)
                .zip(cores)
                .for_each(|(row, core)| *core = self.core::<K>(row, query));
        })
    }

    fn labels<K: Kernel, T: Value>(&self, rows: &[T]) -> Result<Vec<i32>> {
        let is_place = !matches!(self.index.meta.metric, Metric::Haversine | Metric::Cosine);
        match if is_place && !self.index.map.is_empty() { self.index.width } else { 0 } {
            1 => self.each(rows, NOISE, |rows, labels, query| self.look_all::<K, 1>(rows, labels, query)),
            2 => self.each(rows, NOISE, |rows, labels, query| self.look_all::<K, 2>(rows, labels, query)),
            3 => self.each(rows, NOISE, |rows, labels, query| self.look_all::<K, 3>(rows, labels, query)),
            _ => self.each(rows, NOISE, |rows, labels, query| {
                rows.chunks_exact(self.index.meta.features)
                    .zip(labels)
                    .for_each(|(row, label)| *label = self.label::<K>(row, query));
            }),
        }
    }

    /// Labels of up to `BATCH` rows that are their own places, by the map where it knows them.
    fn look_all<K: Kernel, const WIDTH: usize>(&self, rows: &[f64], labels: &mut [i32], query: &mut Query) {
        let rows = rows.as_chunks::<WIDTH>().0;
        let mut spots = [None; BATCH];
        spots.iter_mut().zip(rows).for_each(|(at, row)| *at = spot(&self.index, row));
        for ((row, at), label) in rows.iter().zip(spots).zip(labels) {
            *label = match look(&self.index, at) {
                Known::Label(label) => label,
                Known::Noise => NOISE,
                Known::Nothing => {
                    query.aim(self.index.meta.metric, row);
                    let best = self.search::<true>(self.radii, query).run::<K>();
                    if best.is_none() { NOISE } else { best.label }
                }
            };
        }
    }

    fn label<K: Kernel>(&self, row: &[f64], query: &mut Query) -> i32 {
        query.aim(self.index.meta.metric, row);
        let best = match self.radii.wider(row) {
            None => match self.look(query) {
                Known::Label(label) => return label,
                Known::Noise => return NOISE,
                Known::Nothing => self.search::<true>(self.radii, query).run::<K>(),
            },
            Some(radii) => self.search_all(&radii, query).run::<K>(),
        };
        if best.is_none() { NOISE } else { best.label }
    }

    /// Asks the map.
    fn look(&self, query: &Query) -> Known {
        let Some(place) = query.place().filter(|_| !self.index.map.is_empty()) else { return Known::Nothing };
        let at = match *place {
            [x] => spot(&self.index, &[x]),
            [x, y] => spot(&self.index, &[x, y]),
            [x, y, z] => spot(&self.index, &[x, y, z]),
            _ => return Known::Nothing,
        };
        look(&self.index, at)
    }

    fn core<K: Kernel>(&self, row: &[f64], query: &mut Query) -> Nearest {
        let metric = self.index.meta.metric;
        query.aim(metric, row);
        let best = match self.radii.wider(row) {
            None => self.search::<false>(self.radii, query).run::<K>(),
            Some(radii) => self.search_all(&radii, query).run::<K>(),
        };
        if best.is_none() {
            return Nearest { label: NOISE, distance: f64::INFINITY, core: -1 };
        }
        let Best { rank, label, row, .. } = best;
        Nearest { label, distance: metric.distance_of_rank(rank), core: i64::from(row) }
    }

    fn search<'s, const ANY_OF_LABEL: bool>(&'s self, radii: &'s Radii, query: &'s Query) -> Search<'s, ANY_OF_LABEL> {
        Search { index: &self.index, radii, query, reaches: self.index.arrays.reaches }
    }

    /// Relies on nothing that holds for the model's own radii only.
    fn search_all<'s>(&'s self, radii: &'s Radii, query: &'s Query) -> Search<'s, false> {
        Search { reaches: &[], ..self.search(radii, query) }
    }

    /// One answer per row, on as many threads as pay; `answer` gets up to `BATCH` rows at once.
    fn each<T: Value, A: Copy + Send>(
        &self,
        rows: &[T],
        none: A,
        answer: impl Fn(&[f64], &mut [A], &mut Query) + Sync,
    ) -> Result<Vec<A>> {
        let width = self.index.meta.features;
        let n = rows.len() / width;
        let mut answers = filled(none, n)?;
        if n == 0 {
            // Nothing vouches for the width then.
            return Ok(answers);
        }
        let chunk = n.div_ceil(self.threads.get()).max(ROWS_PER_THREAD);
        let work = |rows: &[T], answers: &mut [A]| {
            let mut query = Query::new(self.index.width);
            let mut batch = Vec::with_capacity(width * BATCH.min(answers.len()));
            for (rows, answers) in rows.chunks(width * BATCH).zip(answers.chunks_mut(BATCH)) {
                batch.clear();
                batch.extend(rows.iter().map(|&value| value.into()));
                answer(&batch, answers, &mut query);
            }
        };
        // Threads that end with the call, not a pool: a process forked meanwhile never waits for threads it lacks.
        thread::scope(|scope| {
            let mut chunks = rows.chunks(chunk * width).zip(answers.chunks_mut(chunk));
            let own = chunks.next();
            for (rows, answers) in chunks {
                let started = thread::Builder::new().spawn_scoped(scope, || work(rows, answers));
                started
                    .map_err(|error| EngineError::Threads(format!("Cannot start {} threads: {error}", self.threads)))?;
            }
            if let Some((rows, answers)) = own {
                work(rows, answers);
            }
            Ok(())
        })?;
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predict(cores: &[f64], labels: &[i32], eps: Eps, rows: &[f32]) -> Vec<i32> {
        let (built, radii) = build(Metric::Euclidean, Cores { points: cores, width: 1, labels }, eps).unwrap();
        let predictor = Predictor::over(built.arrays(), &radii, NonZeroUsize::MIN).unwrap();
        predictor.predict(rows).unwrap()
    }

    #[test]
    fn the_nearest_core_within_eps_answers() {
        assert_eq!(predict(&[0.0, 4.0], &[0, 1], Eps::One(1.5), &[0.5, 3.0, 2.0, 5.5, 5.6]), [0, 1, -1, 1, -1]);
    }

    #[test]
    fn equal_distances_go_to_the_lowest_label() {
        assert_eq!(predict(&[0.0, 2.0], &[7, 3], Eps::One(1.0), &[1.0]), [3]);
    }

    #[test]
    fn a_core_covers_as_far_as_its_label_reaches() {
        let eps = Eps::Each(vec![5.0, 0.5]);
        assert_eq!(predict(&[0.0, 4.0], &[0, 1], eps, &[3.0, 3.6, 5.0, 4.6]), [0, 1, 0, 0]);
    }

    #[test]
    fn a_model_without_cores_knows_only_noise() {
        assert_eq!(predict(&[], &[], Eps::One(1.0), &[1.0, 2.0]), [-1, -1]);
    }
}
