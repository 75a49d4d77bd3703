"""How far two labellings of the same rows agree: the adjusted Rand index, with an interval; called by `relative`.

Noise counts as a cluster of its own: rows that became noise are a change that users see.
"""

from dataclasses import dataclass

import numpy as np

_RESAMPLES = 200
_INTERVAL = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Agreement:
    """The index, 1 for equal partitions and about 0 for unrelated ones, and its 95 % bootstrap interval."""

    index: float
    low: float
    high: float


def agreement_of(left: np.ndarray, right: np.ndarray, *, seed: int = 0) -> Agreement:
    """Compare two labellings, at least one row each; the names of the labels do not matter.

    The bootstrap draws rows with replacement, which is the same as drawing the counts of the contingency table's cells.
    """
    pairs = np.stack([np.unique(labels, return_inverse=True)[1].ravel() for labels in (left, right)])
    cells, counts = np.unique(pairs, axis=1, return_counts=True)
    index = adjusted_rand(cells, counts)
    draws = np.random.default_rng(seed).multinomial(len(left), counts / counts.sum(), size=_RESAMPLES)
    low, high = np.quantile([adjusted_rand(cells, draw) for draw in draws], _INTERVAL)
    return Agreement(index, min(float(low), index), max(float(high), index))


def adjusted_rand(cells: np.ndarray, counts: np.ndarray) -> float:
    """Index of a contingency table, given as its cells (row and column of each) and their counts.

    L. Hubert and P. Arabie, "Comparing partitions", Journal of Classification 2, 1985.
    """
    together = _pairs(counts)
    of_left, of_right = (_pairs(np.bincount(side, weights=counts)) for side in cells)
    everything = _pairs(np.array([counts.sum()]))
    expected = of_left * of_right / everything if everything else 0.0
    largest = (of_left + of_right) / 2
    # Both put each row alone, or all in one: they are equal.
    return 1.0 if largest == expected else float((together - expected) / (largest - expected))


def _pairs(counts: np.ndarray) -> float:
    numbers = np.asarray(counts, dtype=np.float64)
    return float((numbers * (numbers - 1) / 2).sum())
