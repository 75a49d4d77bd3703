"""Holds labels against the definition of DBSCAN on a few rows: for sizes at which scikit-learn does not finish."""

import numpy as np
from numpy.typing import NDArray

CHUNK = 500_000
"""Rows of the data at a time: bounds the memory of the check."""


def spot_check(
    points: NDArray[np.float64],
    labels: NDArray[np.int64],
    cores: NDArray[np.int64],
    eps: float,
    min_samples: int,
    *,
    rows: int = 100,
    seed: int = 0,
) -> tuple[int, int]:
    """(wrong, checked) among randomly drawn rows, by the euclidean distance to every row.

    A row is right if it is core exactly when it has enough neighbours, if all core samples next to a core have its
    label, and if any other row has the lowest label of the core samples next to it, or none if there are none.
    """
    drawn = np.random.default_rng(seed).choice(len(points), min(rows, len(points)), replace=False)
    is_core = np.zeros(len(points), dtype=bool)
    is_core[cores] = True
    wrong = 0
    for row in drawn:
        near = _neighbours(points, row, eps)
        core_labels = labels[near[is_core[near]]]
        right = is_core[row] == (len(near) >= min_samples)
        if is_core[row]:
            right &= bool((core_labels == labels[row]).all()) and labels[row] >= 0
        else:
            right &= labels[row] == (core_labels.min() if len(core_labels) else -1)
        wrong += not right
    return wrong, len(drawn)


def _neighbours(points: NDArray[np.float64], row: int, eps: float) -> NDArray[np.int64]:
    """Numbers of the rows within eps of one row, itself included."""
    near = []
    for begin in range(0, len(points), CHUNK):
        apart = points[begin : begin + CHUNK] - points[row]
        near.append(begin + np.flatnonzero(np.einsum("ij,ij->i", apart, apart) <= eps * eps))
    return np.concatenate(near)
