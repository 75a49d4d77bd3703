"""A suggestion for DBSCAN's eps: the knee of the k-distance curve, how sure it is, and the curve to look at.

Users call it before they fit `DBSCAN`. The cost is that of one index and `sample_size` searches in it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_engine import _engine
from shoal_engine._parameters import METRICS, Rules, check, integer, one_of
from shoal_engine._validation import as_matrix

_RULES: Rules = {
    "min_samples": (integer(1),),
    "metric": (one_of(*METRICS),),
    "sample_size": (integer(10),),
    "seed": (integer(0),),
}
_RESAMPLES = 200
_INTERVAL = (0.05, 0.95)


@dataclass(frozen=True, slots=True, eq=False)
class EpsSuggestion:
    """A radius and the k-distance curve that it comes from.

    Attributes
    ----------
    eps : distance at the knee of the curve, in the metric's unit.
    low, high : where 90 % of the knees of resampled curves lie; far apart, they say that one eps fits the data badly
        and `AdaptiveDBSCAN` may do better.
    ranks : float64 (m,), the share of sampled rows, from 1/m to 1: the curve's x axis.
    distances : float64 (m,), their distance to the min_samples-th nearest row, themselves included, ascending: its y
        axis.
    """

    eps: float
    low: float
    high: float
    ranks: NDArray[np.float64]
    distances: NDArray[np.float64]


def suggest_eps(
    X: object,  # noqa: N803
    *,
    min_samples: int = 5,
    metric: str = "euclidean",
    sample_size: int = 5000,
    seed: int = 0,
) -> EpsSuggestion:
    """Suggest an eps for DBSCAN with these `min_samples` on X of shape (n, d).

    Distances are exact, to all rows of X; only the rows that they are measured from are a sample, drawn by `seed`. The
    knee is that of Satopää, Albrecht, Irwin and Raghavan, "Finding a 'Kneedle' in a Haystack" (2011): the point of the
    curve farthest below the line between its ends. The interval is a percentile bootstrap over the sampled rows.
    """
    values = {"min_samples": min_samples, "metric": metric, "sample_size": sample_size, "seed": seed}
    check("suggest_eps", _RULES, values)
    matrix = as_matrix(X, "suggest_eps", keep_float32=True)
    n = matrix.shape[0]
    if min_samples > n:
        raise ValueError(
            f"min_samples ({min_samples}) must be at most the number of samples in X ({n}); "
            "lower min_samples or pass more rows."
        )
    rng = np.random.default_rng(seed)
    rows = np.arange(n) if n <= sample_size else np.sort(rng.choice(n, size=sample_size, replace=False))
    found = _engine.core_distances(matrix, rows, int(min_samples), metric, None)
    distances = np.sort(found[np.isfinite(found) & (found > 0)])
    if distances.size == 0:
        raise ValueError(
            f"Every sampled row has {min_samples} rows at distance 0, so X tells no eps; "
            "raise min_samples, or pick any eps below the distance of different rows."
        )
    resampled = np.sort(rng.choice(distances, size=(_RESAMPLES, distances.size)), axis=1)
    low, high = np.quantile([_knee(curve) for curve in resampled], _INTERVAL)
    eps = _knee(distances)
    # The bootstrap may miss the curve's own knee where that stands alone.
    low, high = min(float(low), eps), max(float(high), eps)
    return EpsSuggestion(eps, low, high, np.arange(1, distances.size + 1) / distances.size, distances)


def _knee(curve: NDArray[np.float64]) -> float:
    """Return the value of an ascending curve where it lies farthest below the line between its ends."""
    span = curve[-1] - curve[0]
    if not span > 0:
        return float(curve[-1])
    below = np.linspace(0.0, 1.0, curve.size) - (curve - curve[0]) / span
    return float(curve[np.argmax(below)])
