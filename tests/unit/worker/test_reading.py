"""Training data is read completely and exactly, or the error names column, row and remedy."""

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_worker.data.dataset import Access
from shoal_worker.data.frame import Frame
from shoal_worker.data.reading import Bounds, TrainingData, read_training_data
from shoal_worker.errors import SourceInvalid
from shoal_worker.preprocessing.fitting import fit_preprocessor
from shoal_worker.spec.source import SourceSpec

CSV = b"city,lat,lon,people\nBonn,50.7,7.1,330000\nOslo,59.9,10.7,700000\n"
COLUMNS = {"city": ["Bonn", "Oslo"], "lat": [50.7, 59.9], "lon": [7.1, 10.7], "people": [330000, 700000]}


def parquet(columns: dict[str, Any] | pa.Table = COLUMNS, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), buffer, **options)
    return buffer.getvalue()


def read_table(
    content: bytes, source: SourceSpec, *, max_rows: int, max_bytes: int, texts: frozenset[str] | None = None
) -> Frame:
    return read_data(content, source, max_rows, max_bytes, texts).frame


def read_data(
    content: bytes,
    source: SourceSpec,
    max_rows: int = 1 << 30,
    max_bytes: int = 1 << 30,
    texts: frozenset[str] | None = None,
) -> TrainingData:
    """Read the content as if it lay at the source's uri, which has no folder."""
    with tempfile.TemporaryDirectory() as root:
        path = Path(root) / source.uri.removeprefix("file:///")
        path.write_bytes(content)
        there = source.model_copy(update={"uri": f"file://{path}"})
        return read_training_data(there, Access(Path(root), Path(root)), Bounds(max_rows, max_bytes), texts)


def read(content: bytes, *columns: str, suffix: str = "parquet", rows: int = 1000, size: int = 1 << 20) -> Frame:
    source = SourceSpec(uri=f"file:///data.{suffix}", columns=columns or None)
    return read_table(content, source, max_rows=rows, max_bytes=size)


def refusal(content: bytes, *columns: str, **options: Any) -> SourceInvalid:
    with pytest.raises(SourceInvalid) as error:
        fit_preprocessor(read(content, *columns, **options), ())
    assert error.value.remedy
    return error.value


@pytest.mark.parametrize(("content", "suffix"), [(parquet(), "parquet"), (CSV, "csv")])
class TestBothFormats:
    def test_columns_come_in_the_order_asked_for(self, content: bytes, suffix: str) -> None:
        table = read(content, "lon", "lat", suffix=suffix)
        assert table.numbers.tolist() == [[7.1, 50.7], [10.7, 59.9]]
        assert [column.name for column in table.columns] == ["lon", "lat"]
        assert table.numbers.flags.c_contiguous
        assert table.numbers.dtype == np.float64

    def test_every_numeric_column_is_the_default(self, content: bytes, suffix: str) -> None:
        table = read(content, suffix=suffix)
        assert [column.name for column in table.columns] == ["lat", "lon", "people"]
        assert table.numbers[1].tolist() == [59.9, 10.7, 700000]

    def test_a_missing_column_is_told_with_those_that_exist(self, content: bytes, suffix: str) -> None:
        error = refusal(content, "lat", "long", suffix=suffix)
        assert (error.reason, error.field, error.value) == ("ColumnMissing", "spec.source.columns", "long")
        assert "city, lat, lon, people" in error.remedy

    def test_a_column_of_text_is_told_with_those_that_are_numeric(self, content: bytes, suffix: str) -> None:
        error = refusal(content, "city", suffix=suffix)
        assert (error.reason, error.value) == ("ColumnNotNumeric", "city")
        assert "lat, lon, people" in error.remedy

    def test_too_many_rows_are_refused(self, content: bytes, suffix: str) -> None:
        assert "at most 1" in refusal(content, suffix=suffix, rows=1).message
        assert "at most 1" in refusal(content, suffix=suffix, size=40).message

    def test_a_truncated_file_is_refused_or_told(self, content: bytes, suffix: str) -> None:
        error = refusal(content[:9], suffix=suffix)
        assert error.reason in ("SourceFormatInvalid", "DataInvalid", "ColumnNotNumeric")


@pytest.mark.parametrize("value", [None, np.nan, np.inf, -np.inf])
def test_missing_and_infinite_values_are_told_by_row_in_parquet(value: float | None) -> None:
    error = refusal(parquet({"x": [1.0, 2.0, value], "y": [1, 2, 3]}))
    assert (error.reason, error.value) == ("DataInvalid", "x")
    assert "row 2" in error.message


@pytest.mark.parametrize("text", ["", "NA", "nan", "inf"])
def test_missing_and_infinite_values_are_told_by_row_in_csv(text: str) -> None:
    error = refusal(f"x,y\n1,1\n{text},2\n".encode(), suffix="csv")
    assert (error.reason, error.value) == ("DataInvalid", "x")
    assert "row 1" in error.message


