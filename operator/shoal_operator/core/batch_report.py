"""Reads the reports of a batch's pods: what the plan found, what a shard did, what the finish collected.

Called by core.batch. The reports are untrusted, as all are. Invariant: what comes out is bounded and of known types,
and a result lies below the batch's own output, or it is None.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from shoal_operator.api.batch import MOST_SHARDS, BatchResult
from shoal_operator.api.meta import StatusModel
from shoal_operator.core.report import read_report

_MOST_ROWS = 1 << 52


class PlanReport(StatusModel):
    """What the plan found; `result` where the run is complete already, or so small that the plan's pod did it all."""

    outcome: Literal["Succeeded"]
    run: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,62})$")]
    shards: int = Field(ge=1, le=MOST_SHARDS)
    rows: int | None = Field(default=None, ge=0, le=_MOST_ROWS)
    result: BatchResult | None = None


class ShardReport(StatusModel):
    """What a shard did."""

    outcome: Literal["Succeeded"]
    shard: int = Field(ge=0, lt=MOST_SHARDS)
    rows: int = Field(ge=0, le=_MOST_ROWS)
    resumed: bool = False
    """Whether its results were there already."""


class FinishReport(StatusModel):
    """The run's result."""

    outcome: Literal["Succeeded"]
    result: BatchResult


_PLAN, _SHARD, _FINISH = TypeAdapter(PlanReport), TypeAdapter(ShardReport), TypeAdapter(FinishReport)


def read_plan(message: str, output_uri: str) -> PlanReport | None:
    """Read the report of a plan."""
    report = read_report(_PLAN, message)
    if report is None or (report.result is not None and not _lies_below(report.result, output_uri)):
        return None
    return report


def read_shard(message: str) -> ShardReport | None:
    """Read the report of a shard."""
    return read_report(_SHARD, message)


def read_finish(message: str, output_uri: str) -> BatchResult | None:
    """Read the result that a finish reports."""
    report = read_report(_FINISH, message)
    return report.result if report is not None and _lies_below(report.result, output_uri) else None


def _lies_below(result: BatchResult, output_uri: str) -> bool:
    return result.uri.startswith(f"{output_uri.rstrip('/')}/")
