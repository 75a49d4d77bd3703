"""A radius for every label, and which core sample decides: against brute force over all cores."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances

from shoal_engine import Predictor
from tests.unit.engine.reference import METRICS, Points, draw_points, ranks

Nearest = tuple[NDArray[np.int64], NDArray[np.int64]]
SHAPES = ("normal", "lattice", "line", "duplicates", "blobs")


def nearest_by_brute_force(
    metric: str, radii: NDArray[np.float64], cores: Points, labels: NDArray[np.int32], rows: Points
) -> Nearest:
    """Labels and core numbers; at equal distances the lowest label, then the lowest number."""
    found, _ = ranks(metric, rows, cores, 1.0)
    bounds = np.array([ranks(metric, rows[:1], cores[:1], radius)[1] for radius in radii])[labels]
    found = np.where(found <= bounds, found, np.inf)
    order = np.lexsort((np.arange(len(cores)), labels))
    winners = order[found[:, order].argmin(axis=1)]
    covered = np.isfinite(found[np.arange(len(rows)), winners])
    return np.where(covered, labels[winners], -1), np.where(covered, winners, -1)


def draw_model(seed: int, metric: str, shape: str, n: int, d: int) -> tuple[Points, NDArray[np.int32], Points]:
    """Cores, labels that mostly follow place (some are strewn), and rows on, near and far from them."""
    rng = np.random.default_rng(seed)
    cores = draw_points(rng, shape, n, d) * (0.2 if metric == "haversine" else 1.0)
    labels = np.digitize(cores[:, 0], np.quantile(cores[:, 0], [0.3, 0.6])).astype(np.int32)
    strewn = rng.random(n) < rng.choice([0.0, 0.1])
    labels[strewn] = rng.integers(0, 3, strewn.sum())
    steps = rng.choice([0.0, 0.01, 0.25], size=(40, 1)) * rng.integers(-1, 2, size=(40, d))
    rows = np.vstack([cores[rng.integers(0, n, 40)] + steps, rng.normal(size=(10, d)), np.zeros((1, d))])
    return cores, labels, rows


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(METRICS),
    st.sampled_from(SHAPES),
    st.integers(1, 40) | st.integers(40, 600),
    st.integers(1, 12),
    st.booleans(),
)
def test_the_deciding_core_equals_brute_force(
    seed: int, metric: str, shape: str, n: int, d: int, by_label: bool
) -> None:
    cores, labels, rows = draw_model(seed, metric, shape, n, 2 if metric == "haversine" else d)
    rng = np.random.default_rng(seed + 1)
    pairs = pairwise_distances(cores[: min(n, 30)], rows, metric=metric).ravel()
    radii = rng.choice(pairs[pairs > 0.0], 3) if (pairs > 0.0).any() else np.full(3, 0.5)
    eps: float | NDArray[np.float64] = radii
    if by_label:
        radii[rng.integers(0, 3)] *= 0.01
    else:
        eps, radii = float(radii[0]), np.full(3, radii[0])
    predictor = Predictor(cores, labels, eps, metric)
    expected_labels, expected_cores = nearest_by_brute_force(metric, radii, cores, labels, rows)
    found_labels, distances, found_cores = predictor.nearest(rows)
    np.testing.assert_array_equal(found_labels, expected_labels)
    np.testing.assert_array_equal(found_cores, expected_cores)
    np.testing.assert_array_equal(predictor.predict(rows), expected_labels)
    covered = expected_cores >= 0
    np.testing.assert_array_equal(distances[~covered], np.inf)
    true = pairwise_distances(rows, cores, metric=metric)[np.arange(len(rows)), expected_cores]
    np.testing.assert_allclose(distances[covered], true[covered], rtol=1e-9, atol=1e-6)


def test_types_of_nearest() -> None:
    found = Predictor(np.zeros((1, 2)), np.zeros(1, dtype=np.int32), 1.0).nearest(np.array([[3.0, 4.0], [0.6, 0.0]]))
    assert [array.dtype for array in found] == [np.int32, np.float64, np.int64]
    assert [array.tolist() for array in found] == [[-1, 0], [np.inf, 0.6], [-1, 0]]


def test_nearest_on_threads_and_in_float32_equals_single_rows() -> None:
    cores = draw_points(np.random.default_rng(3), "blobs", 3000, 3).astype(np.float32)
    labels = (np.arange(3000) % 5).astype(np.int32)
    predictor = Predictor(cores.astype(np.float64), labels, np.linspace(0.1, 0.5, 5), n_jobs=3)
    rows = np.repeat(cores, 4, axis=0) + np.float32(0.05)
    together = predictor.nearest(rows)
    for found, expected in zip(together, predictor.nearest(rows.astype(np.float64)), strict=True):
        np.testing.assert_array_equal(found, expected)
    for row in range(0, len(rows), 500):
        alone = predictor.nearest(rows[row : row + 1])
        assert [column[0] for column in alone] == [column[row] for column in together]


def test_a_cluster_of_equal_rows_may_have_radius_zero() -> None:
    predictor = Predictor(np.array([[1.0], [2.0]]), np.array([0, 1], dtype=np.int32), np.array([0.0, 0.25]))
    assert predictor.predict(np.array([[1.0], [1.0000001], [2.25]])).tolist() == [0, -1, 1]


def test_the_radii_are_given_back() -> None:
    radii = np.array([0.5, 2.0])
    predictor = Predictor(np.zeros((1, 2)), np.ones(1, dtype=np.int32), radii)
    np.testing.assert_array_equal(predictor.eps, radii)


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda p, c: p(c, np.array([0, 2], dtype=np.int32), np.array([1.0, 1.0])), ValueError, "has label 2, but eps"),
        (lambda p, c: p(c, np.zeros(2, np.int32), np.array([np.nan])), ValueError, "Got NaN for label 0 instead"),
        (lambda p, c: p(c, np.zeros(2, np.int32), np.array([-1.0])), ValueError, "Got -1.0 for label 0 instead"),
        (lambda p, c: p(c, np.zeros(2, np.int32), np.ones((1, 1))), TypeError, "a float64 array of the radius"),
        (lambda p, c: p(c, np.zeros(2, np.int32), "1"), TypeError, "eps must be a float"),
    ],
)
def test_radii_that_cannot_be(build: Callable[..., Predictor], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        build(Predictor, np.zeros((2, 2)))
