"""Fit: the labels are scikit-learn's, whatever the metric, the data's shape and the number of threads."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from sklearn.cluster import DBSCAN as Peer
from sklearn.metrics import pairwise_distances

from shoal_engine import DBSCAN
from tests.unit.engine.reference import METRICS, Case, cases, cluster_by_brute_force, draw_points


def fit(case: Case, n_jobs: int = 1) -> DBSCAN:
    return DBSCAN(case.eps, min_samples=case.min_samples, metric=case.metric, n_jobs=n_jobs).fit(case.points)


@settings(max_examples=400, deadline=None)
@given(cases())
def test_labels_equal_brute_force_also_at_exactly_eps(case: Case) -> None:
    model = fit(case)
    labels, cores = cluster_by_brute_force(case)
    np.testing.assert_array_equal(model.labels_, labels)
    np.testing.assert_array_equal(model.core_sample_indices_, cores)
    np.testing.assert_array_equal(model.components_, case.points[cores])


@settings(max_examples=150, deadline=None)
@given(cases())
def test_labels_equal_scikit_learn_where_no_pair_is_within_rounding_of_eps(case: Case) -> None:
    gaps = np.abs(pairwise_distances(case.points, metric=case.metric) - case.eps)
    assume(gaps.min() > 1e-9 and (case.metric != "haversine" or case.eps < np.pi))
    peer = Peer(eps=case.eps, min_samples=case.min_samples, metric=case.metric).fit(case.points)
    model = fit(case)
    np.testing.assert_array_equal(model.labels_, peer.labels_)
    np.testing.assert_array_equal(model.core_sample_indices_, peer.core_sample_indices_)


@settings(max_examples=200, deadline=None)
@given(cases(metrics=("euclidean", "manhattan", "chebyshev"), shapes=("lattice", "line")))
def test_labels_equal_scikit_learn_on_ties_that_are_exact_in_binary(case: Case) -> None:
    eps = max(0.25, round(case.eps * 4) / 4)
    peer = Peer(eps=eps, min_samples=case.min_samples, metric=case.metric).fit(case.points)
    model = DBSCAN(eps, min_samples=case.min_samples, metric=case.metric).fit(case.points)
    np.testing.assert_array_equal(model.labels_, peer.labels_)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_threads_do_not_change_labels(case: Case) -> None:
    one, two = fit(case, n_jobs=1), fit(case, n_jobs=2)
    np.testing.assert_array_equal(one.labels_, two.labels_)
    np.testing.assert_array_equal(one.core_sample_indices_, two.core_sample_indices_)


@pytest.mark.parametrize("metric", METRICS)
def test_a_tree_of_many_levels_equals_scikit_learn(metric: str) -> None:
    rng = np.random.default_rng(7)
    points = rng.normal(size=(3000, 2)) * 0.02 + rng.integers(1, 7, size=(3000, 2)) * 0.2
    eps = {"cosine": 1e-5}.get(metric, 0.006)
    peer = Peer(eps=eps, min_samples=5, metric=metric).fit(points)
    for n_jobs in (1, 2, 5):
        model = DBSCAN(eps, min_samples=5, metric=metric, n_jobs=n_jobs).fit(points)
        np.testing.assert_array_equal(model.labels_, peer.labels_)
    assert peer.labels_.max() > 0
    assert (peer.labels_ == -1).any()


@pytest.mark.parametrize("eps", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("min_samples", [1, 50, 2000, 2**31, 2**80])
def test_heavy_parameters_stay_exact(eps: float, min_samples: int) -> None:
    points = draw_points(np.random.default_rng(3), "normal", 2000, 2)
    peer = Peer(eps=eps, min_samples=min(min_samples, 2001)).fit(points)
    np.testing.assert_array_equal(DBSCAN(eps, min_samples=min_samples).fit(points).labels_, peer.labels_)


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e-30, 1e30, 1e150, 1e300])
@pytest.mark.parametrize("metric", ["manhattan", "chebyshev", "cosine"])
def test_scale_does_not_matter(metric: str, scale: float) -> None:
    points = draw_points(np.random.default_rng(5), "blobs", 300, 3)
    unit = 1.0 if metric == "cosine" else scale
    eps = 0.01 if metric == "cosine" else 0.7
    expected = DBSCAN(eps, metric=metric).fit(points).labels_
    np.testing.assert_array_equal(DBSCAN(eps * unit, metric=metric).fit(points * scale).labels_, expected)


@pytest.mark.parametrize("eps", [0.5, 0.999, 1.0, 1.5])
@pytest.mark.parametrize("min_samples", [1, 2, 3, 5, 6])
def test_zero_rows_under_cosine(eps: float, min_samples: int) -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.1], [-1.0, 0.05], [0.0, 0.0]])
    peer = Peer(eps=eps, min_samples=min_samples, metric="cosine").fit(points)
    model = DBSCAN(eps, min_samples=min_samples, metric="cosine").fit(points)
    np.testing.assert_array_equal(model.labels_, peer.labels_)
    np.testing.assert_array_equal(model.core_sample_indices_, peer.core_sample_indices_)


def test_haversine_wraps_around_the_date_line_and_the_poles() -> None:
    degrees = np.array([[0.0, 179.9], [0.0, -179.9], [89.95, 0.0], [89.95, 180.0], [0.0, 539.9]])
    labels = DBSCAN(np.radians(0.25), min_samples=1, metric="haversine").fit_predict(np.radians(degrees))
    np.testing.assert_array_equal(labels, [0, 0, 1, 1, 0])


def test_haversine_beyond_half_the_globe_reaches_all() -> None:
    points = np.array([[0.0, 0.0], [0.0, np.pi], [1.0, 2.0]])
    np.testing.assert_array_equal(DBSCAN(4.0, min_samples=3, metric="haversine").fit_predict(points), [0, 0, 0])
