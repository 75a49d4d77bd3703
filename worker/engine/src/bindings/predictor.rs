//! The door of predictions.

use std::num::NonZeroUsize;

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::{check_eps, check_finite, check_shape, contiguous, on_pool, shape, threads};
use crate::error::Result;
use crate::metric::{MaxAbs, Metric, SumAbs, SumSquares};
use crate::predict::Predictor as Search;
use crate::value::Value;

enum AnySearch {
    Squares(Search<SumSquares>),
    Abs(Search<SumAbs>),
    Max(Search<MaxAbs>),
}

/// Answers the label of the nearest core sample within eps, else -1. Immutable and safe to share between threads.
#[pyclass(frozen, module = "shoal_engine")]
pub struct Predictor {
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
            check_finite(values, "core_points")?;
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
            return self.label(py, &rows);
        }
        if let Ok(rows) = X.extract::<PyReadonlyArray2<'_, f32>>() {
            return self.label(py, &rows);
        }
        let wanted = format!("X must be a float64 or float32 array of shape (n, {}).", self.n_features);
        Err(PyTypeError::new_err(wanted))
    }
}

impl Predictor {
    fn label<'py, T>(&self, py: Python<'py>, rows: &PyReadonlyArray2<'py, T>) -> PyResult<Bound<'py, PyArray1<i32>>>
    where
        T: numpy::Element + Value,
    {
        let (_, width) = shape(rows);
        if width != self.n_features {
            let message =
                format!("X has {width} features, but Predictor is expecting {} features as input.", self.n_features);
            return Err(PyValueError::new_err(message));
        }
        let values = contiguous(rows, "X")?;
        let labels: Result<Vec<i32>> = py.detach(|| {
            check_finite(values, "X")?;
            match &self.search {
                AnySearch::Squares(search) => search.predict(values, self.threads),
                AnySearch::Abs(search) => search.predict(values, self.threads),
                AnySearch::Max(search) => search.predict(values, self.threads),
            }
        });
        Ok(labels?.into_pyarray(py))
    }
}
