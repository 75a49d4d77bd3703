"""Decides what a ClusteringModel needs next: a training Job, a new version, or nothing.

`plan_model` is called by runtime.controller, `required_secrets` by runtime.store. Invariant: one training identity
leads to one version, however often a pass is cut off or repeated.

    facts                                        -> plan
    spec cannot be read                          -> InvalidSpec, nothing else
    version of this identity exists              -> done: Trained or VersionRejected
    Job succeeded, report read                   -> create the version
    Job succeeded, report lost                   -> run it again, at most thrice
    Job failed                                   -> say why and how to go on
    Job runs                                     -> Training, with what ails it
    no Job, secret or store missing              -> say so, look again
    no Job                                       -> create it
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from shoal_operator.api.meta import Reason
from shoal_operator.api.model import ClusteringModelSpec, ClusteringModelStatus
from shoal_operator.core import facts, names
from shoal_operator.core.conditions import Finding, Problem, build_conditions
from shoal_operator.core.diagnosis import diagnose_pod, termination_message
from shoal_operator.core.manifests.job import build_job
from shoal_operator.core.manifests.version import build_version
from shoal_operator.core.plan import Action, Create, Delete, Emit, Plan, StatusWrite
from shoal_operator.core.report import ContainerFailure, TrainingSuccess, read_failure, read_success
from shoal_operator.core.snapshot import Defaults, ModelSnapshot, RawObject
from shoal_operator.core.versions import KnownVersion, known_versions

_MOST_RERUNS = 3
_LOOK_AGAIN_SECONDS = 10.0
_JOB_LOOK_SECONDS = 30.0
_RETRAIN_HINT = f"then train again: set the annotation {names.RETRAIN} to any new value, or change the spec"


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Where the training stands, in the words of the conditions."""

    phase: str
    reason: Reason
    message: str
    progressing: bool = False
    problem: Problem | None = None
    actions: tuple[Action, ...] = ()
    clean_up: tuple[Action, ...] = ()
    reruns: int = 0
    requeue_after: float | None = None


def plan_model(snapshot: ModelSnapshot, now: datetime) -> Plan:
    """Plan one pass over a ClusteringModel."""
    model = snapshot.model
    if facts.is_deleting(model):
        return Plan()
    previous = _read_status(model)
    known = known_versions(snapshot.versions)
    try:
        spec = ClusteringModelSpec.model_validate(facts.at(model, "spec"))
    except ValidationError as error:
        problem = Problem(Reason.INVALID_SPEC, facts.refusal(error))
        outcome = _Outcome("Failed", problem.reason, problem.message, problem=problem)
        return _plan(snapshot, previous, known, None, outcome, now)
    training_hash = hash_training(model, spec)
    superseded = tuple(
        Delete(facts.key_of(job, "Job"), facts.uid_of(job))
        for job in snapshot.jobs
        if facts.label_of(job, names.TRAINING_HASH) != training_hash and not facts.is_deleting(job)
    )
    reruns = previous.reruns if previous.training_hash == training_hash else 0
    outcome = _decide(snapshot, spec, training_hash, known, previous, reruns)
    plan = _plan(snapshot, previous, known, training_hash, outcome, now)
    return Plan((*superseded, *plan.actions), plan.status, plan.requeue_after, plan.clean_up)


def required_secrets(model: RawObject, defaults: Defaults) -> frozenset[str]:
    """Return the names of the Secrets that training this model needs."""
    own = facts.text_at(model, "spec", "source", "secretRef", "name")
    return frozenset(name for name in (own, defaults.store_secret_name) if name)


