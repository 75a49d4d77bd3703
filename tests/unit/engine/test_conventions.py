"""The estimator behaves as scikit-learn users expect, and takes every array they have."""

import copy
import pickle
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from shoal_engine import DBSCAN
from tests.unit.engine.reference import draw_points

POINTS = draw_points(np.random.default_rng(1), "blobs", 200, 2)


def test_the_constructor_only_stores() -> None:
    assert DBSCAN(-3.0, min_samples=0, metric="?").get_params() == {
        "eps": -3.0,
        "index": "auto",
        "work_budget": None,
        "metric": "?",
        "min_samples": 0,
        "n_jobs": None,
        "progress": None,
    }


def test_parameters_are_set_by_name_and_unknown_ones_refused() -> None:
    model = DBSCAN().set_params(eps=0.7, min_samples=3)
    assert (model.eps, model.min_samples) == (0.7, 3)
    assert repr(model) == "DBSCAN(eps=0.7, min_samples=3)"
    with pytest.raises(ValueError, match="Invalid parameter 'epsilon' for estimator DBSCAN"):
        model.set_params(epsilon=1.0)


def test_scikit_learn_can_clone_it() -> None:
    model = DBSCAN(0.7, metric="manhattan").fit(POINTS)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert not hasattr(twin, "labels_")


def test_fitted_attributes() -> None:
    model = DBSCAN(0.7)
    assert model.fit(POINTS) is model
    assert model.labels_.dtype == np.int64
    assert model.core_sample_indices_.dtype == np.int64
    assert model.n_features_in_ == 2
    np.testing.assert_array_equal(model.components_, POINTS[model.core_sample_indices_])
    np.testing.assert_array_equal(DBSCAN(0.7).fit_predict(POINTS), model.labels_)
    assert model.predict(POINTS).dtype == np.int64


def test_predictions_stay_with_the_fit_when_parameters_change() -> None:
    model = DBSCAN(0.7).fit(POINTS)
    expected = copy.deepcopy(model).predict(POINTS)
    model.set_params(eps=1e-9, metric="chebyshev")
    np.testing.assert_array_equal(model.predict(POINTS), expected)


def test_a_pickled_copy_predicts_the_same() -> None:
    model = DBSCAN(0.7).fit(POINTS)
    expected = model.predict(POINTS)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(POINTS), expected)


@pytest.mark.parametrize(
    "points",
    [
        np.asfortranarray(POINTS),
        np.repeat(POINTS, 2, axis=0)[::2],
        POINTS.tolist(),
        POINTS.astype(">f8"),
        POINTS.astype(object),
        np.frombuffer(POINTS.tobytes()).reshape(POINTS.shape),
    ],
    ids=["fortran", "strided", "list", "big-endian", "object", "read-only"],
)
def test_any_layout_gives_the_same_labels(points: Any) -> None:
    np.testing.assert_array_equal(DBSCAN(0.7).fit_predict(points), DBSCAN(0.7).fit_predict(POINTS))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint64, np.bool_])
def test_other_number_types_mean_their_values(dtype: Any) -> None:
    points = POINTS.astype(np.int64).clip(0, 100).astype(dtype)
    expected = DBSCAN(1.0).fit_predict(points.astype(np.float64))
    np.testing.assert_array_equal(DBSCAN(1.0).fit_predict(points), expected)


def test_the_input_is_left_alone() -> None:
    for metric in ("euclidean", "cosine", "haversine"):
        points = POINTS.copy()
        DBSCAN(0.7, metric=metric).fit(points).predict(points)
        np.testing.assert_array_equal(points, POINTS)


def long_fit(progress: Any) -> None:
    """Some 10^10 coordinate differences: no pair is near enough to be accepted or far enough to be left out at once."""
    rows = np.random.default_rng(0).normal(size=(40_000, 16))
    DBSCAN(5.0, min_samples=20_000, progress=progress).fit(rows, sample_weight=np.linspace(0.5, 1.5, 40_000))


def test_an_exception_of_progress_stops_the_fit() -> None:
    class EnoughError(Exception):
        pass

    seen: list[tuple[str, float, int]] = []

    def progress(stage: str, share: float) -> None:
        seen.append((stage, share, threading.get_ident()))
        if len(seen) == 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        long_fit(progress)
    assert len(seen) == 2
    for stage, share, thread in seen:
        assert stage in {"index", "cores", "clusters", "borders"}
        assert 0.0 <= share <= 1.0
        assert thread == threading.get_ident()


def test_importing_needs_numpy_only() -> None:
    others = {"sklearn", "scipy", "joblib", "pandas", "polars", "pyarrow"}
    code = f"import shoal_engine, sys; assert not {others} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
