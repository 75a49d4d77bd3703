"""Counts how far the shards of a batch are, from its Job, the reports of pods that ended and what the others told last.

Called by core.batch. Invariant: equal facts give equal figures whatever the time is, so that a pass that learns nothing
writes nothing; and rows never run backwards within a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from shoal_operator.api.batch import ClusteringBatchStatus, ShardCounts
from shoal_operator.core import facts
from shoal_operator.core.batch_report import read_shard
from shoal_operator.core.diagnosis import termination_message
from shoal_operator.core.snapshot import RawObject

_INDEX = "batch.kubernetes.io/job-completion-index"
_LEAST_SECONDS = 1.0


def measure(
    memory: ClusteringBatchStatus, job: RawObject, pods: Iterable[RawObject], told: Mapping[str, int], now: datetime
) -> ClusteringBatchStatus:
    """Return the status with the figures of this moment; `told` are rows by the uid of a pod that still works."""
    status = facts.mapping_at(job, "status")
    total = memory.shards.total
    counts = ShardCounts(
        total=total,
        done=min(total, count_indexes(facts.text_at(status, "completedIndexes"))),
        failed=min(total, count_indexes(facts.text_at(status, "failedIndexes"))),
        active=facts.number_at(status, "active"),
    )
    rows = _sum_rows(pods, told)
    started = memory.started_at or facts.text_at(status, "startTime") or None
    measured = memory.model_copy(update={"shards": counts, "started_at": started})
    if rows.all < memory.rows or (rows.all, counts.done) == (memory.rows, memory.shards.done):
        return measured
    begun = facts.instant(started)
    seconds = (now - begun).total_seconds() if begun is not None else 0.0
    rate = rows.fresh / seconds if seconds >= _LEAST_SECONDS else 0.0
    eta = None
    if memory.rows_total is not None:
        eta = (max(0, memory.rows_total - rows.all)) / rate if rate else None
    elif counts.done:
        eta = seconds * (total - counts.done) / counts.done
    return measured.model_copy(
        update={
            "rows": rows.all,
            "rows_per_second": round(rate) if rate else None,
            "eta_seconds": round(eta) if eta is not None else None,
        }
    )


def index_of(pod: RawObject) -> int:
    """Return the index of an Indexed Job's pod; -1 where it has none."""
    text = facts.annotation_of(pod, _INDEX) or facts.label_of(pod, _INDEX)
    return int(text) if text.isdecimal() and len(text) < 9 else -1


def count_indexes(text: str) -> int:
    """Count the indexes in a Job's completedIndexes or failedIndexes; what is no index counts for nothing.

    >>> count_indexes("1,3-5,7")
    5
    """
    return sum(last - first + 1 for first, last in _ranges(text) if last >= first)


def has_index(text: str, index: int) -> bool:
    """Tell whether an index is among a Job's completedIndexes or failedIndexes.

    >>> has_index("1,3-5,7", 4)
    True
    """
    return any(first <= index <= last for first, last in _ranges(text))


def _ranges(text: str) -> Iterable[tuple[int, int]]:
    for part in text.split(",") if len(text) < 1 << 17 else ():
        first, _, last = part.partition("-")
        last = last or first
        if first.isdecimal() and last.isdecimal() and len(first) < 9 and len(last) < 9:
            yield int(first), int(last)


@dataclass(frozen=True, slots=True)
class _Rows:
    all: int
    fresh: int
    """Those that this run's pods labelled themselves, without what they found done."""


def _sum_rows(pods: Iterable[RawObject], told: Mapping[str, int]) -> _Rows:
    known: dict[int, tuple[int, int]] = {}
    for pod in pods:
        index = index_of(pod)
        rows = fresh = 0
        match facts.text_at(pod, "status", "phase"):
            case "Succeeded":
                report = read_shard(termination_message(facts.mapping_at(pod, "status")))
                if report is not None:
                    rows, fresh = report.rows, 0 if report.resumed else report.rows
            case "Running":
                rows = fresh = told.get(facts.uid_of(pod), 0)
        if index >= 0:
            known[index] = max(known.get(index, (0, 0)), (rows, fresh))
    return _Rows(sum(rows for rows, _ in known.values()), sum(fresh for _, fresh in known.values()))
