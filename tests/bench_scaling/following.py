"""Tells from looks at a deployment how it followed its load; pure, used by `drives`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.bench_scaling.plan import EACH, HIGH, Stage, starts


@dataclass(frozen=True)
class Look:
    """What the status said at a moment (Unix time)."""

    moment: float
    wanted: int
    ready: int


def follow(looks: Sequence[Look], stages: tuple[Stage, ...], began: float) -> dict[str, Any]:
    """Return how the pods followed the load that began at a Unix time; seconds, to the half."""
    moments = [began + start for start in starts(stages)]
    aim = round(HIGH / EACH)
    ups = [
        [look for look in looks if begin <= look.moment < end]
        for stage, (begin, end) in zip(stages, pairwise(moments), strict=True)
        if stage.rate == HIGH
    ]
    first = ups[0]
    begin = moments[1]
    decided = _first(first, lambda look: look.wanted > first[0].wanted)
    wanted = _first(first, lambda look: look.wanted >= aim)
    ready = _first(first, lambda look: look.ready >= aim)
    settled = [look.wanted for look in first if ready is not None and look.moment >= ready]
    return {
        "secondsToFirstDecision": _since(decided, begin),
        "secondsFromDecisionToAllWanted": _since(wanted, decided),
        "secondsFromDecisionToAllReady": _since(ready, decided),
        "mostPods": max(look.wanted for look in looks),
        "changesUnderNoise": sum(a != b for a, b in pairwise(settled)),
        "secondsOfNoise": round(moments[2] - ready) if ready is not None else None,
        "endsAtOnePod": [up[0].wanted for up in ups[1:]] + [looks[-1].wanted] == [1] * len(ups),
        "timesUpToAllPods": sum(any(look.ready >= aim for look in up) for up in ups),
    }


def _first(looks: Sequence[Look], holds: Callable[[Look], bool]) -> float | None:
    return next((look.moment for look in looks if holds(look)), None)


def _since(moment: float | None, begin: float | None) -> float | None:
    return None if moment is None or begin is None else round(moment - begin, 1)
