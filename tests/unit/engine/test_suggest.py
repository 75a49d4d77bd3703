"""suggest_eps: its knee makes DBSCAN find clusters at any scale, and its curve and interval are what they say."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, pairwise_distances

from shoal_engine import DBSCAN, suggest_eps
from tests.unit.engine.reference import METRICS, Points


def blobs(n: int, d: int, scale: float = 1.0) -> tuple[Points, Points]:
    centers = 10.0 * np.eye(6, d) + 10.0 * np.arange(6)[:, None]
    points, names = make_blobs(n, centers=centers, cluster_std=0.6, random_state=3)
    return points * scale, names


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("d", [2, 3, 8])
def test_its_eps_finds_blobs_of_any_scale(d: int, scale: float) -> None:
    points, names = blobs(3000, d, scale)
    found = suggest_eps(points, min_samples=10)
    labels = DBSCAN(found.eps, min_samples=10).fit(points).labels_
    assert adjusted_rand_score(names, labels) > 0.8
    assert 0.5 * scale < found.eps / suggest_eps(points / scale, min_samples=10).eps < 2 * scale


@pytest.mark.parametrize("metric", METRICS)
def test_the_curve_is_of_exact_distances(metric: str) -> None:
    points = blobs(300, 2)[0] * 0.05
    found = suggest_eps(points, min_samples=4, metric=metric)
    exact = np.sort(np.sort(pairwise_distances(points, metric=metric), axis=1)[:, 3])
    np.testing.assert_allclose(found.distances, exact, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.ranks, np.arange(1, 301) / 300)
    assert found.low <= found.eps <= found.high
    assert found.eps in found.distances


def test_a_sample_measures_to_all_rows() -> None:
    points, _ = blobs(4000, 2)
    every, sample = suggest_eps(points), suggest_eps(points, sample_size=500, seed=1)
    assert sample.distances.size == 500
    assert np.all(np.isin(sample.distances, every.distances))
    np.testing.assert_array_equal(sample.distances, suggest_eps(points, sample_size=500, seed=1).distances)


def test_the_interval_narrows_with_the_sample() -> None:
    points, _ = blobs(20_000, 2)
    few, many = suggest_eps(points, sample_size=200), suggest_eps(points, sample_size=20_000)
    assert many.high - many.low < few.high - few.low


def test_the_end_of_one_straight_line_of_distances_is_its_knee() -> None:
    found = suggest_eps(np.arange(10.0)[:, None], min_samples=1 + 1)
    assert (found.low, found.eps, found.high) == (1.0, 1.0, 1.0)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match=r"min_samples \(5\) must be at most the number of samples in X \(3\)"):
        suggest_eps(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="Every sampled row has 5 rows at distance 0"):
        suggest_eps(np.zeros((30, 2)))
    with pytest.raises(ValueError, match="The 'sample_size' parameter of suggest_eps must be an int in the range"):
        suggest_eps(np.zeros((30, 2)), sample_size=1)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        suggest_eps(np.full((30, 2), np.nan))
