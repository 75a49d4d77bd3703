"""AdaptiveDBSCAN finds the clusters of fixed data; the bounds lie well below what was measured, far above luck."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits, make_blobs, make_circles, make_moons
from sklearn.metrics import adjusted_rand_score

from shoal_engine import AdaptiveDBSCAN
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
    (skewed(10_000, 42), 0.82),
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
