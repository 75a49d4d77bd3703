"""Training data: a Parquet or CSV object as a float64 matrix with column names; called by `train`.

Invariant: the matrix is complete, finite and of known size, or a SourceInvalid names the column, the row and the
columns that exist. Memory is claimed once, after rows x columns was checked against the limit; files are decoded in
batches into it, so a small file cannot unfold into a large one unnoticed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from shoal_worker.artifact.files import FloatArray
from shoal_worker.artifact.manifest import Column
from shoal_worker.errors import SourceInvalid, shorten
from shoal_worker.spec.source import SourceFormat, SourceSpec

_BATCH_ROWS = 65_536
_CSV_BLOCK_BYTES = 4 << 20
# Arrow tells the column by its position in the file only.
_CSV_CONVERSION = re.compile(r"In CSV column #(\d+): .*conversion error.*: invalid value (.*)")
_SHOWN_COLUMNS = 20
_COLUMNS_FIELD = "spec.source.columns"
_URI_FIELD = "spec.source.uri"


@dataclass(frozen=True, slots=True)
class Table:
    """The points with the columns that they came from."""

    points: FloatArray
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class _Opened:
    """A file ready to be decoded; a row count of None is not known in advance."""

    columns: tuple[Column, ...]
    rows: int | None
    batches: Iterator[pa.RecordBatch]


def detect_format(source: SourceSpec) -> SourceFormat:
    """The declared format, else the one of the URI's suffix.

    >>> detect_format(SourceSpec(uri="s3://b/cities.parquet"))
    'parquet'
    """
    if source.format:
        return source.format
    match PurePosixPath(source.uri).suffix.lower():
        case ".parquet":
            return "parquet"
        case ".csv":
            return "csv"
    raise SourceInvalid(
        "the format cannot be told from the suffix",
        reason="SourceFormatInvalid",
        field="spec.source.format",
        value=source.uri,
        remedy="Set the format to parquet or csv",
    )


def read_table(content: bytes, source: SourceSpec, *, max_rows: int, max_bytes: int) -> Table:
    """Decode the object's bytes."""
    file_format = detect_format(source)
    try:
        opened = (_open_parquet if file_format == "parquet" else _open_csv)(content, source.columns)
        points = _collect(opened, max_rows=max_rows, max_bytes=max_bytes)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SourceInvalid(
            f"the object is not readable as {file_format}: {shorten(str(error).partition(chr(10))[0], 300)}",
            reason="SourceFormatInvalid",
            field=_URI_FIELD,
            value=source.uri,
            remedy="Check that the object is complete and that spec.source.format says what it is",
        ) from None
    if not len(points):
        raise SourceInvalid("there are no rows", field=_URI_FIELD, value=source.uri, remedy="Point to data with rows")
    _check_finite(points, opened.columns)
    return Table(points, opened.columns)


def _open_parquet(content: bytes, wanted: tuple[str, ...] | None) -> _Opened:
    file = pa.parquet.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    columns = _choose(file.schema_arrow, wanted)
    batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=[column.name for column in columns])
    return _Opened(columns, file.metadata.num_rows, batches)


def _open_csv(content: bytes, wanted: tuple[str, ...] | None) -> _Opened:
    options = pa.csv.ReadOptions(block_size=_CSV_BLOCK_BYTES)
    # The first look infers types from the first block; the second reads the chosen columns as numbers throughout.
    schema = pa.csv.open_csv(pa.BufferReader(content), read_options=options).schema  # type: ignore[arg-type]  # stubs
    columns = _choose(schema, wanted)
    names = [column.name for column in columns]
    batches = _csv_batches(content, options, chosen=names, present=schema.names)
    return _Opened(tuple(Column(name=name, dtype="float64") for name in names), None, batches)


def _csv_batches(
    content: bytes, options: pa.csv.ReadOptions, *, chosen: list[str], present: list[str]
) -> Iterator[pa.RecordBatch]:
    convert = pa.csv.ConvertOptions(include_columns=chosen, column_types=dict.fromkeys(chosen, pa.float64()))
    buffer = pa.BufferReader(content)
    try:
        yield from pa.csv.open_csv(buffer, read_options=options, convert_options=convert)  # type: ignore[arg-type]  # stubs
    except pa.ArrowInvalid as error:
        if not (match := _CSV_CONVERSION.match(str(error))):
            raise
        raise SourceInvalid(
            f"a value is not a number: {shorten(match[2])}",
            reason="ColumnNotNumeric",
            field=_COLUMNS_FIELD,
            value=present[int(match[1])],
            remedy="Correct the value, or leave the column out",
        ) from None


