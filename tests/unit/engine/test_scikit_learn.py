"""The estimators are scikit-learn estimators: its own checks pass, none expected to fail."""

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_clusterer
from sklearn.exceptions import NotFittedError as PeerNotFittedError
from sklearn.metrics import silhouette_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_dataframe_column_names_consistency, estimator_checks_generator

from shoal_engine import DBSCAN, AdaptiveDBSCAN, NotFittedError
from tests.unit.engine.reference import draw_points

ESTIMATORS = (DBSCAN(), AdaptiveDBSCAN())
POINTS = draw_points(np.random.default_rng(1), "blobs", 200, 2)


def named_checks() -> list[Any]:
    found = []
    for estimator in ESTIMATORS:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not inherit from `sklearn.base.BaseEstimator`")
            for model, check in estimator_checks_generator(estimator, mark=None):
                name = f"{estimator}-{getattr(check, 'func', check).__name__}"
                found.append(pytest.param(model, check, id=name))
    return found


# Its check of foreign array libraries asks for SCIPY_ARRAY_API, which is a setting of the whole process.
@pytest.mark.parametrize(
    ("estimator", "check"), [case for case in named_checks() if "check_array_api_input" not in str(case.id)]
)
def test_passes_the_check(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_column_names_are_kept_and_compared(estimator: Any) -> None:
    check_dataframe_column_names_consistency(type(estimator).__name__, estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_is_a_clusterer(estimator: Any) -> None:
    assert is_clusterer(estimator)
    assert clone(estimator).get_params() == estimator.get_params()


def test_a_pipeline_scales_fits_and_predicts() -> None:
    pipeline = make_pipeline(StandardScaler(), DBSCAN(0.2)).fit(POINTS)
    labels = pipeline[-1].labels_
    assert labels.max() > 0
    np.testing.assert_array_equal(pipeline.fit_predict(POINTS), labels)
    core = pipeline[-1].core_sample_indices_
    np.testing.assert_array_equal(pipeline.predict(POINTS)[core], labels[core])


def test_a_grid_search_picks_parameters_inside_a_pipeline() -> None:
    def score(pipeline: Any, X: Any, y: object = None) -> float:
        labels = pipeline.predict(X)
        return float(silhouette_score(X, labels)) if len(set(labels)) > 1 else -1.0

    grid = {"dbscan__eps": [1e-6, 0.2, 100.0], "dbscan__min_samples": [3, 5]}
    search = GridSearchCV(
        make_pipeline(StandardScaler(), DBSCAN()), grid, scoring=score, cv=PredefinedSplit(np.arange(200) % 2)
    )
    search.fit(POINTS)
    assert search.best_params_["dbscan__eps"] == 0.2
    assert search.best_estimator_.predict(POINTS).max() > 0


def test_not_fitted_is_scikit_learns_error_too_and_survives_pickling() -> None:
    with pytest.raises(PeerNotFittedError, match="not fitted yet") as caught:
        DBSCAN().predict(POINTS)
    assert isinstance(caught.value, NotFittedError)
    twin = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(twin, PeerNotFittedError)
    assert str(twin) == str(caught.value)


def test_a_fit_that_fails_leaves_the_model_as_it_was() -> None:
    model = DBSCAN(0.7).fit(POINTS)
    expected = model.predict(POINTS)
    for wrong in (np.full((3, 5), np.nan), np.zeros((0, 5)), "text"):
        with pytest.raises(ValueError, match=r".+"):
            model.fit(wrong)
        np.testing.assert_array_equal(model.predict(POINTS), expected)
