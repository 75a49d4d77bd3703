"""Walks a schedule: reaches each step's share of the calls, holds it, goes on, and promotes after the last.

Called by core.transitions for a candidate that nothing holds or condemns. Invariant: a weight is asked for only when
the pods for it are ready, and a step's time begins only when the router has its weight.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from shoal_operator.api.deployment import Revision, Verdict
from shoal_operator.api.meta import Reason
from shoal_operator.core.conditions import Problem
from shoal_operator.core.decision import Decision, Facts
from shoal_operator.core.gates.agreement import remember_promotion
from shoal_operator.core.holds import hold_full_weight, hold_promotion, hold_rollout
from shoal_operator.core.judgement import consequence
from shoal_operator.core.plan import Emit
from shoal_operator.core.progress import Progress
from shoal_operator.core.routing import ready_pods
from shoal_operator.core.steps import NOTHING, PROMOTION, Step, describe_share


def advance(facts: Facts, decision: Decision, candidate: Revision, stable: Revision, now: datetime) -> Decision:
    """Walk the steps until one is not complete."""
    decision = hold_rollout(facts, decision, candidate, stable, now)
    if decision.stopped:
        return decision
    progress = decision.progress
    steps = facts.schedule.steps
    while progress.step is not None and progress.step < len(steps):
        step = steps[progress.step]
        if step.weight >= 100:
            decision = hold_full_weight(facts, replace(decision, progress=progress), candidate, stable, now)
            if decision.stopped:
                return decision
            progress = decision.progress
        waiting, progress = _reach(facts, progress, candidate, stable, step)
        if waiting is not None:
            return replace(decision, progress=progress, waiting=waiting)
        begins = progress.step_started_at is None or (step.judged and progress.window_started_at is None)
        if begins:
            window = now if step.judged or step.compared or step.shadow else None
            progress = replace(progress, step_started_at=now, window_started_at=window, progressed_at=now)
            # Figures in hand are of the window before: the new step is judged by its own only.
            decision = replace(
                decision, verdicts=decision.verdicts[:1], events=(*decision.events, *_tell(facts, progress))
            )
        decision = replace(decision, progress=progress)
        if begins and step.patience_seconds is not None:
            # No gate has seen a call of this step yet.
            return replace(decision, look_again=(_next_look(facts, now),))
        pause = _hold(facts, decision, step, now)
        if pause is not None:
            return pause
        progress = progress.enter((progress.step or 0) + 1, now)
    decision = hold_promotion(facts, replace(decision, progress=progress), candidate, stable, now)
    if decision.stopped or decision.waiting is not None:
        return decision
    waiting, progress = _reach(facts, decision.progress, candidate, stable, PROMOTION)
    if waiting is not None:
        return replace(decision, progress=progress, waiting=waiting)
    if not facts.records(candidate):
        message = "Recording the new stable version."
        return replace(decision, progress=progress, recording=candidate, waiting=Problem(Reason.ROLLING_OUT, message))
    rollback = progress.rollback
    progress = remember_promotion(progress, stable, candidate).promote(facts.schedule.scale_down_delay_seconds, now)
    told = Emit("Normal", Reason.PROMOTED, f"Version {candidate.version} is promoted; it replaces {stable.version}.")
    if rollback is not None:
        message = f"Version {candidate.version} serves again instead of version {stable.version}."
        told = Emit("Normal", Reason.ROLLED_BACK, message)
    if rollback is not None and rollback.by == "Command":
        why = Problem(Reason.ROLLED_BACK, f"the rollback command led back to version {candidate.version}")
        progress = progress.block(stable, why, now)
    return replace(decision, progress=progress, events=(*decision.events, told), verdicts=())


def _tell(facts: Facts, progress: Progress) -> tuple[Emit, ...]:
    """Return the event of a share that is reached; a pause at the same share is no news."""
    place, step = progress.step or 0, facts.schedule.step_at(progress.step)
    if progress.candidate is not None and step.shadow:
        number = f"step {place + 1} of {len(facts.schedule.steps)}"
        message = f"Version {progress.candidate.version} is in shadow ({number}): no call reaches it."
        return (Emit("Normal", Reason.ROLLING_OUT, message),)
    before = facts.schedule.step_at(place - 1).share if place else NOTHING
    if progress.candidate is None or step.share == before:
        return ()
    number = f"step {place + 1} of {len(facts.schedule.steps)}"
    message = f"Version {progress.candidate.version} gets {describe_share(step.share)} ({number})."
    return (Emit("Normal", Reason.ROLLING_OUT, message),)


def _reach(
    facts: Facts, progress: Progress, candidate: Revision, stable: Revision, step: Step
) -> tuple[Problem | None, Progress]:
    """Bring the candidate's share of the calls to a step's; return what it still waits for."""
    progress, told = progress.lowered_to(step), describe_share(step.share)
    needed = facts.needed(step)
    ready = len(ready_pods(facts.snapshot, candidate))
    if ready < needed:
        message = f"Version {candidate.version}: {ready} of the {needed} pods for {told} are ready."
        return Problem(Reason.WAITING_FOR_PODS, message), progress
    progress = progress.raised_to(step)
    arrangement = facts.arrange(stable, candidate, *step.share)
    if arrangement.settled:
        return None, progress
    if arrangement.problem is not None:
        return arrangement.problem, progress
    message = f"Version {candidate.version}: the router is being told to give it {told}."
    return Problem(Reason.WAITING_FOR_ROUTE, message), progress


def _hold(facts: Facts, decision: Decision, step: Step, now: datetime) -> Decision | None:
    """Return the decision to stay in a step whose share is reached; None to leave it."""
    progress = decision.progress
    decision = replace(decision, shadow=step.shadow)
    place = "In shadow" if step.shadow else f"At {describe_share(step.share)}"
    place = f"{place} (step {(progress.step or 0) + 1} of {len(facts.schedule.steps)})"
    look = _next_look(facts, now)
    if step.hold_seconds is None:
        tried = step.share != NOTHING
        reason = Reason.PAUSED_BY_STEP if tried else Reason.AWAITING_PROMOTION
        message = f"{place} until the annotation shoal.dev/promote is set."
        return replace(decision, pause=Problem(reason, message), look_again=(look,) if tried else ())
    began = progress.step_started_at or now
    over = began + timedelta(seconds=step.hold_seconds)
    if now < over:
        return replace(decision, holds_until=over, look_again=(min(over, look) if step.judged else over,))
    if not step.judged:
        return None
    found = [(consequence(facts, progress, item), item) for item in decision.verdicts]
    holding = [item for what, item in found if what == "hold"]
    lacking = [item for what, item in found if what == "wait" or _fails_for_now(step, item)]
    told = "; ".join(f"{item.gate}: {item.message.rstrip('.')}" for item in holding or lacking)
    if holding:
        message = f"{place}, beyond a gate's limit: {told}. Mend it, or set shoal.dev/promote."
        reason = Reason.GATE_ERROR if holding[0].verdict == "error" else Reason.GATE_INCONCLUSIVE
        return replace(decision, pause=Problem(reason, message), look_again=(look,))
    patience = began + timedelta(seconds=step.patience_seconds or 0)
    if lacking and now < patience:
        return replace(decision, look_again=(min(patience, look),))
    if lacking and facts.spec.analysis.on_inconclusive == "Hold":
        message = f"{place}, no verdict yet: {told}. Send calls, or set shoal.dev/promote."
        return replace(decision, pause=Problem(Reason.GATE_INCONCLUSIVE, message), look_again=(look,))
    return None


def _fails_for_now(step: Step, verdict: Verdict) -> bool:
    """Tell whether an analysis step must stay for a look that failed, although failureLimit tolerates it."""
    return step.patience_seconds is not None and verdict.verdict == "fail" and not verdict.dry_run


def _next_look(facts: Facts, now: datetime) -> datetime:
    return now + timedelta(seconds=facts.spec.analysis.interval_seconds)
