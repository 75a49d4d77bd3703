//! Hostile data and parameters: a fit and its predictions never panic, depend neither on threads nor on the index, and agree with each other.
#![no_main]

use std::num::NonZeroUsize;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rayon::{ThreadPool, ThreadPoolBuilder};
use shoal_engine::control::Control;
use shoal_engine::dbscan::{Index, Job, cluster};
use shoal_engine::metric::Metric;
use shoal_engine::predict::build::Cores;
use shoal_engine::predict::radii::Eps;
use shoal_engine::predict::{Predictor, build};

static POOLS: LazyLock<[ThreadPool; 2]> =
    LazyLock::new(|| [1, 3].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool")));

#[derive(Arbitrary, Debug)]
struct Input {
    metric: u8,
    width: u8,
    eps: f64,
    min_samples: u32,
    points: Points,
    weights: Option<Vec<i8>>,
}

/// Any floats, or few values that meet again and again.
#[derive(Arbitrary, Debug)]
enum Points {
    Any(Vec<f64>),
    Single(Vec<f32>),
    Grid(Vec<i8>, f64),
}

fuzz_target!(|input: Input| {
    let metric = Metric::ALL[usize::from(input.metric) % 5];
    let width = if metric == Metric::Haversine { 2 } else { usize::from(input.width % 9) + 1 };
    let values: Vec<f64> = match input.points {
        Points::Any(values) => values,
        Points::Single(values) => values.into_iter().map(f64::from).collect(),
        Points::Grid(steps, scale) => steps.into_iter().map(|step| f64::from(step % 8) * scale).collect(),
    };
    let eps = input.eps.abs();
    if !(eps > 0.0 && eps.is_finite()) || values.iter().any(|x| !x.is_finite()) {
        return;
    }
    let rows = values.len() / width;
    let points = &values[..rows * width];
    let weights: Option<Vec<f64>> =
        input.weights.map(|w| (0..rows).map(|row| w.get(row).map_or(1.0, |&w| f64::from(w))).collect());
    let min_samples = 1 + input.min_samples as usize % 12;
    let [found, again] = [(0, Index::Auto), (1, Index::Tree)].map(|(pool, index)| {
        let job =
            Job { points, width, metric, eps, min_samples, weights: weights.as_deref(), index, work_budget: None };
        POOLS[pool].install(|| cluster(job, &Control::default())).expect("nothing stops or outgrows this fit")
    });
    assert_eq!(found, again, "labels depend on the number of threads, or on the index");
    let cores: Vec<f64> =
        found.core_rows.iter().flat_map(|&row| &points[row as usize * width..][..width]).copied().collect();
    let labels: Vec<i32> = found.core_rows.iter().map(|&row| found.labels[row as usize] as i32).collect();
    let cores = Cores { points: &cores, width, labels: &labels };
    let (built, radii) = build(metric, cores, Eps::One(eps)).expect("a fit's cores can be indexed");
    let predictor = Predictor::over(built.arrays(), &radii, NonZeroUsize::MIN).expect("an honest index opens");
    let answers = predictor.predict(points).expect("labels fit into memory");
    let nearest: Vec<i32> =
        predictor.nearest(points).expect("labels fit into memory").iter().map(|nearest| nearest.label).collect();
    assert_eq!(answers, nearest, "the map or a lone node answers otherwise than the nearest core");
});
