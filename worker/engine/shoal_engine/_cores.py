"""Reads the core samples back out of the arrays of an index; the layout is that of src/predict/arrays.rs."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_LANES = 16
_FORMAT = 1
_HAVERSINE_COLUMNS = 2


def core_samples(arrays: Mapping[str, NDArray[np.generic]]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return the core samples of `Predictor.to_arrays`, float64 (n, d), and their labels, int32 (n,).

    They come in the index's order. Under cosine they have length 1, and those of length 0 are left out; under
    haversine they are [latitude, longitude] in radians, as they were given. ValueError for arrays of another layout.
    """
    try:
        form, _, features, _, placed = (int(number) for number in arrays["meta"][:5])
        if form != _FORMAT:
            raise ValueError(f"The index is of format {form}, but only {_FORMAT} is known.")
        labels = np.asarray(arrays["labels"][:placed], dtype=np.int32)
        if len(arrays["angles"]):
            points = np.asarray(arrays["angles"], dtype=np.float64).reshape(-1, _HAVERSINE_COLUMNS)
        else:
            blocks = np.asarray(arrays["points"], dtype=np.float64).reshape(-1, features, _LANES)
            points = blocks.transpose(0, 2, 1).reshape(-1, features)[:placed]
        if len(points) != len(labels):
            raise ValueError(f"The index has {len(points)} points, but {len(labels)} labels.")
    except (KeyError, TypeError) as error:
        raise ValueError(f"The arrays are not those of Predictor.to_arrays: {error!r}.") from None
    return np.ascontiguousarray(points), labels
