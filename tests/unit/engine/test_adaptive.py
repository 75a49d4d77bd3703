"""AdaptiveDBSCAN: every cluster is one of plain DBSCAN at the cluster's own radius, and the tree of them nests."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from shoal_engine import DBSCAN, AdaptiveDBSCAN
from tests.unit.engine.reference import METRICS, Points, draw_points

SHAPES = ("normal", "blobs", "lattice", "line", "constant columns")


@st.composite
def cases(draw: st.DrawFn, metrics: tuple[str, ...] = METRICS) -> tuple[Points, AdaptiveDBSCAN]:
    metric = draw(st.sampled_from(metrics))
    n, d = draw(st.integers(2, 300)), 2 if metric == "haversine" else draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    points = draw_points(rng, draw(st.sampled_from(SHAPES)), n, d)
    if draw(st.booleans()):
        points = points[rng.integers(0, n, size=n)]
    if metric == "haversine":
        points *= 0.1
    min_samples = draw(st.integers(1, min(12, n)))
    model = AdaptiveDBSCAN(
        min_samples=min_samples,
        min_cluster_size=draw(st.integers(2, 20)),
        metric=metric,
        allow_single_cluster=draw(st.booleans()),
    )
    return points, model


@settings(max_examples=150, deadline=None)
@given(cases(("euclidean", "manhattan", "chebyshev")))
def test_every_cluster_is_one_of_plain_dbscan_at_its_radius(case: tuple[Points, AdaptiveDBSCAN]) -> None:
    points, model = case
    model.fit(points)
    cores = model.core_sample_indices_
    for label, eps in enumerate(model.cluster_eps_):
        plain = DBSCAN(eps, min_samples=model.min_samples, metric=model.metric).fit(points)
        own = cores[model.labels_[cores] == label]
        names = np.unique(plain.labels_[own])
        assert names.size == 1
        assert names[0] >= 0
        same = plain.core_sample_indices_[plain.labels_[plain.core_sample_indices_] == names[0]]
        np.testing.assert_array_equal(own, same)


@settings(max_examples=150, deadline=None)
@given(cases(("euclidean", "manhattan", "chebyshev")))
def test_every_branch_of_the_tree_is_a_cluster_of_its_size(case: tuple[Points, AdaptiveDBSCAN]) -> None:
    points, model = case
    for branch in model.fit(points).tree_:
        plain = DBSCAN(branch["ends"], min_samples=model.min_samples, metric=model.metric).fit(points)
        sizes = np.bincount(plain.labels_[plain.core_sample_indices_])
        assert branch["size"] in sizes


@settings(max_examples=150, deadline=None)
@given(cases())
def test_the_tree_nests(case: tuple[Points, AdaptiveDBSCAN]) -> None:
    points, model = case
    tree = model.fit(points).tree_
    np.testing.assert_array_equal(tree["child"], np.arange(tree.size))
    assert np.all(tree["appears"] <= tree["ends"])
    assert np.all(tree["size"] >= model.min_cluster_size)
    assert np.all(tree["stability"] >= 0)
    assert np.all(np.isfinite(tree["stability"]))
    below = tree[tree["parent"] >= 0]
    assert np.all(below["parent"] > below["child"])
    assert np.all(tree["appears"][below["parent"]] > below["ends"])
    sums = np.bincount(below["parent"], weights=below["size"], minlength=tree.size)
    assert np.all(sums <= tree["size"])
    chosen = tree[tree["selected"]]
    np.testing.assert_array_equal(np.sort(chosen["label"]), np.arange(model.cluster_eps_.size))
    radii = model.cluster_eps_[chosen["label"]]
    assert np.all((chosen["appears"] <= radii) & (radii <= chosen["ends"]))
    for branch in chosen:
        above = branch["parent"]
        while above >= 0:
            assert not tree["selected"][above]
            above = tree["parent"][above]


@settings(max_examples=150, deadline=None)
@given(cases())
def test_strengths_and_scores_are_shares(case: tuple[Points, AdaptiveDBSCAN]) -> None:
    points, model = case
    model.fit(points)
    for values in (model.probabilities_, model.outlier_scores_):
        assert values.shape == (len(points),)
        assert np.all((values >= 0) & (values <= 1))
    np.testing.assert_array_equal(model.probabilities_ > 0, model.labels_ >= 0)
    cores = model.core_sample_indices_
    # The densest part of every cluster belongs to it fully.
    for label in range(model.cluster_eps_.size):
        assert model.probabilities_[cores[model.labels_[cores] == label]].max() == 1.0


@settings(max_examples=100, deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_only_the_numbers_of_clusters(
    case: tuple[Points, AdaptiveDBSCAN], random: object
) -> None:
    points, model = case
    model.fit(points)
    order = np.random.default_rng(random.getrandbits(32)).permutation(len(points))  # type: ignore[attr-defined]
    other = AdaptiveDBSCAN(**model.get_params()).fit(points[order])
    # Equal excess of mass may be chosen either way, equal distances joined either way; the tree itself may not differ.
    names = ["appears", "ends", "size"]
    np.testing.assert_array_equal(np.sort(model.tree_[names], order=names), np.sort(other.tree_[names], order=names))


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_rows_does_not_change_the_partition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = draw_points(rng, "blobs", 500, 1 + seed % 4)
    order = rng.permutation(500)
    model, other = AdaptiveDBSCAN().fit(points), AdaptiveDBSCAN().fit(points[order])
    assert adjusted_rand_score(model.labels_[order], other.labels_) == 1.0
    np.testing.assert_array_equal(model.labels_[order] == -1, other.labels_ == -1)
    np.testing.assert_allclose(model.probabilities_[order], other.probabilities_)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_the_number_of_threads_changes_nothing(case: tuple[Points, AdaptiveDBSCAN]) -> None:
    points, model = case
    one = model.set_params(n_jobs=1).fit(points)
    for n_jobs in (2, 8):
        many = AdaptiveDBSCAN(**one.get_params()).set_params(n_jobs=n_jobs).fit(points)
        for name in ("labels_", "probabilities_", "outlier_scores_", "core_sample_indices_", "cluster_eps_", "tree_"):
            np.testing.assert_array_equal(getattr(one, name), getattr(many, name))


def test_the_number_of_threads_changes_nothing_on_many_rows() -> None:
    points = draw_points(np.random.default_rng(3), "blobs", 30_000, 3)
    one, many = AdaptiveDBSCAN(n_jobs=1).fit(points), AdaptiveDBSCAN(n_jobs=8).fit(points)
    np.testing.assert_array_equal(one.labels_, many.labels_)
    np.testing.assert_array_equal(one.tree_, many.tree_)


@pytest.mark.parametrize("scale", [2.0**-1000, 2.0**-600, 2.0**-30, 2.0**30, 2.0**600, 2.0**1000])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev"])
def test_the_unit_of_length_does_not_matter(metric: str, scale: float) -> None:
    points = draw_points(np.random.default_rng(4), "blobs", 600, 3)
    model, scaled = AdaptiveDBSCAN(metric=metric).fit(points), AdaptiveDBSCAN(metric=metric).fit(points * scale)
    np.testing.assert_array_equal(model.labels_, scaled.labels_)
    np.testing.assert_allclose(model.probabilities_, scaled.probabilities_)
    np.testing.assert_allclose(model.cluster_eps_ * scale, scaled.cluster_eps_)


def test_float32_rows_cluster_as_the_same_values_in_float64() -> None:
    points = draw_points(np.random.default_rng(6), "blobs", 1000, 3).astype(np.float32)
    single, double = AdaptiveDBSCAN().fit(points), AdaptiveDBSCAN().fit(points.astype(np.float64))
    np.testing.assert_array_equal(single.labels_, double.labels_)
    assert single.components_.dtype == np.float32


@settings(max_examples=60, deadline=None)
@given(cases(("euclidean", "manhattan", "chebyshev")))
def test_rows_of_the_fit_are_predicted_as_they_were_labelled(case: tuple[Points, AdaptiveDBSCAN]) -> None:
    points, model = case
    model.fit(points)
    np.testing.assert_array_equal(model.predict(points), model.labels_)
    labels, strengths = model.predict_with_strength(points)
    np.testing.assert_array_equal(labels, model.labels_)
    # A border row at equal distance from two cores of its cluster may be given either one's strength.
    cores = model.core_sample_indices_
    np.testing.assert_allclose(strengths[cores], model.probabilities_[cores])
    assert np.all((strengths > 0) == (labels >= 0))
    assert np.all(strengths <= 1)


@pytest.mark.parametrize("metric", ["haversine", "cosine"])
@pytest.mark.parametrize("seed", range(10))
def test_core_rows_are_predicted_into_their_cluster_on_curved_spaces(metric: str, seed: int) -> None:
    # Rows of different directions: those of one direction are apart by rounding only, which may fall either way.
    points = draw_points(np.random.default_rng(seed), "blobs", 300, 2) * 0.1
    model = AdaptiveDBSCAN(metric=metric, min_samples=5).fit(points)
    cores = model.core_sample_indices_
    assert cores.size
    np.testing.assert_array_equal(model.predict(points[cores]), model.labels_[cores])


def test_new_rows_join_the_nearest_core_that_reaches_them() -> None:
    rng = np.random.default_rng(11)
    points = np.concatenate([rng.normal((0, 0), 0.1, (300, 2)), rng.normal((6, 0), 1.0, (300, 2))])
    model = AdaptiveDBSCAN().fit(points)
    rows = rng.uniform((-2, -4), (10, 4), (500, 2))
    labels, strengths = model.predict_with_strength(rows)
    distances = np.linalg.norm(rows[:, None] - model.components_, axis=2)
    names = model.labels_[model.core_sample_indices_]
    distances[distances > model.cluster_eps_[names]] = np.inf
    nearest = distances.argmin(axis=1)
    expected = np.where(np.isfinite(distances.min(axis=1)), names[nearest], -1)
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(model.predict(rows), expected)
    assert set(labels) == {-1, 0, 1}
    assert np.all((strengths > 0) == (labels >= 0))


def test_without_clusters_every_row_is_predicted_noise() -> None:
    model = AdaptiveDBSCAN(min_cluster_size=300).fit(np.random.default_rng(7).uniform(size=(200, 2)))
    labels, strengths = model.predict_with_strength([[0.5, 0.5]])
    assert (labels[0], strengths[0], model.predict([[0.5, 0.5]])[0]) == (-1, 0.0, -1)


def test_heaps_of_equal_points_are_clusters() -> None:
    points = np.repeat([[0.0, 0.0], [5.0, 1.0], [9.0, 9.0]], 40, axis=0)
    np.testing.assert_array_equal(AdaptiveDBSCAN().fit(points).labels_, np.repeat([0, 1, 2], 40))


def test_all_rows_are_one_cluster_only_where_that_is_allowed() -> None:
    points = np.random.default_rng(7).uniform(size=(400, 2))
    alone = AdaptiveDBSCAN(min_cluster_size=300, allow_single_cluster=True).fit(points)
    assert alone.labels_.max() == 0
    assert AdaptiveDBSCAN(min_cluster_size=300).fit(points).labels_.max() == -1


def test_zero_rows_are_noise_under_cosine() -> None:
    rng = np.random.default_rng(8)
    points = np.concatenate([rng.normal((5, 0), 0.1, (50, 2)), rng.normal((0, 5), 0.1, (50, 2)), np.zeros((3, 2))])
    model = AdaptiveDBSCAN(metric="cosine", min_cluster_size=25).fit(points)
    assert set(model.labels_[:100]) == {0, 1}
    np.testing.assert_array_equal(model.labels_[100:], -1)
    np.testing.assert_array_equal(model.outlier_scores_[100:], 1.0)


def test_too_few_rows_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        AdaptiveDBSCAN().fit(np.empty((0, 2)))
    with pytest.raises(ValueError, match="n_samples=1 while AdaptiveDBSCAN requires more than one sample"):
        AdaptiveDBSCAN().fit(np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"min_samples \(10\) must be at most the number of samples in X \(2\)"):
        AdaptiveDBSCAN().fit(np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("min_samples", 0), ("min_cluster_size", 1), ("metric", "l7"), ("allow_single_cluster", 2), ("n_jobs", 1.5)],
)
def test_parameters_out_of_range_are_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"The '{name}' parameter of AdaptiveDBSCAN must be"):
        AdaptiveDBSCAN().set_params(**{name: value}).fit(np.zeros((20, 2)))


def test_a_progress_callback_may_stop_the_fit() -> None:
    def stop(stage: str, share: float) -> None:
        raise KeyboardInterrupt

    points = np.random.default_rng(9).normal(size=(400_000, 8))
    model = AdaptiveDBSCAN(progress=stop)
    with pytest.raises(KeyboardInterrupt):
        model.fit(points)
    assert not hasattr(model, "labels_")
