//! The door of the silhouette.

use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::{check_finite, check_shape, contiguous, on_pool, shape, threads};
use crate::error::Result;
use crate::metric::Metric;
use crate::silhouette::mean_silhouette;

/// Mean silhouette of rows labelled 0 to clusters - 1.
#[pyfunction]
pub fn silhouette_of(
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
        check_finite(values, "X")?;
        on_pool(threads(None)?, || mean_silhouette(metric, values, width, &dense, clusters))
    });
    Ok(found?)
}
