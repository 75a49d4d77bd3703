"""Rows come as arrays, lists, data frames and Arrow tables; weights as anything with one number per row."""

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from shoal_engine import DBSCAN
from shoal_engine._validation import as_matrix
from tests.unit.engine.reference import draw_points

POINTS = draw_points(np.random.default_rng(1), "blobs", 200, 2)
NAMES = ["x", "y"]
EXPECTED = DBSCAN(0.7).fit_predict(POINTS)


class OnlyArray:
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(POINTS, dtype=dtype)


class OnlyStream:
    """A library of which only the Arrow interface is known."""

    columns = NAMES

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return pa.table(dict(zip(NAMES, POINTS.T, strict=True))).__arrow_c_stream__(requested_schema)


def tables(points: Any) -> dict[str, Any]:
    columns = dict(zip(NAMES, np.asarray(points).T, strict=True))
    table = pa.table(columns)
    return {
        "pandas": pd.DataFrame(columns),
        "pandas on Arrow": pd.DataFrame(columns).convert_dtypes(dtype_backend="pyarrow"),
        "polars": pl.DataFrame(columns),
        "pyarrow table": table,
        "pyarrow chunks": pa.concat_tables([table[:7], table[7:]]),
        "pyarrow batch": table.to_batches()[0],
    }


@pytest.mark.parametrize("kind", tables(POINTS))
def test_tables_cluster_like_their_values_and_their_names_are_kept(kind: str) -> None:
    table = tables(POINTS)[kind]
    model = DBSCAN(0.7).fit(table)
    np.testing.assert_array_equal(model.labels_, EXPECTED)
    np.testing.assert_array_equal(model.feature_names_in_, NAMES)
    np.testing.assert_array_equal(model.predict(table), DBSCAN(0.7).fit(POINTS).predict(POINTS))


@pytest.mark.parametrize("kind", [kind for kind in tables(POINTS) if kind != "pandas on Arrow"])
def test_single_precision_stays_single(kind: str) -> None:
    single = POINTS.astype(np.float32)
    model = DBSCAN(0.7).fit(tables(single)[kind])
    assert model.components_.dtype == np.float32
    np.testing.assert_array_equal(model.labels_, DBSCAN(0.7).fit_predict(single.astype(np.float64)))


def test_half_precision_is_read_as_single() -> None:
    assert DBSCAN(0.7).fit(POINTS.astype(np.float16)).components_.dtype == np.float32


def test_nothing_is_copied_that_fits() -> None:
    for rows in (POINTS, POINTS.astype(np.float32), pd.DataFrame(POINTS, copy=False)):
        assert np.shares_memory(as_matrix(rows, "test", keep_float32=True), np.asarray(rows))


def test_foreign_streams_and_array_likes_are_read() -> None:
    model = DBSCAN(0.7).fit(OnlyStream())
    np.testing.assert_array_equal(model.labels_, EXPECTED)
    np.testing.assert_array_equal(model.feature_names_in_, NAMES)
    np.testing.assert_array_equal(DBSCAN(0.7).fit_predict(OnlyArray()), EXPECTED)


def test_columns_of_several_number_types_are_joined() -> None:
    columns = {"a": [1, 2, 9], "b": [True, True, False], "c": np.array([0.5, 0.5, 0.5], dtype=np.float32)}
    for table in (pd.DataFrame(columns), pl.DataFrame(columns), pa.table(columns)):
        np.testing.assert_array_equal(DBSCAN(1.0, min_samples=2).fit_predict(table), [0, 0, -1])
    exact = pa.table({"price": [Decimal("1.5"), Decimal("1.75"), Decimal("9")]})
    np.testing.assert_array_equal(DBSCAN(1.0, min_samples=2).fit_predict(exact), [0, 0, -1])


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"x": [1.0, np.nan]}),
        pd.DataFrame({"x": pd.array([1, None], dtype="Int64")}),
        pd.DataFrame({"x": [1.0, None]}, dtype=object),
        pl.DataFrame({"x": [1, None]}),
        pa.table({"x": [1, None]}),
        [[1.0], [None]],
    ],
    ids=["pandas", "nullable", "object", "polars", "pyarrow", "list"],
)
def test_missing_values_are_refused(table: Any) -> None:
    with pytest.raises(ValueError, match="Input X contains NaN"):
        DBSCAN().fit(table)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_text_columns_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"not compatible with arrays of bytes/strings|could not convert string"):
        DBSCAN().fit(make({"x": [1.0, 2.0], "y": ["a", "b"]}))
    with pytest.raises(ValueError, match=r"not compatible with arrays of bytes/strings|could not convert string"):
        DBSCAN().fit(make({"x": ["a", "b"]}))


