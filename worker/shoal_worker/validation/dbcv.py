"""DBCV: how dense clusters are inside against how sparse the space between them is, for clusters of any shape.

D. Moulavi, P. A. Jaskowiak, R. J. G. B. Campello, A. Zimek and J. Sander, "Density-Based Clustering Validation",
SIAM International Conference on Data Mining, 2014; definitions 1 to 8. Called by `train`, the search and the relative
limits. The cost is that of the sample squared, and the same seed draws the same sample.
"""

from dataclasses import dataclass
from math import isqrt

import numpy as np

from shoal_worker.artifact.manifest import Metric
from shoal_worker.validation.distances import Floats, distances_between

_SAMPLE = 1000
_WORK = 100_000_000
"""Differences of coordinates that a figure may cost."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """One cluster: its rows, the density sparseness inside, and which rows are inner nodes of its spanning tree."""

    rows: np.ndarray
    sparseness: float
    inner: np.ndarray


def dbcv(
    points: Floats, labels: np.ndarray, metric: Metric = "euclidean", *, sample_size: int = _SAMPLE, seed: int = 0
) -> float | None:
    """Validity of a clustering, -1 to 1, on at most `sample_size` rows; None with fewer than two clusters of two rows.

    Noise, and clusters of which the sample has a single row, count as rows of validity 0.
    """
    count = len(labels)
    size = min(sample_size, isqrt(_WORK // max(points.shape[1], 1)))
    if count > size:
        drawn = np.sort(np.random.default_rng(seed).choice(count, size=size, replace=False))
        points, labels, count = points[drawn], labels[drawn], size
    names, sizes = np.unique(labels[labels >= 0], return_counts=True)
    names = names[sizes > 1]
    if len(names) < 2:
        return None
    clustered = np.isin(labels, names)
    points, labels = np.ascontiguousarray(points[clustered]), labels[clustered]
    with np.errstate(over="ignore", invalid="ignore"):
        apart = distances_between(points, points, metric)
    if not np.isfinite(apart).all():
        return None
    members = [np.flatnonzero(labels == name) for name in names]
    cores = np.empty(len(labels))
    for rows in members:
        cores[rows] = _core_distances(apart[np.ix_(rows, rows)], points.shape[1])
    # Definition 2: mutual reachability, with each row's core distance in its own cluster.
    reach = np.maximum(apart, np.maximum(cores[:, None], cores[None, :]))
    shapes = [_shape(reach, rows) for rows in members]
    inner = np.concatenate([shape.inner for shape in shapes])
    validity = 0.0
    for shape in shapes:
        others = inner[labels[inner] != labels[shape.rows[0]]]
        separation = float(reach[np.ix_(shape.inner, others)].min())
        larger = max(separation, shape.sparseness)
        if larger > 0:
            validity += len(shape.rows) / count * (separation - shape.sparseness) / larger
    return validity


def _core_distances(within: Floats, columns: int) -> Floats:
    """All-points core distance of every row of a cluster: (mean of (1 / distance) ** columns) ** (-1 / columns).

    By logarithms, since the powers leave the range of floats from a few hundred columns on. A row with another at
    distance 0 has core distance 0.
    """
    count = len(within)
    others = within[~np.eye(count, dtype=bool)].reshape(count, count - 1)
    with np.errstate(divide="ignore"):
        powers = -columns * np.log(others)
    largest = powers.max(axis=1)
    found = np.zeros(count)
    apart = np.isfinite(largest)
    means = np.log(np.exp(powers[apart] - largest[apart, None]).mean(axis=1)) + largest[apart]
    found[apart] = np.exp(-means / columns)
    return found


def _shape(reach: Floats, rows: np.ndarray) -> _Shape:
    """Density sparseness (definition 5): the longest edge between inner nodes of the spanning tree.

    A tree of two or three rows has no such edge: all of its edges and rows count then.
    """
    starts, ends, lengths = spanning_tree(reach[np.ix_(rows, rows)])
    degrees = np.bincount(np.concatenate([starts, ends]), minlength=len(rows))
    inner = degrees > 1
    between = inner[starts] & inner[ends]
    return _Shape(
        rows,
        float(lengths[between].max() if between.any() else lengths.max()),
        rows[inner] if inner.any() else rows,
    )


def spanning_tree(weights: Floats) -> tuple[np.ndarray, np.ndarray, Floats]:
    """Prim's minimum spanning tree of a dense graph: starts, ends and lengths of its edges.

    Not scipy's, which takes an edge of length 0 for none. Of several minimum trees (core distances make many lengths
    equal) it is always the same one.
    """
    count = len(weights)
    nearest, start = weights[0].copy(), np.zeros(count, dtype=np.int64)
    outside = np.ones(count, dtype=bool)
    outside[0] = False
    ends = np.empty(count - 1, dtype=np.int64)
    for step in range(count - 1):
        added = int(np.argmin(np.where(outside, nearest, np.inf)))
        ends[step], outside[added] = added, False
        closer = outside & (weights[added] < nearest)
        nearest[closer], start[closer] = weights[added][closer], added
    return start[ends], ends, nearest[ends]
