"""Fit on wide and hostile data: rows in f32 decide only what their rounding cannot change, and budgets hold."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shoal_engine import DBSCAN, WorkBudgetError, _engine
from tests.unit.engine.hard_cases import HardCase, cluster_neighbours
from tests.unit.engine.reference import draw_points


def assert_exact(points: NDArray[Any], metric: str, eps: float, min_samples: int) -> NDArray[np.int64]:
    case = HardCase(points, metric, eps, min_samples, None)
    labels, cores = case.expected()
    model = DBSCAN(**case.parameters()).fit(points)
    np.testing.assert_array_equal(model.labels_, labels)
    np.testing.assert_array_equal(model.core_sample_indices_, cores)
    return labels


def quantile_eps(points: NDArray[Any], quantile: float) -> float:
    wide = points.astype(np.float64)
    return float(np.sqrt(np.quantile(((wide[:100, None] - wide[None]) ** 2).sum(axis=-1), quantile)))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    d=st.sampled_from([8, 15, 16, 17, 31, 33, 64]),
    shape=st.sampled_from(["normal", "blobs", "duplicates", "constant columns"]),
    offset=st.sampled_from([0.0, 1e6, -1e9]),
    dtype=st.sampled_from(["float32", "float64"]),
    quantile=st.floats(0.001, 0.2),
)
def test_wide_data_near_and_far_from_the_origin(
    seed: int, d: int, shape: str, offset: float, dtype: str, quantile: float
) -> None:
    points = (draw_points(np.random.default_rng(seed), shape, 700, d) + offset).astype(dtype)
    assert_exact(points, "euclidean", max(quantile_eps(points, quantile), 1e-3), 5)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    d=st.sampled_from([8, 12, 20]),
    metric=st.sampled_from(["euclidean", "manhattan", "chebyshev"]),
    square=st.integers(1, 12),
    min_samples=st.sampled_from([1, 4, 30]),
)
def test_every_pair_at_exactly_eps_on_a_lattice_is_near(
    seed: int, d: int, metric: str, square: int, min_samples: int
) -> None:
    points = np.random.default_rng(seed).integers(0, 3, size=(500, d)).astype(np.float64)
    eps = float(np.sqrt(square)) if metric == "euclidean" else float(square)
    assert_exact(points, metric, eps, min_samples)


@pytest.mark.parametrize("far", [1e5, 1e9, 1e30, 1e150])
def test_a_few_rows_far_away_change_nothing_for_the_others(far: float) -> None:
    points = draw_points(np.random.default_rng(1), "blobs", 600, 6)
    alone = assert_exact(points, "euclidean", 1.2, 5)
    outliers = np.full((4, 6), far) * np.array([[1.0], [1.0], [-1.0], [0.5]])
    labels = assert_exact(np.concatenate([points, outliers]), "euclidean", 1.2, 5)
    np.testing.assert_array_equal(labels[:-4], alone)


@pytest.mark.parametrize("eps", [1e-9, 0.02, 0.4, 1.0, 1.7, 2.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cosine_with_zero_vectors_and_opposite_rows(eps: float, dtype: str) -> None:
    rng = np.random.default_rng(2)
    points = draw_points(rng, "blobs", 500, 12)
    points[rng.choice(500, 20, replace=False)] = 0.0
    points[100:150] = -points[:50] * rng.uniform(0.1, 10, size=(50, 1))
    assert_exact(points.astype(dtype), "cosine", eps, 6)


@pytest.mark.parametrize("eps", [1e-12, 0.01, 0.5, np.pi - 1e-9, np.pi, 4.0])
def test_haversine_at_poles_and_antipodes(eps: float) -> None:
    rng = np.random.default_rng(3)
    near_poles = np.column_stack([np.pi / 2 - rng.random(100) * 0.02, rng.uniform(-np.pi, np.pi, 100)])
    around = np.column_stack([np.arcsin(rng.uniform(-1, 1, 200)), rng.uniform(-np.pi, np.pi, 200)])
    antipodes = np.column_stack([-around[:50, 0], around[:50, 1] + np.pi])
    wrapped = around[:50] + np.array([0.0, 2 * np.pi])
    assert_exact(np.concatenate([near_poles, -near_poles, around, antipodes, wrapped]), "haversine", eps, 3)


@pytest.mark.parametrize("d", [4, 16])
@pytest.mark.parametrize("min_samples", [1, 5, 4000, 2**31])
@pytest.mark.parametrize("eps", [1e-6, 0.5, 1e3])
def test_heavy_parameters_on_many_rows(d: int, min_samples: int, eps: float) -> None:
    points = draw_points(np.random.default_rng(4), "duplicates", 4000, d)
    square = (points**2).sum(axis=1)
    near = np.sqrt(np.maximum(square[:, None] + square - 2 * points @ points.T, 0.0)) <= eps + 1e-7
    labels, cores = cluster_neighbours(near, None, min_samples)
    model = DBSCAN(eps, min_samples=min_samples).fit(points)
    np.testing.assert_array_equal(model.labels_, labels)
    np.testing.assert_array_equal(model.core_sample_indices_, cores)


def fit_within(points: NDArray[Any], eps: float, min_samples: int, budget: float | None) -> NDArray[np.int64]:
    return _engine.dbscan(points, eps, min_samples, "euclidean", None, work_budget=budget)[0]


def test_a_budget_refuses_before_the_work_and_says_what_to_do() -> None:
    points = np.random.default_rng(5).normal(size=(20_000, 16))
    with pytest.raises(WorkBudgetError, match=r"distance computations, more than work_budget=1.0e6 .* 'eps'"):
        fit_within(points, 5.0, 15_000, 1e6)
    assert issubclass(WorkBudgetError, ValueError)


def test_a_sufficient_budget_changes_no_label() -> None:
    points = draw_points(np.random.default_rng(6), "blobs", 3000, 8)
    np.testing.assert_array_equal(fit_within(points, 1.0, 5, 1e9), fit_within(points, 1.0, 5, None))
    np.testing.assert_array_equal(fit_within(points, 1.0, 5, np.inf), fit_within(points, 1.0, 5, None))


@pytest.mark.parametrize(("eps", "min_samples"), [(1e6, 5), (1.0, 2**31), (1e-9, 2**31)])
def test_parameters_that_are_cheap_by_construction_need_no_budget(eps: float, min_samples: int) -> None:
    points = np.random.default_rng(7).normal(size=(20_000, 8))
    assert np.unique(fit_within(points, eps, min_samples, 1.0)).size == 1


@pytest.mark.parametrize("budget", [0.0, -1.0, np.nan])
def test_a_budget_must_be_above_zero(budget: float) -> None:
    with pytest.raises(ValueError, match=r"The 'work_budget' parameter must be a float in the range \(0.0, inf\]"):
        fit_within(np.zeros((4, 4)), 1.0, 2, budget)
