//! The native module `shoal_engine._engine`: checks arguments, releases the interpreter lock, calls the engine.
//!
//! Called by the package's Python modules and by anything that serves a `Predictor`. No arithmetic happens here.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::dbscan::{Clustering, cluster};
use crate::error::{EngineError, Result, invalid};
use crate::metric::{MaxAbs, Metric, SumAbs, SumSquares};
use crate::predict::Predictor as Search;
use crate::silhouette::mean_silhouette;

/// More threads than this never help and could exhaust the system.
const MAX_THREADS: usize = 256;

impl From<EngineError> for PyErr {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Invalid(message) => PyValueError::new_err(message),
            EngineError::OutOfMemory(message) => PyMemoryError::new_err(message),
            EngineError::Threads(message) => PyRuntimeError::new_err(message),
        }
    }
}

/// scikit-learn's n_jobs, except that None means every available core: the result does not depend on it.
fn threads(n_jobs: Option<i64>) -> Result<NonZeroUsize> {
    let available = available_parallelism().map_or(1, NonZeroUsize::get);
    let wanted = match n_jobs {
        None => available,
        Some(0) => return invalid("n_jobs == 0 has no meaning; use None or -1 for all cores."),
        Some(jobs) if jobs > 0 => usize::try_from(jobs).unwrap_or(MAX_THREADS),
        Some(jobs) => available.saturating_sub(usize::try_from(-1_i64.saturating_sub(jobs)).unwrap_or(usize::MAX)),
    };
    Ok(NonZeroUsize::new(wanted.min(MAX_THREADS)).unwrap_or(NonZeroUsize::MIN))
}

/// Runs `work` on a pool of its own, so that a forked process never waits for threads it does not have.
fn on_pool<T: Send>(threads: NonZeroUsize, work: impl FnOnce() -> T + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build();
    let pool = pool.map_err(|error| EngineError::Threads(format!("Cannot start {threads} threads: {error}")))?;
    Ok(pool.install(work))
}

fn check_eps(eps: f64) -> Result<()> {
    if eps > 0.0 && eps.is_finite() {
        return Ok(());
    }
    invalid(format!("The 'eps' parameter must be a float in the range (0.0, inf). Got {eps:?} instead."))
}

fn check_shape(metric: Metric, rows: usize, width: usize) -> Result<()> {
    if width == 0 {
        return invalid(format!("Found array with 0 feature(s) (shape=({rows}, 0)) while a minimum of 1 is required."));
    }
    if u32::try_from(rows).is_err() {
        return invalid(format!("Found array with {rows} samples, but at most {} are supported.", u32::MAX));
    }
    metric.check_width(width)
}

fn check_finite<T: Copy + Into<f64>>(values: &[T], name: &str, dtype: &str) -> Result<()> {
    // A sum of products with zero is zero unless something is not finite: one pass without branches for the usual case.
    if values.iter().fold(0.0, |sum, &value| sum + value.into() * 0.0) == 0.0 {
        return Ok(());
    }
    if values.iter().any(|&value| value.into().is_nan()) {
        return invalid(format!("Input {name} contains NaN."));
    }
    invalid(format!("Input {name} contains infinity or a value too large for dtype('{dtype}')."))
}

fn contiguous<'a, T: numpy::Element>(array: &'a PyReadonlyArray2<'_, T>, name: &str) -> Result<&'a [T]> {
    let slice = array.as_slice();
    slice.or_else(|_| invalid(format!("{name} must be C-contiguous; pass numpy.ascontiguousarray({name}).")))
}

fn shape<T: numpy::Element>(array: &PyReadonlyArray2<'_, T>) -> (usize, usize) {
    let shape = array.as_array().shape().to_vec();
    (shape[0], shape[1])
}

/// An int64 array on its way to Python.
type Integers<'py> = Bound<'py, PyArray1<i64>>;

/// Labels of every row and the rows that are core samples.
#[pyfunction]
#[pyo3(signature = (points, eps, min_samples, metric, n_jobs))]
fn dbscan<'py>(
    py: Python<'py>,
    points: PyReadonlyArray2<'py, f64>,
    eps: f64,
    min_samples: u64,
    metric: &str,
    n_jobs: Option<i64>,
) -> PyResult<(Integers<'py>, Integers<'py>)> {
    let (metric, threads) = (Metric::parse(metric)?, threads(n_jobs)?);
    check_eps(eps)?;
    let (rows, width) = shape(&points);
    check_shape(metric, rows, width)?;
    let values = contiguous(&points, "X")?;
    let min_samples = usize::try_from(min_samples).unwrap_or(usize::MAX);
    let found: Result<Clustering> = py.detach(|| {
        check_finite(values, "X", "float64")?;
        on_pool(threads, || match metric {
            Metric::Manhattan => cluster::<SumAbs>(metric, values, width, eps, min_samples),
            Metric::Chebyshev => cluster::<MaxAbs>(metric, values, width, eps, min_samples),
            Metric::Euclidean | Metric::Haversine | Metric::Cosine => {
                cluster::<SumSquares>(metric, values, width, eps, min_samples)
            }
        })?
    });
    let found = found?;
    Ok((found.labels.into_pyarray(py), found.core_rows.into_pyarray(py)))
}

