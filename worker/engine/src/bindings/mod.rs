//! The native module `shoal_engine._engine`: checks arguments, releases the interpreter lock, calls the engine.
//!
//! Called by the package's Python modules and by anything that serves a `Predictor`. No arithmetic happens here.

mod adaptive;
mod dbscan;
mod predictor;
mod silhouette;

use std::num::NonZeroUsize;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{available_parallelism, scope};
use std::time::Duration;

use numpy::PyReadonlyArray2;
use pyo3::create_exception;
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::control::Control;
use crate::error::{EngineError, Result, invalid};
use crate::metric::Metric;
use crate::value::Value;

create_exception!(
    shoal_engine,
    WorkBudgetError,
    PyValueError,
    "The fit would cost more distance computations than `work_budget` allows."
);

/// How often a running fit is looked at: for signals, for its progress.
const LOOK: Duration = Duration::from_millis(100);
/// More threads than this never help and could exhaust the system.
const MAX_THREADS: usize = 256;

impl From<EngineError> for PyErr {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Invalid(message) => PyValueError::new_err(message),
            EngineError::OutOfMemory(message) => PyMemoryError::new_err(message),
            EngineError::Threads(message) => PyRuntimeError::new_err(message),
            EngineError::OverBudget(message) => WorkBudgetError::new_err(message),
            EngineError::Stopped => PyRuntimeError::new_err(error.to_string()),
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
        Some(jobs) => available.saturating_sub(usize::try_from((-1_i64).saturating_sub(jobs)).unwrap_or(usize::MAX)),
    };
    Ok(NonZeroUsize::new(wanted.min(MAX_THREADS)).unwrap_or(NonZeroUsize::MIN))
}

/// Runs `work` on a pool of its own, so that a forked process never waits for threads it does not have.
fn on_pool<T: Send>(threads: NonZeroUsize, work: impl FnOnce() -> T + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build();
    let pool = pool.map_err(|error| EngineError::Threads(format!("Cannot start {threads} threads: {error}")))?;
    Ok(pool.install(work))
}

/// Runs `work` on a pool while the calling thread stays with Python: Ctrl-C, or an exception of `progress`, stops the work.
fn watched<T: Send>(
    py: Python<'_>,
    threads: NonZeroUsize,
    progress: Option<Bound<'_, PyAny>>,
    work: impl FnOnce(&Control) -> Result<T> + Send,
) -> PyResult<T> {
    let control = Control::default();
    let progress = progress.map(Bound::unbind);
    let look = || {
        Python::attach(|py| {
            py.check_signals()?;
            let Some(progress) = &progress else { return Ok(()) };
            let (stage, share) = control.progress();
            progress.call1(py, (stage.name(), share)).map(drop)
        })
    };
    py.detach(|| {
        let (done, finished) = channel();
        scope(|scope| {
            let control = &control;
            let worker = move || {
                // The receiver outlives this thread.
                let _ = done.send(on_pool(threads, || work(control)));
            };
            let started = std::thread::Builder::new().spawn_scoped(scope, worker);
            started.map_err(|error| EngineError::Threads(format!("Cannot start {threads} threads: {error}")))?;
            let mut raised = None;
            loop {
                match finished.recv_timeout(LOOK) {
                    Ok(outcome) => return raised.map_or_else(|| Ok(outcome??), Err),
                    Err(RecvTimeoutError::Timeout) if raised.is_none() => {
                        raised = look().err();
                        if raised.is_some() {
                            control.stop();
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err(PyRuntimeError::new_err("The engine ended without a result."));
                    }
                }
            }
        })
    })
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

fn check_finite<T: Value>(values: &[T], name: &str) -> Result<()> {
    // A sum of products with zero is zero unless something is not finite: one pass without branches for the usual case, in several
    // sums, so that no addition waits for the one before.
    let (chunks, rest) = values.as_chunks::<16>();
    let mut sums = [0.0; 16];
    for chunk in chunks {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum += value.into() * 0.0;
        }
    }
    if rest.iter().fold(sums.iter().sum::<f64>(), |sum, &value| sum + value.into() * 0.0) == 0.0 {
        return Ok(());
    }
    if values.iter().any(|&value| value.into().is_nan()) {
        return invalid(format!("Input {name} contains NaN."));
    }
    invalid(format!("Input {name} contains infinity or a value too large for dtype('{}').", T::NAME))
}

fn contiguous<'a, T: numpy::Element>(array: &'a PyReadonlyArray2<'_, T>, name: &str) -> Result<&'a [T]> {
    let slice = array.as_slice();
    slice.or_else(|_| invalid(format!("{name} must be C-contiguous; pass numpy.ascontiguousarray({name}).")))
}

fn shape<T: numpy::Element>(array: &PyReadonlyArray2<'_, T>) -> (usize, usize) {
    let shape = array.as_array().shape().to_vec();
    (shape[0], shape[1])
}

#[pymodule(gil_used = false)]
mod _engine {
    #[pymodule_export]
    const COORDINATES_A_SECOND: f64 = crate::budget::COORDINATES_A_SECOND;
    #[pymodule_export]
    use super::WorkBudgetError;
    #[pymodule_export]
    use super::adaptive::{adaptive, core_distances};
    #[pymodule_export]
    use super::dbscan::dbscan;
    #[pymodule_export]
    use super::predictor::Predictor;
    #[pymodule_export]
    use super::silhouette::silhouette_of;
}
