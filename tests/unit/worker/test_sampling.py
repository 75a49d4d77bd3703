"""A sample is uniform, is the same however the rows are cut, and needs one pass and bounded memory."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_worker.data.sampling import start_sample
from shoal_worker.errors import SourceInvalid
from shoal_worker.spec.source import SampleSpec, SourceSpec
from tests.unit.worker.test_reading import parquet, read_data


def drawn(spec: SampleSpec, cuts: list[int]) -> list[int]:
    """Positions of the rows that a sample keeps of rows that come in such portions."""
    sample = start_sample(spec)
    held: list[int] = []
    start = 0
    for rows in cuts:
        held += (sample.draw(rows) + start).tolist()
        start += rows
        if len(held) % 3 == 0 and (kept := sample.keeps()) is not None:
            held = [held[at] for at in kept]
    kept = sample.keeps()
    return held if kept is None else [held[at] for at in kept]


@given(
    st.one_of(
        st.builds(SampleSpec, rows=st.integers(1, 30), seed=st.integers(0, 9)),
        st.builds(SampleSpec, fraction=st.floats(0.01, 0.99), seed=st.integers(0, 9)),
    ),
    st.lists(st.integers(0, 40), max_size=12),
)
def test_a_sample_is_the_same_however_the_rows_are_cut(spec: SampleSpec, cuts: list[int]) -> None:
    whole = drawn(spec, [sum(cuts)])
    assert drawn(spec, cuts) == whole == sorted(set(whole))
    if spec.rows is not None:
        assert len(whole) == min(spec.rows, sum(cuts))


@pytest.mark.parametrize("spec", [{"rows": 20}, {"fraction": 0.2}])
def test_every_row_has_the_same_chance(spec: dict[str, float]) -> None:
    counts = np.zeros(100)
    for seed in range(2_000):
        counts[drawn(SampleSpec(**spec, seed=seed), [37, 63])] += 1
    # 2000 draws with p = 0.2: a deviation of 18; five of them for each of 100 rows.
    assert np.abs(counts - 400).max() < 90


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("sample", [SampleSpec(rows=5_000, seed=7), SampleSpec(fraction=0.02, seed=7)])
def test_a_large_source_is_read_as_a_sample(kind: str, sample: SampleSpec) -> None:
    rows = 250_000
    table = pa.table({"x": np.arange(rows), "kind": [f"k{row % 3}" for row in range(rows)]})
    if kind == "parquet":
        content = parquet(table, row_group_size=30_000)
    else:
        content = b"x,kind\n" + b"".join(b"%d,k%d\n" % (row, row % 3) for row in range(rows))
    source = SourceSpec(uri=f"file:///rows.{kind}", sample=sample, columns=("x", "kind"))
    data = read_data(content, source, max_rows=6_000, texts=frozenset({"kind"}))
    values = data.frame.numbers[:, 0]
    assert (np.diff(values) > 0).all()
    assert [int(text[1]) for text in data.frame.texts["kind"]] == (values % 3).tolist()
    assert data.profile.rows_read == rows
    assert data.profile.rows == len(values)
    assert len(values) == 5_000 if sample.rows else 4_500 < len(values) < 5_500
    assert 110_000 < values.mean() < 140_000


def test_what_does_not_fit_is_refused_with_the_sample_that_does() -> None:
    source = SourceSpec(uri="file:///rows.parquet")
    with pytest.raises(SourceInvalid, match="at most 100") as error:
        read_data(parquet({"x": np.arange(1_000)}), source, max_rows=100)
    assert "spec.source.sample.rows: 100" in error.value.remedy
    fits = source.model_copy(update={"sample": SampleSpec(rows=100)})
    assert read_data(parquet({"x": np.arange(1_000)}), fits, max_rows=100).frame.rows == 100


def test_a_sample_that_does_not_fit_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", None)
    for sample in (SampleSpec(rows=500), SampleSpec(fraction=0.9)):
        with pytest.raises(SourceInvalid, match="at most 100"):
            read_data(
                parquet({"x": np.arange(1_000)}), SourceSpec(uri="file:///rows.parquet", sample=sample), max_rows=100
            )


def test_what_was_read_is_told_by_column() -> None:
    content = parquet(
        {"x": [1.0, None, 4.0], "n": [1, 2, 6], "kind": ["a", None, "a"], "none": pa.nulls(3, pa.float32())}
    )
    profile = read_data(content, SourceSpec(uri="file:///rows.parquet"), texts=frozenset({"kind"})).profile
    assert (profile.format, profile.files, profile.bytes) == ("parquet", 1, len(content))
    assert (profile.rows_read, profile.rows) == (3, 3)
    assert [column.model_dump(exclude_none=True) for column in profile.columns] == [
        {"name": "x", "dtype": "float64", "nulls": 1, "min": 1.0, "max": 4.0, "mean": 2.5},
        {"name": "n", "dtype": "int64", "nulls": 0, "min": 1.0, "max": 6.0, "mean": 3.0},
        {"name": "kind", "dtype": "string", "nulls": 1, "distinct": 1},
        {"name": "none", "dtype": "float32", "nulls": 3},
    ]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=50))
def test_figures_are_finite_whatever_the_values(values: list[float]) -> None:
    (column,) = read_data(parquet({"x": values}), SourceSpec(uri="file:///rows.parquet")).profile.columns
    finite = [value for value in values if np.isfinite(value)]
    assert column.nulls == sum(np.isnan(values))
    if finite:
        assert (column.min, column.max) == (min(finite), max(finite))
        assert min(finite) <= (column.mean or 0) <= max(finite)
    else:
        assert column.mean is None
