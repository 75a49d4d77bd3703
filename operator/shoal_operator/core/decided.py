"""Finds what one pass decided, from what was remembered before it and what is remembered after it.

Called by core.records. Invariant: a decision is seen by its effect on what is remembered, whoever made it and wherever;
a pass that changes nothing decided nothing.

    before -> after                                     decided
    candidate none or another -> candidate              Started
    candidate -> stable                                 Promoted
    candidate -> blocked, by a gate or the deadline     RolledBack
    candidate -> blocked, by the abort command          Aborted
    candidate -> none or another, not blocked           Withdrawn
    weight -> another weight, same candidate            WeightSet
    runs -> a step or a gate holds it                   Held, once for a step
    runs -> held by command or spec, and back           Paused, Resumed
    runs -> held by a failure                           FailurePaused
    command promote, retry or approve takes effect      Advanced, Retried, Approved
    stable known by the durable record alone            Restored
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from shoal_operator.api.decision import DecisionActor, DecisionKind
from shoal_operator.api.deployment import ClusteringDeploymentSpec, ClusteringDeploymentStatus, Revision
from shoal_operator.api.meta import Reason
from shoal_operator.core.actors import author, commander
from shoal_operator.core.commands import Commands
from shoal_operator.core.conditions import Problem
from shoal_operator.core.decision import Decision
from shoal_operator.core.facts import printable
from shoal_operator.core.gates import READINESS
from shoal_operator.core.progress import Progress
from shoal_operator.core.snapshot import RawObject

_LONGEST_REASON = 64
_SCHEDULE = DecisionActor(kind="Schedule")
_GATE_REASONS = (Reason.GATE_FAILED, Reason.GATE_INCONCLUSIVE, Reason.GATE_ERROR)


@dataclass(frozen=True, slots=True)
class Moment:
    """One pass: what was remembered before it, what it decided, and what it looked at."""

    deployment: RawObject
    spec: ClusteringDeploymentSpec
    status: ClusteringDeploymentStatus
    """As it was before the pass."""
    before: Progress
    decision: Decision
    wanted: Revision | Problem
    commands: Commands
    now: datetime

    @property
    def after(self) -> Progress:
        """What is remembered after the pass."""
        return self.decision.progress

    @property
    def same_trial(self) -> bool:
        """Whether the candidate of before is still on trial."""
        old, new = self.before.candidate, self.after.candidate
        return old is not None and new is not None and old.revision == new.revision


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision, before it is numbered and its figures are added."""

    decision: DecisionKind
    reason: str
    message: str
    actor: DecisionActor
    candidate: Revision | None = None
    weight: tuple[int, int] = (0, 0)
    """What the candidate was to get before and is to get after."""
    of: Progress | None = None
    """The progress whose step, window and gates it is about."""


def find_decisions(moment: Moment) -> tuple[Decided, ...]:
    """Return what the pass decided, in the order in which it did."""
    return (*_restored(moment), *_commanded(moment), *_ended(moment), *_begun(moment), *_moved(moment), *_held(moment))


def _restored(moment: Moment) -> Iterator[Decided]:
    """Yield that stable is known by its durable record alone, status having lost it or never heard of it."""
    stable = moment.before.stable
    if stable is not None and moment.status.stable is None:
        message = f"Version {stable.version} serves by its durable record; status did not know of it."
        actor = DecisionActor(kind="Record")
        weight = (moment.before.weight, moment.before.weight)
        yield Decided("Restored", Reason.AVAILABLE, message, actor, stable, weight, moment.before)


