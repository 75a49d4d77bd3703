"""Narrow models answer most rows from a map of cells: the same answers as the search for the nearest core."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_engine import Predictor
from tests.unit.engine.reference import METRICS, draw_points, predict_by_brute_force


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(METRICS),
    st.sampled_from(["normal", "lattice", "line", "duplicates", "blobs"]),
    st.integers(1, 600),
    st.integers(1, 3),
    st.sampled_from([0.05, 0.25, 0.5, 1.0]),
    st.sampled_from([1.0, 1e-9, 1e12]),
)
def test_the_map_agrees_with_the_nearest_core(
    seed: int, metric: str, shape: str, n: int, d: int, eps: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    if metric in ("haversine", "cosine"):
        scale = 1.0
    cores = draw_points(rng, shape, n, 2 if metric == "haversine" else d)
    # Two sides with a gap of up to two eps between them: sure cells up to the gap, doubtful ones around it.
    cores[:, 0] += np.where(cores[:, 0] > 0.5, rng.choice([0.0, eps, 2.0 * eps]), 0.0)
    labels = (cores[:, 0] > 0.5).astype(np.int32)
    steps = (
        rng.choice([0.0, 0.125, 0.5, 1.0, 1.5], size=(300, 1)) * eps * rng.integers(-1, 2, size=(300, cores.shape[1]))
    )
    rows = np.vstack([cores[rng.integers(0, n, 300)] + steps, rng.normal(size=(50, cores.shape[1])) * 3.0])
    cores, rows, eps = cores * scale, rows * scale, eps * scale
    predictor = Predictor(cores, labels, eps, metric)
    found = predictor.predict(rows)
    np.testing.assert_array_equal(found, predictor.nearest(rows)[0])
    np.testing.assert_array_equal(found, predict_by_brute_force(metric, eps, cores, labels.astype(np.int64), rows))


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e9])
@pytest.mark.parametrize(("metric", "d"), [("euclidean", 1), ("euclidean", 2), ("euclidean", 3), ("chebyshev", 3)])
def test_models_far_from_zero_have_a_map_too(metric: str, d: int, offset: float) -> None:
    cores = draw_points(np.random.default_rng(d), "blobs", 5000, d) + offset
    labels = (cores[:, 0] > offset + 6.0).astype(np.int32)
    predictor = Predictor(cores, labels, 0.4, metric)
    assert predictor.to_arrays()["map"].size > 0
    rows = np.vstack([cores + 0.1, cores - 0.7, cores * -3.0, np.full((1, d), 1e300), np.full((1, d), -1e300)])
    np.testing.assert_array_equal(predictor.predict(rows), predictor.nearest(rows)[0])


@pytest.mark.parametrize("eps", [1e-200, 1e-160, 1e160, 1e200])
def test_radii_whose_squares_leave_the_doubles_do_without(eps: float) -> None:
    cores = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1e-170], [1e-161, 0.0]])
    labels = np.array([2, 1, 0, 3], dtype=np.int32)
    predictor = Predictor(cores, labels, eps)
    assert predictor.to_arrays()["map"].size == 0
    rows = np.vstack([cores, cores + 1e-170, cores + eps])
    with np.errstate(over="ignore", under="ignore"):
        expected = predict_by_brute_force("euclidean", eps, cores, labels.astype(np.int64), rows)
    np.testing.assert_array_equal(predictor.predict(rows), expected)
