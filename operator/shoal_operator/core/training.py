"""Decides what a ClusteringModel needs next: a training Job, a new version, or nothing.

`plan_model` is called by runtime.controller, `required_secrets` by runtime.store. Invariant: one training identity
leads to one version, however often a pass is cut off or repeated. Going back to an identity that has an older version
trains again: the newest version is always that of the present spec.

    facts                                        -> plan
    spec cannot be read                          -> InvalidSpec, nothing else
    newest version has this identity             -> done: Trained or VersionRejected
    Job succeeded, report of an older version    -> done: Unchanged
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
from datetime import datetime

from pydantic import ValidationError

from shoal_operator.api.meta import ApiModel, Reason
from shoal_operator.api.model import ClusteringModelSpec, ClusteringModelStatus
from shoal_operator.core import facts, names
from shoal_operator.core.conditions import Finding, Problem, build_conditions
from shoal_operator.core.maintenance import Upkeep, plan_upkeep
from shoal_operator.core.manifests.job import build_job
from shoal_operator.core.manifests.version import build_version
from shoal_operator.core.plan import Create, Delete, Emit, Plan, StatusWrite
from shoal_operator.core.report import TrainingSuccess
from shoal_operator.core.schedule import Tick, plan_tick
from shoal_operator.core.snapshot import Defaults, ModelSnapshot, RawObject
from shoal_operator.core.training_job import (
    Outcome,
    find_report,
    has_ended,
    pods_of,
    tell_failed,
    tell_lost,
    tell_running,
)
from shoal_operator.core.versions import KnownVersion, known_versions

_LOOK_AGAIN_SECONDS = 10.0
_JOB_LOOK_SECONDS = 30.0


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
        outcome = Outcome("Failed", problem.reason, problem.message, problem=problem)
        return _plan(snapshot, previous, known, None, outcome, now)
    training_hash = hash_training(model, spec)
    reruns = previous.reruns if previous.training_hash == training_hash else 0
    outcome = _decide(snapshot, spec, training_hash, known, previous, reruns)
    tick = plan_tick(model, spec.retrain, previous, now, busy=outcome.progressing)
    superseded = tuple(
        Delete(facts.key_of(job, "Job"), facts.uid_of(job))
        for job in snapshot.jobs
        if facts.label_of(job, names.TRAINING_HASH) not in ("", training_hash) and not facts.is_deleting(job)
    )
    upkeep = plan_upkeep(snapshot, spec, known, previous, now)
    plan = _plan(snapshot, previous, known, training_hash, outcome, now, upkeep, tick)
    return Plan((*superseded, *plan.actions), plan.status, plan.requeue_after, plan.clean_up)


def required_secrets(model: RawObject, defaults: Defaults) -> frozenset[str]:
    """Return the names of the Secrets that training this model needs."""
    own = (facts.text_at(model, "spec", part, "secretRef", "name") for part in ("source", "artifact"))
    return frozenset(name for name in (*own, defaults.store_secret_name) if name)


def hash_training(model: RawObject, spec: ClusteringModelSpec) -> str:
    """Return the identity of a training: data, preprocessing, algorithm, limits, retrain token; not how the Job runs.

    That of an import is the artifact's place and digest, and the limits.
    Defaults are left out, so that a release that adds a field does not train every model anew.
    """
    steps = [step.model_dump(mode="json", by_alias=True, exclude_defaults=True) for step in spec.preprocessing]
    parts: dict[str, ApiModel | None] = {"source": spec.source, "algorithm": spec.algorithm}
    if spec.artifact is not None:
        parts = {"artifact": spec.artifact.model_copy(update={"secret_ref": None})}
    scheduled = facts.annotation_of(model, names.SCHEDULED)
    identity = {
        **{
            name: part.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            for name, part in {**parts, "validation": spec.validation}.items()
            if part is not None
        },
        **({"preprocessing": steps} if steps else {}),
        "retrain": facts.annotation_of(model, names.RETRAIN),
        **({"scheduled": scheduled} if scheduled else {}),
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
) -> Outcome:
    if known and known[-1].training_hash == training_hash:
        return _trained(known[-1])
    if known and previous.unchanged_hash == training_hash:
        return _unchanged(known)
    name = names.training_job(facts.name_of(snapshot.model), training_hash)
    job = next((job for job in snapshot.jobs if facts.name_of(job) == name), None)
    if job is None:
        return _start(snapshot, spec, training_hash, known, reruns)
    if facts.is_deleting(job):
        message = "An earlier Job of this training is being removed; it runs again after that."
        return Outcome(
            "Training", Reason.TRAINING, message, progressing=True, reruns=reruns, requeue_after=_LOOK_AGAIN_SECONDS
        )
    pods = pods_of(snapshot.job_pods, name)
    if has_ended(job, "Complete"):
        report = find_report(pods, snapshot.defaults.store_uri)
        if report is None and any(facts.text_at(pod, "status", "phase") in ("Pending", "Running") for pod in pods):
            # The Job's news came before its pod's; the report is on its way.
            return tell_running(job, pods, reruns)
        if report is None:
            return tell_lost(job, reruns)
        if any(_is_twin(version, report, training_hash) for version in known):
            return _unchanged(known)
        conflict = find_conflict(report, training_hash, known)
        if conflict is not None:
            return Outcome("Failed", conflict.reason, conflict.message, problem=conflict, reruns=reruns)
        version = build_version(snapshot.model, spec, training_hash, report)
        message = f"Training succeeded; version {report.version} is being recorded."
        return Outcome("Training", Reason.TRAINING, message, progressing=True, actions=(Create(version),))
    if has_ended(job, "Failed") or has_ended(job, "FailureTarget"):
        return tell_failed(job, pods, spec, previous if previous.training_hash == training_hash else None, reruns)
    return tell_running(job, pods, reruns)


def _start(
    snapshot: ModelSnapshot,
    spec: ClusteringModelSpec,
    training_hash: str,
    known: tuple[KnownVersion, ...],
    reruns: int,
) -> Outcome:
    problem = None
    missing = sorted(snapshot.missing_secrets & required_secrets(snapshot.model, snapshot.defaults))
    if not snapshot.defaults.store_uri:
        problem = Problem(
            Reason.STORE_NOT_CONFIGURED,
            "the operator has no model store. Set SHOAL_OPERATOR_STORE_URI (in the chart: store.uri).",
        )
    elif missing:
        namespace = facts.namespace_of(snapshot.model)
        field = "spec.artifact.secretRef" if spec.artifact is not None else "spec.source.secretRef"
        whose = field if spec.secret_name in missing else "the operator's store"
        problem = Problem(
            Reason.SECRET_MISSING,
            f"Secret {', '.join(missing)} of {whose} does not exist in namespace {namespace}. Create it there; "
            "training starts by itself then.",
        )
    problem = problem or find_denial(spec, snapshot.defaults)
    if problem is not None:
        return Outcome("Pending", problem.reason, problem.message, problem=problem, requeue_after=_LOOK_AGAIN_SECONDS)
    job = build_job(snapshot.model, spec, training_hash, known, snapshot.defaults)
    message = f"Training {training_hash} is starting."
    return Outcome(
        "Training", Reason.TRAINING, message, progressing=True, actions=(Create(job),), reruns=reruns,
        requeue_after=_JOB_LOOK_SECONDS,
    )  # fmt: skip


def _is_twin(version: KnownVersion, report: TrainingSuccess, training_hash: str) -> bool:
    """Tell whether a report is that of an older training's version: the data gave the same model once more."""
    same = (version.number, version.digest) == (report.version, report.artifact.digest)
    return same and version.training_hash != training_hash