def test_the_row_of_a_missing_value_is_counted_over_batches() -> None:
    column = pa.array([1.0] * 70_000 + [None])
    assert "row 70000" in refusal(parquet({"x": column}, row_group_size=30_000), rows=100_000).message


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (
            parquet({"a": [1, None, 3], "kind": ["x", None, "y"], "b": [0.5, 1.5, None], "note": ["p", "q", "r"]}),
            "parquet",
        ),
        (b"a,kind,b,note\n1,x,0.5,p\n,,1.5,q\n3,y,NA,r\n", "csv"),
    ],
)
def test_texts_are_read_where_a_step_codes_them_and_missing_values_stay_missing(content: bytes, suffix: str) -> None:
    source = SourceSpec(uri=f"file:///data.{suffix}")
    frame = read_table(content, source, max_rows=10, max_bytes=1000, texts=frozenset({"kind"}))
    assert [(column.name, column.dtype == "string") for column in frame.columns] == [
        ("a", False),
        ("kind", True),
        ("b", False),
    ]
    np.testing.assert_array_equal(frame.numbers, [[1, 0.5], [np.nan, 1.5], [3, np.nan]])
    assert frame.texts["kind"].tolist() == ["x", None if suffix == "parquet" else "", "y"]
    named = SourceSpec(uri=f"file:///data.{suffix}", columns=("note", "b"))
    frame = read_table(content, named, max_rows=10, max_bytes=1000, texts=frozenset())
    assert frame.texts["note"].tolist() == ["p", "q", "r"]


def test_texts_of_a_dictionary_are_texts() -> None:
    content = parquet({"kind": pa.array(["x", "y", None, "x"]).dictionary_encode()})
    frame = read_table(
        content, SourceSpec(uri="file:///d.parquet"), max_rows=9, max_bytes=999, texts=frozenset({"kind"})
    )
    assert frame.texts["kind"].tolist() == ["x", "y", None, "x"]


def test_text_among_numbers_names_column_and_value() -> None:
    error = refusal(b"a,b,c\n1,2,3\n4,five,6\n", "c", "b", suffix="csv")
    assert (error.reason, error.value) == ("ColumnNotNumeric", "b")
    # The first block decides the types of columns that nobody asked for; a late surprise is told as well.
    late = b"a,b\n" + b"1,2\n" * 1_100_000 + b"1,x\n"
    error = refusal(late, "a", "b", suffix="csv", rows=2_000_000, size=1 << 30)
    assert (error.reason, error.value) == ("ColumnNotNumeric", "b")
    assert "'x'" in error.message


def test_integers_that_later_turn_out_fractional_are_read() -> None:
    content = b"a\n" + b"1\n" * 2_200_000 + b"0.5\n"
    table = read(content, suffix="csv", rows=3_000_000, size=1 << 30)
    assert table.numbers[-1, 0] == 0.5
    assert len(table.numbers) == 2_200_001


@pytest.mark.parametrize(
    ("content", "suffix", "reason"),
    [
        (b"", "csv", "SourceFormatInvalid"),
        (b"", "parquet", "SourceFormatInvalid"),
        (b"x,y\n1,2\n3\n", "csv", "SourceFormatInvalid"),
        (b"\x00\x01\x02", "csv", "SourceFormatInvalid"),
        (CSV, "parquet", "SourceFormatInvalid"),
        (b"PAR1" + b"\xff" * 100 + b"PAR1", "parquet", "SourceFormatInvalid"),
        (parquet({"x": pa.array([], pa.float64())}), "parquet", "DataInvalid"),
        (parquet({"s": ["a"]}), "parquet", "ColumnNotNumeric"),
        (parquet({"x": [[1.0]]}), "parquet", "ColumnNotNumeric"),
        (parquet({"x": [True]}), "parquet", "ColumnNotNumeric"),
        (b"x,x\n1,2\n", "csv", "SourceFormatInvalid"),
        (CSV, "json", "SourceFormatInvalid"),
        (parquet({"x": [2**62 + 1]}), "parquet", "DataInvalid"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(content: bytes, suffix: str, reason: str) -> None:
    assert refusal(content, suffix=suffix).reason == reason


def test_the_declared_format_wins_over_the_suffix() -> None:
    source = SourceSpec(uri="file:///data.bin", format="csv", columns=("lat",))
    assert len(read_table(CSV, source, max_rows=10, max_bytes=1000).numbers) == 2


@pytest.mark.parametrize("dtype", ["int8", "uint32", "int64", "float16", "float32", "float64"])
def test_numeric_types_are_converted_and_recorded(dtype: str) -> None:
    table = read(parquet({"x": np.array([1, 2], dtype)}))
    assert table.numbers.ravel().tolist() == [1.0, 2.0]
    assert table.columns[0].dtype == dtype


def test_a_small_file_cannot_unfold_beyond_the_limit() -> None:
    bomb = parquet({"x": np.zeros(5_000_000)}, compression="zstd")
    assert len(bomb) < 100_000
    assert "at most 131072" in refusal(bomb, rows=10**9).message


@given(st.data())
@settings(deadline=None)
def test_a_damaged_parquet_file_never_crashes(data: st.DataObject) -> None:
    content = bytearray(parquet())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(content), "lat")
    except SourceInvalid as error:
        assert error.reason in ("SourceFormatInvalid", "DataInvalid", "ColumnMissing", "ColumnNotNumeric")  # noqa: PT017


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_arbitrary_csv_bytes_never_crash(content: bytes) -> None:
    try:
        read(content, suffix="csv")
    except SourceInvalid as error:
        assert error.field  # noqa: PT017


def test_a_text_that_is_no_utf8_names_its_column() -> None:
    content = parquet({"kind": pa.array([b"\xff\xfe"]).view(pa.string()), "x": [1.0]})
    with pytest.raises(SourceInvalid, match="UTF-8") as error:
        read_data(content, SourceSpec(uri="file:///rows.parquet"), texts=frozenset({"kind"}))
    assert error.value.value == "kind"
