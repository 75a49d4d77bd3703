"""Asks every gate about a candidate in one pass, and counts what they say.

Called by core.transitions and core.stepping. Invariant: only what the gates may see decides: the figures of the present
window, the same rows' labels, the records of both versions, the readiness of the pods.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from shoal_operator.api.deployment import Revision, Verdict
from shoal_operator.core.decision import Facts
from shoal_operator.core.facts import timestamp
from shoal_operator.core.gates import (
    count_verdicts,
    find_consequence,
    gates_of,
    judge_calls,
    judge_comparison,
    judge_outside,
    judge_records,
    read_records,
    tell_agreement,
    without_comparisons,
)
from shoal_operator.core.gates.job import judge_jobs
from shoal_operator.core.gates.tally import Consequence
from shoal_operator.core.progress import Progress


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gates between the steps say in this pass."""

    verdicts: tuple[Verdict, ...]
    progress: Progress


def judge_candidate(
    facts: Facts, progress: Progress, candidate: Revision, stable: Revision, now: datetime
) -> Judgement:
    """Ask the gates while a window is open: those on calls where the candidate gets some, the others in shadow too.

    With all calls on the candidate there are none to compare them with: figures of stable from before would judge the
    time of day as well. So only the records and the gates that ask others are heard then.
    """
    began, alone = progress.window_started_at, _serves_alone(facts, progress)
    called = alone or progress.compared
    if began is None or not (called or facts.schedule.step_at(progress.step).shadow):
        return Judgement((), progress)
    snapshot = facts.snapshot
    analysis = without_comparisons(facts.spec.analysis) if alone else facts.spec.analysis
    base, mine = (snapshot.windows.get(item.revision) for item in (stable, candidate))
    sides = [figures for figures in ((mine,) if alone else (base, mine)) if figures]
    number = progress.step or 0
    # A shadow step costs the gates on calls nothing: they were not asked.
    window, window_of_calls = facts.schedule.windows_up_to(number), facts.schedule.windows_up_to(number, of_calls=True)
    records = judge_records(analysis, read_records(snapshot.versions, stable.version, candidate.version))
    inside = (*(judge_calls(analysis, base, mine, window_of_calls) if called else ()), *records)
    same_rows = judge_comparison(analysis, snapshot.comparison, progress.agreement_history, window)
    calls = min(figures.calls for figures in sides) if len(sides) == (1 if alone else 2) else 0
    allowed = snapshot.defaults.analysis_allowed_hosts
    outside = judge_outside(analysis, snapshot.answers, allowed, calls if called else None)
    looked_at = max((figures.looked_at for figures in sides), default="")
    compared_at = snapshot.comparison.asked_at if snapshot.comparison else looked_at
    answered_at = max((answer.at for answer in snapshot.answers.values()), default=looked_at)
    verdicts: list[Verdict] = []
    jobs = (((verdict,), look) for verdict, look in judge_jobs(snapshot, analysis, progress, now))
    for found, at in ((inside, looked_at), (same_rows, compared_at), (outside, answered_at), *jobs):
        counted = []
        for item in found:
            gate = gates_of(analysis)[item.gate]
            if (now - began).total_seconds() < gate.initial_delay_seconds:
                message = f"is asked {gate.initial_delay_seconds} s after the step's weight is reached."
                item = Verdict(gate=item.gate, verdict="inconclusive", message=message)
            elif at:
                counted.append(item)
            verdicts.append(item.model_copy(update={"dry_run": gate.dry_run}))
        progress = replace(progress, gates=count_verdicts(progress.gates, counted, timestamp(began), at))
    told = tell_agreement(snapshot.comparison, stable, candidate) if snapshot.comparison else None
    return Judgement(tuple(verdicts), replace(progress, agreement=told or progress.agreement))


def _serves_alone(facts: Facts, progress: Progress) -> bool:
    """Tell whether the present step holds all calls on the candidate."""
    steps, step = facts.schedule.steps, progress.step or 0
    began = progress.step_started_at is not None and step < len(steps)
    return began and progress.weight == steps[step].weight == 100


def consequence(facts: Facts, progress: Progress, verdict: Verdict) -> Consequence:
    """Return what a verdict leads to."""
    began = progress.window_started_at
    records = [record for record in progress.gates if began is not None and record.window == timestamp(began)]
    return find_consequence(verdict, gates_of(facts.spec.analysis), records)
