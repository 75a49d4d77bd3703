"""Reads a training Job: does it run, what ails it, how did it end, what did it report?

Called by core.training with the Job of the present identity. Invariant: what a pod left behind is untrusted until
core.report has checked it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shoal_operator.api.meta import Reason
from shoal_operator.api.model import ClusteringModelSpec, ClusteringModelStatus
from shoal_operator.core import facts, names
from shoal_operator.core.conditions import Problem
from shoal_operator.core.diagnosis import diagnose_pod, termination_message
from shoal_operator.core.plan import Action, Delete
from shoal_operator.core.report import TrainingSuccess, read_failure, read_success
from shoal_operator.core.snapshot import RawObject

_MOST_RERUNS = 3
_LOOK_SECONDS = 30.0
_RETRAIN_HINT = f"then train again: set the annotation {names.RETRAIN} to any new value, or change the spec"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where the training stands, in the words of the conditions."""

    phase: str
    reason: Reason
    message: str
    progressing: bool = False
    problem: Problem | None = None
    actions: tuple[Action, ...] = ()
    clean_up: tuple[Action, ...] = ()
    reruns: int = 0
    unchanged: bool = False
    """The training gave a version once more that there is already."""
    requeue_after: float | None = None


def tell_running(job: RawObject, pods: tuple[RawObject, ...], reruns: int) -> Outcome:
    """Tell of a Job that runs, and what its tries so far died of."""
    problem = what_ails(pods)
    failures = facts.number_at(job, "status", "failed")
    limit = facts.number_at(job, "spec", "backoffLimit")
    message = "Training runs."
    if problem is not None:
        message = f"Training has not succeeded yet (try {min(failures, limit) + 1} of {limit + 1}): {problem.message}"
        problem = Problem(problem.reason, message)
    return Outcome(
        "Training", Reason.TRAINING, message, progressing=True, problem=problem, reruns=reruns,
        requeue_after=_LOOK_SECONDS,
    )  # fmt: skip


def tell_failed(
    job: RawObject,
    pods: tuple[RawObject, ...],
    spec: ClusteringModelSpec,
    previous: ClusteringModelStatus | None,
    reruns: int,
) -> Outcome:
    """Tell why a Job failed, and how to go on; `previous` is a status that told of the same training."""
    told = next((item for item in previous.conditions if item.type == "Degraded"), None) if previous else None
    if told and told.status == "True" and previous and previous.phase == "Failed" and not pods:
        # The pod is gone with its report; what was read of it stays true.
        problem = Problem(_reason(told.reason), told.message)
        return Outcome("Failed", problem.reason, problem.message, problem=problem, reruns=reruns)
    ended = facts.condition_of(job, "Failed") or facts.condition_of(job, "FailureTarget")
    if facts.text_at(ended, "reason") == "DeadlineExceeded":
        seconds = spec.training.active_deadline_seconds
        problem = Problem(
            Reason.TRAINING_FAILED,
            f"training did not end within spec.training.activeDeadlineSeconds ({seconds} s) and was stopped. "
            f"Raise it, {_RETRAIN_HINT}.",
        )
    else:
        detail = facts.printable(facts.text_at(ended, "message"), 300) or "the Job failed without a report"
        cause = what_ails(pods) or Problem(Reason.TRAINING_FAILED, f"{detail}.")
        problem = Problem(cause.reason, f"{cause.message.rstrip('. ')}. Correct that, {_RETRAIN_HINT}.")
    return Outcome("Failed", problem.reason, problem.message, problem=problem, reruns=reruns)


def tell_lost(job: RawObject, reruns: int) -> Outcome:
    """Tell of a Job that succeeded but left no report, and let it run again within bounds."""
    name = facts.name_of(job)
    if reruns >= _MOST_RERUNS:
        problem = Problem(
            Reason.TRAINING_FAILED,
            f"Job {name} succeeded {reruns + 1} times without leaving a report that can be read. Check that the "
            f"worker image belongs to this operator, {_RETRAIN_HINT}.",
        )
        return Outcome("Failed", problem.reason, problem.message, problem=problem, reruns=reruns)
    message = f"Job {name} succeeded but its report was lost with its pod; it runs again."
    # The count is recorded before the Job goes: else a crash between the two would make the bound none.
    removal = Delete(facts.key_of(job, "Job"), facts.uid_of(job))
    return Outcome(
        "Training", Reason.TRAINING, message, progressing=True, clean_up=(removal,), reruns=reruns + 1
    )  # fmt: skip


def what_ails(pods: tuple[RawObject, ...], resources: str = "spec.training.resources") -> Problem | None:
    """Return what ails the newest pod, or what the one before it died of while the newest has nothing to say."""
    for pod in pods:
        status = facts.mapping_at(pod, "status")
        failure = read_failure(termination_message(status))
        if failure is not None:
            return Problem(failure.reason, failure.sentence)
        diagnosis = diagnose_pod(status)
        if diagnosis is not None:
            remedy = diagnosis.message.replace("resources.", f"{resources}.")
            crashed = diagnosis.reason == Reason.CRASH_LOOP
            return Problem(Reason.TRAINING_FAILED if crashed else diagnosis.reason, remedy)
    return None


def find_report(pods: Iterable[RawObject], store_uri: str) -> TrainingSuccess | None:
    """Return the newest report of success that can be trusted."""
    reports = (read_success(termination_message(facts.mapping_at(pod, "status")), store_uri) for pod in pods)
    return next(filter(None, reports), None)


def pods_of(pods: Iterable[RawObject], job: str) -> tuple[RawObject, ...]:
    """Return a Job's pods, newest first."""
    owned = [
        pod
        for pod in pods
        if any(owner.get("name") == job for owner in facts.items_at(pod, "metadata", "ownerReferences"))
    ]
    return tuple(sorted(owned, key=lambda pod: facts.text_at(pod, "metadata", "creationTimestamp"), reverse=True))


def has_ended(job: RawObject, condition: str) -> bool:
    """Tell whether a Job has a condition: Complete, Failed or FailureTarget."""
    return facts.text_at(facts.condition_of(job, condition), "status") == "True"


def _reason(word: str) -> Reason:
    return Reason(word) if word in set(Reason) else Reason.TRAINING_FAILED
