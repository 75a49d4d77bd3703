//! The door of adaptive clustering.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{check_finite, check_shape, contiguous, shape, threads, watched};
use crate::adaptive::{self as levels, Branch, Clustering, Job, cluster};
use crate::error::invalid;
use crate::metric::Metric;
use crate::value::Value;

/// How a fit is done, whatever the type of its rows.
struct Request<'a, 'py> {
    min_samples: usize,
    min_cluster_size: usize,
    metric: &'a str,
    allow_single_cluster: bool,
    n_jobs: Option<i64>,
    progress: Option<Bound<'py, PyAny>>,
}

/// What a fit found, by name.
#[pyfunction]
#[pyo3(signature = (points, min_samples, min_cluster_size, metric, n_jobs, *, allow_single_cluster = false, progress = None))]
pub fn adaptive<'py>(
    points: &Bound<'py, PyAny>,
    min_samples: usize,
    min_cluster_size: usize,
    metric: &str,
    n_jobs: Option<i64>,
    allow_single_cluster: bool,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let (min_samples, min_cluster_size) = (min_samples.max(1), min_cluster_size.max(1));
    let request = Request { min_samples, min_cluster_size, metric, allow_single_cluster, n_jobs, progress };
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
) -> PyResult<Bound<'py, PyDict>> {
    let Request { min_samples, min_cluster_size, metric, allow_single_cluster, n_jobs, progress } = request;
    let (metric, threads) = (Metric::parse(metric)?, threads(n_jobs)?);
    let (rows, width) = shape(points);
    check_shape(metric, rows, width)?;
    let points = contiguous(points, "X")?;
    let job = Job { points, width, metric, min_samples, min_cluster_size, allow_single_cluster };
    let found = watched(py, threads, progress, |control| {
        check_finite(points, "X")?;
        cluster(job, control)
    })?;
    as_dict(py, found)
}

fn as_dict(py: Python<'_>, found: Clustering) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("labels", found.labels.into_pyarray(py))?;
    dict.set_item("probabilities", found.probabilities.into_pyarray(py))?;
    dict.set_item("outlier_scores", found.outlier_scores.into_pyarray(py))?;
    dict.set_item("core_rows", found.core_rows.into_pyarray(py))?;
    dict.set_item("radii", found.radii.into_pyarray(py))?;
    dict.set_item("peaks", found.peaks.into_pyarray(py))?;
    let tree = PyDict::new(py);
    let integers = |pick: fn(&Branch) -> i64| found.tree.iter().map(pick).collect::<Vec<i64>>().into_pyarray(py);
    let floats = |pick: fn(&Branch) -> f64| found.tree.iter().map(pick).collect::<Vec<f64>>().into_pyarray(py);
    tree.set_item("parent", integers(|branch| branch.parent))?;
    tree.set_item("size", integers(|branch| branch.size))?;
    tree.set_item("label", integers(|branch| branch.label))?;
    tree.set_item("appears", floats(|branch| branch.appears))?;
    tree.set_item("ends", floats(|branch| branch.ends))?;
    tree.set_item("stability", floats(|branch| branch.stability))?;
    dict.set_item("tree", tree)?;
    Ok(dict)
}

/// The distances of some rows to their `min_samples`-th nearest row.
#[pyfunction]
#[pyo3(signature = (points, rows, min_samples, metric, n_jobs))]
pub fn core_distances<'py>(
    points: &Bound<'py, PyAny>,
    rows: PyReadonlyArray1<'py, i64>,
    min_samples: usize,
    metric: &str,
    n_jobs: Option<i64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let py = points.py();
    if let Ok(points) = points.extract::<PyReadonlyArray2<'_, f64>>() {
        return distances_of(py, &points, &rows, min_samples, metric, n_jobs);
    }
    if let Ok(points) = points.extract::<PyReadonlyArray2<'_, f32>>() {
        return distances_of(py, &points, &rows, min_samples, metric, n_jobs);
    }
    Err(PyTypeError::new_err("X must be a float64 or float32 array of shape (n, d)."))
}

fn distances_of<'py, T: numpy::Element + Value>(
    py: Python<'py>,
    points: &PyReadonlyArray2<'py, T>,
    rows: &PyReadonlyArray1<'py, i64>,
    min_samples: usize,
    metric: &str,
    n_jobs: Option<i64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let (metric, threads) = (Metric::parse(metric)?, threads(n_jobs)?);
    let (n, width) = shape(points);
    check_shape(metric, n, width)?;
    let points = contiguous(points, "X")?;
    let wanted: Vec<u32> = rows.as_array().iter().filter_map(|&row| u32::try_from(row).ok()).collect();
    if wanted.len() != rows.len()? || wanted.iter().any(|&row| row as usize >= n) {
        return Ok(invalid(format!("rows must be numbers from 0 to {}.", n.saturating_sub(1)))?);
    }
    let found = watched(py, threads, None, |control| {
        check_finite(points, "X")?;
        levels::core_distances(points, width, metric, &wanted, min_samples.max(1), control)
    })?;
    Ok(found.into_pyarray(py))
}
