"""A data set: the files of a source, in units, read as batches of rows; called by `reading` (training) and by batches.

Invariant: memory is bounded by the rows of a batch and one piece of a file, not by the data. A failure names the file.
Opening reads what tells the files' schemas and sizes, and no rows.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from shoal_worker.artifact.manifest import Column
from shoal_worker.data.columns import check_agreement, check_no_more, frame_of
from shoal_worker.data.files import detect_format, find_files, partition_fields, partition_value
from shoal_worker.data.formats.format import URI_FIELD, OpenFile, Span
from shoal_worker.data.frame import Frame
from shoal_worker.data.range_file import RangeFile
from shoal_worker.data.records import DataFile, DataPlan, Unit
from shoal_worker.errors import ObjectMissing, SourceInvalid, StoreUnavailable, shorten
from shoal_worker.spec.source import SourceFormat, SourceSpec
from shoal_worker.store.objects import Location, ObjectInfo, Store, open_store

_OPENED_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Access:
    """What a pod may reach: the mounted Secret of the source, and the root of file:// URIs."""

    secret_dir: Path
    file_root: Path


class Dataset:
    """Files that hold rows of the same columns."""

    def __init__(self, store: Store, location: Location, plan: DataPlan, schemas: tuple[pa.Schema, ...] = ()) -> None:
        self._store = store
        self._location = location
        self._schemas = schemas
        self._partition = partition_fields(plan.files)
        self.plan = plan
        first = schemas[0] if schemas else self._open(plan.files[0]).schema
        there = [field for field in self._partition if field.name not in first.names]
        self.schema: pa.Schema = pa.schema([*first, *there])
        """Names and types of all columns, those last that the folders name (a file's own column wins over them)."""

    @property
    def partition_columns(self) -> frozenset[str]:
        """Columns that the folders name."""
        return frozenset(field.name for field in self._partition)

    def check(self, names: tuple[str, ...], *, all_numeric: bool = False) -> None:
        """Refuse files that differ in these columns, before any row is read.

        all_numeric: the columns are all numeric ones of the first file, so no other file may have more of them.
        """
        for file, schema in zip(self.plan.files, self._schemas, strict=True):
            self._check_file(file, schema, names)
            if all_numeric:
                check_no_more(schema, self.schema, uri=self._uri(file), first_uri=self._uri(self.plan.files[0]))

    def frames(self, units: Iterable[Unit] | None, columns: tuple[Column, ...], *, batch_rows: int) -> Iterator[Frame]:
        """Rows of these units (None: all) in their order, as frames of at most `batch_rows` rows."""
        names = tuple(column.name for column in columns)
        for batch in self.batches(units, names, batch_rows=batch_rows):
            yield frame_of(batch, columns)

    def batches(
        self, units: Iterable[Unit] | None, names: tuple[str, ...], *, batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Rows of these units (None: all) in their order, as record batches of exactly these columns.

        The columns may be of any type; texts may come coded (as a dictionary). Raises SourceInvalid where a file is not
        readable or differs from the others, StoreError where the store fails for longer than it is waited for.
        """
        for index, group in groupby(self.plan.units if units is None else units, key=lambda unit: unit.file):
            file = self.plan.files[index]
            spans = [Span(unit.start, unit.stop, unit.rows, unit.size) for unit in group]
            with self._reading(file):
                opened = self._open(file)
                self._check_file(file, opened.schema, names)
                own = [name for name in names if name in opened.schema.names]
                for batch in opened.batches(spans, own, batch_rows):
                    yield self._completed(batch, file, names)

    def _completed(self, batch: pa.RecordBatch, file: DataFile, names: tuple[str, ...]) -> pa.RecordBatch:
        """Add what the file's folders tell."""
        told = {field.name: field.type for field in self._partition}
        columns = {
            name: batch.column(name)
            if name in batch.schema.names
            else _repeated(file.partition[name], told[name], batch.num_rows)
            for name in names
        }
        return pa.record_batch(columns)

    def _check_file(self, file: DataFile, schema: pa.Schema, names: tuple[str, ...]) -> None:
        own = tuple(name for name in names if name in schema.names or name not in file.partition)
        check_agreement(schema, self.schema, own, uri=self._uri(file), first_uri=self._uri(self.plan.files[0]))

    def _open(self, file: DataFile) -> OpenFile:
        return _open_file(self._store, self._location, self.plan.format, file)

    @contextmanager
    def _reading(self, file: DataFile) -> Iterator[None]:
        with reading(self._uri(file), self.plan.format):
            yield

    def uri_of(self, file: int) -> str:
        """URI of the file at this position of the plan."""
        return self._uri(self.plan.files[file])

    def _uri(self, file: DataFile) -> str:
        return Location(self._location.scheme, self._location.bucket, file.path).uri


def open_dataset(source: SourceSpec, access: Access, plan: DataPlan | None = None) -> Dataset:
    """Find the source's files and open them; with a plan made before, read those very files without looking again.

    Raises SettingsInvalid, StoreError or SourceInvalid.
    """
    with reading(source.uri, source.format or "data"):
        store, location = open_store(
            source.uri, field=URI_FIELD, secret_dir=access.secret_dir, file_root=access.file_root
        )
        if plan is not None:
            return Dataset(store, location, plan)
        files = find_files(store, location, source)
        file_format = detect_format(source, files)

        def describe(file: DataFile) -> OpenFile:
            with reading(Location(location.scheme, location.bucket, file.path).uri, file_format):
                return _open_file(store, location, file_format, file)

        with ThreadPoolExecutor(_OPENED_AT_ONCE) as pool:
            opened = list(pool.map(describe, files))
        counted = tuple(file.model_copy(update={"rows": each.rows}) for file, each in zip(files, opened, strict=True))
        units = tuple(
            Unit(file=index, start=span.start, stop=span.stop, rows=span.rows, size=span.size)
            for index, each in enumerate(opened)
            for span in each.spans()
        )
        plan = DataPlan(format=file_format, files=counted, units=units)
        return Dataset(store, location, plan, tuple(each.schema for each in opened))


@contextmanager
def reading(uri: str, file_format: str) -> Iterator[None]:
    """Tell the failures of reading a file as failures of the source."""
    try:
        yield
    except (ObjectMissing, StoreUnavailable) as error:
        error.reason = "SourceUnreadable"
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SourceInvalid(
            f"the object is not readable as {file_format}: {shorten(str(error).partition(chr(10))[0], 300)}",
            reason="SourceFormatInvalid",
            field=URI_FIELD,
            value=uri,
            remedy="Check that the object is complete and that spec.source.format says what it is",
        ) from None


def _opener(file_format: SourceFormat) -> Callable[[RangeFile], OpenFile]:
    """Imported late: who reads one format need not wait for the libraries of all."""
    match file_format:
        case "parquet":
            from shoal_worker.data.formats.parquet import ParquetRows

            return ParquetRows
        case "csv":
            from shoal_worker.data.formats.csv import CsvRows

            return CsvRows
        case "arrow":
            from shoal_worker.data.formats.arrow import open_arrow

            return open_arrow
        case "npy":
            from shoal_worker.data.formats.npy import NpyRows

            return NpyRows


def _open_file(store: Store, location: Location, file_format: SourceFormat, file: DataFile) -> OpenFile:
    place = Location(location.scheme, location.bucket, file.path)
    opened = _opener(file_format)(RangeFile(store, ObjectInfo(place, file.size, file.etag)))
    # Names are decoded when they are asked for; those that cannot be fail here, where it is told.
    list(opened.schema.names)
    return opened


def _repeated(text: str, dtype: pa.DataType, rows: int) -> "pa.Array[Any]":
    value = pa.array([partition_value(text, dtype)], dtype)
    if not pa.types.is_string(dtype):
        return value.take(pa.array([0] * rows, pa.int64()))
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), value)
