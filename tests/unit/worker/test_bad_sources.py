"""What can be wrong with a source is told with the file and the remedy; what passes by itself is waited for."""

import io
import struct
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_worker.data import range_file
from shoal_worker.data.dataset import Access
from shoal_worker.data.reading import Bounds, TrainingData, read_training_data
from shoal_worker.errors import CredentialsRejected, SourceInvalid, StoreError, WorkerError
from shoal_worker.spec.source import SourceSpec
from shoal_worker.store.objects import open_store
from tests.faulty_proxy import FaultyProxy, Request, delay, fail, run_proxy
from tests.s3 import BUCKET, S3Server, s3_server

__all__ = ["s3_server"]


_FOLDERS = count()


@pytest.fixture(scope="module")
def proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    with run_proxy(s3_server.endpoint) as proxy:
        yield proxy


class Bucket:
    """Data in a bucket behind a proxy."""

    def __init__(self, server: S3Server, proxy: FaultyProxy, folder: Path, name: str) -> None:
        self.uri = f"s3://{BUCKET}/{name}/"
        self.secret = server.write_secret(folder / "secret")
        (self.secret / "AWS_ENDPOINT_URL").write_text(proxy.url)

    def put(self, name: str, content: bytes) -> None:
        store, folder = open_store(self.uri, field="uri", secret_dir=self.secret, file_root=Path("/none"))
        store.write(folder.child(name), content)

    def read(self, name: str = "", **fields: Any) -> TrainingData:
        access = Access(self.secret, Path("/none"))
        return read_training_data(SourceSpec(uri=self.uri + name, **fields), access, Bounds(1 << 30, 1 << 30))

    def failure(self, name: str = "", **fields: Any) -> WorkerError:
        with pytest.raises(WorkerError) as error:
            self.read(name, **fields)
        assert error.value.remedy
        assert "tests-secret" not in str(error.value)
        return error.value


@pytest.fixture
def bucket(
    s3_server: S3Server, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bucket]:
    monkeypatch.setattr(range_file, "_PAUSES", (0.01, 0.01, 0.01, 0.01, 0.01))
    bucket = Bucket(s3_server, proxy, tmp_path, f"bad-{next(_FOLDERS)}")
    for part in range(3):
        bucket.put(f"{part}.parquet", table({"x": np.arange(100_000.0) + part}, row_group_size=20_000))
    yield bucket
    proxy.break_by(lambda _request: None)


class TestBusyStores:
    def test_an_undisturbed_folder_is_read(self, bucket: Bucket) -> None:
        assert bucket.read().frame.rows == 300_000

    @pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (429, "TooManyRequests")])
    def test_errors_that_pass_are_waited_for(self, bucket: Bucket, proxy: FaultyProxy, status: int, code: str) -> None:
        proxy.break_by(fail(status, code, times=5, after=4))
        data = bucket.read()
        assert data.frame.numbers[:, 0].tolist() == [row + part for part in range(3) for row in np.arange(100_000.0)]
        assert proxy.answers.count(status) == 5

    def test_errors_that_stay_are_told_after_some_tries(self, bucket: Bucket, proxy: FaultyProxy) -> None:
        proxy.break_by(fail(503, "SlowDown", after=6))
        error = bucket.failure()
        assert (error.reason, error.transient) == ("SourceUnreadable", True)
        assert "SlowDown" in error.message
        # Six tries, each of which the client repeats once.
        assert 6 <= proxy.answers.count(503) <= 12

    def test_a_slow_store_is_read_slowly(self, bucket: Bucket, proxy: FaultyProxy) -> None:
        proxy.break_by(delay(0.1))
        begun = time.monotonic()
        assert bucket.read("0.parquet").frame.rows == 100_000
        assert time.monotonic() - begun > 0.2

    def test_no_patience_is_spent_on_what_stays(self, bucket: Bucket, proxy: FaultyProxy) -> None:
        proxy.break_by(fail(403, "AccessDenied", after=6))
        error = bucket.failure()
        assert isinstance(error, CredentialsRejected)
        assert proxy.answers.count(403) <= 2

    def test_a_file_that_vanishes_is_told_at_once(self, bucket: Bucket, proxy: FaultyProxy) -> None:
        proxy.break_by(fail(404, "NoSuchKey", after=6))
        error = bucket.failure()
        assert (error.reason, error.transient) == ("SourceUnreadable", False)
        assert ".parquet" in error.value
        assert proxy.answers.count(404) <= 2

    def test_a_bucket_that_vanishes_is_told_as_such(self, bucket: Bucket) -> None:
        bucket.uri = "s3://no-such-bucket/"
        error = bucket.failure()
        assert "no such bucket" in error.message
        assert error.reason == "SourceUnreadable"

    def test_wrong_credentials_are_told(self, bucket: Bucket) -> None:
        (bucket.secret / "AWS_SECRET_ACCESS_KEY").write_text("wrong")
        error = bucket.failure()
        assert isinstance(error, CredentialsRejected)
        assert "AWS_SECRET_ACCESS_KEY" in error.remedy

    def test_a_file_that_is_replaced_meanwhile_is_no_mixture(self, bucket: Bucket, proxy: FaultyProxy) -> None:
        replaced = False

        def replace(request: Request) -> None:
            nonlocal replaced
            # The list and the beginnings of three files come first.
            if request.ranged and request.number > 5 and not replaced:
                replaced = True
                for part in range(3):
                    bucket.put(f"{part}.parquet", table({"x": np.zeros(100_000)}))

        proxy.break_by(replace)
        error = bucket.failure()
        assert isinstance(error, StoreError)
        assert error.transient
        assert "changed" in error.message


