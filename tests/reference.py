"""What an adaptive model must answer, by definition and brute force; for the tests of the worker and of the cluster."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal_engine import AdaptiveDBSCAN


def answers_of(fitted: AdaptiveDBSCAN, points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return labels and strengths of rows, euclidean.

    The label is that of the nearest core sample whose cluster's radius covers the row. The strength is the smaller of
    that core sample's own and of peak / max(distance, peak): peak is the smallest radius in the cluster's subtree.
    """
    cores = fitted.labels_[fitted.core_sample_indices_]
    distances = np.linalg.norm(points[:, None, :] - fitted.components_[None, :, :], axis=2)
    distances[distances > fitted.cluster_eps_[cores]] = np.inf
    nearest = np.argmin(distances, axis=1)
    distance = distances[np.arange(len(points)), nearest]
    found = np.isfinite(distance)
    peaks = np.array([peak_of(fitted.tree_, label) for label in range(len(fitted.cluster_eps_))])[cores[nearest]]
    own = fitted.probabilities_[fitted.core_sample_indices_][nearest]
    with np.errstate(divide="ignore"):
        strengths = np.minimum(own, peaks / np.maximum(distance, peaks))
    return np.where(found, cores[nearest], -1), np.where(found, strengths, 0.0)


def peak_of(tree: NDArray[np.void], label: int) -> float:
    """Return the smallest radius at which a cluster, or one that became part of it, appears."""
    below = {int(tree["child"][tree["label"] == label][0])}
    while more := {int(row["child"]) for row in tree if int(row["parent"]) in below} - below:
        below |= more
    return float(min(tree["appears"][sorted(below)]))
