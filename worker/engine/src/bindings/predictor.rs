//! The door of predictions: a `Predictor` holds the index as numpy arrays, its own or somebody's mapped file.

use std::num::NonZeroUsize;

use numpy::{Element, IntoPyArray, PyArray1, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{check_finite, check_shape, contiguous, on_pool, shape, threads};
use crate::error::{Result, invalid};
use crate::metric::Metric;
use crate::predict::arrays::{Arrays, FRAME_LEN};
use crate::predict::build::{Built, Cores};
use crate::predict::radii::{Eps, Radii};
use crate::predict::{Nearest, Predictor as Answers, build, open};
use crate::value::Value;

/// What `nearest` returns: labels, distances, cores.
type NearestArrays<'py> = (Bound<'py, PyArray1<i32>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<i64>>);

/// Answers the label of the nearest core sample whose radius covers a row, else -1. Immutable and safe to share between threads.
#[pyclass(frozen, module = "shoal_engine")]
pub struct Predictor {
    arrays: Kept,
    radii: Radii,
    threads: NonZeroUsize,
    #[pyo3(get)]
    n_features: usize,
    #[pyo3(get)]
    n_cores: usize,
}

#[pymethods]
impl Predictor {
    #[new]
    #[pyo3(signature = (core_points, core_labels, eps, metric = "euclidean", *, n_jobs = None))]
    fn new(
        core_points: PyReadonlyArray2<'_, f64>,
        core_labels: PyReadonlyArray1<'_, i32>,
        eps: &Bound<'_, PyAny>,
        metric: &str,
        n_jobs: Option<i64>,
    ) -> PyResult<Self> {
        let py = eps.py();
        let (metric, threads, eps) = (Metric::parse(metric)?, threads(n_jobs)?, read_eps(eps)?);
        let (rows, width) = shape(&core_points);
        check_shape(metric, rows, width)?;
        let points = contiguous(&core_points, "core_points")?;
        let labels: Vec<i32> = core_labels.as_array().iter().copied().collect();
        if labels.len() != rows {
            let message = format!("core_points and core_labels differ in length: {rows} and {}.", labels.len());
            return Err(PyValueError::new_err(message));
        }
        let built: Result<(Built, Radii)> = py.detach(|| {
            check_finite(points, "core_points")?;
            on_pool(threads, || build(metric, Cores { points, width, labels: &labels }, eps))?
        });
        let (built, radii) = built?;
        Ok(Self { arrays: Kept::build(py, built)?, radii, threads, n_features: width, n_cores: rows })
    }

    /// The index that `to_arrays` gave, without a copy: the arrays may be views of a mapped file and must not change any more.
    #[staticmethod]
    #[pyo3(signature = (arrays, eps, metric = "euclidean", *, n_jobs = None))]
    fn from_arrays(
        arrays: &Bound<'_, PyDict>,
        eps: &Bound<'_, PyAny>,
        metric: &str,
        n_jobs: Option<i64>,
    ) -> PyResult<Self> {
        let py = arrays.py();
        let (metric, threads, eps) = (Metric::parse(metric)?, threads(n_jobs)?, read_eps(eps)?);
        let arrays = Kept::read(arrays)?;
        let (radii, meta) = arrays.with(py, |arrays| py.detach(|| open(arrays, metric, eps)))?;
        Ok(Self { arrays, radii, threads, n_features: meta.features, n_cores: meta.cores })
    }