class TestFiles:
    @pytest.fixture
    def read(self, tmp_path: Path) -> Any:
        def read(name: str, content: bytes, **fields: Any) -> TrainingData:
            (tmp_path / name).write_bytes(content)
            return read_training_data(
                SourceSpec(uri=f"file://{tmp_path}/{name}", **fields),
                Access(Path("/none"), tmp_path),
                Bounds(1 << 30, 1 << 30),
                frozenset({"kind"}),
            )

        return read

    @pytest.fixture
    def refuse(self, read: Any) -> Any:
        def refuse(name: str, content: bytes, **fields: Any) -> SourceInvalid:
            with pytest.raises(SourceInvalid) as error:
                read(name, content, **fields)
            assert error.value.remedy
            return error.value

        return refuse

    @pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
    @pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.arrows", "a.npy"])
    def test_a_truncated_file_is_refused_by_name(self, refuse: Any, name: str, kept: float) -> None:
        content = made(name)
        error = refuse(name, content[: int(len(content) * kept)])
        assert error.reason == "SourceFormatInvalid"
        assert name in error.value

    @pytest.mark.parametrize(
        ("header", "part"),
        [
            ({"descr": "|O", "fortran_order": False, "shape": (2, 2)}, "unpickled"),
            ({"descr": [("a", "|O"), ("b", "<f8")], "fortran_order": False, "shape": (2,)}, "unpickled"),
            ({"descr": "<f8", "fortran_order": False, "shape": (1 << 62, 1 << 62)}, "asks for"),
            ({"descr": "<f8", "fortran_order": False, "shape": (1 << 40, 2)}, "asks for"),
            ({"descr": "<f8", "fortran_order": False, "shape": (-1, 2)}, "shape"),
            ({"descr": "<f8", "fortran_order": False, "shape": ()}, "shape"),
            ({"descr": "<f8", "fortran_order": False, "shape": (2, 2, 2)}, "shape"),
            ({"descr": "<f8", "fortran_order": False, "shape": (1, 0)}, "shape"),
            ({"descr": "<c16", "fortran_order": False, "shape": (2,)}, "not numbers"),
            ({"descr": "<U8", "fortran_order": False, "shape": (1,)}, "not numbers"),
            ({"descr": "<f8", "fortran_order": 3, "shape": (4,)}, "header"),
            ({"descr": "<f8", "shape": (4,)}, "header"),
            ({"descr": [("a", "<f8", (2,))], "fortran_order": False, "shape": (2,)}, "single values"),
        ],
    )
    def test_a_hostile_npy_header_is_refused(self, refuse: Any, header: dict[str, Any], part: str) -> None:
        error = refuse("a.npy", npy(repr(header)) + b"\0" * 32)
        assert error.reason == "SourceFormatInvalid"
        assert part in error.message

    @pytest.mark.parametrize("header", ["__import__('os').system('true')", "(" * 9_000, "{", "'" * 70_000, "1" * 9_999])
    def test_a_header_that_is_no_header_is_refused(self, refuse: Any, header: str) -> None:
        assert "header" in refuse("a.npy", npy(header) + b"\0" * 32).message

    def test_a_pickle_is_not_read(self, refuse: Any) -> None:
        stream = io.BytesIO()
        np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        assert "unpickled" in refuse("a.npy", stream.getvalue()).message

    def test_ragged_rows_are_told_with_both_counts(self, refuse: Any) -> None:
        error = refuse("a.csv", b"x,y\n1,2\n3\n4,5\n")
        assert error.reason == "SourceFormatInvalid"
        assert "Expected 2 columns, got 1" in error.message

    def test_ragged_rows_behind_the_first_range_are_told(self, refuse: Any) -> None:
        error = refuse("a.csv", b"x,y\n" + b"1,2\n" * 9_000_000 + b"3,4,5\n")
        assert "Expected 2 columns, got 3" in error.message

    def test_a_row_without_end_is_refused(self, refuse: Any) -> None:
        error = refuse("a.csv", b"x,y\n" + b"1,2\n" * 9_000_000 + b"3," + b"4" * 20_000_000)
        assert error.reason == "SourceFormatInvalid"

    def test_a_column_without_values_is_told(self, read: Any) -> None:
        for name, content in (("a.csv", b"x,y\n1,\n2,\n"), ("a.parquet", table({"x": [1, 2], "y": [None, None]}))):
            data = read(name, content, columns=("x", "y"))
            assert [column.nulls for column in data.profile.columns] == [0, 2]

    def test_values_that_fill_the_memory_are_refused_before_they_are_read(
        self, refuse: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(range_file, "_MOST_READ_BYTES", 1 << 20)
        monkeypatch.setattr(pq.ParquetFile, "iter_batches", None)
        # A few kilobytes that become 8 MB in one cell.
        content = table({"kind": ["a" * (8 << 20), "b"], "x": [1.0, 2.0]}, compression="zstd", use_dictionary=False)
        assert len(content) < 10_000
        error = refuse("a.parquet", content)
        assert error.value == "kind"
        assert "spec.training.resources" in error.remedy

    def test_a_record_batch_that_fills_the_memory_is_refused(
        self, refuse: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(range_file, "_MOST_READ_BYTES", 1 << 20)
        for name in ("a.arrow", "a.arrows"):
            assert "in one piece" in refuse(name, made(name, rows=300_000)).message

    def test_a_long_text_that_is_repeated_is_held_once(self, read: Any) -> None:
        places = pa.array([row % 2 for row in range(50_000)], pa.int32())
        kinds = pa.DictionaryArray.from_arrays(places, pa.array(["k" * 1_000_000, "short"]))
        content = table({"kind": kinds, "x": np.arange(50_000.0)}, compression="zstd")
        texts = read("a.parquet", content).frame.texts["kind"]
        assert len({id(text) for text in texts.tolist()}) == 2

    def test_what_declares_more_than_it_holds_is_refused(self, refuse: Any) -> None:
        """An IPC buffer's length before compression is a number that anybody can write."""
        stream = io.BytesIO()
        schema = pa.schema([("x", pa.float64())])
        with pa.ipc.new_file(stream, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_batch(pa.record_batch({"x": np.arange(1_000.0)}))
        content = stream.getvalue().replace(struct.pack("<q", 8_000), struct.pack("<q", 1 << 50))
        assert content != stream.getvalue()
        refuse("a.arrow", content)


@given(st.data())
@settings(deadline=None, max_examples=200)
@pytest.mark.parametrize("name", ["a.arrow", "a.arrows", "a.npy", "a.csv"])
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    content = bytearray(made(name, rows=20))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.getbasetemp()
    (folder / name).write_bytes(
        content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    )
    access = Access(Path("/none"), folder)
    try:
        read_training_data(SourceSpec(uri=f"file://{folder / name}"), access, Bounds(1_000, 1 << 20), frozenset())
    except SourceInvalid as error:
        assert error.remedy  # noqa: PT017


def table(columns: dict[str, Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, **options)
    return stream.getvalue()


def made(name: str, rows: int = 1_000) -> bytes:
    """A good file of this format."""
    values = np.random.default_rng(1).normal(size=rows)
    stream = io.BytesIO()
    match name.partition(".")[2]:
        case "parquet":
            return table({"x": values}, row_group_size=300)
        case "npy":
            np.save(stream, values)
        case "csv":
            return b"x,y\n" + b"".join(b"%.3f,%d\n" % (value, row) for row, value in enumerate(values))
        case suffix:
            batch = pa.record_batch({"x": values})
            with (pa.ipc.new_stream if suffix == "arrows" else pa.ipc.new_file)(stream, batch.schema) as writer:
                writer.write_batch(batch)
    return stream.getvalue()


def npy(header: str) -> bytes:
    """The beginning of a .npy file of version 2."""
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header.encode("latin1")
