"""Says why a step of a batch failed, or what ails it while it is tried again, and how to go on.

Called by core.batch. Invariant: a shard that failed is named by its number, with what its newest pod said: the file,
the row group and the column, where it is the data's fault.
"""

from __future__ import annotations

from collections.abc import Iterable

from shoal_operator.api.batch import ClusteringBatchSpec
from shoal_operator.api.meta import Reason
from shoal_operator.core import facts, names
from shoal_operator.core.batch_progress import count_indexes, has_index, index_of
from shoal_operator.core.conditions import Problem
from shoal_operator.core.snapshot import RawObject
from shoal_operator.core.training_job import what_ails

_SHOWN = 4
_RESOURCES = "spec.resources"
AGAIN = f"then run it again: set the annotation {names.RERUN} to any new value"


def tell_ended(job: RawObject, pods: tuple[RawObject, ...], spec: ClusteringBatchSpec) -> Problem:
    """Tell why a Job failed."""
    ended = facts.condition_of(job, "Failed") or facts.condition_of(job, "FailureTarget")
    if facts.text_at(ended, "reason") == "DeadlineExceeded":
        return Problem(
            Reason.BATCH_FAILED,
            f"Job {facts.name_of(job)} did not end within spec.activeDeadlineSeconds ({spec.active_deadline_seconds} "
            f"s) and was stopped. Raise it, {AGAIN}; shards whose results are stored are not done again.",
        )
    shards = _failed_shards(job, pods)
    if shards:
        failed = count_indexes(facts.text_at(job, "status", "failedIndexes"))
        total = facts.number_at(job, "spec", "completions")
        told = "; ".join(f"shard {index}: {problem.message.rstrip('. ')}" for index, problem in shards[:_SHOWN])
        more = f"; and {failed - _SHOWN} more" if failed > _SHOWN else ""
        return Problem(
            shards[0][1].reason,
            f"{failed} of {total} shards failed: {told}{more}. Correct that, {AGAIN}; shards whose results are stored "
            "are not done again as long as the source is the same.",
        )
    detail = facts.printable(facts.text_at(ended, "message"), 300) or "the Job failed without a report"
    cause = find_trouble(pods) or Problem(Reason.BATCH_FAILED, f"{detail}.")
    return Problem(cause.reason, f"{cause.message.rstrip('. ')}. Correct that, {AGAIN}.")


def tell_ailing(job: RawObject, pods: tuple[RawObject, ...]) -> Problem | None:
    """Tell what ails a Job that runs: shards that failed for good, else what its newest pods died of or wait for."""
    shards = _failed_shards(job, pods)
    if shards:
        index, problem = shards[0]
        failed = count_indexes(facts.text_at(job, "status", "failedIndexes"))
        return Problem(
            problem.reason,
            f"{failed} of {facts.number_at(job, 'spec', 'completions')} shards failed, the others go on; shard "
            f"{index}: {problem.message}",
        )
    completed = facts.text_at(job, "status", "completedIndexes")
    open_pods = [pod for pod in _newest_by_index(pods) if not has_index(completed, index_of(pod))]
    return next(filter(None, (find_trouble((pod,)) for pod in open_pods)), None)


def find_trouble(pods: tuple[RawObject, ...]) -> Problem | None:
    """Return what ails the newest of some pods, in the words of a batch."""
    found = what_ails(pods, _RESOURCES)
    if found is None or found.reason != Reason.TRAINING_FAILED:
        return found
    return Problem(Reason.BATCH_FAILED, found.message)


def _failed_shards(job: RawObject, pods: tuple[RawObject, ...]) -> list[tuple[int, Problem]]:
    failed = facts.text_at(job, "status", "failedIndexes")
    if not failed:
        return []
    found = [
        (index_of(pod), find_trouble((pod,)) or Problem(Reason.SHARDS_FAILED, "its pod left no report"))
        for pod in _newest_by_index(pods)
        if has_index(failed, index_of(pod))
    ]
    return sorted(found, key=lambda each: each[0])


def _newest_by_index(pods: Iterable[RawObject]) -> list[RawObject]:
    """Return the newest pod of each index, of pods that come newest first; one without an index counts by itself."""
    newest: dict[int, RawObject] = {}
    for pod in pods:
        newest.setdefault(index_of(pod), pod)
    return list(newest.values())
