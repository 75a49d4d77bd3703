"""Tells people and tools where a deployment stands: conditions, phase, message.

Called by core.rollout with what was decided. Invariant: everything here is derived; no decision reads it back, save
whether the rollout was held a pass ago.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal_operator.api.deployment import ClusteringDeploymentStatus, Revision
from shoal_operator.api.meta import Reason
from shoal_operator.core.conditions import Finding, Problem
from shoal_operator.core.decision import Decision
from shoal_operator.core.diagnosis import diagnose_pod
from shoal_operator.core.facts import timestamp
from shoal_operator.core.hooks import describe_failure
from shoal_operator.core.plan import Emit
from shoal_operator.core.progress import Progress
from shoal_operator.core.routing import Arrangement, live_pods, ready_pods
from shoal_operator.core.snapshot import DeploymentSnapshot
from shoal_operator.core.steps import NOTHING, describe_share

_WAITS = (Reason.WAITING_FOR_PODS, Reason.WAITING_FOR_ROUTE, Reason.ROLLING_OUT)
_HELD = (Reason.PAUSED_BY_USER, Reason.PAUSED_BY_FAILURE, Reason.WAITING_FOR_PODS)
_TOLD_ALREADY = (Reason.ROLLED_BACK, Reason.PAUSED_BY_FAILURE)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a summary is made from."""

    snapshot: DeploymentSnapshot
    replicas: int
    decision: Decision
    arrangement: Arrangement | None
    wanted: Revision | Problem
    pending: Problem | None = None
    """Which newer version waits for approval; reason Idle for none, None where nothing ever waits."""
    group: Problem | None = None
    """What is wrong with spec.group."""


def find(standing: Standing) -> tuple[Finding, ...]:
    """Return the conditions, before times."""
    degraded = _degraded(standing)
    pause = standing.decision.pause
    waiting = standing.pending
    held_back = (Finding("Pending", waiting.reason != Reason.IDLE, waiting.reason, waiting.message),) if waiting else ()
    return (
        _ready(standing, degraded),
        _progressing(standing),
        degraded or Finding("Degraded", False, Reason.IDLE),
        Finding("Paused", True, pause.reason, pause.message) if pause else Finding("Paused", False, Reason.IDLE),
        *held_back,
    )


def summarise(findings: tuple[Finding, ...]) -> tuple[str, str]:
    """Return the phase and the message: what matters most of the conditions."""
    ready, progressing, degraded, paused, *pending = findings
    if degraded.holds:
        return "Degraded", degraded.message
    if paused.holds:
        return "Paused", paused.message
    if not ready.holds:
        return "Pending", progressing.message if progressing.holds else ready.message
    if progressing.holds:
        return "Progressing", progressing.message
    waiting = [item.message for item in pending if item.holds]
    return "Healthy", " ".join([ready.message, *waiting])


def was_held(status: ClusteringDeploymentStatus) -> bool:
    """Tell whether a person or a failure held the rollout when the status was written."""
    return any(item.type == "Paused" and item.status == "True" and item.reason in _HELD for item in status.conditions)


def was_ready(status: ClusteringDeploymentStatus) -> bool:
    """Tell whether the candidate's pods were ready when the status was written."""
    return any(item.gate == "readiness" and item.verdict == "pass" for item in status.verdicts)


def build_events(findings: tuple[Finding, ...], status: ClusteringDeploymentStatus) -> tuple[Emit, ...]:
    """Return the events of conditions that hold now and did not, or held for another reason."""
    told = {(item.type, item.reason) for item in status.conditions if item.status == "True"}
    return tuple(
        Emit("Warning" if item.type == "Degraded" else "Normal", item.reason, item.message)
        for item in findings
        if item.holds
        and item.type in ("Degraded", "Paused", "Pending")
        and item.reason not in _TOLD_ALREADY
        and (item.type, item.reason) not in told
    )


def _ready(standing: Standing, degraded: Finding | None) -> Finding:
    progress = standing.decision.progress
    arrangement = standing.arrangement
    if progress.stable is None:
        waiting = standing.decision.waiting
        if waiting is not None:
            return Finding("Ready", False, waiting.reason, waiting.message)
        if isinstance(standing.wanted, Problem):
            return Finding("Ready", False, standing.wanted.reason, _sentence(standing.wanted.message))
        return Finding("Ready", False, Reason.NOT_AVAILABLE, "Nothing serves yet.")
    if arrangement is not None and arrangement.problem is not None:
        return Finding("Ready", False, arrangement.problem.reason, _sentence(arrangement.problem.message))
    ready = len(ready_pods(standing.snapshot, progress.stable))
    version = progress.stable.version
    if standing.replicas == 0:
        return Finding("Ready", True, Reason.AVAILABLE, f"Version {version} is scaled to 0 pods.")
    if not _serves(standing):
        told = degraded.message if degraded else ""
        return Finding("Ready", False, Reason.NOT_AVAILABLE, told or f"No pod of version {version} is ready.")
    failed = [
        describe_failure(item) for item in progress.hooks if item.state == "Failed" and item.at.startswith("After")
    ]
    told = f"Version {version} serves; {ready} of {standing.replicas} pods are ready."
    return Finding("Ready", True, Reason.AVAILABLE, " ".join([told, *failed]))


