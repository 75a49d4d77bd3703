"""A clustering whose rows are hard to label: many small clusters among many columns, and rows between them.

No cluster is near such a row, which an index cannot tell without a look at most of them. So a row takes a fraction of a
millisecond, hundreds of times what its transport and its parsing do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CLUSTERS, COLUMNS, MIN_SAMPLES, EPS = 10_000, 32, 3, 1.0
_SPREAD = 0.001


def training_rows() -> NDArray[np.float64]:
    """Three rows of each cluster."""
    random = np.random.default_rng(1)
    centres = np.repeat(random.random((CLUSTERS, COLUMNS)), MIN_SAMPLES, axis=0)
    return centres + random.normal(0.0, _SPREAD, centres.shape)


def rows_between(count: int, seed: int = 2) -> NDArray[np.float64]:
    """Rows of which nearly all are noise."""
    return np.random.default_rng(seed).random((count, COLUMNS))
