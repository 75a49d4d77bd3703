"""Data sets of the bench: the same from the same arguments, of the shape asked for, with eps by the k-distance."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from tests.bench import datasets, synthetic
from tests.bench.datasets import DataSet

NAMES = ("blobs", "varied blobs", "spreader", "varied spreader")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("n", "d"), [(1, 1), (250, 2), (1_000, 3), (1_000, 16)])
def test_drawn_sets_have_the_shape_asked_for_and_are_drawn_again_alike(name: str, n: int, d: int) -> None:
    points, truth = DataSet(name, n, d).draw()
    assert points.shape == (n, d)
    assert points.dtype == np.float64
    assert np.isfinite(points).all()
    assert truth is not None
    assert truth.shape == (n,)
    again, again_truth = DataSet(name, n, d).draw()
    np.testing.assert_array_equal(points, again)
    np.testing.assert_array_equal(truth, again_truth)


def test_the_seed_spreader_stays_in_its_cube_and_leaves_the_noise_asked_for() -> None:
    points, truth = synthetic.spreader(20_000, 2, noise=0.05, restarts=30)
    # A ball around a place at the wall may reach over it by its radius.
    assert points.min() >= -100
    assert points.max() <= synthetic.SPACE + 100
    assert (truth == -1).sum() == 1_000
    assert 10 < len(np.unique(truth)) < 60


def test_a_varied_spreader_has_clusters_of_very_different_density() -> None:
    points, truth = synthetic.spreader(20_000, 2, varied=True)
    spacing = []
    for cluster in np.unique(truth[truth >= 0]):
        members = points[truth == cluster]
        if len(members) > 100:
            spacing.append(np.median(NearestNeighbors(n_neighbors=5).fit(members).kneighbors()[0][:, -1]))
    assert max(spacing) > 3 * min(spacing)


@pytest.mark.parametrize("d", [2, 8, 9, 20])
def test_k_distance_is_the_quantile_over_rows(d: int) -> None:
    points, _ = synthetic.blobs(200, d)
    expected = np.quantile(NearestNeighbors(n_neighbors=10).fit(points).kneighbors(points)[0][:, -1], 0.9)
    assert datasets.k_distance(points, 10, 0.9) == pytest.approx(expected, rel=1e-3)


def test_k_distance_on_the_sphere_is_an_arc() -> None:
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-1.5, 1.5, 300), rng.uniform(-3, 3, 300)])
    near = NearestNeighbors(n_neighbors=7, metric="haversine", algorithm="brute").fit(points)
    expected = np.quantile(near.kneighbors(points)[0][:, -1], 0.5)
    assert datasets.k_distance(points, 7, 0.5, metric="haversine") == pytest.approx(expected, rel=1e-3)


def test_stored_points_and_radii_are_kept(tmp_path: Path) -> None:
    data = DataSet("varied blobs", 300, 2)
    path = data.stored(tmp_path)
    written = path.stat().st_mtime_ns
    sparse, typ = data.eps("sparse", tmp_path), data.eps("typ", tmp_path)
    assert 0 < sparse < typ
    assert DataSet("varied blobs", 300, 2).eps("typ", tmp_path) == typ
    assert data.stored(tmp_path).stat().st_mtime_ns == written
    np.testing.assert_array_equal(np.load(data.truth_path(tmp_path)), data.draw()[1])


def test_a_real_set_that_the_development_environment_ships() -> None:
    points, truth = DataSet("digits").draw()
    assert points.shape == (1797, 64)
    assert truth is not None
    assert set(truth) == set(range(10))
