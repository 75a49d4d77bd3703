"""Blue-green as a schedule: a full second pool, then traffic in equal steps.

Called by core.rollout. Pure arithmetic.
"""

from __future__ import annotations

from shoal_operator.api.deployment import BlueGreen
from shoal_operator.core.steps import Schedule, Step, close_schedule


def build_blue_green(strategy: BlueGreen) -> Schedule:
    """Turn the strategy into steps; the last weight, 100, belongs to the promotion.

    At 100 % stable gets no calls to compare with, so there is nothing to hold for but the gates that ask others, in
    `postPromotion`; the replaced pool stands by for the scale-down delay.

    >>> [step.weight for step in build_blue_green(BlueGreen(steps=5)).steps]
    [20, 40, 60, 80]
    >>> build_blue_green(BlueGreen(steps=2, interval_seconds=7, auto_promotion=False)).steps
    (Step(weight=0, hold_seconds=None), Step(weight=50, hold_seconds=7.0))
    >>> build_blue_green(BlueGreen(steps=1, auto_promotion_seconds=90)).steps
    (Step(weight=0, hold_seconds=90.0),)
    """
    seconds = float(strategy.auto_promotion_seconds) if strategy.auto_promotion else None
    waiting = () if seconds == 0 else (Step(0, seconds),)
    rising = tuple(
        Step(round(100 * number / strategy.steps), float(strategy.interval_seconds))
        for number in range(1, strategy.steps)
    )
    return close_schedule((*waiting, *rising), strategy, full_pool=True)
