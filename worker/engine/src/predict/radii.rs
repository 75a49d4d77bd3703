//! How far labels reach: one radius for all, or one for each.
//!
//! `Predictor` makes one; searches ask it for the ball of a label. A ball's doubtful shell grows with the largest angle in play, so
//! rows with angles beyond any sensible one get balls of their own.

use crate::error::{Result, invalid};
use crate::metric::Metric;
use crate::space::Ball;

/// Rows with larger angles, in radians, are rare enough to pay for their own balls.
const SENSIBLE_ANGLE: f64 = 1000.0;

#[derive(Debug, Clone)]
pub struct Radii {
    metric: Metric,
    width: usize,
    eps: Eps,
    balls: Vec<Ball>,
    /// The largest angle for which `balls` hold.
    largest: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Eps {
    One(f64),
    /// By label.
    Each(Vec<f64>),
}

impl Eps {
    /// Refuses what is no radius. One for all must be above zero; a cluster of equal rows may have radius zero.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::One(eps) if *eps > 0.0 && eps.is_finite() => Ok(()),
            Self::One(eps) => {
                invalid(format!("The 'eps' parameter must be a float in the range (0.0, inf). Got {eps:?} instead."))
            }
            Self::Each(radii) => match radii.iter().position(|eps| !(*eps >= 0.0 && eps.is_finite())) {
                None => Ok(()),
                Some(label) => invalid(format!(
                    "The 'eps' of every label must be a float in the range [0.0, inf). Got {:?} for label {label} instead.",
                    radii[label]
                )),
            },
        }
    }

    pub fn labels(&self) -> Option<usize> {
        match self {
            Self::One(_) => None,
            Self::Each(radii) => Some(radii.len()),
        }
    }

    fn values(&self) -> &[f64] {
        match self {
            Self::One(eps) => std::slice::from_ref(eps),
            Self::Each(radii) => radii,
        }
    }
}

impl Radii {
    /// `largest` is the largest absolute angle of a core, `width` the number of columns.
    pub fn new(metric: Metric, eps: Eps, width: usize, largest: f64) -> Self {
        let largest = largest.max(SENSIBLE_ANGLE);
        let balls = eps.values().iter().map(|&eps| Ball::new(metric, eps, width, largest)).collect();
        Self { metric, width, eps, balls, largest }
    }

    pub fn metric(&self) -> Metric {
        self.metric
    }

    pub fn eps(&self) -> &Eps {
        &self.eps
    }

    /// None where `self` holds for the row; else radii that do.
    pub fn wider(&self, row: &[f64]) -> Option<Self> {
        if self.metric != Metric::Haversine {
            return None;
        }
        let largest = row.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
        (largest > self.largest).then(|| Self::new(self.metric, self.eps.clone(), self.width, largest))
    }

    /// The ball of a label; None for a label without a radius.
    #[inline]
    pub fn ball(&self, label: i32) -> Option<&Ball> {
        match self.eps {
            Eps::One(_) => self.balls.first(),
            Eps::Each(_) => self.balls.get(usize::try_from(label).ok()?),
        }
    }

    /// The largest reduced distance at which any core may cover a row; below zero without labels.
    pub fn reach(&self) -> f64 {
        self.balls.iter().fold(-1.0, |reach, ball| reach.max(ball.reject))
    }
}
