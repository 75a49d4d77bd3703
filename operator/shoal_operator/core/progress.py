"""What a rollout remembers from pass to pass: the part of status that cannot be observed.

Read by every rollout decision, changed by core.transitions only. Invariant: whatever a status holds, what is read
from it is consistent: no weight without a candidate, no candidate that is the stable revision.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from shoal_operator.api.agreement import AgreementFigures
from shoal_operator.api.deployment import (
    BlockedRevision,
    ClusteringDeploymentStatus,
    GateRecord,
    RetiringRevision,
    Revision,
)
from shoal_operator.core import names
from shoal_operator.core.facts import annotation_of, instant, mapping_at, timestamp
from shoal_operator.core.snapshot import RawObject
from shoal_operator.core.versions import KnownVersion


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a deployment stands between its revisions."""

    stable: Revision | None = None
    candidate: Revision | None = None
    retiring: tuple[RetiringRevision, ...] = ()
    blocked: tuple[BlockedRevision, ...] = ()
    weight: int = 0
    """What the router is told to give the candidate; raised only once its pods can bear it."""
    step: int | None = None
    """Index into the schedule; its length while promoting."""
    step_count: int | None = None
    step_started_at: datetime | None = None
    window_started_at: datetime | None = None
    progressed_at: datetime | None = None
    user_paused: bool = False
    failure_paused: str | None = None
    approved: int | None = None
    """Version that the approve command asked for, until it serves."""
    handled_commands: tuple[str, ...] = ()
    gates: tuple[GateRecord, ...] = ()
    """What the gates said in the present rollout, or in the last one."""
    agreement: AgreementFigures | None = None
    """How far the candidate agreed with stable when last compared, in the present rollout or in the last one."""
    agreement_history: tuple[AgreementFigures, ...] = ()
    """The same of the versions that were promoted, newest last."""

    def without_candidate(self) -> Progress:
        """Return the same without anything that concerns a candidate: all traffic is stable's."""
        return replace(
            self,
            candidate=None,
            weight=0,
            step=None,
            step_count=None,
            step_started_at=None,
            window_started_at=None,
            progressed_at=None,
            failure_paused=None,
        )

    def enter(self, step: int, now: datetime) -> Progress:
        """Return the same at the beginning of a step."""
        return replace(self, step=step, step_started_at=None, progressed_at=now)


def read_status(deployment: RawObject) -> ClusteringDeploymentStatus:
    """Read a status; one that cannot be read counts as absent."""
    try:
        return ClusteringDeploymentStatus.model_validate(mapping_at(deployment, "status"))
    except ValidationError:
        return ClusteringDeploymentStatus()


def read_progress(deployment: RawObject, status: ClusteringDeploymentStatus, known: Iterable[KnownVersion]) -> Progress:
    """Return what is remembered; the durable record stands in for a stable revision that status does not name."""
    stable = status.stable or _recorded_stable(deployment, status, known)
    progress = Progress(
        stable=stable,
        candidate=status.candidate,
        retiring=tuple(status.retiring),
        blocked=tuple(status.blocked_versions),
        weight=status.weight,
        step=status.step,
        step_count=status.step_count,
        step_started_at=instant(status.step_started_at),
        window_started_at=instant(status.window_started_at),
        progressed_at=instant(status.progressed_at),
        user_paused=status.user_paused,
        failure_paused=status.failure_paused,
        approved=status.approved_version,
        handled_commands=tuple(status.handled_commands),
        gates=tuple(status.gates),
        agreement=status.agreement,
        agreement_history=tuple(status.agreement_history),
    )
    candidate = progress.candidate
    if candidate is None or (stable is not None and candidate.revision == stable.revision):
        progress = progress.without_candidate()
    living = {item.revision for item in (progress.stable, progress.candidate) if item}
    return replace(progress, retiring=tuple(item for item in progress.retiring if item.revision not in living))


def read_record(deployment: RawObject) -> Revision | None:
    """Return the durable record of the stable revision, if there is one that can be read."""
    try:
        return Revision.model_validate_json(annotation_of(deployment, names.STABLE_RECORD))
    except ValidationError:
        return None


def write_record(revision: Revision) -> str:
    """Return the durable record of a revision."""
    return json.dumps(revision_only(revision).to_wire(), sort_keys=True, separators=(",", ":"))


def revision_only(revision: Revision) -> Revision:
    """Return the bundle alone, without why or until when it stands in a list."""
    return Revision(**bundle_of(revision))


def retire(revision: Revision, until: datetime) -> RetiringRevision:
    """Return a revision as one that stands by until a time."""
    return RetiringRevision(**bundle_of(revision), until=timestamp(until))


def bundle_of(revision: Revision) -> dict[str, Any]:
    """Return the fields of a bundle, to build another form of it."""
    return {name: getattr(revision, name) for name in Revision.model_fields}


def _recorded_stable(
    deployment: RawObject, status: ClusteringDeploymentStatus, known: Iterable[KnownVersion]
) -> Revision | None:
    record = read_record(deployment)
    if record is None or (status.candidate is not None and status.candidate.revision == record.revision):
        # No record, or that of a first deployment which is about to become stable.
        return None
    # All of it must fit: an annotation must not make pods load files that no version stands for.
    named = (record.version, record.digest, record.uri)
    return record if any((version.number, version.digest, version.uri) == named for version in known) else None
