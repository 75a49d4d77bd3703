"""The sampled silhouette: scikit-learn's figure without noise, bounded by its sample."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from shoal_engine import silhouette
from tests.unit.engine.reference import METRICS, draw_points

POINTS = draw_points(np.random.default_rng(2), "blobs", 300, 2) * 0.1 + 0.05
LABELS = np.random.default_rng(3).integers(-1, 4, 300)


@pytest.mark.parametrize("metric", METRICS)
def test_equals_scikit_learn_without_noise(metric: str) -> None:
    kept = LABELS >= 0
    expected = silhouette_score(POINTS[kept], LABELS[kept], metric=metric)
    assert silhouette(POINTS, LABELS, metric) == pytest.approx(expected, abs=1e-9)


def test_a_cluster_of_one_counts_nothing() -> None:
    points = np.array([[0.0], [1.0], [9.0]])
    assert silhouette(points, [0, 0, 5]) == pytest.approx(silhouette_score(points, [0, 0, 5]))


@pytest.mark.parametrize("labels", [[-1, -1, -1], [0, 0, 0], [0, 0, -1], [0, 1, 2], [0, 1, -1]])
def test_none_where_there_is_nothing_to_separate(labels: list[int]) -> None:
    assert silhouette([[0.0], [1.0], [9.0]], labels) is None


def test_the_sample_is_bounded_and_repeatable() -> None:
    points = draw_points(np.random.default_rng(4), "blobs", 5000, 2)
    labels = (points[:, 0] > 6).astype(np.int64)
    first = silhouette(points, labels, sample_size=500, seed=1)
    assert first is not None
    assert first == silhouette(points, labels, sample_size=500, seed=1)
    assert first != silhouette(points, labels, sample_size=500, seed=2)
    assert first == pytest.approx(silhouette_score(points, labels), abs=0.1)


def test_identical_rows_in_two_clusters_are_not_separated() -> None:
    assert silhouette(np.zeros((4, 2)), [0, 0, 1, 1]) == 0.0


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="labels must hold one label per row of X: 2 rows"):
        silhouette([[0.0], [1.0]], [0])
    with pytest.raises(ValueError, match="sample_size must be >= 2"):
        silhouette([[0.0], [1.0]], [0, 1], sample_size=1)
    with pytest.raises(ValueError, match="must be a str among"):
        silhouette([[0.0], [1.0], [2.0]], [0, 1, 1], metric="l7")
    with pytest.raises(ValueError, match="Input X contains NaN"):
        silhouette([[0.0], [np.nan], [2.0]], [0, 1, 1])
