"""Tells where a batch stands: as an outcome of a pass, and as the status, events and actions that follow from it.

Called by core.batch. Invariant: an ended batch is told of as it was at its end, whatever became of its pods.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shoal_operator.api.batch import BatchResult, ClusteringBatchStatus, ShardCounts
from shoal_operator.api.meta import Reason
from shoal_operator.core import facts
from shoal_operator.core.conditions import Finding, Problem, build_conditions
from shoal_operator.core.plan import Action, Emit, Plan, StatusWrite
from shoal_operator.core.snapshot import RawObject


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where the batch stands, in the words of the conditions, and what to remember of it."""

    phase: str
    reason: Reason
    message: str
    memory: ClusteringBatchStatus
    progressing: bool = False
    paused: bool = False
    problem: Problem | None = None
    actions: tuple[Action, ...] = ()
    clean_up: tuple[Action, ...] = ()
    requeue_after: float | None = None


def tell_suspended(memory: ClusteringBatchStatus, actions: tuple[Action, ...]) -> Outcome:
    """Tell of a batch whose user lets it rest."""
    message = "spec.suspend is true: no pod runs, and what is done stays done. Set it to false to go on."
    return Outcome("Suspended", Reason.SUSPENDED, message, memory, paused=True, actions=actions)


def tell_completed(memory: ClusteringBatchStatus, result: BatchResult, now: datetime) -> Outcome:
    """Tell of a batch that has its result."""
    began = facts.instant(memory.started_at)
    seconds = (now - began).total_seconds() if began is not None else 0.0
    total = memory.shards.total
    ended = memory.model_copy(
        update={
            "result": result,
            "rows": result.rows,
            "rows_total": result.rows,
            "rows_per_second": round(result.rows / seconds) if seconds >= 1 else memory.rows_per_second,
            "eta_seconds": None,
            "shards": ShardCounts(total=total, done=total),
            "completed_at": memory.completed_at or facts.timestamp(now),
        }
    )
    return _tell_result(ended, result)


def _tell_result(memory: ClusteringBatchStatus, result: BatchResult, wait: float | None = None) -> Outcome:
    message = (
        f"{result.rows:,} rows are labelled: {result.clusters:,} clusters, {result.noise_ratio:.1%} noise. The results "
        f"lie in {result.uri}."
    )
    return Outcome("Complete", Reason.COMPLETED, message, memory, requeue_after=wait)


def tell_failed(memory: ClusteringBatchStatus, problem: Problem, now: datetime) -> Outcome:
    """Tell of a batch that ends without a result."""
    counts = memory.shards.model_copy(update={"active": 0})
    ended = memory.model_copy(update={"completed_at": facts.timestamp(now), "eta_seconds": None, "shards": counts})
    return Outcome("Failed", problem.reason, problem.message, ended, problem=problem)


def tell_at_rest(memory: ClusteringBatchStatus, wait: float | None) -> Outcome:
    """Tell of an ended batch what was told at its end; the pods that said it may be gone."""
    if memory.result is not None:
        return _tell_result(memory, memory.result, wait)
    told = next((item for item in memory.conditions if item.type == "Degraded"), None)
    word = told.reason if told is not None and told.reason in set(Reason) else Reason.BATCH_FAILED
    problem = Problem(Reason(word), told.message if told is not None else memory.message)
    return Outcome("Failed", problem.reason, problem.message, memory, problem=problem, requeue_after=wait)


def write_plan(batch: RawObject, previous: ClusteringBatchStatus, outcome: Outcome, now: datetime) -> Plan:
    """Write an outcome down: actions, status, and an event for everything that holds and did not before."""
    problem, complete = outcome.problem, outcome.phase == "Complete"
    findings = (
        Finding("Ready", complete, Reason.COMPLETED if complete else outcome.reason, outcome.message),
        Finding("Progressing", outcome.progressing, outcome.reason, outcome.message),
        Finding("Degraded", problem is not None, problem.reason if problem else Reason.IDLE,
                problem.message if problem else ""),
        Finding("Paused", outcome.paused, outcome.reason if outcome.paused else Reason.IDLE,
                outcome.message if outcome.paused else ""),
    )  # fmt: skip
    generation = facts.generation_of(batch)
    status = outcome.memory.model_copy(
        update={
            "observed_generation": generation,
            "phase": outcome.phase,
            "message": facts.printable(outcome.message, 1500),
            "conditions": build_conditions(findings, previous.conditions, generation, now),
        }
    )
    told = {(item.type, item.status, item.reason) for item in previous.conditions}
    events = tuple(
        Emit("Warning" if finding.type == "Degraded" else "Normal", finding.reason, finding.message)
        for finding in findings
        if finding.holds and (finding.type, "True", finding.reason) not in told
    )
    return Plan(
        actions=outcome.actions,
        status=StatusWrite(facts.key_of(batch, "ClusteringBatch"), status.to_wire()),
        requeue_after=outcome.requeue_after,
        clean_up=(*outcome.clean_up, *events),
    )
