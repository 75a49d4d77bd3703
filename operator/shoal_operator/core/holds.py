"""Holds a rollout before its first step and before its promotion: for its group, and for hooks.

Called by core.stepping around the walk of the steps. Invariants: a hold moves no weight; nothing holds a rollout that
has gone past it, for how far it is stands in its stage; and each hold says whom it waits for and how to go on without.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from shoal_operator.api.deployment import Revision
from shoal_operator.api.hook import HookAt
from shoal_operator.api.meta import Reason
from shoal_operator.core.conditions import Problem
from shoal_operator.core.decision import Decision, Facts
from shoal_operator.core.group import describe_predecessors, find_problem, find_union
from shoal_operator.core.hooks import begin_hooks, describe_failure, records_of
from shoal_operator.core.plan import Emit
from shoal_operator.core.progress import Progress, Stage
from shoal_operator.core.routing import ready_pods
from shoal_operator.core.steps import PROMOTION

_LOOK_SECONDS = 10.0
_RECORDING_SECONDS = 0.1


def hold_rollout(facts: Facts, decision: Decision, candidate: Revision, stable: Revision, now: datetime) -> Decision:
    """Hold a rollout that has not begun; a decision without pause and failure lets it go on."""
    progress = decision.progress
    if progress.begun:
        return decision
    if stable.version != candidate.version:
        if (problem := find_problem(facts.spec, facts.snapshot)) is not None:
            return _wait(decision, problem, now)
        lacking = describe_predecessors(facts.spec, facts.snapshot, candidate.version)
        if lacking:
            message = (
                f"Version {candidate.version} begins once the others of spec.group.promoteAfter serve it: {lacking}. "
                "Set shoal.dev/promote to begin at once."
            )
            return _wait(decision, Problem(Reason.AWAITING_GROUP, message), now)
    decision = _await_hooks(facts, decision, "BeforeRollout", candidate, stable, now)
    if decision.stopped:
        return decision
    return replace(decision, progress=replace(decision.progress, stage="Walking", progressed_at=now))


def hold_full_weight(
    facts: Facts, decision: Decision, candidate: Revision, stable: Revision, now: datetime
) -> Decision:
    """Hold a candidate that is about to get all of the traffic; a decision without pause and failure lets it."""
    if decision.progress.stage in ("Decided", "Alone"):
        return decision
    return _await_hooks(facts, decision, "BeforePromotion", candidate, stable, now)


def hold_promotion(facts: Facts, decision: Decision, candidate: Revision, stable: Revision, now: datetime) -> Decision:
    """Hold a rollout that has passed its last step; a decision without pause and failure lets it be promoted."""
    if decision.progress.stage in ("Decided", "Alone"):
        return decision
    decision = hold_full_weight(facts, decision, candidate, stable, now)
    if decision.stopped:
        return decision
    union = find_union(facts.spec, facts.snapshot, stable, candidate)
    if union is None or not union.members:
        return decision
    if decision.progress.stage != "Passed":
        # A promotion that is decided must not lack pods: the vote is given once they are there.
        needed, ready = facts.needed(PROMOTION), len(ready_pods(facts.snapshot, candidate))
        if ready >= needed:
            return _remember(decision, "Passed", now)
        message = f"Version {candidate.version}: {ready} of the {needed} pods for 100 % are ready."
        return replace(decision, waiting=Problem(Reason.WAITING_FOR_PODS, message))
    if union.decided or not union.lacking:
        # Remembered before anything moves, so that a pass that is cut off cannot leave half a group promoted.
        told = Emit("Normal", Reason.ROLLING_OUT, f"The group's promotion of version {candidate.version} is decided.")
        return _remember(replace(decision, events=(*decision.events, told)), "Decided", now)
    message = (
        f"Version {candidate.version} has passed its last step and waits for its group: {union.lacking}. Set "
        "shoal.dev/promote to promote this one alone."
    )
    return _wait(decision, Problem(Reason.AWAITING_GROUP, message), now)


def is_bound(facts: Facts, progress: Progress) -> str:
    """Return the member for whose sake this rollout cannot go back any more: it was promoted; empty where it can.

    Only who has passed its last step in this rollout can be bound: without its vote nothing was decided.
    """
    if progress.stable is None or progress.candidate is None or progress.stage not in ("Passed", "Decided"):
        return ""
    union = find_union(facts.spec, facts.snapshot, progress.stable, progress.candidate)
    return union.promoted if union is not None else ""


def _await_hooks(
    facts: Facts, decision: Decision, point: HookAt, candidate: Revision, stable: Revision, now: datetime
) -> Decision:
    progress = begin_hooks(facts.spec.hooks, point, decision.progress, candidate, stable, now)
    decision = replace(decision, progress=progress)
    wanted = {hook.name for hook in facts.spec.hooks if hook.at == point}
    records = [item for item in records_of(progress, point, candidate) if item.name in wanted]
    failed = next((item for item in records if item.state == "Failed"), None)
    if failed is not None:
        return replace(decision, failure=Problem(Reason.HOOK_FAILED, describe_failure(failed)))
    running = [item for item in records if item.state == "Running"]
    if not running:
        return decision
    told = "; ".join(f"{item.name}: {item.message.rstrip('.') or 'it is being begun'}" for item in running)
    message = f"Version {candidate.version} waits for its hooks ({point}): {told}. Set shoal.dev/promote to go on."
    return _wait(decision, Problem(Reason.AWAITING_HOOK, message), now)


def _remember(decision: Decision, stage: Stage, now: datetime) -> Decision:
    """Note the stage, and go on in the next pass."""
    progress = replace(decision.progress, stage=stage, progressed_at=now)
    waiting = Problem(Reason.ROLLING_OUT, "Recording how far the rollout is.")
    soon = now + timedelta(seconds=_RECORDING_SECONDS)
    return replace(decision, progress=progress, waiting=waiting, look_again=(*decision.look_again, soon))


def _wait(decision: Decision, why: Problem, now: datetime) -> Decision:
    look = now + timedelta(seconds=_LOOK_SECONDS)
    return replace(decision, pause=why, look_again=(*decision.look_again, look))
