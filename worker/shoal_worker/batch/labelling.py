"""Labels the units of one shard, a batch of rows at a time; called by `shard`.

Invariant: memory is bounded by the rows of a batch. A row that cannot be labelled ends the shard, named by its file,
the row group or the batch of the file, its number and its column.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from shoal_worker.batch.work import BatchWork
from shoal_worker.data.columns import frame_of
from shoal_worker.data.dataset import Dataset
from shoal_worker.data.frame import Frame
from shoal_worker.data.records import Unit
from shoal_worker.errors import RowsRefused, SourceInvalid, shorten
from shoal_worker.model import Model, PointArray
from shoal_worker.results import schema as results

_UNIT_NAMES = {"parquet": "row group", "arrow": "record batch"}


def label_shard(
    dataset: Dataset, work: BatchWork, shard: int, model: Model, schema: pa.Schema, *, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a shard with their labels, in the columns of `schema`."""
    carried = [name for name in schema.names if name not in _own_columns(schema)]
    needed = tuple(column.name for column in work.columns)
    names = tuple(dict.fromkeys((*needed, *carried)))
    for file, first, units in work.groups(shard):
        uri, row = dataset.uri_of(file), first
        batches = dataset.batches(units, names, batch_rows=batch_rows)
        while (batch := _next(batches, dataset, units, names, batch_rows)) is not None:
            frame = frame_of(batch, work.columns)
            points = _prepare(model, frame, row, first, units, uri, work.data.format)
            yield _described(model, points, batch, schema, carried, uri, row)
            row += batch.num_rows


def _next(
    batches: Iterator[pa.RecordBatch], dataset: Dataset, units: list[Unit], names: tuple[str, ...], batch_rows: int
) -> pa.RecordBatch | None:
    """The next batch; what cannot be read is read again unit by unit, to tell which one it is."""
    try:
        return next(batches, None)
    except SourceInvalid as error:
        for unit in units:
            try:
                for _ in dataset.batches([unit], names, batch_rows=batch_rows):
                    pass
            except SourceInvalid as again:
                again.message = f"{_place(dataset.uri_of(unit.file), unit, dataset.plan.format)}: {again.message}"
                raise again from None
        raise error from None


def _prepare(
    model: Model, frame: Frame, row: int, first: int, units: list[Unit], uri: str, file_format: str
) -> PointArray:
    try:
        return model.prepare(frame, row)
    except RowsRefused as error:
        start = first
        for unit in units:
            if unit.rows is None:
                break
            inside = slice(max(start - row, 0), max(start + unit.rows - row, 0))
            start += unit.rows
            if not inside.start < min(inside.stop, frame.rows):
                continue
            try:
                model.prepare(frame.select(inside), row + inside.start)
            except RowsRefused as again:
                raise _named(again, _place(uri, unit, file_format)) from None
        raise _named(error, f"file {uri}") from None


def _named(error: RowsRefused, place: str) -> SourceInvalid:
    return SourceInvalid(
        f"{place}: {error.message}",
        reason=error.reason,
        field=error.field,
        value=error.value,
        remedy=error.remedy,
    )


def _place(uri: str, unit: Unit, file_format: str) -> str:
    name = _UNIT_NAMES.get(file_format)
    return f"file {shorten(uri, 300)}{f', {name} {unit.start}' if name else ''}"


def _described(
    model: Model,
    points: PointArray,
    batch: pa.RecordBatch,
    schema: pa.Schema,
    carried: list[str],
    uri: str,
    row: int,
) -> pa.RecordBatch:
    found = model.locate(points)
    rows = batch.num_rows
    made: dict[str, pa.Array[Any]] = {
        results.FILE: pa.repeat(uri, rows),
        results.ROW: pa.array(np.arange(row, row + rows, dtype=np.int64)),
        results.LABEL: pa.array(found.labels),
        results.CLUSTER_ID: pa.array(found.ids),
        # Noise has no core near it.
        results.DISTANCE: pa.array(found.distances.astype(np.float32), mask=found.labels == results.NOISE),
    }
    if found.strengths is not None:
        made[results.STRENGTH] = pa.array(found.strengths.astype(np.float32))
    for name in carried:
        made[name] = _carried(batch.column(name), schema.field(name).type, name, uri)
    return pa.RecordBatch.from_arrays([made[name] for name in schema.names], schema=schema)


def _carried(column: "pa.Array[Any]", dtype: pa.DataType, name: str, uri: str) -> "pa.Array[Any]":
    try:
        return column.cast(dtype)
    except pa.ArrowException as error:
        raise SourceInvalid(
            f"file {uri}: a value does not fit the column's type in the first file, {dtype}: {shorten(error, 200)}",
            reason="SourceFormatInvalid",
            field="spec.output.columns",
            value=name,
            remedy="Write the column with one type in all files, or do not carry it",
        ) from None


def _own_columns(schema: pa.Schema) -> frozenset[str]:
    return frozenset(
        (results.FILE, results.ROW, results.LABEL, results.CLUSTER_ID, results.DISTANCE)
        + ((results.STRENGTH,) if results.STRENGTH in schema.names else ())
    )
