"""Runs in stores of both kinds, and rows to put into them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shoal_worker.results.layout import RunKey, run_key
from shoal_worker.results.record import RunInput, RunModel, RunPlan, told
from shoal_worker.results.run import ResultRun
from shoal_worker.results.schema import columns_of, result_schema
from tests.s3 import s3_server
from tests.unit.models.conftest import Place, place

__all__ = ["place", "s3_server"]

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
SCHEMA = result_schema(carried=[pa.field("name", pa.string()), pa.field("height", pa.int16())], strength=True)
DIGEST = "sha256:" + "ab" * 32


class Clock:
    """A clock that moves a second at each look."""

    def __init__(self, start: datetime = START) -> None:
        self.now = start

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def key(run: str = "r1", batch: str = "nightly", namespace: str = "demo") -> RunKey:
    return run_key(namespace, batch, run)


def plan_of(key: RunKey, *, parts: int = 2, schema: pa.Schema = SCHEMA, **more: Any) -> RunPlan:
    """A plan that was made at START unless told otherwise."""
    fields = {
        "created": told(START),
        "model": RunModel(name="towns", version=3, digest=DIGEST),
        "input": RunInput(uri="s3://data/in/"),
        "columns": columns_of(schema),
        "parts": parts,
        **more,
    }
    return RunPlan(namespace=key.batch.namespace, batch=key.batch.name, run=key.run, **fields)


def rows(part: int = 0, count: int = 10, *, salt: int = 0) -> pa.RecordBatch:
    """Rows of clusters 100 + part and 7, every fifth one noise."""
    places = np.arange(count)
    noise = places % 5 == 0
    labels = np.where(noise, -1, places % 2).astype(np.int32)
    ids = np.where(noise, -1, np.where(places % 2 == 0, 7, 100 + part))
    return pa.RecordBatch.from_arrays(
        [
            pa.array([f"s3://data/in/{part}.parquet"] * count, pa.string()),
            pa.array(places, pa.int64()),
            pa.array(labels),
            pa.array(ids, pa.int64()),
            pa.array(places * 0.5 + salt),
            pa.array([None if each % 3 == 0 else 0.25 for each in places], pa.float32()),
            pa.array([f"row {each}" for each in places], pa.string()),
            pa.array([None if each == 3 else each - 4 for each in places], pa.int16()),
        ],
        schema=SCHEMA,
    )


@pytest.fixture
def run(place: Place) -> ResultRun:
    """A run that nothing was written of."""
    return ResultRun(*place.open(), key(), clock=Clock())


def fill(run: ResultRun, parts: int = 2, **more: Any) -> None:
    """Begin a run and write its parts."""
    run.begin(plan_of(run.key, parts=parts, **more))
    for number in range(parts):
        write(run, number)


def write(run: ResultRun, number: int, *, salt: int = 0) -> None:
    with run.write_part(number, SCHEMA) as part:
        part.write(rows(number, salt=salt))
        part.finish()
