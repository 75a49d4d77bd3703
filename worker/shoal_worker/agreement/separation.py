"""How well two labellings separate the same points: their silhouettes, point by point; used by `figures`.

Both are taken in one space, that of the stable model: its prepared points and its metric. In two spaces they could not
be compared. Invariant: the same at most MOST_POINTS points count for both, none that either labelling calls noise.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shoal_worker.artifact.manifest import Metric
from shoal_worker.validation.distances import Floats, distances_between

MOST_POINTS = 1000
_MOST_DIFFERENCES = 50_000_000
"""Numbers that are subtracted from one another at most: of wide points fewer are drawn."""
_BLOCK_ROWS = 100
_SEED = 0


@dataclass(frozen=True, slots=True)
class Separation:
    """The silhouettes of some points under both labellings; `rows` are their places among all rows."""

    rows: np.ndarray
    left: Floats
    right: Floats


def separate(
    points: Floats, left: np.ndarray, right: np.ndarray, metric: Metric, pause: Callable[[], None]
) -> Separation | None:
    """Silhouettes under both labellings (-1 is noise), None where one has no two clusters among the drawn points."""
    rows = np.flatnonzero((left >= 0) & (right >= 0))
    most = min(MOST_POINTS, int((_MOST_DIFFERENCES / points.shape[1]) ** 0.5))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(_SEED).choice(rows, size=most, replace=False))
    sides = [np.unique(labels[rows], return_inverse=True)[1] for labels in (left, right)]
    if not all(2 <= labels.max(initial=0) + 1 < len(rows) for labels in sides):
        return None
    chosen = np.asarray(points[rows], dtype=np.float64)
    belongs = [np.eye(int(labels.max()) + 1)[labels] for labels in sides]
    found: list[list[Floats]] = [[], []]
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        distances = distances_between(chosen[block], chosen, metric)
        for side, (labels, member) in enumerate(zip(sides, belongs, strict=True)):
            found[side].append(_silhouettes(distances @ member, member.sum(axis=0), labels[block]))
        pause()
    return Separation(rows, np.concatenate(found[0]), np.concatenate(found[1]))


def _silhouettes(distances: Floats, sizes: Floats, own: np.ndarray) -> Floats:
    """(b - a) / max(a, b) of each point, 0 where it is alone in its cluster.

    P. J. Rousseeuw, "Silhouettes", Journal of Computational and Applied Mathematics 20, 1987. a: mean distance to the
    others of its cluster; b: least mean distance to another cluster. distances: sums, to each cluster.
    """
    places = np.arange(len(own))
    others = sizes[own] - 1
    within = distances[places, own] / np.maximum(others, 1)
    means = distances / sizes
    means[places, own] = np.inf
    between = means.min(axis=1)
    largest = np.maximum(within, between)
    return np.asarray(np.divide(between - within, largest, out=np.zeros(len(own)), where=(others > 0) & (largest > 0)))
