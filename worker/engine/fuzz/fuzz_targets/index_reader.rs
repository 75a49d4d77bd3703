//! Arrays that lie: whatever a model file claims, opening it and asking it never panics and never allocates on its word.
#![no_main]

use std::num::NonZeroUsize;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use shoal_engine::metric::Metric;
use shoal_engine::predict::build::{Built, Cores};
use shoal_engine::predict::radii::Eps;
use shoal_engine::predict::{Predictor, build, open};

/// An honest index, and what is done to it.
#[derive(Arbitrary, Debug)]
struct Input {
    metric: u8,
    width: u8,
    points: Vec<i16>,
    labels: Vec<u8>,
    radii: Vec<u8>,
    lies: Vec<Lie>,
    rows: Vec<f32>,
}

#[derive(Arbitrary, Debug)]
enum Lie {
    /// Another value somewhere in an array.
    Value { array: u8, place: u16, bits: u64 },
    /// Another length.
    Length { array: u8, len: u16, bits: u64 },
    /// An array of one value.
    Fill { array: u8, bits: u64 },
}

fuzz_target!(|input: Input| {
    let metric = Metric::ALL[usize::from(input.metric) % 5];
    let width = if metric == Metric::Haversine { 2 } else { usize::from(input.width % 5) + 1 };
    let radius = |eps: &u8| f64::from(*eps) / 16.0;
    let eps = match input.radii.as_slice() {
        [] => Eps::One(0.5),
        [eps] => Eps::One(radius(eps).max(1e-9)),
        radii => Eps::Each(radii.iter().map(radius).collect()),
    };
    let points: Vec<f64> = input.points.iter().map(|&x| f64::from(x) / 64.0).collect();
    let cores = points.len() / width;
    let labels = eps.labels().unwrap_or(3) as i32;
    let labels: Vec<i32> =
        (0..cores).map(|i| input.labels.get(i).map_or(0, |&label| i32::from(label) % labels)).collect();
    let cores = Cores { points: &points[..cores * width], width, labels: &labels };
    let (mut built, _) = build(metric, cores, eps.clone()).expect("an honest index can be built");
    input.lies.iter().for_each(|lie| tell(&mut built, lie));
    let Ok((radii, meta)) = open(built.arrays(), metric, eps) else { return };
    let Ok(predictor) = Predictor::over(built.arrays(), &radii, NonZeroUsize::MIN) else { return };
    let rows: Vec<f32> = input.rows.into_iter().filter(|x| x.is_finite()).collect();
    let rows = &rows[..rows.len() / meta.features * meta.features];
    let answers = predictor.predict(rows).expect("no more memory than rows");
    assert_eq!(answers.len() * meta.features, rows.len());
    assert_eq!(predictor.nearest(rows).expect("no more memory than rows").len(), answers.len());
});

fn tell(built: &mut Built, lie: &Lie) {
    let (&Lie::Value { array, .. } | &Lie::Length { array, .. } | &Lie::Fill { array, .. }) = lie;
    match array % 10 {
        0 => change(&mut built.meta, lie, |bits| bits),
        1 => change(&mut built.frame, lie, f64::from_bits),
        2 => change(&mut built.points, lie, f64::from_bits),
        3 => change(&mut built.angles, lie, f64::from_bits),
        4 => change(&mut built.labels, lie, |bits| bits as i32),
        5 => change(&mut built.rows, lie, |bits| bits as u32),
        6 => change(&mut built.boxes, lie, |bits| f32::from_bits(bits as u32)),
        7 => change(&mut built.reaches, lie, f64::from_bits),
        8 => change(&mut built.alone, lie, |bits| bits as i32),
        _ => change(&mut built.map, lie, |bits| bits),
    }
}

fn change<T: Copy>(array: &mut Vec<T>, lie: &Lie, value: fn(u64) -> T) {
    match *lie {
        Lie::Value { place, bits, .. } => {
            let len = array.len().max(1);
            if let Some(item) = array.get_mut(usize::from(place) % len) {
                *item = value(bits);
            }
        }
        Lie::Length { len, bits, .. } => array.resize(usize::from(len), value(bits)),
        Lie::Fill { bits, .. } => array.fill(value(bits)),
    }
}
