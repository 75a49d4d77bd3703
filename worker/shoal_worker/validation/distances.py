"""Distances between all rows of two small sets, by the engine's metrics; for figures on samples, never on a data set.

Called by `dbcv` and `edges`. Invariant: zero rows are at distance 1 from everything under cosine.
"""

import numpy as np

from shoal_worker.artifact.manifest import Metric

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def distances_between(left: Floats, right: Floats, metric: Metric) -> Floats:
    """Matrix of distances: a row for each of `left`, a column for each of `right`."""
    if metric == "cosine":
        return np.asarray(1.0 - np.clip(_directions(left) @ _directions(right).T, -1.0, 1.0))
    if metric == "haversine":
        return _on_the_globe(left, right)
    total = np.zeros((len(left), len(right)))
    # Column by column: memory for one difference, not for all columns of it.
    for column in range(left.shape[1]):
        difference = np.abs(left[:, column, None] - right[None, :, column])
        if metric == "chebyshev":
            np.maximum(total, difference, out=total)
        elif metric == "manhattan":
            total += difference
        else:
            total += difference * difference
    return np.sqrt(total) if metric == "euclidean" else total


def _directions(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0))


def _on_the_globe(left: Floats, right: Floats) -> Floats:
    latitudes, longitudes = (left[:, column, None] - right[None, :, column] for column in (0, 1))
    cosines = np.cos(left[:, 0, None]) * np.cos(right[None, :, 0])
    half_chord = np.sin(latitudes / 2) ** 2 + cosines * np.sin(longitudes / 2) ** 2
    return np.asarray(2 * np.arcsin(np.sqrt(np.clip(half_chord, 0.0, 1.0))))
