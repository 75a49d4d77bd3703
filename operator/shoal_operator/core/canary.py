"""Canary as a schedule: shadows, weights and pauses in the user's order.

Called by core.rollout. Pure arithmetic.
"""

from __future__ import annotations

from shoal_operator.api.deployment import Canary
from shoal_operator.core.steps import Schedule, Step


def build_canary(strategy: Canary) -> Schedule:
    """Turn the strategy into steps, one for each of the user's: a pause holds the weight set before it.

    >>> [(step.weight, step.hold_seconds) for step in build_canary(Canary()).steps]
    [(10, 0.0), (10, 3600.0)]
    """
    steps: list[Step] = []
    weight = 0
    for step in strategy.steps:
        if step.shadow is not None:
            steps.append(Step(0, float(step.shadow.duration_seconds), shadow=True))
        elif step.pause is None:
            weight = step.set_weight or 0
            steps.append(Step(weight, 0.0))
        else:
            duration = step.pause.duration_seconds
            steps.append(Step(weight, None if duration is None else float(duration)))
    return Schedule(tuple(steps), strategy.scale_down_delay_seconds, full_pool=False)
