"""Who judges: Shoal's gates, and the rules of others as their documentation and their sources have them.

Used by `rollout`. Invariant: each judge sees the same traffic through the figures that it would have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np

from shoal_operator.api.analysis import Analysis
from shoal_operator.core.gates import judge_calls
from shoal_operator.core.snapshot import Look, WindowFigures
from shoal_operator.core.statistics.quantiles import quantile

Looks = Sequence[tuple[Look, Look]]
Judgement = Literal["go", "wait", "fail"]


class Judge(Protocol):
    """Judges one rollout; made anew for each."""

    def begin(self) -> None:
        """Hear that a step begins."""

    def judge(self, looks: Looks, *, over: bool) -> Judgement:
        """Judge the step's looks so far (stable, candidate); `over` tells that its time is over."""


class Shoal:
    """The operator's gates with their defaults."""

    def __init__(self, analysis: Analysis | None = None) -> None:
        self._window = 0
        self._analysis = analysis or Analysis()

    def begin(self) -> None:
        """Begin a new window; nothing is kept of the one before but that it was."""
        self._window += 1

    def judge(self, looks: Looks, *, over: bool) -> Judgement:
        """Ask the gates, as the operator does every five seconds."""
        stable, candidate = ([pair[side] for pair in looks] for side in (0, 1))
        verdicts = judge_calls(self._analysis, figures(stable), figures(candidate), self._window)
        if any(item.verdict == "fail" for item in verdicts):
            return "fail"
        return "go" if all(item.verdict == "pass" for item in verdicts) else "wait"


class Argo:
    """An AnalysisRun of Argo Rollouts that compares candidate and stable: ratios at most x1.05 and x1.2.

    A measurement every 20 s over the step so far. `successCondition: result <= limit`, so that NaN, which is no data,
    is a failed measurement (utils/evaluate); more than `failureLimit` failed ones of a metric abort the rollout.
    """

    def __init__(self, failure_limit: int) -> None:
        self._limit = failure_limit
        self._failed = {"errors": 0, "latency": 0}

    def begin(self) -> None:
        """Go on: a background analysis runs through all steps."""

    def judge(self, looks: Looks, *, over: bool) -> Judgement:
        """Measure at every fourth look."""
        if len(looks) % 4:
            return "wait"
        stable, candidate = (figures([pair[side] for pair in looks]) for side in (0, 1))
        ratios = {
            "errors": (_divide(_share(candidate), _share(stable)), 1.05),
            "latency": (_divide(_mean(candidate), _mean(stable)), 1.2),
        }
        for name, (ratio, limit) in ratios.items():
            self._failed[name] += not ratio <= limit
        return "fail" if max(self._failed.values()) > self._limit else "go"


class Flagger:
    """Flagger's built-in checks: request-success-rate at least 99 %, request-duration (p99) at most 500 ms.

    A check every 20 s over what came since the one before; no values are a failed check; `threshold: 5` failed checks
    roll back, and they are never forgotten (pkg/controller/scheduler.go).
    """

    def __init__(self) -> None:
        self._failed = 0

    def begin(self) -> None:
        """Go on: failed checks add up over all steps."""

    def judge(self, looks: Looks, *, over: bool) -> Judgement:
        """Check at every fourth look; a failed check holds the weight."""
        if len(looks) % 4:
            return "wait"
        candidate = figures([pair[1] for pair in looks[-4:]])
        slowest = quantile(_add(candidate.looks), 0.99) if candidate.calls else math.nan
        halted = not (1 - _share(candidate) >= 0.99 and slowest <= 0.5)
        self._failed += halted
        if self._failed >= 5:
            return "fail"
        return "wait" if halted else "go"


class Kayenta:
    """The judge of Kayenta (NetflixACAJudge): a Mann-Whitney test on each metric's series, 98 % sure.

    One value per look and metric, looks without calls left out; a metric is High when the lower end of the interval of
    the Hodges-Lehmann shift is above a quarter of its estimate (MannWhitneyClassifier.scala). One of two metrics High
    is a score of 50, below the pass mark; judged at each step's end, from all looks of the step.
    """

    def begin(self) -> None:
        """Begin a new interval."""

    def judge(self, looks: Looks, *, over: bool) -> Judgement:
        """Judge the whole series once the step is over."""
        if not over:
            return "wait"
        for value in (lambda look: look.errors / look.calls, lambda look: look.seconds / look.calls):
            stable, candidate = (np.array([value(pair[side]) for pair in looks if pair[side].calls]) for side in (0, 1))
            if len(stable) > 1 and len(candidate) > 1 and _is_high(candidate, stable):
                return "fail"
        return "go"


def _is_high(values: np.ndarray, base: np.ndarray) -> bool:
    shifts = np.sort(np.subtract.outer(values, base).ravel())
    n, m = len(values), len(base)
    reach = 2.326 * math.sqrt(n * m * (n + m + 1) / 12)
    lowest = max(0, math.floor(n * m / 2 - reach))
    return bool(shifts[lowest] > 0.25 * abs(np.median(shifts)))


def figures(looks: Sequence[Look]) -> WindowFigures:
    """Add looks up, as the operator's sampler does."""
    return WindowFigures(
        calls=round(sum(look.calls for look in looks)),
        errors=round(sum(look.errors for look in looks)),
        seconds_sum=sum(look.seconds for look in looks),
        seconds_square_sum=sum(look.squares for look in looks),
        looks=tuple(looks),
    )


def _add(looks: Sequence[Look]) -> dict[float, float]:
    return {bound: sum(look.durations[bound] for look in looks) for bound in looks[0].durations}


def _share(side: WindowFigures) -> float:
    return _divide(side.errors, side.calls)


def _mean(side: WindowFigures) -> float:
    return _divide(side.seconds_sum, side.calls)


def _divide(one: float, other: float) -> float:
    """Divide as PromQL does."""
    if other:
        return one / other
    return math.nan if not one or math.isnan(one) else math.inf
