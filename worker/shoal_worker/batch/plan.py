"""The step `plan`: lists the source, checks its columns, cuts it into shards and begins the run; called by `job`.

Invariant: no row is read. Equal data, model and columns make the same run; its first plan stays.
"""

import base64
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from shoal_worker.artifact.manifest import TEXT, Column
from shoal_worker.batch.cutting import cut
from shoal_worker.batch.work import BatchWork, identify_run
from shoal_worker.data.columns import choose_columns
from shoal_worker.data.dataset import Dataset
from shoal_worker.errors import SourceInvalid
from shoal_worker.model import Model
from shoal_worker.results.record import RunInput, RunModel, RunPlan, told
from shoal_worker.results.schema import columns_of, result_schema
from shoal_worker.spec.batch import BatchSpec


def build_work(spec: BatchSpec, dataset: Dataset, model: Model) -> BatchWork:
    """Check that the data can be labelled as asked, and cut them; SourceInvalid or SettingsInvalid where not."""
    if not dataset.plan.units or dataset.plan.rows == 0:
        raise SourceInvalid(
            "there are no rows", field="spec.source.uri", value=spec.source.uri, remedy="Point to data with rows"
        )
    columns = _find_columns(dataset, model)
    carried = [_carried_field(dataset, name) for name in spec.output.columns]
    dataset.check(tuple(dict.fromkeys([*(column.name for column in columns), *spec.output.columns])))
    schema = result_schema(carried=carried, strength=model.densities is not None, distance=pa.float32())
    return BatchWork(
        data=dataset.plan,
        bounds=cut(dataset.plan, spec.shards, spec.rows_per_shard),
        columns=columns,
        schema=base64.b64encode(schema.serialize().to_pybytes()).decode(),
    )


def build_plan(spec: BatchSpec, work: BatchWork) -> RunPlan:
    """The run's plan, named by what it does."""
    return RunPlan(
        namespace=spec.namespace or "default",
        batch=spec.name,
        run=identify_run(spec, work),
        created=told(datetime.now(UTC)),
        model=RunModel(name=spec.model.name, version=spec.model.version, digest=spec.model.digest),
        input=RunInput(uri=spec.source.uri, format=work.data.format, rows=work.data.rows, bytes=work.data.size),
        columns=columns_of(read_schema(work)),
        parts=work.shards,
        work=work.model_dump(mode="json", by_alias=True, exclude_none=True),
    )


def read_schema(work: BatchWork) -> pa.Schema:
    """The schema of the results."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(work.schema_)))


def _find_columns(dataset: Dataset, model: Model) -> tuple[Column, ...]:
    """The model's columns with the types that the data has; texts where it needs texts, numbers where numbers."""
    texts = frozenset(column.name for column in model.columns if column.dtype == TEXT)
    found = choose_columns(dataset.schema, tuple(column.name for column in model.columns), texts)
    for column in found:
        empty = pa.types.is_null(dataset.schema.field(column.name).type)
        if not empty and (column.dtype == TEXT) != (column.name in texts):
            wanted = "texts" if column.name in texts else "numbers"
            raise SourceInvalid(
                f"the column holds {dataset.schema.field(column.name).type}, and the model needs {wanted}",
                reason="ColumnNotNumeric" if wanted == "numbers" else "SourceFormatInvalid",
                field="spec.source.uri",
                value=column.name,
                remedy=f"Write the column as {wanted}, as the model's training data had it",
            )
    # A column without any value has no type of its own; it gets that which the model needs.
    return tuple(Column(name=column.name, dtype=TEXT) if column.name in texts else column for column in found)


def _carried_field(dataset: Dataset, name: str) -> "pa.Field[Any]":
    if name not in dataset.schema.names:
        shown = ", ".join(dataset.schema.names[:20])
        raise SourceInvalid(
            "there is no such column",
            reason="ColumnMissing",
            field="spec.output.columns",
            value=name,
            remedy=f"The source has: {shown}",
        )
    dtype = dataset.schema.field(name).type
    if pa.types.is_dictionary(dtype):
        dtype = dtype.value_type
    # A column that is empty in the first file may hold something in another one.
    return pa.field(name, pa.string() if pa.types.is_null(dtype) else dtype)
