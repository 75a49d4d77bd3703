"""Asks every gate about a candidate in one pass, and counts what they say.

Called by core.transitions and core.stepping. Invariant: only what the gates may see decides: the figures of the present
window, the records of both versions, the readiness of the pods.
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
    judge_outside,
    judge_records,
    read_records,
)
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
    """Ask the gates, while the candidate gets calls beside stable and a window is open."""
    began = progress.window_started_at
    if began is None or not progress.compared:
        return Judgement((), progress)
    analysis = facts.spec.analysis
    base, mine = (facts.snapshot.windows.get(item.revision) for item in (stable, candidate))
    sides = [figures for figures in (base, mine) if figures]
    window = facts.schedule.windows_up_to(progress.step or 0)
    records = read_records(facts.snapshot.versions, stable.version, candidate.version)
    inside = (*judge_calls(analysis, base, mine, window), *judge_records(analysis, records))
    answers, allowed = facts.snapshot.answers, facts.snapshot.defaults.analysis_allowed_hosts
    calls = min(figures.calls for figures in sides) if len(sides) == 2 else 0
    outside = judge_outside(analysis, answers, allowed, calls)
    looked_at = max((figures.looked_at for figures in sides), default="")
    answered_at = max((answer.at for answer in answers.values()), default=looked_at)
    verdicts: list[Verdict] = []
    for found, at in ((inside, looked_at), (outside, answered_at)):
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
    return Judgement(tuple(verdicts), progress)


def consequence(facts: Facts, progress: Progress, verdict: Verdict) -> Consequence:
    """Return what a verdict leads to."""
    began = progress.window_started_at
    records = [record for record in progress.gates if began is not None and record.window == timestamp(began)]
    return find_consequence(verdict, gates_of(facts.spec.analysis), records)
