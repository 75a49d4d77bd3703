"""What the gates on calls have in common: when there is a basis for a verdict, and the form of one.

Used by the gates beside it. Invariant: three-valued honesty. Too few calls are inconclusive, never a pass, and never
a fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shoal_operator.api.deployment import Interval, PoolFigures, Verdict
from shoal_operator.core.snapshot import Look, WindowFigures

VerdictWord = Literal["pass", "fail", "inconclusive", "error"]


@dataclass(frozen=True, slots=True)
class Sides:
    """What both pools served in the same window."""

    stable: WindowFigures
    candidate: WindowFigures

    def looks(self) -> tuple[tuple[Look, Look], ...]:
        """Return (stable, candidate) look by look; one pair of sums where they were not kept apart."""
        if self.stable.looks and len(self.stable.looks) == len(self.candidate.looks):
            return tuple(zip(self.stable.looks, self.candidate.looks, strict=True))
        return ((_whole(self.stable), _whole(self.candidate)),)

    def tell(
        self,
        gate: str,
        verdict: VerdictWord,
        message: str,
        stable: float | None = None,
        candidate: float | None = None,
        *,
        limit: float | None = None,
        interval: Interval | None = None,
    ) -> Verdict:
        """Build a verdict with both pools' figures, and what decides."""
        return Verdict(
            gate=gate,
            verdict=verdict,
            message=message,
            stable=_figures(self.stable, stable),
            candidate=_figures(self.candidate, candidate),
            limit=limit,
            interval=interval,
        )


def find_sides(gate: str, least: int, stable: WindowFigures | None, candidate: WindowFigures | None) -> Sides | Verdict:
    """Return both sides where they are a basis for a verdict, else the verdict on that."""
    if stable is None or candidate is None:
        return Verdict(gate=gate, verdict="inconclusive", message="no figures yet.")
    for figures in (stable, candidate):
        if not 0 <= figures.errors <= figures.calls:
            message = f"figures that cannot be: {figures.errors} errors in {figures.calls} calls."
            return Verdict(gate=gate, verdict="error", message=message)
    few = [
        f"{side} has {figures.calls} of {least}"
        for side, figures in (("the candidate", candidate), ("stable", stable))
        if figures.calls < max(least, 2)
    ]
    sides = Sides(stable, candidate)
    return sides.tell(gate, "inconclusive", f"too few calls yet: {', '.join(few)}.") if few else sides


def describe_looks(count: int, least: int) -> str:
    """Tell what a verdict waits for that the calls so far speak for.

    >>> describe_looks(1, 3)
    'that may yet be chance or one bad moment; the next looks decide (1 of at least 3)'
    """
    return f"that may yet be chance or one bad moment; the next looks decide ({count} of at least {least})"


def _whole(figures: WindowFigures) -> Look:
    return Look(
        figures.calls,
        figures.errors,
        figures.seconds_sum,
        figures.seconds_square_sum,
        _durations(figures.looks),
        rows=sum(look.rows for look in figures.looks),
        noise_rows=sum(look.noise_rows for look in figures.looks),
        ranged_rows=sum(look.ranged_rows for look in figures.looks),
        out_of_reach_rows=sum(look.out_of_reach_rows for look in figures.looks),
    )


def _durations(looks: Sequence[Look]) -> dict[float, float]:
    found: dict[float, float] = {}
    for look in looks:
        for bound, calls in look.durations.items():
            found[bound] = found.get(bound, 0.0) + calls
    return found


def _figures(figures: WindowFigures, value: float | None) -> PoolFigures:
    return PoolFigures(calls=figures.calls, value=None if value is None else round(value, 6))
