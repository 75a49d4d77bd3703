"""The load that every drive gets: low, ten times as much, the same with noise, low, ten times as much again, low.

Pure; used by `drives` and `page`. Rates are calls or messages a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EACH = 10
"""Calls a second that a pod should have."""
LOW, HIGH = 8.0, 80.0
NOISE = 0.09
_NOISE_SECONDS = 5.0


@dataclass(frozen=True)
class Stage:
    """A rate that is offered for a while; with noise it is another every five seconds, off by 9 % at most."""

    rate: float
    seconds: float
    noisy: bool = False


PLAN = (
    Stage(LOW, 20),
    Stage(HIGH, 75),
    Stage(HIGH, 75, noisy=True),
    Stage(LOW, 75),
    Stage(HIGH, 75),
    Stage(LOW, 75),
)
QUICK = (Stage(LOW, 10), Stage(HIGH, 75), Stage(HIGH, 15, noisy=True), Stage(LOW, 75))


def draw(stages: tuple[Stage, ...], seed: int = 0) -> tuple[Stage, ...]:
    """Return the stages with the noise drawn: stages of five seconds each in the place of a noisy one.

    >>> [stage.seconds for stage in draw((Stage(8, 20), Stage(80, 12, noisy=True)))]
    [20, 5.0, 5.0, 2.0]
    """
    random = np.random.default_rng(seed)
    drawn: list[Stage] = []
    for stage in stages:
        if not stage.noisy:
            drawn.append(stage)
            continue
        left = stage.seconds
        while left > 0:
            rate = round(stage.rate * (1 + random.uniform(-NOISE, NOISE)), 2)
            drawn.append(Stage(rate, min(_NOISE_SECONDS, left)))
            left -= _NOISE_SECONDS
    return tuple(drawn)


def starts(stages: tuple[Stage, ...]) -> tuple[float, ...]:
    """Return when each stage begins, and when the last ends, in seconds.

    >>> starts((Stage(8, 20), Stage(80, 12)))
    (0.0, 20.0, 32.0)
    """
    return tuple(float(moment) for moment in np.cumsum([0.0, *(stage.seconds for stage in stages)]))


def due(stages: tuple[Stage, ...], elapsed: float) -> int:
    """Return how many calls are due after so many seconds.

    >>> due((Stage(10, 2), Stage(100, 1)), 2.5)
    70
    """
    counts = np.cumsum([0.0, *(stage.rate * stage.seconds for stage in stages)])
    return int(np.interp(elapsed, starts(stages), counts))
