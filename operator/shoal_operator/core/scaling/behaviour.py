"""Windows and pace: from what the metrics ask for to what is done about it.

Called by `recommendation`. Semantics are those of Kubernetes 1.36 (horizontal.go). Invariants: the result lies between
the present number and what is asked for; a window's recommendations are those before any window was applied.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from shoal_operator.api.scaling import PastChange, PastRecommendation, Scaling, ScalingBehavior, ScalingRules
from shoal_operator.core.facts import instant, timestamp

Item = TypeVar("Item", PastRecommendation, PastChange)


@dataclass(frozen=True, slots=True)
class Limit:
    """Why a number is not what was asked for, in the words of the HorizontalPodAutoscaler."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Paced:
    """What is done, and why it is not what was asked for."""

    replicas: int
    stabilised: Limit | None = None
    limited: Limit | None = None


@dataclass(frozen=True, slots=True)
class History:
    """What the windows and the periods need of the past."""

    recommendations: tuple[PastRecommendation, ...] = ()
    changes: tuple[PastChange, ...] = ()

    def recommend(self, replicas: int, behavior: ScalingBehavior, now: datetime) -> History:
        """Return the history with a recommendation added, without those that no window can need any more.

        Of the older ones only these can still count: the highest of all that follow, and the lowest of all that follow.
        """
        longest = max(rules.stabilization_window_seconds for rules in (behavior.scale_up, behavior.scale_down))
        kept: list[PastRecommendation] = []
        highest, lowest = replicas, replicas
        for item in reversed(_since(self.recommendations, longest, now)):
            if item.replicas > highest or item.replicas < lowest:
                kept.append(item)
            highest, lowest = max(highest, item.replicas), min(lowest, item.replicas)
        newest = PastRecommendation(at=timestamp(now), replicas=replicas)
        return History((*reversed(kept), newest), self.changes)

    def change(self, change: int, behavior: ScalingBehavior, now: datetime) -> History:
        """Return the history with a change added, without those that no period can need any more."""
        longest = max(
            policy.period_seconds for rules in (behavior.scale_up, behavior.scale_down) for policy in rules.policies
        )
        kept = _since(self.changes, longest, now)
        added = (PastChange(at=timestamp(now), change=change),) if change else ()
        return History(self.recommendations, (*kept, *added))


def pace(scaling: Scaling, wanted: int, current: int, history: History, now: datetime) -> Paced:
    """Bring the wanted number within windows, pace and bounds."""
    behavior = scaling.behavior
    stable = _stabilise(behavior, wanted, current, history, now)
    stabilised = None
    if stable != wanted and wanted >= current:
        stabilised = Limit("ScaleUpStabilized", "recent looks asked for fewer pods; the lowest of them counts")
    elif stable != wanted:
        stabilised = Limit("ScaleDownStabilized", "recent looks asked for more pods; the highest of them counts")
    replicas, limited = _limit(scaling, stable, current, history, now)
    return Paced(replicas, stabilised, limited)


def _stabilise(behavior: ScalingBehavior, wanted: int, current: int, history: History, now: datetime) -> int:
    past = history.recommendations
    up = [item.replicas for item in _since(past, behavior.scale_up.stabilization_window_seconds, now)]
    down = [item.replicas for item in _since(past, behavior.scale_down.stabilization_window_seconds, now)]
    return min(max(current, min([wanted, *up])), max([wanted, *down]))


def _limit(scaling: Scaling, wanted: int, current: int, history: History, now: datetime) -> tuple[int, Limit | None]:
    if wanted > current:
        pace_limit = max(current, _furthest(scaling.behavior.scale_up, current, history.changes, now, upwards=True))
        if wanted <= min(scaling.max_replicas, pace_limit):
            return wanted, None
        if scaling.max_replicas > pace_limit:
            return pace_limit, Limit("ScaleUpLimit", "the pods increase no faster than behavior.scaleUp allows")
        return scaling.max_replicas, Limit("TooManyReplicas", "more pods are wanted than maxReplicas")
    if wanted < current:
        pace_limit = min(current, _furthest(scaling.behavior.scale_down, current, history.changes, now, upwards=False))
        if wanted >= max(scaling.min_replicas, pace_limit):
            return wanted, None
        if scaling.min_replicas < pace_limit:
            return pace_limit, Limit("ScaleDownLimit", "the pods decrease no faster than behavior.scaleDown allows")
        return scaling.min_replicas, Limit("TooFewReplicas", "fewer pods are wanted than minReplicas")
    return wanted, None


def _furthest(rules: ScalingRules, current: int, changes: Iterable[PastChange], now: datetime, *, upwards: bool) -> int:
    """Return how far the policies let the number go."""
    if rules.select_policy == "Disabled":
        return current
    proposed = []
    for policy in rules.policies:
        at_start = current - sum(item.change for item in _since(tuple(changes), policy.period_seconds, now))
        if policy.type == "Pods":
            proposed.append(at_start + policy.value if upwards else at_start - policy.value)
        elif upwards:
            # Rounded up, or a small pool could never grow.
            proposed.append(math.ceil(at_start * (1 + policy.value / 100)))
        else:
            proposed.append(math.trunc(at_start * (1 - policy.value / 100)))
    boldest = max if upwards else min
    most_cautious = min if upwards else max
    return (boldest if rules.select_policy == "Max" else most_cautious)(proposed)


def _since(items: Sequence[Item], seconds: int, now: datetime) -> list[Item]:
    """Return the items that are younger than this; one whose time cannot be read counts as too old."""
    begin = now - timedelta(seconds=seconds)
    return [item for item in items if (moment := instant(item.at)) is not None and moment > begin]
