"""Makes the record of every decision, and sees to it that each is written once and only so many are kept.

Called by core.rollout. A decision and its record enter status in one write; the ClusteringDecision is created after it,
and the record leaves status once the object is seen. Invariant: no decision without a record, no record of a decision
that never took effect, and never two of one, wherever a pass is cut off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from shoal_operator.api.decision import (
    DecidedRevision,
    DecidedWeight,
    DecisionRecord,
    GateFinding,
    LastDecision,
)
from shoal_operator.api.deployment import (
    ClusteringDeploymentSpec,
    ClusteringDeploymentStatus,
    GateRecord,
    PoolFigures,
    Revision,
    Verdict,
)
from shoal_operator.api.meta import Reason
from shoal_operator.core import names
from shoal_operator.core.decided import Decided, Moment, find_decisions
from shoal_operator.core.facts import is_deleting, key_of, name_of, printable, timestamp, uid_of
from shoal_operator.core.manifests.decision import build_decision
from shoal_operator.core.plan import Action, Delete, Emit, Record
from shoal_operator.core.snapshot import DeploymentSnapshot, RawObject

_KIND = "ClusteringDecision"
_MOST_UNRECORDED = 16
_MOST_DELETED = 10
"""Records that one pass deletes, so that a lowered limit is no storm."""
_MOST_GATES = 64
_MESSAGE = 1000


def build_records(moment: Moment, decisions: Iterable[RawObject]) -> tuple[DecisionRecord, ...]:
    """Return the records of what a pass decided; `decisions` are the ClusteringDecisions that there are."""
    last = _last_number(moment.status, decisions)
    found = find_decisions(moment)
    return tuple(_record(moment, decided, last + place) for place, decided in enumerate(found, start=1))


def keep_unrecorded(
    snapshot: DeploymentSnapshot, status: ClusteringDeploymentStatus, new: tuple[DecisionRecord, ...]
) -> tuple[DecisionRecord, ...]:
    """Return the records that are still to be written: those of this pass, and earlier ones not yet seen."""
    seen = {name_of(raw) for raw in snapshot.decisions}
    waiting = [item for item in status.unrecorded if record_name(snapshot.deployment, item) not in seen]
    return (*waiting, *new)[-_MOST_UNRECORDED:]


def write_records(deployment: RawObject, records: Iterable[DecisionRecord]) -> tuple[Record, ...]:
    """Return the writes of records that status holds."""
    return tuple(Record(build_decision(deployment, record_name(deployment, item), item)) for item in records)


def remove_oldest(snapshot: DeploymentSnapshot, spec: ClusteringDeploymentSpec) -> tuple[Action, ...]:
    """Return the deletion of the oldest records beyond the limit, a few at a time."""
    present = sorted((raw for raw in snapshot.decisions if not is_deleting(raw)), key=name_of)
    beyond = present[: max(0, len(present) - spec.decisions_limit)]
    return tuple(Delete(key_of(raw, _KIND), uid_of(raw)) for raw in beyond[:_MOST_DELETED])


def last_decision(
    deployment: RawObject, status: ClusteringDeploymentStatus, new: tuple[DecisionRecord, ...]
) -> LastDecision | None:
    """Return the newest decision in short."""
    if not new:
        return status.last_decision
    item = new[-1]
    name = record_name(deployment, item)
    return LastDecision(name=name, number=item.number, decision=item.decision, step=item.step, at=item.at)


def name_records(
    deployment: RawObject, events: Iterable[Emit], last: LastDecision | None, new: tuple[DecisionRecord, ...]
) -> tuple[Emit, ...]:
    """Let each event name the record of the decision that it tells of: of this pass, or the last before it."""
    known = [(record_name(deployment, item), {item.decision, item.reason}) for item in reversed(new)]
    if last is not None and last.decision == "WeightSet":
        # The router takes a weight some passes after it was decided; only then it is told.
        known.append((last.name, {str(Reason.ROLLING_OUT)}))
    return tuple(_name(event, known) for event in events)


def _name(event: Emit, known: Iterable[tuple[str, set[str]]]) -> Emit:
    wanted = {event.reason, "Aborted"} if event.reason == Reason.ROLLED_BACK else {event.reason}
    record = next((name for name, words in known if wanted & words), "")
    return replace(event, record=record)


def record_name(deployment: RawObject, record: DecisionRecord) -> str:
    """Return the name of a record's object: the same decision always has the same."""
    return names.decision(name_of(deployment), uid_of(deployment), record.number)


def _last_number(status: ClusteringDeploymentStatus, decisions: Iterable[RawObject]) -> int:
    """Return the highest number so far; the objects tell it too, should status be lost."""
    known = status.last_decision.number if status.last_decision else 0
    return max([known, *(item.number for item in status.unrecorded), *(_number(raw) for raw in decisions)])


def _number(raw: RawObject) -> int:
    last = name_of(raw).rpartition("-")[2]
    return int(last) if last.isdecimal() else 0


def _record(moment: Moment, decided: Decided, number: int) -> DecisionRecord:
    of = decided.of or moment.after
    before, after = decided.weight
    return DecisionRecord(
        deployment=name_of(moment.deployment),
        number=number,
        at=timestamp(moment.now),
        decision=decided.decision,
        reason=str(decided.reason),
        message=printable(decided.message, _MESSAGE),
        actor=decided.actor,
        stable=None if decided.decision == "Restored" else _bundle(moment.before.stable),
        candidate=_bundle(decided.candidate),
        weight=DecidedWeight(before=before, after=after, actual=moment.status.actual_weight),
        step=of.step,
        step_count=of.step_count,
        window_started_at=None if of.window_started_at is None else timestamp(of.window_started_at),
        gates=_findings(moment, of.gates) if decided.decision != "Started" else [],
    )


def _bundle(revision: Revision | None) -> DecidedRevision | None:
    if revision is None:
        return None
    return DecidedRevision(version=revision.version, revision=revision.revision, digest=revision.digest)


def _findings(moment: Moment, records: Iterable[GateRecord]) -> list[GateFinding]:
    """Return what the gates say in this pass, or said last before it, and of others what they said when last asked."""
    said = moment.decision.judged or moment.decision.verdicts or moment.status.verdicts
    found = [_finding(item) for item in said]
    told = {item.gate for item in said}
    earlier = [_earlier(item) for item in records if item.gate not in told and item.history]
    return [*found, *earlier][:_MOST_GATES]


def _finding(verdict: Verdict) -> GateFinding:
    return GateFinding(
        gate=verdict.gate[:128],
        verdict=verdict.verdict,
        dry_run=verdict.dry_run,
        message=printable(verdict.message, _MESSAGE),
        stable=_value(verdict.stable),
        candidate=_value(verdict.candidate),
        stable_samples=_samples(verdict.stable),
        candidate_samples=_samples(verdict.candidate),
        low=verdict.interval.low if verdict.interval else None,
        high=verdict.interval.high if verdict.interval else None,
        limit=verdict.limit,
    )


def _earlier(record: GateRecord) -> GateFinding:
    past = record.history[-1]
    return GateFinding(
        gate=record.gate[:128], verdict=past.verdict, at=past.at[:64], stable=past.stable, candidate=past.candidate
    )


def _value(figures: PoolFigures | None) -> float | None:
    return None if figures is None else figures.value


def _samples(figures: PoolFigures | None) -> int | None:
    return None if figures is None else figures.calls
