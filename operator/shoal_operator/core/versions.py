"""What a ClusteringModelVersion says, and its own small reconcile: its state follows from its validation.

Read by core.training and core.revision; `plan_version` is called by runtime.controller. Invariant: a version that did
not pass its validation is never offered for serving.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from shoal_operator.api.version import ClusteringModelVersionSpec, ClusteringModelVersionStatus
from shoal_operator.core.facts import at, is_deleting, key_of, name_of, number_at, text_at
from shoal_operator.core.plan import Plan, StatusWrite
from shoal_operator.core.snapshot import RawObject

_STATES = ("Active", "Rejected", "Retired", "Archived")


@dataclass(frozen=True, slots=True)
class KnownVersion:
    """What decisions need of one version."""

    name: str
    number: int
    training_hash: str
    uri: str
    digest: str
    servable: bool
    state: str
    refusal: str
    """Why it failed its validation; empty when it passed."""


def known_versions(versions: Iterable[RawObject]) -> tuple[KnownVersion, ...]:
    """Read versions, oldest first; one that cannot be read counts for its number only."""
    found = (_read(raw) for raw in versions if not is_deleting(raw))
    return tuple(sorted((version for version in found if version), key=lambda version: version.number))


def plan_version(version: RawObject, now: datetime) -> Plan:  # noqa: ARG001, one signature for all kinds
    """Set the state of a version that has none yet: Active when it passed its validation, else Rejected."""
    if is_deleting(version) or text_at(version, "status", "state") in _STATES:
        return Plan()
    passed = text_at(version, "spec", "validation", "verdict") == "pass"
    status = ClusteringModelVersionStatus(state="Active" if passed else "Rejected")
    return Plan(status=StatusWrite(key_of(version, "ClusteringModelVersion"), status.to_wire()))


def _read(raw: RawObject) -> KnownVersion | None:
    number = number_at(raw, "spec", "version")
    if number < 1:
        return None
    state = text_at(raw, "status", "state")
    try:
        spec = ClusteringModelVersionSpec.model_validate(at(raw, "spec"))
    except ValidationError:
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
        servable=passed and state in ("", "Active"),
        state=state or ("Active" if passed else "Rejected"),
        refusal="" if passed else "; ".join(failed) or "its validation failed",
    )