def _commanded(moment: Moment) -> Iterator[Decided]:
    """Yield what commands did that end no trial; beside abort the others have no effect."""
    before, after, commands = moment.before, moment.after, moment.commands
    if "abort" in commands:
        return
    weight = (before.weight, before.weight)

    def told(decision: DecisionKind, command: str, message: str, candidate: Revision | None) -> Decided:
        reason = {"Paused": Reason.PAUSED_BY_USER, "Approved": Reason.APPROVED}.get(decision, Reason.COMMANDED)
        actor = commander(moment.deployment, command)
        return Decided(decision, reason, message, actor, candidate, weight, before)

    if "approve" in commands and after.approved not in (None, before.approved):
        yield told("Approved", "approve", f"Version {after.approved} may be rolled out.", before.candidate)
    if "retry" in commands and before.blocked:
        versions = ", ".join(str(item.version) for item in before.blocked)
        message = f"What was rolled back may be tried again: version {versions}."
        yield told("Retried", "retry", message, before.blocked[-1])
    if before.user_paused is not after.user_paused:
        if after.user_paused:
            yield told("Paused", "pause", "The rollout is held where it is.", before.candidate)
        elif "resume" in commands:
            yield told("Resumed", "resume", "The rollout goes on.", before.candidate)
    if before.candidate is not None and before.stable is not None:
        for command, effect in (("promote-full", "Skips the steps after"), ("promote", "Ends")):
            if command in commands:
                yield told("Advanced", command, f"{effect} {_place(before)}.", before.candidate)
                break


def _ended(moment: Moment) -> Iterator[Decided]:
    """Yield how the trial of before ended."""
    before, after, candidate = moment.before, moment.after, moment.before.candidate
    stable = after.stable
    if candidate is None or moment.same_trial:
        if stable is not None and before.stable is not None and stable.revision != before.stable.revision:
            yield _replaced(moment, before.stable, stable)
        return
    if stable is not None and stable.revision == candidate.revision:
        told = f"it replaces version {before.stable.version}" if before.stable else "nothing served before"
        message = f"Version {candidate.version} serves; {told}."
        actor = _judges(moment)
        yield Decided("Promoted", Reason.PROMOTED, message, actor, candidate, (before.weight, 100), before)
        return
    entry = next((item for item in after.blocked if item.revision == candidate.revision), None)
    weight = (before.weight, 0)
    if entry is not None and entry not in before.blocked:
        message = f"Version {candidate.version} is rolled back and blocked: {entry.message}"
        if entry.reason == Reason.ABORTED:
            actor = commander(moment.deployment, "abort")
            yield Decided("Aborted", entry.reason, message, actor, candidate, weight, before)
            return
        yield Decided("RolledBack", entry.reason, message, _failed(moment, entry.reason), candidate, weight, before)
        return
    why = moment.wanted.message if isinstance(moment.wanted, Problem) else f"version {moment.wanted.version} is wanted."
    reason = moment.wanted.reason if isinstance(moment.wanted, Problem) else Reason.SPEC_CHANGED
    message = f"Version {candidate.version} is taken back without a verdict: {why}"
    yield Decided("Withdrawn", reason, message, author(moment.deployment, "modelRef"), candidate, weight, before)


def _replaced(moment: Moment, old: Revision, new: Revision) -> Decided:
    """Return how stable changed without a trial: what stood by takes over at once."""
    message = f"Version {new.version} serves again at once; it replaces version {old.version}."
    actor = _commander_of(moment, "rollback") or author(moment.deployment, "modelRef", "version")
    return Decided("RolledBack", Reason.ROLLED_BACK, message, actor, new, (0, 100), moment.before)


def _begun(moment: Moment) -> Iterator[Decided]:
    """Yield the start of a trial."""
    before, candidate, stable = moment.before, moment.after.candidate, moment.after.stable
    if candidate is None or moment.same_trial:
        return
    beside = f"is on trial beside version {stable.version}" if stable else "is deployed; nothing serves yet"
    message = f"Version {candidate.version} ({candidate.revision}) {beside}."
    blocked = any(item.revision == candidate.revision for item in before.blocked)
    actor = (
        _commander_of(moment, "rollback")
        or (_commander_of(moment, "retry") if blocked else None)
        or _commander_of(moment, "approve")
        or _cause(moment, candidate, stable)
    )
    yield Decided("Started", Reason.ROLLING_OUT, message, actor, candidate, (0, 0), moment.after)


