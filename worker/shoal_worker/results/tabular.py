"""Columns of results as columns of a PostgreSQL table; called by `sink`. Pure.

Invariant: a column either keeps its values, or it is refused before the first row is written.
"""

from typing import Any

import pyarrow as pa

from shoal_worker.errors import SettingsInvalid

RUN_ID, PART = "run_id", "part"
_FIELD = "spec.output.columns"
_LONGEST_NAME = 63
_WHOLE = {
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.uint8(): "smallint",
    pa.uint16(): "integer",
    pa.uint32(): "bigint",
    pa.uint64(): "numeric",
    pa.float16(): "real",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.bool_(): "boolean",
    pa.date32(): "date",
}
_BEYOND_BIGINT = pa.decimal128(20, 0)


def table_columns(schema: pa.Schema) -> dict[str, str]:
    """Return name and type of each column of the table, run and part first.

    Raises SettingsInvalid for a column that a table cannot hold.
    """
    columns = {RUN_ID: "text", PART: "integer"}
    for field in schema:
        if field.name in (RUN_ID, PART):
            raise _refused(field.name, "the table has a column of this name for itself")
        if len(field.name.encode()) > _LONGEST_NAME:
            raise _refused(field.name, f"a table's column has at most {_LONGEST_NAME} bytes in its name")
        columns[field.name] = _type_of(field.name, field.type)
    return columns


def as_table_rows(batch: pa.RecordBatch, run_id: str, part: int) -> pa.RecordBatch:
    """Put run and part before each row, and unsigned 64-bit numbers into a type that the database knows."""
    arrays: list[pa.Array[Any]] = [
        pa.repeat(pa.scalar(run_id), batch.num_rows),
        pa.repeat(pa.scalar(part, pa.int32()), batch.num_rows),
    ]
    for column in batch.columns:
        arrays.append(column.cast(_BEYOND_BIGINT) if column.type == pa.uint64() else column)
    return pa.RecordBatch.from_arrays(arrays, names=[RUN_ID, PART, *batch.schema.names])


def table_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of what `as_table_rows` makes."""
    return as_table_rows(pa.RecordBatch.from_pylist([], schema), "", 0).schema


def _type_of(name: str, dtype: pa.DataType) -> str:
    if pa.types.is_dictionary(dtype):
        return _type_of(name, dtype.value_type)
    if pa.types.is_list(dtype) and dtype.value_type in _WHOLE and dtype.value_type != pa.uint64():
        return f"{_WHOLE[dtype.value_type]}[]"
    if dtype in _WHOLE:
        return _WHOLE[dtype]
    if pa.types.is_string(dtype) or pa.types.is_large_string(dtype):
        return "text"
    if pa.types.is_binary(dtype) or pa.types.is_large_binary(dtype):
        return "bytea"
    if pa.types.is_decimal(dtype):
        return "numeric"
    if pa.types.is_timestamp(dtype):
        return f"timestamp with{'' if dtype.tz else 'out'} time zone"
    raise _refused(name, f"a table cannot hold values of type {dtype}")


def _refused(name: str, message: str) -> SettingsInvalid:
    return SettingsInvalid(
        message, field=_FIELD, value=name, remedy="Leave the column out, or leave spec.output.postgres out"
    )
