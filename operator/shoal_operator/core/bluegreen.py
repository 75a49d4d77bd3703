"""Blue-green as a schedule: a full second pool, then traffic in equal steps.

Called by core.rollout. Pure arithmetic.
"""

from __future__ import annotations

from shoal_operator.api.bluegreen import BlueGreen
from shoal_operator.core.steps import Schedule, Step, close_schedule


def build_blue_green(strategy: BlueGreen) -> Schedule:
    """Turn the strategy into steps; the last weight, 100, belongs to the promotion.

    At 100 % stable gets no calls to compare with, so there is nothing to hold for but the gates that ask others, in
    `postPromotion`; the replaced pool stands by for the scale-down delay.

    >>> [step.weight for step in build_blue_green(BlueGreen(steps=5)).steps]
    [20, 40, 60, 80]
    >>> [(step.weight, step.hold_seconds) for step in build_blue_green(BlueGreen(steps=2, auto_promotion=False)).steps]
    [(0, None), (50, 60.0)]
    >>> build_blue_green(BlueGreen(steps=1, auto_promotion_seconds=90)).steps[0].hold_seconds
    90.0
    """
    early = strategy.pre_promotion
    # Before the wait for the promote command, so that whoever gives it knows the verdict.
    judged = () if early is None else (Step(0, float(early.duration_seconds), shadow=True),)
    seconds = float(strategy.auto_promotion_seconds) if strategy.auto_promotion else None
    waiting = () if seconds == 0 else (Step(0, seconds),)
    rising = tuple(
        Step(round(100 * number / strategy.steps), float(strategy.interval_seconds))
        for number in range(1, strategy.steps)
    )
    return close_schedule((*judged, *waiting, *rising), strategy, full_pool=True)