/// Mean silhouette of rows labelled 0 to clusters - 1.
#[pyfunction]
fn silhouette_of(
    py: Python<'_>,
    points: PyReadonlyArray2<'_, f64>,
    labels: PyReadonlyArray1<'_, i64>,
    clusters: usize,
    metric: &str,
) -> PyResult<f64> {
    let metric = Metric::parse(metric)?;
    let (rows, width) = shape(&points);
    check_shape(metric, rows, width)?;
    let values = contiguous(&points, "X")?;
    let labels = labels.as_array();
    let dense: Vec<usize> = labels.iter().filter_map(|&label| usize::try_from(label).ok()).collect();
    if dense.len() != rows
        || labels.len() != rows
        || clusters < 2
        || clusters > rows
        || dense.iter().any(|&label| label >= clusters)
    {
        return Err(PyValueError::new_err(
            "labels must hold one number from 0 to clusters - 1 per row, and clusters must be >= 2.",
        ));
    }
    let found: Result<f64> = py.detach(|| {
        check_finite(values, "X", "float64")?;
        on_pool(threads(None)?, || mean_silhouette(metric, values, width, &dense, clusters))
    });
    Ok(found?)
}

enum AnySearch {
    Squares(Search<SumSquares>),
    Abs(Search<SumAbs>),
    Max(Search<MaxAbs>),
}

/// Answers the label of the nearest core sample within eps, else -1. Immutable and safe to share between threads.
#[pyclass(frozen, module = "shoal_engine")]
struct Predictor {
    search: AnySearch,
    threads: NonZeroUsize,
    #[pyo3(get)]
    n_features: usize,
    #[pyo3(get)]
    n_cores: usize,
    #[pyo3(get)]
    eps: f64,
    #[pyo3(get)]
    metric: String,
}

#[pymethods]
impl Predictor {
    #[new]
    #[pyo3(signature = (core_points, core_labels, eps, metric = "euclidean", *, n_jobs = None))]
    fn new(
        py: Python<'_>,
        core_points: PyReadonlyArray2<'_, f64>,
        core_labels: PyReadonlyArray1<'_, i32>,
        eps: f64,
        metric: &str,
        n_jobs: Option<i64>,
    ) -> PyResult<Self> {
        let (kind, threads) = (Metric::parse(metric)?, threads(n_jobs)?);
        check_eps(eps)?;
        let (rows, width) = shape(&core_points);
        check_shape(kind, rows, width)?;
        let values = contiguous(&core_points, "core_points")?;
        let labels: Vec<i32> = core_labels.as_array().iter().copied().collect();
        if labels.len() != rows {
            let message = format!("core_points and core_labels differ in length: {rows} and {}.", labels.len());
            return Err(PyValueError::new_err(message));
        }
        let search: Result<AnySearch> = py.detach(|| {
            check_finite(values, "core_points", "float64")?;
            on_pool(threads, || {
                Ok(match kind {
                    Metric::Manhattan => AnySearch::Abs(Search::build(kind, values, width, &labels, eps)?),
                    Metric::Chebyshev => AnySearch::Max(Search::build(kind, values, width, &labels, eps)?),
                    Metric::Euclidean | Metric::Haversine | Metric::Cosine => {
                        AnySearch::Squares(Search::build(kind, values, width, &labels, eps)?)
                    }
                })
            })?
        });
        Ok(Self { search: search?, threads, n_features: width, n_cores: rows, eps, metric: metric.to_owned() })
    }

    /// int32 labels of the rows of a C-contiguous float64 or float32 array of shape (n, n_features).
    #[pyo3(signature = (X, /))]
    #[allow(non_snake_case)]
    fn predict<'py>(&self, py: Python<'py>, X: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<i32>>> {
        if let Ok(rows) = X.extract::<PyReadonlyArray2<'_, f64>>() {
            return self.label(py, &rows, "float64");
        }
        if let Ok(rows) = X.extract::<PyReadonlyArray2<'_, f32>>() {
            return self.label(py, &rows, "float32");
        }
        let wanted = format!("X must be a float64 or float32 array of shape (n, {}).", self.n_features);
        Err(PyTypeError::new_err(wanted))
    }
}

impl Predictor {
    fn label<'py, T>(
        &self,
        py: Python<'py>,
        rows: &PyReadonlyArray2<'py, T>,
        dtype: &str,
    ) -> PyResult<Bound<'py, PyArray1<i32>>>
    where
        T: numpy::Element + Copy + Into<f64> + Sync,
    {
        let (_, width) = shape(rows);
        if width != self.n_features {
            let message =
                format!("X has {width} features, but Predictor is expecting {} features as input.", self.n_features);
            return Err(PyValueError::new_err(message));
        }
        let values = contiguous(rows, "X")?;
        let labels: Result<Vec<i32>> = py.detach(|| {
            check_finite(values, "X", dtype)?;
            match &self.search {
                AnySearch::Squares(search) => search.predict(values, self.threads),
                AnySearch::Abs(search) => search.predict(values, self.threads),
                AnySearch::Max(search) => search.predict(values, self.threads),
            }
        });
        Ok(labels?.into_pyarray(py))
    }
}

#[pymodule(gil_used = false)]
mod _engine {
    #[pymodule_export]
    use super::{Predictor, dbscan, silhouette_of};
}
