//! The door of exact DBSCAN.

use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;

use super::{check_eps, check_finite, check_shape, contiguous, shape, threads, watched};
use crate::dbscan::{Clustering, FEW_VALUES, Index, Job, cluster, cluster_few, core_samples};
use crate::error::{Result, invalid};
use crate::metric::Metric;
use crate::pieces::{each, ranges};
use crate::value::Value;

/// An int64 array on its way to Python.
type Integers<'py> = Bound<'py, PyArray1<i64>>;

/// Labels, core rows, their values in the type of the rows, their labels.
type Found<'py> = (Integers<'py>, Integers<'py>, Bound<'py, PyAny>, Bound<'py, PyArray1<i32>>);

/// How a fit is done, whatever the type of its rows.
struct Request<'a, 'py> {
    eps: f64,
    min_samples: usize,
    metric: &'a str,
    n_jobs: Option<i64>,
    weights: Option<PyReadonlyArray1<'py, f64>>,
    index: &'a str,
    work_budget: Option<f64>,
    progress: Option<Bound<'py, PyAny>>,
}

/// Labels of every row, the rows that are core samples, and the values and the labels of these.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
#[pyo3(signature = (points, eps, min_samples, metric, n_jobs, *, sample_weight = None, index = "auto", work_budget = None, progress = None))]
pub fn dbscan<'py>(
    points: &Bound<'py, PyAny>,
    eps: f64,
    min_samples: u64,
    metric: &str,
    n_jobs: Option<i64>,
    sample_weight: Option<PyReadonlyArray1<'py, f64>>,
    index: &str,
    work_budget: Option<f64>,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Found<'py>> {
    let min_samples = usize::try_from(min_samples).unwrap_or(usize::MAX);
    let request = Request { eps, min_samples, metric, n_jobs, weights: sample_weight, index, work_budget, progress };
    let py = points.py();
    if let Ok(rows) = points.extract::<PyReadonlyArray2<'_, f64>>() {
        return fit(py, &rows, request);
    }
    if let Ok(rows) = points.extract::<PyReadonlyArray2<'_, f32>>() {
        return fit(py, &rows, request);
    }
    Err(PyTypeError::new_err("X must be a float64 or float32 array of shape (n, d)."))
}

fn fit<'py, T: numpy::Element + Value>(
    py: Python<'py>,
    points: &PyReadonlyArray2<'py, T>,
    request: Request<'_, 'py>,
) -> PyResult<Found<'py>> {
    let Request { eps, min_samples, metric, n_jobs, weights, index, work_budget, progress } = request;
    let (metric, index, threads) = (Metric::parse(metric)?, Index::parse(index)?, threads(n_jobs)?);
    check_eps(eps)?;
    check_budget(work_budget)?;
    let (rows, width) = shape(points);
    check_shape(metric, rows, width)?;
    let points = contiguous(points, "X")?;
    let weights = weights.as_ref().map(PyReadonlyArray1::as_slice).transpose()?;
    if let Some(weights) = weights {
        if weights.len() != rows {
            let message = format!("sample_weight.shape == ({},), expected ({rows},)!", weights.len());
            return Ok(invalid(message)?);
        }
        check_finite(weights, "sample_weight")?;
    }
    let job = Job { points, width, metric, eps, min_samples, weights, index, work_budget };
    let with_samples = |found: Clustering| {
        let (values, labels) = core_samples(points, width, &found)?;
        Ok((found, values, labels))
    };
    let done: Result<Option<_>> = py.detach(|| {
        if points.len() > FEW_VALUES {
            return Ok(None);
        }
        check_finite(points, "X")?;
        cluster_few(job)?.map(with_samples).transpose()
    });
    let (found, values, labels) = match done? {
        Some(done) => done,
        None => watched(py, threads, progress, |control| {
            // All threads look; one looks again for what to say.
            each(ranges(points.len()), |piece| check_finite(&points[piece], "X"))
                .or_else(|_| check_finite(points, "X"))?;
            with_samples(cluster(job, control)?)
        })?,
    };
    let values = Array2::from_shape_vec((labels.len(), width), values);
    let values = values.map_err(|error| PyRuntimeError::new_err(error.to_string()))?.into_pyarray(py).into_any();
    Ok((found.labels.into_pyarray(py), found.core_rows.into_pyarray(py), values, labels.into_pyarray(py)))
}

fn check_budget(budget: Option<f64>) -> Result<()> {
    match budget {
        Some(budget) if budget.is_nan() || budget <= 0.0 => {
            let message = "The 'work_budget' parameter must be a float in the range (0.0, inf] or None.";
            invalid(format!("{message} Got {budget:?} instead."))
        }
        _ => Ok(()),
    }
}
