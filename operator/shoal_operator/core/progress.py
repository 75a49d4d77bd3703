"""What a rollout remembers from pass to pass: the part of status that cannot be observed.

Read by every rollout decision, changed by core.transitions only. Invariant: whatever a status holds, what is read
from it is consistent: no weight without a candidate, no candidate that is the stable revision.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import ValidationError

from shoal_operator.api.agreement import AgreementFigures
from shoal_operator.api.canary import HeaderMatch
from shoal_operator.api.deployment import (
    BlockedRevision,
    ClusteringDeploymentStatus,
    GateRecord,
    RetiringRevision,
    Revision,
    Rollback,
)
from shoal_operator.api.hook import HookRecord
from shoal_operator.api.meta import Reason
from shoal_operator.api.replacement import MOST_PREVIOUS
from shoal_operator.core import names
from shoal_operator.core.conditions import Problem
from shoal_operator.core.facts import annotation_of, instant, mapping_at, timestamp
from shoal_operator.core.snapshot import RawObject
from shoal_operator.core.steps import Share, Step, compares
from shoal_operator.core.versions import KnownVersion

_MOST_BLOCKED = 16
Stage = Literal["Walking", "Passed", "Decided", "Alone"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a deployment stands between its revisions."""

    stable: Revision | None = None
    candidate: Revision | None = None
    retiring: tuple[RetiringRevision, ...] = ()
    previous: tuple[Revision, ...] = ()
    """What was stable before and may be gone back to, newest last."""
    rollback: Rollback | None = None
    """How the candidate is gone back to; None for one that is new."""
    blocked: tuple[BlockedRevision, ...] = ()
    weight: int = 0
    """What the router is told to give the candidate; raised only once its pods can bear it."""
    mirror: int = 0
    """The same of copied calls."""
    header: HeaderMatch | None = None
    """The same of calls with this metadata."""
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
    stage: Stage | None = None
    """How far the rollout is beyond its steps, or was: None before it may begin (core.holds)."""
    hooks: tuple[HookRecord, ...] = ()
    """What became of the hooks of the present rollout, or of the last one."""

    @property
    def begun(self) -> bool:
        """Whether the present rollout may have pods: nothing before its first step holds it any more."""
        return self.stage is not None or (self.step or 0) > 0

    @property
    def share(self) -> Share:
        """What the router is told to give the candidate."""
        return self.weight, self.mirror, self.header

    @property
    def compared(self) -> bool:
        """Whether both revisions get calls."""
        return compares(self.share)

    def lowered_to(self, step: Step) -> Progress:
        """Return the same with no more of the calls for the candidate than a step says: what falls, falls at once."""
        return replace(
            self,
            weight=min(self.weight, step.weight),
            mirror=min(self.mirror, step.mirror),
            header=self.header if self.header == step.header else None,
        )

    def raised_to(self, step: Step) -> Progress:
        """Return the same with what a step says of the calls for the candidate."""
        return replace(self, weight=step.weight, mirror=step.mirror, header=step.header)

    def without_candidate(self) -> Progress:
        """Return the same without anything that concerns a candidate: all traffic is stable's."""
        return replace(
            self,
            candidate=None,
            rollback=None,
            weight=0,
            mirror=0,
            header=None,
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

    def block(self, revision: Revision, why: Problem, now: datetime) -> Progress:
        """Return the same with a revision that is not to be tried again."""
        entry = BlockedRevision(**bundle_of(revision), reason=why.reason, message=why.message, since=timestamp(now))
        others = tuple(item for item in self.blocked if item.revision != revision.revision)
        return replace(self, blocked=(*others, entry)[-_MOST_BLOCKED:])

    def blocking(self, wanted: Revision) -> BlockedRevision | None:
        """Return what keeps a revision from being tried.

        A revision that failed is blocked alone: other settings may mend it. A version that somebody left by the
        rollback command is left with whatever settings, unless it serves with others.
        """
        serves = self.stable is not None and self.stable.version == wanted.version
        return next(
            (
                item
                for item in self.blocked
                if item.revision == wanted.revision
                or (item.reason == Reason.ROLLED_BACK and item.version == wanted.version and not serves)
            ),
            None,
        )

    def promote(self, delay_seconds: int, now: datetime) -> Progress:
        """Return the same with the candidate as stable; what it replaces stands by for the delay.

        Whoever goes back leaves all later revisions behind: they are not among the previous ones any more, so that
        nothing returns to them without steps.
        """
        stable, candidate = self.stable, self.candidate
        if candidate is None:
            return self
        names = [item.revision for item in self.previous]
        place = names.index(candidate.revision) if candidate.revision in names else None
        if self.rollback is not None:
            previous = self.previous[: place or 0]
        else:
            others = tuple(item for item in self.previous if item.revision != candidate.revision)
            previous = (*others, *((revision_only(stable),) if stable else ()))[-MOST_PREVIOUS:]
        replaced = (retire(stable, now, delay_seconds),) if stable else ()
        return replace(
            self.without_candidate(),
            stable=candidate,
            previous=previous,
            retiring=(*self.retiring, *replaced),
        )


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
        previous=tuple(status.previous),
        rollback=status.rollback,
        blocked=tuple(status.blocked_versions),
        weight=status.weight,
        mirror=status.mirror,
        header=status.header,
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
        stage=status.stage,
        hooks=tuple(status.hooks),
    )
    candidate = progress.candidate
    if candidate is None or (stable is not None and candidate.revision == stable.revision):
        progress = progress.without_candidate()
    living = {item.revision for item in (progress.stable, progress.candidate) if item}
    return replace(
        progress,
        retiring=tuple(item for item in progress.retiring if item.revision not in living),
        previous=tuple(item for item in progress.previous if stable is None or item.revision != stable.revision),
    )


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


def retire(revision: Revision, now: datetime, delay_seconds: int | None) -> RetiringRevision:
    """Return a revision as one that stands by for the scale-down delay; None for one that goes at once."""
    if delay_seconds is None:
        return RetiringRevision(**bundle_of(revision), until=timestamp(now))
    until = timestamp(now + timedelta(seconds=delay_seconds))
    return RetiringRevision(**bundle_of(revision), since=timestamp(now), until=until)


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
