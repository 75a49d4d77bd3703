"""Fit on hard data: the labels are those of brute force over all pairs, for any index and number of threads."""

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.cluster import DBSCAN as Peer

from shoal_engine import DBSCAN
from tests.unit.engine.hard_cases import EXAMPLES, HardCase, cluster_neighbours, draw_weights, hard_cases, hard_points


def assert_exact(case: HardCase) -> None:
    labels, cores = case.expected()
    for n_jobs, index in ((1, "auto"), (2, "tree"), (8, "auto")):
        model = DBSCAN(**case.parameters(), n_jobs=n_jobs, index=index).fit(case.points, sample_weight=case.weights)
        np.testing.assert_array_equal(model.labels_, labels)
        np.testing.assert_array_equal(model.core_sample_indices_, cores)
        np.testing.assert_array_equal(model.components_, case.points[cores])


@settings(max_examples=EXAMPLES, deadline=None)
@given(hard_cases())
def test_labels_equal_brute_force_on_hard_data(case: HardCase) -> None:
    assert_exact(case)


@settings(max_examples=max(20, EXAMPLES // 40), deadline=None)
@given(hard_cases(most_rows=2500))
def test_labels_equal_brute_force_on_many_rows(case: HardCase) -> None:
    assert_exact(case)


@pytest.mark.parametrize("seed", range(60))
def test_the_brute_force_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    near = rng.random((40, 40)) < 0.06
    near |= near.T | np.eye(40, dtype=bool)
    weights = draw_weights(rng, ("none", "counts", "quarters", "negative")[seed % 4], 40)
    peer = Peer(eps=1.0, min_samples=3, metric="precomputed").fit(np.where(near, 0.5, 2.0), sample_weight=weights)
    labels, cores = cluster_neighbours(near, weights, 3)
    np.testing.assert_array_equal(labels, peer.labels_)
    np.testing.assert_array_equal(cores, peer.core_sample_indices_)


@pytest.mark.parametrize("scale", [2.0**-1074, 2.0**-1022, 2.0**-600, 2.0**500, 2.0**1000])
@pytest.mark.parametrize("metric", ["manhattan", "chebyshev"])
@pytest.mark.parametrize("shape", ["lattice", "duplicates", "two sites", "line"])
def test_the_smallest_and_the_largest_doubles_cluster_like_others(shape: str, metric: str, scale: float) -> None:
    # Whole numbers below 2**10: exact at every scale, subnormal ones included.
    points = np.round(hard_points(np.random.default_rng(5), shape, 200, 3, 1.0) * 4)
    for eps in (1.0, 2.0, 3.0):
        expected = DBSCAN(eps, min_samples=4, metric=metric).fit(points).labels_
        model = DBSCAN(eps * scale, min_samples=4, metric=metric).fit(points * scale)
        np.testing.assert_array_equal(model.labels_, expected)


@pytest.mark.parametrize("scale", [2.0**-1074, 2.0**-600, 2.0**-510, 2.0**510, 2.0**600, 2.0**1000])
@pytest.mark.parametrize("shape", ["lattice", "duplicates", "two sites", "line", "blobs"])
@pytest.mark.parametrize("d", [1, 3, 5])
def test_squares_out_of_range_are_compared_as_the_doubles_that_they_are(d: int, shape: str, scale: float) -> None:
    points = np.round(hard_points(np.random.default_rng(5), shape, 200, d, 1.0) * 4)
    for eps in (1.0, 2.0, 3.0):
        assert_exact(HardCase(points * scale, "euclidean", eps * scale, 4, None))
