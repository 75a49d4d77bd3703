"""Canary as a schedule: weights and pauses in the user's order.

Called by core.rollout. Pure arithmetic.
"""

from __future__ import annotations

from shoal_operator.api.deployment import Canary
from shoal_operator.core.steps import Schedule, Step, close_schedule


def build_canary(strategy: Canary) -> Schedule:
    """Turn the strategy into steps, one for each of the user's: a pause holds the weight set before it.

    >>> build_canary(Canary()).steps
    (Step(weight=10, hold_seconds=0.0), Step(weight=10, hold_seconds=3600.0))
    """
    steps: list[Step] = []
    weight = 0
    for step in strategy.steps:
        if step.pause is None:
            weight = step.set_weight or 0
            steps.append(Step(weight, 0.0))
        else:
            duration = step.pause.duration_seconds
            steps.append(Step(weight, None if duration is None else float(duration)))
    return close_schedule(tuple(steps), strategy, full_pool=False)
