"""How far two labellings of the same rows agree: the adjusted Rand index, with an interval; called by `relative`.

Noise counts as a cluster of its own: rows that became noise are a change that users see.
"""

from dataclasses import dataclass

import numpy as np

from shoal_worker.agreement.tables import adjusted_rand, build_table, find_cells

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
    cells = find_cells(left, right)
    counts = np.bincount(cells.of_data)
    index = adjusted_rand(build_table(cells, counts))
    draws = np.random.default_rng(seed).multinomial(len(left), counts / counts.sum(), size=_RESAMPLES)
    low, high = np.quantile([adjusted_rand(build_table(cells, draw)) for draw in draws], _INTERVAL)
    return Agreement(index, min(float(low), index), max(float(high), index))
