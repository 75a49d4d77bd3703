"""The core samples come back out of an index as they went in."""

from __future__ import annotations

import numpy as np
import pytest

from shoal_engine import Predictor, core_samples

METRICS = ("euclidean", "manhattan", "chebyshev", "haversine", "cosine")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 500])
@pytest.mark.parametrize("columns", [1, 2, 5])
def test_points_and_labels_are_those_of_the_index(metric: str, count: int, columns: int) -> None:
    columns = 2 if metric == "haversine" else columns
    points = np.random.default_rng(0).uniform(0.1, 1.2, (count, columns))
    labels = (np.arange(count) % 7).astype(np.int32)
    arrays = Predictor(points, labels, 0.1, metric).to_arrays()
    found, found_labels = core_samples(arrays)
    if metric == "cosine":
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
    rows = arrays["rows"]
    np.testing.assert_allclose(found, points[rows], rtol=1e-15 if metric != "cosine" else 1e-12)
    np.testing.assert_array_equal(found_labels, labels[rows])


def test_what_is_no_index_is_refused() -> None:
    arrays = dict(Predictor(np.zeros((3, 2)), np.zeros(3, dtype=np.int32), 1.0).to_arrays())
    with pytest.raises(ValueError, match="not those of"):
        core_samples({"labels": arrays["labels"]})
    with pytest.raises(ValueError, match="format 9"):
        core_samples({**arrays, "meta": np.array([9, 0, 2, 3, 3, 0, 0, 0], dtype=np.uint64)})
    with pytest.raises(ValueError, match="points"):
        core_samples({**arrays, "points": arrays["points"][:0]})
