//! Maps every metric into a space where boxes bound distances, and says how far that space can be trusted.
//!
//! Called by the trees. Euclidean, Manhattan and Chebyshev rows are their own embedding. Haversine rows become points of the unit
//! sphere and cosine rows unit vectors; their reduced distance is then a squared chord, which agrees with the metric up to rounding.
//! Within that rounding (between `accept` and `reject`) the metric's own formula decides, never the chord.

use std::borrow::Cow;

use crate::error::{Result, filled, room};
use crate::metric::{Metric, normalise};

/// The rows of a data set as the index sees them.
pub struct Embedded<'a> {
    pub coords: Cow<'a, [f64]>,
    pub width: usize,
    /// Rows that have a place in the space.
    pub rows: Vec<u32>,
    /// Zero vectors under cosine: at distance exactly 1 from everything else, so in no place at all.
    pub directionless: Vec<u32>,
}

pub fn embedded_width(metric: Metric, width: usize) -> usize {
    if metric == Metric::Haversine { 3 } else { width }
}

pub fn embed_rows<'a>(metric: Metric, points: &'a [f64], width: usize, n: usize) -> Result<Embedded<'a>> {
    let embedded = embedded_width(metric, width);
    if !matches!(metric, Metric::Haversine | Metric::Cosine) {
        let mut rows = room(n)?;
        rows.extend(0..n as u32);
        return Ok(Embedded { coords: points.into(), width, rows, directionless: Vec::new() });
    }
    let mut coords = filled(0.0, n.saturating_mul(embedded))?;
    let (mut rows, mut directionless) = (room(n)?, Vec::new());
    for (row, out) in coords.chunks_exact_mut(embedded).enumerate() {
        let placed = embed(metric, &points[row * width..(row + 1) * width], out);
        if placed { rows.push(row as u32) } else { directionless.push(row as u32) }
    }
    Ok(Embedded { coords: coords.into(), width: embedded, rows, directionless })
}

/// Writes one row's place; false where it has none.
pub fn embed(metric: Metric, row: &[f64], out: &mut [f64]) -> bool {
    match metric {
        Metric::Haversine => {
            let (sin_lat, cos_lat) = row[0].sin_cos();
            let (sin_lon, cos_lon) = row[1].sin_cos();
            out.copy_from_slice(&[cos_lat * cos_lon, cos_lat * sin_lon, sin_lat]);
            true
        }
        Metric::Cosine => {
            out.copy_from_slice(row);
            normalise(out)
        }
        Metric::Euclidean | Metric::Manhattan | Metric::Chebyshev => {
            out.copy_from_slice(row);
            true
        }
    }
}

/// The ball of radius eps, in reduced distances.
#[derive(Debug, Clone, Copy)]
pub struct Ball {
    /// At or below: inside, whatever the metric's own formula rounds to.
    pub accept: f64,
    /// Above: outside. Between the two, `limit` decides on the metric's own rank.
    pub reject: f64,
    /// Bound on the metric's rank: eps² (euclidean), sin²(eps/2) (haversine), eps itself otherwise.
    pub limit: f64,
    slack: Slack,
}

#[derive(Debug, Clone, Copy)]
enum Slack {
    None,
    Haversine(f64),
    Cosine(f64),
}

impl Ball {
    /// `largest` is the largest absolute angle in the data (haversine), `width` the number of columns.
    pub fn new(metric: Metric, eps: f64, width: usize, largest: f64) -> Self {
        let plain = |limit| Self { accept: limit, reject: limit, limit, slack: Slack::None };
        match metric {
            Metric::Euclidean => plain(eps * eps),
            Metric::Manhattan | Metric::Chebyshev => plain(eps),
            Metric::Haversine => {
                // Sine and cosine are within an ulp, so a chord is within a few; differences of large angles lose theirs.
                let slack = Slack::Haversine(1e-14 + 4.0 * f64::EPSILON * largest);
                if eps >= std::f64::consts::PI {
                    return Self { accept: f64::INFINITY, reject: f64::INFINITY, limit: f64::INFINITY, slack };
                }
                let half = (0.5 * eps).sin();
                Self::around(half * half, slack)
            }
            Metric::Cosine => Self::around(eps, Slack::Cosine(8.0 * (width as f64 + 4.0) * f64::EPSILON)),
        }
    }

    fn around(limit: f64, slack: Slack) -> Self {
        let (accept, reject) = (slack.reduced(limit, -1.0), slack.reduced(limit, 1.0));
        Self { accept, reject, limit, slack }
    }

    /// The largest reduced distance at which a point's rank may still be `rank` or less.
    pub fn reach(&self, rank: f64) -> f64 {
        self.slack.reduced(rank, 1.0)
    }

    /// Whether reduced distances are the metric's ranks themselves.
    pub fn is_plain(&self) -> bool {
        matches!(self.slack, Slack::None)
    }
}

impl Slack {
    fn reduced(self, rank: f64, side: f64) -> f64 {
        match self {
            Self::None => rank,
            Self::Haversine(slack) => {
                let chord = 2.0 * rank.max(0.0).sqrt() + side * slack;
                if chord < 0.0 { -1.0 } else { chord * chord }
            }
            Self::Cosine(slack) => 2.0 * (rank + side * slack),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_balls_have_no_doubtful_shell() {
        let ball = Ball::new(Metric::Euclidean, 0.1, 2, 0.0);
        assert_eq!((ball.accept, ball.reject, ball.limit), (0.1 * 0.1, 0.1 * 0.1, 0.1 * 0.1));
        assert!(ball.is_plain());
    }

    #[test]
    fn a_tiny_haversine_ball_accepts_nothing_unchecked() {
        let ball = Ball::new(Metric::Haversine, 1e-16, 2, 1.0);
        assert!(ball.accept < 0.0 && ball.reject > 0.0);
    }

    #[test]
    fn half_the_globe_reaches_everything() {
        assert_eq!(Ball::new(Metric::Haversine, 3.2, 2, 1.0).accept, f64::INFINITY);
    }
}
