"""Loads over time: calls in flight, second by second.

Used by `simulation`. Invariant: equal seeds give equal loads, and every scaler meets the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """A load, and how long it goes."""

    name: str
    told: str
    seconds: int
    shape: Callable[[Seconds, np.random.Generator], Seconds]
    by_chance: bool = True
    """Whether as many calls come as chance gives, or exactly as many as the shape says."""

    def draw(self, seed: int = 0) -> Seconds:
        """Return the calls in flight in each second."""
        rng = np.random.default_rng(seed)
        expected = self.shape(np.arange(self.seconds, dtype=np.float64), rng)
        if not self.by_chance:
            return expected
        return rng.poisson(np.maximum(0.0, expected)).astype(np.float64)


def _step(at: Seconds, _: np.random.Generator) -> Seconds:
    return np.where((at >= 300) & (at < 1500), 400.0, 40.0)


def _sine(at: Seconds, _: np.random.Generator) -> Seconds:
    return 100 + 80 * np.sin(2 * np.pi * at / 600)


def _bursts(at: Seconds, _: np.random.Generator) -> Seconds:
    return np.where(at % 180 < 20, 200.0, 40.0)


def _noise(at: Seconds, rng: np.random.Generator) -> Seconds:
    # At most 9 %: within the tolerance.
    deviations = rng.uniform(-0.09, 0.09, size=len(at) // 5 + 1)
    return 400 * (1 + deviations[(at // 5).astype(np.int64)])


def _diurnal(at: Seconds, rng: np.random.Generator) -> Seconds:
    hours = at / 3600
    day = 30 + 170 * np.exp(-(((hours - 10.5) / 2.2) ** 2)) + 240 * np.exp(-(((hours - 20) / 1.8) ** 2))
    # Minutes differ from each other by some percent, and from what the hour lets expect.
    drift = np.cumsum(rng.normal(0, 0.01, size=len(at) // 60 + 1))
    drift -= np.convolve(drift, np.full(60, 1 / 60), mode="same")
    return day * np.exp(drift[(at // 60).astype(np.int64)])


TRACES = (
    Trace("step x10", "40 calls in flight, 400 from minute 5 to minute 25, then 40 again", 3600, _step),
    Trace("sine", "20 to 180 calls in flight, up and down in ten minutes", 3600, _sine),
    Trace("bursts", "40 calls in flight, and 200 for 20 s of every 3 minutes", 3600, _bursts),
    Trace("noise", "400 calls in flight, ±9 %, another deviation every 5 s", 1800, _noise, by_chance=False),
    Trace("a day", "30 calls in flight at night, 200 in the morning, 270 in the evening", 86_400, _diurnal),
)