    /// The index as numpy arrays that can be stored and given to `from_arrays`.
    fn to_arrays<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.arrays.write(py)
    }

    /// The radius of all labels, or a float64 array of the radius by label.
    #[getter]
    fn eps<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.radii.eps() {
            Eps::One(eps) => Ok(eps.into_pyobject(py)?.into_any()),
            Eps::Each(radii) => Ok(PyArray1::from_slice(py, radii).into_any()),
        }
    }

    #[getter]
    fn metric(&self) -> &'static str {
        self.radii.metric().name()
    }

    /// int32 labels of the rows of a C-contiguous float64 or float32 array of shape (n, n_features).
    #[pyo3(signature = (X, /))]
    #[allow(non_snake_case)]
    fn predict<'py>(&self, py: Python<'py>, X: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<i32>>> {
        let labels = match Rows::of(X, self.n_features)? {
            Rows::Double(rows) => self.answer(py, &rows, |answers, rows| answers.predict(rows)),
            Rows::Single(rows) => self.answer(py, &rows, |answers, rows| answers.predict(rows)),
        }?;
        Ok(labels.into_pyarray(py))
    }

    /// For every row int32 label, float64 distance (inf for noise) and int64 number (-1 for noise) of the core sample that labels it.
    #[pyo3(signature = (X, /))]
    #[allow(non_snake_case)]
    fn nearest<'py>(&self, py: Python<'py>, X: &Bound<'py, PyAny>) -> PyResult<NearestArrays<'py>> {
        let found = match Rows::of(X, self.n_features)? {
            Rows::Double(rows) => self.answer(py, &rows, |answers, rows| answers.nearest(rows)),
            Rows::Single(rows) => self.answer(py, &rows, |answers, rows| answers.nearest(rows)),
        }?;
        let labels = PyArray1::from_iter(py, found.iter().map(|nearest: &Nearest| nearest.label));
        let distances = PyArray1::from_iter(py, found.iter().map(|nearest| nearest.distance));
        let cores = PyArray1::from_iter(py, found.iter().map(|nearest| nearest.core));
        Ok((labels, distances, cores))
    }
}

impl Predictor {
    /// Runs `ask` over the rows without the interpreter lock.
    fn answer<T: Element + Value, A: Send>(
        &self,
        py: Python<'_>,
        rows: &PyReadonlyArray2<'_, T>,
        ask: impl FnOnce(&Answers<'_>, &[T]) -> Result<A> + Send,
    ) -> PyResult<A> {
        let rows = contiguous(rows, "X")?;
        self.arrays.with(py, |arrays| {
            py.detach(|| {
                check_finite(rows, "X")?;
                ask(&Answers::over(arrays, &self.radii, self.threads)?, rows)
            })
        })
    }
}

/// X in one of the two types that it may have.
enum Rows<'py> {
    Double(PyReadonlyArray2<'py, f64>),
    Single(PyReadonlyArray2<'py, f32>),
}

impl<'py> Rows<'py> {
    fn of(rows: &Bound<'py, PyAny>, features: usize) -> PyResult<Self> {
        let (rows, width) = if let Ok(rows) = rows.extract::<PyReadonlyArray2<'py, f64>>() {
            let width = shape(&rows).1;
            (Self::Double(rows), width)
        } else if let Ok(rows) = rows.extract::<PyReadonlyArray2<'py, f32>>() {
            let width = shape(&rows).1;
            (Self::Single(rows), width)
        } else {
            let wanted = format!("X must be a float64 or float32 array of shape (n, {features}).");
            return Err(PyTypeError::new_err(wanted));
        };
        if width != features {
            let message = format!("X has {width} features, but Predictor is expecting {features} features as input.");
            return Err(PyValueError::new_err(message));
        }
        Ok(rows)
    }
}

/// A number, or a radius for every label.
fn read_eps(eps: &Bound<'_, PyAny>) -> PyResult<Eps> {
    let eps = match eps.extract::<f64>() {
        Ok(eps) => Eps::One(eps),
        Err(_) => match eps.extract::<PyReadonlyArray1<'_, f64>>() {
            Ok(radii) => Eps::Each(radii.as_array().to_vec()),
            Err(_) => {
                return Err(PyTypeError::new_err("eps must be a float, or a float64 array of the radius by label."));
            }
        },
    };
    eps.check()?;
    Ok(eps)
}

/// Up to so many values are copied: to borrow an array anew for every call costs more. `meta` has more, and is checked with every call.
const FEW: usize = FRAME_LEN;

