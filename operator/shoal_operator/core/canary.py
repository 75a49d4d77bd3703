"""Canary as a schedule: the user's steps in the user's order.

Called by core.rollout. Pure arithmetic.
"""

from __future__ import annotations

from dataclasses import replace

from shoal_operator.api.canary import Canary, HeaderMatch
from shoal_operator.core.steps import Schedule, Step, close_schedule


def build_canary(strategy: Canary) -> Schedule:
    """Turn the strategy into steps, one for each of the user's.

    Weight, header and scale last until a later step sets them anew; a mirror ends with its own step.

    >>> [(step.weight, step.hold_seconds) for step in build_canary(Canary()).steps]
    [(10, 0.0), (10, 3600.0)]
    """
    steps: list[Step] = []
    present = Step(0, 0.0)
    for step in strategy.steps:
        now = present
        if step.set_weight is not None:
            now = present = replace(present, weight=step.set_weight)
        elif step.set_scale is not None:
            now = present = replace(present, scale=None if step.set_scale.match_weight else step.set_scale)
        elif step.set_header is not None:
            now = present = replace(present, header=HeaderMatch(name=step.set_header.name, value=step.set_header.value))
        elif step.pause is not None:
            duration = step.pause.duration_seconds
            now = replace(present, hold_seconds=None if duration is None else float(duration))
        elif step.shadow is not None:
            now = replace(present, hold_seconds=float(step.shadow.duration_seconds), shadow=True)
        elif step.analysis is not None:
            least, most = float(step.analysis.min_seconds), float(step.analysis.max_seconds)
            now = replace(present, hold_seconds=least, patience_seconds=most)
        elif step.mirror is not None:
            now = replace(present, hold_seconds=float(step.mirror.duration_seconds), mirror=step.mirror.percent)
        steps.append(now)
    return close_schedule(tuple(steps), strategy, full_pool=False)
