//! DBSCAN over a grid of cells, for up to three columns.
//!
//! Called by `dbscan`. Any two points of a cell are within eps of each other, so a cell's cores are always of one cluster: clusters
//! are sets of cells, and most cells need no distance at all. Memory is O(n): the points in the order of cells, their rows, and
//! a few words per cell.

mod cells;
mod close;
mod connect;
mod cores;
mod frame;
mod labels;

use crate::control::{Control, Stage};
use crate::dbscan::{Clustering, Job};
use crate::error::Result;
use crate::grid::cells::Cells;
use crate::grid::connect::connect;
use crate::grid::cores::find_cores;
use crate::grid::frame::Frame;
use crate::grid::labels::{label, number};
use crate::metric::{Kernel, MaxAbs, Metric, SumAbs, SumSquares};
use crate::space::Ball;
use crate::value::Value;

/// Clusters on the current thread pool; None where the grid is no way to do it.
pub fn cluster<T: Value>(job: Job<'_, T>, control: &Control) -> Result<Option<Clustering>> {
    match job.metric {
        Metric::Euclidean => by_width::<SumSquares, T>(job, control),
        Metric::Manhattan => by_width::<SumAbs, T>(job, control),
        Metric::Chebyshev => by_width::<MaxAbs, T>(job, control),
        Metric::Haversine | Metric::Cosine => Ok(None),
    }
}

fn by_width<K: Kernel, T: Value>(job: Job<'_, T>, control: &Control) -> Result<Option<Clustering>> {
    match job.width {
        1 => fit::<K, 1, T>(job, control),
        2 => fit::<K, 2, T>(job, control),
        3 => fit::<K, 3, T>(job, control),
        _ => Ok(None),
    }
}

fn fit<K: Kernel, const D: usize, T: Value>(job: Job<'_, T>, control: &Control) -> Result<Option<Clustering>> {
    let n = job.rows();
    control.begin(Stage::Index, 1);
    let Some(frame) = Frame::<D>::new::<K, T>(&job) else { return Ok(None) };
    let limit = Ball::new(job.metric, job.eps, D, 0.0).limit;
    let mut cells = Cells::build(job.points, frame, control)?;
    control.begin(Stage::Cores, n);
    let ends = find_cores::<K, D, T>(&mut cells, &job, limit, control)?;
    let sets = connect::<K, D, T>(&cells, &ends, limit, control)?;
    let numbers = number(&cells, &ends, sets)?;
    label::<K, D, T>(cells, ends, numbers, limit, control).map(Some)
}
