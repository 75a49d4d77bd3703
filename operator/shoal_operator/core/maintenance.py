"""Brings a model's versions, and the store, to what retention and the users' annotations want of them.

Called by core.training in each pass over a ClusteringModel. Invariant: at most one maintenance Job of a model at a
time, and a ClusteringModelVersion goes only after a Job reported that the store has deleted it.

    observed                             plan
    version's record is not as wanted    record it; its status follows from that
    Job succeeded, report read           record what the store did; delete versions it deleted; then the Job goes
    Job failed, or its report is lost    say why; the Job goes after a pause that doubles, and runs again
    Job runs                             wait
    no Job, the store lags behind        create it, or say which Secret is missing
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from shoal_operator.api.meta import Reason
from shoal_operator.api.model import ClusteringModelSpec, ClusteringModelStatus
from shoal_operator.core import facts, names
from shoal_operator.core.conditions import Problem
from shoal_operator.core.diagnosis import termination_message
from shoal_operator.core.lifecycle import write_lifecycle
from shoal_operator.core.manifests.maintenance_job import build_maintenance_job, hash_changes
from shoal_operator.core.plan import Action, Create, Delete, Label, Manifest
from shoal_operator.core.report import MaintenanceSuccess, read_maintenance
from shoal_operator.core.retention import Aging, age_versions
from shoal_operator.core.snapshot import ModelSnapshot, RawObject
from shoal_operator.core.training_job import has_ended, pods_of, what_ails
from shoal_operator.core.uses import find_uses
from shoal_operator.core.versions import KnownVersion

_LOOK_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 15.0
_LONGEST_PAUSE_SECONDS = 900.0
_MOST_CHANGES = 16
"""What a report, which the kubelet bounds, can surely answer for."""

_ENDS = ("Failed", "FailureTarget", "Complete")


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What a pass does for the versions there are."""

    actions: tuple[Action, ...] = ()
    clean_up: tuple[Action, ...] = ()
    problem: Problem | None = None
    failures: int = 0
    requeue_after: float | None = None


def is_maintenance(job: RawObject) -> bool:
    """Tell a maintenance Job from a training."""
    return bool(facts.label_of(job, names.MAINTENANCE))


def plan_upkeep(
    snapshot: ModelSnapshot,
    spec: ClusteringModelSpec,
    known: tuple[KnownVersion, ...],
    previous: ClusteringModelStatus,
    now: datetime,
) -> Upkeep:
    """Plan the upkeep of a model's versions."""
    by_number = {
        facts.number_at(raw, "spec", "version"): raw for raw in snapshot.versions if not facts.is_deleting(raw)
    }
    uses = find_uses(snapshot.deployments, snapshot.batches, known)
    ageing = age_versions(by_number, known, uses, spec.retention, now)
    job = next(filter(is_maintenance, snapshot.jobs), None)
    report = _find_report(snapshot, job) if job is not None else None
    actions = tuple(action for item in ageing if (action := _record(item, report)) is not None)
    in_use = frozenset(item.version.digest for item in ageing if item.version.number in uses and item.version.digest)
    upkeep = _work(snapshot, ageing, in_use, previous, job, report, now)
    waits = [(item.due - now).total_seconds() for item in ageing if item.due is not None]
    if upkeep.requeue_after is not None:
        waits.append(upkeep.requeue_after)
    return Upkeep(
        (*actions, *upkeep.actions),
        upkeep.clean_up,
        upkeep.problem,
        upkeep.failures,
        max(0.05, min(waits)) if waits else None,
    )


def _record(item: Aging, report: MaintenanceSuccess | None) -> Action | None:
    """Return the write that brings a version's record up to date, or the deletion of one that the store deleted."""
    after = item.after
    for change in report.changes if report is not None else ():
        # A report is believed only where it says what was asked for.
        if change.version == item.version.number and change.to in (item.before.wanted, item.after.wanted):
            after = after.model_copy(update={"stored": change.to})
    key, uid = facts.key_of(item.raw, "ClusteringModelVersion"), facts.uid_of(item.raw)
    if after.stored == "Deleted":
        return Delete(key, uid)
    text = write_lifecycle(after)
    if (text or "") == facts.annotation_of(item.raw, names.LIFECYCLE):
        return None
    return Label(key, uid, annotations={names.LIFECYCLE: text})


