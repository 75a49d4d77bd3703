"""What a ClusteringModelVersion says, and its own small reconcile: its state follows from validation and lifecycle.

Read by every decision about versions; `plan_version` is called by runtime.controller. Invariant: a version that did
not pass its validation, or that is retired, is never offered for serving.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from shoal_operator.api.meta import Reason
from shoal_operator.api.version import ClusteringModelVersionSpec, ClusteringModelVersionStatus
from shoal_operator.core import names
from shoal_operator.core.conditions import Finding, build_conditions
from shoal_operator.core.facts import (
    at,
    generation_of,
    is_deleting,
    key_of,
    mapping_at,
    name_of,
    namespace_of,
    number_at,
    printable,
    text_at,
)
from shoal_operator.core.lifecycle import read_lifecycle
from shoal_operator.core.plan import Emit, Plan, StatusWrite
from shoal_operator.core.snapshot import RawObject


@dataclass(frozen=True, slots=True)
class KnownVersion:
    """What decisions need of one version."""

    name: str
    number: int
    training_hash: str
    uri: str
    digest: str
    passed: bool
    """Whether it passed its validation."""
    state: str
    refusal: str
    """Why it failed its validation; empty when it passed."""

    @property
    def servable(self) -> bool:
        """Whether it may be offered for serving."""
        return self.passed and self.state == "Active"

    @property
    def held(self) -> bool:
        """Whether a deployment that serves it already may go on serving it."""
        return self.passed and self.state in ("Active", "Retired")


def known_versions(versions: Iterable[RawObject]) -> tuple[KnownVersion, ...]:
    """Read versions, oldest first; one that cannot be read counts for its number only."""
    found = (_read(raw) for raw in versions if not is_deleting(raw))
    return tuple(sorted((version for version in found if version), key=lambda version: version.number))


def plan_version(version: RawObject, now: datetime) -> Plan:
    """Tell a version's state, and why it is what it is."""
    if is_deleting(version):
        return Plan()
    record = read_lifecycle(version)
    passed = text_at(version, "spec", "validation", "verdict") == "pass"
    state = _state(version, passed=passed)
    try:
        previous = ClusteringModelVersionStatus.model_validate(mapping_at(version, "status"))
    except ValidationError:
        previous = ClusteringModelVersionStatus()
    message = record.message
    if state == "Archived" and record.wanted == "Active":
        message = "It is being brought back from the store's archive."
    elif state == "Rejected" and not message:
        known = _read(version)
        message = printable(f"It failed its validation: {known.refusal if known else 'its record cannot be read'}.")
    elif state == "Archived":
        command = activate_command(name_of(version), namespace_of(version))
        message = f"{message.rstrip('.')}. Run `{command}` to bring it back."
    available = Reason.AVAILABLE if state == "Active" else _REASONS.get(state, Reason.NOT_AVAILABLE)
    findings = (
        Finding("Ready", state == "Active", available, message),
        Finding("Degraded", bool(record.problem), _problem(record.problem), message if record.problem else ""),
    )
    status = ClusteringModelVersionStatus.model_validate(
        {
            "state": state,
            "message": message,
            "noise": _figure(version, "noiseRatio", ".1%").replace("%", " %"),
            "silhouette": _figure(version, "silhouette", ".3f"),
            "conditions": build_conditions(findings, previous.conditions, generation_of(version), now),
        }
    )
    return Plan(
        status=StatusWrite(key_of(version, "ClusteringModelVersion"), status.to_wire()),
        clean_up=_tell(previous, status, record.problem),
    )


def activate_command(name: str, namespace: str) -> str:
    """Return the command that makes the version of this name Active again."""
    return f"kubectl annotate cmv {name} {names.STATE}=Active --overwrite --namespace {namespace}"


_REASONS = {
    "Rejected": Reason.VERSION_REJECTED,
    "Retired": Reason.VERSION_RETIRED,
    "Archived": Reason.VERSION_ARCHIVED,
}


def _figure(raw: RawObject, metric: str, form: str) -> str:
    """Return a metric with the digits that a list has room for; empty where there is none."""
    value = at(raw, "spec", "metrics", metric)
    return format(value, form) if isinstance(value, int | float) else ""


def _problem(word: str) -> Reason:
    return Reason(word) if word in (Reason.VERSION_IN_USE, Reason.INVALID_SPEC) else Reason.IDLE


def _tell(
    previous: ClusteringModelVersionStatus, status: ClusteringModelVersionStatus, problem: str
) -> tuple[Emit, ...]:
    events: list[Emit] = []
    if previous.state not in (None, status.state):
        reason = Reason.AVAILABLE if status.state == "Active" else _REASONS.get(status.state or "", Reason.IDLE)
        events.append(Emit("Normal", reason, status.message or f"It is {status.state} again."))
    told = next((item for item in previous.conditions if item.type == "Degraded" and item.status == "True"), None)
    if problem and (told is None or told.reason != problem):
        events.append(Emit("Warning", _problem(problem), status.message))
    return tuple(events)


def _state(raw: RawObject, *, passed: bool) -> str:
    """Return a version's state; its status is only told from this, never read back."""
    record = read_lifecycle(raw)
    if record.stored in ("Archived", "Deleted"):
        return "Archived"
    if record.wanted != "Active":
        return "Retired"
    return "Active" if passed else "Rejected"


def _read(raw: RawObject) -> KnownVersion | None:
    number = number_at(raw, "spec", "version")
    if number < 1:
        return None
    try:
        spec = ClusteringModelVersionSpec.model_validate(at(raw, "spec"))
    except ValidationError:
        state = _state(raw, passed=False)
        return KnownVersion(name_of(raw), number, "", "", "", False, state, "its record cannot be read")
    passed = spec.validation.verdict == "pass"
    failed = (
        f"{test.name}: {test.message}".rstrip(": ")
        for test in spec.validation.tests
        if test.verdict == "fail" and not test.dry_run
    )
    return KnownVersion(
        name=name_of(raw),
        number=number,
        training_hash=spec.training_hash,
        uri=spec.artifact.uri,
        digest=spec.artifact.digest,
        passed=passed,
        state=_state(raw, passed=passed),
        refusal="" if passed else "; ".join(failed) or "its validation failed",
    )
