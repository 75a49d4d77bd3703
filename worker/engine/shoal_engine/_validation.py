"""Turns what users pass as X into a finite, C-contiguous float64 matrix, or says in scikit-learn's words why not.

Called by the estimator and the silhouette. It never modifies its input; what already fits is passed on without a copy.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def as_matrix(X: ArrayLike, owner: str) -> NDArray[np.float64]:  # noqa: N803
    """Return X as rows of float64 columns; NaN and infinity are refused by the engine itself."""
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        raise TypeError(
            "Sparse data was passed for X, but dense data is required. "
            "Use '.toarray()' to convert to a dense numpy array."
        )
    array: NDArray[Any] = np.asarray(X)
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported\n{array}\n")
    if array.dtype.kind in "USV":
        raise ValueError(
            "dtype='numeric' is not compatible with arrays of bytes/strings. "
            "Convert your data to numeric values explicitly instead."
        )
    if array.dtype.kind in "Mm":
        raise TypeError(f"The DType {array.dtype} cannot be converted to float64. Convert your data to numeric values.")
    if array.ndim != 2:
        found = {0: "scalar", 1: "1D"}.get(array.ndim)
        if found is None:
            raise ValueError(f"Found array with dim {array.ndim}, while dim <= 2 is required by {owner}.")
        raise ValueError(
            f"Expected 2D array, got {found} array instead:\narray={array}.\n"
            "Reshape your data either using array.reshape(-1, 1) if your data has a single feature or "
            "array.reshape(1, -1) if it contains a single sample."
        )
    for size, kind in zip(array.shape, ("sample", "feature"), strict=True):
        if size == 0:
            raise ValueError(
                f"Found array with 0 {kind}(s) (shape={array.shape}) while a minimum of 1 is required by {owner}."
            )
    return np.ascontiguousarray(array, dtype=np.float64)
