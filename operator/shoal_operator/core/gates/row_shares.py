"""What the gates on shares of rows have in common: is the candidate's share surely further from stable's than a limit?

Used by the gates beside it. Invariant: rows without an answer on both sides are no basis for a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from shoal_operator.api.deployment import Interval, PoolFigures, Verdict
from shoal_operator.core.gates.calls import describe_looks
from shoal_operator.core.snapshot import WindowFigures
from shoal_operator.core.statistics.differences import EFFECT, estimate_difference
from shoal_operator.core.statistics.sequence import mixture_half_width
from shoal_operator.core.statistics.shares import Counts

_LEAST_LOOKS = 5
"""Looks before a failure: fewer do not show how much the rows vary from call to call."""


@dataclass(frozen=True, slots=True)
class ShareLimits:
    """What a gate on a share of rows tolerates."""

    gate: str
    are: str
    """What the counted rows are, as in "12 % of 500 rows are noise"."""
    max_increase: float
    max_decrease: float | None
    min_samples: int


def judge_share(
    limits: ShareLimits, looks: Sequence[Counts], stable: WindowFigures, candidate: WindowFigures, alpha: float
) -> Verdict:
    """Judge the shares look by look; `alpha` bounds the probability of failing a candidate within the limits."""
    rows = {"the candidate": sum(look.trials for look in looks), "stable": sum(look.base_trials for look in looks)}
    calls = [PoolFigures(calls=stable.calls), PoolFigures(calls=candidate.calls)]
    if any(not 0 <= look.events <= look.trials or not 0 <= look.base_events <= look.base_trials for look in looks):
        message = f"figures that cannot be: more rows that {limits.are} than rows."
        return Verdict(gate=limits.gate, verdict="error", message=message)
    few = [
        f"{side} has {count:.0f} of {limits.min_samples}" for side, count in rows.items() if count < limits.min_samples
    ]
    found = None if few else estimate_difference(looks)
    if found is None:
        message = f"too few rows yet: {', '.join(few)}."
        return Verdict(gate=limits.gate, verdict="inconclusive", message=message, stable=calls[0], candidate=calls[1])
    widths = [mixture_half_width(found.variance, chance, EFFECT) for chance in (alpha, math.sqrt(alpha))]
    surely, probably = (abs(found.difference) - width for width in widths)
    limit = limits.max_increase if found.difference > 0 else limits.max_decrease
    told = (
        f"{found.share:.1%} of {rows['the candidate']:.0f} rows {limits.are}, stable {found.base:.1%} of "
        f"{rows['stable']:.0f}: {100 * found.difference:+.1f} points, surely more than {100 * max(0.0, surely):.1f}"
        f"{'' if limit is None else f', limit {100 * limit:g}'}"
    )
    sides = [
        pool.model_copy(update={"value": round(value, 6)})
        for pool, value in zip(calls, (found.base, found.share), strict=True)
    ]
    if limit is not None and surely > limit and found.looks >= _LEAST_LOOKS:
        verdict, message = "fail", f"{told}: too many, beyond chance."
        if found.difference < 0:
            message = f"{told}: too few, beyond chance."
    elif limit is not None and probably > limit:
        verdict, message = "inconclusive", f"{told}: but {describe_looks(found.looks, _LEAST_LOOKS)}."
    else:
        verdict, message = "pass", f"{told}: within."
    return Verdict.model_validate(
        {
            "gate": limits.gate,
            "verdict": verdict,
            "message": message,
            "stable": sides[0],
            "candidate": sides[1],
            "interval": _interval(found.difference, widths[0]),
            "limit": None if limit is None else math.copysign(limit, found.difference),
        }
    )


def _interval(difference: float, width: float) -> Interval | None:
    """Return where the difference surely lies; None where that is anywhere."""
    if not math.isfinite(width):
        return None
    return Interval(low=round(difference - width, 6), high=round(difference + width, 6))
