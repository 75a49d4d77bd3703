"""AdaptiveDBSCAN finds the clusters of fixed data; the bounds lie well below what was measured, far above luck."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits, make_blobs, make_circles, make_moons
from sklearn.metrics import adjusted_rand_score

from shoal_engine import AdaptiveDBSCAN
from tests.bench.synthetic import spreader
from tests.unit.engine.reference import Points

Labelled = tuple[Points, NDArray[np.int64]]


def varied_blobs(n: int, d: int, clusters: int, seed: int, noise: float = 0.0) -> Labelled:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-10, 10, (clusters, d))
    spreads = np.exp(rng.uniform(np.log(0.2), np.log(2.0), clusters))
    names = rng.choice(clusters, n, p=rng.dirichlet(np.full(clusters, 3.0)))
    points = centres[names] + rng.normal(size=(n, d)) * spreads[names, None]
    strays = int(n * noise)
    points[:strays] = rng.uniform(points.min(0), points.max(0), (strays, d))
    names[:strays] = -1
    return points, names


def skewed(n: int, seed: int) -> Labelled:
    points, names = make_blobs(n, centers=5, cluster_std=[0.5, 1, 1.5, 0.3, 0.8], random_state=seed)
    return points @ np.array([[0.6, -0.6], [-0.4, 0.8]]), names


CASES = [
    # data, lowest ARI with noise as a cluster of its own
    (varied_blobs(10_000, 3, 15, 3), 0.78),
    (varied_blobs(10_000, 8, 15, 5), 0.97),
    (varied_blobs(10_000, 2, 12, 11, noise=0.1), 0.72),
    (varied_blobs(10_000, 8, 12, 13, noise=0.1), 0.93),
    (skewed(10_000, 42), 0.77),
    (make_moons(5000, noise=0.08, random_state=1), 0.95),
    (make_circles(5000, noise=0.06, factor=0.5, random_state=1), 0.95),
    (load_digits(return_X_y=True), 0.45),
]


@pytest.mark.parametrize(("data", "least"), CASES)
def test_clusters_of_varying_density_are_found(data: Labelled, least: float) -> None:
    points, names = data
    model = AdaptiveDBSCAN().fit(points)
    assert adjusted_rand_score(names, model.labels_) > least
    # Denser rows belong more surely, and noise is farther out than clusters are.
    if np.any(model.labels_ == -1):
        noise = model.labels_ == -1
        assert model.outlier_scores_[noise].mean() > model.outlier_scores_[~noise].mean()


@pytest.mark.parametrize("seed", [1, 3, 4])
def test_a_large_set_of_few_clusters_is_not_split(seed: int) -> None:
    # Every walk crosses itself: densities differ tenfold within it, and a hundredfold from the noise around.
    points, names = spreader(100_000, 2, varied=True, noise=0.05, seed=seed)
    assert adjusted_rand_score(names, AdaptiveDBSCAN(min_cluster_size=100).fit(points).labels_) > 0.98


def test_clusters_within_wider_ones_are_found() -> None:
    rng = np.random.default_rng(5)
    wide, other = rng.normal(0.0, 1.0, (4000, 2)), rng.normal((9.0, 0.0), 1.0, (4000, 2))
    inner = rng.normal((1.2, 0.0), 0.05, (2000, 2))
    model = AdaptiveDBSCAN().fit(np.concatenate([wide, other, inner]))
    names = np.repeat([0, 1, 2], [4000, 4000, 2000])
    # The dense one is a cluster of its own: nearly all its rows, and few others.
    label = np.bincount(model.labels_[names == 2] + 1).argmax() - 1
    assert label >= 0
    assert np.mean(model.labels_[names == 2] == label) > 0.9
    assert np.mean(names[model.labels_ == label] == 2) > 0.9
    assert model.labels_[names == 1].max() >= 0


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_not_a_cluster_and_belongs_to_none(seed: int) -> None:
    points, names = spreader(30_000, 2, varied=True, noise=0.3, seed=seed)
    model = AdaptiveDBSCAN(min_cluster_size=30).fit(points)
    assert np.mean(model.labels_[names == -1] == -1) > 0.9
    assert np.mean(model.labels_[names >= 0] >= 0) > 0.95
    assert model.labels_.max() + 1 <= names.max() + 1 + 10


def test_a_cluster_in_noise_ends_before_the_noise_begins() -> None:
    rng = np.random.default_rng(2)
    ball = rng.normal(size=(3000, 2))
    ball *= np.sqrt(rng.uniform(size=(3000, 1))) / np.linalg.norm(ball, axis=1, keepdims=True)
    points = np.concatenate([ball, ball + np.array([4.0, 0.0]), rng.uniform((-3.0, -3.0), (7.0, 3.0), (4000, 2))])
    model = AdaptiveDBSCAN().fit(points)
    distance = np.minimum(np.linalg.norm(points, axis=1), np.linalg.norm(points - (4.0, 0.0), axis=1))
    assert np.mean(model.labels_[distance < 0.95] >= 0) == 1.0
    assert np.mean(model.labels_[distance > 1.3] >= 0) < 0.05
    # It stands apart for longer: the tree says until when.
    chosen = model.tree_[model.tree_["selected"]]
    assert np.any(model.cluster_eps_[chosen["label"]] < chosen["ends"])
