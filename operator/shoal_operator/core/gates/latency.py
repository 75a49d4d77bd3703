"""The gate on latency: is the candidate's mean, p50 or p99 surely above stable's * maxRatio, and worth noticing?

Asked by core.gates. Invariant: no interval, no failure; and no difference below `minDifferenceMillis` is one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from shoal_operator.api.analysis import LatencyGate
from shoal_operator.api.deployment import Interval, Verdict
from shoal_operator.core.gates.calls import Sides, VerdictWord, describe_looks, find_sides
from shoal_operator.core.snapshot import WindowFigures
from shoal_operator.core.statistics.means import EFFECT, Sums, estimate_log_ratio
from shoal_operator.core.statistics.quantiles import Histograms, estimate_quantile_ratio
from shoal_operator.core.statistics.sequence import mixture_half_width

LATENCY = "latency"
_LEAST_LOOKS = 5
"""Looks before a failure: fewer do not show how much the latency varies of itself."""
_LEVELS = {"P50": 0.5, "P99": 0.99}
_LEAST_BEYOND = 10
"""Calls that must be expected beyond a quantile before it is asked for."""


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The statistic of both sides in seconds, and the lower bounds of its ratio's log."""

    stable: float
    candidate: float
    surely: float
    """The bound that decides."""
    probably: float
    """The bound that has the rollout wait for more."""
    looks: int


def judge_latency(
    gate: LatencyGate, stable: WindowFigures | None, candidate: WindowFigures | None, alpha: float
) -> Verdict:
    """Judge the latencies; `alpha` bounds the probability of failing a candidate within the limit."""
    beyond = 1 - _LEVELS.get(gate.statistic, 0.0)
    least = max(gate.min_samples, round(_LEAST_BEYOND / beyond))
    sides = find_sides(LATENCY, least, stable, candidate)
    if isinstance(sides, Verdict):
        return sides
    found = _compare_means(sides, alpha) if gate.statistic == "Mean" else _compare_quantiles(sides, gate, alpha)
    if found is None:
        message = f"the latencies so far do not tell the {gate.statistic.lower()}; the next look decides."
        return sides.tell(LATENCY, "inconclusive", message)
    millis = [1000 * found.stable, 1000 * found.candidate]
    limit = math.log(gate.max_ratio)
    told = (
        f"{gate.statistic.lower()} {millis[1]:.1f} ms over {sides.candidate.calls} calls, stable {millis[0]:.1f} ms "
        f"over {sides.stable.calls}: x{found.candidate / found.stable:.2f}, surely above "
        f"x{math.exp(found.surely):.2f}, limit x{gate.max_ratio:g}"
    )
    noticeable = millis[1] - millis[0] > gate.min_difference_millis
    verdict: VerdictWord = "pass"
    message = f"{told}: within."
    if noticeable and found.surely > limit and found.looks >= _LEAST_LOOKS:
        verdict, message = "fail", f"{told}: too slow, beyond chance."
    elif noticeable and found.probably > limit:
        verdict, message = "inconclusive", f"{told}: slow, but {describe_looks(found.looks, _LEAST_LOOKS)}."
    surely = Interval(low=round(math.exp(found.surely), 6))
    return sides.tell(LATENCY, verdict, message, *millis, limit=gate.max_ratio, interval=surely)


def _compare_means(sides: Sides, alpha: float) -> _Comparison | None:
    sums = [
        Sums(mine.calls, mine.seconds, mine.squares, base.calls, base.seconds, base.squares)
        for base, mine in sides.looks()
    ]
    found = estimate_log_ratio(sums)
    if found is None:
        return None
    means = [figures.seconds_sum / figures.calls for figures in (sides.stable, sides.candidate)]
    surely, probably = (
        found.log_ratio - mixture_half_width(found.variance, level, EFFECT) for level in (alpha, math.sqrt(alpha))
    )
    return _Comparison(means[0], means[1], surely, probably, found.looks)


def _compare_quantiles(sides: Sides, gate: LatencyGate, alpha: float) -> _Comparison | None:
    histograms = [Histograms(mine.durations, base.durations) for base, mine in sides.looks()]
    level = _LEVELS[gate.statistic]
    surely, probably = (estimate_quantile_ratio(histograms, level, chance) for chance in (alpha, math.sqrt(alpha)))
    if surely is None or probably is None or not math.isfinite(surely.log_lower):
        return None
    return _Comparison(surely.base, surely.value, surely.log_lower, probably.log_lower, surely.looks)
