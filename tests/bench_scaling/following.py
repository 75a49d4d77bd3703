"""Tells from looks at a deployment how it followed its load; pure, used by `drives`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.bench_scaling.plan import EACH, HIGH, LOW, Stage, starts


@dataclass(frozen=True)
class Look:
    """What the status said at a moment (Unix time)."""

    moment: float
    wanted: int
    ready: int


def follow(looks: Sequence[Look], stages: tuple[Stage, ...], began: float) -> dict[str, Any]:
    """Return how the pods followed the load that began at a Unix time; seconds, to the half."""
    moments = [began + start for start in starts(stages)]
    parts = [[look for look in looks if begin <= look.moment < end] for begin, end in pairwise(moments)]
    staged = list(zip(stages, parts, moments, strict=False))
    lows = [part for stage, part, _ in staged if stage.rate == LOW]
    rises = [(part, begin) for stage, part, begin in staged if stage.rate == HIGH and not stage.noisy]
    noisy = [look.wanted for stage, part, _ in staged if stage.noisy for look in part]
    first, begin = rises[0]
    aim = round(HIGH / EACH)
    decided = _first(first, lambda look: look.wanted > first[0].wanted)
    return {
        "secondsToFirstDecision": _since(decided, begin),
        "secondsFromDecisionToAllWanted": _since(_first(first, lambda look: look.wanted >= aim), decided),
        "secondsFromDecisionToAllReady": _since(_first(first, lambda look: look.ready >= aim), decided),
        "mostPods": max(look.wanted for look in looks),
        "changesUnderNoise": sum(a != b for a, b in pairwise(noisy)),
        "timesUpToAllPods": sum(any(look.ready >= aim for look in part) for part, _ in rises),
        "timesDownToOnePod": sum(part[-1].wanted == 1 for part in lows[1:]),
    }


def _first(looks: Sequence[Look], holds: Callable[[Look], bool]) -> float | None:
    return next((look.moment for look in looks if holds(look)), None)


def _since(moment: float | None, begin: float | None) -> float | None:
    return None if moment is None or begin is None else round(moment - begin, 1)
