"""The Jobs that gates and hooks run: which there should be, what became of one, and which may go.

Called by core.rollout, core.gates.job and core.hooks. Invariants: a task has one Job, whose name is its identity, so
that a pass repeated starts nothing twice; only a CronJob whose owner allows it is started.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shoal_operator.api.meta import Reason
from shoal_operator.core import names
from shoal_operator.core.diagnosis import diagnose_pod, termination_message
from shoal_operator.core.facts import (
    annotation_of,
    condition_of,
    instant,
    is_deleting,
    key_of,
    mapping_at,
    name_of,
    namespace_of,
    printable,
    text_at,
    uid_of,
)
from shoal_operator.core.manifests.task_job import Task, build_task_job
from shoal_operator.core.plan import Action, Create, Delete
from shoal_operator.core.snapshot import DeploymentSnapshot, RawObject
from shoal_operator.core.training_job import has_ended, pods_of

_MOST_KEPT = 4
_START_SECONDS = 30
_GRACE_SECONDS = 15
_UNSTARTABLE = (Reason.IMAGE_PULL_FAILED, Reason.UNSCHEDULABLE, Reason.NOT_AVAILABLE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task so far."""

    state: Literal["running", "succeeded", "failed", "error"]
    message: str
    """In one sentence, with the remedy of an error."""
    ended_at: str = ""
    """RFC 3339; empty while it may yet end otherwise."""


def identify(*parts: str) -> str:
    """Return the identity of a task from everything that makes it another one."""
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:10]


def read_outcome(snapshot: DeploymentSnapshot, task: Task, began: datetime, now: datetime) -> Outcome:
    """Tell what became of a task that was due at `began`."""
    job = next((item for item in snapshot.tasks if name_of(item) == task.job and not is_deleting(item)), None)
    if job is None:
        return _absent(snapshot, task, began, now)
    pods = pods_of(snapshot.task_pods, task.job)
    statuses = [mapping_at(pod, "status") for pod in pods]
    said = next((printable(text, 300) for text in map(termination_message, statuses) if text), "")
    if has_ended(job, "Complete"):
        ended = text_at(job, "status", "completionTime")
        return Outcome("succeeded", said or f"Job {task.job} completed.", ended)
    if has_ended(job, "Failed") or has_ended(job, "FailureTarget"):
        why = condition_of(job, "Failed") or condition_of(job, "FailureTarget")
        ended = text_at(why, "lastTransitionTime")
        if text_at(why, "reason") == "DeadlineExceeded":
            return Outcome("error", _too_slow(task), ended)
        told = said or printable(text_at(why, "message"), 300) or "it left no message"
        return Outcome("failed", f"Job {task.job} failed: {told}", ended)
    for status in statuses:
        diagnosis = diagnose_pod(status)
        if diagnosis is not None and diagnosis.reason in _UNSTARTABLE:
            return Outcome("error", f"Job {task.job} cannot run: {diagnosis.message}")
    created = instant(text_at(job, "metadata", "creationTimestamp")) or began
    if now > created + timedelta(seconds=task.timeout_seconds + _GRACE_SECONDS):
        return Outcome("error", _too_slow(task))
    return Outcome("running", f"Job {task.job} runs.")


def build_tasks(snapshot: DeploymentSnapshot, tasks: Iterable[Task]) -> tuple[Action, ...]:
    """Return the creation of the Jobs that are missing and may be started, and the removal of those that are over.

    The last few that ended stay for a look at their logs; one that still runs for nobody goes.
    """
    wanted = {task.job: task for task in tasks}
    known = {name_of(job) for job in snapshot.tasks}
    found = [(task, snapshot.cron_jobs.get(task.cron_job)) for name, task in wanted.items() if name not in known]
    begun = [
        Create(build_task_job(snapshot.deployment, cron_job, task), optional=True)
        for task, cron_job in found
        if cron_job is not None and is_startable(cron_job)
    ]
    others = [job for job in snapshot.tasks if name_of(job) not in wanted and not is_deleting(job)]
    # A Job is judged as soon as it is bound to fail, and must stay from then on.
    ended = [job for job in others if any(has_ended(job, how) for how in ("Complete", "Failed", "FailureTarget"))]
    ended.sort(key=lambda job: (text_at(job, "metadata", "creationTimestamp"), name_of(job)))
    spent = [*(job for job in others if job not in ended), *ended[: max(0, len(ended) - _MOST_KEPT)]]
    return (*begun, *(Delete(key_of(job, "Job"), uid_of(job)) for job in spent))


def _absent(snapshot: DeploymentSnapshot, task: Task, began: datetime, now: datetime) -> Outcome:
    namespace = namespace_of(snapshot.deployment)
    if task.cron_job in snapshot.cron_jobs:
        cron_job = snapshot.cron_jobs[task.cron_job]
        if cron_job is None:
            return Outcome(
                "error",
                f"{task.path}: CronJob {task.cron_job} does not exist in namespace {namespace}. Create it, or correct "
                "the name.",
            )
        if not is_startable(cron_job):
            return Outcome(
                "error",
                f"{task.path}: CronJob {task.cron_job} does not allow it. Let its owner run `kubectl annotate cronjob "
                f"{task.cron_job} {names.STARTABLE}=true --namespace {namespace}`.",
            )
    if now > began + timedelta(seconds=_START_SECONDS):
        return Outcome(
            "error",
            f"Job {task.job} could not be created from CronJob {task.cron_job}; the events of this "
            "ClusteringDeployment, or the operator's log, tell why.",
        )
    return Outcome("running", f"Job {task.job} is being created.")


def is_startable(cron_job: RawObject) -> bool:
    """Return whether a CronJob's owner lets deployments start it."""
    return annotation_of(cron_job, names.STARTABLE) == "true"


def _too_slow(task: Task) -> str:
    return (
        f"Job {task.job} did not end within {task.timeout_seconds} s. Raise {task.path.rpartition('.')[0]}"
        ".timeoutSeconds (and activeDeadlineSeconds of the CronJob), or make it quicker."
    )


def facts_of(deployment: RawObject, model: str) -> dict[str, str]:
    """Return what every task is told: names, which the API server has checked."""
    name = name_of(deployment)
    return {
        "SHOAL_NAMESPACE": namespace_of(deployment),
        "SHOAL_DEPLOYMENT": name,
        "SHOAL_MODEL": model,
        "SHOAL_PREVIEW_SERVICE": names.preview(name),
    }
