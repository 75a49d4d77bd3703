"""Training data: a Parquet or CSV object as a frame of raw columns; called by `train`.

Invariant: the frame has the columns asked for and is of known size, or a SourceInvalid names the column, the row and
the columns that exist. Memory is claimed once, after rows x columns was checked against the limit; files are decoded in
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
from shoal_worker.artifact.manifest import TEXT, Column
from shoal_worker.data.frame import Frame
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


def read_table(
    content: bytes, source: SourceSpec, *, max_rows: int, max_bytes: int, texts: frozenset[str] | None = None
) -> Frame:
    """Decode the object's bytes.

    texts: columns of texts to read beside all numeric ones, where the source names none; None: there must be no texts.
    """
    file_format = detect_format(source)
    try:
        opened = (_open_parquet if file_format == "parquet" else _open_csv)(content, source.columns, texts)
        frame = _collect(opened, max_rows=max_rows, max_bytes=max_bytes)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SourceInvalid(
            f"the object is not readable as {file_format}: {shorten(str(error).partition(chr(10))[0], 300)}",
            reason="SourceFormatInvalid",
            field=_URI_FIELD,
            value=source.uri,
            remedy="Check that the object is complete and that spec.source.format says what it is",
        ) from None
    if not frame.rows:
        raise SourceInvalid("there are no rows", field=_URI_FIELD, value=source.uri, remedy="Point to data with rows")
    return frame


def _open_parquet(content: bytes, wanted: tuple[str, ...] | None, texts: frozenset[str] | None) -> _Opened:
    file = pa.parquet.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    columns = _choose(file.schema_arrow, wanted, texts)
    batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=[column.name for column in columns])
    return _Opened(columns, file.metadata.num_rows, batches)


def _open_csv(content: bytes, wanted: tuple[str, ...] | None, texts: frozenset[str] | None) -> _Opened:
    options = pa.csv.ReadOptions(block_size=_CSV_BLOCK_BYTES)
    # The first look infers types from the first block; the second reads the chosen columns as numbers throughout.
    schema = pa.csv.open_csv(pa.BufferReader(content), read_options=options).schema  # type: ignore[arg-type]  # stubs
    columns = tuple(
        column if column.dtype == TEXT else Column(name=column.name, dtype="float64")
        for column in _choose(schema, wanted, texts)
    )
    return _Opened(columns, None, _csv_batches(content, options, chosen=columns, present=schema.names))


def _csv_batches(
    content: bytes, options: pa.csv.ReadOptions, *, chosen: tuple[Column, ...], present: list[str]
) -> Iterator[pa.RecordBatch]:
    types = {column.name: pa.string() if column.dtype == TEXT else pa.float64() for column in chosen}
    convert = pa.csv.ConvertOptions(include_columns=list(types), column_types=types)
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


def _choose(schema: pa.Schema, wanted: tuple[str, ...] | None, texts: frozenset[str] | None) -> tuple[Column, ...]:
    names = list(schema.names)
    textual = {field.name for field in schema if texts is not None and _is_text(field.type)}
    numeric = [field.name for field in schema if _is_numeric(field.type)]
    if twice := sorted({name for name in names if names.count(name) > 1} & set(wanted or names)):
        raise SourceInvalid(
            "the column occurs twice",
            reason="SourceFormatInvalid",
            field=_COLUMNS_FIELD,
            value=twice[0],
            remedy="Give the columns of the file distinct names",
        )
    default = [name for name in names if name in numeric or name in textual & (texts or frozenset())]
    if wanted is None and not default:
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
        if name not in numeric and name not in textual and not pa.types.is_null(schema.field(name).type):
            raise SourceInvalid(
                f"the column holds {schema.field(name).type}, not numbers",
                reason="ColumnNotNumeric",
                field=_COLUMNS_FIELD,
                value=name,
                remedy=f"Numeric columns are: {_listed(numeric) or 'none'}. Texts become numbers by the preprocessing "
                "step oneHot",
            )
    chosen = wanted or tuple(default)
    return tuple(
        Column(name=name, dtype=TEXT if name in textual else _type_name(schema.field(name).type)) for name in chosen
    )


def _collect(opened: _Opened, *, max_rows: int, max_bytes: int) -> Frame:
    width = len(opened.columns)
    numeric = [column.name for column in opened.columns if column.dtype != TEXT]
    texts: dict[str, list[np.ndarray]] = {column.name: [] for column in opened.columns if column.dtype == TEXT}
    row_limit = min(max_rows, max_bytes // (8 * width))
    if opened.rows is not None:
        if opened.rows < 0:
            raise _miscounted(opened.rows)
        _check_rows(opened.rows, row_limit, width)
    parts: list[FloatArray] = []
    numbers: FloatArray = np.empty((opened.rows or 0, len(numeric)))
    filled = 0
    for batch in opened.batches:
        _check_rows(filled + batch.num_rows, row_limit, width)
        if opened.rows is not None and filled + batch.num_rows > opened.rows:
            raise _miscounted(opened.rows)
        end = filled + batch.num_rows
        part = numbers[filled:end] if opened.rows is not None else np.empty((batch.num_rows, len(numeric)))
        for index, name in enumerate(numeric):
            part[:, index] = _numbers(batch.column(name), name)
        for name, read in texts.items():
            read.append(_texts(batch.column(name)))
        filled = end
        if opened.rows is None:
            parts.append(part)
    if opened.rows is not None and filled != opened.rows:
        raise _miscounted(opened.rows)
    joined = {name: np.concatenate([*read, np.empty(0, dtype=object)]) for name, read in texts.items()}
    return Frame(opened.columns, np.concatenate(parts) if parts else numbers, joined)


def _miscounted(rows: int) -> SourceInvalid:
    return SourceInvalid(
        "the file holds another number of rows than its footer says",
        reason="SourceFormatInvalid",
        field=_URI_FIELD,
        value=rows,
        remedy="The file is damaged: write it again",
    )


def _numbers(column: "pa.Array[Any]", name: str) -> np.ndarray:
    try:
        # A missing value becomes NaN.
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        raise SourceInvalid(
            f"a value does not fit a 64-bit float: {shorten(error, 200)}",
            field=_COLUMNS_FIELD,
            value=name,
            remedy="Store the column as float64",
        ) from None


def _texts(column: "pa.Array[Any]") -> np.ndarray:
    """Make one str of all equal texts; a missing one becomes None."""
    coded = column.cast(pa.string()).dictionary_encode()
    known = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
    places = coded.indices.fill_null(len(known) - 1).to_numpy()
    texts: np.ndarray = known[places]
    return texts


def _check_rows(rows: int, limit: int, width: int) -> None:
    if rows > limit:
        raise SourceInvalid(
            f"there are {rows} rows or more, and at most {limit} of {width} columns fit the limits",
            field=_URI_FIELD,
            value=rows,
            remedy="Train on a sample, or on fewer columns",
        )


def _is_numeric(dtype: pa.DataType) -> bool:
    return pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_decimal(dtype)


def _is_text(dtype: pa.DataType) -> bool:
    value = dtype.value_type if pa.types.is_dictionary(dtype) else dtype
    return pa.types.is_string(value) or pa.types.is_large_string(value)


def _type_name(dtype: pa.DataType) -> str:
    return {"halffloat": "float16", "float": "float32", "double": "float64"}.get(str(dtype), str(dtype))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN_COLUMNS} more" if len(names) > _SHOWN_COLUMNS else ""
    return ", ".join(shorten(name, 60) for name in names[:_SHOWN_COLUMNS]) + more