def _choose(schema: pa.Schema, wanted: tuple[str, ...] | None) -> tuple[Column, ...]:
    names = list(schema.names)
    numeric = [field.name for field in schema if _is_numeric(field.type)]
    if twice := sorted({name for name in names if names.count(name) > 1} & set(wanted or names)):
        raise SourceInvalid(
            "the column occurs twice",
            reason="SourceFormatInvalid",
            field=_COLUMNS_FIELD,
            value=twice[0],
            remedy="Give the columns of the file distinct names",
        )
    if wanted is None and not numeric:
        raise SourceInvalid(
            "no column is numeric",
            reason="ColumnNotNumeric",
            field=_URI_FIELD,
            value=_listed(names),
            remedy="Point to data with numeric columns",
        )
    for name in wanted or ():
        if name not in names:
            raise SourceInvalid(
                "there is no such column",
                reason="ColumnMissing",
                field=_COLUMNS_FIELD,
                value=name,
                remedy=f"The file has: {_listed(names)}",
            )
        # A column of nothing but missing values has no type yet; its first missing value is the better complaint.
        if name not in numeric and not pa.types.is_null(schema.field(name).type):
            raise SourceInvalid(
                f"the column holds {schema.field(name).type}, not numbers",
                reason="ColumnNotNumeric",
                field=_COLUMNS_FIELD,
                value=name,
                remedy=f"Numeric columns are: {_listed(numeric) or 'none'}",
            )
    chosen = wanted or tuple(numeric)
    return tuple(Column(name=name, dtype=_type_name(schema.field(name).type)) for name in chosen)


def _collect(opened: _Opened, *, max_rows: int, max_bytes: int) -> FloatArray:
    width = len(opened.columns)
    row_limit = min(max_rows, max_bytes // (8 * width))
    if opened.rows is not None:
        if opened.rows < 0:
            raise _miscounted(opened.rows)
        _check_rows(opened.rows, row_limit, width)
    parts: list[FloatArray] = []
    points: FloatArray = np.empty((opened.rows or 0, width))
    filled = 0
    for batch in opened.batches:
        _check_rows(filled + batch.num_rows, row_limit, width)
        if opened.rows is not None and filled + batch.num_rows > opened.rows:
            raise _miscounted(opened.rows)
        part = (
            points[filled : filled + batch.num_rows] if opened.rows is not None else np.empty((batch.num_rows, width))
        )
        for index, column in enumerate(opened.columns):
            part[:, index] = _numbers(batch.column(column.name), column.name, filled)
        filled += batch.num_rows
        if opened.rows is None:
            parts.append(part)
    if opened.rows is not None and filled != opened.rows:
        raise _miscounted(opened.rows)
    return np.concatenate(parts) if parts else points


def _miscounted(rows: int) -> SourceInvalid:
    return SourceInvalid(
        "the file holds another number of rows than its footer says",
        reason="SourceFormatInvalid",
        field=_URI_FIELD,
        value=rows,
        remedy="The file is damaged: write it again",
    )


def _numbers(column: "pa.Array[Any]", name: str, first_row: int) -> np.ndarray:
    if column.null_count:
        row = first_row + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise SourceInvalid(
            f"the value in row {row} is missing",
            field=_COLUMNS_FIELD,
            value=name,
            remedy="Remove or fill rows with missing values",
        )
    try:
        return column.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise SourceInvalid(
            f"a value does not fit a 64-bit float: {shorten(error, 200)}",
            field=_COLUMNS_FIELD,
            value=name,
            remedy="Store the column as float64",
        ) from None


def _check_rows(rows: int, limit: int, width: int) -> None:
    if rows > limit:
        raise SourceInvalid(
            f"there are {rows} rows or more, and at most {limit} of {width} columns fit the limits",
            field=_URI_FIELD,
            value=rows,
            remedy="Train on a sample, or on fewer columns",
        )


def _check_finite(points: FloatArray, columns: tuple[Column, ...]) -> None:
    for index, column in enumerate(columns):
        finite = np.isfinite(points[:, index])
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0])
            raise SourceInvalid(
                f"row {row} holds {points[row, index]}, and {len(finite) - int(finite.sum())} rows are not finite",
                field=_COLUMNS_FIELD,
                value=column.name,
                remedy="Remove or fill rows that are NaN or infinite",
            )


def _is_numeric(dtype: pa.DataType) -> bool:
    return pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_decimal(dtype)


def _type_name(dtype: pa.DataType) -> str:
    return {"halffloat": "float16", "float": "float32", "double": "float64"}.get(str(dtype), str(dtype))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN_COLUMNS} more" if len(names) > _SHOWN_COLUMNS else ""
    return ", ".join(shorten(name, 60) for name in names[:_SHOWN_COLUMNS]) + more
