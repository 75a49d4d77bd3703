"""Bad input: the exception types and words that scikit-learn users know, never a panic."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from shoal_engine import DBSCAN, NotFittedError, Predictor

GOOD = np.array([[0.0, 0.0], [0.1, 0.0], [5.0, 5.0]])
LABELS = np.zeros(3, dtype=np.int32)


@pytest.mark.parametrize(
    ("points", "error", "words"),
    [
        ([[np.nan, 1.0]], ValueError, "Input X contains NaN."),
        ([[np.inf, 1.0]], ValueError, "Input X contains infinity or a value too large for dtype"),
        ([[-np.inf, np.nan]], ValueError, "Input X contains NaN."),
        ([1.0, 2.0], ValueError, "Expected 2D array, got 1D array instead"),
        (3.0, ValueError, "Expected 2D array, got scalar array instead"),
        (np.zeros((2, 2, 2)), ValueError, "Found array with dim 3, while dim <= 2 is required by DBSCAN"),
        (np.empty((0, 2)), ValueError, r"Found array with 0 sample\(s\) \(shape=\(0, 2\)\) while a minimum of 1"),
        (np.empty((3, 0)), ValueError, r"Found array with 0 feature\(s\) \(shape=\(3, 0\)\) while a minimum of 1"),
        ([["a", "b"]], ValueError, "not compatible with arrays of bytes/strings"),
        (np.array([["a", 1.0]], dtype=object), ValueError, "could not convert string to float"),
        (np.array([[{}, 1.0]], dtype=object), TypeError, "must be a string or a real number"),
        ([[1j, 1.0]], ValueError, "Complex data not supported"),
        (np.array([["2020-01-01"]], dtype="M8[D]"), TypeError, "cannot be converted to float64"),
    ],
)
def test_rows_that_cannot_be_clustered(points: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        DBSCAN().fit(points)
    with pytest.raises(error, match=words):
        DBSCAN().fit(GOOD).predict(points)


def test_sparse_rows_are_refused_with_the_remedy() -> None:
    with pytest.raises(TypeError, match=r"dense data is required\. Use '\.toarray\(\)'"):
        DBSCAN().fit(csr_array(GOOD))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"eps": 0.0}, r"The 'eps' parameter of DBSCAN must be a float in the range \(0.0, inf\). Got 0.0 instead."),
        ({"eps": -1}, "Got -1 instead"),
        ({"eps": np.nan}, "Got nan instead"),
        ({"eps": np.inf}, "Got inf instead"),
        ({"eps": "1"}, "Got '1' instead"),
        ({"eps": None}, "Got None instead"),
        ({"eps": 10**400}, "The 'eps' parameter"),
        ({"min_samples": 0}, r"The 'min_samples' parameter of DBSCAN must be an int in the range \[1, inf\). Got 0"),
        ({"min_samples": 2.5}, "Got 2.5 instead"),
        ({"min_samples": True}, "Got True instead"),
        ({"metric": "l7"}, "The 'metric' parameter of DBSCAN must be a str among {'chebyshev', .*Got 'l7' instead"),
        ({"metric": ["cosine"]}, "The 'metric' parameter"),
        ({"index": "brute"}, "The 'index' parameter of DBSCAN must be a str among {'auto', 'grid', 'tree'}"),
        ({"progress": 1}, "The 'progress' parameter of DBSCAN must be a callable or None. Got 1 instead."),
        ({"n_jobs": 0}, "n_jobs == 0 has no meaning"),
        ({"n_jobs": 1.5}, "The 'n_jobs' parameter of DBSCAN must be an int or None"),
    ],
)
def test_parameters_out_of_range(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DBSCAN(**parameters).fit(GOOD)


@pytest.mark.parametrize("n_jobs", [-1, -2, -(2**62), 2**62, 2**70, np.int64(2), None])
def test_any_number_of_jobs_is_bounded(n_jobs: Any) -> None:
    np.testing.assert_array_equal(DBSCAN(min_samples=2, n_jobs=n_jobs).fit_predict(GOOD), [0, 0, -1])


@pytest.mark.parametrize("width", [1, 3])
def test_haversine_needs_two_columns(width: int) -> None:
    with pytest.raises(ValueError, match=f"only valid in 2 dimensions .* X has {width} features"):
        DBSCAN(metric="haversine").fit(np.zeros((4, width)))


def test_the_wrong_width_is_named() -> None:
    model = DBSCAN(min_samples=1).fit(GOOD)
    with pytest.raises(ValueError, match="X has 3 features, but DBSCAN is expecting 2 features as input"):
        model.predict(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="X has 3 features, but Predictor is expecting 2 features as input"):
        Predictor(GOOD, LABELS, 0.5).predict(np.zeros((1, 3)))


def test_predict_before_fit() -> None:
    with pytest.raises(NotFittedError, match="This DBSCAN instance is not fitted yet") as caught:
        DBSCAN().predict(GOOD)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, AttributeError)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((GOOD, LABELS[:2], 0.5), "differ in length: 3 and 2"),
        ((GOOD, LABELS - 1, 0.5), "core_labels must be >= 0"),
        ((GOOD * np.nan, LABELS, 0.5), "Input core_points contains NaN."),
        ((GOOD, LABELS, 0.0), "The 'eps' parameter must be a float in the range"),
        ((GOOD, LABELS, float("inf")), "The 'eps' parameter must be a float in the range"),
        ((GOOD, LABELS, 0.5, "l7"), "The 'metric' parameter must be a str among"),
        ((np.zeros((3, 3)), LABELS, 0.5, "haversine"), "only valid in 2 dimensions"),
        ((np.empty((3, 0)), LABELS, 0.5), r"0 feature\(s\)"),
        ((GOOD[:, ::-1], LABELS, 0.5), "core_points must be C-contiguous"),
    ],
)
def test_predictors_that_cannot_be_built(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Predictor(*arguments)


@pytest.mark.parametrize("rows", [[[0.0, 0.0]], np.zeros((1, 2), dtype=np.int64), np.zeros(2), None, "x"])
def test_a_predictor_takes_float_matrices_only(rows: Any) -> None:
    with pytest.raises(TypeError, match=r"X must be a float64 or float32 array of shape \(n, 2\)."):
        Predictor(GOOD, LABELS, 0.5).predict(rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_predictor_refuses_rows_that_are_not_finite(dtype: Any) -> None:
    predictor = Predictor(GOOD, LABELS, 0.5)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        predictor.predict(np.array([[0.0, np.nan]], dtype=dtype))
    with pytest.raises(ValueError, match="contains infinity or a value too large for dtype"):
        predictor.predict(np.array([[0.0, np.inf]], dtype=dtype))