def hash_training(model: RawObject, spec: ClusteringModelSpec) -> str:
    """Return the identity of a training: data, algorithm, limits and the retrain token; not how the Job runs.

    Defaults are left out, so that a release that adds a field does not train every model anew.
    """
    identity = {
        **{
            part: getattr(spec, part).model_dump(mode="json", by_alias=True, exclude_defaults=True)
            for part in ("source", "algorithm", "validation")
        },
        "retrain": facts.annotation_of(model, names.RETRAIN),
    }
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def _decide(
    snapshot: ModelSnapshot,
    spec: ClusteringModelSpec,
    training_hash: str,
    known: tuple[KnownVersion, ...],
    previous: ClusteringModelStatus,
    reruns: int,
) -> _Outcome:
    trained = [version for version in known if version.training_hash == training_hash]
    if trained:
        return _trained(trained[-1])
    name = names.training_job(facts.name_of(snapshot.model), training_hash)
    job = next((job for job in snapshot.jobs if facts.name_of(job) == name), None)
    if job is None:
        return _start(snapshot, spec, training_hash, reruns)
    if facts.is_deleting(job):
        message = "The Job of a training whose report was lost is being removed to run again."
        return _Outcome("Training", Reason.TRAINING, message, progressing=True, reruns=reruns)
    pods = _pods_of(snapshot.job_pods, name)
    if _job_ended(job, "Complete"):
        report = next(filter(None, (_success(pod, snapshot.defaults) for pod in pods)), None)
        if report is None and any(facts.text_at(pod, "status", "phase") in ("Pending", "Running") for pod in pods):
            # The Job's news came before its pod's; the report is on its way.
            return _running(job, pods, reruns)
        if report is None:
            return _lost(job, reruns)
        number = max([previous.latest_version or 0, *(version.number for version in known)]) + 1
        version = build_version(snapshot.model, spec, training_hash, number, report)
        message = f"Training succeeded; version {number} is being recorded."
        return _Outcome("Training", Reason.TRAINING, message, progressing=True, actions=(Create(version),))
    if _job_ended(job, "Failed") or _job_ended(job, "FailureTarget"):
        return _failed(job, pods, spec, previous if previous.training_hash == training_hash else None, reruns)
    return _running(job, pods, reruns)


def _start(snapshot: ModelSnapshot, spec: ClusteringModelSpec, training_hash: str, reruns: int) -> _Outcome:
    problem = None
    missing = sorted(snapshot.missing_secrets & required_secrets(snapshot.model, snapshot.defaults))
    if not snapshot.defaults.store_uri:
        problem = Problem(
            Reason.STORE_NOT_CONFIGURED,
            "the operator has no model store. Set SHOAL_OPERATOR_STORE_URI (in the chart: store.uri).",
        )
    elif missing:
        namespace = facts.namespace_of(snapshot.model)
        field = spec.source.secret_ref and spec.source.secret_ref.name in missing
        whose = "spec.source.secretRef" if field else "the operator's store"
        problem = Problem(
            Reason.SECRET_MISSING,
            f"Secret {', '.join(missing)} of {whose} does not exist in namespace {namespace}. Create it there; "
            "training starts by itself then.",
        )
    if problem is not None:
        return _Outcome("Pending", problem.reason, problem.message, problem=problem, requeue_after=_LOOK_AGAIN_SECONDS)
    job = build_job(snapshot.model, spec, training_hash, snapshot.defaults)
    message = f"Training {training_hash} is starting."
    return _Outcome(
        "Training", Reason.TRAINING, message, progressing=True, actions=(Create(job),), reruns=reruns,
        requeue_after=_JOB_LOOK_SECONDS,
    )  # fmt: skip


def _trained(version: KnownVersion) -> _Outcome:
    if not version.refusal:
        return _Outcome("Ready", Reason.TRAINED, f"Version {version.number} is trained.")
    problem = Problem(
        Reason.VERSION_REJECTED,
        f"version {version.number} failed its validation: {version.refusal}. Change the algorithm's parameters or "
        "spec.validation; that trains another version.",
    )
    return _Outcome("Rejected", problem.reason, problem.message, problem=problem)


def _running(job: RawObject, pods: tuple[RawObject, ...], reruns: int) -> _Outcome:
    problem = _ailment(pods)
    failures = facts.number_at(job, "status", "failed")
    limit = facts.number_at(job, "spec", "backoffLimit")
    message = "Training runs."
    if problem is not None:
        message = f"Training has not succeeded yet (try {min(failures, limit) + 1} of {limit + 1}): {problem.message}"
        problem = Problem(problem.reason, message)
    return _Outcome(
        "Training", Reason.TRAINING, message, progressing=True, problem=problem, reruns=reruns,
        requeue_after=_JOB_LOOK_SECONDS,
    )  # fmt: skip


def _failed(
    job: RawObject,
    pods: tuple[RawObject, ...],
    spec: ClusteringModelSpec,
    previous: ClusteringModelStatus | None,
    reruns: int,
) -> _Outcome:
    told = next((item for item in previous.conditions if item.type == "Degraded"), None) if previous else None
    if told and told.status == "True" and previous and previous.phase == "Failed" and not pods:
        # The pod is gone with its report; what was read of it stays true.
        problem = Problem(_reason(told.reason), told.message)
        return _Outcome("Failed", problem.reason, problem.message, problem=problem, reruns=reruns)
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
        cause = _ailment(pods) or Problem(Reason.TRAINING_FAILED, f"{detail}.")
        problem = Problem(cause.reason, f"{cause.message.rstrip('. ')}. Correct that, {_RETRAIN_HINT}.")
    return _Outcome("Failed", problem.reason, problem.message, problem=problem, reruns=reruns)


