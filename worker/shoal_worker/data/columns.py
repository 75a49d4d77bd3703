"""Columns: which of a schema are meant, whether files agree about them, and how their values become a frame.

Called by `dataset` and `reading`. Invariant: numbers become float64 with NaN for a missing value; texts become str or
None, one object for all equal ones.
"""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from shoal_worker.artifact.manifest import TEXT, Column
from shoal_worker.data.formats.format import COLUMNS_FIELD, URI_FIELD
from shoal_worker.data.frame import Frame
from shoal_worker.errors import SourceInvalid, shorten
from shoal_worker.preprocessing.records import MOST_COLUMNS

_SHOWN_COLUMNS = 20


def choose_columns(
    schema: pa.Schema,
    wanted: tuple[str, ...] | None,
    texts: frozenset[str] | None = None,
    *,
    unasked: frozenset[str] = frozenset(),
) -> tuple[Column, ...]:
    """The columns of these names, else all numeric ones, each with its type.

    texts: columns of texts to take beside all numeric ones, where none are named; None: there must be no texts.
    unasked: columns that are taken only when they are named.
    """
    names = Counter(schema.names)
    textual = {field.name for field in schema if texts is not None and is_text(field.type)}
    numeric = {field.name: None for field in schema if is_numeric(field.type)}
    if twice := sorted({name for name, count in names.items() if count > 1} & (set(wanted or names))):
        raise _repeated_column(twice[0])
    asked = textual & (texts or frozenset())
    default = [name for name in names if name not in unasked and (name in numeric or name in asked)]
    if wanted is None and not default:
        raise SourceInvalid(
            "no column is numeric",
            reason="ColumnNotNumeric",
            field=URI_FIELD,
            value=_listed(list(names)),
            remedy="Point to data with numeric columns",
        )
    for name in wanted or ():
        if name not in names:
            raise missing_column(name, list(names))
        # A column of nothing but missing values has no type yet; its first missing value is the better complaint.
        if name not in numeric and name not in textual and not pa.types.is_null(schema.field(name).type):
            raise SourceInvalid(
                f"the column holds {schema.field(name).type}, not numbers",
                reason="ColumnNotNumeric",
                field=COLUMNS_FIELD,
                value=name,
                remedy=f"Numeric columns are: {_listed(list(numeric)) or 'none'}. Texts become numbers by the "
                "preprocessing step oneHot",
            )
    chosen = wanted or tuple(default)
    if len(chosen) > MOST_COLUMNS:
        raise SourceInvalid(
            f"there are {len(chosen)} columns to take, and at most {MOST_COLUMNS} can be trained on",
            field=COLUMNS_FIELD,
            value=len(chosen),
            remedy="Name there the columns that tell rows apart",
        )
    return tuple(
        Column(name=name, dtype=TEXT if name in textual else _type_name(schema.field(name).type)) for name in chosen
    )


def check_agreement(found: pa.Schema, first: pa.Schema, names: tuple[str, ...], *, uri: str, first_uri: str) -> None:
    """Refuse a file that lacks one of the columns, or holds another kind of values in it than the first file."""
    there = Counter(found.names)
    for name in names:
        if name not in there:
            raise missing_column(name, list(there), uri)
        if there[name] > 1:
            raise _repeated_column(name, uri)
        kinds = _kind(found.field(name).type), _kind(first.field(name).type)
        if "null" not in kinds and kinds[0] != kinds[1]:
            raise SourceInvalid(
                f"the type of the column changes: {shorten(found.field(name).type, 60)} in {shorten(uri, 200)}, "
                f"{shorten(first.field(name).type, 60)} in {shorten(first_uri, 200)}",
                reason="SourceFormatInvalid",
                field=COLUMNS_FIELD,
                value=name,
                remedy="Write the column with one type in all files of the folder, or leave it out",
            )


def check_no_more(found: pa.Schema, first: pa.Schema, *, uri: str, first_uri: str) -> None:
    """Refuse a file with numeric columns that the first file lacks, where all numeric columns are meant."""
    known = frozenset(first.names)
    more = [field.name for field in found if is_numeric(field.type) and field.name not in known]
    if more:
        raise SourceInvalid(
            f"{shorten(uri, 200)} has a numeric column that {shorten(first_uri, 200)} lacks",
            reason="SourceFormatInvalid",
            field=COLUMNS_FIELD,
            value=more[0],
            remedy="Name the columns to cluster in spec.source.columns",
        )


def missing_column(name: str, there: list[str], uri: str = "") -> SourceInvalid:
    """The failure of a column that is asked for and not there."""
    return SourceInvalid(
        "there is no such column" + (f" in {shorten(uri, 300)}" if uri else ""),
        reason="ColumnMissing",
        field=COLUMNS_FIELD,
        value=name,
        remedy=f"The file has: {_listed(there)}",
    )


def _repeated_column(name: str, uri: str = "") -> SourceInvalid:
    return SourceInvalid(
        "the column occurs twice" + (f" in {shorten(uri, 300)}" if uri else ""),
        reason="SourceFormatInvalid",
        field=COLUMNS_FIELD,
        value=name,
        remedy="Give the columns of the file distinct names",
    )


def frame_of(batch: pa.RecordBatch, columns: tuple[Column, ...]) -> Frame:
    """The batch's columns of these names as a frame."""
    numeric = [column.name for column in columns if column.dtype != TEXT]
    numbers = np.empty((batch.num_rows, len(numeric)))
    for index, name in enumerate(numeric):
        numbers[:, index] = _numbers(batch.column(name), name)
    texts = {column.name: _texts(batch.column(column.name), column.name) for column in columns if column.dtype == TEXT}
    return Frame(columns, numbers, texts)


def is_numeric(dtype: pa.DataType) -> bool:
    """Tell whether values are numbers."""
    return pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_decimal(dtype)


def is_text(dtype: pa.DataType) -> bool:
    """Tell whether values are texts, coded or not."""
    value = dtype.value_type if pa.types.is_dictionary(dtype) else dtype
    return pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value)


def _kind(dtype: pa.DataType) -> str:
    if is_numeric(dtype):
        return "number"
    return "text" if is_text(dtype) else str(dtype)


def _numbers(column: "pa.Array[Any]", name: str) -> np.ndarray:
    try:
        # A missing value becomes NaN.
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        raise SourceInvalid(
            f"a value does not fit a 64-bit float: {shorten(error, 200)}",
            field=COLUMNS_FIELD,
            value=name,
            remedy="Store the column as float64",
        ) from None


def _texts(column: "pa.Array[Any]", name: str) -> np.ndarray:
    """Make one str of all equal texts; a missing one becomes None."""
    # Decoded first, a long text that is repeated would be copied as often.
    coded = column if isinstance(column, pa.DictionaryArray) else column.cast(pa.string()).dictionary_encode()
    try:
        known = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
    except UnicodeDecodeError as error:
        raise SourceInvalid(
            f"a text is no UTF-8: {shorten(error, 200)}",
            field=COLUMNS_FIELD,
            value=name,
            remedy="Write the texts in UTF-8, or leave the column out",
        ) from None
    places = coded.indices.cast(pa.int64()).fill_null(len(known) - 1).to_numpy(zero_copy_only=False)
    texts: np.ndarray = known[places]
    return texts


def _type_name(dtype: pa.DataType) -> str:
    return {"halffloat": "float16", "float": "float32", "double": "float64"}.get(str(dtype), str(dtype))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN_COLUMNS} more" if len(names) > _SHOWN_COLUMNS else ""
    return ", ".join(shorten(name, 60) for name in names[:_SHOWN_COLUMNS]) + more
