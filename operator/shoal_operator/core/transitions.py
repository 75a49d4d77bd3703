"""The rollout's state machine: from what is remembered and what is observed to what is remembered next.

Called by core.rollout; what it may be asked for is in core.decision. Invariant: weight rises only while the candidate's
ready pods can bear it, falls at once, and stable changes by promotion only.

    remembered        observed                               next
    no stable         -                                      candidate := wanted, no steps
    no stable         all pods ready                         stable := candidate
    stable            wanted is stable                       no candidate (one on trial retires, weight 0)
    stable            wanted is blocked, or there is none    no candidate
    stable            wanted is new                          candidate := wanted, step 0, weight 0
    stable            wanted stands by or is in the window   candidate := wanted, at the promotion
    stable            rollback                               as if wanted were where it leads, until it is stable
    candidate         abort, or rollback of a trial          blocked (Aborted, RolledBack), retires, weight 0
    candidate         a gate fails, or the deadline passes   as onFailure says: blocked, or paused
    candidate         a member promoted with it rolled back  blocked (GroupFailed), unless one of them is promoted
    candidate         paused                                 stays
    candidate, step 0 others are to go first, hooks run      holds, without pods
    candidate, step i pods for its weight ready              weight := the step's
    candidate, step i router has the weight                  the step's time begins
    candidate, step i time over, gates pass                  step i + 1
    candidate, last   hooks run, its group has not passed    holds
    candidate, last   full pool ready                        weight := 100
    candidate, last   router has 100, durable record written stable := candidate, old stable retires
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from shoal_operator.api.deployment import Revision, Rollback
from shoal_operator.api.meta import Reason
from shoal_operator.core.commands import Commands
from shoal_operator.core.conditions import Problem
from shoal_operator.core.decision import Decision, Facts
from shoal_operator.core.gates import judge_readiness
from shoal_operator.core.group import find_union, forgive
from shoal_operator.core.holds import is_bound
from shoal_operator.core.hooks import leave_behind, skip_hooks
from shoal_operator.core.judgement import consequence, judge_candidate
from shoal_operator.core.plan import Emit
from shoal_operator.core.progress import Progress, retire
from shoal_operator.core.rollback import find_target, returns_at_once, tell_of_rollback
from shoal_operator.core.routing import live_pods
from shoal_operator.core.stepping import advance


def decide(facts: Facts, progress: Progress, wanted: Revision | Problem, commands: Commands, now: datetime) -> Decision:
    """Return the next state."""
    observed = progress
    progress, events = _obey(facts, forgive(facts.spec, facts.snapshot, progress), commands, now)
    progress, target, told = _turn_back(facts, progress, commands, now)
    progress, more = _aim(facts, progress, target or wanted, now, by="Command" if target else "Spec")
    decision = Decision(progress, (*events, *told, *more))
    if progress.candidate is None:
        return decision
    if progress.stable is None:
        return _first(facts, decision, progress.candidate, now)
    rolled = _roll(facts, decision, progress.candidate, progress.stable, now)
    begun = observed.candidate is not None and observed.candidate.revision == progress.candidate.revision
    if begun or rolled.progress.stable == progress.stable:
        return rolled
    # A pass that was cut off has moved the calls already. What begins in a pass ends in a later one, so that each
    # decision is remembered and told by itself.
    waiting = Problem(Reason.ROLLING_OUT, "Recording the new stable version.")
    return replace(decision, progress=replace(progress, weight=100), waiting=waiting, look_again=(now,))


def _obey(facts: Facts, progress: Progress, commands: Commands, now: datetime) -> tuple[Progress, tuple[Emit, ...]]:
    """Give the new commands their effect; abort always wins: beside it the others have none."""
    progress = replace(progress, handled_commands=commands.handled)
    trial = progress.candidate is not None and progress.stable is not None
    if "abort" in commands:
        if not trial:
            return progress, ()
        if other := is_bound(facts, progress):
            return progress, (Emit("Warning", Reason.ABORTED, f"shoal.dev/abort has no effect: {_bound(other)}"),)
        return _roll_back(facts, progress, Problem(Reason.ABORTED, "aborted by the abort command"), now)
    if "resume" in commands:
        progress = replace(progress, user_paused=False)
    if trial and ("promote" in commands or "promote-full" in commands):
        progress = _promote(facts, progress, full="promote-full" in commands, now=now)
    if "pause" in commands:
        progress = replace(progress, user_paused=True)
    if "retry" in commands:
        progress = replace(progress, blocked=())
    return progress, ()


def _turn_back(
    facts: Facts, progress: Progress, commands: Commands, now: datetime
) -> tuple[Progress, Revision | None, tuple[Emit, ...]]:
    """Read the rollback command; return where it leads, or an earlier one still does, whatever the spec wants."""
    stable, trial, rollback = progress.stable, progress.candidate, progress.rollback
    target = trial if rollback is not None and rollback.by == "Command" else None
    if "rollback" not in commands or "abort" in commands:
        return progress, target, ()
    if stable is None:
        message = "shoal.dev/rollback has no effect: nothing serves yet."
        return progress, None, (Emit("Warning", Reason.ROLLBACK_REFUSED, message),)
    found = find_target(facts.spec, facts.snapshot, progress, stable, commands.value("rollback"))
    if isinstance(found, Problem):
        return progress, target, (Emit("Warning", found.reason, found.message),)
    told: tuple[Emit, ...] = ()
    if trial is not None and rollback is None and trial.revision != found.revision:
        if other := is_bound(facts, progress):
            message = f"shoal.dev/rollback has no effect: {_bound(other)}"
            return progress, target, (Emit("Warning", Reason.ROLLBACK_REFUSED, message),)
        # What was on trial is left as well: it must not begin anew once the deployment is back.
        why = Problem(Reason.ROLLED_BACK, f"the rollback command leads to version {found.version}")
        progress, told = _roll_back(facts, progress, why, now)
    return progress, found if found.revision != stable.revision else None, told


def _promote(facts: Facts, progress: Progress, *, full: bool, now: datetime) -> Progress:
    """Go past what holds the rollout: what comes before its first step, the present step, or its promotion."""
    last, step, stage = len(facts.schedule.steps), progress.step or 0, progress.stage
    progress, skipped = skip_hooks(progress)
    if full:
        step, stage = last, "Alone"
    elif not progress.begun:
        stage = "Walking"
    elif not skipped and step >= last:
        stage = "Alone"
    elif not skipped:
        step += 1
    # The user has judged: no figures of the step that is left may hold the next one up or fail it.
    progress = replace(progress.enter(step, now), user_paused=False, failure_paused=None, window_started_at=None)
    return replace(progress, stage=stage)


def _aim(
    facts: Facts, progress: Progress, wanted: Revision | Problem, now: datetime, by: Literal["Command", "Spec"]
) -> tuple[Progress, tuple[Emit, ...]]:
    """Make the candidate the revision that is wanted, or none."""
    stable, candidate = progress.stable, progress.candidate
    if isinstance(wanted, Problem):
        return (_undo(facts, progress, now) if stable is not None else progress), ()
    if stable is not None and (wanted.revision == stable.revision or progress.blocking(wanted) is not None):
        return _undo(facts, progress, now), ()
    count = len(facts.schedule.steps)
    at_once = returns_at_once(facts.schedule, progress, wanted.revision)
    if candidate is not None and candidate.revision == wanted.revision and by == _asked_by(progress):
        if stable is None or progress.step_count == count:
            return progress, ()
        returning = progress.rollback is not None and progress.rollback.at_once
        if returning or progress.stage in ("Passed", "Decided"):
            return replace(progress, step=count, step_count=count), ()
        # The strategy changed under way: walk the new steps from the beginning.
        progress = replace(
            progress.enter(0, now), weight=0, mirror=0, header=None, window_started_at=None, step_count=count
        )
        told = f"The strategy has other steps now: version {candidate.version} begins again at the first of {count}."
        return progress, (Emit("Normal", Reason.ROLLING_OUT, told),)
    progress = _undo(facts, progress, now)
    progress = replace(
        progress,
        candidate=wanted,
        gates=(),
        agreement=None,
        hooks=leave_behind(progress),
        # What nothing can hold has begun, even while a person holds it.
        stage=None if facts.spec.group or facts.spec.hooks else "Walking",
        retiring=tuple(item for item in progress.retiring if item.revision != wanted.revision),
        progressed_at=now,
    )
    if stable is None:
        return progress, (Emit("Normal", Reason.ROLLING_OUT, f"Deploying version {wanted.version}."),)
    if at_once or by == "Command":
        rollback = Rollback(by=by, at_once=at_once)
        # Whoever goes back waits neither for a group nor for hooks.
        step = count if at_once else 0
        progress = replace(progress, rollback=rollback, stage="Alone", step=step, step_count=count)
        told = tell_of_rollback(progress, rollback, stable, wanted)
        return progress, (Emit("Normal", Reason.ROLLING_BACK, told),)
    told = f"Rolling out version {wanted.version} ({wanted.revision}) beside version {stable.version}."
    if candidate is not None:
        told = (
            f"Version {wanted.version} ({wanted.revision}) replaces version {candidate.version} on trial: it begins at "
            f"the first step, beside the same version {stable.version}."
        )
    return replace(progress, step=0, step_count=count), (Emit("Normal", Reason.ROLLING_OUT, told),)


def _asked_by(progress: Progress) -> Literal["Command", "Spec"]:
    """Return who asked for the present candidate."""
    return "Spec" if progress.rollback is None else progress.rollback.by


def _first(facts: Facts, decision: Decision, candidate: Revision, now: datetime) -> Decision:
    """Deploy without steps: there is nothing to compare with, and nobody who is served yet."""
    needed = facts.spec.worker.replicas
    verdict, diagnosis = judge_readiness(live_pods(facts.snapshot, candidate), needed)
    decision = replace(decision, verdicts=(verdict,))
    if verdict.verdict != "pass":
        seconds = facts.spec.progress_deadline_seconds
        deadline = (decision.progress.progressed_at or now) + timedelta(seconds=seconds)
        reason = diagnosis.reason if diagnosis else Reason.WAITING_FOR_PODS
        message = f"Version {candidate.version}: {verdict.message}"
        if now >= deadline:
            # What ails the pods is in the message; the reason tells those who wait that waiting is over.
            reason = Reason.PROGRESS_DEADLINE_EXCEEDED
            message = f"Not ready within {seconds} s (spec.progressDeadlineSeconds), still trying. {message}"
        look = (deadline,) if now < deadline else ()
        return replace(decision, waiting=Problem(reason, message), look_again=look)
    if not facts.records(candidate):
        return replace(
            decision, recording=candidate, waiting=Problem(Reason.ROLLING_OUT, "Recording the stable version.")
        )
    progress = replace(decision.progress.without_candidate(), stable=candidate)
    told = Emit("Normal", Reason.PROMOTED, f"Version {candidate.version} serves.")
    return replace(decision, progress=progress, events=(*decision.events, told))


def _roll(facts: Facts, decision: Decision, candidate: Revision, stable: Revision, now: datetime) -> Decision:
    """Judge the candidate, then let it advance as far as it may in this pass."""
    progress, other = decision.progress, is_bound(facts, decision.progress)
    if other and progress.failure_paused is not None:
        # Whether to go back is nobody's choice any more.
        told = Emit("Normal", Reason.ROLLING_OUT, f"The pause for the failure is over: {_bound(other)}")
        progress = replace(progress, failure_paused=None, progressed_at=now)
        decision = replace(decision, events=(*decision.events, told))
    held = _held(facts, progress)
    if (facts.was_held and held is None) or progress.progressed_at is None:
        progress = replace(progress, progressed_at=now)
    target = facts.schedule.step_at(progress.step)
    readiness, diagnosis = judge_readiness(live_pods(facts.snapshot, candidate), facts.needed(target))
    judgement = judge_candidate(facts, progress, candidate, stable, now)
    progress, verdicts = judgement.progress, (readiness, *judgement.verdicts)
    if readiness.verdict != "pass" and facts.was_ready:
        progress = replace(progress, progressed_at=now)
    decision = replace(decision, progress=progress, verdicts=verdicts, judged=verdicts)
    failed = next((item for item in verdicts if consequence(facts, progress, item) == "fail"), None)
    union = find_union(facts.spec, facts.snapshot, stable, candidate)
    if union is not None and union.failure is not None and progress.stage != "Alone" and not other:
        progress, events = _roll_back(facts, progress, union.failure, now)
        return Decision(progress, (*decision.events, *events), verdicts, decision.judged)
    if failed is not None and progress.failure_paused is None and not other:
        return _fail(facts, decision, Problem(Reason.GATE_FAILED, f"gate {failed.gate}: {failed.message}"), now)
    if held is not None:
        # Traffic flows on and nothing rises, but a step that asks for less is heard.
        return replace(decision, progress=progress.lowered_to(target), pause=held)
    decision = advance(facts, decision, candidate, stable, now)
    progress = decision.progress
    if decision.failure is not None:
        return _fail(facts, decision, decision.failure, now)
    if decision.waiting is not None and progress.candidate is not None and decision.recording is None:
        seconds = facts.spec.progress_deadline_seconds
        deadline = (progress.progressed_at or now) + timedelta(seconds=seconds)
        if now >= deadline and not other:
            message = f"no progress for {seconds} s (spec.progressDeadlineSeconds): {decision.waiting.message}"
            return _fail(facts, decision, Problem(Reason.PROGRESS_DEADLINE_EXCEEDED, message), now)
        if diagnosis is not None:
            decision = replace(decision, waiting=Problem(diagnosis.reason, decision.waiting.message))
        return replace(decision, look_again=(*decision.look_again, deadline) if now < deadline else decision.look_again)
    return decision


def _roll_back(facts: Facts, progress: Progress, why: Problem, now: datetime) -> tuple[Progress, tuple[Emit, ...]]:
    """Give all traffic back to stable at once and remember not to try this candidate again."""
    candidate = progress.candidate
    if candidate is None:
        return progress, ()
    if progress.stable is not None and why.reason != Reason.GROUP_FAILED:
        union = find_union(facts.spec, facts.snapshot, progress.stable, candidate)
        if union is not None and union.following:
            why = Problem(why.reason, f"{why.message.rstrip('.')}; {union.following} of its group go back with it")
    progress = _undo(facts, progress, now).block(candidate, why, now)
    told = Emit("Warning", Reason.ROLLED_BACK, f"Version {candidate.version} is rolled back: {why.message}")
    return progress, (told,)


def _fail(facts: Facts, decision: Decision, why: Problem, now: datetime) -> Decision:
    if facts.spec.on_failure == "Rollback":
        progress, events = _roll_back(facts, decision.progress, why, now)
        return Decision(progress, (*decision.events, *events), decision.verdicts, decision.judged)
    message = f"{why.reason}: {why.message}"
    progress = replace(decision.progress, failure_paused=message)
    told = Emit("Warning", why.reason, f"The rollout is paused: {why.message}")
    pause = _held(facts, progress)
    events = (*decision.events, told)
    return replace(decision, progress=progress, events=events, pause=pause, waiting=None, failure=None)


def _bound(other: str) -> str:
    return f"{other} of the group is promoted by the group's decision already. To go back, set shoal.dev/rollback."


def _held(facts: Facts, progress: Progress) -> Problem | None:
    """Return why nothing may rise, whatever the steps say."""
    if progress.failure_paused is not None:
        message = f"{progress.failure_paused} Set shoal.dev/promote to go on, or shoal.dev/abort to roll back."
        return Problem(Reason.PAUSED_BY_FAILURE, message)
    # Whoever commands to go back at once does not mean to be held by an earlier word.
    at_once = progress.rollback is not None and progress.rollback.by == "Command" and progress.rollback.at_once
    if facts.spec.paused and not at_once:
        return Problem(Reason.PAUSED_BY_USER, "spec.paused is true. Set it to false to go on.")
    if progress.user_paused and not at_once:
        return Problem(Reason.PAUSED_BY_USER, "Paused by the pause command. Set shoal.dev/resume to go on.")
    if facts.spec.worker.replicas == 0:
        # Nothing may become stable that no pod has ever served.
        message = "spec.worker.replicas is 0; the rollout goes on once it is larger."
        return Problem(Reason.WAITING_FOR_PODS, message)
    return None


def _undo(facts: Facts, progress: Progress, now: datetime) -> Progress:
    """End a trial without judgement; its pods stand by for the delay, so that calls in flight end well."""
    candidate = progress.candidate
    if candidate is None:
        return progress
    # Nobody was ever served by what comes before the first stable revision.
    delay = facts.schedule.scale_down_delay_seconds if progress.stable is not None else None
    retired = retire(candidate, now, delay)
    return replace(progress.without_candidate(), stage=None, retiring=(*progress.retiring, retired))
