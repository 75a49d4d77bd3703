"""The sampled silhouette: how well separated clusters are, without their noise.

Training's validation calls it. The cost is bounded by `sample_size` squared, and the same seed draws the same sample.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal_engine import _engine
from shoal_engine._validation import as_matrix


def silhouette(
    X: ArrayLike,  # noqa: N803
    labels: ArrayLike,
    metric: str = "euclidean",
    sample_size: int = 2000,
    seed: int = 0,
) -> float | None:
    """Mean silhouette of at most `sample_size` rows with a label >= 0; None where fewer than two clusters are left."""
    if sample_size < 2:
        raise ValueError(f"sample_size must be >= 2. Got {sample_size!r} instead.")
    matrix = as_matrix(X, "silhouette")
    found: NDArray[np.int64] = np.asarray(labels, dtype=np.int64)
    if found.shape != (matrix.shape[0],):
        raise ValueError(
            f"labels must hold one label per row of X: {matrix.shape[0]} rows, labels of shape {found.shape}."
        )
    rows = np.flatnonzero(found >= 0)
    if rows.size > sample_size:
        rows = np.sort(np.random.default_rng(seed).choice(rows, size=sample_size, replace=False))
    names, numbers = np.unique(found[rows], return_inverse=True)
    # As many clusters as rows say nothing about separation, as in scikit-learn.
    if not 2 <= names.size < rows.size:
        return None
    return _engine.silhouette_of(matrix[rows], numbers.astype(np.int64), int(names.size), metric)
