"""The figures of a clustering, which go into its manifest and decide between trials of a search; called by both.

Invariant: equal clusterings have equal figures; what is sampled is drawn by a fixed seed.
"""

import numpy as np

from shoal_engine import silhouette
from shoal_worker.artifact.files import FloatArray
from shoal_worker.artifact.manifest import Metric, ModelMetrics
from shoal_worker.training.fit import Fitted
from shoal_worker.validation.dbcv import dbcv

_SILHOUETTE_ROWS = 2000
_SEED = 0


def measure(points: FloatArray, fitted: Fitted, metric: Metric) -> ModelMetrics:
    """Counts, noise, and two figures of quality, None with fewer than two clusters."""
    labels = fitted.labels
    clusters = int(labels.max(initial=-1)) + 1
    found = (
        silhouette(points, labels, metric=metric, sample_size=_SILHOUETTE_ROWS, seed=_SEED) if clusters > 1 else None
    )
    return ModelMetrics(
        rows=len(labels),
        clusters=clusters,
        noise_ratio=float(np.count_nonzero(labels == -1)) / len(labels),
        core_samples=len(fitted.core_rows),
        silhouette=found if found is not None and np.isfinite(found) else None,
        dbcv=dbcv(points, labels, metric, seed=_SEED),
    )
