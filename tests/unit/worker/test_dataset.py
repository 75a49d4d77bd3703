"""A data set splits into units that are read each on its own and together give every row once, in order."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_worker.data.columns import choose_columns
from shoal_worker.data.dataset import Access, Dataset, open_dataset
from shoal_worker.data.formats import csv, npy
from shoal_worker.data.records import DataPlan
from shoal_worker.errors import ObjectMissing, SourceInvalid, StoreUnavailable
from shoal_worker.spec.source import SourceSpec

ROWS = 5_000
TABLE = pa.table(
    {
        "x": np.random.default_rng(3).normal(size=ROWS),
        "n": np.arange(ROWS),
        "kind": [f"k{row % 7}" for row in range(ROWS)],
    }
)
FILES = ["rows.parquet", "rows.csv", "rows.arrow", "rows.feather", "rows.arrows", "rows.npy", "columns.npy"]


def write(path: Path, table: pa.Table = TABLE) -> None:
    numbers = np.column_stack([table["x"], table["n"]]) if path.suffix == ".npy" else None
    match path.name.partition(".")[2]:
        case "parquet":
            pq.write_table(table, path, row_group_size=700)
        case "csv":
            pyarrow.csv.write_csv(table, path)
        case "npy":
            assert numbers is not None
            np.save(path, numbers if path.stem == "rows" else np.asfortranarray(numbers))
        case suffix:
            compression = pa.ipc.IpcWriteOptions(compression="zstd" if suffix == "feather" else None)
            new = pa.ipc.new_stream if suffix == "arrows" else pa.ipc.new_file
            with new(path, table.schema, options=compression) as writer:
                for batch in table.to_batches(max_chunksize=700):
                    writer.write_batch(batch)


def open_at(path: Path | str, plan: DataPlan | None = None, **fields: Any) -> Dataset:
    source = SourceSpec(uri=f"file://{path}", **fields)
    return open_dataset(source, Access(secret_dir=Path("/none"), file_root=Path("/")), plan)


def read_all(path: Path | str, **fields: Any) -> list[pa.RecordBatch]:
    dataset = open_at(path, **fields)
    dataset.check(tuple(dataset.schema.names))
    return list(dataset.batches(None, tuple(dataset.schema.names), batch_rows=100))


def refusal(path: Path | str, **fields: Any) -> SourceInvalid:
    with pytest.raises(SourceInvalid) as error:
        read_all(path, **fields)
    assert error.value.remedy
    return error.value


@pytest.mark.parametrize("name", FILES)
class TestUnits:
    @pytest.fixture(autouse=True)
    def _small_spans(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(csv, "_SPAN_BYTES", 10_000)
        monkeypatch.setattr(npy, "_SPAN_BYTES", 10_000)

    def test_units_read_alone_are_all_rows_in_order(self, tmp_path: Path, name: str) -> None:
        write(tmp_path / name)
        planned = open_at(tmp_path / name)
        assert planned.plan.rows in (ROWS, None)
        assert len(planned.plan.units) > 3 or name == "rows.arrows"
        # As another pod would do it, from the record alone.
        dataset = open_at(tmp_path / name, DataPlan.model_validate_json(planned.plan.model_dump_json(by_alias=True)))
        columns = choose_columns(dataset.schema, None)
        frames = [frame for unit in dataset.plan.units for frame in dataset.frames([unit], columns, batch_rows=333)]
        np.testing.assert_array_equal(np.concatenate([frame.numbers for frame in frames])[:, 0], TABLE["x"])
        np.testing.assert_array_equal(np.concatenate([frame.numbers for frame in frames])[:, 1], TABLE["n"])
        assert max(frame.rows for frame in frames) <= 333

    def test_only_the_columns_asked_for_come_in_the_order_asked(self, tmp_path: Path, name: str) -> None:
        write(tmp_path / name)
        dataset = open_at(tmp_path / name)
        names = ("x1", "x0") if name.endswith("npy") else ("kind", "x")
        batches = list(dataset.batches(dataset.plan.units[:1], names, batch_rows=64))
        assert all(tuple(batch.schema.names) == names for batch in batches)

    def test_rows_told_are_rows_read(self, tmp_path: Path, name: str) -> None:
        write(tmp_path / name)
        dataset = open_at(tmp_path / name)
        first = dataset.schema.names[0]
        for unit in dataset.plan.units:
            read = sum(batch.num_rows for batch in dataset.batches([unit], (first,), batch_rows=1_000))
            assert unit.rows in (read, None)

    def test_a_file_that_was_replaced_is_not_read(self, tmp_path: Path, name: str) -> None:
        write(tmp_path / name)
        dataset = open_at(tmp_path / name)
        write(tmp_path / name, TABLE.slice(0, 4_000))
        with pytest.raises(StoreUnavailable, match="changed") as error:
            list(dataset.batches(None, tuple(dataset.schema.names), batch_rows=100))
        assert error.value.reason == "SourceUnreadable"


@given(st.lists(st.text("ab,\r é", max_size=30), max_size=40), st.integers(1, 60), st.sampled_from(["\n", "\r\n"]))
@settings(deadline=None)
def test_ranges_of_a_csv_file_may_be_cut_anywhere(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], span: int, end: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    rows = [f'{at},"{text}"'.replace("\r", " ") for at, text in enumerate(texts)]
    path.write_bytes(end.join(["", "n,text", *rows, ""]).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv, "_SPAN_BYTES", span)
        dataset = open_at(path)
        read = [
            value
            for unit in dataset.plan.units
            for batch in dataset.batches([unit], ("n",), batch_rows=7)
            for value in batch["n"].to_pylist()
        ]
    assert read == list(range(len(texts)))


class TestFolders:
    def test_the_files_of_a_folder_are_read_in_the_order_of_their_paths(self, tmp_path: Path) -> None:
        for name, start in (("b", 100), ("a/c", 200), ("a", 0)):
            (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)
            pq.write_table(TABLE.slice(start, 10), tmp_path / "data" / name / "0.parquet")
        (tmp_path / "data" / "_SUCCESS").touch()
        (tmp_path / "data" / ".0.crc").write_bytes(b"1")
        for uri in (tmp_path / "data", f"{tmp_path}/data/"):
            dataset = open_at(uri)
            values = [
                value for batch in dataset.batches(None, ("n",), batch_rows=99) for value in batch["n"].to_pylist()
            ]
            assert values == [*range(10), *range(200, 210), *range(100, 110)]

    def test_folders_name_columns_as_hive_writes_them(self, tmp_path: Path) -> None:
        for place, rows in (("year=2025/land=de", 2), ("year=2026/land=C%C3%B4te%20x", 3)):
            (tmp_path / place).mkdir(parents=True)
            pq.write_table(TABLE.slice(0, rows), tmp_path / place / "0.parquet")
        dataset = open_at(tmp_path)
        assert str(dataset.schema.field("year").type) == "int64"
        read = pa.Table.from_batches(dataset.batches(None, ("land", "x", "year"), batch_rows=100)).to_pydict()
        assert read["year"] == [2025, 2025, 2026, 2026, 2026]
        assert read["land"] == ["de", "de", "Côte x", "Côte x", "Côte x"]
        columns = choose_columns(dataset.schema, None, unasked=dataset.partition_columns)
        assert [column.name for column in columns] == ["x", "n"]
        columns = choose_columns(dataset.schema, ("year", "land"), frozenset())
        frames = list(dataset.frames(dataset.plan.units[1:], columns, batch_rows=2))
        assert [frame.texts["land"].tolist() for frame in frames] == [["Côte x", "Côte x"], ["Côte x"]]
        assert frames[0].number("year").tolist() == [2026, 2026]

    @pytest.mark.parametrize(
        ("values", "dtype"),
        [
            (["1", "-2"], "int64"),
            (["1", "0.5"], "double"),
            (["007"], "string"),
            (["1_0"], "string"),
            ([str(2**63)], "string"),
            (["nan"], "string"),
            (["1", "__HIVE_DEFAULT_PARTITION__"], "int64"),
        ],
    )
    def test_values_of_folders_are_numbers_where_all_are(self, tmp_path: Path, values: list[str], dtype: str) -> None:
        for value in values:
            (tmp_path / f"k={value}").mkdir()
            pq.write_table(TABLE.slice(0, 1), tmp_path / f"k={value}" / "0.parquet")
        dataset = open_at(tmp_path)
        assert str(dataset.schema.field("k").type) == dtype
        assert pa.Table.from_batches(dataset.batches(None, ("k",), batch_rows=9)).num_rows == len(values)

    def test_a_missing_column_names_the_file(self, tmp_path: Path) -> None:
        pq.write_table(TABLE, tmp_path / "0.parquet")
        pq.write_table(TABLE.drop(["n"]), tmp_path / "1.parquet")
        error = refusal(tmp_path)
        assert (error.reason, error.value) == ("ColumnMissing", "n")
        assert "1.parquet" in error.message

    def test_a_column_that_occurs_twice_names_the_file(self, tmp_path: Path) -> None:
        pq.write_table(TABLE, tmp_path / "0.parquet")
        pq.write_table(TABLE.append_column("n", TABLE["x"]), tmp_path / "1.parquet")
        error = refusal(tmp_path)
        assert (error.reason, error.value) == ("SourceFormatInvalid", "n")
        assert "1.parquet" in error.message

    def test_a_type_that_changes_names_both_files(self, tmp_path: Path) -> None:
        pq.write_table(TABLE, tmp_path / "0.parquet")
        pq.write_table(TABLE.set_column(1, "n", TABLE["n"].cast(pa.string())), tmp_path / "1.parquet")
        error = refusal(tmp_path)
        assert error.value == "n"
        for part in ("int64", "string", "0.parquet", "1.parquet"):
            assert part in error.message

    def test_numbers_of_other_width_are_numbers(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"n": pa.array([1, 2], pa.int32())}), tmp_path / "0.parquet")
        pq.write_table(pa.table({"n": pa.array([0.5])}), tmp_path / "1.parquet")
        pq.write_table(pa.table({"n": pa.nulls(1)}), tmp_path / "2.parquet")
        dataset = open_at(tmp_path)
        dataset.check(("n",))
        frames = dataset.frames(None, choose_columns(dataset.schema, None), batch_rows=9)
        np.testing.assert_array_equal(np.concatenate([frame.numbers[:, 0] for frame in frames]), [1, 2, 0.5, np.nan])

    def test_a_further_column_is_refused_only_where_all_are_meant(self, tmp_path: Path) -> None:
        pq.write_table(TABLE.drop(["n"]), tmp_path / "0.parquet")
        pq.write_table(TABLE, tmp_path / "1.parquet")
        dataset = open_at(tmp_path)
        dataset.check(("x",))
        with pytest.raises(SourceInvalid, match=r"1\.parquet has a numeric column") as error:
            dataset.check(("x",), all_numeric=True)
        assert error.value.value == "n"

    def test_several_formats_are_refused(self, tmp_path: Path) -> None:
        write(tmp_path / "rows.parquet")
        write(tmp_path / "rows.csv")
        assert "csv, parquet" in refusal(tmp_path).message

    def test_an_unknown_suffix_asks_for_the_format(self, tmp_path: Path) -> None:
        write(tmp_path / "rows.csv")
        (tmp_path / "rows.csv").rename(tmp_path / "rows.txt")
        assert refusal(tmp_path).field == "spec.source.format"
        assert open_at(tmp_path, format="csv").plan.format == "csv"

    def test_folders_of_several_forms_are_refused(self, tmp_path: Path) -> None:
        write(tmp_path / "rows.parquet")
        (tmp_path / "year=1").mkdir()
        write(tmp_path / "year=1" / "rows.parquet")
        assert "year" in refusal(tmp_path).message

    def test_an_empty_folder_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        assert "no data files" in refusal(f"{tmp_path}/empty/").message
        with pytest.raises(ObjectMissing):
            open_at(tmp_path / "empty")
