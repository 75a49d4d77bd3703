"""The gate on failed calls: is the candidate's share above stable's * maxRatio, by more than chance?

Asked by core.gates. Invariant: without calls on both sides there is no failure.
"""

from __future__ import annotations

import math

from shoal_operator.api.analysis import ErrorRateGate
from shoal_operator.api.deployment import Verdict
from shoal_operator.core.gates.calls import describe_looks, find_sides
from shoal_operator.core.snapshot import WindowFigures
from shoal_operator.core.statistics.shares import LEAST_LOOKS, Counts, share_evidence

ERROR_RATE = "errorRate"
MOST_OF_A_LOOK = 0.49
"""Share of the evidence needed that one look may give: two looks are not enough, three are."""


def judge_error_rate(
    gate: ErrorRateGate, stable: WindowFigures | None, candidate: WindowFigures | None, alpha: float
) -> Verdict:
    """Judge the shares of failed calls; `alpha` bounds the probability of failing a candidate within the limit."""
    sides = find_sides(ERROR_RATE, gate.min_samples, stable, candidate)
    if isinstance(sides, Verdict):
        return sides
    needed = math.log(1 / alpha)
    counts = [Counts(mine.errors, mine.calls, base.errors, base.calls) for base, mine in sides.looks()]
    evidence = share_evidence(counts, gate.max_ratio, cap=MOST_OF_A_LOOK * needed)
    shares = [figures.errors / figures.calls for figures in (sides.stable, sides.candidate)]
    told = (
        f"{sides.candidate.errors} of {sides.candidate.calls} calls failed ({shares[1]:.2%}), stable "
        f"{sides.stable.errors} of {sides.stable.calls} ({shares[0]:.2%}), limit x{gate.max_ratio:g}"
    )
    if evidence.log >= needed:
        message = f"{told}: too many, beyond chance (less than 1 in {1 / alpha:,.0f})."
        return sides.tell(ERROR_RATE, "fail", message, *shares, limit=gate.max_ratio)
    before_enough_looks = evidence.looks < LEAST_LOOKS and evidence.uncapped_log >= needed / 2
    if before_enough_looks or evidence.log >= needed / 2:
        message = f"{told}: many, but {describe_looks(evidence.looks, LEAST_LOOKS)}."
        return sides.tell(ERROR_RATE, "inconclusive", message, *shares, limit=gate.max_ratio)
    within = shares[1] <= shares[0] * gate.max_ratio
    message = f"{told}: {'within' if within else 'no more than chance allows'}."
    return sides.tell(ERROR_RATE, "pass", message, *shares, limit=gate.max_ratio)
