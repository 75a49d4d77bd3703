"""Walks a schedule: reaches each step's weight, holds it, goes on, and promotes after the last.

Called by core.transitions for a candidate that nothing holds or condemns. Invariant: a weight is asked for only when
the pods for it are ready, and a step's time begins only when the router has its weight.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from shoal_operator.api.deployment import Revision
from shoal_operator.api.meta import Reason
from shoal_operator.core.conditions import Problem
from shoal_operator.core.decision import Decision, Facts
from shoal_operator.core.holds import hold_full_weight, hold_promotion, hold_rollout
from shoal_operator.core.judgement import consequence
from shoal_operator.core.plan import Emit
from shoal_operator.core.progress import Progress, retire
from shoal_operator.core.routing import ready_pods
from shoal_operator.core.steps import Step


def advance(facts: Facts, decision: Decision, candidate: Revision, stable: Revision, now: datetime) -> Decision:
    """Walk the steps until one is not complete."""
    decision = hold_rollout(facts, decision, candidate, stable, now)
    if decision.pause is not None or decision.failure is not None:
        return decision
    progress = decision.progress
    steps = facts.schedule.steps
    while progress.step is not None and progress.step < len(steps):
        step = steps[progress.step]
        if step.weight >= 100:
            decision = hold_full_weight(facts, replace(decision, progress=progress), candidate, stable, now)
            if decision.pause is not None or decision.failure is not None:
                return decision
            progress = decision.progress
        waiting, progress = _reach(facts, progress, candidate, stable, step.weight)
        if waiting is not None:
            return replace(decision, progress=progress, waiting=waiting)
        if progress.step_started_at is None or (step.judged and progress.window_started_at is None):
            window = now if 0 < step.weight < 100 else None
            progress = replace(progress, step_started_at=now, window_started_at=window, progressed_at=now)
            # Figures in hand are of the window before: the new step is judged by its own only.
            decision = replace(
                decision, verdicts=decision.verdicts[:1], events=(*decision.events, *_tell(facts, progress))
            )
        decision = replace(decision, progress=progress)
        pause = _hold(facts, decision, step, now)
        if pause is not None:
            return pause
        progress = progress.enter((progress.step or 0) + 1, now)
    decision = hold_promotion(facts, replace(decision, progress=progress), candidate, stable, now)
    if decision.pause is not None or decision.failure is not None or decision.waiting is not None:
        return decision
    waiting, progress = _reach(facts, decision.progress, candidate, stable, 100)
    if waiting is not None:
        return replace(decision, progress=progress, waiting=waiting)
    if not facts.records(candidate):
        message = "Recording the new stable version."
        return replace(decision, progress=progress, recording=candidate, waiting=Problem(Reason.ROLLING_OUT, message))
    until = now + timedelta(seconds=facts.schedule.scale_down_delay_seconds)
    progress = replace(
        progress.without_candidate(), stable=candidate, retiring=(*progress.retiring, retire(stable, until))
    )
    told = Emit("Normal", Reason.PROMOTED, f"Version {candidate.version} is promoted; it replaces {stable.version}.")
    return replace(decision, progress=progress, events=(*decision.events, told), verdicts=())


def _tell(facts: Facts, progress: Progress) -> tuple[Emit, ...]:
    """Return the event of a weight that is reached; a pause at the same weight is no news."""
    steps, step = facts.schedule.steps, progress.step or 0
    before = steps[step - 1].weight if step else 0
    if progress.candidate is None or steps[step].weight == before:
        return ()
    message = f"Version {progress.candidate.version} gets {steps[step].weight} % (step {step + 1} of {len(steps)})."
    return (Emit("Normal", Reason.ROLLING_OUT, message),)


def _reach(
    facts: Facts, progress: Progress, candidate: Revision, stable: Revision, weight: int
) -> tuple[Problem | None, Progress]:
    """Bring the weight to a step's; return what it still waits for."""
    if weight < progress.weight:
        progress = replace(progress, weight=weight)
    needed = facts.needed(weight)
    ready = len(ready_pods(facts.snapshot, candidate))
    if ready < needed:
        message = f"Version {candidate.version}: {ready} of the {needed} pods for {weight} % are ready."
        return Problem(Reason.WAITING_FOR_PODS, message), progress
    progress = replace(progress, weight=weight)
    arrangement = facts.arrange(stable, candidate, weight)
    if arrangement.settled:
        return None, progress
    if arrangement.problem is not None:
        return arrangement.problem, progress
    message = f"Version {candidate.version}: the router is being told to give it {weight} %."
    return Problem(Reason.WAITING_FOR_ROUTE, message), progress


def _hold(facts: Facts, decision: Decision, step: Step, now: datetime) -> Decision | None:
    """Return the decision to stay in a step whose weight is reached; None to leave it."""
    progress = decision.progress
    number = f"step {(progress.step or 0) + 1} of {len(facts.schedule.steps)}"
    look = now + timedelta(seconds=facts.spec.analysis.interval_seconds)
    if step.hold_seconds is None:
        reason = Reason.PAUSED_BY_STEP if step.weight else Reason.AWAITING_PROMOTION
        message = f"At {step.weight} % ({number}) until the annotation shoal.dev/promote is set."
        return replace(decision, pause=Problem(reason, message), look_again=(look,) if step.weight else ())
    over = (progress.step_started_at or now) + timedelta(seconds=step.hold_seconds)
    if now < over:
        return replace(decision, look_again=(min(over, look) if step.judged else over,))
    if not step.judged:
        return None
    found = [(consequence(facts, progress, item), item) for item in decision.verdicts]
    holding = [item for what, item in found if what == "hold"]
    lacking = [item for what, item in found if what == "wait"]
    told = "; ".join(f"{item.gate}: {item.message.rstrip('.')}" for item in holding or lacking)
    if holding:
        message = f"At {step.weight} % ({number}), beyond a gate's limit: {told}. Mend it, or set shoal.dev/promote."
        reason = Reason.GATE_ERROR if holding[0].verdict == "error" else Reason.GATE_INCONCLUSIVE
        return replace(decision, pause=Problem(reason, message), look_again=(look,))
    if lacking and facts.spec.analysis.on_inconclusive == "Hold":
        message = f"At {step.weight} % ({number}), no verdict yet: {told}. Send calls, or set shoal.dev/promote."
        return replace(decision, pause=Problem(Reason.GATE_INCONCLUSIVE, message), look_again=(look,))
    return None
