"""Turns what users pass as X into a C-contiguous float matrix, or says in scikit-learn's words why not.

Called by the estimators and the functions around them. It never modifies its input; what already fits is passed on
without a copy.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_engine._tables import as_array

_NO_STRINGS = (
    "dtype='numeric' is not compatible with arrays of bytes/strings. "
    "Convert your data to numeric values explicitly instead."
)


def as_matrix(X: object, owner: str, *, keep_float32: bool = False) -> NDArray[Any]:  # noqa: N803
    """Return X as rows of float64 columns; NaN and infinity are refused by the engine itself.

    With `keep_float32`, half and single precision stay (or become) float32, which holds their values exactly.
    """
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        raise TypeError(
            "Sparse data was passed for X, but dense data is required. "
            "Use '.toarray()' to convert to a dense numpy array."
        )
    if isinstance(X, np.matrix):
        raise TypeError("np.matrix is not supported. Please convert to a numpy array with np.asarray.")
    array = as_array(X)
    _check_numbers(array)
    _check_shape(X, array, owner)
    single = keep_float32 and array.dtype in (np.float16, np.float32)
    return np.ascontiguousarray(array, dtype=np.float32 if single else np.float64)


def as_weights(sample_weight: object, n_rows: int) -> NDArray[np.float64] | None:
    """Return one float64 weight per row, from a number, one number per row, or None for none."""
    if sample_weight is None:
        return None
    array = as_array(sample_weight)
    _check_numbers(array)
    weights = np.asarray(array, dtype=np.float64)
    if weights.ndim == 0:
        weights = np.full(n_rows, weights)
    if weights.ndim != 1:
        raise ValueError(
            f"Sample weights must be 1D array or scalar, got {weights.ndim}D array. "
            f"Expected either a scalar value or a 1D array of length {n_rows}."
        )
    if weights.shape != (n_rows,):
        raise ValueError(f"sample_weight.shape == {weights.shape}, expected {(n_rows,)}!")
    if not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return np.ascontiguousarray(weights)


def _check_numbers(array: NDArray[Any]) -> None:
    match array.dtype.kind:
        case "c":
            raise ValueError(f"Complex data not supported\n{array}\n")
        case "U" | "S" | "V" | "T":
            raise ValueError(_NO_STRINGS)
        case "M" | "m":
            raise TypeError(
                f"The DType {array.dtype} cannot be converted to float64. Convert your data to numeric values."
            )


def _check_shape(X: object, array: NDArray[Any], owner: str) -> None:  # noqa: N803
    if array.ndim > 2:
        raise ValueError(f"Found array with dim {array.ndim}, while dim <= 2 is required by {owner}.")
    if array.ndim < 2:
        # Series of pandas and polars know their name; arrays do not.
        if array.ndim == 1 and hasattr(X, "name") and hasattr(X, "to_frame"):
            raise ValueError(
                f"Expected a 2-dimensional container but got {type(X)} instead. Pass a DataFrame containing a single "
                "row (i.e. single sample) or a single column (i.e. single feature) instead."
            )
        raise ValueError(
            f"Expected 2D array, got {('scalar', '1D')[array.ndim]} array instead:\narray={array}.\n"
            "Reshape your data either using array.reshape(-1, 1) if your data has a single feature or "
            "array.reshape(1, -1) if it contains a single sample."
        )
    for size, kind in zip(array.shape, ("sample", "feature"), strict=True):
        if size == 0:
            raise ValueError(
                f"Found array with 0 {kind}(s) (shape={array.shape}) while a minimum of 1 is required by {owner}."
            )
