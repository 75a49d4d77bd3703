"""Preprocessing: scikit-learn's own numbers, the same to the last bit however rows are batched, refusals by column."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler, normalize

from shoal_worker.artifact.manifest import Column
from shoal_worker.data.frame import Frame
from shoal_worker.errors import RowsRefused, WorkerError
from shoal_worker.preprocessing.fitting import fit_preprocessor
from shoal_worker.preprocessing.preprocessor import Preprocessor
from shoal_worker.spec.preprocessing import StepSpec

Raw = dict[str, Any]
EPS = np.finfo(np.float64).eps


def frame(numbers: Mapping[str, Any] | None = None, /, **texts: list[str | None]) -> Frame:
    """A frame of numeric columns, and texts by keyword."""
    numbers = {name: np.asarray(values, dtype=np.float64) for name, values in (numbers or {}).items()}
    rows = len(next(iter({**numbers, **texts}.values())))
    columns = [Column(name=name, dtype="float64") for name in numbers]
    columns += [Column(name=name, dtype="string") for name in texts]
    matrix = np.stack([*numbers.values()], axis=1) if numbers else np.empty((rows, 0))
    objects = {name: np.array(values, dtype=object) for name, values in texts.items()}
    return Frame(tuple(columns), np.ascontiguousarray(matrix), objects)


def named(matrix: np.ndarray) -> Frame:
    """A frame with columns c0, c1 and so on."""
    return frame({f"c{position}": matrix[:, position] for position in range(matrix.shape[1])})


def fit(raw: Frame, *steps: Raw) -> Preprocessor:
    return fit_preprocessor(raw, [StepSpec.model_validate(step) for step in steps])


SCALES = (1.0, 1.0, 1e-9, 3e7, 1e100)


def matrices(
    width: int, *, missing: bool = False, scales: tuple[float, ...] = (*SCALES, 1e-100)
) -> st.SearchStrategy[np.ndarray]:
    """Tables with duplicates, ties and a scale of its own for each column; none is constant in the middle half."""
    values = st.one_of(st.floats(-4, 4, width=32), st.sampled_from([0.0, 1.0, 1.0, -2.5]))
    if missing:
        values = st.one_of(values, st.just(float("nan")))
    varied = np.linspace(-3, 3, 12)[:, None] * np.ones(width)
    drawn = st.integers(0, 10).flatmap(lambda rows: arrays(np.float64, (rows, width), elements=values))
    factors = arrays(np.float64, width, elements=st.sampled_from(scales))
    return st.builds(lambda rows, factor: np.concatenate([varied, rows]) * factor, drawn, factors)


def assert_within_ulps(found: np.ndarray, wanted: np.ndarray, ulps: int = 1) -> None:
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    with np.errstate(invalid="ignore"):
        assert (np.abs(found - wanted) <= ulps * np.spacing(np.abs(wanted)))[~np.isnan(wanted)].all()


@pytest.mark.parametrize(
    ("method", "reference"), [("standard", StandardScaler), ("robust", RobustScaler), ("minmax", MinMaxScaler)]
)
@given(data=st.data())
@settings(deadline=None)
def test_scaling_is_that_of_scikit_learn(method: str, reference: Callable[[], Any], data: st.DataObject) -> None:
    # What is smaller than 1e-15 altogether is constant to two of them.
    scales = (*SCALES, 1e-100) if method == "standard" else SCALES
    raw, queries = data.draw(matrices(3, scales=scales)), data.draw(matrices(3, scales=(1.0, 1e-30)))
    preprocessor = fit(named(raw), {"scale": {"method": method}})
    for rows in (raw, queries):
        assert_within_ulps(preprocessor.apply(named(rows)), reference().fit(raw).transform(rows))


@pytest.mark.parametrize("strategy", ["mean", "median", "constant"])
@given(data=st.data())
@settings(deadline=None)
def test_imputing_is_that_of_scikit_learn(strategy: str, data: st.DataObject) -> None:
    raw, queries = data.draw(matrices(3, missing=True)), data.draw(matrices(3, missing=True))
    value = {"value": 7.25} if strategy == "constant" else {}
    preprocessor = fit(named(raw), {"impute": {"strategy": strategy, **value}})
    reference = SimpleImputer(strategy=strategy, fill_value=value.get("value"), keep_empty_features=True)
    assert_within_ulps(preprocessor.apply(named(queries)), reference.fit(raw).transform(queries))


@given(matrices(4), st.integers(1, 4), st.booleans())
@settings(deadline=None)
def test_pca_is_that_of_scikit_learn_within_what_its_summation_can_lose(
    raw: np.ndarray, components: int, whiten: bool
) -> None:
    """Both sum four products; no order of summation is the right one, but each loses only so much."""
    preprocessor = fit(named(raw), {"pca": {"components": components, "whiten": whiten}})
    solver = "covariance_eigh" if len(raw) >= 40 else "full"
    reference = PCA(components, whiten=whiten, svd_solver=solver).fit(raw)
    loss = (np.abs(raw) + np.abs(reference.mean_)) @ np.abs(reference.components_).T * EPS * 16
    if whiten:
        loss = loss / np.maximum(np.sqrt(reference.explained_variance_), EPS)
    found = preprocessor.apply(named(raw))
    assert (np.abs(found - reference.transform(raw)) <= loss).all()
    assert preprocessor.features == tuple(f"pca{number + 1}" for number in range(components))


@given(matrices(3))
@settings(deadline=None)
def test_unit_norm_is_that_of_scikit_learn(raw: np.ndarray) -> None:
    assume((np.abs(raw).max(axis=1) < 1e150).all() and (np.abs(raw[raw != 0]) > 1e-150).all())
    assert_within_ulps(fit(named(raw), {"unitNorm": {}}).apply(named(raw)), normalize(raw), ulps=2)


def test_unit_norm_of_the_largest_and_of_no_numbers() -> None:
    rows = np.array([[3 * 2.0**900, 4 * 2.0**900], [0, 0], [3.0, 4.0], [1e308, 0]])
    assert fit(named(rows), {"unitNorm": {}}).apply(named(rows)).tolist() == [[0.6, 0.8], [0, 0], [0.6, 0.8], [1, 0]]


@given(
    arrays(np.float64, (30, 2), elements=st.floats(-0.999, 1e6)),
    st.tuples(st.floats(-1, 1), st.floats(1, 5)),
)
@settings(deadline=None)
def test_what_numpy_computes_of_one_value_is_numpys(raw: np.ndarray, bounds: tuple[float, float]) -> None:
    low, high = bounds
    assert_within_ulps(fit(named(raw), {"log1p": {}}).apply(named(raw)), np.log1p(raw))
    assert_within_ulps(fit(named(raw), {"toRadians": {}}).apply(named(raw)), np.radians(raw))
    clipped = fit(named(raw), {"clip": {"min": low, "max": high}}).apply(named(raw))
    assert_within_ulps(clipped, np.clip(raw, low, high))
    quantiles = fit(named(raw), {"clip": {"minQuantile": 0.1, "maxQuantile": 0.9}}).apply(named(raw))
    assert_within_ulps(quantiles, np.clip(raw, *np.quantile(raw, [0.1, 0.9], axis=0)))


TEXTS = st.one_of(st.sampled_from(["a", "b", "None", "nan", "", "Ä", "a\0", "😀"]), st.text(max_size=4))


@given(st.lists(TEXTS, min_size=1, max_size=30), st.lists(st.one_of(TEXTS, st.none()), min_size=1, max_size=30))
@settings(deadline=None)
def test_one_hot_of_texts_is_that_of_scikit_learn(known: list[str], asked: list[str | None]) -> None:
    preprocessor = fit(frame(kind=known), {"oneHot": {"columns": ["kind"]}})
    reference = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    reference.fit(np.array(known, dtype=object)[:, None])
    found = preprocessor.apply(frame(kind=asked))
    np.testing.assert_array_equal(found, reference.transform(np.array(asked, dtype=object)[:, None]))
    assert preprocessor.features == tuple(f"kind={text}" for text in reference.categories_[0])
    assert preprocessor.optional == {"kind"}


@given(
    arrays(np.float64, 20, elements=st.sampled_from([0.0, 1.0, 2.5, -3.0])),
    arrays(np.float64, 20, elements=st.sampled_from([0.0, 1.0, 2.5, -3.0, 9.0, np.nan])),
)
@settings(deadline=None)
def test_one_hot_of_numbers_is_that_of_scikit_learn(known: np.ndarray, asked: np.ndarray) -> None:
    preprocessor = fit(frame({"n": known}), {"oneHot": {"columns": ["n"]}})
    reference = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(known[:, None])
    np.testing.assert_array_equal(preprocessor.apply(frame({"n": asked})), reference.transform(asked[:, None]))


MIXED: tuple[Raw, ...] = (
    {"impute": {"columns": ["c0"], "strategy": "median"}},
    {"clip": {"columns": ["c1"], "min": 0}},
    {"log1p": {"columns": ["c1"]}},
    {"oneHot": {"columns": ["kind"]}},
    {"scale": {}},
    {"pca": {"components": 3}},
    {"unitNorm": {}},
)


def mixed(rows: int, seed: int) -> Frame:
    random = np.random.default_rng(seed)
    numbers = random.normal(0, 1, (rows, 12)) * 10.0 ** random.integers(-3, 4, 12)
    numbers[random.random(rows) < 0.2, 0] = np.nan
    kinds = random.choice(np.array(["a", "b", "c"], dtype=object), rows)
    columns = (*(Column(name=f"c{n}", dtype="float64") for n in range(12)), Column(name="kind", dtype="string"))
    return Frame(columns, numbers, {"kind": kinds})


@given(st.lists(st.integers(0, 20_000), max_size=6), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_a_row_gets_the_same_bits_in_every_batch(cuts: list[int], seed: int) -> None:
    preprocessor = fit(mixed(500, 0), *MIXED)
    rows = mixed(20_000, seed)
    whole = preprocessor.apply(rows)
    edges = sorted({0, 20_000, *cuts, 7, 8})
    for start, end in pairwise(edges):
        assert np.array_equal(preprocessor.apply(rows.select(slice(start, end))), whole[start:end])
    assert whole.flags.c_contiguous
    assert whole.dtype == np.float64


@pytest.mark.parametrize(("width", "count"), [(1, 1), (300, 1), (300, 300), (3, 3), (70, 2)])
def test_a_projection_gets_the_same_bits_in_every_batch(width: int, count: int) -> None:
    random = np.random.default_rng(width)
    raw = random.normal(size=(700, width))
    preprocessor = fit(named(raw), {"pca": {"components": count}})
    whole = preprocessor.apply(named(raw))
    for start, end in ((0, 1), (1, 2), (5, 8), (3, 600), (699, 700)):
        assert np.array_equal(preprocessor.apply(named(raw[start:end])), whole[start:end])


@pytest.mark.parametrize("step", [{"log1p": {}}, {"unitNorm": {}}, {"toRadians": {}}, {"scale": {}}], ids=str)
@given(arrays(np.float64, (67, 5), elements=st.floats(0, 1e3)))
@settings(deadline=None, max_examples=30)
def test_one_row_alone_is_computed_as_among_many(step: Raw, raw: np.ndarray) -> None:
    preprocessor = fit(named(np.random.default_rng(1).normal(3, 1, (50, 5)).clip(0)), step)
    singles = np.concatenate([preprocessor.apply(named(raw[row : row + 1])) for row in range(len(raw))])
    assert np.array_equal(singles, preprocessor.apply(named(raw)))


def test_what_was_recorded_makes_the_same_preprocessor() -> None:
    preprocessor = fit(mixed(500, 0), *MIXED)
    again = Preprocessor.build(preprocessor.columns, preprocessor.records, preprocessor.values)
    rows = mixed(100, 1)
    assert np.array_equal(again.apply(rows), preprocessor.apply(rows))
    assert (again.features, again.optional) == (preprocessor.features, preprocessor.optional)


def test_the_training_data_and_a_request_are_left_as_they_were() -> None:
    rows = mixed(300, 0)
    before = rows.numbers.copy()
    fit(rows, *MIXED).apply(rows)
    np.testing.assert_array_equal(rows.numbers, before)


def test_columns_are_found_by_name_whatever_else_there_is() -> None:
    preprocessor = fit(frame({"a": [1, 2, 3], "b": [3, 5, 9]}), {"scale": {}})
    more = frame({"b": [4.0], "z": [9.0], "a": [2.0]}, name=["x"])
    assert np.array_equal(preprocessor.apply(more), preprocessor.apply(frame({"a": [2.0], "b": [4.0]})))
    with pytest.raises(RowsRefused, match=r"b: the column is missing.*a \(float64\), b \(float64\)"):
        preprocessor.apply(frame({"a": [2.0]}))


def test_features_have_clear_names_and_columns_dropped_at_once_are_not_asked_for() -> None:
    raw = frame({"a": [1, 2, 3], "b": [4, 5, 7], "code": [1, 2, 1]}, name=["x", "y", "z"], kind=["u", "v", "u"])
    preprocessor = fit(
        raw,
        {"select": {"columns": ["b", "kind", "code", "a"]}},
        {"oneHot": {"columns": ["code", "kind"]}},
        {"scale": {"columns": ["a"]}},
    )
    assert preprocessor.features == ("b", "a", "code=1", "code=2", "kind=u", "kind=v")
    assert [column.name for column in preprocessor.columns] == ["a", "b", "code", "kind"]
    assert preprocessor.apply(raw)[:, [0, 2, 3, 4, 5]].tolist() == [[4, 1, 0, 1, 0], [5, 0, 1, 0, 1], [7, 1, 0, 1, 0]]


def test_missing_values_are_taken_exactly_where_they_are_filled_in() -> None:
    raw = frame({"a": [1, np.nan, 3], "b": [4, 5, 7]})
    preprocessor = fit(raw, {"log1p": {}}, {"impute": {"columns": ["a"]}}, {"scale": {}})
    assert preprocessor.optional == {"a"}
    assert preprocessor.apply(frame({"a": [np.nan], "b": [1]})).shape == (1, 2)
    with pytest.raises(RowsRefused, match=r"b: row 1 is missing in column 'b'.*may have missing values: a"):
        preprocessor.apply(frame({"a": [1, 2], "b": [1, np.nan]}))
    with pytest.raises(RowsRefused, match="a: row 0 is infinite in column 'a'"):
        preprocessor.apply(frame({"a": [np.inf], "b": [1]}))


def test_a_refusal_counts_rows_from_the_first_of_all() -> None:
    preprocessor = fit(frame({"a": [1.0, 2.0]}), {"log1p": {}})
    rows = np.zeros(200_000)
    rows[150_001] = -1
    with pytest.raises(RowsRefused, match=r"row 150001 of column 'a' is -1.0, and log1p takes values above -1"):
        preprocessor.apply(frame({"a": rows}))
    rows[150_001] = np.nan
    with pytest.raises(RowsRefused, match="row 150001 is missing"):
        preprocessor.apply(frame({"a": rows}))


def test_unknown_values_are_refused_where_that_is_asked_for() -> None:
    raw = frame({"n": [1, 2]}, kind=["a", "b"])
    preprocessor = fit(raw, {"oneHot": {"columns": ["kind", "n"], "unknown": "Refuse"}})
    assert preprocessor.optional == frozenset()
    with pytest.raises(RowsRefused, match=r"oneHot\.columns: row 0 of column 'kind' is none of the values.*got c"):
        preprocessor.apply(frame({"n": [1]}, kind=["c"]))
    with pytest.raises(RowsRefused, match="row 1 of column 'kind' is missing"):
        preprocessor.apply(frame({"n": [1, 1]}, kind=["a", None]))
    with pytest.raises(RowsRefused, match=r"row 0 of column 'n' is none.*got 3\.0"):
        preprocessor.apply(frame({"n": [3]}, kind=["a"]))


def test_numbers_that_leave_the_range_are_refused_by_feature() -> None:
    preprocessor = fit(frame({"a": [0, 1e-100, 2e-100]}), {"scale": {"method": "standard"}})
    with pytest.raises(RowsRefused, match="row 0 leaves the range of numbers in feature 'a'"):
        preprocessor.apply(frame({"a": [1e300]}))


NUMBERS = {"a": [1, 2, 3], "b": [-1, 5, 7], "flat": [4, 4, 4], "holes": [np.nan, 1, 2], "none": [np.nan] * 3}
BAD: dict[str, tuple[list[Raw], str]] = {
    "a column that never was": (
        [{"scale": {"columns": ["a"]}}, {"clip": {"columns": ["zz"], "min": 0}}],
        r"\[1\]\.clip\.columns: there is no such column \(got zz\)\. At this step there are: a, b",
    ),
    "a column that was dropped": (
        [{"select": {"columns": ["a"]}}, {"log1p": {"columns": ["b"]}}],
        r"\[1\]\.log1p\.columns: the column is not there any more, since spec\.preprocessing\[0\]\.select \(got b\)",
    ),
    "a column that was coded": (
        [{"oneHot": {"columns": ["kind"]}}, {"select": {"columns": ["kind"]}}],
        r"\[1\]\.select\.columns: the column is not there any more, since spec\.preprocessing\[0\]\.oneHot",
    ),
    "a column named twice": ([{"select": {"columns": ["a", "a"]}}], r"\[0\]\.select\.columns: .*twice \(got a\)"),
    "no logarithm": (
        [{"select": {"columns": ["a", "b"]}}, {"log1p": {}}],
        r"\[1\]\.log1p\.columns: row 0 of column 'b' is -1\.0, and log1p takes values above -1 \(got b\)",
    ),
    "constant": (
        [{"select": {"columns": ["a", "flat"]}}, {"scale": {}}],
        r"\[1\]\.scale\.columns: the column is constant, so it cannot be scaled \(got flat\)",
    ),
    "constant for minmax": (
        [{"scale": {"columns": ["flat"], "method": "minmax"}}],
        r"\[0\]\.scale\.columns: .*constant.*\(got flat\)",
    ),
    "constant for robust": (
        [{"scale": {"columns": ["flat"], "method": "robust"}}],
        r"\[0\]\.scale\.columns: .*constant in the middle half.*\(got flat\)",
    ),
    "too many categories": (
        [{"oneHot": {"columns": ["kind"], "maxCategories": 2}}],
        r"\[0\]\.oneHot\.maxCategories: column 'kind' has 3 different values, and at most 2 are allowed \(got 2\)",
    ),
    "too long a text": ([{"oneHot": {"columns": ["long"]}}], r"\[0\]\.oneHot: column 'long' has a text of 300 char"),
    "too many components": (
        [{"select": {"columns": ["a", "b"]}}, {"pca": {"components": 3}}],
        r"\[1\]\.pca\.components: there are 2 columns and 3 rows, so at most 2 components \(got 3\)",
    ),
    "missing values before pca": (
        [{"select": {"columns": ["a", "holes"]}}, {"pca": {"components": 1}}],
        r"\[1\]\.pca: .*missing in column 'holes'.*impute",
    ),
    "missing values before unitNorm": (
        [{"select": {"columns": ["a", "holes"]}}, {"unitNorm": {}}],
        r"\[1\]\.unitNorm: .*missing in column 'holes'.*impute",
    ),
    "nothing to fill in with": ([{"impute": {}}], r"\[0\]\.impute\.columns: all values .*missing \(got none\)"),
    "nothing to scale": ([{"scale": {"columns": ["none"]}}], r"\[0\]\.scale\.columns: all values .*\(got none\)"),
    "a text among numbers": (
        [{"scale": {"columns": ["kind"]}}],
        r"\[0\]\.scale\.columns: the column holds texts, and the step takes numbers \(got kind\)",
    ),
    "no numbers": ([{"select": {"columns": ["kind"]}}, {"scale": {}}], r"\[1\]\.scale: there is no numeric column"),
    "a text left over": (
        [{"select": {"columns": ["a", "kind"]}}, {"scale": {"columns": ["a"]}}],
        r"spec\.preprocessing: the column holds texts.*\(got kind\).*oneHot",
    ),
    "a text without steps": ([], r"spec\.source\.columns: the column holds texts.*\(got kind\).*oneHot"),
    "missing values left over": (
        [{"select": {"columns": ["a", "holes"]}}, {"scale": {"columns": ["a"]}}],
        r"spec\.source\.columns: the value in row 0 is missing \(got holes\).*impute fills them in",
    ),
    "bounds that cross": (
        [{"clip": {"columns": ["a"], "min": 9, "maxQuantile": 0.5}}],
        r"\[0\]\.clip: the lower bound is above the upper one in column 'a'",
    ),
    "numbers too large to scale": (
        [{"scale": {"columns": ["huge"]}}],
        r"\[0\]\.scale\.columns: the column's values are too large to compute with \(got huge\)",
    ),
    "numbers too large for pca": (
        [{"select": {"columns": ["huge", "many"]}}, {"pca": {"components": 1}}],
        r"\[1\]\.pca\.columns: the column's values are too large to compute with \(got many\)",
    ),
    "an outlier that a step makes infinite": (
        [{"select": {"columns": ["outlier"]}}, {"scale": {"method": "robust"}}, {"scale": {}}],
        r"\[1\]\.scale\.columns: the column's values are too large to compute with \(got outlier\)",
    ),
    "two columns of one name": (
        [{"oneHot": {"columns": ["kind"]}}],
        r"\[0\]\.oneHot: two columns have the name 'kind=u'",
    ),
}


@pytest.mark.parametrize(("steps", "told"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_fitted_is_told_by_step_and_column(steps: list[Raw], told: str) -> None:
    numbers = dict(NUMBERS)
    if "huge" in told:
        numbers["huge"] = [1e308, -1e308, 1e308]
    if "kind=u" in told:
        numbers["kind=u"] = [1, 2, 3]
    if "many" in told:
        numbers = {"huge": [*range(50)], "many": [1e200 * number for number in range(50)]}
    if "outlier" in told:
        numbers = {"outlier": [0.0, 1e-12, 2e-12, 3e-12, 1e300]}
    rows = len(next(iter(numbers.values())))
    raw = frame(numbers, kind=[*"uvw" * rows][:rows], long=["x" * 300, *"yz" * rows][:rows])
    if told.startswith(r"spec\.source\.columns: the column holds"):
        raw = frame({"a": [1, 2, 3]}, kind=["u", "v", "w"])
    with pytest.raises(WorkerError, match=told) as caught:
        fit(raw, *steps)
    assert caught.value.field.startswith("spec.")
    assert caught.value.remedy


def test_infinite_values_are_refused_before_anything_is_computed_of_them() -> None:
    with pytest.raises(WorkerError, match=r"row 1 holds inf, and 2 rows are not finite \(got a\)"):
        fit(frame({"a": [1, np.inf, -np.inf]}), {"clip": {"max": 3}})
