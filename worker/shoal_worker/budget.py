"""How much work a fit may cost: the distances that this machine computes until the deadline; called by `training`.

Invariant: generous. The rate is that of distances computed back to back, which no fit exceeds, so that what is refused
could not have ended in time; what is let through may still meet the deadline.
"""

import time

import numpy as np

from shoal_engine import silhouette
from shoal_worker.artifact import FloatArray
from shoal_worker.manifest import Metric

_SAMPLE = 512
_RUNS = 3
_SEED = 0


def work_budget(points: FloatArray, metric: Metric, seconds: float) -> int:
    """Most distance computations within `seconds` on all cores; one between rows of these columns is timed."""
    return int(seconds * distances_per_second(points, metric))


def distances_per_second(points: FloatArray, metric: Metric) -> float:
    """Measure on a sample of the rows: the silhouette of k rows computes k * k distances, on all cores."""
    chosen = np.random.default_rng(_SEED).integers(0, len(points), size=_SAMPLE)
    sample, halves = points[chosen], np.arange(_SAMPLE) % 2
    fastest = min(_timed(sample, halves, metric) for _ in range(_RUNS))
    return _SAMPLE * _SAMPLE / fastest


def _timed(sample: FloatArray, labels: np.ndarray, metric: Metric) -> float:
    started = time.perf_counter()
    silhouette(sample, labels, metric=metric, sample_size=_SAMPLE)
    return max(time.perf_counter() - started, 1e-9)
