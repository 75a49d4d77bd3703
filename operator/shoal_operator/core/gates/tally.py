"""Counts what each gate said look by look, and says what follows from it.

Called by core.transitions. Invariant: one look counts once, however often it is judged, and a dry run has no effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from shoal_operator.api.analysis import Gate
from shoal_operator.api.deployment import GateRecord, PastVerdict, PoolFigures, Verdict

Consequence = Literal["none", "wait", "hold", "fail"]
_MOST_KEPT = 10


def count_verdicts(
    records: Iterable[GateRecord], verdicts: Iterable[Verdict], window: str, at: str
) -> tuple[GateRecord, ...]:
    """Return the records with a look's verdicts counted; counts are of one window, the history is of a rollout."""
    known = {record.gate: record for record in records}
    for verdict in verdicts:
        known[verdict.gate] = _count(known.get(verdict.gate) or GateRecord(gate=verdict.gate), verdict, window, at)
    return tuple(known.values())


def find_consequence(verdict: Verdict, gates: Mapping[str, Gate], records: Iterable[GateRecord]) -> Consequence:
    """Return what a verdict leads to, with the records of the same window.

    Failures beyond `failureLimit` fail the rollout. Inconclusive looks beyond `inconclusiveLimit`, and errors in a row
    beyond `consecutiveErrorLimit`, hold it whatever `onInconclusive` says. (The limits are those of an AnalysisRun of
    Argo Rollouts, but errors move no traffic.)
    """
    gate = gates.get(verdict.gate)
    if gate is None or verdict.dry_run:
        return "none" if verdict.dry_run else _BARE[verdict.verdict]
    record = next((item for item in records if item.gate == verdict.gate), GateRecord(gate=verdict.gate))
    match verdict.verdict:
        case "pass":
            return "none"
        case "fail":
            # This one counts, even where no look could be counted yet.
            return "fail" if max(1, record.failed) > gate.failure_limit else "none"
        case "inconclusive":
            limit = gate.inconclusive_limit
            return "hold" if limit is not None and record.inconclusive > limit else "wait"
        case "error":
            return "hold" if record.errors_in_a_row > gate.consecutive_error_limit else "wait"


_BARE: dict[str, Consequence] = {"pass": "none", "fail": "fail", "inconclusive": "wait", "error": "wait"}
"""What the verdict of a gate without limits leads to, which readiness is."""


def _count(record: GateRecord, verdict: Verdict, window: str, at: str) -> GateRecord:
    if record.window != window:
        record = GateRecord(gate=record.gate, window=window, history=record.history)
    elif record.history and record.history[-1].at == at:
        return record
    past = PastVerdict(
        at=at, verdict=verdict.verdict, stable=_value(verdict.stable), candidate=_value(verdict.candidate)
    )
    return GateRecord(
        gate=record.gate,
        window=window,
        failed=record.failed + (verdict.verdict == "fail"),
        inconclusive=record.inconclusive + (verdict.verdict == "inconclusive"),
        errors_in_a_row=record.errors_in_a_row + 1 if verdict.verdict == "error" else 0,
        history=[*record.history, past][-_MOST_KEPT:],
    )


def _value(figures: PoolFigures | None) -> float | None:
    return None if figures is None else figures.value