def _moved(moment: Moment) -> Iterator[Decided]:
    """Yield the change of the candidate's weight."""
    before, after, candidate = moment.before, moment.after, moment.after.candidate
    weight = before.weight if moment.same_trial else 0
    if candidate is None or after.weight == weight:
        return
    message = f"Version {candidate.version} is to get {after.weight} % instead of {weight} %, at {_place(after)}."
    actor = _commander_of(moment, "promote-full") or _commander_of(moment, "promote") or _judges(moment)
    yield Decided("WeightSet", Reason.ROLLING_OUT, message, actor, candidate, (weight, after.weight), after)


def _held(moment: Moment) -> Iterator[Decided]:
    """Yield why nothing rises from here on; what holds a step is told once, however often it changes its mind."""
    before, after, pause, candidate = moment.before, moment.after, moment.decision.pause, moment.after.candidate
    was_by_spec = moment.same_trial and _paused_by_user(moment.status) and not before.user_paused
    weight = (after.weight, after.weight)
    if was_by_spec and not moment.spec.paused and not after.user_paused:
        actor = author(moment.deployment, "paused")
        yield Decided("Resumed", Reason.SPEC_CHANGED, "spec.paused is false.", actor, candidate, weight, after)
    if candidate is None or pause is None:
        return
    if pause.reason == Reason.PAUSED_BY_FAILURE:
        if before.failure_paused is None or not moment.same_trial:
            reason, _, why = (after.failure_paused or "").partition(": ")
            reason = printable(reason, _LONGEST_REASON)
            message = f"The rollout is paused: {why}"
            yield Decided("FailurePaused", reason, message, _failed(moment, reason), candidate, weight, after)
    elif pause.reason == Reason.PAUSED_BY_USER:
        if moment.spec.paused and not after.user_paused and not was_by_spec:
            actor = author(moment.deployment, "paused")
            yield Decided("Paused", pause.reason, "spec.paused is true.", actor, candidate, weight, after)
    else:
        last = moment.status.last_decision
        if last is None or (last.decision, last.step) != ("Held", after.step):
            actor = _judges(moment) if pause.reason in _GATE_REASONS else _SCHEDULE
            yield Decided("Held", pause.reason, pause.message, actor, candidate, weight, after)


def _paused_by_user(status: ClusteringDeploymentStatus) -> bool:
    found = (item for item in status.conditions if item.type == "Paused" and item.status == "True")
    return any(item.reason == Reason.PAUSED_BY_USER for item in found)


def _commander_of(moment: Moment, command: str) -> DecisionActor | None:
    given = command in moment.commands and "abort" not in moment.commands
    return commander(moment.deployment, command) if given else None


def _cause(moment: Moment, candidate: Revision, stable: Revision | None) -> DecisionActor:
    """Return what asked for a new revision: the model's newest version, or a change of the spec."""
    if stable is None:
        return author(moment.deployment, "modelRef")
    if candidate.version == stable.version:
        return author(moment.deployment, "worker")
    if moment.spec.model_ref.version == "latest":
        return DecisionActor(kind="Version")
    return author(moment.deployment, "modelRef", "version")


def _judges(moment: Moment) -> DecisionActor:
    """Return the gates where any judged the candidate beside its readiness, else the schedule."""
    return DecisionActor(kind="Gates") if any(item.gate != READINESS for item in moment.decision.judged) else _SCHEDULE


def _failed(moment: Moment, reason: str) -> DecisionActor:
    if reason == Reason.PROGRESS_DEADLINE_EXCEEDED:
        return DecisionActor(kind="Deadline")
    failed = next((item.gate for item in moment.decision.judged if item.verdict == "fail" and not item.dry_run), "")
    return DecisionActor(kind="Gates", gate=failed[:128])


def _place(progress: Progress) -> str:
    step, count = progress.step, progress.step_count
    return "the promotion" if step is None or count is None or step >= count else f"step {step + 1} of {count}"
