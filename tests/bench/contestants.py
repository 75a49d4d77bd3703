"""Every library that takes part: how it is called, and what it can take. Loaded inside the child process.

`load` imports the library, outside of the clock, and returns a function that answers (labels, core row numbers or
None). Threads: as many as the machine has cores, wherever the library lets one choose.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Fit = Callable[..., tuple[Any, Any]]
"""(points, eps, min_samples, metric) for exact, (points, min_samples, min_cluster_size) for adaptive contestants."""
OURS = "shoal"


@dataclass(frozen=True)
class Contestant:
    """One library in one role."""

    name: str
    package: str
    load: Callable[[], Fit]
    max_d: int = 1000
    metrics: frozenset[str] = frozenset({"euclidean"})
    seconds: float = 8.0
    """Limit for one fit."""


def _shoal(**options: str) -> Fit:
    from shoal_engine import DBSCAN

    def fit(points, eps, min_samples, metric):  # type: ignore[no-untyped-def]
        model = DBSCAN(eps=eps, min_samples=min_samples, metric=metric, **options).fit(points)
        return model.labels_, model.core_sample_indices_

    return fit


def _sklearn() -> Fit:
    from sklearn.cluster import DBSCAN

    def fit(points, eps, min_samples, metric):  # type: ignore[no-untyped-def]
        tree = "ball_tree" if metric == "haversine" else "auto"
        model = DBSCAN(eps=eps, min_samples=min_samples, metric=metric, algorithm=tree, n_jobs=-1).fit(points)
        return model.labels_, model.core_sample_indices_

    return fit


def _intelex() -> Fit:
    from sklearnex.cluster import DBSCAN

    def fit(points, eps, min_samples, metric):  # type: ignore[no-untyped-def]
        model = DBSCAN(eps=eps, min_samples=min_samples, metric=metric, n_jobs=-1).fit(points)
        return model.labels_, model.core_sample_indices_

    return fit


def _wang() -> Fit:
    from dbscan import DBSCAN

    def fit(points, eps, min_samples, metric):  # type: ignore[no-untyped-def]
        labels, cores = DBSCAN(points, eps=eps, min_samples=min_samples)
        return labels, np.flatnonzero(cores)

    return fit


def _mlpack() -> Fit:
    import mlpack

    def fit(points, eps, min_samples, metric):  # type: ignore[no-untyped-def]
        found = mlpack.dbscan(input_=points, epsilon=eps, min_size=min_samples)["assignments"]
        labels = np.asarray(found).ravel()
        # Noise is the largest unsigned number there.
        return np.where(labels > len(labels), -1, labels.astype(np.int64)), None

    return fit


def _open3d() -> Fit:
    import open3d

    def fit(points, eps, min_samples, metric):  # type: ignore[no-untyped-def]
        if points.shape[1] == 2:
            points = np.column_stack([points, np.zeros(len(points))])
        cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
        return np.asarray(cloud.cluster_dbscan(eps, min_samples)), None

    return fit


def _shoal_adaptive() -> Fit:
    from shoal_engine import AdaptiveDBSCAN

    def fit(points, min_samples, min_cluster_size):  # type: ignore[no-untyped-def]
        return AdaptiveDBSCAN(min_samples=min_samples, min_cluster_size=min_cluster_size).fit(points).labels_, None

    return fit


def _hierarchical(module: str, **options: Any) -> Callable[[], Fit]:
    """HDBSCAN as four packages spell it alike."""

    def load() -> Fit:
        from importlib import import_module

        hdbscan = import_module(module).HDBSCAN

        def fit(points, min_samples, min_cluster_size):  # type: ignore[no-untyped-def]
            model = hdbscan(min_cluster_size=min_cluster_size, min_samples=min_samples, **options)
            return model.fit_predict(points), None

        return fit

    return load


def _enhanced() -> Fit:
    import logging

    from enhanced_adaptive_dbscan.dbscan import EnhancedAdaptiveDBSCAN

    logging.disable(logging.CRITICAL)

    def fit(points, min_samples, min_cluster_size):  # type: ignore[no-untyped-def]
        model = EnhancedAdaptiveDBSCAN(k=min_samples, max_points=10**9)
        model.fit(points)
        return model.labels_, None

    return fit


EXACT = {
    each.name: each
    for each in (
        Contestant(OURS, "shoal-engine", _shoal, metrics=frozenset({"euclidean", "haversine"}), seconds=60),
        Contestant("dbscan (Wang)", "dbscan", _wang, max_d=20, seconds=40),
        # Its labels are the definition, so it gets the time to finish.
        Contestant("scikit-learn", "scikit-learn", _sklearn, metrics=frozenset({"euclidean", "haversine"}), seconds=30),
        Contestant("scikit-learn-intelex", "scikit-learn-intelex", _intelex),
        Contestant("mlpack", "mlpack", _mlpack),
        Contestant("open3d", "open3d", _open3d, max_d=3),
    )
}
"""Plain DBSCAN."""

ADAPTIVE = {
    each.name: each
    for each in (
        Contestant(OURS, "shoal-engine", _shoal_adaptive, seconds=60),
        Contestant("hdbscan", "hdbscan", _hierarchical("hdbscan"), seconds=40),
        Contestant("fast_hdbscan", "fast_hdbscan", _hierarchical("fast_hdbscan"), seconds=40),
        Contestant("hdbscan-rs", "hdbscan-rs", _hierarchical("hdbscan_rs"), seconds=40),
        Contestant(
            "scikit-learn HDBSCAN", "scikit-learn", _hierarchical("sklearn.cluster", n_jobs=-1, copy=True), seconds=15
        ),
        # It looks at the first two columns only.
        Contestant("enhanced-adaptive-dbscan", "enhanced-adaptive-dbscan", _enhanced, max_d=2, seconds=12),
    )
}
"""Clustering of data whose density varies."""
ROLES = {"exact": EXACT, "adaptive": ADAPTIVE}