def _progressing(standing: Standing) -> Finding:
    decision = standing.decision
    candidate, stable = decision.progress.candidate, decision.progress.stable
    if decision.pause is not None:
        return Finding("Progressing", False, decision.pause.reason, decision.pause.message)
    if candidate is not None:
        beside = _beside(decision.progress)
        if decision.waiting is not None:
            reason = decision.waiting.reason if decision.waiting.reason in _WAITS else Reason.ROLLING_OUT
            return Finding("Progressing", True, reason, _sentence(decision.waiting.message) + beside)
        return Finding("Progressing", True, Reason.ROLLING_OUT, _place(decision, candidate) + beside)
    if stable is not None:
        ready = len(ready_pods(standing.snapshot, stable))
        if ready < standing.replicas:
            message = f"Version {stable.version}: {ready} of {standing.replicas} pods are ready."
            return Finding("Progressing", True, Reason.WAITING_FOR_PODS, message)
    return Finding("Progressing", False, Reason.IDLE)


def _place(decision: Decision, candidate: Revision) -> str:
    """Tell where a candidate that nothing holds up stands, and until when."""
    weight, step, count = decision.progress.weight, decision.progress.step, decision.progress.step_count
    place = "the promotion" if step is None or count is None or step >= count else f"step {step + 1} of {count}"
    until = "" if decision.holds_until is None else f" until {timestamp(decision.holds_until)}"
    share = decision.progress.share
    if share == NOTHING and until and not decision.shadow:
        told = f"Version {candidate.version} is ready and gets no calls, to be looked at{until} ({place})"
        return f"{told}; shoal.dev/promote goes on at once."
    if weight == 100 and until:
        return f"Version {candidate.version} gets all calls and is judged{until}, before it becomes stable ({place})."
    told = "is in shadow" if decision.shadow else f"gets {describe_share(share)}"
    return f"Version {candidate.version} {told}, at {place}{until}."


def _beside(progress: Progress) -> str:
    """Tell what else there is to know of a candidate: that it is gone back to, or that it took another's place."""
    if progress.rollback is not None:
        left = progress.stable.version if progress.stable else "none"
        how = "without steps" if progress.rollback.at_once else "by the strategy's steps"
        return f" The deployment goes back from version {left}, {how}; shoal.dev/abort ends that."
    known = {item.revision for item in (*progress.previous, *progress.blocked)}
    replaced = [item.version for item in progress.retiring if item.revision not in known]
    if not replaced or progress.stable is None:
        return ""
    return f" It replaced version {replaced[-1]}, which was on trial beside the same version {progress.stable.version}."


def _degraded(standing: Standing) -> Finding | None:
    decision = standing.decision
    progress = decision.progress
    if isinstance(standing.wanted, Problem):
        # A first version that is still being trained is no failure.
        if standing.wanted.reason != Reason.VERSION_NOT_READY or progress.stable is not None:
            return Finding("Degraded", True, standing.wanted.reason, _sentence(standing.wanted.message))
        return None
    blocked = progress.blocking(standing.wanted)
    if blocked is not None and progress.stable is not None and progress.stable.revision != standing.wanted.revision:
        there = " on that deployment" if blocked.reason == Reason.GROUP_FAILED else ""
        message = (
            f"Version {blocked.version} was rolled back ({blocked.reason}): {_sentence(blocked.message)} Version "
            f"{progress.stable.version} serves. To try again set the annotation shoal.dev/retry{there}, or ask for "
            "another version."
        )
        return Finding("Degraded", True, Reason.ROLLED_BACK, message)
    if progress.failure_paused is not None and decision.pause is not None:
        return Finding("Degraded", True, decision.pause.reason, decision.pause.message)
    if decision.waiting is not None and decision.waiting.reason not in _WAITS:
        return Finding("Degraded", True, decision.waiting.reason, _sentence(decision.waiting.message))
    if standing.arrangement is not None and standing.arrangement.problem is not None:
        problem = standing.arrangement.problem
        return Finding("Degraded", True, problem.reason, _sentence(problem.message))
    for pod in live_pods(standing.snapshot, progress.stable):
        diagnosis = None if pod.ready else diagnose_pod(pod.status)
        if diagnosis is not None:
            return Finding("Degraded", True, diagnosis.reason, f"Pod {pod.name}: {diagnosis.message}")
    if progress.stable is not None and standing.replicas > 0 and not _serves(standing):
        message = f"No pod of version {progress.stable.version} is ready."
        return Finding("Degraded", True, Reason.NOT_AVAILABLE, message)
    if standing.group is not None:
        return Finding("Degraded", True, standing.group.reason, _sentence(standing.group.message))
    return None


def _serves(standing: Standing) -> bool:
    """Tell whether there is a ready pod that may get calls."""
    progress, arrangement = standing.decision.progress, standing.arrangement
    if ready_pods(standing.snapshot, progress.stable):
        return True
    tried = arrangement is not None and arrangement.actual_weight > 0
    return tried and bool(ready_pods(standing.snapshot, progress.candidate))


def _sentence(text: str) -> str:
    """Begin a message that may begin with a field's path as it is, any other with a capital; end it with a full stop.

    >>> _sentence("no node takes the pod"), _sentence("spec.modelRef.name: no such model.")
    ('No node takes the pod.', 'spec.modelRef.name: no such model.')
    """
    begun = text if text.startswith("spec.") else text[:1].upper() + text[1:]
    return begun.rstrip(".") + "."