/// An array, and its values if they are few.
struct Held<T> {
    array: Py<PyArray1<T>>,
    few: Option<Vec<T>>,
}

impl<T: Element + Copy> Held<T> {
    fn new(array: Bound<'_, PyArray1<T>>) -> PyResult<Self> {
        let few = if array.len()? <= FEW { Some(array.to_vec()?) } else { None };
        Ok(Self { array: array.unbind(), few })
    }

    /// A borrow where one is needed; see `slice`.
    fn borrow<'py>(&self, py: Python<'py>) -> PyResult<Option<PyReadonlyArray1<'py, T>>> {
        if self.few.is_some() {
            return Ok(None);
        }
        let borrowed = self.array.bind(py).try_readonly();
        borrowed.map(Some).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn slice<'a>(&'a self, borrowed: &'a Option<PyReadonlyArray1<'_, T>>) -> PyResult<&'a [T]> {
        match borrowed {
            Some(array) => Ok(array.as_slice()?),
            None => Ok(self.few.as_deref().unwrap_or_default()),
        }
    }
}

/// The arrays of an index, kept alive and never written.
struct Kept {
    meta: Held<u64>,
    frame: Held<f64>,
    points: Held<f64>,
    angles: Held<f64>,
    labels: Held<i32>,
    rows: Held<u32>,
    boxes: Held<f32>,
    reaches: Held<f64>,
    alone: Held<i32>,
    map: Held<u64>,
}

/// Does the same to every array of an index.
macro_rules! each_array {
    ($do:ident) => {
        $do!(meta, frame, points, angles, labels, rows, boxes, reaches, alone, map)
    };
}

impl Kept {
    fn build(py: Python<'_>, built: Built) -> PyResult<Self> {
        fn frozen<T: Element + Copy>(py: Python<'_>, values: Vec<T>) -> PyResult<Held<T>> {
            let array = values.into_pyarray(py);
            array.call_method1("setflags", (false,))?;
            Held::new(array)
        }
        macro_rules! freeze {
            ($($name:ident),*) => { Self { $($name: frozen(py, built.$name)?),* } };
        }
        Ok(each_array!(freeze))
    }

    fn read(arrays: &Bound<'_, PyDict>) -> PyResult<Self> {
        fn named<T: Element + Copy>(arrays: &Bound<'_, PyDict>, name: &str) -> PyResult<Held<T>> {
            let found = arrays.get_item(name)?;
            let array = found.as_ref().and_then(|array| array.cast::<PyArray1<T>>().ok());
            let Some(array) = array.filter(|array| array.try_readonly().is_ok_and(|array| array.as_slice().is_ok()))
            else {
                let dtype = numpy::dtype::<T>(arrays.py());
                let found = if found.is_some() { "is of another kind" } else { "is missing" };
                return Ok(invalid(format!(
                    "The index array '{name}' must be a contiguous one-dimensional {dtype} array, but it {found}."
                ))?);
            };
            Held::new(array.clone())
        }
        macro_rules! read {
            ($($name:ident),*) => { Self { $($name: named(arrays, stringify!($name))?),* } };
        }
        Ok(each_array!(read))
    }

    fn write<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let arrays = PyDict::new(py);
        macro_rules! write {
            ($($name:ident),*) => { $(arrays.set_item(stringify!($name), self.$name.array.bind(py))?;)* };
        }
        each_array!(write);
        Ok(arrays)
    }

    /// Borrows the arrays for one call.
    fn with<A>(&self, py: Python<'_>, work: impl FnOnce(Arrays<'_>) -> Result<A>) -> PyResult<A> {
        macro_rules! borrow {
            ($($name:ident),*) => {{
                $(let $name = self.$name.borrow(py)?;)*
                Ok(work(Arrays { $($name: self.$name.slice(&$name)?),* })?)
            }};
        }
        each_array!(borrow)
    }
}