@pytest.mark.parametrize("make", [pd.Series, pl.Series])
def test_a_single_column_needs_a_frame(make: Any) -> None:
    with pytest.raises(ValueError, match=r"Expected a 2-dimensional container but got .*Series"):
        DBSCAN().fit(make([1.0, 2.0]))


def test_a_matrix_is_refused() -> None:
    with pytest.warns(PendingDeprecationWarning):
        rows = np.matrix(POINTS)
    with pytest.raises(TypeError, match=r"np\.matrix is not supported"):
        DBSCAN().fit(rows)


def test_column_names_must_be_those_of_the_fit() -> None:
    frame = pd.DataFrame(POINTS, columns=NAMES)
    model = DBSCAN(0.7).fit(frame)
    with pytest.raises(ValueError, match="must be in the same order as they were in fit"):
        model.predict(frame[["y", "x"]])
    with pytest.raises(ValueError, match="Feature names unseen at fit time:\n- z\n"):
        model.predict(frame.rename(columns={"y": "z"}))
    with pytest.warns(UserWarning, match="X does not have valid feature names, but DBSCAN was fitted with") as caught:
        model.predict(POINTS)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="X has feature names, but DBSCAN was fitted without"):
        model.fit(POINTS).predict(frame)
    assert not hasattr(model, "feature_names_in_")


def test_names_that_are_not_all_text() -> None:
    assert not hasattr(DBSCAN(0.7).fit(pd.DataFrame(POINTS)), "feature_names_in_")
    with pytest.raises(TypeError, match=r"only supported if all input features have string names.*\['int', 'str'\]"):
        DBSCAN(0.7).fit(pd.DataFrame(POINTS, columns=["x", 1]))


@pytest.mark.parametrize(
    "weights",
    [[2, 1, 3], np.array([2, 1, 3], dtype=np.uint8), pd.Series([2.0, 1.0, 3.0]), pl.Series([2, 1, 3])],
    ids=["list", "uint8", "pandas", "polars"],
)
def test_weights_of_any_kind(weights: Any) -> None:
    model = DBSCAN(1.0, min_samples=3)
    np.testing.assert_array_equal(model.fit_predict([[0.0], [0.5], [9.0]], sample_weight=weights), [0, 0, 1])


def test_one_weight_for_all() -> None:
    np.testing.assert_array_equal(
        DBSCAN(1.0, min_samples=3).fit_predict([[0.0], [0.5], [9.0]], sample_weight=1.5), [0, 0, -1]
    )


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1.0, 2.0], r"sample_weight.shape == \(2,\), expected \(3,\)!"),
        ([[1.0, 2.0, 3.0]], "Sample weights must be 1D array or scalar, got 2D array"),
        ([0, 0, 0], "Sample weights must contain at least one non-zero number"),
        (0.0, "Sample weights must contain at least one non-zero number"),
        ([1.0, np.nan, 1.0], "Input sample_weight contains NaN"),
        ([1.0, np.inf, 1.0], "Input sample_weight contains infinity"),
        ([1j, 1, 1], "Complex data not supported"),
        (["2", "1", "3"], "not compatible with arrays of bytes/strings"),
    ],
)
def test_weights_that_cannot_be(weights: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DBSCAN().fit([[0.0], [0.5], [9.0]], sample_weight=weights)