def _unchanged(known: tuple[KnownVersion, ...]) -> Outcome:
    newest = next((version for version in reversed(known) if version.passed), known[-1])
    message = f"Training gave version {newest.number} once more; no version is recorded, for nothing has changed."
    return Outcome("Ready", Reason.UNCHANGED, message, unchanged=True)


def find_conflict(report: TrainingSuccess, training_hash: str, known: tuple[KnownVersion, ...]) -> Problem | None:
    """Return why a report's version cannot be recorded: its number belongs to another version."""
    same = next((version for version in known if version.number == report.version), None)
    if same is None or (same.digest, same.training_hash) == (report.artifact.digest, training_hash):
        return None
    return Problem(
        Reason.VERSION_CONFLICT,
        f"the store gave the new version the number {report.version}, which {same.name} has with another artifact "
        f"({same.digest[:19]}, not {report.artifact.digest[:19]}). Check that store.uri is the store of the earlier "
        f"versions, then train again: set the annotation {names.RETRAIN} to any new value.",
    )


def find_denial(spec: ClusteringModelSpec, defaults: Defaults) -> Problem | None:
    """Return why an artifact may not be imported from where it lies, if so."""
    if spec.artifact is None or not spec.artifact.uri.startswith(("https://", "oci://")):
        return None
    host = spec.artifact.uri.partition("://")[2].partition("/")[0].lower()
    if host in {entry.removeprefix("http://") for entry in defaults.import_allowed_hosts}:
        return None
    allowed = ", ".join(defaults.import_allowed_hosts[:10]) or "none"
    return Problem(
        Reason.IMPORT_DENIED,
        f"spec.artifact.uri: the operator does not allow imports from {facts.printable(host, 100)} (allowed: "
        f"{allowed}). Add the host to SHOAL_OPERATOR_IMPORT_ALLOWED_HOSTS (in the chart: import.allowedHosts), or put "
        "the artifact into the store.",
    )


def _trained(version: KnownVersion) -> Outcome:
    if not version.refusal:
        return Outcome("Ready", Reason.TRAINED, f"Version {version.number} is trained.")
    problem = Problem(
        Reason.VERSION_REJECTED,
        f"version {version.number} failed its validation: {version.refusal}. Change the algorithm's parameters or "
        "spec.validation; that trains another version.",
    )
    return Outcome("Rejected", problem.reason, problem.message, problem=problem)


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
    outcome: Outcome,
    now: datetime,
    upkeep: Upkeep | None = None,
    tick: Tick | None = None,
) -> Plan:
    upkeep = upkeep or Upkeep(failures=previous.maintenance_failures)
    tick = tick or Tick(previous.retrain)
    servable = [version.number for version in known if version.servable]
    latest = servable[-1] if servable else None
    problem = outcome.problem or tick.problem or upkeep.problem
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
        unchanged_hash=training_hash if outcome.unchanged else None,
        retrain=tick.status,
        maintenance_failures=upkeep.failures,
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
    if outcome.unchanged and previous.unchanged_hash != training_hash:
        events = (Emit("Normal", Reason.UNCHANGED, outcome.message), *events)
    waits = [part.requeue_after for part in (outcome, upkeep, tick) if part.requeue_after is not None]
    return Plan(
        actions=(*outcome.actions, *upkeep.actions, *tick.actions),
        status=StatusWrite(facts.key_of(snapshot.model, "ClusteringModel"), status.to_wire()),
        requeue_after=min(waits) if waits else None,
        clean_up=(*outcome.clean_up, *upkeep.clean_up, *tick.events, *events),
    )