def _work(
    snapshot: ModelSnapshot,
    ageing: tuple[Aging, ...],
    in_use: frozenset[str],
    previous: ClusteringModelStatus,
    job: RawObject | None,
    report: MaintenanceSuccess | None,
    now: datetime,
) -> Upkeep:
    changes = [_change(item) for item in ageing if item.after.stored != item.after.wanted][:_MOST_CHANGES]
    if job is None:
        return _start(snapshot, changes, in_use, previous.maintenance_failures)
    if facts.is_deleting(job):
        return Upkeep(failures=previous.maintenance_failures, requeue_after=_LOOK_SECONDS)
    removal = (Delete(facts.key_of(job, "Job"), facts.uid_of(job)),)
    pods = pods_of(snapshot.job_pods, facts.name_of(job))
    failures = previous.maintenance_failures
    complete = has_ended(job, "Complete")
    if complete and report is not None:
        return Upkeep(clean_up=removal)
    if complete and any(facts.text_at(pod, "status", "phase") in ("Pending", "Running") for pod in pods):
        # The Job's news came before its pod's; the report is on its way.
        return Upkeep(failures=failures, requeue_after=_LOOK_SECONDS)
    if complete or has_ended(job, "Failed") or has_ended(job, "FailureTarget"):
        ended = next(filter(None, (facts.condition_of(job, kind) for kind in _ENDS)), None)
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 10))
        again = (facts.instant(facts.text_at(ended, "lastTransitionTime")) or now) + timedelta(seconds=pause)
        failure = _failed(pods, ended)
        if now >= again or facts.label_of(job, names.MAINTENANCE) != hash_changes(changes):
            # The count is recorded before the Job goes: else a crash between the two would make the pause none.
            return Upkeep(clean_up=removal, problem=failure, failures=failures + 1)
        return Upkeep(problem=failure, failures=failures, requeue_after=(again - now).total_seconds())
    cause = what_ails(pods, "the pod's resources")
    problem = Problem(cause.reason, f"versions cannot be archived or deleted yet: {cause.message}") if cause else None
    return Upkeep(problem=problem, failures=failures, requeue_after=_LOOK_SECONDS)


def _start(snapshot: ModelSnapshot, changes: list[Manifest], in_use: frozenset[str], failures: int) -> Upkeep:
    if not changes:
        return Upkeep()
    store_secret = snapshot.defaults.store_secret_name
    if store_secret in snapshot.missing_secrets:
        problem = Problem(
            Reason.SECRET_MISSING,
            f"Secret {store_secret} of the operator's store does not exist in namespace "
            f"{facts.namespace_of(snapshot.model)}, so versions cannot be archived or deleted. Create it there.",
        )
        return Upkeep(problem=problem, failures=failures, requeue_after=_LOOK_SECONDS)
    if not snapshot.defaults.store_uri:
        return Upkeep(failures=failures)
    job = build_maintenance_job(snapshot.model, changes, in_use, snapshot.defaults)
    return Upkeep(actions=(Create(job),), failures=failures, requeue_after=_LOOK_SECONDS)


def _change(item: Aging) -> Manifest:
    return {"version": item.version.number, "digest": item.version.digest, "to": item.after.wanted}


def _find_report(snapshot: ModelSnapshot, job: RawObject) -> MaintenanceSuccess | None:
    if not has_ended(job, "Complete"):
        return None
    pods = pods_of(snapshot.job_pods, facts.name_of(job))
    reports = (read_maintenance(termination_message(facts.mapping_at(pod, "status"))) for pod in pods)
    return next(filter(None, reports), None)


def _failed(pods: tuple[RawObject, ...], ended: RawObject | None) -> Problem:
    cause = what_ails(pods, "the pod's resources")
    told = facts.printable(facts.text_at(ended, "message"), 300) or "the Job failed without a report"
    message = cause.message if cause else told
    return Problem(
        Reason.MAINTENANCE_FAILED,
        f"versions could not be archived or deleted in the store: {message.rstrip('. ')}. Correct that; it is tried "
        "again by itself.",
    )
