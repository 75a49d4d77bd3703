"""DBCV is what its paper defines, and prefers the right clusters where the silhouette does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn.datasets import make_blobs, make_moons
from sklearn.metrics import pairwise_distances, silhouette_score

from shoal_worker.validation.dbcv import dbcv, spanning_tree


def by_definition(points: np.ndarray, labels: np.ndarray, metric: str) -> float:
    """The paper's definitions, one after the other; for rows that all differ."""
    columns = points.shape[1]
    shapes = {}
    cores = np.zeros(len(points))
    apart = pairwise_distances(points, metric=metric)
    for name in set(labels.tolist()) - {-1}:
        rows = np.flatnonzero(labels == name)
        for row in rows:
            others = [apart[row, other] for other in rows if other != row]
            cores[row] = (sum((1 / distance) ** columns for distance in others) / len(others)) ** (-1 / columns)
    reach = np.maximum(apart, np.maximum(cores[:, None], cores[None, :]))
    for name in set(labels.tolist()) - {-1}:
        rows = np.flatnonzero(labels == name)
        # Many lengths are equal, so the tree is one of several: the very one must be compared.
        starts, ends, lengths = spanning_tree(reach[np.ix_(rows, rows)])
        assert lengths.sum() == pytest.approx(minimum_spanning_tree(reach[np.ix_(rows, rows)]).sum())
        degree = np.bincount(np.concatenate([starts, ends]), minlength=len(rows))
        inside = [w for a, b, w in zip(starts, ends, lengths, strict=True) if degree[a] > 1 and degree[b] > 1]
        shapes[name] = (rows, max(inside), rows[degree > 1])
    total = 0.0
    for name, (rows, sparseness, inner) in shapes.items():
        separation = min(reach[np.ix_(inner, shapes[other][2])].min() for other in shapes if other != name)
        total += len(rows) / len(points) * (separation - sparseness) / max(separation, sparseness)
    return total


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev", "cosine", "haversine"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_is_what_the_paper_defines(metric: str, seed: int) -> None:
    points, labels = make_blobs(150, centers=[(0.3, 0.3), (1.0, 0.2), (0.2, 1.1)], cluster_std=0.08, random_state=seed)
    labels[::11] = -1
    expected = by_definition(points, labels, metric)
    assert dbcv(points, labels, metric) == pytest.approx(expected, rel=1e-9)  # type: ignore[arg-type]


def test_it_prefers_the_two_moons_where_the_silhouette_prefers_a_cut() -> None:
    points, moons = make_moons(600, noise=0.05, random_state=0)
    cut = (points[:, 0] > 0.5).astype(np.int64)
    assert silhouette_score(points, cut) > silhouette_score(points, moons)
    assert (dbcv(points, moons) or 0) > 0 > (dbcv(points, cut) or 0)


def test_noise_counts_against_it() -> None:
    points, labels = make_blobs(400, centers=[(0, 0), (9, 9)], random_state=1)
    noisy = labels.copy()
    noisy[:100] = -1
    assert (dbcv(points, labels) or 0) > (dbcv(points, noisy) or 0)


@pytest.mark.parametrize("labels", [[-1] * 6, [0] * 6, [0, 0, 0, 1, -1, -1]])
def test_fewer_than_two_clusters_have_none(labels: list[int]) -> None:
    assert dbcv(np.arange(12.0).reshape(6, 2), np.array(labels)) is None


def test_a_sample_tells_about_the_same_and_repeats() -> None:
    points, labels = make_blobs(4000, centers=[(0, 0), (9, 9), (0, 9)], random_state=3)
    whole = dbcv(points, labels, sample_size=4000)
    sampled = dbcv(points, labels, seed=5)
    assert sampled == dbcv(points, labels, seed=5)
    assert sampled == pytest.approx(whole, abs=0.1)


def test_many_columns_leave_no_range() -> None:
    points, labels = make_blobs(200, n_features=900, centers=2, random_state=0)
    assert 0 < (dbcv(points, labels) or 0) <= 1


@given(
    arrays.arrays(np.float64, (12, 2), elements=st.floats(-1e300, 1e300)),
    st.lists(st.integers(-1, 2), min_size=12, max_size=12),
)
@settings(deadline=None)
def test_any_rows_give_a_figure_or_none(points: np.ndarray, labels: list[int]) -> None:
    found = dbcv(points, np.array(labels))
    assert found is None or -1 <= found <= 1


def test_duplicates_are_dense() -> None:
    points = np.repeat([[0.0, 0.0], [5.0, 5.0]], 20, axis=0)
    assert dbcv(points, np.repeat([0, 1], 20)) == pytest.approx(1)