def _lost(job: RawObject, reruns: int) -> _Outcome:
    name = facts.name_of(job)
    if reruns >= _MOST_RERUNS:
        problem = Problem(
            Reason.TRAINING_FAILED,
            f"Job {name} succeeded {reruns + 1} times without leaving a report that can be read. Check that the "
            f"worker image belongs to this operator, {_RETRAIN_HINT}.",
        )
        return _Outcome("Failed", problem.reason, problem.message, problem=problem, reruns=reruns)
    message = f"Job {name} succeeded but its report was lost with its pod; it runs again."
    # The count is recorded before the Job goes: else a crash between the two would make the bound none.
    removal = Delete(facts.key_of(job, "Job"), facts.uid_of(job))
    return _Outcome(
        "Training", Reason.TRAINING, message, progressing=True, clean_up=(removal,), reruns=reruns + 1
    )  # fmt: skip


def _ailment(pods: tuple[RawObject, ...]) -> Problem | None:
    """Return what ails the newest pod, or what the one before it died of while the newest has nothing to say."""
    for pod in pods:
        status = facts.mapping_at(pod, "status")
        failure: ContainerFailure | None = read_failure(termination_message(status))
        if failure is not None:
            return Problem(failure.reason, failure.sentence)
        diagnosis = diagnose_pod(status)
        if diagnosis is not None:
            remedy = diagnosis.message.replace("resources.", "spec.training.resources.")
            crashed = diagnosis.reason == Reason.CRASH_LOOP
            return Problem(Reason.TRAINING_FAILED if crashed else diagnosis.reason, remedy)
    return None


def _success(pod: RawObject, defaults: Defaults) -> TrainingSuccess | None:
    return read_success(termination_message(facts.mapping_at(pod, "status")), defaults.store_uri)


def _pods_of(pods: Iterable[RawObject], job: str) -> tuple[RawObject, ...]:
    """Return a Job's pods, newest first."""
    owned = [
        pod
        for pod in pods
        if any(owner.get("name") == job for owner in facts.items_at(pod, "metadata", "ownerReferences"))
    ]
    return tuple(sorted(owned, key=lambda pod: facts.text_at(pod, "metadata", "creationTimestamp"), reverse=True))


def _job_ended(job: RawObject, condition: str) -> bool:
    return facts.text_at(facts.condition_of(job, condition), "status") == "True"


def _reason(word: str) -> Reason:
    return Reason(word) if word in set(Reason) else Reason.TRAINING_FAILED


def _read_status(model: RawObject) -> ClusteringModelStatus:
    try:
        return ClusteringModelStatus.model_validate(facts.mapping_at(model, "status"))
    except ValidationError:
        return ClusteringModelStatus()


def _plan(
    snapshot: ModelSnapshot,
    previous: ClusteringModelStatus,
    known: tuple[KnownVersion, ...],
    training_hash: str | None,
    outcome: _Outcome,
    now: datetime,
) -> Plan:
    servable = [version.number for version in known if version.servable]
    latest = servable[-1] if servable else None
    problem = outcome.problem
    available = f"Version {latest} can be served." if latest else f"No version can be served yet. {outcome.message}"
    findings = (
        Finding("Ready", latest is not None, Reason.AVAILABLE if latest else outcome.reason, available),
        Finding("Progressing", outcome.progressing, outcome.reason, outcome.message),
        Finding("Degraded", problem is not None, problem.reason if problem else Reason.IDLE,
                problem.message if problem else ""),
    )  # fmt: skip
    generation = facts.generation_of(snapshot.model)
    status = ClusteringModelStatus(
        observed_generation=generation,
        phase=outcome.phase,
        message=facts.printable(outcome.message, 1500),
        latest_version=latest,
        training_hash=training_hash,
        reruns=outcome.reruns,
        conditions=build_conditions(findings, previous.conditions, generation, now),
    )
    told = {(item.type, item.status, item.reason) for item in previous.conditions}
    events = tuple(
        Emit("Warning" if finding.type == "Degraded" else "Normal", finding.reason, finding.message)
        for finding in findings
        if finding.holds and finding.type != "Ready" and (finding.type, "True", finding.reason) not in told
    )
    if latest is not None and latest != previous.latest_version:
        events = (Emit("Normal", Reason.TRAINED, f"Version {latest} is trained and can be served."), *events)
    return Plan(
        actions=outcome.actions,
        status=StatusWrite(facts.key_of(snapshot.model, "ClusteringModel"), status.to_wire()),
        requeue_after=outcome.requeue_after,
        clean_up=(*outcome.clean_up, *events),
    )
