"""The grid of cells gives the labels of the tree and of brute force, up to ties at exactly eps."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from shoal_engine import WorkBudgetError, _engine
from tests.unit.engine.hard_cases import HardCase, hard_cases

METRICS = ("euclidean", "manhattan", "chebyshev")


def fit(case: HardCase, index: str, n_jobs: int = 1) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    labels, cores, values, core_labels = _engine.dbscan(
        case.points, case.eps, case.min_samples, case.metric, n_jobs, sample_weight=case.weights, index=index
    )
    np.testing.assert_array_equal(values, case.points[cores])
    np.testing.assert_array_equal(core_labels, labels[cores])
    return labels, cores


def assert_same(found: tuple[Any, Any], expected: tuple[Any, Any]) -> None:
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@settings(max_examples=400, deadline=None)
@given(hard_cases(METRICS))
def test_grid_tree_and_brute_force_agree(case: HardCase) -> None:
    narrow = HardCase(np.ascontiguousarray(case.points[:, :3]), case.metric, case.eps, case.min_samples, case.weights)
    expected = narrow.expected()
    assert_same(fit(narrow, "auto"), expected)
    assert_same(fit(narrow, "tree"), expected)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_large_data_in_many_pieces(metric: str, d: int, dtype: type) -> None:
    rng = np.random.default_rng(d)
    # A lattice, so that pairs at exactly eps abound, over dense blobs and sparse noise.
    blobs = rng.normal(size=(6, d))[rng.integers(0, 6, 25_000)] * 8 + rng.normal(size=(25_000, d))
    points = np.vstack([np.round(blobs * 16) / 16, rng.uniform(-30, 30, size=(5_000, d))]).astype(dtype)
    for eps, min_samples in ((0.125, 5), (0.5, 10), (3.0, 50)):
        case = HardCase(points, metric, eps, min_samples, None)
        expected = fit(case, "tree", 2)
        assert_same(fit(case, "grid", 1), expected)
        assert_same(fit(case, "grid", 2), expected)


def test_two_crowds_just_out_of_reach() -> None:
    # Each crowd fills one cell, and no pair of them is within eps, though their boxes are.
    rng = np.random.default_rng(0)
    x = rng.random(20_000) * 0.5
    lower = np.column_stack([x, np.zeros(20_000) + x * 0.5])
    upper = np.column_stack([x, 1.0 + 1e-9 + x * 0.5])
    points = np.vstack([lower, upper])
    case = HardCase(points, "chebyshev", 1.0, 5, None)
    assert_same(fit(case, "grid", 2), fit(case, "tree", 2))


@pytest.mark.parametrize(
    ("points", "metric", "eps"),
    [
        (np.zeros((3, 9)), "euclidean", 1.0),
        (np.zeros((3, 2)), "cosine", 1.0),
        (np.array([[0.0], [1e9]]), "euclidean", 1.0),
        (np.array([[-1e308], [1e308]]), "euclidean", 1.0),
        (np.zeros((3, 2)), "euclidean", 1e-200),
    ],
)
def test_a_grid_that_cannot_be_says_so(points: NDArray[np.float64], metric: str, eps: float) -> None:
    with pytest.raises(ValueError, match="index='grid' needs"):
        _engine.dbscan(points, eps, 2, metric, None, index="grid")


def test_unknown_index() -> None:
    with pytest.raises(ValueError, match="'index' parameter must be a str among"):
        _engine.dbscan(np.zeros((3, 2)), 1.0, 2, "euclidean", None, index="hash")


def test_a_budget_refuses_a_search_of_crowded_cells_before_it_begins() -> None:
    points = np.random.default_rng(0).random((50_000, 2))
    with pytest.raises(WorkBudgetError, match=r"more than work_budget=1\.0e6"):
        _engine.dbscan(points, 0.5, 30_000, "euclidean", None, index="grid", work_budget=1e6)


def test_a_budget_lets_dense_data_pass_that_need_no_search() -> None:
    points = np.random.default_rng(0).random((50_000, 2))
    found = _engine.dbscan(points, 0.5, 10, "euclidean", None, index="grid", work_budget=1e6)
    assert_same(found, _engine.dbscan(points, 0.5, 10, "euclidean", None, index="grid"))
